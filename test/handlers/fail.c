/* fail.c - reports an invocation error, with the event as its message. The runtime logs it, and the
 * function lives on.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER fail
#include "../../bootstrap.c"

static struct outcome fail(const struct invocation *invocation) {
    log_info(invocation, S("about to fail"));
    return failure(S("Function.Refused"), invocation->event);
}
