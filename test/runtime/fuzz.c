/* fuzz.c - fuzz targets for everything that reads what others send. Each aborts when bootstrap.c
 * and reference.h do not agree; ASan and UBSan see the rest.
 *
 *   text           numbers, cutting, trimming
 *   json           the escaper, read back by a strict reader
 *   address        AWS_LAMBDA_RUNTIME_API
 *   reply          one framed reply; the first byte is the size of the pieces that it comes in
 *   conversation   the server's side of a whole run of the program: see "The conversation"
 *   request        the request parser of wire.c, which the tests trust
 *
 * With clang -fsanitize=fuzzer the target is the one named by $FUZZ_TARGET. With -DREPLAY, and any
 * compiler:
 *
 *   fuzz seeds FILE            runs each line of FILE: a target's name, a blank, an input with \xHH
 *   fuzz run TARGET FILE...    runs inputs that were found
 *   fuzz all [MORE]            runs all short strings over the bytes that matter to each parser;
 *                              MORE, perhaps -1, lengthens them, at ten times the cost each
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER echo_in_some_way
#include "doubles.h"

#include "../lambda/wire.h"
#include "reference.h"
#include <setjmp.h>

static struct text input; /* that is being run */

static void require(bool agree, const char *what) {
    char storage[1000];
    struct buffer shown = {storage, 0, sizeof storage, false};
    if (agree)
        return;
    append_json_string(&shown, first_bytes(input, 150));
    fprintf(stderr, "fuzz: %s: %.*s\n", what, (int)shown.length, shown.data);
    abort();
}

/* ---- The conversation -----------------------------------------------------------------------
 *
 * An input is a script: bytes that the server sends, and between them, behind the byte 0xFE,
 *
 *   ?   what follows is sent only when another whole request has come
 *   |   one recv ends here
 *   .   the server closes             !   the connection is reset
 *   <   the next writev takes as many bytes as the next byte says, times 16
 *   x   the next writev fails        c   the next connect fails
 *   i   the next recv is interrupted
 *
 * When the script is over, whoever waits would wait for ever, and the run is over too. What the
 * server sent since the last request is remembered, and each thing that the program does next is
 * held against what reference.h finds in it: an answer only to a whole event, with its id and
 * exactly its bytes; the next event only after a whole reply; the end only when there is a reason
 * for it, with a line on stderr. */

enum { ESCAPE = 0xfe, ENDED = 1, WAITS = 2 };

static struct {
    struct text rest; /* of the script */
    size_t piece;     /* no recv returns more */
    bool open, failed_to_connect;
    unsigned pauses;
    jmp_buf end;

    struct bytes request, reply; /* sent and received since the last whole request */
    enum ending reply_ending;
    bool is_answer; /* that request was an answer, not `next` */
    unsigned attempts, lines;
    struct bytes event_id, event; /* of the event that is being answered */
    uint64_t event_deadline;
    bool too_large, failed, streamed;
    struct bytes
        refused_id; /* of the event whose answer was refused last, and how often in a row */
    uint64_t refused_deadline;
    unsigned refusals;
} run;

static bool at_escape(char letter) {
    return run.rest.length >= 2 && (unsigned char)run.rest.data[0] == ESCAPE &&
           run.rest.data[1] == letter;
}

static bool take_escape(char letter) {
    if (!at_escape(letter))
        return false;
    run.rest = (struct text){run.rest.data + 2, run.rest.length - 2};
    return true;
}

static struct text received(void) {
    return (struct text){run.reply.data, run.reply.length};
}

/* What is in it but for the body, which is freed. */
static enum verdict judge_reply(struct reference_reply *found) {
    enum verdict verdict = reference_reply(received(), run.reply_ending, found);
    free(found->body);
    return verdict;
}

/* What a reply to `next` means: an event, or one that is too large, or no reason to answer. */
static enum verdict judge_event(struct reference_reply *found) {
    static const struct text but = {"/?#%", 4};
    enum verdict verdict = reference_reply(received(), run.reply_ending, found);
    if (verdict != VALID && verdict != BEYOND_EVENT_MAX)
        return verdict;
    bool fine = found->status == 200 && found->id.length >= 1 &&
                found->id.length <= REQUEST_ID_MAX && matches("%g*", found->id);
    for (size_t i = 0; fine && i < found->id.length; i++)
        fine = memchr(but.data, found->id.data[i], but.length) == NULL;
    return fine ? verdict : NOT_HTTP;
}

/* The program answers for the first time: there has to be an event. */
static void event_begins(void) {
    struct reference_reply found;
    enum verdict verdict = judge_event(&found);
    require(verdict == VALID || verdict == BEYOND_EVENT_MAX, "answers without a whole event");
    run.too_large = verdict == BEYOND_EVENT_MAX;
    run.event_id.length = run.event.length = 0;
    run.event_deadline = 0;
    reference_number(field_of(received(), "Lambda-Runtime-Deadline-Ms"), 10, &run.event_deadline);
    bytes_append(&run.event_id, found.id.data, found.id.length);
    bytes_append(&run.event, found.body, found.body_length);
    free(found.body);
}

static void check_answer(const struct request *request) {
    static struct bytes target;
    target.length = 0;
    bytes_text(&target, "/2018-06-01/runtime/invocation/");
    bytes_append(&target, run.event_id.data, run.event_id.length);
    bytes_text(&target, run.too_large || run.failed ? "/error" : "/response");
    require(request->target_length == target.length &&
                memcmp(request->target, target.data, target.length) == 0,
            "answers another invocation");
    if (!run.too_large && !run.failed)
        require(request->body.length == run.event.length &&
                    (run.event.length == 0 ||
                     memcmp(request->body.data, run.event.data, run.event.length) == 0),
                "does not echo the event");
}

/* May the request be sent again, which says that it had no whole reply? */
static void check_repeated(void) {
    struct reference_reply found;
    enum verdict verdict = judge_reply(&found);
    if (verdict == VALID && found.status == 204 && !run.is_answer) {
        run.attempts = 1; /* no event */
        return;
    }
    require(verdict == MORE_NEEDED, "sends a request again that had a reply");
    require(++run.attempts <= (run.is_answer ? POST_ATTEMPTS_MAX : NEXT_ATTEMPTS_MAX),
            "sends a request too often");
}

/* How often in a row the answer to this event has now been refused, if the reply says so. */
static unsigned refusals_with(const struct reference_reply *reply, enum verdict verdict) {
    bool refused = (verdict == VALID || verdict == BEYOND_EVENT_MAX) && reply->status >= 300 &&
                   (reply->status != 403 || run.attempts == 1);
    bool again = run.refused_deadline == run.event_deadline &&
                 run.refused_id.length == run.event_id.length &&
                 memcmp(run.refused_id.data, run.event_id.data, run.event_id.length) == 0;
    if (!refused)
        return 0;
    run.refused_deadline = run.event_deadline;
    run.refused_id.length = 0;
    bytes_append(&run.refused_id, run.event_id.data, run.event_id.length);
    return again ? run.refusals + 1 : 1;
}

/* It goes on after an answer: that had a reply, and none that ends the program. */
static void check_goes_on(void) {
    struct reference_reply found;
    enum verdict verdict = judge_reply(&found);
    bool lost = verdict == MORE_NEEDED && run.streamed; /* said, and on */
    run.refusals = refusals_with(&found, verdict);
    require(lost || ((verdict == VALID || verdict == BEYOND_EVENT_MAX) && found.status < 500 &&
                     run.refusals < REFUSALS_MAX),
            "goes on after a reply that should end it");
}

/* Called once for each request, when its first byte goes out. */
static void request_begins(const char *bytes) {
    bool is_answer = bytes[0] == 'P';
    if (is_answer == run.is_answer && run.attempts > 0) {
        check_repeated();
    } else {
        if (is_answer)
            event_begins();
        else if (run.is_answer)
            check_goes_on();
        run.attempts = 1;
    }
    if (!is_answer)
        run.failed = run.streamed = false;
    run.is_answer = is_answer;
    run.reply.length = 0;
    run.reply_ending = STILL_OPEN;
}

static bool request_is_whole(void) {
    struct request request;
    enum request_reading got = request_parse(run.request.data, run.request.length, &request);
    require(got != REQUEST_MALFORMED, "sends a malformed request");
    require(got != REQUEST_COMPLETE || request.length == run.request.length,
            "sends bytes behind a request");
    if (got == REQUEST_COMPLETE && run.is_answer)
        check_answer(&request);
    request_free(&request);
    return got == REQUEST_COMPLETE;
}

static void check_end(void) {
    struct reference_reply found;
    require(run.lines >= 1, "ends without a word");
    if (run.failed_to_connect)
        return;
    enum verdict verdict = run.is_answer ? judge_reply(&found) : judge_event(&found);
    if (!run.is_answer)
        free(found.body);
    if (run.is_answer)
        require(verdict == MORE_NEEDED || verdict == NOT_HTTP || found.status >= 500 ||
                    refusals_with(&found, verdict) == REFUSALS_MAX,
                "ends after a fine reply");
    else
        require(verdict == NOT_HTTP || (verdict == MORE_NEEDED && run.attempts > 1) ||
                    field_of(received(), "Lambda-Runtime-Invocation-Id").length > INVOCATION_ID_MAX,
                "ends after a fine event");
}

/* ---- The system calls of the conversation ---- */

static ssize_t fails(int error) {
    errno = error;
    return -1;
}

static int double_socket(void) {
    return 3;
}

static int double_connect(int descriptor) {
    require(descriptor == 3 && !run.open, "connects a socket that is connected");
    run.failed_to_connect = take_escape('c');
    run.open = !run.failed_to_connect;
    run.request.length = 0;
    return run.open ? 0 : (int)fails(ECONNREFUSED);
}

static ssize_t double_writev(int descriptor, const struct iovec *pieces, int count) {
    require(descriptor == 3, "sends on a closed connection");
    size_t most = SIZE_MAX, sent = 0;
    if (run.request.length == 0)
        request_begins(pieces[0].iov_base);
    if (!run.open || take_escape('x'))
        return fails(EPIPE);
    if (take_escape('<') && run.rest.length) {
        most = (unsigned char)run.rest.data[0] * 16u + 1;
        run.rest = (struct text){run.rest.data + 1, run.rest.length - 1};
    }
    for (int i = 0; i < count && sent < most; i++) {
        size_t n = pieces[i].iov_len;
        n = n < most - sent ? n : most - sent;
        bytes_append(&run.request, pieces[i].iov_base, n);
        sent += n;
    }
    return (ssize_t)sent;
}

/* The bytes that the server sends before the next escape. */
static size_t bytes_ready(void) {
    size_t n = 0;
    while (n < run.rest.length && (unsigned char)run.rest.data[n] != ESCAPE)
        n++;
    if (n == 0 && run.rest.length && !strchr("?|.!<xci", run.rest.data[run.rest.length > 1]))
        n = 1; /* an escape of nothing */
    return n;
}

static ssize_t connection_ends(bool reset) {
    run.open = false;
    run.request.length = 0;
    run.reply_ending = reset ? BROKEN : CLOSED;
    return reset ? fails(ECONNRESET) : 0;
}

static ssize_t deliver(void *to, size_t n, bool peek) {
    memcpy(to, run.rest.data, n);
    if (peek)
        return (ssize_t)n;
    if (run.request.length && request_is_whole())
        run.request.length = 0;
    bytes_append(&run.reply, to, n);
    run.rest = (struct text){run.rest.data + n, run.rest.length - n};
    return (ssize_t)n;
}

static ssize_t double_recv(int descriptor, void *to, size_t room, int flags) {
    bool peek = flags & MSG_PEEK, wait = !(flags & MSG_DONTWAIT);
    require(descriptor == 3, "receives on a closed connection");
    if (!run.open)
        return connection_ends(true);
    while (take_escape('|') || take_escape('x') || take_escape('c') || take_escape('<'))
        ;
    if (at_escape('?') && !wait)
        return fails(EAGAIN);
    if (take_escape('?') && !request_is_whole())
        longjmp(run.end, WAITS);
    if (take_escape('i'))
        return fails(EINTR);
    if (at_escape('.') || at_escape('!')) {
        bool reset = at_escape('!');
        if (!peek)
            take_escape(run.rest.data[1]);
        return connection_ends(reset);
    }
    size_t n = bytes_ready();
    if (n == 0 && !wait)
        return fails(EAGAIN);
    if (n == 0)
        longjmp(run.end, WAITS);
    n = n < room ? n : room;
    return deliver(to, n < run.piece ? n : run.piece, peek);
}

static int double_setsockopt(int descriptor, const void *value, size_t length) {
    require(descriptor == 3 && run.open && value && length == sizeof(int),
            "sets an option of a closed connection");
    return 0;
}

static int double_shutdown(int descriptor) {
    require(descriptor == 3, "shuts a closed connection down");
    return 0;
}

static int double_close(int descriptor) {
    require(descriptor == 3, "closes what is not open");
    run.open = false;
    run.request.length = 0;
    return 0;
}

static int double_poll(int ms) {
    require(ms <= 1000 && ++run.pauses < 10000, "pauses for ever");
    return 0;
}

static int double_madvise(void *from, size_t length) {
    memset(from, 0, length);
    return 0;
}

static void double_signal(int number, void (*action)(int)) {
    require(number == SIGPIPE && action != SIG_DFL, "changes what a signal does");
}

/* One worker: nothing of this is called. */
static void *double_mmap(size_t length) {
    (void)length;
    return MAP_FAILED;
}

static pid_t double_fork(void) {
    return -1;
}

static pid_t double_getppid(void) {
    return -1;
}

static pid_t double_waitpid(int options) {
    (void)options;
    return -1;
}

static ssize_t double_log(const void *data, size_t length) {
    const char *line = data;
    require(length > 1 && memchr(line, '\n', length) == line + length - 1,
            "writes something else than one line");
    bool quotes_the_handler = strncmp(line, "ERROR ", 6) == 0;
    for (size_t i = 0; i < length - 1 && !quotes_the_handler; i++)
        require((unsigned char)line[i] >= ' ' && line[i] != 0x7f, "writes a control character");
    run.lines++;
    return (ssize_t)length;
}

static long double_syscall(long number) {
    return number == SYS_prctl ? -1 : 0;
}

static _Noreturn void double_exit(int status) {
    require(status == 1, "exits with another status");
    longjmp(run.end, ENDED);
}

/* The event, whole; in pieces, if it begins with an s; as an error, if with an e. */
static struct outcome echo_in_some_way(const struct invocation *invocation) {
    struct text rest = invocation->event;
    char way = rest.length ? rest.data[0] : '\0';
    run.failed = way == 'e';
    run.streamed = way == 's';
    if (run.failed)
        return failure(rest, rest);
    if (!run.streamed)
        return success(rest);
    require(stream_begin(invocation, S("text/plain")), "cannot begin a stream");
    while (rest.length > 7 && stream_write(invocation, (struct text){rest.data, 7}))
        rest = (struct text){rest.data + 7, rest.length - 7};
    return success(rest);
}

/* ---- The targets ---- */

static void begin_script(struct text script, size_t piece) {
    run.rest = script;
    run.piece = piece;
    run.request.length = run.reply.length = 0;
    run.reply_ending = STILL_OPEN;
    run.open = run.is_answer = run.failed_to_connect = false;
    run.attempts = run.lines = run.pauses = run.refusals = 0;
    free_room(NULL, 0);
}

static void fuzz_conversation(struct text script) {
    static char setting[] = "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001",
                json[] = "AWS_LAMBDA_LOG_FORMAT=JSON", *variables[3] = {setting};
    variables[1] = script.length % 2 ? json : NULL;
    begin_script(script, SIZE_MAX);
    /* What the program keeps of the run before: it must know nothing of that. */
    struct runtime nothing_refused = {.refused = false};
    limit_refusals(&(struct invocation){.runtime = &nothing_refused});
    current_invocation = NULL;
    environ = variables; /* the program puts another one in its place, in its memory */
    switch (setjmp(run.end)) {
    case 0:
        runtime_main();
        break;
    case ENDED:
        check_end();
        break;
    default:
        break;
    }
    environ = variables;
}

/* Through the same recv, so the script's splits and ends work here, too. False if it waits. */
static bool receive_reply(struct text script, size_t piece, struct api_connection *connection,
                          struct api_reply *reply) {
    static char memory[MEMORY_MAX];
    begin_script(script, piece);
    run.open = true;
    use_memory(connection, memory, sizeof memory);
    connection->socket = 3;
    connection->wrong = NULL;
    if (setjmp(run.end) != 0)
        return false;
    read_reply(connection, reply);
    return true;
}

static void fuzz_reply(struct text script) {
    struct api_connection connection;
    struct api_reply reply;
    size_t piece = script.length ? (unsigned char)script.data[0] : 0;
    if (script.length &&
        receive_reply(without(script, 1), piece ? piece : SIZE_MAX, &connection, &reply))
        require(reply_agrees(received(), run.reply_ending, connection.wrong, &reply),
                "reads another reply than was sent");
}

static void fuzz_text(struct text text) {
    require(number_agrees(text), "reads another number");
    require(cut_agrees(text) && trim_agrees(text), "cuts or trims in another place");
}

static void fuzz_json(struct text text) {
    require(json_agrees(text), "the JSON string does not say what the bytes say");
    require(first_bytes_agrees(text.length < 64 ? text : (struct text){text.data, 64}),
            "cuts within a character");
}

static void fuzz_address(struct text text) {
    require(address_agrees(text), "reads another address");
}

/* However the bytes are cut: nothing comes before the request is whole, and then always the same.
 * Only a head that is wrong may be refused early. */
static void fuzz_request(struct text text) {
    struct request whole, part;
    enum request_reading got = request_parse(text.data, text.length, &whole);
    require(got != REQUEST_COMPLETE || (whole.length <= text.length && whole.head_length >= 4 &&
                                        whole.body.length <= whole.length - whole.head_length),
            "a request is longer than its bytes");
    require((got == REQUEST_MALFORMED) == (whole.wrong != NULL), "malformed without a reason");
    for (size_t n = 0; got == REQUEST_COMPLETE && n <= whole.length; n++) {
        enum request_reading early = request_parse(text.data, n, &part);
        require(early == (n < whole.length ? REQUEST_INCOMPLETE : REQUEST_COMPLETE) &&
                    (n < whole.length || (part.body.length == whole.body.length &&
                                          part.head_length == whole.head_length)),
                "a part of a request is not incomplete");
        request_free(&part);
    }
    request_free(&whole);
}

static const struct {
    const char *name;
    void (*fuzz)(struct text);
} targets[] = {{"text", fuzz_text},
               {"json", fuzz_json},
               {"address", fuzz_address},
               {"reply", fuzz_reply},
               {"conversation", fuzz_conversation},
               {"request", fuzz_request}};
enum { TARGETS = sizeof targets / sizeof *targets };

static void (*target_named(const char *name))(struct text) {
    for (size_t i = 0; name && i < TARGETS; i++)
        if (strcmp(name, targets[i].name) == 0)
            return targets[i].fuzz;
    fprintf(stderr, "fuzz: no target: expected text, json, address, reply, conversation or request "
                    "(in FUZZ_TARGET)\n");
    exit(2);
}

#ifndef REPLAY

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*fuzz)(struct text);
    if (!fuzz)
        fuzz = target_named(getenv("FUZZ_TARGET"));
    fuzz((struct text){(const char *)data, size});
    return 0;
}

#else

/* In place: \xHH, \r, \n, \t and \\. Returns the length. */
static size_t unescape(char *line) {
    char *to = line;
    for (const char *from = line; *from && *from != '\n'; from++) {
        unsigned byte = (unsigned char)*from;
        int used = 0;
        if (*from == '\\' && sscanf(from, "\\x%2x%n", &byte, &used) == 1) {
            from += used - 1;
        } else if (*from == '\\' && from[1]) {
            from++;
            byte = *from == 'r'   ? '\r'
                   : *from == 'n' ? '\n'
                   : *from == 't' ? '\t'
                                  : (unsigned char)*from;
        }
        *to++ = (char)byte;
    }
    return (size_t)(to - line);
}

/* The copy is as long as the input, so that a byte read too many is seen. */
static void run_copy(void (*fuzz)(struct text), const char *data, size_t length) {
    char *copy = malloc(length ? length : 1);
    if (length)
        memcpy(copy, data, length);
    input = (struct text){copy, length};
    fuzz(input);
    free(copy);
}

static FILE *opened(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror("fuzz: cannot read an input");
        exit(1);
    }
    return file;
}

static unsigned run_seeds(const char *path) {
    static char line[1 << 20];
    unsigned count = 0;
    FILE *file = opened(path);
    while (fgets(line, sizeof line, file)) {
        char *blank = strchr(line, ' ');
        if (line[0] == '#' || !blank)
            continue;
        *blank = '\0';
        run_copy(target_named(line), blank + 1, unescape(blank + 1));
        count++;
    }
    fclose(file);
    return count;
}

static void run_file(void (*fuzz)(struct text), const char *path) {
    static char data[1 << 20];
    FILE *file = opened(path);
    run_copy(fuzz, data, fread(data, 1, sizeof data, file));
    fclose(file);
}

/* ---- All short strings over the bytes that matter ---- */

#define REPLY(bytes) S("\0HTTP/1." bytes)
#define OK "1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
#define CLOSES "\xfe."

/* A symbol is a byte, but in heads these stand for whole lines. */
static const char *const lines[] = {
    "Content-Length: 1",          "content-length:1",        "Content-Length: 2",
    "Transfer-Encoding: chunked", "Connection: close",       "Transfer-encoding:CHUNKED",
    "Connection: keep-alive, x",  "Transfer-Encoding: gzip", "X: y",
    "Content-Length: x"};
static const char *const statuses[] = {"1 200 OK", "0 200 OK", "1 204",  "1 304",
                                       "1 100",    "1 101",    "1 500 x"};
static const struct text bodies[] = {
    {"\r\n" CLOSES, 4},
    {"\r\nx" CLOSES, 5},
    {"\r\n1\r\nx\r\n0\r\n\r\n" CLOSES, 15},
    {"\r\nHTTP/1.1 202 A\r\nContent-Length: 1\r\n\r\nx" CLOSES, 42}};

static size_t more; /* modulo 2^n, so that less is possible, too */
static uint64_t strings;

static void run_string(void (*fuzz)(struct text), const struct buffer *bytes) {
    input = (struct text){bytes->data, bytes->length};
    strings++;
    fuzz(input);
}

/* Each string of up to `most` symbols between prefix and suffix. */
static void all_strings(void (*fuzz)(struct text), struct text prefix, struct text symbols,
                        size_t most, struct text suffix) {
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
        run_string(fuzz, &to);
        size_t i = 0;
        while (i < length && ++at[i] == symbols.length)
            at[i++] = 0;
        if (i == length && ++length > most + more)
            return;
    }
}

/* Each two neighbours of the text replaced by each pair of bytes. */
static void all_replacements(void (*fuzz)(struct text), struct text text, struct text suffix) {
    static char bytes[256];
    for (size_t i = 0; i + 1 < text.length; i++)
        for (unsigned pair = 0; pair < 65536; pair++) {
            struct buffer to = {bytes, 0, sizeof bytes, false};
            append_text(&to, text);
            append_text(&to, suffix);
            bytes[i] = (char)pair;
            bytes[i + 1] = (char)(pair >> 8);
            run_string(fuzz, &to);
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
        run_string(fuzz_conversation, &to);
    }
}

static void run_all(void) {
    const struct text no = S(""), end = S("\r\n\r\n" CLOSES);
    all_strings(fuzz_text, no, S("019afgF+- x"), 5, no);
    all_strings(fuzz_text, no, S("a, \t\r"), 7, no);
    all_replacements(fuzz_text, S("018446744073709551615"), no);
    all_replacements(fuzz_text, S("0ffffffffffffffff"), no);
    all_strings(fuzz_json, no,
                S("\x00\x1f \"\\\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee"
                  "\xef\xf0\xf1\xf3\xf4\xf5\xff"),
                4, no);
    all_strings(fuzz_json, no, S("a\xc3\xa9\xe2\x82\xf0"), 6, no);
    all_replacements(fuzz_json, S("a\xf0\x9f\x98\x80z"), no);
    all_strings(fuzz_address, no, S("0125.:/l"), 5, no);
    all_strings(fuzz_address, S("1.25"), S("0125.:/"), 5, S(".0:1/a"));
    all_replacements(fuzz_address, S("127.0.0.1:9001/a"), no);
    all_replacements(fuzz_address, S("localhost:80"), no);
    all_strings(fuzz_reply, REPLY(""), S("0125 9\t\rx\x80\x7f\0"), 5, end);
    all_replacements(fuzz_reply, REPLY(OK "\r\nx"), S(CLOSES));
    all_strings(fuzz_reply, REPLY(OK), S("a: \t\r\n(\x7f\x80\0"), 5, S("\r\n\r\nx" CLOSES));
    all_strings(fuzz_reply, REPLY(OK "Content-Length:"), S("01a+, \t\r\0"), 4,
                S("\r\n\r\nxxxxxxxxxxx" CLOSES));
    all_replacements(fuzz_reply, REPLY(OK "Content-Length: 3\r\n\r\nxxx"), S(CLOSES));
    all_strings(fuzz_reply, REPLY(CHUNKED), S("012ag;\r\n \x80"), 6, S(CLOSES));
    all_strings(fuzz_reply, REPLY(CHUNKED "1\r\n"), S("01;\r\nx"), 7, S(CLOSES));
    all_strings(fuzz_reply, REPLY(CHUNKED "0\r\n"), S("0\r\na:"), 7, end);
    all_replacements(fuzz_reply, REPLY(CHUNKED "3;a\r\nxxx\r\n0\r\nA: b\r\n\r\n"), S(CLOSES));
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        for (size_t n = 0; n < sizeof bodies / sizeof *bodies; n++) {
            char status[32];
            int length = snprintf(status, sizeof status, "%cHTTP/1.%s\r\n", '\0', statuses[i]);
            all_strings(fuzz_reply, (struct text){status, (size_t)length},
                        (struct text){NULL, sizeof lines / sizeof *lines}, 3, bodies[n]);
        }
    if (EVENT_MAX < HEAD_MAX) /* by tiny.sh */
        all_at_the_limits();
    printf("%llu strings, 0 different\n", (unsigned long long)strings);
}

int main(int count, char **arguments) {
    unsigned passed = 0;
    if (count == 3 && strcmp(arguments[1], "seeds") == 0) {
        passed = run_seeds(arguments[2]);
    } else if (count > 3 && strcmp(arguments[1], "run") == 0) {
        for (int i = 3; i < count; i++, passed++)
            run_file(target_named(arguments[2]), arguments[i]);
    } else if ((count == 2 || count == 3) && strcmp(arguments[1], "all") == 0) {
        more = count == 3 ? (size_t)atoi(arguments[2]) : 0;
        run_all();
        passed++;
    } else {
        fprintf(stderr, "fuzz: expected seeds FILE, run TARGET FILE... or all [MORE]\n");
        return 2;
    }
    printf("%u passed, 0 failed\n", passed); /* a failure aborts */
    return 0;
}

#endif
