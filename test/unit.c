/* unit.c - every parser of bootstrap.c with its table, and every framed reply in every split.
 *
 * Includes the source and replaces the edge of the system: recv by a script, writev by one that takes
 * a few bytes, connect by one that may refuse, close by one that fails, poll by one that does not wait.
 * What is parsed ends at an inaccessible page, so that one byte read too many ends the test; built with
 * ASan and UBSan where the compiler has them.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static ssize_t scripted_recv(int, void *, size_t, int);
static ssize_t scripted_writev(int, const struct iovec *, int);
static int scripted_connect(void);
static int failing_close(int);
static int counted_poll(int ms);
static int counted_madvise(size_t length);
static long set_clock(struct timespec *now);
#define recv scripted_recv
#define writev scripted_writev
#define connect(descriptor, address, length) scripted_connect()
#define close failing_close
#define poll(set, n, ms) counted_poll(ms)
#define madvise(from, length, advice) counted_madvise(length)
#define syscall(number, clock, now) set_clock(now)
#define main runtime_main
#include "../bootstrap.c"
#undef main
#undef recv
#undef writev
#undef connect
#undef close
#undef poll
#undef madvise
#undef syscall

static unsigned passed, failed;

static void check(bool fine, const char *what, struct text shown) {
    char storage[512];
    struct buffer to = {storage, 0, sizeof storage - 1, false};
    fine ? passed++ : failed++;
    if (fine)
        return;
    append_json_string(&to, first_bytes(shown, 60));
    printf("FAIL %s %.*s\n", what, (int)to.length, to.data);
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
    if (text.length)
        memcpy(copy, text.data, text.length);
    return (struct text){copy, text.length};
}

/* ---- Text ---- */

static void test_numbers(void) {
    static const struct {
        const char *text;
        unsigned base;
        bool valid;
        uint64_t value;
    } rows[] = {
        {"0", 10, true, 0},
        {"7", 10, true, 7},
        {"007", 10, true, 7},
        {"1234567890123", 10, true, 1234567890123},
        {"18446744073709551615", 10, true, UINT64_MAX},
        {"18446744073709551616", 10, false, 0},
        {"28446744073709551615", 10, false, 0},
        {"99999999999999999999999", 10, false, 0},
        {"", 10, false, 0},
        {"-1", 10, false, 0},
        {"+1", 10, false, 0},
        {" 1", 10, false, 0},
        {"1 ", 10, false, 0},
        {"1a", 10, false, 0},
        {"a", 10, false, 0},
        {"/", 10, false, 0},
        {":", 10, false, 0},
        {"1.0", 10, false, 0},
        {"0x10", 16, false, 0},
        {"10", 16, true, 16},
        {"aF", 16, true, 175},
        {"0000000000000000000000fE", 16, true, 254},
        {"ffffffffffffffff", 16, true, UINT64_MAX},
        {"10000000000000000", 16, false, 0},
        {"g", 16, false, 0},
        {"@", 16, false, 0},
        {"`", 16, false, 0},
        {"\xb1", 16, false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t number = 4711;
        struct text text = at_wall(text_of(rows[i].text));
        bool valid = parse_number(text, rows[i].base, &number);
        check(valid == rows[i].valid && number == (valid ? rows[i].value : 4711), "number", text);
    }
}

static void test_cutting(void) {
    struct text rest = at_wall(S("a,,b,")), part;
    check(cut(&rest, ',', &part) && equal(part, S("a")) && equal(rest, S(",b,")), "cut", rest);
    check(cut(&rest, ',', &part) && equal(part, S("")) && equal(rest, S("b,")), "cut", rest);
    check(cut(&rest, ',', &part) && equal(part, S("b")) && rest.length == 0, "cut", rest);
    check(!cut(&rest, ',', &part) && part.length == 0 && rest.length == 0, "cut nothing", rest);
    rest = at_wall(S("abc"));
    check(!cut(&rest, ',', &part) && equal(part, S("abc")) && rest.length == 0, "cut all", part);
    rest = absent;
    check(!cut(&rest, ',', &part) && part.length == 0, "cut absent", part);
    check(equal(trim(at_wall(S(" \t a b\t "))), S("a b")), "trim", absent);
    check(trim(at_wall(S(" \t"))).length == 0, "trim blanks", absent);
    check(equal(trim_end(at_wall(S(" a "))), S(" a")), "trim_end", absent);
    check(equal_in_any_case(at_wall(S("aZ-1")), S("Az-1")), "equal", absent);
    check(!equal_in_any_case(at_wall(S("a")), S("ab")), "shorter", absent);
    check(!equal_in_any_case(at_wall(S("ab")), S("a")), "longer", absent);
    check(!equal_in_any_case(at_wall(S("ab")), S("xb")), "another first byte", absent);
    check(!equal_in_any_case(at_wall(S("@[")), S("`{")), "not letters", absent);
    check(!equal(S("ab"), S("aB")) && equal(absent, S("")), "equal", absent);
    check(text_of(NULL).data == NULL && text_of(NULL).length == 0 && text_of("").data != NULL,
          "absent is not empty", absent);
}

static void test_first_bytes(void) {
    check(equal(first_bytes(at_wall(S("abc")), 3), S("abc")), "all", absent);
    check(equal(first_bytes(at_wall(S("abcd")), 3), S("abc")), "cut", absent);
    check(equal(first_bytes(at_wall(S("ab\xe2\x82\xac")), 3), S("ab")), "within a character",
          absent);
    check(equal(first_bytes(at_wall(S("ab\xe2\x82\xac")), 4), S("ab")), "within a character",
          absent);
    check(equal(first_bytes(at_wall(S("ab\xe2\x82\xac")), 5), S("ab\xe2\x82\xac")), "behind",
          absent);
    check(first_bytes(at_wall(S("\x80\x80\x80\x80\x80\x80")), 5).length == 2, "no UTF-8", absent);
}

static void test_json(void) {
    static const struct {
        struct text from;
        const char *to;
    } rows[] = {
#define ROW(from, to) {{from, sizeof(from) - 1}, to}
        ROW("", ""),
        ROW("plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 /",
            "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 /"),
        ROW("\"\\", "\\\"\\\\"),
        ROW("\0\x01\t\n\r\x1f\x7f", "\\u0000\\u0001\\u0009\\u000a\\u000d\\u001f\\u007f"),
        ROW("\x80", "\xef\xbf\xbd"),
        ROW("\xff", "\xef\xbf\xbd"),
        ROW("a\xc3", "a\xef\xbf\xbd"),
        ROW("\xc3(", "\xef\xbf\xbd("),
        ROW("\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"),
        ROW("\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
        ROW("\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"), /* overlong */
        ROW("\xc1\xbf", "\xef\xbf\xbd\xef\xbf\xbd"), /* overlong */
        ROW("\xc2\x80\xdf\xbf\xef\xbf\xbf", "\xc2\x80\xdf\xbf\xef\xbf\xbf"),
        ROW("\xe0\x9f\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"), /* overlong */
        ROW("\xe0\xa0\x80", "\xe0\xa0\x80"),                         /* U+0800 */
        ROW("\xf0\x8f\xbf\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
        ROW("\xf0\x90\x80\x80", "\xf0\x90\x80\x80"),                 /* U+10000 */
        ROW("\xed\x9f\xbf", "\xed\x9f\xbf"),                         /* U+D7FF */
        ROW("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"), /* a surrogate */
        ROW("\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"),                 /* U+10FFFF */
        ROW("\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
        ROW("\xf5\x80\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char storage[128];
        struct buffer to = {storage, 0, sizeof storage, false};
        append_json_string(&to, at_wall(rows[i].from));
        struct text all = text_in(&to), inner = {all.data + 1, all.length - 2};
        check(all.length >= 2 && all.data[0] == '"' && all.data[all.length - 1] == '"' &&
                  equal(inner, text_of(rows[i].to)) && !to.overflow,
              "JSON string", rows[i].from);
    }
}

static void test_buffer(void) {
    char storage[4] = {[3] = '.'};
    struct buffer to = {storage, 0, 3, false};
    append(&to, S("ab"));
    append(&to, S(""));
    append(&to, absent);
    check(!to.overflow && to.length == 2, "append", text_in(&to));
    append(&to, S("cd"));
    check(to.overflow && to.length == 2, "append beyond the end", text_in(&to));
    append(&to, S("c"));
    check(to.overflow && to.length == 3 && storage[3] == '.', "overflow is remembered", absent);
    char digits[20];
    struct buffer number = {digits, 0, sizeof digits, false};
    append_number(&number, UINT64_MAX);
    check(equal(text_in(&number), S("18446744073709551615")), "number", text_in(&number));
    number.length = 0;
    append_number(&number, 0);
    check(equal(text_in(&number), S("0")), "number", text_in(&number));
}

/* ---- What a function can call ---- */

static void test_timestamps(void) {
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {9, "1970-01-01T00:00:00.009Z"},
        {951782399999, "2000-02-28T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {951868800000, "2000-03-01T00:00:00.000Z"},
        {1709164800001, "2024-02-29T00:00:00.001Z"},
        {1768003200000, "2026-01-10T00:00:00.000Z"},
        {1767225599010, "2025-12-31T23:59:59.010Z"},
        {1767225600100, "2026-01-01T00:00:00.100Z"},
        {1795436645678, "2026-11-23T12:24:05.678Z"},
        {1791627010010, "2026-10-10T10:10:10.010Z"},
        {4107542400000, "2100-03-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char storage[32];
        struct buffer to = {storage, 0, sizeof storage, false};
        append_timestamp(&to, rows[i].ms);
        check(equal(text_in(&to), text_of(rows[i].text)), rows[i].text, text_in(&to));
    }
}

static void test_base64(void) {
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfd", "//79"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char storage[16];
        struct buffer to = {storage, 0, sizeof storage, false};
        append_base64(&to, at_wall(text_of(rows[i][0])));
        check(equal(text_in(&to), text_of(rows[i][1])), "base64", text_in(&to));
    }
}

/* ---- The log ---- */

static bool take_byte(struct text *from, char byte) {
    bool fits = from->length && from->data[0] == byte;
    if (fits)
        *from = without(*from, 1);
    return fits;
}

static bool take_json_string(struct text *from) {
    if (!take_byte(from, '"'))
        return false;
    while (from->length && from->data[0] != '"') {
        bool escape = from->data[0] == '\\';
        size_t used = !escape ? 1 : from->length > 1 && from->data[1] == 'u' ? 6 : 2;
        if ((unsigned char)from->data[0] < ' ' || used > from->length)
            return false;
        *from = without(*from, used);
    }
    return take_byte(from, '"');
}

/* A line that is a JSON object of strings, and nothing else. */
static bool is_json_line(struct text line) {
    bool fine = take_byte(&line, '{');
    do
        fine = fine && take_json_string(&line) && take_byte(&line, ':') && take_json_string(&line);
    while (fine && take_byte(&line, ','));
    return fine && equal(line, S("}\n"));
}

static bool is_one_line(struct text line) {
    return line.length && memchr(line.data, '\n', line.length) == line.data + line.length - 1;
}

/* However long its parts, and however much longer they become when they are escaped, an entry is one
 * whole line within the limit. */
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
                            type = odd ? first_bytes(all, ERROR_TYPE_MAX) : absent;
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
    }
}

static void test_plain_lines(void) {
    char storage[100];
    struct buffer line = {storage, 0, sizeof storage, false};
    append_text_entry(&line, LEVEL_WARN, NULL, absent, S("while initializing"));
    append_text_entry(&line, LEVEL_ERROR, NULL, S("A\nb"), S("c\n"));
    append_error_type(&line, &(struct outcome){.error_type = S("a b\n\xc3")});
    check(equal(text_in(&line), S("WARN while initializing\nERROR A\rb: c\r\n"
                                  "Lambda-Runtime-Function-Error-Type: a b??\r\n")),
          "plain lines", text_in(&line));
}

/* What is written to standard error from now on can be read at *log; before it is written again. */
static int divert_stderr(int *log) {
    int before = dup(STDERR_FILENO);
    *log = memfd_create("log", 0);
    dup2(*log, STDERR_FILENO);
    return before;
}

/* The runtime's own messages: whole, whatever was found, and whoever is served. */
static void test_messages(void) {
    static char bytes[HEAD_MAX], line[LOG_LINE_MAX + 1];
    static const char advice[] = "expected host:port, the host as an IPv4 number or localhost, the "
                                 "port from 1 to 65535, such as 127.0.0.1:9001";
    memset(bytes, '\1', sizeof bytes);
    struct text all = {bytes, sizeof bytes};
    const struct invocation large = {
        .request_id = first_bytes(all, REQUEST_ID_MAX), .tenant_id = all, .trace_id = all};
    int log, before = divert_stderr(&log);
    logging.current = &large;
    for (size_t length = 0; length < 2 * FOUND_MAX; length++)
        for (int json = 0; json < 2; json++) {
            logging.json = json;
            (void)!ftruncate(log, 0);
            lseek(log, 0, SEEK_SET);
            message(LEVEL_WARN, "AWS_LAMBDA_RUNTIME_API", (struct text){bytes, length}, advice);
            ssize_t n = pread(log, line, sizeof line, 0);
            struct text got = {line, n > 0 ? (size_t)n : 0},
                        end = json ? S("127.0.0.1:9001\"}\n") : S("127.0.0.1:9001\n");
            check(got.length > end.length && got.length <= LOG_LINE_MAX && is_one_line(got) &&
                      (!json || is_json_line(got)) &&
                      equal(without(got, got.length - end.length), end),
                  "message", got);
        }
    logging.current = NULL;
    logging.json = false;
    dup2(before, STDERR_FILENO);
    close(log);
}

/* Why a system call failed, in words where the reason is to be expected. */
static void test_reasons(void) {
    static const struct {
        int number;
        const char *text;
    } rows[] = {{ECONNREFUSED, "bootstrap: x: connection refused"},
                {ENETUNREACH, "bootstrap: x: network is unreachable"},
                {EAGAIN, "bootstrap: x: too many processes"},
                {ENOMEM, "bootstrap: x: out of memory"},
                {EMFILE, "bootstrap: x: too many open files"},
                {EPERM, "bootstrap: x: operation not permitted"},
                {4711, "bootstrap: x: errno 4711"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        errno = rows[i].number;
        const struct buffer *text = begin_message("x:");
        check(equal(text_in(text), text_of(rows[i].text)), "reason", text_in(text));
    }
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
            struct text json = error_json(&error, most), tail = {json.data + json.length - 17, 17};
            bool has_room = most >= 50 + 6 * shown; /* for the document without a message */
            check(json.length <= most && (!has_room || (json.length > most - 8 &&
                                                        equal(tail, S(",\"stackTrace\":[]}")))),
                  "error", json);
        }
        check(error_type(&error).length == shown, "type", absent);
        struct text frame = S("{\"errorMessage\":\"\",\"errorType\":\"\",\"stackTrace\":[]}");
        check(error_json(&error, ERROR_JSON_MAX).length == frame.length + 6 * (MESSAGE + shown),
              "whole message", absent);
        error.error_message = (struct text){plain, sizeof plain};
        struct text trailers = error_trailers(&error);
        check(trailers.length <= 4094 && trailers.length > 4090 &&
                  equal((struct text){trailers.data + trailers.length - 2, 2}, S("\r\n")),
              "trailers", trailers);
    }
}

static void test_settings(void) {
    char *variables[] = {"AWS_LAMBDA_FUNCTION_NAME=f",
                         "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
                         "_HANDLER=a.b=c",
                         "LAMBDA_TASK_ROOT=/var/task",
                         "AWS_REGION=eu-west-1",
                         "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/f",
                         "AWS_LAMBDA_LOG_STREAM_NAME=s",
                         "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
                         "EMPTY=",
                         "NOTHING",
                         NULL};
    char **before = environ;
    environ = variables;
    struct function f = function_settings();
    check(equal(f.name, S("f")) && equal(f.version, S("$LATEST")) && equal(f.handler, S("a.b=c")) &&
              equal(f.task_root, S("/var/task")) && equal(f.region, S("eu-west-1")) &&
              equal(f.log_group_name, S("/aws/lambda/f")) && equal(f.log_stream_name, S("s")) &&
              f.memory_size == 128,
          "settings", f.name);
    check(environment_variable(S("EMPTY")).data && !environment_variable(S("EMPTY")).length,
          "empty", absent);
    check(!environment_variable(S("NOTHING")).data, "no variable", absent);
    check(!environment_variable(S("AWS_LAMBDA_FUNCTION")).data, "a part of a name", absent);
    environ = variables + 10;
    f = function_settings();
    check(!f.name.data && f.memory_size == 0, "no settings", absent);
    environ = before;
}

static long set_clock(struct timespec *now) {
    *now = (struct timespec){1700000000, 5000000};
    return 0;
}

static void test_trace_variable(void) {
    struct runtime runtime = {0};
    enum progress progress = NO_EVENT;
    propagate_tracing_header(&runtime, S("Root=1"));
    check(equal(text_of(trace_variable), S("_X_AMZN_TRACE_ID=Root=1")), "trace id", absent);
    propagate_tracing_header(&runtime, S(""));
    check(trace_variable[0] == '\0', "no trace id", absent);
    runtime.progress = &progress;
    propagate_tracing_header(&runtime, S("Root=1"));
    check(trace_variable[0] == '\0', "not among workers", absent);
}

static void test_time(void) {
    static const struct {
        uint64_t deadline_ms, remaining_ms;
    } rows[] = {
        {1700000010005, 10000}, {1700000000006, 1}, {1700000000005, 0}, {1700000000004, 0}, {1, 0},
        {0, UINT64_MAX}};
    check(now_ms() == 1700000000005, "milliseconds", absent);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(remaining_ms(&(struct invocation){.deadline_ms = rows[i].deadline_ms}) ==
                  rows[i].remaining_ms,
              "remaining time", absent);
}

/* ---- Memory ---- */

static unsigned given_back; /* how many times */
static size_t given_back_bytes;

static int counted_madvise(size_t length) {
    given_back++;
    given_back_bytes += length;
    return 0;
}

/* Of what lies beyond MEMORY_KEPT, once, and not before a small event. */
static void test_giving_back(void) {
    static const struct {
        size_t kept, touched, expected;
    } rows[] = {{0, MEMORY_KEPT, 0},
                {0, MEMORY_KEPT + 1, 1},
                {MEMORY_KEPT, MEMORY_KEPT + 70000, 70000},
                {MEMORY_KEPT + 1, MEMORY_KEPT + 70000, 0}};
    static char memory[MEMORY_KEPT + 70000];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct connection c;
        use_memory(&c, memory, sizeof memory);
        c.kept = memory + rows[i].kept;
        c.touched = memory + rows[i].touched;
        given_back = 0, given_back_bytes = 0;
        rewind_memory(&c);
        check(given_back == (rows[i].expected > 0) && given_back_bytes == rows[i].expected,
              "given back", absent);
        check(c.kept == memory && c.unread == memory && c.end == memory, "rewound", absent);
        given_back = 0;
        rewind_memory(&c);
        check(given_back == (rows[i].kept > MEMORY_KEPT), "given back later", absent);
    }
}

static void test_allocating(void) {
    static const size_t sizes[] = {1, MEMORY_KEPT, 1, MEMORY_KEPT + 70000, 1, 1};
    static const size_t expected[] = {0, 0, 0, 0, 70000, 0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        allocated = 0;
        given_back = 0, given_back_bytes = 0;
        check(allocate(NULL, sizes[i]) && given_back == (expected[i] > 0) &&
                  given_back_bytes == expected[i],
              "allocated", absent);
    }
}

/* ---- The address ---- */

static void test_addresses(void) {
    static const struct {
        const char *setting;
        uint32_t address; /* 0: refused */
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
        {"http:/", 0, 0, NULL, NULL},
        {"http://", 0, 0, NULL, NULL},
        {"http:///127.0.0.1", 0, 0, NULL, NULL},
        {"http://http://127.0.0.1", 0, 0, NULL, NULL},
        {"https://127.0.0.1", 0, 0, NULL, NULL},
        {"ttp://127.0.0.1", 0, 0, NULL, NULL},
        {"", 0, 0, NULL, NULL},
        {":9001", 0, 0, NULL, NULL},
        {"/", 0, 0, NULL, NULL},
        {"127.0.0.1:", 0, 0, NULL, NULL},
        {"127.0.0.1:0", 0, 0, NULL, NULL},
        {"127.0.0.1:65536", 0, 0, NULL, NULL},
        {"127.0.0.1:18446744073709560617", 0, 0, NULL, NULL},
        {"127.0.0.1:9001:1", 0, 0, NULL, NULL},
        {"127.0.0.1:-1", 0, 0, NULL, NULL},
        {"127.0.0:1", 0, 0, NULL, NULL},
        {"127.0.0.1.1:1", 0, 0, NULL, NULL},
        {"127.0.0.1.:1", 0, 0, NULL, NULL},
        {"127..0.1:1", 0, 0, NULL, NULL},
        {"127.0.0.01:1", 0, 0, NULL, NULL},
        {"127.0.0.256:1", 0, 0, NULL, NULL},
        {"127.0.0.4294967297:1", 0, 0, NULL, NULL},
        {"2130706433:1", 0, 0, NULL, NULL},
        {"local:1", 0, 0, NULL, NULL},
        {"localhost.:1", 0, 0, NULL, NULL},
        {"[::1]:1", 0, 0, NULL, NULL},
        {"127.0.0.1:1/a b", 0, 0, NULL, NULL},
        {"127.0.0.1:1/\x7f", 0, 0, NULL, NULL},
        {"127.0.0.1:1/\xc3\xa9", 0, 0, NULL, NULL},
        {"127.0.0.1:1/#", 0, 0, NULL, NULL},
        {"127.0.0.1:1?", 0, 0, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct runtime runtime = {0};
        struct text setting = at_wall(text_of(rows[i].setting));
        bool valid = !parse_address(setting, &runtime);
        const struct sockaddr_in *a = &runtime.connection.address;
        check(valid == (rows[i].port != 0) &&
                  (!valid || (ntohl(a->sin_addr.s_addr) == rows[i].address &&
                              ntohs(a->sin_port) == rows[i].port && a->sin_family == AF_INET &&
                              equal(runtime.host, text_of(rows[i].host)) &&
                              equal(runtime.path, text_of(rows[i].path)))),
              "address", setting);
    }
    char longest[1025];
    struct runtime runtime = {0};
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "1.2.3.4/", 8);
    check(!parse_address((struct text){longest, 1024}, &runtime), "longest address", absent);
    check(parse_address((struct text){longest, 1025}, &runtime), "longer", absent);
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

static ssize_t scripted_recv(int descriptor, void *to, size_t room, int flags) {
    (void)descriptor;
    errno = EAGAIN;
    if (room == 0)
        check(false, "receives into no room", absent);
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
    struct connection c = {.socket = -1};
    play(S("ab"), 2, 2);
    check(is_stale(&c), "bytes that nobody asked for", absent);
    play(S(""), 0, 0);
    check(is_stale(&c), "the end of the connection", absent);
    silent = true;
    check(!is_stale(&c), "nothing", absent);
    silent = false;
}

/* ---- Connecting ---- */

static int closed, paused_ms;
static bool refuses;

static int scripted_connect(void) {
    errno = ECONNREFUSED;
    return refuses ? -1 : 0;
}

static int failing_close(int descriptor) {
    close(descriptor);
    closed++;
    errno = EIO;
    return -1;
}

static int counted_poll(int ms) {
    paused_ms += ms;
    return 0;
}

static void test_dialling(void) {
    struct connection c = {.socket = -1};
    closed = paused_ms = 0;
    refuses = true;
    check(!dial(&c) && errno == ECONNREFUSED, "why there is no connection", absent);
    check(c.socket == -1 && closed == 11 && paused_ms == 1023, "a second of trying", absent);
}

/* ---- Sending ---- */

static struct {
    struct buffer taken;
    size_t most; /* of one call; the next one is interrupted */
    size_t left; /* until the connection breaks */
    bool interrupted;
} wire;

static ssize_t scripted_writev(int descriptor, const struct iovec *pieces, int count) {
    (void)descriptor;
    size_t most = wire.most < wire.left ? wire.most : wire.left, room = most;
    wire.interrupted = !wire.interrupted;
    errno = wire.left ? EINTR : EPIPE;
    if (wire.interrupted || !wire.left)
        return -1;
    for (int i = 0; i < count; i++) {
        size_t n = pieces[i].iov_len < room ? pieces[i].iov_len : room;
        append(&wire.taken, (struct text){pieces[i].iov_base, n});
        room -= n;
    }
    wire.left -= most - room;
    return (ssize_t)(most - room);
}

static void test_sending(void) {
    const struct text pieces[PIECES_MAX] = {S("head"), S(""), S("body"), S("\r\n")};
    char storage[16];
    wire.left = SIZE_MAX;
    for (wire.most = 1; wire.most <= 11; wire.most++) {
        wire.taken = (struct buffer){storage, 0, sizeof storage, false};
        size_t sent = transmit(&(struct connection){0}, pieces);
        check(sent == 10 && equal(text_in(&wire.taken), S("headbody\r\n")), "sent in pieces",
              text_in(&wire.taken));
    }
}

/* Whether the kernel took the whole body is what counts, and it is never taken for less. */
static void test_breaking_off(void) {
    static char memory[100];
    wire.most = SIZE_MAX;
    wire.taken = (struct buffer){0};
    for (size_t taken = 0; taken <= 8; taken++) {
        struct connection c;
        struct reply reply;
        use_memory(&c, memory, sizeof memory);
        play(S(""), 0, 0);
        wire.left = taken;
        check(exchange_once(&c, S("head"), S("body"), &reply) ==
                  (taken >= 4 && taken < 8 ? CUT_OFF : LOST),
              "broken off", absent);
    }
}

static void test_broken_stream(void) {
    char plain[257];
    memset(plain, 'x', sizeof plain);
    struct runtime runtime = {.answer = finish_stream};
    struct invocation invocation = {.runtime = &runtime};
    stream_state = STREAM_BROKEN;
    check(!stream_write(&invocation, S("x")) && !stream_write(&invocation, S("")), "broken stream",
          absent);
    runtime.answer = send_outcome;
    check(!stream_begin(&invocation, (struct text){plain, 257}) &&
              stream_begin(&invocation, (struct text){plain, 256}),
          "content type", absent);
    check(!stream_begin(&invocation, S("")) && !stream_begin_http(&invocation, S("")),
          "a second stream", absent);
}

/* The server closes behind each request; 4, 16, 64 and 256 ms between the later attempts. */
static void test_attempts(void) {
    struct runtime runtime = {0};
    static char memory[100];
    struct reply reply;
    use_memory(&runtime.connection, memory, sizeof memory);
    play(S(""), 0, 0);
    closed = paused_ms = 0;
    refuses = false;
    wire.most = wire.left = SIZE_MAX;
    wire.taken = (struct buffer){0}; /* which takes nothing */
    check(exchange(&runtime, S("body"), NEXT_ATTEMPTS_MAX, &reply) == LOST, "lost", absent);
    check(closed == 6 && paused_ms == 340, "six attempts", absent);
}

/* Without an event: asked again after 1, 2, 4 ... 512 ms, and from then on every second. */
static void test_asking_again(void) {
    struct runtime runtime = {0};
    static char memory[HEAD_MAX + 1000], bytes[1000];
    struct buffer to = {bytes, 0, sizeof bytes, false};
    struct reply reply;
    for (int i = 0; i < 12; i++)
        append(&to, S("HTTP/1.1 204 No Content\r\n\r\n"));
    append(&to,
           S("HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: r1\r\nContent-Length: 0\r\n\r\n"));
    use_memory(&runtime.connection, memory, sizeof memory);
    play(text_in(&to), 27, 27); /* one 204 at a time */
    closed = paused_ms = 0;
    wire.taken = (struct buffer){0};
    check(next_invocation(&runtime, &reply) && equal(reply.invocation.request_id, S("r1")) &&
              closed == 0 && paused_ms == 1023 + 2 * 1000,
          "asked again", absent);
    hang_up(&runtime.connection);
}

/* ---- Lifecycle ---- */

static void test_cleaning_up(void) {
    static char memory[100];
    struct runtime runtime = {0};
    struct invocation invocation = {0};
    use_memory(&runtime.connection, memory, sizeof memory);
    runtime.connection.kept += 10;
    logging.current = &invocation;
    allocated = 5;
    clean_up(&runtime);
    check(!logging.current && allocated == 0 && runtime.connection.kept == memory, "cleaned up",
          absent);
}

static void test_concurrency(void) {
    static const struct {
        const char *setting;
        size_t workers;
    } rows[] = {{"1", 1}, {"2", 2}, {"10", 10}, {"1600", 1600}, {"1601", 1},
                {"0", 1}, {"", 1},  {"a", 1},   {"-2", 1},      {"99999999999999999999", 1}};
    char **before = environ;
    logging.least = LEVEL_FATAL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char variable[64] = "AWS_LAMBDA_MAX_CONCURRENCY=", *variables[] = {variable, NULL};
        strcat(variable, rows[i].setting);
        environ = variables;
        check(concurrency() == rows[i].workers, "concurrency", text_of(rows[i].setting));
    }
    logging.least = LEVEL_TRACE;
    environ = before;
}

/* A worker's death is forgiven if it has served an event, once for each, and after a pause. */
static void test_deaths(void) {
    struct worker workers[] = {{-1, 0}, {-1, 3}};
    enum progress progress[] = {NO_EVENT, EVENT_ANSWERED};
    logging.least = LEVEL_FATAL;
    for (int deaths = 0; deaths < 3; deaths++) {
        workers[1].pid = fork();
        if (workers[1].pid == 0 && deaths == 1)
            raise(SIGKILL); /* before it has received an event */
        if (workers[1].pid == 0)
            _exit(0);
        paused_ms = 0;
        check(ended_worker(workers, 2, progress) == 1 && workers[1].deaths == deaths &&
                  progress[1] == NO_EVENT && paused_ms == WORKER_PAUSE_MS,
              "a worker that ended", absent);
    }
    logging.least = LEVEL_TRACE;
}

/* ---- Framed replies ---- */

static enum reading read_scripted(struct text bytes, size_t first, size_t piece,
                                  struct reply *reply, struct connection *c) {
    play(bytes, first, piece);
    use_memory(c, wall - bytes.length, MEMORY_MAX);
    c->socket = 0;
    return read_reply(c, reply);
}

struct framed {
    const char *name;
    struct text bytes, body;
    enum reading expected;
    int status;
    bool persistent;
};

static void test_split(const struct framed *row, size_t first, size_t piece) {
    struct reply reply;
    struct connection c;
    enum reading got = read_scripted(row->bytes, first, piece, &reply, &c);
    check(
        got == row->expected && (got != REFUSED || reply.wrong) &&
            (got != COMPLETE ||
             (reply.status == row->status && reply.persistent == row->persistent &&
              equal(reply.body, row->body) && c.unread == c.end && script.at == row->bytes.length)),
        row->name, row->bytes);
}

/* What breaks off is LOST wherever it does, unless the end of the connection is its end. */
static void test_prefixes(const struct framed *row) {
    for (size_t length = 0; length < row->bytes.length; length++) {
        struct reply reply;
        struct connection c;
        enum reading got = read_scripted((struct text){row->bytes.data, length}, 7, 7, &reply, &c);
        check(got == LOST, "a part is lost", (struct text){row->bytes.data, length});
    }
}

static void test_framing(void) {
#define OK "HTTP/1.1 200 OK\r\n"
#define CH OK "Transfer-Encoding: chunked\r\n\r\n"
#define FRAMED(name, bytes, body, status, persistent) \
    { name, {bytes, sizeof(bytes) - 1}, {body, sizeof(body) - 1}, COMPLETE, status, persistent }
#define NOT(bytes) \
    { "refused", {bytes, sizeof(bytes) - 1}, {NULL, 0}, REFUSED, 0, false }
    /* clang-format off */
    static const struct framed rows[] = {
        FRAMED("length", OK "Content-Length: 5\r\n\r\nhello", "hello", 200, true),
        FRAMED("no body", OK "Content-Length: 0\r\n\r\n", "", 200, true),
        FRAMED("204", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, true),
        FRAMED("599", "HTTP/1.1 599 A\r\nContent-Length: 0\r\n\r\n", "", 599, true),
        FRAMED("304", "HTTP/1.1 304 \r\nContent-Length: 3\r\n\r\n", "", 304, true),
        FRAMED("interim", "HTTP/1.1 100\r\n\r\nHTTP/1.1 199 a\r\nb: c\r\n\r\n" OK "content-length:1\r\n\r\nx", "x", 200, true),
        FRAMED("one chunk", CH "5\r\nhello\r\n0\r\n\r\n", "hello", 200, true),
        FRAMED("no chunk", CH "0\r\n\r\n", "", 200, true),
        FRAMED("many chunks", CH "1\r\na\r\n2;x\r\nbc\r\n003 ;x=\"1\"\r\n\r\nd\r\n1\r\n\n\r\n0000\r\n\r\n", "abc\r\nd\n", 200, true),
        FRAMED("chunks of 10 and more", CH "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a", 200, true),
        FRAMED("trailer section", CH "1\r\na\r\n0\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", "a", 200, true),
        FRAMED("close", OK "Connection: close\r\nContent-Length: 1\r\n\r\nx", "x", 200, false),
        FRAMED("close in a list", OK "Connection: keep-alive,\tCLOSE , x\r\nContent-Length: 1\r\n\r\nx", "x", 200, false),
        FRAMED("keep-alive", OK "Connection: closed\r\nContent-Length: 1\r\n\r\nx", "x", 200, true),
        FRAMED("1.0", "HTTP/1.0 200 A\r\nContent-Length: 1\r\n\r\nx", "x", 200, false),
        FRAMED("1.0 keep-alive", "HTTP/1.0 200\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", "x", 200, true),
        FRAMED("1.0 keep-alive and close", "HTTP/1.0 200\r\nConnection: keep-alive, close\r\nContent-Length: 1\r\n\r\nx", "x", 200, false),
        NOT("\r\n\r\n"),
        FRAMED("1.2", "HTTP/1.2 200\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "x", 200, true),
        FRAMED("1.9, close", "HTTP/1.9 200\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", "x", 200, false),
        FRAMED("a list of lengths", OK "Content-Length: 01,\t1 ,1\r\n\r\nx", "x", 200, true),
        FRAMED("lists of lengths", OK "Content-Length: 1, 1\r\nContent-Length: 1, 1\r\n\r\nx", "x", 200, true),
        FRAMED("LF in a trailer section", CH "1\r\na\r\n0\r\nb: c\n\n", "a", 200, true),
        NOT("HTTP/1.10 200 OK\r\n\r\n"),
        NOT("HTTP/1. 200 OK\r\n\r\n"),
        NOT("HTTP/1.a 200 OK\r\n\r\n"),
        NOT("HTTP/0.9 200 OK\r\n\r\n"),
        NOT("HTTP/2.0 200 OK\r\n\r\n"),
        NOT("HTTP/1.1  200 OK\r\n\r\n"),
        NOT("http/1.1 200 OK\r\n\r\n"),
        NOT("HTTP/1.1 +20 OK\r\n\r\n"),
        NOT("HTTP/1.1 200 \x01\r\n\r\n"),
        NOT("HTTP/1.1 200 \x7f\r\n\r\n"),
        NOT(OK "a : b\r\n\r\n"),
        NOT(OK "a\x01: b\r\n\r\n"),
        NOT(OK "\xc3\xa9: b\r\n\r\n"),
        NOT(OK "a: \x7f\r\n\r\n"),
        NOT(OK "a:\x01\r\n\r\n"),
        NOT(OK "a: b\r\n c\r\n\r\n"),
        NOT(OK "a: b\r\n\tc: d\r\n\r\n"),
        NOT(OK "Content-Length: 1, 2\r\n\r\nx"),
        NOT(OK "Content-Length: 1,\r\n\r\nx"),
        NOT(OK "Content-Length: ,1\r\n\r\nx"),
        NOT(OK "Content-Length: 1,,1\r\n\r\nx"),
        NOT(OK "Content-Length: 1\r\nContent-Length: 1, 1\r\n\r\nx"),
        NOT(OK "Content-Length: 1 1\r\n\r\nx"),
        NOT(OK "Content-Length: 01\r\nContent-Length: 1\r\n\r\nx"),
        NOT(OK "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        NOT(OK "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
        NOT(CH " 1\r\na\r\n0\r\n\r\n"),
        NOT(CH "1 \r\na\r\n0\r\n\r\n"),
        NOT(CH "1\x01;\r\na\r\n0\r\n\r\n"),
        NOT(CH "1;\x01\r\na\r\n0\r\n\r\n"),
        NOT(CH ";1\r\na\r\n0\r\n\r\n"),
        NOT(CH "1\r\na0\r\n\r\n"),
        NOT(CH "1\na\r\n0\r\n\r\n"),
        NOT(CH "1\r\na\n0\r\n\r\n"),
        NOT(CH "1\r\na\r\n0\n\r\n"),
        NOT(CH "0\r\n\r: a\r\n\r\n"),
    };
    static const struct framed ended[] = {
        FRAMED("until the end", OK "a: b\r\n\r\nall of\r\nthis", "all of\r\nthis", 200, false),
        FRAMED("500, cut off", "HTTP/1.1 500 A\r\nContent-Length: 9\r\n\r\n{\"a", "", 500, false),
        FRAMED("404, cut off", "HTTP/1.1 404 A\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nx", "", 404, false),
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t first = 1; first <= rows[i].bytes.length; first++)
            test_split(&rows[i], first, SIZE_MAX);
        test_split(&rows[i], 1, 1);
        test_split(&rows[i], 2, 2);
        if (rows[i].expected == COMPLETE)
            test_prefixes(&rows[i]);
    }
    for (size_t i = 0; i < sizeof ended / sizeof *ended; i++)
        for (size_t first = 1; first <= ended[i].bytes.length; first++)
            test_split(&ended[i], first, 1);
}

/* Behind a body there stays room for HEAD_MAX bytes of what follows it. */
static void test_room(void) {
    static char memory[HEAD_MAX + 100];
    static const char bytes[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for (size_t missing = 0; missing < 2; missing++) {
        struct reply reply;
        struct connection c;
        play(text_of(bytes), 7, 7);
        use_memory(&c, memory, sizeof bytes - 1 + HEAD_MAX - missing);
        check(read_reply(&c, &reply) == (missing ? TOO_LARGE : COMPLETE), "room", absent);
    }
}

/* What was read and is not kept gives its memory to what comes. */
static void test_many_chunks(void) {
    enum { CHUNKS = 15000 };
    static char memory[HEAD_MAX + CHUNKS + 1000], bytes[100 + 6 * CHUNKS];
    struct buffer to = {bytes, 0, sizeof bytes, false};
    struct reply reply;
    struct connection c;
    append(&to, S(CH));
    for (size_t i = 0; i < CHUNKS; i++)
        append(&to, S("1\r\nx\r\n"));
    append(&to, S("0\r\n\r\n"));
    play(text_in(&to), 4096, 4096);
    use_memory(&c, memory, sizeof memory);
    check(read_reply(&c, &reply) == COMPLETE && reply.body.length == CHUNKS, "chunks of one byte",
          absent);
}

static void test_too_large(void) {
    static const struct {
        enum reading expected;
        const char *bytes;
    } rows[] = {
        {LOST, OK "Content-Length: 33554432\r\n\r\n"},
        {LOST, CH "2000000\r\n"},
        {LOST, CH "1\r\nx\r\n1ffffff\r\n"},
        {TOO_LARGE, OK "Content-Length: 33554433\r\n\r\n"},
        {TOO_LARGE, OK "Content-Length: 18446744073709551615\r\n\r\n"},
        {TOO_LARGE, CH "2000001\r\n"},
        {TOO_LARGE, CH "1\r\nx\r\n2000000\r\n"},
        {TOO_LARGE, CH "ffffffffffffffff\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply reply;
        struct connection c;
        struct text bytes = text_of(rows[i].bytes);
        check(read_scripted(bytes, 1, 9, &reply, &c) == rows[i].expected, "32 MiB", bytes);
    }
}

int main(void) {
    build_wall();
    test_numbers();
    test_cutting();
    test_first_bytes();
    test_json();
    test_buffer();
    test_timestamps();
    test_base64();
    test_log_entries();
    test_plain_lines();
    test_messages();
    test_reasons();
    test_error_documents();
    test_settings();
    test_trace_variable();
    test_time();
    test_giving_back();
    test_allocating();
    test_addresses();
    test_staleness();
    test_dialling();
    test_sending();
    test_breaking_off();
    test_broken_stream();
    test_attempts();
    test_asking_again();
    test_cleaning_up();
    test_concurrency();
    test_deaths();
    test_framing();
    test_room();
    test_many_chunks();
    test_too_large();
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
