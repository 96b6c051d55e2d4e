/* bench.c - how fast a Lambda runtime starts and serves, and what it costs, on this machine.
 *
 * Plays Lambda for any executables that speak the Runtime API and echo their events, one after
 * the other in turns, and writes every sample as JSON; report.c makes tables and a picture of that.
 *
 *   cold   from just before vfork() to the whole first poll received, and to the whole first
 *          response received. Before each of these starts comes one of the floor that does not
 *          count: all follow the same predecessor, as a heavy one slows whoever comes next
 *   warm   from the first byte of an event sent to the whole next poll received; every response is
 *          compared byte for byte. The other programs are frozen meanwhile, as Lambda freezes them
 *   cost   executable and package, private memory, page faults, system calls
 *
 * Beside each time stands the program's processor time, which moves far less with the load of the
 * machine, and how long it was ready to run and had no processor. Where that moves a median, there is
 * a warning. A program that fails has the reason in place of its samples, and the others go on.
 *
 *   bench --floor FLOOR [NAME=]PATH ...      bench --help
 *
 * First come the programs and Lambda's part in the conversation, then what is measured, then how
 * it is written. Linux: /proc, strace, sched_setaffinity.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE 1
#include "../lambda/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- Limits ------------------------------------------------------------------------------- */

enum {
    PROGRAMS_MAX = 14,          /* as many as a picture can show, two of them floors */
    ARGUMENTS_MAX = 16,         /* of one program */
    CONNECTIONS_MAX = 8,        /* that one program holds open at once; clients keep one or two */
    FILES_MAX = 1024,           /* that one program maps */
    SAMPLES_MAX = 2000,         /* of a kind: all invocations of a case, and the most --starts */
    SLICE_MS = 100,             /* of the patience: how soon it is seen that a program ended */
    RECEIVED_MAX = 7 * 1048576, /* one request: Lambda's 6 MB and a generous head */
    QUOTED_MAX = 100,           /* of a body in a message */
    WARM_UP = 3,                /* invocations before the first that counts */
    BLOCK = 4,                  /* invocations of one program before it is another's turn */
    FOOTPRINTS = 15,            /* processes whose memory and page faults are looked at */
    TRACED_INVOCATIONS = 10,
    SETTLE_MS = 10,        /* a program behind its poll has arrived in its recv by then */
    REST_MS = 50,          /* the same of a traced one */
    PROGRESS_US = 5000000, /* between two lines of progress */
    STARTS = 300,
    QUICK_STARTS = 30,
    PROCESSES = 10,      /* for each warm case: it is a process's luck where its pages lie */
    QUICK_PROCESSES = 6, /* the fewest that give their medians an interval */
    QUICK = 8,           /* --quick does this part of the invocations of each process */
};

/* A slow program gets fewer invocations, so that a run with it ends. */
static const uint64_t warm_ns = 300000000;

/* How much of a median may be waiting for a processor before there is a warning. */
static const double much_waiting = 0.03;

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
    const char *floor, *cpu, *output;
    unsigned starts, processes, seed, patience, largest, events, quick,
        help; /* starts 0: as usual */
} options = {.cpu = "last", .processes = PROCESSES, .seed = 1, .patience = 10, .largest = UINT_MAX};

/* ---- Messages ----------------------------------------------------------------------------- */

static struct bytes warnings; /* JSON strings, each with a comma before it */

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...) {
    int reason = errno;
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (format[strlen(format) - 1] == ':') /* asks for errno's text */
        fprintf(stderr, " %s", strerror(reason));
    fputc('\n', stderr);
    exit(1);
}

/* On stderr, and in the file. */
__attribute__((format(printf, 1, 2))) static void warn(const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "bench: warning: %s\n", text);
    bytes_text(&warnings, warnings.length == 0 ? "\n  " : ",\n  ");
    json_string(&warnings, text, strlen(text));
}

/* On long runs a line now and then. */
static void progress(const char *what, const char *name) {
    static uint64_t last;
    uint64_t now = now_us();
    if (last == 0 || now - last >= PROGRESS_US) {
        last = now;
        fprintf(stderr, "bench: %s, %s\n", what, name);
    }
}

/* ---- Samples ------------------------------------------------------------------------------ */

/* Times in nanoseconds, as a rule; in the order of measuring. */
struct samples {
    uint64_t at[SAMPLES_MAX];
    size_t count, ends[PROCESSES]; /* where those of each process end, if of several */
    size_t ended;
};

static uint64_t now_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void keep(struct samples *to, uint64_t sample) {
    if (to->count < SAMPLES_MAX)
        to->at[to->count++] = sample;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double median(struct samples copy) {
    qsort(copy.at, copy.count, sizeof copy.at[0], by_value);
    return (double)copy.at[(copy.count - 1) / 2];
}

/* ---- Programs ----------------------------------------------------------------------------- */

/* What a program sends to us. */
enum kind { POLL, RESPONSE, KINDS };

/* What is measured of a program in one case. */
struct measured {
    struct samples wall, response, processor, waited, lost;
};

struct program {
    const char *name;
    char *path, *folder, *package; /* for as long as the bench runs */
    char *arguments[ARGUMENTS_MAX + 1];
    char address[64], task_root[PATH_MAX + 32], errors[PATH_MAX];
    char *environment[13];
    int listener, error_fd;
    pid_t pid; /* 0 while it does not run; its process group has the same number */
    int connections[CONNECTIONS_MAX];
    size_t connection_count;
    unsigned connections_made;   /* since it was started */
    bool one_connection;         /* it kept to a single one so far: no need to look for others */
    bool spoiled;                /* this sample has waited for what no program does */
    bool forks;                  /* it is more than one process */
    int polling;                 /* the connection of its last poll; 0 before the first */
    unsigned silence;            /* slices since something was received */
    struct bytes checked[KINDS]; /* what it sent last that was found right, for the event at hand */
    char *files[FILES_MAX];      /* itself, and whatever it was seen to map */
    size_t file_count;
    struct measured measured;
    uint64_t spent;   /* on the invocations of this process */
    char reason[512]; /* why there are no samples in the case at hand; empty otherwise */
    bool broken;      /* for that reason in no case */
    bool failed;      /* in a case, be it but one */
};

static struct program programs[PROGRAMS_MAX], *turn[PROGRAMS_MAX];
static size_t program_count;
static int null_fd;
static char scratch[PATH_MAX]; /* the programs' TMPDIR */

/* A new order for each round, so that no program always follows the same other. */
static void shuffle(void) {
    static uint32_t random;
    random = random == 0 ? options.seed : random;
    for (size_t i = program_count; i > 1; i--) {
        random = random * 1664525 + 1013904223;
        size_t other = (random >> 8) % i;
        struct program *last = turn[i - 1];
        turn[i - 1] = turn[other];
        turn[other] = last;
    }
}

static int listen_with_patience(uint16_t *port) {
    struct timeval patience = {.tv_sec = options.patience}, slice = {.tv_usec = SLICE_MS * 1000};
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
    static char search[PATH_MAX], temporary[PATH_MAX + 8];
    const char *inherited = getenv("PATH");
    snprintf(search, sizeof search, "PATH=%s", inherited == NULL ? "/usr/bin:/bin" : inherited);
    snprintf(p->address, sizeof p->address, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:%u", port);
    snprintf(p->task_root, sizeof p->task_root, "LAMBDA_TASK_ROOT=%s", p->folder);
    snprintf(temporary, sizeof temporary, "TMPDIR=%s", scratch);
    char *variables[] = {search,
                         temporary,
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

/* An executable; or a folder as it is deployed, with a bootstrap in it. */
static void set_path(struct program *p, const char *path) {
    struct stat info;
    char joined[PATH_MAX];
    p->package = realpath(path, NULL);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode) &&
        snprintf(joined, sizeof joined, "%s/bootstrap", path) < (int)sizeof joined)
        path = joined;
    p->path = realpath(path, NULL);
    p->folder = realpath(path, NULL);
    if (p->path == NULL || p->folder == NULL || access(p->path, X_OK) < 0)
        die("%s: an executable file is expected, or a folder with a bootstrap:", path);
    char *last = strrchr(p->folder, '/');
    last[last == p->folder] = '\0'; /* the root keeps its slash */
}

/* Behind the path there may be arguments, unless the whole is a path. */
static void set_arguments(struct program *p, const char *text) {
    char *copy = strdup(text), *rest = copy, *word;
    size_t count = 0;
    if (access(text, F_OK) == 0)
        rest = NULL;
    while (rest != NULL && (word = strsep(&rest, " ")) != NULL)
        if (*word != '\0' && count < ARGUMENTS_MAX)
            p->arguments[count++] = word;
    set_path(p, count == 0 ? text : p->arguments[0]);
    p->arguments[0] = p->path;
}

static void set_errors(struct program *p) {
    p->error_fd = null_fd;
    if (options.events > 0)
        p->error_fd = STDERR_FILENO;
    else if (options.output != NULL) {
        snprintf(p->errors, sizeof p->errors, "%s.%s.stderr", options.output, p->name);
        p->error_fd = open(p->errors, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
        if (p->error_fd < 0)
            die("%s:", p->errors);
    }
}

static void add_program(const char *argument) {
    if (program_count == PROGRAMS_MAX)
        die("%d programs at most", PROGRAMS_MAX);
    struct program *p = &programs[program_count];
    const char *equals = strchr(argument, '=');
    const char *path = equals == NULL ? argument : equals + 1;
    if (*path == '\0' || equals == argument)
        die("%s: NAME=PATH is expected", argument);
    set_arguments(p, path);
    p->name =
        equals == NULL ? strrchr(p->path, '/') + 1 : strndup(argument, (size_t)(equals - argument));
    for (const struct program *other = programs; other < p; other++)
        if (strcmp(other->name, p->name) == 0)
            die("two programs are called %s: NAME=PATH gives one another name", p->name);
    set_errors(p);
    p->files[p->file_count++] = p->path;
    uint16_t port = 0;
    p->listener = listen_with_patience(&port);
    set_environment(p, port);
    turn[program_count++] = p;
}

/* ---- Failures ----------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;
static jmp_buf attempted;

static void interrupt(int number) {
    interrupted = number;
}

/* Ends the attempt at hand. */
__attribute__((format(printf, 2, 3), noreturn)) static void fail(struct program *p,
                                                                 const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(p->reason, sizeof p->reason, format, arguments);
    va_end(arguments);
    longjmp(attempted, 1);
}

static void stop(struct program *);

/* Takes a step with a program, unless it has failed in this case already. Else its processes are
 * ended, and the others go on. */
static bool attempt(struct program *p, void (*step)(struct program *)) {
    struct stat info;
    if (interrupted || p->reason[0] != '\0')
        return false;
    if (setjmp(attempted) == 0) {
        step(p);
        return true;
    }
    stop(p);
    bool told = *p->errors != '\0' && fstat(p->error_fd, &info) == 0 && info.st_size > 0;
    if (!interrupted)
        warn("%s %s%s%s", p->name, p->reason, told ? "; its stderr is in " : "",
             told ? p->errors : "");
    return false;
}

/* ---- Processes ---------------------------------------------------------------------------- */

static volatile int exec_error; /* the child shares its parent's memory until execve */

/* The same for all programs, and little: it is part of what is measured. Lambda too starts a
 * program in its folder, as the leader of a process group. */
static void become(const struct program *p, char **arguments) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null_fd, STDIN_FILENO);
    dup2(null_fd, STDOUT_FILENO);
    dup2(p->error_fd, STDERR_FILENO);
    if (chdir(p->folder) == 0)
        execvpe(arguments[0], arguments, p->environment);
    exec_error = errno;
    _exit(127);
}

/* Linux lets the child of vfork call what it likes, as long as it never returns from here. */
static void start(struct program *p, char **arguments) {
    exec_error = 0;
    p->pid = vfork();
    if (p->pid == 0)
        become(p, arguments);
    if (p->pid < 0)
        die("vfork:");
    errno = exec_error;
    if (errno != 0)
        fail(p, "cannot be started: %s, or what it names in its first line: %s", arguments[0],
             strerror(errno));
}

static void drop_connection(struct program *p, size_t index) {
    close(p->connections[index]);
    p->connections[index] = p->connections[--p->connection_count];
}

static bool is_program(pid_t pid) {
    bool found = false;
    for (size_t i = 0; i < program_count; i++)
        found |= programs[i].pid == pid;
    return found;
}

static size_t children_of(pid_t pid, long task, pid_t *children, size_t room);

/* What has left its process group, and whose parent is gone: it is ours, since prepare has made this
 * process the reaper. */
static void end_strays(void) {
    pid_t children[64];
    size_t count, ended;
    do {
        ended = 0;
        count = children_of(getpid(), getpid(), children, 64);
        for (size_t i = 0; i < count; i++)
            if (!is_program(children[i]) && kill(children[i], SIGKILL) == 0)
                ended += waitpid(children[i], NULL, 0) > 0;
    } while (ended > 0);
}

/* What it left in the queue must not be taken for the next process's poll. */
static void stop(struct program *p) {
    if (p->pid > 0)
        kill(-p->pid, SIGKILL);
    while (p->pid > 0 && (waitpid(-p->pid, NULL, 0) > 0 || errno == EINTR))
        continue;
    while (p->connection_count > 0)
        drop_connection(p, 0);
    while (poll(&(struct pollfd){.fd = p->listener, .events = POLLIN}, 1, 0) > 0)
        close(accept(p->listener, NULL, NULL));
    p->pid = p->polling = 0;
    p->connections_made = p->silence = 0;
    end_strays();
}

/* However the bench ends: nothing is left behind. */
static void leave(void) {
    struct stat info;
    for (size_t i = 0; i < program_count; i++) {
        stop(&programs[i]);
        if (*programs[i].errors != '\0' && fstat(programs[i].error_fd, &info) == 0 &&
            info.st_size == 0)
            unlink(programs[i].errors);
    }
    pid_t pid = fork();
    if (pid == 0)
        execlp("rm", "rm", "-rf", scratch, NULL);
    waitpid(pid, NULL, 0);
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

static void expect_running(struct program *p) {
    int status;
    if (waitpid(p->pid, &status, WNOHANG) != p->pid)
        return;
    if (WIFSIGNALED(status))
        fail(p, "was ended by signal %d %s", WTERMSIG(status), when(p));
    fail(p, "ended with status %d %s", WEXITSTATUS(status), when(p));
}

/* After a slice in which nothing came. */
static void wait_on(struct program *p) {
    if (interrupted)
        longjmp(attempted, 1);
    expect_running(p);
    if (++p->silence >= options.patience * 1000 / SLICE_MS)
        fail(p, "%s for %u s %s",
             p->connections_made > 0 ? "is silent" : "has not connected to AWS_LAMBDA_RUNTIME_API",
             options.patience, when(p));
}

/* A connection breaks a moment before it can be seen that its program ended. */
__attribute__((noreturn)) static void give_up(struct program *p, const char *what) {
    settle(SLICE_MS);
    expect_running(p);
    fail(p, "%s %s", what, when(p));
}

static void accept_connection(struct program *p) {
    int fd;
    while ((fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC)) < 0 &&
           (errno == EAGAIN || errno == EINTR))
        wait_on(p);
    if (fd < 0)
        die("accept:");
    if (p->connection_count == CONNECTIONS_MAX) {
        close(fd);
        fail(p, "holds more than %d connections open", CONNECTIONS_MAX);
    }
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

/* Where the only connection is silent there may be another by now. Then the sample does not count. */
static void look_for_connections(struct program *p) {
    wait_on(p);
    if (p->one_connection &&
        poll(&(struct pollfd){.fd = p->listener, .events = POLLIN}, 1, 0) > 0) {
        p->one_connection = false;
        p->spoiled = true;
    }
}

static void send_or_fail(struct program *p, int fd, const char *data, size_t length) {
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
    size_t head_length, end; /* head_length 0: not yet seen whole; end 0: chunked */
    size_t at;               /* chunks before this are whole */
} incoming[KINDS];

/* The value of a field in a head that is whole, NULL if it has none. */
static const char *field(const struct incoming *in, const char *name) {
    for (const char *at = in->data, *end = in->data + in->head_length;
         (at = memmem(at, (size_t)(end - at), "\r\n", 2)) != NULL; at += 2)
        if (strncasecmp(at + 2, name, strlen(name)) == 0)
            return at + 2 + strlen(name);
    return NULL;
}

/* Where the request ends, and the wish to be told to go on. */
static void read_head(struct program *p, struct incoming *in, int fd) {
    const char *length = field(in, "Content-Length:");
    in->at = in->head_length;
    if (field(in, "Transfer-Encoding:") == NULL)
        in->end = in->head_length + (length == NULL ? 0 : strtoul(length, NULL, 10));
    if (field(in, "Expect:") != NULL && in->length == in->head_length)
        send_or_fail(p, fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

/* Steps over the chunks that have come since. What is wrong with them is seen later. */
static bool are_chunks_whole(struct incoming *in) {
    for (;;) {
        const char *line = in->data + in->at;
        const char *end = memmem(line, in->length - in->at, "\r\n", 2);
        if (end == NULL)
            return false;
        size_t size = strtoul(line, NULL, 16), next = (size_t)(end - in->data) + 2 + size + 2;
        if (size == 0)
            return memmem(end, in->length - (size_t)(end - in->data), "\r\n\r\n", 4) != NULL;
        if (next > in->length)
            return false;
        in->at = next;
    }
}

/* Only where a request ends: time runs, and neither the checks nor the decoding belong to it. */
static bool is_whole(struct program *p, struct incoming *in, int fd) {
    const char *blank = in->head_length > 0 ? NULL : memmem(in->data, in->length, "\r\n\r\n", 4);
    if (blank != NULL) {
        in->head_length = (size_t)(blank - in->data) + 4;
        read_head(p, in, fd);
    }
    return in->head_length > 0 && (in->end != 0 ? in->length >= in->end : are_chunks_whole(in));
}

/* The next request of the program, whole. Returns its connection. */
static int receive(struct program *p, enum kind kind) {
    struct incoming *in = &incoming[kind];
    in->length = in->head_length = in->end = in->at = 0;
    size_t index = await_readable(p);
    while (in->length < RECEIVED_MAX - 1) { /* a NUL stays behind */
        int fd = p->connections[index];
        ssize_t n = recv(fd, in->data + in->length, RECEIVED_MAX - 1 - in->length, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            look_for_connections(p);
            index = in->length == 0 ? await_readable(p) : index;
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
        if (is_whole(p, in, fd))
            return fd;
    }
    fail(p, "sends a request of more than %d bytes", RECEIVED_MAX);
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
        programs[i].checked[RESPONSE].length = 0;
}

/* ---- Invocations -------------------------------------------------------------------------- */

/* Byte for byte. */
static void check_body(struct program *p, const struct bytes *body) {
    size_t same = 0;
    while (same < body->length && same < event.body.length &&
           body->data[same] == event.body.data[same])
        same++;
    if (same < body->length || same < event.body.length)
        fail(p,
             "answers the event of %s with %zu bytes which are not its %zu: the first %zu are the "
             "same",
             event.label, body->length, event.body.length, same);
}

/* Fails unless the last request is as it should be. The same bytes as those that were checked once
 * need no other check. */
static void check(struct program *p, enum kind kind) {
    const struct incoming *in = &incoming[kind];
    struct bytes *known = &p->checked[kind];
    if (known->length != 0 && in->length == known->length &&
        memcmp(in->data, known->data, in->length) == 0)
        return;
    struct request r;
    const char *method = expected[kind].method, *target = expected[kind].target;
    enum request_reading reading = request_parse(in->data, in->length, &r);
    if (reading == REQUEST_MALFORMED)
        fail(p, "sends a malformed request: %s", r.wrong);
    if (reading != REQUEST_COMPLETE || r.length != in->length)
        fail(p, "sends something behind a request");
    if (r.method_length != strlen(method) || memcmp(r.method, method, r.method_length) != 0 ||
        r.target_length != strlen(target) || memcmp(r.target, target, r.target_length) != 0)
        fail(p, "sends '%.*s %.*s' where %s %s is expected: %.*s", (int)r.method_length, r.method,
             (int)r.target_length, r.target, method, target,
             (int)(r.body.length < QUOTED_MAX ? r.body.length : QUOTED_MAX),
             r.body.length == 0 ? "" : r.body.data);
    if (kind == RESPONSE)
        check_body(p, &r.body);
    known->length = 0;
    bytes_append(known, in->data, in->length);
    request_free(&r);
}

/* Nanoseconds from a poll received to the next one. */
static uint64_t invoke(struct program *p) {
    static const char accepted[] = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
                                   "Content-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";
    uint64_t began = now_ns(CLOCK_MONOTONIC);
    send_or_fail(p, p->polling, event.message.data, event.message.length);
    int responding = receive(p, RESPONSE);
    send_or_fail(p, responding, accepted, sizeof accepted - 1);
    await_poll(p);
    uint64_t elapsed = now_ns(CLOCK_MONOTONIC) - began;
    check(p, RESPONSE);
    check(p, POLL);
    return elapsed;
}

/* Starts the program and leaves it polling. */
static void warm_up(struct program *p) {
    p->one_connection = false;
    start(p, p->arguments);
    await_poll(p);
    check(p, POLL);
    for (int i = 0; i < WARM_UP; i++)
        invoke(p);
    p->one_connection = p->connections_made == 1;
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

__attribute__((format(printf, 2, 3))) static bool read_proc(struct bytes *to, const char *format,
                                                            ...) {
    char path[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    return read_file(path, to);
}

/* KiB that would be free again if the process ended; 0 where smaps_rollup cannot be read. */
static uint64_t private_memory(pid_t pid) {
    struct bytes text = {0};
    unsigned long long clean = 0, dirty = 0;
    const char *at = read_proc(&text, "/proc/%d/smaps_rollup", (int)pid)
                         ? strstr(text.data, "\nPrivate_")
                         : NULL;
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
        fail(p, "maps more than %d files", FILES_MAX);
    p->files[p->file_count++] = copy;
}

/* proc_pid_maps(5): the name is what begins at the line's first slash. */
static void add_mapped_files(struct program *p, pid_t pid) {
    struct bytes text = {0};
    bool read = read_proc(&text, "/proc/%d/maps", (int)pid);
    for (char *line = text.data, *end; read && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        const char *name = strchr(line, '/');
        if (name != NULL && access(name, R_OK) == 0)
            add_file(p, name);
    }
    bytes_free(&text);
}

/* Those that it has now, of one of its threads; none where the kernel does not tell. */
static size_t children_of(pid_t pid, long task, pid_t *children, size_t room) {
    struct bytes text = {0};
    char *at;
    size_t count = 0;
    if (read_proc(&text, "/proc/%d/task/%ld/children", (int)pid, task))
        for (at = text.data; count < room && (children[count] = (pid_t)strtol(at, &at, 10)) > 0;)
            count++;
    bytes_free(&text);
    return count;
}

/* Nanoseconds on a processor, and ready to run without one; page faults. */
struct usage {
    uint64_t processor, waited, faults, private_kib, processes;
};

/* Of one process, without its threads' waiting. What its children used that have ended comes in clock
 * ticks, and all else to the nanosecond: proc_pid_stat(5), the fields behind the name, which is in
 * parentheses and may hold anything. */
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
    sum->processes++;
    bytes_free(&text);
}

/* A process and those that it has started: a shell's curl is part of what the shell costs. Memory and
 * files take longer to look at. One may end while it is looked at. */
static void look_at(struct program *p, pid_t pid, bool memory_too, struct usage *sum) {
    char path[64];
    pid_t children[64];
    add_process(pid, sum);
    if (memory_too) {
        sum->private_kib += private_memory(pid);
        add_mapped_files(p, pid);
    }
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
        struct bytes text = {0};
        unsigned long long waited = 0;
        long task = strtol(entry->d_name, NULL, 10);
        if (task > 0 && read_proc(&text, "/proc/%d/task/%ld/schedstat", (int)pid, task))
            sscanf(text.data, "%*u %llu", &waited);
        sum->waited += waited;
        bytes_free(&text);
        for (size_t n = task > 0 ? children_of(pid, task, children, 64) : 0; n > 0; n--)
            look_at(p, children[n - 1], memory_too, sum);
    }
    if (tasks != NULL)
        closedir(tasks);
}

static struct usage usage_of(struct program *p, bool memory_too) {
    struct usage sum = {0};
    look_at(p, p->pid, memory_too, &sum);
    return sum;
}

/* The threads of one program wait for each other, and for us, when all are on one processor. So only
 * that part counts in which neither it nor the bench ran. */
static uint64_t lost(uint64_t wall, uint64_t processor, uint64_t own, uint64_t waited) {
    uint64_t rest = wall > processor + own ? wall - processor - own : 0;
    return rest < waited ? rest : waited;
}

static double file_length(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (double)info.st_size : 0;
}

/* ---- Results ------------------------------------------------------------------------------ */

static struct bytes results; /* a JSON object for each program and item, each on a line */

static void add_member(struct bytes *to, const char *name, const char *value) {
    bytes_format(to, "\"%s\": ", name);
    json_string(to, value, strlen(value));
    bytes_text(to, ", ");
}

/* The samples of each process in an array of their own; or why there are none. */
static void add_result(const struct program *p, const char *group, const char *item,
                       const char *unit, const struct samples *s) {
    if (s->count == 0 && (p->reason[0] == '\0' || strstr(item, ", ") != NULL))
        return; /* interrupted; or it stands beside a time that has the reason */
    bytes_text(&results, results.length == 0 ? "\n  {" : ",\n  {");
    add_member(&results, "program", p->name);
    add_member(&results, "group", group);
    add_member(&results, "item", item);
    add_member(&results, "unit", unit);
    if (p->reason[0] != '\0')
        add_member(&results, "failed", p->reason);
    bytes_text(&results, "\"samples\": [[");
    for (size_t i = 0, process = 0; i < s->count; i++) {
        bool next = process < s->ended && i == s->ends[process] && i > 0;
        process += next;
        bytes_format(&results, "%s%llu",
                     i == 0 ? ""
                     : next ? "], ["
                            : ", ",
                     (unsigned long long)s->at[i]);
    }
    bytes_text(&results, "]]}");
}

static void add_count(const struct program *p, const char *item, const char *unit, double value) {
    struct samples one = {.at = {(uint64_t)(value + 0.5)}, .count = value > 0};
    add_result(p, "cost", item, unit, &one);
}

/* Says of the program that suffers that it does, by what it does to the figure that is shown. */
static void warn_of_waiting(const struct program *p, const char *what, const struct samples *wall,
                            const struct samples *waiting) {
    struct samples without = *wall;
    if (wall->count == 0)
        return;
    for (size_t i = 0; i < wall->count; i++)
        without.at[i] -= waiting->at[i];
    double part = 1 - median(without) / median(*wall);
    if (part > much_waiting)
        warn("%s: %.0f %% of its median %s is waiting for a processor that others had; look at its "
             "processor time",
             p->name, part * 100, what);
}

static void begin_case(struct program *p) {
    memset(&p->measured, 0, sizeof p->measured);
    p->spent = 0;
    p->failed |= p->reason[0] != '\0';
    if (!p->broken)
        p->reason[0] = '\0';
}

/* ---- Cold --------------------------------------------------------------------------------- */

static bool counts; /* the start at hand */

static void cold_start(struct program *p) {
    struct measured *m = &p->measured;
    struct usage at_poll = {0};
    clockid_t clock;
    p->spoiled = false;
    uint64_t own = now_ns(CLOCK_PROCESS_CPUTIME_ID), began = now_ns(CLOCK_MONOTONIC);
    start(p, p->arguments);
    await_poll(p);
    uint64_t polled = now_ns(CLOCK_MONOTONIC), own_at_poll = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (p->forks)
        at_poll = usage_of(p, false);
    else if (clock_getcpuclockid(p->pid, &clock) == 0)
        at_poll.processor = now_ns(clock);
    uint64_t own_to_look = now_ns(CLOCK_PROCESS_CPUTIME_ID) - own_at_poll;
    uint64_t looked = now_ns(CLOCK_MONOTONIC);
    send_or_fail(p, p->polling, event.message.data, event.message.length);
    receive(p, RESPONSE);
    uint64_t response = now_ns(CLOCK_MONOTONIC) - looked + polled - began;
    own = now_ns(CLOCK_PROCESS_CPUTIME_ID) - own - own_to_look;
    struct usage u = usage_of(p, false);
    stop(p);
    check(p, POLL);
    check(p, RESPONSE);
    if (!counts || p->spoiled)
        return;
    keep(&m->wall, polled - began);
    keep(&m->processor, at_poll.processor);
    keep(&m->response, response);
    keep(&m->waited, u.waited);
    keep(&m->lost, lost(response, u.processor, own, u.waited));
}

static void measure_cold(void) {
    static const char *const items[] = {"first poll", "first poll, processor time",
                                        "first response", "first response, waiting to run"};
    char round_of[64];
    for (unsigned round = 0; round < options.starts && !interrupted; round++) {
        snprintf(round_of, sizeof round_of, "cold starts: %u of %u", round + 1, options.starts);
        shuffle();
        for (size_t i = 0; i < program_count; i++) {
            progress(round_of, turn[i]->name);
            counts = false;
            if (turn[i]->reason[0] == '\0')
                attempt(&programs[0], cold_start);
            counts = true;
            attempt(turn[i], cold_start);
        }
    }
    for (size_t i = 0; i < program_count; i++) {
        const struct measured *m = &programs[i].measured;
        const struct samples *s[] = {&m->wall, &m->processor, &m->response, &m->waited};
        for (size_t j = 0; j < 4; j++)
            add_result(&programs[i], "cold", items[j], "ns", s[j]);
        warn_of_waiting(&programs[i], "start to the first response", &m->response, &m->lost);
    }
}

/* ---- Warm --------------------------------------------------------------------------------- */

static void freeze(struct program *p) {
    kill(-p->pid, SIGSTOP);
}

/* Of the first invocation after the thaw nothing is kept: it finds the caches as others left them. */
static void invoke_block(struct program *p) {
    struct measured *m = &p->measured;
    uint64_t wall = 0;
    size_t before = m->wall.count;
    kill(-p->pid, SIGCONT);
    invoke(p);
    p->spoiled = false;
    struct usage from = usage_of(p, false);
    uint64_t own = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < BLOCK; i++) {
        uint64_t elapsed = invoke(p);
        if (!p->spoiled)
            keep(&m->wall, elapsed);
        wall += elapsed;
    }
    own = now_ns(CLOCK_PROCESS_CPUTIME_ID) - own;
    struct usage to = usage_of(p, false);
    freeze(p);
    if (p->spoiled) {
        m->wall.count = before;
        return;
    }
    p->spent += wall;
    /* Ticks come late, and the waiting of a child goes with it. */
    to.processor -= to.processor < from.processor ? to.processor : from.processor;
    to.waited -= to.waited < from.waited ? to.waited : from.waited;
    keep(&m->processor, to.processor / BLOCK);
    keep(&m->waited, to.waited / BLOCK);
    while (m->lost.count < m->wall.count)
        keep(&m->lost, lost(wall, to.processor, own, to.waited) / BLOCK);
}

/* All programs in one process each, which take turns. */
static void measure_processes(unsigned invocations) {
    for (size_t i = 0; i < program_count; i++) {
        programs[i].spent = 0;
        if (attempt(&programs[i], warm_up))
            freeze(&programs[i]);
    }
    for (unsigned done = 0; done < invocations && !interrupted; done += BLOCK) {
        shuffle();
        for (size_t i = 0; i < program_count; i++) {
            progress(event.label, turn[i]->name);
            if (turn[i]->spent <= warm_ns)
                attempt(turn[i], invoke_block);
        }
    }
    for (size_t i = 0; i < program_count; i++) {
        struct measured *m = &programs[i].measured;
        struct samples *s[] = {&m->wall, &m->processor, &m->waited};
        for (size_t j = 0; j < 3; j++)
            s[j]->ends[s[j]->ended++] = s[j]->count;
        if (programs[i].pid != 0)
            stop(&programs[i]);
    }
}

static void measure_warm_case(const struct event_case *c, bool chunked) {
    char item[64], what[64];
    unsigned part = options.quick ? c->invocations / QUICK : c->invocations;
    set_event(c, chunked);
    for (size_t i = 0; i < program_count; i++)
        begin_case(&programs[i]);
    for (unsigned i = 0; i < options.processes && !interrupted; i++)
        measure_processes(part < 2 * BLOCK ? 2 * BLOCK : part);
    for (size_t i = 0; i < program_count; i++) {
        struct program *p = &programs[i];
        add_result(p, event.group, c->name, "ns", &p->measured.wall);
        snprintf(item, sizeof item, "%s, processor time", c->name);
        add_result(p, event.group, item, "ns", &p->measured.processor);
        snprintf(item, sizeof item, "%s, waiting to run", c->name);
        add_result(p, event.group, item, "ns", &p->measured.waited);
        snprintf(what, sizeof what, "time for an event of %s", event.label);
        warn_of_waiting(p, what, &p->measured.wall, &p->measured.lost);
    }
}

/* ---- Cost --------------------------------------------------------------------------------- */

/* Bytes of a zip of the executable, or of its folder, as it would be deployed; 0 without zip(1). */
static double package_length(const struct program *p) {
    double length = 0;
    setenv("PACKAGE", p->package, 1);
    setenv("SCRATCH", scratch, 1);
    FILE *output = popen(
        "cd \"$PACKAGE\" 2>/dev/null && set -- . || { cd \"${PACKAGE%/*}/\" && set -- \"$PACKAGE\"; }\n"
        "zip -9 -X -q -r $([ \"$1\" = . ] || echo -j) \"$SCRATCH/function.zip\" \"$1\" "
        "-x ./version 2>/dev/null && wc -c <\"$SCRATCH/function.zip\"; rm -f \"$SCRATCH/function.zip\"",
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
    add_count(p, "executable", "bytes", file_length(p->path));
    add_count(p, "package, zipped", "bytes", package_length(p));
    add_count(p, "files mapped", "bytes", mapped);
}

static struct samples faults, faults_with_event, memory; /* these are no times */

/* The pauses let the program arrive in its recv: its last page fault may come after its poll. */
static void measure_footprint(struct program *p) {
    start(p, p->arguments);
    await_poll(p);
    settle(SETTLE_MS);
    keep(&faults, usage_of(p, true).faults);
    invoke(p);
    settle(SETTLE_MS);
    struct usage after = usage_of(p, true);
    keep(&faults_with_event, after.faults);
    keep(&memory, after.private_kib);
    stop(p);
}

/* Several, because the kernel puts the stack at a random place in its page. */
static void measure_footprints(struct program *p) {
    faults.count = faults_with_event.count = memory.count = 0;
    for (int i = 0; i < FOOTPRINTS; i++)
        attempt(p, measure_footprint);
    add_result(p, "cost", "page faults to the first poll", "", &faults);
    add_result(p, "cost", "page faults after a response", "", &faults_with_event);
    add_result(p, "cost", "private memory after a response", "KiB", &memory);
}

/* ---- System calls ------------------------------------------------------------------------- */

/* Lines of strace that are calls, once the program has come to rest in its poll. */
static double settled_calls(const char *path) {
    double calls, before = -1;
    for (int tries = 20;; before = calls) {
        struct bytes text = {0};
        settle(REST_MS);
        calls = 0;
        read_file(path, &text);
        for (char *line = text.data, *end; line != NULL && (end = strchr(line, '\n')) != NULL;
             line = end + 1) {
            *end = '\0';
            calls += strstr(line, "resumed>") == NULL && strchr(line, '(') != NULL &&
                     strstr(line, "+++") == NULL && strstr(line, "---") == NULL;
        }
        bytes_free(&text);
        if (calls == before || --tries == 0)
            return calls;
    }
}

/* Execution itself is not counted; the call in which the program waits is, which strace writes down
 * when it returns. */
static void measure_calls(struct program *p) {
    static char path[PATH_MAX + 16];
    char *traced[ARGUMENTS_MAX + 8] = {"strace", "-f", "-qq", "-o", path};
    snprintf(path, sizeof path, "%s/calls", scratch);
    memcpy(traced + 5, p->arguments, sizeof p->arguments);
    start(p, traced);
    await_poll(p);
    double to_first_poll = settled_calls(path), before;
    invoke(p); /* the first one may do more */
    before = settled_calls(path);
    for (int i = 0; i < TRACED_INVOCATIONS; i++)
        invoke(p);
    double for_each = (settled_calls(path) - before) / (double)TRACED_INVOCATIONS;
    stop(p);
    add_count(p, "system calls to the first poll", "", to_first_poll);
    add_count(p, "system calls for each invocation", "", for_each);
}

/* ---- Nothing but a conversation ----------------------------------------------------------- */

/* For others to count in, such as callgrind and strace: what SIGTERM ends, these still write down.
 * Memory is that of all processes, once they have come to rest. */
static void converse(struct program *p) {
    struct usage before, now = {0};
    start(p, p->arguments);
    await_poll(p);
    for (unsigned i = 0; i < options.events - 1; i++)
        invoke(p);
    do {
        before = now;
        settle(REST_MS);
        now = usage_of(p, true);
    } while (now.faults != before.faults || now.private_kib != before.private_kib);
    printf("%llu page faults, %llu KiB private\n", (unsigned long long)now.faults,
           (unsigned long long)now.private_kib);
    kill(-p->pid, SIGTERM);
    waitpid(p->pid, NULL, 0);
    stop(p);
}

/* ---- All measuring, in its order ---------------------------------------------------------- */

static void measure_cost(void) {
    for (size_t i = 0; i < program_count && !interrupted; i++) {
        struct program *p = &programs[i];
        progress("cost", p->name);
        begin_case(p);
        add_sizes(p);
        measure_footprints(p);
        if (!attempt(p, measure_calls)) {
            add_count(p, "system calls to the first poll", "", 0);
            add_count(p, "system calls for each invocation", "", 0);
        }
    }
}

static void make_acquaintance(struct program *p) {
    warm_up(p);
    p->forks = usage_of(p, true).processes > 1;
    stop(p);
}

static void measure(void) {
    set_event(&event_cases[0], false);
    for (size_t i = 0; i < program_count; i++)
        programs[i].broken = !attempt(&programs[i], make_acquaintance);
    measure_cold();
    for (int chunked = 0; chunked <= 1; chunked++)
        for (size_t i = 0; i < EVENT_CASES && !interrupted; i++)
            if (event_cases[i].length <= options.largest)
                measure_warm_case(&event_cases[i], chunked == 1);
    set_event(&event_cases[0], false);
    measure_cost();
}

/* ---- Machine ------------------------------------------------------------------------------ */

static char machine[320], pinned[32], date[32];
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

/* ---- JSON --------------------------------------------------------------------------------- */

static const char method[] =
    "Cold: a process on this machine, from the page cache, from just before vfork to the whole request "
    "received. Warm: from the event's first byte sent to the whole next poll received, several "
    "processes; the other programs stopped. Processor time: of the program and its threads; of its "
    "children too, in clock ticks once they have ended. Waiting to run: run-queue delay, all threads "
    "added. Samples in the order of measuring, those of each process in an array.";

static void add_programs(struct bytes *to) {
    for (size_t i = 0; i < program_count; i++) {
        char path[PATH_MAX];
        struct bytes version = {0};
        snprintf(path, sizeof path, "%s/version", programs[i].package);
        if (read_file(path, &version))
            version.data[strcspn(version.data, "\n")] = '\0';
        bytes_text(to, i == 0 ? "\n  {" : ",\n  {");
        add_member(to, "name", programs[i].name);
        bytes_text(to, "\"version\": ");
        json_string(to, version.data, version.data == NULL ? 0 : strlen(version.data));
        bytes_text(to, "}");
        bytes_free(&version);
    }
}

static void write_json(void) {
    struct bytes to = {0};
    bytes_text(&to, "{");
    add_member(&to, "machine", machine);
    add_member(&to, "date", date);
    add_member(&to, "command", command.data);
    add_member(&to, "method", method);
    add_member(&to, "floor", options.floor == NULL ? "" : programs[0].name);
    bytes_format(&to, "\"starts\": %u, \"processes\": %u, \"seed\": %u,\n \"programs\": [",
                 options.starts, options.processes, options.seed);
    add_programs(&to);
    bytes_text(&to, "],\n \"warnings\": [");
    bytes_append(&to, warnings.data, warnings.length);
    bytes_text(&to, "],\n \"results\": [");
    bytes_append(&to, results.data, results.length);
    bytes_text(&to, "\n]}\n");
    FILE *file = options.output == NULL ? stdout : fopen(options.output, "w");
    bool written = file != NULL && fwrite(to.data, 1, to.length, file) == to.length;
    if (file == NULL || fclose(file) != 0 || !written)
        die("writing %s:", options.output == NULL ? "to stdout" : options.output);
    bytes_free(&to);
}

/* ---- Options ------------------------------------------------------------------------------ */

static const char help[] =
    "usage: bench [options] [NAME=]PATH [[NAME=]PATH ...]\n"
    "  --floor PATH   the program that the others are compared with: floor.c\n"
    "  --output FILE  the JSON, instead of to stdout; FILE.NAME.stderr is what a program says\n"
    "  --starts N     cold starts of each program (300; 30 with --quick)\n"
    "  --quick        a tenth of the default work\n"
    "  --largest N    leaves out events of more bytes\n"
    "  --seed N       for the order of turns (1)\n"
    "  --cpu N        everything on processor N (the last one), or any: where the scheduler\n"
    "                 happens to place server and program changes warm figures by half or more\n"
    "  --patience N   seconds after which a silent program is given up (10)\n"
    "  --events N     nothing but N events of 16 B; prints page faults and private memory\n"
    "PATH is an executable, perhaps with arguments behind it: 'node=/usr/bin/node /srv/index.js'; or\n"
    "a folder as it is deployed, with a bootstrap in it, and a file version. It is started in the\n"
    "executable's folder, with PATH and AWS_LAMBDA_RUNTIME_API, and must return each event (a JSON\n"
    "string) byte for byte. Private memory leaves out pages that any other process maps too: measure\n"
    "while nothing else runs with the same libraries. Ctrl-C writes what there is.\n";

static unsigned parse_number(const char *option, const char *text, unsigned long least,
                             unsigned long most) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < least || value > most)
        die("--%s %s: a number from %lu to %lu is expected", option, text, least, most);
    return (unsigned)value;
}

static const struct {
    const char *name, **text; /* or a number */
    unsigned *number, least, most;
} choices[] = {{"floor", &options.floor, NULL, 0, 0},
               {"output", &options.output, NULL, 0, 0},
               {"cpu", &options.cpu, NULL, 0, 0},
               {"starts", NULL, &options.starts, 1, SAMPLES_MAX},
               {"seed", NULL, &options.seed, 1, UINT_MAX},
               {"patience", NULL, &options.patience, 1, 3600},
               {"largest", NULL, &options.largest, 1, UINT_MAX},
               {"events", NULL, &options.events, 0, 1000000},
               {"quick", NULL, &options.quick, 0, 0},
               {"help", NULL, &options.help, 0, 0}};

/* Returns where the programs begin. */
static char **parse_options(char **at) {
    for (; *at != NULL && strncmp(*at, "--", 2) == 0; at++) {
        size_t i = 0, known = sizeof choices / sizeof choices[0];
        while (i < known && strcmp(*at + 2, choices[i].name) != 0)
            i++;
        if (i == known)
            die("%s: no such option: see --help", *at);
        bool flag = choices[i].text == NULL && choices[i].most == 0;
        if (!flag && *++at == NULL)
            die("--%s: a value is expected", choices[i].name);
        if (flag)
            *choices[i].number = 1;
        else if (choices[i].text != NULL)
            *choices[i].text = *at;
        else
            *choices[i].number =
                parse_number(choices[i].name, *at, choices[i].least, choices[i].most);
        if (choices[i].number == &options.events)
            options.events++; /* 0 means that it was not given */
    }
    if (options.help && fputs(help, stdout) >= 0)
        exit(0);
    if (*at == NULL)
        die("a program is expected: see --help");
    if (options.starts == 0)
        options.starts = options.quick ? QUICK_STARTS : STARTS;
    if (options.quick)
        options.processes = QUICK_PROCESSES;
    FILE *file = options.output == NULL ? NULL : fopen(options.output, "a"); /* it stays as it is */
    if (options.output != NULL && (file == NULL || fclose(file) != 0))
        die("--output %s:", options.output);
    return at;
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

/* A second Ctrl-C ends it at once; the programs go with their parent. */
static void prepare(char **paths) {
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    snprintf(scratch, sizeof scratch, "%s/bench-XXXXXX", temporary_folder());
    if (null_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || mkdtemp(scratch) == NULL)
        die("/dev/null, PR_SET_CHILD_SUBREAPER, a folder in %s:", temporary_folder());
    memset(incoming, 1, sizeof incoming);
    for (int i = 0; i < KINDS; i++)
        incoming[i].data[RECEIVED_MAX - 1] = '\0';
    atexit(leave);
    if (options.floor != NULL)
        add_program(options.floor);
    for (; *paths != NULL; paths++)
        add_program(*paths);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* The floor and the first program beside it have to be there: it is what the run is for. */
static int verdict(void) {
    bool failed = false;
    for (size_t i = 0; i < program_count && i < (options.floor == NULL ? 1 : 2); i++)
        failed |= programs[i].failed;
    return interrupted ? 128 + interrupted : failed;
}

int main(int count, char **arguments) {
    describe_command(count, arguments);
    arguments = parse_options(arguments + 1);
    pin(options.cpu);
    describe_machine();
    prepare(arguments);
    if (options.events > 0) {
        set_event(&event_cases[0], false);
        return attempt(&programs[0], converse) ? 0 : 1;
    }
    measure();
    if (interrupted)
        warn("interrupted: the results are those until then");
    write_json();
    return verdict();
}
