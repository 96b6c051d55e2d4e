/* local_lambda.c - a Lambda for one function on this machine: the Invoke API in front, the Runtime
 * API behind, and between them the executable that is to serve as `bootstrap`.
 *
 *     local_lambda run   [EVENT]   one invocation; its response on stdout
 *     local_lambda trace [EVENT]   one cold invocation, as the bytes that go over the wire
 *     local_lambda serve           until Ctrl-C, for curl, the AWS CLI and every SDK
 *
 * EVENT is the text itself, @FILE, or - for stdin. From the environment: BOOTSTRAP (the
 * executable, ./bootstrap), FUNCTION (its name; without one it answers to every name), PORT (of
 * serve, 9000; 0 takes a free one), TIMEOUT (of the function, 3 seconds), MEMORY (128 MB, reported
 * and not enforced), CONCURRENCY (absent: one invocation at a time; N: N at once, as in a Managed
 * Instances environment). What else is in the environment, the function gets too.
 *
 * It is meant as the judge of a runtime: whatever Lambda would refuse is refused with Lambda's
 * status, and a line on stderr says what the API demands. Left out on purpose:
 * InvokeWithResponseStream, the retries of asynchronous invocations, and extensions, but for one
 * within the runtime's process, which registers to be ended by SIGTERM and gets no events.
 *
 * What serve has no other route for is a request to the function's URL: it goes to the function as
 * an event of payload format 2.0, and what comes of it goes back as HTTP, a stream piece by piece.
 *
 * Of the function's configuration serve has the variables, to be read and changed at
 * /2015-03-31/functions/{name}/configuration; the invocation after a change is cold, and so is the
 * one after the executable was built anew.
 *
 * One thread, one poll loop; both listening sockets on 127.0.0.1.
 *
 * Build: cc -std=c11 -O2 test/lambda/local_lambda.c test/lambda/wire.c -o local_lambda
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE 1
#include "wire.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <libgen.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- Settings ----------------------------------------------------------------------------- */

enum {
    EVENT_MAX = 6 << 20,            /* 6 MB: quota of a synchronous request */
    ASYNC_EVENT_MAX = 1 << 20,      /* 1 MB: quota of an asynchronous one */
    RESPONSE_MAX = (6 << 20) + 100, /* 6,291,556: one byte more gets 413 */
    LMI_ERROR_MAX = 1 << 20,        /* of an error body, in a Managed Instances environment */
    CHUNKED_ABOVE = 2048,           /* a longer event goes chunked: the buffer of Go's server */
    UNREAD_MAX = 256 << 10,         /* a refused body longer than this is not waited for */
    LOG_TAIL = 4096,                /* X-Amz-Log-Result */
    CLIENT_CONTEXT_MAX = 3583,      /* of X-Amz-Client-Context, by the Invoke page */
    SIDE_MAX = 450,    /* connections on each side, since most shells allow 1,024 descriptors */
    ID_LENGTH = 36,    /* of a request id that we have made */
    NAME_SIZE = 256,   /* of a request id, or of the name or ARN of a function */
    PAIRS_MAX = 256,   /* names in a query or a head; those behind them do not count */
    DATA_COLUMNS = 60, /* of a body in a trace */
    INIT_SECONDS = 10, /* from exec to the first poll */
    EXIT_MS = 2000,    /* from init/error to the exit that must follow at once */
    TERM_MS = 300      /* from SIGTERM to SIGKILL, with an extension within the runtime only */
};

#define API "/2018-06-01"
#define EXTENSION "/2020-01-01/extension"
#define FUNCTIONS "/2015-03-31/functions/"
#define PRELUDE_END "\0\0\0\0\0\0\0\0"
#define JSON "Content-Type: application/json\r\n"
#define TEXT "Content-Type: text/plain; charset=utf-8\r\n"

enum mode { MODE_RUN, MODE_TRACE, MODE_SERVE };

static struct {
    enum mode mode;
    const char *bootstrap, *function;
    uint16_t port, runtime_port;
    unsigned timeout_s, memory_mb;
    unsigned concurrency; /* 0: not a Managed Instances environment */
    char *variables; /* NULL, or a JSON object: the Environment.Variables of the configuration */
} settings;

static bool is_lmi(void) {
    return settings.concurrency > 0;
}

static const char *text_setting(const char *name, const char *otherwise) {
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? otherwise : text;
}

/* ---- Text ---------------------------------------------------------------------------------- */

/* A formatted text, valid until the fourth call from here. */
__attribute__((format(printf, 1, 2))) static const char *f(const char *format, ...) {
    static char texts[4][1024];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof texts[0], format, arguments);
    va_end(arguments);
    return text;
}

/* The bytes with a NUL behind them, which does not count; valid until they change. */
static const char *text_of(struct bytes *bytes) {
    bytes_append(bytes, "", 1);
    bytes->length--;
    return bytes->data;
}

/* One line and one write; what the function put into it cannot move a terminal's cursor. */
static void say_text(const char *text) {
    char line[1100];
    int length = snprintf(line, sizeof line, "local_lambda: %s\n", text);
    for (int i = 0; i < length - 1; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    fputs(line, stderr);
}

#define say(...) say_text(f(__VA_ARGS__))

__attribute__((noreturn)) static void die(const char *text) {
    say_text(text);
    exit(1);
}

/* Text as a JSON string, valid until the fourth call from here. */
static const char *json(const char *text) {
    static struct bytes texts[4];
    static unsigned turn;
    struct bytes *quoted = &texts[turn++ % 4];
    quoted->length = 0;
    json_string(quoted, text, strlen(text));
    return text_of(quoted);
}

/* On the heap, with a NUL. */
static char *copy(const char *text, size_t length) {
    char *all = strndup(text, length);
    if (all == NULL)
        die("no memory for a text");
    return all;
}

/* The time of day as strftime formats it; valid until the next call. */
static const char *utc(const char *format) {
    static char text[64];
    struct tm tm;
    time_t now = time(NULL);
    strftime(text, sizeof text, format, gmtime_r(&now, &tm));
    return text;
}

/* 32 digits, valid as what f() makes. */
static const char *random_hex(void) {
    uint64_t r[2];
    if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
        die(f("getrandom: %s", strerror(errno)));
    return f("%016jx%016jx", (uintmax_t)r[0], (uintmax_t)r[1]);
}

/* Of a request, "" when it is absent; up to 1,023 bytes of it, valid as what f() makes. */
static const char *field(const struct request *r, const char *name) {
    size_t n = 0;
    const char *value = request_field(r, name, &n);
    return f("%.*s", (int)n, value == NULL ? "" : value);
}

/* RFC 3986 2.1, in place. */
static void decode_percent(char *text) {
    char *to = text;
    for (unsigned byte; *text != '\0'; text++) {
        int n = 0;
        bool encoded = sscanf(text, "%%%2x%n", &byte, &n) == 1 && n == 3;
        *to++ = encoded ? (char)byte : *text;
        text += encoded ? 2 : 0;
    }
    *to = '\0';
}

/* ---- Invocations -------------------------------------------------------------------------- */

/* From RUNNING on these are states of Lambda's machine, with its names in state_name. */
enum state { QUEUED, RUNNING, RESPONDING, RESPONDING_ERROR, RESPONSE_SENT };

static const char *const state_name[] = {"Ready", "Running", "InvocationResponse",
                                         "InvocationErrorResponse", "ResponseSent"};

struct peer;

struct invocation {
    struct invocation *next;
    enum state state;
    char id[37], nonce[37]; /* Lambda-Runtime-Aws-Request-Id, Lambda-Runtime-Invocation-Id */
    struct bytes event;
    struct bytes fields, trace_id; /* of the event's head: those known from the beginning */
    struct peer *caller; /* NULL: asynchronous, or run and trace, or the caller has gone */
    void (*reply)(struct invocation *); /* to the caller; and how much of a stream it has had: */
    enum { WHOLE, PRELUDE, STREAM, BROKEN } stream;
    bool wants_log;
    uint64_t started_us, deadline_us, deadline_ms; /* the last one since 1970, for the function */
    uint64_t init_us;                              /* 0: warm */
    struct bytes answer, log;
    bool failed; /* the answer is an error, and no end of the process changes it any more */
};

static struct invocation *invocations; /* oldest first */
static struct bytes expired;           /* the request ids that have timed out */
static int outcome = -1; /* exit status of run and trace, when the invocation is over */

/* Version 4 of RFC 9562 5.4. */
static void make_uuid(char id[37]) {
    const char *r = random_hex();
    snprintf(id, 37, "%.8s-%.4s-4%.3s-a%.3s-%.12s", r, r + 8, r + 12, r + 15, r + 18);
}

enum { SERVED, IN_LINE };

/* The oldest that is in line, or else the oldest that is being served: of those there is one at
 * most, but in a Managed Instances environment. */
static struct invocation *oldest(bool queued) {
    struct invocation *v = invocations;
    while (v != NULL && (v->state == QUEUED) != queued)
        v = v->next;
    return v;
}

static unsigned count_served(void) {
    unsigned n = 0;
    for (struct invocation *v = invocations; v != NULL; v = v->next)
        n += v->state != QUEUED;
    return n;
}

/* Lambda's own error, in place of whatever the function answered. */
static void fail(struct invocation *v, const char *type, const char *message) {
    bytes_free(&v->answer);
    bytes_format(&v->answer, "{\"errorType\":\"%s\",\"errorMessage\":%s}", type, json(message));
    v->failed = true;
}

static void keep_log(struct invocation *v, const char *line, size_t length) {
    bytes_append(&v->log, line, length);
    if (v->log.length > 16 * LOG_TAIL)
        bytes_drop_front(&v->log, v->log.length - LOG_TAIL);
}

/* A line of Lambda's in the function's log, as CloudWatch would show it. */
static void log_line(struct invocation *v, const char *text) {
    const char *line = f("%s\n", text);
    keep_log(v, line, strlen(line));
    if (settings.mode == MODE_SERVE)
        fputs(line, stderr);
}

/* ---- Connections -------------------------------------------------------------------------- */

struct route;

/* Somebody at the other end of a connection: a caller of the Invoke API or the runtime. */
struct peer {
    int fd;          /* -1: a free slot */
    bool is_runtime; /* of the two listening sockets, the one it came by */
    bool waiting;    /* for an answer, or the runtime's GET next for an event */
    bool dirty;      /* there may be a whole request in `in` */
    bool closing; /* our side, after what is in `out`; until it closes its own, input is dropped */
    bool is_head; /* what its last request was */
    void (*serve)(struct peer *, struct request *); /* what is arriving, once its head is there */
    const struct route *found; /* what its path has, NULL: none; with another method, perhaps */
    char name[NAME_SIZE];      /* and whom it is for: the request id or the function, if it fits */
    struct bytes in, out;
    size_t drawn;                 /* for trace: of the request that is arriving */
    uint64_t sent_us;             /* when the last reply went out; 0: none has */
    bool refused;                 /* what is arriving is; and what comes of it is dropped */
    bool is_last;                 /* with a refusal, since too much would come, it ends */
    struct invocation *answering; /* the invocation whose answer is arriving */
};

static int listeners[2] = {-1, -1}; /* of the Invoke API, of the Runtime API */
static struct peer peers[2 * SIDE_MAX];
static size_t peer_count;    /* slots that were ever taken */
static uint64_t received_us; /* when the bytes came that are being looked at */

static void peer_flush(struct peer *p) {
    while (p->out.length > 0) {
        ssize_t n = send(p->fd, p->out.data, p->out.length, MSG_NOSIGNAL);
        if (n < 0)
            return; /* full: poll says when; broken: reading finds out */
        bytes_drop_front(&p->out, (size_t)n);
    }
    bytes_free(&p->out);
    if (p->closing)
        shutdown(p->fd, SHUT_WR);
}

static void peer_drop(struct peer *p) {
    close(p->fd);
    bytes_free(&p->in);
    bytes_free(&p->out);
    *p = (struct peer){.fd = -1};
    for (struct invocation *v = invocations; v != NULL; v = v->next)
        v->caller = v->caller == p ? NULL : v->caller;
}

/* The process, between its exec and its end. */
static struct environment {
    pid_t pid;            /* 0: none; it leads its own process group */
    int log_fd;           /* its stdout and stderr; -1: none */
    bool polled;          /* it has asked for an event */
    bool poll_lost;       /* it gave up the poll that waits */
    bool init_failed;     /* it said so, and has to go */
    char extension[37];   /* the identifier of the one that is registered; "": none is */
    bool extension_waits; /* and it has asked for an event */
    bool is_stale;        /* configuration or executable has changed: it gets no more events */
    struct stat file;     /* the executable that it was started from */
    uint64_t exec_us, init_us, init_deadline_us;
    struct bytes init_error;
    size_t memory_kb;
} env = {.log_fd = -1};

/* ---- The conversation, as a picture ------------------------------------------------------- */

/* Collected while the clock runs and printed when it is over, so that looking does not slow
 * down what is looked at. */
static struct bytes picture;

/* For the margin of a line, if it is not that of the line before. */
static const char *trace_time(uint64_t when_us) {
    static uint64_t last_us;
    bool is_new = when_us != last_us;
    last_us = when_us;
    return is_new ? f("%9" PRIu64 " µs", when_us - env.exec_us) : "";
}

/* A line of its own, behind a blank one. */
static void trace_text(const char *time, const char *text) {
    bytes_format(&picture, "\n%12s  %s\n", time, text);
}

/* Some of the wire, and a note behind it: printable ASCII as it is, the rest as \r, \n or \xNN. */
static void trace_line(char direction, uint64_t when_us, const char *data, size_t length,
                       size_t columns, const char *note) {
    struct bytes line = {0};
    size_t shown = 0;
    for (; shown < length && line.length < columns; shown++) {
        unsigned char c = (unsigned char)data[shown];
        bytes_format(&line,
                     c == '\r'             ? "\\r"
                     : c == '\n'           ? "\\n"
                     : c >= ' ' && c < 127 ? "%c"
                                           : "\\x%02x",
                     c);
    }
    bytes_text(&line, shown < length ? " ..." : "");
    bytes_format(&picture, note[0] == '\0' ? "%12s  %c %s\n" : "%12s  %c %-62s  ← %s\n",
                 trace_time(when_us), direction, text_of(&line), note);
    bytes_free(&line);
}

/* What has come of a well-formed message behind what was drawn of it: its head, and a body when
 * that is whole, or a chunked one in the pieces that arrive. How much is drawn then. */
static size_t trace(char direction, uint64_t when_us, const struct bytes *message, size_t head,
                    size_t drawn, bool chunked, bool whole) {
    const char *end = message->data + head, *next;
    for (const char *at = message->data; drawn == 0 && at < end; at = next) {
        next = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
        trace_line(direction, when_us, at, (size_t)(next - at), SIZE_MAX,
                   at[0] != '\r'                      ? ""
                   : whole && message->length == head ? "blank line: the head ends; no body"
                                                      : "blank line: the head ends");
    }
    drawn = drawn == 0 ? head : drawn;
    if (drawn == message->length || (!chunked && !whole))
        return drawn;
    trace_line(direction, when_us, message->data + drawn, message->length - drawn, DATA_COLUMNS,
               f("%s: %zu B", chunked ? "chunks" : "body", message->length - drawn));
    return message->length;
}

/* ---- Replies ------------------------------------------------------------------------------ */

static void append_chunk(struct bytes *to, const char *data, size_t length) {
    bytes_format(to, "%zx\r\n", length);
    bytes_append(to, data, length);
    bytes_text(to, "\r\n");
}

/* `fields`: whole field lines, CRLF included. The framing is that of Lambda's servers: the Runtime
 * API's goes over to chunks when its buffer overflows. */
static void reply(struct peer *p, const char *status, const char *fields,
                  const struct bytes *body) {
    struct bytes message = {0};
    bool chunked = p->is_runtime && body->length > CHUNKED_ABOVE;
    bytes_format(&message, "HTTP/1.1 %s\r\n%s%sDate: %s\r\n%s\r\n", status,
                 p->closing ? "Connection: close\r\n" : "", fields,
                 utc("%a, %d %b %Y %H:%M:%S GMT"),
                 chunked                          ? "Transfer-Encoding: chunked\r\n"
                 : strncmp(status, "204", 3) == 0 ? ""
                                                  : f("Content-Length: %zu\r\n", body->length));
    size_t head = message.length;
    if (chunked) {
        append_chunk(&message, body->data, body->length);
        bytes_text(&message, "0\r\n\r\n");
    } else if (!p->is_head)
        bytes_append(&message, body->data, body->length);
    bytes_append(&p->out, message.data, message.length);
    p->sent_us = now_us();
    peer_flush(p);
    if (settings.mode == MODE_TRACE)
        trace('<', p->sent_us, &message, head, 0, chunked, true);
    bytes_free(&message);
}

static void reply_text(struct peer *p, const char *status, const char *fields, const char *text) {
    struct bytes body = {0};
    bytes_text(&body, text);
    reply(p, status, fields, &body);
    bytes_free(&body);
}

/* Of a call that no invocation comes of. */
static const char *request_id_field(void) {
    char id[37];
    make_uuid(id);
    return f("x-amzn-RequestId: %s\r\n", id);
}

/* The Invoke API's form of an error. */
static void reply_exception(struct peer *p, const char *status, const char *type,
                            const char *message) {
    reply_text(p, status, f(JSON "%sx-amzn-ErrorType: %s\r\n", request_id_field(), type),
               f("{\"Type\":\"User\",\"Message\":%s}", json(message)));
}

static void reply_invoked(struct invocation *v) {
    struct bytes fields = {0};
    bytes_format(&fields,
                 JSON "x-amzn-RequestId: %s\r\nX-Amz-Executed-Version: $LATEST\r\n%s"
                      "X-Amzn-Trace-Id: %s\r\n",
                 v->id, v->failed ? "X-Amz-Function-Error: Unhandled\r\n" : "",
                 text_of(&v->trace_id));
    if (v->wants_log) {
        size_t n = v->log.length < LOG_TAIL ? v->log.length : LOG_TAIL;
        bytes_text(&fields, "X-Amz-Log-Result: ");
        base64(&fields, v->log.data + v->log.length - n, n);
        bytes_text(&fields, "\r\n");
    }
    reply(v->caller, "200 OK", text_of(&fields), &v->answer);
    bytes_free(&fields);
}

/* Managed Instances send what is empty, too. */
static void event_field(struct bytes *to, const char *name, const char *value) {
    if (value[0] != '\0' || is_lmi())
        bytes_format(to, "%s: %s\r\n", name, value);
}

/* Takes over the event. The request may be an empty one. */
static struct invocation *enqueue(struct bytes *event, const struct request *r,
                                  const char *client_context) {
    struct invocation *v = calloc(1, sizeof *v), **last = &invocations;
    if (v == NULL)
        die("no memory for an invocation");
    make_uuid(v->id);
    make_uuid(v->nonce);
    v->reply = reply_invoked;
    v->event = *event;
    *event = (struct bytes){0};
    if (v->event.length == 0)
        bytes_text(&v->event, "{}"); /* what Lambda makes of no payload */
    const char *tenant = field(r, "X-Amz-Tenant-Id"), *trace_id = field(r, "X-Amzn-Trace-Id");
    bytes_text(&v->trace_id, trace_id);
    if (trace_id[0] == '\0')
        bytes_format(&v->trace_id, "Root=1-%08jx-%.24s;Parent=%.16s;Sampled=0",
                     (uintmax_t)time(NULL), random_hex(), random_hex());
    v->wants_log = request_field_is(r, "X-Amz-Log-Type", "Tail");
    event_field(&v->fields, "Content-Type",
                is_lmi() ? field(r, "Content-Type") : "application/json");
    event_field(&v->fields, "Lambda-Runtime-Aws-Request-Id", v->id);
    if (tenant[0] != '\0')
        event_field(&v->fields, "Lambda-Runtime-Aws-Tenant-Id", tenant);
    event_field(&v->fields, "Lambda-Runtime-Client-Context", client_context);
    event_field(&v->fields, "Lambda-Runtime-Cognito-Identity", "");
    while (*last != NULL)
        last = &(*last)->next;
    return *last = v;
}

/* Refuses the request of the runtime that is arriving: why, for the reader of stderr. */
static void refuse(struct peer *p, const char *status, const char *type, const char *message,
                   const char *why) {
    say("the runtime %s", why);
    p->refused = true;
    p->closing |= p->is_last;
    reply_text(p, status, JSON,
               f("{\"errorMessage\":%s,\"errorType\":\"%s\"}\n", json(message), type));
}

static void refuse_state(struct peer *p, const char *from, const char *to, const char *why) {
    refuse(p, "403 Forbidden", "InvalidStateTransition",
           f("State transition from %s to %s failed for runtime. "
             "Error: State transition is not allowed",
             from, to),
           why);
}

/* ---- The end of an invocation ------------------------------------------------------------- */

static void forget(struct invocation *v) {
    struct invocation **link = &invocations;
    while (*link != v)
        link = &(*link)->next;
    *link = v->next;
    for (size_t i = 0; i < peer_count; i++)
        peers[i].answering = peers[i].answering == v ? NULL : peers[i].answering;
    bytes_free(&v->event);
    bytes_free(&v->answer);
    bytes_free(&v->log);
    bytes_free(&v->fields);
    bytes_free(&v->trace_id);
    free(v);
}

static void read_function_log(void) {
    char data[16384];
    ssize_t n;
    while ((n = read(env.log_fd, data, sizeof data)) != 0) {
        if (n < 0)
            return;
        fwrite(data, 1, (size_t)n, stderr);
        if (count_served() == 1) /* or nobody knows whose it is */
            keep_log(oldest(SERVED), data, (size_t)n);
    }
    close(env.log_fd);
    env.log_fd = -1;
}

static void read_memory(void) {
    size_t kib = memory_kib(env.pid, "status", "VmHWM");
    env.memory_kb = kib > 0 ? kib : env.memory_kb;
}

static void report(struct invocation *v, uint64_t ended_us) {
    uint64_t us = ended_us - v->started_us;
    log_line(v, f("END RequestId: %s", v->id));
    log_line(v, f("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %" PRIu64 " ms\t"
                  "Memory Size: %u MB\tMax Memory Used: %zu MB\t%s",
                  v->id, (double)us / 1000, (us + v->init_us + 999) / 1000, settings.memory_mb,
                  (env.memory_kb + 1023) / 1024,
                  v->init_us > 0 ? f("Init Duration: %.2f ms\t", (double)v->init_us / 1000) : ""));
    if (env.memory_kb > settings.memory_mb * (size_t)1024)
        say("%s has used more than its MEMORY of %u MB: Lambda would have ended the process "
            "(Runtime.OutOfMemory, signal: killed)",
            settings.bootstrap, settings.memory_mb);
}

/* Its answer is known: the log is closed, the caller gets it, and `v` is gone. */
static void finish(struct invocation *v, uint64_t ended_us) {
    read_function_log();
    read_memory();
    if (v->state != QUEUED)
        report(v, ended_us);
    if (v->caller != NULL) {
        v->caller->waiting = false;
        v->caller->dirty = true;
        v->reply(v);
    } else if (v->failed && settings.mode == MODE_SERVE)
        say("invocation %s failed, and nobody waits for it: %s", v->id, text_of(&v->answer));
    if (settings.mode == MODE_RUN) { /* the response, exactly, but for a terminal; or the error */
        FILE *to = v->failed ? stderr : stdout;
        fwrite(v->answer.data, 1, v->answer.length, to);
        if (v->failed || isatty(STDOUT_FILENO))
            fputc('\n', to);
    }
    if (settings.mode == MODE_TRACE)
        trace_text(trace_time(ended_us),
                   env.pid == 0
                       ? f("the process has ended: %s", text_of(&v->answer))
                       : "the invocation is complete, now that the runtime asks for the next");
    if (settings.mode != MODE_SERVE)
        outcome = v->failed;
    forget(v);
}

/* ---- The execution environment ------------------------------------------------------------ */

/* The function's own. */
static void set_variables(void) {
    struct bytes name = {0}, value = {0};
    for (const char *at = json_first(settings.variables, &name); at != NULL;
         at = json_next(at, &name)) {
        value.length = 0;
        json_text(at, &value);
        setenv(text_of(&name), text_of(&value), 1);
    }
}

/* Our own environment becomes the function's: "Defined runtime environment variables" of the
 * Lambda guide, as far as they mean something here. */
static void set_environment(void) {
    setenv("AWS_LAMBDA_RUNTIME_API", f("127.0.0.1:%u", settings.runtime_port), 1);
    setenv("AWS_LAMBDA_FUNCTION_NAME", settings.function, 1);
    setenv("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST", 1);
    setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", f("%u", settings.memory_mb), 1);
    setenv("AWS_LAMBDA_LOG_GROUP_NAME", f("/aws/lambda/%s", settings.function), 1);
    setenv("AWS_LAMBDA_LOG_STREAM_NAME", f("%s/[$LATEST]%s", utc("%Y/%m/%d"), random_hex()), 1);
    setenv("AWS_LAMBDA_INITIALIZATION_TYPE", is_lmi() ? "lambda-managed-instances" : "on-demand",
           1);
    setenv("LAMBDA_RUNTIME_DIR", "/var/runtime", 1);
    setenv("TZ", ":UTC", 1);
    setenv("_HANDLER", "function.handler", 0);
    setenv("AWS_REGION", "us-east-1", 0);
    setenv("AWS_DEFAULT_REGION", getenv("AWS_REGION"), 0);
    unsetenv("AWS_LAMBDA_MAX_CONCURRENCY");
    unsetenv("_X_AMZN_TRACE_ID"); /* on OS-only runtimes the runtime's own business */
    if (is_lmi()) {
        setenv("AWS_LAMBDA_MAX_CONCURRENCY", f("%u", settings.concurrency), 1);
        setenv("AWS_LAMBDA_LOG_FORMAT", "json", 1);
    }
}

/* Through `report_fd`, which exec closes, goes when it was called, and why it failed. The executable
 * is found anew at each start, since a link may lead to another by then. */
__attribute__((noreturn)) static void become_bootstrap(int report_fd, int log_fd, pid_t parent) {
    char *path = realpath(settings.bootstrap, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    close(STDIN_FILENO);
    set_variables();
    if (path != NULL)
        setenv("LAMBDA_TASK_ROOT", dirname(copy(path, strlen(path))), 1);
    bool ready = path != NULL && setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
                 getppid() == parent && open("/dev/null", O_RDONLY) == STDIN_FILENO &&
                 dup2(log_fd, STDOUT_FILENO) >= 0 && dup2(log_fd, STDERR_FILENO) >= 0 &&
                 chdir(getenv("LAMBDA_TASK_ROOT")) == 0;
    uint64_t exec_us = now_us();
    if (write(report_fd, &exec_us, sizeof exec_us) > 0 && ready)
        execl(path, path, NULL);
    dprintf(report_fd, "%s%s", strerror(errno),
            errno == ENOEXEC  ? ": it is for another machine, or a script without a #! line"
            : errno == ENOENT ? ": that is the dynamic loader of its libc, or the interpreter of "
                                "its #! line (which must not end with CR LF)"
                              : "; Lambda wants a file of mode 755");
    _exit(127);
}

/* There is another file than the one that was started, and it can be executed: while a compiler is
 * at work, it is missing or cannot. */
static bool is_built_anew(void) {
    struct stat now;
    return env.pid != 0 && stat(settings.bootstrap, &now) == 0 &&
           access(settings.bootstrap, X_OK) == 0 &&
           (now.st_ino != env.file.st_ino ||
            memcmp(&now.st_ctim, &env.file.st_ctim, sizeof now.st_ctim) != 0);
}

static bool start_environment(void) {
    int log_pipe[2], report_pipe[2];
    char wrong[256];
    pid_t self = getpid();
    struct environment fresh = {0};
    stat(settings.bootstrap, &fresh.file);
    if (pipe2(log_pipe, O_CLOEXEC) != 0 || pipe2(report_pipe, O_CLOEXEC) != 0)
        die(f("pipe: %s", strerror(errno)));
    fresh.pid = fork();
    if (fresh.pid < 0)
        die(f("fork: %s", strerror(errno)));
    if (fresh.pid == 0)
        become_bootstrap(report_pipe[1], log_pipe[1], self);
    close(log_pipe[1]);
    close(report_pipe[1]);
    ssize_t n = read(report_pipe[0], &fresh.exec_us, sizeof fresh.exec_us);
    n = read(report_pipe[0], wrong, sizeof wrong);
    close(report_pipe[0]);
    if (n > 0) {
        say("%s cannot be executed: %.*s", settings.bootstrap, (int)n, wrong);
        waitpid(fresh.pid, NULL, 0);
        close(log_pipe[0]);
        return false;
    }
    fcntl(log_pipe[0], F_SETFL, O_NONBLOCK);
    fresh.log_fd = log_pipe[0];
    fresh.init_deadline_us = now_us() + INIT_SECONDS * UINT64_C(1000000);
    env = fresh;
    if (settings.mode == MODE_TRACE) {
        bytes_text(&picture,
                   "   time since exec; > from the runtime, < from Lambda; \\r\\n is CR LF\n");
        trace_text(trace_time(env.exec_us), f("exec %s, AWS_LAMBDA_RUNTIME_API=127.0.0.1:%u",
                                              settings.bootstrap, settings.runtime_port));
    }
    return true;
}

static const char *describe_exit(int status) {
    const char *name = WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : NULL;
    return name != NULL /* Lambda has it in small letters */
               ? f("Runtime exited with error: signal: %c%s", name[0] | 0x20, name + 1)
               : WEXITSTATUS(status) == 0
                     ? "Runtime exited without providing a reason"
                     : f("Runtime exited with error: exit status %d", WEXITSTATUS(status));
}

/* What an invocation gets when the process under it is gone. */
static void conclude(struct invocation *v, const char *type, const char *reason) {
    if (env.init_failed) {
        bytes_free(&v->answer);
        v->answer = env.init_error;
        env.init_error = (struct bytes){0};
        v->failed = true;
    } else if (!v->failed) {
        fail(v, type, f("RequestId: %s Error: %s", v->id, reason));
        log_line(v, f("RequestId: %s Error: %s\n%s", v->id, reason, type));
    }
    finish(v, now_us());
}

static bool has_ended(void) {
    siginfo_t about = {0};
    return env.pid != 0 && waitid(P_PID, (id_t)env.pid, &about, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           about.si_pid == env.pid;
}

/* Lambda lets only those end by themselves who have an extension. The group first, while the process
 * id is still taken. */
static int kill_process(void) {
    int status = 0;
    read_memory();
    uint64_t end_us = env.extension[0] == '\0' ? 0 : now_us() + TERM_MS * 1000;
    if (end_us > 0)
        kill(-env.pid, SIGTERM);
    while (!has_ended() && now_us() < end_us) {
        poll(&(struct pollfd){.fd = env.log_fd, .events = POLLIN}, 1, 10);
        read_function_log();
    }
    kill(-env.pid, SIGKILL);
    waitpid(env.pid, &status, 0);
    env.pid = 0;
    read_function_log();
    return status;
}

/* Ends the process, if it has not ended by itself, and what is left of the environment goes with
 * it. A failed initialization costs the invocation that wanted it. `type` NULL: nothing failed. */
static void end_environment(const char *type, const char *reason) {
    struct invocation *v, *waiting = env.polled || type == NULL ? NULL : oldest(IN_LINE);
    if (env.pid != 0)
        kill_process();
    for (size_t i = 0; i < peer_count; i++)
        if (peers[i].fd >= 0 && peers[i].is_runtime)
            peer_drop(&peers[i]);
    for (int fd; (fd = accept(listeners[1], NULL, NULL)) >= 0; close(fd))
        continue; /* or the event of the next one went to a poll of this one */
    while ((v = oldest(SERVED)) != NULL)
        conclude(v, type, reason);
    if (waiting != NULL)
        conclude(waiting, type, reason);
    else if (env.init_failed)
        say("%s reported an initialization error: %s", settings.bootstrap,
            text_of(&env.init_error));
    close(env.log_fd); /* which a child of the process may still have */
    env.log_fd = -1;
    bytes_free(&env.init_error);
}

static void ended_by_itself(void) {
    char reason[128];
    snprintf(reason, sizeof reason, "%s", describe_exit(kill_process()));
    if (!env.init_failed && (!env.polled || oldest(SERVED) == NULL))
        say("%s ended %s: %s", settings.bootstrap,
            env.polled ? "while it waited for an event"
                       : "before it asked for its first event (GET " API
                         "/runtime/invocation/next)",
            reason);
    end_environment("Runtime.ExitError", reason);
}

/* ---- The Runtime API ---------------------------------------------------------------------- */

static void send_event(struct peer *p, struct invocation *v) {
    struct bytes fields = {0};
    bytes_format(&fields,
                 "%sLambda-Runtime-Deadline-Ms: %" PRIu64 "\r\n"
                 "Lambda-Runtime-Invocation-Id: %s\r\n"
                 "Lambda-Runtime-Invoked-Function-Arn: "
                 "arn:aws:lambda:%s:123456789012:function:%s\r\n"
                 "Lambda-Runtime-Trace-Id: %s\r\n",
                 text_of(&v->fields), v->deadline_ms, v->nonce, getenv("AWS_REGION"),
                 settings.function, text_of(&v->trace_id));
    reply(p, "200 OK", text_of(&fields), &v->event);
    bytes_free(&fields);
}

/* The event goes to the waiting poll; NULL when that poll was given up, as Lambda's would. */
static void deliver(struct invocation *v, struct peer *p) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    v->state = RUNNING;
    v->started_us = now_us();
    v->deadline_us = v->started_us + settings.timeout_s * UINT64_C(1000000);
    v->deadline_ms =
        ((uint64_t)now.tv_sec + settings.timeout_s) * 1000 + (uint64_t)now.tv_nsec / 1000000;
    v->init_us = env.init_us;
    if (v->init_us > 0 && env.extension[0] != '\0' && !env.extension_waits)
        say("the extension has not asked for an event (GET " EXTENSION
            "/event/next): Lambda's initialization waits for that");
    env.init_us = 0;
    log_line(v, f("START RequestId: %s Version: $LATEST", v->id));
    if (p == NULL) {
        say("the runtime gave up its waiting poll: the event went to a closed connection and is "
            "lost, which in Lambda ends in a time-out; GET next must wait without one");
        return;
    }
    p->waiting = false;
    p->dirty = true;
    send_event(p, v);
}

static struct peer *find_poll(void) {
    for (size_t i = 0; i < peer_count; i++)
        if (peers[i].is_runtime && peers[i].waiting)
            return &peers[i];
    return NULL;
}

/* Starts an environment when somebody waits for one, and hands out events. */
static void dispatch(void) {
    struct invocation *v;
    if (oldest(IN_LINE) != NULL && !env.is_stale && is_built_anew()) {
        say("%s has been built anew: the next invocation starts it", settings.bootstrap);
        env.is_stale = true;
    }
    if (env.is_stale && env.pid != 0 && oldest(SERVED) == NULL)
        end_environment(NULL, NULL);
    while ((v = oldest(IN_LINE)) != NULL) {
        struct peer *p = find_poll();
        if (env.pid == 0 && !start_environment()) {
            fail(v, "Runtime.InvalidEntrypoint",
                 f("RequestId: %s Error: %s cannot be executed", v->id, settings.bootstrap));
            finish(v, now_us());
        } else if (!env.is_stale && (p != NULL || env.poll_lost) &&
                   count_served() < (is_lmi() ? settings.concurrency : 1))
            deliver(v, p);
        else
            return;
    }
}

/* GET /runtime/invocation/next. */
static void next_invocation(struct peer *p, struct request *r) {
    struct invocation *v = is_lmi() ? NULL : oldest(SERVED);
    (void)r;
    if (env.init_failed) {
        refuse_state(p, "InitError", "Ready", "asks for an event after init/error: it must exit");
    } else if (!is_lmi() && v == NULL && env.polled && (env.poll_lost || find_poll() != NULL)) {
        refuse_state(p, "Ready", "Ready",
                     "polls although a poll of its own waits or was given up: there must be one "
                     "GET next at a time, without a time-out");
    } else if (v != NULL && v->state == RUNNING) {
        say("the runtime asks for an event before it answered %s: it gets the same again", v->id);
        send_event(p, v);
    } else if (v != NULL && v->state != RESPONSE_SENT) {
        refuse_state(p, state_name[v->state], "Ready",
                     "asks for an event in the middle of its response: after one that broke off or "
                     "was refused it can only exit");
    } else {
        env.init_us = env.polled ? env.init_us : received_us - env.exec_us;
        env.polled = p->waiting = true;
        if (env.memory_kb == 0)
            read_memory(); /* for a process that ends before its first answer */
        if (v != NULL)
            finish(v, received_us);
    }
}

/* The head of a response or error: everything that Lambda checks before it reads the body. */
static void begin_answer(struct peer *p, const struct request *r, enum state to) {
    const char *given = p->name;
    struct invocation *v = invocations;
    while (v != NULL && (v->state == QUEUED || strcmp(given, v->id) != 0))
        v = v->next;
    const char *nonce = field(r, "Lambda-Runtime-Invocation-Id");
    const char *mode = field(r, "Lambda-Runtime-Function-Response-Mode");
    bool stale = nonce[0] != '\0' && v != NULL && strcmp(nonce, v->nonce) != 0;
    if (stale ||
        (v == NULL && strlen(given) == ID_LENGTH && strstr(text_of(&expired), given) != NULL)) {
        refuse(p, "410 Gone", "InvokeTimeout", "Invoke timeout",
               "answers what has timed out: Lambda-Runtime-Invocation-Id must be the one that came "
               "with the event");
    } else if (v == NULL || (is_lmi() && v->state != RUNNING)) {
        refuse(p, "400 Bad Request", "InvalidRequestID", "Invalid request ID",
               f("answers the request id %s, which %s", given,
                 v == NULL ? "is not being served" : "has an answer already"));
    } else if (v->state != RUNNING) {
        refuse_state(p, state_name[v->state], state_name[to],
                     "answers a second time: there is one response or error, and then GET next");
    } else if (mode[0] != '\0' && strcmp(mode, "streaming") != 0) {
        refuse(p, "400 Bad Request", "InvalidFunctionResponseMode",
               "Invalid function response mode",
               "sends a Lambda-Runtime-Function-Response-Mode that is not 'streaming', its only "
               "value");
        fail(v, "Runtime.InvalidResponseModeHeader",
             f("RequestId: %s Error: Invalid response mode header", v->id));
        v->state = to;
    } else {
        v->state = to;
        p->answering = v;
        if (mode[0] == '\0' || to != RESPONDING || v->reply == reply_invoked)
            return;
        v->stream = PRELUDE;
        const char *type = field(r, "Content-Type");
        if (strcmp(type, "application/vnd.awslambda.http-integration-response") != 0) {
            bytes_format(&v->answer, "{\"headers\":{\"Content-Type\":%s}}", json(type));
            bytes_append(&v->answer, PRELUDE_END, sizeof PRELUDE_END - 1);
        }
    }
}

static void accepted(struct peer *p) {
    reply_text(p, "202 Accepted", JSON, "{\"status\":\"OK\"}\n");
}

/* POST /runtime/invocation/{id}/response and /error, whose heads begin_answer has let pass. A stream
 * that ends with an error says so in its trailer section, and the response counts. */
static void end_answer(struct peer *p, struct request *r) {
    struct invocation *v = p->answering;
    if (v == NULL) { /* it timed out while the body came */
        refuse(p, "410 Gone", "InvokeTimeout", "Invoke timeout", "answers what has timed out");
        return;
    }
    struct request trailers = {.fields = r->trailers, .fields_length = r->trailers_length};
    const char *type = field(&trailers, "Lambda-Runtime-Function-Error-Type");
    size_t limit = is_lmi() && v->state == RESPONDING_ERROR ? LMI_ERROR_MAX : RESPONSE_MAX;
    if (type[0] != '\0')
        log_line(v, f("RequestId: %s Error: the stream ended with %s", v->id, type));
    v->failed = v->state == RESPONDING_ERROR || (type[0] != '\0' && v->stream != WHOLE);
    if (r->body.length > limit) {
        fail(v, "Function.ResponseSizeTooLarge",
             f("Response payload size (%zu bytes) exceeded maximum allowed payload size (%zu "
               "bytes).",
               r->body.length, limit));
        p->closing |= is_lmi();
        refuse(p, "413 Request Entity Too Large", "RequestEntityTooLarge",
               f("Exceeded maximum allowed payload size (%zu bytes).", limit),
               f("answers with %zu bytes", r->body.length));
    } else {
        bytes_append(&v->answer, r->body.data, r->body.length);
        accepted(p);
    }
    p->answering = NULL;
    v->state = RESPONSE_SENT;
    if (is_lmi())
        finish(v, received_us);
}

/* POST /runtime/init/error. */
static void initialization_error(struct peer *p, struct request *r) {
    if (env.polled || env.init_failed) {
        refuse_state(p, env.polled ? "Ready" : "InitError", "InitError",
                     "reports an initialization error: it may do so once, before GET next");
        return;
    }
    env.init_failed = true;
    env.init_error = r->body;
    r->body = (struct bytes){0};
    env.init_deadline_us = now_us() + EXIT_MS * 1000;
    accepted(p);
}

/* ---- The Extensions API ------------------------------------------------------------------- */

static void refuse_extension(struct peer *p, const char *type, const char *message) {
    refuse(p, "403 Forbidden", f("Extension.%s", type), message,
           f("calls the Extensions API: %s", message));
}

/* POST /extension/register. */
static void register_extension(struct peer *p, struct request *r) {
    size_t length = 0;
    request_field(r, "Lambda-Extension-Name", &length);
    if (length == 0)
        refuse_extension(p, "InvalidExtensionName", "Lambda-Extension-Name is missing");
    else if (strstr(text_of(&r->body), "\"SHUTDOWN\"") != NULL)
        refuse_extension(p, "InvalidEventType", "SHUTDOWN is for processes of their own only");
    else if (env.polled)
        refuse_extension(p, "RegistrationClosed", "it must come before the runtime's GET next");
    else if (env.extension[0] != '\0')
        refuse_extension(p, "InvalidExtensionState", "an extension is registered already");
    else {
        make_uuid(env.extension);
        reply_text(
            p, "200 OK", f(JSON "Lambda-Extension-Identifier: %s\r\n", env.extension),
            f("{\"functionName\":%s,\"functionVersion\":\"$LATEST\"}", json(settings.function)));
    }
}

/* GET /extension/event/next. There is never an event, nor a reply. */
static void next_event(struct peer *p, struct request *r) {
    env.extension_waits = request_field_is(r, "Lambda-Extension-Identifier", env.extension);
    if (!env.extension_waits)
        refuse_extension(p, "UnknownExtensionIdentifier",
                         "Lambda-Extension-Identifier must be the one that came with register");
}

/* ---- The Invoke API ----------------------------------------------------------------------- */

/* Base64, since it may hold anything; what would not fit into a field line becomes a space. */
static bool decode_client_context(struct bytes *to, const char *text, size_t length) {
    bool valid = length <= CLIENT_CONTEXT_MAX && base64_decode(to, text, length);
    for (size_t i = 0; i < to->length; i++)
        if ((unsigned char)to->data[i] < ' ' || to->data[i] == 127)
            to->data[i] = ' ';
    return valid;
}

/* NULL: it is JSON, or nothing at all, of which Lambda makes {}. */
static const char *wrong_in_event(const struct bytes *event) {
    size_t wrong, line = 1, column = 1;
    if (event->length == 0 || json_is_valid(event->data, event->length, &wrong))
        return NULL;
    for (size_t i = 0; i < wrong; i++) {
        line += event->data[i] == '\n';
        column = event->data[i] == '\n' ? 1 : column + 1;
    }
    return f("Unexpected %s at [line: %zu, column: %zu]",
             wrong == event->length ? "end-of-input" : "token", line, column);
}

/* POST /2015-03-31/functions/{name}/invocations. */
static void invoke(struct peer *p, struct request *r) {
    struct bytes context = {0};
    const char *type = field(r, "X-Amz-Invocation-Type");
    bool event = strcmp(type, "Event") == 0, dry_run = strcmp(type, "DryRun") == 0;
    int limit = event ? ASYNC_EVENT_MAX : EVENT_MAX;
    size_t n;
    const char *client = request_field(r, "X-Amz-Client-Context", &n);
    const char *wrong = r->body.length > (size_t)limit ? NULL : wrong_in_event(&r->body);
    if (type[0] != '\0' && !event && !dry_run && strcmp(type, "RequestResponse") != 0)
        reply_exception(p, "400 Bad Request", "InvalidParameterValueException",
                        "X-Amz-Invocation-Type is RequestResponse, Event or DryRun");
    else if (r->body.length > (size_t)limit)
        reply_exception(
            p, "413 Request Entity Too Large", "RequestTooLargeException",
            f("Request must be smaller than %d bytes for the InvokeFunction operation", limit));
    else if (client != NULL && !decode_client_context(&context, client, n))
        reply_exception(p, "400 Bad Request", "InvalidRequestContentException",
                        "Client context must be a valid Base64-encoded JSON object.");
    else if (wrong != NULL)
        reply_exception(p, "400 Bad Request", "InvalidRequestContentException",
                        f("Could not parse request body into json: "
                          "Could not parse payload into json: %s",
                          wrong));
    else if (dry_run)
        reply_text(p, "204 No Content", request_id_field(), "");
    else {
        struct invocation *v = enqueue(&r->body, r, text_of(&context));
        v->caller = event ? NULL : p;
        p->waiting = !event;
        if (event)
            reply_text(p, "202 Accepted", f("x-amzn-RequestId: %s\r\n", v->id), "");
    }
    bytes_free(&context);
}

/* GET and PUT /2015-03-31/functions/{name}/configuration, of which there is one member: with
 * changed variables, the next invocation is a cold one. And GET /2015-03-31/functions/{name}, which
 * `aws lambda wait` asks for the state within Configuration. */
static void configuration(struct peer *p, struct request *r) {
    static const char state[] = "\"State\":\"Active\",\"LastUpdateStatus\":\"Successful\"";
    struct bytes body = {0};
    const char *text = text_of(&r->body), *variables = NULL;
    size_t wrong;
    if (r->method[0] == 'P' && json_is_valid(text, r->body.length, &wrong))
        variables = json_member(json_member(text, "Environment"), "Variables");
    if (r->method[0] == 'P' && (variables == NULL || *variables != '{')) {
        reply_exception(p, "400 Bad Request", "InvalidParameterValueException",
                        "expected {\"Environment\":{\"Variables\":{\"NAME\":\"value\"}}}");
        return;
    }
    if (variables != NULL) {
        free(settings.variables);
        settings.variables = copy(variables, (size_t)(json_skip(variables) - variables));
        env.is_stale = true;
    }
    bytes_format(
        &body, "{\"FunctionName\":%s,%s,\"Environment\":{\"Variables\":%s},\"Configuration\":{%s}}",
        json(settings.function), state, settings.variables == NULL ? "{}" : settings.variables,
        state);
    reply(p, "200 OK", f(JSON "%s", request_id_field()), &body);
    bytes_free(&body);
}

/* ---- The function URL ---------------------------------------------------------------------- */

/* A member of payload format 2.0, of a query or of field lines, which are taken apart. What comes
 * more than once becomes one, with commas. Cookies have a member of their own. */
static void append_pairs(struct bytes *to, char *text, bool is_query) {
    const char *names[PAIRS_MAX];
    struct bytes values[PAIRS_MAX] = {0};
    size_t count = 0, i;
    for (char *name; (name = strsep(&text, is_query ? "&" : "\r\n")) != NULL;) {
        char *value = name + strcspn(name, is_query ? "=" : ":");
        if (*value != '\0')
            *value++ = '\0';
        if (is_query) {
            decode_percent(name);
            decode_percent(value);
        } else {
            for (char *c = name; *c != '\0'; c++)
                *c = (char)tolower((unsigned char)*c);
            value += strspn(value, " \t");
            for (i = strlen(value); i > 0 && strchr(" \t", value[i - 1]) != NULL; i--)
                value[i - 1] = '\0';
        }
        for (i = 0; i < count && strcmp(names[i], name) != 0; i++)
            continue;
        if (name[0] == '\0' || i == PAIRS_MAX || (!is_query && strcmp(name, "cookie") == 0))
            continue;
        names[i] = name;
        bytes_format(&values[i], i < count ? ",%s" : "%s", value);
        count += i == count;
    }
    for (i = 0; i < count; i++) {
        bytes_format(to, i == 0 ? ",\"%s\":{" : ",",
                     is_query ? "queryStringParameters" : "headers");
        bytes_format(to, "%s:%s", json(names[i]), json(text_of(&values[i])));
        bytes_free(&values[i]);
    }
    bytes_text(to, count > 0 ? "}" : "");
}

/* In base64 unless it is text for certain. */
static void append_body(struct bytes *to, const struct bytes *body, const char *type) {
    static const char *const texts[] = {"text/", "/javascript", "/json", "+json", "/xml", "+xml"};
    bool is_text = body->length == 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        is_text |= strcasestr(type, texts[i]) != NULL;
    bytes_format(to, ",\"isBase64Encoded\":%s", is_text ? "false" : "true");
    struct bytes coded = {0};
    if (!is_text)
        base64(&coded, body->data, body->length);
    if (body->length > 0) {
        bytes_text(to, ",\"body\":");
        json_string(to, is_text ? body->data : coded.data, is_text ? body->length : coded.length);
    }
    bytes_text(to, "}");
    bytes_free(&coded);
}

static void append_url_event(struct bytes *to, const struct request *r) {
    size_t n = 0;
    const char *cookie = request_field(r, "Cookie", &n), *before;
    char id[37], *headers = copy(r->fields, r->fields_length), *one;
    char *cookies = copy(cookie == NULL ? "" : cookie, n), *rest = cookies;
    char *path = copy(r->target, r->target_length), *query = path + strcspn(path, "?");
    if (*query == '?')
        *query++ = '\0';
    make_uuid(id);
    bytes_format(
        to, "{\"version\":\"2.0\",\"routeKey\":\"$default\",\"rawPath\":%s,\"rawQueryString\":%s",
        json(path), json(query));
    append_pairs(to, headers, false);
    append_pairs(to, query, true);
    for (before = ",\"cookies\":["; (one = strsep(&rest, "; ")) != NULL;)
        if (*one != '\0') {
            bytes_format(to, "%s%s", before, json(one));
            before = ",";
        }
    bytes_text(to, before[1] == '\0' ? "]" : "");
    bytes_format(to,
                 ",\"requestContext\":{\"accountId\":\"anonymous\",\"apiId\":\"local\","
                 "\"domainPrefix\":\"local\",\"requestId\":\"%s\",\"routeKey\":\"$default\","
                 "\"stage\":\"$default\",\"time\":\"%s\",\"timeEpoch\":%jd,\"domainName\":%s,"
                 "\"http\":{\"method\":\"%.*s\",\"path\":%s,\"protocol\":\"HTTP/1.1\","
                 "\"sourceIp\":\"127.0.0.1\",\"userAgent\":%s}}",
                 id, utc("%d/%b/%Y:%H:%M:%S +0000"), (intmax_t)time(NULL) * 1000,
                 json(field(r, "Host")), (int)r->method_length, r->method, json(path),
                 json(field(r, "User-Agent")));
    append_body(to, &r->body, field(r, "Content-Type"));
    free(headers);
    free(cookies);
    free(path);
}

/* A field line; the framing is left to us. False for what no field line can hold. */
static bool append_field(struct bytes *to, const char *name, const char *json_value) {
    struct bytes value = {0};
    bool right = json_text(json_value, &value) && name[0] != '\0' &&
                 name[strcspn(name, "\r\n: |")] == '\0' &&
                 strcspn(text_of(&value), "\r\n") == value.length;
    if (right &&
        strcasestr("|connection|content-length|date|transfer-encoding|", f("|%s|", name)) == NULL)
        bytes_format(to, "%s: %s\r\n", name, value.data);
    bytes_free(&value);
    return right;
}

static bool append_fields(struct bytes *to, const char *object) {
    const char *headers = json_member(object, "headers"), *cookies = json_member(object, "cookies");
    bool right = (headers == NULL || *headers == '{') && (cookies == NULL || *cookies == '[');
    struct bytes name = {0};
    for (const char *it = json_first(headers, &name); it != NULL; it = json_next(it, &name))
        right &= append_field(to, text_of(&name), it);
    for (const char *it = json_first(cookies, NULL); it != NULL; it = json_next(it, NULL))
        right &= append_field(to, "Set-Cookie", it);
    bytes_free(&name);
    return right;
}

/* The text as a response or, of a stream, as the head of one. False when it is none. */
static bool reply_http(struct invocation *v, struct bytes *text) {
    static const char *const names[] = {"statusCode", "isBase64Encoded", "body"};
    enum { STATUS, CODING, BODY, DECODED, FIELDS, PARTS };
    struct bytes part[PARTS] = {0}, *status = &part[STATUS], *fields = &part[FIELDS], *body = text;
    size_t wrong;
    const char *all = text_of(text), *value;
    bool right = json_is_valid(all, text->length, &wrong), whole = v->stream == WHOLE;
    bool has_parts = right && all[strspn(all, " \t\r\n")] == '{' && append_fields(fields, all);
    for (size_t i = STATUS; i <= BODY && right; i++)
        if ((value = json_member(all, names[i])) != NULL)
            has_parts &= json_text(value, &part[i]);
    if (whole && status->length == 0) /* any JSON is a body */
        bytes_free(fields);
    else {
        bool is_base64 = strcmp(text_of(&part[CODING]), "true") == 0;
        body = &part[is_base64 ? DECODED : BODY];
        right =
            has_parts && (!is_base64 || base64_decode(body, part[BODY].data, part[BODY].length));
    }
    bytes_text(status, status->length == 0 ? "200 " : " ");
    right &= status->length == 4 && strchr("2345", status->data[0]) != NULL;
    if (strcasestr(text_of(fields), "content-type:") == NULL)
        bytes_text(fields, JSON);
    bytes_format(fields, "x-amzn-RequestId: %s\r\n", v->id);
    if (right && whole)
        reply(v->caller, text_of(status), text_of(fields), body);
    else if (right)
        bytes_format(&v->caller->out, "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n",
                     text_of(status), text_of(fields));
    for (size_t i = 0; i < PARTS; i++)
        bytes_free(&part[i]);
    return right;
}

/* The caller gets what has come of a stream: its head once the prelude is whole, all behind it. */
static void pass_on(struct invocation *v) {
    struct bytes *all = &v->answer;
    const char *end = memmem(text_of(all), all->length, PRELUDE_END, sizeof PRELUDE_END - 1);
    if (v->caller != NULL && v->stream == PRELUDE && end != NULL) {
        struct bytes prelude = {all->data, (size_t)(end - all->data), all->capacity};
        v->stream = reply_http(v, &prelude) ? STREAM : BROKEN;
        bytes_drop_front(all, prelude.length + sizeof PRELUDE_END - 1);
    }
    if (v->caller == NULL || v->stream != STREAM || all->length == 0)
        return;
    if (!v->caller->is_head)
        append_chunk(&v->caller->out, all->data, all->length);
    all->length = 0;
    peer_flush(v->caller);
}

/* Of a chunked request that is arriving, what is whole; only its head is kept. */
static void take_chunks(struct peer *p, size_t head) {
    const char *at = text_of(&p->in) + head, *end = p->in.data + p->in.length, *line;
    while ((line = memmem(at, (size_t)(end - at), "\r\n", 2)) != NULL) {
        size_t size = strtoul(at, NULL, 16);
        if (size == 0 || (size_t)(end - line) < size + 4)
            break;
        bytes_append(&p->answering->answer, line + 2, size);
        at = line + 2 + size + 2;
    }
    memmove(p->in.data + head, at, (size_t)(end - at));
    p->in.length = head + (size_t)(end - at);
    pass_on(p->answering);
}

/* A stream that breaks off has no last chunk. */
static void reply_url(struct invocation *v) {
    struct peer *p = v->caller;
    if (!v->failed)
        pass_on(v);
    if (v->stream == STREAM) {
        bytes_text(&p->out, v->failed || p->is_head ? "" : "0\r\n\r\n");
        p->closing |= v->failed;
        peer_flush(p);
    } else if (v->failed || v->stream != WHOLE || !reply_http(v, &v->answer)) {
        say("the function URL answers 502: %s", text_of(&v->answer));
        reply_text(p, "502 Bad Gateway", JSON, "Internal Server Error");
    }
}

/* Any method and path that no other route has. */
static void call_url(struct peer *p, struct request *r) {
    struct bytes event = {0};
    append_url_event(&event, r);
    if (r->http_1_0)
        reply_text(p, "505 HTTP Version Not Supported", JSON, "null");
    else if (event.length > EVENT_MAX)
        reply_text(p, "413 Content Too Large", JSON, "null");
    else {
        struct invocation *v = enqueue(&event, r, "");
        v->reply = reply_url;
        v->caller = p;
        p->waiting = true;
    }
    bytes_free(&event);
}

/* ---- Requests as they arrive -------------------------------------------------------------- */

static const struct route {
    bool is_runtime;           /* whose it is */
    const char *method, *path; /* a * is one segment: the request id, the function's name */
    const char *title;         /* the heading of the Runtime API page */
    void (*serve)(struct peer *, struct request *);
} routes[] = {
    {true, "GET", API "/runtime/invocation/next", "Next invocation", next_invocation},
    {true, "POST", API "/runtime/invocation/*/response", "Invocation response", end_answer},
    {true, "POST", API "/runtime/invocation/*/error", "Invocation error", end_answer},
    {true, "POST", API "/runtime/init/error", "Initialization error", initialization_error},
    {true, "POST", EXTENSION "/register", "Register, of the Extensions API", register_extension},
    {true, "GET", EXTENSION "/event/next", "Next, of the Extensions API", next_event},
    {false, "POST", FUNCTIONS "*/invocations", "", invoke},
    {false, "GET", FUNCTIONS "*", "", configuration},
    {false, "GET", FUNCTIONS "*/configuration", "", configuration},
    {false, "PUT", FUNCTIONS "*/configuration", "", configuration}};

static bool is_method(const struct route *route, const struct request *r) {
    return strlen(route->method) == r->method_length &&
           memcmp(route->method, r->method, r->method_length) == 0;
}

/* NAME or NAME:QUALIFIER of what stands for it in a path, perhaps an ARN, and in the query. */
static void read_function(char name[NAME_SIZE], const char *query) {
    const char *qualifier = strstr(query, "Qualifier="), *arn;
    size_t n = strlen(name);
    if (qualifier != NULL)
        snprintf(name + n, NAME_SIZE - n, ":%.*s", (int)strcspn(qualifier, "&") - 10,
                 qualifier + strlen("Qualifier="));
    decode_percent(name);
    arn = strstr(name, ":function:");
    if (arn != NULL)
        memmove(name, arn + strlen(":function:"), strlen(arn + strlen(":function:")) + 1);
}

/* With that method, rather than with another. */
static void find_route(struct peer *p, const struct request *r) {
    char *path = copy(r->target, r->target_length), *query = path + strcspn(path, "?");
    if (*query == '?')
        *query++ = '\0';
    p->found = NULL;
    for (const struct route *it = routes; it < routes + sizeof routes / sizeof *routes; it++) {
        if (it->is_runtime != p->is_runtime || fnmatch(it->path, path, FNM_PATHNAME) != 0 ||
            (p->found != NULL && !is_method(it, r)))
            continue;
        snprintf(p->name, NAME_SIZE, "%.*s", (int)(strlen(path) + 1 - strlen(it->path)),
                 path + strcspn(it->path, "*"));
        p->found = it;
    }
    if (p->found != NULL && !p->is_runtime)
        read_function(p->name, query);
    free(path);
}

static bool is_for_us(const char *name) {
    size_t n = strlen(settings.function);
    return text_setting("FUNCTION", NULL) == NULL ||
           (strncmp(name, settings.function, n) == 0 &&
            (name[n] == '\0' || strcmp(name + n, ":$LATEST") == 0));
}

static void refuse_route(struct peer *p, struct request *r) {
    if (p->is_runtime)
        say("the runtime calls %.*s %.*s, which the API does not have", (int)r->method_length,
            r->method, (int)(r->target_length < 200 ? r->target_length : 200), r->target);
    if (p->is_runtime && p->found == NULL)
        reply_text(p, "404 Not Found", TEXT, "404 page not found\n");
    else if (p->is_runtime)
        reply_text(p, "405 Method Not Allowed", f("Allow: %s\r\n", p->found->method), "");
    else if (p->found == NULL)
        reply_exception(p, "404 Not Found", "ResourceNotFoundException",
                        "This local Lambda has " FUNCTIONS
                        "{name}, and of that /invocations and /configuration");
    else if (!is_method(p->found, r))
        reply_exception(p, "405 Method Not Allowed", "MethodNotAllowedException",
                        f("expected %s", p->found->method));
    else {
        say("a caller asks for the function %s, and FUNCTION is %s", p->name, settings.function);
        reply_exception(p, "404 Not Found", "ResourceNotFoundException",
                        f("Function not found: arn:aws:lambda:%s:123456789012:function:%s",
                          getenv("AWS_REGION"), p->name));
    }
}

static void refuse_malformed(struct peer *p, const struct request *r) {
    bool too_long = r->head_length == 0 && p->in.length > 1 << 20;
    const char *status = too_long ? "431 Request Header Fields Too Large" : "400 Bad Request";
    say("%s sent a malformed request: %s", p->is_runtime ? "the runtime" : "a caller", r->wrong);
    p->closing = true;
    reply_text(p, status, TEXT, f("%s: %s\n", status, r->wrong));
}

static void trace_request(struct peer *p, const struct request *r, bool whole) {
    const struct bytes come = {p->in.data, whole ? r->length : p->in.length, 0};
    if (p->drawn == 0)
        trace_text("", f("%s, on %s connection",
                         p->serve == refuse_route ? "(no call of the API)" : p->found->title,
                         p->sent_us == 0 ? "a new" : "the same"));
    p->drawn = trace('>', received_us, &come, r->head_length, p->drawn, r->chunked, whole);
}

/* What can be decided, or has to be said, before the body is there. */
static void begin_request(struct peer *p, const struct request *r, bool whole) {
    find_route(p, r);
    bool is_there =
        p->found != NULL && is_method(p->found, r) && (p->is_runtime || is_for_us(p->name));
    bool is_url =
        p->found == NULL && !p->is_runtime && strncmp(r->target, FUNCTIONS, strlen(FUNCTIONS)) != 0;
    p->serve = is_there ? p->found->serve : is_url ? call_url : refuse_route;
    p->is_last = !r->keep_alive || r->head_length + r->content_length > p->in.length + UNREAD_MAX ||
                 (r->expects_continue && !whole);
    if (settings.mode == MODE_TRACE)
        trace_request(p, r, whole);
    if (p->serve == end_answer)
        begin_answer(p, r,
                     strstr(p->found->path, "/error") == NULL ? RESPONDING : RESPONDING_ERROR);
    if (p->serve == next_invocation && (r->content_length > 0 || r->chunked))
        say("the runtime sends a body with GET next: Managed Instances refuse that");
    if (r->expects_continue && !whole && !p->refused) {
        bytes_text(&p->out, "HTTP/1.1 100 Continue\r\n\r\n");
        peer_flush(p);
    }
}

static void end_request(struct peer *p, struct request *r) {
    p->closing = p->is_last = !r->keep_alive;
    p->is_head = r->method_length == 4 && memcmp(r->method, "HEAD", 4) == 0;
    if (!p->refused)
        p->serve(p, r);
    p->serve = NULL;
    p->refused = false;
    bytes_drop_front(&p->in, r->length);
    p->drawn = 0;
    if (p->in.length == 0 && p->in.capacity > CHUNKED_ABOVE)
        bytes_free(&p->in);
}

static void read_requests(struct peer *p) {
    p->dirty = false;
    while (p->in.length > 0 && !p->waiting && !p->closing) {
        struct request r;
        enum request_reading reading = request_parse(p->in.data, p->in.length, &r);
        if (reading == REQUEST_MALFORMED)
            refuse_malformed(p, &r);
        else if (r.head_length > 0 && p->serve == NULL)
            begin_request(p, &r, reading == REQUEST_COMPLETE);
        if (settings.mode == MODE_TRACE && p->serve != NULL)
            trace_request(p, &r, reading == REQUEST_COMPLETE);
        if (reading == REQUEST_COMPLETE && p->serve != NULL && !p->closing)
            end_request(p, &r);
        if (reading == REQUEST_INCOMPLETE && r.chunked && p->answering != NULL &&
            p->answering->stream != WHOLE)
            take_chunks(p, r.head_length);
        request_free(&r);
        if (reading != REQUEST_COMPLETE)
            return;
    }
}

static void peer_readable(struct peer *p) {
    static char data[1 << 17];
    ssize_t n = recv(p->fd, data, sizeof data, 0);
    received_us = now_us();
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) { /* the other end has closed or broken the connection */
        env.poll_lost |= p->is_runtime && p->waiting && !is_lmi();
        peer_drop(p);
    }
    if (n <= 0 || p->closing)
        return;
    bytes_append(&p->in, data, (size_t)n);
    p->dirty = true;
}

static void peer_accept(int listener, bool is_runtime) {
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    size_t slot = 0; /* there is one: see wait_for_input */
    while (slot < peer_count && peers[slot].fd >= 0)
        slot++;
    peer_count += slot == peer_count;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peers[slot] = (struct peer){.fd = fd, .is_runtime = is_runtime};
}

/* ---- The loop ----------------------------------------------------------------------------- */

static volatile sig_atomic_t stop_signal;

static void on_signal(int number) {
    if (number != SIGCHLD) /* that one only has to end the waiting */
        stop_signal = number;
}

static void time_out(struct invocation *v) {
    bytes_text(&expired, v->id);
    if (!v->failed) {
        const char *message = f("Task timed out after %u.00 seconds", settings.timeout_s);
        log_line(v, f("%s %s %s", utc("%Y-%m-%dT%H:%M:%SZ"), v->id, message));
        fail(v, "Sandbox.Timedout", f("RequestId: %s Error: %s", v->id, message));
    }
    if (is_lmi())
        finish(v, now_us()); /* the process goes on, and a late answer gets 410 */
    else
        end_environment("", "");
}

/* One time-out that is due takes place. When there is something to do next, without input. */
static uint64_t expire(void) {
    uint64_t now = now_us(), next = UINT64_MAX;
    for (size_t i = 0; i < peer_count; i++)
        next = peers[i].dirty ? 0 : next;
    if (env.pid != 0 && !env.polled) {
        next = next < env.init_deadline_us ? next : env.init_deadline_us;
        if (now >= env.init_deadline_us) {
            say("%s has not %s within %d s", settings.bootstrap,
                env.init_failed ? "exited after init/error, as it must,"
                                : "asked for its first event (GET " API "/runtime/invocation/next)",
                env.init_failed ? EXIT_MS / 1000 : INIT_SECONDS);
            end_environment("Sandbox.Timedout", "Initialization timed out after 10.00 seconds");
        }
    }
    for (struct invocation *v = invocations; v != NULL; v = v->next) {
        if (v->state == QUEUED)
            continue;
        next = next < v->deadline_us ? next : v->deadline_us;
        if (now >= v->deadline_us) {
            time_out(v);
            break;
        }
    }
    return next;
}

/* Waits for input and takes it. A side that has all its connections is not listened to: whoever
 * comes then waits in the kernel's backlog. False when there was nothing but the function's log,
 * which a child of a dead process could fill for ever. */
static bool wait_for_input(uint64_t deadline) {
    static struct pollfd fds[2 * SIDE_MAX + 3];
    uint64_t now = now_us(), left = deadline > now ? deadline - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / 1000000),
                               .tv_nsec = (long)(left % 1000000) * 1000};
    sigset_t none;
    size_t count = peer_count, connected[2] = {0};
    fds[2] = (struct pollfd){.fd = env.log_fd, .events = POLLIN};
    for (size_t i = 0; i < count; i++) {
        connected[peers[i].is_runtime] += peers[i].fd >= 0;
        fds[i + 3] = (struct pollfd){.fd = peers[i].fd,
                                     .events = peers[i].out.length > 0 ? POLLIN | POLLOUT : POLLIN};
    }
    for (size_t i = 0; i < 2; i++)
        fds[i] =
            (struct pollfd){.fd = connected[i] < SIDE_MAX ? listeners[i] : -1, .events = POLLIN};
    sigemptyset(&none);
    if (ppoll(fds, count + 3, deadline == UINT64_MAX ? NULL : &timeout, &none) <= 0)
        return false;
    if (fds[2].revents != 0)
        read_function_log();
    bool heard = fds[0].revents != 0 || fds[1].revents != 0;
    for (size_t i = 0; i < count; i++) {
        if (fds[i + 3].revents & POLLOUT)
            peer_flush(&peers[i]);
        if (fds[i + 3].revents & ~POLLOUT)
            peer_readable(&peers[i]);
        heard |= fds[i + 3].revents != 0;
    }
    for (size_t i = 0; i < 2; i++)
        if (fds[i].revents != 0)
            peer_accept(listeners[i], i);
    return heard;
}

/* What a process sent before it ended is heard out first: its init/error, its last response. */
static void serve(void) {
    for (uint64_t next = 0; outcome < 0 && stop_signal == 0;) {
        bool ended = has_ended(), quiet = !wait_for_input(ended ? 0 : next);
        for (size_t i = 0; i < peer_count; i++)
            if (peers[i].dirty)
                read_requests(&peers[i]);
        if (ended && quiet)
            ended_by_itself();
        dispatch();
        next = ended ? 0 : expire();
    }
}

/* ---- The command line --------------------------------------------------------------------- */

static unsigned number_setting(const char *name, unsigned otherwise, unsigned least,
                               unsigned most) {
    const char *text = text_setting(name, NULL);
    unsigned value = otherwise;
    int n = 0;
    if (text != NULL && (sscanf(text, "%6u%n", &value, &n) != 1 || text[n] != '\0' ||
                         value < least || value > most))
        die(f("%s is '%s', and has to be a number from %u to %u", name, text, least, most));
    return value;
}

static void read_settings(void) {
    settings.function = text_setting("FUNCTION", "function");
    settings.port = (uint16_t)number_setting("PORT", 9000, 0, 65535);
    settings.timeout_s = number_setting("TIMEOUT", 3, 1, 900);
    settings.memory_mb = number_setting("MEMORY", 128, 128, 10240);
    settings.concurrency = number_setting("CONCURRENCY", 0, 1, 400);
    settings.bootstrap = text_setting("BOOTSTRAP", "./bootstrap");
    if (access(settings.bootstrap, F_OK) != 0)
        die(f("%s: %s: build it, or name the executable in BOOTSTRAP", settings.bootstrap,
              strerror(errno)));
}

/* The text itself, @FILE, or - for stdin. */
static void read_event(struct bytes *event, const char *argument) {
    const char *file = argument[0] == '@' ? argument + 1 : argument;
    if (file == argument && strcmp(argument, "-") != 0)
        bytes_text(event, argument);
    else if (read_file(file, event))
        event->length--; /* the NUL */
    else
        die(f("event file %s: %s", file, strerror(errno)));
    if (event->length > EVENT_MAX)
        die(f("the event has more than %d bytes, which Lambda does not take", EVENT_MAX));
}

static int listen_on(uint16_t *port) {
    uint16_t wanted = *port;
    int fd = listen_on_loopback(port);
    if (fd < 0)
        die(f("127.0.0.1:%u: %s%s", wanted, strerror(errno),
              errno == EADDRINUSE ? ": another program has the port; PORT=0 takes a free one"
                                  : ""));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void catch_signals(void) {
    const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all,
                NULL); /* and ppoll alone lets them in: no other call meets EINTR */
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        signal(numbers[i], on_signal);
    signal(SIGPIPE, SIG_IGN);
}

int main(int count, char **arguments) {
    static const char *const modes[] = {"run", "trace", "serve"};
    const char *mode = count > 1 ? arguments[1] : "", *given = count > 2 ? arguments[2] : "";
    while (settings.mode < MODE_SERVE && strcmp(mode, modes[settings.mode]) != 0)
        settings.mode++;
    if (strcmp(mode, modes[settings.mode]) != 0 || count > (settings.mode == MODE_SERVE ? 2 : 3))
        die("usage: local_lambda run [EVENT] | trace [EVENT] | serve, "
            "and EVENT is text, @FILE or -");
    read_settings();
    struct bytes event = {0};
    if (settings.mode == MODE_SERVE)
        listeners[0] = listen_on(&settings.port);
    else {
        read_event(&event, given[0] == '\0' ? "{\"text\":\"Hello\"}" : given);
        const char *wrong = wrong_in_event(&event);
        if (event.length == 0)
            say("the event is empty, of which Lambda makes {}");
        if (wrong != NULL) /* and what the function makes of it may be what is to be seen */
            say("the event is no JSON, and the function gets it all the same; Lambda would refuse "
                "it with 400 InvalidRequestContentException: %s",
                wrong);
        enqueue(&event, &(struct request){0}, "");
    }
    listeners[1] = listen_on(&settings.runtime_port);
    set_environment();
    catch_signals();
    if (!start_environment())
        return 1;
    if (settings.mode == MODE_SERVE) {
        say("%s serves at http://127.0.0.1:%u" FUNCTIONS "%s/invocations", settings.bootstrap,
            settings.port, settings.function);
        say("Runtime API at http://127.0.0.1:%u" API "; Ctrl-C ends it", settings.runtime_port);
    }
    serve();
    if (env.pid != 0)
        kill_process();
    if (settings.mode == MODE_TRACE)
        fwrite(picture.data, 1, picture.length, stdout);
    if (stop_signal != 0)
        return settings.mode == MODE_SERVE ? 0 : 128 + stop_signal;
    return outcome;
}
