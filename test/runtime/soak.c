/* soak.c - the executable for minutes on end: events of 0 to 6 MiB with a length or in chunks of
 * any size, and connections that are closed or reset at random. Every event has to come back once,
 * byte for byte, with nothing on stderr; resident memory and descriptors have to stay as they were
 * behind the first events. It is one case of script.h, played by hand.
 *
 *   soak BOOTSTRAP MINUTES [SEED]     the seed is printed
 *
 * SPDX-License-Identifier: MIT-0 */
enum {
    EVENT_MAX = 6 << 20,
    PATIENCE_MS = 20000,
    RESIDENT_MAX_KIB = 2048,
    GROWTH_MAX_KIB = 64,
    SMALL = 1000,
    ONE_SEND_MAX = 16 * 1024 /* a response that the kernel takes whole, from bootstrap.c */
};

#include "script.h"

#include <sys/prctl.h>

/* From 0 to most, as often small as large. */
static size_t any_size(size_t most) {
    return (size_t)any((1u << any(24)) % (most + 1) + 1);
}

/* ---- One event ---- */

static unsigned long long events, bytes_echoed, breaks;

static void break_off(struct run *r, bool reset) {
    drop_connection(r, reset);
    breaks++;
}

static void frame_event(struct bytes *out, const char *event, size_t length) {
    bytes_format(out, HEAD("%llu"), events);
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

/* Breaks off up to three times, before the reply to next or within it; then serves it whole. */
static bool serve_event(struct run *r, const char *event, size_t length, bool faults) {
    static const struct step next = NEXT;
    for (uint64_t left = faults ? any(16) % 4 * (any(4) == 0) : 0;; left--) {
        struct bytes out = {0};
        if (!asked(r, &next))
            return false;
        frame_event(&out, event, length);
        size_t cut = any(2) ? 0 : any_size(out.length - 1);
        bool sent = do_step(r, &(struct step){BYTES, out.data, .length = cut}) &&
                    (left || send_all(r->connection, out.data + cut, out.length - cut));
        bytes_free(&out);
        if (!sent || left == 0)
            return sent;
        break_off(r, any(2));
    }
}

static bool takes_response(struct run *r, const char *event, size_t length) {
    char target[96];
    snprintf(target, sizeof target, POST_ROUTE "%llu/response", events);
    return asked(r, &(struct step){ASKED, target, length ? event : "", .length = length});
}

static bool echo(struct run *r, size_t length, bool faults) {
    static const struct step cut = SEND("HTTP/1.1 202"), refused = STATUS("403 Forbidden"),
                             accepted[] = {ACCEPTED, SEND("HTTP/1.1 202 A\r\nTransfer-Encoding: "
                                                          "chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")};
    const char *event = filler + any(EVENT_MAX);
    if (!serve_event(r, event, length, faults))
        return false;
    uint64_t fault = faults ? any(16) : 15; /* one at most: a response is sent twice at most */
    /* While the handler works. A larger response may be half out by then, which ends the runtime by
     * design: that case, and that it ends so, is in end_to_end.c. */
    if (fault == 0 && length <= ONE_SEND_MAX)
        break_off(r, false);
    if (!takes_response(r, event, length))
        return false;
    /* The reply is lost: the response comes again, and is refused. */
    if (fault == 1 || fault == 2) {
        if (any(2) && !do_step(r, &cut))
            return false;
        break_off(r, any(2));
        if (!takes_response(r, event, length) || !do_step(r, &refused))
            return false;
    } else if (!do_step(r, &accepted[any(2)])) {
        return false;
    }
    if (faults && any(16) == 0)
        break_off(r, any(2)); /* between two invocations */
    events++;
    bytes_echoed += length;
    return true;
}

/* ---- All of them ---- */

static uint64_t limit_us;
static size_t first_kib; /* resident when small events have followed the first, which is large */
static unsigned first_descriptors;

/* The same again, in a pause: it has asked for the next event. Counted page by page; VmRSS of
 * /proc/PID/status is inaccurate, says proc(5). */
static bool has_not_grown(struct run *r) {
    static const struct step next = NEXT;
    for (int i = 0; i < 4; i++)
        if (!echo(r, any(SMALL), false))
            return false;
    if (!asked(r, &next))
        return false;
    size_t kib = memory_kib(r->pid, "smaps", "Rss:");
    unsigned descriptors = open_descriptors(r->pid);
    if (!first_kib) {
        first_kib = kib;
        first_descriptors = descriptors;
    }
    return (kib && kib <= RESIDENT_MAX_KIB && kib <= first_kib + GROWTH_MAX_KIB &&
            descriptors == first_descriptors) ||
           problem(r, "%zu KiB and %u descriptors at first became %zu and %u", first_kib,
                   first_descriptors, kib, descriptors);
}

static bool lives_long(struct run *r) {
    uint64_t start_us = now_us();
    start(r);
    if (!echo(r, EVENT_MAX, false) || !has_not_grown(r))
        return false;
    while (now_us() - start_us < limit_us) {
        for (int i = 0; i < 50; i++)
            if (!echo(r, any(20) ? any_size(EVENT_MAX) : EVENT_MAX, true))
                return false;
        if (!has_not_grown(r))
            return false;
    }
    return logged(r);
}

int main(int count, char **arguments) {
    static const struct test soak = {"soak", .play = lives_long};
    double minutes = 0;
    unsigned long long seed = now_us();
    if (count < 3 || sscanf(arguments[2], "%lf", &minutes) != 1 ||
        (count > 3 && sscanf(arguments[3], "%llu", &seed) != 1)) {
        fprintf(stderr, "soak: expected BOOTSTRAP MINUTES [SEED], and the last two as numbers\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* a huge page of the runtime would count whole */
    printf("seed %llu\n", seed);
    limit_us = (uint64_t)(minutes * 60e6);
    chance = seed * 2654435761u + 1;
    fill();
    bootstrap = arguments[1];
    bool fine = passes(&soak);
    printf("%llu events, %.1f GB echoed, %llu connections broken, %zu KiB resident\n", events,
           (double)bytes_echoed / 1e9, breaks, first_kib);
    printf("%d passed, %d failed\n", fine, !fine);
    return fine ? 0 : 1;
}
