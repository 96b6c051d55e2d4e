/* lambda_test.c - does the local Lambda behave as Lambda does? Invokes it over sockets, and needs
 * nothing but C. Two runtimes serve: PROBE, the shipped one with test/runtime/probe.c, and this
 * program itself, which the local Lambda starts with a SCRIPT in its environment, and which then
 * does what script and events tell it, above all what no runtime should.
 *
 * Most cases are rows of two tables: `rows`, an event or a request and what comes of it;
 * `commands`, a command line. The others are functions: see run_cases.
 *
 *     lambda_test LOCAL_LAMBDA PROBE
 *
 * Build: cc -std=c11 -O2 test/lambda/lambda_test.c test/lambda/wire.c -o lambda_test
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE 1
#include "wire.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ALL_S = 300, /* for the whole run, which takes 20 */
    FAILURES_MAX = 20,
    LIMIT_S = 20, /* nothing here takes so long, but what hangs */
    SAID_S = 10,  /* until what is to come on stderr is there */
    LOAD_CLIENTS = 8,
    LOAD_INVOCATIONS = 10000,
    LOAD_GROWTH_KB = 256 /* of resident memory, from the warm state: the allocator's play */
};

/* ---- A client of HTTP/1.1 ----------------------------------------------------------------- */

struct reply {
    int status;        /* 0: none came */
    struct bytes head; /* with the blank line and a NUL behind it */
    struct bytes body; /* decoded, and a NUL behind it that is not counted */
};

static void reply_free(struct reply *r) {
    bytes_free(&r->head);
    bytes_free(&r->body);
    r->status = 0;
}

static void sleep_ms(unsigned ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
              NULL);
}

static int dial(uint16_t port) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = LIMIT_S};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        perror("lambda_test: connect");
        exit(1);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* a byte alone goes out at once */
    return fd;
}

static bool get(int fd, struct bytes *to, size_t length) {
    char data[65536];
    for (ssize_t n; length > 0; length -= (size_t)n) {
        n = recv(fd, data, length < sizeof data ? length : sizeof data, 0);
        if (n <= 0)
            return false;
        bytes_append(to, data, (size_t)n);
    }
    return true;
}

/* A byte at a time, since what is behind the line is not ours yet. */
static bool get_line(int fd, struct bytes *to) {
    do {
        if (!get(fd, to, 1))
            return false;
    } while (to->data[to->length - 1] != '\n');
    return true;
}

static bool get_chunks(int fd, struct bytes *body) {
    for (size_t size = 1; size > 0;) {
        struct bytes line = {0};
        if (!get_line(fd, &line))
            return false;
        size = strtoul(line.data, NULL, 16);
        bool whole = get(fd, body, size) && get_line(fd, &line);
        bytes_free(&line);
        if (!whole)
            return false;
    }
    return true;
}

/* The value of a field as the local Lambda spells its name, up to CR; NULL when it is absent. */
static const char *field(const struct reply *r, const char *name, size_t *length) {
    char wanted[80];
    snprintf(wanted, sizeof wanted, "\r\n%s: ", name);
    const char *at = r->head.data == NULL ? NULL : strstr(r->head.data, wanted);
    if (at == NULL)
        return NULL;
    at += strlen(wanted);
    *length = strcspn(at, "\r");
    return at;
}

/* Interim responses are left to the caller. False: no whole reply came. */
static bool receive(int fd, struct reply *r) {
    size_t n, start;
    bool whole = true;
    reply_free(r);
    do {
        start = r->head.length;
        if (!get_line(fd, &r->head))
            return false;
    } while (r->head.length - start > 2);
    bytes_append(&r->head, "", 1);
    r->status = (int)strtol(r->head.data + strlen("HTTP/1.1 "), NULL, 10);
    const char *length = field(r, "Content-Length", &n);
    if (length != NULL)
        whole = get(fd, &r->body, strtoul(length, NULL, 10));
    else if (field(r, "Transfer-Encoding", &n) != NULL)
        whole = get_chunks(fd, &r->body);
    else if (r->status != 204 && r->status >= 200)
        while (get(fd, &r->body, 1))
            continue;
    bytes_append(&r->body, "", 1);
    r->body.length--;
    return whole;
}

/* `call`: method and target. */
static void request(int fd, const char *call, const char *fields, const void *body, size_t length) {
    struct bytes all = {0};
    bytes_format(&all, "%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %zu\r\n\r\n", call,
                 fields, length);
    bytes_append(&all, body, length);
    send_all(fd, all.data, all.length);
    bytes_free(&all);
}

/* ---- A runtime that does as it is told ----------------------------------------------------- */

/* It is told steps, with semicolons between them: a name, and what belongs to it. What becomes of
 * them it notes on its stderr. */

#define API "/2018-06-01/runtime"

static int lambda = -1, put_aside; /* connections to the Runtime API */
static struct reply seen;          /* the last */
static char id[64];                /* of the last event */
static char nonce_field[128];      /* which came with it */
static char extra[128];            /* fields of the next answer or call */
static const char *stubborn;       /* what is done on SIGTERM: exit, or stay */

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vdprintf(STDERR_FILENO, format, arguments);
    va_end(arguments);
}

static void connect_again(void) {
    const char *address = getenv("AWS_LAMBDA_RUNTIME_API");
    lambda = dial((uint16_t)strtoul(strchr(address, ':') + 1, NULL, 10));
}

static void reconnect(void) {
    close(lambda);
    connect_again();
}

/* Does the other end close the connection? */
static void see_close(void) {
    struct bytes rest = {0};
    note("%s\n", get(lambda, &rest, 1) ? "and goes on" : "and closes");
    bytes_free(&rest);
    reconnect();
}

static void see_reply(const char *name) {
    size_t n;
    if (!receive(lambda, &seen)) {
        note("%s: no reply\n", name);
        return;
    }
    note("%s: %d %s\n", name, seen.status, seen.body.data);
    if (field(&seen, "Content-Length", &n) == NULL)
        note("without a length\n");
    if (strstr(seen.head.data, "\r\nConnection: close\r\n") != NULL)
        see_close();
}

/* *NUMBER is so many x, =head the head that was received last, =environment all variables, =prelude
 * one with its end, as a chunk; and any other text is itself. */
static void append_text(struct bytes *to, const char *text) {
    if (strcmp(text, "=head") == 0)
        bytes_append(to, seen.head.data, seen.head.length - 1);
    else if (strcmp(text, "=prelude") == 0)
        bytes_append(to, "1a\r\n{\"statusCode\":299}\0\0\0\0\0\0\0\0\r\n", 32);
    else if (strcmp(text, "=environment") == 0)
        for (char **variable = environ; *variable != NULL; variable++)
            bytes_format(to, "%s\n", *variable);
    else if (text[0] != '*')
        bytes_text(to, text);
    else
        for (unsigned long n = strtoul(text + 1, NULL, 10); n > 0; n--)
            bytes_append(to, "x", 1);
}

static void send_raw(const char *text) {
    struct bytes all = {0};
    append_text(&all, text);
    send_all(lambda, all.data, all.length); /* what becomes of it, the reply shows */
    bytes_free(&all);
}

/* Byte by byte a response to the last event: the first lines of its head, then what is given. */
static void begin_response(const char *rest) {
    struct bytes all = {0};
    bytes_format(&all, "POST " API "/invocation/%s/response HTTP/1.1\r\nHost: a\r\n%s", id, rest);
    for (size_t i = 0; i < all.length; i++)
        send_all(lambda, all.data + i, 1);
    bytes_free(&all);
}

/* With the fields that the steps before have added. */
static void call(const char *method_and_target, const char *text) {
    struct bytes body = {0};
    append_text(&body, text);
    request(lambda, method_and_target, extra, body.data, body.length);
    bytes_free(&body);
    extra[0] = '\0';
    see_reply(strrchr(method_and_target, '/') + 1);
}

/* METHOD TARGET BODY, of which the body may be left out. */
static void call_words(const char *words) {
    char to[128];
    size_t n = strcspn(words, " ") + 1;
    n += strcspn(words + n, " ");
    snprintf(to, sizeof to, "%.*s", (int)n, words);
    call(to, words + n + (words[n] == ' '));
}

static void answer(const char *kind, const char *text) {
    char to[160];
    snprintf(to, sizeof to, "POST " API "/invocation/%s/%s", id, kind);
    call(to, text);
}

static void poll_next(const char *body) {
    request(lambda, "GET " API "/invocation/next", "", body, strlen(body));
}

/* The reply to the poll. */
static void take_event(void) {
    char before[sizeof id];
    size_t n;
    memcpy(before, id, sizeof id);
    if (!receive(lambda, &seen) || seen.status != 200) {
        note("next: %d %s\n", seen.status, seen.body.data == NULL ? "" : seen.body.data);
        return;
    }
    const char *value = field(&seen, "Lambda-Runtime-Aws-Request-Id", &n);
    snprintf(id, sizeof id, "%.*s", (int)n, value);
    value = field(&seen, "Lambda-Runtime-Invocation-Id", &n);
    snprintf(nonce_field, sizeof nonce_field, "Lambda-Runtime-Invocation-Id: %.*s\r\n", (int)n,
             value);
    if (strcmp(before, id) == 0)
        note("next: the same again\n");
}

/* With what the reply to register has said. */
static void listen_as_extension(void) {
    size_t n = 0;
    const char *identifier = field(&seen, "Lambda-Extension-Identifier", &n);
    snprintf(extra, sizeof extra, "Lambda-Extension-Identifier: %.*s\r\n", (int)n, identifier);
    request(lambda, "GET /2020-01-01/extension/event/next", extra, "", 0);
    extra[0] = '\0';
}

static void on_sigterm(int number) {
    note("signal %d\n", number);
    while (strcmp(stubborn, "stay") == 0)
        pause();
    _exit(0);
}

/* What is done next, the local Lambda finds all at once. */
static void stop_lambda_for_a_while(void) {
    pid_t local = getppid();
    kill(local, SIGSTOP);
    if (fork() == 0) {
        setpgid(0, 0);
        sleep_ms(100);
        kill(local, SIGCONT);
        _exit(0);
    }
}

static void run_steps(char *script);

/* Each event is a script, or the body of one is, that the function URL has made. */
static void obey(void) {
    for (poll_next(""), take_event(); seen.status == 200; poll_next(""), take_event()) {
        struct bytes script = {0};
        const char *event = seen.body.data, *body = json_member(event, "body");
        if (event[0] != '{' || body != NULL)
            json_text(body == NULL ? event : body, &script);
        bytes_append(&script, "", 1);
        run_steps(script.data);
        bytes_free(&script);
    }
    _exit(3);
}

/* Of a Managed Instances environment. */
static void start_workers(void) {
    unsigned long count = strtoul(getenv("AWS_LAMBDA_MAX_CONCURRENCY"), NULL, 10);
    for (unsigned long i = 0; i < count; i++)
        if (fork() == 0) {
            reconnect();
            obey();
        }
    pause();
}

static void run_step(const char *step, const char *given) {
    char byte;
    if (strcmp(step, "next") == 0) {
        poll_next("");
        take_event();
    } else if (strcmp(step, "poll") == 0)
        poll_next(given);
    else if (strcmp(step, "take") == 0)
        take_event();
    else if (strcmp(step, "response") == 0 || strcmp(step, "error") == 0)
        answer(step, given);
    else if (strcmp(step, "field") == 0)
        snprintf(extra, sizeof extra, "%s\r\n", given);
    else if (strcmp(step, "nonce") == 0)
        memcpy(extra, nonce_field, sizeof extra);
    else if (strcmp(step, "call") == 0)
        call_words(given);
    else if (strcmp(step, "raw") == 0)
        send_raw(given);
    else if (strcmp(step, "begin") == 0)
        begin_response(given);
    else if (strcmp(step, "reply") == 0)
        see_reply(given);
    else if (strcmp(step, "reconnect") == 0)
        reconnect();
    else if (strcmp(step, "aside") == 0) {
        put_aside = lambda;
        connect_again();
    } else if (strcmp(step, "back") == 0)
        lambda = put_aside;
    else if (strcmp(step, "listen") == 0)
        listen_as_extension();
    else if (strcmp(step, "silence") == 0)
        note("%s\n", recv(lambda, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 ? step : "noise");
    else if (strcmp(step, "sigterm") == 0) {
        stubborn = given;
        signal(SIGTERM, on_sigterm);
    } else if (strcmp(step, "note") == 0)
        note("%s\n", given);
    else if (strcmp(step, "sleep") == 0)
        sleep_ms((unsigned)strtoul(given, NULL, 10));
    else if (strcmp(step, "await") == 0)
        while (access(given, F_OK) != 0)
            sleep_ms(1);
    else if (strcmp(step, "use") == 0) /* so many MB */
        mmap(NULL, strtoul(given, NULL, 10) << 20, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    else if (strcmp(step, "pause") == 0)
        pause();
    else if (strcmp(step, "exit") == 0)
        _exit((int)strtol(given, NULL, 10));
    else if (strcmp(step, "kill") == 0) /* the process that started the workers */
        kill(getppid(), SIGTERM);
    else if (strcmp(step, "haste") == 0)
        stop_lambda_for_a_while();
    else if (strcmp(step, "obey") == 0)
        obey();
    else if (strcmp(step, "workers") == 0)
        start_workers();
    else
        note("no step is called '%s'\n", step);
}

static void run_steps(char *script) {
    char *rest;
    for (char *one = strtok_r(script, ";", &rest); one != NULL; one = strtok_r(NULL, ";", &rest)) {
        char *step = one + strspn(one, " "), *given = step + strcspn(step, " ");
        if (*given == ' ')
            *given++ = '\0';
        run_step(step, given);
    }
}

/* ---- The local Lambda under test ----------------------------------------------------------- */

struct local {
    pid_t pid;
    int out, err; /* files in memory: its stdout and stderr */
    uint16_t port;
    int status; /* after its end */
    char *text, *printed;
    size_t from; /* from there on of its stderr, what is to come is looked for */
};

static const char *program, *probe, *self;
static int passed, failed;

/* One verdict; `about` is shown when it is bad. */
static void check(bool right, const char *name, const char *what, const char *about) {
    passed += right;
    failed += !right;
    if (right)
        return;
    printf("FAILED %s: %s\n----\n%.3000s\n----\n", name, what, about == NULL ? "" : about);
    fflush(stdout); /* in case that the whole run takes too long */
    if (failed == FAILURES_MAX) {
        printf("%d passed, %d failed\n", passed, failed);
        exit(1);
    }
}

/* Between parts of a text, each of which is to be there. */
#define AND "\1"

/* The first of them, valid until the next call; NULL: there is none left. */
static const char *cut_part(const char **rest) {
    static char *part;
    if (*rest == NULL)
        return NULL;
    size_t length = strcspn(*rest, AND);
    free(part);
    part = strndup(*rest, length);
    *rest = (*rest)[length] == '\0' ? NULL : *rest + length + 1;
    return part;
}

/* In this order. */
static void check_order(const char *name, const char *text, const char *parts) {
    const char *at = text;
    for (const char *rest = parts, *part; (part = cut_part(&rest)) != NULL;) {
        at = at == NULL ? NULL : strstr(at, part);
        check(at != NULL, name, part, text);
    }
}

static char *whole_file(int fd) {
    struct stat about;
    fstat(fd, &about);
    char *text = calloc(1, (size_t)about.st_size + 1);
    if (text == NULL || pread(fd, text, (size_t)about.st_size, 0) != about.st_size)
        exit(1);
    return text;
}

/* `how` is as in a shell, NAME=value and blanks, and then "probe" or a script. */
static struct local launch(const char *how, const char *mode, const char *event) {
    struct local l = {.out = memfd_create("out", MFD_CLOEXEC),
                      .err = memfd_create("err", MFD_CLOEXEC)};
    l.pid = fork();
    if (l.pid != 0)
        return l;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(open("event", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
    dup2(l.out, STDOUT_FILENO);
    dup2(l.err, STDERR_FILENO);
    unsetenv("FUNCTION");
    setenv("PORT", "0", 1);
    setenv("BOOTSTRAP", probe, 1);
    for (size_t n; n = strcspn(how, " "), memchr(how, '=', n) != NULL; how += n + 1)
        putenv(strndup(how, n));
    if (strcmp(how, "probe") != 0) {
        setenv("BOOTSTRAP", self, 1);
        setenv("SCRIPT", how, 1);
    }
    execl(program, program, mode, event, NULL);
    _exit(127);
}

static bool says(struct local *l, const char *text) {
    free(l->text);
    l->text = whole_file(l->err);
    return strstr(l->text + l->from, text) != NULL;
}

static bool comes_to_say(struct local *l, const char *text) {
    for (int i = 0; i < SAID_S * 100 && !says(l, text); i++)
        sleep_ms(10);
    return strstr(l->text + l->from, text) != NULL;
}

static void check_said(struct local *l, const char *name, const char *text) {
    bool said = comes_to_say(l, text);
    check(said, name, text, l->text);
}

static void wait_for_end(struct local *l) {
    waitpid(l->pid, &l->status, 0);
    says(l, "");
    l->printed = whole_file(l->out);
}

static void discard(struct local *l) {
    close(l->out);
    close(l->err);
    free(l->text);
    free(l->printed);
    l->pid = 0;
}

/* ---- What it serves ------------------------------------------------------------------------ */

#define FUNCTIONS "/2015-03-31/functions/"
#define FUNCTION FUNCTIONS "function"
#define INVOKE "POST " FUNCTION "/invocations"

static struct local served; /* the one that serves now */

static void stop(void) {
    kill(served.pid, SIGINT);
    wait_for_end(&served);
    check(served.status == 0, "Ctrl-C", "exit status", served.text);
    discard(&served);
}

/* In place of the one before. */
static void serve(const char *how) {
    if (served.pid != 0)
        stop();
    served = launch(how, "serve", NULL);
    const char *at = comes_to_say(&served, "Ctrl-C") ? strstr(served.text, "127.0.0.1:") : NULL;
    served.port = at == NULL ? 0 : (uint16_t)strtoul(at + 10, NULL, 10);
}

/* From here on it has said nothing. */
static void forget_what_was_said(void) {
    says(&served, "");
    served.from = strlen(served.text);
}

static int send_call(const char *call_of, const char *fields, const char *body) {
    int fd = dial(served.port);
    request(fd, call_of, fields, body, strlen(body));
    return fd;
}

/* What a function is told in words goes to it as a JSON string. */
static int send_event(const char *fields, const char *event) {
    struct bytes body = {0};
    if (isalpha((unsigned char)event[0]))
        json_string(&body, event, strlen(event));
    else
        bytes_text(&body, event);
    bytes_append(&body, "", 1);
    int fd = send_call(INVOKE, fields, body.data);
    bytes_free(&body);
    return fd;
}

static struct reply take_reply(int fd) {
    struct reply r = {0};
    receive(fd, &r);
    close(fd);
    return r;
}

static bool holds(const struct bytes *bytes, const char *text) {
    return bytes->data != NULL && memmem(bytes->data, bytes->length, text, strlen(text)) != NULL;
}

/* A part of the body of the reply to what was sent before. */
static void check_reply(int fd, const char *name, const char *part) {
    struct reply r = take_reply(fd);
    check(holds(&r.body, part), name, part, r.body.data);
    reply_free(&r);
}

/* ---- Exchanges: an event, and what comes of it --------------------------------------------- */

struct row {
    const char *name;
    const char *how;   /* a local Lambda for it, as launch takes it; NULL: the one that serves */
    const char *event; /* or what `call` has as its body */
    const char *body;  /* parts of the reply's */
    const char *said;  /* NULL, or parts of the reply's head or of what comes on stderr */
    const char *call;  /* NULL: the function is invoked */
    const char *fields;
    int status; /* 0: 200 */
};

static void exchange(const struct row *row) {
    int status = row->status == 0 ? 200 : row->status;
    const char *fields = row->fields == NULL ? "" : row->fields;
    if (row->how != NULL)
        serve(row->how);
    else
        forget_what_was_said();
    struct reply r = take_reply(row->call == NULL ? send_event(fields, row->event)
                                                  : send_call(row->call, fields, row->event));
    check(r.status == status, row->name, "status", r.head.data);
    for (const char *rest = row->body, *part; (part = cut_part(&rest)) != NULL;)
        check(holds(&r.body, part), row->name, part, r.body.data);
    for (const char *rest = row->said, *part; (part = cut_part(&rest)) != NULL;)
        if (holds(&r.head, part))
            passed++;
        else
            check_said(&served, row->name, part);
    reply_free(&r);
}

#define EXPECT(...) exchange(&(struct row){__VA_ARGS__})

#define UNHANDLED "X-Amz-Function-Error: Unhandled\r\n"
#define TRANSITION(from, to)                                                                       \
    "403 {\"errorMessage\":\"State transition from " from " to " to " failed for runtime. Error: " \
    "State transition is not allowed\",\"errorType\":\"InvalidStateTransition\"}\n"
#define NO_KEY       \
    "call POST " API \
    "/init/error {\"errorMessage\":\"no key\",\"errorType\":\"Runtime.APIKeyNotFound\"}; "
#define HASTE "{\"errorType\":\"Haste\"}"
#define TRACE "X-Amzn-Trace-Id: Root=1\r\nX-Amz-Tenant-Id: t\r\n"
#define SYNC "X-Amz-Invocation-Type: Sync\r\n"
#define ASYNC "X-Amz-Invocation-Type: Event\r\n"
#define DRY_RUN "X-Amz-Invocation-Type: DryRun\r\n"
#define EXTENSION "/2020-01-01/extension"
#define REGISTER \
    "field Lambda-Extension-Name: x; call POST " EXTENSION "/register {\"events\":[]}; "
#define LISTEN REGISTER "listen; aside; "
#define SIGNALLED "signal 15\n"
#define NOT_FOUND "x-amzn-ErrorType: ResourceNotFoundException\r\n"
#define URL_STREAM                                                                             \
    "begin Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n" \
    "Content-Type: "
#define URL_HTTP URL_STREAM "application/vnd.awslambda.http-integration-response\r\n\r\n; "
#define PLAIN "Content-Type: text/plain\r\n"
#define PNG "Content-Type: image/png\r\n"
#define URL "POST /", PLAIN /* call and fields */

static const struct row rows[] = {
    /* The shipped runtime. */
    {"echo", "probe", "{\"text\":\"Hello\"}", "{\"text\":\"Hello\"}",
     "X-Amz-Executed-Version: $LATEST\r\n" AND "Init Duration: "},
    {"no event", NULL, "", "{}"},
    {"MEMORY", "MEMORY=256 probe", "1", "1", "Memory Size: 256 MB"},
    {"the function fails", "probe", "fail Function.Refused it said \"no\"",
     "{\"errorType\":\"Function.Refused\",\"stackTrace\":[],"
     "\"errorMessage\":\"it said \\\\\\\"no\\\\\\\"\"}",
     UNHANDLED},
    {"a response beyond 6 MB", NULL, "large 6291557",
     "Response payload size (6291557 bytes) exceeded maximum allowed payload size "
     "(6291556 bytes).",
     UNHANDLED},
    {"the process is killed", NULL, "crash", "Error: Runtime exited with error: signal: killed\"}",
     UNHANDLED AND "Runtime.ExitError" AND "END RequestId"},
    {"and a fresh one serves", NULL, "2", "2"},
    {"an initialization error", "PROBE_FAIL=1 probe", "1", "\"errorType\":\"Function.NoDatabase\"",
     UNHANDLED},
    {"another initialization error", NULL, "2", "\"errorType\":\"Function.NoDatabase\""},
    {"DryRun", "probe", "crash", "", "x-amzn-RequestId: ", NULL, DRY_RUN, 204},
    {"Event", NULL, "log info a line", "", "x-amzn-RequestId: " AND "a line\n" AND "REPORT", NULL,
     ASYNC, 202},
    {"an unknown invocation type", NULL, "1", "", "InvalidParameterValueException", NULL, SYNC,
     400},
    {"client context and tenant", NULL, "context", "|{\"a\": 1}||blue|",
     .fields = "X-Amz-Client-Context: eyJhIjoKMX0=\r\nX-Amz-Tenant-Id: blue\r\n"},
    {"a client context that is no base64", NULL, "1", "", "InvalidRequestContentException", NULL,
     "X-Amz-Client-Context: {}\r\n", 400},
    {"a stream", NULL, "stream one two three", "onetwothree"},
    {"a stream that ends with an error", NULL, "streamlate one two", "onetwo",
     "the stream ended with Function.L"},

    /* Events that are no JSON. */
    {"a wrong byte in JSON", "probe", "{\"a\":\n 'b'}",
     "{\"Type\":\"User\",\"Message\":\"Could not parse request body into json: Could not "
     "parse payload into json: Unexpected token at [line: 2, column: 2]\"}",
     "x-amzn-ErrorType: InvalidRequestContentException\r\n", .status = 400},
    {"JSON that is cut off, asynchronous", NULL, "[1,",
     "Unexpected end-of-input at [line: 1, column: 4]", NULL, NULL, ASYNC, 400},
    {"no JSON in a DryRun", NULL, "01", "", NULL, NULL, DRY_RUN, 400},

    /* The names of a function. */
    {"its name", "FUNCTION=hello probe", "1", "1", .call = "POST " FUNCTIONS "hello/invocations"},
    {"its version", NULL, "1", "1",
     .call = "POST " FUNCTIONS "hello/invocations?Qualifier=%24LATEST"},
    {"its version in the path", NULL, "1", "1",
     .call = "POST " FUNCTIONS "hello%3A$LATEST/invocations"},
    {"a partial ARN", NULL, "1", "1",
     .call = "POST " FUNCTIONS "123456789012:function:hello/invocations"},
    {"an ARN", NULL, "1", "1",
     .call = "POST " FUNCTIONS "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Ahello"
             "/invocations?Qualifier=$LATEST"},
    {"another version", NULL, "1", ":123456789012:function:hello:1\"", NOT_FOUND,
     "POST " FUNCTIONS "hello/invocations?a&Qualifier=1&b", NULL, 404},
    {"another alias", NULL, "1", ":function:hello:live\"",
     NOT_FOUND AND "asks for the function hello:live, and FUNCTION is hello\n",
     "POST " FUNCTIONS "hello:live/invocations", NULL, 404},
    {"a shorter name", NULL, "1", "Function not found: arn:aws:lambda:", NOT_FOUND,
     "POST " FUNCTIONS "hell/invocations", NULL, 404},
    {"a name with a percent sign", NULL, "1", ":123456789012:function:hello%\"", NOT_FOUND,
     "POST " FUNCTIONS "hello%/invocations", NULL, 404},
    {"a longer name", NULL, "1", ":123456789012:function:hello2\"", NOT_FOUND,
     "POST " FUNCTIONS "hello2/invocations", NULL, 404},
    {"another function", NULL, "", ":123456789012:function:function\"", NOT_FOUND, "GET " FUNCTION,
     NULL, 404},
    {"its configuration", NULL, "", "{\"FunctionName\":\"hello\"",
     .call = "GET " FUNCTIONS "hello/configuration"},
    {"any name without FUNCTION", "probe", "1", "1",
     .call = "POST " FUNCTIONS "any/invocations?Qualifier=1"},

    /* Answers at the wrong time. */
    {"an answer", "obey", "response 1", "1", "response: 202 {\"status\":\"OK\"}\n"},
    {"a second answer", NULL, "response \"first\"; response \"second\"; error {}", "\"first\"",
     "response: " TRANSITION("ResponseSent", "InvocationResponse") AND "error: " TRANSITION(
         "ResponseSent", "InvocationErrorResponse") AND "local_lambda: the runtime answers "},
    {"an answer to an unknown request", NULL,
     "call POST " API "/invocation/8476a536-e9f4-11e8-9739-2dfe598c3fcd/response 1; "
     "response \"right\"",
     "\"right\"",
     "response: 400 {\"errorMessage\":\"Invalid request ID\",\"errorType\":"
     "\"InvalidRequestID\"}\n" AND "which is not being served"},
    {"6 MB for an unknown request, announced and not sent", NULL,
     "raw POST " API "/invocation/x/response HTTP/1.1\r\nHost: a\r\n"
     "Content-Length: 6000000\r\n\r\n; reply early; response \"right\"",
     "\"right\"", "early: 400 " AND "and closes"},
    {"three bytes for an unknown request, sent behind its refusal", NULL,
     "raw POST " API "/invocation/x/response HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n; "
     "reply early; raw \"c\"; response \"right\"",
     "\"right\"", "early: 400 "},
    {"another invocation id", NULL,
     "field Lambda-Runtime-Invocation-Id: stale; response 1; nonce; response \"fresh\"",
     "\"fresh\"",
     "response: 410 {\"errorMessage\":\"Invoke timeout\",\"errorType\":\"InvokeTimeout\"}\n" AND
     "must be the one that came with the event"},

    /* Answers of the wrong form. */
    {"an answer of 6 MB", NULL, "response *6291556", "xxx",
     "Content-Length: 6291556\r\n" AND "response: 202 "},
    {"an answer of 6 MB and one byte", NULL, "response *6291557; error {}",
     "Function.ResponseSizeTooLarge",
     UNHANDLED AND
     "response: 413 {\"errorMessage\":\"Exceeded maximum allowed payload size (6291556 "
     "bytes).\",\"errorType\":\"RequestEntityTooLarge\"}\n" AND "error: 403 "},
    {"an unknown response mode", "obey",
     "field Lambda-Runtime-Function-Response-Mode: Streaming; response 1; error {}; next; exit 3",
     "Runtime.InvalidResponseModeHeader",
     UNHANDLED AND
     "response: 400 {\"errorMessage\":\"Invalid function response mode\",\"errorType\":"
     "\"InvalidFunctionResponseMode\"}" AND "error: 403 " AND "next: 403 " AND
     "is not 'streaming', its only value"},
    {"an answer that breaks off", NULL,
     "begin Content-Length: 100\r\n\r\nhalf; reconnect; response \"again\"; next; exit 3",
     "exit status 3\"}",
     UNHANDLED AND "response: " TRANSITION("InvocationResponse", "InvocationResponse") AND
     "next: 403 " AND "broke off" AND "it can only exit"},

    /* Requests that are wrong. */
    {"lines that end with LF alone", "obey",
     "raw GET / HTTP/1.1\nHost: a\n\n; reply malformed; response \"healed\"", "\"healed\"",
     "malformed: 400 400 Bad Request: a line ends with LF alone" AND "without a length"},
    {"a head beyond 1 MB", NULL,
     "raw GET " API "/invocation/next HTTP/1.1\r\nHost: a\r\nX: ; raw *1100000; reply long; "
     "response \"healed\"",
     "\"healed\"", "long: 431 "},
    {"routes that there are not", NULL,
     "call POST " API "/invocation/next; call POST /2018-06-01/nowhere; response \"there\"",
     "\"there\"", "next: 405 \n" AND "nowhere: 404 404 page not found\n"},
    {"GET next with a body", "poll {}; take; response \"polled\"; obey", "", "\"polled\"",
     "the runtime sends a body with GET next: Managed Instances refuse that"},
    {"two polls", "obey", "response 1; poll; aside; next; back; take", "1",
     "next: 403 " AND "one GET next at a time"},
    {"a poll is given up", "TIMEOUT=1 obey", "response 1; poll; reconnect; note gone; pause", "1",
     "gone\n"},
    {"an event for the poll that was given up", NULL, "", "Sandbox.Timedout",
     "the runtime gave up its waiting poll"},
    {"a time-out", "TIMEOUT=1 obey", "pause", "Error: Task timed out after 1.00 seconds\"}",
     UNHANDLED AND " Task timed out after 1.00 seconds\n" AND "REPORT"},
    {"another time-out", NULL, "pause", "Sandbox.Timedout"},

    /* Runtimes that fail to start. */
    {"init/error twice, and a poll", NO_KEY NO_KEY "next; exit 1", "", "Runtime.APIKeyNotFound",
     UNHANDLED AND "error: 202 " AND "error: 403 " AND "next: 403 "},
    {"init/error without an exit", NO_KEY "pause", "", "Runtime.APIKeyNotFound",
     UNHANDLED AND "has not exited 2 s after init/error: it must exit at once"},
    {"init/error just before the exit",
     "haste; raw POST " API "/init/error HTTP/1.1\r\nHost: a\r\nContent-Length: 21\r\n\r\n" HASTE
     "; exit 1",
     "", HASTE, UNHANDLED},
    {"init/error after the first poll", "obey",
     "call POST " API "/init/error {}; response \"late\"", "\"late\"",
     "error: 403 " AND "once, before GET next"},
    {"an exit before the first poll", "exit 9", "", "exit status 9\"}",
     UNHANDLED AND "ended before it asked for its first event"},

    /* What runtimes may do. */
    {"the fields of an event", "obey", "response =head",
     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: " AND
     "\r\nLambda-Runtime-Aws-Tenant-Id: t\r\nLambda-Runtime-Deadline-Ms: " AND
     ":function:function\r\nLambda-Runtime-Trace-Id: Root=1\r\nDate: ",
     .fields = TRACE},
    {"the environment", "AWS_LAMBDA_MAX_CONCURRENCY=9 obey", "response =environment",
     "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand\n"},
    {"the same event again", "obey", "reconnect; next; response 1", "1",
     "it gets the same again" AND "next: the same again\n"},
    {"a stream of the runtime's own, with an error", NULL,
     "begin Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
     "Trailer: Lambda-Runtime-Function-Error-Type\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n"
     "Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n\r\n; reply stream",
     "abcdefg", "stream: 202 " AND "the stream ended with Runtime.StreamError"},
    {"100 Continue", NULL,
     "begin Expect: 100-continue\r\nContent-Length: 3\r\n\r\n; reply head; raw \"c\"; reply body",
     "\"c\"", "head: 100 " AND "body: 202 "},
    {"an answer on another connection", NULL, "aside; response \"elsewhere\"; back",
     "\"elsewhere\"", "response: 202 "},

    /* Extensions within the runtime. */
    {"an extension", LISTEN "obey", "response 1; back; silence; reconnect", "1",
     "silence\n" AND
     "register: 200 {\"functionName\":\"function\",\"functionVersion\":\"$LATEST\"}\n"},
    {"an extension that asks for no event", REGISTER "obey", "response 1", "1",
     "Lambda's initialization waits for that"},
    {"extensions that are refused",
     "call POST " EXTENSION "/register {}; call GET " EXTENSION "/event/next; "
     "field Lambda-Extension-Name: x; "
     "call POST " EXTENSION "/register {\"events\":[\"SHUTDOWN\"]}; " LISTEN REGISTER "obey",
     REGISTER "response 1", "1",
     "Extension.InvalidExtensionName\"}" AND
     "next: 403 {\"errorMessage\":\"Lambda-Extension-Identifier must be the one that came with "
     "register\",\"errorType\":\"Extension.UnknownExtensionIdentifier\"}" AND
     "Extension.InvalidEventType\"}" AND "Extension.InvalidExtensionState\"}" AND
     "Extension.RegistrationClosed\"}"},
    {"SIGTERM after a time-out", "TIMEOUT=1 sigterm exit; " LISTEN "obey", "pause",
     "Task timed out", SIGNALLED},
    {"an extension, and then", "sigterm exit; " LISTEN "obey", "response 1", "1"},
    {"SIGTERM after a change of the configuration", NULL, "{\"Environment\":{\"Variables\":{}}}",
     "", SIGNALLED, "PUT " FUNCTION "/configuration"},
    {"and a fresh environment", NULL, "response 2", "2"},

    /* Requests to the function URL, as events. */
    {"URL: path and query as they came", "probe", "",
     "\"rawPath\":\"/a%20b\",\"rawQueryString\":\"c=%26&d&c=e\",",
     .call = "GET /a%20b?c=%26&d&c=e"},
    {"URL: the parameters of the query", NULL, "",
     ",\"queryStringParameters\":{\"c\":\"&,e\",\"d\":\"\"},", "Content-Type: application/json\r\n",
     "GET /a%20b?c=%26&d&c=e"},
    {"URL: headers and cookies", NULL, "",
     "\"headers\":{\"host\":\"127.0.0.1\",\"x-a\":\"1,2\",\"content-length\":\"0\"},"
     "\"cookies\":[\"b=2\",\"c=\\\"3\\\"\"],\"requestContext\":{",
     NULL, "GET /", "X-A: 1\r\nCookie: b=2; c=\"3\"\r\nx-a:  2 \r\n"},
    {"URL: the method", NULL, "", "\"http\":{\"method\":\"PATCH\",\"path\":\"/\",",
     .call = "PATCH /"},
    {"URL: the user agent, and no body", NULL, "",
     "\"userAgent\":\"u\"}},\"isBase64Encoded\":false}", NULL, "GET /", "User-Agent: u\r\n"},
    {"URL: a body that is text", NULL, "\"\xc3\xa9\"", "false,\"body\":\"\\\"\xc3\xa9\\\"\"}", NULL,
     "POST /", PLAIN},
    {"URL: a body that is not", NULL, "\"a", "true,\"body\":\"ImE=\"}", NULL, "POST /", PNG},
    {"URL: a path like the API's", NULL, "", "\"rawPath\":\"/2015-03-31/other\"",
     .call = "PUT /2015-03-31/other"},
    {"not the URL: what the API does not have", NULL, "", "", NOT_FOUND, "GET " FUNCTIONS "a/b",
     NULL, 404},

    /* Answers as responses of the function URL. */
    {"URL: a response with all its members", "obey",
     "response {\"statusCode\":201,\"headers\":{\"X-A\":\"b\",\"n\":1,\"Date\":\"\"},\"cookies\":"
     "[\"a=1\",\"b=2\"],\"more\":[{}],\"isBase64Encoded\":true,\"body\":\"aGk=\"}",
     "hi",
     "\r\nX-A: b\r\nn: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Type: app" AND
     "\r\nContent-Length: 2\r\n",
     URL, 201},
    {"URL: a status as a string", NULL,
     "response {\"statusCode\":\"404\",\"headers\":{\"content-type\":\"text/css\"}}", "",
     "\r\ncontent-type: text/css\r\nx-amzn-RequestId: ", URL, 404},
    {"URL: headers without a status", NULL, "response {\"headers\":{\"X-A\":\"b\"},\"body\":{}}",
     "{\"headers\":", "\r\nContent-Type: app", URL},
    {"URL: any JSON", NULL, "response \"text\"", "\"text\"",
     "\r\nContent-Type: application/json\r\n", URL},
    {"URL: no JSON", NULL, "response text", "Internal Server Error",
     "the function URL answers 502: text\n", URL, 502},
    {"URL: a wrong status", NULL, "response {\"statusCode\":99}", "", NULL, URL, 502},
    {"URL: a body that is an object", NULL, "response {\"statusCode\":200,\"body\":{}}", "", NULL,
     URL, 502},
    {"URL: a line break in a field", NULL,
     "response {\"statusCode\":200,\"headers\":{\"a\":\"\\r\\nb\"}}", "", NULL, URL, 502},
    {"URL: a body that is no base64", NULL,
     "response {\"statusCode\":200,\"body\":\"*\",\"isBase64Encoded\":true}", "", NULL, URL, 502},
    {"URL: the function fails", NULL, "error " HASTE, "Internal Server Error", HASTE, URL, 502},
    {"URL: the process ends", NULL, "exit 1", "Internal Server Error", "Runtime.ExitError", URL,
     502},
    {"URL: a stream", NULL,
     URL_STREAM "text/css\r\n\r\n3\r\none\r\n; raw 3\r\ntwo\r\n0\r\n\r\n; reply url", "onetwo",
     "\r\nContent-Type: text/css\r\n", URL},
    {"URL: a stream with a head of its own", NULL,
     URL_HTTP "raw =prelude; raw 3\r\ntwo\r\n0\r\n\r\n; reply url", "two",
     "\r\nTransfer-Encoding: chunked\r\n", URL, 299},
    {"URL: a stream without the end of its head", NULL,
     URL_HTTP "raw 2\r\n{}\r\n0\r\n\r\n; reply url", "", NULL, URL, 502},

    /* Requests of another form. */
    {"HTTP/1.0, which is told that the connection ends", "probe", "1", "1",
     "\r\nConnection: close\r\n", INVOKE " HTTP/1.0\r\nX:", "Connection: keep-alive\r\n"},
    {"HEAD, with the reply to what comes next in place of a body", NULL, "1", "HTTP/1.1 200 OK\r\n",
     .call = "HEAD " FUNCTION "/configuration HTTP/1.1\r\nHost: a\r\n\r\n" INVOKE, .status = 405},
    {"a target in absolute form", NULL, "",
     "{\"FunctionName\":", .call = "GET HTTP://a:1" FUNCTION "/configuration?a"},
    {"an absolute form without a path", NULL, "", "",
     .call = "GET http://a HTTP/1.0\r\nX:", .status = 505},
    {"an absolute form without a host", NULL, "", "neither with a slash nor", .status = 400,
     .call = "GET http:///" FUNCTION}};

/* Of JSON, what is none has a wrong byte at the given place. */
static void json_or_none(void) {
    static const struct {
        const char *text;
        int wrong; /* -1: nothing is */
    } texts[] = {{"{\"a\" : [1, -0.5e+7, 2E1, [], {}, true,false, null]}\r\n\t ", -1},
                 {"\"\\u00e9 \\\"\\/\\n \xc3\xa9\"", -1},
                 {"[[[[[[[[[[{\"\":{\"b\":0}}]]]]]]]]]]", -1},
                 {" ", 1},
                 {"x", 0},
                 {"nul", 0},
                 {"1 2", 2},
                 {"01", 0},
                 {"-", 0},
                 {"1.", 0},
                 {"1.5e", 0},
                 {"+1", 0},
                 {"'a'", 0},
                 {"\"a", 0},
                 {"\"\\x\"", 0},
                 {"\"\\u00g0\"", 0},
                 {"\"\t\"", 0},
                 {"\"\xc3\"", 0},
                 {"[1,]", 3},
                 {"[1 2]", 3},
                 {"[1}", 2},
                 {"[", 1},
                 {"{\"a\"}", 4},
                 {"{\"a\":1,}", 7},
                 {"{1:2}", 1},
                 {"{\"a\":1]", 6},
                 {"{\"a\",1}", 4},
                 {"{}{}", 2},
                 {"{\"a\":\"b\":1}", 8}};
    for (size_t i = 0, at; i < sizeof texts / sizeof *texts; i++) {
        bool valid = json_is_valid(texts[i].text, strlen(texts[i].text), &at);
        check(texts[i].wrong < 0 ? valid : !valid && at == (size_t)texts[i].wrong, "JSON",
              texts[i].text, NULL);
    }
    static char deep[200000];
    size_t at, half = sizeof deep / 2;
    memset(deep, '[', half);
    memset(deep + half, ']', half);
    check(json_is_valid(deep, sizeof deep, &at), "JSON", "100,000 arrays in each other", NULL);
}

static void answer_waits_for_the_next_poll(void) {
    uint64_t begin = now_us();
    EXPECT("an early answer", "obey", "response \"early\"; sleep 300", "\"early\"");
    check(now_us() - begin >= 300000, "an early answer", "waits for the poll", NULL);
}

static void managed_instances(void) {
    EXPECT("workers: a second answer", "CONCURRENCY=2 TIMEOUT=4 workers",
           "response twice; response 2", "twice", "response: 400 ");
    EXPECT("workers: empty fields", NULL, "response =head",
           "Content-Type: \r\n" AND "Client-Context: \r\n" AND "Cognito-Identity: \r\n");
    int dying = send_event("", "exit 1");
    EXPECT("workers: the other one goes on", NULL, "response on", "on");
    check_reply(dying, "workers: what the one that ends has lost", "Task timed out after 4.00");
    EXPECT("workers: a time-out", NULL, "sleep 4300; response 1", "Task timed out after 4.00");
    EXPECT("workers: the late answer", NULL, "response 2", "2", "response: 410 ");
    EXPECT("workers: their process ends", NULL, "kill; exit 1", "Runtime.ExitError");
    EXPECT("workers: a fresh environment", NULL, "response 3", "3");
    EXPECT("workers: an error of 1 MB", "CONCURRENCY=1 workers", "error *1048576", "xxx",
           "error: 202 ");
    EXPECT(
        "workers: an error beyond", NULL, "error *1048577", "Function.ResponseSizeTooLarge",
        "error: 413 {\"errorMessage\":\"Exceeded maximum allowed payload size (1048576 bytes)." AND
        "and closes\n");
    EXPECT("workers: a response of 6 MB", NULL, "response *6291556", "xxx");
    EXPECT("workers: a response beyond", NULL, "response *6291557", "Function.ResponseSizeTooLarge",
           "response: 413 {\"errorMessage\":\"Exceeded maximum allowed payload size (6291556 "
           "bytes).\"");
    EXPECT("workers: and another", NULL, "response 1", "1");
}

/* ---- What is more than an exchange --------------------------------------------------------- */

static void framing_of_events(void) {
    char event[2050] = "\"response =head";
    memset(event + strlen(event), ';', sizeof event - 1 - strlen(event));
    event[2048] = '"';
    EXPECT("an event of 2,049 bytes", "obey", event, "\r\nTransfer-Encoding: chunked\r\n");
    memcpy(event + 2047, "\"", 2);
    EXPECT("an event of 2,048 bytes", NULL, event, "\r\nContent-Length: 2048\r\n");
}

static void large_events(void) {
    static char event[(6 << 20) + 2];
    serve("probe");
    for (size_t i = 0; i < sizeof event - 1; i++)
        event[i] = (char)('A' + (i * 2654435761U >> 13) % 26);
    event[0] = event[6 << 20] = '"';
    EXPECT("an event of 6 MB and one byte", NULL, event, "", "RequestTooLarge", .status = 413);
    event[6 << 20] = '\0';
    event[(6 << 20) - 1] = '"';
    EXPECT("an event of 6 MB", NULL, event, event);
    event[(1 << 20) + 1] = '\0';
    EXPECT("an asynchronous event of 1 MB and one byte", NULL, event, "", "RequestTooLarge",
           .fields = ASYNC, .status = 413);
}

/* Base64 of what is known of the log, in whole groups of three, is how X-Amz-Log-Result begins. */
static void log_tail(void) {
    struct bytes log = {0}, wanted = {0};
    size_t n, length;
    serve("probe");
    struct reply r = take_reply(send_event("X-Amz-Log-Type: Tail\r\n", "1"));
    const char *request_id = field(&r, "x-amzn-RequestId", &n);
    const char *tail = field(&r, "X-Amz-Log-Result", &length);
    bytes_format(&log,
                 "START RequestId: %.36s Version: $LATEST\nEND RequestId: %.36s\n"
                 "REPORT RequestId: %.36s\tDuration: ",
                 request_id, request_id, request_id);
    base64(&wanted, log.data, log.length - log.length % 3);
    check(tail != NULL && length > wanted.length && memcmp(tail, wanted.data, wanted.length) == 0,
          "log tail", "X-Amz-Log-Result", r.head.data);
    bytes_free(&log);
    bytes_free(&wanted);
    reply_free(&r);
    r = take_reply(send_event("", "1"));
    check(field(&r, "X-Amz-Log-Result", &n) == NULL, "log tail", "not asked for", r.head.data);
    reply_free(&r);
}

static void initialization_error_before_any_event(void) {
    serve("PROBE_FAIL=1 probe");
    check_said(&served, "an initialization error, noticed", "reported an initialization error: {");
    EXPECT("and the next one", NULL, "1", "NoDatabase");
}

/* The configuration as coldstart.sh changes it; the function shows what it got. */
static void change_of_configuration(void) {
    static const char get_it[] = "GET " FUNCTION "/configuration";
    static const char put_it[] = "PUT " FUNCTION "/configuration";
    EXPECT("no variables", "obey", "", "\"Environment\":{\"Variables\":{}},", .call = get_it);
    EXPECT("before the change", NULL, "response =environment",
           "AWS_LAMBDA_RUNTIME_API=", "Init Duration: ");
    EXPECT("the change", NULL,
           "{\"Environment\": {\"Variables\": {\"A\": \"1\", "
           "\"CHANGED\" : \"\\u00e9\\ud83d\\ude00\\\"\\n\"}}}",
           "{\"FunctionName\":\"function\",\"State\":\"Active\",\"LastUpdateStatus\":"
           "\"Successful\",\"Environment\":{\"Variables\":{\"A\": \"1\", ",
           .call = put_it);
    EXPECT("another cold start", NULL, "response =environment", "\nA=1\n" AND "\nCHANGED=é😀\"\n\n",
           "Init Duration: ");
    EXPECT("variables that are no JSON", NULL, "{\"Environment\":{\"Variables\":{}}", "", NULL,
           put_it, NULL, 400);
    EXPECT("which changes nothing", NULL, "", "\"CHANGED\" : ", "x-amzn-RequestId: ", get_it);
    EXPECT("the state of the function", NULL, "",
           "\"Configuration\":{\"State\":\"Active\",\"LastUpdateStatus\":\"Successful\"}}",
           "x-amzn-RequestId: ", "GET " FUNCTION);
    EXPECT("no such method", NULL, "", "", NULL, "DELETE " FUNCTION "/configuration", NULL, 405);
}

/* ---- Processes ----------------------------------------------------------------------------- */

/* One child, whichever. */
static pid_t child_of(pid_t parent) {
    char path[64];
    int child = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *file = fopen(path, "re");
    if (file != NULL && fscanf(file, "%d", &child) != 1)
        child = 0;
    if (file != NULL)
        fclose(file);
    return child;
}

/* An orphan comes to us, as a zombie when it is dead. */
static bool is_gone(pid_t pid) {
    for (int i = 0; i < LIMIT_S * 100; i++, sleep_ms(10))
        if (waitpid(pid, NULL, WNOHANG) == pid || kill(pid, 0) != 0)
            return true;
    return false;
}

static void no_orphans(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGKILL};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        serve("obey");
        int fd = send_event("", "note busy; pause"); /* and so it ends only when it is ended */
        check_said(&served, "no orphan", "busy\n");
        pid_t child = child_of(served.pid);
        kill(served.pid, signals[i]);
        wait_for_end(&served);
        close(fd);
        check(child > 0 && is_gone(child), "no orphan", strsignal(signals[i]), served.text);
        discard(&served);
    }
}

/* How an environment ends that has a SIGTERM handler, on a signal to the local Lambda. */
static void end_of_environment(const char *name, const char *script, bool signalled,
                               uint64_t least_us) {
    EXPECT(name, script, "response 1", "1");
    uint64_t begin = now_us();
    kill(served.pid, SIGINT);
    wait_for_end(&served);
    check(served.status == 0 && now_us() - begin >= least_us, name, "its end", served.text);
    check((strstr(served.text, SIGNALLED) != NULL) == signalled, name, SIGNALLED, served.text);
    discard(&served);
}

static void ends_of_environments(void) {
    end_of_environment("SIGTERM at Ctrl-C", "sigterm exit; " LISTEN "obey", true, 0);
    end_of_environment("SIGKILL after it", "sigterm stay; " LISTEN "obey", true, 300000);
    end_of_environment("no SIGTERM without an extension", "sigterm exit; obey", false, 0);
}

enum { WORKERS = 8, TRIES = 10 };

/* How many invocations have begun, before `end` if there is one. */
static int count_begun(const char *end) {
    const char *at = served.text + served.from;
    int count = 0;
    for (; (at = strstr(at, "START RequestId: ")) != NULL && (end == NULL || at < end); at++)
        count++;
    return count;
}

static void wait_until_begun(int count) {
    for (int i = 0; i < SAID_S * 100 && says(&served, "") && count_begun(NULL) < count; i++)
        sleep_ms(10);
}

/* Eight events at once for the workers of the shipped runtime, which answers "later N" with N x
 * after 200 ms. A victim is killed when all have begun. How many answers are right; and in
 * `together` how many had begun before the first was answered. */
static int eight_at_once(pid_t victim, int *together) {
    int fds[WORKERS], right = 0;
    char event[32];
    forget_what_was_said();
    for (size_t i = 0; i < WORKERS; i++) {
        snprintf(event, sizeof event, "later %zu", i + 1);
        fds[i] = send_event("", event);
    }
    if (victim != 0) {
        wait_until_begun(WORKERS);
        kill(victim, SIGKILL);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        struct reply r = take_reply(fds[i]);
        right += r.body.length == i + 1 && strspn(r.body.data, "x") == i + 1;
        if (r.body.length > WORKERS && victim != 0)
            check(holds(&r.body, "Task timed out"), "a worker is killed", "error", r.body.data);
        reply_free(&r);
    }
    says(&served, "");
    *together = count_begun(strstr(served.text + served.from, "END RequestId: "));
    return right;
}

/* Perhaps not at the first try: a worker may be about to start. */
static void check_together(const char *name) {
    int right = WORKERS, together = 0;
    for (int i = 0; i < TRIES && right == WORKERS && together < WORKERS; i++)
        right = eight_at_once(0, &together);
    check(right == WORKERS, name, "right answers", served.text);
    check(together == WORKERS, name, "all at once", served.text);
}

static void workers_of_the_shipped_runtime(void) {
    int together, right = WORKERS;
    serve("CONCURRENCY=8 probe");
    check(eight_at_once(0, &together) == WORKERS, "workers", "right answers of a cold start",
          served.text);
    check_together("workers");
    for (int i = 0; i < TRIES && right == WORKERS; i++) /* the victim may have been too fast */
        right = eight_at_once(child_of(child_of(served.pid)), &together);
    check(right == WORKERS - 1, "a worker is killed", "it loses its own invocation and no other",
          served.text);
    check_together("another worker follows");
}

/* By the shell, in our folder. */
static void run(const char *command) {
    if (system(command) != 0)
        exit(1);
}

/* ---- The function URL ----------------------------------------------------------------------- */

/* The function goes on only when its first piece has arrived. */
static void stream_as_it_is_written(void) {
    static const char *const ends[] = {
        "raw 3\r\ntwo\r\n0\r\n\r\n; reply url", "exit 1",
        "raw 0\r\nLambda-Runtime-Function-Error-Type: a\r\n\r\n; reply url"};
    char script[600];
    serve("obey");
    for (size_t i = 0; i < 3; i++) {
        struct bytes all = {0}, rest = {0};
        snprintf(script, sizeof script, URL_HTTP "raw =prelude; raw 3\r\none\r\n; await go; %s",
                 ends[i]);
        int fd = send_call("POST /", PLAIN, script);
        while (!holds(&all, "\r\n\r\n3\r\none\r\n") && get(fd, &all, 1))
            continue;
        check(holds(&all, "HTTP/1.1 299 "), "URL", "a stream streams", all.data);
        run("touch go");
        check(get_chunks(fd, &rest) == (i == 0), "URL", "what breaks off has no end", rest.data);
        check(holds(&rest, "two") == (i == 0), "URL", "and what does not goes on", rest.data);
        run("rm go");
        close(fd);
        bytes_free(&all);
        bytes_free(&rest);
    }
}

/* ---- A build while it serves --------------------------------------------------------------- */

/* The shipped runtime, which answers "another" with that version. */
static void build(const char *version, const char *file) {
    char command[2 * 4096];
    snprintf(command, sizeof command,
             "printf '#!/bin/sh\\nANOTHER=%s exec %s\\n' >%s && chmod 755 %s", version, probe, file,
             file);
    run(command);
}

/* It is built while the old one still has an event. */
static void build_in_flight(const char *how) {
    build("old", "bootstrap");
    EXPECT("before the build", how, "another", "old");
    forget_what_was_said();
    int busy = send_event("", "later 3");
    wait_until_begun(1);
    build("new", "new");
    run("mv new bootstrap");
    EXPECT("a build", NULL, "another", "new",
           "has been built anew: the next invocation starts it\n");
    check_reply(busy, "what is in flight ends first", "xxx");
    EXPECT("behind the build", NULL, "another", "new");
    const char *said = strstr(served.text, "built anew");
    check(said != NULL && strstr(said + 1, "built anew") == NULL, "a build", "one line",
          served.text);
}

static void builds(void) {
    build_in_flight("BOOTSTRAP=./bootstrap probe");
    build_in_flight("CONCURRENCY=16 BOOTSTRAP=./bootstrap probe"); /* some connect while it ends */
    build("newer", "bootstrap");
    EXPECT("a build in place", NULL, "another", "newer");
    run("mv bootstrap old");
    EXPECT("a build that has just begun", NULL, "another", "newer");
    build("newest", "bootstrap");
    run("chmod 644 bootstrap");
    EXPECT("an executable that is none yet", NULL, "another", "newer");
    run("chmod 755 bootstrap");
    EXPECT("and now it is whole", NULL, "another", "newest");
    run("mv bootstrap old && ln -s old bootstrap");
    build("linked", "new");
    EXPECT("a link", "BOOTSTRAP=./bootstrap probe", "another", "newest");
    run("ln -sf new bootstrap");
    EXPECT("a link to another", NULL, "another", "linked");
    stop();
}

/* ---- The command line ---------------------------------------------------------------------- */

#define FILE_OF(mode, text) "printf '" text "' >file; chmod " mode " file"

/* Of a local Lambda that ends by itself. */
static const struct command {
    const char *name, *how, *mode, *event;
    int status;
    const char *printed, *said; /* all of stdout; a part of stderr, or "": nothing */
    const char *before;         /* a command of the shell */
} commands[] = {
    {"run", "probe", "run", NULL, 0, "{\"text\":\"Hello\"}", ""},
    {"run EVENT", "probe", "run", "\"x\"", 0, "\"x\"", ""},
    {"run @FILE", "probe", "run", "@event", 0, "\"from a file\"\n", ""},
    {"run -", "probe", "run", "-", 0, "\"from a file\"\n", ""},
    {"run without the file", "probe", "run", "@/nowhere", 1, "", "event file /nowhere: No such"},
    {"run without JSON", "probe", "run", "[1", 0, "[1",
     "local_lambda: the event is no JSON, and the function gets it all the same; Lambda would "
     "refuse it with 400 InvalidRequestContentException: Unexpected end-of-input at [line: 1, "},
    {"run: the function fails", "probe", "run", "\"fail Function.Refused no\"", 1, "",
     "{\"errorType\":\"Function.Refused\",\"stackTrace\":[],\"errorMessage\":\"no\"}"},
    {"run: the log", "probe", "run", "\"log info a line\"", 0, "logged", "a line\n"},
    {"run: the process is killed", "probe", "run", "\"crash\"", 1, "", "signal: killed"},
    {"run: more than MEMORY", "next; use 130; response 1; next", "run", "1", 0, "1",
     "has used more than its MEMORY of 128 MB: Lambda would have ended the process "
     "(Runtime.OutOfMemory, signal: killed)\n"},
    {"run: SIGTERM for an extension", "sigterm exit; " LISTEN "next; response 1; next", "run", "1",
     0, "1", SIGNALLED},
    {"run: an initialization error", "PROBE_FAIL=1 probe", "run", "1", 1, "",
     "Function.NoDatabase"},
    {"an unknown mode", "probe", "walk", NULL, 1, "", "local_lambda: usage: "},
    {"a wrong PORT", "PORT=65536 probe", "serve", NULL, 1, "",
     "PORT is '65536', and has to be a number from 0 to 65535"},
    {"a wrong TIMEOUT", "TIMEOUT=3s probe", "run", NULL, 1, "", "TIMEOUT is '3s'"},
    {"a wrong CONCURRENCY", "CONCURRENCY=0 probe", "run", NULL, 1, "", "CONCURRENCY is '0'"},
    {"no executable", "BOOTSTRAP=/nowhere/bootstrap probe", "run", NULL, 1, "",
     "local_lambda: /nowhere/bootstrap: No such file or directory: build it, or"},
    {"a folder", "BOOTSTRAP=. probe", "serve", NULL, 1, "", "cannot be executed: "},
    {"a script with CR LF", "BOOTSTRAP=./file probe", "serve", NULL, 1, "",
     "which must not end with CR LF", FILE_OF("755", "#!/bin/sh\\r\\n")},
    {"a text", "BOOTSTRAP=./file probe", "serve", NULL, 1, "",
     "it is for another machine, or a script without", FILE_OF("755", "text\\n")},
    {"a file of mode 644", "BOOTSTRAP=./file probe", "serve", NULL, 1, "",
     "cannot be executed: Permission denied; Lambda wants a file of mode 755",
     FILE_OF("644", "text\\n")}};

static void check_end(struct local *l, const struct command *c) {
    wait_for_end(l);
    check(WIFEXITED(l->status) && WEXITSTATUS(l->status) == c->status, c->name, "exit status",
          l->text);
    check(strcmp(l->printed, c->printed) == 0, c->name, "stdout", l->printed);
    check(c->said[0] == '\0' ? l->text[0] == '\0' : strstr(l->text, c->said) != NULL, c->name,
          c->said, l->text);
    discard(l);
}

static void run_command(const struct command *c) {
    if (c->before != NULL)
        run(c->before);
    struct local l = launch(c->how, c->mode, c->event);
    check_end(&l, c);
}

static void run_commands(void) {
    char how[40];
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        run_command(&commands[i]);
    serve("probe");
    snprintf(how, sizeof how, "PORT=%u probe", served.port);
    run_command(&(struct command){"a port that is taken", how, "serve", NULL, 1, "",
                                  "another program has the port"});
    struct local l = launch("MEMORY=256 next; use 130; response 1; next", "run", "1");
    wait_for_end(&l);
    check(strstr(l.text, "MEMORY") == NULL, "enough MEMORY", "no word of it", l.text);
    discard(&l);
}

static void conversation(void) {
    static const char parts[] =
        "  Next invocation, on a new connection\n" AND
        "> GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\n\n" AND
        "< HTTP/1.1 200 OK\\r\\n\n" AND "< {\"text\":\"Hello\"}" AND
        "  Invocation response, on the same connection\n" AND "> {\"text\":\"Hello\"}" AND
        "< HTTP/1.1 202 Accepted\\r\\n\n" AND "  Next invocation, on the same connection\n";
    struct local l = launch("probe", "trace", NULL);
    wait_for_end(&l);
    check_order("trace", l.printed, parts);
    check(strchr(l.printed, '\x1b') == NULL, "trace", "no colours but on a terminal", l.printed);
    check(l.status == 0 && l.text[0] == '\0', "trace", "silence", l.text);
    discard(&l);
}

/* In front of the first such line behind `at`; -1: there is none. */
static long shown_us(const char *at, const char *line) {
    const char *end = at == NULL ? NULL : strstr(at, line), *c = end;
    long us = -1;
    while (c != NULL && c[-1] != '\n')
        c--;
    for (; c < end; c++)
        if (isdigit((unsigned char)*c))
            us = (us < 0 ? 0 : us * 10) + (*c - '0');
    return us;
}

#define MEANWHILE "aside; call GET /2018-06-01/nowhere; back; "

/* Between the chunks another call is answered, so that each has arrived before the next goes out. */
static void chunks_in_time(void) {
    struct local l =
        launch("next; begin transfer-encoding: chunked\r\n\r\n; " MEANWHILE
               "raw 3\r\nabc\r\n; " MEANWHILE "raw 4\r\ndefg\r\n0\r\n\r\n; reply response; "
               "call POST " API "/invocation/x/error 1; next",
               "trace", "1");
    wait_for_end(&l);
    const char *at = strstr(l.printed, "  Invocation response, ");
    long head = shown_us(at, "> POST "), first = shown_us(at, "> 3\\r\\nabc\\r\\n "),
         second = shown_us(at, "> 4\\r\\ndefg\\r\\n0\\r\\n\\r\\n ");
    check(head >= 0 && head < first && first < second, "trace", "each chunk has its time",
          l.printed);
    at = at == NULL ? NULL : strstr(at, "the head ends");
    check(at != NULL && at[strlen("the head ends")] == '\n', "trace",
          "the head of a chunked response is not called one without a body", l.printed);
    check_order("trace: a refusal", l.printed,
                "> POST " API "/invocation/x/error" AND "< HTTP/1.1 400 ");
    discard(&l);
}

/* ---- Load ---------------------------------------------------------------------------------- */

/* One of the clients, until an answer is not what it has to be. */
static bool load_client(int number, int invocations) {
    struct reply r = {0};
    int fd = dial(served.port);
    bool right = true;
    for (int i = 0; i < invocations && right; i++) {
        char event[64];
        int length = snprintf(event, sizeof event, "{\"client\":%d,\"invocation\":%d}", number, i);
        request(fd, INVOKE, "", event, (size_t)length);
        right = receive(fd, &r) && r.status == 200 && strcmp(r.body.data, event) == 0;
    }
    reply_free(&r);
    close(fd);
    return right;
}

static bool load(int invocations) {
    bool right = true;
    pid_t clients[LOAD_CLIENTS];
    int status;
    for (int i = 0; i < LOAD_CLIENTS; i++) {
        clients[i] = fork();
        if (clients[i] == 0)
            _exit(!load_client(i, invocations / LOAD_CLIENTS));
    }
    for (int i = 0; i < LOAD_CLIENTS; i++)
        right = waitpid(clients[i], &status, 0) == clients[i] && status == 0 && right;
    return right;
}

/* Its resident memory and its descriptors while a client has just been answered, so that those who
 * came before are gone. */
static void look(size_t *kb, unsigned *open) {
    struct reply r = {0};
    int fd = send_event("", "1");
    receive(fd, &r);
    *kb = memory_kib(served.pid, "status", "VmRSS");
    *open = open_descriptors(served.pid);
    reply_free(&r);
    close(fd);
}

static void no_growth(const char *name, const char *how) {
    size_t kb_before, kb;
    unsigned open_before, open;
    serve(how);
    check(load(LOAD_INVOCATIONS / 10), name, "warm", NULL);
    look(&kb_before, &open_before);
    check(load(LOAD_INVOCATIONS), name, "10,000 invocations by 8 clients", NULL);
    look(&kb, &open);
    check(kb_before > 0 && kb <= kb_before + LOAD_GROWTH_KB, name, "memory", NULL);
    check(open_before > 0 && open == open_before, name, "descriptors", NULL);
}

static void run_cases(void) {
    struct local patient = launch("pause", "run", "1"); /* takes 10 s: meanwhile … */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        exchange(&rows[i]);
    json_or_none();
    answer_waits_for_the_next_poll();
    managed_instances();
    framing_of_events();
    large_events();
    log_tail();
    initialization_error_before_any_event();
    change_of_configuration();
    workers_of_the_shipped_runtime();
    no_orphans();
    ends_of_environments();
    stream_as_it_is_written();
    builds();
    run_commands();
    conversation();
    chunks_in_time();
    no_growth("load", "probe");
    no_growth("load for workers", "CONCURRENCY=8 probe");
    stop();
    check_end(&patient, &(struct command){"a runtime that never polls", .status = 1, .printed = "",
                                          .said = "has not asked for its first event (GET " API
                                                  "/invocation/next) within 10 s"});
}

int main(int count, char **arguments) {
    char folder[150];
    if (getenv("SCRIPT") != NULL) {
        connect_again();
        if (chdir(getenv("FOLDER")) == 0)
            run_steps(getenv("SCRIPT"));
        return 3;
    }
    snprintf(folder, sizeof folder, "%s/lambda_test.XXXXXX", temporary_folder());
    if (count != 3 || mkdtemp(folder) == NULL) {
        fprintf(stderr, "usage: lambda_test LOCAL_LAMBDA PROBE\n");
        return 2;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    alarm(ALL_S);
    program = realpath(arguments[1], NULL);
    probe = realpath(arguments[2], NULL);
    self = realpath("/proc/self/exe", NULL);
    if (program == NULL || probe == NULL || chdir(folder) != 0 ||
        setenv("FOLDER", realpath(".", NULL), 1) != 0) {
        perror("lambda_test");
        return 2;
    }
    run("echo '\"from a file\"' >event");
    run_cases();
    run("rm -r \"$FOLDER\"");
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
