/* faults.c - every system call of bootstrap.c fails in every way that it tells apart, one place at
 * a time, through a whole run of nine invocations.
 *
 * Beneath the runtime lies a model: sockets that are arrays of bytes, and a Lambda that keeps the
 * state machine of the Runtime API: the same event again while it has no answer, 403 for a second
 * answer, nothing but 403 after an answer that broke off within its body. Each case is a process of
 * its own. However a single fault falls, either every event is answered with exactly the bytes that
 * the handler gave for it, once, and the runtime waits for the next with nothing unexpected on
 * stderr; or it ends with status 1 and one line, which is right only where nothing could heal: a
 * fault that stays, an answer that broke off half way, no memory or process for its workers.
 *
 *   faults [CALL [ERROR]]   all cases, or only such as: faults recv ECONNRESET; what became of them
 *
 * Not among them: signal, which fails only for a number that is no signal, and getpid, exit and
 * _exit, which do not fail.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER check_and_echo
#include "doubles.h"

#include "../lambda/wire.h"

/* ---- The faults ---- */

/* What an error says of the connection: nothing, or that it is no more. FATAL: without this call
 * the environment cannot be what it was asked for. The rest are no errors. */
enum effect { STAYS, BREAKS, FATAL, SHORT, HALF, HALF_THEN_BREAKS, ENDS };

/* Of the errors that a call can have: each that bootstrap.c tells apart, and one for all others. */
static const struct fault {
    const char *call, *name; /* log: writev, too, but to standard error */
    int error;
    enum effect effect;
} faults[] = {
#define FAULT(call, error, effect) \
    { call, #error, error, effect }
    FAULT("socket", EMFILE, STAYS),
    FAULT("connect", ECONNREFUSED, STAYS),
    FAULT("connect", EINTR, STAYS),
    FAULT("setsockopt", ENOBUFS, STAYS),
    FAULT("writev", EINTR, STAYS),
    FAULT("writev", ENOBUFS, STAYS),
    FAULT("writev", EPIPE, BREAKS),
    {"writev", "1-byte", 0, SHORT},
    {"writev", "half", 0, HALF},
    {"writev", "half,reset", 0, HALF_THEN_BREAKS},
    FAULT("recv", EAGAIN, STAYS),
    FAULT("recv", ECONNRESET, BREAKS),
    FAULT("recv", EINTR, STAYS),
    FAULT("recv", ENOMEM, STAYS),
    {"recv", "1-byte", 0, SHORT},
    {"recv", "half", 0, HALF},
    {"recv", "half,reset", 0, HALF_THEN_BREAKS},
    {"recv", "end", 0, ENDS},
    FAULT("shutdown", ENOTCONN, STAYS),
    FAULT("close", EIO, STAYS),
    FAULT("poll", EINTR, STAYS),
    FAULT("madvise", ENOMEM, STAYS),
    FAULT("log", EAGAIN, STAYS),
    FAULT("log", EINTR, STAYS),
    {"log", "1-byte", 0, SHORT},
    FAULT("clock_gettime", EINVAL, STAYS),
    FAULT("mmap", ENOMEM, FATAL),
    FAULT("fork", EAGAIN, FATAL),
    {"getppid", "orphaned", 0, FATAL},
    FAULT("waitpid", ECHILD, FATAL),
    FAULT("waitpid", EINTR, STAYS),
    {"waitpid", "stranger", 0, STAYS}, /* process 1 of a container inherits the orphans of others */
    FAULT("prctl", EINVAL, STAYS),
    FAULT("unshare", EINVAL, FATAL), /* there is a thread */
    FAULT("unshare", EPERM, STAYS),
};
enum { FAULTS = sizeof faults / sizeof *faults };

/* ---- The run: which events Lambda has, and how it sends them ---- */

enum framing { LENGTH, ONE_CHUNK, CHUNKS, UNTIL_CLOSE };
enum { EVENTS = 9, AT_ONCE_MAX = 256 * 1024, CALLS_MAX = 10000000 };

static const struct event {
    size_t size;
    enum framing framing;
    const char *reply; /* to the answer */
    bool early;        /* it comes, and the server closes, when the answer has hardly begun */
    unsigned drops;    /* how often the server closes instead of serving it */
} events[EVENTS] = {
#define REPLY(status, fields) "HTTP/1.1 " status "\r\n" fields "Content-Length: 2\r\n\r\n{}"
    {11, LENGTH, REPLY("202 A", "")},
    {300, CHUNKS,
     "HTTP/1.1 202 A\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"},
    {MEMORY_KEPT + 50000, ONE_CHUNK, REPLY("202 A", "")},
    {0, LENGTH, REPLY("202 A", "Connection: close\r\n"), false, 3},
    {20000, CHUNKS, REPLY("413 Too large", "")}, /* one line on stderr */
    {77, UNTIL_CLOSE, REPLY("202 A", "")},
    {21, LENGTH, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"}, /* is failed */
    {3000, ONE_CHUNK, REPLY("202 A", "")},                                        /* is streamed */
    {2 * AT_ONCE_MAX, LENGTH, REPLY("413 Too large", ""), true}, /* one line on stderr */
};
enum { FAILED_EVENT = 6, STREAMED_EVENT = 7, REFUSALS = 3 };

static char event_bytes[2 * MEMORY_KEPT]; /* of the n-th, from the n-th on */

static void make_events(void) {
    for (size_t at = 0; at < sizeof event_bytes; at++)
        event_bytes[at] = (char)((at * 2654435761u >> 11) + at / 251);
}

static bool is_event(const char *data, size_t length, unsigned n) {
    return length == events[n].size && (length == 0 || memcmp(data, event_bytes + n, length) == 0);
}

static const struct scenario {
    const char *name;
    char *variable;
    bool streams_closed;               /* so the first sockets take their numbers */
    bool parent;                       /* fork returns in the parent, whose workers then die */
    unsigned connects, workers, lines; /* in a run without a fault; the lines on stderr */
    const char *calls;                 /* that it makes, and whose faults are of interest */
} scenarios[] = {
    {.name = "standard streams open, with a restored snapshot",
     .variable = "AWS_LAMBDA_INITIALIZATION_TYPE=snap-start",
     .connects = 12,
     .lines = 3,
     .calls = "socket connect writev recv setsockopt shutdown close poll madvise log"},
    {.name = "standard streams closed, with a log in JSON",
     .variable = "AWS_LAMBDA_LOG_FORMAT=JSON",
     .streams_closed = true,
     .connects = 11,
     .lines = 3,
     .calls = "socket connect close clock_gettime"},
    {.name = "as one of two workers",
     .variable = "AWS_LAMBDA_MAX_CONCURRENCY=2",
     .connects = 11,
     .workers = 1,
     .lines = 3,
     .calls = "unshare mmap fork getppid prctl"},
    {.name = "as the parent of two workers, which keep dying",
     .variable = "AWS_LAMBDA_MAX_CONCURRENCY=2",
     .parent = true,
     .workers = 3 + WORKER_DEATHS_MAX,
     .lines = 2 + WORKER_DEATHS_MAX,
     .calls = "poll log fork waitpid"},
};
enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

/* The case that runs. */
static const struct scenario *scenario;
static const struct fault *the_fault; /* NULL: none */
static unsigned the_place;
static bool for_ever;

/* What its process hands over to the one that counts. */
struct report {
    unsigned connects, workers; /* attempts to connect, workers that were started */
    unsigned calls;             /* of the kind whose fault is tried */
    bool met;                   /* that fault */
    char problem[200];
    bool waits, ended; /* how it ended: the latter with status 1 */
    bool broken;       /* an answer broke off within its body: Lambda says 403 from now on */
    bool cut;          /* one did not go out whole, for whatever reason */
    char log[4000];
};
static struct report *report;

static unsigned all_calls, paused_ms;

static _Noreturn void stop(void) {
    _exit(0);
}

static _Noreturn void wrong(const char *what, unsigned number) {
    if (!report->problem[0])
        snprintf(report->problem, sizeof report->problem, "%s (%u)", what, number);
    stop();
}

/* The fault that this call is to meet, if any. */
static const struct fault *meet(const char *call) {
    if (++all_calls > CALLS_MAX)
        wrong("goes round for ever", all_calls);
    if (!the_fault || strcmp(the_fault->call, call) != 0)
        return NULL;
    unsigned place = report->calls++;
    if (place < the_place || (place > the_place && !for_ever))
        return NULL;
    report->met = true;
    errno = the_fault->error;
    return the_fault;
}

/* ---- The model of Lambda ---- */

enum state { READY, RUNNING, ANSWERED };
static enum state state = ANSWERED;
static unsigned current = UINT32_MAX; /* the event that was served last */
static unsigned drops_done, refusals_done;
static bool waits_for_next;

/* The one connection, under the one number that it may have. */
enum { DESCRIPTOR = STDERR_FILENO + 1 };
static struct {
    bool used, connected;
    bool no_delay; /* TCP_NODELAY was asked for */
    bool ended;    /* the server has closed: the runtime sees that behind `output` */
    bool broken;   /* neither side gets anything across */
    bool reset;    /* the runtime has not been told of that yet */
    struct bytes input, output;
} peer;

static void send_event(unsigned n) {
    static const size_t sizes[] = {1, 7, 16, 200, 4096, 5};
    const struct event *event = &events[n];
    struct bytes *out = &peer.output;
    bool chunked = event->framing == ONE_CHUNK || event->framing == CHUNKS;
    bytes_format(out, "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id-%u\r\n", n);
    if (event->framing == LENGTH)
        bytes_format(out, "Content-Length: %zu\r\n", event->size);
    bytes_text(out, chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    for (size_t at = 0, i = 0; at < event->size; i++) {
        size_t left = event->size - at;
        size_t piece = event->framing == CHUNKS ? sizes[i % 6] : left;
        piece = piece < left ? piece : left;
        if (chunked)
            bytes_format(out, "%zx\r\n", piece);
        bytes_append(out, event_bytes + n + at, piece);
        at += piece;
        if (chunked)
            bytes_text(out, "\r\n");
    }
    if (chunked)
        bytes_text(out, "0\r\n\r\n");
    peer.ended = event->framing == UNTIL_CLOSE;
}

/* GET next: the same event again while it has no answer; else the next; after the last it waits. */
static void serve_next(void) {
    if (waits_for_next)
        wrong("asks for the next event while it waits for it", current);
    if (report->broken) {
        bytes_text(&peer.output, REPLY("403 State", ""));
        return;
    }
    if (state != RUNNING && current + 1 < EVENTS)
        current++, state = RUNNING, drops_done = 0;
    if (state == RUNNING && drops_done < events[current].drops)
        drops_done++, peer.ended = true;
    else if (state == RUNNING)
        send_event(current);
    else
        waits_for_next = true;
}

static bool is_target(const struct request *request, const char *target) {
    return request->target_length == strlen(target) &&
           memcmp(request->target, target, request->target_length) == 0;
}

static void check_answer(const struct request *request) {
    static const char error[] =
        "{\"errorType\":\"Function.No\",\"stackTrace\":[],\"errorMessage\":\"no\"}";
    const struct bytes *body = &request->body;
    if (current == FAILED_EVENT) {
        if (body->length != sizeof error - 1 || memcmp(body->data, error, body->length) != 0)
            wrong("reports another error", current);
        return;
    }
    if (!is_event(body->data, body->length, current))
        wrong("answers with other bytes", current);
}

static void serve_answer(const struct request *request) {
    char target[80];
    snprintf(target, sizeof target, "/2018-06-01/runtime/invocation/id-%u/%s", current,
             current == FAILED_EVENT ? "error" : "response");
    if (!is_target(request, target))
        wrong("answers another invocation", current);
    if (request->chunked && !peer.no_delay)
        wrong("lets the kernel hold a stream back", current);
    if (!events[current].early)
        check_answer(request);
    bool taken = state == RUNNING && !report->broken;
    state = ANSWERED;
    bytes_text(&peer.output, taken ? events[current].reply : REPLY("403 State", ""));
    peer.ended = taken && (events[current].early || strstr(events[current].reply, "close"));
}

static void serve(void) {
    struct request request;
    enum request_reading got = request_parse(peer.input.data, peer.input.length, &request);
    if (got == REQUEST_MALFORMED)
        wrong(request.wrong, current);
    bool early = got == REQUEST_INCOMPLETE && request.head_length && state == RUNNING &&
                 events[current].early;
    if (got == REQUEST_COMPLETE || early) {
        report->cut |= early;
        if (!early && request.length != peer.input.length)
            wrong("sends behind a request", current);
        if (is_target(&request, "/2018-06-01/runtime/restore/next"))
            bytes_text(&peer.output, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        else if (is_target(&request, "/2018-06-01/runtime/invocation/next"))
            serve_next();
        else
            serve_answer(&request);
        peer.input.length = 0;
    }
    request_free(&request);
}

/* The connection is gone for the server: an answer that was under way is now cut off. */
static void lose(void) {
    struct request request;
    if (peer.input.length) {
        request_parse(peer.input.data, peer.input.length, &request);
        if (request.head_length && request.method[0] == 'P')
            report->cut = report->broken = true;
        request_free(&request);
    }
    peer.input.length = 0;
    waits_for_next = false;
}

/* ---- The system calls ---- */

static void require_open(int descriptor) {
    if (descriptor != DESCRIPTOR || !peer.used)
        wrong("uses a descriptor that is not open", (unsigned)descriptor);
}

static int double_socket(void) {
    static int free_number; /* of a standard stream; whoever is given it leaves it open */
    if (meet("socket"))
        return -1;
    if (scenario->streams_closed && free_number < DESCRIPTOR)
        return free_number++;
    if (peer.used)
        wrong("leaves a descriptor open", DESCRIPTOR);
    peer.used = true;
    return DESCRIPTOR;
}

static int double_connect(int descriptor) {
    require_open(descriptor);
    report->connects++;
    if (meet("connect"))
        return -1;
    if (peer.connected)
        wrong("connects twice", (unsigned)descriptor);
    if (refusals_done < REFUSALS) { /* the server is a little late */
        refusals_done++;
        errno = ECONNREFUSED;
        return -1;
    }
    peer.connected = true;
    return 0;
}

static int double_setsockopt(int descriptor, const void *value, size_t length) {
    require_open(descriptor);
    peer.no_delay = true;
    return !value || length != sizeof(int) || meet("setsockopt") ? -1 : 0;
}

static bool survives_sigpipe;

static void double_signal(int number, void (*action)(int)) {
    survives_sigpipe |= number == SIGPIPE && action != SIG_DFL;
}

static ssize_t double_writev(int descriptor, const struct iovec *pieces, int count) {
    require_open(descriptor);
    const struct fault *fault = meet("writev");
    size_t all = 0, sent = 0, most = AT_ONCE_MAX;
    for (int i = 0; i < count; i++)
        all += pieces[i].iov_len;
    peer.broken |= fault && fault->effect == BREAKS;
    if (peer.broken || peer.ended || !peer.connected) {
        errno = EPIPE;
        peer.reset = false;
        if (!survives_sigpipe)
            wrong("is ended by SIGPIPE", current);
        lose();
        return -1;
    }
    if (fault && fault->effect == STAYS)
        return -1;
    if (fault)
        most = fault->effect == SHORT ? 1 : all / 2;
    for (int i = 0; i < count && sent < most; i++) {
        size_t n = pieces[i].iov_len < most - sent ? pieces[i].iov_len : most - sent;
        bytes_append(&peer.input, pieces[i].iov_base, n);
        sent += n;
    }
    serve();
    peer.broken = peer.reset = fault && fault->effect == HALF_THEN_BREAKS;
    return (ssize_t)sent;
}

static _Noreturn void wait_for_ever(void) {
    if (!waits_for_next || peer.input.length || peer.broken)
        wrong("waits for what never comes", current);
    report->waits = true;
    stop();
}

static ssize_t double_recv(int descriptor, void *to, size_t room, int flags) {
    require_open(descriptor);
    const struct fault *fault = meet("recv");
    size_t n = peer.output.length < room ? peer.output.length : room;
    n = n < AT_ONCE_MAX ? n : AT_ONCE_MAX;
    if (fault && fault->effect == STAYS)
        return -1;
    if (fault && (fault->effect == BREAKS || fault->effect == ENDS)) {
        peer.broken = true;
        peer.reset = fault->effect == BREAKS;
    }
    if (peer.broken) {
        bool reset = peer.reset;
        errno = ECONNRESET;
        peer.reset = false;
        lose();
        return reset ? -1 : 0;
    }
    if (fault && fault->effect == SHORT)
        n = n ? 1 : 0;
    else if (fault)
        n = (n + 1) / 2;
    if (n == 0 && !peer.ended && (flags & MSG_DONTWAIT)) {
        errno = EAGAIN;
        return -1;
    }
    if (n == 0 && !peer.ended)
        wait_for_ever();
    if (n)
        memcpy(to, peer.output.data, n);
    if (!(flags & MSG_PEEK))
        bytes_drop_front(&peer.output, n);
    peer.broken = peer.reset = fault && fault->effect == HALF_THEN_BREAKS;
    return (ssize_t)n;
}

static int double_shutdown(int descriptor) {
    require_open(descriptor);
    lose();
    peer.ended = true; /* nobody answers half a request */
    return meet("shutdown") ? -1 : 0;
}

/* As on Linux, the descriptor is free also when close fails. */
static int double_close(int descriptor) {
    require_open(descriptor);
    lose();
    bytes_free(&peer.input);
    bytes_free(&peer.output);
    memset(&peer, 0, sizeof peer);
    return meet("close") ? -1 : 0;
}

static int double_poll(int ms) {
    bool interrupted = meet("poll");
    paused_ms += interrupted ? 0 : (unsigned)ms;
    if (paused_ms > 5000)
        wrong("pauses for more than five seconds", paused_ms);
    return interrupted ? -1 : 0;
}

/* Given back, the memory reads as zeros: what is used again must have been received again. */
static int double_madvise(void *from, size_t length) {
    if (meet("madvise"))
        return -1;
    memset(from, 0, length);
    return 0;
}

static struct worker shared[2];

static void *double_mmap(size_t length) {
    return meet("mmap") || length > sizeof shared ? MAP_FAILED : shared;
}

/* In the worker, this process goes on as that. In the parent a new one takes the free place. */
static pid_t workers_alive[2];

static pid_t double_fork(void) {
    if (meet("fork"))
        return -1;
    report->workers++;
    if (!scenario->parent)
        return 0;
    int place = workers_alive[0] ? 1 : 0;
    if (workers_alive[place])
        wrong("starts more workers than it was asked for", 3);
    return workers_alive[place] = 1000 + (pid_t)report->workers;
}

static pid_t double_getppid(void) {
    return meet("getppid") ? 1 : getpid();
}

/* Each dies once when it has served an event; from then on always the first, before it has. */
static pid_t double_waitpid(int options) {
    const struct fault *fault = meet("waitpid");
    if (options)
        wrong("does not wait for its workers, with the options", (unsigned)options);
    if (fault)
        return fault->error ? -1 : 1;
    static int deaths;
    int place = deaths == 1;
    if (deaths++ < 2)
        shared[place].received = shared[place].answered = true;
    pid_t dead = workers_alive[place];
    workers_alive[place] = 0;
    return dead;
}

static ssize_t double_log(const void *data, size_t length) {
    const struct fault *fault = meet("log");
    size_t n = strlen(report->log);
    if (fault && fault->effect == STAYS)
        return -1;
    length = fault ? 1 : length;
    snprintf(report->log + n, sizeof report->log - n, "%.*s", (int)length, (const char *)data);
    return (ssize_t)length;
}

static long double_syscall(long number) {
    const char *call = number == SYS_prctl     ? "prctl"
                       : number == SYS_unshare ? "unshare"
                                               : "clock_gettime";
    return meet(call) ? -1 : 0;
}

static _Noreturn void double_exit(int status) {
    report->ended = status == 1;
    stop();
}

/* Never shown a part of an event, nor another one than Lambda served. Answers from memory of its
 * own, since that too is given back. */
static struct outcome check_and_echo(const struct invocation *invocation) {
    struct text event = invocation->event;
    char *copy = allocate(invocation, event.length);
    if (!is_event(event.data, event.length, current))
        wrong("hands over a torn event, or another", current);
    if (!copy)
        wrong("has no memory for the handler", current);
    if (event.length)
        event.data = memcpy(written(copy, event.length), event.data, event.length);
    if (current == STREAMED_EVENT) {
        stream_begin(invocation, S("text/plain"));
        for (; event.length > 1000; event = (struct text){event.data + 1000, event.length - 1000})
            stream_write(invocation, (struct text){event.data, 1000});
    }
    return current == FAILED_EVENT ? failure(S("Function.No"), S("no")) : success(event);
}

/* ---- The cases ---- */

/* Is the fault that is tried one of these calls? */
static bool is_of(const char *calls) {
    return the_fault && strstr(calls, the_fault->call);
}

static void run(void) {
    *report = (struct report){0};
    fflush(stdout);
    pid_t pid = fork();
    int status = 0;
    if (pid == 0) {
        static char *variables[3] = {"AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001"};
        variables[1] = scenario->variable;
        alarm(60);
        environ = variables;
        runtime_main();
    }
    bool waited = waitpid(pid, &status, 0) == pid;
    if (waited && is_of("getppid") && WIFEXITED(status) && WEXITSTATUS(status) == 1)
        report->ended = true; /* by _exit, which is not doubled */
    else if (!waited || status != 0)
        snprintf(report->problem, sizeof report->problem, "broke down: wait status %d", status);
}

static unsigned lines(const char *text) {
    unsigned n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

enum verdict { SERVED, GAVE_UP, WRONG };

/* No line gets out, or a worker ends whose parent has had the last word. */
static bool is_silenced(void) {
    return is_of("getppid") ||
           (is_of("log") && the_fault->error != EINTR && the_fault->effect == STAYS);
}

/* The last line has the level of an end. */
static bool says_that_it_ends(void) {
    const char *end = strrchr(report->log, '\n'), *line = end;
    while (line && line > report->log && line[-1] != '\n')
        line--;
    return line && strstr(line, "FATAL");
}

/* A fault may bring one line fewer, if the runtime sends one of the answers twice that are refused
 * in every run, and one more only where it says that no reply came to a stream, or that it ends. */
static enum verdict judge(void) {
    unsigned logged = lines(report->log), fewer = the_fault && !is_of("log");
    unsigned more = strstr(report->log, "no reply;") != NULL;
    unsigned least = is_silenced() ? 0 : scenario->lines - fewer, most = scenario->lines + more;
    bool fatal = the_fault && the_fault->effect == FATAL;
    bool lost = is_of("socket connect writev recv") && (report->cut || for_ever);
    bool served =
        scenario->parent ? report->ended && report->workers == scenario->workers : report->waits;
    if (report->problem[0] || logged > most + (report->ended && !scenario->parent))
        return WRONG;
    if (served && !fatal && logged >= least)
        return SERVED;
    return report->ended && (fatal || lost) && (is_silenced() || says_that_it_ends()) ? GAVE_UP
                                                                                      : WRONG;
}

enum { FAILURES_MAX = 20 };
static unsigned passed, failed;

static _Noreturn void end(void) {
    printf("%u passed, %u failed\n", passed, failed);
    exit(failed ? 1 : 0);
}

static enum verdict count_case(void) {
    enum verdict verdict = judge();
    if (failed == FAILURES_MAX)
        end();
    verdict == WRONG ? failed++ : passed++;
    if (verdict == WRONG)
        printf("FAIL %s %u %s%s: %s%s\n%s", the_fault ? the_fault->call : "no fault", the_place,
               the_fault ? the_fault->name : "", for_ever ? " for ever" : "", report->problem,
               report->ended ? "ended where it could have gone on" : "", report->log);
    return verdict;
}

static void run_without_fault(void) {
    the_fault = NULL;
    run();
    count_case();
    bool as_few = report->connects == scenario->connects && report->workers == scenario->workers;
    as_few ? passed++ : failed++;
    if (!as_few)
        printf("FAIL %u attempts to connect and %u workers, expected %u and %u\n", report->connects,
               report->workers, scenario->connects, scenario->workers);
}

static bool can_stay(const struct fault *fault) {
    return fault->error && fault->error != EINTR;
}

static bool is_met(void) {
    run();
    return report->met;
}

/* At each place, up to the first where it falls nowhere. */
static void run_row(const struct fault *fault) {
    unsigned count[2][3] = {{0}};
    the_fault = fault;
    for (int stays = 0; stays <= can_stay(fault); stays++) {
        for_ever = stays;
        for (the_place = 0; is_met(); the_place++)
            count[stays][count_case()]++;
    }
    for_ever = false;
    if (the_place == 0) {
        failed++;
        printf("FAIL %s is never called, and so cannot fail\n", fault->call);
    }
    printf("%-13s %-12s %6u %7u %8u", fault->call, fault->name, the_place, count[0][SERVED],
           count[0][GAVE_UP]);
    if (can_stay(fault))
        printf(" %9u %8u", count[1][SERVED], count[1][GAVE_UP]);
    printf("\n");
}

static const char *only_call = "", *only_error = ""; /* empty: all */

static bool is_chosen(const struct fault *fault) {
    return strstr(scenario->calls, fault->call) &&
           (strcmp(fault->call, "unshare") != 0 || can_make_threads) &&
           (!*only_call || strcmp(fault->call, only_call) == 0) &&
           (!*only_error || strcmp(fault->name, only_error) == 0);
}

static unsigned run_scenario(void) {
    unsigned rows = 0;
    printf("%s\n", scenario->name);
    run_without_fault();
    for (const struct fault *fault = faults; fault < faults + FAULTS; fault++)
        if (is_chosen(fault)) {
            run_row(fault);
            rows++;
        }
    return rows;
}

int main(int count, char **arguments) {
    unsigned rows = 0;
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED) {
        perror("faults: mmap");
        return 1;
    }
    if (count > 1)
        only_call = arguments[1];
    if (count > 2)
        only_error = arguments[2];
    make_events();
    printf("                            once            from there on\n"
           "call          fault        places  served  gave up    served  gave up\n");
    for (scenario = scenarios; scenario < scenarios + SCENARIOS; scenario++)
        rows += run_scenario();
    if (rows == 0) {
        fprintf(stderr, "faults: no such row: expected a CALL, and an ERROR, as in the table\n");
        return 2;
    }
    end();
}
