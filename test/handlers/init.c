/* init.c - opens a resource once, before the first event, and answers each event with it: the file
 * that $RESOURCE names. When it cannot be opened the function does not start, and Lambda is told.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER answer_with_it
#define INITIALIZE open_resource
#include "../../bootstrap.c"

#include <fcntl.h>

static char resource[4096];
static size_t resource_length;

static struct outcome open_resource(void) {
    const char *path = getenv("RESOURCE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return failure(S("Function.NoResource"), S("RESOURCE does not name a readable file"));
    ssize_t n = read(file, resource, sizeof resource);
    close(file);
    resource_length = n > 0 ? (size_t)n : 0;
    return success(S(""));
}

static struct outcome answer_with_it(const struct invocation *invocation) {
    (void)invocation;
    return success((struct text){resource, resource_length});
}
