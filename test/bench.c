/* bench.c - how fast a Lambda runtime starts and serves, and what it costs, on this machine.
 *
 * Plays Lambda for any executables that speak the Runtime API and echo their events, one after
 * the other in turns, and divides every figure by that of floor.c, measured in the same run:
 *
 *   cold   from just before vfork() to the whole first poll received, and to the whole first
 *          response received; also with the program's files dropped from the page cache
 *   warm   from the first byte of an event sent to the whole next poll received, and processor
 *          time for each invocation; every response is compared byte for byte
 *   cost   executable and zip, private memory, page faults, system calls
 *
 *   cc -O2 bench.c wire.c -lm -o bench
 *   bench --floor FLOOR [NAME=]PROGRAM [[NAME=]PEER ...]      bench --help
 *
 * Linux: /proc, ptrace, sched_setaffinity.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE 1
#include "wire.h"

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
#include <spawn.h>
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
    GROUP_MAX = 64,             /* processes of one program */
    PATIENCE_S = 10,            /* a program that is silent for so long is broken */
    RECEIVED_MAX = 7 * 1048576, /* one request: Lambda's 6 MB and a generous head */
    BLOCK = 4,                  /* invocations of one program before it is another's turn */
    GENERATIONS =
        10,      /* of fresh processes for each case: where its pages lie is a process's luck */
    WARM_UP = 3, /* invocations, or starts, before the first that counts */
    TRACED_INVOCATIONS = 10,
    QUOTED_MAX = 300, /* of a body in a message */
    QUICK = 10,       /* --quick does this part of the work */
};

/* Ratios that a quiet machine stays below, and above which small differences mean nothing. */
static const double NOISY_SPREAD = 1.5, NOISY_COLD = 1.03, NOISY_WARM = 1.05;

/* A slow program gets fewer invocations, so that a run with it still ends. */
static const double warm_seconds = 3, page_cold_seconds = 15;
enum { PAGE_COLD_STARTS = 100, SLOW_PROGRAM_MIN = 20 };

static const struct event_case {
    const char *name;
    size_t length;
    unsigned invocations;
} event_cases[] = {{"16 B", 16, 2000},
                   {"2 KB", 2048, 2000},
                   {"100 KB", 102400, 800},
                   {"1 MB", 1048576, 320},
                   {"6 MB", 6291456, 160}};
enum { EVENT_CASES = sizeof event_cases / sizeof event_cases[0] };

#define REQUEST_ID "3d0f0b2a-5c1e-4e63-9d3b-6a1f2c7e8b90"
static const char accepted[] = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
                               "Content-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";

/* ---- Messages ----------------------------------------------------------------------------- */

/* A colon at the end asks for errno's text. */
__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...) {
    int reason = errno;
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (format[strlen(format) - 1] == ':')
        fprintf(stderr, " %s", strerror(reason));
    fputc('\n', stderr);
    exit(1);
}

static void progress_end(void) {
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

__attribute__((format(printf, 1, 2))) static void warn(const char *format, ...) {
    va_list arguments;
    progress_end();
    va_start(arguments, format);
    fputs("bench: warning: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

/* On a terminal one line that is written over; in a log a line now and then. */
__attribute__((format(printf, 1, 2))) static void progress(const char *format, ...) {
    static uint64_t last;
    static bool terminal_known, terminal;
    if (!terminal_known)
        terminal = isatty(STDERR_FILENO);
    terminal_known = true;
    uint64_t now = now_us(), pause = terminal ? 100000 : 10000000;
    if (last != 0 && now - last < pause)
        return;
    last = now;
    va_list arguments;
    va_start(arguments, format);
    fputs(terminal ? "\r\033[Kbench: " : "bench: ", stderr);
    vfprintf(stderr, format, arguments);
    if (!terminal)
        fputc('\n', stderr);
    va_end(arguments);
}

/* ---- Samples ------------------------------------------------------------------------------ */

/* Nanoseconds as a rule, in the order of measuring until sorted. */
struct samples {
    uint64_t *at;
    size_t count, capacity;
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void keep(struct samples *to, uint64_t sample) {
    if (to->count == to->capacity) {
        to->capacity = to->capacity == 0 ? 512 : to->capacity * 2;
        to->at = realloc(to->at, to->capacity * sizeof *to->at);
        if (to->at == NULL)
            die("no memory for %zu samples", to->capacity);
    }
    to->at[to->count++] = sample;
}

static void samples_free(struct samples *samples) {
    free(samples->at);
    *samples = (struct samples){0};
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Nearest rank, in microseconds; leaves the order of measuring as it is. */
static double percentile(const struct samples *samples, unsigned percent) {
    if (samples->count == 0)
        return 0;
    uint64_t *sorted = malloc(samples->count * sizeof *sorted);
    if (sorted == NULL)
        die("no memory for %zu samples", samples->count);
    memcpy(sorted, samples->at, samples->count * sizeof *sorted);
    qsort(sorted, samples->count, sizeof *sorted, by_value);
    size_t rank = (samples->count * percent + 99) / 100;
    double value = (double)sorted[rank == 0 ? 0 : rank - 1] / 1000;
    free(sorted);
    return value;
}

/* ---- Programs ----------------------------------------------------------------------------- */

/* A request as this program sends it for the event at hand. When the next one begins with the
 * same head it has the same length too, so that nothing needs to be parsed while time runs. */
struct learned {
    struct bytes message;
    size_t head_length; /* 0: not learned, or of no fixed length */
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
    struct learned poll, response;
    struct bytes files; /* that it had mapped at its first poll: names, each with its NUL */
    struct samples first_poll, first_response, page_cold_poll, latency, processor;
    uint64_t children_ns; /* processor time of the children that ended during a case */
};

static struct program programs[PROGRAMS_MAX];
static size_t program_count;
static bool has_floor; /* programs[0] is the floor */
static int null_fd;

static void set_patience(int fd) {
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int on = 1;
    /* An accepted socket begins with its listener's options (Linux). */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        die("setsockopt:");
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

static void add_program(const char *argument) {
    if (program_count == PROGRAMS_MAX)
        die("%d programs at most", PROGRAMS_MAX);
    struct program *p = &programs[program_count++];
    const char *equals = strchr(argument, '=');
    const char *path = equals == NULL ? argument : equals + 1;
    const char *slash = strrchr(path, '/');
    p->name = equals == NULL ? slash == NULL ? path : slash + 1
                             : strndup(argument, (size_t)(equals - argument));
    if (p->name == NULL)
        die("no memory for a name");
    p->path = realpath(path, NULL);
    p->folder = realpath(path, NULL);
    if (p->path == NULL || p->folder == NULL || access(p->path, X_OK) < 0)
        die("%s: an executable file is expected:", path);
    char *last = strrchr(p->folder, '/');
    last[last == p->folder] = '\0'; /* the root keeps its slash */
    uint16_t port = 0;
    p->listener = listen_on_loopback(&port);
    if (p->listener < 0)
        die("a port on 127.0.0.1:");
    set_patience(p->listener);
    set_environment(p, port);
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
static pid_t spawn(const struct program *p, int error_fd) {
    pid_t pid = vfork();
    if (pid == 0)
        become(p, error_fd);
    return pid;
}

static void start(struct program *p, int error_fd) {
    exec_error = 0;
    p->connections_made = 0;
    p->pid = spawn(p, error_fd);
    if (p->pid < 0)
        die("vfork:");
    errno = exec_error;
    if (errno != 0)
        die("%s: cannot be executed:", p->path);
}

static void drop_connection(struct program *p, size_t index) {
    close(p->connections[index]);
    p->connections[index] = p->connections[--p->connection_count];
}

/* Its children are ours once it is gone: main has made this process their reaper. */
static void stop(struct program *p) {
    kill(-p->pid, SIGKILL);
    while (waitpid(-p->pid, NULL, 0) > 0 || errno == EINTR)
        continue;
    while (p->connection_count > 0)
        drop_connection(p, 0);
    p->pid = 0;
}

/* ---- Connections -------------------------------------------------------------------------- */

/* A request and room for it; main touches every page before any measuring. */
struct incoming {
    char data[RECEIVED_MAX];
    size_t length;
};

static struct incoming poll_in, response_in;

static void accept_connection(struct program *p) {
    int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        die("void: %s has not connected for %d s%s", p->name, PATIENCE_S,
            waitpid(p->pid, NULL, WNOHANG) == p->pid ? ": it has ended" : "");
    if (fd < 0)
        die("accept:");
    if (p->connection_count == CONNECTIONS_MAX)
        die("void: %s holds more than %d connections open", p->name, CONNECTIONS_MAX);
    p->connections[p->connection_count++] = fd;
    p->connections_made++;
}

/* Index of a connection with something to read. */
static size_t await_any(struct program *p) {
    struct pollfd set[CONNECTIONS_MAX + 1];
    for (;;) {
        for (size_t i = 0; i < p->connection_count; i++)
            set[i] = (struct pollfd){.fd = p->connections[i], .events = POLLIN};
        set[p->connection_count] = (struct pollfd){.fd = p->listener, .events = POLLIN};
        if (poll(set, p->connection_count + 1, PATIENCE_S * 1000) <= 0)
            die("void: %s is silent for %d s", p->name, PATIENCE_S);
        for (size_t i = 0; i < p->connection_count; i++)
            if (set[i].revents != 0)
                return i;
        accept_connection(p);
    }
}

/* The usual case, a program with one connection, needs no call but the recv to come. */
static size_t await_readable(struct program *p) {
    if (p->connection_count == 0)
        accept_connection(p);
    return p->connection_count == 1 && p->one_connection ? 0 : await_any(p);
}

static void answer_expectation(int fd, const struct request *r, bool *answered) {
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (r->head_length == 0 || !r->expects_continue || *answered)
        return;
    *answered = true;
    if (!send_all(fd, go_on, sizeof go_on - 1))
        die("100 Continue:");
}

static bool is_whole(const struct program *p, int fd, const struct incoming *in,
                     const struct learned *known, bool *expectation_answered) {
    if (known->head_length != 0 && in->length >= known->head_length &&
        memcmp(in->data, known->message.data, known->head_length) == 0)
        return in->length >= known->message.length;
    struct request r;
    enum reading reading = request_parse(in->data, in->length, &r);
    if (reading == REQUEST_MALFORMED)
        die("void: %s sends a malformed request: %s", p->name, r.wrong);
    if (reading == REQUEST_INCOMPLETE)
        answer_expectation(fd, &r, expectation_answered);
    if (reading == REQUEST_COMPLETE && r.length != in->length)
        die("void: %s sends more than one request at once", p->name);
    request_free(&r);
    return reading == REQUEST_COMPLETE;
}

/* The next request of the program, whole, into `in`. Returns its connection. */
static int receive(struct program *p, const struct learned *known, struct incoming *in) {
    bool expectation_answered = false;
    in->length = 0;
    size_t index = await_readable(p);
    for (;;) {
        int fd = p->connections[index];
        ssize_t n = recv(fd, in->data + in->length, RECEIVED_MAX - in->length, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            die("void: %s is silent for %d s", p->name, PATIENCE_S);
        if (n <= 0) {
            if (in->length > 0)
                die("void: %s broke off in the middle of a request", p->name);
            drop_connection(p, index);
            index = await_readable(p);
            continue;
        }
        in->length += (size_t)n;
        if (is_whole(p, fd, in, known, &expectation_answered))
            return fd;
        if (in->length == RECEIVED_MAX)
            die("void: %s sends a request of more than %d bytes", p->name, RECEIVED_MAX);
    }
}

/* ---- Events and responses ----------------------------------------------------------------- */

struct event {
    const char *name;
    bool chunked;
    struct bytes body, message; /* the message: head, framing and body */
};

/* Compact JSON, so that a runtime that parses and prints it gives the same bytes back. */
static void make_body(struct bytes *body, size_t length) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    uint32_t random = 2463534242U;
    bytes_text(body, "{\"data\":\"");
    while (body->length < length - 2) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        bytes_append(body, &letters[random % 64], 1);
    }
    bytes_text(body, "\"}");
}

/* The field lines as they come in the cloud; a chunked event is always one chunk there. */
static struct event make_event(const char *name, size_t length, bool chunked) {
    struct event e = {.name = name, .chunked = chunked};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    make_body(&e.body, length);
    bytes_format(&e.message,
                 "HTTP/1.1 200 OK\r\n"
                 "Content-Type: application/json\r\n"
                 "Lambda-Runtime-Aws-Request-Id: " REQUEST_ID "\r\n"
                 "Lambda-Runtime-Deadline-Ms: %lld\r\n"
                 "Lambda-Runtime-Invoked-Function-Arn: "
                 "arn:aws:lambda:us-east-1:123456789012:function:bench\r\n"
                 "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;"
                 "Parent=9a9197af755a6419;Sampled=0\r\n"
                 "Date: Mon, 23 Nov 2026 12:00:00 GMT\r\n",
                 ((long long)now.tv_sec + 900) * 1000);
    if (chunked)
        bytes_format(&e.message, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", length);
    else
        bytes_format(&e.message, "Content-Length: %zu\r\n\r\n", length);
    bytes_append(&e.message, e.body.data, e.body.length);
    if (chunked)
        bytes_text(&e.message, "\r\n0\r\n\r\n");
    return e;
}

static void event_free(struct event *e) {
    bytes_free(&e->body);
    bytes_free(&e->message);
}

static void learn(struct learned *known, const struct incoming *in, const struct request *r) {
    known->message.length = 0;
    bytes_append(&known->message, in->data, in->length);
    known->head_length = r->chunked ? 0 : r->head_length;
}

/* Ends the run unless the last request is this one. */
static struct request expect(const struct program *p, const struct incoming *in, const char *method,
                             const char *target) {
    struct request r;
    if (request_parse(in->data, in->length, &r) != REQUEST_COMPLETE)
        die("void: %s sends an incomplete request", p->name);
    if (r.method_length != strlen(method) || memcmp(r.method, method, r.method_length) != 0 ||
        r.target_length != strlen(target) || memcmp(r.target, target, r.target_length) != 0)
        die("void: %s sends '%.*s %.*s' where %s %s is expected: %.*s", p->name,
            (int)r.method_length, r.method, (int)r.target_length, r.target, method, target,
            (int)(r.body.length < QUOTED_MAX ? r.body.length : QUOTED_MAX),
            r.body.length == 0 ? "" : r.body.data);
    return r;
}

/* The same bytes as those that were checked once need no other check. */
static bool is_known(const struct learned *known, const struct incoming *in) {
    return known->head_length != 0 && in->length == known->message.length &&
           memcmp(in->data, known->message.data, in->length) == 0;
}

static void check_poll(struct program *p) {
    if (is_known(&p->poll, &poll_in))
        return;
    struct request r = expect(p, &poll_in, "GET", "/2018-06-01/runtime/invocation/next");
    learn(&p->poll, &poll_in, &r);
    request_free(&r);
}

/* Byte for byte. */
static void check_response(struct program *p, const struct event *e) {
    if (is_known(&p->response, &response_in))
        return;
    struct request r =
        expect(p, &response_in, "POST", "/2018-06-01/runtime/invocation/" REQUEST_ID "/response");
    size_t same = 0;
    while (same < r.body.length && same < e->body.length && r.body.data[same] == e->body.data[same])
        same++;
    if (same < r.body.length || same < e->body.length)
        die("void: %s answers the event of %s%s with %zu bytes which are not its %zu: the first "
            "%zu are the same",
            p->name, e->name, e->chunked ? ", chunked," : "", r.body.length, e->body.length, same);
    learn(&p->response, &response_in, &r);
    request_free(&r);
}

static void send_or_die(const struct program *p, int fd, const struct bytes *message) {
    if (!send_all(fd, message->data, message->length))
        die("void: %s does not take what is sent:", p->name);
}

static void send_accepted(const struct program *p, int fd) {
    if (!send_all(fd, accepted, sizeof accepted - 1))
        die("void: %s does not take the 202:", p->name);
}

static int await_poll(struct program *p) {
    return receive(p, &p->poll, &poll_in);
}

/* From a poll received to the next one, whose connection is returned. While time runs nothing is
 * looked at but where a request ends; the checks come after. */
static int invoke(struct program *p, int polling, const struct event *e, uint64_t *elapsed) {
    uint64_t began = now_ns();
    send_or_die(p, polling, &e->message);
    int responding = receive(p, &p->response, &response_in);
    send_accepted(p, responding);
    polling = await_poll(p);
    *elapsed = now_ns() - began;
    check_response(p, e);
    check_poll(p);
    return polling;
}

/* Starts the program and returns the connection of its poll. */
static int warm_up(struct program *p, const struct event *e) {
    uint64_t elapsed;
    p->response.head_length = 0;
    p->one_connection = false;
    start(p, STDERR_FILENO); /* what it complains about is seen once */
    int polling = await_poll(p);
    check_poll(p);
    for (int i = 0; i < WARM_UP; i++)
        polling = invoke(p, polling, e, &elapsed);
    p->one_connection = p->connections_made == 1;
    return polling;
}

/* ---- Turns -------------------------------------------------------------------------------- */

/* A new order for each round, so that no program always follows the same other. */
static void shuffle(size_t *order) {
    static uint32_t random = 88172645;
    for (size_t i = 0; i < program_count; i++)
        order[i] = i;
    for (size_t i = program_count; i > 1; i--) {
        random = random * 1664525 + 1013904223;
        size_t other = (random >> 8) % i, last = order[i - 1];
        order[i - 1] = order[other];
        order[other] = last;
    }
}

/* ---- Cold --------------------------------------------------------------------------------- */

static void cold_start(struct program *p, const struct event *e, uint64_t *poll,
                       uint64_t *response) {
    uint64_t began = now_ns();
    start(p, null_fd);
    int polling = await_poll(p);
    *poll = now_ns() - began;
    send_or_die(p, polling, &e->message);
    receive(p, &p->response, &response_in);
    *response = now_ns() - began;
    stop(p);
    check_poll(p);
    check_response(p, e);
}

static void measure_cold(const struct event *e, unsigned starts) {
    size_t order[PROGRAMS_MAX];
    uint64_t poll, response;
    for (unsigned round = 0; round < starts; round++) {
        shuffle(order);
        for (size_t i = 0; i < program_count; i++) {
            struct program *p = &programs[order[i]];
            progress("cold starts: %u of %u, %s", round + 1, starts, p->name);
            cold_start(p, e, &poll, &response);
            keep(&p->first_poll, poll);
            keep(&p->first_response, response);
        }
    }
}

/* Whether no page of the file is in memory any more. Pages stay that another process has mapped
 * or that are still to be written. */
static bool drop_from_cache(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) < 0 || info.st_size == 0)
        die("%s:", path);
    fsync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    size_t length = (size_t)info.st_size, pages = (length + 4095) / 4096;
    void *mapping = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    unsigned char *resident = malloc(pages);
    bool dropped =
        mapping != MAP_FAILED && resident != NULL && mincore(mapping, length, resident) == 0;
    for (size_t i = 0; dropped && i < pages; i++)
        dropped = (resident[i] & 1) == 0;
    free(resident);
    if (mapping != MAP_FAILED)
        munmap(mapping, length);
    close(fd);
    return dropped;
}

/* The executable and, as far as no other process uses them, the files that it maps. */
static bool drop_program(const struct program *p) {
    for (size_t at = 0; at < p->files.length; at += strlen(p->files.data + at) + 1)
        drop_from_cache(p->files.data + at);
    return drop_from_cache(p->path);
}

static void measure_page_cold(const struct event *e, unsigned starts) {
    size_t order[PROGRAMS_MAX];
    uint64_t poll, response, spent[PROGRAMS_MAX] = {0};
    bool given_up[PROGRAMS_MAX] = {false};
    for (unsigned round = 0; round < starts; round++) {
        shuffle(order);
        for (size_t i = 0; i < program_count; i++) {
            struct program *p = &programs[order[i]];
            progress("starts from storage: %u of %u, %s", round + 1, starts, p->name);
            bool slow = (double)spent[order[i]] > page_cold_seconds * 1e9;
            if (given_up[order[i]] || (slow && round >= SLOW_PROGRAM_MIN))
                continue;
            given_up[order[i]] = !drop_program(p);
            if (given_up[order[i]])
                continue;
            cold_start(p, e, &poll, &response);
            keep(&p->page_cold_poll, poll);
            spent[order[i]] += poll;
        }
    }
}

/* ---- What the kernel knows about a program ------------------------------------------------ */

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

/* proc_pid_stat(5): the fields behind the name, which is in parentheses and may hold anything. */
struct process_stat {
    int group;
    unsigned long faults, children_faults, major_faults, children_major_faults;
    unsigned long user, system, children_user, children_system; /* ticks */
};

static bool read_stat(pid_t pid, struct process_stat *s) {
    char path[64];
    struct bytes text = {0};
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    const char *behind = read_file(path, &text) ? strrchr(text.data, ')') : NULL;
    bool read =
        behind != NULL &&
        sscanf(behind + 1, " %*c %*d %d %*d %*d %*d %*u %lu %lu %lu %lu %lu %lu %lu %lu", &s->group,
               &s->faults, &s->children_faults, &s->major_faults, &s->children_major_faults,
               &s->user, &s->system, &s->children_user, &s->children_system) == 9;
    bytes_free(&text);
    return read;
}

/* All processes of the program: a shell's curl is part of what the shell costs. */
static size_t list_group(pid_t group, pid_t pids[GROUP_MAX]) {
    size_t count = 0;
    struct process_stat s;
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        die("/proc:");
    for (struct dirent *entry; count < GROUP_MAX && (entry = readdir(proc)) != NULL;) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && read_stat(pid, &s) && s.group == group)
            pids[count++] = pid;
    }
    closedir(proc);
    return count;
}

static uint64_t page_faults(pid_t group) {
    pid_t pids[GROUP_MAX];
    struct process_stat s;
    uint64_t faults = 0;
    for (size_t count = list_group(group, pids); count > 0; count--)
        if (read_stat(pids[count - 1], &s))
            faults += s.faults + s.children_faults + s.major_faults + s.children_major_faults;
    return faults;
}

static uint64_t line_value(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

/* KiB that would be free again if the program ended; 0 where smaps_rollup cannot be read. */
static uint64_t private_memory(pid_t group) {
    pid_t pids[GROUP_MAX];
    uint64_t sum = 0;
    for (size_t count = list_group(group, pids); count > 0; count--) {
        char path[64];
        struct bytes text = {0};
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pids[count - 1]);
        if (read_file(path, &text))
            sum += line_value(text.data, "\nPrivate_Clean:") +
                   line_value(text.data, "\nPrivate_Dirty:");
        bytes_free(&text);
    }
    return sum;
}

static bool is_listed(const struct bytes *names, const char *name) {
    for (size_t at = 0; at < names->length; at += strlen(names->data + at) + 1)
        if (strcmp(names->data + at, name) == 0)
            return true;
    return false;
}

/* proc_pid_maps(5): the name is what begins at the line's first slash. */
static void list_mapped_files(pid_t pid, struct bytes *names) {
    char path[64];
    struct bytes text = {0};
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    if (!read_file(path, &text))
        die("%s:", path);
    for (char *line = text.data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        const char *name = strchr(line, '/');
        if (name != NULL && access(name, R_OK) == 0 && !is_listed(names, name))
            bytes_append(names, name, strlen(name) + 1);
    }
    bytes_free(&text);
}

static void list_files(struct program *p) {
    pid_t pids[GROUP_MAX];
    for (size_t count = list_group(p->pid, pids); count > 0; count--)
        list_mapped_files(pids[count - 1], &p->files);
}

static double file_length(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (double)info.st_size : 0;
}

static double files_length(const struct program *p) {
    double sum = is_listed(&p->files, p->path) ? 0 : file_length(p->path);
    for (size_t at = 0; at < p->files.length; at += strlen(p->files.data + at) + 1)
        sum += file_length(p->files.data + at);
    return sum;
}

/* Processor time of the program's first process so far, threads included, to the nanosecond. */
static uint64_t processor_ns(const struct program *p) {
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(p->pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
        die("the processor time of %s", p->name);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Of the processes that it has started and waited for, to the clock tick. */
static uint64_t reaped_children_ns(const struct program *p) {
    struct process_stat s = {0};
    if (!read_stat(p->pid, &s))
        die("/proc/%d/stat cannot be read", (int)p->pid);
    return (s.children_user + s.children_system) * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* ---- Figures ------------------------------------------------------------------------------ */

/* Everything that was measured; the tables, the files and the picture are made of these. */
static struct figure {
    const struct program *program;
    const char *group, *item, *name, *unit;
    double value;
} figures[PROGRAMS_MAX * 128];
static size_t figure_count;

static void add_figure(const struct program *p, const char *group, const char *item,
                       const char *name, const char *unit, double value) {
    if (figure_count == sizeof figures / sizeof figures[0])
        die("more figures than there is room for");
    figures[figure_count++] = (struct figure){p, group, item, name, unit, value};
}

static const struct figure *find_figure(const struct program *p, const char *group,
                                        const char *item, const char *name) {
    for (size_t i = 0; i < figure_count; i++) {
        const struct figure *f = &figures[i];
        if (f->program == p && strcmp(f->group, group) == 0 && strcmp(f->item, item) == 0 &&
            strcmp(f->name, name) == 0)
            return f;
    }
    return NULL;
}

/* 0 when there is nothing to compare with. */
static double ratio_to_floor(const struct figure *f) {
    const struct figure *floor =
        has_floor ? find_figure(&programs[0], f->group, f->item, f->name) : NULL;
    return floor == NULL || floor->value <= 0 ? 0 : f->value / floor->value;
}

static void add_percentiles(const struct program *p, const char *group, const char *item,
                            const struct samples *samples) {
    if (samples->count == 0)
        return;
    add_figure(p, group, item, "p50", "us", percentile(samples, 50));
    add_figure(p, group, item, "p90", "us", percentile(samples, 90));
    add_figure(p, group, item, "p99", "us", percentile(samples, 99));
}

static void add_cold_figures(void) {
    for (size_t i = 0; i < program_count; i++) {
        const struct program *p = &programs[i];
        add_percentiles(p, "cold", "first poll", &p->first_poll);
        add_percentiles(p, "cold", "first response", &p->first_response);
        add_percentiles(p, "cold", "first poll from storage", &p->page_cold_poll);
    }
}

/* ---- Noise -------------------------------------------------------------------------------- */

/* The floor against itself, its even runs to its odd ones: whatever is not 1 is the machine. */
static double self_ratio(const struct samples *s, size_t run) {
    struct samples half[2] = {{0}, {0}};
    for (size_t i = 0; i < s->count; i++)
        keep(&half[i / (run == 0 ? 1 : run) % 2], s->at[i]);
    double a = percentile(&half[0], 50), b = percentile(&half[1], 50);
    samples_free(&half[0]);
    samples_free(&half[1]);
    return a == 0 || b == 0 ? 1 : a > b ? a / b : b / a;
}

static double spread(const struct samples *s) {
    double p50 = percentile(s, 50);
    return p50 == 0 ? 1 : percentile(s, 90) / p50;
}

static void warn_of_noise(void) {
    const struct samples *s = &programs[0].first_poll;
    if (!has_floor)
        return;
    if (spread(s) > NOISY_SPREAD)
        warn("noisy machine: the floor's cold p90 is %.2f times its p50", spread(s));
    if (self_ratio(s, 1) > NOISY_COLD)
        warn("noisy machine: the floor's odd and even cold starts differ by %.1f %%",
             (self_ratio(s, 1) - 1) * 100);
}

/* ---- Warm --------------------------------------------------------------------------------- */

static uint64_t invoke_block(struct program *p, const struct event *e, int *polling) {
    uint64_t elapsed, sum = 0, before = processor_ns(p), after;
    for (int i = 0; i < BLOCK; i++, before = after) {
        *polling = invoke(p, *polling, e, &elapsed);
        after = processor_ns(p);
        keep(&p->latency, elapsed);
        keep(&p->processor, after - before);
        sum += elapsed;
    }
    return sum;
}

static void warm_rounds(const struct event *e, unsigned invocations, double seconds,
                        int polling[PROGRAMS_MAX]) {
    size_t order[PROGRAMS_MAX];
    uint64_t spent[PROGRAMS_MAX] = {0};
    for (unsigned done = 0; done < invocations; done += BLOCK) {
        shuffle(order);
        for (size_t i = 0; i < program_count; i++) {
            progress("events of %s%s, %s", e->name, e->chunked ? ", chunked" : "",
                     programs[order[i]].name);
            if ((double)spent[order[i]] <= seconds * 1e9)
                spent[order[i]] += invoke_block(&programs[order[i]], e, &polling[order[i]]);
        }
    }
}

static void warm_generation(const struct event *e, unsigned invocations, double seconds) {
    int polling[PROGRAMS_MAX];
    for (size_t i = 0; i < program_count; i++) {
        polling[i] = warm_up(&programs[i], e);
        programs[i].children_ns -= reaped_children_ns(&programs[i]);
    }
    warm_rounds(e, invocations, seconds, polling);
    for (size_t i = 0; i < program_count; i++) {
        programs[i].children_ns += reaped_children_ns(&programs[i]);
        stop(&programs[i]);
    }
}

static void add_warm_figures(struct program *p, const struct event *e) {
    const char *group = e->chunked ? "warm chunked" : "warm Content-Length";
    double children = (double)p->children_ns / 1000 / (double)p->latency.count;
    add_figure(p, group, e->name, "p50", "us", percentile(&p->latency, 50));
    add_figure(p, group, e->name, "p99", "us", percentile(&p->latency, 99));
    add_figure(p, group, e->name, "processor", "us", percentile(&p->processor, 50) + children);
    p->children_ns = 0;
    samples_free(&p->latency);
    samples_free(&p->processor);
}

static void measure_warm_case(const struct event *e, unsigned invocations, unsigned part) {
    unsigned generations = GENERATIONS / part;
    for (unsigned i = 0; i < generations; i++)
        warm_generation(e, invocations / GENERATIONS, warm_seconds / GENERATIONS);
    const struct samples *s = &programs[0].latency;
    double itself = self_ratio(s, s->count / generations);
    if (has_floor && itself > NOISY_WARM)
        warn("noisy machine: for events of %s%s the floor differs from itself by %.0f %%", e->name,
             e->chunked ? ", chunked" : "", (itself - 1) * 100);
    for (size_t i = 0; i < program_count; i++)
        add_warm_figures(&programs[i], e);
}

static void measure_warm(unsigned part) {
    for (int chunked = 0; chunked <= 1; chunked++)
        for (size_t i = 0; i < EVENT_CASES; i++) {
            const struct event_case *c = &event_cases[i];
            struct event e = make_event(c->name, c->length, chunked == 1);
            measure_warm_case(&e, c->invocations, part);
            event_free(&e);
        }
}

/* ---- Cost --------------------------------------------------------------------------------- */

enum { FOOTPRINTS = 15, SETTLE_MS = 10 };

struct footprint {
    struct samples faults, faults_with_event, memory; /* these are no times */
};

static double median(const struct samples *samples) {
    return percentile(samples, 50) * 1000;
}

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Bytes of a zip of this one file, as it would be deployed; 0 without zip(1). */
static double zip_length(const struct program *p) {
    char folder[] = "/tmp/bench-XXXXXX", zip[64];
    if (mkdtemp(folder) == NULL)
        die("%s:", folder);
    snprintf(zip, sizeof zip, "%s/function.zip", folder);
    char *arguments[] = {"zip", "-9", "-X", "-q", "-j", zip, p->path, NULL};
    char *environment[] = {p->environment[0], NULL};
    pid_t pid;
    if (posix_spawnp(&pid, "zip", NULL, NULL, arguments, environment) == 0)
        waitpid(pid, NULL, 0);
    double length = file_length(zip);
    unlink(zip);
    rmdir(folder);
    return length;
}

/* The pauses let the program arrive in its recv: its last page fault may come after its poll. */
static void measure_footprint(struct program *p, const struct event *e,
                              struct footprint *measured) {
    uint64_t elapsed;
    start(p, null_fd);
    int polling = await_poll(p);
    pause_ms(SETTLE_MS);
    keep(&measured->faults, page_faults(p->pid));
    invoke(p, polling, e, &elapsed);
    pause_ms(SETTLE_MS);
    keep(&measured->faults_with_event, page_faults(p->pid));
    keep(&measured->memory, private_memory(p->pid));
    stop(p);
}

/* Medians, because the kernel puts the stack at a random place in its page. */
static void measure_footprints(struct program *p, const struct event *e) {
    struct footprint measured = {0};
    for (int i = 0; i < FOOTPRINTS; i++)
        measure_footprint(p, e, &measured);
    add_figure(p, "cost", "to the first poll", "page faults", "", median(&measured.faults));
    add_figure(p, "cost", "after the first response", "page faults", "",
               median(&measured.faults_with_event));
    add_figure(p, "cost", "after the first response", "private memory", "KiB",
               median(&measured.memory));
    add_figure(p, "cost", "size", "executable", "bytes", file_length(p->path));
    add_figure(p, "cost", "size", "zip", "bytes", zip_length(p));
    add_figure(p, "cost", "size", "files in use", "bytes", files_length(p));
    samples_free(&measured.faults);
    samples_free(&measured.faults_with_event);
    samples_free(&measured.memory);
}

/* A process of its own counts, because only the tracer may wait for a traced program. */
static volatile unsigned long *traced_calls;

static void resume(pid_t pid, int status) {
    struct __ptrace_syscall_info info;
    int signal_number = WSTOPSIG(status), event = status >> 16;
    if (signal_number == (SIGTRAP | 0x80)) {
        if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof info, &info) > 0 &&
            info.op == PTRACE_SYSCALL_INFO_ENTRY)
            ++*traced_calls;
        signal_number = 0;
    } else if (event != 0 || signal_number == SIGSTOP || signal_number == SIGTRAP) {
        signal_number = 0; /* a new child's first stop, or ptrace's own news */
    }
    ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)signal_number);
}

__attribute__((noreturn)) static void trace(const struct program *p) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
            become(p, null_fd);
        _exit(127);
    }
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
    _exit(0);
}

/* The count once the program has come to rest in its poll. */
static double settled_calls(void) {
    unsigned long before;
    int tries = 20;
    do {
        before = *traced_calls;
        pause_ms(50);
    } while (*traced_calls != before && --tries > 0);
    return (double)*traced_calls;
}

/* Whether this machine lets a process trace another: some containers do not. */
static bool may_trace(void) {
    pid_t pid = fork();
    int status = 1;
    if (pid == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* Execution itself is not counted; the call in which the program waits is. */
static void measure_calls(struct program *p, const struct event *e) {
    uint64_t elapsed;
    *traced_calls = 0;
    p->one_connection = false;
    p->pid = fork();
    if (p->pid < 0)
        die("fork:");
    if (p->pid == 0)
        trace(p);
    int polling = await_poll(p);
    add_figure(p, "cost", "to the first poll", "system calls", "", settled_calls());
    polling = invoke(p, polling, e, &elapsed); /* the first one may do more */
    double before = settled_calls();
    for (int i = 0; i < TRACED_INVOCATIONS; i++)
        polling = invoke(p, polling, e, &elapsed);
    add_figure(p, "cost", "for each invocation", "system calls", "",
               (settled_calls() - before) / TRACED_INVOCATIONS);
    kill(p->pid, SIGKILL); /* PTRACE_O_EXITKILL: the program goes with its tracer */
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        continue;
    while (p->connection_count > 0)
        drop_connection(p, 0);
    p->pid = 0;
}

static void measure_cost(const struct event *e) {
    bool traceable = may_trace();
    if (!traceable)
        warn("ptrace is not permitted: no system calls are counted");
    traced_calls =
        mmap(NULL, sizeof *traced_calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (traced_calls == MAP_FAILED)
        die("shared memory:");
    for (size_t i = 0; i < program_count; i++) {
        progress("cost of %s", programs[i].name);
        measure_footprints(&programs[i], e);
        if (traceable)
            measure_calls(&programs[i], e);
    }
}

/* ---- Machine ------------------------------------------------------------------------------ */

static char machine[256], pinned[32], date[32], command[512];

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
    size_t at = 0;
    for (int i = 0; i < count && at < sizeof command; i++) {
        const char *slash = strrchr(arguments[i], '/'), *equals = strchr(arguments[i], '=');
        int name = slash != NULL && equals != NULL && equals < slash
                       ? (int)(equals - arguments[i]) + 1
                       : 0;
        int n = snprintf(command + at, sizeof command - at, "%s%.*s%s", i == 0 ? "" : " ", name,
                         arguments[i], slash == NULL ? arguments[i] : slash + 1);
        at += n < 0 ? 0 : (size_t)n;
    }
}

/* ---- Tables ------------------------------------------------------------------------------- */

enum { ROWS_MAX = 1 + PROGRAMS_MAX * EVENT_CASES * 2, COLUMNS_MAX = 12, CELL_MAX = 32 };

static struct table {
    char cell[ROWS_MAX][COLUMNS_MAX][CELL_MAX];
    size_t rows, columns;
} table;

static void begin_row(void) {
    table.rows++;
    table.columns = 0;
}

__attribute__((format(printf, 1, 2))) static void put_cell(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(table.cell[table.rows - 1][table.columns++], CELL_MAX, format, arguments);
    va_end(arguments);
}

static void begin_table(const char *title, const char *const *heads, size_t count) {
    printf("\n%s\n\n", title);
    memset(&table, 0, sizeof table);
    begin_row();
    for (size_t i = 0; i < count; i++)
        put_cell("%s", heads[i]);
}

/* Three significant digits are more than the machine's noise leaves. */
static void put_value(const struct figure *f) {
    if (f == NULL || (f->value == 0 && strcmp(f->name, "page faults") != 0))
        put_cell("-");
    else
        put_cell("%.*f", f->value < 100 && f->value != floor(f->value) ? 1 : 0, f->value);
}

static void put_ratio(const struct figure *f) {
    double ratio = f == NULL ? 0 : ratio_to_floor(f);
    if (ratio == 0)
        put_cell("-");
    else
        put_cell(ratio < 100 ? "%.2f" : "%.0f", ratio);
}

static int column_width(size_t column) {
    size_t width = 3;
    for (size_t row = 0; row < table.rows; row++) {
        size_t length = strlen(table.cell[row][column]);
        width = length > width ? length : width;
    }
    return (int)width;
}

/* Markdown that is aligned for the terminal too; the first column is text. */
static void end_table(void) {
    for (size_t row = 0; row < table.rows; row++) {
        for (size_t i = 0; i < table.columns; i++)
            printf(i == 0 ? "| %-*s " : "| %*s ", column_width(i), table.cell[row][i]);
        printf("|\n");
        for (size_t i = 0; row == 0 && i < table.columns; i++)
            printf(i == 0 ? "|%.*s" : "|%.*s:", column_width(i) + (i == 0 ? 2 : 1),
                   "----------------------------------------");
        printf(row == 0 ? "|\n" : "");
    }
}

static void put_percentiles(const struct program *p, const char *group, const char *item) {
    put_value(find_figure(p, group, item, "p50"));
    put_ratio(find_figure(p, group, item, "p50"));
    put_value(find_figure(p, group, item, "p90"));
    put_value(find_figure(p, group, item, "p99"));
}

static void print_cold(unsigned starts) {
    static const char *const heads[] = {"program", "first poll p50",     "x floor", "p90",
                                        "p99",     "first response p50", "x floor", "p90",
                                        "p99",     "from storage p50",   "x floor"};
    char title[160];
    snprintf(title, sizeof title,
             "Cold: microseconds from before vfork to the request received; %u starts", starts);
    begin_table(title, heads, sizeof heads / sizeof heads[0]);
    for (size_t i = 0; i < program_count; i++) {
        const struct program *p = &programs[i];
        begin_row();
        put_cell("%s", p->name);
        put_percentiles(p, "cold", "first poll");
        put_percentiles(p, "cold", "first response");
        put_value(find_figure(p, "cold", "first poll from storage", "p50"));
        put_ratio(find_figure(p, "cold", "first poll from storage", "p50"));
    }
    end_table();
}

static void print_warm_row(const struct program *p, const char *group, const char *item) {
    static const char *const names[] = {"p50", "p99", "processor"};
    begin_row();
    put_cell("%s%s", item, strstr(group, "chunked") != NULL ? ", chunked" : "");
    put_cell("%s", p->name);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        put_value(find_figure(p, group, item, names[i]));
        put_ratio(find_figure(p, group, item, names[i]));
    }
}

static void print_warm(void) {
    static const char *const heads[] = {"event", "program", "p50",       "x floor",
                                        "p99",   "x floor", "processor", "x floor"};
    static const char *const groups[] = {"warm Content-Length", "warm chunked"};
    begin_table("Warm: microseconds from the event's first byte to the next poll received; "
                "processor time for each invocation",
                heads, sizeof heads / sizeof heads[0]);
    for (size_t group = 0; group < 2; group++)
        for (size_t i = 0; i < EVENT_CASES; i++)
            for (size_t j = 0; j < program_count; j++)
                print_warm_row(&programs[j], groups[group], event_cases[i].name);
    end_table();
}

static void print_cost(void) {
    static const char *const heads[] = {"program",      "executable",  "zip",
                                        "files in use", "private KiB", "page faults",
                                        "with 1 event", "first poll",  "calls an invocation"};
    begin_table("Cost: bytes; private memory after the first response; page faults and system "
                "calls to the first poll",
                heads, sizeof heads / sizeof heads[0]);
    for (size_t i = 0; i < program_count; i++) {
        const struct program *p = &programs[i];
        begin_row();
        put_cell("%s", p->name);
        put_value(find_figure(p, "cost", "size", "executable"));
        put_value(find_figure(p, "cost", "size", "zip"));
        put_value(find_figure(p, "cost", "size", "files in use"));
        put_value(find_figure(p, "cost", "after the first response", "private memory"));
        put_value(find_figure(p, "cost", "to the first poll", "page faults"));
        put_value(find_figure(p, "cost", "after the first response", "page faults"));
        put_value(find_figure(p, "cost", "to the first poll", "system calls"));
        put_value(find_figure(p, "cost", "for each invocation", "system calls"));
    }
    end_table();
    puts("\nexecutable, zip: that one file. files in use: the executable with its interpreter and "
         "libraries, as mapped at the first poll.");
}

static void print_tables(unsigned starts) {
    const struct samples *s = &programs[0].first_poll;
    printf("%s, %s\n%s\n", machine, date, command);
    if (has_floor)
        printf("The floor against itself: odd to even starts %.3f, p90 to p50 %.2f\n",
               self_ratio(s, 1), spread(s));
    print_cold(starts);
    print_warm();
    print_cost();
}

/* ---- JSON and CSV ------------------------------------------------------------------------- */

static void json_member(struct bytes *to, const char *name, const char *value) {
    bytes_format(to, "\"%s\": ", name);
    json_string(to, value, strlen(value));
    bytes_text(to, ", ");
}

static void print_json(unsigned starts) {
    struct bytes to = {0};
    bytes_text(&to, "{");
    json_member(&to, "machine", machine);
    json_member(&to, "date", date);
    json_member(&to, "command", command);
    bytes_format(&to, "\"starts\": %u, \"figures\": [", starts);
    for (size_t i = 0; i < figure_count; i++) {
        const struct figure *f = &figures[i];
        bytes_text(&to, i == 0 ? "\n  {" : ",\n  {");
        json_member(&to, "program", f->program->name);
        json_member(&to, "group", f->group);
        json_member(&to, "item", f->item);
        json_member(&to, "figure", f->name);
        json_member(&to, "unit", f->unit);
        bytes_format(&to, "\"value\": %.3f, ", f->value);
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
        printf("%s,%s,%s,%s,%s,%.3f,", f->program->name, f->group, f->item, f->name, f->unit,
               f->value);
        printf(ratio == 0 ? "\n" : "%.3f\n", ratio);
    }
}

/* ---- Picture ------------------------------------------------------------------------------ */

enum {
    WIDTH = 920,
    LEFT = 150,     /* of the plots, behind the names */
    RIGHT = 130,    /* of the first plot, for its figures */
    RIDGE = 62,     /* row of the first plot */
    RIDGE_TOP = 46, /* highest density */
    BAR_ROW = 30,
    BAR_WIDTH = 250,
    BINS = 320,
    PLOT = WIDTH - LEFT - RIGHT - 30,
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

/* A logarithmic axis from `x` to `x + width`. */
struct axis {
    double low, high; /* logarithms */
    double x, width;
};

static double on_axis(const struct axis *a, double value) {
    return a->x + (log10(value) - a->low) / (a->high - a->low) * a->width;
}

static void svg_text(struct bytes *to, double x, double y, const char *classes, const char *text) {
    bytes_format(to, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, classes);
    for (; *text != '\0'; text++)
        if (*text == '&' || *text == '<' || *text == '>')
            bytes_format(to, "&#%d;", *text);
        else
            bytes_append(to, text, 1);
    bytes_text(to, "</text>\n");
}

static void svg_line(struct bytes *to, const char *class, double x1, double y1, double x2,
                     double y2) {
    bytes_format(to, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                 class, x1, y1, x2, y2);
}

static const char *readable_time(double us) {
    static char text[32];
    snprintf(text, sizeof text, us < 999.5 ? "%.3g \302\265s" : "%.3g ms",
             us < 999.5 ? us : us / 1000);
    return text;
}

/* Three digits. */
static const char *readable_size(double bytes) {
    static const char *const units[] = {"B", "KB", "MB", "GB"};
    static char text[32];
    size_t unit = 0;
    for (; bytes >= 999.5 && unit < 3; unit++)
        bytes /= 1000;
    snprintf(text, sizeof text, "%.3g %s", bytes, units[unit]);
    return text;
}

static const char *readable_kibibytes(double kibibytes) {
    static char text[32];
    snprintf(text, sizeof text, "%.0f KiB", kibibytes);
    return text;
}

/* Lines at 1, 2, 5 of each decade, or closer or wider as there is room. */
static void svg_grid(struct bytes *to, const struct axis *a, double top, double bottom,
                     const char *(*label)(double)) {
    double decade = a->width / (a->high - a->low);
    for (int power = (int)floor(a->low); power <= (int)ceil(a->high); power++)
        for (int digit = 1; digit <= 9; digit++) {
            double value = digit * pow(10, power), x = on_axis(a, value);
            bool wanted =
                digit == 1 || (decade > 130 && (digit == 2 || digit == 5)) || decade > 700;
            if (!wanted || log10(value) < a->low - 1e-9 || log10(value) > a->high + 1e-9)
                continue;
            svg_line(to, "grid", x, top, x, bottom);
            svg_text(to, x, bottom + 16, "soft small middle number", label(value));
        }
}

/* Densities in equal steps of the logarithm, smoothed a little, the highest 1. */
static void densities(const struct samples *s, const struct axis *a, double density[BINS]) {
    double count[BINS] = {0}, highest = 0;
    for (size_t i = 0; i < s->count; i++) {
        double at = (log10((double)s->at[i] / 1000) - a->low) / (a->high - a->low) * BINS;
        if (at >= 0 && at < BINS)
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

/* The floor is grey, and the first program beside it is the one this is all about. */
static int color_of(size_t program) {
    size_t place = has_floor ? program : program + 1;
    return (int)(place < 2 ? place : 2 + (place - 2) % 4);
}

static void svg_ridge(struct bytes *to, size_t index, const struct axis *a, double base) {
    const struct program *p = &programs[index];
    const struct figure *p50 = find_figure(p, "cold", "first poll", "p50");
    double density[BINS], p99 = percentile(&p->first_poll, 99), middle = on_axis(a, p50->value);
    char ratio[64];
    densities(&p->first_poll, a, density);
    bytes_format(to, "<path class=\"c%d\" d=\"M%.1f %.1f", color_of(index), a->x, base);
    for (int i = 0; i < BINS; i++)
        bytes_format(to, "L%.1f %.1f", a->x + (i + 0.5) * a->width / BINS,
                     base - density[i] * RIDGE_TOP);
    bytes_format(to, "L%.1f %.1fZ\"/>\n", a->x + a->width, base);
    svg_line(to, "grid", a->x, base, a->x + a->width, base);
    svg_line(to, "line", middle, base - RIDGE_TOP, middle, base + 4);
    if (log10(p99) <= a->high)
        bytes_format(to, "<circle class=\"ink\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>\n",
                     on_axis(a, p99), base);
    svg_text(to, LEFT - 14, base - 6, "ink name end", p->name);
    if (has_floor && index == 0)
        svg_text(to, LEFT - 14, base - 22, "soft small end", "not a runtime:");
    svg_text(to, WIDTH - 84, base - 6, "ink number end", readable_time(p50->value));
    double times = ratio_to_floor(p50);
    snprintf(ratio, sizeof ratio, times < 10 ? "%.2f\303\227" : "%.0f\303\227", times);
    if (has_floor)
        svg_text(to, WIDTH - 26, base - 6, "soft number end", ratio);
}

/* Tails are cut at p99.5, so that one hiccup does not squeeze all the rest. */
static struct axis cold_axis(void) {
    struct axis a = {.low = 99, .high = -99, .x = LEFT, .width = PLOT};
    for (size_t i = 0; i < program_count; i++) {
        const struct samples *s = &programs[i].first_poll;
        double low = log10(percentile(s, 1)), high = log10(percentile(s, 99));
        a.low = low < a.low ? low : a.low;
        a.high = high > a.high ? high : a.high;
    }
    double margin = (a.high - a.low) * 0.04 + 0.02;
    a.low -= margin;
    a.high += margin;
    return a;
}

static double svg_cold(struct bytes *to, double top, unsigned starts) {
    struct axis a = cold_axis();
    char text[160];
    double bottom = top + 26 + RIDGE * (double)program_count;
    svg_text(to, 26, top, "ink head", "Cold start");
    snprintf(text, sizeof text,
             "from just before vfork to the whole first poll received; %u starts in turns; "
             "line p50, dot p99",
             starts);
    svg_text(to, 110, top, "soft small", text);
    svg_text(to, WIDTH - 84, top + 18, "soft small end", "p50");
    if (has_floor)
        svg_text(to, WIDTH - 26, top + 18, "soft small end", "to floor");
    svg_grid(to, &a, top + 20, bottom, readable_time);
    for (size_t i = 0; i < program_count; i++)
        svg_ridge(to, i, &a, top + 26 + RIDGE * (double)(i + 1) - 8);
    return bottom + 30;
}

static double value_of(size_t program, const char *item, const char *name) {
    const struct figure *f = find_figure(&programs[program], "cost", item, name);
    return f == NULL ? 0 : f->value;
}

/* From the power of ten below the smallest to the largest. */
static struct axis bar_axis(const char *item, const char *name, double x, double width) {
    double low = 1e99, high = 1;
    for (size_t i = 0; i < program_count; i++) {
        double value = value_of(i, item, name);
        low = value > 0 && value < low ? value : low;
        high = value > high ? value : high;
    }
    struct axis a = {.low = floor(log10(low)), .high = log10(high), .x = x, .width = width};
    if (a.high - a.low < 1)
        a.high = a.low + 1;
    return a;
}

static void svg_bars(struct bytes *to, double x, double top, const char *title, const char *item,
                     const char *name, const char *(*label)(double)) {
    struct axis a = bar_axis(item, name, x, BAR_WIDTH);
    svg_text(to, x, top, "ink head", title);
    svg_grid(to, &a, top + 12, top + 18 + BAR_ROW * (double)program_count, label);
    for (size_t i = 0; i < program_count; i++) {
        double value = value_of(i, item, name), y = top + 20 + BAR_ROW * (double)i;
        double width = value <= 0 ? 0 : on_axis(&a, value) - x;
        if (value <= 0)
            continue;
        bytes_format(to,
                     "<rect class=\"c%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" "
                     "rx=\"2\"/>\n",
                     color_of(i), x, y, width + 2, BAR_ROW - 12);
        svg_text(to, x + width + 8, y + 13.5, "ink number", label(value));
    }
}

static double svg_costs(struct bytes *to, double top) {
    for (size_t i = 0; i < program_count; i++)
        svg_text(to, LEFT - 14, top + 20 + BAR_ROW * (double)i + 13.5, "ink name end",
                 programs[i].name);
    svg_bars(to, LEFT, top, "Executable, with its interpreter and libraries", "size",
             "files in use", readable_size);
    svg_bars(to, LEFT + 380, top, "Private memory after the first response",
             "after the first response", "private memory", readable_kibibytes);
    return top + 18 + BAR_ROW * (double)program_count + 44;
}

static void write_picture(const char *path, unsigned starts) {
    struct bytes body = {0}, svg = {0};
    double y = svg_cold(&body, 82, starts);
    y = svg_costs(&body, y + 24);
    svg_text(&body, 26, y, "soft small", machine);
    svg_text(&body, WIDTH - 26, y, "soft small end", date);
    svg_text(&body, 26, y + 16, "soft small", command);
    int height = (int)y + 38;
    bytes_format(&svg,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                 "height=\"%d\" role=\"img\">\n<title>Cold starts of Lambda runtimes</title>\n",
                 WIDTH, height, WIDTH, height);
    bytes_text(&svg, style);
    bytes_format(&svg, "<rect class=\"paper\" width=\"%d\" height=\"%d\" rx=\"10\"/>\n", WIDTH,
                 height);
    svg_text(&svg, 26, 42, "ink title", "A Lambda runtime's start, size and memory");
    svg_text(&svg, WIDTH - 26, 42, "soft small end", "all scales are logarithmic");
    bytes_append(&svg, body.data, body.length);
    bytes_text(&svg, "</svg>\n");
    FILE *file = fopen(path, "w");
    if (file == NULL || fwrite(svg.data, 1, svg.length, file) != svg.length || fclose(file) != 0)
        die("%s:", path);
    bytes_free(&body);
    bytes_free(&svg);
}

/* ---- Options ------------------------------------------------------------------------------ */

static const char help[] =
    "usage: bench [options] [NAME=]PROGRAM [[NAME=]PEER ...]\n"
    "  --floor PATH   the program that all figures are divided by: floor.c\n"
    "  --starts N     cold starts of each program (300)\n"
    "  --quick        a tenth of the work, to see that it works; nothing from storage\n"
    "  --cpu N        everything on processor N (the last one), or any: where the scheduler\n"
    "                 happens to place server and program changes warm figures by half or more\n"
    "  --json, --csv  all figures in that form instead of tables\n"
    "  --svg FILE     a picture as well\n"
    "Each program is started with AWS_LAMBDA_RUNTIME_API and must echo its events.\n";

struct options {
    const char *floor, *svg, *cpu;
    unsigned starts;
    bool quick, json, csv;
};

static unsigned parse_number(const char *option, const char *text, unsigned long most) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value > most)
        die("--%s %s: a number from 0 to %lu is expected", option, text, most);
    return (unsigned)value;
}

/* What is pinned here stays so in every program. */
static void pin(const char *choice) {
    cpu_set_t set;
    if (strcmp(choice, "any") == 0)
        return;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        die("sched_getaffinity:");
    unsigned processor = CPU_SETSIZE - 1;
    while (*choice == '\0' && !CPU_ISSET(processor, &set))
        processor--;
    if (*choice != '\0')
        processor = parse_number("cpu", choice, CPU_SETSIZE - 1);
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        die("--cpu %u:", processor);
    snprintf(pinned, sizeof pinned, ", all on processor %u", processor);
}

static void take_option(struct options *o, int option) {
    switch (option) {
    case 'f':
        o->floor = optarg;
        break;
    case 'n':
        o->starts = parse_number("starts", optarg, 100000);
        break;
    case 'q':
        o->quick = true;
        break;
    case 'p':
        o->cpu = optarg;
        break;
    case 'j':
        o->json = true;
        break;
    case 'c':
        o->csv = true;
        break;
    case 's':
        o->svg = optarg;
        break;
    default:
        fputs(help, option == 'h' ? stdout : stderr);
        exit(option == 'h' ? 0 : 2);
    }
}

static struct options parse_options(int count, char **arguments) {
    static const struct option names[] = {{"floor", required_argument, NULL, 'f'},
                                          {"starts", required_argument, NULL, 'n'},
                                          {"quick", no_argument, NULL, 'q'},
                                          {"cpu", required_argument, NULL, 'p'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"csv", no_argument, NULL, 'c'},
                                          {"svg", required_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct options o = {.starts = 300, .cpu = ""};
    for (int c; (c = getopt_long(count, arguments, "", names, NULL)) != -1;)
        take_option(&o, c);
    if (optind == count)
        die("a program is expected: see --help");
    if (o.starts < 1 || (o.json && o.csv))
        die("at least one start, and --json or --csv but not both, are expected");
    return o;
}

static void prepare(const struct options *o, int count, char **arguments) {
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        die("/dev/null, PR_SET_CHILD_SUBREAPER:");
    memset(&poll_in, 1, sizeof poll_in);
    memset(&response_in, 1, sizeof response_in);
    has_floor = o->floor != NULL;
    if (has_floor)
        add_program(o->floor);
    for (int i = optind; i < count; i++)
        add_program(arguments[i]);
}

static void warm_up_all(const struct event *e) {
    for (size_t i = 0; i < program_count; i++) {
        warm_up(&programs[i], e);
        list_files(&programs[i]);
        stop(&programs[i]);
    }
}

int main(int count, char **arguments) {
    describe_command(count, arguments); /* getopt changes the order */
    struct options o = parse_options(count, arguments);
    pin(o.cpu);
    describe_machine();
    unsigned part = o.quick ? QUICK : 1;
    prepare(&o, count, arguments);
    struct event small = make_event("16 B", 16, false);
    warm_up_all(&small);
    measure_cold(&small, (o.starts + part - 1) / part);
    if (!o.quick)
        measure_page_cold(&small, o.starts < PAGE_COLD_STARTS ? o.starts : PAGE_COLD_STARTS);
    add_cold_figures();
    warn_of_noise();
    measure_warm(part);
    warm_up_all(&small);
    measure_cost(&small);
    progress_end();
    if (o.json)
        print_json((o.starts + part - 1) / part);
    else if (o.csv)
        print_csv();
    else
        print_tables((o.starts + part - 1) / part);
    if (o.svg != NULL)
        write_picture(o.svg, (o.starts + part - 1) / part);
    event_free(&small);
    return 0;
}
