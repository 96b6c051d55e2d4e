/* lambda_test.c - does the local Lambda behave as Lambda does? Invokes it over sockets, and needs
 * nothing but C. Two kinds of runtime serve: FUNCTION, the shipped runtime with test/function.c,
 * and this program itself, which the local Lambda starts with a SCRIPT in its environment and
 * which then does what no runtime should, and writes what it is told to its stderr.
 *
 *     lambda_test LOCAL_LAMBDA FUNCTION
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
    ALL_S = 120,                    /* for the whole run, which takes 20 */
    LIMIT_S = 20,                   /* nothing here takes so long, but what hangs */
    RESPONSE_MAX = (6 << 20) + 100, /* of the Runtime API */
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

static bool get(int fd, void *to, size_t length) {
    for (char *at = to; length > 0;) {
        ssize_t n = recv(fd, at, length, 0);
        if (n <= 0)
            return false;
        at += n;
        length -= (size_t)n;
    }
    return true;
}

static bool get_line(int fd, struct bytes *line) {
    char c;
    size_t start = line->length;
    do {
        if (!get(fd, &c, 1))
            return false;
        bytes_append(line, &c, 1);
    } while (c != '\n' || line->length - start > 1 << 20);
    return true;
}

static bool get_body(int fd, struct bytes *body, size_t length) {
    char data[65536];
    for (size_t n; length > 0; length -= n) {
        n = length < sizeof data ? length : sizeof data;
        if (!get(fd, data, n))
            return false;
        bytes_append(body, data, n);
    }
    return true;
}

static bool get_chunks(int fd, struct bytes *body) {
    for (;;) {
        struct bytes line = {0};
        char crlf[2];
        if (!get_line(fd, &line))
            return false;
        size_t size = strtoul(line.data, NULL, 16);
        bytes_free(&line);
        if (!get_body(fd, body, size) || !get(fd, crlf, 2))
            return false;
        if (size == 0)
            return true;
    }
}

/* The value of a field as the local Lambda spells its name, up to CR. */
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
    reply_free(r);
    do {
        start = r->head.length;
        if (!get_line(fd, &r->head))
            return false;
    } while (r->head.length - start > 2);
    bytes_append(&r->head, "", 1);
    r->status = (int)strtol(r->head.data + strlen("HTTP/1.1 "), NULL, 10);
    const char *length = field(r, "Content-Length", &n);
    bool whole = true;
    if (length != NULL)
        whole = get_body(fd, &r->body, strtoul(length, NULL, 10));
    else if (field(r, "Transfer-Encoding", &n) != NULL)
        whole = get_chunks(fd, &r->body);
    else if (r->status != 204 && r->status >= 200)
        for (char c; get(fd, &c, 1);)
            bytes_append(&r->body, &c, 1);
    bytes_append(&r->body, "", 1);
    r->body.length--;
    return whole;
}

static void request(int fd, const char *method, const char *target, const char *fields,
                    const void *body, size_t length) {
    struct bytes head = {0};
    bytes_format(&head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %zu\r\n\r\n",
                 method, target, fields, length);
    bytes_append(&head, body, length);
    send_all(fd, head.data, head.length); /* what becomes of it is seen when the reply is read */
    bytes_free(&head);
}

/* ---- Runtimes that misbehave --------------------------------------------------------------- */

#define API "/2018-06-01/runtime"

static int lambda = -1; /* the connection to the Runtime API */
static struct reply seen;
static char id[64], nonce_field[128];

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (write(STDERR_FILENO, text, (size_t)length) != length)
        _exit(1);
}

static void reconnect(void) {
    const char *address = getenv("AWS_LAMBDA_RUNTIME_API");
    if (lambda >= 0)
        close(lambda);
    lambda = dial((uint16_t)strtoul(strchr(address, ':') + 1, NULL, 10));
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

static void poll_next(void) {
    request(lambda, "GET", API "/invocation/next", "", "", 0);
}

static bool next(void) {
    size_t n;
    poll_next();
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

static void good(void) {
    while (next())
        answer("response", nonce_field, seen.body.data, seen.body.length);
}

static void shows_head(void) {
    next();
    struct bytes head = seen.head;
    seen.head = (struct bytes){0};
    answer("response", "", head.data, head.length - 1);
}

static void shows_environment(void) {
    extern char **environ;
    struct bytes all = {0};
    next();
    for (char **variable = environ; *variable != NULL; variable++)
        bytes_format(&all, "%s\n", *variable);
    answer("response", "", all.data, all.length);
}

static void answers_twice(void) {
    next();
    respond("\"first\"");
    respond("\"second\"");
    answer("error", "", "{}", 2);
}

static void answers_wrong_id(void) {
    next();
    post(API "/invocation/8476a536-e9f4-11e8-9739-2dfe598c3fcd/response", "", "1", 1);
    respond("\"right\"");
}

/* Announces 6 MB for an unknown invocation, sends none of it, and is answered all the same. */
static void is_refused_early(void) {
    next();
    const char head[] = "POST " API "/invocation/x/response HTTP/1.1\r\nHost: a\r\n"
                        "Content-Length: 6000000\r\n\r\n";
    send_all(lambda, head, sizeof head - 1);
    note_reply("early");
    note("%s\n", strstr(seen.head.data, "Connection: close") ? "and closes" : "and stays");
    reconnect();
    respond("\"right\"");
}

static void answers_too_much(void) {
    char *large = calloc(1, RESPONSE_MAX + 1);
    next();
    answer("response", "", large, RESPONSE_MAX + 1);
    answer("error", "", "{}", 2);
    free(large);
}

static void answers_most(void) {
    char *large = malloc(RESPONSE_MAX);
    next();
    answer("response", "", memset(large, 'x', RESPONSE_MAX), RESPONSE_MAX);
    free(large);
}

static void has_wrong_mode(void) {
    next();
    answer("response", "Lambda-Runtime-Function-Response-Mode: Streaming\r\n", "1", 1);
    answer("error", "", "{}", 2);
    next();
    _exit(3);
}

static void breaks_off(void) {
    char head[256];
    next();
    int length = snprintf(head, sizeof head,
                          "POST " API "/invocation/%s/response HTTP/1.1\r\nHost: a\r\n"
                          "Content-Length: 100\r\n\r\nhalf",
                          id);
    send_all(lambda, head, (size_t)length);
    sleep_ms(50);
    reconnect();
    respond("\"again\"");
    next();
    _exit(3);
}

static void has_stale_nonce(void) {
    next();
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
    next();
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
    next();
    send_all(lambda, "GET / HTTP/1.1\nHost: a\n\n", 24);
    note_reply("malformed");
    size_t n;
    note("%s\n", field(&seen, "Content-Length", &n) == NULL ? "up to the end" : "counted");
    reconnect();
    respond("\"healed\"");
}

static void has_long_head(void) {
    struct bytes head = {0};
    next();
    bytes_text(&head, "GET " API "/invocation/next HTTP/1.1\r\nHost: a\r\nX: ");
    for (int i = 0; i < 1100; i++)
        bytes_format(&head, "%01000d", 0);
    send_all(lambda, head.data, head.length);
    note_reply("long");
    bytes_free(&head);
    reconnect();
    respond("\"healed\"");
}

static void calls_strange_routes(void) {
    next();
    post(API "/invocation/next", "", "", 0);
    post("/2018-06-01/nowhere", "", "", 0);
    request(lambda, "GET", "/2018-06-01/ping", "", "", 0);
    note_reply("ping");
    request(lambda, "GET", API "/restore/next", "", "", 0);
    note_reply("restore");
    respond("\"there\"");
}

static void polls_twice(void) {
    int first = lambda;
    next();
    respond("1");
    poll_next();
    sleep_ms(50);
    lambda = -1;
    reconnect();
    next();
    lambda = first;
    receive(lambda, &seen);
    good();
}

static void gives_poll_up(void) {
    next();
    respond("1");
    poll_next();
    sleep_ms(50);
    reconnect();
    sleep_ms(LIMIT_S * 1000);
}

static void asks_again(void) {
    char first[64];
    next();
    strcpy(first, id);
    reconnect();
    next();
    respond(strcmp(first, id) == 0 ? "\"the same\"" : "\"another\"");
}

static void streams(void) {
    char head[512];
    next();
    int length = snprintf(head, sizeof head,
                          "POST " API "/invocation/%s/response HTTP/1.1\r\nHost: a\r\n"
                          "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
                          "Transfer-Encoding: chunked\r\n"
                          "Trailer: Lambda-Runtime-Function-Error-Type\r\n\r\n"
                          "3\r\nabc\r\n4\r\ndefg\r\n0\r\n"
                          "Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n\r\n",
                          id);
    for (int i = 0; i < length; i++)
        send_all(lambda, head + i, 1);
    note_reply("stream");
}

static void expects_continue(void) {
    char head[256];
    next();
    int length = snprintf(head, sizeof head,
                          "POST " API "/invocation/%s/response HTTP/1.1\r\nHost: a\r\n"
                          "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
                          id);
    send_all(lambda, head, (size_t)length);
    note_reply("head");
    send_all(lambda, "\"c\"", 3);
    note_reply("body");
}

static void answers_from_elsewhere(void) {
    int first = lambda;
    next();
    lambda = -1;
    reconnect();
    respond("\"elsewhere\"");
    lambda = first;
}

static void polls_late(void) {
    next();
    respond("\"early\"");
    sleep_ms(300);
}

static void opens_too_many(void) {
    next();
    int first = lambda;
    for (int i = 0; i < 460 && seen.status != 500; i++) {
        lambda =
            dial((uint16_t)strtoul(strchr(getenv("AWS_LAMBDA_RUNTIME_API"), ':') + 1, NULL, 10));
        if (i >= 449)
            note_reply("one more");
    }
    lambda = first;
    respond("\"open\"");
}

static void restores(void) {
    char rest;
    request(lambda, "GET", API "/restore/next", "", "", 0);
    note_reply("restore");
    note("%s\n", get(lambda, &rest, 1) ? "open" : "closed");
    reconnect();
}

/* A Managed Instances worker: what it does with an event, the event says. */
static void work(void) {
    while (next()) {
        bool dies = strcmp(seen.body.data, "die") == 0, ends = strcmp(seen.body.data, "end") == 0;
        bool twice = strcmp(seen.body.data, "twice") == 0;
        if (ends)
            kill(getppid(), SIGTERM);
        if (dies || ends)
            _exit(1);
        struct bytes body = strcmp(seen.body.data, "head") == 0 ? seen.head : seen.body;
        if (strncmp(body.data, "sleep ", 6) == 0)
            sleep_ms((unsigned)strtoul(body.data + 6, NULL, 10));
        struct bytes copy = {0};
        bytes_append(&copy, body.data, body.length);
        answer("response", "", copy.data, copy.length);
        bytes_free(&copy);
        if (twice)
            respond("2");
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

static const struct script {
    const char *name;
    void (*run)(void);
} scripts[] = {{"good", good},
               {"shows_head", shows_head},
               {"shows_environment", shows_environment},
               {"answers_twice", answers_twice},
               {"answers_wrong_id", answers_wrong_id},
               {"is_refused_early", is_refused_early},
               {"answers_too_much", answers_too_much},
               {"answers_most", answers_most},
               {"has_wrong_mode", has_wrong_mode},
               {"breaks_off", breaks_off},
               {"has_stale_nonce", has_stale_nonce},
               {"fails_to_start", fails_to_start},
               {"fails_in_haste", fails_in_haste},
               {"reports_init_late", reports_init_late},
               {"never_polls", never_polls},
               {"exits_at_once", exits_at_once},
               {"is_malformed", is_malformed},
               {"has_long_head", has_long_head},
               {"calls_strange_routes", calls_strange_routes},
               {"polls_twice", polls_twice},
               {"gives_poll_up", gives_poll_up},
               {"asks_again", asks_again},
               {"streams", streams},
               {"expects_continue", expects_continue},
               {"answers_from_elsewhere", answers_from_elsewhere},
               {"polls_late", polls_late},
               {"opens_too_many", opens_too_many},
               {"restores", restores},
               {"workers", workers}};

/* Whatever a script did, it is a good runtime afterwards. */
static int run_script(const char *name) {
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        if (strcmp(scripts[i].name, name) == 0) {
            reconnect();
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
    int status; /* after stop */
    char *text, *printed;
};

static const char *program, *function, *self;
static int passed, failed;

static char *whole_file(int fd) {
    struct stat about;
    fstat(fd, &about);
    char *text = calloc(1, (size_t)about.st_size + 1);
    if (text == NULL || pread(fd, text, (size_t)about.st_size, 0) != about.st_size)
        exit(1);
    return text;
}

/* `settings`: NAME=value, up to NULL. */
static struct local launch(const char *script, const char *const *settings, const char *mode,
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
    setenv("BOOTSTRAP", script == NULL ? function : self, 1);
    if (script != NULL)
        setenv("SCRIPT", script, 1);
    for (; settings != NULL && *settings != NULL; settings++)
        putenv((char *)(uintptr_t)*settings);
    execl(program, program, mode, event, NULL);
    _exit(127);
}

static void wait_for_end(struct local *l) {
    if (l->pid != 0)
        waitpid(l->pid, &l->status, 0);
    l->pid = 0;
    free(l->text);
    l->text = whole_file(l->err);
    l->printed = whole_file(l->out);
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

static struct local serve(const char *script, const char *const *settings) {
    struct local l = launch(script, settings, "serve", NULL);
    bool serves = comes_to_say(&l, "Ctrl-C");
    const char *at = serves ? strstr(l.text, "127.0.0.1:") : NULL;
    l.port = at == NULL ? 0 : (uint16_t)strtoul(at + 10, NULL, 10);
    return l;
}

static void stop(struct local *l) {
    kill(l->pid, SIGINT);
    wait_for_end(l);
}

static void discard(struct local *l) {
    close(l->out);
    close(l->err);
    free(l->text);
    free(l->printed);
}

/* One verdict; `about` is shown when it is bad. */
static void check(bool right, const char *name, const char *what, const char *about) {
    passed += right;
    failed += !right;
    if (!right)
        printf("FAILED %s: %s\n----\n%.3000s\n----\n", name, what, about == NULL ? "" : about);
}

#define INVOKE "/2015-03-31/functions/function/invocations"

static struct reply invoke(const struct local *l, const char *fields, const void *event,
                           size_t length) {
    struct reply r = {0};
    int fd = dial(l->port);
    request(fd, "POST", INVOKE, fields, event, length);
    receive(fd, &r);
    close(fd);
    return r;
}

static bool holds(const struct bytes *bytes, const char *text) {
    return bytes->data != NULL && memmem(bytes->data, bytes->length, text, strlen(text)) != NULL;
}

/* ---- Cases that are a line of a table ------------------------------------------------------ */

static const struct expectation {
    const char *script; /* NULL: the shipped runtime */
    const char *settings[2], *fields, *event;
    int status;
    const char *head, *body, *said[4];
} table[] = {
    {NULL,
     {NULL},
     "",
     "{\"text\":\"Hello\"}",
     200,
     "X-Amz-Executed-Version: $LATEST\r\n",
     "{\"text\":\"Hello\"}",
     {"Init Duration: "}},
    {NULL, {NULL}, "", "", 200, "", "{}", {NULL}},
    {NULL,
     {NULL},
     "",
     "do:fail",
     200,
     "X-Amz-Function-Error: Unhandled\r\n",
     "Function.Refused",
     {NULL}},
    {NULL,
     {NULL},
     "",
     "do:large",
     200,
     "X-Amz-Function-Error: Unhandled\r\n",
     "Response payload size (6291557 bytes) exceeded maximum allowed payload size (6291556 bytes).",
     {NULL}},
    {NULL,
     {NULL},
     "",
     "do:crash",
     200,
     "X-Amz-Function-Error: Unhandled\r\n",
     "Error: Runtime exited with error: signal: segmentation fault\"}",
     {"Runtime.ExitError", "END RequestId"}},
    {NULL,
     {NULL},
     "",
     "do:exit",
     200,
     "X-Amz-Function-Error: Unhandled\r\n",
     "Error: Runtime exited with error: exit status 7\"}",
     {NULL}},
    {NULL,
     {"TIMEOUT=1"},
     "",
     "do:sleep",
     200,
     "X-Amz-Function-Error: Unhandled\r\n",
     "Error: Task timed out after 1.00 seconds\"}",
     {" Task timed out after 1.00 seconds", "REPORT"}},
    {NULL,
     {"FAIL_INITIALIZATION=1"},
     "",
     "1",
     200,
     "X-Amz-Function-Error: Unhandled\r\n",
     "\"errorType\":\"Function.NoDatabase\"",
     {"reported an initialization error: {"}},
    {NULL, {NULL}, "X-Amz-Invocation-Type: DryRun\r\n", "do:exit", 204, "", "", {NULL}},
    {NULL,
     {NULL},
     "X-Amz-Invocation-Type: Event\r\n",
     "do:log",
     202,
     "x-amzn-RequestId: ",
     "",
     {"a line of the function's log\n", "REPORT"}},
    {NULL,
     {NULL},
     "X-Amz-Invocation-Type: Sync\r\n",
     "1",
     400,
     "InvalidParameterValueException",
     "",
     {NULL}},
    {NULL,
     {NULL},
     "X-Amz-Client-Context: eyJhIjoKMX0=\r\nX-Amz-Tenant-Id: blue\r\n",
     "do:context",
     200,
     "",
     "{\"client\":{\"a\": 1},\"tenant\":\"blue\",",
     {NULL}},
    {NULL,
     {NULL},
     "X-Amz-Client-Context: {}\r\n",
     "1",
     400,
     "InvalidRequestContentException",
     "",
     {NULL}},
    {"good", {NULL}, "", "1", 200, "", "1", {"response: 202 {\"status\":\"OK\"}\n"}},
    {"shows_head",
     {NULL},
     "X-Amzn-Trace-Id: Root=1\r\nX-Amz-Tenant-Id: t\r\n",
     "1",
     200,
     "",
     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: ",
     {NULL}},
    {"shows_head",
     {NULL},
     "X-Amzn-Trace-Id: Root=1\r\nX-Amz-Tenant-Id: t\r\n",
     "1",
     200,
     "",
     "\r\nLambda-Runtime-Aws-Tenant-Id: t\r\nLambda-Runtime-Deadline-Ms: ",
     {NULL}},
    {"shows_head",
     {NULL},
     "X-Amzn-Trace-Id: Root=1\r\n",
     "1",
     200,
     "",
     ":function:function\r\nLambda-Runtime-Trace-Id: Root=1\r\nDate: ",
     {NULL}},
    {"shows_environment",
     {"AWS_LAMBDA_MAX_CONCURRENCY=9"},
     "",
     "1",
     200,
     "",
     "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand\n",
     {NULL}},
    {"answers_twice",
     {NULL},
     "",
     "1",
     200,
     "",
     "\"first\"",
     {"response: 403 {\"errorMessage\":\"State transition from ResponseSent to InvocationResponse failed for "
      "runtime. Error: State transition is not allowed\",\"errorType\":\"InvalidStateTransition\"}\n",
      "error: 403 {\"errorMessage\":\"State transition from ResponseSent to InvocationErrorResponse",
      "local_lambda: the runtime answers "}},
    {"answers_wrong_id",
     {NULL},
     "",
     "1",
     200,
     "",
     "\"right\"",
     {"response: 400 {\"errorMessage\":\"Invalid request ID\",\"errorType\":\"InvalidRequestID\"}\n",
      "which is not being served"}},
    {"is_refused_early", {NULL}, "", "1", 200, "", "\"right\"", {"early: 400 ", "and closes"}},
    {"answers_too_much",
     {NULL},
     "",
     "1",
     200,
     "Unhandled",
     "Function.ResponseSizeTooLarge",
     {"response: 413 {\"errorMessage\":\"Exceeded maximum allowed payload size (6291556 bytes).\","
      "\"errorType\":\"RequestEntityTooLarge\"}\n",
      "error: 403 "}},
    {"answers_most",
     {NULL},
     "",
     "1",
     200,
     "Content-Length: 6291556\r\n",
     "xxx",
     {"response: 202 "}},
    {"has_wrong_mode",
     {NULL},
     "",
     "1",
     200,
     "Unhandled",
     "Runtime.InvalidResponseModeHeader",
     {"response: 400 {\"errorMessage\":\"Invalid function response mode\",\"errorType\":"
      "\"InvalidFunctionResponseMode\"}",
      "error: 403 ", "next: 403 ", "is not 'streaming', its only value"}},
    {"breaks_off",
     {NULL},
     "",
     "1",
     200,
     "Unhandled",
     "exit status 3",
     {"response: 403 {\"errorMessage\":\"State transition from InvocationResponse to InvocationResponse",
      "next: 403 ", "broke off", "it can only exit"}},
    {"has_stale_nonce",
     {NULL},
     "",
     "1",
     200,
     "",
     "\"fresh\"",
     {"response: 410 {\"errorMessage\":\"Invoke timeout\",\"errorType\":\"InvokeTimeout\"}\n",
      "must be the one that came with the event"}},
    {"fails_to_start",
     {NULL},
     "",
     "1",
     200,
     "Unhandled",
     "Runtime.APIKeyNotFound",
     {"error: 202 ", "error: 403 ", "next: 403 "}},
    {"fails_to_start",
     {"STAYS=1"},
     "",
     "1",
     200,
     "Unhandled",
     "Runtime.APIKeyNotFound",
     {"has not exited 2 s after init/error: it must exit at once"}},
    {"fails_in_haste", {NULL}, "", "1", 200, "Unhandled", "{\"errorType\":\"Haste\"}", {NULL}},
    {"reports_init_late",
     {NULL},
     "",
     "1",
     200,
     "",
     "\"late\"",
     {"error: 403 ", "once, before GET next"}},
    {"exits_at_once",
     {NULL},
     "",
     "1",
     200,
     "Unhandled",
     "exit status 9",
     {"ended before it asked for its first event"}},
    {"is_malformed",
     {NULL},
     "",
     "1",
     200,
     "",
     "\"healed\"",
     {"malformed: 400 400 Bad Request: a line ends with LF alone", "up to the end"}},
    {"has_long_head", {NULL}, "", "1", 200, "", "\"healed\"", {"long: 431 "}},
    {"calls_strange_routes",
     {NULL},
     "",
     "1",
     200,
     "",
     "\"there\"",
     {"next: 405 \n", "nowhere: 404 404 page not found\n", "ping: 200 pong\n", "restore: 404 "}},
    {"polls_twice", {NULL}, "", "1", 200, "", "1", {"next: 403 ", "one GET next at a time"}},
    {"asks_again", {NULL}, "", "1", 200, "", "\"the same\"", {"it gets the same again"}},
    {"streams",
     {NULL},
     "",
     "1",
     200,
     "",
     "abcdefg",
     {"stream: 202 ", "the stream ended with Runtime.StreamError"}},
    {"expects_continue", {NULL}, "", "1", 200, "", "\"c\"", {"head: 100 ", "body: 202 "}},
    {"answers_from_elsewhere", {NULL}, "", "1", 200, "", "\"elsewhere\"", {"response: 202 "}},
    {"opens_too_many",
     {NULL},
     "",
     "1",
     200,
     "",
     "\"open\"",
     {"one more: 500 {\"errorMessage\":\"Container error. Non-recoverable state. Runtime should exit promptly.\""}},
    {"restores",
     {"AWS_LAMBDA_INITIALIZATION_TYPE=snap-start"},
     "",
     "1",
     200,
     "",
     "1",
     {"restore: 200 \n", "closed\n"}},
};

static void run_expectation(const struct expectation *e) {
    char name[200];
    struct local l = serve(e->script, e->settings);
    struct reply r = invoke(&l, e->fields, e->event, strlen(e->event));
    snprintf(name, sizeof name, "%s, event '%s'", e->script == NULL ? "function" : e->script,
             e->event);
    check(r.status == e->status, name, "status", r.head.data);
    check(holds(&r.head, e->head), name, e->head, r.head.data);
    check(holds(&r.body, e->body), name, e->body, r.body.data);
    for (size_t i = 0; i < sizeof e->said / sizeof *e->said && e->said[i] != NULL; i++) {
        bool said = comes_to_say(&l, e->said[i]);
        check(said, name, e->said[i], l.text);
    }
    stop(&l);
    check(WIFEXITED(l.status) && WEXITSTATUS(l.status) == 0, name, "exit status after Ctrl-C",
          l.text);
    reply_free(&r);
    discard(&l);
}

/* ---- Cases that are more than a line ------------------------------------------------------- */

static void framing_of_events(void) {
    static const struct {
        size_t length;
        const char *head;
    } sizes[] = {{2048, "Content-Length: 2048\r\n"}, {2049, "Transfer-Encoding: chunked\r\n"}};
    for (size_t i = 0; i < 2; i++) {
        struct local l = serve("shows_head", NULL);
        char event[2049];
        struct reply r = invoke(&l, "", memset(event, '1', sizeof event), sizes[i].length);
        check(holds(&r.body, sizes[i].head), "framing of events", sizes[i].head, r.body.data);
        reply_free(&r);
        stop(&l);
        discard(&l);
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
    discard(&l);
}

/* Base64 of what is known of the log, in whole groups of three, is how X-Amz-Log-Result begins. */
static void log_tail(void) {
    struct bytes log = {0}, wanted = {0};
    size_t n, length;
    struct local l = serve(NULL, NULL);
    struct reply r = invoke(&l, "X-Amz-Log-Type: Tail\r\n", "do:log", 6);
    const char *request_id = field(&r, "x-amzn-RequestId", &n);
    const char *tail = field(&r, "X-Amz-Log-Result", &length);
    bytes_format(&log,
                 "START RequestId: %.36s Version: $LATEST\na line of the function's log\n"
                 "END RequestId: %.36s\nREPORT RequestId: %.36s\tDuration: ",
                 request_id, request_id, request_id);
    base64(&wanted, log.data, log.length - log.length % 3);
    check(tail != NULL && length > wanted.length && memcmp(tail, wanted.data, wanted.length) == 0,
          "log tail", "X-Amz-Log-Result", r.head.data);
    bytes_free(&log);
    bytes_free(&wanted);
    reply_free(&r);
    r = invoke(&l, "", "do:log", 6);
    check(field(&r, "X-Amz-Log-Result", &n) == NULL, "log tail", "not asked for", r.head.data);
    reply_free(&r);
    stop(&l);
    discard(&l);
}

/* Event and answer, again and again, on one local Lambda. */
static void sequence(const char *name, const char *script, const char *const *settings,
                     const char *const (*steps)[2]) {
    struct local l = serve(script, settings);
    for (; (*steps)[0] != NULL; steps++) {
        struct reply r = invoke(&l, "", (*steps)[0], strlen((*steps)[0]));
        check(holds(&r.body, (*steps)[1]), name, (*steps)[1], r.body.data);
        reply_free(&r);
        sleep_ms(100); /* for what the script does after its answer */
    }
    stop(&l);
    discard(&l);
}

static void fresh_environments(void) {
    static const char *const quick[] = {"TIMEOUT=1", NULL};
    static const char *const ends[][2] = {{"1", "1"}, {"do:crash", "Runtime.ExitError"},
                                          {"2", "2"}, {"do:sleep", "Sandbox.Timedout"},
                                          {"3", "3"}, {NULL, NULL}};
    static const char *const lost[][2] = {{"1", "1"}, {"2", "Sandbox.Timedout"}, {NULL, NULL}};
    static const char *const init[][2] = {{"1", "NoDatabase"}, {"2", "NoDatabase"}, {NULL, NULL}};
    static const char *const fails[] = {"FAIL_INITIALIZATION=1", NULL};
    static const char *const two[] = {"CONCURRENCY=2", NULL};
    static const char *const worker[][2] = {
        {"1", "1"}, {"do:crash", "The worker that had the event"}, {"2", "2"}, {NULL, NULL}};
    sequence("a worker of the shipped runtime crashes", NULL, two, worker);
    sequence("after a crash and a time-out", NULL, quick, ends);
    sequence("a poll that was given up", "gives_poll_up", quick, lost);
    sequence("each invocation initializes again", NULL, fails, init);
}

static void answer_waits_for_the_next_poll(void) {
    struct local l = serve("polls_late", NULL);
    uint64_t begin = now_us();
    struct reply r = invoke(&l, "", "1", 1);
    check(now_us() - begin >= 300000, "polls_late", "the answer waits for the poll", r.body.data);
    reply_free(&r);
    stop(&l);
    discard(&l);
}

/* ---- Managed Instances --------------------------------------------------------------------- */

static int send_event(const struct local *l, const char *event) {
    int fd = dial(l->port);
    request(fd, "POST", INVOKE, "", event, strlen(event));
    return fd;
}

static struct reply take_reply(int fd) {
    struct reply r = {0};
    receive(fd, &r);
    close(fd);
    return r;
}

static void managed_instances_at_once(void) {
    static const char *const settings[] = {"CONCURRENCY=4", "TIMEOUT=5", NULL};
    struct local l = serve("workers", settings);
    uint64_t begin = now_us();
    int fds[4];
    fds[0] = send_event(&l, "sleep 1");
    fds[1] = send_event(&l, "sleep 600");
    fds[2] = send_event(&l, "sleep 601");
    fds[3] = send_event(&l, "sleep 602");
    static const char *const answers[] = {"sleep 1", "sleep 600", "sleep 601", "sleep 602"};
    for (size_t i = 0; i < 4; i++) {
        struct reply r = take_reply(fds[i]);
        check(holds(&r.body, answers[i]), "managed instances", "answers by id", r.body.data);
        reply_free(&r);
    }
    check(now_us() - begin < 1100000, "managed instances", "four at once", NULL);
    struct reply r = invoke(&l, "", "twice", 5);
    bool said = comes_to_say(&l, "response: 400 ");
    check(said, "managed instances", "a second answer gets 400", l.text);
    reply_free(&r);
    r = invoke(&l, "", "head", 4);
    check(holds(&r.body, "Content-Type: \r\n") && holds(&r.body, "Client-Context: \r\n") &&
              holds(&r.body, "Cognito-Identity: \r\n"),
          "managed instances", "empty fields", r.body.data);
    reply_free(&r);
    stop(&l);
    discard(&l);
}

static void managed_instances_faults(void) {
    static const char *const settings[] = {"CONCURRENCY=2", "TIMEOUT=2", NULL};
    struct local l = serve("workers", settings);
    int dying = send_event(&l, "die"), sleeping = send_event(&l, "sleep 1300");
    struct reply r = take_reply(dying);
    check(holds(&r.body, "The worker that had the event"), "managed instances", "a worker dies",
          r.body.data);
    reply_free(&r);
    r = take_reply(sleeping);
    check(holds(&r.body, "sleep 1300"), "managed instances", "the other worker goes on",
          r.body.data);
    reply_free(&r);
    r = invoke(&l, "", "sleep 2300", 10);
    check(holds(&r.body, "Task timed out after 2.00"), "managed instances", "time-out",
          r.body.data);
    reply_free(&r);
    r = invoke(&l, "", "late", 4); /* by the same worker */
    bool said = comes_to_say(&l, "response: 410 ");
    check(holds(&r.body, "late") && said, "managed instances", "late answer: 410", l.text);
    reply_free(&r);
    r = invoke(&l, "", "end", 3);
    check(holds(&r.body, "Runtime.ExitError"), "managed instances", "the process ends",
          r.body.data);
    reply_free(&r);
    r = invoke(&l, "", "1", 1);
    check(holds(&r.body, "1"), "managed instances", "a fresh environment", r.body.data);
    reply_free(&r);
    stop(&l);
    discard(&l);
}

/* ---- The command line ---------------------------------------------------------------------- */

static void command(const char *name, const char *mode, const char *event, const char *setting,
                    int status, const char *printed, const char *said) {
    const char *settings[] = {setting, NULL};
    struct local l = launch(NULL, settings, mode, event);
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

static void bad_starts(const char *directory) {
    char script[256], foreign[256], plain[256], port[32], line[300];
    static const char elf[20] = "\x7f"
                                "ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\xb7";
    static const char elf_x86[20] = "\x7f"
                                    "ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\x3e";
    struct utsname machine;
    uname(&machine);
    bool is_arm = strcmp(machine.machine, "aarch64") == 0;
    snprintf(script, sizeof script, "BOOTSTRAP=%s/script", directory);
    snprintf(foreign, sizeof foreign, "BOOTSTRAP=%s/foreign", directory);
    snprintf(plain, sizeof plain, "BOOTSTRAP=%s/plain", directory);
    write_file(script + 10, "#!/bin/sh\r\n", 11, 0755);
    write_file(foreign + 10, is_arm ? elf_x86 : elf, sizeof elf, 0755);
    write_file(plain + 10, "text\n", 5, 0644);
    command("a script with CR LF", "serve", NULL, script, 1, "", "which must not end with CR LF");
    command("another machine's executable", "serve", NULL, foreign, 1, "",
            is_arm ? "is built for x86_64" : "is built for aarch64 (arm64)");
    command("no x bit", "serve", NULL, plain, 1, "", "cannot be executed: chmod 755 it");
    snprintf(line, sizeof line, "BOOTSTRAP=%s", directory);
    command("a directory", "serve", NULL, line, 1, "", "is not a file");
    command("no bootstrap", "run", NULL, "BOOTSTRAP=/nowhere/bootstrap", 1, "",
            "local_lambda: /nowhere/bootstrap: No such file or directory: build it, or");
    struct local l = serve(NULL, NULL);
    snprintf(port, sizeof port, "PORT=%u", l.port);
    command("port taken", "serve", NULL, port, 1, "", "another program has the port");
    stop(&l);
    discard(&l);
}

static void commands(const char *directory) {
    char file[256];
    snprintf(file, sizeof file, "@%s/event", directory);
    write_file(file + 1, "from a file\n", 12, 0644);
    command("run", "run", NULL, NULL, 0, "{\"text\":\"Hello\"}", "");
    command("run with an event", "run", "\"x\"", NULL, 0, "\"x\"", "");
    command("run with a file", "run", file, NULL, 0, "from a file\n", "");
    command("run without the file", "run", "@/nowhere", NULL, 1, "",
            "event file /nowhere: No such");
    command("run that fails", "run", "do:fail", NULL, 1, "",
            "{\"errorMessage\":\"it said \\\"no\\\"\"");
    command("run that logs", "run", "do:log", NULL, 0, "do:log", "a line of the function's log\n");
    command("run that crashes", "run", "do:crash", NULL, 1, "", "signal: segmentation fault");
    command("run that fails to start", "run", "1", "FAIL_INITIALIZATION=1", 1, "",
            "Function.NoDatabase");
    command("no mode", "walk", NULL, NULL, 1, "", "local_lambda: usage: ");
    command("PORT", "serve", NULL, "PORT=65536", 1, "",
            "PORT is '65536', and has to be a number from 0 to 65535");
    command("TIMEOUT", "run", NULL, "TIMEOUT=3s", 1, "", "TIMEOUT is '3s'");
    command("CONCURRENCY", "run", NULL, "CONCURRENCY=0", 1, "", "CONCURRENCY is '0'");
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

/* ---- Processes, memory, descriptors --------------------------------------------------------- */

static pid_t child_of(pid_t parent) {
    char path[64], text[32] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    close(fd);
    return (pid_t)strtol(text, NULL, 10);
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
        struct reply r = invoke(&l, "", "1", 1);
        pid_t child = child_of(l.pid);
        kill(l.pid, signals[i]);
        wait_for_end(&l);
        check(child > 0 && is_gone(child), "no orphan", strsignal(signals[i]), l.text);
        reply_free(&r);
        discard(&l);
    }
}

static long resident_kb(pid_t pid) {
    char path[64], text[4096] = "";
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *at = fd >= 0 && read(fd, text, sizeof text - 1) > 0 ? strstr(text, "VmRSS:") : NULL;
    close(fd);
    return at == NULL ? -1 : strtol(at + 6, NULL, 10);
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
        request(fd, "POST", INVOKE, "", event, (size_t)length);
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

static void no_growth(const char *name, const char *const *settings) {
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

static void remove_directory(const char *directory) {
    static const char *const files[] = {"script", "foreign", "plain", "event"};
    char path[128];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        unlink(path);
    }
    rmdir(directory);
}

static void run_cases(const char *directory) {
    static const char *const four[] = {"CONCURRENCY=4", NULL};
    struct local patient = launch("never_polls", NULL, "run", "1"); /* takes 10 s: meanwhile … */
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        run_expectation(&table[i]);
    framing_of_events();
    large_events();
    log_tail();
    fresh_environments();
    answer_waits_for_the_next_poll();
    managed_instances_at_once();
    managed_instances_faults();
    commands(directory);
    bad_starts(directory);
    conversation();
    no_orphans();
    no_growth("load", NULL);
    no_growth("load, managed instances", four);
    never_polls_ends(&patient);
}

int main(int count, char **arguments) {
    char directory[] = "/tmp/lambda_test.XXXXXX";
    const char *script = getenv("SCRIPT");
    if (script != NULL)
        return run_script(script);
    if (count != 3 || mkdtemp(directory) == NULL) {
        fprintf(stderr, "usage: lambda_test LOCAL_LAMBDA FUNCTION\n");
        return 2;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    alarm(ALL_S);
    program = arguments[1];
    function = arguments[2];
    self = realpath("/proc/self/exe", NULL);
    run_cases(directory);
    remove_directory(directory);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
