/* soak.c - the executable for minutes on end: events of 0 to 6 MiB with a length or in chunks of
 * any size, and connections that are closed or reset at random. Every event has to come back once,
 * byte for byte; resident memory and descriptors have to be the same at the end as at the
 * beginning.
 *
 *   soak BOOTSTRAP [MINUTES [SEED]]     0.05 minutes; the seed is printed
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE
#include "../lambda/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    EVENT_MAX = 6 << 20,
    PATIENCE_MS = 20000,
    RESIDENT_MAX_KIB = 2048,
    SMALL = 1000,
    ONE_SEND_MAX = 16 * 1024 /* a response that the kernel takes whole, from bootstrap.c */
};

/* ---- Chance ---- */

static uint64_t chance;

/* From 0 to n - 1; xorshift64*. */
static uint64_t any(uint64_t n) {
    chance ^= chance >> 12;
    chance ^= chance << 25;
    chance ^= chance >> 27;
    return (chance * 2685821657736338717u >> 16) % n;
}

/* From 0 to most, as often small as large. */
static size_t any_size(size_t most) {
    return (size_t)any((1u << any(24)) % (most + 1) + 1);
}

/* ---- The runtime ---- */

static char data[2 * EVENT_MAX]; /* an event is a part of it */
static pid_t runtime = -1;
static int listener, connection = -1;
static uint64_t events, bytes_echoed, breaks, again;

static _Noreturn void give_up(const char *what) {
    printf("FAIL after %llu events: %s\n0 passed, 1 failed\n", (unsigned long long)events, what);
    kill(runtime, SIGKILL);
    exit(1);
}

static void start(const char *bootstrap) {
    char address[64], *environment[] = {address, NULL};
    uint16_t port = 0;
    listener = listen_on_loopback(&port);
    snprintf(address, sizeof address, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:%u", port);
    runtime = fork();
    if (runtime == 0) {
        prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* a huge page would count whole */
        execve(bootstrap, (char *[]){"bootstrap", NULL}, environment);
        perror("soak: cannot execute bootstrap");
        _exit(1);
    }
}

/* Counted page by page; VmRSS of /proc/PID/status is inaccurate, says proc(5). */
static size_t resident_kib(void) {
    char path[64], line[4096];
    size_t kib = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)runtime);
    FILE *lines = fopen(path, "re");
    while (lines && fgets(line, sizeof line, lines))
        if (strncmp(line, "Rss:", 4) == 0)
            kib += strtoul(line + 4, NULL, 10);
    if (lines)
        fclose(lines);
    if (kib == 0)
        give_up("its memory cannot be read from /proc");
    return kib;
}

/* ---- The server ---- */

static struct bytes input;
static struct request request;

static void break_off(bool reset) {
    struct linger at_once = {1, 0};
    if (reset)
        setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(connection);
    connection = -1;
    breaks++;
}

static void await(int descriptor) {
    for (int waited = 0; waited < PATIENCE_MS; waited += 100) {
        if (poll(&(struct pollfd){.fd = descriptor, .events = POLLIN}, 1, 100) == 1)
            return;
        if (waitpid(runtime, NULL, WNOHANG) == runtime)
            give_up("the runtime has ended");
    }
    give_up("the runtime is silent");
}

static void receive(void) {
    static char block[1 << 20];
    int on = 1;
    if (connection < 0) {
        await(listener);
        connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    await(connection);
    ssize_t n = recv(connection, block, sizeof block, 0);
    if (n > 0) {
        bytes_append(&input, block, (size_t)n);
    } else {
        if (input.length)
            give_up("the runtime closes within a request");
        close(connection);
        connection = -1;
    }
}

static void take_request(char method) {
    input.length = 0;
    request_free(&request);
    for (;;) {
        enum request_reading got = request_parse(input.data, input.length, &request);
        if (got == REQUEST_MALFORMED)
            give_up(request.wrong);
        if (got == REQUEST_COMPLETE)
            break;
        receive();
    }
    if (request.method[0] != method)
        give_up(method == 'G' ? "a second response" : "no response");
}

static void frame_event(struct bytes *out, uint64_t id, const char *event, size_t length) {
    bytes_format(out, "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: %llu\r\n",
                 (unsigned long long)id);
    if (any(2)) {
        bytes_format(out, "Content-Length: %zu\r\n\r\n", length);
        bytes_append(out, event, length);
        return;
    }
    size_t largest = any_size(EVENT_MAX) + length / 4096 + 1;
    bytes_text(out, "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < length;) {
        size_t n = any_size(largest) + 1;
        n = n < length - at ? n : length - at;
        bytes_format(out, "%zx\r\n", n);
        bytes_append(out, event + at, n);
        bytes_text(out, "\r\n");
        at += n;
    }
    bytes_text(out, "0\r\n\r\n");
}

/* In up to four pieces. False if the runtime closed meanwhile, which it never should. */
static bool send_in_pieces(const char *from, size_t length) {
    while (length) {
        size_t n = any(4) ? length : any_size(length) % length + 1;
        if (!send_all(connection, from, n))
            return false;
        from += n;
        length -= n;
    }
    return true;
}

/* Breaks off up to three times, before the reply to next or within it; then serves it whole. */
static void serve_event(uint64_t id, const char *event, size_t length, bool faults) {
    for (uint64_t left = faults ? any(16) % 4 * (any(4) == 0) : 0; left > 0; left--) {
        struct bytes out = {0};
        take_request('G');
        frame_event(&out, id, event, length);
        send_all(connection, out.data, any(2) ? 0 : any_size(out.length - 1) % out.length);
        bytes_free(&out);
        break_off(any(2));
    }
    struct bytes out = {0};
    take_request('G');
    frame_event(&out, id, event, length);
    if (!send_in_pieces(out.data, out.length))
        give_up("the runtime closes while it is sent an event");
    bytes_free(&out);
}

static void take_response(uint64_t id, const char *event, size_t length) {
    char target[96];
    take_request('P');
    snprintf(target, sizeof target, "/2018-06-01/runtime/invocation/%llu/response",
             (unsigned long long)id);
    if (request.target_length != strlen(target) ||
        memcmp(request.target, target, request.target_length) != 0)
        give_up("the response to another invocation");
    if (request.body.length != length || (length && memcmp(request.body.data, event, length) != 0))
        give_up("the response is not the event");
}

static void reply(const char *text) {
    if (!send_all(connection, text, strlen(text)))
        give_up("the runtime closes while it is sent a reply");
}

static void echo(size_t length, bool faults) {
    const char *event = data + any(EVENT_MAX);
    uint64_t id = events;
    serve_event(id, event, length, faults);
    uint64_t fault = faults ? any(16) : 15; /* one at most: a response is sent twice at most */
    /* While the handler works. A larger response may be half out by then, which ends the runtime by
     * design: that case, and that it ends so, is in end_to_end.c. */
    if (fault == 0 && length <= ONE_SEND_MAX)
        break_off(false);
    take_response(id, event, length);
    /* The reply is lost: the response comes again, and is refused. */
    if (fault == 1 || fault == 2) {
        if (any(2))
            reply("HTTP/1.1 202");
        break_off(any(2));
        take_response(id, event, length);
        reply("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}");
        again++;
    } else {
        reply(any(2) ? "HTTP/1.1 202 A\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n"
                     : "HTTP/1.1 202 A\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    }
    if (faults && any(16) == 0)
        break_off(any(2)); /* between two invocations */
    events++;
    bytes_echoed += length;
}

/* Resident memory when small events have followed the large ones, and it has asked for the next. */
static size_t settled_kib(void) {
    for (int i = 0; i < 4; i++)
        echo(any(SMALL), false);
    await(connection);
    return resident_kib();
}

static double number_at(int count, char **arguments, int i, double otherwise) {
    char *end;
    if (i >= count)
        return otherwise;
    double number = strtod(arguments[i], &end);
    if (end == arguments[i] || *end || number < 0) {
        fprintf(stderr, "soak: %s: expected BOOTSTRAP [MINUTES [SEED]]\n", arguments[i]);
        exit(2);
    }
    return number;
}

int main(int count, char **arguments) {
    uint64_t limit_us = (uint64_t)(number_at(count, arguments, 2, 0.05) * 60e6),
             start_us = now_us();
    uint64_t seed = (uint64_t)number_at(count, arguments, 3, (double)(now_us() % 1000000));
    if (count < 2) {
        fprintf(stderr, "soak: expected BOOTSTRAP [MINUTES [SEED]]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    printf("seed %llu\n", (unsigned long long)seed);
    chance = seed * 2654435761u + 1;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)any(256);
    start(arguments[1]);
    echo(EVENT_MAX, false);
    size_t first = settled_kib(), last = first, largest = first;
    unsigned descriptors = open_descriptors(runtime);
    while (now_us() - start_us < limit_us) {
        for (int i = 0; i < 50; i++)
            echo(any(20) ? any_size(EVENT_MAX) : EVENT_MAX, true);
        last = settled_kib();
        largest = last > largest ? last : largest;
    }
    if (open_descriptors(runtime) != descriptors)
        give_up("other descriptors are open than at the beginning");
    if (largest > RESIDENT_MAX_KIB || last > first + 64)
        give_up("resident memory grows");
    kill(runtime, SIGTERM);
    waitpid(runtime, NULL, 0);
    printf("%llu events, %.1f GB echoed, %llu connections broken, %llu responses sent again; "
           "resident %zu KiB at first, %zu at last, %zu at most; %u descriptors\n",
           (unsigned long long)events, (double)bytes_echoed / 1e9, (unsigned long long)breaks,
           (unsigned long long)again, first, last, largest, descriptors);
    printf("1 passed, 0 failed\n");
    return 0;
}
