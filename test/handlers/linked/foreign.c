/* foreign.c - lets a library in another language handle the events: by handle_event, whose answer is
 * copied, since memory that is collected may not stay where it is.
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER ask_library
#define INITIALIZE start_library
#include "bootstrap.c"

/* Says the answer or, with a type, an error; `to` is what came with the event. */
typedef void say_answer(void *to, const char *type, const char *bytes, size_t length);
void handle_event(const char *event, size_t length, say_answer *say, void *to);
__attribute__((weak)) void hs_init(int *, char ***); /* Haskell's, which starts a thread */

struct answer {
    const struct invocation *invocation;
    struct outcome outcome;
};
static void say(void *to, const char *type, const char *bytes, size_t length) {
    struct answer *answer = to;
    struct text kind = text_of(type ? type : "");
    struct buffer copy = allocate_buffer(answer->invocation, length + kind.length);
    append_text(&copy, (struct text){bytes, length});
    append_text(&copy, kind);
    struct text text = {copy.data, length}, error_type = {copy.data + length, kind.length};
    answer->outcome = copy.overflow ? failure(S("Function.TooLarge"), S("beyond 16 MiB"))
                      : type        ? failure(error_type, text)
                                    : success(text);
}
static struct outcome ask_library(const struct invocation *invocation) {
    struct answer answer = {invocation, failure(S("Function.NoAnswer"), S("expected one"))};
    handle_event(invocation->event.data, invocation->event.length, say, &answer);
    return answer.outcome;
}

/* In each worker: no thread may run before there are several. hs_init takes SIGPIPE for itself. */
static struct outcome start_library(void) {
    if (hs_init)
        hs_init(NULL, NULL);
    (void)signal(SIGPIPE, act_on_signal);
    return success(S(""));
}
