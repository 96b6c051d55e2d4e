/* unit.c - what no conversation shows: limits to the byte, pauses and memory.
 * What each parser refuses, and in which words, is in end_to_end.c; exhaustive.c holds replies and
 * JSON against reference.h.
 *
 * Includes the source and replaces the edge of the system: recv by a script, writev by one that
 * takes a few bytes, or the log, connect by one that may refuse, close by one that fails, poll by
 * one that does not wait. What is parsed ends at an inaccessible page, so that one byte read too
 * many ends the test; built with ASan and UBSan where the compiler has them.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE
#include "../lambda/wire.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "room.h"

static ssize_t scripted_writev(int, const struct iovec *, int);
static int scripted_connect(void);
static int failing_close(void);
static int counted_poll(int ms);
static long set_clock(long number, ...);
#define writev scripted_writev
#define connect(descriptor, address, length) scripted_connect()
#define socket(domain, type, protocol) (STDERR_FILENO + 1)
#define close(descriptor) failing_close()
#define poll(set, n, ms) counted_poll(ms)
#define syscall set_clock
#define main runtime_main
#define HANDLER echo
#include "../../bootstrap.c"
#undef main
static struct outcome echo(const struct invocation *invocation) {
    return success(invocation->event);
}
#undef memcpy

enum { FAILURES_MAX = 20 };
static unsigned passed, failed;

static _Noreturn void end(void) {
    printf("%u passed, %u failed\n", passed, failed);
    exit(failed ? 1 : 0);
}

static void check(bool fine, const char *what, struct text shown) {
    char storage[512];
    struct buffer to = {storage, 0, sizeof storage - 1, false};
    fine ? passed++ : failed++;
    if (fine)
        return;
    append_json_string(&to, first_bytes(shown, 60));
    printf("FAIL %s %.*s\n", what, (int)to.length, to.data);
    if (failed == FAILURES_MAX)
        end();
}

/* ---- Memory with an inaccessible page behind it ---- */

enum { ACCESSIBLE = 1 << 20 };
static char *wall; /* the first byte that cannot be touched */

static void build_wall(void) {
    char *memory =
        mmap(NULL, ACCESSIBLE + MEMORY_MAX, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, ACCESSIBLE, PROT_READ | PROT_WRITE) != 0) {
        perror("unit: mmap");
        exit(1);
    }
    wall = memory + ACCESSIBLE;
}

static struct text at_wall(struct text text) {
    char *copy = wall - text.length;
    free_room(NULL, 0);
    if (text.length)
        memcpy(copy, text.data, text.length);
    return (struct text){copy, text.length};
}

/* ---- Text ---- */

static void test_comparing(void) {
    check(equal(first_bytes(at_wall(S("abc")), 3), S("abc")), "all of its bytes", ABSENT);
    check(equal(trim_end(at_wall(S(" a "))), S(" a")), "trim_end", ABSENT);
    check(equal_in_any_case(at_wall(S("aZ-1")), S("Az-1")), "equal", ABSENT);
    check(!equal_in_any_case((struct text){"ab", 1}, S("ab")), "shorter", ABSENT);
    check(!equal_in_any_case(S("ab"), (struct text){"ab", 1}), "longer", ABSENT);
    check(!equal_in_any_case(at_wall(S("ab")), S("xb")), "another first byte", ABSENT);
    check(!equal_in_any_case(at_wall(S("@")), S("`")), "no letter", ABSENT);
    check(!equal_in_any_case(at_wall(S("[")), S("{")), "no letter", ABSENT);
    check(!equal(S("ab"), (struct text){"ab", 1}) && !equal(S(""), S("a")), "lengths", ABSENT);
    check(!equal(S("ab"), S("aB")) && equal(ABSENT, S("")), "equal", ABSENT);
    check(text_of(NULL).data == NULL && text_of(NULL).length == 0 && text_of("").data != NULL,
          "absent is not empty", ABSENT);
}

static void test_buffer(void) {
    char storage[4] = {[3] = '.'};
    struct buffer to = {storage, 0, 3, false};
    append_text(&to, S("ab"));
    append_text(&to, S(""));
    append_text(&to, ABSENT);
    check(!to.overflow && to.length == 2, "append", text_in(&to));
    append_text(&to, S("cd"));
    check(to.overflow && to.length == 2, "append beyond the end", text_in(&to));
    append_text(&to, S("c"));
    check(to.overflow && to.length == 3 && storage[3] == '.', "overflow is remembered", ABSENT);
    char escaped[16];
    struct buffer json = {escaped, 0, sizeof escaped, false};
    append_json_string(&json, at_wall(S("a b\x7f\xe0")));
    check(equal(text_in(&json), S("\"a b\\u007f\xef\xbf\xbd\"")), "JSON", text_in(&json));
    char digits[20];
    struct buffer number = {digits, 0, sizeof digits, false};
    append_number(&number, UINT64_MAX);
    check(equal(text_in(&number), S("18446744073709551615")), "number", text_in(&number));
    number.length = 0;
    append_number(&number, 0);
    check(equal(text_in(&number), S("0")), "number", text_in(&number));
}

/* ---- What a function can call ---- */

/* As the C library writes them, up to 2103, at least once a day. */
static void test_timestamps(void) {
    char storage[32], expected[64];
    struct buffer to;
    bool same = true;
    for (uint64_t ms = 0; same && ms < 4200000000000; ms += 50000017) {
        time_t seconds = (time_t)(ms / 1000);
        size_t n = strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S", gmtime(&seconds));
        snprintf(expected + n, sizeof expected - n, ".%03uZ", (unsigned)(ms % 1000));
        to = (struct buffer){storage, 0, sizeof storage, false};
        append_timestamp(&to, ms);
        same = equal(text_in(&to), text_of(expected));
    }
    check(same, expected, text_in(&to));
}

static void test_base64(void) {
    static const char bytes[] = "\xff\xfe\xfd\0foobar";
    for (size_t length = 0; length < sizeof bytes; length++) {
        char storage[16];
        struct buffer to = {storage, 0, sizeof storage, false};
        struct bytes expected = {0};
        append_base64(&to, (struct text){bytes, length});
        base64(&expected, bytes, length);
        check(equal(text_in(&to), (struct text){expected.data, expected.length}), "base64",
              text_in(&to));
        bytes_free(&expected);
    }
}

/* ---- The log ---- */

/* A line that is JSON, and nothing else. */
static bool is_json_line(struct text line) {
    size_t wrong;
    return line.length && json_is_valid(line.data, line.length - 1, &wrong);
}

static bool is_one_line(struct text line) {
    return line.length && memchr(line.data, '\n', line.length) == line.data + line.length - 1;
}

static char log_bytes[2 * HEAD_MAX];
static struct buffer logged = {log_bytes, 0, sizeof log_bytes, false};

/* However long its parts, and however much longer they become when they are escaped, an entry is
 * one whole line within the limit. */
static void test_log_entries(void) {
    enum { MOST = 60 * 1024 };
    static char bytes[HEAD_MAX];
    static const char kinds[] = "x\n\1\"";
    for (const char *kind = kinds; *kind; kind++) {
        struct text all = {memset(bytes, *kind, sizeof bytes), sizeof bytes};
        const struct invocation small = {.request_id = S("r1")},
                                large = {.request_id = first_bytes(all, REQUEST_ID_MAX),
                                         .tenant_id = all,
                                         .trace_id = all};
        for (size_t length = 0; length <= MOST + 100;
             length += length < 20 || length > MOST - 20 ? 1 : 313) {
            for (int odd = 0; odd < 2; odd++) {
                const struct invocation *invocation = odd ? &large : &small;
                struct text message = {bytes, length},
                            type = odd ? first_bytes(all, ERROR_TYPE_MAX) : ABSENT;
                size_t before = odd ? 5 + 1 + 256 + 1 + 256 + 2 : 5 + 1 + 2 + 1;
                struct buffer line = {wall - MOST, 0, MOST, false};
                append_text_entry(&line, LEVEL_ERROR, invocation, type, message);
                check(line.length == (before + length < MOST ? before + length + 1 : MOST) &&
                          is_one_line(text_in(&line)) && !line.overflow,
                      "text entry", first_bytes(text_in(&line), 20));
                line = (struct buffer){wall - MOST, 0, MOST, false};
                append_json_entry(&line, LEVEL_ERROR, invocation, type, message);
                check(is_json_line(text_in(&line)) && !line.overflow &&
                          (length < MOST || line.length > MOST - 6),
                      "JSON entry", first_bytes(text_in(&line), 20));
            }
        }
        logged.length = 0;
        log_line(LEVEL_INFO, NULL, all);
        check(logged.length == MOST && is_one_line(text_in(&logged)), "the longest line", ABSENT);
    }
}

/* What report_fault() writes with these. */
static struct text reported(const char *operation, const char *detail, struct text received,
                            const char *advice) {
    logged.length = 0;
    report_fault(LEVEL_WARN, operation, detail, received, advice);
    return text_in(&logged);
}

/* The runtime's own messages: whole, whatever was found, and whoever is served. */
static void test_messages(void) {
    static char bytes[HEAD_MAX];
    static const char advice[] = "expected host:port, the host as an IPv4 number or localhost, the "
                                 "port from 1 to 65535, such as 127.0.0.1:9001";
    memset(bytes, '\1', sizeof bytes);
    struct text all = {bytes, sizeof bytes};
    const struct invocation large = {
        .request_id = first_bytes(all, REQUEST_ID_MAX), .tenant_id = all, .trace_id = all};
    current_invocation = &large;
    for (size_t length = 0; length < 2 * FOUND_MAX; length++)
        for (int json = 0; json < 2; json++) {
            log_as_json = json;
            struct text got = reported("AWS_LAMBDA_RUNTIME_API", BODY_CUT_OFF,
                                       (struct text){bytes, length}, advice),
                        end = json ? S("127.0.0.1:9001\"}\n") : S("127.0.0.1:9001\n");
            check(got.length > end.length && got.length <= LOG_LINE_MAX && is_one_line(got) &&
                      (!json || is_json_line(got)) &&
                      equal(without(got, got.length - end.length), end),
                  "message", got);
        }
    current_invocation = NULL;
    log_as_json = false;
    check(equal(reported("x", "y", ABSENT, "z"), S("WARN bootstrap: x: y: z\n")), "detail", ABSENT);
    check(equal(reported("x", NULL, S(""), "z"), S("WARN bootstrap: x: \"\": z\n")), "empty",
          ABSENT);
}

/* Why a system call failed, in words where the reason is to be expected. */
static void test_reasons(void) {
    static const struct {
        int number;
        const char *text;
    } rows[] = {{ECONNREFUSED, "WARN bootstrap: x: connection refused: y\n"},
                {ENETUNREACH, "WARN bootstrap: x: network is unreachable: y\n"},
                {EAGAIN, "WARN bootstrap: x: too many processes: y\n"},
                {ENOMEM, "WARN bootstrap: x: out of memory: y\n"},
                {EMFILE, "WARN bootstrap: x: too many open files: y\n"},
                {EPERM, "WARN bootstrap: x: operation not permitted: y\n"},
                {4711, "WARN bootstrap: x: errno 4711: y\n"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        errno = rows[i].number;
        struct text line = reported("x:", NULL, ABSENT, "y");
        check(equal(line, text_of(rows[i].text)), "reason", line);
    }
}

/* Whole, and of the runtime's form, whatever the type and the message are. */
static bool is_error(struct text json) {
    struct text begin = S("{\"errorType\":\""),
                middle = S("\",\"stackTrace\":[],\"errorMessage\":\"");
    size_t wrong;
    return json_is_valid(json.data, json.length, &wrong) && begins_with(json, begin) &&
           memmem(json.data, json.length, middle.data, middle.length);
}

/* However little room there is, the document is whole; in trailers it stays within 4 KB. */
static void test_error_documents(void) {
    enum { TYPE = 256, MESSAGE = 64 * 1024 };
    static char bytes[MESSAGE + 100], plain[5000];
    memset(bytes, '\1', sizeof bytes); /* each becomes six */
    memset(plain, 'x', sizeof plain);
    for (size_t type = 2; type <= TYPE + 1; type += 51) {
        struct outcome error =
            failure((struct text){bytes, type}, (struct text){bytes, sizeof bytes});
        size_t shown = type < TYPE ? type : TYPE;
        for (size_t most = 0; most < 2100; most++) {
            struct text json = error_json(&error, most);
            bool has_room = most >= 50 + 6 * shown; /* for the document without a message */
            check(json.length <= most && (!has_room || (json.length > most - 8 && is_error(json))),
                  "error", json);
        }
        check(error_type(&error).length == shown, "type", ABSENT);
        struct text frame = S("{\"errorType\":\"\",\"stackTrace\":[],\"errorMessage\":\"\"}");
        check(error_json(&error, ERROR_JSON_MAX).length == frame.length + 6 * (MESSAGE + shown),
              "whole message", ABSENT);
        error.error_message = (struct text){plain, sizeof plain};
        check(error_json(&error, 2000).length == 2000, "no byte less than there is room", ABSENT);
        struct text trailers = error_trailers(&error);
        check(trailers.length <= 4094 && trailers.length > 4090 &&
                  equal((struct text){trailers.data + trailers.length - 2, 2}, S("\r\n")),
              "trailers", trailers);
    }
}

static void test_error_type(void) {
    char storage[100];
    struct buffer field = {storage, 0, sizeof storage, false};
    append_error_type(&field, &(struct outcome){.error_type = S("a b\n\xc3")});
    check(equal(text_in(&field), S("Lambda-Runtime-Function-Error-Type: a b??\r\n")), "type",
          text_in(&field));
}

/* Cut in front of a UTF-8 sequence that does not fit; what is none gives up three bytes at most. */
static void test_first_bytes(void) {
    static const struct {
        const char *text;
        size_t most, length;
    } rows[] = {{"ab", 2, 2},
                {"abc", 2, 2},
                {"a\xc3\xa9", 2, 1},
                {"a\xe2\x82\xac", 3, 1},
                {"\xc3\xa9", 1, 0},
                {"a\xf0\x9f\x98\x80", 4, 1},
                {"\x80\x80\x80\x80\x80", 4, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(first_bytes(text_of(rows[i].text), rows[i].most).length == rows[i].length,
              "first bytes", text_of(rows[i].text));
}

static void test_hex(void) {
    static const uint64_t numbers[] = {0, 15, 16, 17, UINT64_MAX};
    char storage[22], *end = storage + sizeof storage;
    for (size_t i = sizeof numbers / sizeof *numbers; i > 0; i--)
        end = put_digits(end, numbers[i - 1], 16);
    check(equal((struct text){storage, sizeof storage}, S("0f1011ffffffffffffffff")) &&
              end == storage,
          "hex", ABSENT);
}

static void test_room_before(void) {
    struct buffer buffer = {NULL, 3, 5, false};
    check(room_before(&buffer, 1) == 1 && room_before(&buffer, 2) == 0 &&
              room_before(&buffer, 3) == 0 && room_before(&buffer, SIZE_MAX) == 0,
          "room", ABSENT);
}

static void test_variables(void) {
    char *variables[] = {"NAMES=x", "NAME=a.b=c", "EMPTY=", "NOTHING", "=", NULL};
    static const struct {
        const char *name, *value; /* NULL: absent */
    } rows[] = {{"NAME", "a.b=c"}, {"NAMES", "x"},   {"EMPTY", ""},   {"NOTHING", NULL},
                {"NAM", NULL},     {"NAMESX", NULL}, {"OTHER", NULL}, {"LAME", NULL}};
    char **before = environ;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        environ = variables;
        struct text value = environment_variable(rows[i].name);
        check(equal(value, text_of(rows[i].value)) && !value.data == !rows[i].value, "variable",
              text_of(rows[i].name));
        environ = variables + 5;
        check(!environment_variable(rows[i].name).data, "no variable", text_of(rows[i].name));
    }
    environ = before;
}

static long set_clock(long number, ...) {
    va_list arguments;
    va_start(arguments, number);
    check(number == SYS_clock_gettime && va_arg(arguments, int) == CLOCK_REALTIME, "clock", ABSENT);
    *va_arg(arguments, struct timespec *) = (struct timespec){1700000000, 5000000};
    va_end(arguments);
    return 0;
}

/* The variable from outside is left out; of an environment larger than any, also what finds no
 * room. */
static void test_reserving(void) {
    enum { SLOTS = ENVIRONMENT_MAX / sizeof(char *) };
    static char *many[SLOTS + 1], other[] = "A=b", outside[] = "_X_AMZN_TRACE_ID=x";
    static _Alignas(64) char memory[ENVIRONMENT_MAX];
    static const size_t kept[] = {SLOTS / 2, SLOTS - 8};
    char **before = environ;
    for (size_t row = 0; row < 2; row++) {
        struct api_connection c;
        size_t count = 0, traces = 0;
        for (size_t i = 0; i < SLOTS; i++)
            many[i] = row || i % 2 ? other : outside;
        environ = many;
        memset(memory, 1, sizeof memory);
        use_memory(&c, memory, sizeof memory);
        reserve_trace_variable(&c);
        for (; environ[count] && environ[count] != outside; count++)
            traces += environ[count] == trace_variable;
        check((char *)environ == memory && traces == 1 && count == kept[row] + 1 &&
                  !environ[count] && c.memory >= (char *)(environ + count + 1) &&
                  c.memory <= memory + sizeof memory && (uintptr_t)c.memory % 64 == 0 &&
                  c.kept == c.memory && c.end == c.memory && c.touched == c.memory,
              "the environment", ABSENT);
    }
    environ = before;
}

static void test_time(void) {
    static const struct {
        uint64_t deadline_ms, remaining_ms;
    } rows[] = {
        {1700000010005, 10000}, {1700000000006, 1}, {1700000000005, 0}, {1700000000004, 0}, {1, 0},
        {0, UINT64_MAX}};
    check(now_ms() == 1700000000005, "milliseconds", ABSENT);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(remaining_ms(&(struct invocation){.deadline_ms = rows[i].deadline_ms}) ==
                  rows[i].remaining_ms,
              "remaining time", ABSENT);
}

/* ---- Memory ---- */

static unsigned given_back; /* how many times */
static size_t given_back_bytes;

static int double_madvise(void *from, size_t length) {
    check((uintptr_t)from % PAGE_MAX == 0, "whole pages", ABSENT);
    given_back++;
    given_back_bytes += length;
    return 0;
}

/* Of what lies beyond MEMORY_KEPT, in whole pages, once, and not before a small event. */
static void test_giving_back(void) {
    enum { BOUND = MEMORY_KEPT + PAGE_MAX }; /* if memory does not begin with a page */
    static const struct {
        size_t begin, kept, touched, expected;
    } rows[] = {{0, 0, MEMORY_KEPT, 0},
                {0, 0, MEMORY_KEPT + 1, 1},
                {0, MEMORY_KEPT, MEMORY_KEPT + 70000, 70000},
                {0, MEMORY_KEPT + 1, MEMORY_KEPT + 70000, 0},
                {64, 64, BOUND, 0},
                {64, BOUND, BOUND + 1, 1},
                {64, BOUND + 1, BOUND + 70000, 0},
                {PAGE_MAX - 1, BOUND, BOUND + 70000, 70000}};
    static char storage[BOUND + 70000 + PAGE_MAX]; /* older linkers align by 4 KiB at the most */
    char *memory = storage + -(uintptr_t)storage % PAGE_MAX;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct api_connection c;
        char *begin = memory + rows[i].begin;
        use_memory(&c, begin, BOUND + 70000 - rows[i].begin);
        c.kept = memory + rows[i].kept;
        c.touched = memory + rows[i].touched;
        given_back = 0, given_back_bytes = 0;
        rewind_memory(&c);
        check(given_back == (rows[i].expected > 0) && given_back_bytes == rows[i].expected,
              "given back", ABSENT);
        check(c.kept == begin && c.unread == begin && c.end == begin, "rewound", ABSENT);
        bool later = c.touched > memory + (rows[i].begin ? BOUND : MEMORY_KEPT);
        given_back = 0;
        rewind_memory(&c);
        check(given_back == later && later == (rows[i].kept % PAGE_MAX == 1), "given back later",
              ABSENT);
    }
}

/* Behind the event, aligned, and all in all no more than the 16 MiB that README names. */
static void test_allocating(void) {
    enum { UNIT = sizeof(max_align_t), ALL = 16 * 1024 * 1024 };
    static _Alignas(64) char memory[ALL + 2 * UNIT];
    static const size_t sizes[] = {1, 1000, 0, ALL, SIZE_MAX, SIZE_MAX - UNIT, UNIT};
    struct runtime runtime = {0};
    struct invocation invocation = {.runtime = &runtime};
    struct api_connection *c = &runtime.connection;
    char *expected = memory + UNIT;
    use_memory(c, memory, sizeof memory);
    c->kept = c->unread = c->end = memory + 5; /* the event */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool fits = sizes[i] < ALL;
        check(allocate(&invocation, sizes[i]) == (fits ? expected : NULL), "allocated", ABSENT);
        expected += fits ? (sizes[i] + UNIT - (sizes[i] > 0)) / UNIT * UNIT : 0;
        check(c->kept == expected && c->unread == expected && c->end == expected &&
                  c->touched == expected && runtime.allocated == (size_t)(expected - memory) - UNIT,
              "all that was allocated is kept", ABSENT);
    }
    size_t rest = ALL - runtime.allocated;
    check(!allocate_buffer(&invocation, rest + 1).data, "too much", ABSENT);
    struct buffer all = allocate_buffer(&invocation, rest);
    check(all.data == expected && all.capacity == rest && !all.length && !all.overflow, "the rest",
          ABSENT);
    check(!allocate(&invocation, 0) && allocate_buffer(&invocation, 1).capacity == 0, "none left",
          ABSENT);
    current_invocation = &invocation;
    clean_up(&runtime);
    check(!current_invocation && allocate(&invocation, ALL) == memory,
          "all for the next invocation", ABSENT);
}

/* ---- The address ---- */

static void test_addresses(void) {
    static const struct {
        const char *setting;
        uint32_t address;
        uint16_t port;
        const char *host, *path;
    } rows[] = {
        {"127.0.0.1:9001", 0x7f000001, 9001, "127.0.0.1:9001", ""},
        {"169.254.100.1:1", 0xa9fe6401, 1, "169.254.100.1:1", ""},
        {"255.255.255.255:65535", 0xffffffff, 65535, "255.255.255.255:65535", ""},
        {"127.0.0.1", 0x7f000001, 80, "127.0.0.1", ""},
        {"localhost", 0x7f000001, 80, "localhost", ""},
        {"LocalHost:8080/", 0x7f000001, 8080, "LocalHost:8080", ""},
        {"10.0.0.1/_runtime/f", 0x0a000001, 80, "10.0.0.1", "/_runtime/f"},
        {"10.0.0.1:007/a//", 0x0a000001, 7, "10.0.0.1:007", "/a"},
        {"http://127.0.0.1:1", 0x7f000001, 1, "127.0.0.1:1", ""},
        {"HTTP://localhost/a//", 0x7f000001, 80, "localhost", "/a"},
    };
    struct text refused = S("http:/|http://|http:///127.0.0.1|http://http://127.0.0.1|"
                            "https://127.0.0.1|ttp://127.0.0.1||:9001|/|127.0.0.1:|127.0.0.1:0|"
                            "127.0.0.1:65536|127.0.0.1:18446744073709560617|127.0.0.1:9001:1|"
                            "127.0.0.1:-1|127.0.0:1|127.0.0.1.1:1|127.0.0.1.:1|127..0.1:1|"
                            "127.0.0.01:1|127.0.0.256:1|127.0.0.4294967297:1|2130706433:1|local:1|"
                            "localhost.:1|[::1]:1|127.0.0.1:1/a b|127.0.0.1:1/\x7f|"
                            "127.0.0.1:1/\xc3\xa9|127.0.0.1:1/#|127.0.0.1:1?|127.0.0.1 :80|"
                            "http://127.0.0.1:0|http:127.0.0.1:80"),
                one;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct runtime runtime = {0};
        struct text setting = at_wall(text_of(rows[i].setting));
        const char *wrong = parse_address(setting, &runtime);
        const struct sockaddr_in *a = &runtime.connection.address;
        check(!wrong && ntohl(a->sin_addr.s_addr) == rows[i].address &&
                  ntohs(a->sin_port) == rows[i].port && a->sin_family == AF_INET &&
                  equal(runtime.host, text_of(rows[i].host)) &&
                  equal(runtime.path, text_of(rows[i].path)),
              "address", setting);
    }
    for (bool more = true; more;) {
        struct runtime runtime = {0};
        more = cut(&refused, '|', &one);
        check(parse_address(at_wall(one), &runtime) != NULL, "no address", one);
    }
    char longest[1025];
    struct runtime runtime = {0};
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "1.2.3.4/", 8);
    check(!parse_address((struct text){longest, 1024}, &runtime), "longest address", ABSENT);
    check(parse_address((struct text){longest, 1025}, &runtime), "longer", ABSENT);
}

/* ---- The scripted server ---- */

static struct {
    struct text bytes;
    size_t at, first, piece; /* `first` bytes in the first piece, `piece` in every other */
} script;

static void play(struct text bytes, size_t first, size_t piece) {
    script.bytes = bytes;
    script.at = 0;
    script.first = first;
    script.piece = piece;
}

static bool silent; /* nothing has come */
static unsigned receives;

static ssize_t double_recv(int descriptor, void *to, size_t room, int flags) {
    (void)descriptor;
    receives++;
    errno = EAGAIN;
    if (flags && silent)
        return -1;
    size_t n = script.at == 0 ? script.first : script.piece;
    n = n < script.bytes.length - script.at ? n : script.bytes.length - script.at;
    n = n < room ? n : room;
    if (n)
        memcpy(to, script.bytes.data + script.at, n);
    script.at += n;
    return (ssize_t)n;
}

static void test_staleness(void) {
    struct api_connection c = {.socket = -1};
    play(S("ab"), 2, 2);
    check(is_stale(&c), "bytes that nobody asked for", ABSENT);
    play(S(""), 0, 0);
    check(is_stale(&c), "the end of the connection", ABSENT);
    silent = true;
    check(!is_stale(&c), "nothing", ABSENT);
    silent = false;
}

/* ---- Connecting ---- */

static int closed, paused_ms;
static bool refuses;

static int scripted_connect(void) {
    errno = ECONNREFUSED;
    return refuses ? -1 : 0;
}

static int failing_close(void) {
    closed++;
    errno = EIO;
    return -1;
}

static int counted_poll(int ms) {
    paused_ms += ms;
    return 0;
}

static void test_connecting(void) {
    struct api_connection c = {.socket = -1};
    closed = paused_ms = 0;
    refuses = true;
    check(!connect_to_api(&c) && errno == ECONNREFUSED, "why there is no connection", ABSENT);
    check(c.socket == -1 && closed == 11 && paused_ms == 1023, "a second of trying", ABSENT);
}

/* ---- Sending ---- */

static struct {
    struct buffer taken;
    size_t most; /* of one call; the next one is interrupted */
    size_t left; /* until the connection breaks */
    bool interrupted;
} wire;

static ssize_t scripted_writev(int descriptor, const struct iovec *pieces, int count) {
    if (descriptor == STDERR_FILENO) {
        append_text(&logged, (struct text){pieces->iov_base, pieces->iov_len});
        return (ssize_t)pieces->iov_len;
    }
    size_t most = wire.most < wire.left ? wire.most : wire.left, room = most;
    wire.interrupted = !wire.interrupted;
    errno = wire.left ? EINTR : EPIPE;
    if (wire.interrupted || !wire.left)
        return -1;
    for (int i = 0; i < count; i++) {
        size_t n = pieces[i].iov_len < room ? pieces[i].iov_len : room;
        append_text(&wire.taken, (struct text){pieces[i].iov_base, n});
        room -= n;
    }
    wire.left -= most - room;
    return (ssize_t)(most - room);
}

static void test_sending(void) {
    const struct text pieces[TEXTS_MAX] = {S("head"), S(""), S("body"), S("\r\n")};
    static const size_t whole[] = {0, 0, 0, 0, 2, 2, 2, 2, 3, 3, TEXTS_MAX, TEXTS_MAX};
    char storage[16];
    for (size_t left = 0; left < sizeof whole / sizeof *whole; left++)
        for (wire.most = 1; wire.most <= 11; wire.most++) {
            wire.left = left;
            wire.taken = (struct buffer){storage, 0, sizeof storage, false};
            size_t sent = send_texts(0, pieces);
            check(sent == whole[left] &&
                      equal(text_in(&wire.taken), first_bytes(S("headbody\r\n"), left)),
                  "sent in pieces", text_in(&wire.taken));
        }
}

/* Whether the kernel took the whole body is what counts, and it is never taken for less. */
static void test_breaking_off(void) {
    static char memory[100];
    wire.most = SIZE_MAX;
    wire.taken = (struct buffer){0};
    for (size_t taken = 0; taken <= 8; taken++) {
        struct api_connection c = {.wrong = "of the last exchange"};
        struct api_reply reply;
        use_memory(&c, memory, sizeof memory);
        play(S(""), 0, 0);
        wire.left = taken;
        exchange_once(&c, S("head"), S("body"), &reply);
        check(c.wrong == (taken >= 4 && taken < 8 ? BODY_CUT_OFF : CONNECTION_LOST), "broken off",
              ABSENT);
    }
}

static void test_streams(void) {
    static char memory[REQUEST_HEAD_MAX + 64], large[PRELUDE_MAX + 1], sent[PRELUDE_MAX + 1000];
    struct runtime runtime = {.answer = finish_stream};
    struct invocation invocation = {.runtime = &runtime};
    use_memory(&runtime.connection, memory, sizeof memory);
    memset(large, 'x', sizeof large);
    stream_state = STREAM_BROKEN;
    check(!stream_write(&invocation, S("x")) && !stream_write(&invocation, S("")), "broken stream",
          ABSENT);
    runtime.answer = send_outcome;
    check(!stream_write(&invocation, S("x")), "not yet a stream", ABSENT);
    check(!stream_begin(&invocation, S("a\r\nb: c")), "control characters", ABSENT);
    check(!stream_begin_http(&invocation, S("{\0}")), "a NUL", ABSENT);
    check(!stream_begin_http(&invocation, (struct text){large, sizeof large}), "prelude", ABSENT);
    refuses = false;
    wire.most = wire.left = SIZE_MAX;
    wire.taken = (struct buffer){sent, 0, sizeof sent, false};
    check(stream_begin_http(&invocation, (struct text){large, PRELUDE_MAX}) &&
              memmem(sent, wire.taken.length, "\r\n\r\n4000\r\nxxx", 13) &&
              !memcmp(sent + wire.taken.length - 11, "x\0\0\0\0\0\0\0\0\r\n", 11),
          "longest prelude", ABSENT);
    hang_up(&runtime.connection);
    runtime.answer = send_outcome;
    check(!stream_begin(&invocation, (struct text){large, 257}) &&
              stream_begin(&invocation, (struct text){large, 256}),
          "content type", ABSENT);
    check(!stream_begin(&invocation, S("")) && !stream_begin_http(&invocation, S("")),
          "a second stream", ABSENT);
}

/* The server closes behind each request; 4, 16, 64 and 256 ms between the later attempts. */
static void test_attempts(void) {
    struct runtime runtime = {0};
    static char memory[100];
    struct api_reply reply;
    use_memory(&runtime.connection, memory, sizeof memory);
    play(S(""), 0, 0);
    closed = paused_ms = 0;
    refuses = false;
    wire.most = wire.left = SIZE_MAX;
    wire.taken = (struct buffer){0}; /* which takes nothing */
    exchange(&runtime, S("body"), NEXT_ATTEMPTS_MAX, &reply);
    check(runtime.connection.wrong == CONNECTION_LOST, "lost", ABSENT);
    check(closed == 6 && paused_ms == 340, "six attempts", ABSENT);
}

/* Without an event: asked again after 1, 2, 4 ... 512 ms, and from then on every second, in the same
 * memory. */
static void test_asking_again(void) {
    struct runtime runtime = {0};
    static char memory[REQUEST_HEAD_MAX + HEAD_MAX + 1000], bytes[1000];
    struct buffer to = {bytes, 0, sizeof bytes, false};
    struct api_reply reply;
    for (int i = 0; i < 12; i++)
        append_text(&to, S("HTTP/1.1 204 No Content\r\n\r\n"));
    append_text(
        &to,
        S("HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: r1\r\nContent-Length: 0\r\n\r\n"));
    use_memory(&runtime.connection, memory, sizeof memory);
    play(text_in(&to), 27, 27); /* one 204 at a time */
    closed = paused_ms = 0;
    wire.taken = (struct buffer){0};
    check(next_invocation(&runtime, &reply) && equal(reply.invocation.request_id, S("r1")) &&
              closed == 0 && paused_ms == 1023 + 2 * 1000,
          "asked again", ABSENT);
    check(runtime.connection.kept < memory + 500, "what came without an event is forgotten",
          ABSENT);
    hang_up(&runtime.connection);
    rewind_memory(&runtime.connection);
    play(S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 100, 0);
    restore_function(&runtime);
    check(runtime.connection.kept == memory, "so is the reply to a restore", ABSENT);
    runtime.workers = 1;
    propagate_tracing_header(&runtime, S("x"));
    check(equal(text_of(trace_variable), S("_X_AMZN_TRACE_ID=x")), "the trace id", ABSENT);
}

/* ---- Lifecycle ---- */

/* However often: other events, or the same with another deadline, are no repetition, which would
 * end this process at the third. */
static void test_refusals(void) {
    char id[] = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
    struct runtime runtime = {.refused = true};
    struct invocation invocation = {.deadline_ms = 1, .runtime = &runtime};
    for (int i = 0; i < 16; i++) {
        id[i < 8 ? 0 : 35] = (char)('0' + i % 2);
        invocation.request_id = at_wall(text_of(id));
        limit_refusals(&invocation);
    }
    for (invocation.deadline_ms = 0; invocation.deadline_ms < 8; invocation.deadline_ms++)
        limit_refusals(&invocation);
    runtime.refused = false;
    limit_refusals(&invocation);
    check(true, "refused one after the other", ABSENT);
}

/* It has not given up, although it has received no event. */
static void test_killed_worker(void) {
    struct worker worker = {.pid = fork()};
    if (worker.pid == 0)
        raise(SIGKILL);
    check(ended_worker(&worker, 1) == &worker && worker.deaths == 1, "a worker killed", ABSENT);
}

/* ---- The first failure stays: who reads from then on gets nothing, and asks for nothing ---- */

static void reply_of(struct api_connection *c, struct text *body) {
    struct api_reply reply;
    read_reply(c, &reply);
    *body = reply.body;
}

static void bytes_of(struct api_connection *c, struct text *body) {
    receive_body(c, 1, body);
}

static void too_many_bytes_of(struct api_connection *c, struct text *body) {
    receive_body(c, UINT64_MAX, body);
}

static void test_failed_connections(void) {
    static char memory[2 * HEAD_MAX];
    static const char bytes[] = "1\r\nx\r\n0\r\n\r\n";
    static const char *const failures[] = {CONNECTION_LOST, BODY_TOO_LARGE, "what a parser says"};
    static const struct {
        const char *name;
        void (*read)(struct api_connection *, struct text *);
    } rows[] = {
        {"a reply", reply_of},
        {"bytes", bytes_of},
        {"too many bytes", too_many_bytes_of},
        {"chunks", read_chunked_body},
        {"bytes until the close", read_body_until_close},
    };
    for (size_t i = 0; i < 3 * sizeof rows / sizeof *rows; i++) {
        const char *first = failures[i % 3];
        struct api_connection c = {.wrong = first};
        struct text body = ABSENT;
        use_memory(&c, memory, sizeof memory);
        memcpy(c.end, bytes, sizeof bytes - 1); /* has come already, as more would */
        c.end += sizeof bytes - 1;
        play(text_of(bytes), 4, 4);
        receives = 0;
        rows[i / 3].read(&c, &body);
        check(c.wrong == first && receives == 0 && body.length == 0, rows[i / 3].name,
              text_of(first));
    }
}

/* Behind a body there stays room for TRAILER_MAX bytes of what follows it. */
static void test_room(void) {
    static char memory[TRAILER_MAX + 100];
    static const char bytes[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for (size_t missing = 0; missing < 2; missing++) {
        struct api_reply reply;
        struct api_connection c = {0};
        play(text_of(bytes), 7, 7);
        use_memory(&c, memory, sizeof bytes - 1 + TRAILER_MAX - missing);
        read_reply(&c, &reply);
        check(c.wrong == (missing ? BODY_TOO_LARGE : NULL), "room", ABSENT);
    }
}

/* What was read and is not kept gives its memory to what comes. */
static void test_many_chunks(void) {
    enum { CHUNKS = 15000 };
    static char memory[HEAD_MAX + CHUNKS + 1000], bytes[100 + 6 * CHUNKS];
    struct buffer to = {bytes, 0, sizeof bytes, false};
    struct api_reply reply;
    struct api_connection c = {0};
    append_text(&to, S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for (size_t i = 0; i < CHUNKS; i++)
        append_text(&to, S("1\r\nx\r\n"));
    append_text(&to, S("0\r\n\r\n"));
    play(text_in(&to), 4096, 4096);
    use_memory(&c, memory, sizeof memory);
    read_reply(&c, &reply);
    check(!c.wrong && reply.body.length == CHUNKS, "chunks of one byte", ABSENT);
}

int main(void) {
    build_wall();
    test_comparing();
    test_buffer();
    test_timestamps();
    test_base64();
    test_reasons();
    test_error_type();
    test_first_bytes();
    test_hex();
    test_room_before();
    test_variables();
    test_reserving();
    test_time();
    test_giving_back();
    test_staleness();
    test_connecting();
    test_sending();
    test_breaking_off();
    test_attempts();
    test_asking_again();
    test_refusals();
    test_killed_worker();
    test_failed_connections();
    test_room();
    if (EVENT_MAX > 1024 * 1024) { /* not with the limits of tiny.sh */
        test_log_entries();
        test_messages();
        test_error_documents();
        test_allocating();
        test_addresses();
        test_streams();
        test_many_chunks();
    }
    end();
}
