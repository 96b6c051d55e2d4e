/* lambda_test.c - does the local Lambda behave as Lambda does? Invokes it over sockets, and needs
 * nothing but C. Two runtimes serve: PROBE, the shipped one with test/runtime/probe.c; and this
 * program itself, which calls the Runtime API of a process that does nothing, step by step, and so
 * does above all what no runtime should.
 *
 * Most cases are rows of two tables: `rows`, an event or a request and what comes of it; and
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ALL_S = 300,  /* for the whole run, which takes 20 */
    LIMIT_S = 20, /* nothing here takes so long, but what hangs */
    TRY_MS = 10,
    TRIES = LIMIT_S * 1000 / TRY_MS,
    CLIENTS = 8,
    RECONNECT = 125, /* clients after so many rounds, and in all */
    ROUNDS = 1250,   /* of invocations by all clients, to see whether memory grows */
    GROWTH_KIB = 256 /* from the warm state: the allocator's play */
};

#define API "/2018-06-01/runtime"

/* ---- A client of HTTP/1.1 ----------------------------------------------------------------- */

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

/* With a NUL behind it that is not counted. */
static void end_text(struct bytes *text) {
    bytes_append(text, "", 1);
    text->length--;
}

/* Where it stands in the head of a reply; NULL: nowhere, or the head is not whole yet. */
static const char *in_head(const struct bytes *reply, const char *text) {
    const char *end = strstr(reply->data, "\r\n\r\n"), *at = strstr(reply->data, text);
    return end != NULL && at != NULL && at <= end ? at : NULL;
}

/* Has all come that the head announces? What closes the connection has no other end. */
static bool is_whole(const struct bytes *reply) {
    const char *end = in_head(reply, "\r\n\r\n");
    const char *length = in_head(reply, "\r\nContent-Length: ");
    if (end == NULL || in_head(reply, "\r\nConnection: close\r\n") != NULL)
        return false;
    if (length != NULL)
        return reply->length >= (size_t)(end + 4 - reply->data) + strtoul(length + 18, NULL, 10);
    return in_head(reply, "\r\nTransfer-Encoding: chunked\r\n") == NULL ||
           strcmp(reply->data + reply->length - 5, "0\r\n\r\n") == 0;
}

/* A reply, as it comes, behind what is there of it; NULL, or only until that has come. True: the
 * other end has closed the connection. */
static bool receive(int fd, struct bytes *reply, const char *until) {
    static char data[65536];
    ssize_t n = 1;
    end_text(reply);
    while (n > 0 && !is_whole(reply) && (until == NULL || strstr(reply->data, until) == NULL)) {
        n = recv(fd, data, sizeof data, 0);
        bytes_append(reply, data, n > 0 ? (size_t)n : 0);
        end_text(reply);
    }
    return n == 0;
}

static const char *body_of(const struct bytes *reply) {
    const char *end = strstr(reply->data, "\r\n\r\n");
    return end == NULL ? reply->data + reply->length : end + 4;
}

/* `call`: method and target. */
static void request(int fd, const char *call, const char *fields, const struct bytes *body) {
    struct bytes all = {0};
    bytes_format(&all, "%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %zu\r\n\r\n", call,
                 fields, body->length);
    bytes_append(&all, body->data, body->length);
    send_all(fd, all.data, all.length); /* what becomes of it, the reply shows */
    bytes_free(&all);
}

/* ---- The local Lambda under test ----------------------------------------------------------- */

/* One at a time. */
static struct {
    pid_t pid; /* 0: none */
    uint16_t port;
    int status;                 /* after its end */
    struct bytes said, printed; /* on stderr and stdout */
} served;

static int out, err; /* which are files of that name in our folder */

/* Between the lines of its stderr, what we see. */
#define note(...) dprintf(err, __VA_ARGS__)

static const char *program, *probe;
static int passed, failed;

/* One verdict; `about` is shown when it is bad. */
static void check(bool right, const char *name, const char *what, const char *about) {
    passed += right;
    failed += !right;
    if (right)
        return;
    printf("FAILED %s: %s\n----\n%.3000s\n----\n", name, what, about);
    fflush(stdout); /* in case that the whole run takes too long */
}

/* Between parts of a text: the next is to be there, too, or behind the one before. NOT in front of
 * a part: it is not to be there. */
#define AND "\1"
#define THEN "\2"
#define NOT "\3"

/* From the first part on that is not as it is to be; "": all are. */
static const char *missing(const char *text, const char *parts) {
    for (const char *from = text; *parts != '\0';) {
        bool absent = *parts == *NOT;
        size_t n = strcspn(parts, AND THEN);
        const char *found = memmem(from, strlen(from), parts + absent, n - absent);
        if ((found == NULL) != absent)
            break;
        from = parts[n] == *THEN ? found + n : text;
        parts += n + (parts[n] != '\0');
    }
    return parts;
}

static void check_parts(const char *name, const char *text, const char *parts) {
    const char *rest = missing(text, parts);
    check(*rest == '\0', name, rest, text);
}

/* By the shell, in our folder. */
static void run(const char *command) {
    if (system(command) != 0)
        exit(1);
}

/* As far as it has come. */
static void read_text(const char *path, struct bytes *to) {
    to->length = 0;
    if (!read_file(path, to))
        exit(1);
}

/* `how` is as in a shell, NAME=value and blanks, and then "probe"; or else what a process does, in
 * front of nothing, whose runtime we are. */
static void launch(const char *how, const char *mode, const char *event) {
    if (ftruncate(out, 0) != 0 || ftruncate(err, 0) != 0)
        exit(1);
    served.pid = fork();
    if (served.pid != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(open("event", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    unsetenv("FUNCTION");
    setenv("PORT", "0", 1);
    setenv("TIMEOUT", "60", 1); /* but where a row is about time: the machine may be busy */
    setenv("BOOTSTRAP", probe, 1);
    for (size_t n; n = strcspn(how, " "), memchr(how, '=', n) != NULL; how += n + 1)
        putenv(strndup(how, n));
    if (strcmp(how, "probe") != 0) {
        setenv("BOOTSTRAP", "./process", 1);
        setenv("SCRIPT", how, 1);
    }
    execl(program, program, mode, event, NULL);
    _exit(127);
}

/* The parts that are missing on stderr, after a while. */
static const char *never_said(const char *parts) {
    const char *rest = parts;
    for (int i = 0; i < TRIES && *rest != '\0'; i++) {
        usleep(i == 0 ? 0 : TRY_MS * 1000);
        read_text("err", &served.said);
        rest = missing(served.said.data, parts);
    }
    return rest;
}

/* The number behind that; 0: it is not said. */
static uint16_t said_port(const char *before) {
    const char *rest = never_said(before);
    const char *at = *rest == '\0' ? strstr(served.said.data, before) : NULL;
    return at == NULL ? 0 : (uint16_t)strtoul(at + strlen(before), NULL, 10);
}

static void wait_for_end(void) {
    waitpid(served.pid, &served.status, 0);
    read_text("err", &served.said);
    read_text("out", &served.printed);
    served.pid = 0;
}

/* ---- What it serves ------------------------------------------------------------------------ */

#define FUNCTIONS "/2015-03-31/functions/"
#define FUNCTION FUNCTIONS "function"
#define INVOKE "POST " FUNCTION "/invocations"

static bool is_probe; /* what serves in it; or else it is we */
static bool polled;   /* and have not taken the event */

static void stop(void) {
    kill(served.pid, SIGINT);
    wait_for_end();
    check(served.status == 0, "Ctrl-C", "exit status", served.said.data);
}

/* In place of the one before. */
static void serve(const char *how) {
    if (served.pid != 0)
        stop();
    launch(how, "serve", NULL);
    is_probe = strstr(how, "probe") != NULL;
    polled = false;
    served.port = said_port("serves at http://127.0.0.1:");
}

#define CLOSED "the reply ends with its connection\n"
#define NEXT "GET " API "/invocation/next"
#define RUNS "Its Runtime API: 127.0.0.1:"

/* ---- The runtime that we are ---------------------------------------------------------------- */

/* It takes steps, with semicolons between them: a name, and what belongs to it. What becomes of
 * them is noted. */

static uint16_t runtime_port;
static bool is_over;       /* the process has been killed, or is left alone */
static int lambda = -1;    /* the connection to the Runtime API that was opened last, and stays */
static int caller;         /* the connection of the caller, */
static struct bytes heard; /* and what has come of its reply */
static struct bytes seen;  /* the last reply */
static char id[64];        /* of the last event */
static char extra[128];    /* fields of the next answer or call */
static char called[128];   /* method and target of the last one */

static void see_reply(int fd, const char *name) {
    seen.length = 0;
    bool closed = receive(fd, &seen, NULL);
    note("%s: %.4s%s\n", name, seen.length == 0 ? "none" : seen.data + 9, body_of(&seen));
    note("%s%s", in_head(&seen, "\r\nContent-Length: ") == NULL ? "without a length\n" : "",
         closed ? "and closes\n" : "");
}

/* *NUMBER is a JSON string of so many bytes, =prelude a prelude with its end, as a chunk; and any
 * other text is itself. */
static void append_text(struct bytes *to, const char *text) {
    if (strcmp(text, "=prelude") == 0)
        bytes_append(to, "1a\r\n{\"statusCode\":299}\0\0\0\0\0\0\0\0\r\n", 32);
    else if (text[0] != '*')
        bytes_text(to, text);
    else {
        bytes_text(to, "\"");
        for (unsigned long i = strtoul(text + 1, NULL, 10) - 2; i > 0; i--)
            bytes_append(to, &(char){(char)('A' + (i * 2654435761U >> 13) % 26)}, 1);
        bytes_text(to, "\"");
    }
}

/* What is given as it is; or byte by byte, on a new connection, behind the first lines of the head
 * of a response to the last event. */
static void send_raw(const char *text, bool begins) {
    struct bytes all = {0};
    if (begins) {
        lambda = dial(runtime_port);
        bytes_format(&all, "POST " API "/invocation/%s/response HTTP/1.1\r\nHost: a\r\n", id);
    }
    append_text(&all, text);
    size_t n = begins ? 1 : all.length;
    for (size_t i = 0; i < all.length; i += n)
        send_all(lambda, all.data + i, n);
    bytes_free(&all);
}

/* METHOD TARGET BODY, of which the body may be left out, with the fields that the steps before have
 * added. On a connection that is returned; and no reply is waited for. */
static int open_call(const char *words) {
    struct bytes body = {0};
    int fd = dial(runtime_port);
    size_t method = strcspn(words, " ") + 1, n = method + strcspn(words + method, " ");
    snprintf(called, sizeof called, "%.*s", (int)n, words);
    append_text(&body, words + n + (words[n] == ' '));
    request(fd, called, extra, &body);
    polled |= strcmp(called, NEXT) == 0;
    extra[0] = '\0';
    bytes_free(&body);
    return fd;
}

static void call(const char *words) {
    int fd = open_call(words);
    see_reply(fd, strrchr(called, '/') + 1);
    close(fd);
}

static void answer(const char *kind, const char *text) {
    char words[1000];
    snprintf(words, sizeof words, "POST " API "/invocation/%s/%s %s", id, kind, text);
    call(words);
}

/* A line of the head of the last reply. */
static void copy_field(const char *name) {
    const char *at = in_head(&seen, name);
    if (at != NULL) /* what is absent, the next call shows */
        snprintf(extra, sizeof extra, "%.*s\n", (int)strcspn(at, "\n"), at);
}

/* The reply to the poll; false: it is no event. */
static bool take_event(void) {
    seen.length = 0;
    receive(lambda, &seen, NULL);
    polled = false;
    note("next: %.*s", (int)(body_of(&seen) - seen.data), seen.data);
    const char *field = in_head(&seen, "Lambda-Runtime-Aws-Request-Id: ");
    return field != NULL && sscanf(field, "%*s %63s", id) == 1;
}

/* One child, whichever. */
static pid_t child_of(pid_t parent) {
    char path[64];
    struct bytes children = {0};
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    pid_t child = read_file(path, &children) ? (pid_t)strtol(children.data, NULL, 10) : 0;
    bytes_free(&children);
    return child;
}

/* Within a while. A zombie has no memory. */
static bool is_gone(pid_t pid) {
    for (int i = 0; i < TRIES && memory_kib(pid, "status", "VmRSS") > 0; i++)
        usleep(TRY_MS * 1000);
    return memory_kib(pid, "status", "VmRSS") == 0;
}

static void kill_process(void) {
    pid_t child = child_of(served.pid);
    if (child != 0)
        kill(child, SIGKILL);
    is_over = is_gone(child);
}

static void run_step(const char *step, const char *given) {
    if (strcmp(step, "poll") == 0)
        lambda = open_call(NEXT);
    else if (strcmp(step, "take") == 0)
        take_event();
    else if (strcmp(step, "response") == 0 || strcmp(step, "error") == 0)
        answer(step, given);
    else if (strcmp(step, "field") == 0)
        snprintf(extra, sizeof extra, "%s\r\n", given);
    else if (strcmp(step, "copy") == 0)
        copy_field(given);
    else if (strcmp(step, "call") == 0)
        call(given);
    else if (strcmp(step, "open") == 0)
        lambda = open_call(given);
    else if (strcmp(step, "raw") == 0 || strcmp(step, "begin") == 0)
        send_raw(given, step[0] == 'b');
    else if (strcmp(step, "reply") == 0)
        see_reply(lambda, given);
    else if (strcmp(step, "close") == 0)
        close(lambda);
    else if (strcmp(step, "hear") == 0)
        receive(caller, &heard, given);
    else if (strcmp(step, "signal") == 0) /* to the local Lambda */
        kill(served.pid, (int)strtol(given, NULL, 10));
    else if (strcmp(step, "kill") == 0)
        kill_process();
    else if (strcmp(step, "leave") == 0)
        is_over = true;
    else if (step[0] != '\0')
        check(false, "no step", step, given);
}

static void run_steps(const char *script) {
    char *copy = strdup(script), *rest;
    for (char *one = strtok_r(copy, ";", &rest); one != NULL; one = strtok_r(NULL, ";", &rest)) {
        char *step = one + strspn(one, " "), *given = step + strcspn(step, " ");
        if (*given == ' ')
            *given++ = '\0';
        run_step(step, given);
    }
    free(copy);
}

/* The steps of a new process, which then polls; and those of the event, when they are its words. */
static void be_runtime(const char *first, const char *event) {
    is_over = false;
    if (!polled) {
        runtime_port = said_port(RUNS);
        run_steps(first);
    }
    if (!polled && !is_over)
        lambda = open_call(NEXT);
    if (!is_over && isalpha((unsigned char)event[0]) && take_event())
        run_steps(event);
    if (!polled && !is_over)
        lambda = open_call(NEXT);
}

/* ---- Exchanges: an event, and what comes of it --------------------------------------------- */

struct row {
    const char *name;
    const char *how;   /* a local Lambda for it, as launch takes it; NULL: the one that serves */
    const char *event; /* words go to the function as a JSON string */
    const char *body;  /* parts of the reply's; NULL: the event */
    const char
        *said; /* NULL, or parts of what comes on stderr, of our notes and the reply's head */
    const char *call; /* NULL: the function is invoked */
    const char *fields;
    int status;         /* 0: 200 */
    const char *before; /* a command of the shell */
    const char *first;  /* steps of a process before its first poll */
};

static void exchange(const struct row *row) {
    char status[32];
    const char *call = row->call == NULL ? INVOKE : row->call;
    struct bytes event = {0}, tail = {0};
    heard.length = 0;
    if (row->call == NULL && isalpha((unsigned char)row->event[0]))
        json_string(&event, row->event, strlen(row->event));
    else
        append_text(&event, row->event);
    end_text(&event);
    if (row->before != NULL)
        run(row->before);
    if (row->how != NULL)
        serve(row->how);
    else if (ftruncate(err, 0) != 0)
        exit(1);
    caller = dial(served.port);
    request(caller, call, row->fields == NULL ? "" : row->fields, &event);
    if (!is_probe)
        be_runtime(row->first == NULL ? "" : row->first, row->event);
    if (receive(caller, &heard, NULL))
        note(CLOSED);
    close(caller);
    snprintf(status, sizeof status, "HTTP/1.1 %d ", row->status == 0 ? 200 : row->status);
    const char *body = body_of(&heard);
    check(strncmp(heard.data, status, strlen(status)) == 0, row->name, status, heard.data);
    if (row->body == NULL)
        check(strcmp(body, event.data) == 0, row->name, "the event comes back", body);
    else
        check_parts(row->name, body, row->body);
    note("%.*s", (int)(body - heard.data), heard.data);
    const char *log = in_head(&heard, "X-Amz-Log-Result: ");
    if (log != NULL && base64_decode(&tail, log + 18, strcspn(log + 18, "\r")))
        note("%.*s", (int)tail.length, tail.data);
    const char *rest = row->said == NULL ? "" : never_said(row->said);
    check(*rest == '\0', row->name, rest, served.said.data);
    bytes_free(&event);
    bytes_free(&tail);
}

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
#define LISTEN REGISTER "copy Lambda-Extension-Identifier; open GET " EXTENSION "/event/next; "
#define SAYS "trap 'echo signal 15' TERM" /* and goes on */
#define ENDS "trap 'echo signal 15; exit' TERM"
#define SIGNALLED "signal 15\n"
#define NOT_FOUND "x-amzn-ErrorType: ResourceNotFoundException\r\n"
#define URL_STREAM                                                                             \
    "begin Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n" \
    "Content-Type: "
#define URL_HTTP URL_STREAM "application/vnd.awslambda.http-integration-response\r\n\r\n; "
#define URL_BEGUN URL_HTTP "raw =prelude; raw 3\r\none\r\n; hear \r\n\r\n3\r\none\r\n; "
#define PLAIN "Content-Type: text/plain\r\n"
#define PNG "Content-Type: image/png\r\n"
#define URL "POST /", PLAIN /* call and fields */
#define GET_CONFIGURATION "GET " FUNCTION "/configuration"
#define PUT_CONFIGURATION "PUT " FUNCTION "/configuration"
/* The shipped runtime, which answers "another" with that version. */
#define BUILD(version, file) \
    "printf '#!/bin/sh\\nANOTHER=" version " exec %s\\n' $PROBE >" file " && chmod 755 " file ";"
#define BUILT "built anew: the next invocation starts it\n"

#define USE ": \"$(head -c 140000000 /dev/zero | tr '\\0' a)\"" /* that or more, in any shell */

static const struct row rows[] = {
    /* The shipped runtime. */
    {"echo", "probe", "{\"text\":\"Hello\"}", NULL,
     "X-Amz-Executed-Version: $LATEST\r\n" AND "Init Duration: "},
    {"no event", NULL, "", "{}", "REPORT" AND NOT "Init Duration: "},
    {"the function fails", "probe", "fail Function.Refused it said \"no\"",
     "{\"errorType\":\"Function.Refused\",\"stackTrace\":[],"
     "\"errorMessage\":\"it said \\\\\\\"no\\\\\\\"\"}",
     UNHANDLED},
    {"an initialization error before any event", "PROBE_FAIL=1 probe", "", "",
     "reported an initialization error: {", "GET " FUNCTION},
    {"and the next one", NULL, "2", "\"errorType\":\"Function.NoDatabase\""},
    {"DryRun", "probe", "crash", "", "x-amzn-RequestId: ", NULL, DRY_RUN, 204},
    {"Event", NULL, "log info a line", "", "x-amzn-RequestId: " AND "a line\n" AND "REPORT", NULL,
     ASYNC, 202},
    {"an unknown invocation type", NULL, "1", "", "InvalidParameterValueException", NULL, SYNC,
     400},
    {"client context and tenant", NULL, "context", "|{\"a\": 1}||blue|",
     .fields = "X-Amz-Client-Context: eyJhIjoKMX0=\r\nX-Amz-Tenant-Id: blue\r\n"},
    {"a client context that is no base64", NULL, "1", "", "InvalidRequestContentException", NULL,
     "X-Amz-Client-Context: {}\r\n", 400},
    {"an event of 6 MB and one byte", NULL, "*6291457", "", "RequestTooLarge", .status = 413},
    {"an event of 6 MB", NULL, "*6291456", NULL},
    {"an asynchronous event of 1 MB and one byte", NULL, "*1048577", "", "RequestTooLarge",
     .fields = ASYNC, .status = 413},
    {"log tail", NULL, "sh echo a line >&2", "",
     "REPORT RequestId: " THEN "START RequestId: " THEN "a line" THEN "END RequestId: " THEN
     "REPORT",
     .fields = "X-Amz-Log-Type: Tail\r\n"},
    {"no log tail", NULL, "1", NULL, NOT "X-Amz-Log-Result"},

    /* Events that are no JSON. */
    {"a wrong byte in JSON", "probe", "{\"a\":\n 'b'}",
     "{\"Type\":\"User\",\"Message\":\"Could not parse request body into json: Could not "
     "parse payload into json: Unexpected token at [line: 2, column: 2]\"}",
     "x-amzn-ErrorType: InvalidRequestContentException\r\n", .status = 400},
    {"JSON that is cut off, asynchronous", NULL, "[1,",
     "Unexpected end-of-input at [line: 1, column: 4]", NULL, NULL, ASYNC, 400},
    {"no JSON in a DryRun", NULL, "01", "", NULL, NULL, DRY_RUN, 400},

    /* The names of a function. */
    {"its version in the path", "FUNCTION=hello probe", "1", "1",
     .call = "POST " FUNCTIONS "hello%3A$LATEST/invocations"},
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
    {"its configuration", NULL, "", "{\"FunctionName\":\"hello\"",
     .call = "GET " FUNCTIONS "hello/configuration"},
    {"any name without FUNCTION", "probe", "1", "1",
     .call = "POST " FUNCTIONS "any/invocations?Qualifier=1"},

    /* Answers at the wrong time. */
    {"an answer waits for the next poll", "PROBE_AFTER=1 probe", "{\"text\":\"later\"}", NULL,
     "later" THEN "END RequestId: "},
    {"an answer", ":", "response 1", "1", "response: 202 {\"status\":\"OK\"}\n"},
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
     "reply early; raw \"c\"GET / HTTP/1.1\r\nHost: a\r\n\r\n; reply next; response \"right\"",
     "\"right\"", "early: 400 " THEN "next: 404 "},
    {"another invocation id", NULL,
     "copy Lambda-Runtime-Invocation-Id; response \"fresh\"; "
     "field Lambda-Runtime-Invocation-Id: stale; response 1",
     "\"fresh\"",
     "response: 410 {\"errorMessage\":\"Invoke timeout\",\"errorType\":\"InvokeTimeout\"}\n" AND
     "must be the one that came with the event"},

    /* Answers of the wrong form. */
    {"an answer of 6 MB and one byte", NULL, "response *6291557; error {}",
     "\"Function.ResponseSizeTooLarge\"" AND
     "Response payload size (6291557 bytes) exceeded maximum allowed payload size (6291556 bytes).",
     UNHANDLED AND
     "response: 413 {\"errorMessage\":\"Exceeded maximum allowed payload size (6291556 "
     "bytes).\",\"errorType\":\"RequestEntityTooLarge\"}\n" AND "error: 403 "},
    {"an unknown response mode", ":",
     "field Lambda-Runtime-Function-Response-Mode: Streaming; response 1; error {}; "
     "poll; take; kill",
     "Runtime.InvalidResponseModeHeader",
     UNHANDLED AND
     "response: 400 {\"errorMessage\":\"Invalid function response mode\",\"errorType\":"
     "\"InvalidFunctionResponseMode\"}" AND "error: 403 " AND "next: HTTP/1.1 403 " AND
     "is not 'streaming', its only value"},
    {"an answer that breaks off", NULL,
     "begin Content-Length: 100\r\n\r\nhalf; close; response \"again\"; poll; take; kill",
     "signal: killed\"}",
     UNHANDLED AND "response: " TRANSITION("InvocationResponse", "InvocationResponse") AND
     "next: HTTP/1.1 403 " AND "broke off" AND "it can only exit" AND NOT "Max Memory Used: 0 MB"},

    /* Requests that are wrong. */
    {"lines that end with LF alone", ":",
     "raw GET / HTTP/1.1\nHost: a\n\n; reply malformed; response \"healed\"", "\"healed\"",
     "malformed: 400 400 Bad Request: a line ends with LF alone" AND "and closes"},
    {"a head beyond 1 MB", NULL,
     "raw GET " API "/invocation/next HTTP/1.1\r\nHost: a\r\nX: ; raw *1100000; reply long; "
     "response \"healed\"",
     "\"healed\"", "long: 431 "},
    {"routes that there are not", NULL,
     "call POST " API "/invocation/next; call POST /2018-06-01/nowhere; response \"there\"",
     "\"there\"", "next: 405 " AND "nowhere: 404 404 page not found\n"},
    {"GET next with a body", ":", "", "\"polled\"",
     "the runtime sends a body with GET next: Managed Instances refuse that",
     .first = "open " NEXT " {}; take; response \"polled\""},
    {"two polls", ":", "response 1; poll; call " NEXT, "1",
     "next: 403 " AND "one GET next at a time"},
    {"a poll is given up", "TIMEOUT=1 :", "response 1; poll; close", "1"},
    {"an event for the poll that was given up", NULL, "", "Sandbox.Timedout",
     "the runtime gave up its waiting poll"},

    /* Runtimes that fail to start. */
    {"init/error twice, and a poll", ":", "", "Runtime.APIKeyNotFound",
     UNHANDLED AND "error: 202 " AND "error: 403 " AND "next: HTTP/1.1 403 ",
     .first = NO_KEY NO_KEY "poll; take; kill"},
    {"init/error without an exit", ":", "", "Runtime.APIKeyNotFound",
     UNHANDLED AND "has not exited after init/error, as it must, within 2 s",
     .first = NO_KEY "leave"},
    {"init/error just before the exit" /* and both behind SIGSTOP */, ":", "", HASTE, UNHANDLED,
     .first = "signal 19; open POST " API "/init/error " HASTE "; kill; signal 18"},
    {"init/error after the first poll", ":", "call POST " API "/init/error {}; response \"late\"",
     "\"late\"", "error: 403 " AND "once, before GET next"},
    {"more than MEMORY", USE, "response 1", "1",
     "has used more than its MEMORY of 128 MB: Lambda would have ended the process "
     "(Runtime.OutOfMemory, signal: killed)\n"},
    {"enough MEMORY", "MEMORY=1024 " USE, "response 1", "1",
     "Memory Size: 1024 MB" AND NOT "MEMORY"},

    /* What runtimes may do. */
    {"the fields of an event", ":", "response 1", "1",
     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: " AND
     "\r\nLambda-Runtime-Aws-Tenant-Id: t\r\nLambda-Runtime-Deadline-Ms: " AND
     ":function:function\r\nLambda-Runtime-Trace-Id: Root=1\r\nDate: ",
     .fields = TRACE},
    {"the environment", "AWS_LAMBDA_MAX_CONCURRENCY=9 probe", "sh env",
     "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand\n" AND NOT "AWS_LAMBDA_MAX_CONCURRENCY"},
    {"the same event again", ":", "poll; take; response 1", "1", "it gets the same again"},
    {"a stream of the runtime's own, with an error", NULL,
     "begin Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
     "Trailer: Lambda-Runtime-Function-Error-Type\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n"
     "Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n\r\n; reply stream",
     "abcdefg", "stream: 202 " AND "the stream ended with Runtime.StreamError"},
    {"100 Continue", NULL,
     "begin Expect: 100-continue\r\nContent-Length: 3\r\n\r\n; reply head; raw \"c\"; reply body",
     "\"c\"", "head: 100 " AND "body: 202 "},
    {"an event of 2,049 bytes", ":", "*2049", "1", "\r\nTransfer-Encoding: chunked\r\n",
     .first = "poll; take; response 1"},
    {"an event of 2,048 bytes", ":", "*2048", "1", "\r\nContent-Length: 2048\r\n",
     .first = "poll; take; response 1"},

    /* Managed Instances. */
    {"workers: a second answer", "CONCURRENCY=1 TIMEOUT=900 :", "response twice; response 2",
     "twice", "response: 400 "},
    {"workers: empty fields", NULL, "response 1", "1",
     "Content-Type: \r\n" AND "Client-Context: \r\n" AND "Cognito-Identity: \r\n"},
    {"workers: an error of 1 MB", NULL, "error *1048576", "",
     UNHANDLED AND "Content-Length: 1048576\r\n" AND "error: 202 "},
    {"workers: an error beyond", NULL, "error *1048577", "Function.ResponseSizeTooLarge",
     "error: 413 {\"errorMessage\":\"Exceeded maximum allowed payload size (1048576 bytes)." AND
     "and closes\n"},
    {"workers: a response of 6 MB", NULL, "response *6291556", "", "Content-Length: 6291556\r\n"},
    {"workers: their process ends", NULL, "kill", "Runtime.ExitError"},
    {"workers: a late answer", "CONCURRENCY=1 TIMEOUT=1 :", "hear timed out; response 1",
     "Error: Task timed out after 1.00 seconds\"}",
     " Task timed out after 1.00 seconds\n" AND "response: 410 "},
    {"workers: the process goes on", NULL, "response 2", "2"},
    {"workers: two events at once", "CONCURRENCY=2 TIMEOUT=10 probe",
     "sh until [ -e $FOLDER/go ] || [ $((n += 1)) -gt 2000 ]; do sleep .01; done", "", NULL, NULL,
     ASYNC, 202},
    {"workers: without the second, the first does not end", NULL, "sh touch $FOLDER/go; echo both",
     "both\n", "REPORT" THEN "REPORT" AND NOT "timed out"},

    /* Extensions within the runtime. */
    {"an extension that asks for no event", ":", "response 1", "1",
     "Lambda's initialization waits for that", .first = REGISTER},
    {"extensions that are refused", ":", REGISTER "response 1", "1",
     "Extension.InvalidExtensionName\"}" AND
     "next: 403 {\"errorMessage\":\"Lambda-Extension-Identifier must be the one that came with "
     "register\",\"errorType\":\"Extension.UnknownExtensionIdentifier\"}" AND
     "Extension.InvalidEventType\"}" AND "Extension.InvalidExtensionState\"}" AND
     "Extension.RegistrationClosed\"}",
     .first = "call POST " EXTENSION "/register {}; call GET " EXTENSION "/event/next; "
              "field Lambda-Extension-Name: x; "
              "call POST " EXTENSION "/register {\"events\":[\"SHUTDOWN\"]}; " LISTEN REGISTER},
    {"an extension", ENDS, "response 1", "1",
     "register: 200 {\"functionName\":\"function\",\"functionVersion\":\"$LATEST\"}\n",
     .first = LISTEN},

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
    {"URL: a response with all its members", ":",
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
    {"URL: no JSON", NULL, "response text", "Internal Server Error",
     "the function URL answers 502: text\n", URL, 502},
    {"URL: a wrong status", NULL, "response {\"statusCode\":99}", "", NULL, URL, 502},
    {"URL: a body that is an object", NULL, "response {\"statusCode\":200,\"body\":{}}", "", NULL,
     URL, 502},
    {"URL: a line break in a field", NULL,
     "response {\"statusCode\":200,\"headers\":{\"a\":\"\\r\\nb\"}}", "", NULL, URL, 502},
    {"URL: a body that is no base64", NULL,
     "response {\"statusCode\":200,\"body\":\"*\",\"isBase64Encoded\":true}", "", NULL, URL, 502},
    {"URL: the process ends", NULL, "kill", "Internal Server Error", "Runtime.ExitError", URL, 502},
    {"URL: a stream", NULL,
     URL_STREAM "text/css\r\n\r\n3\r\none\r\n; raw 3\r\ntwo\r\n0\r\n\r\n; reply url",
     "one" THEN "two" THEN "0\r\n\r\n", "\r\nContent-Type: text/css\r\n", URL},
    {"URL: a stream without the end of its head", NULL,
     URL_HTTP "raw 2\r\n{}\r\n0\r\n\r\n; reply url", "", NULL, URL, 502},
    {"URL: a stream of which the first piece is heard", NULL,
     URL_BEGUN "raw 3\r\ntwo\r\n0\r\n\r\n; reply url", "\r\ntwo\r\n0\r\n\r\n",
     "\r\nTransfer-Encoding: chunked\r\n" AND NOT CLOSED, URL, 299},
    {"URL: and which ends with an error", NULL,
     URL_BEGUN "raw 0\r\nLambda-Runtime-Function-Error-Type: a\r\n\r\n; reply url", NOT "0\r\n\r\n",
     CLOSED, URL, 299},
    {"URL: and which breaks off", NULL, URL_BEGUN "kill", NOT "0\r\n\r\n", CLOSED, URL, 299},

    /* Requests of another form. */
    {"HTTP/1.0, which is told that the connection ends", "probe", "1", NULL,
     "\r\nConnection: close\r\n", INVOKE " HTTP/1.0\r\nX:", "Connection: keep-alive\r\n"},
    {"HEAD, with the reply to what comes next in place of a body", NULL, "1", "HTTP/1.1 200 OK\r\n",
     .call = "HEAD " FUNCTION "/configuration HTTP/1.1\r\nHost: a\r\n\r\n" INVOKE, .status = 405},
    {"a target in absolute form", NULL, "",
     "{\"FunctionName\":", .call = "GET HTTP://a:1" FUNCTION "/configuration?a"},
    {"an absolute form without a path", NULL, "", "",
     .call = "GET http://a HTTP/1.0\r\nX:", .status = 505},
    {"an absolute form without a host", NULL, "", "neither with a slash nor", .status = 400,
     .call = "GET http:///" FUNCTION},

    /* The configuration as coldstart.sh changes it; the function shows what it got. */
    {"no variables", "probe", "", "\"Environment\":{\"Variables\":{}},", .call = GET_CONFIGURATION},
    {"the change", NULL,
     "{\"Environment\": {\"Variables\": {\"A\": \"1\", "
     "\"CHANGED\" : \"\\u00e9\\ud83d\\ude00\\\"\\n\"}}}",
     "{\"FunctionName\":\"function\",\"State\":\"Active\",\"LastUpdateStatus\":"
     "\"Successful\",\"Environment\":{\"Variables\":{\"A\": \"1\", ",
     .call = PUT_CONFIGURATION},
    {"another cold start", NULL, "sh echo && env", "\nA=1\n" AND "\nCHANGED=é😀\"\n\n",
     "Init Duration: "},
    {"variables that are no JSON", NULL, "{\"Environment\":{\"Variables\":{}}", "", NULL,
     PUT_CONFIGURATION, NULL, 400},
    {"which changes nothing", NULL, "", "\"CHANGED\" : ", "x-amzn-RequestId: ", GET_CONFIGURATION},
    {"the state of the function", NULL, "",
     "\"Configuration\":{\"State\":\"Active\",\"LastUpdateStatus\":\"Successful\"}}",
     "x-amzn-RequestId: ", "GET " FUNCTION},

    /* Builds while it serves. */
    {"before the build", "CONCURRENCY=16 BOOTSTRAP=./bootstrap probe", "another", "old",
     .before = BUILD("old", "bootstrap") BUILD("new", "new")},
    {"an event in flight", NULL, "sh sleep .3; echo whole >&2", "", "START RequestId: ", NULL,
     ASYNC, 202},
    {"a build while it is in flight", NULL, "another", "new",
     BUILT THEN NOT BUILT AND BUILT THEN "Init Duration: " AND "whole\n" THEN "Init Duration: ",
     .before = "mv new bootstrap"},
    {"a build in place", NULL, "another", "newer", BUILT, .before = BUILD("newer", "bootstrap")},
    {"a build that has just begun", NULL, "another", "newer", .before = "mv bootstrap old"},
    {"an executable that is none yet", NULL, "another", "newer",
     .before = BUILD("newest", "bootstrap") "chmod 644 bootstrap"},
    {"and now it is whole", NULL, "another", "newest", .before = "chmod 755 bootstrap"},
    {"a link", "BOOTSTRAP=./bootstrap probe", "another", "newest",
     .before = BUILD("linked", "new") "mv bootstrap old && ln -s old bootstrap"},
    {"a link to another", NULL, "another", "linked", .before = "ln -sf new bootstrap"}};

/* In what is no JSON, ^ stands in front of the wrong byte. */
static void json_or_none(void) {
    char texts[] =
        "{\"a\" : [1, -0.5e+7, 2E1, [], {}, true,false, null]}\r\n\t |"
        "\"\\u00e9 \\\"\\/\\n \xc3\xa9\"|[[[[[[[[[[{\"\":{\"b\":0}}]]]]]]]]]]| ^|^x|^nul|1 ^2|"
        "^01|^-|^1.|^1.5e|^\"a|^\"\\x\"|^\"\\u00g0\"|^\"\t\"|^\"\xc3\"|[1,^]|[1 ^2]|[1^}|[^|"
        "{\"a\"^}|{\"a\":1,^}|{^1:2}|{\"a\":1^]|{\"a\"^,1}|{\"a\":\"b\"^:1}";
    size_t at;
    for (char *rest = texts, *text; (text = strsep(&rest, "|")) != NULL;) {
        char *wrong = strchr(text, '^');
        if (wrong != NULL)
            memmove(wrong, wrong + 1, strlen(wrong));
        bool valid = json_is_valid(text, strlen(text), &at);
        check(valid == (wrong == NULL) && (valid || text + at == wrong), "JSON", text, "");
    }
    static char deep[200000];
    size_t half = sizeof deep / 2;
    memset(deep, '[', half);
    memset(deep + half, ']', half);
    check(json_is_valid(deep, sizeof deep, &at), "JSON", "100,000 arrays in each other", "");
}

/* ---- The command line ---------------------------------------------------------------------- */

/* Between chunks: another call is answered, so each has arrived before the next goes out. */
#define MEANWHILE "call GET /2018-06-01/nowhere; "

#define FILE_OF(mode, text) "printf '" text "' >file; chmod " mode " file"

/* Of a local Lambda that ends by itself. */
static const struct command {
    const char *name, *how, *mode, *event;
    int status;
    const char *printed, *said; /* all of stdout; a part of stderr, or "": nothing */
    const char *before;         /* a command of the shell */
    const char *steps;          /* NULL, or ours as its runtime */
} commands[] = {
    {"run", "probe", "run", NULL, 0, "{\"text\":\"Hello\"}", ""},
    {"run @FILE", "probe", "run", "@event", 0, "\"from a file\"\n", ""},
    {"run -", "probe", "run", "-", 0, "\"from a file\"\n", ""},
    {"run @FILE, empty", "probe", "run", "@/dev/null", 0, "{}", "the event is empty, of which"},
    {"run without the file", "probe", "run", "@/nowhere", 1, "", "event file /nowhere: No such"},
    {"run without JSON", "probe", "run", "[1", 0, "[1",
     "local_lambda: the event is no JSON, and the function gets it all the same; Lambda would "
     "refuse it with 400 InvalidRequestContentException: Unexpected end-of-input at [line: 1, "},
    {"an exit before the first poll", "exit 9", "run", "1", 1, "",
     "ended before it asked for its first event" THEN "exit status 9\"}"},
    {"an unknown mode", "probe", "walk", NULL, 1, "", "local_lambda: usage: "},
    {"a wrong PORT", "PORT=65536 probe", "serve", NULL, 1, "",
     "PORT is '65536', and has to be a number from 0 to 65535"},
    {"a wrong TIMEOUT", "TIMEOUT=3s probe", "run", NULL, 1, "", "TIMEOUT is '3s'"},
    {"a wrong CONCURRENCY", "CONCURRENCY=0 probe", "run", NULL, 1, "", "CONCURRENCY is '0'"},
    {"no executable", "BOOTSTRAP=/nowhere/bootstrap probe", "run", NULL, 1, "",
     "local_lambda: /nowhere/bootstrap: No such file or directory: build it, or"},
    {"a script with CR LF", "BOOTSTRAP=./file probe", "serve", NULL, 1, "",
     "which must not end with CR LF", FILE_OF("755", "#!/bin/sh\\r\\n")},
    {"a text", "BOOTSTRAP=./file probe", "serve", NULL, 1, "",
     "it is for another machine, or a script without", FILE_OF("755", "text\\n")},
    {"a file of mode 644", "BOOTSTRAP=./file probe", "serve", NULL, 1, "",
     "cannot be executed: Permission denied; Lambda wants a file of mode 755",
     FILE_OF("644", "text\\n")},
    {"trace", "probe", "trace", NULL, 0,
     "  Next invocation, on a new connection\n" THEN
     "> GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\n\n" THEN
     "< HTTP/1.1 200 OK\\r\\n\n" THEN "< {\"text\":\"Hello\"}" THEN
     "  Invocation response, on the same connection\n" THEN "> {\"text\":\"Hello\"}" THEN
     "< HTTP/1.1 202 Accepted\\r\\n\n" THEN "  Next invocation, on the same connection\n" AND NOT
     "\x1b" /* no colours but on a terminal */,
     ""},
    {"trace in time", ":", "trace", "1", 0,
     " µs  > POST " THEN "> transfer-encoding: " THEN "the head ends\n" THEN
     " µs  > 3\\r\\nabc" THEN "> POST " API "/invocation/x/error" THEN "< HTTP/1.1 400 ",
     RUNS,
     .steps = "poll; take; begin transfer-encoding: chunked\r\n\r\n; " MEANWHILE
              "raw 3\r\nabc\r\n; " MEANWHILE "raw 4\r\ndefg\r\n0\r\n\r\n; reply response; "
              "call POST " API "/invocation/x/error 1; poll"}};

static void run_command(const struct command *c) {
    if (c->before != NULL)
        run(c->before);
    launch(c->how, c->mode, c->event);
    if (c->steps != NULL) {
        runtime_port = said_port(RUNS);
        run_steps(c->steps);
    }
    wait_for_end();
    const char *said = served.said.data, *printed = served.printed.data;
    check(WIFEXITED(served.status) && WEXITSTATUS(served.status) == c->status, c->name,
          "exit status", said);
    if (strcmp(c->mode, "trace") == 0)
        check_parts(c->name, printed, c->printed);
    else
        check(strcmp(printed, c->printed) == 0, c->name, "stdout", printed);
    if (c->said[0] == '\0')
        check(said[0] == '\0', c->name, "silence", said);
    else
        check_parts(c->name, said, c->said);
}

static void run_commands(void) {
    char how[40];
    uint16_t taken = 0;
    int fd = listen_on_loopback(&taken);
    snprintf(how, sizeof how, "PORT=%u probe", taken);
    run_command(&(struct command){"a port that is taken", how, "serve", NULL, 1, "",
                                  "another program has the port"});
    close(fd);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        run_command(&commands[i]);
    const char *printed = served.printed.data, *first = strstr(printed, " µs  > 3\\r\\nabc\\r\\n "),
               *second = strstr(printed, " µs  > 4\\r\\ndefg\\r\\n0\\r\\n\\r\\n ");
    check(first != NULL && second != NULL && memcmp(first - 9, second - 9, 9) < 0, "trace in time",
          "each chunk has its own", printed);
}

/* ---- Processes ----------------------------------------------------------------------------- */

/* How an environment ends that has an event, on a signal to the local Lambda. */
static const struct ending {
    const char *name, *how, *first;
    int signal;
    uint64_t least_us;
    const char *said;
} endings[] = {{"SIGTERM", ":", "", SIGTERM, 0, ""},
               {"SIGKILL", ":", "", SIGKILL, 0, ""},
               {"SIGTERM at Ctrl-C", ENDS, LISTEN, SIGINT, 0, SIGNALLED},
               {"SIGKILL after it", SAYS, LISTEN, SIGINT, 300000, SIGNALLED},
               {"no SIGTERM without an extension", ENDS, "", SIGINT, 0, NOT SIGNALLED}};

static void end_environment(const struct ending *e) {
    exchange(
        &(struct row){e->name, e->how, "leave", "", NULL, NULL, ASYNC, 202, .first = e->first});
    pid_t child = child_of(served.pid);
    uint64_t begin = now_us();
    kill(served.pid, e->signal);
    wait_for_end();
    check(now_us() - begin >= e->least_us, e->name, "its time", served.said.data);
    check(child > 0 && is_gone(child), e->name, "no orphan", served.said.data);
    check_parts(e->name, served.said.data, e->said);
    check(served.status == (e->signal == SIGKILL ? SIGKILL : 0), e->name, "status",
          served.said.data);
}

/* ---- Load ---------------------------------------------------------------------------------- */

/* Each sends its number, and gets it back. */
static bool invoke_by_all(const int *clients) {
    int right = 0;
    for (int i = 0; i < CLIENTS; i++)
        request(clients[i], INVOKE, "", &(struct bytes){(char[]){(char)('0' + i)}, 1, 1});
    for (int i = 0; i < CLIENTS; i++) {
        heard.length = 0;
        receive(clients[i], &heard, NULL);
        right += strcmp(body_of(&heard), (char[]){(char)('0' + i), '\0'}) == 0;
    }
    return right == CLIENTS;
}

static void no_growth(const char *name, const char *how) {
    int clients[CLIENTS] = {0}; /* who keep their connections */
    size_t memory = 0;
    unsigned open = 0;
    bool right = true;
    serve(how);
    for (int round = -ROUNDS / 10; round <= ROUNDS && right; round++) {
        for (int i = 0; i < CLIENTS && round % RECONNECT == 0; i++) {
            if (clients[i] != 0)
                close(clients[i]);
            clients[i] = dial(served.port);
        }
        right = invoke_by_all(clients);
        if (round == 0) {
            memory = memory_kib(served.pid, "status", "VmRSS");
            open = open_descriptors(served.pid);
        }
    }
    check(right, name, "10,000 invocations by 8 clients", served.said.data);
    check(memory_kib(served.pid, "status", "VmRSS") <= memory + GROWTH_KIB, name, "memory", "");
    check(open_descriptors(served.pid) == open, name, "descriptors", "");
}

static void run_cases(void) {
    run("(BOOTSTRAP=./process SCRIPT=: \"$PROGRAM\" run 1; echo $?) >patient 2>&1 &"); /* 10 s: … */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        exchange(&rows[i]);
    json_or_none();
    stop();
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        end_environment(&endings[i]);
    run_commands();
    no_growth("load", "probe");
    no_growth("load for workers", "CONCURRENCY=8 probe");
    stop();
    run("until grep -qx '[0-9]' patient; do sleep .1; done"); /* … which have passed */
    read_text("patient", &served.said);
    check_parts("a runtime that never polls", served.said.data,
                "has not asked for its first event (GET " API "/invocation/next) within 10 s\n" THEN
                "\n1\n");
}

int main(int count, char **arguments) {
    char folder[150];
    snprintf(folder, sizeof folder, "%s/lambda_test.XXXXXX", temporary_folder());
    if (count != 3 || mkdtemp(folder) == NULL) {
        fprintf(stderr, "usage: lambda_test LOCAL_LAMBDA PROBE\n");
        return 2;
    }
    alarm(ALL_S);
    program = realpath(arguments[1], NULL);
    probe = realpath(arguments[2], NULL);
    if (program == NULL || probe == NULL || chdir(folder) != 0 ||
        setenv("FOLDER", realpath(".", NULL), 1) != 0 || setenv("PROBE", probe, 1) != 0 ||
        setenv("PROGRAM", program, 1) != 0) {
        perror("lambda_test");
        return 2;
    }
    out = open("out", O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    err = open("err", O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    run("echo '\"from a file\"' >event");
    run("printf '#!/bin/sh\neval \"$SCRIPT\"\necho \"" RUNS "${AWS_LAMBDA_RUNTIME_API#*:}\"\n"
        "while :; do sleep .5 & wait; done\n' >process; chmod 755 process");
    run_cases();
    run("rm -r \"$FOLDER\"");
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
