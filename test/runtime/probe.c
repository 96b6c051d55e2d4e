/* probe.c - the handler of the end-to-end tests: the first word of its event, which may be a JSON
 * string, says what it is to do, see the table at the end; any other event is echoed. Built on the
 * same seam as every handler of a file of its own.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER probe
#define INITIALIZE prepare
#define AFTER_RESPONSE look_back
#define AFTER_RESTORE restored
#include "../../bootstrap.c"

#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

static char answer[8 * 1024 * 1024];

/* ---- What the environment asks for ---- */

static void ignore(int number) {
    (void)number;
}

/* PROBE_SIGNALS: from now on a signal every millisecond, to interrupt whatever waits; SIGINT does
 * no more than that. */
static struct outcome prepare(void) {
    if (getenv("PROBE_SIGNALS")) {
        struct itimerval often = {{0, 1000}, {0, 1000}};
        struct sigaction interrupting = {.sa_handler = ignore};
        sigaction(SIGALRM, &interrupting, NULL);
        sigaction(SIGINT, &interrupting, NULL);
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

/* PROBE_AFTER: uses memory and logs the event, which are still there, once its response has been
 * sent; behind the event `last` nothing comes. */
static void look_back(const struct invocation *invocation) {
    if (!getenv("PROBE_AFTER"))
        return;
    char *memory = allocate(invocation, 1000);
    if (memory) /* there is less with tiny limits */
        memset(memory, 'x', 1000);
    log_info(invocation, invocation->event);
    if (equal(invocation->event, S("last")))
        exit(3);
}

/* ---- What the event asks for: a command, and what stands behind the blank ---- */

struct order {
    const struct invocation *invocation;
    struct text command, rest;
};

static struct outcome number(uint64_t value) {
    struct buffer to = {answer, 0, sizeof answer, false};
    append_number(&to, value);
    return success(text_in(&to));
}

static size_t number_in(struct text digits) {
    uint64_t value = 0;
    parse_number(digits, 10, &value);
    return (size_t)value;
}

/* Until the server has closed the connection, or reset it. */
static void await_close(const struct order *order) {
    struct pollfd it = {.fd = order->invocation->runtime->connection.socket, .events = POLLIN};
    poll(&it, 1, 20000);
}

static struct outcome fail(const struct order *order) {
    struct text message = order->rest, type;
    cut(&message, ' ', &type);
    return failure(type, message);
}

static struct outcome crash(const struct order *order) {
    (void)order;
    raise(SIGKILL); /* which no emulator reports on stderr */
    return success(S(""));
}

static struct outcome respond_at_length(const struct order *order) {
    if (equal(order->command, S("later")))
        pause_ms(200);
    if (equal(order->command, S("closed")))
        await_close(order);
    memset(answer, 'x', sizeof answer);
    return success((struct text){answer, number_in(order->rest)});
}

static struct outcome show_context(const struct order *order) {
    const struct invocation *i = order->invocation;
    const struct text all[] = {i->request_id,     i->invoked_function_arn, i->trace_id,
                               i->client_context, i->cognito_identity,     i->tenant_id,
                               i->invocation_id,  i->content_type};
    struct buffer to = {answer, 0, sizeof answer, false};
    for (size_t n = 0; n < sizeof all / sizeof *all; n++) {
        append_text(&to, all[n]);
        append_string(&to, "|");
    }
    append_number(&to, i->deadline_ms);
    return success(text_in(&to));
}

static struct outcome show_variable(const struct order *order) {
    const char *value = getenv(equal(order->command, S("trace")) ? "_X_AMZN_TRACE_ID" : "ANOTHER");
    return success(value ? text_of(value) : S("(unset)"));
}

static struct outcome open_a_file(const struct order *order) {
    (void)order;
    return number((uint64_t)dup(STDIN_FILENO)); /* stays open: only once in a test */
}

static struct outcome run_shell(const struct order *order) {
    char script[256];
    snprintf(script, sizeof script, "%.*s", (int)order->rest.length, order->rest.data);
    FILE *child = popen(script, "r");
    size_t n = child ? fread(answer, 1, sizeof answer, child) : 0;
    if (child)
        pclose(child);
    return success((struct text){answer, n});
}

static struct outcome print_words(const struct order *order) {
    printf("%.*s", (int)order->rest.length, order->rest.data);
    log_info(order->invocation, S("printed"));
    return success(S(""));
}

static struct outcome end_by_itself(const struct order *order) {
    exit((int)number_in(order->rest));
}

static struct outcome log_words(const struct order *order) {
    struct text words = order->rest, level;
    cut(&words, ' ', &level);
    if (equal(level, S("debug")))
        log_debug(order->invocation, words);
    if (equal(level, S("info")))
        log_info(order->invocation, words);
    if (equal(level, S("warn")))
        log_warn(order->invocation, words);
    if (equal(level, S("error")))
        log_error(order->invocation, words);
    return success(S("logged"));
}

/* ---- Streams ---- */

static struct outcome stream_words(const struct order *order) {
    const struct invocation *i = order->invocation;
    struct text word, words = order->rest;
    if (equal(order->command, S("streamclosed")))
        await_close(order);
    if (!stream_begin(i, S("text/plain")) || stream_begin(i, S("text/plain")))
        return failure(S("Function.Stream"), S("begins twice, or not at all"));
    while (cut(&words, ' ', &word) || (word.length && !equal(order->command, S("streamtail"))))
        if (!stream_write(i, word))
            return failure(S("Function.Stream"), S("cannot write"));
        else if (equal(order->command, S("streamcut")))
            await_close(order);
    if (equal(order->command, S("streamlate")))
        return failure(S("Function.L\nate"), S("be\"hind"));
    return success(word);
}

static struct outcome fail_before_the_first_byte(const struct order *order) {
    if (!stream_begin(order->invocation, S("text/plain")))
        return success(S("refused"));
    return failure(S("Function.Early"), S("before"));
}

static struct outcome stream_http(const struct order *order) {
    bool streamed =
        stream_begin_http(order->invocation, S("{}")) && stream_write(order->invocation, S(""));
    return streamed ? success(order->rest) : failure(S("Function.Http"), S(""));
}

static const struct {
    const char *name;
    struct outcome (*follow)(const struct order *);
} commands[] = {
    {"fail", fail},                /* TYPE MESSAGE */
    {"crash", crash},              /* of SIGKILL */
    {"large", respond_at_length},  /* LENGTH: with that many x */
    {"later", respond_at_length},  /* LENGTH: the same after a while */
    {"closed", respond_at_length}, /* LENGTH: when the server has closed */
    {"context", show_context},
    {"trace", show_variable},   /* _X_AMZN_TRACE_ID */
    {"another", show_variable}, /* ANOTHER */
    {"open", open_a_file},
    {"sh", run_shell},        /* SCRIPT: with what it prints */
    {"print", print_words},   /* TEXT: on standard output, by stdio, and then a line of the log */
    {"exit", end_by_itself},  /* STATUS */
    {"log", log_words},       /* LEVEL TEXT */
    {"stream", stream_words}, /* WORD...: each a piece */
    {"streamtail", stream_words},   /* the last one is returned */
    {"streamlate", stream_words},   /* fails behind the last one */
    {"streamclosed", stream_words}, /* begins when the server has closed */
    {"streamcut", stream_words},    /* the same behind the first word */
    {"early", fail_before_the_first_byte},
    {"http", stream_http}, /* BODY, behind a prelude */
};

static struct outcome probe(const struct invocation *invocation) {
    struct order order = {.invocation = invocation, .rest = invocation->event};
    if (order.rest.length > 1 && order.rest.data[0] == '"')
        order.rest = (struct text){order.rest.data + 1, order.rest.length - 2};
    cut(&order.rest, ' ', &order.command);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (equal(order.command, text_of(commands[i].name)))
            return commands[i].follow(&order);
    return success(invocation->event);
}
