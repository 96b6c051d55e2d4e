/* probe.c - the handler of the end-to-end tests: its event says what it is to do. Built on the same
 * seam as every handler of a file of its own.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER probe
#define INITIALIZE prepare
#define AFTER_RESTORE restored
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

/* With SnapStart. */
static struct outcome restored(void) {
    return getenv("PROBE_FAIL_RESTORE") ? failure(S("Runtime.AfterRestoreError"), S("no way back"))
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

/* Each word a piece. `streamlate` fails behind them, `streamtail` returns the last one. */
static struct outcome stream_words(const struct invocation *i, struct text command,
                                   struct text words) {
    struct text word;
    if (getenv("PROBE_SLOW"))
        pause_ms(200);
    if (!stream_begin(i, S("text/plain")) || stream_begin(i, S("text/plain")))
        return failure(S("Function.Stream"), S("begins twice, or not at all"));
    while (cut(&words, ' ', &word) || (word.length && !equal(command, S("streamtail"))))
        if (!stream_write(i, word))
            return failure(S("Function.Stream"), S("cannot write"));
        else if (getenv("PROBE_SLOW"))
            pause_ms(50);
    if (equal(command, S("streamlate")))
        return failure(S("Function.L\nate"), S("be\"hind"));
    return success(word);
}

static struct outcome misuse_streams(const struct invocation *i) {
    char large[PRELUDE_MAX + 1] = "{}";
    memset(large, ' ', sizeof large);
    bool refused = !stream_write(i, S("x")) && !stream_begin(i, S("a\r\nb: c")) &&
                   !stream_begin(i, (struct text){large, CONTENT_TYPE_MAX + 1}) &&
                   !stream_begin_http(i, S("{\0}")) &&
                   !stream_begin_http(i, (struct text){large, PRELUDE_MAX + 1});
    return refused ? success(S("refused")) : failure(S("Function.Stream"), S("taken"));
}

static struct outcome memory_for_one_invocation(const struct invocation *i) {
    unsigned char *one = allocate(i, 1), *two = allocate(i, 1000), *none = allocate(i, 0);
    bool fine = one && two > one && none > two + 999 && (uintptr_t)two % sizeof(max_align_t) == 0;
    size_t rest = ALLOCATE_MAX - (size_t)(none + sizeof(max_align_t) - one);
    fine = fine && !allocate(i, rest + 1) && !allocate(i, SIZE_MAX) &&
           allocate_buffer(i, SIZE_MAX).capacity == 0;
    unsigned char *all = fine ? allocate(i, rest) : NULL;
    if (!all || allocate(i, 1) || allocate(i, 0))
        return failure(S("Function.Memory"), S("not as promised"));
    memset(all, 1, rest);
    return success(S("as promised"));
}

static struct outcome number(uint64_t value) {
    struct buffer to = {answer, 0, sizeof answer, false};
    append_number(&to, value);
    return success(text_in(&to));
}

static struct outcome log_words(const struct invocation *i, struct text words) {
    struct text level;
    cut(&words, ' ', &level);
    for (size_t n = 0; n < sizeof answer; n++)
        answer[n] = '\n';
    if (equal(words, S("long")))
        words = (struct text){answer, 100000};
    if (equal(level, S("debug")))
        log_debug(i, words);
    if (equal(level, S("info")))
        log_info(i, words);
    if (equal(level, S("warn")))
        log_warn(i, words);
    if (equal(level, S("error")))
        log_error(i, words);
    return success(S("logged"));
}

static struct outcome probe(const struct invocation *invocation) {
    struct text rest = invocation->event, command, type;
    cut(&rest, ' ', &command);
    if (equal(first_bytes(command, 6), S("stream")))
        return stream_words(invocation, command, rest);
    if (equal(command, S("misuse")))
        return misuse_streams(invocation);
    if (equal(command, S("early")) && stream_begin(invocation, S("text/plain")))
        return failure(S("Function.Early"), S("before"));
    if (equal(command, S("http")) && stream_begin_http(invocation, S("{}")))
        return stream_write(invocation, S("")) ? success(rest) : failure(S("Function.Http"), S(""));
    if (equal(command, S("prelude"))) {
        memset(answer, ' ', PRELUDE_MAX);
        return stream_begin_http(invocation, (struct text){answer, PRELUDE_MAX})
                   ? success(S(""))
                   : failure(S("Function.Http"), S(""));
    }
    if (equal(command, S("grab"))) {
        uint64_t length = 0;
        parse_number(rest, 10, &length);
        struct buffer grabbed = allocate_buffer(invocation, (size_t)length);
        if (grabbed.capacity != length || grabbed.overflow || grabbed.length)
            return failure(S("Function.Memory"), S("refused"));
        memset(grabbed.data, 1, grabbed.capacity);
        return success(rest);
    }
    if (equal(command, S("allocate")))
        return memory_for_one_invocation(invocation);
    if (equal(command, S("remaining")))
        return number(remaining_ms(invocation));
    if (equal(command, S("open")))
        return number((uint64_t)dup(STDIN_FILENO)); /* stays open: only once in a test */
    if (equal(command, S("log")))
        return log_words(invocation, rest);
    if (equal(command, S("context")))
        return context(invocation);
    if (equal(command, S("trace")))
        return variable("_X_AMZN_TRACE_ID");
    if (equal(command, S("another")))
        return variable("ANOTHER");
    if (equal(command, S("children")))
        return children_descriptors();
    if (equal(command, S("crash")))
        raise(SIGKILL); /* which no emulator reports on stderr */
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
