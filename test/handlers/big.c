/* big.c - answers with more than Lambda takes, 6 MiB and 101 bytes: the caller gets
 * Function.ResponseSizeTooLarge, the log one line, and the function lives on.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER big
#include "../../bootstrap.c"

static struct outcome big(const struct invocation *invocation) {
    size_t length = 6 * 1024 * 1024 + 101;
    char *response = allocate(invocation, length);
    if (!response)
        return failure(S("Function.NoMemory"), S("allocate() refused"));
    memset(response, 'x', length);
    response[0] = response[length - 1] = '"';
    return success((struct text){response, length});
}
