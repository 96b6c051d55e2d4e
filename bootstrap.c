/* bootstrap.c - an AWS Lambda custom runtime in one C file.
 *
 * SPDX-License-Identifier: MIT-0 (its text stands at the end)
 *
 * Build    musl-gcc -static -Os -s bootstrap.c -o bootstrap     or gcc or clang on Linux
 * Deploy   zip function.zip bootstrap                           runtime provided.al2023
 * Change   the function in section 2, or write a file of your own that includes this one
 *
 * Lambda starts this program in each execution environment. The program is the client, and the
 * Runtime API is an HTTP/1.1 server at $AWS_LAMBDA_RUNTIME_API. This is the whole conversation,
 * with the function that does each step; all paths begin with /2018-06-01/runtime:
 *
 *     read the address from the environment                      retrieve_settings
 *     let the function open what it needs                        initialize_function
 *         if it fails: POST /init/error, and exit                initialization_error
 *     for ever:                                                  process_event
 *         GET /invocation/next                                   next_invocation
 *             connect, unless the connection still stands        require_connection
 *             send the request                                   send_texts
 *             wait for the head of the reply, perhaps for hours  receive_head
 *             take status, request id, deadline and so on        parse_head
 *             receive the event                                  read_body
 *         call the function with the event                       echo, or yours
 *             if it succeeds: POST /invocation/{id}/response     invocation_response
 *             if it fails:    POST /invocation/{id}/error        invocation_error
 *             202 is expected                                    check_reply
 *         forget the event                                       clean_up
 *
 *   1 Text            takes received text apart, and puts sent text together
 *   2 Your function   is the only part that you change
 *   3 Connection      moves bytes, and remembers the first failure
 *   4 HTTP            parses a reply, and finds where it ends
 *   5 Runtime API     has a function for each call, and decides what may be sent again
 *   6 Lifecycle       leads through all of it, and ends in main. A first reading ends there.
 *   7 Behind main     holds what you can leave out at first; each piece stands by itself
 *
 * Two kinds of fault are never mixed. What goes wrong in the function is reported to Lambda, and
 * the loop goes on. What goes wrong between this program and Lambda, unless a resend or the next
 * event mends it, ends the program with a line on standard error: Lambda starts a fresh one.
 * Nothing is guessed from a damaged message, and a part of an event is never handed on.
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

#ifndef MADV_DONTNEED
#error "bootstrap.c needs more than ISO C of the system's headers: compile with -std=gnu11"
#endif

/* ==== 1 Text =================================================================================
 *
 * A text is a pointer and a length, and owns nothing: whose memory it is, and for how long, is said
 * where it comes from. No NUL ends it, so a received NUL cannot end it early. Absent is a NULL
 * pointer; empty is a length of 0. Parsers return false and never end the program. */

struct text {
    const char *data;
    size_t length;
};

/* The text of a string literal. The "" makes anything else an error: use text_of(). */
#define S(literal) ((struct text){"" literal, sizeof("" literal) - 1})
#define ABSENT ((struct text){NULL, 0})

/* The text of a string that ends with a NUL, as long as that lives; absent for NULL. */
static struct text text_of(const char *string) {
    return (struct text){string, string ? strlen(string) : 0};
}

static bool equal(struct text a, struct text b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static char lower_case(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Whether it begins with the prefix, if the case of A to Z is ignored. */
static bool begins_with(struct text text, struct text prefix) {
    if (text.length < prefix.length)
        return false;
    for (size_t i = 0; i < prefix.length; i++)
        if (text.data[i] != prefix.data[i] &&
            lower_case(text.data[i]) != lower_case(prefix.data[i]))
            return false;
    return true;
}

/* Equal if the case of A to Z is ignored, as HTTP compares field names and tokens. */
static bool equal_in_any_case(struct text a, struct text b) {
    return a.length == b.length && begins_with(a, b);
}

/* The text behind its first n bytes. */
static struct text without(struct text text, size_t n) {
    return (struct text){text.data + n, text.length - n};
}

/* Splits *rest at the first `separator`, and says whether there is one: what stands before it goes
 * to *before, what stands after it remains. Without one, *before gets all and nothing remains. */
static bool cut(struct text *rest, char separator, struct text *before) {
    const char *at = rest->length ? memchr(rest->data, separator, rest->length) : NULL;
    *before = (struct text){rest->data, at ? (size_t)(at - rest->data) : rest->length};
    *rest = at ? without(*rest, before->length + 1) : S("");
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

/* Visible ASCII throughout, and none of the bytes in `but`. */
static bool is_visible_text(struct text text, const char *but) {
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f)
            return false;
    while (*but && !memchr(text.data, *but, text.length))
        but++;
    return *but == '\0';
}

/* A number in base 10 or 16 and nothing else: no sign, no blank, no tail, and not beyond 64 bits.
 * What is no digit counts as `base`, which is too much. *number changes on success only. */
static bool parse_number(struct text digits, unsigned base, uint64_t *number) {
    uint64_t value = 0;
    for (size_t i = 0; i < digits.length; i++) {
        char c = lower_case(digits.data[i]);
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : base;
        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    if (digits.length == 0)
        return false;
    *number = value;
    return true;
}

/* A text that grows, in memory owned by the caller: {storage, 0, sizeof storage, false} is an empty
 * one. A text that does not fit is left out whole, and `overflow` says so from then on. */
struct buffer {
    char *data;
    size_t length, capacity;
    bool overflow;
};

/* Valid as long as the memory; what is appended later is not in it. */
static struct text text_in(const struct buffer *buffer) {
    return (struct text){buffer->data, buffer->length};
}

static void append_text(struct buffer *to, struct text text) {
    if (text.length > to->capacity - to->length) {
        to->overflow = true;
    } else if (text.length) {
        memcpy(to->data + to->length, text.data, text.length);
        to->length += text.length;
    }
}

static void append_string(struct buffer *to, const char *string) {
    append_text(to, text_of(string));
}

/* Up to five texts in this order, to be appended or sent; those that are not given are empty. */
enum { TEXTS_MAX = 5 };
#define TEXTS(...) ((const struct text[TEXTS_MAX]){__VA_ARGS__})

static void append_texts(struct buffer *to, const struct text texts[TEXTS_MAX]) {
    for (size_t i = 0; i < TEXTS_MAX; i++)
        append_text(to, texts[i]);
}

static const char digits_in_hex[] = "0123456789abcdef";

/* Puts the digits of a number in base 10 or 16, 20 at most, in front of `end`. */
static char *put_digits(char *end, uint64_t number, unsigned base) {
    do
        *--end = digits_in_hex[number % base];
    while (number /= base);
    return end;
}

static void append_number(struct buffer *to, uint64_t number) {
    char storage[20], *end = storage + sizeof storage, *begin = put_digits(end, number, 10);
    append_text(to, (struct text){begin, (size_t)(end - begin)});
}

/* ==== 2 Your function ========================================================================
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
 * INITIALIZE, AFTER_RESPONSE and AFTER_RESTORE can be defined likewise. Your function may call what
 * is marked CALLABLE; the compiler leaves out what nobody calls. All but main is static, so that no
 * library's names are mistaken for ours. */
#define CALLABLE __attribute__((unused)) static

/* What Lambda says of one invocation. All texts stay valid until the next event is asked for; copy
 * what is to live longer. What Lambda did not send, or sent empty, has length 0. Source:
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

/* The invocation's error; the caller gets {"errorType":…,"stackTrace":[],"errorMessage":…}, and the
 * log an entry at level ERROR. AWS recommends a type of the form Category.Reason, such as
 * Function.NoSuchUser. Any bytes are allowed in either; a type beyond 256 bytes and a message
 * beyond 64 KiB (2 KB in a stream) is cut. As with success(), nothing is copied. The function lives
 * on and gets the next event. Source: "Invocation error". */
CALLABLE struct outcome failure(struct text error_type, struct text error_message) {
    return (struct outcome){
        .error_type = error_type, .error_message = error_message, .failed = true};
}

CALLABLE struct outcome nothing_to_do(void) {
    return success(S(""));
}

/* Runs once, before the first event: the place to open what all invocations share. failure() makes
 * the runtime report an initialization error and end; the text of success() is not used. */
#ifndef INITIALIZE
#define INITIALIZE nothing_to_do
#endif
static struct outcome INITIALIZE(void);

/* Runs when the response has been sent, before the next event is asked for: the place to send off
 * metrics, spans and logs. The invocation is still valid, and not complete before the end of this:
 * Lambda bills the time, and the caller may wait for it. */
#ifdef AFTER_RESPONSE
static void AFTER_RESPONSE(const struct invocation *);
#else
#define AFTER_RESPONSE(invocation) (void)(invocation)
#endif

/* With SnapStart: runs after each restore of the snapshot that was taken after INITIALIZE, to open
 * anew what did not survive it: connections, random numbers, the time. Otherwise never called. */
#ifndef AFTER_RESTORE
#define AFTER_RESTORE nothing_to_do
#endif
static struct outcome AFTER_RESTORE(void);

/* ---- What your function can call; section 7 has the code. It can also print, and use malloc; each
 * line printed goes into the log when it ends, without level and request id. ---- */

/* Milliseconds since 1970. */
CALLABLE uint64_t now_ms(void);

/* How long the invocation may still take, in milliseconds: 0 once the deadline has passed,
 * UINT64_MAX when Lambda named none. */
CALLABLE uint64_t remaining_ms(const struct invocation *);

/* A variable of the environment, such as AWS_LAMBDA_FUNCTION_NAME; absent if it is not set. Valid
 * until it is set anew. Source: "Defined runtime environment variables". */
CALLABLE struct text environment_variable(const char *name);

/* Memory for this invocation, aligned for any type, not cleared. Nobody frees it: it is gone when
 * the next event is asked for. NULL when ALLOCATE_MAX, all in all, is exceeded. Not to be called by
 * two threads at once. */
enum { ALLOCATE_MAX = 16 * 1024 * 1024 }; /* a response of 6 MB fits twice */
CALLABLE void *allocate(const struct invocation *, size_t size);

/* A buffer in such memory. If there is not enough its capacity is 0: the first append overflows. */
CALLABLE struct buffer allocate_buffer(const struct invocation *, size_t capacity);

/* What stands between the quotes of a JSON string (RFC 8259 §7), valid whatever the bytes are: what
 * is not UTF-8 becomes U+FFFD. Stops where the buffer is full. The second adds the quotes. */
CALLABLE void append_json_text(struct buffer *, struct text);
CALLABLE void append_json_string(struct buffer *, struct text);

/* An entry in the log of the function, with level, request id and text, as text or JSON as the
 * function is configured: one line, written at once, cut at 60 KB and built on the stack. The
 * invocation is NULL in INITIALIZE. Levels below AWS_LAMBDA_LOG_LEVEL are not written. Source:
 * "Configuring JSON and plain text log formats". */
enum log_level { LEVEL_TRACE, LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR, LEVEL_FATAL };

CALLABLE void log_line(enum log_level, const struct invocation *, struct text);
#define log_debug(invocation, text) log_line(LEVEL_DEBUG, invocation, text)
#define log_info(invocation, text) log_line(LEVEL_INFO, invocation, text)
#define log_warn(invocation, text) log_line(LEVEL_WARN, invocation, text)
#define log_error(invocation, text) log_line(LEVEL_ERROR, invocation, text)

/* Streams the response instead of returning it, up to 200 MB, so that the caller has its beginning
 * early. stream_begin() comes first, names the content type and sends nothing yet; each
 * stream_write() goes out at once in one system call; the stream ends when the handler returns.
 * After success() its text is the last piece. A failure() before the first byte is an ordinary
 * invocation error; after it, the caller has the beginning, and Lambda gets the error in the
 * trailers. Return when either is false: nothing more can be sent, or there is no stream. Source:
 * "Implementing response streaming in a custom runtime". */
CALLABLE bool stream_begin(const struct invocation *, struct text content_type);
CALLABLE bool stream_write(const struct invocation *, struct text bytes);

/* The same for functions behind a function URL or API Gateway, with status and fields of the HTTP
 * response as a JSON object: {"statusCode":200,"headers":{"content-type":"text/html"}}. It is sent
 * at once. False also if it is larger than 16 KB, or has a NUL in it, which would end it early. */
CALLABLE bool stream_begin_http(const struct invocation *, struct text json);

#ifdef HANDLER /* not inlined: main never returns, and a stack protector checks a return */
__attribute__((noinline)) static struct outcome HANDLER(const struct invocation *);
#elif __INCLUDE_LEVEL__
#error "expected #define HANDLER name before #include \"bootstrap.c\", in one file of a program"
#else
#define HANDLER echo
static struct outcome echo(const struct invocation *invocation) {
    return success(invocation->event);
}
#endif

/* ==== 3 Connection ===========================================================================
 *
 * TCP delivers bytes, not messages: one recv may return half a line, or a head together with the
 * body behind it. So everything goes into one stretch of memory, and the reader moves through it:
 *
 *     memory ........ kept ....... unread ....... end ........ limit
 *             in use        read,         received,     free
 *                           forgotten     not yet read
 *
 * There is no time-out, neither here nor in the socket. Lambda freezes the whole environment
 * between two events, for hours if need be. And if the runtime gave up a GET …/next that waits, the
 * next event would go to that call all the same, and be lost.
 *
 * The first failure stays, as an overflow does: whoever reads from then on gets nothing. */

enum {
    HEAD_MAX = 64 * 1024,              /* of a reply; Lambda's are about 600 bytes, 4 KB at most */
    SIZE_LINE_MAX = HEAD_MAX,          /* a chunk-size line */
    TRAILER_MAX = HEAD_MAX,            /* a trailer section */
    EVENT_MAX = 32 * 1024 * 1024,      /* Lambda's quota is 6 MB; the rest is for emulators */
    REPLY_BODY_MAX = HEAD_MAX,         /* room for the reply to our answer, a line of JSON */
    REQUEST_HEAD_MAX = 4096,           /* section 5 asserts its parts */
    ENVIRONMENT_MAX = 6 * 1024 * 1024, /* Linux takes no larger one for a process */
    PAGE_MAX = 64 * 1024,              /* the largest of Linux */
    PAUSE_MAX_MS = 512, /* connecting is tried again after 1, 2, 4 … 512 ms: a second in all */

    /* All that one invocation needs, one behind the other: section 7 asserts it. The kernel hands out
     * a page of it only when it is first touched. */
    MEMORY_MAX = 55 * 1024 * 1024,
};

/* What can be wrong with a reply, beside what its parsers say. They are compared as pointers. */
static const char CONNECTION_LOST[] = "the connection was lost each time";
static const char BODY_CUT_OFF[] =
    "the connection broke within the body that was sent, which Lambda takes only once";
static const char BODY_TOO_LARGE[] = "a body that is too large";

struct api_connection {
    int socket; /* -1: not connected */
    struct sockaddr_in address;
    const char *wrong; /* the first failure of an exchange; NULL if there was none */
    char *memory, *kept, *unread, *end, *limit;
    char *touched; /* the highest end since memory was last given back */
};

/* Section 7 has this: it forgets what was received. */
static void rewind_memory(struct api_connection *c);

static void use_memory(struct api_connection *c, char *memory, size_t size) {
    c->socket = -1;
    c->memory = c->kept = c->unread = c->end = c->touched = memory;
    c->limit = memory + size;
}

/* Moves `kept` by `length` bytes and on to a multiple of `alignment`; the unread are forgotten. */
static void keep_bytes(struct api_connection *c, size_t length, size_t alignment) {
    c->kept += length;
    c->kept += -(uintptr_t)c->kept % alignment;
    c->unread = c->end = c->kept;
    c->touched = c->end > c->touched ? c->end : c->touched;
}

static void pause_ms(int ms) {
    poll(NULL, 0, ms); /* a signal may end it early, which does no harm */
}

static void hang_up(struct api_connection *c) {
    if (c->socket >= 0)
        close(c->socket);
    c->socket = -1;
}

/* Where standard streams are closed, a socket would get the number of one, and what anybody prints
 * would end up in the conversation. So sockets 0 to 2 are left open, unconnected, in their place. */
static int new_socket(void) {
    int number;
    do
        number = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (number >= 0 && number <= STDERR_FILENO);
    return number;
}

/* Emulators start server and runtime at the same time, so a refusal is tried again for a second.
 * So is a connect that a signal interrupts. On false errno tells the last reason. */
static bool connect_to_api(struct api_connection *c) {
    for (int pause = 1;; pause *= 2) {
        c->socket = new_socket();
        if (c->socket >= 0 &&
            connect(c->socket, (const struct sockaddr *)&c->address, sizeof c->address) == 0)
            return true;
        int reason = errno;
        hang_up(c);
        errno = reason;
        if (pause > PAUSE_MAX_MS)
            return false;
        pause_ms(pause);
    }
}

/* Between two messages we expect nothing: what is readable is a close, or stray bytes. */
static bool is_stale(const struct api_connection *c) {
    char byte;
    ssize_t n = recv(c->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* Sends all texts in one system call, so that nothing is left for Nagle's algorithm to hold back.
 * Returns how many the kernel accepted whole: TEXTS_MAX, or fewer when the connection is lost. */
static size_t send_texts(int descriptor, const struct text texts[TEXTS_MAX]) {
    struct iovec rest[TEXTS_MAX];
    for (size_t i = 0; i < TEXTS_MAX; i++)
        rest[i] = (struct iovec){(char *)(uintptr_t)texts[i].data, texts[i].length};
    for (size_t i = 0; i < TEXTS_MAX;) { /* rest[i] is the first that has not gone out whole */
        ssize_t n = rest[i].iov_len ? writev(descriptor, rest + i, (int)(TEXTS_MAX - i)) : 0;
        if (n < 0 && errno != EINTR)
            return i;
        while (i < TEXTS_MAX && n >= (ssize_t)rest[i].iov_len)
            n -= (ssize_t)rest[i++].iov_len;
        if (n > 0) {
            rest[i].iov_base = (char *)rest[i].iov_base + n;
            rest[i].iov_len -= (size_t)n;
        }
    }
    return TEXTS_MAX;
}

static void note_failure(struct api_connection *c, const char *wrong) {
    c->wrong = c->wrong ? c->wrong : wrong;
}

/* Waits for more bytes, for as long as it takes, and first moves the unread ones down over what is
 * forgotten. Returns how many came; 0 at the end of the connection; -1 when it is lost. */
static ssize_t receive_more(struct api_connection *c) {
    size_t here = (size_t)(c->end - c->unread);
    ssize_t n;
    if (c->unread != c->kept)
        memmove(c->kept, c->unread, here);
    c->unread = c->kept;
    c->end = c->kept + here;
    do
        n = recv(c->socket, c->end, (size_t)(c->limit - c->end), 0);
    while (n < 0 && errno == EINTR);
    c->end += n > 0 ? n : 0;
    c->touched = c->end > c->touched ? c->end : c->touched;
    return n;
}

/* The next line, without its LF. Beyond `most` bytes it is `too_long`. Valid until more comes. */
static struct text receive_line(struct api_connection *c, size_t most, const char *too_long) {
    size_t searched = 0;
    while (!c->wrong) {
        size_t here = (size_t)(c->end - c->unread);
        size_t within = here < most ? here : most;
        char *lf = memchr(c->unread + searched, '\n', within - searched);
        if (lf) {
            struct text line = {c->unread, (size_t)(lf - c->unread)};
            c->unread = lf + 1;
            return line;
        }
        searched = within;
        if (within == most)
            note_failure(c, too_long);
        else if (receive_more(c) <= 0)
            note_failure(c, CONNECTION_LOST);
    }
    return ABSENT;
}

/* Everything up to and with the empty line that ends a head or a trailer section; kept. */
static struct text receive_head(struct api_connection *c, size_t most) {
    struct text head = ABSENT, line;
    do {
        line = receive_line(c, most - head.length, "a head or trailer section of more than 64 KiB");
        head.data = head.data ? head.data : line.data;
        head.length += line.length + 1;
        c->kept = c->unread;
    } while (line.length && !equal(line, S("\r")));
    return c->wrong ? ABSENT : head;
}

/* The next n bytes, whatever they are, kept behind those of the body that are there already. */
static void receive_body(struct api_connection *c, uint64_t n, struct text *body) {
    if (body->length == 0) /* it stays where it has arrived; what comes later is moved up to it */
        body->data = c->kept = c->unread;
    /* Behind it there must be room for a size line or a trailer section. */
    if (n > EVENT_MAX - body->length || n + TRAILER_MAX > (size_t)(c->limit - c->kept))
        note_failure(c, BODY_TOO_LARGE);
    while (!c->wrong) {
        size_t here = (size_t)(c->end - c->unread);
        here = here < n ? here : (size_t)n;
        if (c->kept != c->unread)
            memmove(c->kept, c->unread, here);
        c->kept += here;
        c->unread += here;
        body->length += here;
        n -= here;
        if (n == 0)
            return;
        if (receive_more(c) <= 0)
            note_failure(c, CONNECTION_LOST);
    }
}

/* ==== 4 HTTP =================================================================================
 *
 * The part of HTTP/1.1 that a client of one server needs, the receiving half complete but for
 * obsolete line folding, which is refused. Left out on purpose: TLS, proxies, pipelining,
 * compression, and the Expect field, which would only cost a round trip. What RFC 9112 calls
 * invalid is refused, since a wrong guess about where one body ends would be a wrong event.
 *
 * A parser here takes a text, and receives nothing. It returns what is wrong, or NULL, which
 * note_failure ignores. A message of the server is called a reply: a response, in Lambda, is what
 * a function gives. */

struct api_reply {
    int status;
    bool http_1_0;
    bool after_resend; /* Lambda may have seen the request before */
    struct text content_length, transfer_encoding, connection, deadline_ms;
    struct invocation invocation; /* the other fields, in the reply to `next` */
    struct text body;             /* this and all fields: valid until clean_up() */
};

/* The fields that matter here, with the colon behind the name, and where their values go. The last
 * is not on AWS's pages: Lambda has sent it since July 2026, and wants it back with the answer. */
#define FIELD_INVOCATION_ID "Lambda-Runtime-Invocation-Id"
#define FIELD_REQUEST_ID "Lambda-Runtime-Aws-Request-Id"
#define FIELD(name, member) \
    { name ":", sizeof(name ":") - 1, offsetof(struct api_reply, member) }
static const struct {
    const char *name;
    unsigned short length, offset;
} known_fields[] = {
    FIELD("Content-Length", content_length),
    FIELD("Transfer-Encoding", transfer_encoding),
    FIELD("Connection", connection),
    FIELD("Content-Type", invocation.content_type),
    FIELD(FIELD_REQUEST_ID, invocation.request_id),
    FIELD("Lambda-Runtime-Deadline-Ms", deadline_ms),
    FIELD("Lambda-Runtime-Invoked-Function-Arn", invocation.invoked_function_arn),
    FIELD("Lambda-Runtime-Trace-Id", invocation.trace_id),
    FIELD("Lambda-Runtime-Client-Context", invocation.client_context),
    FIELD("Lambda-Runtime-Cognito-Identity", invocation.cognito_identity),
    FIELD("Lambda-Runtime-Aws-Tenant-Id", invocation.tenant_id),
    FIELD(FIELD_INVOCATION_ID, invocation.invocation_id),
};

/* Cuts a known name and its colon off the line. Returns where the value goes; NULL if unknown. */
static struct text *cut_known_field(struct text *line, struct api_reply *reply) {
    for (size_t i = 0; i < sizeof known_fields / sizeof known_fields[0]; i++) {
        struct text name = {known_fields[i].name, known_fields[i].length};
        if (line->length >= name.length && line->data[name.length - 1] == ':' &&
            begins_with(*line, name)) {
            *line = without(*line, name.length);
            return (struct text *)(void *)((char *)reply + known_fields[i].offset);
        }
    }
    return NULL;
}

/* RFC 9110 §5.5: no control character but the tab; bytes above 127 pass. */
static bool has_control_character(struct text line) {
    for (size_t i = 0; i < line.length; i++)
        if ((unsigned char)line.data[i] < ' ' ? line.data[i] != '\t' : line.data[i] == 0x7f)
            return true;
    return false;
}

/* RFC 9112 §4: HTTP/1.1 200 OK, where the reason phrase, and in practice the blank before it, may
 * be missing. A later minor version is treated as 1.1: RFC 9110 §2.5. */
static const char *parse_status_line(struct text line, struct api_reply *reply) {
    struct text version, code;
    uint64_t minor, status;
    if (has_control_character(line))
        return "a control character in its status line";
    cut(&line, ' ', &version);
    cut(&line, ' ', &code);
    if (version.length != 8 || memcmp(version.data, "HTTP/1.", 7) != 0 ||
        !parse_number(without(version, 7), 10, &minor))
        return "a status line that does not begin with HTTP/1.1 or HTTP/1.0";
    if (code.length != 3 || !parse_number(code, 10, &status) || status < 100 || status > 599)
        return "a status code that is not a number from 100 to 599";
    if (status == 101) /* would end HTTP on this connection, and nobody asked for it */
        return "a switch to another protocol";
    reply->http_1_0 = minor == 0;
    reply->status = (int)status;
    return NULL;
}

/* RFC 9112 §5. A name is a token (RFC 9110 §5.6.2), so a line that begins with a blank fails. */
static const char *parse_field_line(struct text line, struct api_reply *reply) {
    struct text name, *known = cut_known_field(&line, reply);
    if (has_control_character(line))
        return "a control character in a field line";
    if (!known &&
        (!cut(&line, ':', &name) || !name.length || !is_visible_text(name, "\"(),/;<=>?@[\\]{}")))
        return "a field line that does not begin with a name and a colon";
    struct text value = trim(line);
    if (known == &reply->connection && known->data)
        value = S("close"); /* a list in several lines; to close is right in any case */
    else if (known && known->data && (known == &reply->transfer_encoding || !equal(*known, value)))
        return "a field that must not be repeated, or is repeated with a different value";
    if (known)
        *known = value;
    return NULL;
}

/* A line may end in LF alone: RFC 9112 §2.2. */
static struct text cut_line(struct text *rest) {
    struct text line;
    cut(rest, '\n', &line);
    if (line.length && line.data[line.length - 1] == '\r')
        line.length--;
    return line;
}

static const char *parse_field_lines(struct text lines, struct api_reply *reply) {
    const char *wrong = NULL;
    for (struct text line = cut_line(&lines); line.length && !wrong; line = cut_line(&lines))
        wrong = parse_field_line(line, reply);
    return wrong;
}

static const char *parse_head(struct text head, struct api_reply *reply) {
    const char *wrong = parse_status_line(cut_line(&head), reply);
    return wrong ? wrong : parse_field_lines(head, reply);
}

static bool has_token(struct text list, struct text token) {
    struct text element;
    while (cut(&list, ',', &element) && !equal_in_any_case(trim(element), token))
        ;
    return equal_in_any_case(trim(element), token);
}

/* Whether the connection can carry another request: RFC 9112 §9.3. */
static bool is_persistent(const struct api_reply *reply) {
    bool framed = reply->content_length.data || reply->transfer_encoding.data ||
                  reply->status == 204 || reply->status == 304;
    return framed && !has_token(reply->connection, S("close")) &&
           (!reply->http_1_0 || has_token(reply->connection, S("keep-alive")));
}

/* RFC 9112 §7.1: a size in hex; extensions are skipped. Unlike in a head, the CR must be there. */
static const char *parse_chunk_size(struct text line, uint64_t *size) {
    struct text digits;
    if (line.length == 0 || line.data[line.length - 1] != '\r')
        return "a chunk-size line that does not end in CRLF";
    line.length--;
    if (has_control_character(line))
        return "a chunk-size line with a control character";
    if (cut(&line, ';', &digits))
        digits = trim_end(digits);
    return parse_number(digits, 16, size) ? NULL : "a chunk size that is not a number in hex";
}

/* Chunks, the last of which has the size 0, then the trailer section, whose fields are not needed.
 * Nothing is moved in a body of one chunk, which is how Lambda sends events of more than 2 KiB. */
static void read_chunked_body(struct api_connection *c, struct text *body) {
    static const char too_long[] = "a chunk that is longer than its size";
    struct api_reply trailer = {0};
    for (;;) {
        uint64_t size = 0;
        struct text line = receive_line(c, SIZE_LINE_MAX, "a chunk-size line of more than 64 KiB");
        note_failure(c, parse_chunk_size(line, &size));
        if (size == 0) /* the last chunk, or a failure */
            break;
        receive_body(c, size, body);
        if (!equal(receive_line(c, 2, too_long), S("\r")))
            note_failure(c, too_long);
    }
    note_failure(c, parse_field_lines(receive_head(c, TRAILER_MAX), &trailer));
}

/* RFC 9112 §6.3, last case: all that comes until the server closes. */
static void read_body_until_close(struct api_connection *c, struct text *body) {
    ssize_t n;
    do {
        receive_body(c, (size_t)(c->end - c->unread), body);
        n = c->wrong ? 0 : receive_more(c);
    } while (n > 0);
    if (n < 0)
        note_failure(c, CONNECTION_LOST);
}

/* Which kind of body it is: RFC 9112 §6.3. */
static void read_body(struct api_connection *c, struct api_reply *reply) {
    uint64_t length = 0;
    if (c->wrong || reply->status == 204 || reply->status == 304)
        return;
    if (reply->transfer_encoding.data) {
        if (reply->content_length.data)
            note_failure(c, "both Transfer-Encoding and Content-Length");
        if (reply->http_1_0 || !equal_in_any_case(reply->transfer_encoding, S("chunked")))
            note_failure(c, "a Transfer-Encoding other than the chunked of HTTP/1.1");
        read_chunked_body(c, &reply->body);
    } else if (reply->content_length.data) {
        if (!parse_number(reply->content_length, 10, &length)) /* nor a list: RFC 9110 §8.6 */
            note_failure(c, "a Content-Length that is not a number");
        receive_body(c, length, &reply->body);
    } else {
        read_body_until_close(c, &reply->body);
    }
}

/* Interim replies (RFC 9110 §15.2) in front of the reply are skipped. */
static void read_reply(struct api_connection *c, struct api_reply *reply) {
    const char *begin = c->kept;
    do {
        *reply = (struct api_reply){0};
        struct text head = receive_head(c, HEAD_MAX - (size_t)(c->kept - begin));
        note_failure(c, parse_head(head, reply));
    } while (!c->wrong && reply->status < 200);
    read_body(c, reply);
    if (c->wrong == CONNECTION_LOST && reply->status > 200) {
        c->wrong = NULL; /* the status is enough; only an event must be whole */
        reply->connection = S("close");
        reply->body = ABSENT;
    }
}

/* ==== 5 Runtime API ==========================================================================
 *
 * The calls of the page, one function for each, in the order of an invocation. What may be sent
 * again follows from Lambda's state machine, which is in the source of AWS's emulator:
 *
 *   next       Ask again when the connection has ended before the whole reply: Lambda then serves
 *              the same event once more. Never while the connection stands: the event would go to
 *              the call that was given up.
 *   response,  Resend once if no reply came, unless the head went out and the body not whole: then
 *   error      Lambda refuses a resend, and `next`. What went out need not have arrived: if the
 *              resend gets a 403, the first copy had; if only a part had, so does `next`.
 *
 * An invocation is complete only when `next` is called again. */

#define BOOTSTRAP_VERSION "2.0.0"
#define ROUTE_NEXT "/2018-06-01/runtime/invocation/next"
#define ROUTE_INVOCATION "/2018-06-01/runtime/invocation/" /* id, /response or /error */
#define ROUTE_INIT_ERROR "/2018-06-01/runtime/init/error"
#define FIELD_ERROR_TYPE "Lambda-Runtime-Function-Error-Type"

enum {
    ADDRESS_MAX = 1024,            /* AWS_LAMBDA_RUNTIME_API: about 20 bytes, more with a path */
    REQUEST_ID_MAX = 256,          /* a UUID of 36 bytes; AWS calls it opaque. Part of a path. */
    INVOCATION_ID_MAX = 1024,      /* of unknown form, sent back as it came */
    ERROR_TYPE_MAX = 256,          /* a longer one is cut */
    ERROR_MESSAGE_MAX = 64 * 1024, /* likewise; Lambda takes 1 MiB of JSON */
    ERROR_JSON_MAX = 6 * (ERROR_TYPE_MAX + ERROR_MESSAGE_MAX) + 64, /* with all of it escaped */
    CONTENT_TYPE_MAX = 256,                                         /* of a streamed response */

    /* A request up to this size fits into the socket's send buffer in one go. Before a larger one
     * we check that the peer has not closed, because a half-sent body cannot be recovered. */
    ONE_SEND_MAX = 16 * 1024,
    NEXT_ATTEMPTS_MAX = 6, /* how many times a request goes out, in all, when no reply comes */
    POST_ATTEMPTS_MAX = 2,
};

_Static_assert(ADDRESS_MAX + REQUEST_ID_MAX + INVOCATION_ID_MAX + ERROR_TYPE_MAX +
                       CONTENT_TYPE_MAX + 1024 <=
                   REQUEST_HEAD_MAX,
               "a request head has room for its parts, and for 1 KiB of route and names");

struct worker {
    pid_t pid;               /* only the parent writes this, */
    int deaths;              /* and this: how many in a row without an answer in between */
    bool received, answered; /* an event, since it was started */
};

struct runtime {
    struct api_connection connection;
    struct text host;      /* AWS_LAMBDA_RUNTIME_API, without the path; in the environment */
    struct text path;      /* stands before every route; empty in Lambda */
    struct buffer head;    /* of the request that is being made, in the connection's memory */
    size_t allocated;      /* by the handler, for this invocation */
    bool refused;          /* Lambda did not take the answer to this event */
    size_t workers;        /* how many there are */
    struct worker *worker; /* this one; shared with its parent if there are several */
    /* send_outcome, or finish_stream once a stream has begun: only then is that linked in. */
    void (*answer)(const struct invocation *, const struct outcome *);
};

/* Section 7 has these. A message in the log says what was being done, a detail if it is not NULL,
 * what was received if that is not absent, and what was expected or happens now. A colon at the end
 * of the operation asks for the reason, from errno. exit_fault ends the program. */
static void report_fault(enum log_level, const char *operation, const char *detail,
                         struct text received, const char *advice);
static _Noreturn void exit_fault(const char *operation, const char *detail, struct text received,
                                 const char *advice);
static void log_failure(const struct invocation *, const struct outcome *);
static const struct invocation *current_invocation; /* for messages; NULL if there is none */
static void append_error_type(struct buffer *, const struct outcome *); /* as a field line */
static struct text error_json(const struct outcome *, size_t most);     /* in static memory */

/* A field with an empty value is left out. */
static void append_field(struct buffer *head, const char *name, struct text value) {
    if (value.length)
        append_texts(head, TEXTS(text_of(name), S(": "), value, S("\r\n")));
}

/* Request line and the fields that all requests have: RFC 9112 §3. The path is route, id, action. */
static void begin_request(struct runtime *runtime, const char *method, const char *route,
                          struct text id, const char *action) {
    struct buffer *head = &runtime->head;
    *head = (struct buffer){runtime->connection.kept, 0, REQUEST_HEAD_MAX, false};
    append_texts(head, TEXTS(text_of(method), runtime->path, text_of(route), id, text_of(action)));
    append_string(head, " HTTP/1.1\r\n");
    append_field(head, "Host", runtime->host);
    append_field(head, "User-Agent", S("bootstrap.c/" BOOTSTRAP_VERSION));
}

static void end_request_head(struct runtime *runtime) {
    append_string(&runtime->head, "\r\n");
    keep_bytes(&runtime->connection, runtime->head.length, 64); /* a cache line: only faster */
}

static void require_connection(struct runtime *runtime) {
    if (runtime->connection.socket >= 0 || connect_to_api(&runtime->connection))
        return;
    const char *tried = begins_with(runtime->host, S("localhost")) ? "127.0.0.1 was tried" : NULL;
    exit_fault("no connection:", tried, runtime->host, "expected the Runtime API at this address");
}

/* One request and its reply, which is read even if the request did not go out whole: a server may
 * refuse a large body early. Then we shut down sending, so that it need not wait for the rest. */
static void exchange_once(struct api_connection *c, struct text head, struct text body,
                          struct api_reply *reply) {
    size_t sent = send_texts(c->socket, TEXTS(head, body));
    c->wrong = NULL;
    if (sent < TEXTS_MAX)
        shutdown(c->socket, SHUT_WR);
    read_reply(c, reply);
    if (c->wrong == CONNECTION_LOST && sent == 1) /* the head, but not the whole body */
        c->wrong = BODY_CUT_OFF;
    if (c->wrong || sent < TEXTS_MAX || c->unread != c->end || !is_persistent(reply))
        hang_up(c);
}

/* Sends the request that was begun until it has a reply, `attempts` times at most, on a new
 * connection if the old one is gone. The reply goes into memory behind what is kept there. */
static void exchange(struct runtime *runtime, struct text body, int attempts,
                     struct api_reply *reply) {
    struct api_connection *c = &runtime->connection;
    end_request_head(runtime);
    char *begin = c->kept;
    for (int attempt = 1;; attempt++) {
        if (attempt > 2)
            pause_ms(1 << 2 * (attempt - 2)); /* 4, 16, 64, 256 ms */
        c->kept = c->unread = c->end = begin;
        if (c->socket >= 0 && body.length > ONE_SEND_MAX && is_stale(c))
            hang_up(c);
        require_connection(runtime);
        exchange_once(c, text_in(&runtime->head), body, reply);
        reply->after_resend = attempt > 1;
        if (c->wrong != CONNECTION_LOST || attempt == attempts)
            return;
    }
}

/* A GET expects 200, or 204 from emulators that do not wait; after any other status we would ask
 * for ever. A POST expects 202, and any 2xx will do; after another status below 500 the next event
 * can come. Nothing goes to /error after a 413: its caller has an error, and Lambda answers 403. */
static void check_reply(struct runtime *runtime, const char *operation, int expected,
                        const struct api_reply *reply) {
    const char *wrong = runtime->connection.wrong;
    int status = reply->status;
    char detail[] = "status 000";
    put_digits(detail + sizeof detail - 1, (uint64_t)status, 10);
    if (wrong && wrong != BODY_TOO_LARGE) /* next_invocation asks for that */
        exit_fault(operation, wrong, ABSENT, "expected a reply as in RFC 9112");
    if (status >= 500)
        exit_fault(operation, detail, reply->body, "Lambda cannot go on from here");
    if (expected == 200 && status != 200 && status != 204)
        exit_fault(operation, detail, reply->body, "expected 200");
    runtime->refused = status >= 300 && !(status == 403 && reply->after_resend);
    if (runtime->refused)
        report_fault(LEVEL_WARN, operation, detail, reply->body,
                     "expected 202; Lambda did not take it, and it is not sent again");
}

static void call_get(struct runtime *runtime, const char *operation, const char *route,
                     struct api_reply *reply) {
    for (int pause = 1;; pause = pause < PAUSE_MAX_MS ? 2 * pause : 1000) {
        begin_request(runtime, "GET ", route, ABSENT, "");
        exchange(runtime, ABSENT, NEXT_ATTEMPTS_MAX, reply);
        check_reply(runtime, operation, 200, reply);
        if (reply->status != 204)
            return;
        pause_ms(pause);
        rewind_memory(&runtime->connection);
    }
}

/* GET /runtime/invocation/next: waits for an event, and makes its context from the reply's fields.
 * False if the event is larger than EVENT_MAX: there is only its context. */
static bool next_invocation(struct runtime *runtime, struct api_reply *reply) {
    struct invocation *invocation = &reply->invocation;
    call_get(runtime, "next invocation", ROUTE_NEXT, reply);
    struct text id = invocation->request_id;
    if (id.length == 0)
        exit_fault(FIELD_REQUEST_ID, NULL, ABSENT, "it is missing");
    if (id.length > REQUEST_ID_MAX || !is_visible_text(id, "/?#%"))
        exit_fault(FIELD_REQUEST_ID, NULL, id,
                   "expected at most 256 visible ASCII characters without / ? # %");
    if (invocation->invocation_id.length > INVOCATION_ID_MAX)
        exit_fault(FIELD_INVOCATION_ID, NULL, invocation->invocation_id,
                   "expected at most 1024 bytes");
    parse_number(reply->deadline_ms, 10, &invocation->deadline_ms); /* or it stays 0 */
    invocation->event = reply->body;
    invocation->runtime = runtime;
    return runtime->connection.wrong != BODY_TOO_LARGE;
}

/* Sends what was begun with begin_request. */
static void call_post(struct runtime *runtime, const char *operation, struct text body) {
    struct api_reply reply;
    append_string(&runtime->head, "Content-Type: application/json\r\nContent-Length: ");
    append_number(&runtime->head, body.length);
    append_string(&runtime->head, "\r\n");
    exchange(runtime, body, POST_ATTEMPTS_MAX, &reply);
    check_reply(runtime, operation, 202, &reply);
}

static void begin_answer(const struct invocation *invocation, const char *action) {
    struct runtime *runtime = invocation->runtime;
    begin_request(runtime, "POST ", ROUTE_INVOCATION, invocation->request_id, action);
    append_field(&runtime->head, FIELD_INVOCATION_ID, invocation->invocation_id);
}

/* POST /runtime/invocation/{id}/response */
static void invocation_response(const struct invocation *invocation, struct text response) {
    begin_answer(invocation, "/response");
    call_post(invocation->runtime, "invocation response", response);
}

/* POST /runtime/invocation/{id}/error */
static void invocation_error(const struct invocation *invocation, const struct outcome *error) {
    begin_answer(invocation, "/error");
    append_error_type(&invocation->runtime->head, error);
    call_post(invocation->runtime, "invocation error", error_json(error, ERROR_JSON_MAX));
}

/* POST /runtime/init/error or /runtime/restore/error: the caller gets it, and we have to exit. */
static _Noreturn void initialization_error(struct runtime *runtime, const char *route,
                                           const struct outcome *error) {
    log_failure(NULL, error);
    begin_request(runtime, "POST ", route, ABSENT, "");
    append_error_type(&runtime->head, error);
    call_post(runtime, "initialization error", error_json(error, ERROR_JSON_MAX));
    exit_fault("initialization of the function failed", NULL, error->error_type,
               "exiting, as Lambda expects");
}

/* The response or the error of an invocation, for a handler that has not begun a stream. */
static void send_outcome(const struct invocation *invocation, const struct outcome *outcome) {
    if (outcome->failed)
        invocation_error(invocation, outcome);
    else
        invocation_response(invocation, outcome->response);
}

/* ==== 6 Lifecycle ============================================================================
 *
 * The steps of "Building a custom runtime", under their names there: retrieve settings, initialize
 * the function; then, for ever, get an event, propagate the tracing header, create a context
 * object, invoke the handler, handle the response or errors, clean up. Section 7 has these: */
static void set_signals(void);
static void reserve_trace_variable(struct api_connection *c); /* copies environ into its memory */
static void retrieve_log_settings(void);
static const char *parse_address(struct text setting, struct runtime *runtime); /* NULL: valid */
static void start_workers(struct runtime *runtime);    /* several on Managed Instances only */
static void restore_function(struct runtime *runtime); /* SnapStart */
static void propagate_tracing_header(const struct runtime *runtime, struct text trace_id);
static void limit_refusals(const struct invocation *invocation); /* ends a loop that never heals */

static void retrieve_settings(struct runtime *runtime) {
    struct text setting = environment_variable("AWS_LAMBDA_RUNTIME_API");
    const char *advice = setting.data
                             ? parse_address(setting, runtime)
                             : "expected the host:port that Lambda sets; elsewhere: make run";
    if (advice)
        exit_fault("AWS_LAMBDA_RUNTIME_API", setting.data ? NULL : "(not set)", setting, advice);
}

static void initialize_function(struct runtime *runtime) {
    struct outcome outcome = INITIALIZE();
    if (outcome.failed)
        initialization_error(runtime, ROUTE_INIT_ERROR, &outcome);
    if (equal(environment_variable("AWS_LAMBDA_INITIALIZATION_TYPE"), S("snap-start")))
        restore_function(runtime);
}

/* Before the next invocation: everything that was valid during this one is given up. */
static void clean_up(struct runtime *runtime) {
    runtime->allocated = 0;
    current_invocation = NULL;
    rewind_memory(&runtime->connection);
}

static void process_event(struct runtime *runtime) {
    struct api_reply next;
    bool whole = next_invocation(runtime, &next);
    runtime->answer = send_outcome;
    runtime->worker->received = true;
    current_invocation = &next.invocation;
    propagate_tracing_header(runtime, next.invocation.trace_id);
    struct outcome outcome =
        whole ? HANDLER(&next.invocation)
              : failure(S("Runtime.EventTooLarge"), S("The event is larger than 32 MiB."));
    if (outcome.failed)
        log_failure(&next.invocation, &outcome);
    runtime->answer(&next.invocation, &outcome);
    limit_refusals(&next.invocation);
    runtime->worker->answered = true;
    AFTER_RESPONSE(&next.invocation);
    clean_up(runtime);
}

int main(void) {
    static _Alignas(64) char memory[MEMORY_MAX + PAGE_MAX]; /* madvise clears whole pages */
    static struct runtime runtime;
    set_signals();
    use_memory(&runtime.connection, memory, MEMORY_MAX);
    reserve_trace_variable(&runtime.connection);
    retrieve_log_settings();
    retrieve_settings(&runtime);
    start_workers(&runtime);
    initialize_function(&runtime);
    for (;;)
        process_event(&runtime);
}

/* ==== 7 Behind main: each piece stands by itself ============================================= */

/* ---- The address of the Runtime API. ---- */

static bool parse_ipv4(struct text text, uint32_t *address) {
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

/* host[:port]: numbers only, and localhost, so that no resolver is needed. */
static bool parse_host(struct text host, struct sockaddr_in *to) {
    struct text name;
    uint32_t address = INADDR_LOOPBACK;
    uint64_t port = 80;
    bool has_port = cut(&host, ':', &name);
    bool wrong_port = has_port && (!parse_number(host, 10, &port) || port == 0 || port > 65535);
    if (wrong_port || (!equal_in_any_case(name, S("localhost")) && !parse_ipv4(name, &address)))
        return false;
    *to = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(address)};
    return true;
}

/* [http://]host[:port][/path]. NULL, or what is expected instead. */
static const char *parse_address(struct text setting, struct runtime *runtime) {
    struct text rest = begins_with(setting, S("http://")) ? without(setting, 7) : setting;
    if (begins_with(setting, S("https:")))
        return "expected no https: the Runtime API is plain HTTP";
    if (begins_with(rest, S("[")))
        return "expected an IPv4 number: Lambda has no IPv6";
    runtime->path = rest;
    cut(&rest, '/', &runtime->host);
    runtime->path = without(runtime->path, runtime->host.length);
    while (runtime->path.length && runtime->path.data[runtime->path.length - 1] == '/')
        runtime->path.length--; /* every route begins with one */
    if (setting.length > ADDRESS_MAX || !is_visible_text(setting, "?#") ||
        !parse_host(runtime->host, &runtime->connection.address))
        return "expected host:port, the host as an IPv4 number or localhost, "
               "the port from 1 to 65535, such as 127.0.0.1:9001";
    return NULL;
}

/* ---- Memory of one invocation: how it is handed out, and given back by clean_up. ---- */

_Static_assert(ENVIRONMENT_MAX + REQUEST_HEAD_MAX + HEAD_MAX + SIZE_LINE_MAX + EVENT_MAX +
                       TRAILER_MAX + ALLOCATE_MAX + REQUEST_HEAD_MAX + HEAD_MAX + SIZE_LINE_MAX +
                       REPLY_BODY_MAX + TRAILER_MAX + 4096 <=
                   MEMORY_MAX,
               "memory has room for an event, what is allocated, and a reply, all aligned");
_Static_assert((int)SIZE_LINE_MAX <= (int)TRAILER_MAX, "a trailer's room holds a size line");

enum { MEMORY_KEPT = 1024 * 1024 }; /* between two invocations */
/* After a large event its memory stays for the next one, which may be as large; after a small one
 * the kernel gets it back, in whole pages. */
static void rewind_memory(struct api_connection *c) {
    char *from = c->memory + MEMORY_KEPT;
    from += -(uintptr_t)from % PAGE_MAX;
    if (c->kept <= from && c->touched > from) {
        madvise(from, (size_t)(c->touched - from), MADV_DONTNEED);
        c->touched = from;
    }
    c->kept = c->unread = c->end = c->memory;
}

static void *allocate(const struct invocation *invocation, size_t size) {
    struct runtime *runtime = invocation->runtime;
    struct api_connection *c = &runtime->connection;
    if (runtime->allocated >= ALLOCATE_MAX || size > ALLOCATE_MAX - runtime->allocated)
        return NULL;
    keep_bytes(c, 0, sizeof(max_align_t));
    char *data = c->kept;
    keep_bytes(c, size + (size == 0), sizeof(max_align_t)); /* each has an address of its own */
    runtime->allocated += (size_t)(c->kept - data);
    return data;
}

static struct buffer allocate_buffer(const struct invocation *invocation, size_t capacity) {
    char *data = allocate(invocation, capacity);
    return (struct buffer){data, 0, data ? capacity : 0, false};
}

/* ---- Environment and time, also for your function. ---- */

extern char **environ; /* POSIX leaves this declaration to us */
static struct text environment_variable(const char *name) {
    for (char **variable = environ; variable && *variable; variable++) {
        size_t n = 0;
        while (name[n] && (*variable)[n] == name[n])
            n++;
        if (name[n] == '\0' && (*variable)[n] == '=')
            return text_of(*variable + n + 1);
    }
    return ABSENT;
}

/* The system call itself: the C library's way, through the vDSO, would be 1 KB larger. */
static uint64_t now_ms(void) {
    struct timespec now = {0};
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t remaining_ms(const struct invocation *invocation) {
    uint64_t now = now_ms(), deadline = invocation->deadline_ms;
    return deadline == 0 ? UINT64_MAX : deadline > now ? deadline - now : 0;
}

/* ---- Text as JSON. ---- */

/* The length of the UTF-8 sequence (RFC 3629 §4) that begins the text, which is not empty; or 0. */
static size_t utf8_sequence(struct text text) {
    const unsigned char *at = (const unsigned char *)text.data;
    unsigned char first = at[0], second = text.length > 1 ? at[1] : 0;
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    bool no_character = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
    if (length > text.length || first > 0xf4 || overlong || no_character)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* At most `most` bytes of it, and no part of a UTF-8 sequence at the end, if it can be helped. */
static struct text first_bytes(struct text text, size_t most) {
    if (text.length <= most)
        return text;
    size_t length = most;
    while (length && most - length < 3 && ((unsigned char)text.data[length] & 0xc0) == 0x80)
        length--;
    return (struct text){text.data, length};
}

static void append_json_text(struct buffer *to, struct text text) {
    while (text.length && !to->overflow) {
        size_t length = utf8_sequence(text);
        unsigned char c = (unsigned char)text.data[0];
        char escape[] = {'\\', 'u', '0', '0', digits_in_hex[c >> 4], digits_in_hex[c & 15]};
        if (length == 0)
            append_string(to, "\xef\xbf\xbd");
        else if (c < ' ' || c == 0x7f)
            append_text(to, (struct text){escape, sizeof escape});
        else if (c == '"' || c == '\\')
            append_text(to, (struct text){(char[]){'\\', (char)c}, 2});
        else
            append_text(to, (struct text){text.data, length});
        text = without(text, length + (length == 0));
    }
}

static void append_json_string(struct buffer *to, struct text text) {
    append_string(to, "\"");
    append_json_text(to, text);
    append_string(to, "\"");
}

/* How many bytes still fit if the last `reserve` are for what comes behind them. */
static size_t room_before(const struct buffer *to, size_t reserve) {
    size_t room = to->capacity - to->length;
    return room > reserve ? room - reserve : 0;
}

/* Cut so that `reserve` bytes still fit behind it. */
static void append_json_text_before(struct buffer *to, struct text text, size_t reserve) {
    struct buffer part = {to->data + to->length, 0, room_before(to, reserve), false};
    append_json_text(&part, text);
    to->length += part.length;
}

/* ---- The text of an error, for /error, for the trailers of a stream, and for the log. ---- */

static struct text error_type(const struct outcome *error) {
    struct text unknown = S("Runtime.UnknownReason");
    return first_bytes(error->error_type.length ? error->error_type : unknown, ERROR_TYPE_MAX);
}

/* In a field the type must be one line of ASCII. */
static void append_error_type(struct buffer *to, const struct outcome *error) {
    struct text type = error_type(error);
    char ascii[ERROR_TYPE_MAX];
    for (size_t i = 0; i < type.length; i++)
        ascii[i] = type.data[i] >= ' ' && type.data[i] < 0x7f ? type.data[i] : '?';
    append_field(to, FIELD_ERROR_TYPE, (struct text){ascii, type.length});
}

/* What the caller gets, of `most` bytes at most: the message gives way. */
static struct text error_json(const struct outcome *error, size_t most) {
    static char storage[ERROR_JSON_MAX];
    struct buffer json = {storage, 0, most, false};
    append_string(&json, "{\"errorType\":");
    append_json_string(&json, error_type(error));
    append_string(&json, ",\"stackTrace\":[],\"errorMessage\":\"");
    append_json_text_before(&json, first_bytes(error->error_message, ERROR_MESSAGE_MAX), 2);
    append_string(&json, "\"}");
    return text_in(&json);
}

/* ---- The log: one line, one write, so that lines of several processes do not mix, and nothing
 * stays in a buffer when Lambda freezes the environment. ---- */

/* On Managed Instances Lambda stops reading the log at a line of more than 64 KiB. */
enum { LOG_LINE_MAX = 60 * 1024 };
_Static_assert(4 * 6 * REQUEST_ID_MAX + 6 * ERROR_TYPE_MAX + 1024 <= LOG_LINE_MAX,
               "a log line has room for the fields before its text, with every byte escaped");

static const char *const level_names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};

static _Alignas(4) bool log_as_json; /* AWS_LAMBDA_LOG_FORMAT; see trace_variable */
static enum log_level lowest_level;  /* AWS_LAMBDA_LOG_LEVEL */

static void retrieve_log_settings(void) {
    struct text level = environment_variable("AWS_LAMBDA_LOG_LEVEL");
    log_as_json = equal_in_any_case(environment_variable("AWS_LAMBDA_LOG_FORMAT"), S("JSON"));
    for (int i = LEVEL_TRACE; i <= LEVEL_FATAL; i++)
        if (equal_in_any_case(level, text_of(level_names[i])))
            lowest_level = (enum log_level)i;
}

/* RFC 3339: 2026-11-23T12:34:56.789Z */
static void append_timestamp(struct buffer *to, uint64_t ms) {
    static const unsigned char days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t day = ms / 86400000, year = 1970, month = 0;
    char stamp[] = "0000-00-00T00:00:00.000Z";
    for (;;) {
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        uint64_t days = days_of[month] + (uint64_t)(leap && month == 1);
        if (day < days)
            break;
        day -= days;
        month = (month + 1) % 12;
        year += month == 0;
    }
    const uint64_t parts[] = {year % 10000,    month + 1,      day + 1,  ms / 3600000 % 24,
                              ms / 60000 % 60, ms / 1000 % 60, ms % 1000};
    static const char ends[] = {4, 7, 10, 13, 16, 19, 23};
    for (size_t i = 0; i < sizeof ends; i++)
        put_digits(stamp + ends[i], parts[i], 10);
    append_string(to, stamp);
}

/* The name as it stands behind another field: ,"name": */
static void append_log_field(struct buffer *to, const char *name, struct text value) {
    if (value.length == 0)
        return;
    append_string(to, name);
    append_json_string(to, first_bytes(value, REQUEST_ID_MAX));
}

/* The fields that AWS's own runtimes write. */
static void append_json_entry(struct buffer *to, enum log_level level,
                              const struct invocation *invocation, struct text error_type,
                              struct text text) {
    append_string(to, "{\"timestamp\":\"");
    append_timestamp(to, now_ms());
    append_string(to, "\"");
    append_log_field(to, ",\"level\":", text_of(level_names[level]));
    if (invocation) {
        append_log_field(to, ",\"requestId\":", invocation->request_id);
        append_log_field(to, ",\"tenantId\":", invocation->tenant_id);
        append_log_field(to, ",\"traceId\":", invocation->trace_id);
    }
    append_log_field(to, ",\"errorType\":", error_type);
    append_string(to, error_type.length ? ",\"errorMessage\":\"" : ",\"message\":\"");
    append_json_text_before(to, text, strlen("\"}\n"));
    append_string(to, "\"}\n");
}

static void append_word(struct buffer *to, struct text word, const char *end) {
    if (word.length)
        append_texts(to, TEXTS(word, text_of(end)));
}

/* One line is one entry, so a line end within it becomes CR, which CloudWatch shows as one. */
static void append_text_entry(struct buffer *to, enum log_level level,
                              const struct invocation *invocation, struct text error_type,
                              struct text text) {
    append_word(to, text_of(level_names[level]), " ");
    append_word(to, invocation ? invocation->request_id : ABSENT, " ");
    append_word(to, error_type, ": ");
    append_text(to, first_bytes(text, room_before(to, strlen("\n"))));
    for (size_t i = 0; i < to->length; i++)
        if (to->data[i] == '\n')
            to->data[i] = '\r';
    append_string(to, "\n");
}

/* With an error's type, `text` is its message. */
static void log_entry(enum log_level level, const struct invocation *invocation,
                      struct text error_type, struct text text) {
    char storage[LOG_LINE_MAX];
    struct buffer line = {storage, 0, sizeof storage, false};
    if (level < lowest_level)
        return;
    if (log_as_json)
        append_json_entry(&line, level, invocation, error_type, text);
    else
        append_text_entry(&line, level, invocation, error_type, text);
    send_texts(STDERR_FILENO, TEXTS(text_in(&line)));
}

static void log_line(enum log_level level, const struct invocation *invocation, struct text text) {
    log_entry(level, invocation, ABSENT, text);
}

/* What a function fails with is for its log, too: an asynchronous caller never sees it. */
static void log_failure(const struct invocation *invocation, const struct outcome *error) {
    log_entry(LEVEL_ERROR, invocation, error_type(error), error->error_message);
}

/* ---- The runtime's own messages; section 5 says what each part of one is. ---- */

enum { FOUND_MAX = 160 }; /* what a message shows of received text */
/* Why a system call failed, for the reasons to be expected here; strerror has more, in 1.8 KB. */
static void append_reason(struct buffer *to, int number) {
    static const struct {
        int number;
        char text[25];
    } reasons[] = {{ECONNREFUSED, " connection refused"},
                   {ENETUNREACH, " network is unreachable"},
                   {EMFILE, " too many open files"},
                   {EAGAIN, " too many processes"},
                   {ENOMEM, " out of memory"},
                   {EPERM, " operation not permitted"},
                   {0, " errno "}};
    size_t i = 0;
    while (reasons[i].number && reasons[i].number != number)
        i++;
    append_string(to, reasons[i].text);
    if (reasons[i].number == 0)
        append_number(to, (uint64_t)number);
}

/* What was received is shown escaped and cut, and nothing else is quoted. */
static void report_fault(enum log_level level, const char *operation, const char *detail,
                         struct text received, const char *advice) {
    char storage[6 * FOUND_MAX + 512];
    struct buffer text = {storage, 0, sizeof storage, false};
    int reason = errno;
    append_string(&text, "bootstrap: ");
    append_string(&text, operation);
    if (operation[strlen(operation) - 1] == ':')
        append_reason(&text, reason);
    append_string(&text, ": ");
    append_word(&text, text_of(detail), ": ");
    if (received.data)
        append_json_string(&text, first_bytes(received, FOUND_MAX));
    append_string(&text, received.data ? ": " : "");
    append_string(&text, advice);
    log_line(level, current_invocation, text_in(&text));
}

static _Noreturn void exit_fault(const char *operation, const char *detail, struct text received,
                                 const char *advice) {
    report_fault(LEVEL_FATAL, operation, detail, received, advice);
    exit(1);
}

/* ---- The variable _X_AMZN_TRACE_ID, where X-Ray's libraries look for the trace id. The C
 * library's setenv would bring in the allocator, half the program's size again. ---- */

#define TRACE_VARIABLE "_X_AMZN_TRACE_ID"
/* Room for any trace id, since a head is longer. The low alignment makes the linker put it last. */
static _Alignas(1) char trace_variable[sizeof TRACE_VARIABLE + HEAD_MAX + 1];

/* Moves environ to the memory of `c`, as a copy of its pointers and one more, to trace_variable. */
static void reserve_trace_variable(struct api_connection *c) {
    char **slots = (char **)(void *)c->memory;
    size_t used = 0;
    for (char **entry = environ; *entry && used < ENVIRONMENT_MAX / sizeof *slots - 8; entry++)
        if (!begins_with(text_of(*entry), S(TRACE_VARIABLE "=")))
            slots[used++] = *entry;
    slots[used++] = trace_variable;
    slots[used++] = NULL;
    environ = slots;
    keep_bytes(c, used * sizeof *slots, 64);
    c->memory = c->touched = c->kept; /* where every invocation begins from now on */
}

/* Sets the variable for the handler, or unsets what the last invocation left: without a name it is
 * no variable. Not among several workers, where Lambda does not support it. */
static void propagate_tracing_header(const struct runtime *runtime, struct text trace_id) {
    struct buffer variable = {trace_variable, 0, sizeof trace_variable, false};
    if (trace_id.length && runtime->workers == 1) {
        append_string(&variable, TRACE_VARIABLE "=");
        append_text(&variable, trace_id);
    }
    append_text(&variable, (struct text){"", 1}); /* the NUL of "" */
}

/* ---- SnapStart: initialize_function comes here when Lambda wants a snapshot. ---- */

/* GET /runtime/restore/next waits while the snapshot is taken. After it the connection is dead. */
static void restore_function(struct runtime *runtime) {
    struct api_reply reply;
    call_get(runtime, "next restore", "/2018-06-01/runtime/restore/next", &reply);
    hang_up(&runtime->connection);
    rewind_memory(&runtime->connection);
    struct outcome outcome = AFTER_RESTORE();
    if (outcome.failed)
        initialization_error(runtime, "/2018-06-01/runtime/restore/error", &outcome);
}

/* ---- Signals and standard output. ---- */

/* SIGPIPE does nothing: a closed peer or log is an error, not our end. The others end the process
 * with the status that a shell gives. */
static void act_on_signal(int number) {
    if (number != SIGPIPE)
        _exit(128 + number);
}

/* An action is undone by exec, while an ignored SIGPIPE would be inherited by the handler's
 * children. Process 1, of a container, is deaf to every signal without an action. */
static void set_signals(void) {
    (void)signal(SIGPIPE, act_on_signal);
    if (getpid() == 1) {
        (void)signal(SIGTERM, act_on_signal);
        (void)signal(SIGINT, act_on_signal);
    }
}

/* What the handler prints is written when its line ends, as on a terminal: stdio would keep it back
 * while Lambda freezes the environment. In glibc this is the flag that setvbuf sets, _IO_LINE_BUF.
 * musl asks in __stdout_write, at the first write, whether there is a terminal. This one takes its
 * place, and is linked in with stdout only. Naming stderr links __stdio_write in. */
#ifdef __GLIBC__
__attribute__((constructor)) static void write_lines_at_once(void) {
    stdout->_flags |= 0x200;
}
#else
size_t __stdio_write(FILE *, const unsigned char *, size_t) __attribute__((weak));
size_t __stdout_write(FILE *, const unsigned char *, size_t);
size_t __stdout_write(FILE *file, const unsigned char *bytes, size_t length) {
    return stderr ? __stdio_write(file, bytes, length) : 0;
}
#endif

/* ---- Behind a proxy that refuses every answer, Lambda serves the same event for ever: the same id
 * and deadline. A retry of an asynchronous invocation has the same id and another deadline. ---- */

enum { REFUSALS_MAX = 3 };
static void limit_refusals(const struct invocation *invocation) {
    static uint64_t last;
    static int refusals;
    struct text id = invocation->request_id;
    uint64_t hash = invocation->deadline_ms * 1099511628211u; /* FNV-1a */
    for (size_t i = 0; i < id.length; i++)
        hash = (hash ^ (unsigned char)id.data[i]) * 1099511628211u;
    refusals = !invocation->runtime->refused ? 0 : hash == last ? refusals + 1 : 1;
    last = hash;
    if (refusals == REFUSALS_MAX)
        exit_fault("the answer to one event", NULL, id, "refused three times in a row");
}

/* ---- Managed Instances: an environment that is given several events at once has as many workers,
 * processes with a connection and a loop of their own. ---- */

enum {
    WORKERS_MAX = 1600,     /* the most that Lambda lets a function ask for */
    WORKER_PAUSE_MS = 100,  /* before a dead worker is replaced */
    WORKER_DEATHS_MAX = 10, /* in a row, before it has answered an event */
};

#define MAX_CONCURRENCY "AWS_LAMBDA_MAX_CONCURRENCY"
/* 1 where it is not set, or says nothing that makes sense. */
static size_t concurrency(void) {
    uint64_t workers;
    struct text setting = environment_variable(MAX_CONCURRENCY);
    if (parse_number(setting, 10, &workers) && workers > 0 && workers <= WORKERS_MAX)
        return (size_t)workers;
    if (setting.length)
        report_fault(LEVEL_WARN, MAX_CONCURRENCY, NULL, setting,
                     "expected a number from 1 to 1600; there is one worker");
    return 1;
}

#if defined __GLIBC__ && !defined _Fork
#define _Fork fork /* glibc has _Fork from 2.34 on only; a test can bring its own */
#else
pid_t _Fork(void); /* fork without its handlers, which are for threads; older headers hide it */
#endif

/* True in the new process. It ends with its parent, even if that is killed. */
static bool start_worker(struct worker *worker, pid_t parent) {
    pid_t pid = _Fork();
    if (pid < 0)
        exit_fault("fork:", NULL, ABSENT, "no worker could be started");
    if (pid > 0)
        worker->pid = pid;
    else if (syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL), getppid() != parent)
        _exit(1);
    return pid == 0;
}

/* Waits until a worker ends. If one keeps dying before it has answered an event, or exits with an
 * error before it has received any, the environment ends. The pause lets what killed it pass. */
static struct worker *ended_worker(struct worker *workers, size_t count) {
    struct worker *w = workers + count;
    int status = 0;
    while (w == workers + count) { /* a child that we did not start was inherited through exec */
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0 && errno != EINTR)
            exit_fault("waitpid:", NULL, ABSENT, "expected workers");
        for (w = workers; w < workers + count && w->pid != pid; w++)
            ;
    }
    if (!w->received && WIFEXITED(status) && WEXITSTATUS(status) != 0)
        exit_fault("worker", NULL, ABSENT, "it gave up before it had received an event");
    w->deaths = w->answered ? 0 : w->deaths + 1;
    if (w->deaths == WORKER_DEATHS_MAX)
        exit_fault("worker", NULL, ABSENT, "it ended ten times before it had answered an event");
    w->received = w->answered = false;
    report_fault(LEVEL_ERROR, "worker", NULL, ABSENT,
                 "it ended, and its invocation with it; starting another");
    pause_ms(WORKER_PAUSE_MS);
    return w;
}

/* NULL unless threads are linked in. A thread that runs already would be missing in every worker:
 * as long as there is one, unshare(CLONE_THREAD) fails. */
__attribute__((weakref("pthread_create"))) static int can_make_threads(void);

/* Returns at once if there is one worker; else in each of them, and never in their parent. */
static void start_workers(struct runtime *runtime) {
    static struct worker alone;
    size_t count = runtime->workers = concurrency();
    runtime->worker = &alone;
    if (count == 1)
        return;
    if (can_make_threads && syscall(SYS_unshare, 0x10000) < 0 && errno == EINVAL) /* CLONE_THREAD */
        exit_fault("fork", NULL, ABSENT, "expected no thread before main");
    pid_t parent = getpid();
    struct worker *workers = mmap(NULL, count * sizeof *workers, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (workers == MAP_FAILED)
        exit_fault("mmap:", NULL, ABSENT, "no memory to share with the workers");
    (void)signal(SIGCHLD, SIG_DFL); /* inherited as ignored, it would hide their ends */
    for (size_t started = 0;; started++) {
        runtime->worker = started < count ? &workers[started] : ended_worker(workers, count);
        if (start_worker(runtime->worker, parent))
            return;
    }
}

/* ---- Response streaming: a chunked body (RFC 9112 §7.1), each chunk sent as it is written, and an
 * error told in the trailer section. Linked in only if the handler calls stream_begin(). ---- */

#define FIELD_ERROR_BODY "Lambda-Runtime-Function-Error-Body"
enum {
    TRAILERS_MAX = 4096, /* Go's library, on the other side, takes no larger trailer section */
    PRELUDE_MAX = 16 * 1024 - 8, /* API Gateway wants it, and 8 bytes, in the first 16 KB */
};

_Static_assert((TRAILERS_MAX - ERROR_TYPE_MAX - 128) / 4 * 3 > 6 * ERROR_TYPE_MAX + 128,
               "a trailer section has room for an error, with its type escaped");

static enum { STREAM_UNSENT, STREAM_OPEN, STREAM_BROKEN } stream_state;

/* Sends one chunk, or what ends the stream, behind the head if that has not gone out yet. Before a
 * head the connection is checked, since what follows it cannot be sent again. */
static bool send_chunk(struct runtime *runtime, struct text size_line, struct text data,
                       struct text more) {
    struct api_connection *c = &runtime->connection;
    struct text head = stream_state == STREAM_UNSENT ? text_in(&runtime->head) : ABSENT;
    if (head.length && c->socket >= 0 && is_stale(c))
        hang_up(c);
    for (int attempt = 1; stream_state != STREAM_BROKEN; attempt++) {
        if (head.length) {
            require_connection(runtime); /* small chunks do not wait for those before them: */
            setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        }
        size_t sent = send_texts(c->socket, TEXTS(head, size_line, data, more, S("\r\n")));
        stream_state = sent == TEXTS_MAX ? STREAM_OPEN : STREAM_BROKEN;
        if (sent > 0 || attempt == POST_ATTEMPTS_MAX)
            break;
        hang_up(c); /* before the head was out: nothing has happened yet */
        stream_state = STREAM_UNSENT;
    }
    return stream_state == STREAM_OPEN;
}

static bool send_data(struct runtime *runtime, struct text data, struct text more) {
    char line[] = "0000000000000000\r\n", *end = line + sizeof line - 1;
    char *begin = put_digits(end - 2, data.length + more.length, 16);
    return send_chunk(runtime, (struct text){begin, (size_t)(end - begin)}, data, more);
}

static void append_base64(struct buffer *to, struct text text) {
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < text.length; i += 3) {
        uint32_t bits = 0;
        char four[] = "====";
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (i + j < text.length ? (unsigned char)text.data[i + j] : 0);
        for (size_t j = 0; j < 4 && i + j <= text.length; j++)
            four[j] = set[bits >> (18 - 6 * j) & 63];
        append_text(to, (struct text){four, 4});
    }
}

static struct text error_trailers(const struct outcome *error) {
    static char storage[TRAILERS_MAX];
    struct buffer trailers = {storage, 0, sizeof storage, false};
    append_error_type(&trailers, error);
    append_string(&trailers, FIELD_ERROR_BODY ": ");
    size_t room = sizeof storage - trailers.length - strlen("\r\n\r\n");
    append_base64(&trailers, error_json(error, room / 4 * 3));
    append_string(&trailers, "\r\n");
    return text_in(&trailers);
}

/* Ends the stream with the outcome, then closes the connection, as the page asks. */
static void finish_stream(const struct invocation *invocation, const struct outcome *outcome) {
    struct runtime *runtime = invocation->runtime;
    struct api_connection *c = &runtime->connection;
    struct api_reply reply;
    if (outcome->failed && stream_state == STREAM_UNSENT) {
        invocation_error(invocation, outcome);
        return;
    }
    if (outcome->response.length)
        send_data(runtime, outcome->response, S(""));
    send_chunk(runtime, S("0\r\n"), outcome->failed ? error_trailers(outcome) : S(""), S(""));
    if (stream_state == STREAM_BROKEN)
        shutdown(c->socket, SHUT_WR);
    read_reply(c, &reply);
    hang_up(c);
    if (c->wrong == CONNECTION_LOST && stream_state == STREAM_OPEN) {
        report_fault(LEVEL_WARN, "streamed response", NULL, ABSENT,
                     "all sent, but no reply; if it did not arrive, Lambda will refuse `next`");
        return;
    }
    if (c->wrong == CONNECTION_LOST)
        c->wrong = BODY_CUT_OFF;
    check_reply(runtime, "streamed response", 202, &reply);
}

static bool stream_begin(const struct invocation *invocation, struct text content_type) {
    struct runtime *runtime = invocation->runtime;
    if (runtime->answer == finish_stream || content_type.length > CONTENT_TYPE_MAX ||
        has_control_character(content_type))
        return false;
    begin_answer(invocation, "/response");
    append_field(&runtime->head, "Content-Type", content_type);
    append_field(&runtime->head, "Lambda-Runtime-Function-Response-Mode", S("streaming"));
    append_field(&runtime->head, "Transfer-Encoding", S("chunked"));
    append_field(&runtime->head, "Trailer", S(FIELD_ERROR_TYPE ", " FIELD_ERROR_BODY));
    end_request_head(runtime);
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
           send_data(invocation->runtime, json, S("\0\0\0\0\0\0\0\0")); /* end the JSON */
}

/* ==== Licence: MIT No Attribution ============================================================
 *
 * Copyright 2026 the bootstrap.c maintainers
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
 * associated documentation files (the "Software"), to deal in the Software without restriction,
 * including without limitation the rights to use, copy, modify, merge, publish, distribute,
 * sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
 * furnished to do so.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
 * NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
 * NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
 * DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
 * OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE. */
