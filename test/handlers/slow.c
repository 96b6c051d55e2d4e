/* slow.c - works until half a second before its deadline, then answers with what it has: how often
 * it could look at the clock. $ROUNDS limits it for those who do not want to wait so long.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER slow
#include "../../bootstrap.c"

static struct outcome slow(const struct invocation *invocation) {
    uint64_t rounds = 0, most = 3600 * 100;
    parse_number(text_of(getenv("ROUNDS")), 10, &most);
    while (rounds < most && remaining_ms(invocation) > 500) {
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
        rounds++;
    }
    struct buffer json = allocate_buffer(invocation, 20);
    append_number(&json, rounds);
    return success(text_in(&json));
}
