/* reference.h - what bootstrap.c is to find in a reply, in the slowest and most obvious way there is:
 * patterns and whole strings, no state, no speed. Shares nothing with bootstrap.c but its limits and
 * the type of a text. The exhaustive run and the fuzzing compare the two.
 *
 * SPDX-License-Identifier: MIT-0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Patterns ---- */

/* A letter behind % is a class, any other byte stands for itself; * behind either: any number. */
static bool in_class(char class, char c) {
    switch (class) {
    case 'd': /* DIGIT */
        return c && strchr("0123456789", c);
    case 'x': /* HEXDIG */
        return c && strchr("0123456789abcdefABCDEF", c);
    case 'b': /* OWS, RFC 9110 5.6.3 */
        return c == ' ' || c == '\t';
    case 't': /* tchar, RFC 9110 5.6.2 */
        return c && strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                           c);
    case 'v': /* what a field value may hold: VCHAR, obs-text, blanks, RFC 9110 5.5 */
        return c == ' ' || c == '\t' || (c >= '!' && c <= '~') || (c & 0x80);
    case 'i': /* what an id may hold, which becomes a part of a path: VCHAR but these */
        return c >= '!' && c <= '~' && !strchr("/?#%", c);
    default:
        return false;
    }
}

static bool matches(const char *pattern, struct text t) {
    if (*pattern == '\0')
        return t.length == 0;
    bool class = *pattern == '%';
    const char *rest = pattern + (class ? 2 : 1);
    bool many = *rest == '*';
    rest += many;
    if (many && matches(rest, t))
        return true;
    while (t.length && (class ? in_class(pattern[1], t.data[0]) : t.data[0] == *pattern)) {
        t = (struct text){t.data + 1, t.length - 1};
        if (matches(rest, t))
            return true;
        if (!many)
            return false;
    }
    return false;
}

static bool same(struct text a, struct text b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static bool is_word(struct text t, const char *word) {
    return t.length == strlen(word) && strncasecmp(t.data, word, t.length) == 0;
}

static struct text text_from(struct bytes bytes) {
    return (struct text){bytes.data, bytes.length};
}

static bool reference_number(struct text t, unsigned base, uint64_t *number) {
    static struct bytes digits;
    digits.length = 0;
    bytes_append(&digits, t.data, t.length);
    bytes_append(&digits, "", 1);
    errno = 0;
    uint64_t value = strtoull(digits.data, NULL, (int)base);
    if (!matches(base == 10 ? "%d%d*" : "%x%x*", t) || errno == ERANGE)
        return false;
    *number = value;
    return true;
}

/* ---- Lines and fields ---- */

/* Takes a line off; its end is LF, or CRLF. */
static bool take_line(struct text *bytes, struct text *line) {
    const char *lf = bytes->length ? memchr(bytes->data, '\n', bytes->length) : NULL;
    if (!lf)
        return false;
    *line = (struct text){bytes->data, (size_t)(lf - bytes->data)};
    *bytes = (struct text){lf + 1, bytes->length - line->length - 1};
    if (line->length && line->data[line->length - 1] == '\r')
        line->length--;
    return true;
}

/* Takes all lines up to the empty one, and that; *lines is what stood before it. */
static bool take_lines(struct text *bytes, struct text *lines) {
    struct text line;
    *lines = (struct text){bytes->data, 0};
    while (take_line(bytes, &line)) {
        if (line.length == 0)
            return true;
        lines->length = (size_t)(bytes->data - lines->data);
    }
    return false;
}

static struct text without_blanks(struct text t) {
    while (t.length && in_class('b', t.data[0]))
        t = (struct text){t.data + 1, t.length - 1};
    while (t.length && in_class('b', t.data[t.length - 1]))
        t.length--;
    return t;
}

/* Takes an element off a list with commas, as long as there is one. */
static bool take_element(struct text *list, struct text *element) {
    if (!list->data)
        return false;
    const char *comma = memchr(list->data, ',', list->length);
    size_t length = comma ? (size_t)(comma - list->data) : list->length;
    *element = without_blanks((struct text){list->data, length});
    *list = (struct text){comma ? comma + 1 : NULL, comma ? list->length - length - 1 : 0};
    return true;
}

static bool is_named(struct text line, const char *name) {
    return line.length > strlen(name) && line.data[strlen(name)] == ':' &&
           strncasecmp(line.data, name, strlen(name)) == 0;
}

static struct text value_of(struct text line) {
    const char *colon = memchr(line.data, ':', line.length);
    return without_blanks((struct text){colon + 1, line.length - (size_t)(colon + 1 - line.data)});
}

/* The value of the first field of this name in the lines of a head or trailer section; its data is
 * NULL when there is none. */
static struct text field_of(struct text lines, const char *name) {
    struct text line;
    while (take_line(&lines, &line))
        if (is_named(line, name))
            return value_of(line);
    return (struct text){NULL, 0};
}

/* Is there a line whose name has come before with another value, among the names that count? Lines
 * of Transfer-Encoding add up to a list, and chunked twice is not allowed: RFC 9112 7. */
static bool contradicts(struct text before, struct text line) {
    enum { CODING = 1 };
    static const char *const counts[] = {
        "Content-Length",
        "Transfer-Encoding",
        "Content-Type",
        "Lambda-Runtime-Aws-Request-Id",
        "Lambda-Runtime-Deadline-Ms",
        "Lambda-Runtime-Invoked-Function-Arn",
        "Lambda-Runtime-Trace-Id",
        "Lambda-Runtime-Client-Context",
        "Lambda-Runtime-Cognito-Identity",
        "Lambda-Runtime-Aws-Tenant-Id",
        "Lambda-Runtime-Invocation-Id",
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct text first = field_of(before, counts[i]);
        if (first.data && is_named(line, counts[i]) &&
            (i == CODING || !same(first, value_of(line))))
            return true;
    }
    return false;
}

static bool are_field_lines(struct text lines) {
    struct text before = {lines.data, 0}, line;
    while (take_line(&lines, &line)) {
        if (!matches("%t%t*:%v*", line) || contradicts(before, line))
            return false;
        before.length = (size_t)(lines.data - before.data);
    }
    return true;
}

/* ---- Replies ---- */

/* What became of the connection behind the bytes. */
enum ending { STILL_OPEN, CLOSED, BROKEN };

enum verdict { MORE_NEEDED, VALID, NOT_HTTP, BEYOND_EVENT_MAX };

struct reference_reply {
    int status;
    bool http_1_0, persistent;
    struct text lines; /* of the last head */
};

static struct bytes reference_body; /* of the reply that was read last */

/* RFC 9112 9.3; Connection in several lines is taken for close, which is right in any case. */
static bool keeps_open(struct text lines, bool http_1_0) {
    struct text line, value, element;
    unsigned count = 0;
    bool close = false, keep_alive = false;
    while (take_line(&lines, &line)) {
        if (!is_named(line, "Connection"))
            continue;
        count++;
        value = value_of(line);
        while (take_element(&value, &element)) {
            close = close || is_word(element, "close");
            keep_alive = keep_alive || is_word(element, "keep-alive");
        }
    }
    return count <= 1 && !close && (keep_alive || !http_1_0);
}

/* What has not ended within its limit is not waited for. */
static enum verdict unended(struct text bytes, size_t most) {
    return bytes.length >= most ? NOT_HTTP : MORE_NEEDED;
}

static enum verdict take_bytes(struct text *bytes, uint64_t length) {
    if (length > EVENT_MAX - reference_body.length)
        return BEYOND_EVENT_MAX;
    if (length > bytes->length)
        return MORE_NEEDED;
    bytes_append(&reference_body, bytes->data, (size_t)length);
    *bytes = (struct text){bytes->data + length, bytes->length - (size_t)length};
    return VALID;
}

/* Around chunks a line does not end in LF alone: RFC 9112 7.1. */
static enum verdict take_chunks(struct text bytes) {
    struct text line, lines;
    uint64_t size;
    while (take_line(&bytes, &line)) {
        size_t digits = 0;
        while (digits < line.length && in_class('x', line.data[digits]))
            digits++;
        if ((size_t)(bytes.data - line.data) > SIZE_LINE_MAX || line.data[line.length] != '\r' ||
            (!matches("%x%x*", line) && !matches("%x%x*%b*;%v*", line)) ||
            !reference_number((struct text){line.data, digits}, 16, &size))
            return NOT_HTTP;
        if (size == 0) {
            struct text rest = bytes;
            if (!take_lines(&bytes, &lines))
                return unended(rest, TRAILER_MAX);
            bool fits = (size_t)(bytes.data - rest.data) <= TRAILER_MAX;
            return fits && are_field_lines(lines) ? VALID : NOT_HTTP;
        }
        enum verdict verdict = take_bytes(&bytes, size);
        if (verdict != VALID)
            return verdict;
        if (bytes.length < 2)
            return bytes.length && bytes.data[0] == '\n' ? NOT_HTTP : MORE_NEEDED;
        if (memcmp(bytes.data, "\r\n", 2) != 0)
            return NOT_HTTP;
        bytes = (struct text){bytes.data + 2, bytes.length - 2};
    }
    return unended(bytes, SIZE_LINE_MAX);
}

static enum verdict take_body(struct text bytes, enum ending ending,
                              struct reference_reply *reply) {
    struct text size = field_of(reply->lines, "Content-Length"),
                encoding = field_of(reply->lines, "Transfer-Encoding");
    uint64_t length;
    if (reply->status == 204 || reply->status == 304)
        return VALID;
    if (encoding.data)
        return reply->http_1_0 || size.data || !is_word(encoding, "chunked") ? NOT_HTTP
                                                                             : take_chunks(bytes);
    if (size.data)
        return reference_number(size, 10, &length) ? take_bytes(&bytes, length) : NOT_HTTP;
    reply->persistent = false;
    enum verdict verdict = take_bytes(&bytes, bytes.length);
    return verdict == VALID && ending != CLOSED ? MORE_NEEDED : verdict;
}

/* What all the bytes received so far are. Of a reply that is no event the head is enough, if the
 * body breaks off. */
static enum verdict reference_reply(struct text bytes, enum ending ending,
                                    struct reference_reply *reply) {
    struct text line, all = bytes;
    reference_body.length = 0;
    do {
        *reply = (struct reference_reply){0};
        if (!take_line(&bytes, &line) || (line.length && !take_lines(&bytes, &reply->lines)))
            return unended(all, HEAD_MAX); /* a head is judged when it is whole */
        if (all.length - bytes.length > HEAD_MAX ||
            (!matches("HTTP/1.%d %d%d%d", line) && !matches("HTTP/1.%d %d%d%d %v*", line)) ||
            line.data[9] < '1' || line.data[9] > '5')
            return NOT_HTTP;
        reply->status = (int)strtol(line.data + 9, NULL, 10);
        reply->http_1_0 = line.data[7] == '0';
        if (reply->status == 101 || !are_field_lines(reply->lines))
            return NOT_HTTP;
    } while (reply->status < 200);
    reply->persistent = keeps_open(reply->lines, reply->http_1_0);
    enum verdict verdict = take_body(bytes, ending, reply);
    if (verdict != MORE_NEEDED || ending == STILL_OPEN || reply->status == 200)
        return verdict;
    reply->persistent = false;
    reference_body.length = 0;
    return VALID;
}

/* ---- UTF-8 and JSON, by the reader and the writer of wire.c ---- */

/* The text with U+FFFD for each byte that is no part of UTF-8; valid until the next call. */
static struct text repaired(struct text text) {
    static struct bytes json, to;
    json.length = to.length = 0;
    json_string(&json, text.data, text.length);
    bytes_append(&json, "", 1);
    json_text(json.data, &to);
    return text_from(to);
}

/* With a NUL behind it, until the next call; or NULL. */
static const char *valid_json(struct text json) {
    static struct bytes copy;
    size_t wrong;
    copy.length = 0;
    bytes_append(&copy, json.data, json.length);
    bytes_append(&copy, "", 1);
    return json_is_valid(json.data, json.length, &wrong) ? copy.data : NULL;
}

/* Is it a JSON string that says what the bytes say? */
static bool says(const char *json, struct text text) {
    static struct bytes means;
    means.length = 0;
    return json && *json == '"' && json_text(json, &means) &&
           same(text_from(means), repaired(text));
}
