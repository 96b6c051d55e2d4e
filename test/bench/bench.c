/* bench.c - how fast a Lambda runtime starts and serves, and what it costs, on this machine.
 *
 * Plays Lambda for any executables that speak the Runtime API and echo their events, one after
 * the other in turns, and writes every sample as JSON; report.awk makes tables and a picture of that.
 *
 *   cold   from just before vfork() to the whole first poll received, and on to the whole first
 *          response, without the rest between them. Before each of these starts comes one of the
 *          floor that does not count: all follow the same predecessor, as a heavy one slows
 *          whoever comes next
 *   cost   page faults and private memory of the same starts; package, mapped files
 *   warm   from the first byte of an event sent to the whole next poll received; every response is
 *          compared byte for byte. The other programs are frozen meanwhile, as Lambda freezes them
 *
 * Beside each time stands the program's processor time, which moves far less with the load of the
 * machine, and how long it was ready to run while others had the processor. Where that moves a median,
 * there is a warning. A program that fails has the reason in place of its samples, and the others go on.
 *
 *   bench FLOOR [NAME=]PATH ...      bench --help
 *
 * Linux: /proc, epoll.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE 1
#include "../lambda/wire.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- Limits ------------------------------------------------------------------------------- */

enum {
    PROGRAMS_MAX = 14,          /* as many as a picture can show, two of them floors */
    ARGUMENTS_MAX = 16,         /* of one program */
    PROCESSES_MAX = 64,         /* of one program at a time */
    SLICE_MS = 100,             /* of the patience: how soon it is seen that a program ended */
    RECEIVED_MAX = 7 * 1048576, /* one request: Lambda's 6 MB and a generous head */
    QUOTED_MAX = 100,           /* of a body in a message */
    WARM_UP = 3,                /* invocations before the first that counts */
    BLOCK = 4,                  /* invocations of one program before it is another's turn */
    REST_MS = 2,                /* between two looks whether a program has come to rest */
    REST_LOOKS = 40,            /* at most: one with a timer never does */
    WARM_NS = 300000000, /* a slow program gets fewer invocations, so that a run with it ends */
    STARTS = 300,
    QUICK_STARTS = 30,
    PROCESSES = 10,      /* for each warm case: it is a process's luck where its pages lie */
    QUICK_PROCESSES = 6, /* the fewest that give their medians an interval */
    QUICK = 8,           /* --quick does this part of the invocations of each process */
};

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

static struct {
    const char *output;
    unsigned quick, starts, seed, patience, largest, events; /* starts 0: as usual */
} options = {"bench.json", 0, 0, 1, 10, UINT_MAX, UINT_MAX};

/* ---- Messages ----------------------------------------------------------------------------- */

static struct bytes warnings; /* JSON strings, each with a comma before it */

/* On stderr, and in the file. */
static void add_warning(const char *name, const char *what) {
    struct bytes text = {0};
    bytes_format(&text, "%s %s", name, what);
    fprintf(stderr, "bench: warning: %.*s\n", (int)text.length, text.data);
    bytes_text(&warnings, warnings.length == 0 ? "\n  " : ",\n  ");
    json_string(&warnings, text.data, text.length);
    bytes_free(&text);
}

/* ---- Samples ------------------------------------------------------------------------------ */

/* Times in nanoseconds, as a rule; in the order of measuring, as JSON: an array for each process. */
struct samples {
    struct bytes text;
    bool next_process;
};

/* What is measured of a program. The times of a case come first: they are RESPONSE in number. */
enum series { WALL, PROCESSOR, WAITING, RESPONSE, FAULTS, MEMORY, PACKAGE, MAPPED, SERIES };

/* Their names, behind that of the case for its times, and their units. */
static const char *const series_names[SERIES][2] = {
    [WALL] = {"", "ns"},
    [PROCESSOR] = {", processor time", "ns"},
    [WAITING] = {", waiting to run", "ns"},
    [RESPONSE] = {"first response", "ns"},
    [FAULTS] = {"page faults after a response", ""},
    [MEMORY] = {"private memory after a response", "KiB"},
    [PACKAGE] = {"package, zipped", "bytes"},
    [MAPPED] = {"files mapped", "bytes"}};

static uint64_t now_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* 0 instead of less than nothing. */
static uint64_t minus(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static void keep(struct samples *to, uint64_t sample) {
    const char *before = to->text.length == 0 ? "[" : to->next_process ? "], [" : ", ";
    bytes_format(&to->text, "%s%llu", before, (unsigned long long)sample);
    to->next_process = false;
}

/* ---- Files ----------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool read_proc(struct bytes *to, const char *format,
                                                            ...) {
    char path[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    return read_file(path, to);
}

/* ---- Programs ----------------------------------------------------------------------------- */

/* The first one is the floor. */
static struct program {
    const char *name;
    char *path, *folder; /* for as long as the bench runs */
    bool deployed;       /* all of the folder is the package, not the executable alone */
    char *arguments[ARGUMENTS_MAX + 1];
    char address[32];
    const char *when;    /* the reason for which it fails ends with that */
    pid_t pid;           /* 0 while it does not run; its process group has the same number */
    int listener, epoll; /* which has the listener and the program's connections */
    int polling;         /* the connection of its last poll; 0 before the first */
    unsigned silence;    /* slices since something was received or sent */
    struct samples samples[SERIES];
    uint64_t spent;   /* on the invocations of this process */
    char reason[512]; /* why there are no samples in the case at hand; empty otherwise */
    bool broken;      /* it never started */
} programs[PROGRAMS_MAX], *turn[PROGRAMS_MAX];

static size_t program_count;
static int null_fd, error_fd;
static char scratch[PATH_MAX]; /* the programs' TMPDIR */

/* A new order for each round, so that no program always follows the same other. */
static void shuffle(void) {
    for (size_t i = program_count; i > 1; i--) {
        size_t other = (size_t)random() % i;
        struct program *last = turn[i - 1];
        turn[i - 1] = turn[other];
        turn[other] = last;
    }
}

static int listen_in_slices(uint16_t *port) {
    struct timeval slice = {.tv_usec = SLICE_MS * 1000};
    int on = 1, fd = listen_on_loopback(port);
    /* An accepted socket begins with its listener's options (Linux). */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &slice, sizeof slice) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        err(1, "a port on 127.0.0.1");
    return fd;
}

/* false: errno says why. */
static bool watch(const struct program *p, int fd) {
    struct epoll_event readable = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &readable) == 0;
}

/* An executable, with arguments behind it; or a folder as it is deployed, with a bootstrap in it. */
static void set_path(struct program *p, char *text) {
    struct stat info;
    char path[PATH_MAX] = "";
    for (size_t i = 0; i < ARGUMENTS_MAX; i++)
        p->arguments[i] = strtok(i == 0 ? text : NULL, " ");
    if (p->arguments[0] != NULL) {
        p->deployed = stat(p->arguments[0], &info) == 0 && S_ISDIR(info.st_mode);
        snprintf(path, sizeof path, "%s%s", p->arguments[0], p->deployed ? "/bootstrap" : "");
    }
    p->path = realpath(path, NULL);
    if (p->path == NULL || access(p->path, X_OK) < 0)
        err(1, "'%s': expected an executable, a folder with bootstrap, or a peer of make", path);
    p->folder = dirname(strdup(p->path));
    p->arguments[0] = p->path;
}

static void add_program(char *argument) {
    if (program_count == PROGRAMS_MAX)
        errx(1, "%d programs at most", PROGRAMS_MAX);
    struct program *p = &programs[program_count];
    char *equals = strchr(argument, '=');
    set_path(p, equals == NULL ? argument : equals + 1);
    p->name = equals == NULL ? basename(p->path) : strndup(argument, (size_t)(equals - argument));
    for (const struct program *other = programs; other < p; other++)
        if (strcmp(other->name, p->name) == 0)
            errx(1, "two programs are called %s: NAME=PATH gives one another name", p->name);
    uint16_t port = 0;
    p->listener = listen_in_slices(&port);
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!watch(p, p->listener))
        err(1, "epoll");
    snprintf(p->address, sizeof p->address, "127.0.0.1:%u", port);
    turn[program_count++] = p;
}

/* ---- Failures ----------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;
static jmp_buf attempted;

static void interrupt(int number) {
    interrupted = number;
}

/* Ends the attempt at hand, for a reason to which it adds when that was. */
__attribute__((format(printf, 2, 3), noreturn)) static void fail(struct program *p,
                                                                 const char *format, ...) {
    char reason[448];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    snprintf(p->reason, sizeof p->reason, "%s %s", reason, p->when);
    longjmp(attempted, 1);
}

static void stop(struct program *);

/* Takes a step with a program, unless it has failed in this case already. Else its processes are
 * ended, and the others go on. What it said on stderr stands before the reason there. */
static bool attempt(struct program *p, void (*step)(struct program *)) {
    if (interrupted || p->reason[0] != '\0')
        return false;
    if (setjmp(attempted) == 0) {
        step(p);
        return true;
    }
    stop(p);
    if (!interrupted) {
        dprintf(error_fd, "-- %s %s\n", p->name, p->reason);
        add_warning(p->name, p->reason);
    }
    return false;
}

/* ---- Processes ---------------------------------------------------------------------------- */

/* What a runtime may want of a function in the cloud, and nothing of ours but where to find programs. */
static char api[64], task_root[PATH_MAX + 32], search[4096], temporary[PATH_MAX + 32];
static char *const environment[] = {api,
                                    task_root,
                                    search,
                                    temporary,
                                    "LANG=en_US.UTF-8",
                                    "TZ=:UTC",
                                    "_HANDLER=function.handler",
                                    "AWS_LAMBDA_FUNCTION_NAME=bench",
                                    "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
                                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
                                    "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
                                    "AWS_REGION=us-east-1",
                                    NULL};

/* The same for all programs, and little: it is part of what is measured. Lambda too starts a
 * program in its folder, as the leader of a process group. */
static void become(const struct program *p) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null_fd, STDIN_FILENO);
    dup2(null_fd, STDOUT_FILENO);
    dup2(error_fd, STDERR_FILENO);
    if (chdir(p->folder) == 0)
        execve(p->path, p->arguments, environment);
    perror(p->path);
    _exit(127);
}

/* Returns when that was. Linux lets the child of vfork call what it likes, as long as it never
 * returns from here. */
static uint64_t start(struct program *p) {
    snprintf(api, sizeof api, "AWS_LAMBDA_RUNTIME_API=%s", p->address);
    snprintf(task_root, sizeof task_root, "LAMBDA_TASK_ROOT=%s", p->folder);
    p->when = "before its first poll";
    uint64_t began = now_ns(CLOCK_MONOTONIC);
    p->pid = vfork();
    if (p->pid == 0)
        become(p);
    if (p->pid < 0)
        err(1, "vfork");
    return began;
}

/* What has left its process group, and whose parent is gone: it is ours, since prepare has made this
 * process the reaper. */
static void end_strays(void) {
    size_t ended;
    do {
        struct bytes text = {0};
        ended = 0;
        bool known = read_proc(&text, "/proc/%d/task/%d/children", (int)getpid(), (int)getpid());
        char *at = text.data;
        for (pid_t child; known && (child = (pid_t)strtol(at, &at, 10)) > 0;) {
            bool stray = true;
            for (size_t i = 0; i < program_count; i++)
                stray &= programs[i].pid != child;
            if (stray && kill(child, SIGKILL) == 0)
                ended += waitpid(child, NULL, 0) > 0;
        }
        bytes_free(&text);
    } while (ended > 0);
}

/* What it left in the queue must not be taken for the next process's poll; and what has ended has
 * closed its connections. */
static void stop(struct program *p) {
    struct epoll_event left;
    if (p->pid > 0)
        kill(-p->pid, SIGKILL);
    while (p->pid > 0 && (waitpid(-p->pid, NULL, 0) > 0 || errno == EINTR))
        continue;
    p->pid = p->polling = 0;
    p->silence = 0;
    end_strays();
    while (epoll_wait(p->epoll, &left, 1, 0) > 0)
        close(left.data.fd == p->listener ? accept(p->listener, NULL, NULL) : left.data.fd);
}

/* ---- Connections -------------------------------------------------------------------------- */

/* The event at hand, for all programs. */
static struct event {
    char label[32], when[64];
    struct bytes body, message; /* the message: head, framing and body */
} event;

static void expect_running(struct program *p) {
    int status;
    if (waitpid(p->pid, &status, WNOHANG) != p->pid)
        return;
    if (WIFSIGNALED(status))
        fail(p, "was ended by signal %d", WTERMSIG(status));
    fail(p, "ended with status %d", WEXITSTATUS(status));
}

/* After a slice in which nothing came. */
static void wait_on(struct program *p) {
    if (interrupted)
        longjmp(attempted, 1);
    expect_running(p);
    if (++p->silence >= options.patience * 1000 / SLICE_MS)
        fail(p, "is silent for %u s", options.patience);
}

/* A connection breaks a moment before it can be seen that its program ended. */
__attribute__((noreturn)) static void give_up(struct program *p, const char *what) {
    usleep(SLICE_MS * 1000);
    expect_running(p);
    fail(p, "%s", what);
}

/* A connection with something to read. A program may begin another one at any time. */
static int await_readable(struct program *p) {
    struct epoll_event ready;
    for (;;) {
        if (epoll_wait(p->epoll, &ready, 1, SLICE_MS) <= 0)
            wait_on(p);
        else if (ready.data.fd != p->listener)
            return ready.data.fd;
        else if (!watch(p, accept4(p->listener, NULL, NULL, SOCK_CLOEXEC)))
            fail(p, "cannot have another connection: %s", strerror(errno));
    }
}

/* Not for longer than the patience, even if the program never reads. */
static void send_or_fail(struct program *p, int fd, const char *data, size_t length) {
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            wait_on(p);
        } else if (n < 0) {
            give_up(p, "does not take what is sent");
        } else {
            data += n;
            length -= (size_t)n;
            p->silence = 0;
        }
    }
}

/* ---- Requests ----------------------------------------------------------------------------- */

/* What a program sends to us. */
enum kind { POLL, ANSWER, KINDS };

#define INVOCATION "/2018-06-01/runtime/invocation/"
#define REQUEST_ID "3d0f0b2a-5c1e-4e63-9d3b-6a1f2c7e8b90"

static const char *const expected[KINDS] = {"GET " INVOCATION "next ",
                                            "POST " INVOCATION REQUEST_ID "/response "};

/* The last request of each kind, and room for it: prepare touches every page. */
static struct incoming {
    char data[RECEIVED_MAX];
    size_t length;
    size_t head_length, end; /* head_length 0: not yet seen whole; end 0: chunked */
} incoming[KINDS];

/* Only where a request ends: time runs, and neither the checks nor the decoding belong to it. Of a head
 * alone nothing is decoded. No event has an end of line in it, so a chunked one ends with the first blank
 * line behind the head. */
static bool is_whole(struct program *p, struct incoming *in, int fd) {
    const char *blank = in->head_length > 0 ? NULL : memmem(in->data, in->length, "\r\n\r\n", 4);
    struct request head;
    if (blank != NULL) {
        in->head_length = (size_t)(blank - in->data) + 4;
        request_parse(in->data, in->head_length, &head);
        in->end = head.chunked ? 0 : in->head_length + head.content_length;
        if (head.expects_continue && in->length == in->head_length)
            send_or_fail(p, fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        request_free(&head);
    }
    if (in->head_length == 0 || in->end > 0)
        return in->head_length > 0 && in->length >= in->end;
    return in->length > in->head_length && memcmp(in->data + in->length - 4, "\r\n\r\n", 4) == 0;
}

/* The next request of the program, whole. Returns its connection. */
static int receive(struct program *p, enum kind kind) {
    struct incoming *in = &incoming[kind];
    int fd = -1;
    in->length = in->head_length = in->end = 0;
    while (in->length < RECEIVED_MAX) {
        if (in->length == 0)
            fd = await_readable(p);
        ssize_t n = recv(fd, in->data + in->length, RECEIVED_MAX - in->length, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            wait_on(p);
        } else if (n > 0) {
            in->length += (size_t)n;
            p->silence = 0;
            if (is_whole(p, in, fd))
                return fd;
        } else if (in->length > 0) {
            give_up(p, "broke off in the middle of a request");
        } else {
            close(fd);
        }
    }
    fail(p, "sends a request of more than %d bytes", RECEIVED_MAX);
}

static void await_poll(struct program *p) {
    p->polling = receive(p, POLL);
}

/* ---- Events ------------------------------------------------------------------------------- */

/* A JSON string of plain letters: whatever parses and prints it gives the same bytes back, where
 * an object's blanks are a matter of taste. */
static void make_body(struct bytes *body, size_t length) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    bytes_text(body, "\"");
    while (body->length < length - 1)
        bytes_append(body, &letters[random() % 64], 1);
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
    snprintf(event.label, sizeof event.label, "%s%s", c->name, chunked ? ", chunked" : "");
    snprintf(event.when, sizeof event.when, "in the event of %s", event.label);
    make_body(&event.body, c->length);
    make_message(&event.message, &event.body, chunked);
}

/* ---- Invocations -------------------------------------------------------------------------- */

/* Fails unless the last request is as it should be, a response byte for byte. */
static void check(struct program *p, enum kind kind) {
    const struct incoming *in = &incoming[kind];
    struct request r;
    enum request_reading reading = request_parse(in->data, in->length, &r);
    if (reading == REQUEST_MALFORMED)
        fail(p, "sends a malformed request: %s", r.wrong);
    if (reading != REQUEST_COMPLETE || r.length != in->length)
        fail(p, "sends something behind a request");
    if (strncmp(r.method, expected[kind], strlen(expected[kind])) != 0)
        fail(p, "sends '%.*s' where %sis expected: %.*s", (int)strcspn(r.method, "\r"), r.method,
             expected[kind], (int)(r.body.length < QUOTED_MAX ? r.body.length : QUOTED_MAX),
             r.body.length == 0 ? "" : r.body.data);
    if (kind == ANSWER && (r.body.length != event.body.length ||
                           memcmp(r.body.data, event.body.data, r.body.length) != 0))
        fail(p, "answers with %zu bytes that are not the %zu of the event", r.body.length,
             event.body.length);
    request_free(&r);
}

/* Nanoseconds from a poll received to the whole response and to the next poll; and how long the bench
 * itself was on a processor meanwhile. */
struct invocation {
    uint64_t response, wall, own;
};

static struct invocation invoke(struct program *p) {
    static const char accepted[] = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
                                   "Content-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";
    p->when = event.when;
    uint64_t own = now_ns(CLOCK_PROCESS_CPUTIME_ID), began = now_ns(CLOCK_MONOTONIC);
    send_or_fail(p, p->polling, event.message.data, event.message.length);
    int responding = receive(p, ANSWER);
    uint64_t response = now_ns(CLOCK_MONOTONIC) - began;
    send_or_fail(p, responding, accepted, sizeof accepted - 1);
    await_poll(p);
    uint64_t wall = now_ns(CLOCK_MONOTONIC) - began;
    own = now_ns(CLOCK_PROCESS_CPUTIME_ID) - own;
    check(p, ANSWER);
    check(p, POLL);
    return (struct invocation){response, wall, own};
}

/* ---- What the kernel knows about a program ------------------------------------------------ */

/* Nanoseconds on a processor, and ready to run without one; page faults; and whose they are: a program,
 * and what it has started: a shell's curl is part of what the shell costs. */
struct usage {
    uint64_t processor, waited, faults;
    pid_t pids[PROCESSES_MAX];
    size_t count;
};

/* What the children used that have ended comes in clock ticks, and all else to the nanosecond:
 * proc_pid_stat(5), the fields behind the name, which is in parentheses and may hold anything. */
static void add_process(pid_t pid, struct usage *sum) {
    unsigned long faults[4] = {0}, user = 0, system = 0;
    struct bytes text = {0};
    clockid_t clock;
    const char *behind =
        read_proc(&text, "/proc/%d/stat", (int)pid) ? strrchr(text.data, ')') : NULL;
    if (clock_getcpuclockid(pid, &clock) == 0)
        sum->processor += now_ns(clock);
    if (behind != NULL &&
        sscanf(behind + 1, " %*c %*d %*d %*d %*d %*d %*u %lu %lu %lu %lu %*u %*u %lu %lu",
               &faults[0], &faults[1], &faults[2], &faults[3], &user, &system) == 6)
        sum->processor += (user + system) * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
    sum->faults += faults[0] + faults[1] + faults[2] + faults[3];
    bytes_free(&text);
}

/* How long it waited, and which processes it has started. */
static void add_thread(pid_t pid, const char *thread, struct usage *sum) {
    struct bytes text = {0};
    unsigned long long waited = 0;
    pid_t child;
    if (read_proc(&text, "/proc/%d/task/%s/schedstat", (int)pid, thread))
        sscanf(text.data, "%*u %llu", &waited);
    sum->waited += waited;
    text.length = 0;
    if (read_proc(&text, "/proc/%d/task/%s/children", (int)pid, thread))
        for (char *at = text.data; (child = (pid_t)strtol(at, &at, 10)) > 0;)
            if (sum->count < PROCESSES_MAX)
                sum->pids[sum->count++] = child;
    bytes_free(&text);
}

/* One may end while it is looked at. */
static struct usage usage_of(const struct program *p) {
    struct usage sum = {.pids = {p->pid}, .count = 1};
    for (size_t i = 0; i < sum.count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/task", (int)sum.pids[i]);
        DIR *threads = opendir(path);
        add_process(sum.pids[i], &sum);
        for (struct dirent *entry; threads != NULL && (entry = readdir(threads)) != NULL;)
            if (entry->d_name[0] != '.')
                add_thread(sum.pids[i], entry->d_name, &sum);
        if (threads != NULL)
            closedir(threads);
    }
    return sum;
}

/* Once it waits and does nothing else. Right behind a poll it is still on its way into its recv, how
 * far is the scheduler's choice: figures of there would not repeat. */
static struct usage usage_at_rest(const struct program *p) {
    struct usage before, now = {0};
    int looks = 0;
    do {
        before = now;
        usleep(REST_MS * 1000);
        now = usage_of(p);
    } while (now.processor != before.processor && ++looks < REST_LOOKS);
    return now;
}

/* KiB that would be free again if they ended; 0 where smaps_rollup cannot be read. */
static uint64_t private_memory(const struct usage *of) {
    uint64_t sum = 0;
    for (size_t i = 0; i < of->count; i++)
        sum += memory_kib(of->pids[i], "smaps_rollup", "Private_");
    return sum;
}

/* The threads of one program wait for each other, and for us, when all are on one processor. So only
 * that part counts in which neither it nor the bench ran. */
static uint64_t lost(uint64_t wall, uint64_t processor, uint64_t own, uint64_t waited) {
    uint64_t rest = minus(wall, processor + own);
    return rest < waited ? rest : waited;
}

/* The first line that a command of the shell prints about $FILE, "" if none. In the programs' folder
 * for scratch. */
static const char *ask_shell(const char *command, const char *file) {
    static char line[512];
    setenv("FILE", file, 1);
    FILE *output = popen(command, "r");
    if (output == NULL || fgets(line, sizeof line, output) == NULL)
        line[0] = '\0';
    if (output != NULL)
        pclose(output);
    unsetenv("FILE");
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* ---- Results ------------------------------------------------------------------------------ */

static FILE *json;
static const char *before_result = "\n  ";
static bool needed_one_failed; /* the floor, or the first program beside it: what the run is for */

static void put_member(const char *before, const char *name, const char *value) {
    struct bytes text = {0};
    json_string(&text, value, strlen(value));
    fprintf(json, "%s\"%s\": %.*s", before, name, (int)text.length, text.data);
    bytes_free(&text);
}

/* The samples of each process in an array of their own; or why there are none. */
static void put_result(const struct program *p, const char *group, const char *item,
                       const char *unit, const struct samples *s) {
    if (s->text.length == 0 && p->reason[0] == '\0')
        return; /* interrupted, or there is nothing to measure it with */
    needed_one_failed |= p->reason[0] != '\0' && p - programs < 2;
    fputs(before_result, json);
    before_result = ",\n  ";
    put_member("{", "program", p->name);
    put_member(", ", "group", group);
    put_member(", ", "item", item);
    put_member(", ", "unit", unit);
    put_member(", ", "failed", p->reason);
    fprintf(json, ", \"samples\": [%.*s%s]}", (int)s->text.length, s->text.data,
            s->text.length > 0 ? "]" : "");
}

/* Of all programs, in the order of the tables. */
static void put_results(const char *group, const char *item, enum series first, enum series end) {
    char name[64];
    for (enum series series = first; series < end; series++) {
        snprintf(name, sizeof name, "%s%s", series < RESPONSE ? item : "", series_names[series][0]);
        for (size_t i = 0; i < program_count; i++)
            put_result(&programs[i], group, name, series_names[series][1],
                       &programs[i].samples[series]);
    }
}

static void begin_case(const char *name) {
    fprintf(stderr, "bench: %s\n", name);
    for (size_t i = 0; i < program_count; i++) {
        for (struct samples *s = programs[i].samples; s < programs[i].samples + SERIES; s++)
            bytes_free(&s->text);
        if (!programs[i].broken)
            programs[i].reason[0] = '\0';
    }
}

/* ---- Cold --------------------------------------------------------------------------------- */

/* Its first poll, too. */
static void start_and_check(struct program *p) {
    start(p);
    await_poll(p);
    check(p, POLL);
}

/* One that does not count: without a rest, in which others would have the caches. */
static void start_before(struct program *p) {
    start_and_check(p);
    invoke(p);
    stop(p);
}

static void cold_start(struct program *p) {
    uint64_t own = now_ns(CLOCK_PROCESS_CPUTIME_ID), began = start(p);
    await_poll(p);
    uint64_t wall = now_ns(CLOCK_MONOTONIC) - began;
    own = now_ns(CLOCK_PROCESS_CPUTIME_ID) - own;
    check(p, POLL);
    struct usage at_poll = usage_at_rest(p);
    struct invocation first = invoke(p);
    struct usage after = usage_at_rest(p);
    uint64_t memory = private_memory(&after);
    stop(p);
    keep(&p->samples[WALL], wall);
    keep(&p->samples[PROCESSOR], at_poll.processor);
    keep(&p->samples[WAITING], lost(wall, at_poll.processor, own, at_poll.waited));
    keep(&p->samples[RESPONSE], wall + first.response);
    keep(&p->samples[FAULTS], after.faults);
    keep(&p->samples[MEMORY], memory);
}

/* The first round is not counted: it brings the programs into the page cache. */
static void measure_cold(void) {
    begin_case("cold starts");
    for (unsigned round = 0; round <= options.starts && !interrupted; round++) {
        shuffle();
        for (size_t i = 0; i < program_count; i++) {
            if (turn[i]->reason[0] == '\0')
                attempt(&programs[0], start_before);
            attempt(turn[i], round > 0 ? cold_start : start_before);
        }
    }
    put_results("cold", "first poll", WALL, FAULTS);
    put_results("cost", "", FAULTS, PACKAGE);
    for (size_t i = 0; i < program_count; i++)
        programs[i].broken = programs[i].samples[WALL].text.length == 0;
}

/* ---- Cost --------------------------------------------------------------------------------- */

/* One file of those that are mapped in several places counts once. */
static void measure_mapped(struct program *p) {
    static const char command[] =
        "maps() { cat $1/maps; for child in $(cat $1/task/*/children); do maps /proc/$child; done; }; "
        "maps $FILE | sed -n 's|^[^/]*/|/|p' | sort -u | tr '\\n' '\\0' | "
        "xargs -0 stat -c %s 2>/dev/null | awk '{ sum += $1 } END { printf \"%.0f\", sum }'";
    char process[32];
    start_and_check(p);
    invoke(p);
    usage_at_rest(p);
    snprintf(process, sizeof process, "/proc/%d", (int)p->pid);
    keep(&p->samples[MAPPED], strtoull(ask_shell(command, process), NULL, 10));
    stop(p);
}

/* The package is the folder as it would be deployed, or the executable; without zip(1) there is none. */
static void measure_cost(struct program *p) {
    static const char zipped[] =
        "cd \"${FILE%/*}/\" && zip -9 -X -q -r \"$TMPDIR/package.zip\" \"${FILE##*/}\" -x ./version "
        "&& wc -c <\"$TMPDIR/package.zip\"; rm -f \"$TMPDIR/package.zip\"";
    char folder[PATH_MAX + 2];
    snprintf(folder, sizeof folder, "%s/.", p->folder);
    uint64_t length = strtoull(ask_shell(zipped, p->deployed ? folder : p->path), NULL, 10);
    if (length > 0)
        keep(&p->samples[PACKAGE], length);
    attempt(p, measure_mapped);
}

/* ---- Warm --------------------------------------------------------------------------------- */

/* Starts the program and leaves it polling, for its turns. */
static void warm_up(struct program *p) {
    start_and_check(p);
    for (int i = 0; i < WARM_UP; i++)
        invoke(p);
    p->spent = 0;
    kill(-p->pid, SIGSTOP);
}

/* Of the first invocation after the thaw nothing is kept: it finds the caches as others left them. */
static void invoke_block(struct program *p) {
    uint64_t wall = 0, own = 0;
    kill(-p->pid, SIGCONT);
    invoke(p);
    struct usage before = usage_of(p);
    for (int i = 0; i < BLOCK; i++) {
        struct invocation one = invoke(p);
        keep(&p->samples[WALL], one.wall);
        wall += one.wall;
        own += one.own;
    }
    struct usage after = usage_of(p);
    kill(-p->pid, SIGSTOP);
    p->spent += wall;
    /* Ticks come late, and the waiting of a child goes with it. */
    uint64_t processor = minus(after.processor, before.processor);
    uint64_t waited = minus(after.waited, before.waited);
    keep(&p->samples[PROCESSOR], processor / BLOCK);
    keep(&p->samples[WAITING], lost(wall, processor, own, waited) / BLOCK);
}

/* All programs in one process each, which take turns. */
static void measure_processes(unsigned invocations) {
    for (size_t i = 0; i < program_count; i++)
        attempt(&programs[i], warm_up);
    for (unsigned done = 0; done < invocations && !interrupted; done += BLOCK) {
        shuffle();
        for (size_t i = 0; i < program_count; i++)
            if (turn[i]->spent <= WARM_NS)
                attempt(turn[i], invoke_block);
    }
    for (size_t i = 0; i < program_count; i++) {
        for (struct samples *s = programs[i].samples; s < programs[i].samples + RESPONSE; s++)
            s->next_process = true;
        stop(&programs[i]);
    }
}

static void measure_warm_case(const struct event_case *c, bool chunked) {
    unsigned part = options.quick ? c->invocations / QUICK : c->invocations;
    set_event(c, chunked);
    begin_case(event.label);
    for (unsigned i = 0; i < (options.quick ? QUICK_PROCESSES : PROCESSES) && !interrupted; i++)
        measure_processes(part < 2 * BLOCK ? 2 * BLOCK : part);
    put_results(chunked ? "warm chunked" : "warm Content-Length", c->name, WALL, RESPONSE);
}

/* ---- Nothing but a conversation ----------------------------------------------------------- */

/* For others to count in, such as callgrind and strace: what SIGTERM ends, these still write down.
 * Memory is that of all processes, once they have come to rest. */
static void converse(struct program *p) {
    start_and_check(p);
    for (unsigned i = 0; i < options.events; i++)
        invoke(p);
    struct usage u = usage_at_rest(p);
    printf("%llu page faults, %llu KiB private\n", (unsigned long long)u.faults,
           (unsigned long long)private_memory(&u));
    kill(-p->pid, SIGTERM);
    waitpid(p->pid, NULL, 0);
    stop(p);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static const char method[] =
    "Cold: a process on this machine, from the page cache, from just before vfork to the whole request "
    "received. Warm: from the event's first byte sent to the whole next poll received, several "
    "processes; the other programs stopped. Processor time: of the program and its threads, once it "
    "waits; of its children too, in clock ticks once they have ended. Waiting to run: run-queue delay of "
    "all its threads, as far as others had the processor. Samples in the order of measuring, those of "
    "each process in an array.";

static struct bytes command; /* with a NUL */

static void begin_json(void) {
    static const char machine[] =
        "model=$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1) "
        "processors=$(getconf _NPROCESSORS_ONLN) "
        "ours=$(sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status); "
        "echo \"${model:-$(uname -m)}, $processors processors, $(uname -sr), all on processor $ours\"";
    put_member("{", "machine", ask_shell(machine, ""));
    put_member(", ", "date", ask_shell("date -u +%Y-%m-%d", ""));
    put_member(", ", "command", command.data);
    put_member(", ", "method", method);
    fputs(",\n \"programs\": [", json);
    for (const struct program *p = programs; p < programs + program_count; p++) {
        fputs(p == programs ? "\n  " : ",\n  ", json);
        put_member("{", "name", p->name);
        put_member(", ", "version",
                   p->deployed ? ask_shell("cat \"$FILE/version\" 2>/dev/null", p->folder) : "");
        fputs("}", json);
    }
    fputs("],\n \"results\": [", json);
}

static void end_json(void) {
    fprintf(json, "],\n \"warnings\": [%.*s\n]}\n", (int)warnings.length, warnings.data);
    bool written = !ferror(json);
    if (fclose(json) != 0 || !written)
        err(1, "writing %s", options.output);
}

/* ---- All measuring, in its order ---------------------------------------------------------- */

static void measure(void) {
    begin_json();
    measure_cold();
    begin_case("cost");
    for (size_t i = 0; i < program_count; i++)
        measure_cost(&programs[i]);
    put_results("cost", "", PACKAGE, SERIES);
    for (int chunked = 0; chunked <= 1; chunked++)
        for (size_t i = 0; i < EVENT_CASES && !interrupted; i++)
            if (event_cases[i].length <= options.largest)
                measure_warm_case(&event_cases[i], chunked == 1);
    if (interrupted)
        add_warning("bench", "was interrupted: the results are those until then");
    end_json();
}

/* ---- Options ------------------------------------------------------------------------------ */

static const char help[] =
    "usage: bench [options] [NAME=]FLOOR [NAME=]PATH ...\n"
    "  --output FILE  the JSON (bench.json); what the programs say is in FILE.stderr\n"
    "  --starts N     cold starts of each program (300; 30 with --quick)\n"
    "  --quick        a tenth of the default work\n"
    "  --largest N    leaves out events of more bytes\n"
    "  --seed N       for the order of turns (1)\n"
    "  --patience N   seconds after which a silent program is given up (10)\n"
    "  --events N     nothing but N events of 16 B; prints page faults and private memory\n"
    "The first program is what the others are compared with. PATH is an executable, perhaps with\n"
    "arguments behind it, 'node=/usr/bin/node /srv/index.js', or a folder as it is deployed, with a\n"
    "bootstrap and perhaps a file version. It is started in the executable's folder and must return\n"
    "each event (a JSON string) byte for byte. Private memory leaves out pages that others map too:\n"
    "measure while nothing else runs with the same libraries. Ctrl-C writes what there is. Start it\n"
    "with taskset -c N: where the scheduler happens to place server and program changes warm\n"
    "figures by half or more.\n";

static const struct choice {
    const char *name;
    unsigned *number, least, most; /* NULL: a text; 0 and 0: nothing behind it */
} choices[] = {{"output", NULL, 1, 1},
               {"quick", &options.quick, 0, 0},
               {"starts", &options.starts, 1, UINT_MAX},
               {"seed", &options.seed, 1, UINT_MAX},
               {"patience", &options.patience, 1, 3600},
               {"largest", &options.largest, 1, UINT_MAX},
               {"events", &options.events, 0, 1000000},
               {NULL}};

static void parse_value(const struct choice *c, const char *text) {
    char *end;
    if (text == NULL)
        errx(1, "--%s: a value is expected", c->name);
    unsigned long value = strtoul(text, &end, 10);
    if (c->number == NULL)
        options.output = text;
    else if (end == text || *end != '\0' || value < c->least || value > c->most)
        errx(1, "--%s %s: a number from %u to %u is expected", c->name, text, c->least, c->most);
    else
        *c->number = (unsigned)value;
}

/* Returns where the programs begin. */
static char **parse_options(char **at) {
    for (; *at != NULL && strncmp(*at, "--", 2) == 0; at++) {
        const struct choice *c = choices;
        if (strcmp(*at, "--help") == 0)
            exit(fputs(help, stdout) < 0);
        while (c->name != NULL && strcmp(*at + 2, c->name) != 0)
            c++;
        if (c->name == NULL)
            errx(1, "%s: no such option: see --help", *at);
        if (c->most == 0)
            *c->number = 1;
        else
            parse_value(c, *++at);
    }
    if (*at == NULL)
        errx(1, "a program is expected: see --help");
    if (options.starts == 0)
        options.starts = options.quick ? QUICK_STARTS : STARTS;
    return at;
}

/* However the bench ends: nothing is left behind. */
static void leave(void) {
    for (size_t i = 0; i < program_count; i++)
        stop(&programs[i]);
    ask_shell("rm -rf \"$FILE\"", scratch);
}

/* A second Ctrl-C ends it at once; the programs go with their parent. */
static void prepare(char **paths) {
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
    char errors[PATH_MAX];
    snprintf(errors, sizeof errors, "%s.stderr", options.output);
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    error_fd = STDERR_FILENO;
    if (options.events == UINT_MAX) {
        error_fd = open(errors, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
        json = fopen(options.output, "we");
        if (error_fd < 0 || json == NULL)
            err(1, "--output %s, and %s", options.output, errors);
    }
    snprintf(scratch, sizeof scratch, "%s/bench-XXXXXX", temporary_folder());
    if (null_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || mkdtemp(scratch) == NULL)
        err(1, "/dev/null, PR_SET_CHILD_SUBREAPER, a folder in %s", temporary_folder());
    memset(incoming, 1, sizeof incoming);
    atexit(leave);
    setenv("TMPDIR", scratch, 1);
    snprintf(temporary, sizeof temporary, "TMPDIR=%s", scratch);
    snprintf(search, sizeof search, "PATH=%s", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
    for (; *paths != NULL; paths++)
        add_program(*paths);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    srandom(options.seed);
    set_event(&event_cases[0], false);
}

int main(int count, char **arguments) {
    char **paths = parse_options(arguments + 1);
    for (int i = 0; i < count && arguments + i < paths; i++)
        bytes_format(&command, "%s%s", i == 0 ? "" : " ", arguments[i]);
    bytes_append(&command, "", 1);
    prepare(paths);
    if (options.events != UINT_MAX)
        return attempt(&programs[0], converse) ? 0 : 1;
    measure();
    return interrupted ? 128 + interrupted : needed_one_failed;
}
