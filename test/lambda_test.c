/* lambda_test.c - does the local Lambda behave as Lambda does? Invokes it over sockets, and needs
 * nothing but C. Two kinds of runtime serve: PROBE, the shipped runtime with test/probe.c, and this
 * program itself, which the local Lambda starts with a SCRIPT in its environment and which then
 * does what no runtime should, and writes what it is told to its stderr.
 *
 *     lambda_test LOCAL_LAMBDA PROBE
 *
 * Build: cc -std=c11 -O2 test/lambda_test.c test/wire.c -o lambda_test
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE 1
#include "wire.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
    ALL_S = 120,                    /* for the whole run, which takes 25 */
    LIMIT_S = 20,                   /* nothing here takes so long, but what hangs */
    RESPONSE_MAX = (6 << 20) + 100, /* of the Runtime API */
    LMI_ERROR_MAX = 1 << 20,        /* of an error, in a Managed Instances environment */
    QUEUE_MAX = 1000,               /* invocations in line */
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
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        perror("lambda_test: connect");
        exit(1);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
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

/* What becomes of it is seen when the reply is read. */
__attribute__((format(printf, 2, 3))) static void send_text(int fd, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    send_all(fd, text, (size_t)length);
}

static void request(int fd, const char *method, const char *target, const char *fields,
                    const void *body, size_t length) {
    struct bytes all = {0};
    bytes_format(&all, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %zu\r\n\r\n", method,
                 target, fields, length);
    bytes_append(&all, body, length);
    send_all(fd, all.data, all.length);
    bytes_free(&all);
}

/* ---- Runtimes that misbehave --------------------------------------------------------------- */

#define API "/2018-06-01/runtime"

static int lambda = -1; /* the connection to the Runtime API */
static struct reply seen;
static char id[64], nonce_field[128];

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vdprintf(STDERR_FILENO, format, arguments);
    va_end(arguments);
}

/* Another connection; what becomes of the one before is the script's affair. */
static void connect_again(void) {
    const char *address = getenv("AWS_LAMBDA_RUNTIME_API");
    lambda = dial((uint16_t)strtoul(strchr(address, ':') + 1, NULL, 10));
}

static void reconnect(void) {
    close(lambda);
    connect_again();
}

static void note_reply(const char *what) {
    if (receive(lambda, &seen))
        note("%s: %d %s\n", what, seen.status, seen.body.data);
    else
        note("%s: no reply\n", what);
}

static void post(const char *target, const char *fields, const void *body, size_t length) {
    request(lambda, "POST", target, fields, body, length);
    note_reply(strrchr(target, '/') + 1);
}

static void answer(const char *kind, const char *fields, const void *body, size_t length) {
    char target[160];
    snprintf(target, sizeof target, API "/invocation/%s/%s", id, kind);
    post(target, fields, body, length);
}

static void respond(const char *text) {
    answer("response", "", text, strlen(text));
}

/* The answer is so many bytes of x. */
static void answer_large(const char *kind, size_t length) {
    char *large = malloc(length);
    if (large == NULL)
        _exit(1);
    answer(kind, "", memset(large, 'x', length), length);
    free(large);
}

static void get_route(const char *target, const char *name) {
    request(lambda, "GET", target, "", "", 0);
    note_reply(name);
}

static void poll_next(void) {
    request(lambda, "GET", API "/invocation/next", "", "", 0);
}

static bool take_event(void) {
    size_t n;
    if (!receive(lambda, &seen) || seen.status != 200) {
        note("next: %d %s\n", seen.status, seen.body.data == NULL ? "" : seen.body.data);
        return false;
    }
    const char *value = field(&seen, "Lambda-Runtime-Aws-Request-Id", &n);
    snprintf(id, sizeof id, "%.*s", (int)n, value);
    value = field(&seen, "Lambda-Runtime-Invocation-Id", &n);
    snprintf(nonce_field, sizeof nonce_field, "Lambda-Runtime-Invocation-Id: %.*s\r\n", (int)n,
             value);
    return true;
}

static bool next(void) {
    poll_next();
    return take_event();
}

static void good(void) {
    while (next())
        answer("response", nonce_field, seen.body.data, seen.body.length);
}

static void shows_head(void) {
    struct bytes head = seen.head;
    seen.head = (struct bytes){0};
    answer("response", "", head.data, head.length - 1);
}

static void shows_environment(void) {
    struct bytes all = {0};
    for (char **variable = environ; *variable != NULL; variable++)
        bytes_format(&all, "%s\n", *variable);
    answer("response", "", all.data, all.length);
    bytes_free(&all);
}

static void sleeps(void) {
    sleep_ms(LIMIT_S * 1000);
}

static void answers_twice(void) {
    respond("\"first\"");
    respond("\"second\"");
    answer("error", "", "{}", 2);
}

static void answers_wrong_id(void) {
    post(API "/invocation/8476a536-e9f4-11e8-9739-2dfe598c3fcd/response", "", "1", 1);
    respond("\"right\"");
}

/* Announces 6 MB for an unknown invocation, sends none of it, and is answered all the same. */
static void is_refused_early(void) {
    send_text(lambda, "POST " API "/invocation/x/response HTTP/1.1\r\nHost: a\r\n"
                      "Content-Length: 6000000\r\n\r\n");
    note_reply("early");
    note("%s\n", strstr(seen.head.data, "Connection: close") ? "and closes" : "and stays");
    reconnect();
    respond("\"right\"");
}

static void answers_too_much(void) {
    answer_large("response", RESPONSE_MAX + 1);
    answer("error", "", "{}", 2);
}

static void answers_most(void) {
    answer_large("response", RESPONSE_MAX);
}

static void has_wrong_mode(void) {
    answer("response", "Lambda-Runtime-Function-Response-Mode: Streaming\r\n", "1", 1);
    answer("error", "", "{}", 2);
    next();
    _exit(3);
}

static void breaks_off(void) {
    send_text(lambda,
              "POST " API "/invocation/%s/response HTTP/1.1\r\nHost: a\r\n"
              "Content-Length: 100\r\n\r\nhalf",
              id);
    sleep_ms(50);
    reconnect();
    respond("\"again\"");
    next();
    _exit(3);
}

static void has_stale_nonce(void) {
    answer("response", "Lambda-Runtime-Invocation-Id: stale\r\n", "1", 1);
    answer("response", nonce_field, "\"fresh\"", 7);
}

static void fails_to_start(void) {
    const char body[] = "{\"errorMessage\":\"no key\",\"errorType\":\"Runtime.APIKeyNotFound\"}";
    post(API "/init/error", "", body, sizeof body - 1);
    post(API "/init/error", "", body, sizeof body - 1);
    next();
    if (getenv("STAYS") != NULL)
        pause();
    _exit(1);
}

/* Sends and is gone while the local Lambda is stopped: what it sent counts all the same. */
static void fails_in_haste(void) {
    pid_t local = getppid();
    kill(local, SIGSTOP);
    if (fork() == 0) {
        setpgid(0, 0);
        sleep_ms(100);
        kill(local, SIGCONT);
        _exit(0);
    }
    request(lambda, "POST", API "/init/error", "", "{\"errorType\":\"Haste\"}", 21);
    _exit(1);
}

static void reports_init_late(void) {
    post(API "/init/error", "", "{}", 2);
    respond("\"late\"");
}

static void never_polls(void) {
    pause();
}

static void exits_at_once(void) {
    _exit(9);
}

static void is_malformed(void) {
    size_t n;
    send_text(lambda, "GET / HTTP/1.1\nHost: a\n\n");
    note_reply("malformed");
    note("%s\n", field(&seen, "Content-Length", &n) == NULL ? "up to the end" : "counted");
    reconnect();
    respond("\"healed\"");
}

static void has_long_head(void) {
    send_text(lambda, "GET " API "/invocation/next HTTP/1.1\r\nHost: a\r\nX: ");
    for (int i = 0; i < 1100; i++)
        send_text(lambda, "%01000d", 0);
    note_reply("long");
    reconnect();
    respond("\"healed\"");
}

static void calls_strange_routes(void) {
    post(API "/invocation/next", "", "", 0);
    post("/2018-06-01/nowhere", "", "", 0);
    get_route("/2018-06-01/ping", "ping");
    get_route(API "/restore/next", "restore");
    respond("\"there\"");
}

/* Its first poll, which a GET with a body is too. */
static void polls_with_body(void) {
    request(lambda, "GET", API "/invocation/next", "", "{}", 2);
    if (take_event())
        respond("\"polled\"");
}

static void polls_twice(void) {
    int first = lambda;
    respond("1");
    poll_next();
    sleep_ms(50);
    connect_again();
    next();
    lambda = first;
    receive(lambda, &seen);
    good();
}

static void gives_poll_up(void) {
    respond("1");
    poll_next();
    sleep_ms(50);
    reconnect();
    sleeps();
}

static void asks_again(void) {
    char first[sizeof id];
    memcpy(first, id, sizeof id);
    reconnect();
    next();
    respond(strcmp(first, id) == 0 ? "\"the same\"" : "\"another\"");
}

static void streams(void) {
    char all[512];
    int length = snprintf(all, sizeof all,
                          "POST " API "/invocation/%s/response HTTP/1.1\r\nHost: a\r\n"
                          "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
                          "Transfer-Encoding: chunked\r\n"
                          "Trailer: Lambda-Runtime-Function-Error-Type\r\n\r\n"
                          "3\r\nabc\r\n4\r\ndefg\r\n0\r\n"
                          "Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n\r\n",
                          id);
    for (int i = 0; i < length; i++)
        send_all(lambda, all + i, 1);
    note_reply("stream");
}

static void expects_continue(void) {
    send_text(lambda,
              "POST " API "/invocation/%s/response HTTP/1.1\r\nHost: a\r\n"
              "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
              id);
    note_reply("head");
    send_text(lambda, "\"c\"");
    note_reply("body");
}

static void answers_from_elsewhere(void) {
    int first = lambda;
    connect_again();
    respond("\"elsewhere\"");
    lambda = first;
}

static void polls_late(void) {
    respond("\"early\"");
    sleep_ms(300);
}

static void restores(void) {
    struct bytes rest = {0};
    get_route(API "/restore/next", "restore");
    note("%s\n", get(lambda, &rest, 1) ? "open" : "closed");
    reconnect();
}

/* A Managed Instances worker: what it does with an event, the event says. */
static void work(void) {
    while (next()) {
        struct bytes event = seen.body;
        seen.body = (struct bytes){0};
        if (strcmp(event.data, "end") == 0)
            kill(getppid(), SIGTERM);
        if (strcmp(event.data, "die") == 0 || strcmp(event.data, "end") == 0)
            _exit(1);
        if (strncmp(event.data, "sleep ", 6) == 0)
            sleep_ms((unsigned)strtoul(event.data + 6, NULL, 10));
        if (strncmp(event.data, "error ", 6) == 0 || strncmp(event.data, "large ", 6) == 0) {
            answer_large(event.data[0] == 'e' ? "error" : "response",
                         strtoul(event.data + 6, NULL, 10));
            if (seen.head.data != NULL && strstr(seen.head.data, "Connection: close") != NULL) {
                note("and closes\n");
                reconnect();
            }
        } else if (strcmp(event.data, "head") == 0)
            shows_head();
        else
            answer("response", "", event.data, event.length);
        if (strcmp(event.data, "twice") == 0)
            respond("2");
        bytes_free(&event);
    }
}

static void workers(void) {
    unsigned long count = strtoul(getenv("AWS_LAMBDA_MAX_CONCURRENCY"), NULL, 10);
    for (unsigned long i = 0; i < count; i++)
        if (fork() == 0) {
            reconnect();
            work();
            _exit(1);
        }
    for (;;)
        pause();
}

/* What it does at once; or else with its first event. */
#define STARTS(name) \
    { #name, name, true }
#define SERVES(name) \
    { #name, name, false }

static const struct script {
    const char *name;
    void (*run)(void);
    bool at_once;
} scripts[] = {STARTS(good),
               STARTS(fails_to_start),
               STARTS(fails_in_haste),
               STARTS(never_polls),
               STARTS(exits_at_once),
               STARTS(polls_with_body),
               STARTS(restores),
               STARTS(workers),
               SERVES(shows_head),
               SERVES(shows_environment),
               SERVES(sleeps),
               SERVES(answers_twice),
               SERVES(answers_wrong_id),
               SERVES(is_refused_early),
               SERVES(answers_too_much),
               SERVES(answers_most),
               SERVES(has_wrong_mode),
               SERVES(breaks_off),
               SERVES(has_stale_nonce),
               SERVES(reports_init_late),
               SERVES(is_malformed),
               SERVES(has_long_head),
               SERVES(calls_strange_routes),
               SERVES(polls_twice),
               SERVES(gives_poll_up),
               SERVES(asks_again),
               SERVES(streams),
               SERVES(expects_continue),
               SERVES(answers_from_elsewhere),
               SERVES(polls_late)};

/* Whatever a script did, it is a good runtime afterwards. */
static int run_script(const char *name) {
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        if (strcmp(scripts[i].name, name) == 0) {
            connect_again();
            if (scripts[i].at_once || next())
                scripts[i].run();
            good();
            return 3;
        }
    note("no script is called %s\n", name);
    return 2;
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
    if (!right)
        printf("FAILED %s: %s\n----\n%.3000s\n----\n", name, what, about == NULL ? "" : about);
}

static char *whole_file(int fd) {
    struct stat about;
    fstat(fd, &about);
    char *text = calloc(1, (size_t)about.st_size + 1);
    if (text == NULL || pread(fd, text, (size_t)about.st_size, 0) != about.st_size)
        exit(1);
    return text;
}

/* `script` NULL: PROBE. `settings`: NAME=value, with blanks between them; NULL: none. */
static struct local launch(const char *script, const char *settings, const char *mode,
                           const char *event) {
    struct local l = {.out = memfd_create("out", MFD_CLOEXEC),
                      .err = memfd_create("err", MFD_CLOEXEC)};
    l.pid = fork();
    if (l.pid != 0)
        return l;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(l.out, STDOUT_FILENO);
    dup2(l.err, STDERR_FILENO);
    setenv("PORT", "0", 1);
    setenv("BOOTSTRAP", script == NULL ? probe : self, 1);
    if (script != NULL)
        setenv("SCRIPT", script, 1);
    char *rest = strdup(settings == NULL ? "" : settings);
    for (char *one = strtok(rest, " "); one != NULL; one = strtok(NULL, " "))
        putenv(one);
    execl(program, program, mode, event, NULL);
    _exit(127);
}

static bool says(struct local *l, const char *text) {
    free(l->text);
    l->text = whole_file(l->err);
    return strstr(l->text, text) != NULL;
}

static bool comes_to_say(struct local *l, const char *text) {
    for (int i = 0; i < 300 && !says(l, text); i++)
        sleep_ms(10);
    return strstr(l->text, text) != NULL;
}

static void check_said(struct local *l, const char *name, const char *text) {
    bool said = comes_to_say(l, text);
    check(said, name, text, l->text);
}

static struct local serve(const char *script, const char *settings) {
    struct local l = launch(script, settings, "serve", NULL);
    const char *at = comes_to_say(&l, "Ctrl-C") ? strstr(l.text, "127.0.0.1:") : NULL;
    l.port = at == NULL ? 0 : (uint16_t)strtoul(at + 10, NULL, 10);
    return l;
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
}

static void stop(struct local *l) {
    kill(l->pid, SIGINT);
    wait_for_end(l);
    check(l->status == 0, "Ctrl-C", "exit status", l->text);
    discard(l);
}

#define FUNCTION "/2015-03-31/functions/function"

static int send_event(const struct local *l, const char *event) {
    int fd = dial(l->port);
    request(fd, "POST", FUNCTION "/invocations", "", event, strlen(event));
    return fd;
}

static struct reply take_reply(int fd) {
    struct reply r = {0};
    receive(fd, &r);
    close(fd);
    return r;
}

static struct reply call(const struct local *l, const char *method, const char *path,
                         const char *fields, const void *body, size_t length) {
    int fd = dial(l->port);
    request(fd, method, path, fields, body, length);
    return take_reply(fd);
}

static struct reply invoke(const struct local *l, const char *fields, const void *event,
                           size_t length) {
    return call(l, "POST", FUNCTION "/invocations", fields, event, length);
}

static bool holds(const struct bytes *bytes, const char *text) {
    return bytes->data != NULL && memmem(bytes->data, bytes->length, text, strlen(text)) != NULL;
}

/* The body holds that text; and the reply is done with. */
static void check_body(struct reply r, const char *name, const char *text) {
    check(holds(&r.body, text), name, text, r.body.data);
    reply_free(&r);
}

/* ---- One event each ------------------------------------------------------------------------ */

/* A local Lambda, one event, the status, a part of the body, and up to a NULL parts of the head, or
 * of what comes on stderr. */
static void expect(const char *script, const char *settings, const char *fields, const char *event,
                   int status, const char *body, ...) {
    char name[200];
    struct local l = serve(script, settings);
    struct reply r = invoke(&l, fields, event, strlen(event));
    snprintf(name, sizeof name, "%s, event '%s'", script == NULL ? "probe" : script, event);
    check(r.status == status, name, "status", r.head.data);
    check(holds(&r.body, body), name, body, r.body.data);
    va_list parts;
    va_start(parts, body);
    for (const char *part; (part = va_arg(parts, const char *)) != NULL;)
        if (holds(&r.head, part))
            passed++;
        else
            check_said(&l, name, part);
    va_end(parts);
    reply_free(&r);
    stop(&l);
}

#define NONE (const char *)NULL
#define UNHANDLED "X-Amz-Function-Error: Unhandled\r\n"

static void shipped_runtime(void) {
    expect(NULL, NULL, "", "{\"text\":\"Hello\"}", 200, "{\"text\":\"Hello\"}",
           "X-Amz-Executed-Version: $LATEST\r\n", "Init Duration: ", NONE);
    expect(NULL, NULL, "", "", 200, "{}", NONE);
    expect(NULL, NULL, "", "fail Function.Refused it said \"no\"", 200,
           "{\"errorMessage\":\"it said \\\"no\\\"\",\"errorType\":\"Function.Refused\"", UNHANDLED,
           NONE);
    expect(NULL, NULL, "", "large 6291557", 200,
           "Response payload size (6291557 bytes) exceeded maximum allowed payload size (6291556 "
           "bytes).",
           UNHANDLED, NONE);
    expect(NULL, NULL, "", "crash", 200, "Error: Runtime exited with error: signal: killed\"}",
           UNHANDLED, "Runtime.ExitError", "END RequestId", NONE);
    expect(NULL, "PROBE_FAIL=1", "", "1", 200, "\"errorType\":\"Function.NoDatabase\"", UNHANDLED,
           NONE);
    expect(NULL, NULL, "X-Amz-Invocation-Type: DryRun\r\n", "crash", 204, "", NONE);
    expect(NULL, NULL, "X-Amz-Invocation-Type: Event\r\n", "log info a line", 202, "",
           "x-amzn-RequestId: ", "a line\n", "REPORT", NONE);
    expect(NULL, NULL, "X-Amz-Invocation-Type: Sync\r\n", "1", 400, "",
           "InvalidParameterValueException", NONE);
    expect(NULL, NULL, "X-Amz-Client-Context: eyJhIjoKMX0=\r\nX-Amz-Tenant-Id: blue\r\n", "context",
           200, "|{\"a\": 1}||blue|", NONE);
    expect(NULL, NULL, "X-Amz-Client-Context: {}\r\n", "1", 400, "",
           "InvalidRequestContentException", NONE);
    expect(NULL, NULL, "", "stream one two three", 200, "onetwothree", NONE);
    expect(NULL, NULL, "", "streamlate one two", 200, "onetwo", "the stream ended with Function.L",
           NONE);
}

static void runtimes_that_misbehave(void) {
    expect("good", NULL, "", "1", 200, "1", "response: 202 {\"status\":\"OK\"}\n", NONE);
    expect("answers_twice", NULL, "", "1", 200, "\"first\"",
           "response: 403 {\"errorMessage\":\"State transition from ResponseSent to "
           "InvocationResponse failed for runtime. Error: State transition is not allowed\","
           "\"errorType\":\"InvalidStateTransition\"}\n",
           "error: 403 {\"errorMessage\":\"State transition from ResponseSent to "
           "InvocationErrorResponse",
           "local_lambda: the runtime answers ", NONE);
    expect("answers_wrong_id", NULL, "", "1", 200, "\"right\"",
           "response: 400 {\"errorMessage\":\"Invalid request ID\",\"errorType\":"
           "\"InvalidRequestID\"}\n",
           "which is not being served", NONE);
    expect("is_refused_early", NULL, "", "1", 200, "\"right\"", "early: 400 ", "and closes", NONE);
    expect("answers_too_much", NULL, "", "1", 200, "Function.ResponseSizeTooLarge", UNHANDLED,
           "response: 413 {\"errorMessage\":\"Exceeded maximum allowed payload size (6291556 "
           "bytes).\",\"errorType\":\"RequestEntityTooLarge\"}\n",
           "error: 403 ", NONE);
    expect("answers_most", NULL, "", "1", 200, "xxx", "Content-Length: 6291556\r\n",
           "response: 202 ", NONE);
    expect("has_wrong_mode", NULL, "", "1", 200, "Runtime.InvalidResponseModeHeader", UNHANDLED,
           "response: 400 {\"errorMessage\":\"Invalid function response mode\",\"errorType\":"
           "\"InvalidFunctionResponseMode\"}",
           "error: 403 ", "next: 403 ", "is not 'streaming', its only value", NONE);
    expect("breaks_off", NULL, "", "1", 200, "exit status 3\"}", UNHANDLED,
           "response: 403 {\"errorMessage\":\"State transition from InvocationResponse to "
           "InvocationResponse",
           "next: 403 ", "broke off", "it can only exit", NONE);
    expect("has_stale_nonce", NULL, "", "1", 200, "\"fresh\"",
           "response: 410 {\"errorMessage\":\"Invoke timeout\",\"errorType\":\"InvokeTimeout\"}\n",
           "must be the one that came with the event", NONE);
}

static void requests_that_are_wrong(void) {
    expect("is_malformed", NULL, "", "1", 200, "\"healed\"",
           "malformed: 400 400 Bad Request: a line ends with LF alone", "up to the end", NONE);
    expect("has_long_head", NULL, "", "1", 200, "\"healed\"", "long: 431 ", NONE);
    expect("calls_strange_routes", NULL, "", "1", 200, "\"there\"", "next: 405 \n",
           "nowhere: 404 404 page not found\n", "ping: 200 pong\n", "restore: 404 ", NONE);
    expect("polls_with_body", NULL, "", "1", 200, "\"polled\"",
           "the runtime sends a body with GET next: Managed Instances refuse that", NONE);
    expect("polls_twice", NULL, "", "1", 200, "1", "next: 403 ", "one GET next at a time", NONE);
    expect("sleeps", "TIMEOUT=1", "", "1", 200, "Error: Task timed out after 1.00 seconds\"}",
           UNHANDLED, " Task timed out after 1.00 seconds\n", "REPORT", NONE);
}

static void runtimes_that_fail_to_start(void) {
    expect("fails_to_start", NULL, "", "1", 200, "Runtime.APIKeyNotFound", UNHANDLED, "error: 202 ",
           "error: 403 ", "next: 403 ", NONE);
    expect("fails_to_start", "STAYS=1", "", "1", 200, "Runtime.APIKeyNotFound", UNHANDLED,
           "has not exited 2 s after init/error: it must exit at once", NONE);
    expect("fails_in_haste", NULL, "", "1", 200, "{\"errorType\":\"Haste\"}", UNHANDLED, NONE);
    expect("reports_init_late", NULL, "", "1", 200, "\"late\"", "error: 403 ",
           "once, before GET next", NONE);
    expect("exits_at_once", NULL, "", "1", 200, "exit status 9\"}", UNHANDLED,
           "ended before it asked for its first event", NONE);
}

static void what_runtimes_may_do(void) {
    static const char trace[] = "X-Amzn-Trace-Id: Root=1\r\nX-Amz-Tenant-Id: t\r\n";
    expect("shows_head", NULL, trace, "1", 200,
           "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: ",
           NONE);
    expect("shows_head", NULL, trace, "1", 200,
           "\r\nLambda-Runtime-Aws-Tenant-Id: t\r\nLambda-Runtime-Deadline-Ms: ", NONE);
    expect("shows_head", NULL, trace, "1", 200,
           ":function:function\r\nLambda-Runtime-Trace-Id: Root=1\r\nDate: ", NONE);
    expect("shows_environment", "AWS_LAMBDA_MAX_CONCURRENCY=9", "", "1", 200,
           "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand\n", NONE);
    expect("asks_again", NULL, "", "1", 200, "\"the same\"", "it gets the same again", NONE);
    expect("streams", NULL, "", "1", 200, "abcdefg", "stream: 202 ",
           "the stream ended with Runtime.StreamError", NONE);
    expect("expects_continue", NULL, "", "1", 200, "\"c\"", "head: 100 ", "body: 202 ", NONE);
    expect("answers_from_elsewhere", NULL, "", "1", 200, "\"elsewhere\"", "response: 202 ", NONE);
    expect("restores", "AWS_LAMBDA_INITIALIZATION_TYPE=snap-start", "", "1", 200, "1",
           "restore: 200 \n", "closed\n", NONE);
}

/* ---- Several events ------------------------------------------------------------------------ */

static void framing_of_events(void) {
    char event[2049];
    memset(event, '1', sizeof event);
    for (size_t length = 2048; length <= 2049; length++) {
        struct local l = serve("shows_head", NULL);
        check_body(invoke(&l, "", event, length), "framing of events",
                   length == 2048 ? "\r\nContent-Length: 2048\r\n"
                                  : "\r\nTransfer-Encoding: chunked\r\n");
        stop(&l);
    }
}

static void large_events(void) {
    static char event[(6 << 20) + 1];
    struct local l = serve(NULL, NULL);
    for (size_t i = 0; i < sizeof event; i++)
        event[i] = (char)(i * 2654435761U >> 13);
    struct reply r = invoke(&l, "", event, 6 << 20);
    check(r.body.length == 6 << 20 && memcmp(r.body.data, event, 6 << 20) == 0, "6 MB", "echo",
          r.head.data);
    reply_free(&r);
    r = invoke(&l, "", event, sizeof event);
    check(r.status == 413 && holds(&r.head, "RequestTooLarge"), "6 MB + 1", "413", r.head.data);
    reply_free(&r);
    r = invoke(&l, "X-Amz-Invocation-Type: Event\r\n", event, (1 << 20) + 1);
    check(r.status == 413, "Event of 1 MB + 1", "413", r.head.data);
    reply_free(&r);
    stop(&l);
}

/* Base64 of what is known of the log, in whole groups of three, is how X-Amz-Log-Result begins. */
static void log_tail(void) {
    struct bytes log = {0}, wanted = {0};
    size_t n, length;
    struct local l = serve(NULL, NULL);
    struct reply r = invoke(&l, "X-Amz-Log-Type: Tail\r\n", "1", 1);
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
    r = invoke(&l, "", "1", 1);
    check(field(&r, "X-Amz-Log-Result", &n) == NULL, "log tail", "not asked for", r.head.data);
    reply_free(&r);
    stop(&l);
}

/* Events and parts of their answers in turn, up to a NULL, on one local Lambda. */
static void sequence(const char *name, const char *script, const char *settings, ...) {
    struct local l = serve(script, settings);
    va_list steps;
    va_start(steps, settings);
    for (const char *event; (event = va_arg(steps, const char *)) != NULL;) {
        check_body(invoke(&l, "", event, strlen(event)), name, va_arg(steps, const char *));
        sleep_ms(100); /* for what the script does after its answer */
    }
    va_end(steps);
    stop(&l);
}

static void fresh_environments(void) {
    sequence("after a crash", NULL, NULL, "1", "1", "crash", "Runtime.ExitError", "2", "2", NONE);
    sequence("a time-out, and another", "sleeps", "TIMEOUT=1", "1", "Sandbox.Timedout", "2",
             "Sandbox.Timedout", NONE);
    sequence("a poll that was given up", "gives_poll_up", "TIMEOUT=1", "1", "1", "2",
             "Sandbox.Timedout", NONE);
    sequence("each invocation initializes again", NULL, "PROBE_FAIL=1", "1", "NoDatabase", "2",
             "NoDatabase", NONE);
}

static void initialization_error_before_any_event(void) {
    struct local l = serve(NULL, "PROBE_FAIL=1");
    check_said(&l, "initialization error", "reported an initialization error: {");
    check_body(invoke(&l, "", "1", 1), "initialization error", "NoDatabase");
    stop(&l);
}

static void answer_waits_for_the_next_poll(void) {
    struct local l = serve("polls_late", NULL);
    uint64_t begin = now_us();
    check_body(invoke(&l, "", "1", 1), "polls_late", "\"early\"");
    check(now_us() - begin >= 300000, "polls_late", "the answer waits for the poll", NULL);
    stop(&l);
}

/* As many as may wait in line, asynchronous so that one connection will do, and one more. */
static void throttling(void) {
    struct local l = serve("sleeps", "TIMEOUT=10");
    struct reply r = {0};
    int served = send_event(&l, "served"), fd = dial(l.port), queued = 0;
    check_said(&l, "throttling", "START RequestId");
    for (; queued <= QUEUE_MAX && r.status != 429; queued += r.status == 202) {
        request(fd, "POST", FUNCTION "/invocations", "X-Amz-Invocation-Type: Event\r\n", "1", 1);
        if (!receive(fd, &r))
            break;
    }
    check(queued == QUEUE_MAX && r.status == 429 && holds(&r.head, "TooManyRequestsException") &&
              holds(&r.body, "Rate Exceeded."),
          "throttling", "1,000 in line, and 429 for the next", r.head.data);
    reply_free(&r);
    close(fd);
    close(served);
    stop(&l);
}

/* The configuration as coldstart.sh changes it; the function shows what it got. */
static void change_of_configuration(void) {
    static const char path[] = FUNCTION "/configuration", name[] = "configuration";
    static const char changed[] = "{\"Environment\": {\"Variables\": {\"A\": \"1\", "
                                  "\"CHANGED\" : \"\\u00e9\\ud83d\\ude00\\\"\\n\"}}}";
    static const char bad[] = "{\"Environment\":{\"Variables\":{\"A\":1}}}";
    struct local l = serve("shows_environment", NULL);
    check_body(call(&l, "GET", path, "", "", 0), name, "\"Environment\":{\"Variables\":{}}}");
    check_body(invoke(&l, "", "1", 1), name, "AWS_LAMBDA_RUNTIME_API=");
    check_body(call(&l, "PUT", path, "", changed, sizeof changed - 1), name,
               "{\"FunctionName\":\"function\",\"State\":\"Active\",\"LastUpdateStatus\":"
               "\"Successful\",\"Environment\":{\"Variables\": {\"A\": \"1\", ");
    struct reply r = invoke(&l, "X-Amz-Log-Type: Tail\r\n", "1", 1);
    check(holds(&r.body, "\nA=1\n") && holds(&r.body, "\nCHANGED=é😀\"\n\n"), name, "variables",
          r.body.data);
    reply_free(&r);
    says(&l, "");
    const char *first = strstr(l.text, "Init Duration: ");
    check(first != NULL && strstr(first + 1, "Init Duration: ") != NULL, name, "two cold starts",
          l.text);
    r = call(&l, "PUT", path, "", bad, sizeof bad - 1);
    check(r.status == 400, name, "no strings", r.body.data);
    reply_free(&r);
    check_body(call(&l, "GET", path, "", "", 0), name, "\"CHANGED\" : ");
    r = call(&l, "DELETE", path, "", "", 0);
    check(r.status == 405, name, "DELETE", r.head.data);
    reply_free(&r);
    stop(&l);
}

/* ---- Managed Instances --------------------------------------------------------------------- */

static void managed_instances(void) {
    static const char name[] = "managed instances";
    struct local l = serve("workers", "CONCURRENCY=2 TIMEOUT=2");
    check_body(invoke(&l, "", "twice", 5), name, "twice");
    check_said(&l, name, "response: 400 ");
    struct reply r = invoke(&l, "", "head", 4);
    check(holds(&r.body, "Content-Type: \r\n") && holds(&r.body, "Client-Context: \r\n") &&
              holds(&r.body, "Cognito-Identity: \r\n"),
          name, "empty fields", r.body.data);
    reply_free(&r);
    int dying = send_event(&l, "die"), sleeping = send_event(&l, "sleep 1300");
    check_body(take_reply(dying), name, "The worker that had the event");
    check_body(take_reply(sleeping), name, "sleep 1300"); /* the other worker goes on */
    check_body(invoke(&l, "", "sleep 2300", 10), name, "Task timed out after 2.00");
    check_body(invoke(&l, "", "late", 4), name, "late"); /* by the same worker */
    check_said(&l, name, "response: 410 ");
    check_body(invoke(&l, "", "end", 3), name, "Runtime.ExitError");
    check_body(invoke(&l, "", "1", 1), name, "1"); /* a fresh environment */
    stop(&l);
}

static void managed_instances_limits(void) {
    static const char name[] = "limits of managed instances";
    struct local l = serve("workers", "CONCURRENCY=1");
    check_body(invoke(&l, "", "error 1048576", 13), name, "xxx");
    check_said(&l, name, "error: 202 ");
    check_body(invoke(&l, "", "error 1048577", 13), name, "Function.ResponseSizeTooLarge");
    check_said(&l, name,
               "error: 413 {\"errorMessage\":\"Exceeded maximum allowed payload size "
               "(1048576 bytes).\"");
    check_said(&l, name, "and closes\n");
    check_body(invoke(&l, "", "large 6291556", 13), name, "xxx");
    check_body(invoke(&l, "", "large 6291557", 13), name, "Function.ResponseSizeTooLarge");
    check_said(&l, name,
               "response: 413 {\"errorMessage\":\"Exceeded maximum allowed payload size "
               "(6291556 bytes).\"");
    check_body(invoke(&l, "", "1", 1), name, "1"); /* after it closed the connection */
    stop(&l);
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
    for (int i = 0; i < 100; i++, sleep_ms(10))
        if (waitpid(pid, NULL, WNOHANG) == pid || kill(pid, 0) != 0)
            return true;
    return false;
}

static void no_orphans(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGKILL};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct local l = serve(NULL, NULL);
        check_body(invoke(&l, "", "1", 1), "no orphan", "1");
        pid_t child = child_of(l.pid);
        kill(l.pid, signals[i]);
        wait_for_end(&l);
        check(child > 0 && is_gone(child), "no orphan", strsignal(signals[i]), l.text);
        discard(&l);
    }
}

enum { WORKERS = 8, PAUSE_MS = 200 }; /* what PROBE does before it answers "later N" with N x */

/* Eight events at once for the workers of the shipped runtime; how many of the answers are right. */
static int eight_at_once(const struct local *l, pid_t victim) {
    int fds[WORKERS], right = 0;
    char event[32];
    for (size_t i = 0; i < WORKERS; i++) {
        snprintf(event, sizeof event, "later %zu", i + 1);
        fds[i] = send_event(l, event);
    }
    if (victim != 0) {
        sleep_ms(PAUSE_MS / 2);
        kill(victim, SIGKILL);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        struct reply r = take_reply(fds[i]);
        right += r.body.length == i + 1 && strspn(r.body.data, "x") == i + 1;
        if (r.body.length > WORKERS && victim != 0)
            check(holds(&r.body, "The worker that had the event"), "a worker is killed", "error",
                  r.body.data);
        reply_free(&r);
    }
    return right;
}

static void workers_of_the_shipped_runtime(void) {
    struct local l = serve(NULL, "CONCURRENCY=8");
    check(eight_at_once(&l, 0) == WORKERS, "workers", "right answers of a cold start", NULL);
    sleep_ms(100);
    uint64_t begin = now_us();
    check(eight_at_once(&l, 0) == WORKERS, "workers", "right answers", NULL);
    uint64_t took_ms = (now_us() - begin) / 1000;
    check(took_ms >= PAUSE_MS && took_ms < WORKERS / 2 * PAUSE_MS, "workers", "all at once", NULL);
    check(eight_at_once(&l, child_of(child_of(l.pid))) == WORKERS - 1, "a worker is killed",
          "it loses its own invocation and no other", NULL);
    sleep_ms(500); /* for the next worker */
    begin = now_us();
    check(eight_at_once(&l, 0) == WORKERS, "a worker is killed", "another one follows", NULL);
    check((now_us() - begin) / 1000 < WORKERS / 2 * PAUSE_MS, "a worker is killed",
          "again all at once", NULL);
    stop(&l);
}

/* ---- The command line ---------------------------------------------------------------------- */

static void command(const char *mode, const char *event, const char *settings, int status,
                    const char *printed, const char *said) {
    char name[400];
    struct local l = launch(NULL, settings, mode, event);
    snprintf(name, sizeof name, "%s %s %s", settings == NULL ? "" : settings, mode,
             event == NULL ? "" : event);
    wait_for_end(&l);
    check(WIFEXITED(l.status) && WEXITSTATUS(l.status) == status, name, "exit status", l.text);
    check(strcmp(l.printed, printed) == 0, name, "stdout", l.printed);
    check(said[0] == '\0' ? l.text[0] == '\0' : strstr(l.text, said) != NULL, name, said, l.text);
    discard(&l);
}

static void write_file(const char *name, const char *data, size_t length, mode_t mode) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0 || write(fd, data, length) != (ssize_t)length || close(fd) != 0)
        exit(1);
}

/* A file of that content as bootstrap. */
static void bad_bootstrap(const char *directory, const char *data, size_t length, mode_t mode,
                          const char *said) {
    char setting[256];
    snprintf(setting, sizeof setting, "BOOTSTRAP=%s/file", directory);
    const char *path = strchr(setting, '=') + 1;
    write_file(path, data, length, mode);
    command("serve", NULL, setting, 1, "", said);
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
    snprintf(setting, sizeof setting, "BOOTSTRAP=%s", directory);
    command("serve", NULL, setting, 1, "", "cannot be executed: ");
    command("run", NULL, "BOOTSTRAP=/nowhere/bootstrap", 1, "",
            "local_lambda: /nowhere/bootstrap: No such file or directory: build it, or");
    struct local l = serve(NULL, NULL);
    snprintf(setting, sizeof setting, "PORT=%u", l.port);
    command("serve", NULL, setting, 1, "", "another program has the port");
    stop(&l);
}

static void commands(const char *directory) {
    char file[256];
    snprintf(file, sizeof file, "@%s/event", directory);
    write_file(file + 1, "from a file\n", 12, 0644);
    command("run", NULL, NULL, 0, "{\"text\":\"Hello\"}", "");
    command("run", "\"x\"", NULL, 0, "\"x\"", "");
    command("run", file, NULL, 0, "from a file\n", "");
    command("run", "@/nowhere", NULL, 1, "", "event file /nowhere: No such");
    command("run", "fail Function.Refused no", NULL, 1, "", "{\"errorMessage\":\"no\"");
    command("run", "log info a line", NULL, 0, "logged", "a line\n");
    command("run", "crash", NULL, 1, "", "signal: killed");
    command("run", "1", "PROBE_FAIL=1", 1, "", "Function.NoDatabase");
    command("walk", NULL, NULL, 1, "", "local_lambda: usage: ");
    command("serve", NULL, "PORT=65536", 1, "",
            "PORT is '65536', and has to be a number from 0 to 65535");
    command("run", NULL, "TIMEOUT=3s", 1, "", "TIMEOUT is '3s'");
    command("run", NULL, "CONCURRENCY=0", 1, "", "CONCURRENCY is '0'");
    unlink(file + 1);
}

static void conversation(void) {
    static const char *const parts[] = {
        "  Next invocation\n",
        "> GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\n\n",
        "< HTTP/1.1 200 OK\\r\\n\n",
        "< {\"text\":\"Hello\"}",
        "Invocation response\n",
        "> {\"text\":\"Hello\"}",
        "< HTTP/1.1 202 Accepted\\r\\n\n",
        "  Next invocation\n"};
    struct local l = launch(NULL, NULL, "trace", NULL);
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

static void never_polls_ends(struct local *patient) {
    wait_for_end(patient);
    check(WIFEXITED(patient->status) && WEXITSTATUS(patient->status) == 1 &&
              strstr(patient->text, "has not asked for its first event (GET /2018-06-01/runtime/"
                                    "invocation/next) within 10 s") != NULL,
          "never_polls", "a clear line", patient->text);
    discard(patient);
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

static int descriptors(pid_t pid) {
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    while (directory != NULL && readdir(directory) != NULL)
        count++;
    if (directory != NULL)
        closedir(directory);
    return count;
}

/* One of the clients, until an answer is not what it has to be. */
static bool load_client(const struct local *l, int number, int invocations) {
    struct reply r = {0};
    int fd = dial(l->port);
    bool right = true;
    for (int i = 0; i < invocations && right; i++) {
        char event[64];
        int length = snprintf(event, sizeof event, "{\"client\":%d,\"invocation\":%d}", number, i);
        request(fd, "POST", FUNCTION "/invocations", "", event, (size_t)length);
        right = receive(fd, &r) && r.status == 200 && strcmp(r.body.data, event) == 0;
    }
    reply_free(&r);
    close(fd);
    return right;
}

static bool load(const struct local *l, int invocations) {
    bool right = true;
    pid_t clients[LOAD_CLIENTS];
    int status;
    for (int i = 0; i < LOAD_CLIENTS; i++) {
        clients[i] = fork();
        if (clients[i] == 0)
            _exit(!load_client(l, i, invocations / LOAD_CLIENTS));
    }
    for (int i = 0; i < LOAD_CLIENTS; i++)
        right = waitpid(clients[i], &status, 0) == clients[i] && status == 0 && right;
    return right;
}

static void no_growth(const char *name, const char *settings) {
    struct local l = serve(NULL, settings);
    check(load(&l, LOAD_INVOCATIONS / 10), name, "warm", NULL);
    sleep_ms(100);
    long kb = resident_kb(l.pid);
    int open_before = descriptors(l.pid);
    check(load(&l, LOAD_INVOCATIONS), name, "10,000 invocations by 8 clients", NULL);
    sleep_ms(100);
    check(kb > 0 && resident_kb(l.pid) <= kb + LOAD_GROWTH_KB, name, "memory", NULL);
    check(open_before > 0 && descriptors(l.pid) == open_before, name, "descriptors", NULL);
    stop(&l);
}

static void run_cases(const char *directory) {
    struct local patient = launch("never_polls", NULL, "run", "1"); /* takes 10 s: meanwhile … */
    shipped_runtime();
    runtimes_that_misbehave();
    requests_that_are_wrong();
    runtimes_that_fail_to_start();
    what_runtimes_may_do();
    framing_of_events();
    large_events();
    log_tail();
    fresh_environments();
    initialization_error_before_any_event();
    answer_waits_for_the_next_poll();
    throttling();
    change_of_configuration();
    managed_instances();
    managed_instances_limits();
    workers_of_the_shipped_runtime();
    no_orphans();
    commands(directory);
    bad_starts(directory);
    conversation();
    no_growth("load", NULL);
    no_growth("load, managed instances", "CONCURRENCY=8");
    never_polls_ends(&patient);
}

int main(int count, char **arguments) {
    char directory[] = "/tmp/lambda_test.XXXXXX";
    const char *script = getenv("SCRIPT");
    if (script != NULL)
        return run_script(script);
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
