/* function.c - a function that does what its event asks for, on the runtime as it is shipped: what
 * the tests of the local Lambda invoke. An event that asks for nothing known is echoed.
 *
 * Build: musl-gcc -static -Os test/function.c -o function
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE 1 /* memmem */
#define HANDLER obey
#define INITIALIZE check_order
#include "../bootstrap.c"

#include <signal.h>
#include <time.h>

enum { ONE_TOO_MANY = 6 * 1024 * 1024 + 101 }; /* one byte more than Lambda takes */

static char response[ONE_TOO_MANY];
static struct {
    char data[8192];
    size_t length;
} context;

static bool asks_for(const struct invocation *invocation, const char *word) {
    return memmem(invocation->event.data, invocation->event.length, word, strlen(word)) != NULL;
}

static void add(struct text text) {
    if (text.length > sizeof context.data - context.length)
        return;
    memcpy(context.data + context.length, text.data, text.length);
    context.length += text.length;
}

/* Both as JSON: the client context is JSON already, and null when there is none. */
static struct outcome show_context(const struct invocation *invocation) {
    context.length = 0;
    add(S("{\"client\":"));
    add(invocation->client_context.length > 0 ? invocation->client_context : S("null"));
    add(S(",\"tenant\":\""));
    add(invocation->tenant_id);
    add(S("\",\"function\":\""));
    add(text_of(getenv("AWS_LAMBDA_FUNCTION_NAME")));
    add(S("\"}"));
    return success((struct text){context.data, context.length});
}

static struct outcome obey(const struct invocation *invocation) {
    static const char line[] = "a line of the function's log\n";
    if (asks_for(invocation, "do:crash"))
        raise(SIGSEGV);
    if (asks_for(invocation, "do:exit"))
        _exit(7);
    if (asks_for(invocation, "do:sleep"))
        nanosleep(&(struct timespec){.tv_sec = 60}, NULL);
    if (asks_for(invocation, "do:fail"))
        return failure(S("Function.Refused"), S("it said \"no\""));
    if (asks_for(invocation, "do:context"))
        return show_context(invocation);
    if (asks_for(invocation, "do:large")) {
        memset(response, 'x', sizeof response);
        return success((struct text){response, sizeof response});
    }
    if (asks_for(invocation, "do:log") && write(STDERR_FILENO, line, sizeof line - 1) < 0)
        return failure(S("Function.NoLog"), S("stderr cannot be written to"));
    return success(invocation->event);
}

static struct outcome check_order(void) {
    if (getenv("FAIL_INITIALIZATION") != NULL)
        return failure(S("Function.NoDatabase"), S("as ordered"));
    return success(S(""));
}
