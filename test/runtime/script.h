/* script.h - a scripted Runtime API on loopback, and the executable that has to get along with it.
 *
 * A case is a row of struct test: its name, and the steps of the server in order, which say what it
 * expects to be asked and which bytes it answers. NEXT, EVENT, RESPONSE and the like are steps;
 * {CLOSE} or {PAUSE, .number = 50} is one without a macro. passes() runs it in a process of its own
 * against a server of its own on port 0. When the script is over the runtime has to be waiting for
 * the next event with nothing on stderr, unless the case says how it ends. Whatever the script, the
 * runtime is never seen with a second connection open while it waits on the first.
 *
 * end_to_end.c and soak.c include this. They define PATIENCE_MS before, and set `bootstrap`.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE
#include "../lambda/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEPS_MAX = 48, VARIABLES_MAX = 8, WORKERS_MAX = 4 };

/* ---- Chance, and what large events are made of ---- */

static uint64_t chance = 1;
static char filler[(32 << 20) + 8];

/* From 0 to n - 1; xorshift64*. */
static uint64_t any(uint64_t n) {
    chance ^= chance >> 12;
    chance ^= chance << 25;
    chance ^= chance >> 27;
    return (chance * 2685821657736338717u >> 16) % n;
}

static void fill(void) {
    for (size_t i = 0; i < sizeof filler; i += sizeof chance) {
        any(1);
        memcpy(filler + i, &chance, sizeof chance);
    }
}

/* ---- The script language ---- */

struct step {
    enum kind {
        END,
        ASKED,   /* expect a request: `text` is method and target, `body` its body if not NULL, of
                    `length` bytes if that is not 0 */
        FIELD,   /* of that request: name in `text`, value in `body`, NULL if it must be absent */
        BYTES,   /* send `length` bytes of `text` */
        TRICKLE, /* the same byte by byte, each in a segment of its own */
        PAUSE,   /* `number` milliseconds, in which the runtime waits if a reply is due to it */
        CLOSE,   /* the connection: end of stream */
        RESET,   /* the connection: RST */
        CLOSED,  /* expect that the runtime closes it */
        COMES,   /* receive until `text` is in what has come since the last reply */
        SIGNAL,  /* send signal `number` to the runtime */
        MEMORY,  /* its resident memory is below `number` KiB */
        WORKER,  /* go on with the connection of worker `number` */
    } kind;
    const char *text, *body;
    size_t length, number;
};

#define NEXT_ROUTE "GET /2018-06-01/runtime/invocation/next"
#define POST_ROUTE "POST /2018-06-01/runtime/invocation/"
#define NEXT \
    { ASKED, NEXT_ROUTE, "" }
#define SEND(bytes) \
    { BYTES, bytes, .length = sizeof(bytes) - 1 }
#define SEND_SLOWLY(bytes) \
    { TRICKLE, bytes, .length = sizeof(bytes) - 1 }
#define RESPONSE(id, body) \
    { ASKED, POST_ROUTE id "/response", body }
#define FILL(n) \
    { BYTES, filler, .length = n }
#define ECHOED(id, n) \
    { ASKED, POST_ROUTE id "/response", filler, n }
#define ERROR_JSON(type, message) \
    "{\"errorType\":\"" type "\",\"stackTrace\":[],\"errorMessage\":\"" message "\"}"
#define ERROR(id, type, message) \
    { ASKED, POST_ROUTE id "/error", ERROR_JSON(type, message) }
#define HAS(name, value) \
    { FIELD, name, value }
#define HEAD(id) "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: " id "\r\n"
#define EVENT(id, length, body) SEND(HEAD(id) "Content-Length: " #length "\r\n\r\n" body)
#define ACCEPTED                                                                                 \
    SEND("HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n" \
         "{\"status\":\"OK\"}\n")
#define STATUS(line) SEND("HTTP/1.1 " line "\r\nContent-Length: 2\r\n\r\n{}")

/* A case says how it ends; if it does not, it goes on, and nothing is on stderr. With these the
 * runtime writes one line there, which contains `why`. */
#define EXIT(n) ((n) << 8) /* as wait() has it */
#define FATAL(why) .status = EXIT(1), .logs = "FATAL *bootstrap: *" why "*\n"
#define WARNS(why) .logs = "WARN *bootstrap: *" why "*\n"

struct run;
struct test {
    const char *name;
    struct step steps[STEPS_MAX];
    int status;           /* it ends with this one: EXIT(n), or the number of a signal */
    const char *logs;     /* what is on stderr matches this pattern of fnmatch, line by line */
    unsigned connections; /* it makes so many, all in all; 0: not counted */
    const char *environment[VARIABLES_MAX];
    bool probe;        /* run the probe handler, not the echo */
    bool process_1;    /* as which a container starts its program */
    bool little_stack; /* 64 KiB, of which 5,000 variables take most */
    bool late;         /* the server listens a little later, as those of emulators do */
    enum { LOGS, CLOSED_STREAMS, BROKEN_LOG } streams;
    unsigned rounds;            /* how often the script is followed; 0 is 1 */
    bool (*play)(struct run *); /* instead of the steps: what no script can say */
    const char *needs;          /* a command that has to succeed, or the case is skipped */
};

/* ---- The running case ---- */

struct run {
    const struct test *test;
    size_t step, worker, workers; /* that it has come to, and how many workers there are */
    int listener, connection, log;
    uint16_t port;
    pid_t pid;
    unsigned connections; /* taken so far */
    bool waiting;         /* the runtime waits for a reply */
    struct bytes input;
    struct request request;
    char problem[2048];
};

static bool problem(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool problem(struct run *r, const char *format, ...) {
    va_list values;
    va_start(values, format);
    if (!r->problem[0])
        vsnprintf(r->problem, sizeof r->problem, format, values);
    va_end(values);
    return false;
}

static void drop_connection(struct run *r, bool reset) {
    if (r->connection < 0)
        return;
    struct linger at_once = {1, 0};
    if (reset)
        setsockopt(r->connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(r->connection);
    r->connection = -1;
    r->waiting = false;
    r->input.length = 0;
}

static int patience_ms = PATIENCE_MS;

/* One descriptor becomes readable in time. */
static bool readable(int descriptor, int ms) {
    struct pollfd it = {.fd = descriptor, .events = POLLIN};
    int n;
    do
        n = poll(&it, 1, ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

/* The same, but not when the runtime has ended. */
static bool awaits(struct run *r, int descriptor) {
    siginfo_t ended;
    for (int waited = 0; waited < patience_ms; waited += 50) {
        if (readable(descriptor, 50))
            return true;
        ended.si_pid = 0;
        if (waitid(P_PID, (id_t)r->pid, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid)
            return readable(descriptor, 0) || problem(r, "the runtime has ended");
    }
    return false;
}

static bool take_connection(struct run *r) {
    if (r->connection >= 0)
        return true;
    if (!awaits(r, r->listener))
        return problem(r, "no connection came");
    r->connection = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
    r->connections++;
    int on = 1;
    setsockopt(r->connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return r->connection >= 0 || problem(r, "accept: %s", strerror(errno));
}

/* More of a request, from a new connection if the runtime has closed the old one in between. */
static bool take_bytes(struct run *r) {
    static char block[1 << 20];
    for (;;) {
        if (!take_connection(r))
            return false;
        if (!awaits(r, r->connection))
            return problem(r, "no request came");
        ssize_t n = recv(r->connection, block, sizeof block, 0);
        if (n > 0) {
            bytes_append(&r->input, block, (size_t)n);
            return true;
        }
        if (r->input.length)
            return problem(r, "the connection ended within a request");
        drop_connection(r, false);
    }
}

static bool take_request(struct run *r) {
    request_free(&r->request);
    for (;;) {
        enum request_reading got = request_parse(r->input.data, r->input.length, &r->request);
        if (got == REQUEST_COMPLETE)
            break;
        if (got == REQUEST_MALFORMED)
            return problem(r, "malformed request: %s", r->request.wrong);
        if (!take_bytes(r))
            return false;
    }
    if (r->request.length != r->input.length)
        return problem(r, "two requests at once");
    r->waiting = true;
    return true;
}

static bool asked(struct run *r, const struct step *s) {
    if (!take_request(r))
        return problem(r, "expected %s", s->text);
    const struct request *q = &r->request;
    char line[2048];
    snprintf(line, sizeof line, "%.*s %.*s", (int)q->method_length, q->method,
             (int)q->target_length, q->target);
    if (strcmp(line, s->text) != 0)
        return problem(r, "expected %s, got %s", s->text, line);
    size_t length = s->length ? s->length : s->body ? strlen(s->body) : 0;
    if (s->body &&
        (length != q->body.length || (length && memcmp(s->body, q->body.data, length) != 0)))
        return problem(r, "%s: expected the body %s, got %.*s", line, s->body,
                       (int)(q->body.length < 900 ? q->body.length : 900), q->body.data);
    return true;
}

/* The text with the word PORT in it replaced; valid until the next call. */
static const char *with_port(const char *text, uint16_t port) {
    static char replaced[2048];
    const char *at = strstr(text, "PORT");
    snprintf(replaced, sizeof replaced, at ? "%.*s%u%s" : "%.*s", at ? (int)(at - text) : 2047,
             text, port, at ? at + 4 : "");
    return replaced;
}

static bool has_field(struct run *r, const struct step *s) {
    size_t length = 0;
    const char *value = request_field(&r->request, s->text, &length);
    const char *expected = s->body ? with_port(s->body, r->port) : NULL;
    if (!value != !expected ||
        (value && (strlen(expected) != length || memcmp(value, expected, length) != 0)))
        return problem(r, "field %s: expected %s, got %.*s", s->text, expected ? expected : "none",
                       (int)length, value ? value : "");
    return true;
}

static bool closes(struct run *r) {
    char byte;
    bool closed = readable(r->connection, patience_ms) && recv(r->connection, &byte, 1, 0) <= 0;
    drop_connection(r, false);
    return closed || problem(r, "expected the runtime to close the connection");
}

static bool trickle(struct run *r, const struct step *s) {
    for (size_t i = 0; i < s->length; i++) {
        if (!send_all(r->connection, s->text + i, 1))
            return problem(r, "the runtime closed after %zu bytes", i);
        if (i % 64 == 0)
            usleep(200);
    }
    return true;
}

static bool uses_less(struct run *r, const struct step *s) {
    if (getenv("RUN_WITH"))
        return true; /* the figure would be the emulator's */
    size_t used = memory_kib(r->pid, "status", "VmRSS");
    return (used > 0 && used < s->number) || problem(r, "uses %zu KiB of memory", used);
}

/* While one reply is awaited nothing else may be asked, on this or on another connection. */
static bool asks_one_thing(struct run *r) {
    if (r->waiting && (readable(r->listener, 0) || readable(r->connection, 0)))
        return problem(r, "asks again, or closes, while it waits for a reply");
    r->waiting = false;
    r->input.length = 0;
    return true;
}

static bool do_step(struct run *r, const struct step *s) {
    if ((s->kind == BYTES || s->kind == TRICKLE) && !asks_one_thing(r))
        return false;
    switch (s->kind) {
    case ASKED:
        return asked(r, s);
    case FIELD:
        return has_field(r, s);
    case BYTES:
        return send_all(r->connection, s->text, s->length) || problem(r, "the runtime has closed");
    case TRICKLE:
        return trickle(r, s);
    case PAUSE:
        return !readable(r->waiting ? r->connection : -1, (int)s->number) ||
               problem(r, "the runtime does not wait");
    case CLOSE:
    case RESET:
        drop_connection(r, s->kind == RESET);
        return true;
    case CLOSED:
        return closes(r);
    case COMES:
        while (!memmem(r->input.data, r->input.length, s->text, strlen(s->text)))
            if (!take_bytes(r))
                return problem(r, "expected %s, got %.*s", s->text, (int)r->input.length,
                               r->input.data);
        return true;
    case SIGNAL:
        kill(r->pid, (int)s->number);
        return true;
    case MEMORY:
        return uses_less(r, s);
    case WORKER:
    case END:
        break;
    }
    return true;
}

/* Up to END, or all of a case. Each worker has a run of its own, behind the first. */
static bool do_steps(struct run *r, const struct step *steps) {
    for (r->step = 0; r->step < STEPS_MAX && steps[r->step].kind != END; r->step++) {
        const struct step *s = &steps[r->step];
        if (s->kind == WORKER) {
            r->worker = s->number;
            r->workers = r->workers > s->number ? r->workers : s->number + 1;
            r[s->number].pid = r->pid;
        }
        if (!do_step(&r[r->worker], s))
            return false;
    }
    return true;
}

/* ---- Starting and ending the runtime ---- */

static const char *bootstrap, *probe;

/* By $RUN_WITH, if there is one. */
static void execute(const char *executable, char **environment) {
    char *by = getenv("RUN_WITH"), *file = (char *)(uintptr_t)executable;
    signal(SIGINT, SIG_DFL); /* a shell starts its background deaf to it */
    execvpe(by ? by : file, (char *[]){by ? by : file, by ? file : NULL, NULL}, environment);
    _exit(127);
}

/* In the new process: the environment of the case, and `log` as its output; -1 is none. */
static void become_runtime(const struct run *r, int log) {
    enum { MANY = 5000 };
    static const struct rlimit little = {64 * 1024, 64 * 1024};
    static char address[64], *environment[VARIABLES_MAX + MANY + 4] = {address};
    const char *const *variables = r->test->environment;
    size_t n = 1;
    snprintf(address, sizeof address, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:%u", r->port);
    for (size_t i = 0; i < VARIABLES_MAX && variables[i]; i++) {
        bool is_address = strncmp(variables[i], "AWS_LAMBDA_RUNTIME_API", 22) == 0;
        environment[is_address ? 0 : n++] =
            (char *)(uintptr_t)(is_address ? with_port(variables[i], r->port) : variables[i]);
    }
    if (r->test->little_stack) {
        while (n < MANY)
            environment[n++] = address + strlen(address); /* empty */
        setrlimit(RLIMIT_STACK, &little);
    }
    signal(SIGCHLD, SIG_IGN); /* as some parents leave it */
    signal(SIGPIPE, SIG_DFL);
    if (log >= 0) {
        dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
    } else {
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        close(STDERR_FILENO);
    }
    execute(r->test->probe ? probe : bootstrap, environment);
}

static void start(struct run *r) {
    int log = r->test->streams == CLOSED_STREAMS ? -1 : r->log, broken[2] = {-1, -1};
    if (r->test->streams == BROKEN_LOG && pipe2(broken, O_CLOEXEC) == 0) {
        close(broken[0]);
        log = broken[1];
    }
    r->pid =
        r->test->process_1 ? (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0) : fork();
    if (r->pid == 0)
        become_runtime(r, log);
    close(broken[1]);
}

static bool ends(struct run *r) {
    int status = 0;
    for (int waited = 0; waitpid(r->pid, &status, WNOHANG) != r->pid; waited += 5) {
        if (waited > PATIENCE_MS)
            return problem(r, "expected it to end, but it runs");
        usleep(5000);
    }
    r->pid = -1;
    return status == r->test->status ||
           problem(r, "expected the wait status %d, got %d", r->test->status, status);
}

static struct bytes all_of(int log) {
    struct bytes text = {0};
    char block[4096];
    ssize_t n;
    for (off_t at = 0; (n = pread(log, block, sizeof block, at)) > 0; at += n)
        bytes_append(&text, block, (size_t)n);
    bytes_append(&text, "", 1);
    return text;
}

static unsigned lines(const char *text) {
    unsigned n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* As a whole, in as many lines as the pattern of the case has, if it names any. */
static bool logged(struct run *r) {
    const char *pattern = r->test->logs ? r->test->logs : "";
    struct bytes text = all_of(r->log);
    bool fine = fnmatch(pattern, text.data, FNM_NOESCAPE) == 0 &&
                (!lines(pattern) || lines(pattern) == lines(text.data));
    if (!fine)
        problem(r, "on stderr: expected %s, got: %s", pattern, text.data);
    bytes_free(&text);
    return fine;
}

static bool ends_as_expected(struct run *r) {
    bool fine = ends(r);
    if (fine && r->connection < 0 && readable(r->listener, 0))
        fine = problem(r, "made another connection before it ended");
    return fine && logged(r);
}

/* Every worker asks for the next event, and waits for it. */
static bool goes_on(struct run *r) {
    static const struct step next = NEXT;
    for (size_t i = 0; i < r->workers; i++)
        if (!asked(&r[i], &next))
            return false;
    for (size_t i = 0; i < r->workers; i++)
        if (readable(r[i].connection, 20) || readable(r->listener, 0))
            return problem(r, "does not wait quietly for the next event");
    return logged(r);
}

static bool stop_listening(struct run *r) {
    struct sockaddr_in here;
    socklen_t length = sizeof here;
    return (getsockname(r->listener, (struct sockaddr *)&here, &length) == 0 &&
            shutdown(r->listener, SHUT_RD) == 0 && /* which gives the port back */
            bind(r->listener, (struct sockaddr *)&here, length) == 0) ||
           problem(r, "bind: %s", strerror(errno));
}

static bool follows_script(struct run *r) {
    const struct test *t = r->test;
    if (t->late && !stop_listening(r))
        return false;
    start(r);
    if (t->late) {
        usleep(100000);
        listen(r->listener, 1);
    }
    for (unsigned round = 0; round == 0 || round < t->rounds; round++)
        if (!do_steps(r, t->steps))
            return false;
    bool fine = t->status ? ends_as_expected(r) : goes_on(r);
    return fine && (!t->connections || t->connections == r->connections ||
                    problem(r, "made %u connections", r->connections));
}

/* ---- One case ---- */

/* The run, and room behind it for connections of more workers. */
static void begin(struct run *r, const struct test *t) {
    *r = (struct run){.test = t, .workers = 1, .connection = -1, .pid = -1};
    r->listener = listen_on_loopback(&r->port);
    fcntl(r->listener, F_SETFD, FD_CLOEXEC);
    r->log = memfd_create("log", MFD_CLOEXEC);
    for (size_t i = 1; i < WORKERS_MAX; i++)
        r[i] = *r;
}

static void finish(struct run *r) {
    if (r->pid > 0) {
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
    }
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        drop_connection(&r[i], false);
        request_free(&r[i].request);
        bytes_free(&r[i].input);
    }
    close(r->listener);
    close(r->log);
}

static bool passes(const struct test *t) {
    static struct run r[WORKERS_MAX];
    begin(r, t);
    bool fine = (t->play ? t->play(r) : follows_script(r));
    for (size_t i = 0; !fine && i < WORKERS_MAX; i++)
        if (r[i].problem[0])
            printf("FAIL %s (connection %zu, step %zu): %s\n", t->name, i, r->step, r[i].problem);
    if (!fine) {
        struct bytes text = all_of(r->log);
        printf("%s", text.data);
        bytes_free(&text);
    }
    finish(r);
    return fine;
}
