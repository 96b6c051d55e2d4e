/* local_lambda.c - a Lambda for one function on this machine: the Invoke API in front, the Runtime
 * API behind, and between them the executable that is to serve as `bootstrap`.
 *
 *     local_lambda run   [EVENT]   one invocation; its response on stdout
 *     local_lambda trace [EVENT]   one cold invocation, as the bytes that go over the wire
 *     local_lambda serve           until Ctrl-C, for curl, the AWS CLI and every SDK
 *
 * EVENT is the text itself, @FILE, or - for stdin. From the environment: BOOTSTRAP (the
 * executable, ./bootstrap), PORT (of serve, 9000; 0 takes a free one), TIMEOUT (of the function,
 * 3 seconds), MEMORY (128 MB, reported and not enforced), CONCURRENCY (absent: one invocation at
 * a time; N: N at once, as in a Managed Instances environment). What else is in the environment,
 * the function gets too.
 *
 * It is meant as the judge of a runtime: whatever Lambda would refuse is refused with Lambda's
 * status, and a line on stderr says what the API demands. Left out on purpose:
 * InvokeWithResponseStream, extensions, the retries of asynchronous invocations.
 *
 * One thread, one poll loop; both listening sockets on 127.0.0.1. Sections, low level first:
 * settings, log, invocations, connections, picture, answers, execution environment, Runtime API,
 * Invoke API, requests, loop, command line.
 *
 * Build: cc -std=c11 -O2 test/local_lambda.c test/wire.c -o local_lambda
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE 1
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- Settings ----------------------------------------------------------------------------- */

enum {
    EVENT_MAX = 6 << 20,            /* 6 MB: quota of a synchronous request */
    ASYNC_EVENT_MAX = 1 << 20,      /* 1 MB: quota of an asynchronous one */
    RESPONSE_MAX = (6 << 20) + 100, /* 6,291,556: one byte more gets 413 */
    LMI_ERROR_MAX = 1 << 20,        /* of an error body, in a Managed Instances environment */
    INPUT_MAX = 64 << 20,           /* of one request as received: beyond it, nobody is listening */
    CHUNKED_ABOVE = 2048,           /* a longer event goes chunked: the buffer of Go's server */
    LMI_CHUNK = 32768,              /* Managed Instances copy events through such a buffer */
    UNREAD_MAX = 256 << 10,         /* a refused body longer than this is not waited for */
    LOG_TAIL = 4096,                /* X-Amz-Log-Result */
    CLIENT_CONTEXT_MAX = 3583,      /* of X-Amz-Client-Context, by the Invoke page */
    QUEUE_MAX = 1000,               /* invocations in line; the next one is throttled */
    SIDE_MAX = 450,    /* connections on each side: most shells allow 1,024 descriptors */
    EXPIRED_MAX = 64,  /* request ids remembered after their time-out */
    INIT_SECONDS = 10, /* from exec to the first poll */
    LINGER_MS = 500,   /* for a client to read the answer to what it is still sending */
    LOST_MS = 1000,    /* a worker whose connection is gone may answer on another one for so long */
    EXIT_MS = 2000     /* from init/error to the exit that must follow at once */
};

#define API "/2018-06-01"
#define INVOKE_PATH(name) "/2015-03-31/functions/" name "/invocations"

enum mode { MODE_RUN, MODE_TRACE, MODE_SERVE };

static struct {
    enum mode mode;
    char *bootstrap; /* absolute path */
    const char *given, *function;
    uint16_t port, runtime_port;
    unsigned timeout_s, memory_mb;
    unsigned concurrency; /* 0: not a Managed Instances environment */
    bool snap_start;
} settings;

/* ---- Log: our lines and the function's ---------------------------------------------------- */

static void write_all(int fd, const void *data, size_t length) {
    for (const char *at = data; length > 0;) {
        ssize_t n = write(fd, at, length);
        if (n < 0 && errno != EINTR)
            return; /* nobody reads it: no reason to stop serving */
        if (n > 0) {
            at += n;
            length -= (size_t)n;
        }
    }
}

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

/* One line and one write; what the function put into it cannot move a terminal's cursor. */
static void say(const char *text) {
    struct bytes line = {0};
    bytes_format(&line, "local_lambda: %s", text);
    for (size_t i = 0; i < line.length; i++)
        if ((unsigned char)line.data[i] < ' ')
            line.data[i] = ' ';
    bytes_text(&line, "\n");
    write_all(STDERR_FILENO, line.data, line.length);
    bytes_free(&line);
}

__attribute__((noreturn)) static void die(const char *text) {
    say(text);
    exit(1);
}

/* ---- Invocations -------------------------------------------------------------------------- */

/* From RUNNING on these are states of Lambda's machine, with its names in state_name. */
enum state { QUEUED, RUNNING, RESPONDING, RESPONDING_ERROR, RESPONSE_SENT };

struct peer;

struct invocation {
    struct invocation *next;
    enum state state;
    char id[37], nonce[37]; /* Lambda-Runtime-Aws-Request-Id, Lambda-Runtime-Invocation-Id */
    struct bytes event, content_type, client_context, tenant_id, trace_id; /* texts without NUL */
    struct peer *caller; /* NULL: asynchronous, or run and trace, or the caller has gone */
    bool wants_log, lost, warned;
    uint64_t started_us, deadline_us, deadline_ms; /* the last one since 1970, for the function */
    uint64_t init_us;                              /* 0: warm */
    struct bytes answer, log;
    bool failed;   /* the answer is an error */
    bool is_final; /* and no end of the process changes it any more */
};

static struct invocation *invocations; /* oldest first */
static char expired[EXPIRED_MAX][37];
static unsigned expired_count;
static int outcome = -1; /* exit status of run and trace, when the invocation is over */

static const char *state_name(enum state state) {
    static const char *const names[] = {"Ready", "Running", "InvocationResponse",
                                        "InvocationErrorResponse", "ResponseSent"};
    return names[state];
}

static void random_bytes(void *to, size_t length) {
    if (getrandom(to, length, 0) != (ssize_t)length)
        die(f("getrandom: %s", strerror(errno)));
}

/* Version 4 of RFC 9562 5.4. */
static void make_uuid(char id[37]) {
    uint16_t r[8];
    random_bytes(r, sizeof r);
    snprintf(id, 37, "%04x%04x-%04x-4%03x-%04x-%04x%04x%04x", r[0], r[1], r[2], r[3] & 0xfffU,
             (r[4] & 0x3fffU) | 0x8000U, r[5], r[6], r[7]);
}

static void make_trace_id(struct bytes *to) {
    uint64_t r[3];
    random_bytes(r, sizeof r);
    bytes_format(to, "Root=1-%08jx-%08jx%016jx;Parent=%016jx;Sampled=0", (uintmax_t)time(NULL),
                 (uintmax_t)(r[0] >> 32), (uintmax_t)r[1], (uintmax_t)r[2]);
}

/* Takes the event over. */
static struct invocation *enqueue(struct bytes *event) {
    struct invocation *v = calloc(1, sizeof *v), **last = &invocations;
    if (v == NULL)
        die("no memory for an invocation");
    make_uuid(v->id);
    make_uuid(v->nonce);
    v->event = *event;
    *event = (struct bytes){0};
    if (v->event.length == 0)
        bytes_text(&v->event, "{}"); /* what Lambda makes of no payload */
    while (*last != NULL)
        last = &(*last)->next;
    return *last = v;
}

static struct invocation *find_invocation(const char *id, size_t length) {
    for (struct invocation *v = invocations; v != NULL; v = v->next)
        if (v->state != QUEUED && length == strlen(v->id) && memcmp(v->id, id, length) == 0)
            return v;
    return NULL;
}

static struct invocation *find_queued(void) {
    struct invocation *v = invocations;
    while (v != NULL && v->state != QUEUED)
        v = v->next;
    return v;
}

/* The one that is not in line any more; in a Managed Instances environment the first of them. */
static struct invocation *find_active(void) {
    struct invocation *v = invocations;
    while (v != NULL && v->state == QUEUED)
        v = v->next;
    return v;
}

static unsigned count_invocations(bool queued) {
    unsigned n = 0;
    for (struct invocation *v = invocations; v != NULL; v = v->next)
        n += (v->state == QUEUED) == queued;
    return n;
}

static void error_body(struct bytes *to, const char *type, const char *message) {
    bytes_format(to, "{\"errorType\":\"%s\",\"errorMessage\":", type);
    json_string(to, message, strlen(message));
    bytes_text(to, "}");
}

/* Lambda's own error, in place of whatever the function answered. */
static void fail(struct invocation *v, const char *type, const char *message) {
    bytes_free(&v->answer);
    error_body(&v->answer, type, message);
    v->failed = v->is_final = true;
}

/* A line of the function's log, as CloudWatch would show it. */
static void log_line(struct invocation *v, const char *text) {
    struct bytes line = {0};
    bytes_format(&line, "%s\n", text);
    bytes_append(&v->log, line.data, line.length);
    if (settings.mode == MODE_SERVE)
        write_all(STDERR_FILENO, line.data, line.length);
    bytes_free(&line);
}

static void keep_log(struct invocation *v, const char *line, size_t length) {
    bytes_append(&v->log, line, length);
    if (v->log.length > 16 * LOG_TAIL)
        bytes_drop_front(&v->log, v->log.length - LOG_TAIL);
}

/* ---- Connections -------------------------------------------------------------------------- */

enum call {
    CALL_UNKNOWN,
    CALL_NEXT,
    CALL_RESPONSE,
    CALL_ERROR,
    CALL_INIT_ERROR,
    CALL_RESTORE_NEXT,
    CALL_RESTORE_ERROR,
    CALL_PING
};

/* Somebody at the other end of a connection: a caller of the Invoke API or the runtime. */
struct peer {
    int fd;                /* -1: gone, to be swept */
    bool is_runtime;       /* of the two listening sockets, the one it came by */
    bool polling;          /* the runtime: its GET …/next waits for an event */
    bool waiting;          /* a caller: its answer is not there yet */
    bool dirty;            /* there may be a whole request in `in` */
    bool head_seen;        /* the head of the request that is arriving has been looked at */
    bool closing;          /* after what is in `out`, and for LINGER_MS input is thrown away */
    uint64_t linger_until; /* 0: not there yet */
    struct bytes in, out;
    size_t sent; /* of out */
    enum call call;
    const char *refused;          /* status of the refusal that waits for the end of the body */
    struct bytes refusal;         /* and its body */
    struct invocation *answering; /* the invocation whose answer is arriving */
    struct invocation *serving;   /* the one whose event went out here last */
};

static struct peer *peers[2 * SIDE_MAX];
static size_t peer_count;
static uint64_t received_us; /* when the bytes came that are being looked at */

static void peer_flush(struct peer *p) {
    while (p->fd >= 0 && p->sent < p->out.length) {
        ssize_t n = send(p->fd, p->out.data + p->sent, p->out.length - p->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return; /* full: poll says when; broken: reading finds out */
        p->sent += (size_t)n;
    }
    bytes_free(&p->out);
    p->sent = 0;
    if (p->closing && p->linger_until == 0 && p->fd >= 0) {
        shutdown(p->fd, SHUT_WR);
        p->linger_until = now_us() + LINGER_MS * 1000;
    }
}

/* The slot is swept at the end of the round. */
static void peer_drop(struct peer *p) {
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    p->polling = p->dirty = false;
    for (struct invocation *v = invocations; v != NULL; v = v->next)
        v->caller = v->caller == p ? NULL : v->caller;
}

static void sweep_peers(void) {
    size_t kept = 0;
    for (size_t i = 0; i < peer_count; i++) {
        struct peer *p = peers[i];
        if (p->fd >= 0) {
            peers[kept++] = p;
            continue;
        }
        bytes_free(&p->in);
        bytes_free(&p->out);
        bytes_free(&p->refusal);
        free(p);
    }
    peer_count = kept;
}

static void append_date(struct bytes *to) {
    char text[40];
    struct tm tm;
    time_t now = time(NULL);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    bytes_format(to, "Date: %s\r\n", text);
}

/* The framing of Lambda's server: chunked when its buffer overflowed, else Content-Length. */
static void append_body(struct bytes *to, const struct bytes *body, size_t chunk) {
    if (chunk == 0 || body->length <= CHUNKED_ABOVE) {
        bytes_format(to, "Content-Length: %zu\r\n\r\n", body->length);
        bytes_append(to, body->data, body->length);
        return;
    }
    bytes_text(to, "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < body->length; at += chunk) {
        size_t n = body->length - at < chunk ? body->length - at : chunk;
        bytes_format(to, "%zx\r\n", n);
        bytes_append(to, body->data + at, n);
        bytes_text(to, "\r\n");
    }
    bytes_text(to, "0\r\n\r\n");
}

/* ---- The conversation, as a picture ------------------------------------------------------- */

/* Collected while the clock runs and printed when it is over, so that looking does not slow
 * down what is looked at. */
static struct {
    struct bytes text;
    uint64_t exec_us;
    char gutter[24]; /* the time that the next line shows */
    bool colour;
} picture;

enum { DATA_COLUMNS = 60, NOTE_COLUMN = 64 };

static const char *colour(const char *code) {
    return picture.colour ? code : "";
}
#define PLAIN colour("\x1b[0m")
#define BOLD colour("\x1b[1m")
#define DIM colour("\x1b[2m")
#define YELLOW colour("\x1b[33m")
#define SIDE(direction) colour((direction) == '>' ? "\x1b[36m" : "\x1b[32m")

static void grouped(struct bytes *to, uint64_t n) {
    if (n >= 1000)
        grouped(to, n / 1000);
    bytes_format(to, n >= 1000 ? ",%03" PRIu64 : "%" PRIu64, n % 1000);
}

/* A blank line, the title of a step if it has one, and the time for the line that follows. */
static void trace_step(uint64_t when_us, const char *title) {
    struct bytes time = {0};
    grouped(&time, when_us - picture.exec_us);
    snprintf(picture.gutter, sizeof picture.gutter, "%9.*s µs", (int)time.length, time.data);
    bytes_text(&picture.text, "\n");
    if (title[0] != '\0')
        bytes_format(&picture.text, "              %s%s%s\n", BOLD, title, PLAIN);
    bytes_free(&time);
}

/* One line of the wire: its text, its end of line made visible, and a note at the margin. */
static void trace_line(char direction, const char *text, size_t length, bool crlf,
                       const char *note) {
    size_t columns = length + (crlf ? 4 : 0);
    int gap = columns < NOTE_COLUMN ? (int)(NOTE_COLUMN - columns) : 2;
    bool timed = picture.gutter[0] != '\0';
    bytes_format(&picture.text, "%s%s%s  %s%c %.*s%s%s%s%s", DIM,
                 timed ? picture.gutter : "            ", PLAIN, SIDE(direction), direction,
                 (int)length, text, PLAIN, DIM, crlf ? "\\r\\n" : "", PLAIN);
    if (note[0] != '\0')
        bytes_format(&picture.text, "%*s%s← %s%s", gap, "", YELLOW, note, PLAIN);
    bytes_text(&picture.text, "\n");
    picture.gutter[0] = '\0';
}

/* Data in one line: printable ASCII as it is, the rest as \n or \xNN, cut when it is long. */
static void trace_data(char direction, const char *data, size_t length, const char *what) {
    struct bytes line = {0}, note = {0};
    size_t shown = 0;
    for (; shown < length && line.length < DATA_COLUMNS; shown++) {
        unsigned char c = (unsigned char)data[shown];
        if (c >= ' ' && c < 127)
            bytes_append(&line, &c, 1);
        else
            bytes_format(&line, c == '\n' ? "\\n" : "\\x%02x", c);
    }
    bool cut = shown < length;
    bytes_text(&note, what);
    grouped(&note, length);
    bytes_text(&note, length == 1 ? " byte" : " bytes");
    bytes_text(&note, cut ? ", cut here" : "");
    if (cut)
        bytes_text(&line, " ...");
    bytes_append(&note, "", 1);
    trace_line(direction, line.data == NULL ? "" : line.data, line.length, false, note.data);
    bytes_free(&line);
    bytes_free(&note);
}

static const char *note_field_line(const char *line, size_t length, const char *end) {
    if (length >= 15 && strncasecmp(line, "Content-Length:", 15) == 0)
        return "framing: length of the body";
    if (length >= 18 && strncasecmp(line, "Transfer-Encoding:", 18) == 0)
        return "framing: a body in chunks";
    return length == 0 ? end : "";
}

/* Field lines and what is above them; `end` explains the blank line. */
static size_t trace_fields(char direction, const char *data, size_t length, const char *end_note) {
    for (size_t at = 0;;) {
        const char *end = memmem(data + at, length - at, "\r\n", 2);
        if (end == NULL)
            return length;
        size_t n = (size_t)(end - data) - at;
        trace_line(direction, data + at, n, true, note_field_line(data + at, n, end_note));
        at += n + 2;
        if (n == 0)
            return at;
    }
}

/* The bytes are known to be well-formed: ours, or parsed by request_parse. */
static void trace_chunks(char direction, const char *data, size_t length) {
    for (size_t at = 0; at < length;) {
        const char *end = memmem(data + at, length - at, "\r\n", 2);
        if (end == NULL)
            return;
        size_t n = (size_t)(end - data) - at, size = strtoul(data + at, NULL, 16);
        trace_line(direction, data + at, n, true,
                   size > 0 ? "chunk size, hexadecimal" : "last chunk");
        at += n + 2;
        if (size == 0) {
            trace_fields(direction, data + at, length - at, "blank line: the body ends");
            return;
        }
        trace_data(direction, data + at, size, "chunk data: ");
        trace_line(direction, "", 0, true, "end of chunk");
        at += size + 2;
    }
}

static void trace_message(char direction, const char *data, size_t length) {
    size_t head = trace_fields(direction, data, length, "blank line: the head ends");
    bool chunked = memmem(data, head, "Transfer-Encoding: chunked", 26) != NULL;
    if (chunked)
        trace_chunks(direction, data + head, length - head);
    else if (head < length)
        trace_data(direction, data + head, length - head, "body: ");
}

static void trace_request(const struct peer *p, const struct request *r, const char *title) {
    if (settings.mode != MODE_TRACE)
        return;
    trace_step(received_us, title);
    trace_message('>', p->in.data, r->length);
}

static void trace_reply(uint64_t sent_us, const char *data, size_t length) {
    if (settings.mode != MODE_TRACE)
        return;
    trace_step(sent_us, "");
    trace_message('<', data, length);
}

static void trace_exec(void) {
    if (settings.mode != MODE_TRACE)
        return;
    bytes_format(
        &picture.text,
        "   time since exec; %s>%s from the runtime, %s<%s from Lambda; %s\\r\\n%s is CR LF\n",
        SIDE('>'), PLAIN, SIDE('<'), PLAIN, DIM, PLAIN);
    trace_step(picture.exec_us, "");
    bytes_format(&picture.text, "%s%s%s  %sexec %s%s, AWS_LAMBDA_RUNTIME_API=127.0.0.1:%u\n", DIM,
                 picture.gutter, PLAIN, BOLD, settings.given, PLAIN, settings.runtime_port);
}

static void trace_end(const struct invocation *v, uint64_t ended_us, bool alive) {
    struct bytes *to = &picture.text;
    trace_step(ended_us, "");
    bytes_format(to, "%s%s%s  %s", DIM, picture.gutter, PLAIN, BOLD);
    if (!alive) {
        bytes_format(to, "the process has ended%s\n              ", PLAIN);
        bytes_append(to, v->answer.data, v->answer.length);
        bytes_text(to, "\n");
        return;
    }
    bytes_format(to,
                 "the invocation is complete%s, now that the runtime asks for the next: ", PLAIN);
    grouped(to, ended_us - v->started_us);
    bytes_text(to, " µs\n              after the event went out. The first poll came ");
    grouped(to, v->init_us);
    bytes_text(to, " µs after exec.\n");
}

/* ---- Answers ------------------------------------------------------------------------------ */

/* `fields`: whole field lines, CRLF included. `chunk`: 0 for Content-Length always. */
static void reply(struct peer *p, const char *status, const char *fields, const struct bytes *body,
                  size_t chunk) {
    struct bytes message = {0};
    bytes_format(&message, "HTTP/1.1 %s\r\n%s%s", status, p->closing ? "Connection: close\r\n" : "",
                 fields);
    append_date(&message);
    if (strncmp(status, "204", 3) == 0)
        bytes_text(&message, "\r\n");
    else
        append_body(&message, body, chunk);
    bytes_append(&p->out, message.data, message.length);
    uint64_t sent_us = now_us();
    peer_flush(p);
    if (p->is_runtime)
        trace_reply(sent_us, message.data, message.length);
    bytes_free(&message);
}

static void reply_text(struct peer *p, const char *status, const char *fields, const char *text) {
    struct bytes body = {0};
    bytes_text(&body, text);
    reply(p, status, fields, &body, 0);
    bytes_free(&body);
}

static void reply_json(struct peer *p, const char *status, const char *text) {
    reply_text(p, status, "Content-Type: application/json\r\n", text);
}

static void accepted(struct peer *p) {
    reply_json(p, "202 Accepted", "{\"status\":\"OK\"}\n");
}

/* The Invoke API's form of an error. */
static void reply_exception(struct peer *p, const char *status, const char *type,
                            const char *message) {
    struct bytes body = {0}, fields = {0};
    char id[37];
    make_uuid(id);
    bytes_format(&fields,
                 "Content-Type: application/json\r\nx-amzn-RequestId: %s\r\n"
                 "x-amzn-ErrorType: %s\r\n",
                 id, type);
    bytes_append(&fields, "", 1);
    bytes_text(&body, "{\"Type\":\"User\",\"Message\":");
    json_string(&body, message, strlen(message));
    bytes_text(&body, "}");
    reply(p, status, fields.data, &body, 0);
    bytes_free(&body);
    bytes_free(&fields);
}

static void reply_invoked(struct invocation *v) {
    struct bytes fields = {0};
    bytes_format(&fields,
                 "Content-Type: application/json\r\nx-amzn-RequestId: %s\r\n"
                 "X-Amz-Executed-Version: $LATEST\r\n",
                 v->id);
    if (v->failed)
        bytes_text(&fields, "X-Amz-Function-Error: Unhandled\r\n");
    bytes_text(&fields, "X-Amzn-Trace-Id: ");
    bytes_append(&fields, v->trace_id.data, v->trace_id.length);
    bytes_text(&fields, "\r\n");
    if (v->wants_log) {
        size_t n = v->log.length < LOG_TAIL ? v->log.length : LOG_TAIL;
        bytes_text(&fields, "X-Amz-Log-Result: ");
        base64(&fields, v->log.data + v->log.length - n, n);
        bytes_text(&fields, "\r\n");
    }
    bytes_append(&fields, "", 1);
    v->caller->waiting = false;
    v->caller->dirty = true;
    reply(v->caller, "200 OK", fields.data, &v->answer, 0);
    bytes_free(&fields);
}

/* The process, between its exec and its end. */
static struct {
    pid_t pid;            /* 0: none; it leads its own process group */
    int log_fd;           /* its stdout and stderr; -1: none */
    bool polled, is_cold; /* it has asked for an event; and not yet been given one */
    bool poll_lost;       /* it gave up the poll that waits */
    bool init_failed;     /* it said so, and has to go */
    uint64_t exec_us, init_us, init_deadline_us;
    struct bytes init_error;
    long memory_kb;
} env = {.log_fd = -1};

/* ---- The end of an invocation ------------------------------------------------------------- */

static void forget(struct invocation *v) {
    struct invocation **link = &invocations;
    while (*link != v)
        link = &(*link)->next;
    *link = v->next;
    for (size_t i = 0; i < peer_count; i++) {
        peers[i]->answering = peers[i]->answering == v ? NULL : peers[i]->answering;
        peers[i]->serving = peers[i]->serving == v ? NULL : peers[i]->serving;
    }
    bytes_free(&v->event);
    bytes_free(&v->content_type);
    bytes_free(&v->client_context);
    bytes_free(&v->tenant_id);
    bytes_free(&v->trace_id);
    bytes_free(&v->answer);
    bytes_free(&v->log);
    free(v);
}

/* run: the response, exactly, on stdout; of an error, the error on stderr. */
static void print_answer(const struct invocation *v) {
    int fd = v->failed ? STDERR_FILENO : STDOUT_FILENO;
    bool ended = v->answer.length > 0 && v->answer.data[v->answer.length - 1] == '\n';
    write_all(fd, v->answer.data, v->answer.length);
    if (!ended && (v->failed || isatty(fd)))
        write_all(fd, "\n", 1);
}

static void report(struct invocation *v, uint64_t ended_us, long memory_kb) {
    double ms = (double)(ended_us - v->started_us) / 1000, init_ms = (double)v->init_us / 1000;
    char init[48] = "";
    if (v->init_us > 0)
        snprintf(init, sizeof init, "Init Duration: %.2f ms\t", init_ms);
    log_line(v, f("END RequestId: %s", v->id));
    log_line(v, f("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %" PRIu64
                  " ms\tMemory Size: %u MB\t"
                  "Max Memory Used: %ld MB\t%s",
                  v->id, ms, (ended_us - v->started_us + v->init_us + 999) / 1000,
                  settings.memory_mb, (memory_kb + 1023) / 1024, init));
}

/* Its answer is known: the log is closed, the caller gets it, and `v` is gone. */
static void finish(struct invocation *v, uint64_t ended_us, long memory_kb) {
    if (v->state != QUEUED)
        report(v, ended_us, memory_kb);
    if (v->caller != NULL)
        reply_invoked(v);
    else if (v->failed && settings.mode == MODE_SERVE)
        say(f("invocation %s failed, and nobody waits for it: %.*s", v->id, (int)v->answer.length,
              v->answer.data));
    if (settings.mode == MODE_RUN)
        print_answer(v);
    if (settings.mode == MODE_TRACE)
        trace_end(v, ended_us, env.pid != 0);
    if (settings.mode != MODE_SERVE)
        outcome = v->failed;
    forget(v);
}

/* ---- The execution environment ------------------------------------------------------------ */

static void set_variable(const char *name, const char *value) {
    if (setenv(name, value, 1) != 0)
        die(f("setenv %s: %s", name, strerror(errno)));
}

/* Our own environment becomes the function's: "Defined runtime environment variables" of the
 * Lambda guide, as far as they mean something here. */
static void set_environment(void) {
    uint64_t stream[2];
    char task_root[4096], date[16];
    struct tm tm;
    time_t now = time(NULL);
    strftime(date, sizeof date, "%Y/%m/%d", gmtime_r(&now, &tm));
    random_bytes(stream, sizeof stream);
    snprintf(task_root, sizeof task_root, "%s", settings.bootstrap);
    *strrchr(task_root, '/') = '\0';
    set_variable("AWS_LAMBDA_RUNTIME_API", f("127.0.0.1:%u", settings.runtime_port));
    set_variable("AWS_LAMBDA_FUNCTION_NAME", settings.function);
    set_variable("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
    set_variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", f("%u", settings.memory_mb));
    set_variable("AWS_LAMBDA_LOG_GROUP_NAME", f("/aws/lambda/%s", settings.function));
    set_variable("AWS_LAMBDA_LOG_STREAM_NAME",
                 f("%s/[$LATEST]%016jx%016jx", date, (uintmax_t)stream[0], (uintmax_t)stream[1]));
    set_variable("AWS_LAMBDA_INITIALIZATION_TYPE", settings.concurrency > 0
                                                       ? "lambda-managed-instances"
                                                   : settings.snap_start ? "snap-start"
                                                                         : "on-demand");
    set_variable("LAMBDA_TASK_ROOT", task_root[0] == '\0' ? "/" : task_root);
    set_variable("LAMBDA_RUNTIME_DIR", "/var/runtime");
    set_variable("TZ", ":UTC");
    setenv("_HANDLER", "function.handler", 0);
    setenv("AWS_REGION", "us-east-1", 0);
    setenv("AWS_DEFAULT_REGION", getenv("AWS_REGION"), 0);
    unsetenv("AWS_LAMBDA_MAX_CONCURRENCY");
    unsetenv("_X_AMZN_TRACE_ID"); /* on OS-only runtimes the runtime's own business */
    if (settings.concurrency == 0)
        return;
    set_variable("AWS_LAMBDA_MAX_CONCURRENCY", f("%u", settings.concurrency));
    set_variable("AWS_LAMBDA_LOG_FORMAT", "json");
}

/* What the child tells through a pipe that exec closes: when, and if it failed, why. */
struct started {
    uint64_t exec_us;
    int error;
};

__attribute__((noreturn)) static void become_bootstrap(int report_fd, int log_fd, pid_t parent) {
    struct started started = {0};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    int null = open("/dev/null", O_RDONLY);
    if (setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent &&
        dup2(null, STDIN_FILENO) >= 0 && dup2(log_fd, STDOUT_FILENO) >= 0 &&
        dup2(log_fd, STDERR_FILENO) >= 0 && chdir(getenv("LAMBDA_TASK_ROOT")) == 0) {
        char *arguments[] = {settings.bootstrap, NULL};
        if (null > STDERR_FILENO)
            close(null);
        started.exec_us = now_us();
        write_all(report_fd, &started, sizeof started);
        execv(settings.bootstrap, arguments);
    }
    started.error = errno;
    write_all(report_fd, &started, sizeof started);
    _exit(127);
}

/* e_machine of an ELF file (System V ABI), for a message; 0 when it is none. */
static unsigned elf_machine(const char *path) {
    unsigned char head[20] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);
    if (fd >= 0)
        close(fd);
    if (n != sizeof head || memcmp(head, "\177ELF", 4) != 0)
        return 0;
    return head[5] == 2 ? (unsigned)(head[18] << 8 | head[19])
                        : (unsigned)(head[19] << 8 | head[18]);
}

static void explain_exec(int error) {
    struct utsname machine;
    unsigned elf = elf_machine(settings.bootstrap);
    const char *built_for = elf == 62    ? "x86_64"
                            : elf == 183 ? "aarch64 (arm64)"
                                         : "another architecture";
    uname(&machine);
    if (error == ENOEXEC && elf != 0)
        say(f("%s is built for %s, and this machine is %s: build it for this machine",
              settings.given, built_for, machine.machine));
    else if (error == ENOEXEC)
        say(f("%s is neither an executable for this machine nor a script with a #! line",
              settings.given));
    else if (error == ENOENT)
        say(f("%s needs a program that is not here: the dynamic loader of its libc, or the "
              "interpreter of its #! line (which must not end with CR LF)",
              settings.given));
    else
        say(f("%s cannot be executed: %s", settings.given, strerror(error)));
}

static bool read_started(int fd) {
    struct started started = {0};
    bool executed = true;
    while (read(fd, &started, sizeof started) == (ssize_t)sizeof started)
        executed = started.error == 0;
    close(fd);
    env.exec_us = picture.exec_us = started.exec_us;
    if (!executed)
        explain_exec(started.error);
    return executed;
}

static bool start_environment(void) {
    int log_pipe[2], report_pipe[2];
    pid_t self = getpid();
    if (pipe2(log_pipe, O_CLOEXEC) != 0 || pipe2(report_pipe, O_CLOEXEC) != 0)
        die(f("pipe: %s", strerror(errno)));
    pid_t pid = fork();
    if (pid < 0)
        die(f("fork: %s", strerror(errno)));
    if (pid == 0)
        become_bootstrap(report_pipe[1], log_pipe[1], self);
    close(log_pipe[1]);
    close(report_pipe[1]);
    fcntl(log_pipe[0], F_SETFL, O_NONBLOCK);
    env.pid = pid;
    env.log_fd = log_pipe[0];
    env.polled = env.poll_lost = env.init_failed = false;
    env.is_cold = true;
    env.memory_kb = 0;
    env.init_deadline_us = now_us() + INIT_SECONDS * UINT64_C(1000000);
    if (read_started(report_pipe[0])) {
        trace_exec();
        return true;
    }
    waitpid(pid, NULL, 0);
    close(env.log_fd);
    env.log_fd = -1;
    env.pid = 0;
    return false;
}

/* A line belongs to the invocation that it names, else to the only one there is. */
static void attribute_line(const char *line, size_t length) {
    unsigned active = count_invocations(false);
    for (struct invocation *v = invocations; v != NULL; v = v->next)
        if (v->state != QUEUED &&
            (active == 1 || memmem(line, length, v->id, strlen(v->id)) != NULL))
            keep_log(v, line, length);
}

static void read_function_log(void) {
    char data[16384];
    ssize_t n;
    while (env.log_fd >= 0 && (n = read(env.log_fd, data, sizeof data)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return;
        write_all(STDERR_FILENO, data, (size_t)n);
        for (size_t at = 0, length; at < (size_t)n; at += length) {
            const char *end = memchr(data + at, '\n', (size_t)n - at);
            length = end == NULL ? (size_t)n - at : (size_t)(end - data) + 1 - at;
            attribute_line(data + at, length);
        }
    }
    if (env.log_fd >= 0)
        close(env.log_fd);
    env.log_fd = -1;
}

static void read_memory(void) {
    char path[32], line[128];
    snprintf(path, sizeof path, "/proc/%d/status", (int)env.pid);
    FILE *status = env.pid == 0 ? NULL : fopen(path, "re");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            env.memory_kb = strtol(line + 6, NULL, 10);
    if (status != NULL)
        fclose(status);
}

static void complete(struct invocation *v, uint64_t ended_us) {
    read_function_log();
    read_memory();
    finish(v, ended_us, env.memory_kb);
}

static void describe_exit(int status, char *text, size_t size) {
    if (WIFSIGNALED(status)) {
        snprintf(text, size, "Runtime exited with error: signal: %s", strsignal(WTERMSIG(status)));
        char *name = strstr(text, "signal: ") + 8;
        *name = (char)(*name | 0x20); /* Lambda has it in small letters */
    } else if (WEXITSTATUS(status) != 0)
        snprintf(text, size, "Runtime exited with error: exit status %d", WEXITSTATUS(status));
    else
        snprintf(text, size, "Runtime exited without providing a reason");
}

/* What an invocation gets when the process under it is gone. */
static void conclude(struct invocation *v, const char *type, const char *reason) {
    if (env.init_failed) {
        bytes_free(&v->answer);
        v->answer = env.init_error;
        env.init_error = (struct bytes){0};
        v->failed = true;
    } else if (!v->is_final) {
        fail(v, type, f("RequestId: %s Error: %s", v->id, reason));
        log_line(v, f("RequestId: %s Error: %s\n%s", v->id, reason, type));
    }
    finish(v, now_us(), env.memory_kb);
}

/* The process is dead and waited for; what is left of the environment goes with it. A failed
 * initialization costs the invocation that wanted it. */
static void end_environment(const char *type, const char *reason) {
    bool polled = env.polled;
    read_function_log();
    for (size_t i = 0; i < peer_count; i++)
        if (peers[i]->is_runtime)
            peer_drop(peers[i]);
    for (struct invocation *v; (v = find_active()) != NULL;)
        conclude(v, type, reason);
    struct invocation *waiting = polled ? NULL : find_queued();
    if (waiting != NULL)
        conclude(waiting, type, reason);
    else if (env.init_failed)
        say(f("%s reported an initialization error: %.*s", settings.given,
              (int)env.init_error.length, env.init_error.data));
    if (env.log_fd >= 0)
        close(env.log_fd);
    env.log_fd = -1;
    bytes_free(&env.init_error);
}

/* The group first, while the process id is still taken. */
static int kill_process(void) {
    struct rusage usage = {0};
    int status = 0;
    read_memory();
    kill(-env.pid, SIGKILL);
    while (wait4(env.pid, &status, 0, &usage) < 0 && errno == EINTR)
        continue;
    env.memory_kb = env.memory_kb > 0 ? env.memory_kb : usage.ru_maxrss;
    env.pid = 0;
    return status;
}

static void kill_environment(const char *type, const char *reason) {
    kill_process();
    end_environment(type, reason);
}

static bool has_ended(void) {
    siginfo_t about = {0};
    return env.pid != 0 && waitid(P_PID, (id_t)env.pid, &about, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           about.si_pid == env.pid;
}

static void ended_by_itself(void) {
    char reason[128];
    describe_exit(kill_process(), reason, sizeof reason);
    if (!env.polled && !env.init_failed)
        say(f("%s ended before it asked for its first event (GET " API
              "/runtime/invocation/next): %s",
              settings.given, reason));
    else if (env.polled && find_active() == NULL)
        say(f("%s ended while it waited for an event: %s", settings.given, reason));
    end_environment("Runtime.ExitError", reason);
}

/* ---- The Runtime API ---------------------------------------------------------------------- */

static bool is_lmi(void) {
    return settings.concurrency > 0;
}

static const struct route {
    const char *method, *path; /* a * is one segment, the request id */
    enum call call;
    const char *title; /* the heading of the Runtime API page */
} routes[] = {{"GET", API "/runtime/invocation/next", CALL_NEXT, "Next invocation"},
              {"POST", API "/runtime/invocation/*/response", CALL_RESPONSE, "Invocation response"},
              {"POST", API "/runtime/invocation/*/error", CALL_ERROR, "Invocation error"},
              {"POST", API "/runtime/init/error", CALL_INIT_ERROR, "Initialization error"},
              {"GET", API "/runtime/restore/next", CALL_RESTORE_NEXT, "Restore next"},
              {"POST", API "/runtime/restore/error", CALL_RESTORE_ERROR, "Restore error"},
              {"GET", API "/ping", CALL_PING, "(ping, not documented)"}};

struct segment {
    const char *at;
    size_t length;
};

static bool path_matches(const char *pattern, const char *path, size_t length, struct segment *id) {
    const char *star = strchr(pattern, '*');
    size_t before = star == NULL ? strlen(pattern) : (size_t)(star - pattern);
    size_t after = star == NULL ? 0 : strlen(star + 1);
    if (length < before + after || memcmp(path, pattern, before) != 0)
        return false;
    *id = (struct segment){path + before, length - before - after};
    if (star == NULL)
        return id->length == 0;
    return id->length > 0 && memchr(id->at, '/', id->length) == NULL &&
           memcmp(id->at + id->length, star + 1, after) == 0;
}

/* NULL for a path that the API has not; `call` is then unknown, as it is for a wrong method. */
static const struct route *find_route(const struct request *r, enum call *call,
                                      struct segment *id) {
    *call = CALL_UNKNOWN;
    for (const struct route *it = routes; it < routes + sizeof routes / sizeof *routes; it++) {
        if (!path_matches(it->path, r->target, r->target_length, id))
            continue;
        if ((it->call == CALL_RESTORE_NEXT || it->call == CALL_RESTORE_ERROR) &&
            !settings.snap_start)
            return NULL;
        if (strlen(it->method) == r->method_length &&
            memcmp(it->method, r->method, r->method_length) == 0)
            *call = it->call;
        return it;
    }
    return NULL;
}

/* Refuses the request that is arriving: at its end, or at once when too much of it is missing. */
static void refuse(struct peer *p, const char *status, const char *type, const char *message) {
    bytes_free(&p->refusal);
    bytes_text(&p->refusal, "{\"errorMessage\":");
    json_string(&p->refusal, message, strlen(message));
    bytes_format(&p->refusal, ",\"errorType\":\"%s\"}\n", type);
    p->refused = status;
}

static void refuse_state(struct peer *p, const char *from, const char *to) {
    refuse(p, "403 Forbidden", "InvalidStateTransition",
           f("State transition from %s to %s failed for runtime. "
             "Error: State transition is not allowed",
             from, to));
}

static void send_refusal(struct peer *p) {
    const char *status = p->refused;
    p->refused = NULL;
    reply(p, status, "Content-Type: application/json\r\n", &p->refusal, 0);
    bytes_free(&p->refusal);
}

static void send_event(struct peer *p, struct invocation *v) {
    struct bytes f = {0};
    const struct {
        const char *name;
        const struct bytes *value;
        bool even_empty; /* Managed Instances send it with no value */
    } optional[] = {{"Lambda-Runtime-Aws-Tenant-Id", &v->tenant_id, false},
                    {"Lambda-Runtime-Client-Context", &v->client_context, true},
                    {"Lambda-Runtime-Cognito-Identity", &(struct bytes){0}, true}};
    bytes_text(&f, "Content-Type: ");
    if (is_lmi())
        bytes_append(&f, v->content_type.data, v->content_type.length);
    else
        bytes_text(&f, "application/json");
    bytes_format(&f, "\r\nLambda-Runtime-Aws-Request-Id: %s\r\n", v->id);
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
        if (optional[i].value->length == 0 && !(is_lmi() && optional[i].even_empty))
            continue;
        bytes_format(&f, "%s: ", optional[i].name);
        bytes_append(&f, optional[i].value->data, optional[i].value->length);
        bytes_text(&f, "\r\n");
    }
    bytes_format(&f,
                 "Lambda-Runtime-Deadline-Ms: %" PRIu64 "\r\n"
                 "Lambda-Runtime-Invocation-Id: %s\r\n"
                 "Lambda-Runtime-Invoked-Function-Arn: "
                 "arn:aws:lambda:%s:123456789012:function:%s\r\nLambda-Runtime-Trace-Id: ",
                 v->deadline_ms, v->nonce, getenv("AWS_REGION"), settings.function);
    bytes_append(&f, v->trace_id.data, v->trace_id.length);
    bytes_append(&f, "\r\n", 3); /* with the NUL */
    p->serving = v;
    reply(p, "200 OK", f.data, &v->event, is_lmi() ? LMI_CHUNK : SIZE_MAX);
    bytes_free(&f);
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
    v->init_us = env.is_cold ? env.init_us : 0;
    env.is_cold = false;
    if (p == NULL)
        say("the runtime gave up its waiting poll: the event went to a closed connection and is "
            "lost, which in Lambda ends in a time-out; GET next must wait without one");
    log_line(v, f("START RequestId: %s Version: $LATEST", v->id));
    if (p == NULL)
        return;
    p->polling = false;
    p->dirty = true;
    send_event(p, v);
}

static struct peer *find_poll(void) {
    for (size_t i = 0; i < peer_count; i++)
        if (peers[i]->polling)
            return peers[i];
    return NULL;
}

/* Starts an environment when somebody waits for one, and hands out events. */
static void dispatch(void) {
    struct invocation *v;
    while ((v = find_queued()) != NULL) {
        unsigned limit = is_lmi() ? settings.concurrency : 1;
        struct peer *p = find_poll();
        if (env.pid == 0 && !start_environment()) {
            fail(v, "Runtime.InvalidEntrypoint",
                 f("RequestId: %s Error: %s cannot be executed", v->id, settings.bootstrap));
            finish(v, now_us(), 0);
        } else if (count_invocations(false) < limit && (p != NULL || env.poll_lost))
            deliver(v, p);
        else
            return;
    }
}

static void first_poll(void) {
    if (!env.polled)
        env.init_us = received_us - env.exec_us;
    env.polled = true;
}

/* GET /runtime/invocation/next. */
static void next_invocation(struct peer *p) {
    struct invocation *v = is_lmi() ? NULL : find_active();
    if (env.init_failed) {
        say("the runtime asks for an event after init/error: it must exit");
        refuse_state(p, "InitError", "Ready");
    } else if (!is_lmi() && v == NULL && env.polled && (env.poll_lost || find_poll() != NULL)) {
        say("the runtime polls although a poll of its own waits or was given up: there must be "
            "one GET next at a time, without a time-out");
        refuse_state(p, "Ready", "Ready");
    } else if (v != NULL && v->state == RUNNING) {
        if (!v->warned)
            say(f(
                "the runtime asks for the next event before it answered %s: it gets the same again",
                v->id));
        v->warned = true;
        send_event(p, v);
    } else if (v != NULL && v->state != RESPONSE_SENT) {
        say(f("the runtime asks for the next event in the middle of its response to %s: after a "
              "response that broke off or was refused it can only exit",
              v->id));
        refuse_state(p, state_name(v->state), "Ready");
    } else {
        first_poll();
        if (v != NULL)
            complete(v, received_us);
        p->polling = true;
    }
    if (p->refused != NULL)
        send_refusal(p);
}

static bool is_expired(struct segment id) {
    for (size_t i = 0; i < EXPIRED_MAX; i++)
        if (id.length == strlen(expired[i]) && memcmp(expired[i], id.at, id.length) == 0)
            return true;
    return false;
}

/* The head of a response or error: everything that Lambda checks before it reads the body. */
static void begin_answer(struct peer *p, const struct request *r, struct segment id) {
    enum state to = p->call == CALL_RESPONSE ? RESPONDING : RESPONDING_ERROR;
    struct invocation *v = find_invocation(id.at, id.length);
    size_t length;
    const char *nonce = request_field(r, "Lambda-Runtime-Invocation-Id", &length);
    const char *mode = request_field(r, "Lambda-Runtime-Function-Response-Mode", &length);
    bool stale = nonce != NULL && v != NULL &&
                 !request_field_is(r, "Lambda-Runtime-Invocation-Id", v->nonce);
    if (stale || (v == NULL && is_expired(id))) {
        say(f("the runtime answers %.*s, which has timed out%s", (int)id.length, id.at,
              stale ? ": Lambda-Runtime-Invocation-Id must be the one that came with the event"
                    : ""));
        refuse(p, "410 Gone", "InvokeTimeout", "Invoke timeout");
    } else if (v == NULL || (is_lmi() && v->state != RUNNING)) {
        say(f("the runtime answers the request id %.*s, which %s", (int)id.length, id.at,
              v == NULL ? "is not being served" : "has an answer already"));
        refuse(p, "400 Bad Request", "InvalidRequestID", "Invalid request ID");
    } else if (v->state != RUNNING) {
        say(f("the runtime answers %s a second time: there is one response or error for an "
              "invocation, and then GET next",
              v->id));
        refuse_state(p, state_name(v->state), state_name(to));
    } else if (mode != NULL &&
               !request_field_is(r, "Lambda-Runtime-Function-Response-Mode", "streaming")) {
        say("Lambda-Runtime-Function-Response-Mode is not 'streaming', its only value");
        refuse(p, "400 Bad Request", "InvalidFunctionResponseMode",
               "Invalid function response mode");
        fail(v, "Runtime.InvalidResponseModeHeader",
             f("RequestId: %s Error: Invalid response mode header", v->id));
        v->state = to;
    } else {
        v->state = to;
        p->answering = v;
    }
}

/* A stream that ends with an error says so in its trailer section; the response counts. */
static void note_stream_error(struct invocation *v, const struct request *r) {
    struct request trailers = {.fields = r->trailers.data, .fields_length = r->trailers.length};
    size_t n;
    const char *type = request_field(&trailers, "Lambda-Runtime-Function-Error-Type", &n);
    if (type != NULL)
        log_line(v, f("RequestId: %s Error: the stream ended with %.*s", v->id, (int)n, type));
}

static void too_large(struct peer *p, struct invocation *v, size_t length, size_t limit) {
    say(f("the runtime answers %s with %zu bytes, and %zu is the most", v->id, length, limit));
    fail(v, "Function.ResponseSizeTooLarge",
         f("Response payload size (%zu bytes) exceeded maximum allowed payload size (%zu bytes).",
           length, limit));
    refuse(p, "413 Request Entity Too Large", "RequestEntityTooLarge",
           f("Exceeded maximum allowed payload size (%zu bytes).", limit));
    p->closing = is_lmi();
    send_refusal(p);
}

/* POST /runtime/invocation/{id}/response and /error, all of it. */
static void invocation_response(struct peer *p, struct request *r) {
    struct invocation *v = p->answering;
    bool error = p->call == CALL_ERROR;
    size_t limit = is_lmi() && error ? LMI_ERROR_MAX : RESPONSE_MAX, n = 0;
    p->answering = NULL;
    if (v == NULL) { /* it timed out while the body came */
        refuse(p, "410 Gone", "InvokeTimeout", "Invoke timeout");
        send_refusal(p);
        return;
    }
    v->state = RESPONSE_SENT;
    if (r->body.length > limit)
        too_large(p, v, r->body.length, limit);
    else {
        v->answer = r->body;
        r->body = (struct bytes){0};
        v->failed = v->is_final = error;
        note_stream_error(v, r);
        accepted(p);
    }
    if (error && v->answer.length == 0) {
        const char *type = request_field(r, "Lambda-Runtime-Function-Error-Type", &n);
        bytes_text(&v->answer, "{\"errorType\":");
        json_string(&v->answer, type, n);
        bytes_text(&v->answer, ",\"errorMessage\":\"\"}");
    }
    if (is_lmi())
        complete(v, received_us);
}

/* POST /runtime/init/error, and restore/error, which is the same thing later. */
static void initialization_error(struct peer *p, struct request *r) {
    if (env.polled || env.init_failed) {
        say(f("the runtime reports an initialization error %s: it may do so once, before GET next",
              env.polled ? "after its first poll" : "again"));
        refuse_state(p, env.polled ? "Ready" : "InitError", "InitError");
        send_refusal(p);
        return;
    }
    env.init_failed = true;
    env.init_error = r->body;
    r->body = (struct bytes){0};
    env.init_deadline_us = now_us() + EXIT_MS * 1000;
    accepted(p);
}

/* GET /runtime/restore/next: the snapshot was taken and restored, and no connection outlives it. */
static void restore_next(struct peer *p) {
    reply_text(p, "200 OK", "Content-Type: application/json\r\n", "");
    p->closing = true;
    peer_flush(p);
}

static void refuse_route(struct peer *p, const struct request *r, const struct route *route) {
    say(f("the runtime calls %.*s %.*s, which the API does not have", (int)r->method_length,
          r->method, (int)(r->target_length < 200 ? r->target_length : 200), r->target));
    if (route == NULL)
        reply_text(p, "404 Not Found", "Content-Type: text/plain; charset=utf-8\r\n",
                   "404 page not found\n");
    else
        reply_text(p, "405 Method Not Allowed",
                   route->method[0] == 'G' ? "Allow: GET\r\n" : "Allow: POST\r\n", "");
}

/* A whole request of the runtime. */
static void serve_runtime(struct peer *p, struct request *r) {
    struct segment id;
    const struct route *route = find_route(r, &p->call, &id);
    trace_request(p, r, route == NULL ? "(no call of the API)" : route->title);
    if (p->refused != NULL)
        send_refusal(p);
    else if (route == NULL || p->call == CALL_UNKNOWN)
        refuse_route(p, r, route);
    else if (p->call == CALL_NEXT)
        next_invocation(p);
    else if (p->call == CALL_RESPONSE || p->call == CALL_ERROR)
        invocation_response(p, r);
    else if (p->call == CALL_RESTORE_NEXT)
        restore_next(p);
    else if (p->call == CALL_PING)
        reply_text(p, "200 OK", "", "pong");
    else
        initialization_error(p, r);
}

/* ---- The Invoke API ----------------------------------------------------------------------- */

static void copy_field(struct bytes *to, const struct request *r, const char *name) {
    size_t length;
    const char *value = request_field(r, name, &length);
    if (value != NULL)
        bytes_append(to, value, length);
}

/* RFC 4648 4; blanks and control characters among what comes out become spaces, since it has to
 * fit into a field line. */
static bool decode_base64(struct bytes *to, const char *text, size_t length) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, held = 0;
    while (length > 0 && text[length - 1] == '=')
        length--;
    for (size_t i = 0; i < length; i++) {
        const char *letter = text[i] == '\0' ? NULL : strchr(letters, text[i]);
        if (letter == NULL)
            return false;
        bits = bits << 6 | (unsigned)(letter - letters);
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        unsigned char c = (unsigned char)(bits >> held);
        bytes_append(to, c < ' ' || c == 127 ? (const unsigned char *)" " : &c, 1);
    }
    return length % 4 != 1;
}

static bool take_client_context(struct peer *p, const struct request *r, struct bytes *to) {
    size_t length;
    const char *value = request_field(r, "X-Amz-Client-Context", &length);
    if (value == NULL || (length <= CLIENT_CONTEXT_MAX && decode_base64(to, value, length)))
        return true;
    reply_exception(p, "400 Bad Request", "InvalidRequestContentException",
                    "Client context must be a valid Base64-encoded JSON object.");
    return false;
}

static void invoke(struct peer *p, struct request *r, bool asynchronous) {
    struct bytes context = {0};
    if (!take_client_context(p, r, &context)) {
        bytes_free(&context);
        return;
    }
    struct invocation *v = enqueue(&r->body);
    v->client_context = context;
    copy_field(&v->content_type, r, "Content-Type");
    copy_field(&v->tenant_id, r, "X-Amz-Tenant-Id");
    copy_field(&v->trace_id, r, "X-Amzn-Trace-Id");
    if (v->trace_id.length == 0)
        make_trace_id(&v->trace_id);
    if (!asynchronous) {
        v->wants_log = request_field_is(r, "X-Amz-Log-Type", "Tail");
        v->caller = p;
        p->waiting = true;
        return;
    }
    struct bytes fields = {0};
    bytes_format(&fields, "x-amzn-RequestId: %s\r\n", v->id);
    bytes_append(&fields, "", 1);
    reply_text(p, "202 Accepted", fields.data, "");
    bytes_free(&fields);
}

/* POST /2015-03-31/functions/{name}/invocations; any name, any qualifier. */
static void serve_invoker(struct peer *p, struct request *r) {
    struct segment name;
    const char *query = memchr(r->target, '?', r->target_length);
    size_t length = query == NULL ? r->target_length : (size_t)(query - r->target), n;
    bool typed = request_field(r, "X-Amz-Invocation-Type", &n) != NULL;
    bool event = request_field_is(r, "X-Amz-Invocation-Type", "Event");
    bool dry_run = request_field_is(r, "X-Amz-Invocation-Type", "DryRun");
    if (!path_matches(INVOKE_PATH("*"), r->target, length, &name))
        reply_exception(p, "404 Not Found", "ResourceNotFoundException",
                        "This local Lambda has one route: POST " INVOKE_PATH("{name}"));
    else if (r->method_length != 4 || memcmp(r->method, "POST", 4) != 0)
        reply_exception(p, "405 Method Not Allowed", "MethodNotAllowedException",
                        "Invoke is a POST");
    else if (typed && !event && !dry_run &&
             !request_field_is(r, "X-Amz-Invocation-Type", "RequestResponse"))
        reply_exception(p, "400 Bad Request", "InvalidParameterValueException",
                        "X-Amz-Invocation-Type is RequestResponse, Event or DryRun");
    else if (r->body.length > (event ? ASYNC_EVENT_MAX : EVENT_MAX))
        reply_exception(
            p, "413 Request Entity Too Large", "RequestTooLargeException",
            event ? "Request must be smaller than 1048576 bytes for the InvokeFunction operation"
                  : "Request must be smaller than 6291456 bytes for the InvokeFunction operation");
    else if (count_invocations(true) >= QUEUE_MAX)
        reply_exception(p, "429 Too Many Requests", "TooManyRequestsException", "Rate Exceeded.");
    else if (dry_run)
        reply_text(p, "204 No Content", "", "");
    else
        invoke(p, r, event);
}

/* ---- Requests as they arrive -------------------------------------------------------------- */

/* As Go's server does it: a body that ends with the connection. */
static void refuse_malformed(struct peer *p, const struct request *r) {
    bool too_long = r->head_length == 0 && p->in.length > 1 << 20;
    const char *status = too_long ? "431 Request Header Fields Too Large" : "400 Bad Request";
    say(f("%s sent a malformed request: %s", p->is_runtime ? "the runtime" : "a caller", r->wrong));
    bytes_format(&p->out,
                 "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                 "Connection: close\r\n\r\n%s: %s\n",
                 status, status, r->wrong);
    p->closing = true;
    peer_flush(p);
}

/* What can be decided, or has to be said, before the body is there. */
static void begin_request(struct peer *p, const struct request *r, bool whole) {
    struct segment id;
    size_t n, have = p->in.length - r->head_length;
    const char *length = request_field(r, "Content-Length", &n);
    uint64_t announced = length == NULL ? 0 : strtoull(length, NULL, 10);
    p->head_seen = true;
    if (p->is_runtime) {
        find_route(r, &p->call, &id);
        if (p->call == CALL_RESPONSE || p->call == CALL_ERROR)
            begin_answer(p, r, id);
        if (p->call == CALL_NEXT && (announced > 0 || r->chunked))
            say("the runtime sends a body with GET next: Managed Instances refuse that");
    }
    if (p->refused != NULL && announced > have + UNREAD_MAX) {
        p->closing = true;
        send_refusal(p);
    } else if (r->expects_continue && !whole) {
        bytes_text(&p->out, "HTTP/1.1 100 Continue\r\n\r\n");
        peer_flush(p);
    }
}

static void end_request(struct peer *p, struct request *r) {
    size_t length = r->length;
    p->head_seen = false;
    p->closing = !r->keep_alive;
    if (p->is_runtime)
        serve_runtime(p, r);
    else
        serve_invoker(p, r);
    if (p->fd < 0)
        return;
    bytes_drop_front(&p->in, length);
    if (p->in.length == 0 && p->in.capacity > CHUNKED_ABOVE)
        bytes_free(&p->in);
}

static void read_requests(struct peer *p) {
    p->dirty = false;
    while (p->fd >= 0 && p->in.length > 0 && !p->polling && !p->waiting && !p->closing) {
        struct request r;
        enum reading reading = request_parse(p->in.data, p->in.length, &r);
        if (reading == REQUEST_MALFORMED)
            refuse_malformed(p, &r);
        else if (r.head_length > 0 && !p->head_seen)
            begin_request(p, &r, reading == REQUEST_COMPLETE);
        if (reading == REQUEST_COMPLETE && p->head_seen && !p->closing)
            end_request(p, &r);
        request_free(&r);
        if (reading != REQUEST_COMPLETE)
            return;
    }
}

/* The other end has closed or broken the connection. */
static void peer_lost(struct peer *p) {
    struct invocation *v = p->serving;
    if (p->polling)
        env.poll_lost = !is_lmi();
    if (p->answering != NULL && !is_lmi())
        say(f("the response to %s broke off after %zu bytes: Lambda takes nothing more for it, and "
              "the runtime can only exit",
              p->answering->id, p->in.length));
    if (is_lmi() && v != NULL && v->state != RESPONSE_SENT) {
        uint64_t limit = now_us() + LOST_MS * 1000;
        v->lost = true;
        v->deadline_us = v->deadline_us < limit ? v->deadline_us : limit;
    }
    peer_drop(p);
}

static void peer_readable(struct peer *p) {
    static char data[1 << 17];
    ssize_t n = recv(p->fd, data, sizeof data, 0);
    received_us = now_us();
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        peer_lost(p);
        return;
    }
    if (p->closing)
        return;
    bytes_append(&p->in, data, (size_t)n);
    p->dirty = true;
    if (p->in.length > INPUT_MAX) {
        say(f("%s sent more than %d bytes in one request",
              p->is_runtime ? "the runtime" : "a caller", INPUT_MAX));
        peer_lost(p);
    }
}

static void peer_accept(int listener, bool is_runtime) {
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct peer *p = fd < 0 ? NULL : calloc(1, sizeof *p);
    size_t same_side = 0;
    if (fd < 0)
        return;
    if (p == NULL)
        die("no memory for a connection");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *p = (struct peer){.fd = fd, .is_runtime = is_runtime};
    for (size_t i = 0; i < peer_count; i++)
        same_side += peers[i]->is_runtime == is_runtime;
    if (same_side < SIDE_MAX) {
        peers[peer_count++] = p;
        return;
    }
    p->closing = true;
    if (is_runtime) {
        say(f("the runtime has more than %d connections open", SIDE_MAX));
        reply_json(p, "500 Internal Server Error",
                   "{\"errorMessage\":\"Container error. Non-recoverable state. Runtime should "
                   "exit promptly.\",\"errorType\":\"InternalServerError\"}\n");
    } else
        reply_exception(p, "429 Too Many Requests", "TooManyRequestsException", "Rate Exceeded.");
    bytes_free(&p->out);
    close(fd);
    free(p);
}

/* ---- The loop ----------------------------------------------------------------------------- */

static volatile sig_atomic_t stop_signal;
static int invoke_listener = -1, runtime_listener = -1;

static void on_signal(int number) {
    if (number != SIGCHLD) /* that one only has to end the waiting */
        stop_signal = number;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t next_deadline(void) {
    uint64_t next = UINT64_MAX;
    if (env.pid != 0 && !env.polled)
        next = env.init_deadline_us;
    for (struct invocation *v = invocations; v != NULL; v = v->next)
        if (v->state != QUEUED)
            next = earlier(next, v->deadline_us);
    for (size_t i = 0; i < peer_count; i++) {
        if (peers[i]->linger_until != 0)
            next = earlier(next, peers[i]->linger_until);
        if (peers[i]->dirty)
            return 0;
    }
    return next;
}

/* True when its time-out has ended the environment, and other invocations with it. */
static bool time_out(struct invocation *v) {
    char date[40];
    struct tm tm;
    time_t now = time(NULL);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    snprintf(expired[expired_count++ % EXPIRED_MAX], sizeof *expired, "%s", v->id);
    if (v->lost)
        fail(v, "Runtime.ExitError",
             f("RequestId: %s Error: The worker that had the event closed "
               "its connection",
               v->id));
    else if (!v->is_final) {
        log_line(v, f("%s %s Task timed out after %u.00 seconds", date, v->id, settings.timeout_s));
        fail(v, "Sandbox.Timedout",
             f("RequestId: %s Error: Task timed out after %u.00 seconds", v->id,
               settings.timeout_s));
    }
    if (is_lmi())
        complete(v, now_us()); /* the process goes on, and a late answer gets 410 */
    else
        kill_environment("", "");
    return !is_lmi();
}

static void initialization_timed_out(void) {
    if (env.init_failed)
        say(f("%s has not exited %d s after init/error: it must exit at once", settings.given,
              EXIT_MS / 1000));
    else
        say(f("%s has not asked for its first event (GET " API
              "/runtime/invocation/next) within %d s",
              settings.given, INIT_SECONDS));
    kill_environment("Sandbox.Timedout", "Initialization timed out after 10.00 seconds");
}

static void expire(void) {
    uint64_t now = now_us();
    for (size_t i = 0; i < peer_count; i++)
        if (peers[i]->linger_until != 0 && now >= peers[i]->linger_until)
            peer_drop(peers[i]);
    if (env.pid != 0 && !env.polled && now >= env.init_deadline_us)
        initialization_timed_out();
    for (struct invocation *v = invocations, *next; v != NULL; v = next) {
        next = v->next;
        if (v->state != QUEUED && now >= v->deadline_us && time_out(v))
            return;
    }
}

/* Waits for input and takes it. False when there was none but the function's log, which a child of
 * a dead process could fill for ever. */
static bool wait_for_input(uint64_t deadline) {
    static struct pollfd fds[2 * SIDE_MAX + 3];
    uint64_t now = now_us(), left = deadline > now ? deadline - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / 1000000),
                               .tv_nsec = (long)(left % 1000000) * 1000};
    sigset_t none;
    size_t count = peer_count;
    fds[0] = (struct pollfd){.fd = invoke_listener, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = runtime_listener, .events = POLLIN};
    fds[2] = (struct pollfd){.fd = env.log_fd, .events = POLLIN};
    for (size_t i = 0; i < count; i++)
        fds[i + 3] = (struct pollfd){
            .fd = peers[i]->fd, .events = peers[i]->out.length > 0 ? POLLIN | POLLOUT : POLLIN};
    sigemptyset(&none);
    if (ppoll(fds, count + 3, deadline == UINT64_MAX ? NULL : &timeout, &none) <= 0)
        return false;
    if (fds[2].revents != 0)
        read_function_log();
    bool heard = fds[0].revents != 0 || fds[1].revents != 0;
    for (size_t i = 0; i < count; i++) {
        if (fds[i + 3].revents & POLLOUT)
            peer_flush(peers[i]);
        if (fds[i + 3].revents & ~POLLOUT)
            peer_readable(peers[i]);
        heard |= fds[i + 3].revents != 0;
    }
    if (fds[0].revents != 0)
        peer_accept(invoke_listener, false);
    if (fds[1].revents != 0)
        peer_accept(runtime_listener, true);
    return heard;
}

/* What a process sent before it ended is heard out first: its init/error, its last response. */
static void serve(void) {
    while (outcome < 0 && stop_signal == 0) {
        dispatch();
        bool ended = has_ended();
        bool quiet = !wait_for_input(ended ? 0 : next_deadline());
        for (size_t i = 0; i < peer_count; i++)
            if (peers[i]->dirty)
                read_requests(peers[i]);
        if (ended && quiet)
            ended_by_itself();
        else if (!ended)
            expire();
        sweep_peers();
    }
}

/* ---- The command line --------------------------------------------------------------------- */

static unsigned number_setting(const char *name, unsigned otherwise, unsigned least,
                               unsigned most) {
    const char *text = getenv(name);
    unsigned value = 0;
    if (text == NULL || text[0] == '\0')
        return otherwise;
    bool is_number = strspn(text, "0123456789") == strlen(text) && strlen(text) <= 6;
    if (is_number)
        value = (unsigned)strtoul(text, NULL, 10);
    if (!is_number || value < least || value > most)
        die(f("%s is '%s', and has to be a number from %u to %u", name, text, least, most));
    return value;
}

static void find_bootstrap(void) {
    struct stat about;
    const char *given = getenv("BOOTSTRAP");
    settings.given = given == NULL || given[0] == '\0' ? "./bootstrap" : given;
    settings.bootstrap = realpath(settings.given, NULL);
    if (settings.bootstrap == NULL || stat(settings.bootstrap, &about) != 0)
        die(f("%s: %s: build it, or name the executable in BOOTSTRAP", settings.given,
              strerror(errno)));
    if (!S_ISREG(about.st_mode))
        die(f("%s is not a file: BOOTSTRAP names the executable itself", settings.given));
    if (access(settings.bootstrap, X_OK) != 0)
        die(f("%s cannot be executed: chmod 755 it, as Lambda demands too", settings.given));
}

static void read_settings(void) {
    const char *type = getenv("AWS_LAMBDA_INITIALIZATION_TYPE");
    const char *function = getenv("AWS_LAMBDA_FUNCTION_NAME");
    settings.function = function == NULL || function[0] == '\0' ? "function" : function;
    settings.port = (uint16_t)number_setting("PORT", 9000, 0, 65535);
    settings.timeout_s = number_setting("TIMEOUT", 3, 1, 900);
    settings.memory_mb = number_setting("MEMORY", 128, 128, 10240);
    settings.concurrency = number_setting("CONCURRENCY", 0, 1, 400);
    settings.snap_start = type != NULL && strcmp(type, "snap-start") == 0;
    picture.colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    find_bootstrap();
}

static void read_event(struct bytes *event, const char *argument) {
    const char *name = argument[0] == '@' ? argument + 1 : NULL;
    FILE *file = strcmp(argument, "-") == 0 ? stdin : name == NULL ? NULL : fopen(name, "re");
    if (file == NULL && name != NULL)
        die(f("event file %s: %s", name, strerror(errno)));
    if (file == NULL)
        bytes_text(event, argument);
    char data[16384];
    size_t n;
    while (file != NULL && event->length <= EVENT_MAX &&
           (n = fread(data, 1, sizeof data, file)) > 0)
        bytes_append(event, data, n);
    if (file != NULL && ferror(file))
        die(f("event %s: cannot be read", argument));
    if (event->length > EVENT_MAX)
        die(f("the event has more than %d bytes, which Lambda does not take", EVENT_MAX));
    if (file != NULL && file != stdin)
        fclose(file);
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
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaction(numbers[i], &(struct sigaction){.sa_handler = on_signal}, NULL);
        sigaddset(&blocked, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, NULL); /* and ppoll lets them in */
    signal(SIGPIPE, SIG_IGN);
}

static void enqueue_argument(const char *argument) {
    struct bytes event = {0};
    read_event(&event, argument);
    make_trace_id(&enqueue(&event)->trace_id);
}

static void announce(void) {
    say(f("%s serves at http://127.0.0.1:%u" INVOKE_PATH("%s"), settings.given, settings.port,
          settings.function));
    say(f("Runtime API at http://127.0.0.1:%u" API "; Ctrl-C ends it", settings.runtime_port));
}

int main(int count, char **arguments) {
    const char *mode = count > 1 ? arguments[1] : "";
    const char *event =
        count > 2 && arguments[2][0] != '\0' ? arguments[2] : "{\"text\":\"Hello\"}";
    settings.mode = strcmp(mode, "run") == 0     ? MODE_RUN
                    : strcmp(mode, "trace") == 0 ? MODE_TRACE
                                                 : MODE_SERVE;
    if (count > 3 || (settings.mode == MODE_SERVE && (count > 2 || strcmp(mode, "serve") != 0)))
        die("usage: local_lambda run [EVENT] | trace [EVENT] | serve, and EVENT is text, @FILE or -");
    read_settings();
    if (settings.mode == MODE_SERVE)
        invoke_listener = listen_on(&settings.port);
    else
        enqueue_argument(event);
    runtime_listener = listen_on(&settings.runtime_port);
    set_environment();
    catch_signals();
    if (!start_environment())
        return 1;
    if (settings.mode == MODE_SERVE)
        announce();
    serve();
    if (env.pid != 0)
        kill_process();
    write_all(STDOUT_FILENO, picture.text.data, picture.text.length);
    if (stop_signal != 0)
        return settings.mode == MODE_SERVE ? 0 : 128 + stop_signal;
    return outcome;
}
