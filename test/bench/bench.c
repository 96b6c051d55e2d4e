/* bench.c - how fast a Lambda runtime starts and serves, and what it costs, on this machine.
 *
 * Plays Lambda for any executables that speak the Runtime API and echo their events, one after
 * the other in turns, and divides every figure by that of floor.c, measured in the same run:
 *
 *   cold   from just before vfork() to the whole first poll received, and to the whole first
 *          response received; also with the program's files dropped from the page cache. Before
 *          each of these starts comes one of the floor that is not timed: all programs follow the
 *          same predecessor, because a heavy one slows the start of whoever comes next
 *   warm   from the first byte of an event sent to the whole next poll received, and processor
 *          time for each invocation; every response is compared byte for byte
 *   cost   executable and zip, private memory, page faults, system calls
 *
 *   cc -O2 test/bench/bench.c test/lambda/wire.c -lm -o bench
 *   bench --floor FLOOR [NAME=]PATH ...      bench --help
 *
 * First come the programs and Lambda's part in the conversation, then what is measured, then how
 * it is shown. Linux: /proc, ptrace, sched_setaffinity.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE 1
#include "../lambda/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
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
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- Limits ------------------------------------------------------------------------------- */

enum {
    PROGRAMS_MAX = 12,          /* as many as a picture can show */
    CONNECTIONS_MAX = 8,        /* that one program holds open at once; clients keep one or two */
    FILES_MAX = 1024,           /* that one program maps */
    SAMPLES_MAX = 2000,         /* of a kind: all invocations of a case, and the most --starts */
    PATIENCE_S = 10,            /* a silent program is broken; Lambda gives no more to initialize */
    SLICE_MS = 100,             /* of that patience: how soon it is seen that a program ended */
    RECEIVED_MAX = 7 * 1048576, /* one request: Lambda's 6 MB and a generous head */
    QUOTED_MAX = 300,           /* of a body in a message */
    WARM_UP = 3,                /* invocations before the first that counts */
    BLOCK = 4,                  /* invocations of one program before it is another's turn */
    FOOTPRINTS = 15,            /* processes whose memory and page faults are looked at */
    TRACED_INVOCATIONS = 10,
    SETTLE_MS = 10,       /* a program behind its poll has arrived in its recv by then */
    REST_MS = 50,         /* the same of a traced one */
    STORAGE_STARTS = 100, /* fewer than the others: each waits for the disk */
    STORAGE_STARTS_MIN = 20,
    PROGRESS_US = 5000000, /* between two lines of progress */
    STARTS = 300,
    QUICK = 10, /* --quick does this part of the default work */
};

/* A slow program gets fewer invocations, and starts from storage, so that a run with it ends. */
static const uint64_t warm_ns = 300000000, storage_ns = 15000000000;

/* Ratios that a quiet machine stays below, and above which small differences mean nothing. */
static const double noisy_spread = 1.5, noisy_cold = 1.03, noisy_warm = 1.05;

/* Cold starts of each program (0: as many as is usual), and its processes for each warm case: it
 * is a process's luck where its pages lie. */
static unsigned starts, processes = 10;

static const struct event_case {
    const char *name;
    size_t length;
    unsigned invocations; /* of each process */
} event_cases[] = {{"16 B", 16, 200},
                   {"2 KB", 2048, 200},
                   {"100 KB", 102400, 80},
                   {"1 MB", 1048576, 32},
                   {"6 MB", 6291456, 16}};
enum { EVENT_CASES = sizeof event_cases / sizeof event_cases[0] };

/* ---- Messages ----------------------------------------------------------------------------- */

static void say(const char *prefix, const char *format, va_list arguments) {
    int reason = errno;
    fputs(prefix, stderr);
    vfprintf(stderr, format, arguments);
    if (format[strlen(format) - 1] == ':') /* asks for errno's text */
        fprintf(stderr, " %s", strerror(reason));
    fputc('\n', stderr);
}

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say("bench: ", format, arguments);
    va_end(arguments);
    exit(1);
}

__attribute__((format(printf, 1, 2))) static void warn(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say("bench: warning: ", format, arguments);
    va_end(arguments);
}

/* On long runs a line now and then. */
__attribute__((format(printf, 1, 2))) static void progress(const char *format, ...) {
    static uint64_t last;
    uint64_t now = now_us();
    va_list arguments;
    if (last != 0 && now - last < PROGRESS_US)
        return;
    last = now;
    va_start(arguments, format);
    say("bench: ", format, arguments);
    va_end(arguments);
}

/* ---- Samples ------------------------------------------------------------------------------ */

/* Times in nanoseconds, as a rule; in the order of measuring. */
struct samples {
    uint64_t at[SAMPLES_MAX];
    size_t count;
};

static uint64_t nanoseconds(struct timespec t) {
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return nanoseconds(t);
}

static void keep(struct samples *to, uint64_t sample) {
    if (to->count == SAMPLES_MAX)
        die("more than %d samples", SAMPLES_MAX);
    to->at[to->count++] = sample;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Nearest rank. */
static double percentile(const struct samples *samples, unsigned percent) {
    struct samples sorted = *samples;
    if (sorted.count == 0)
        return 0;
    qsort(sorted.at, sorted.count, sizeof sorted.at[0], by_value);
    return (double)sorted.at[(sorted.count * percent + 99) / 100 - 1];
}

/* 0 where too few samples have no such tail: p99 of fewer than 100 would be the worst of them. */
static double microseconds(const struct samples *samples, unsigned percent) {
    bool none = percent > 50 && samples->count * (100 - percent) < 100;
    return none ? 0 : percentile(samples, percent) / 1000;
}

/* ---- Programs ----------------------------------------------------------------------------- */

struct cold {
    struct samples first_poll, first_response;
};

/* What a program sends to us. */
enum kind { POLL, RESPONSE, KINDS };

/* A request as this program sends it for the event at hand. When the next one begins with the
 * same head it has the same length too, so that nothing needs to be parsed while time runs. */
struct learned {
    struct bytes message;
    size_t head_length; /* 0: not learned, of no fixed length, or waiting for 100 Continue */
};

struct program {
    const char *name;
    char *path, *folder; /* for as long as the bench runs */
    char address[64], task_root[PATH_MAX + 32];
    char *environment[12];
    int listener;
    pid_t pid; /* 0 while it does not run; its process group has the same number */
    int connections[CONNECTIONS_MAX];
    size_t connection_count;
    unsigned connections_made; /* since it was started */
    bool one_connection;       /* it keeps to a single one: no need to look for others */
    int polling;               /* the connection of its last poll; 0 before the first */
    unsigned silence;          /* slices since something was received */
    struct learned learned[KINDS];
    char *files[FILES_MAX]; /* itself, and whatever it was seen to map */
    size_t file_count;
    struct cold cold[2]; /* and with its files dropped from the page cache */
    struct samples latency, processor;
    uint64_t spent;       /* on what is measured now */
    uint64_t children_ns; /* processor time of the children that ended during a case */
};

static struct program programs[PROGRAMS_MAX], *turn[PROGRAMS_MAX];
static size_t program_count;
static int name_width = sizeof "program" - 1;
static bool has_floor; /* programs[0] is the floor */
static int null_fd;

/* A new order for each round, so that no program always follows the same other. */
static void shuffle(void) {
    static uint32_t random = 88172645;
    for (size_t i = program_count; i > 1; i--) {
        random = random * 1664525 + 1013904223;
        size_t other = (random >> 8) % i;
        struct program *last = turn[i - 1];
        turn[i - 1] = turn[other];
        turn[other] = last;
    }
}

static int listen_with_patience(uint16_t *port) {
    struct timeval patience = {.tv_sec = PATIENCE_S}, slice = {.tv_usec = SLICE_MS * 1000};
    int on = 1, fd = listen_on_loopback(port);
    /* An accepted socket begins with its listener's options (Linux). */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        die("a port on 127.0.0.1:");
    return fd;
}

/* The variables of a function in the cloud that a runtime may want. */
static void set_environment(struct program *p, uint16_t port) {
    static char search[PATH_MAX];
    const char *inherited = getenv("PATH");
    snprintf(search, sizeof search, "PATH=%s", inherited == NULL ? "/usr/bin:/bin" : inherited);
    snprintf(p->address, sizeof p->address, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:%u", port);
    snprintf(p->task_root, sizeof p->task_root, "LAMBDA_TASK_ROOT=%s", p->folder);
    char *variables[] = {search,
                         "LANG=en_US.UTF-8",
                         "TZ=:UTC",
                         "_HANDLER=function.handler",
                         "AWS_LAMBDA_FUNCTION_NAME=bench",
                         "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
                         "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
                         "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
                         "AWS_REGION=us-east-1",
                         p->task_root,
                         p->address,
                         NULL};
    memcpy(p->environment, variables, sizeof variables);
}

static void set_name(struct program *p, const char *name, size_t length) {
    p->name = strndup(name, length);
    if (p->name == NULL || length == 0)
        die("a name is expected before the = of %s", name);
    for (const struct program *other = programs; other < p; other++)
        if (strcmp(other->name, p->name) == 0)
            die("two programs are called %s: NAME=PATH gives one another name", p->name);
    name_width = (int)length > name_width ? (int)length : name_width;
}

static void add_program(const char *argument) {
    if (program_count == PROGRAMS_MAX)
        die("%d programs at most", PROGRAMS_MAX);
    struct program *p = &programs[program_count];
    const char *equals = strchr(argument, '=');
    const char *path = equals == NULL ? argument : equals + 1;
    const char *slash = strrchr(path, '/'), *base = slash == NULL ? path : slash + 1;
    if (*path == '\0')
        die("'%s' has an empty path: NAME=PATH is expected", argument);
    p->path = realpath(path, NULL);
    p->folder = realpath(path, NULL);
    if (p->path == NULL || p->folder == NULL || access(p->path, X_OK) < 0)
        die("%s: an executable file is expected:", path);
    char *last = strrchr(p->folder, '/');
    last[last == p->folder] = '\0'; /* the root keeps its slash */
    set_name(p, equals == NULL ? base : argument,
             equals == NULL ? strlen(base) : (size_t)(equals - argument));
    p->files[p->file_count++] = p->path;
    uint16_t port = 0;
    p->listener = listen_with_patience(&port);
    set_environment(p, port);
    turn[program_count++] = p;
}

/* ---- Processes ---------------------------------------------------------------------------- */

static volatile int exec_error; /* the child shares its parent's memory until execve */

/* The same for all programs, and little: it is part of what is measured. Lambda too starts a
 * program in its folder, as the leader of a process group. */
static void become(const struct program *p, int error_fd) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null_fd, STDIN_FILENO);
    dup2(null_fd, STDOUT_FILENO);
    dup2(error_fd, STDERR_FILENO);
    if (chdir(p->folder) == 0)
        execve(p->path, (char *[]){p->path, NULL}, p->environment);
    exec_error = errno;
    _exit(127);
}

/* Linux lets the child of vfork call what it likes, as long as it never returns from here. */
static void start(struct program *p, int error_fd) {
    exec_error = 0;
    p->pid = vfork();
    if (p->pid == 0)
        become(p, error_fd);
    if (p->pid < 0)
        die("vfork:");
    errno = exec_error;
    if (errno != 0)
        die("%s, or the interpreter that it names, cannot be executed:", p->path);
}

static void drop_connection(struct program *p, size_t index) {
    close(p->connections[index]);
    p->connections[index] = p->connections[--p->connection_count];
}

/* Its children are ours once it is gone: prepare has made this process their reaper. What it left
 * in the queue must not be taken for the next process's poll. */
static void stop(struct program *p) {
    kill(-p->pid, SIGKILL);
    while (waitpid(-p->pid, NULL, 0) > 0 || errno == EINTR)
        continue;
    while (p->connection_count > 0)
        drop_connection(p, 0);
    while (poll(&(struct pollfd){.fd = p->listener, .events = POLLIN}, 1, 0) > 0)
        close(accept(p->listener, NULL, NULL));
    p->pid = p->polling = 0;
    p->connections_made = 0;
}

/* ---- Connections -------------------------------------------------------------------------- */

/* The event at hand, for all programs. */
static struct event {
    const char *group, *name;
    char label[32];
    struct bytes body, message; /* the message: head, framing and body */
} event;

static void settle(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static const char *when(const struct program *p) {
    static char text[64];
    snprintf(text, sizeof text, "in the event of %s", event.label);
    return p->polling == 0 ? "before its first poll" : text;
}

static void expect_running(const struct program *p) {
    int status;
    if (waitpid(p->pid, &status, WNOHANG) != p->pid)
        return;
    if (WIFSIGNALED(status))
        die("no result: %s was ended by signal %d %s", p->name, WTERMSIG(status), when(p));
    die("no result: %s ended with status %d %s", p->name, WEXITSTATUS(status), when(p));
}

/* After a slice in which nothing came. */
static void wait_on(struct program *p) {
    expect_running(p);
    if (++p->silence == PATIENCE_S * 1000 / SLICE_MS)
        die("no result: %s %s for %d s %s", p->name,
            p->connections_made > 0 ? "is silent" : "has not connected to AWS_LAMBDA_RUNTIME_API",
            PATIENCE_S, when(p));
}

/* A connection breaks a moment before it can be seen that its program ended. */
__attribute__((noreturn)) static void give_up(const struct program *p, const char *what) {
    settle(SLICE_MS);
    expect_running(p);
    die("no result: %s %s %s", p->name, what, when(p));
}

static void accept_connection(struct program *p) {
    int fd;
    while ((fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC)) < 0 && errno == EAGAIN)
        wait_on(p);
    if (fd < 0)
        die("accept:");
    if (p->connection_count == CONNECTIONS_MAX)
        die("no result: %s holds more than %d connections open", p->name, CONNECTIONS_MAX);
    p->connections[p->connection_count++] = fd;
    p->connections_made++;
}

/* Index of a connection with something to read. The usual case, a program with one connection,
 * needs no call but the recv to come. */
static size_t await_readable(struct program *p) {
    struct pollfd set[CONNECTIONS_MAX + 1];
    if (p->connection_count == 0)
        accept_connection(p);
    while (p->connection_count > 1 || !p->one_connection) {
        for (size_t i = 0; i < p->connection_count; i++)
            set[i] = (struct pollfd){.fd = p->connections[i], .events = POLLIN};
        set[p->connection_count] = (struct pollfd){.fd = p->listener, .events = POLLIN};
        if (poll(set, p->connection_count + 1, SLICE_MS) <= 0)
            wait_on(p);
        for (size_t i = 0; i < p->connection_count; i++)
            if (set[i].revents != 0)
                return i;
        if (set[p->connection_count].revents != 0)
            accept_connection(p);
    }
    return 0;
}

static void send_or_die(const struct program *p, int fd, const char *data, size_t length) {
    if (!send_all(fd, data, length))
        give_up(p, "does not take what is sent");
}

/* ---- Requests ----------------------------------------------------------------------------- */

#define REQUEST_ID "3d0f0b2a-5c1e-4e63-9d3b-6a1f2c7e8b90"

static const struct {
    const char *method, *target;
} expected[KINDS] = {{"GET", "/2018-06-01/runtime/invocation/next"},
                     {"POST", "/2018-06-01/runtime/invocation/" REQUEST_ID "/response"}};

/* The last request of each kind, and room for it: prepare touches every page. */
static struct incoming {
    char data[RECEIVED_MAX];
    size_t length;
    bool told_to_continue;
} incoming[KINDS];

static bool is_whole(const struct program *p, enum kind kind, int fd) {
    struct incoming *in = &incoming[kind];
    const struct learned *known = &p->learned[kind];
    if (known->head_length != 0 && in->length >= known->head_length &&
        memcmp(in->data, known->message.data, known->head_length) == 0)
        return in->length >= known->message.length;
    struct request r;
    enum request_reading reading = request_parse(in->data, in->length, &r);
    if (reading == REQUEST_MALFORMED)
        die("no result: %s sends a malformed request: %s", p->name, r.wrong);
    if (reading == REQUEST_COMPLETE && r.length != in->length)
        die("no result: %s sends more than one request at once", p->name);
    if (reading == REQUEST_INCOMPLETE && r.head_length != 0 && r.expects_continue &&
        !in->told_to_continue) {
        in->told_to_continue = true;
        send_or_die(p, fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    request_free(&r);
    return reading == REQUEST_COMPLETE;
}

/* The next request of the program, whole. Returns its connection. */
static int receive(struct program *p, enum kind kind) {
    struct incoming *in = &incoming[kind];
    in->told_to_continue = false;
    in->length = 0;
    size_t index = await_readable(p);
    while (in->length < RECEIVED_MAX) {
        int fd = p->connections[index];
        ssize_t n = recv(fd, in->data + in->length, RECEIVED_MAX - in->length, 0);
        if (n < 0 && errno == EAGAIN) {
            wait_on(p);
            continue;
        }
        if (n <= 0 && in->length > 0)
            give_up(p, "broke off in the middle of a request");
        if (n <= 0) {
            drop_connection(p, index);
            index = await_readable(p);
            continue;
        }
        in->length += (size_t)n;
        p->silence = 0;
        if (is_whole(p, kind, fd))
            return fd;
    }
    die("no result: %s sends a request of more than %d bytes", p->name, RECEIVED_MAX);
}

static void await_poll(struct program *p) {
    p->polling = receive(p, POLL);
}

/* ---- Events ------------------------------------------------------------------------------- */

static const char *const warm_groups[] = {"warm Content-Length", "warm chunked"};

/* A JSON string of plain letters: whatever parses and prints it gives the same bytes back, where
 * an object's blanks are a matter of taste. */
static void make_body(struct bytes *body, size_t length) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    uint32_t random = 2463534242U;
    bytes_text(body, "\"");
    while (body->length < length - 1) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        bytes_append(body, &letters[random % 64], 1);
    }
    bytes_text(body, "\"");
}

/* The field lines as they come in the cloud; a chunked event is always one chunk there. */
static void make_message(struct bytes *message, const struct bytes *body, bool chunked) {
    bytes_format(message,
                 "HTTP/1.1 200 OK\r\n"
                 "Content-Type: application/json\r\n"
                 "Lambda-Runtime-Aws-Request-Id: " REQUEST_ID "\r\n"
                 "Lambda-Runtime-Deadline-Ms: %lld\r\n"
                 "Lambda-Runtime-Invoked-Function-Arn: "
                 "arn:aws:lambda:us-east-1:123456789012:function:bench\r\n"
                 "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;"
                 "Parent=9a9197af755a6419;Sampled=0\r\n"
                 "Date: Mon, 23 Nov 2026 12:00:00 GMT\r\n",
                 ((long long)time(NULL) + 900) * 1000);
    if (chunked)
        bytes_format(message, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", body->length);
    else
        bytes_format(message, "Content-Length: %zu\r\n\r\n", body->length);
    bytes_append(message, body->data, body->length);
    if (chunked)
        bytes_text(message, "\r\n0\r\n\r\n");
}

static void set_event(const struct event_case *c, bool chunked) {
    bytes_free(&event.body);
    bytes_free(&event.message);
    event.name = c->name;
    event.group = warm_groups[chunked];
    snprintf(event.label, sizeof event.label, "%s%s", c->name, chunked ? ", chunked" : "");
    make_body(&event.body, c->length);
    make_message(&event.message, &event.body, chunked);
    for (size_t i = 0; i < program_count; i++)
        programs[i].learned[RESPONSE].head_length = 0;
}

/* ---- Invocations -------------------------------------------------------------------------- */

/* Byte for byte. */
static void check_body(const struct program *p, const struct bytes *body) {
    size_t same = 0;
    while (same < body->length && same < event.body.length &&
           body->data[same] == event.body.data[same])
        same++;
    if (same < body->length || same < event.body.length)
        die("no result: %s answers the event of %s with %zu bytes which are not its %zu: the first "
            "%zu are the same",
            p->name, event.label, body->length, event.body.length, same);
}

/* Ends the run unless the last request is as it should be. The same bytes as those that were
 * checked once need no other check. */
static void check(struct program *p, enum kind kind) {
    const struct incoming *in = &incoming[kind];
    struct learned *known = &p->learned[kind];
    if (known->head_length != 0 && in->length == known->message.length &&
        memcmp(in->data, known->message.data, in->length) == 0)
        return;
    struct request r;
    const char *method = expected[kind].method, *target = expected[kind].target;
    if (request_parse(in->data, in->length, &r) != REQUEST_COMPLETE || r.length != in->length)
        die("no result: %s sends something behind a request", p->name);
    if (r.method_length != strlen(method) || memcmp(r.method, method, r.method_length) != 0 ||
        r.target_length != strlen(target) || memcmp(r.target, target, r.target_length) != 0)
        die("no result: %s sends '%.*s %.*s' where %s %s is expected: %.*s", p->name,
            (int)r.method_length, r.method, (int)r.target_length, r.target, method, target,
            (int)(r.body.length < QUOTED_MAX ? r.body.length : QUOTED_MAX),
            r.body.length == 0 ? "" : r.body.data);
    if (kind == RESPONSE)
        check_body(p, &r.body);
    known->message.length = 0;
    bytes_append(&known->message, in->data, in->length);
    known->head_length = r.chunked || r.expects_continue ? 0 : r.head_length;
    request_free(&r);
}

/* Nanoseconds from a poll received to the next one. While time runs nothing is looked at but where
 * a request ends; the checks come after. */
static uint64_t invoke(struct program *p) {
    static const char accepted[] = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
                                   "Content-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";
    uint64_t began = now_ns();
    send_or_die(p, p->polling, event.message.data, event.message.length);
    int responding = receive(p, RESPONSE);
    send_or_die(p, responding, accepted, sizeof accepted - 1);
    await_poll(p);
    uint64_t elapsed = now_ns() - began;
    check(p, RESPONSE);
    check(p, POLL);
    return elapsed;
}

/* Starts the program and leaves it polling. Here, where no start is measured, what it complains
 * about is seen. */
static void warm_up(struct program *p) {
    p->one_connection = false;
    start(p, STDERR_FILENO);
    await_poll(p);
    check(p, POLL);
    for (int i = 0; i < WARM_UP; i++)
        invoke(p);
    p->one_connection = p->connections_made == 1;
}

/* ---- Cold --------------------------------------------------------------------------------- */

static double file_length(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (double)info.st_size : 0;
}

/* Whether no page of the file is in memory any more. Pages stay that another process has mapped
 * or that are still to be written. */
static bool drop_from_cache(const char *path) {
    size_t length = (size_t)file_length(path), pages = length / 4096 + 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *mapping = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    unsigned char *resident = calloc(pages, 1);
    bool dropped = fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 &&
                   mapping != MAP_FAILED && resident != NULL &&
                   mincore(mapping, length, resident) == 0 && memchr(resident, 1, pages) == NULL;
    free(resident);
    if (mapping != MAP_FAILED)
        munmap(mapping, length);
    close(fd);
    return dropped;
}

/* The executable is the one that counts; others may be using its libraries. */
static bool drop_program(const struct program *p) {
    for (size_t i = 1; i < p->file_count; i++)
        drop_from_cache(p->files[i]);
    return drop_from_cache(p->path);
}

static uint64_t cold_start(struct program *p, struct cold *measured) {
    uint64_t began = now_ns();
    start(p, null_fd);
    await_poll(p);
    uint64_t polled = now_ns();
    send_or_die(p, p->polling, event.message.data, event.message.length);
    receive(p, RESPONSE);
    uint64_t responded = now_ns();
    stop(p);
    check(p, POLL);
    check(p, RESPONSE);
    if (measured == NULL)
        return 0;
    keep(&measured->first_poll, polled - began);
    keep(&measured->first_response, responded - began);
    return responded - began;
}

static void measure_cold(unsigned rounds, bool from_storage) {
    for (unsigned round = 0; round < rounds; round++) {
        shuffle();
        for (size_t i = 0; i < program_count; i++) {
            struct program *p = turn[i];
            progress("cold starts%s: %u of %u, %s", from_storage ? " from storage" : "", round + 1,
                     rounds, p->name);
            bool slow = p->spent > storage_ns && round >= STORAGE_STARTS_MIN;
            cold_start(&programs[0], NULL); /* the same predecessor for all; not kept */
            if (from_storage && (slow || !drop_program(p)))
                continue;
            uint64_t elapsed = cold_start(p, &p->cold[from_storage]);
            p->spent += from_storage ? elapsed : 0;
        }
    }
}

/* ---- What the kernel knows about a program ------------------------------------------------ */

/* With a NUL behind. */
static bool read_file(const char *path, struct bytes *to) {
    char block[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n;
    while ((n = read(fd, block, sizeof block)) > 0)
        bytes_append(to, block, (size_t)n);
    close(fd);
    bytes_append(to, "", 1);
    return n == 0;
}

static bool read_proc(pid_t pid, const char *name, struct bytes *to) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return read_file(path, to);
}

/* proc_pid_stat(5): the fields behind the name, which is in parentheses and may hold anything. */
struct process_stat {
    int group;
    unsigned long faults, children_faults, major_faults, children_major_faults;
    unsigned long children_user, children_system; /* ticks */
};

static bool read_stat(pid_t pid, struct process_stat *s) {
    struct bytes text = {0};
    const char *behind = read_proc(pid, "stat", &text) ? strrchr(text.data, ')') : NULL;
    bool read = behind != NULL &&
                sscanf(behind + 1, " %*c %*d %d %*d %*d %*d %*u %lu %lu %lu %lu %*u %*u %lu %lu",
                       &s->group, &s->faults, &s->children_faults, &s->major_faults,
                       &s->children_major_faults, &s->children_user, &s->children_system) == 7;
    bytes_free(&text);
    return read;
}

/* KiB that would be free again if the process ended; 0 where smaps_rollup cannot be read. */
static uint64_t private_memory(pid_t pid) {
    struct bytes text = {0};
    unsigned long long clean = 0, dirty = 0;
    const char *at = read_proc(pid, "smaps_rollup", &text) ? strstr(text.data, "\nPrivate_") : NULL;
    if (at != NULL)
        sscanf(at, " Private_Clean: %llu kB Private_Dirty: %llu", &clean, &dirty);
    bytes_free(&text);
    return clean + dirty;
}

static void add_file(struct program *p, const char *name) {
    for (size_t i = 0; i < p->file_count; i++)
        if (strcmp(p->files[i], name) == 0)
            return;
    char *copy = strdup(name);
    if (p->file_count == FILES_MAX || copy == NULL)
        die("%s maps more than %d files", p->name, FILES_MAX);
    p->files[p->file_count++] = copy;
}

/* proc_pid_maps(5): the name is what begins at the line's first slash. */
static void add_mapped_files(struct program *p, pid_t pid) {
    struct bytes text = {0};
    bool read = read_proc(pid, "maps", &text);
    for (char *line = text.data, *end; read && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        const char *name = strchr(line, '/');
        if (name != NULL && access(name, R_OK) == 0)
            add_file(p, name);
    }
    bytes_free(&text);
}

struct footprint {
    uint64_t faults, private_kib;
};

/* All processes of the program: a shell's curl is part of what the shell costs. One may end while
 * it is looked at. */
static struct footprint look_at(struct program *p) {
    struct footprint sum = {0};
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        die("/proc:");
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        struct process_stat s;
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid <= 0 || !read_stat(pid, &s) || s.group != p->pid)
            continue;
        sum.faults += s.faults + s.children_faults + s.major_faults + s.children_major_faults;
        sum.private_kib += private_memory(pid);
        add_mapped_files(p, pid);
    }
    closedir(proc);
    return sum;
}

/* Processor time of the program's first process so far, threads included, to the nanosecond. */
static uint64_t processor_ns(const struct program *p) {
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(p->pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
        die("the processor time of %s cannot be read", p->name);
    return nanoseconds(t);
}

/* Of the processes that it has started and waited for, to the clock tick. */
static uint64_t reaped_children_ns(const struct program *p) {
    struct process_stat s = {0};
    if (!read_stat(p->pid, &s))
        die("/proc/%d/stat cannot be read", (int)p->pid);
    return (s.children_user + s.children_system) * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* ---- Figures ------------------------------------------------------------------------------ */

/* Everything that was measured; the tables, the files and the picture are made of these. Those of
 * one item of a program stand together. */
static struct figure {
    const struct program *program;
    const char *group, *item, *name, *unit;
    double value; /* 0: could not be measured */
} figures[PROGRAMS_MAX * 64];
static size_t figure_count;

static void add_figure(const struct program *p, const char *group, const char *item,
                       const char *name, const char *unit, double value) {
    if (figure_count == sizeof figures / sizeof figures[0])
        die("more figures than there is room for");
    figures[figure_count++] = (struct figure){p, group, item, name, unit, value};
}

static const struct figure *find_figure(const struct program *p, const char *group,
                                        const char *item, const char *name) {
    for (const struct figure *f = figures; f < figures + figure_count; f++)
        if (f->program == p && strcmp(f->group, group) == 0 && strcmp(f->item, item) == 0 &&
            strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

/* 0 when there is nothing to compare, or to compare with. */
static double ratio_to_floor(const struct figure *f) {
    const struct figure *least =
        has_floor && f != NULL ? find_figure(&programs[0], f->group, f->item, f->name) : NULL;
    return least == NULL || least->value <= 0 ? 0 : f->value / least->value;
}

/* floor.c built with -DRETURNS. */
static bool is_returning_floor(const struct program *p) {
    return strcmp(p->name, "floor+return") == 0;
}

static void add_cold_figures(const struct program *p, const char *item,
                             const struct samples *samples) {
    if (samples->count == 0)
        return;
    add_figure(p, "cold", item, "p50", "us", microseconds(samples, 50));
    add_figure(p, "cold", item, "p90", "us", microseconds(samples, 90));
    add_figure(p, "cold", item, "p99", "us", microseconds(samples, 99));
}

/* ---- Noise -------------------------------------------------------------------------------- */

/* The floor against itself, its even runs of samples to its odd ones: what is not 1 is the
 * machine. */
static double self_ratio(const struct samples *s, size_t run) {
    struct samples half[2] = {{.count = 0}, {.count = 0}};
    for (size_t i = 0; i < s->count; i++)
        keep(&half[i / run % 2], s->at[i]);
    double a = percentile(&half[0], 50), b = percentile(&half[1], 50);
    return a == 0 || b == 0 ? 1 : a > b ? a / b : b / a;
}

static double spread(const struct samples *s) {
    return percentile(s, 90) / percentile(s, 50);
}

static void warn_of_noise(void) {
    const struct samples *s = &programs[0].cold[0].first_poll;
    if (!has_floor)
        return;
    if (spread(s) > noisy_spread)
        warn("noisy machine: the floor's cold p90 is %.2f times its p50", spread(s));
    if (self_ratio(s, 1) > noisy_cold)
        warn("noisy machine: the floor's odd and even cold starts differ by %.1f %%",
             (self_ratio(s, 1) - 1) * 100);
}

/* ---- Warm --------------------------------------------------------------------------------- */

static void invoke_block(struct program *p) {
    uint64_t before = processor_ns(p), after;
    for (int i = 0; i < BLOCK; i++, before = after) {
        uint64_t elapsed = invoke(p);
        after = processor_ns(p);
        keep(&p->latency, elapsed);
        keep(&p->processor, after - before);
        p->spent += elapsed;
    }
}

/* All programs in one process each, which take turns. */
static void measure_processes(unsigned invocations) {
    for (size_t i = 0; i < program_count; i++) {
        warm_up(&programs[i]);
        programs[i].children_ns -= reaped_children_ns(&programs[i]);
        programs[i].spent = 0;
    }
    for (unsigned done = 0; done < invocations; done += BLOCK) {
        shuffle();
        for (size_t i = 0; i < program_count; i++) {
            progress("events of %s, %s", event.label, turn[i]->name);
            if (turn[i]->spent <= warm_ns)
                invoke_block(turn[i]);
        }
    }
    for (size_t i = 0; i < program_count; i++) {
        programs[i].children_ns += reaped_children_ns(&programs[i]);
        stop(&programs[i]);
    }
}

static void add_warm_figures(struct program *p) {
    double children = (double)p->children_ns / 1000 / (double)p->latency.count;
    add_figure(p, event.group, event.name, "p50", "us", microseconds(&p->latency, 50));
    add_figure(p, event.group, event.name, "p99", "us", microseconds(&p->latency, 99));
    add_figure(p, event.group, event.name, "processor", "us",
               microseconds(&p->processor, 50) + children);
    p->children_ns = 0;
    p->latency.count = p->processor.count = 0;
}

static void measure_warm_case(const struct event_case *c, bool chunked) {
    set_event(c, chunked);
    for (unsigned i = 0; i < processes; i++)
        measure_processes(c->invocations);
    const struct samples *s = &programs[0].latency;
    double itself = self_ratio(s, processes == 1 ? BLOCK : s->count / processes);
    if (has_floor && itself > noisy_warm)
        warn("noisy machine: for events of %s the floor differs from itself by %.0f %%",
             event.label, (itself - 1) * 100);
    for (size_t i = 0; i < program_count; i++)
        add_warm_figures(&programs[i]);
}

/* ---- Cost --------------------------------------------------------------------------------- */

/* Bytes of a zip of this one file, as it would be deployed; 0 without zip(1). */
static double zip_length(const struct program *p) {
    double length = 0;
    setenv("PROGRAM", p->path, 1);
    FILE *output = popen("folder=$(mktemp -d) && zip -9 -X -q -j $folder/function.zip \"$PROGRAM\" "
                         "2>/dev/null && wc -c <$folder/function.zip; rm -rf \"$folder\"",
                         "r");
    if (output == NULL || fscanf(output, "%lf", &length) != 1)
        length = 0;
    if (output != NULL)
        pclose(output);
    return length;
}

static void add_sizes(const struct program *p) {
    double mapped = 0;
    for (size_t i = 0; i < p->file_count; i++)
        mapped += file_length(p->files[i]);
    add_figure(p, "cost", "executable", "value", "bytes", file_length(p->path));
    add_figure(p, "cost", "zip", "value", "bytes", zip_length(p));
    add_figure(p, "cost", "files mapped", "value", "bytes", mapped);
}

/* Medians, because the kernel puts the stack at a random place in its page. The pauses let the
 * program arrive in its recv: its last page fault may come after its poll. */
static void measure_footprints(struct program *p) {
    struct samples faults = {0}, faults_with_event = {0}, memory = {0}; /* these are no times */
    for (int i = 0; i < FOOTPRINTS; i++) {
        start(p, null_fd);
        await_poll(p);
        settle(SETTLE_MS);
        keep(&faults, look_at(p).faults);
        invoke(p);
        settle(SETTLE_MS);
        struct footprint after = look_at(p);
        keep(&faults_with_event, after.faults);
        keep(&memory, after.private_kib);
        stop(p);
    }
    add_figure(p, "cost", "page faults to the first poll", "value", "", percentile(&faults, 50));
    add_figure(p, "cost", "page faults after a response", "value", "",
               percentile(&faults_with_event, 50));
    add_figure(p, "cost", "private memory after a response", "value", "KiB",
               percentile(&memory, 50));
}

/* ---- System calls ------------------------------------------------------------------------- */

/* A process of its own counts, because only the tracer may wait for a traced program. */
static volatile unsigned long *traced_calls;

static void resume(pid_t pid, int status) {
    struct __ptrace_syscall_info info;
    int signal_number = WSTOPSIG(status), news = status >> 16;
    if (signal_number == (SIGTRAP | 0x80)) {
        if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof info, &info) > 0 &&
            info.op == PTRACE_SYSCALL_INFO_ENTRY)
            ++*traced_calls;
        signal_number = 0;
    } else if (news != 0 || signal_number == SIGSTOP || signal_number == SIGTRAP) {
        signal_number = 0; /* a new child's first stop, or ptrace's own news */
    }
    ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)signal_number);
}

__attribute__((noreturn)) static void trace(const struct program *p) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        become(p, null_fd);
    }
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, pid, NULL,
               (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK |
                        PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE)) < 0)
        _exit(1);
    ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
    while ((pid = waitpid(-1, &status, __WALL)) > 0)
        if (WIFSTOPPED(status))
            resume(pid, status);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)); /* as it ended */
}

/* The count once the program has come to rest in its poll. */
static double settled_calls(void) {
    unsigned long before;
    int tries = 20;
    do {
        before = *traced_calls;
        settle(REST_MS);
    } while (*traced_calls != before && --tries > 0);
    return (double)*traced_calls;
}

/* Execution itself is not counted; the call in which the program waits is. */
static void measure_calls(struct program *p) {
    *traced_calls = 0;
    p->pid = fork();
    if (p->pid < 0)
        die("fork:");
    if (p->pid == 0)
        trace(p);
    await_poll(p);
    double to_first_poll = settled_calls(), before;
    invoke(p); /* the first one may do more */
    before = settled_calls();
    for (int i = 0; i < TRACED_INVOCATIONS; i++)
        invoke(p);
    double for_each = (settled_calls() - before) / (double)TRACED_INVOCATIONS;
    if (to_first_poll == 0)
        warn("ptrace is not permitted: no system calls are counted");
    else {
        add_figure(p, "cost", "system calls to the first poll", "value", "", to_first_poll);
        add_figure(p, "cost", "system calls for each invocation", "value", "", for_each);
    }
    stop(p); /* PTRACE_O_EXITKILL: the program goes with its tracer */
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        continue;
}

/* ---- Nothing but a conversation ----------------------------------------------------------- */

/* For others to count in, such as callgrind and strace: what SIGTERM ends, these still write down.
 * Memory is that of all processes, once they have come to rest. */
static void converse(struct program *p, unsigned events) {
    struct footprint before, now = {0};
    start(p, STDERR_FILENO);
    await_poll(p);
    for (unsigned i = 0; i < events; i++)
        invoke(p);
    do {
        before = now;
        settle(REST_MS);
        now = look_at(p);
    } while (now.faults != before.faults || now.private_kib != before.private_kib);
    printf("%llu page faults, %llu KiB private\n", (unsigned long long)now.faults,
           (unsigned long long)now.private_kib);
    kill(-p->pid, SIGTERM);
    waitpid(p->pid, NULL, 0);
    stop(p);
}

/* ---- All measuring, in its order ---------------------------------------------------------- */

static void measure_cost(void) {
    traced_calls =
        mmap(NULL, sizeof *traced_calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (traced_calls == MAP_FAILED)
        die("shared memory:");
    for (size_t i = 0; i < program_count; i++) {
        progress("cost of %s", programs[i].name);
        add_sizes(&programs[i]);
        measure_footprints(&programs[i]);
        measure_calls(&programs[i]);
    }
}

static void measure(bool from_storage) {
    set_event(&event_cases[0], false);
    for (size_t i = 0; i < program_count; i++) {
        warm_up(&programs[i]);
        look_at(&programs[i]);
        stop(&programs[i]);
    }
    measure_cold(starts, false);
    if (from_storage)
        measure_cold(starts < STORAGE_STARTS ? starts : STORAGE_STARTS, true);
    for (size_t i = 0; i < program_count; i++) {
        const struct cold *cached = &programs[i].cold[0], *dropped = &programs[i].cold[1];
        add_cold_figures(&programs[i], "first poll", &cached->first_poll);
        add_cold_figures(&programs[i], "first response", &cached->first_response);
        add_cold_figures(&programs[i], "first poll from storage", &dropped->first_poll);
        add_cold_figures(&programs[i], "first response from storage", &dropped->first_response);
    }
    warn_of_noise();
    for (int chunked = 0; chunked <= 1; chunked++)
        for (size_t i = 0; i < EVENT_CASES; i++)
            measure_warm_case(&event_cases[i], chunked == 1);
    set_event(&event_cases[0], false);
    measure_cost();
}

/* ---- Machine ------------------------------------------------------------------------------ */

static char machine[256], pinned[32], date[32];
static struct bytes command; /* with a NUL */

static void describe_machine(void) {
    struct bytes text = {0};
    struct utsname system;
    time_t now = time(NULL);
    uname(&system);
    const char *model =
        read_file("/proc/cpuinfo", &text) ? strstr(text.data, "\nmodel name\t: ") : NULL;
    model = model == NULL ? system.machine : model + strlen("\nmodel name\t: ");
    snprintf(machine, sizeof machine, "%.*s, %ld processors, %s %s%s", (int)strcspn(model, "\n"),
             model, sysconf(_SC_NPROCESSORS_ONLN), system.sysname, system.release, pinned);
    strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now));
    bytes_free(&text);
}

/* Names without folders: where the programs lie says nothing, and belongs in no report. */
static void describe_command(int count, char **arguments) {
    for (int i = 0; i < count; i++) {
        const char *slash = strrchr(arguments[i], '/'), *equals = strchr(arguments[i], '=');
        int kept = slash != NULL && equals != NULL && equals < slash
                       ? (int)(equals - arguments[i]) + 1
                       : 0;
        bytes_format(&command, "%s%.*s%s", i == 0 ? "" : " ", kept, arguments[i],
                     slash == NULL ? arguments[i] : slash + 1);
    }
    bytes_append(&command, "", 1);
}

/* ---- Tables ------------------------------------------------------------------------------- */

enum { ITEM_WIDTH = 36, NUMBER_WIDTH = 9, RATIO_WIDTH = sizeof "x floor" - 1 };

static bool is_same_item(const struct figure *a, const struct figure *b) {
    return strcmp(a->group, b->group) == 0 && strcmp(a->item, b->item) == 0;
}

/* The next figure of the same row, or NULL. */
static const struct figure *next_in_row(const struct figure *f) {
    const struct figure *next = f + 1;
    return next < figures + figure_count && next->program == f->program && is_same_item(next, f)
               ? next
               : NULL;
}

/* Markdown that is aligned for the terminal too. */
static void print_heads(const struct figure *first) {
    static const char dashes[] = "----------------------------------------------------------------";
    printf("| %-*s | %-*s ", ITEM_WIDTH, first->group, name_width, "program");
    for (const struct figure *f = first; f != NULL; f = next_in_row(f))
        printf("| %*s | x floor ", NUMBER_WIDTH, f->name);
    printf("|\n|%.*s|%.*s", ITEM_WIDTH + 2, dashes, name_width + 2, dashes);
    for (const struct figure *f = first; f != NULL; f = next_in_row(f))
        printf("|%.*s:|%.*s:", NUMBER_WIDTH + 1, dashes, RATIO_WIDTH + 1, dashes);
    printf("|\n");
}

/* Three significant digits are more than the machine's noise leaves. */
static void print_number(int width, double value, int digits_below_100) {
    if (value == 0)
        printf("| %*s ", width, "-");
    else
        printf("| %*.*f ", width, value < 100 ? digits_below_100 : 0, value);
}

static void print_row(const struct figure *first) {
    char item[ITEM_WIDTH + 1];
    snprintf(item, sizeof item, *first->unit == '\0' ? "%s" : "%s, %s", first->item, first->unit);
    printf("| %-*s | %-*s ", ITEM_WIDTH, item, name_width, first->program->name);
    for (const struct figure *f = first; f != NULL; f = next_in_row(f)) {
        print_number(NUMBER_WIDTH, f->value, f->value == floor(f->value) ? 0 : 1);
        print_number(RATIO_WIDTH, ratio_to_floor(f), 2);
    }
    printf("|\n");
}

/* The items of the group in the order of measuring, each for one program below the other. */
static void print_group(const char *group) {
    const struct figure *previous = NULL, *end = figures + figure_count;
    for (const struct figure *f = figures; f < end; f++) {
        if (f->program != &programs[0] || strcmp(f->group, group) != 0)
            continue;
        if (previous == NULL)
            print_heads(f);
        if (previous == NULL || !is_same_item(previous, f))
            for (const struct figure *row = f; row < end; row++)
                if (is_same_item(row, f) && strcmp(row->name, f->name) == 0)
                    print_row(row);
        previous = f;
    }
}

static void print_tables(void) {
    const struct samples *s = &programs[0].cold[0].first_poll;
    printf("%s, %s\n%s\n", machine, date, command.data);
    if (has_floor)
        printf("The floor against itself: odd to even starts %.3f, p90 to p50 %.2f\n",
               self_ratio(s, 1), spread(s));
    for (size_t i = 0; i < program_count; i++)
        if (is_returning_floor(&programs[i]))
            puts(
                "floor+return is the floor with each system call in a function that returns, as in\n"
                "every other program: up to there the distance is the processor's");
    printf("\nFrom before vfork to the request received; %u starts:\n\n", starts);
    print_group("cold");
    puts("\nFrom the event's first byte to the next poll received; processor time:\n");
    print_group(warm_groups[0]);
    puts("");
    print_group(warm_groups[1]);
    puts("\nExecutable, zip: that one file. Files mapped: executable, interpreter, libraries.\n"
         "Private memory leaves out pages that any other process maps too: measure while nothing\n"
         "else runs with the same libraries. System calls to the first poll: after execve, with\n"
         "the recv in which the program then waits.\n");
    print_group("cost");
}

/* ---- JSON and CSV ------------------------------------------------------------------------- */

static void json_member(struct bytes *to, const char *name, const char *value) {
    bytes_format(to, "\"%s\": ", name);
    json_string(to, value, strlen(value));
    bytes_text(to, ", ");
}

static void print_json(void) {
    struct bytes to = {0};
    bytes_text(&to, "{");
    json_member(&to, "machine", machine);
    json_member(&to, "date", date);
    json_member(&to, "command", command.data);
    bytes_format(&to, "\"starts\": %u, \"figures\": [", starts);
    for (size_t i = 0; i < figure_count; i++) {
        const struct figure *f = &figures[i];
        bytes_text(&to, i == 0 ? "\n  {" : ",\n  {");
        json_member(&to, "program", f->program->name);
        json_member(&to, "group", f->group);
        json_member(&to, "item", f->item);
        json_member(&to, "figure", f->name);
        json_member(&to, "unit", f->unit);
        bytes_format(&to, f->value == 0 ? "\"value\": null, " : "\"value\": %.3f, ", f->value);
        double ratio = ratio_to_floor(f);
        bytes_format(&to, ratio == 0 ? "\"ratio\": null}" : "\"ratio\": %.3f}", ratio);
    }
    bytes_text(&to, "\n]}\n");
    fwrite(to.data, 1, to.length, stdout);
    bytes_free(&to);
}

static void print_csv(void) {
    puts("program,group,item,figure,unit,value,ratio");
    for (size_t i = 0; i < figure_count; i++) {
        const struct figure *f = &figures[i];
        double ratio = ratio_to_floor(f);
        printf("%s,%s,%s,%s,%s,", f->program->name, f->group, f->item, f->name, f->unit);
        printf(f->value == 0 ? "," : "%.3f,", f->value);
        printf(ratio == 0 ? "\n" : "%.3f\n", ratio);
    }
}

/* ---- Picture: its parts ------------------------------------------------------------------- */

enum {
    WIDTH = 920,
    MARGIN = 26,
    LEFT = 150,              /* of the plots, behind the names */
    PLOT = 610,              /* width of the first plot, before its figures */
    FIGURES = WIDTH - 84,    /* end of those figures */
    RATIOS = WIDTH - MARGIN, /* and of their ratios */
    RIDGE = 62,              /* row of the first plot */
    RIDGE_TOP = 46,          /* highest density */
    BAR_ROW = 30,
    BAR_WIDTH = 250,
    BINS = 320,
    NAME_LENGTH = 15, /* that fits before LEFT */
};

static const char style[] =
    "<style>\n"
    "  .paper { fill: #fcfcfb } .ink { fill: #1d2026 } .soft { fill: #667080 }\n"
    "  .grid { stroke: #e3e6ea } .line { stroke: #1d2026 }\n"
    "  .c0 { fill: #8b93a1 } .c1 { fill: #e8590c } .c2 { fill: #1971c2 } .c3 { fill: #2b8a3e }\n"
    "  .c4 { fill: #9c36b5 } .c5 { fill: #c2255c }\n"
    "  @media (prefers-color-scheme: dark) {\n"
    "    .paper { fill: #15181d } .ink { fill: #e9ecf1 } .soft { fill: #98a2b3 }\n"
    "    .grid { stroke: #2c323b } .line { stroke: #e9ecf1 }\n"
    "    .c0 { fill: #7d8797 } .c1 { fill: #ff8a3d } .c2 { fill: #4dabf7 } .c3 { fill: #51cf66 }\n"
    "    .c4 { fill: #cc5de8 } .c5 { fill: #f06595 }\n"
    "  }\n"
    "  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif }\n"
    "  .title { font-size: 19px; font-weight: 600 } .head { font-size: 14px; font-weight: 600 }\n"
    "  .name { font-weight: 600 } .small { font-size: 11px } .end { text-anchor: end }\n"
    "  .middle { text-anchor: middle }\n"
    "  .number { font-variant-numeric: tabular-nums }\n"
    "</style>\n";

static const struct units {
    int step;             /* each is so many of the one before */
    const char *names[5]; /* NULL ends them */
} times = {1000, {"\302\265s", "ms", "s"}}, sizes = {1000, {"B", "KB", "MB", "GB"}},
  memories = {1024, {"KiB", "MiB", "GiB"}};

/* A logarithmic axis from `x` to `x + width`. */
struct axis {
    double low, high; /* logarithms */
    double x, width;
    const struct units *units;
};

/* Three digits, as long as there is a unit for it. */
static const char *readable(double value, const struct units *units) {
    static char text[32];
    const char *const *name = units->names;
    for (; value >= 999.5 && name[1] != NULL; name++)
        value /= units->step;
    snprintf(text, sizeof text, value >= 999.5 ? "%.0f %s" : "%.3g %s", value, *name);
    return text;
}

static double on_axis(const struct axis *a, double value) {
    return a->x + (log10(value) - a->low) / (a->high - a->low) * a->width;
}

/* What is formatted may hold what means something in XML. */
__attribute__((format(printf, 5, 6))) static void
svg_text(struct bytes *to, double x, double y, const char *classes, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    bytes_format(to, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, classes);
    for (const char *at = text; *at != '\0'; at++)
        if (*at == '&' || *at == '<' || *at == '>')
            bytes_format(to, "&#%d;", *at);
        else
            bytes_append(to, at, 1);
    bytes_text(to, "</text>\n");
}

static void svg_line(struct bytes *to, const char *class, double x1, double y1, double x2,
                     double y2) {
    bytes_format(to, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                 class, x1, y1, x2, y2);
}

/* Lines at 1, 2, 5 of each decade of a unit, or closer or wider as there is room. */
static void svg_grid(struct bytes *to, const struct axis *a, double top, double bottom) {
    double decade = a->width / (a->high - a->low);
    for (int power = (int)floor(a->low); power <= (int)ceil(a->high); power++)
        for (int digit = 1; digit <= 9; digit++) {
            double value = digit * pow(10, power % 3) * pow(a->units->step, power / 3); /* round */
            double x = on_axis(a, value);
            bool wanted =
                digit == 1 || (decade > 130 && (digit == 2 || digit == 5)) || decade > 700;
            if (!wanted || log10(value) < a->low - 1e-9 || log10(value) > a->high + 1e-9)
                continue;
            svg_line(to, "grid", x, top, x, bottom);
            svg_text(to, x, bottom + 16, "soft small middle number", "%s",
                     readable(value, a->units));
        }
}

/* Cut where it would run off the picture; never within a character of UTF-8. */
static void svg_name(struct bytes *to, double y, const char *name) {
    int length = (int)strlen(name), kept = length > NAME_LENGTH ? NAME_LENGTH - 1 : length;
    while (kept < length && kept > 0 && (name[kept] & 0xc0) == 0x80)
        kept--;
    svg_text(to, LEFT - 14, y, "ink name end", "%.*s%s", kept, name,
             kept < length ? "\342\200\246" : "");
}

/* The floor is grey, and the first program beside it is the one this is all about. */
static int color_of(size_t program) {
    size_t place = has_floor ? program : program + 1;
    return (int)(place < 2 ? place : 2 + (place - 2) % 4);
}

/* ---- Picture: cold starts ----------------------------------------------------------------- */

/* Densities in equal steps of the logarithm, smoothed a little, the highest 1. */
static void densities(const struct samples *s, const struct axis *a, double density[BINS]) {
    double count[BINS] = {0}, highest = 0;
    for (size_t i = 0; i < s->count; i++) {
        double at = (log10((double)s->at[i] / 1000) - a->low) / (a->high - a->low) * (double)BINS;
        if (at >= 0 && at < (double)BINS)
            count[(int)at]++;
    }
    for (int i = 0; i < BINS; i++) {
        density[i] = 0;
        for (int j = i - 6 < 0 ? 0 : i - 6; j <= i + 6 && j < BINS; j++)
            density[i] += count[j] * exp(-(i - j) * (i - j) / 4.5);
        highest = density[i] > highest ? density[i] : highest;
    }
    for (int i = 0; i < BINS && highest > 0; i++)
        density[i] /= highest;
}

static void svg_ridge(struct bytes *to, size_t index, const struct axis *a, double base) {
    const struct program *p = &programs[index];
    const struct figure *p50 = find_figure(p, "cold", "first poll", "p50");
    double p99 = microseconds(&p->cold[0].first_poll, 99);
    double density[BINS], middle = on_axis(a, p50->value), ratio = ratio_to_floor(p50);
    densities(&p->cold[0].first_poll, a, density);
    bytes_format(to, "<path class=\"c%d\" d=\"M%.1f %.1f", color_of(index), a->x, base);
    for (int i = 0; i < BINS; i++)
        bytes_format(to, "L%.1f %.1f", a->x + (i + 0.5) * a->width / (double)BINS,
                     base - density[i] * (double)RIDGE_TOP);
    bytes_format(to, "L%.1f %.1fZ\"/>\n", a->x + a->width, base);
    svg_line(to, "grid", a->x, base, a->x + a->width, base);
    svg_line(to, "line", middle, base - (double)RIDGE_TOP, middle, base + 4);
    if (p99 > 0)
        bytes_format(to, "<circle class=\"ink\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>\n",
                     on_axis(a, p99), base);
    svg_name(to, base - 6, p->name);
    if (has_floor && (index == 0 || is_returning_floor(p)))
        svg_text(to, LEFT - 14, base - 22, "soft small end", "not a runtime:");
    svg_text(to, FIGURES, base - 6, "ink number end", "%s", readable(p50->value, &times));
    if (has_floor)
        svg_text(to, RATIOS, base - 6, "soft number end",
                 ratio < 10 ? "%.2f\303\227" : "%.0f\303\227", ratio);
}

/* Tails are cut at p99, so that one hiccup does not squeeze all the rest. */
static struct axis cold_axis(void) {
    struct axis a = {.low = 99, .high = -99, .x = LEFT, .width = PLOT, .units = &times};
    for (size_t i = 0; i < program_count; i++) {
        const struct samples *s = &programs[i].cold[0].first_poll;
        a.low = fmin(a.low, log10(microseconds(s, 1)));
        a.high = fmax(a.high, log10(percentile(s, 99) / 1000));
    }
    double margin = (a.high - a.low) * 0.04 + 0.02;
    a.low -= margin;
    a.high += margin;
    return a;
}

/* Returns where it ends. */
static double svg_cold(struct bytes *to, double top) {
    struct axis a = cold_axis();
    double bottom = top + 26 + (double)RIDGE * (double)program_count;
    svg_text(to, MARGIN, top, "ink head", "Cold start");
    svg_text(to, 110, top, "soft small",
             "from just before vfork to the whole first poll received; %u starts in turns; "
             "line p50%s",
             starts, starts < 100 ? "" : ", dot p99");
    svg_text(to, FIGURES, top + 18, "soft small end", "p50");
    if (has_floor)
        svg_text(to, RATIOS, top + 18, "soft small end", "to floor");
    svg_grid(to, &a, top + 20, bottom);
    for (size_t i = 0; i < program_count; i++)
        svg_ridge(to, i, &a, top + 26 + (double)RIDGE * (double)(i + 1) - 8);
    return bottom + 30;
}

/* ---- Picture: costs ----------------------------------------------------------------------- */

static double cost_of(size_t program, const char *item) {
    const struct figure *f = find_figure(&programs[program], "cost", item, "value");
    return f == NULL ? 0 : f->value;
}

/* From the power of ten below the smallest to the largest. */
static struct axis bar_axis(const char *item, double x, const struct units *units) {
    double low = 1e99, high = 1;
    for (size_t i = 0; i < program_count; i++) {
        double value = cost_of(i, item);
        low = value > 0 ? fmin(low, value) : low;
        high = fmax(high, value);
    }
    low = floor(log10(fmin(low, high)));
    return (struct axis){low, fmax(log10(high), low + 1), x, BAR_WIDTH, units};
}

static void svg_bars(struct bytes *to, double x, double top, const char *title, const char *item,
                     const struct units *units) {
    struct axis a = bar_axis(item, x, units);
    svg_text(to, x, top, "ink head", "%s", title);
    svg_grid(to, &a, top + 12, top + 18 + (double)BAR_ROW * (double)program_count);
    for (size_t i = 0; i < program_count; i++) {
        double value = cost_of(i, item), y = top + 20 + (double)BAR_ROW * (double)i;
        if (value <= 0)
            continue;
        double width = on_axis(&a, value) - x;
        bytes_format(to,
                     "<rect class=\"c%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" "
                     "rx=\"2\"/>\n",
                     color_of(i), x, y, width + 2, BAR_ROW - 12);
        svg_text(to, x + width + 8, y + 13.5, "ink number", "%s", readable(value, units));
    }
}

static double svg_costs(struct bytes *to, double top) {
    for (size_t i = 0; i < program_count; i++)
        svg_name(to, top + 20 + (double)BAR_ROW * (double)i + 13.5, programs[i].name);
    svg_bars(to, LEFT, top, "Files mapped: executable, interpreter, libraries", "files mapped",
             &sizes);
    svg_bars(to, LEFT + 400, top, "Private memory after the first response",
             "private memory after a response", &memories);
    return top + 18 + (double)BAR_ROW * (double)program_count + 44;
}

static void write_picture(const char *path) {
    struct bytes body = {0};
    FILE *file = fopen(path, "w");
    double y = svg_cold(&body, 82);
    y = svg_costs(&body, y + 24);
    svg_text(&body, MARGIN, y, "soft small", "%s", machine);
    svg_text(&body, WIDTH - MARGIN, y, "soft small end", "%s", date);
    svg_text(&body, MARGIN, y + 16, "soft small", "%s", command.data);
    svg_text(&body, MARGIN, 42, "ink title", "A Lambda runtime's start, size and memory");
    svg_text(&body, WIDTH - MARGIN, 42, "soft small end", "all scales are logarithmic");
    bytes_append(&body, "", 1);
    int height = (int)y + 38;
    if (file == NULL ||
        fprintf(file,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                "height=\"%d\" role=\"img\">\n<title>Cold starts of Lambda runtimes</title>\n"
                "%s<rect class=\"paper\" width=\"%d\" height=\"%d\" rx=\"10\"/>\n%s</svg>\n",
                WIDTH, height, WIDTH, height, style, WIDTH, height, body.data) < 0 ||
        fclose(file) != 0)
        die("--svg %s:", path);
    bytes_free(&body);
}

/* ---- Options ------------------------------------------------------------------------------ */

static const char help[] =
    "usage: bench [options] [NAME=]PATH [[NAME=]PATH ...]\n"
    "  --floor PATH   the program that all figures are divided by: floor.c\n"
    "  --starts N     cold starts of each program (300)\n"
    "  --quick        a tenth of the default work; nothing from storage\n"
    "  --cpu N        everything on processor N (the last one), or any: where the scheduler\n"
    "                 happens to place server and program changes warm figures by half or more\n"
    "  --events N     nothing but N events of 16 B; prints page faults and private memory\n"
    "  --json, --csv  all figures in that form instead of tables\n"
    "  --svg FILE     a picture as well\n"
    "PATH is an executable, or a script with #! that execs what takes arguments (otherwise its\n"
    "processor time is not seen). It is started without arguments, in its own folder, with PATH\n"
    "and AWS_LAMBDA_RUNTIME_API, and must return each event (a JSON string) byte for byte.\n"
    "Private memory leaves out pages that any other process maps too: measure while nothing else\n"
    "runs with the same libraries.\n";

static struct {
    const char *floor, *cpu, *svg, *events;
    int quick, json, csv;
} options = {.cpu = "last"};

static unsigned parse_number(const char *option, const char *text, unsigned long least,
                             unsigned long most) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < least || value > most)
        die("--%s %s: a number from %lu to %lu is expected", option, text, least, most);
    return (unsigned)value;
}

static void parse_options(int count, char **arguments) {
    static const struct option names[] = {
        {"floor", required_argument, NULL, 'f'},   {"starts", required_argument, NULL, 'n'},
        {"quick", no_argument, &options.quick, 1}, {"cpu", required_argument, NULL, 'p'},
        {"events", required_argument, NULL, 'e'},  {"json", no_argument, &options.json, 1},
        {"csv", no_argument, &options.csv, 1},     {"svg", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(count, arguments, "", names, NULL)) != -1;)
        if (c == 'f')
            options.floor = optarg;
        else if (c == 'n')
            starts = parse_number("starts", optarg, 1, SAMPLES_MAX);
        else if (c == 'p')
            options.cpu = optarg;
        else if (c == 's')
            options.svg = optarg;
        else if (c == 'e')
            options.events = optarg;
        else if (c == 'h' || c == '?') {
            fputs(help, c == 'h' ? stdout : stderr);
            exit(c == 'h' ? 0 : 2);
        }
    if (optind == count)
        die("a program is expected: see --help");
    if (options.json && options.csv)
        die("--json or --csv, but not both, is expected");
    FILE *picture = options.svg == NULL ? NULL : fopen(options.svg, "a"); /* it stays as it is */
    if (options.svg != NULL && (picture == NULL || fclose(picture) != 0))
        die("--svg %s:", options.svg);
}

/* What is pinned here stays so in every program. */
static void pin(const char *choice) {
    cpu_set_t set;
    if (strcmp(choice, "any") == 0)
        return;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        die("sched_getaffinity:");
    unsigned processor = CPU_SETSIZE - 1;
    while (!CPU_ISSET(processor, &set))
        processor--;
    if (strcmp(choice, "last") != 0)
        processor = parse_number("cpu", choice, 0, processor);
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        die("--cpu %u:", processor);
    snprintf(pinned, sizeof pinned, ", all on processor %u", processor);
}

static void prepare(char **paths) {
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        die("/dev/null, PR_SET_CHILD_SUBREAPER:");
    memset(incoming, 1, sizeof incoming);
    has_floor = options.floor != NULL;
    if (has_floor)
        add_program(options.floor);
    for (; *paths != NULL; paths++)
        add_program(*paths);
    if (starts == 0)
        starts = options.quick ? STARTS / QUICK : STARTS;
    if (options.quick)
        processes /= QUICK;
}

int main(int count, char **arguments) {
    describe_command(count, arguments); /* getopt changes the order */
    parse_options(count, arguments);
    pin(options.cpu);
    describe_machine();
    prepare(arguments + optind);
    if (options.events != NULL) {
        set_event(&event_cases[0], false);
        converse(&programs[0], parse_number("events", options.events, 0, 1000000));
        return 0;
    }
    measure(!options.quick);
    if (options.json)
        print_json();
    else if (options.csv)
        print_csv();
    else
        print_tables();
    if (options.svg != NULL)
        write_picture(options.svg);
    return 0;
}
