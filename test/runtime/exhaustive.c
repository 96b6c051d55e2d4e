/* exhaustive.c - all short strings over the bytes that matter to what reads, or writes as JSON, what
 * others have sent, and the seeds of the fuzzing. Aborts when bootstrap.c and reference.h do not agree.
 *
 *   exhaustive all
 *   exhaustive seeds    runs the seeds only
 *
 * SPDX-License-Identifier: MIT-0 */
#include "fuzz.c"

/* ---- All short strings over the bytes that matter ---- */

#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
#define CLOSES "\xfe."

/* A symbol is a byte, but in heads these stand for whole lines. */
static const char *const lines[] = {"Content-Length: 1",
                                    "content-length:1",
                                    "Content-Length: 2",
                                    "Transfer-Encoding: chunked",
                                    "Connection: close",
                                    "Transfer-encoding:CHUNKED",
                                    "Connection: keep-alive, x",
                                    "Transfer-Encoding: gzip",
                                    "X: y",
                                    "Content-Length: x",
                                    "Connection: close, keep-alive"};
static const char *const statuses[] = {
    "HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\n", "HTTP/1.1 204\r\n",  "HTTP/1.1 304\r\n",
    "HTTP/1.1 100\r\n",    "HTTP/1.1 101\r\n",    "HTTP/1.1 500 x\r\n"};
static const char *const bodies[] = {"\r\n" CLOSES, "\r\nx" CLOSES,
                                     "\r\n1\r\nx\r\n0\r\n\r\n" CLOSES,
                                     "\r\nHTTP/1.1 202 A\r\nContent-Length: 1\r\n\r\nx" CLOSES};

static uint64_t strings; /* so far */

static void run_string(void (*check)(void), const struct buffer *bytes) {
    input = text_in(bytes);
    strings++;
    check();
}

/* Is what read_reply finds in these bytes what is in them? They come in pieces of 1 to 61, in turn. */
static void compare_reply(void) {
    struct api_connection connection;
    struct api_reply reply;
    struct reference_reply expected;
    if (!receive_reply(input, 1 + strings % 61, &connection, &reply))
        return;
    const char *wrong = connection.wrong;
    enum verdict found = !wrong                     ? VALID
                         : wrong == CONNECTION_LOST ? MORE_NEEDED
                         : wrong == BODY_TOO_LARGE  ? BEYOND_EVENT_MAX
                                                    : NOT_HTTP;
    require(found == reference_reply(text_from(run.reply), run.reply_ending, &expected),
            "another verdict");
    if (found != VALID)
        return;
    struct text id = field_of(expected.lines, "Lambda-Runtime-Aws-Request-Id");
    require(reply.status == expected.status && is_persistent(&reply) == expected.persistent &&
                same(reply.body, text_from(reference_body)) &&
                same(reply.invocation.request_id, id),
            "reads another reply than was sent");
}

/* The cut falls behind the last whole character that fits, unless the bytes are no UTF-8. */
static bool first_bytes_agrees(struct text text) {
    bool is_utf8 = same(repaired(text), text), agree = true;
    for (size_t most = 0; most <= text.length + 1; most++) {
        struct text first = first_bytes(text, most),
                    expected = {text.data, most < text.length ? most : text.length};
        while (is_utf8 && !same(repaired(expected), expected))
            expected.length--;
        agree = agree && first.data == text.data && first.length <= expected.length &&
                first.length + (is_utf8 ? 0 : 3) >= expected.length;
    }
    return agree;
}

static void compare_json(void) {
    static char storage[6 * 64];
    struct buffer to = {storage, 0, sizeof storage, false};
    append_json_string(&to, input);
    require(!to.overflow && says(valid_json(text_in(&to)), input),
            "the JSON string does not say what the bytes say");
    require(first_bytes_agrees(input), "cuts within a character");
}

static void run_conversation(void) {
    converse(input);
}

/* Each string of up to `most` symbols between prefix and suffix. */
static void all_strings(void (*check)(void), struct text prefix, struct text symbols, size_t most,
                        struct text suffix) {
    static char bytes[4096];
    size_t at[16] = {0}, length = 0;
    for (;;) {
        struct buffer to = {bytes, 0, sizeof bytes, false};
        append_text(&to, prefix);
        for (size_t i = 0; i < length; i++)
            if (symbols.data)
                append_text(&to, (struct text){symbols.data + at[i], 1});
            else {
                append_string(&to, lines[at[i]]);
                append_text(&to, S("\r\n"));
            }
        append_text(&to, suffix);
        run_string(check, &to);
        size_t i = 0;
        while (i < length && ++at[i] == symbols.length)
            at[i++] = 0;
        if (i == length && ++length > most)
            return;
    }
}

/* Each two neighbours of the text replaced by each pair of bytes. */
static void all_replacements(void (*check)(void), struct text prefix, struct text text) {
    static char bytes[256];
    for (size_t i = 0; i + 1 < text.length; i++)
        for (unsigned pair = 0; pair < 65536; pair++) {
            struct buffer to = {bytes, 0, sizeof bytes, false};
            append_texts(&to, TEXTS(prefix, text));
            bytes[prefix.length + i] = (char)pair;
            bytes[prefix.length + i + 1] = (char)(pair >> 8);
            run_string(check, &to);
        }
}

/* Of `length` bytes, all in all. */
static void append_padded(struct buffer *to, const char *begin, size_t length, const char *end) {
    size_t before = to->length;
    append_string(to, begin);
    while (to->length + strlen(end) < before + length)
        append_string(to, "x");
    append_string(to, end);
}

/* An event and the reply to its answer, each part of which is a byte too long, as long as can be, or
 * a byte shorter. */
static void all_at_the_limits(void) {
    static char bytes[8 * (HEAD_MAX + SIZE_LINE_MAX + TRAILER_MAX)];
    static const struct {
        const char *head;
        size_t body;
    } kinds[] = {{"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\n", EVENT_MAX},
                 {"HTTP/1.1 202 A\r\n", REPLY_BODY_MAX}};
    for (unsigned way = 0; way < 6561; way++) {
        struct buffer to = {bytes, 0, sizeof bytes, false};
        for (unsigned kind = 0, rest = way; kind < 2; kind++, rest /= 81) {
            char head[128], size[24];
            size_t body = kinds[kind].body + 1 - rest % 3;
            snprintf(head, sizeof head, "%sTransfer-Encoding: chunked\r\nA: ", kinds[kind].head);
            snprintf(size, sizeof size, "%zx;", body);
            append_string(&to, "\xfe?");
            append_padded(&to, head, HEAD_MAX + 1 - rest / 3 % 3, "\r\n\r\n");
            append_padded(&to, size, SIZE_LINE_MAX + 1 - rest / 9 % 3, "\r\n");
            append_padded(&to, "", body + 2, "\r\n");
            append_padded(&to, "0;", SIZE_LINE_MAX, "\r\n");
            append_padded(&to, "A: ", TRAILER_MAX + 1 - rest / 27 % 3, "\r\n\r\n");
        }
        run_string(run_conversation, &to);
    }
}

/* Copies that are as long as they are, so that a byte read too many is seen. */
static unsigned run_seeds(void) {
    const struct text seeds[] = {
#include "seeds.txt"
    };
    enum { SEEDS = sizeof seeds / sizeof *seeds };
    for (size_t i = 0; i < SEEDS; i++) {
        char *copy = malloc(seeds[i].length);
        memcpy(copy, seeds[i].data, seeds[i].length);
        input = (struct text){copy, seeds[i].length};
        converse(input);
        free(copy);
    }
    return SEEDS;
}

static void run_all(void) {
    const struct text no = S(""), end = S("\r\n\r\n" CLOSES), reply = S("HTTP/1."),
                      ok = S("HTTP/1.1 200 OK"), chunked = S(CHUNKED);
    all_strings(compare_json, no,
                S("\x00\x1f \"\\\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee"
                  "\xef\xf0\xf1\xf3\xf4\xf5\xff"),
                4, no);
    all_strings(compare_json, no, S("a\xc3\xa9\xe2\x82\xf0"), 6, no);
    all_replacements(compare_json, no, S("a\xf0\x9f\x98\x80z"));
    all_strings(compare_reply, reply, S("0125 9\t\rx\x80\x7f\0"), 5, end);
    all_replacements(compare_reply, no, S(OK "\r\nx" CLOSES));
    all_strings(compare_reply, S(OK), S("a: \t\r\n(\x7f\x80\0"), 5, S("\r\n\r\nx" CLOSES));
    all_strings(compare_reply, S(OK "Content-Length:"), S("01a+, \t\r\0"), 4,
                S("\r\n\r\nxxxxxxxxxxx" CLOSES));
    all_replacements(compare_reply, ok, S("\r\nContent-Length: 3\r\n\r\nxxx" CLOSES));
    all_replacements(compare_reply, ok,
                     S("\r\nContent-Length: 018446744073709551615\r\n\r\n" CLOSES));
    all_strings(compare_reply, chunked, S("012ag;\r\n \x80"), 6, S(CLOSES));
    all_strings(compare_reply, S(CHUNKED "1\r\n"), S("01;\r\nx"), 7, S(CLOSES));
    all_strings(compare_reply, S(CHUNKED "0\r\n"), S("0\r\na:"), 7, end);
    all_replacements(compare_reply, chunked, S("0ffffffffffffffff\r\n" CLOSES));
    all_replacements(
        compare_reply, ok,
        S("\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nxxx\r\n0\r\nA: b\r\n\r\n" CLOSES));
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        for (size_t n = 0; n < sizeof bodies / sizeof *bodies; n++)
            all_strings(compare_reply, text_of(statuses[i]),
                        (struct text){NULL, sizeof lines / sizeof *lines}, 3, text_of(bodies[n]));
    if (EVENT_MAX < HEAD_MAX) /* by tiny.sh */
        all_at_the_limits();
    printf("%llu strings, 0 different\n", (unsigned long long)strings);
}

/* wire.c, which the conversations trust: no part of a request is a whole one. */
static void cut_requests(void) {
    static const char *const requests[] = {
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\nhi\r\n0\r\nB: c\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive, x\r\nExpect: 100-continue\r\n\r\n"};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        for (size_t n = 0; n <= strlen(requests[i]); n++) {
            struct request request;
            bool whole = request_parse(requests[i], n, &request) == REQUEST_COMPLETE;
            input = (struct text){requests[i], n};
            require(whole == (requests[i][n] == '\0') && !request.wrong, "a part of a request");
            request_free(&request);
        }
    static char endless[66 << 20];
    struct request request;
    memset(endless, 'x', sizeof endless);
    memcpy(endless, requests[1], strlen(requests[1]) - strlen("a\r\nhi\r\n0\r\nB: c\r\n\r\n"));
    input = (struct text){endless, 100};
    require(request_parse(endless, sizeof endless, &request) == REQUEST_MALFORMED,
            "a request without an end");
}

int main(int count, char **arguments) {
    const char *what = count == 2 ? arguments[1] : "";
    if (strcmp(what, "all") != 0 && strcmp(what, "seeds") != 0) {
        fprintf(stderr, "exhaustive: expected all or seeds\n");
        return 2;
    }
    unsigned passed = run_seeds();
    cut_requests();
    if (strcmp(what, "all") == 0) {
        run_all();
        passed++;
    }
    printf("%u passed, 0 failed\n", passed); /* a failure aborts */
    return 0;
}
