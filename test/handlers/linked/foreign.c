/* foreign.c - lets a library in another language handle the events. It is linked with this file
 * and has handle_event. Nothing of its memory is kept: what it answers is copied.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER ask_library
#define INITIALIZE start_library
#include "bootstrap.c"

/* Says the answer; or, with a type, an error. `to` is what came with the event. */
typedef void say_answer(void *to, const char *type, const char *bytes, size_t length);
void handle_event(const char *event, size_t length, say_answer *say, void *to);
__attribute__((weak)) void hs_init(int *, char ***); /* Haskell's, which starts a thread */

struct answer {
    const struct invocation *invocation;
    struct outcome outcome;
};

static struct text copied(const struct invocation *invocation, struct text text) {
    char *copy = allocate(invocation, text.length);
    return copy ? (struct text){memcpy(copy, text.data, text.length), text.length} : S("");
}

static void say(void *to, const char *type, const char *bytes, size_t length) {
    struct answer *answer = to;
    struct text text = copied(answer->invocation, (struct text){bytes, length});
    answer->outcome =
        type ? failure(copied(answer->invocation, text_of(type)), text) : success(text);
}

static struct outcome ask_library(const struct invocation *invocation) {
    struct answer answer = {invocation, failure(S("Function.NoAnswer"), S("expected one"))};
    handle_event(invocation->event.data, invocation->event.length, say, &answer);
    return answer.outcome;
}

/* In each worker, since no thread may run before there are several. hs_init takes SIGPIPE for itself. */
static struct outcome start_library(void) {
    if (hs_init)
        hs_init(NULL, NULL);
    (void)signal(SIGPIPE, act_on_signal);
    return success(S(""));
}
