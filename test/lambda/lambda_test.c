/* lambda_test.c - does the local Lambda behave as Lambda does? Invokes it over sockets, and needs
 * nothing but C. Two runtimes serve: PROBE, the shipped one with test/runtime/probe.c, and this program
 * itself, which the local Lambda starts with a SCRIPT in its environment, and which then does what
 * script and events tell it, above all what no runtime should.
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
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ALL_S = 300, /* for the whole run, which takes 20 */
    FAILURES_MAX = 20,
    LIMIT_S = 20,     /* nothing here takes so long, but what hangs */
    SAID_S = 10,      /* until what is to come on stderr is there */
    QUEUE_MAX = 1000, /* invocations in line */
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

static int lambda = -1, first_lambda; /* connections to the Runtime API: in use, put aside */
static struct reply seen;             /* the last */
static char id[64];                   /* of the last event */
static char nonce_field[128];         /* which came with it */
static char extra[128];               /* fields of the next answer or call */

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vdprintf(STDERR_FILENO, format, arguments);
    va_end(arguments);
}

static void note_text(const char *text) {
    note("%s\n", text);
}

static void connect_again(void) {
    const char *address = getenv("AWS_LAMBDA_RUNTIME_API");
    lambda = dial((uint16_t)strtoul(strchr(address, ':') + 1, NULL, 10));
}

static void reconnect(void) {
    close(lambda);
    connect_again();
}

static void put_aside(void) {
    first_lambda = lambda;
    connect_again();
}

static void take_back(void) {
    lambda = first_lambda;
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

/* *NUMBER is so many x, =head the head that was received last, =environment all variables, =prelude one
 * with its end, as a chunk; and any other text is itself. */
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

/* Byte by byte a response to the last event: the first lines of its head, and then what is given. */
static void begin_response(const char *rest) {
    struct bytes all = {0};
    bytes_format(&all, "POST " API "/invocation/%s/response HTTP/1.1\r\nHost: a\r\n%s", id, rest);
    for (size_t i = 0; i < all.length; i++)
        send_all(lambda, all.data + i, 1);
    bytes_free(&all);
}

/* METHOD TARGET BODY, of which the body may be left out. */
static void call_route(const char *words) {
    char call[128];
    size_t n = strcspn(words, " ") + 1;
    n += strcspn(words + n, " ");
    snprintf(call, sizeof call, "%.*s", (int)n, words);
    const char *body = words + n + (words[n] == ' ');
    request(lambda, call, extra, body, strlen(body));
    extra[0] = '\0';
    see_reply(strrchr(call, '/') + 1);
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

static void next(void) {
    poll_next("");
    take_event();
}

static void add_field(const char *line) {
    snprintf(extra, sizeof extra, "%s\r\n", line);
}

static void add_nonce(void) {
    memcpy(extra, nonce_field, sizeof extra);
}

/* With what the reply to register has said. */
static void listen_as_extension(void) {
    size_t n = 0;
    const char *identifier = field(&seen, "Lambda-Extension-Identifier", &n);
    snprintf(extra, sizeof extra, "Lambda-Extension-Identifier: %.*s\r\n", (int)n, identifier);
    request(lambda, "GET /2020-01-01/extension/event/next", extra, "", 0);
    extra[0] = '\0';
}

static void see_silence(void) {
    char byte;
    note("%s\n", recv(lambda, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 ? "silence" : "noise");
}

static bool is_stubborn;

static void on_sigterm(int number) {
    note("signal %d\n", number);
    while (is_stubborn)
        pause();
    _exit(0);
}

static void catch_sigterm(const char *what) {
    is_stubborn = strcmp(what, "stay") == 0;
    signal(SIGTERM, on_sigterm);
}

static void answer(const char *kind, const char *text) {
    char call[160];
    struct bytes body = {0};
    append_text(&body, text);
    snprintf(call, sizeof call, "POST " API "/invocation/%s/%s", id, kind);
    request(lambda, call, extra, body.data, body.length);
    bytes_free(&body);
    extra[0] = '\0';
    see_reply(kind);
}

static void response(const char *text) {
    answer("response", text);
}

static void error(const char *text) {
    answer("error", text);
}

static void sleep_text(const char *ms) {
    sleep_ms((unsigned)strtoul(ms, NULL, 10));
}

static void await_file(const char *path) {
    while (access(path, F_OK) != 0)
        sleep_ms(1);
}

static void use_memory(const char *mb) {
    mmap(NULL, strtoul(mb, NULL, 10) << 20, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
}

static void sleep_for_ever(void) {
    for (;;)
        pause();
}

static void end(const char *status) {
    _exit((int)strtol(status, NULL, 10));
}

static void end_parent(void) {
    kill(getppid(), SIGTERM);
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

static void run_steps(const char *script);

/* A JSON string as json_string of wire.c writes it becomes its text. */
static void unquote(char *text) {
    char *to = text, *at = text + 1;
    while (*at != '"')
        if (*at != '\\')
            *to++ = *at++;
        else if (at[1] != 'u') {
            *to++ = at[1];
            at += 2;
        } else {
            *to++ = (char)strtoul((char[]){at[4], at[5], '\0'}, NULL, 16);
            at += 6;
        }
    *to = '\0';
}

/* Each event is a script, or the body of one is, that the function URL has made. */
static void obey(void) {
    for (next(); seen.status == 200; next()) {
        struct bytes event = seen.body;
        seen.body = (struct bytes){0};
        char *script = strstr(event.data, "\"body\":\"");
        script = event.data[0] == '{' && script != NULL ? script + 7 : event.data;
        while (script[0] == '"')
            unquote(script);
        run_steps(script);
        bytes_free(&event);
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
    sleep_for_ever();
}

static const struct step {
    const char *name;
    void (*run)(void);
    void (*run_with)(const char *);
} steps[] = {{"next", next, NULL},
             {"poll", NULL, poll_next},
             {"take", take_event, NULL},
             {"response", NULL, response},
             {"error", NULL, error},
             {"field", NULL, add_field},
             {"nonce", add_nonce, NULL},
             {"listen", listen_as_extension, NULL},
             {"silence", see_silence, NULL},
             {"sigterm", NULL, catch_sigterm},
             {"call", NULL, call_route},
             {"raw", NULL, send_raw},
             {"begin", NULL, begin_response},
             {"reply", NULL, see_reply},
             {"close", see_close, NULL},
             {"reconnect", reconnect, NULL},
             {"aside", put_aside, NULL},
             {"back", take_back, NULL},
             {"note", NULL, note_text},
             {"sleep", NULL, sleep_text},
             {"await", NULL, await_file},
             {"use", NULL, use_memory},
             {"pause", sleep_for_ever, NULL},
             {"exit", NULL, end},
             {"kill", end_parent, NULL},
             {"haste", stop_lambda_for_a_while, NULL},
             {"obey", obey, NULL},
             {"workers", start_workers, NULL}};

static void run_step(const char *name, const char *argument) {
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (strcmp(steps[i].name, name) != 0)
            continue;
        if (steps[i].run != NULL)
            steps[i].run();
        else
            steps[i].run_with(argument);
        return;
    }
    note("no step is called '%s'\n", name);
}

static void run_steps(const char *script) {
    char *all = strdup(script), *rest;
    for (char *one = strtok_r(all, ";", &rest); one != NULL; one = strtok_r(NULL, ";", &rest)) {
        char *name = one + strspn(one, " "), *argument = name + strcspn(name, " ");
        if (*argument == ' ')
            *argument++ = '\0';
        run_step(name, argument);
    }
    free(all);
}

/* ---- The local Lambda under test ----------------------------------------------------------- */

struct local {
    pid_t pid;
    int out, err; /* files in memory: its stdout and stderr */
    uint16_t port;
    int status; /* after its end */
    char *text, *printed;
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
    return strstr(l->text, text) != NULL;
}

static bool comes_to_say(struct local *l, const char *text) {
    for (int i = 0; i < SAID_S * 100 && !says(l, text); i++)
        sleep_ms(10);
    return strstr(l->text, text) != NULL;
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

/* What a function is told in words goes to it as a JSON string. */
static int send_call(const char *call, const char *fields, const char *event) {
    struct bytes body = {0};
    int fd = dial(served.port);
    if (isalpha((unsigned char)event[0]))
        json_string(&body, event, strlen(event));
    else
        bytes_text(&body, event);
    request(fd, call, fields, body.data, body.length);
    bytes_free(&body);
    return fd;
}

static int send_event(const char *event) {
    return send_call(INVOKE, "", event);
}

static struct reply take_reply(int fd) {
    struct reply r = {0};
    receive(fd, &r);
    close(fd);
    return r;
}

static struct reply invoke(const char *fields, const void *event, size_t length) {
    int fd = dial(served.port);
    request(fd, INVOKE, fields, event, length);
    return take_reply(fd);
}

static bool holds(const struct bytes *bytes, const char *text) {
    return bytes->data != NULL && memmem(bytes->data, bytes->length, text, strlen(text)) != NULL;
}

/* ---- Exchanges: an event, and what comes of it --------------------------------------------- */

/* A local Lambda, or NULL for the one that serves already; a request: what is called, its fields and
 * its body; of the reply the status, a part of the body, and up to a NULL parts of the head or of
 * what comes on stderr. */
static void exchange(const char *how, const char *call, const char *fields, const char *event,
                     int status, const char *body, ...) {
    char name[200];
    if (how != NULL)
        serve(how);
    struct reply r = take_reply(send_call(call, fields, event));
    snprintf(name, sizeof name, "%.80s, '%.80s'", how == NULL ? call : how, event);
    check(r.status == status, name, "status", r.head.data);
    check(holds(&r.body, body), name, body, r.body.data);
    va_list parts;
    va_start(parts, body);
    for (const char *part; (part = va_arg(parts, const char *)) != NULL;)
        if (holds(&r.head, part))
            passed++;
        else
            check_said(&served, name, part);
    va_end(parts);
    reply_free(&r);
}

/* Requests byte for byte, of which the last ends the connection, and parts of what comes back, in
 * this order. */
static void exchange_raw(const char *requests, ...) {
    struct bytes all = {0};
    int fd = dial(served.port);
    send_all(fd, requests, strlen(requests));
    while (get(fd, &all, 1))
        continue;
    bytes_append(&all, "", 1);
    va_list parts;
    va_start(parts, requests);
    const char *at = all.data;
    for (const char *part; (part = va_arg(parts, const char *)) != NULL;) {
        at = at == NULL ? NULL : strstr(at, part);
        check(at != NULL, requests, part, all.data);
    }
    va_end(parts);
    close(fd);
    bytes_free(&all);
}

#define NONE (const char *)NULL
#define EXPECT(how, event, ...) exchange(how, INVOKE, "", event, 200, __VA_ARGS__, NONE)

#define UNHANDLED "X-Amz-Function-Error: Unhandled\r\n"
#define TRANSITION(from, to)                                                                       \
    "403 {\"errorMessage\":\"State transition from " from " to " to " failed for runtime. Error: " \
    "State transition is not allowed\",\"errorType\":\"InvalidStateTransition\"}\n"
#define NO_KEY       \
    "call POST " API \
    "/init/error {\"errorMessage\":\"no key\",\"errorType\":\"Runtime.APIKeyNotFound\"}; "
#define HASTE "{\"errorType\":\"Haste\"}"
#define TRACE "X-Amzn-Trace-Id: Root=1\r\nX-Amz-Tenant-Id: t\r\n"

static void shipped_runtime(void) {
    EXPECT("probe", "{\"text\":\"Hello\"}", "{\"text\":\"Hello\"}",
           "X-Amz-Executed-Version: $LATEST\r\n", "Init Duration: ");
    EXPECT("probe", "", "{}");
    EXPECT("MEMORY=256 probe", "1", "1", "Memory Size: 256 MB");
    EXPECT("probe", "fail Function.Refused it said \"no\"",
           "{\"errorType\":\"Function.Refused\",\"stackTrace\":[],"
           "\"errorMessage\":\"it said \\\\\\\"no\\\\\\\"\"}",
           UNHANDLED);
    EXPECT(
        "probe", "large 6291557",
        "Response payload size (6291557 bytes) exceeded maximum allowed payload size (6291556 bytes).",
        UNHANDLED);
    EXPECT("probe", "1", "1");
    EXPECT(NULL, "crash", "Error: Runtime exited with error: signal: killed\"}", UNHANDLED,
           "Runtime.ExitError", "END RequestId");
    EXPECT(NULL, "2", "2"); /* by a fresh environment */
    EXPECT("PROBE_FAIL=1 probe", "1", "\"errorType\":\"Function.NoDatabase\"", UNHANDLED);
    EXPECT(NULL, "2", "\"errorType\":\"Function.NoDatabase\"");
    exchange("probe", INVOKE, "X-Amz-Invocation-Type: DryRun\r\n", "crash", 204, "",
             "x-amzn-RequestId: ", NONE);
    exchange("probe", INVOKE, "X-Amz-Invocation-Type: Event\r\n", "log info a line", 202, "",
             "x-amzn-RequestId: ", "a line\n", "REPORT", NONE);
    exchange("probe", INVOKE, "X-Amz-Invocation-Type: Sync\r\n", "1", 400, "",
             "InvalidParameterValueException", NONE);
    exchange("probe", INVOKE, "X-Amz-Client-Context: eyJhIjoKMX0=\r\nX-Amz-Tenant-Id: blue\r\n",
             "context", 200, "|{\"a\": 1}||blue|", NONE);
    exchange("probe", INVOKE, "X-Amz-Client-Context: {}\r\n", "1", 400, "",
             "InvalidRequestContentException", NONE);
    EXPECT("probe", "stream one two three", "onetwothree");
    EXPECT("probe", "streamlate one two", "onetwo", "the stream ended with Function.L");
}

/* Of JSON, what is none has a wrong byte at the given place. */
static void events_that_are_no_json(void) {
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
    exchange("probe", INVOKE, "", "{\"a\":\n 'b'}", 400,
             "{\"Type\":\"User\",\"Message\":\"Could not parse request body into json: Could not "
             "parse payload into json: Unexpected token at [line: 2, column: 2]\"}",
             "x-amzn-ErrorType: InvalidRequestContentException\r\n", NONE);
    exchange(NULL, INVOKE, "X-Amz-Invocation-Type: Event\r\n", "[1,", 400,
             "Unexpected end-of-input at [line: 1, column: 4]", NONE);
    exchange(NULL, INVOKE, "X-Amz-Invocation-Type: DryRun\r\n", "01", 400, "", NONE);
}

#define ONE(version, fields) INVOKE " HTTP/" version "\r\n" fields "Content-Length: 1\r\n\r\n1"

static void old_and_odd_clients(void) {
    serve("probe");
    exchange_raw(ONE("1.0", "Connection: keep-alive\r\n") ONE("1.0", ""), "HTTP/1.1 200 ",
                 "\r\nConnection: keep-alive\r\n", "\r\n\r\n1HTTP/1.1 200 ",
                 "\r\nConnection: close\r\n", "\r\n\r\n1", NONE);
    exchange_raw("HEAD " FUNCTION "/configuration HTTP/1.1\r\nHost: a\r\n\r\n"
                 "HEAD " FUNCTIONS "a/b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" ONE("1.0", ""),
                 "HTTP/1.1 405 ", "\r\nContent-Length: ", "\r\n\r\nHTTP/1.1 404 ",
                 "\r\n\r\nHTTP/1.1 200 ", NONE);
    exchange_raw("GET HTTP://a:1" FUNCTION "/configuration?a HTTP/1.1\r\nHost: b\r\n\r\n"
                 "GET http://a HTTP/1.0\r\n\r\n",
                 "HTTP/1.1 200 ", "HTTP/1.1 505 ", NONE);
    exchange_raw("GET http:///" FUNCTION " HTTP/1.0\r\n\r\n", "HTTP/1.1 400 ", NONE);
}

static void names(void) {
    static const struct {
        const char *call;
        int status;
        const char *body;
    } calls[] = {
        {"POST " FUNCTIONS "hello/invocations", 200, "1"},
        {"POST " FUNCTIONS "hello/invocations?Qualifier=%24LATEST", 200, "1"},
        {"POST " FUNCTIONS "hello%3A$LATEST/invocations", 200, "1"},
        {"POST " FUNCTIONS "123456789012:function:hello/invocations", 200, "1"},
        {"POST " FUNCTIONS "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Ahello"
         "/invocations?Qualifier=$LATEST",
         200, "1"},
        {"POST " FUNCTIONS "hello/invocations?a&Qualifier=1&b", 404,
         ":123456789012:function:hello:1\""},
        {"POST " FUNCTIONS "hello:live/invocations", 404, ":function:hello:live\""},
        {"POST " FUNCTIONS "hell/invocations", 404, "Function not found: arn:aws:lambda:"},
        {"POST " FUNCTIONS "hello%/invocations", 404, ":123456789012:function:hello%\""},
        {"POST " FUNCTIONS "hello2/invocations", 404, ":123456789012:function:hello2\""},
        {"GET " FUNCTIONS "function", 404, ":123456789012:function:function\""},
        {"GET " FUNCTIONS "function/configuration", 404, ":123456789012:function:function\""},
        {"GET " FUNCTIONS "hello/configuration", 200, "{\"FunctionName\":\"hello\""}};
    serve("FUNCTION=hello probe");
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        exchange(NULL, calls[i].call, "", "1", calls[i].status, calls[i].body,
                 calls[i].status == 404 ? "x-amzn-ErrorType: ResourceNotFoundException\r\n" : "",
                 NONE);
    check_said(&served, "names", "asks for the function hello:live, and FUNCTION is hello\n");
    exchange("probe", "POST " FUNCTIONS "any/invocations?Qualifier=1", "", "1", 200, "1", NONE);
}

static void answers_at_the_wrong_time(void) {
    EXPECT("obey", "response 1", "1", "response: 202 {\"status\":\"OK\"}\n");
    EXPECT("obey", "response \"first\"; response \"second\"; error {}", "\"first\"",
           "response: " TRANSITION("ResponseSent", "InvocationResponse"),
           "error: " TRANSITION("ResponseSent", "InvocationErrorResponse"),
           "local_lambda: the runtime answers ");
    EXPECT("obey",
           "call POST " API "/invocation/8476a536-e9f4-11e8-9739-2dfe598c3fcd/response 1; "
           "response \"right\"",
           "\"right\"",
           "response: 400 {\"errorMessage\":\"Invalid request ID\",\"errorType\":"
           "\"InvalidRequestID\"}\n",
           "which is not being served");
    /* 6 MB for an unknown invocation: announced, not sent, and answered all the same. */
    EXPECT("obey",
           "raw POST " API "/invocation/x/response HTTP/1.1\r\nHost: a\r\n"
           "Content-Length: 6000000\r\n\r\n; reply early; response \"right\"",
           "\"right\"", "early: 400 ", "and closes");
    EXPECT("obey",
           "field Lambda-Runtime-Invocation-Id: stale; response 1; nonce; response \"fresh\"",
           "\"fresh\"",
           "response: 410 {\"errorMessage\":\"Invoke timeout\",\"errorType\":\"InvokeTimeout\"}\n",
           "must be the one that came with the event");
}

static void answers_of_the_wrong_form(void) {
    EXPECT("obey", "response *6291557; error {}", "Function.ResponseSizeTooLarge", UNHANDLED,
           "response: 413 {\"errorMessage\":\"Exceeded maximum allowed payload size (6291556 "
           "bytes).\",\"errorType\":\"RequestEntityTooLarge\"}\n",
           "error: 403 ");
    EXPECT("obey", "response *6291556", "xxx", "Content-Length: 6291556\r\n", "response: 202 ");
    EXPECT(
        "obey",
        "field Lambda-Runtime-Function-Response-Mode: Streaming; response 1; error {}; next; exit 3",
        "Runtime.InvalidResponseModeHeader", UNHANDLED,
        "response: 400 {\"errorMessage\":\"Invalid function response mode\",\"errorType\":"
        "\"InvalidFunctionResponseMode\"}",
        "error: 403 ", "next: 403 ", "is not 'streaming', its only value");
    EXPECT("obey",
           "begin Content-Length: 100\r\n\r\nhalf; reconnect; response \"again\"; next; exit 3",
           "exit status 3\"}", UNHANDLED,
           "response: " TRANSITION("InvocationResponse", "InvocationResponse"), "next: 403 ",
           "broke off", "it can only exit");
}

static void requests_that_are_wrong(void) {
    EXPECT("obey", "raw GET / HTTP/1.1\nHost: a\n\n; reply malformed; response \"healed\"",
           "\"healed\"", "malformed: 400 400 Bad Request: a line ends with LF alone",
           "without a length");
    EXPECT("obey",
           "raw GET " API "/invocation/next HTTP/1.1\r\nHost: a\r\nX: ; raw *1100000; reply long; "
           "response \"healed\"",
           "\"healed\"", "long: 431 ");
    EXPECT("obey",
           "call POST " API "/invocation/next; call POST /2018-06-01/nowhere; "
           "call GET /2018-06-01/ping; call GET " API "/restore/next; response \"there\"",
           "\"there\"", "next: 405 \n", "nowhere: 404 404 page not found\n", "ping: 200 pong\n",
           "next: 404 ");
    EXPECT("poll {}; take; response \"polled\"; obey", "", "\"polled\"",
           "the runtime sends a body with GET next: Managed Instances refuse that");
    EXPECT("obey", "response 1; poll; aside; next; back; take", "1", "next: 403 ",
           "one GET next at a time");
    EXPECT("TIMEOUT=1 obey", "response 1; poll; reconnect; note gone; pause", "1", "gone\n");
    EXPECT(NULL, "", "Sandbox.Timedout", "the runtime gave up its waiting poll");
    EXPECT("TIMEOUT=1 obey", "pause", "Error: Task timed out after 1.00 seconds\"}", UNHANDLED,
           " Task timed out after 1.00 seconds\n", "REPORT");
    EXPECT(NULL, "pause", "Sandbox.Timedout");
}

static void runtimes_that_fail_to_start(void) {
    EXPECT(NO_KEY NO_KEY "next; exit 1", "", "Runtime.APIKeyNotFound", UNHANDLED, "error: 202 ",
           "error: 403 ", "next: 403 ");
    EXPECT(NO_KEY "pause", "", "Runtime.APIKeyNotFound", UNHANDLED,
           "has not exited 2 s after init/error: it must exit at once");
    EXPECT("haste; raw POST " API
           "/init/error HTTP/1.1\r\nHost: a\r\nContent-Length: 21\r\n\r\n" HASTE "; exit 1",
           "", HASTE, UNHANDLED);
    EXPECT("obey", "call POST " API "/init/error {}; response \"late\"", "\"late\"", "error: 403 ",
           "once, before GET next");
    EXPECT("AWS_LAMBDA_INITIALIZATION_TYPE=snap-start call GET " API "/restore/next; close; "
           "call POST " API "/restore/error " HASTE "; exit 1",
           "", HASTE, UNHANDLED, "error: 202 ");
    EXPECT("exit 9", "", "exit status 9\"}", UNHANDLED,
           "ended before it asked for its first event");
}

static void what_runtimes_may_do(void) {
    exchange("obey", INVOKE, TRACE, "response =head", 200,
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: ",
             NONE);
    exchange(NULL, INVOKE, TRACE, "response =head", 200,
             "\r\nLambda-Runtime-Aws-Tenant-Id: t\r\nLambda-Runtime-Deadline-Ms: ", NONE);
    exchange(NULL, INVOKE, TRACE, "response =head", 200,
             ":function:function\r\nLambda-Runtime-Trace-Id: Root=1\r\nDate: ", NONE);
    EXPECT("AWS_LAMBDA_MAX_CONCURRENCY=9 obey", "response =environment",
           "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand\n");
    EXPECT("obey", "reconnect; next; response 1", "1", "it gets the same again",
           "next: the same again\n");
    EXPECT(
        "obey",
        "begin Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
        "Trailer: Lambda-Runtime-Function-Error-Type\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n"
        "Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n\r\n; reply stream",
        "abcdefg", "stream: 202 ", "the stream ended with Runtime.StreamError");
    EXPECT(
        "obey",
        "begin Expect: 100-continue\r\nContent-Length: 3\r\n\r\n; reply head; raw \"c\"; reply body",
        "\"c\"", "head: 100 ", "body: 202 ");
    EXPECT("obey", "aside; response \"elsewhere\"; back", "\"elsewhere\"", "response: 202 ");
    EXPECT("AWS_LAMBDA_INITIALIZATION_TYPE=snap-start call GET " API "/restore/next; close; obey",
           "response 1", "1", "next: 200 \n", "and closes\n");
}

static void answer_waits_for_the_next_poll(void) {
    uint64_t begin = now_us();
    EXPECT("obey", "response \"early\"; sleep 300", "\"early\"");
    check(now_us() - begin >= 300000, "early", "the answer waits for the poll", NULL);
}

static void managed_instances(void) {
    char first;
    EXPECT("CONCURRENCY=2 TIMEOUT=4 workers", "response twice; response 2", "twice",
           "response: 400 ");
    struct reply r = take_reply(send_event("response =head"));
    check(holds(&r.body, "Content-Type: \r\n") && holds(&r.body, "Client-Context: \r\n") &&
              holds(&r.body, "Cognito-Identity: \r\n"),
          "managed instances", "empty fields", r.body.data);
    reply_free(&r);
    int dying = send_event("exit 1");
    EXPECT(NULL, "sleep 2000; response slept", "slept"); /* the other worker goes on */
    check(recv(dying, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1, "managed instances",
          "what a worker lost ends before its time-out", served.text);
    r = take_reply(dying);
    check(holds(&r.body, "The worker that had the event"), "managed instances", "one worker ends",
          r.body.data);
    reply_free(&r);
    EXPECT(NULL, "sleep 4300; response 1", "Task timed out after 4.00");
    EXPECT(NULL, "response 2", "2", "response: 410 "); /* by the same worker */
    EXPECT(NULL, "kill; exit 1", "Runtime.ExitError");
    EXPECT(NULL, "response 3", "3"); /* by a fresh environment */
}

/* What an error may have and what a response; and then the connection closes. */
static void managed_instances_limits(void) {
    EXPECT("CONCURRENCY=1 workers", "error *1048576", "xxx", "error: 202 ");
    EXPECT(
        NULL, "error *1048577", "Function.ResponseSizeTooLarge",
        "error: 413 {\"errorMessage\":\"Exceeded maximum allowed payload size (1048576 bytes).\"",
        "and closes\n");
    EXPECT(NULL, "response *6291556", "xxx");
    EXPECT(NULL, "response *6291557", "Function.ResponseSizeTooLarge",
           "response: 413 {\"errorMessage\":\"Exceeded maximum allowed payload size (6291556 "
           "bytes).\"");
    EXPECT(NULL, "response 1", "1");
}

/* ---- What is more than an exchange --------------------------------------------------------- */

static void framing_of_events(void) {
    char event[2050] = "\"response =head";
    memset(event + strlen(event), ';', sizeof event - 1 - strlen(event));
    event[2048] = '"';
    EXPECT("obey", event, "\r\nTransfer-Encoding: chunked\r\n");
    memcpy(event + 2047, "\"", 2);
    EXPECT(NULL, event, "\r\nContent-Length: 2048\r\n");
    memset(event, '1', 2049); /* for a runtime of HTTP/1.0, which knows no chunks */
    EXPECT("raw GET " API
           "/invocation/next HTTP/1.0\r\n\r\n; take; reconnect; response =head; obey",
           event, "\r\nContent-Length: 2049\r\n");
}

static void large_events(void) {
    static char event[(6 << 20) + 1];
    serve("probe");
    for (size_t i = 0; i < sizeof event; i++)
        event[i] = (char)('A' + (i * 2654435761U >> 13) % 26);
    event[0] = event[(6 << 20) - 1] = '"';
    struct reply r = invoke("", event, 6 << 20);
    check(r.body.length == 6 << 20 && memcmp(r.body.data, event, 6 << 20) == 0, "6 MB", "echo",
          r.head.data);
    reply_free(&r);
    r = invoke("", event, sizeof event);
    check(r.status == 413 && holds(&r.head, "RequestTooLarge"), "6 MB + 1", "413", r.head.data);
    reply_free(&r);
    r = invoke("X-Amz-Invocation-Type: Event\r\n", event, (1 << 20) + 1);
    check(r.status == 413, "Event of 1 MB + 1", "413", r.head.data);
    reply_free(&r);
}

/* Base64 of what is known of the log, in whole groups of three, is how X-Amz-Log-Result begins. */
static void log_tail(void) {
    struct bytes log = {0}, wanted = {0};
    size_t n, length;
    serve("probe");
    struct reply r = invoke("X-Amz-Log-Type: Tail\r\n", "1", 1);
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
    r = invoke("", "1", 1);
    check(field(&r, "X-Amz-Log-Result", &n) == NULL, "log tail", "not asked for", r.head.data);
    reply_free(&r);
}

static void initialization_error_before_any_event(void) {
    serve("PROBE_FAIL=1 probe");
    check_said(&served, "initialization error", "reported an initialization error: {");
    EXPECT(NULL, "1", "NoDatabase");
}

/* As many as may wait in line, asynchronous so that one connection will do, and one more. */
static void throttling(void) {
    serve("TIMEOUT=900 obey");
    struct reply r = {0};
    int running = send_event("pause"), fd = dial(served.port), queued = 0;
    check_said(&served, "throttling", "START RequestId");
    for (; queued <= QUEUE_MAX && r.status != 429; queued += r.status == 202) {
        request(fd, INVOKE, "X-Amz-Invocation-Type: Event\r\n", "1", 1);
        if (!receive(fd, &r))
            break;
    }
    check(queued == QUEUE_MAX && r.status == 429 && holds(&r.head, "TooManyRequestsException") &&
              holds(&r.body, "Rate Exceeded."),
          "throttling", "1,000 in line, and 429 for the next", r.head.data);
    reply_free(&r);
    close(fd);
    close(running);
}

/* The configuration as coldstart.sh changes it; the function shows what it got. */
static void change_of_configuration(void) {
    static const char get_it[] = "GET " FUNCTION "/configuration";
    static const char put_it[] = "PUT " FUNCTION "/configuration";
    exchange("obey", get_it, "", "", 200, "\"Environment\":{\"Variables\":{}}}", NONE);
    EXPECT(NULL, "response =environment", "AWS_LAMBDA_RUNTIME_API=", "Init Duration: ");
    size_t so_far = strlen(served.text);
    exchange(NULL, put_it, "",
             "{\"Environment\": {\"Variables\": {\"A\": \"1\", "
             "\"CHANGED\" : \"\\u00e9\\ud83d\\ude00\\\"\\n\"}}}",
             200,
             "{\"FunctionName\":\"function\",\"State\":\"Active\",\"LastUpdateStatus\":"
             "\"Successful\",\"Environment\":{\"Variables\": {\"A\": \"1\", ",
             NONE);
    EXPECT(NULL, "response =environment", "\nA=1\n");
    says(&served, "");
    check(strstr(served.text + so_far, "Init Duration: ") != NULL, "configuration",
          "another cold start", served.text);
    EXPECT(NULL, "response =environment", "\nCHANGED=é😀\"\n\n");
    exchange(NULL, put_it, "", "{\"Environment\":{\"Variables\":{\"A\":1}}}", 400, "", NONE);
    exchange(NULL, get_it, "", "", 200, "\"CHANGED\" : ", "x-amzn-RequestId: ", NONE);
    exchange(NULL, "GET " FUNCTION, "", "", 200,
             "{\"Configuration\":{\"FunctionName\":\"function\",\"State\":\"Active\","
             "\"LastUpdateStatus\":\"Successful\",",
             "x-amzn-RequestId: ", NONE);
    exchange(NULL, "DELETE " FUNCTION "/configuration", "", "", 405, "", NONE);
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
        int fd = send_event("note busy; pause"); /* and so it ends only when it is ended */
        check_said(&served, "no orphan", "busy\n");
        pid_t child = child_of(served.pid);
        kill(served.pid, signals[i]);
        wait_for_end(&served);
        close(fd);
        check(child > 0 && is_gone(child), "no orphan", strsignal(signals[i]), served.text);
        discard(&served);
    }
}

#define REGISTER \
    "field Lambda-Extension-Name: x; call POST /2020-01-01/extension/register {\"events\":[]}; "
#define LISTEN REGISTER "listen; aside; "
#define SIGNALLED "signal 15\n"

/* How an environment ends that has a SIGTERM handler, on a signal to the local Lambda. */
static void end_of_environment(const char *script, bool signalled, uint64_t least_us) {
    EXPECT(script, "response 1", "1");
    uint64_t begin = now_us();
    kill(served.pid, SIGINT);
    wait_for_end(&served);
    check(served.status == 0 && now_us() - begin >= least_us, script, "its end", served.text);
    check((strstr(served.text, SIGNALLED) != NULL) == signalled, script, SIGNALLED, served.text);
    discard(&served);
}

static void extensions(void) {
    EXPECT(LISTEN "obey", "response 1; back; silence; reconnect", "1", "silence\n",
           "register: 200 {\"functionName\":\"function\",\"functionVersion\":\"$LATEST\"}\n");
    EXPECT(REGISTER "obey", "response 1", "1", "Lambda's initialization waits for that");
    EXPECT(
        "call POST /2020-01-01/extension/register {}; call GET /2020-01-01/extension/event/next; "
        "field Lambda-Extension-Name: x; "
        "call POST /2020-01-01/extension/register {\"events\":[\"SHUTDOWN\"]}; " LISTEN REGISTER
        "obey",
        REGISTER "response 1", "1", "Extension.InvalidExtensionName\"}",
        "next: 403 {\"errorMessage\":", "Extension.UnknownExtensionIdentifier\"}",
        "Extension.InvalidEventType\"}", "Extension.InvalidExtensionState\"}",
        "Extension.RegistrationClosed\"}");
    EXPECT("TIMEOUT=1 sigterm exit; " LISTEN "obey", "pause", "Task timed out", SIGNALLED);
    EXPECT("sigterm exit; " LISTEN "obey", "response 1", "1");
    exchange(NULL, "PUT " FUNCTION "/configuration", "", "{\"Variables\":{}}", 200, "", NONE);
    EXPECT(NULL, "response 2", "2", SIGNALLED); /* by a fresh environment */
    end_of_environment("sigterm exit; " LISTEN "obey", true, 0);
    end_of_environment("sigterm stay; " LISTEN "obey", true, 300000);
    end_of_environment("sigterm exit; obey", false, 0);
}

enum { WORKERS = 8, TRIES = 10 };

/* How many invocations have begun in that part of the log, before `end` if there is one. */
static int count_begun(const char *log, const char *end) {
    int count = 0;
    for (; (log = strstr(log, "START RequestId: ")) != NULL && (end == NULL || log < end); log++)
        count++;
    return count;
}

/* Eight events at once for the workers of the shipped runtime, which answers "later N" with N x
 * after 200 ms. A victim is killed when all have begun. How many answers are right; and in
 * `together` how many had begun before the first was answered. */
static int eight_at_once(pid_t victim, int *together) {
    int fds[WORKERS], right = 0;
    char event[32];
    says(&served, "");
    size_t from = strlen(served.text);
    for (size_t i = 0; i < WORKERS; i++) {
        snprintf(event, sizeof event, "later %zu", i + 1);
        fds[i] = send_event(event);
    }
    for (int i = 0; victim != 0 && i < SAID_S * 100; i++, sleep_ms(10))
        if (says(&served, "") && count_begun(served.text + from, NULL) == WORKERS)
            break;
    if (victim != 0)
        kill(victim, SIGKILL);
    for (size_t i = 0; i < WORKERS; i++) {
        struct reply r = take_reply(fds[i]);
        right += r.body.length == i + 1 && strspn(r.body.data, "x") == i + 1;
        if (r.body.length > WORKERS && victim != 0)
            check(holds(&r.body, "The worker that had the event"), "a worker is killed", "error",
                  r.body.data);
        reply_free(&r);
    }
    says(&served, "");
    *together = count_begun(served.text + from, strstr(served.text + from, "END RequestId: "));
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

static void write_file(const char *name, const char *data, size_t length, mode_t mode) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0 || write(fd, data, length) != (ssize_t)length || close(fd) != 0)
        exit(1);
}

/* ---- The function URL ----------------------------------------------------------------------- */

#define URL_STREAM                                                                             \
    "begin Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n" \
    "Content-Type: "
#define URL_HTTP URL_STREAM "application/vnd.awslambda.http-integration-response\r\n\r\n; "
#define PLAIN "Content-Type: text/plain\r\n"

static void requests_as_events(void) {
    static const struct {
        const char *call, *fields, *body, *part;
    } rows[] = {
        {"GET /a%20b?c=%26&d&c=e", "", "",
         "\"rawPath\":\"/a%20b\",\"rawQueryString\":\"c=%26&d&c=e\","},
        {"GET /a%20b?c=%26&d&c=e", "", "",
         ",\"queryStringParameters\":{\"c\":\"&,e\",\"d\":\"\"},"},
        {"GET /", "X-A: 1\r\nCookie: b=2; c=\"3\"\r\nx-a:  2 \r\n", "",
         "\"headers\":{\"host\":\"127.0.0.1\",\"x-a\":\"1,2\",\"content-length\":\"0\"},"
         "\"cookies\":[\"b=2\",\"c=\\\"3\\\"\"],\"requestContext\":{"},
        {"PATCH /", "User-Agent: u\r\n", "", "\"http\":{\"method\":\"PATCH\",\"path\":\"/\","},
        {"GET /", "User-Agent: u\r\n", "", "\"userAgent\":\"u\"}},\"isBase64Encoded\":false}"},
        {"POST /", PLAIN, "\"\xc3\xa9\"", "false,\"body\":\"\\\"\xc3\xa9\\\"\"}"},
        {"POST /", "Content-Type: image/png\r\n", "\"a", "true,\"body\":\"ImE=\"}"},
        {"PUT /2015-03-31/other", "", "", "\"rawPath\":\"/2015-03-31/other\""}};
    serve("probe");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        exchange(NULL, rows[i].call, rows[i].fields, rows[i].body, 200, rows[i].part,
                 "Content-Type: application/json\r\n", NONE);
    exchange(NULL, "GET " FUNCTIONS "a/b", "", "", 404, "", "ResourceNotFoundException", NONE);
}

static void answers_as_responses(void) {
    static const struct {
        const char *script;
        int status;
        const char *body, *head;
    } rows[] = {
        {"response {\"statusCode\":201,\"headers\":{\"X-A\":\"b\",\"n\":1,\"Date\":\"\"},\"cookies\":"
         "[\"a=1\",\"b=2\"],\"more\":[{}],\"isBase64Encoded\":true,\"body\":\"aGk=\"}",
         201, "hi",
         "\r\nX-A: b\r\nn: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Type: app"},
        {"response {\"statusCode\":\"404\",\"headers\":{\"content-type\":\"text/css\"}}", 404, "",
         "\r\ncontent-type: text/css\r\nx-amzn-RequestId: "},
        {"response {\"headers\":{\"X-A\":\"b\"},\"body\":{}}", 200,
         "{\"headers\":", "\r\nContent-Type: app"},
        {"response \"text\"", 200, "\"text\"", "\r\nContent-Type: application/json\r\n"},
        {"response text", 502, "Internal Server Error", "the function URL answers 502: text\n"},
        {"response {\"statusCode\":99}", 502, "", ""},
        {"response {\"statusCode\":200,\"body\":{}}", 502, "", ""},
        {"response {\"statusCode\":200,\"headers\":{\"a\":\"\\r\\nb\"}}", 502, "", ""},
        {"response {\"statusCode\":200,\"body\":\"*\",\"isBase64Encoded\":true}", 502, "", ""},
        {"error " HASTE, 502, "Internal Server Error", HASTE},
        {"exit 1", 502, "Internal Server Error", "Runtime.ExitError"},
        {URL_STREAM "text/css\r\n\r\n3\r\none\r\n; raw 3\r\ntwo\r\n0\r\n\r\n; reply url", 200,
         "onetwo", "\r\nContent-Type: text/css\r\n"},
        {URL_HTTP "raw =prelude; raw 3\r\ntwo\r\n0\r\n\r\n; reply url", 299, "two",
         "\r\nTransfer-Encoding: chunked\r\n"},
        {URL_HTTP "raw 2\r\n{}\r\n0\r\n\r\n; reply url", 502, "", ""}};
    serve("obey");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        exchange(NULL, "POST /", PLAIN, rows[i].script, rows[i].status, rows[i].body, rows[i].head,
                 NONE);
}

/* The function goes on only when its first piece has arrived. */
static void stream_as_it_is_written(const char *directory) {
    static const char *const ends[] = {
        "raw 3\r\ntwo\r\n0\r\n\r\n; reply url", "exit 1",
        "raw 0\r\nLambda-Runtime-Function-Error-Type: a\r\n\r\n; reply url"};
    char file[200], script[600];
    snprintf(file, sizeof file, "%s/go", directory);
    for (size_t i = 0; i < 3; i++) {
        struct bytes all = {0}, rest = {0};
        snprintf(script, sizeof script, URL_HTTP "raw =prelude; raw 3\r\none\r\n; await %s; %s",
                 file, ends[i]);
        int fd = send_call("POST /", PLAIN, script);
        while (!holds(&all, "\r\n\r\n3\r\none\r\n") && get(fd, &all, 1))
            continue;
        check(holds(&all, "HTTP/1.1 299 "), "URL", "a stream streams", all.data);
        write_file(file, "", 0, 0600);
        check(get_chunks(fd, &rest) == (i == 0), "URL", "what breaks off has no end", rest.data);
        check(holds(&rest, "two") == (i == 0), "URL", "and what does not goes on", rest.data);
        unlink(file);
        close(fd);
        bytes_free(&all);
        bytes_free(&rest);
    }
}

/* ---- A build while it serves --------------------------------------------------------------- */

static char built[200]; /* the path of the executable */

/* The shipped runtime, which answers "another" with that version. `suffix`: of the file's name. */
static void build(const char *version, const char *suffix, mode_t mode) {
    char path[220], text[4300], *runtime = realpath(probe, NULL);
    snprintf(path, sizeof path, "%s%s", built, suffix);
    int n = snprintf(text, sizeof text, "#!/bin/sh\nANOTHER=%s exec %s\n", version, runtime);
    write_file(path, text, (size_t)n, mode);
    free(runtime);
}

static void move_built(const char *suffix, bool back) {
    char path[220];
    snprintf(path, sizeof path, "%s%s", built, suffix);
    if (rename(back ? path : built, back ? built : path) != 0)
        exit(1);
}

/* It is built while the old one still has an event. */
static void build_in_flight(const char *settings) {
    char how[300];
    snprintf(how, sizeof how, "%sBOOTSTRAP=%s probe", settings, built);
    build("old", "", 0755);
    EXPECT(how, "another", "old");
    int busy = send_event("later 3");
    for (int i = 0; i < SAID_S * 100 && says(&served, "") && count_begun(served.text, NULL) < 2;
         i++)
        sleep_ms(10);
    build("new", ".new", 0755);
    move_built(".new", true);
    EXPECT(NULL, "another", "new", "has been built anew: the next invocation starts it\n");
    struct reply r = take_reply(busy);
    check(strcmp(r.body.data, "xxx") == 0, how, "what is in flight ends first", r.body.data);
    reply_free(&r);
    EXPECT(NULL, "another", "new");
    const char *said = strstr(served.text, "built anew");
    check(said != NULL && strstr(said + 1, "built anew") == NULL, how, "one line", served.text);
}

static void builds(const char *directory) {
    snprintf(built, sizeof built, "%s/bootstrap", directory);
    build_in_flight("");
    build_in_flight("CONCURRENCY=16 "); /* some connect while it ends */
    build("newer", "", 0755);           /* in place */
    EXPECT(NULL, "another", "newer");
    move_built(".old", false); /* and so it is gone, */
    EXPECT(NULL, "another", "newer");
    build("newest", "", 0644); /* there is another, */
    EXPECT(NULL, "another", "newer");
    chmod(built, 0755); /* and now it is whole */
    EXPECT(NULL, "another", "newest");
    build("copied", "", 0755);
    int fd = open(built, O_WRONLY | O_CLOEXEC); /* by somebody who goes on writing for a while */
    int busy = send_event("another");
    sleep_ms(100);
    close(fd);
    struct reply r = take_reply(busy);
    check(strcmp(r.body.data, "copied") == 0, "build", "waits for the end of a copy", r.body.data);
    reply_free(&r);
    move_built(".old", false);
    build("linked", ".new", 0755);
    char link[300];
    snprintf(link, sizeof link, "BOOTSTRAP=%s probe", built);
    if (symlink("bootstrap.old", built) != 0)
        exit(1);
    EXPECT(link, "another", "copied");
    if (unlink(built) != 0 || symlink("bootstrap.new", built) != 0)
        exit(1);
    EXPECT(NULL, "another", "linked");
    stop();
    for (const char *const *suffix = (const char *const[]){"", ".old", ".new", NULL}; *suffix;
         suffix++) {
        snprintf(link, sizeof link, "%s%s", built, *suffix);
        unlink(link);
    }
}

/* ---- The command line ---------------------------------------------------------------------- */

/* Of a local Lambda that ends by itself. `said` "": nothing. */
static void check_end(struct local *l, const char *name, int status, const char *printed,
                      const char *said) {
    wait_for_end(l);
    check(WIFEXITED(l->status) && WEXITSTATUS(l->status) == status, name, "exit status", l->text);
    check(strcmp(l->printed, printed) == 0, name, "stdout", l->printed);
    check(said[0] == '\0' ? l->text[0] == '\0' : strstr(l->text, said) != NULL, name, said,
          l->text);
    discard(l);
}

/* `settings`: NAME=value, each with a blank behind it. */
static void command(const char *settings, const char *mode, const char *event, int status,
                    const char *printed, const char *said) {
    char how[300], name[400];
    snprintf(how, sizeof how, "%sprobe", settings);
    snprintf(name, sizeof name, "%s%s %s", settings, mode, event == NULL ? "" : event);
    struct local l = launch(how, mode, event);
    check_end(&l, name, status, printed, said);
}

/* A file of that content as bootstrap. */
static void bad_bootstrap(const char *directory, const char *data, size_t length, mode_t mode,
                          const char *said) {
    char path[200], setting[256];
    snprintf(path, sizeof path, "%s/file", directory);
    snprintf(setting, sizeof setting, "BOOTSTRAP=%s ", path);
    write_file(path, data, length, mode);
    command(setting, "serve", NULL, 1, "", said);
    unlink(path);
}

static void bad_starts(const char *directory) {
    char setting[300], elf[20] = "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0";
    struct utsname machine;
    uname(&machine);
    bool is_arm = strcmp(machine.machine, "aarch64") == 0;
    elf[18] = (char)(is_arm ? 62 : 183);
    bad_bootstrap(directory, elf, sizeof elf, 0755,
                  is_arm ? "is built for x86_64" : "is built for aarch64 (arm64)");
    bad_bootstrap(directory, "#!/bin/sh\r\n", 11, 0755, "which must not end with CR LF");
    bad_bootstrap(directory, "text\n", 5, 0755, "is neither an executable for this machine nor");
    bad_bootstrap(directory, "text\n", 5, 0644,
                  "cannot be executed: Permission denied; Lambda wants a file of mode 755");
    snprintf(setting, sizeof setting, "BOOTSTRAP=%s ", directory);
    command(setting, "serve", NULL, 1, "", "cannot be executed: ");
    command("BOOTSTRAP=/nowhere/bootstrap ", "run", NULL, 1, "",
            "local_lambda: /nowhere/bootstrap: No such file or directory: build it, or");
    serve("probe");
    snprintf(setting, sizeof setting, "PORT=%u ", served.port);
    command(setting, "serve", NULL, 1, "", "another program has the port");
}

static void commands(const char *directory) {
    char file[256];
    snprintf(file, sizeof file, "@%s/event", directory);
    write_file(file + 1, "\"from a file\"\n", 14, 0644);
    command("", "run", NULL, 0, "{\"text\":\"Hello\"}", "");
    command("", "run", "\"x\"", 0, "\"x\"", "");
    command("", "run", file, 0, "\"from a file\"\n", "");
    if (freopen(file + 1, "r", stdin) == NULL)
        exit(1);
    command("", "run", "-", 0, "\"from a file\"\n", "");
    command("", "run", "@/nowhere", 1, "", "event file /nowhere: No such");
    command(
        "", "run", "[1", 0, "[1",
        "local_lambda: the event is no JSON, and the function gets it all the same; Lambda would "
        "refuse it with 400 InvalidRequestContentException: Unexpected end-of-input at [line: 1, ");
    command("", "run", "\"fail Function.Refused no\"", 1, "",
            "{\"errorType\":\"Function.Refused\",\"stackTrace\":[],\"errorMessage\":\"no\"}");
    command("", "run", "\"log info a line\"", 0, "logged", "a line\n");
    command("", "run", "\"crash\"", 1, "", "signal: killed");
    struct local l = launch("next; use 130; response 1; next", "run", "1");
    check_end(&l, "memory", 0, "1",
              "has used more than its MEMORY of 128 MB: Lambda would have ended the process "
              "(Runtime.OutOfMemory, signal: killed)\n");
    l = launch("MEMORY=256 next; use 130; response 1; next", "run", "1");
    wait_for_end(&l);
    check(strstr(l.text, "MEMORY") == NULL, "memory", "enough of it", l.text);
    discard(&l);
    l = launch("sigterm exit; " LISTEN "next; response 1; next", "run", "1");
    check_end(&l, "extension", 0, "1", SIGNALLED);
    command("PROBE_FAIL=1 ", "run", "1", 1, "", "Function.NoDatabase");
    command("", "walk", NULL, 1, "", "local_lambda: usage: ");
    command("PORT=65536 ", "serve", NULL, 1, "",
            "PORT is '65536', and has to be a number from 0 to 65535");
    command("TIMEOUT=3s ", "run", NULL, 1, "", "TIMEOUT is '3s'");
    command("CONCURRENCY=0 ", "run", NULL, 1, "", "CONCURRENCY is '0'");
    unlink(file + 1);
}

static void conversation(void) {
    static const char *const parts[] = {
        "  Next invocation, on a new connection\n",
        "> GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\n\n",
        "< HTTP/1.1 200 OK\\r\\n\n",
        "< {\"text\":\"Hello\"}",
        "  Invocation response, on the same connection\n",
        "> {\"text\":\"Hello\"}",
        "< HTTP/1.1 202 Accepted\\r\\n\n",
        "  Next invocation, on the same connection\n"};
    struct local l = launch("probe", "trace", NULL);
    wait_for_end(&l);
    const char *at = l.printed;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        at = at == NULL ? NULL : strstr(at, parts[i]);
        check(at != NULL, "trace", parts[i], l.printed);
    }
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

/* Between the chunks another call is answered, so that the first has arrived before the second goes
 * out. */
static void chunks_in_time(void) {
    struct local l =
        launch("next; begin transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n; aside; "
               "call GET /2018-06-01/ping; back; raw 4\r\ndefg\r\n0\r\n\r\n; reply response; next",
               "trace", "1");
    wait_for_end(&l);
    const char *at = strstr(l.printed, "  Invocation response, ");
    long head = shown_us(at, "> POST "), first = shown_us(at, "> 3\\r\\n"),
         second = shown_us(at, "> 4\\r\\n"), last = shown_us(at, "> 0\\r\\n");
    check(head >= 0 && head <= first && first < second && second <= last, "trace",
          "each chunk has its time", l.printed);
    at = at == NULL ? NULL : strstr(at, "the head ends");
    check(at != NULL && at[strlen("the head ends")] == '\n', "trace",
          "the head of a chunked response is not called one without a body", l.printed);
    discard(&l);
}

/* ---- Load ---------------------------------------------------------------------------------- */

static long resident_kb(pid_t pid) {
    char path[64], line[128];
    long kb = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *status = fopen(path, "re");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtol(line + 6, NULL, 10);
    if (status != NULL)
        fclose(status);
    return kb;
}

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
static void look(long *kb, unsigned *open) {
    struct reply r = {0};
    int fd = send_event("1");
    receive(fd, &r);
    *kb = resident_kb(served.pid);
    *open = open_descriptors(served.pid);
    reply_free(&r);
    close(fd);
}

static void no_growth(const char *how) {
    long kb_before, kb;
    unsigned open_before, open;
    serve(how);
    check(load(LOAD_INVOCATIONS / 10), how, "warm", NULL);
    look(&kb_before, &open_before);
    check(load(LOAD_INVOCATIONS), how, "10,000 invocations by 8 clients", NULL);
    look(&kb, &open);
    check(kb_before > 0 && kb <= kb_before + LOAD_GROWTH_KB, how, "memory", NULL);
    check(open_before > 0 && open == open_before, how, "descriptors", NULL);
}

static void run_cases(const char *directory) {
    struct local patient = launch("pause", "run", "1"); /* takes 10 s: meanwhile … */
    shipped_runtime();
    events_that_are_no_json();
    old_and_odd_clients();
    names();
    answers_at_the_wrong_time();
    answers_of_the_wrong_form();
    requests_that_are_wrong();
    runtimes_that_fail_to_start();
    what_runtimes_may_do();
    answer_waits_for_the_next_poll();
    managed_instances();
    managed_instances_limits();
    framing_of_events();
    large_events();
    log_tail();
    initialization_error_before_any_event();
    throttling();
    change_of_configuration();
    workers_of_the_shipped_runtime();
    no_orphans();
    extensions();
    requests_as_events();
    answers_as_responses();
    stream_as_it_is_written(directory);
    builds(directory);
    commands(directory);
    bad_starts(directory);
    conversation();
    chunks_in_time();
    no_growth("probe");
    no_growth("CONCURRENCY=8 probe");
    stop();
    check_end(&patient, "never polls", 1, "",
              "has not asked for its first event (GET " API "/invocation/next) within 10 s");
}

int main(int count, char **arguments) {
    char directory[150];
    const char *script = getenv("SCRIPT");
    if (script != NULL) {
        connect_again();
        run_steps(script);
        return 3;
    }
    snprintf(directory, sizeof directory, "%s/lambda_test.XXXXXX", temporary_folder());
    if (count != 3 || mkdtemp(directory) == NULL) {
        fprintf(stderr, "usage: lambda_test LOCAL_LAMBDA PROBE\n");
        return 2;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    alarm(ALL_S);
    program = arguments[1];
    probe = arguments[2];
    self = realpath("/proc/self/exe", NULL);
    run_cases(directory);
    rmdir(directory);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
