/* bootstrap.c - an AWS Lambda custom runtime in one C file.
 *
 * SPDX-License-Identifier: MIT-0
 *
 * Build    musl-gcc -static -Os -s bootstrap.c -o bootstrap     or any C11 compiler on Linux
 * Deploy   zip function.zip bootstrap                           runtime provided.al2023
 * Change   the function in section 3, or write a file of your own that includes this one
 *
 * Lambda starts this program in each execution environment and then waits to be asked: the program
 * is the client, and the Runtime API is an HTTP/1.1 server at $AWS_LAMBDA_RUNTIME_API. This is the
 * whole conversation, with the function below that holds each part of it:
 *
 *   once      POST /2018-06-01/runtime/init/error                initialization_error   202
 *                  only if the function's own initialization failed; then the program ends
 *             GET  /2018-06-01/runtime/restore/next              next_restore           200
 *                  only with SnapStart; answers when the snapshot is restored
 *             POST /2018-06-01/runtime/restore/error             initialization_error   202
 *                  if what the function does then failed
 *   for ever  GET  /2018-06-01/runtime/invocation/next           next_invocation        200
 *                  answers when there is an event, be it in a millisecond or in hours
 *             POST /2018-06-01/runtime/invocation/{id}/response  invocation_response    202
 *          or POST /2018-06-01/runtime/invocation/{id}/error     invocation_error       202
 *
 * Two kinds of fault, never mixed. What goes wrong in the handler is reported to Lambda, and the
 * loop goes on. What goes wrong between this program and Lambda, and cannot be made good by asking
 * again, ends the program with one line on standard error: Lambda then starts a fresh one. The
 * program never guesses what a damaged message meant, and never hands a part of an event on.
 *
 *   1 Limits   2 Text   3 Your function   4 Connection   5 HTTP   6 Runtime API   7 Lifecycle
 *
 * Sources: "Using the Lambda runtime API for custom runtimes" and "Building a custom runtime for
 * AWS Lambda" in the AWS Lambda Developer Guide; RFC 9110 (HTTP semantics), RFC 9112 (HTTP/1.1). */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* for madvise under -std=c11, if no header stands before this file */
#endif
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What stands before this file may have fixed what the system's headers show. */
#ifndef MADV_DONTNEED
#error "bootstrap.c needs more than ISO C of the system's headers: compile with -std=gnu11"
#endif

#define VERSION "1.0.0"

extern char **environ; /* POSIX leaves this declaration to us */
pid_t _Fork(void);     /* POSIX.1-2024; older headers hide it */

/* ==== 1 Limits ===============================================================================
 *
 * Every size that the outside world could choose is bounded here. All large memory is static, and
 * the kernel hands out a page of it only when it is first touched: a generous limit is free. */
enum {
    /* All that comes before one body: status line and field lines. Lambda's are about 600 bytes
     * and grow with the client context (3.5 KB at most). A longer head is refused. */
    HEAD_MAX = 64 * 1024,

    /* Lambda's quota is 6 MB for an event; the rest is room for emulators and for the quota to
     * grow. A longer event is reported as Runtime.EventTooLarge. */
    EVENT_MAX = 32 * 1024 * 1024,

    /* A chunk-size line, and a trailer section, which is as long as a head at most. */
    SIZE_LINE_MAX = HEAD_MAX,
    TRAILER_MAX = HEAD_MAX,

    /* The body of Lambda's reply to our answer, which is a line of JSON. A larger one is not read
     * if an event of EVENT_MAX is still in memory; the connection is then given up. */
    REPLY_BODY_MAX = HEAD_MAX,

    /* What is received while one invocation lasts, one behind the other: the assertion below lists
     * it. */
    MEMORY_MAX = EVENT_MAX + 7 * HEAD_MAX,

    /* Memory that stays with us between two invocations; what lies beyond goes back to the kernel
     * once small events follow a large one. */
    MEMORY_KEPT = 1024 * 1024,

    /* The largest page size of Linux: memory goes back in whole pages. */
    PAGE_MAX = 64 * 1024,

    /* The request id is a UUID of 36 bytes; AWS calls it opaque. It becomes part of a path. */
    REQUEST_ID_MAX = 256,

    /* Lambda-Runtime-Invocation-Id: of unknown form, sent back as it came. */
    INVOCATION_ID_MAX = 1024,

    /* AWS_LAMBDA_RUNTIME_API: about 20 bytes in Lambda, longer where emulators add a path. */
    ADDRESS_MAX = 1024,

    /* An error's type goes into a field line, its message into a JSON document; Lambda takes 1 MiB
     * of the latter. What is longer is cut. */
    ERROR_TYPE_MAX = 256,
    ERROR_MESSAGE_MAX = 64 * 1024,
    ERROR_JSON_MAX = 6 * (ERROR_TYPE_MAX + ERROR_MESSAGE_MAX) + 64, /* with all of it escaped */

    /* The error of a stream, in its trailer section. The server is written in Go, whose library
     * refuses a trailer section of more than 4 KB; the message is cut so that it fits. */
    TRAILERS_MAX = 4096,

    /* Status and fields of a streamed HTTP response: with 8 bytes behind it, within the first 16 KB
     * of the stream, as API Gateway demands. */
    PRELUDE_MAX = 16 * 1024 - 8,

    /* The content type of a streamed response. */
    CONTENT_TYPE_MAX = 256,

    /* Memory for one invocation: see allocate(). A response of 6 MB fits twice. */
    ALLOCATE_MAX = 16 * 1024 * 1024,

    /* A line of the log. Lambda reads the log of a Managed Instances environment through a buffer
     * of 64 KiB, and stops reading for ever at a line that does not fit. */
    LOG_LINE_MAX = 60 * 1024,

    /* What a message shows of received text. */
    FOUND_MAX = 160,

    /* Worker processes: the most that Lambda lets a function ask for. */
    WORKERS_MAX = 1600,

    /* The wait before a dead worker is replaced. */
    WORKER_PAUSE_MS = 100,

    /* How many times in a row a worker may die before it has served an event. */
    WORKER_DEATHS_MAX = 10,

    /* One request head: the assertion below lists its parts. */
    REQUEST_HEAD_MAX = 4096,

    /* The most that one send gathers: request head, size line of a chunk, its data in two parts,
     * its end. */
    PIECES_MAX = 5,

    /* A request of this size goes into the send buffer whole, without waiting for the peer. Before
     * a larger one we look whether it has closed, since half a body sent cannot be made good. */
    ONE_SEND_MAX = 16 * 1024,

    /* How many times in a row the answer to one event may be refused. */
    REFUSALS_MAX = 3,

    /* How many times a request goes out, in all, when no reply comes: see section 6. */
    NEXT_ATTEMPTS_MAX = 6,
    POST_ATTEMPTS_MAX = 2,

    /* Connecting is tried again after 1, 2, 4 … 512 ms: about a second in all. */
    PAUSE_MAX_MS = 512,
};

_Static_assert(ADDRESS_MAX + REQUEST_ID_MAX + INVOCATION_ID_MAX + ERROR_TYPE_MAX +
                       CONTENT_TYPE_MAX + 1024 <=
                   REQUEST_HEAD_MAX,
               "a request head has room for its parts, and for 1 KiB of route and names");

_Static_assert(4 * 6 * REQUEST_ID_MAX + 6 * ERROR_TYPE_MAX + 1024 <= LOG_LINE_MAX,
               "a log line has room for the fields before its text, with every byte escaped");

_Static_assert(HEAD_MAX + SIZE_LINE_MAX + EVENT_MAX + TRAILER_MAX +               /* the event */
                       HEAD_MAX + SIZE_LINE_MAX + REPLY_BODY_MAX + TRAILER_MAX <= /* the reply */
                   MEMORY_MAX,
               "memory has room for an event and for the reply to our answer, each with its lines");

/* ==== 2 Text =================================================================================
 *
 * A text is a pointer and a length, and owns nothing: what it points to is said where it comes
 * from. There is no NUL at its end, so nothing received can forge one. Absent is a NULL pointer;
 * empty is a length of 0. Parsers return false and never end the program. An append that does
 * not fit is left out and remembered, so the question is asked once, after the last. */

struct text {
    const char *data;
    size_t length;
};

/* Of a string literal, and of nothing else: what is no literal does not compile behind the "". The
 * text of a pointer or an array is text_of(). */
#define S(literal) ((struct text){"" literal, sizeof("" literal) - 1})

static const struct text absent; /* NULL, 0 */

/* The text of a string that ends with a NUL, as long as that lives; absent for NULL. */
static struct text text_of(const char *string) {
    return (struct text){string, string ? strlen(string) : 0};
}

/* At most `most` bytes of it, not ending within a UTF-8 sequence if it can be helped. */
static struct text first_bytes(struct text text, size_t most) {
    if (text.length <= most)
        return text;
    size_t length = most;
    while (length && most - length < 3 && ((unsigned char)text.data[length] & 0xc0) == 0x80)
        length--;
    return (struct text){text.data, length};
}

/* Byte by byte. */
static bool equal(struct text a, struct text b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static char lower_case(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Equal if the case of A to Z is ignored, as HTTP compares field names and tokens. */
static bool equal_in_any_case(struct text a, struct text b) {
    if (a.length != b.length)
        return false;
    for (size_t i = 0; i < a.length; i++)
        if (a.data[i] != b.data[i] && lower_case(a.data[i]) != lower_case(b.data[i]))
            return false;
    return true;
}

/* In any case of letters. */
static bool has_prefix(struct text text, struct text prefix) {
    return text.length >= prefix.length &&
           equal_in_any_case((struct text){text.data, prefix.length}, prefix);
}

/* The text behind its first n bytes. */
static struct text without(struct text text, size_t n) {
    return (struct text){text.data + n, text.length - n};
}

/* Splits *rest at the first `separator`, and says whether there is one: what stands before it goes
 * to *before, what stands after it remains. Without one, all is before it and nothing remains. */
static bool cut(struct text *rest, char separator, struct text *before) {
    const char *at = rest->length ? memchr(rest->data, separator, rest->length) : NULL;
    *before = (struct text){rest->data, at ? (size_t)(at - rest->data) : rest->length};
    *rest = at ? (struct text){at + 1, rest->length - before->length - 1} : S("");
    return at != NULL;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static struct text trim_end(struct text text) {
    while (text.length && is_blank(text.data[text.length - 1]))
        text.length--;
    return text;
}

/* Without the blanks and tabs around it: RFC 9110 §5.6.3. Line ends stay; JSON has those, too. */
static struct text trim(struct text text) {
    while (text.length && is_blank(text.data[0]))
        text = without(text, 1);
    return trim_end(text);
}

static bool is_visible(char c) {
    return c > ' ' && c < 0x7f;
}

static bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

/* Visible ASCII throughout, and none of the bytes in `but`. Most bytes are plain, and `but` has
 * none of those: not to look for them there saves a fifth of the instructions of an invocation. */
static bool is_visible_text(struct text text, struct text but) {
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (!is_plain(c) && (!is_visible(c) || memchr(but.data, c, but.length)))
            return false;
    }
    return true;
}

/* A number in base 10 or 16 and nothing else: no sign, no blank, no tail, and not beyond 64 bits.
 * *number changes on success only. */
static bool parse_number(struct text digits, unsigned base, uint64_t *number) {
    uint64_t value = 0;
    for (size_t i = 0; i < digits.length; i++) {
        char c = lower_case(digits.data[i]);
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : base;
        if (digit >= base || value > (UINT64_MAX - digit) / base)
            return false;
        value = value * base + digit;
    }
    if (digits.length == 0)
        return false;
    *number = value;
    return true;
}

/* A text that grows, in memory of somebody else: {storage, 0, sizeof storage, false} is an empty
 * one. What does not fit is left out, and `overflow` says so from then on. */
struct buffer {
    char *data;
    size_t length, capacity;
    bool overflow;
};

/* Valid as long as the memory, and up to the next append. */
static struct text text_in(const struct buffer *buffer) {
    return (struct text){buffer->data, buffer->length};
}

/* The whole text, or nothing of it and overflow. */
static void append(struct buffer *to, struct text text) {
    if (text.length > to->capacity - to->length) {
        to->overflow = true;
    } else if (text.length) {
        memcpy(to->data + to->length, text.data, text.length);
        to->length += text.length;
    }
}

/* How many bytes still fit if the last `reserve` are for what comes behind them. */
static size_t room_before(const struct buffer *to, size_t reserve) {
    size_t room = to->capacity - to->length;
    return room > reserve ? room - reserve : 0;
}

/* Likewise, of a string that ends with a NUL. */
static void append_string(struct buffer *to, const char *string) {
    append(to, text_of(string));
}

static const char hex_digits[] = "0123456789abcdef";

/* In base 10 or 16, without zeros in front. */
static void append_in_base(struct buffer *to, uint64_t number, unsigned base) {
    char storage[20]; /* of UINT64_MAX in base 10 */
    size_t at = sizeof storage;
    do {
        storage[--at] = hex_digits[number % base];
        number /= base;
    } while (number);
    append(to, (struct text){storage + at, sizeof storage - at});
}

/* In decimal. */
static void append_number(struct buffer *to, uint64_t number) {
    append_in_base(to, number, 10);
}

/* How many bytes of the text's beginning are one well-formed UTF-8 sequence (RFC 3629 §4); 0 when
 * it begins with none. The text is not empty. */
static size_t utf8_sequence(struct text text) {
    unsigned char first = (unsigned char)text.data[0];
    if (first < 0x80)
        return 1;
    size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (length == 0 || length > text.length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if (((unsigned char)text.data[i] & 0xc0) != 0x80)
            return 0;
    unsigned char second = (unsigned char)text.data[1];
    bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    bool no_character = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
    return overlong || no_character ? 0 : length;
}

/* What stands between the quotes of a JSON string (RFC 8259 §7), valid whatever the bytes are: what
 * is not UTF-8 becomes U+FFFD. Stops where the buffer is full. */
static void append_json_text(struct buffer *to, struct text text) {
    while (text.length && !to->overflow) {
        size_t length = utf8_sequence(text);
        char c = text.data[0];
        if (length == 0)
            append_string(to, "\xef\xbf\xbd");
        else if (c == '"' || c == '\\')
            append(to, (struct text){(char[]){'\\', c}, 2});
        else if ((unsigned char)c < ' ' || c == 0x7f)
            append(to,
                   (struct text){
                       (char[]){'\\', 'u', '0', '0', hex_digits[c >> 4], hex_digits[c & 15]}, 6});
        else
            append(to, (struct text){text.data, length});
        length += length == 0;
        text = without(text, length);
    }
}

/* The same, cut so that `reserve` bytes still fit behind it. */
static void append_json_text_before(struct buffer *to, struct text text, size_t reserve) {
    struct buffer part = {to->data + to->length, 0, room_before(to, reserve), false};
    append_json_text(&part, text);
    to->length += part.length;
}

/* A JSON string with its quotes. Messages, too, show received text so: it stays on one line. */
static void append_json_string(struct buffer *to, struct text text) {
    append_string(to, "\"");
    append_json_text(to, text);
    append_string(to, "\"");
}

/* The value of an environment variable; absent when it is not set. Valid as long as the process,
 * unless it is set anew. */
static struct text environment_variable(struct text name) {
    for (char **variable = environ; variable && *variable; variable++) {
        struct text value = text_of(*variable), its_name;
        if (cut(&value, '=', &its_name) && equal(its_name, name))
            return value;
    }
    return absent;
}

/* ==== 3 Your function ========================================================================
 *
 * The only part that you change. Either edit `echo` below in place, or leave this file as it is and
 * write your own, which you then compile instead:
 *
 *     #define HANDLER greet
 *     #include "bootstrap.c"
 *
 *     static struct outcome greet(const struct invocation *invocation) {
 *         return success(invocation->event);
 *     }
 *
 * Two more functions can be named so, in front of the #include: INITIALIZE and AFTER_RESTORE. */

/* What your function may call, and need not: the compiler leaves out what nobody calls. Everything
 * here but main is static, so that no library's `log_error` is mistaken for this file's. */
#define CALLABLE __attribute__((unused)) static

/* What Lambda says of one invocation. All texts stay valid until the handler's response has been
 * sent; copy what is to live longer. What Lambda did not send, or sent empty, has length 0. Source:
 * "Next invocation" of the Runtime API page. */
struct invocation {
    struct text event;        /* the payload, whole; usually JSON */
    struct text content_type; /* of the event, usually application/json */
    struct text request_id;   /* never empty */
    uint64_t deadline_ms;     /* when the function times out: ms since 1970; 0 if not known */
    struct text invoked_function_arn;
    struct text trace_id;         /* for AWS X-Ray; also _X_AMZN_TRACE_ID in the environment */
    struct text client_context;   /* JSON, if the caller is a mobile SDK or sent one */
    struct text cognito_identity; /* JSON, likewise */
    struct text tenant_id;        /* for functions with tenant isolation */
    struct text invocation_id;    /* tells two tries of one request apart */
    struct runtime *runtime;      /* not for you */
};

/* What a handler returns; made by success() or failure(). */
struct outcome {
    struct text response;
    struct text error_type, error_message;
    bool failed;
};

/* The invocation's response: any bytes, usually JSON; Lambda takes 6,291,556 of them and fails the
 * invocation beyond that. They are not copied, and must stay in place until the handler is called
 * again: the event, a literal, static memory or allocate() will do, a local array will not. */
CALLABLE struct outcome success(struct text response) {
    return (struct outcome){.response = response};
}

/* The invocation's error; the caller gets {"errorMessage":…,"errorType":…,"stackTrace":[]}. AWS
 * recommends a type of the form Category.Reason, such as Function.NoSuchUser. Any bytes are allowed
 * in either; a type beyond 256 bytes and a message beyond 64 KiB (2 KB in a stream) is cut. As with
 * success(), nothing is copied. The function lives on and gets the next event. Source: "Invocation
 * error". */
CALLABLE struct outcome failure(struct text error_type, struct text error_message) {
    return (struct outcome){
        .error_type = error_type, .error_message = error_message, .failed = true};
}

#ifdef HANDLER
static struct outcome HANDLER(const struct invocation *);
#else
#define HANDLER echo
static struct outcome echo(const struct invocation *invocation) {
    return success(invocation->event);
}
#endif

CALLABLE struct outcome nothing_to_do(void) {
    return success(S(""));
}

/* Runs once, before the first event: the place to open what all invocations share. failure() makes
 * the runtime report an initialization error and end; the text of success() is not used. */
#ifdef INITIALIZE
static struct outcome INITIALIZE(void);
#else
#define INITIALIZE nothing_to_do
#endif

/* With SnapStart: runs after each restore of the snapshot that was taken after INITIALIZE, to open
 * anew what did not survive it: connections, random numbers, the time. Otherwise never called. */
#ifdef AFTER_RESTORE
static struct outcome AFTER_RESTORE(void);
#else
#define AFTER_RESTORE nothing_to_do
#endif

/* ---- What your function can call; section 6 has the code. It can also print: each line goes into
 * the log when it ends, without level and request id. ---- */

/* Milliseconds since 1970. */
CALLABLE uint64_t now_ms(void);

/* How long the invocation may still take, in milliseconds: 0 once the deadline has passed,
 * UINT64_MAX when Lambda named none. */
CALLABLE uint64_t remaining_ms(const struct invocation *);

/* The settings of the function, from the environment; absent texts where a variable is not set.
 * Source: "Defined runtime environment variables". */
struct function {
    struct text name, version, handler, task_root, region, log_group_name, log_stream_name;
    uint64_t memory_size; /* MB; 0 if not known */
};

CALLABLE struct function function_settings(void);

/* Memory for this invocation, aligned for any type, not cleared. Nobody frees it: it is gone when
 * the response has been sent, and not there yet in INITIALIZE. NULL when ALLOCATE_MAX, all in all,
 * is exceeded. Not to be called by two threads at once. */
CALLABLE void *allocate(const struct invocation *, size_t size);

/* A buffer in such memory, for append() and its kin; of capacity 0 if there is not enough, which
 * the first append then turns into its overflow. */
CALLABLE struct buffer allocate_buffer(const struct invocation *, size_t capacity);

/* One event in the log of the function, with level, request id and text, as text or JSON as the
 * function is configured: one line, written at once, cut at 60 KB. The invocation is NULL in
 * INITIALIZE. Levels below AWS_LAMBDA_LOG_LEVEL are not written. Source: "Configuring JSON and
 * plain text log formats". */
enum log_level { LEVEL_TRACE, LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR, LEVEL_FATAL };

CALLABLE void log_line(enum log_level, const struct invocation *, struct text);
CALLABLE void log_debug(const struct invocation *, struct text);
CALLABLE void log_info(const struct invocation *, struct text);
CALLABLE void log_warn(const struct invocation *, struct text);
CALLABLE void log_error(const struct invocation *, struct text);

/* Streams the response instead of returning it, up to 200 MB, so that the caller has its beginning
 * early. stream_begin() comes first, names the content type and sends nothing yet; each
 * stream_write() goes out at once in one system call; the stream ends when the handler returns.
 * After success() its text is the last piece. A failure() before the first byte is an ordinary
 * invocation error; after it, the caller has the beginning, and Lambda gets the error in the
 * trailers. False: nothing more can be sent, or stream_begin() was refused; return then. Source:
 * "Implementing response streaming in a custom runtime". */
CALLABLE bool stream_begin(const struct invocation *, struct text content_type);
CALLABLE bool stream_write(const struct invocation *, struct text bytes);

/* The same for functions behind a function URL or API Gateway, with status and fields of the HTTP
 * response as a JSON object: {"statusCode":200,"headers":{"content-type":"text/html"}}. It is sent
 * at once. False also if it is larger than 16 KB, or has a NUL in it, which would end it early. */
CALLABLE bool stream_begin_http(const struct invocation *, struct text json);

/* ==== 4 Connection ===========================================================================
 *
 * TCP delivers bytes, not messages: one recv may return half a line, or a head together with the
 * body behind it. So everything goes into one stretch of memory, and the reader moves through it:
 *
 *     memory ........ kept ....... unread ....... end ........ limit
 *             in use        read,         received,     free
 *                           forgotten     not yet read
 *
 * There is no time-out, neither here nor in the socket. Lambda freezes the whole environment
 * between two events, for hours if need be; and a GET …/next that is given up while it waits still
 * takes the next event, which is then lost. A request goes out as head and body in one gathered
 * send; nothing of it is left for Nagle's algorithm to hold back: only streams set TCP_NODELAY. */

struct connection {
    int socket; /* -1: not connected */
    struct sockaddr_in address;
    char *memory, *kept, *unread, *end, *limit;
    char *touched; /* the highest end since memory was last given back */
};

static void use_memory(struct connection *c, char *memory, size_t size) {
    c->socket = -1;
    c->memory = c->kept = c->unread = c->end = c->touched = memory;
    c->limit = memory + size;
}

/* A signal may end it early, which does no harm. */
static void pause_ms(int ms) {
    poll(NULL, 0, ms);
}

static void hang_up(struct connection *c) {
    if (c->socket >= 0)
        close(c->socket);
    c->socket = -1;
    c->unread = c->end = c->kept;
}

/* A process can be started with its standard streams closed. A socket would then get the number of
 * one of them, and what anybody prints would end up in the conversation. So a low one stays open,
 * unconnected, in the place of the stream. */
static int new_socket(void) {
    int number;
    do
        number = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (number >= 0 && number <= STDERR_FILENO);
    return number;
}

/* Emulators start their server and the runtime at the same time, so a refusal is tried again for
 * about a second; a signal in the middle likewise. On false errno tells the last reason. */
static bool dial(struct connection *c) {
    for (int pause = 1;; pause *= 2) {
        c->socket = new_socket();
        if (c->socket >= 0 &&
            connect(c->socket, (const struct sockaddr *)&c->address, sizeof c->address) == 0)
            return true;
        int reason = errno;
        hang_up(c);
        if (pause > PAUSE_MAX_MS) {
            errno = reason;
            return false;
        }
        pause_ms(pause);
    }
}

/* Forgets everything received. After a large event its memory stays for the next one, which may be
 * as large; after a small one the kernel gets it back. */
static void rewind_memory(struct connection *c) {
    bool small = c->kept - c->memory <= MEMORY_KEPT;
    if (small && c->touched - c->memory > MEMORY_KEPT) {
        madvise(c->memory + MEMORY_KEPT, (size_t)(c->touched - c->memory) - MEMORY_KEPT,
                MADV_DONTNEED);
        c->touched = c->memory;
    }
    c->kept = c->unread = c->end = c->memory;
}

/* Between two messages nothing is due: what arrives is the end of the connection, or bytes that
 * belong to no message. */
static bool is_stale(const struct connection *c) {
    char byte;
    ssize_t n = recv(c->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static size_t length_of(const struct text pieces[PIECES_MAX]) {
    size_t sum = 0;
    for (size_t i = 0; i < PIECES_MAX; i++)
        sum += pieces[i].length;
    return sum;
}

/* Sends all pieces in one system call, as long as the kernel takes them. Returns how many bytes it
 * took: all of them, or fewer when the connection is lost. */
static size_t transmit(const struct connection *c, const struct text pieces[PIECES_MAX]) {
    size_t sent = 0, total = length_of(pieces);
    while (sent < total) {
        struct iovec rest[PIECES_MAX];
        size_t done = sent;
        for (size_t i = 0; i < PIECES_MAX; i++) {
            size_t skip = done < pieces[i].length ? done : pieces[i].length;
            done -= skip;
            rest[i].iov_base = pieces[i].length ? (char *)(uintptr_t)pieces[i].data + skip : NULL;
            rest[i].iov_len = pieces[i].length - skip;
        }
        ssize_t n = writev(c->socket, rest, PIECES_MAX);
        if (n > 0)
            sent += (size_t)n;
        else if (n == 0 || errno != EINTR)
            break;
    }
    return sent;
}

/* Waits for more bytes, for as long as it takes. First moves those not yet read down to where they
 * are kept, so that forgotten ones do not use up the memory. Returns their number; 0 at the end of
 * the connection; -1 when it is lost. */
static ssize_t receive(struct connection *c) {
    if (c->unread != c->kept) {
        size_t here = (size_t)(c->end - c->unread);
        memmove(c->kept, c->unread, here);
        c->unread = c->kept;
        c->end = c->kept + here;
    }
    ssize_t n;
    do
        n = recv(c->socket, c->end, (size_t)(c->limit - c->end), 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        c->end += n;
    if (c->end > c->touched)
        c->touched = c->end;
    return n;
}

enum reading {
    COMPLETE,
    LOST,     /* the connection ended or failed before the message did */
    CUT_OFF,  /* the same, before the kernel took the whole body that we were sending */
    REFUSED,  /* it is not what RFC 9112 allows, or its head is beyond HEAD_MAX */
    TOO_LARGE /* its body is beyond EVENT_MAX */
};

/* One line without its end, which is CRLF, or LF alone, as RFC 9112 §2.2 allows in a head. Longer than `most` with its end: REFUSED. The line is valid until the next byte
 * is read, unless the caller keeps it. */
static enum reading read_line(struct connection *c, size_t most, struct text *line) {
    size_t searched = 0;
    for (;;) {
        size_t here = (size_t)(c->end - c->unread);
        size_t within = here < most ? here : most;
        char *lf = memchr(c->unread + searched, '\n', within - searched);
        if (lf) {
            *line = (struct text){c->unread, (size_t)(lf - c->unread)};
            c->unread = lf + 1;
            if (line->length && line->data[line->length - 1] == '\r')
                line->length--;
            return COMPLETE;
        }
        if (within == most)
            return REFUSED;
        searched = within;
        if (receive(c) <= 0)
            return LOST;
    }
}

/* Keeps the next n bytes, whatever they are, behind those kept already. */
static enum reading read_bytes(struct connection *c, size_t n) {
    for (;;) {
        size_t here = (size_t)(c->end - c->unread);
        here = here < n ? here : n;
        if (c->kept != c->unread)
            memmove(c->kept, c->unread, here);
        c->kept += here;
        c->unread += here;
        n -= here;
        if (n == 0)
            return COMPLETE;
        if (receive(c) <= 0)
            return LOST;
    }
}

/* ==== 5 HTTP =================================================================================
 *
 * The part of HTTP/1.1 that a client of one server needs, the receiving half complete but for
 * obsolete line folding, which is refused. Left out on purpose: TLS, proxies, pipelining,
 * compression, and the Expect field, which would only cost a round trip. What RFC 9112 calls
 * invalid is refused, since a wrong guess about where one body ends would be a wrong event.
 *
 * A message of the server is called a reply here: a response, in Lambda, is what a function
 * gives. */

/* The names of the fields, each spelled once. The last is not on AWS's pages: Lambda has sent it
 * since July 2026, and wants it back with the answer. */
#define CONTENT_LENGTH "Content-Length"
#define TRANSFER_ENCODING "Transfer-Encoding"
#define CONNECTION "Connection"
#define CONTENT_TYPE "Content-Type"
#define REQUEST_ID "Lambda-Runtime-Aws-Request-Id"
#define DEADLINE_MS "Lambda-Runtime-Deadline-Ms"
#define INVOKED_FUNCTION_ARN "Lambda-Runtime-Invoked-Function-Arn"
#define TRACE_ID "Lambda-Runtime-Trace-Id"
#define CLIENT_CONTEXT "Lambda-Runtime-Client-Context"
#define COGNITO_IDENTITY "Lambda-Runtime-Cognito-Identity"
#define TENANT_ID "Lambda-Runtime-Aws-Tenant-Id"
#define INVOCATION_ID "Lambda-Runtime-Invocation-Id"
#define ERROR_TYPE "Lambda-Runtime-Function-Error-Type"
#define ERROR_BODY "Lambda-Runtime-Function-Error-Body"

struct reply {
    int status;
    bool http_1_0;
    bool persistent;   /* the connection can carry another request: RFC 9112 §9.3 */
    bool after_resend; /* Lambda may have seen the request before */
    const char *wrong; /* what was, when the reply is REFUSED */
    struct text content_length, transfer_encoding, connection, deadline_ms;
    struct invocation invocation; /* the other fields, in the reply to `next` */
    struct text body;             /* this and all fields: valid until clean_up() */
};

static enum reading refuse(struct reply *reply, const char *wrong) {
    reply->wrong = wrong;
    return REFUSED;
}

/* Where the value of a field goes, for the fields that matter here; else NULL. */
static struct text *known_field(struct reply *reply, struct text name) {
#define FIELD(name, member) \
    { name, sizeof name - 1, offsetof(struct reply, member) }
    static const struct {
        const char *name;
        unsigned short length, offset;
    } fields[] = {
        FIELD(CONTENT_LENGTH, content_length),
        FIELD(TRANSFER_ENCODING, transfer_encoding),
        FIELD(CONNECTION, connection),
        FIELD(CONTENT_TYPE, invocation.content_type),
        FIELD(REQUEST_ID, invocation.request_id),
        FIELD(DEADLINE_MS, deadline_ms),
        FIELD(INVOKED_FUNCTION_ARN, invocation.invoked_function_arn),
        FIELD(TRACE_ID, invocation.trace_id),
        FIELD(CLIENT_CONTEXT, invocation.client_context),
        FIELD(COGNITO_IDENTITY, invocation.cognito_identity),
        FIELD(TENANT_ID, invocation.tenant_id),
        FIELD(INVOCATION_ID, invocation.invocation_id),
    };
#undef FIELD
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (equal_in_any_case(name, (struct text){fields[i].name, fields[i].length}))
            return (struct text *)(void *)((char *)reply + fields[i].offset);
    return NULL;
}

/* RFC 9110 §5.5: no control character but the tab; bytes above 127 pass. */
static bool has_control_character(struct text line) {
    for (size_t i = 0; i < line.length; i++) {
        unsigned char c = (unsigned char)line.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

/* RFC 9112 §4: HTTP/1.1 200 OK, where the reason phrase, and in practice the blank before it, may
 * be missing. */
static enum reading parse_status_line(struct text line, struct reply *reply) {
    struct text version, code;
    uint64_t status;
    if (has_control_character(line))
        return refuse(reply, "a control character in its status line");
    cut(&line, ' ', &version);
    cut(&line, ' ', &code);
    uint64_t minor;
    if (version.length != 8 || memcmp(version.data, "HTTP/1.", 7) != 0 ||
        !parse_number(without(version, 7), 10, &minor))
        return refuse(reply, "a status line that does not begin with HTTP/1.1 or HTTP/1.0");
    reply->http_1_0 = minor == 0; /* a later one is treated as 1.1: RFC 9110 §2.5 */
    if (code.length != 3 || !parse_number(code, 10, &status) || status < 100 || status > 599)
        return refuse(reply, "a status code that is not a number from 100 to 599");
    reply->status = (int)status;
    return COMPLETE;
}

/* RFC 9112 §5. A name is a token (RFC 9110 §5.6.2): with a blank before the colon it is none, nor
 * does obsolete line folding begin with one. */
static enum reading parse_field_line(struct text line, struct reply *reply) {
    struct text name;
    bool colon = cut(&line, ':', &name);
    if (!colon || name.length == 0 || !is_visible_text(name, S("\"(),/;<=>?@[\\]{}")))
        return refuse(reply, "a field line that does not begin with a name and a colon");
    if (has_control_character(line))
        return refuse(reply, "a control character in a field line");
    struct text value = trim(line), *known = known_field(reply, name);
    if (known == &reply->connection && known->data)
        value = S("close"); /* a list in several lines; to close is right in any case */
    else if (known && known->data && (known == &reply->transfer_encoding || !equal(*known, value)))
        return refuse(reply, "a field that comes twice, and may not, or not with two values");
    if (known)
        *known = value;
    return COMPLETE;
}

/* Field lines, of a head or of a trailer section, with the empty line behind them. */
static enum reading read_field_lines(struct connection *c, size_t most, struct reply *reply) {
    struct text line;
    for (;;) {
        enum reading got = read_line(c, most, &line);
        if (got == REFUSED)
            return refuse(reply, "a head or trailer section of more than 64 KiB");
        if (got != COMPLETE)
            return got;
        c->kept = c->unread;
        if (line.length == 0)
            return COMPLETE;
        most -= (size_t)(c->unread - line.data);
        got = parse_field_line(line, reply);
        if (got != COMPLETE)
            return got;
    }
}

/* Status line and field lines. Interim replies (RFC 9110 §15.2) in front of them are skipped,
 * except 101, which would end HTTP on this connection and which nobody asked for. */
static enum reading read_head(struct connection *c, struct reply *reply) {
    const char *begin = c->kept;
    do {
        struct text line;
        *reply = (struct reply){0};
        enum reading got = read_line(c, HEAD_MAX - (size_t)(c->kept - begin), &line);
        if (got == REFUSED)
            return refuse(reply, "a head of more than 64 KiB");
        if (got != COMPLETE)
            return got;
        c->kept = c->unread;
        got = parse_status_line(line, reply);
        if (got == COMPLETE)
            got = read_field_lines(c, HEAD_MAX - (size_t)(c->kept - begin), reply);
        if (got != COMPLETE)
            return got;
        if (reply->status == 101)
            return refuse(reply, "a switch to another protocol");
    } while (reply->status < 200);
    return COMPLETE;
}

static bool has_token(struct text list, struct text token) {
    struct text element;
    while (list.length) {
        cut(&list, ',', &element);
        if (equal_in_any_case(trim(element), token))
            return true;
    }
    return false;
}

/* Whether `more` bytes behind what is kept exceed EVENT_MAX, or leave less than a TRAILER_MAX of
 * memory for the lines behind the body: size lines come one at a time, each at the same place. */
static bool is_too_large(const struct connection *c, struct text body, uint64_t more) {
    return more > EVENT_MAX - body.length || more + TRAILER_MAX > (size_t)(c->limit - c->kept);
}

static enum reading read_body_of_length(struct connection *c, uint64_t length, struct text *body) {
    if (body->length == 0) /* it stays where it has arrived; what comes later is moved up to it */
        body->data = c->kept = c->unread;
    if (is_too_large(c, *body, length))
        return TOO_LARGE;
    body->length += (size_t)length;
    return read_bytes(c, (size_t)length);
}

/* Of a line from read_line, with its end still behind it. */
static bool ends_in_crlf(struct text line) {
    return line.data[line.length] == '\r';
}

/* RFC 9112 §7.1: a size in hex, perhaps with extensions, which nobody uses; CRLF; that many bytes;
 * CRLF. A chunk of size 0 is the last. Nothing is moved in a body of one chunk, which is how Lambda
 * sends all events of more than 2 KiB. */
static enum reading read_chunk(struct connection *c, struct reply *reply, uint64_t *length) {
    struct text line, size;
    enum reading got = read_line(c, SIZE_LINE_MAX, &line);
    if (got == LOST)
        return LOST;
    if (got == REFUSED || has_control_character(line))
        return refuse(reply, "a chunk-size line that is too long, or has a control character");
    if (!ends_in_crlf(line))
        return refuse(reply, "a chunk-size line that does not end in CRLF");
    if (cut(&line, ';', &size))
        size = trim_end(size);
    if (!parse_number(size, 16, length))
        return refuse(reply, "a chunk size that is not a number in hex");
    if (*length == 0)
        return COMPLETE;
    got = read_body_of_length(c, *length, &reply->body);
    if (got != COMPLETE)
        return got;
    got = read_line(c, 2, &line);
    return got == REFUSED || (got == COMPLETE && (line.length || !ends_in_crlf(line)))
               ? refuse(reply, "a chunk that is longer than its size")
               : got;
}

static enum reading read_chunked_body(struct connection *c, struct reply *reply) {
    struct reply trailer = {0}; /* its fields say nothing that is needed: RFC 9110 §6.5.1 */
    enum reading got;
    uint64_t length;
    do
        got = read_chunk(c, reply, &length);
    while (got == COMPLETE && length);
    if (got == COMPLETE) {
        got = read_field_lines(c, TRAILER_MAX, &trailer);
        reply->wrong = trailer.wrong;
    }
    return got;
}

/* RFC 9112 §6.3, last case: all that comes until the server closes. */
static enum reading read_body_until_close(struct connection *c, struct text *body) {
    for (;;) {
        enum reading got = read_body_of_length(c, (size_t)(c->end - c->unread), body);
        if (got != COMPLETE)
            return got;
        ssize_t n = receive(c);
        if (n <= 0)
            return n == 0 ? COMPLETE : LOST;
    }
}

/* One number, or the same one several times: RFC 9110 §8.6. */
static bool parse_length(struct text list, uint64_t *length) {
    struct text element;
    uint64_t next;
    for (bool first = true, more = true; more; first = false) {
        more = cut(&list, ',', &element);
        if (!parse_number(trim(element), 10, &next) || !(first || next == *length))
            return false;
        *length = next;
    }
    return true;
}

/* Which kind of body it is: RFC 9112 §6.3. */
static enum reading read_body(struct connection *c, struct reply *reply) {
    uint64_t length;
    if (reply->status == 204 || reply->status == 304)
        return COMPLETE;
    if (reply->transfer_encoding.data && reply->content_length.data)
        return refuse(reply, "both Transfer-Encoding and Content-Length");
    if (reply->transfer_encoding.data) {
        if (reply->http_1_0 || !equal_in_any_case(reply->transfer_encoding, S("chunked")))
            return refuse(reply, "a Transfer-Encoding other than the chunked of HTTP/1.1");
        return read_chunked_body(c, reply);
    }
    if (reply->content_length.data) {
        if (!parse_length(reply->content_length, &length))
            return refuse(reply, "a Content-Length that is not a number");
        return read_body_of_length(c, length, &reply->body);
    }
    reply->persistent = false;
    return read_body_until_close(c, &reply->body);
}

static enum reading read_reply(struct connection *c, struct reply *reply) {
    enum reading got = read_head(c, reply);
    if (got != COMPLETE)
        return got;
    reply->persistent = !has_token(reply->connection, S("close")) &&
                        (!reply->http_1_0 || has_token(reply->connection, S("keep-alive")));
    got = read_body(c, reply);
    if (got == LOST && reply->status != 200) {
        reply->persistent = false; /* the status says all; only an event must be whole */
        reply->body = absent;
        return COMPLETE;
    }
    return got;
}

/* One request and its reply. The reply is read even if the request did not go out whole: a server
 * may refuse a large body before it has seen the end, and close. Sending is then shut down, so that
 * the server does not wait for the rest. */
static enum reading exchange_once(struct connection *c, struct text head, struct text body,
                                  struct reply *reply) {
    size_t sent = transmit(c, (const struct text[PIECES_MAX]){head, body});
    bool whole = sent == head.length + body.length;
    if (!whole)
        shutdown(c->socket, SHUT_WR);
    enum reading got = read_reply(c, reply);
    if (got == LOST && !whole && sent >= head.length)
        got = CUT_OFF;
    bool in_order = got == COMPLETE && whole && c->unread == c->end; /* nothing behind the reply */
    if (!in_order || !reply->persistent)
        hang_up(c);
    return got;
}

/* ==== 6 Runtime API ==========================================================================
 *
 * What Lambda hears of this program: lines on standard error, which become the function's log; and
 * the calls of the page, one function for each, in the order of an invocation. Behind them stands
 * what your function can call. */

/* ---- The log: one line, one write, so that lines of several processes do not mix, and nothing
 * stays in a buffer when Lambda freezes the environment. ---- */

/* The system call itself, since the C library's way to it, through the vDSO, would be 1 KB larger,
 * and faster only for those who ask all the time. */
static uint64_t now_ms(void) {
    struct timespec now = {0};
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const char *const level_names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};

static struct {
    bool json;                        /* AWS_LAMBDA_LOG_FORMAT */
    enum log_level least;             /* AWS_LAMBDA_LOG_LEVEL */
    const struct invocation *current; /* for the runtime's own messages */
} logging;

static void append_padded(struct buffer *to, uint64_t number, uint64_t least, const char *suffix) {
    for (; least > number && least > 1; least /= 10)
        append_string(to, "0");
    append_number(to, number);
    append_string(to, suffix);
}

/* RFC 3339: 2026-11-23T12:34:56.789Z */
static void append_timestamp(struct buffer *to, uint64_t ms) {
    static const unsigned char days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t day = ms / 86400000, year = 1970, month = 0;
    for (;;) {
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        uint64_t days = days_of[month] + (uint64_t)(leap && month == 1);
        if (day < days)
            break;
        day -= days;
        month = (month + 1) % 12;
        year += month == 0;
    }
    append_padded(to, year, 1000, "-");
    append_padded(to, month + 1, 10, "-");
    append_padded(to, day + 1, 10, "T");
    append_padded(to, ms / 3600000 % 24, 10, ":");
    append_padded(to, ms / 60000 % 60, 10, ":");
    append_padded(to, ms / 1000 % 60, 10, ".");
    append_padded(to, ms % 1000, 100, "Z");
}

static void append_log_field(struct buffer *to, const char *name, struct text value) {
    if (value.length == 0)
        return;
    append_string(to, ",\"");
    append_string(to, name);
    append_string(to, "\":");
    append_json_string(to, first_bytes(value, REQUEST_ID_MAX));
}

/* The fields that AWS's own runtimes write; the platform filters by `level`. */
static void append_json_entry(struct buffer *to, enum log_level level,
                              const struct invocation *invocation, struct text error_type,
                              struct text text) {
    append_string(to, "{\"timestamp\":\"");
    append_timestamp(to, now_ms());
    append_string(to, "\"");
    append_log_field(to, "level", text_of(level_names[level]));
    if (invocation) {
        append_log_field(to, "requestId", invocation->request_id);
        append_log_field(to, "tenantId", invocation->tenant_id);
        append_log_field(to, "traceId", invocation->trace_id);
    }
    append_log_field(to, "errorType", error_type);
    append_string(to, error_type.length ? ",\"errorMessage\":\"" : ",\"message\":\"");
    append_json_text_before(to, text, strlen("\"}\n"));
    append_string(to, "\"}\n");
}

static void append_word(struct buffer *to, struct text word, const char *end) {
    if (word.length == 0)
        return;
    append(to, word);
    append_string(to, end);
}

/* A line is one entry of the log, so a line end within it becomes CR, which CloudWatch shows as a
 * line end. */
static void append_text_entry(struct buffer *to, enum log_level level,
                              const struct invocation *invocation, struct text error_type,
                              struct text text) {
    size_t begin = to->length;
    append_word(to, text_of(level_names[level]), " ");
    append_word(to, invocation ? invocation->request_id : absent, " ");
    append_word(to, error_type, ": ");
    append(to, first_bytes(text, room_before(to, strlen("\n"))));
    for (size_t i = begin; i < to->length; i++)
        if (to->data[i] == '\n')
            to->data[i] = '\r';
    append_string(to, "\n");
}

static void write_line(struct text line) {
    while (line.length) {
        ssize_t n = write(STDERR_FILENO, line.data, line.length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* there is nobody left to tell */
        line = without(line, (size_t)n);
    }
}

/* The error's type is absent unless a function has failed; `text` is its message then. */
static void log_entry(enum log_level level, const struct invocation *invocation,
                      struct text error_type, struct text text) {
    char storage[LOG_LINE_MAX];
    struct buffer line = {storage, 0, sizeof storage, false};
    if (level < logging.least)
        return;
    if (logging.json)
        append_json_entry(&line, level, invocation, error_type, text);
    else
        append_text_entry(&line, level, invocation, error_type, text);
    write_line(text_in(&line));
}

static void log_line(enum log_level level, const struct invocation *invocation, struct text text) {
    log_entry(level, invocation, absent, text);
}

static void log_debug(const struct invocation *invocation, struct text text) {
    log_line(LEVEL_DEBUG, invocation, text);
}

static void log_info(const struct invocation *invocation, struct text text) {
    log_line(LEVEL_INFO, invocation, text);
}

static void log_warn(const struct invocation *invocation, struct text text) {
    log_line(LEVEL_WARN, invocation, text);
}

static void log_error(const struct invocation *invocation, struct text text) {
    log_line(LEVEL_ERROR, invocation, text);
}

/* Why a system call failed, for the reasons to be expected here; strerror has more, in 1.8 KB. */
static void append_reason(struct buffer *to, int number) {
    append_string(to, " ");
    static const struct {
        int number;
        char text[24];
    } reasons[] = {
        {ECONNREFUSED, "connection refused"},
        {ENETUNREACH, "network is unreachable"},
        {EMFILE, "too many open files"},
        {EAGAIN, "too many processes"},
        {ENOMEM, "out of memory"},
        {EPERM, "operation not permitted"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].number == number) {
            append_string(to, reasons[i].text);
            return;
        }
    append_string(to, "errno ");
    append_number(to, (uint64_t)number);
}

static struct text error_type(const struct outcome *error) {
    bool has_one = error->error_type.length > 0;
    return first_bytes(has_one ? error->error_type : S("Runtime.UnknownReason"), ERROR_TYPE_MAX);
}

/* What a function fails with is for its log, too: an asynchronous caller never sees it. */
static void log_failure(const struct invocation *invocation, const struct outcome *error) {
    log_entry(LEVEL_ERROR, invocation, error_type(error), error->error_message);
}

/* The runtime's own messages: what was being done, what was found (received text, shown escaped and
 * cut, or absent), what was expected or happens now. Only what was received is quoted. A colon at
 * the end of the operation asks for the reason, from errno. More may be appended in between. */
static struct buffer *begin_message(const char *operation) {
    static char storage[6 * FOUND_MAX + 512];
    static struct buffer text;
    int reason = errno;
    text = (struct buffer){storage, 0, sizeof storage, false};
    append_string(&text, "bootstrap: ");
    append_string(&text, operation);
    if (operation[strlen(operation) - 1] == ':')
        append_reason(&text, reason);
    return &text;
}

static void end_message(struct buffer *text, enum log_level level, struct text found,
                        const char *advice) {
    if (found.data) {
        append_string(text, ": ");
        append_json_string(text, first_bytes(found, FOUND_MAX));
    }
    append_string(text, ": ");
    append_string(text, advice);
    log_line(level, logging.current, text_in(text));
}

static void message(enum log_level level, const char *operation, struct text found,
                    const char *advice) {
    end_message(begin_message(operation), level, found, advice);
}

static _Noreturn void fatal(const char *operation, struct text found, const char *advice) {
    message(LEVEL_FATAL, operation, found, advice);
    exit(1);
}

/* ---- The calls. What may be sent again follows from Lambda's state machine:
 *
 *   next       again, once its connection has ended before the whole reply: Lambda then serves the
 *              same event once more. Never while the connection stands: the event would go to the
 *              call that was given up.
 *   response,  again, once, if no reply came and the kernel took all of it, or less than its head.
 *   error      What the kernel took need not have arrived: a 403 for the second says that the first
 *              did; if only a part of it did, `next` is answered 403, too. Not after a part of the
 *              body has gone: Lambda then takes neither the rest nor a `next`.
 *
 * An invocation is complete only when `next` is called again. ---- */

#define NEXT "/2018-06-01/runtime/invocation/next"
#define INVOCATION "/2018-06-01/runtime/invocation/" /* id, /response or /error */
#define INIT_ERROR "/2018-06-01/runtime/init/error"
#define RESTORE_NEXT "/2018-06-01/runtime/restore/next"
#define RESTORE_ERROR "/2018-06-01/runtime/restore/error"

/* How far a worker has come since it was started. */
enum progress { NO_EVENT, EVENT_RECEIVED, EVENT_ANSWERED };

struct runtime {
    struct connection connection;
    struct text host; /* AWS_LAMBDA_RUNTIME_API, without the path; points into the environment */
    struct text path; /* stands before every route; empty in Lambda */
    enum progress *progress; /* of this worker, shared with its parent; NULL if it is alone */
    /* How the outcome goes out: send_outcome, or finish_stream once a stream has begun. */
    void (*answer)(struct runtime *, const struct invocation *, struct outcome);
    bool refused; /* the answer to this event */
    int refusals; /* of answers to one event, in a row, with what tells it from others: */
    uint64_t refused_deadline_ms;
    struct buffer refused_id;
    char refused_storage[REQUEST_ID_MAX];
    struct buffer head; /* of the request that is being made */
    char head_storage[REQUEST_HEAD_MAX];
};

/* A field with an empty value is left out. */
static void append_field(struct buffer *head, const char *name, struct text value) {
    if (value.length == 0)
        return;
    append_string(head, name);
    append_string(head, ": ");
    append(head, value);
    append_string(head, "\r\n");
}

/* Request line and the fields that all requests have: RFC 9112 §3. The path is route, id and action
 * one behind the other. */
static void begin_request(struct runtime *runtime, const char *method, const char *route,
                          struct text id, const char *action) {
    struct buffer *head = &runtime->head;
    *head = (struct buffer){runtime->head_storage, 0, sizeof runtime->head_storage, false};
    append_string(head, method);
    append_string(head, " ");
    append(head, runtime->path);
    append_string(head, route);
    append(head, id);
    append_string(head, action);
    append_string(head, " HTTP/1.1\r\n");
    append_field(head, "Host", runtime->host);
    append_field(head, "User-Agent", S("bootstrap.c/" VERSION));
}

static void require_connection(struct runtime *runtime) {
    if (runtime->connection.socket >= 0 || dial(&runtime->connection))
        return;
    fatal("no connection:", runtime->host,
          has_prefix(runtime->host, S("localhost"))
              ? "expected the Runtime API at this address; 127.0.0.1 was tried"
              : "expected the Runtime API at this address");
}

/* Sends the request that was begun until it has a reply, `attempts` times at most, on a new
 * connection if the old one is gone. The reply goes into memory behind what is kept there. */
static enum reading exchange(struct runtime *runtime, struct text body, int attempts,
                             struct reply *reply) {
    struct connection *c = &runtime->connection;
    char *begin = c->kept;
    append_string(&runtime->head, "\r\n");
    for (int attempt = 1;; attempt++) {
        if (attempt > 2)
            pause_ms(1 << 2 * (attempt - 2)); /* 4, 16, 64, 256 ms */
        c->kept = c->unread = c->end = begin;
        if (c->socket >= 0 && body.length > ONE_SEND_MAX && is_stale(c))
            hang_up(c);
        require_connection(runtime);
        enum reading got = exchange_once(c, text_in(&runtime->head), body, reply);
        reply->after_resend = attempt > 1;
        if (got != LOST || attempt == attempts)
            return got;
    }
}

static void report_status(enum log_level level, const char *operation, const struct reply *reply,
                          const char *advice) {
    struct buffer *text = begin_message(operation);
    append_string(text, ": status ");
    append_number(text, (uint64_t)reply->status);
    end_message(text, level, reply->body.length ? reply->body : absent, advice);
}

static _Noreturn void fatal_reply(const char *operation, const char *wrong) {
    struct buffer *text = begin_message(operation);
    append_string(text, ": the reply has ");
    append_string(text, wrong);
    end_message(text, LEVEL_FATAL, absent, "expected HTTP/1.1 as in RFC 9112; exiting");
    exit(1);
}

/* What ends the environment, whichever call it happens in; Lambda then starts a fresh one. */
static void require_usable(const char *operation, enum reading got, const struct reply *reply) {
    if (got == LOST)
        fatal(operation, absent, "the connection was lost each time; exiting");
    if (got == CUT_OFF)
        fatal(operation, absent,
              "the connection broke within the body, which Lambda takes only once; exiting");
    if (got == REFUSED)
        fatal_reply(operation, reply->wrong);
    if (reply->status >= 500) {
        report_status(LEVEL_FATAL, operation, reply, "Lambda cannot go on from here; exiting");
        exit(1);
    }
}

/* GET, of which 200 alone is a success. 204 comes from emulators that do not let us wait. Asking
 * again after another status would be a loop that never heals. */
static enum reading get(struct runtime *runtime, const char *operation, const char *route,
                        struct reply *reply) {
    enum reading got;
    for (int pause = 1;; pause = pause < PAUSE_MAX_MS ? 2 * pause : 1000) {
        begin_request(runtime, "GET", route, absent, "");
        got = exchange(runtime, S(""), NEXT_ATTEMPTS_MAX, reply);
        require_usable(operation, got, reply);
        if (reply->status != 204)
            break;
        pause_ms(pause);
        rewind_memory(&runtime->connection);
    }
    if (reply->status != 200) {
        report_status(LEVEL_FATAL, operation, reply, "expected 200; exiting");
        exit(1);
    }
    return got;
}

/* GET /runtime/invocation/next: waits for an event, and makes its context from the reply's fields.
 * False when it is an event of more than EVENT_MAX, of which there is only the context. */
static bool next_invocation(struct runtime *runtime, struct reply *reply) {
    struct invocation *invocation = &reply->invocation;
    enum reading got = get(runtime, "next invocation", NEXT, reply);
    if (invocation->request_id.length == 0)
        fatal(REQUEST_ID, absent, "it is missing; exiting");
    if (invocation->request_id.length > REQUEST_ID_MAX ||
        !is_visible_text(invocation->request_id, S("/?#%")))
        fatal(REQUEST_ID, invocation->request_id,
              "expected 1 to 256 visible ASCII characters without / ? # %; exiting");
    if (invocation->invocation_id.length > INVOCATION_ID_MAX)
        fatal(INVOCATION_ID, invocation->invocation_id, "expected 1024 bytes at most; exiting");
    parse_number(reply->deadline_ms, 10, &invocation->deadline_ms);
    invocation->event = reply->body;
    invocation->runtime = runtime;
    return got == COMPLETE;
}

/* The reply to a POST. 202 is expected, any 2xx will do. After another status below 500 the
 * environment is sound and the next event can come. Above all nothing goes to /error after a 413:
 * the caller has its error already, and Lambda would answer 403. */
static void check_accepted(struct runtime *runtime, const char *operation, enum reading got,
                           const struct reply *reply) {
    require_usable(operation, got, reply);
    runtime->refused = reply->status >= 300 && !(reply->status == 403 && reply->after_resend);
    if (runtime->refused)
        report_status(LEVEL_WARN, operation, reply,
                      "expected 202; Lambda did not take it, and it is not sent again");
}

/* Sends what was begun with begin_request. */
static void post(struct runtime *runtime, const char *operation, struct text body) {
    char storage[20];
    struct buffer length = {storage, 0, sizeof storage, false};
    struct reply reply;
    append_number(&length, body.length);
    append_field(&runtime->head, CONTENT_TYPE, S("application/json"));
    append_field(&runtime->head, CONTENT_LENGTH, text_in(&length));
    enum reading got = exchange(runtime, body, POST_ATTEMPTS_MAX, &reply);
    check_accepted(runtime, operation, got, &reply);
}

static void begin_answer(struct runtime *runtime, const struct invocation *invocation,
                         const char *action) {
    begin_request(runtime, "POST", INVOCATION, invocation->request_id, action);
    append_field(&runtime->head, INVOCATION_ID, invocation->invocation_id);
}

/* POST /runtime/invocation/{id}/response */
static void invocation_response(struct runtime *runtime, const struct invocation *invocation,
                                struct text response) {
    begin_answer(runtime, invocation, "/response");
    post(runtime, "invocation response", response);
}

/* In a field the type must be one line of ASCII, whatever the handler put into it. */
static void append_error_type(struct buffer *to, const struct outcome *error) {
    struct text type = error_type(error);
    char ascii[ERROR_TYPE_MAX];
    for (size_t i = 0; i < type.length; i++)
        ascii[i] = type.data[i] == ' ' || is_visible(type.data[i]) ? type.data[i] : '?';
    append_field(to, ERROR_TYPE, (struct text){ascii, type.length});
}

/* The document that the caller gets, of `most` bytes at most: the message gives way. */
static struct text error_json(const struct outcome *error, size_t most) {
    static char storage[ERROR_JSON_MAX];
    char end_storage[6 * ERROR_TYPE_MAX + 64];
    struct buffer json = {storage, 0, most, false},
                  end = {end_storage, 0, sizeof end_storage, false};
    append_string(&end, "\",\"errorType\":");
    append_json_string(&end, error_type(error));
    append_string(&end, ",\"stackTrace\":[]}");
    append_string(&json, "{\"errorMessage\":\"");
    append_json_text_before(&json, first_bytes(error->error_message, ERROR_MESSAGE_MAX),
                            end.length);
    append(&json, text_in(&end));
    return text_in(&json);
}

static void post_error(struct runtime *runtime, const char *operation,
                       const struct outcome *error) {
    append_error_type(&runtime->head, error);
    post(runtime, operation, error_json(error, ERROR_JSON_MAX));
}

/* POST /runtime/invocation/{id}/error */
static void invocation_error(struct runtime *runtime, const struct invocation *invocation,
                             const struct outcome *error) {
    begin_answer(runtime, invocation, "/error");
    post_error(runtime, "invocation error", error);
}

/* POST /runtime/init/error, and the same after a restore: Lambda passes it on to the caller; the
 * runtime then has to exit. */
static _Noreturn void initialization_error(struct runtime *runtime, const char *route,
                                           const struct outcome *error) {
    log_failure(NULL, error);
    begin_request(runtime, "POST", route, absent, "");
    post_error(runtime, "initialization error", error);
    fatal("initialization of the function failed", error->error_type,
          "exiting, as Lambda expects after an initialization error");
}

/* GET /runtime/restore/next, with SnapStart: the snapshot is taken while it waits. The connection
 * it comes back on is one of the past, so it is closed. */
static void next_restore(struct runtime *runtime) {
    struct reply reply;
    get(runtime, "next restore", RESTORE_NEXT, &reply);
    hang_up(&runtime->connection);
    rewind_memory(&runtime->connection);
}

/* The response and the error of an invocation, for a handler that has not begun a stream. */
static void send_outcome(struct runtime *runtime, const struct invocation *invocation,
                         struct outcome outcome) {
    if (outcome.failed)
        invocation_error(runtime, invocation, &outcome);
    else
        invocation_response(runtime, invocation, outcome.response);
}

/* ---- What your function can call: the rest of section 3's list. ---- */

static uint64_t remaining_ms(const struct invocation *invocation) {
    uint64_t now = now_ms(), deadline = invocation->deadline_ms;
    return deadline == 0 ? UINT64_MAX : deadline > now ? deadline - now : 0;
}

static struct function function_settings(void) {
    struct function function = {
        .name = environment_variable(S("AWS_LAMBDA_FUNCTION_NAME")),
        .version = environment_variable(S("AWS_LAMBDA_FUNCTION_VERSION")),
        .handler = environment_variable(S("_HANDLER")),
        .task_root = environment_variable(S("LAMBDA_TASK_ROOT")),
        .region = environment_variable(S("AWS_REGION")),
        .log_group_name = environment_variable(S("AWS_LAMBDA_LOG_GROUP_NAME")),
        .log_stream_name = environment_variable(S("AWS_LAMBDA_LOG_STREAM_NAME")),
    };
    parse_number(environment_variable(S("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")), 10,
                 &function.memory_size);
    return function;
}

static size_t allocated; /* back to 0 before each invocation: clean_up() */

static void *allocate(const struct invocation *invocation, size_t size) {
    static _Alignas(PAGE_MAX) char memory[ALLOCATE_MAX];
    static size_t touched;
    (void)invocation; /* whose life the memory shares */
    if (allocated == 0 && touched > MEMORY_KEPT) {
        madvise(memory + MEMORY_KEPT, touched - MEMORY_KEPT, MADV_DONTNEED);
        touched = 0;
    }
    size_t begin =
        (allocated + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (begin >= ALLOCATE_MAX || size > ALLOCATE_MAX - begin)
        return NULL;
    allocated = begin + size + (size == 0);
    touched = allocated > touched ? allocated : touched;
    return memory + begin;
}

static struct buffer allocate_buffer(const struct invocation *invocation, size_t capacity) {
    char *data = allocate(invocation, capacity);
    return (struct buffer){data, 0, data ? capacity : 0, false};
}

/* ---- Response streaming: a chunked body (RFC 9112 §7.1), each chunk sent as it is written, and an
 * error told in the trailer section. Linked in only if the handler calls stream_begin(). ---- */

static enum { STREAM_UNSENT, STREAM_OPEN, STREAM_BROKEN } stream_state;

/* Small chunks must not wait until the one before them is acknowledged. */
static void connect_for_stream(struct runtime *runtime) {
    int on = 1;
    require_connection(runtime);
    setsockopt(runtime->connection.socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Sends one chunk, or what ends the stream, behind the head if that has not gone out yet. The
 * connection is made sure of before the first, since a stream cannot be sent again. */
static bool send_chunk(struct runtime *runtime, struct text size_line, struct text data,
                       struct text more) {
    struct connection *c = &runtime->connection;
    struct text pieces[PIECES_MAX] = {S(""), size_line, data, more, S("\r\n")};
    if (stream_state == STREAM_UNSENT) {
        pieces[0] = text_in(&runtime->head);
        if (c->socket >= 0 && is_stale(c))
            hang_up(c);
    }
    for (int attempt = 1; stream_state != STREAM_BROKEN; attempt++) {
        if (stream_state == STREAM_UNSENT)
            connect_for_stream(runtime);
        size_t sent = transmit(c, pieces);
        if (sent == length_of(pieces)) {
            stream_state = STREAM_OPEN;
            return true;
        }
        if (sent >= pieces[0].length || attempt == POST_ATTEMPTS_MAX)
            stream_state = STREAM_BROKEN;
        else
            hang_up(c); /* before the head was out: nothing has happened yet */
    }
    return false;
}

static bool send_data(struct runtime *runtime, struct text data, struct text more) {
    char storage[18];
    struct buffer size = {storage, 0, sizeof storage, false};
    append_in_base(&size, data.length + more.length, 16);
    append_string(&size, "\r\n");
    return send_chunk(runtime, text_in(&size), data, more);
}

/* RFC 4648 §4. */
static void append_base64(struct buffer *to, struct text text) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < text.length; i += 3) {
        uint32_t bits = 0;
        char four[] = "====";
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (i + j < text.length ? (unsigned char)text.data[i + j] : 0);
        for (size_t j = 0; j < 4 && i + j <= text.length; j++)
            four[j] = alphabet[bits >> (18 - 6 * j) & 63];
        append(to, (struct text){four, 4});
    }
}

/* Lambda counts the response as a success, and hands the error on beside it. */
static struct text error_trailers(const struct outcome *error) {
    static char storage[TRAILERS_MAX];
    struct buffer trailers = {storage, 0, sizeof storage, false};
    append_error_type(&trailers, error);
    append_string(&trailers, ERROR_BODY);
    append_string(&trailers, ": ");
    size_t room = sizeof storage - trailers.length - strlen("\r\n\r\n");
    append_base64(&trailers, error_json(error, room / 4 * 3));
    append_string(&trailers, "\r\n");
    return text_in(&trailers);
}

/* Ends the stream with the handler's outcome, then closes the connection, as the page asks. */
static void finish_stream(struct runtime *runtime, const struct invocation *invocation,
                          struct outcome outcome) {
    struct connection *c = &runtime->connection;
    struct reply reply;
    if (outcome.failed && stream_state == STREAM_UNSENT) {
        invocation_error(runtime, invocation, &outcome);
        return;
    }
    if (outcome.response.length)
        send_data(runtime, outcome.response, S(""));
    send_chunk(runtime, S("0\r\n"), outcome.failed ? error_trailers(&outcome) : S(""), S(""));
    if (stream_state == STREAM_BROKEN)
        shutdown(c->socket, SHUT_WR);
    enum reading got = read_reply(c, &reply);
    hang_up(c);
    if (got == LOST && stream_state == STREAM_OPEN) {
        runtime->refused = false;
        message(LEVEL_WARN, "streamed response", absent,
                "all sent, but no reply came; if it did not arrive, Lambda will refuse `next`");
        return;
    }
    check_accepted(runtime, "streamed response", got == LOST ? CUT_OFF : got, &reply);
}

static bool stream_begin(const struct invocation *invocation, struct text content_type) {
    struct runtime *runtime = invocation->runtime;
    char storage[sizeof ERROR_TYPE + sizeof ERROR_BODY];
    struct buffer announced = {storage, 0, sizeof storage, false};
    if (runtime->answer == finish_stream || content_type.length > CONTENT_TYPE_MAX ||
        has_control_character(content_type))
        return false;
    append_string(&announced, ERROR_TYPE);
    append_string(&announced, ", ");
    append_string(&announced, ERROR_BODY);
    begin_answer(runtime, invocation, "/response");
    append_field(&runtime->head, CONTENT_TYPE, content_type);
    append_field(&runtime->head, "Lambda-Runtime-Function-Response-Mode", S("streaming"));
    append_field(&runtime->head, TRANSFER_ENCODING, S("chunked"));
    append_field(&runtime->head, "Trailer", text_in(&announced));
    append_string(&runtime->head, "\r\n");
    stream_state = STREAM_UNSENT;
    runtime->answer = finish_stream;
    return true;
}

static bool stream_write(const struct invocation *invocation, struct text bytes) {
    if (invocation->runtime->answer != finish_stream)
        return false;
    if (bytes.length == 0)
        return stream_state != STREAM_BROKEN; /* an empty chunk would be the last */
    return send_data(invocation->runtime, bytes, S(""));
}

static bool stream_begin_http(const struct invocation *invocation, struct text json) {
    if (json.length > PRELUDE_MAX || (json.length && memchr(json.data, '\0', json.length)))
        return false;
    return stream_begin(invocation, S("application/vnd.awslambda.http-integration-response")) &&
           send_data(invocation->runtime, json, S("\0\0\0\0\0\0\0\0"));
}

/* ==== 7 Lifecycle ============================================================================
 *
 * The steps of "Building a custom runtime", under the names that they have there. Initialization
 * tasks: retrieve settings, initialize the function. Processing tasks, for ever: get an event,
 * propagate the tracing header, create a context object, invoke the handler, handle the response,
 * handle errors, clean up. */

static bool parse_ipv4(struct text text, uint32_t *address) {
    *address = 0;
    for (int i = 0; i < 4; i++) {
        struct text part;
        uint64_t octet;
        bool dot = cut(&text, '.', &part);
        bool leading_zero = part.length > 1 && part.data[0] == '0'; /* octal to some readers */
        if (dot != (i < 3) || leading_zero || !parse_number(part, 10, &octet) || octet > 255)
            return false;
        *address = *address << 8 | (uint32_t)octet;
    }
    return true;
}

/* [http://]host[:port][/path]: numbers only, and localhost, so that no resolver is needed. NULL, or
 * what is expected instead. */
static const char *parse_address(struct text setting, struct runtime *runtime) {
    struct text host, rest = setting;
    uint32_t address;
    uint64_t port = 80;
    static const char expected[] = "expected host:port, the host as an IPv4 number or localhost, "
                                   "the port from 1 to 65535, such as 127.0.0.1:9001";
    if (setting.length > ADDRESS_MAX || !is_visible_text(setting, S("?#")))
        return expected;
    if (has_prefix(setting, S("https:")))
        return "expected no https: the Runtime API is plain HTTP";
    if (has_prefix(rest, S("http://")))
        rest = without(rest, strlen("http://"));
    struct text path = rest;
    cut(&rest, '/', &runtime->host);
    path = without(path, runtime->host.length);
    while (path.length && path.data[path.length - 1] == '/')
        path.length--; /* every route begins with one */
    runtime->path = path;
    rest = runtime->host;
    if (has_prefix(rest, S("[")))
        return "expected an IPv4 number: Lambda has no IPv6";
    bool has_port = cut(&rest, ':', &host);
    if (equal_in_any_case(host, S("localhost")))
        address = INADDR_LOOPBACK;
    else if (!parse_ipv4(host, &address))
        return expected;
    if (has_port && (!parse_number(rest, 10, &port) || port == 0 || port > 65535))
        return expected;
    runtime->connection.address = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(address),
    };
    return NULL;
}

/* The log format first: it is the form of all messages. */
static void retrieve_settings(struct runtime *runtime) {
    struct text level = environment_variable(S("AWS_LAMBDA_LOG_LEVEL"));
    struct text setting = environment_variable(S("AWS_LAMBDA_RUNTIME_API"));
    logging.json = equal_in_any_case(environment_variable(S("AWS_LAMBDA_LOG_FORMAT")), S("JSON"));
    for (int i = LEVEL_TRACE; i <= LEVEL_FATAL; i++)
        if (equal_in_any_case(level, text_of(level_names[i])))
            logging.least = (enum log_level)i;
    if (!setting.data)
        fatal("AWS_LAMBDA_RUNTIME_API", S("(not set)"),
              "expected the host:port that Lambda sets; to try the program elsewhere: make run");
    const char *advice = parse_address(setting, runtime);
    if (advice)
        fatal("AWS_LAMBDA_RUNTIME_API", setting, advice);
}

#define TRACE_VARIABLE "_X_AMZN_TRACE_ID"

/* The variable with its value, which is shorter than a head. */
static char trace_variable[sizeof TRACE_VARIABLE + HEAD_MAX + 1];

/* The C library's setenv would bring in the allocator, half the program's size again. So `slots`,
 * with room for two more entries, becomes the environment, and one entry is trace_variable. `slots`
 * lives in main's frame, which never returns. */
static void reserve_trace_variable(char **slots) {
    size_t used = 0;
    for (char **variable = environ; *variable; variable++) {
        struct text rest = text_of(*variable), name;
        cut(&rest, '=', &name);
        if (!equal(name, S(TRACE_VARIABLE)))
            slots[used++] = *variable;
    }
    slots[used++] = trace_variable;
    slots[used] = NULL;
    environ = slots;
}

/* Sets _X_AMZN_TRACE_ID for the handler, where X-Ray's libraries look for it, or unsets what the
 * last invocation left: without a name it is no variable. Not among several workers, where Lambda
 * does not support it. */
static void propagate_tracing_header(const struct runtime *runtime, struct text trace_id) {
    struct buffer variable = {trace_variable, 0, sizeof trace_variable, false};
    if (trace_id.length && !runtime->progress) {
        append_string(&variable, TRACE_VARIABLE);
        append_string(&variable, "=");
        append(&variable, trace_id);
    }
    append(&variable, (struct text){"", 1});
}

static void initialize_function(struct runtime *runtime) {
    struct outcome outcome = INITIALIZE();
    if (outcome.failed)
        initialization_error(runtime, INIT_ERROR, &outcome);
    if (!equal(environment_variable(S("AWS_LAMBDA_INITIALIZATION_TYPE")), S("snap-start")))
        return;
    next_restore(runtime);
    outcome = AFTER_RESTORE();
    if (outcome.failed)
        initialization_error(runtime, RESTORE_ERROR, &outcome);
}

/* Behind a proxy that refuses the answer, Lambda serves the same event for ever. When it tries an
 * asynchronous invocation again itself, the deadline is another. */
static void limit_refusals(struct runtime *runtime, const struct invocation *invocation) {
    bool same = equal(text_in(&runtime->refused_id), invocation->request_id) &&
                runtime->refused_deadline_ms == invocation->deadline_ms;
    if (!same || !runtime->refused)
        runtime->refusals = 0;
    if (!runtime->refused)
        return;
    runtime->refused_id =
        (struct buffer){runtime->refused_storage, 0, sizeof runtime->refused_storage, false};
    append(&runtime->refused_id, invocation->request_id);
    runtime->refused_deadline_ms = invocation->deadline_ms;
    if (++runtime->refusals == REFUSALS_MAX)
        fatal("the answer to one event", invocation->request_id,
              "refused three times in a row; exiting");
}

/* Before the next invocation: everything that was valid during this one is given up. */
static void clean_up(struct runtime *runtime) {
    logging.current = NULL;
    allocated = 0;
    rewind_memory(&runtime->connection);
}

/* Once it has served an event a worker has proved itself. */
static void report_progress(struct runtime *runtime, enum progress progress) {
    if (runtime->progress && *runtime->progress < progress)
        *runtime->progress = progress;
}

static void process_event(struct runtime *runtime) {
    struct reply next;
    struct outcome outcome;
    bool whole = next_invocation(runtime, &next);
    report_progress(runtime, EVENT_RECEIVED);
    runtime->answer = send_outcome;
    logging.current = &next.invocation;
    propagate_tracing_header(runtime, next.invocation.trace_id);
    if (whole)
        outcome = HANDLER(&next.invocation);
    else
        outcome = failure(S("Runtime.EventTooLarge"), S("The event is larger than 32 MiB."));
    if (outcome.failed)
        log_failure(&next.invocation, &outcome);
    runtime->answer(runtime, &next.invocation, outcome);
    limit_refusals(runtime, &next.invocation);
    report_progress(runtime, EVENT_ANSWERED);
    clean_up(runtime);
}

/* ---- Managed Instances: an environment that is given several events at once has as many workers,
 * processes with a connection and a loop of their own. ---- */

#define MAX_CONCURRENCY "AWS_LAMBDA_MAX_CONCURRENCY"

/* 1 where it is not set, or says nothing that makes sense. */
static size_t concurrency(void) {
    uint64_t workers;
    struct text setting = environment_variable(S(MAX_CONCURRENCY));
    if (parse_number(setting, 10, &workers) && workers > 0 && workers <= WORKERS_MAX)
        return (size_t)workers;
    if (setting.length)
        message(LEVEL_WARN, MAX_CONCURRENCY, setting,
                "expected a number from 1 to 1600; there is one worker");
    return 1;
}

struct worker {
    pid_t pid;
    int deaths; /* one after another, without an event in between */
};

/* _Fork leaves out the handlers of fork, which are for threads; there are none yet. glibc has it from
 * 2.34 on only. */
static pid_t new_process(void) {
#ifdef __GLIBC__
    return fork();
#else
    return _Fork();
#endif
}

/* True in the new process. It ends with its parent, even if that is killed. */
static bool start_worker(struct worker *worker, pid_t parent) {
    worker->pid = new_process();
    if (worker->pid < 0)
        fatal("fork:", absent, "no worker could be started; exiting");
    if (worker->pid > 0)
        return false;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    return true;
}

/* Waits until a worker ends and says which. If one keeps dying before it has served an event, or
 * exits with an error before it has received any, the environment ends. Then pauses, in case what
 * killed it passes. */
static size_t ended_worker(struct worker *workers, size_t count, enum progress *progress) {
    size_t i = count;
    int status = 0;
    while (i == count) { /* what is no worker was left behind by a program before this one */
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0 && errno != EINTR)
            fatal("waitpid:", absent, "expected workers; exiting");
        for (i = 0; i < count && workers[i].pid != pid; i++)
            ;
    }
    if (progress[i] == NO_EVENT && WIFEXITED(status) && WEXITSTATUS(status) != 0)
        fatal("worker", absent, "it gave up before it had received an event; exiting");
    workers[i].deaths = progress[i] == EVENT_ANSWERED ? 0 : workers[i].deaths + 1;
    progress[i] = NO_EVENT;
    if (workers[i].deaths == WORKER_DEATHS_MAX)
        fatal("worker", absent, "it ended ten times before it had served an event; exiting");
    message(LEVEL_ERROR, "worker", absent,
            "it ended, and its invocation with it; starting another");
    pause_ms(WORKER_PAUSE_MS);
    return i;
}

/* Returns in the workers, never in their parent. */
static void supervise_workers(struct runtime *runtime, size_t count) {
    static struct worker workers[WORKERS_MAX];
    pid_t parent = getpid();
    enum progress *progress = mmap(NULL, count * sizeof *progress, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED)
        fatal("mmap:", absent, "no memory to share with the workers; exiting");
    (void)signal(SIGCHLD, SIG_DFL); /* inherited as ignored, it would hide their ends */
    for (size_t started = 0;; started++) {
        size_t i = started < count ? started : ended_worker(workers, count, progress);
        runtime->progress = &progress[i];
        if (start_worker(&workers[i], parent))
            return;
    }
}

/* An action that does nothing is undone by exec: children of the handler die of a closed pipe, as
 * programs expect to. To ignore the signal would be inherited. */
static void do_nothing(int signal_number) {
    (void)signal_number;
}

static void end_process(int signal_number) {
    _exit(128 + signal_number); /* the status that a shell gives */
}

/* A closed peer or log is an error, not our end. Process 1, of a container, is deaf to every signal
 * without an action, so it gets one for those that end a process elsewhere. */
static void set_signals(void) {
    static const int ending[] = {SIGTERM, SIGINT};
    (void)signal(SIGPIPE, do_nothing);
    for (size_t i = 0; getpid() == 1 && i < 2; i++)
        (void)signal(ending[i], end_process);
}

/* What the handler prints is written when its line ends, as on a terminal: stdio would keep it back
 * while Lambda freezes the environment. This is what setvbuf would do, without a byte for those who
 * do not print. In glibc, whose stdout is always there, it is a flag, named only inside of it:
 * _IO_LINE_BUF. musl asks at the first write, in __stdout_write, whether there is a terminal. This
 * one does not ask; it takes musl's place, and is linked in with stdout only. What it calls comes
 * with stderr; in musl's shared library, where it is hidden, this is never called. */
#ifndef __GLIBC__
size_t __stdio_write(FILE *, const unsigned char *, size_t) __attribute__((weak));
size_t __stdout_write(FILE *, const unsigned char *, size_t);

size_t __stdout_write(FILE *file, const unsigned char *bytes, size_t length) {
    return stderr ? __stdio_write(file, bytes, length) : 0;
}
#endif

static void print_by_lines(void) {
#ifdef __GLIBC__
    stdout->_flags |= 0x200;
#endif
}

int main(void) {
    static _Alignas(PAGE_MAX) char memory[MEMORY_MAX];
    static struct runtime runtime;
    size_t variables = 0, workers;
    while (environ[variables])
        variables++;
    char *slots[variables + 2];
    set_signals();
    print_by_lines();
    use_memory(&runtime.connection, memory, sizeof memory);
    retrieve_settings(&runtime);
    reserve_trace_variable(slots);
    workers = concurrency();
    if (workers > 1)
        supervise_workers(&runtime, workers);
    initialize_function(&runtime);
    for (;;)
        process_event(&runtime);
}
