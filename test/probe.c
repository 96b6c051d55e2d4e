/* probe.c - the handler of the end-to-end tests: its event says what it is to do. Built on the same
 * seam as every handler of a file of its own.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER probe
#define INITIALIZE prepare
#include "../bootstrap.c"

#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

static char answer[8 * 1024 * 1024];

static void ignore(int number) {
    (void)number;
}

/* PROBE_SIGNALS: from now on a signal every millisecond, to interrupt whatever waits. */
static struct outcome prepare(void) {
    if (getenv("PROBE_SIGNALS")) {
        struct itimerval often = {{0, 1000}, {0, 1000}};
        struct sigaction interrupting = {.sa_handler = ignore};
        sigaction(SIGALRM, &interrupting, NULL);
        setitimer(ITIMER_REAL, &often, NULL);
    }
    if (getenv("PROBE_SETENV"))
        setenv("ANOTHER", "variable", 1);
    return getenv("PROBE_FAIL") ? failure(S("Function.NoDatabase"), S("cannot \"open\" it"))
                                : success(S(""));
}

static struct outcome context(const struct invocation *i) {
    const struct text all[] = {i->request_id,     i->invoked_function_arn, i->trace_id,
                               i->client_context, i->cognito_identity,     i->tenant_id,
                               i->invocation_id,  i->content_type};
    struct buffer to = {answer, 0, sizeof answer, false};
    for (size_t n = 0; n < sizeof all / sizeof *all; n++) {
        append(&to, all[n]);
        append(&to, S("|"));
    }
    append_number(&to, i->deadline_ms);
    return success(text_in(&to));
}

static struct outcome variable(const char *name) {
    const char *value = getenv(name);
    return success(value ? text_of(value) : S("(unset)"));
}

static struct outcome children_descriptors(void) {
    FILE *ls =
        popen("for d in 3 4 5 6 7 8 9; do (: >&$d) 2>/dev/null && echo $d; done; echo .", "r");
    size_t n = ls ? fread(answer, 1, sizeof answer, ls) : 0;
    if (ls)
        pclose(ls);
    return success((struct text){answer, n});
}

static struct outcome probe(const struct invocation *invocation) {
    struct text rest = invocation->event, command, type;
    cut(&rest, ' ', &command);
    if (equal(command, S("context")))
        return context(invocation);
    if (equal(command, S("trace")))
        return variable("_X_AMZN_TRACE_ID");
    if (equal(command, S("another")))
        return variable("ANOTHER");
    if (equal(command, S("children")))
        return children_descriptors();
    if (equal(command, S("crash")))
        raise(SIGSEGV);
    if (equal(command, S("fail"))) {
        cut(&rest, ' ', &type);
        return failure(type, rest);
    }
    if (equal(command, S("large")) || equal(command, S("later"))) {
        uint64_t length = 0;
        if (equal(command, S("later")))
            pause_ms(200);
        parse_number(rest, 10, &length);
        memset(answer, 'x', sizeof answer);
        return success((struct text){answer, (size_t)length});
    }
    return success(invocation->event);
}
