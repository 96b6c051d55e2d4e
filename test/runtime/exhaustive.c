/* exhaustive.c - every parser of bootstrap.c on all byte strings up to a length over the bytes that
 * matter to it, compared with reference.h.
 *
 *   exhaustive [MORE]     MORE, perhaps -1, lengthens all strings; each step costs a factor of ten
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

static ssize_t scripted_recv(int descriptor, void *to, size_t room);
#define recv(descriptor, to, room, flags) scripted_recv(descriptor, to, room)
#define main runtime_main
#include "../../bootstrap.c"
#undef main
#undef recv

#include "reference.h"

static unsigned passed, failed;
static uint64_t compared, different;
static size_t more; /* modulo 2^n, so that less is possible, too */

static void compare(struct text text, bool (*agrees)(struct text)) {
    compared++;
    if (!agrees(text) && different++ < 20) {
        char storage[1000];
        struct buffer to = {storage, 0, sizeof storage, false};
        append_json_string(&to, first_bytes(text, 150));
        printf("FAIL %.*s\n", (int)to.length, to.data);
    }
}

/* All that was compared since the last call is one test. */
static void done(const char *what) {
    printf("%-28s %9llu strings, %llu different\n", what, (unsigned long long)compared,
           (unsigned long long)different);
    compared && !different ? passed++ : failed++;
    compared = different = 0;
}

/* Compares each string of up to `most` symbols between prefix and suffix. A symbol is a text, most
 * often one byte. */
static void all_strings(const struct text *symbols, size_t count, size_t most, struct text prefix,
                        struct text suffix, bool (*agrees)(struct text)) {
    static char bytes[4096];
    size_t at[16] = {0}, length = 0;
    for (;;) {
        struct buffer to = {bytes, 0, sizeof bytes, false};
        append_text(&to, prefix);
        for (size_t i = 0; i < length; i++)
            append_text(&to, symbols[at[i]]);
        append_text(&to, suffix);
        compare(text_in(&to), agrees);
        size_t i = 0;
        while (i < length && ++at[i] == count)
            at[i++] = 0;
        if (i == length && ++length > most)
            return;
    }
}

static void all_bytes(struct text alphabet, size_t most, struct text prefix, struct text suffix,
                      bool (*agrees)(struct text)) {
    struct text symbols[256];
    for (size_t i = 0; i < alphabet.length; i++)
        symbols[i] = (struct text){alphabet.data + i, 1};
    all_strings(symbols, alphabet.length, most, prefix, suffix, agrees);
}

/* Each byte of the text replaced by each of the 256, and each two neighbours by each pair. */
static void all_replacements(struct text text, bool (*agrees)(struct text)) {
    char bytes[256];
    for (size_t i = 0; i < text.length; i++) {
        memcpy(bytes, text.data, text.length);
        for (unsigned pair = 0; pair < (i + 1 < text.length ? 65536u : 256u); pair++) {
            bytes[i] = (char)pair;
            if (i + 1 < text.length)
                bytes[i + 1] = (char)(pair >> 8);
            compare((struct text){bytes, text.length}, agrees);
        }
    }
}

/* Around the largest number: each digit replaced by each, up to two zeros before, a digit behind.
 */
static void check_large_numbers(void) {
    static const char *const largest[] = {"18446744073709551615", "18446744073709551616",
                                          "ffffffffffffffff", "10000000000000000"};
    char digits[64];
    for (size_t i = 0; i < 4; i++)
        for (size_t zeros = 0; zeros < 3; zeros++)
            for (size_t at = 0; at < strlen(largest[i]); at++)
                for (const char *digit = "0123456789abcdefABCDEFg"; *digit; digit++) {
                    snprintf(digits, sizeof digits, "%.*s%s", (int)zeros, "00", largest[i]);
                    digits[zeros + at] = *digit;
                    compare(text_of(digits), number_agrees);
                    strcat(digits, "0");
                    compare(text_of(digits), number_agrees);
                }
}

/* ---- The address ---- */

static void check_addresses(void) {
    static const char *const octets[] = {"0", "1", "10", "255", "256", "00", "01", "", "-1", "1a"};
    static const char *const tails[] = {
        "",         ":",       ":0",           ":1",
        ":80/",     ":65535",  ":65536",       ":1:1",
        "/",        "//a//",   ":1/a?",        ":1/#",
        ":1/a\x7f", ":1/\x80", ":00000000001", ":18446744073709551617"};
    char text[128];
    for (unsigned i = 0; i < 10000; i++)
        for (unsigned tail = 0; tail < sizeof tails / sizeof *tails; tail++) {
            snprintf(text, sizeof text, "%s.%s.%s.%s%s", octets[i % 10], octets[i / 10 % 10],
                     octets[i / 100 % 10], octets[i / 1000], tails[tail]);
            compare(text_of(text), address_agrees);
        }
}

/* ---- Replies ---- */

static struct text script;

static ssize_t scripted_recv(int descriptor, void *to, size_t room) {
    (void)descriptor;
    size_t n = script.length < room ? script.length : room;
    if (n)
        memcpy(to, script.data, n);
    script = (struct text){script.data + n, script.length - n};
    return (ssize_t)n;
}

/* The whole text is what the server sends; then it closes. */
static bool reply(struct text text) {
    static char memory[MEMORY_MAX];
    struct api_connection connection = {0};
    struct api_reply found;
    script = text;
    use_memory(&connection, memory, sizeof memory);
    read_reply(&connection, &found);
    return reply_agrees(text, CLOSED, connection.wrong, &found);
}

/* All sequences of lines about framing, behind each kind of status line. */
static void check_heads(void) {
#define LINE(text) \
    { text "\r\n", sizeof(text) + 1 }
    static const struct text lines[] = {
        LINE("Content-Length: 1"),
        LINE("content-length:1"),
        LINE("Content-Length: 2"),
        LINE("Transfer-Encoding: chunked"),
        LINE("Connection: close"),
        LINE("Transfer-encoding:CHUNKED"),
        LINE("Connection: keep-alive, x"),
        LINE("Transfer-Encoding: gzip"),
        LINE("X: y"),
        LINE("Content-Length: x"),
    };
    static const struct text status[] = {
        LINE("HTTP/1.1 200 OK"), LINE("HTTP/1.0 200 OK"), LINE("HTTP/1.1 204"),
        LINE("HTTP/1.1 304"),    LINE("HTTP/1.1 100"),    LINE("HTTP/1.1 101"),
        LINE("HTTP/1.1 500 x"),
    };
    static const struct text bodies[] = {{"\r\n", 2},
                                         {"\r\nx", 3},
                                         {"\r\n1\r\nx\r\n0\r\n\r\n", 13},
                                         {"\r\nHTTP/1.1 202 A\r\nContent-Length: 1\r\n\r\nx", 40}};
    for (size_t i = 0; i < sizeof status / sizeof *status; i++)
        for (size_t n = 0; n < sizeof bodies / sizeof *bodies; n++)
            all_strings(lines, sizeof lines / sizeof *lines, 3 + more, status[i], bodies[n], reply);
}

static void check_texts(void) {
    all_bytes(S("019afgF+- x"), 5 + more, S(""), S(""), number_agrees);
    check_large_numbers();
    done("numbers");
    all_bytes(S("\x00\x1f \"\\\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef"
                "\xf0\xf1\xf3\xf4\xf5\xff"),
              4 + more, S(""), S(""), json_agrees);
    all_replacements(S("a\xf0\x9f\x98\x80z"), json_agrees);
    done("JSON strings");
    all_bytes(S("a\xc3\xa9\xe2\x82\xf0"), 6 + more, S(""), S(""), first_bytes_agrees);
    done("first bytes");
    all_bytes(S("a, \t\r"), 7 + more, S(""), S(""), cut_agrees);
    all_bytes(S("a, \t\r"), 7 + more, S(""), S(""), trim_agrees);
    done("cutting and trimming");
    check_addresses();
    all_bytes(S("0125.:/l"), 5 + more, S(""), S(""), address_agrees);
    all_replacements(S("127.0.0.1:9001/a"), address_agrees);
    all_replacements(S("localhost:80"), address_agrees);
    done("addresses");
}

static void check_replies(void) {
#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
    all_bytes(S("0125 9\t\rx\x80\x7f\0"), 5 + more, S("HTTP/1."), S("\r\n\r\n"), reply);
    all_replacements(S("HTTP/1.1 200 OK\r\n\r\nx"), reply);
    done("status lines");
    all_bytes(S("a: \t\r\n(\x7f\x80\0"), 5 + more, S(OK), S("\r\n\r\nx"), reply);
    all_bytes(S("01a+, \t\r\0"), 4 + more, S(OK "Content-Length:"), S("\r\n\r\nxxxxxxxxxxx"),
              reply);
    all_replacements(S(OK "Content-Length: 3\r\n\r\nxxx"), reply);
    done("field lines");
    all_bytes(S("012ag;\r\n \x80"), 6 + more, S(CHUNKED), S(""), reply);
    all_bytes(S("01;\r\nx"), 7 + more, S(CHUNKED "1\r\n"), S(""), reply);
    all_bytes(S("0\r\na:"), 7 + more, S(CHUNKED "0\r\n"), S("\r\n\r\n"), reply);
    all_replacements(S(CHUNKED "3;a\r\nxxx\r\n0\r\nA: b\r\n\r\n"), reply);
    done("chunks and trailer sections");
    check_heads();
    done("heads");
}

int main(int count, char **arguments) {
    char *end = "";
    if (count > 1)
        more = (size_t)strtol(arguments[1], &end, 10);
    if (*end || count > 2) {
        fprintf(stderr, "exhaustive: %s: expected MORE, such as 1 or -1, or nothing\n",
                arguments[1]);
        return 2;
    }
    check_texts();
    check_replies();
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
