/* fuzz.c - whole conversations with a server that sends anything, for clang -fsanitize=fuzzer. Aborts
 * when bootstrap.c does not do what reference.h finds right; ASan and UBSan see the rest.
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
 * exactly its bytes, or as JSON what they say; the next event only after a whole reply; a connection
 * kept only if it may be; the end only when there is a reason for it, with a line on stderr. */

enum { ESCAPE = 0xfe, ENDED = 1, WAITS = 2 };

static struct {
    struct text rest;                    /* of the script */
    size_t piece;                        /* no recv returns more */
    bool open, fresh, failed_to_connect; /* fresh: nothing has been sent on it */
    unsigned pauses;
    jmp_buf end;

    struct bytes request, reply; /* sent and received since the last whole request */
    enum ending reply_ending;
    bool is_answer; /* that request was an answer, not `next` */
    unsigned attempts, lines;
    struct bytes event_id, event; /* of the event that is being answered */
    uint64_t event_deadline;
    bool too_large, failed, streamed;
    struct bytes refused_id; /* of the event whose answer was refused last, */
    uint64_t refused_deadline;
    unsigned refusals; /* and how often in a row */
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

/* Whether a reply to `next` is an event, perhaps one that is too large. */
static bool is_event(enum verdict verdict, const struct reference_reply *found) {
    struct text id = field_of(found->lines, "Lambda-Runtime-Aws-Request-Id");
    return (verdict == VALID || verdict == BEYOND_EVENT_MAX) && found->status == 200 &&
           id.length <= REQUEST_ID_MAX && matches("%i%i*", id) &&
           field_of(found->lines, "Lambda-Runtime-Invocation-Id").length <= INVOCATION_ID_MAX;
}

/* The program answers for the first time: there has to be an event. */
static void event_begins(enum verdict verdict, const struct reference_reply *found) {
    require(is_event(verdict, found), "answers without a whole event");
    struct text id = field_of(found->lines, "Lambda-Runtime-Aws-Request-Id"),
                deadline = field_of(found->lines, "Lambda-Runtime-Deadline-Ms");
    run.too_large = verdict == BEYOND_EVENT_MAX;
    run.event_id.length = run.event.length = 0;
    run.event_deadline = 0;
    reference_number(deadline, 10, &run.event_deadline);
    bytes_append(&run.event_id, id.data, id.length);
    bytes_append(&run.event, reference_body.data, reference_body.length);
}

static void check_answer(const struct request *request) {
    char target[REQUEST_ID_MAX + 100];
    struct text body = text_from(request->body), event = text_from(run.event);
    int length = snprintf(target, sizeof target, "/2018-06-01/runtime/invocation/%.*s%s",
                          (int)run.event_id.length, run.event_id.data,
                          run.too_large || run.failed ? "/error" : "/response");
    require(same((struct text){request->target, request->target_length},
                 (struct text){target, (size_t)length}),
            "answers another invocation");
    if (run.too_large)
        return;
    if (!run.failed) {
        require(same(body, event), "does not echo the event");
        return;
    }
    const char *error = valid_json(body);
    require(says(json_member(error, "errorType"), first_bytes(event, ERROR_TYPE_MAX)) &&
                says(json_member(error, "errorMessage"), first_bytes(event, ERROR_MESSAGE_MAX)),
            "the error does not say what the event says");
}

/* May the request be sent again, which says that it had no whole reply? */
static void check_repeated(enum verdict verdict, const struct reference_reply *found) {
    if (verdict == VALID && found->status == 204 && !run.is_answer) {
        run.attempts = 1; /* no event */
        return;
    }
    require(verdict == MORE_NEEDED, "sends a request again that had a reply");
    require(++run.attempts <= (run.is_answer ? POST_ATTEMPTS_MAX : NEXT_ATTEMPTS_MAX),
            "sends a request too often");
}

/* How often in a row the answer to this event has now been refused, if the reply says so. */
static unsigned refusals_with(enum verdict verdict, const struct reference_reply *reply) {
    bool refused = (verdict == VALID || verdict == BEYOND_EVENT_MAX) && reply->status >= 300 &&
                   (reply->status != 403 || run.attempts == 1);
    bool again = run.refused_deadline == run.event_deadline &&
                 same(text_from(run.refused_id), text_from(run.event_id));
    if (!refused)
        return 0;
    run.refused_deadline = run.event_deadline;
    run.refused_id.length = 0;
    bytes_append(&run.refused_id, run.event_id.data, run.event_id.length);
    return again ? run.refusals + 1 : 1;
}

/* It goes on after an answer: that had a reply, and none that ends the program. */
static void check_goes_on(enum verdict verdict, const struct reference_reply *found) {
    bool lost = verdict == MORE_NEEDED && run.streamed; /* said, and on */
    run.refusals = refusals_with(verdict, found);
    require(lost || ((verdict == VALID || verdict == BEYOND_EVENT_MAX) && found->status < 500 &&
                     run.refusals < REFUSALS_MAX),
            "goes on after a reply that should end it");
}

/* Called once for each request, when its first byte goes out. */
static void request_begins(const char *bytes) {
    struct reference_reply found;
    enum verdict verdict = reference_reply(text_from(run.reply), run.reply_ending, &found);
    bool is_answer = bytes[0] == 'P';
    require(run.fresh || found.persistent, "sends on a connection that was to be closed");
    if (is_answer == run.is_answer && run.attempts > 0) {
        check_repeated(verdict, &found);
    } else {
        if (is_answer)
            event_begins(verdict, &found);
        else if (run.is_answer)
            check_goes_on(verdict, &found);
        run.attempts = 1;
    }
    if (!is_answer)
        run.failed = run.streamed = false;
    run.is_answer = is_answer;
    run.fresh = false;
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
    enum verdict verdict = reference_reply(text_from(run.reply), run.reply_ending, &found);
    if (run.is_answer)
        require(verdict == MORE_NEEDED || verdict == NOT_HTTP || found.status >= 500 ||
                    refusals_with(verdict, &found) == REFUSALS_MAX,
                "ends after a fine reply");
    else
        require(verdict == MORE_NEEDED ? run.attempts > 1 : !is_event(verdict, &found),
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
    run.open = run.fresh = !run.failed_to_connect;
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

/* ---- What is run ---- */

static void begin_script(struct text script, size_t piece) {
    run.rest = script;
    run.piece = piece;
    run.request.length = run.reply.length = 0;
    run.reply_ending = STILL_OPEN;
    run.open = run.fresh = run.is_answer = run.failed_to_connect = false;
    run.attempts = run.lines = run.pauses = run.refusals = 0;
    free_room(NULL, 0);
}

static void converse(struct text script) {
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
CALLABLE bool receive_reply(struct text script, size_t piece, struct api_connection *connection,
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input = (struct text){(const char *)data, size};
    converse(input);
    return 0;
}
