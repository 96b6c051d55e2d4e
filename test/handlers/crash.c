/* crash.c - echoes, but the event "crash" makes it end by a bug, and "exit" on purpose: Lambda
 * reports Runtime.ExitError to the caller and starts a fresh environment for the next event.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER crash
#include "../../bootstrap.c"

#include <signal.h>

static struct outcome crash(const struct invocation *invocation) {
    if (equal(invocation->event, S("\"crash\"")))
        raise(SIGSEGV);
    if (equal(invocation->event, S("\"exit\"")))
        exit(7);
    return success(invocation->event);
}
