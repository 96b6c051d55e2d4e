/* reference.h - what the parsers of bootstrap.c are to find, in the slowest and most obvious way
 * there is: patterns and whole strings, no state, no speed. Shares nothing with bootstrap.c but its
 * limits and the type of a text. The exhaustive tests and the fuzz targets compare the two.
 *
 *
 * SPDX-License-Identifier: MIT-0 */
#include <arpa/inet.h>
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
    case 'g': /* VCHAR */
        return c >= '!' && c <= '~';
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

static bool matches_any(const char *const *patterns, struct text t) {
    while (*patterns && !matches(*patterns, t))
        patterns++;
    return *patterns != NULL;
}

/* ---- Numbers and the address ---- */

/* Without leading zeros a number fits if it has fewer digits than the largest, or as many and is
 * not greater as a string. */
static bool reference_number(struct text t, unsigned base, uint64_t *number) {
    const char *largest = base == 10 ? "18446744073709551615" : "ffffffffffffffff";
    char digits[24] = "";
    if (!matches(base == 10 ? "%d%d*" : "%x%x*", t))
        return false;
    while (t.length && t.data[0] == '0')
        t = (struct text){t.data + 1, t.length - 1};
    if (t.length > strlen(largest))
        return false;
    memcpy(digits, t.data, t.length);
    if (t.length == strlen(largest) && strcasecmp(digits, largest) > 0)
        return false;
    *number = strtoull(digits, NULL, (int)base);
    return true;
}

struct reference_address {
    uint32_t address;
    uint64_t port;
    char host[ADDRESS_MAX + 1], path[ADDRESS_MAX + 1];
};

static bool reference_address(struct text t, struct reference_address *to) {
    char name[ADDRESS_MAX + 1];
    struct in_addr number;
    if (t.length > ADDRESS_MAX || !matches("%g*", t) || memchr(t.data, '?', t.length) ||
        memchr(t.data, '#', t.length))
        return false;
    if (t.length >= 7 && strncasecmp(t.data, "http://", 7) == 0)
        t = (struct text){t.data + 7, t.length - 7};
    snprintf(to->host, sizeof to->host, "%.*s", (int)t.length, t.data);
    snprintf(to->path, sizeof to->path, "%s", to->host + strcspn(to->host, "/"));
    to->host[strcspn(to->host, "/")] = '\0';
    while (*to->path && to->path[strlen(to->path) - 1] == '/')
        to->path[strlen(to->path) - 1] = '\0';
    snprintf(name, sizeof name, "%.*s", (int)strcspn(to->host, ":"), to->host);
    const char *colon = strchr(to->host, ':');
    to->port = 80;
    if (colon && !reference_number((struct text){colon + 1, strlen(colon + 1)}, 10, &to->port))
        return false;
    if (strcasecmp(name, "localhost") == 0)
        inet_pton(AF_INET, "127.0.0.1", &number);
    else if (inet_pton(AF_INET, name, &number) != 1)
        return false;
    to->address = ntohl(number.s_addr);
    return to->port >= 1 && to->port <= 65535;
}

/* ---- Replies ---- */

/* What became of the connection behind the bytes. */
enum ending { STILL_OPEN, CLOSED, BROKEN };

enum verdict { MORE_NEEDED, VALID, NOT_HTTP, BEYOND_EVENT_MAX };

struct reference_reply {
    int status;
    bool http_1_0, persistent;
    struct text id, length, encoding; /* of the last head; data is NULL when absent */
    char *body;                       /* on the heap */
    size_t body_length;
};

static const char *const status_lines[] = {"HTTP/1.%d %d%d%d", "HTTP/1.%d %d%d%d %v*", NULL};
static const char *const chunk_lines[] = {"%x%x*", "%x%x*%b*;%v*", NULL};

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

/* Not with LF alone, which RFC 9112 7.1 does not allow around chunks. */
static bool ended_in_crlf(struct text line) {
    return line.data[line.length] == '\r';
}

static struct text without_blanks(struct text t) {
    while (t.length && in_class('b', t.data[0]))
        t = (struct text){t.data + 1, t.length - 1};
    while (t.length && in_class('b', t.data[t.length - 1]))
        t.length--;
    return t;
}

static bool matches_word(struct text t, const char *word) {
    t = without_blanks(t);
    return t.length == strlen(word) && strncasecmp(t.data, word, t.length) == 0;
}

static struct text value_of(struct text line) {
    const char *colon = memchr(line.data, ':', line.length);
    return without_blanks((struct text){colon + 1, line.length - (size_t)(colon + 1 - line.data)});
}

static bool is_named(struct text line, const char *name) {
    return line.length > strlen(name) && line.data[strlen(name)] == ':' &&
           strncasecmp(line.data, name, strlen(name)) == 0;
}

/* The value of the first field of this name in the lines of a head or trailer section. */
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
        if (!first.data || !is_named(line, counts[i]))
            continue;
        struct text value = value_of(line);
        if (i == CODING || first.length != value.length ||
            memcmp(first.data, value.data, value.length) != 0)
            return true;
    }
    return false;
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

static bool are_field_lines(struct text lines) {
    struct text before = {lines.data, 0}, line;
    while (take_line(&lines, &line)) {
        if (!matches("%t%t*:%v*", line) || contradicts(before, line))
            return false;
        before.length = (size_t)(lines.data - before.data);
    }
    return true;
}

static unsigned connection_lines(struct text lines) {
    struct text line;
    unsigned count = 0;
    while (take_line(&lines, &line))
        count += is_named(line, "Connection");
    return count;
}

/* RFC 9112 9.3; Connection in several lines is taken for close, which is right in any case. */
static bool keeps_open(struct text lines, bool http_1_0) {
    struct text value = field_of(lines, "Connection");
    bool close = false, keep_alive = false;
    for (size_t at = 0, end; at < value.length; at = end + 1) {
        for (end = at; end < value.length && value.data[end] != ',';)
            end++;
        struct text element = {value.data + at, end - at};
        close = close || matches_word(element, "close");
        keep_alive = keep_alive || matches_word(element, "keep-alive");
    }
    return connection_lines(lines) <= 1 && (http_1_0 ? keep_alive : !close);
}

static bool add_to_body(struct reference_reply *reply, struct text data) {
    if (data.length > EVENT_MAX - reply->body_length)
        return false;
    reply->body = realloc(reply->body, reply->body_length + data.length + 1);
    if (data.length)
        memcpy(reply->body + reply->body_length, data.data, data.length);
    reply->body_length += data.length;
    return true;
}

/* What has not ended within its limit is not waited for. */
static enum verdict unended(struct text bytes, size_t most) {
    return bytes.length >= most ? NOT_HTTP : MORE_NEEDED;
}

static enum verdict take_chunks(struct text bytes, struct reference_reply *reply) {
    struct text line;
    uint64_t size = 1;
    while (take_line(&bytes, &line)) {
        size_t digits = 0;
        while (digits < line.length && in_class('x', line.data[digits]))
            digits++;
        if ((size_t)(bytes.data - line.data) > SIZE_LINE_MAX || !matches_any(chunk_lines, line) ||
            !ended_in_crlf(line) || !reference_number((struct text){line.data, digits}, 16, &size))
            return NOT_HTTP;
        if (size == 0) {
            struct text rest = bytes;
            return !take_lines(&bytes, &line) ? unended(rest, TRAILER_MAX)
                   : (size_t)(bytes.data - rest.data) <= TRAILER_MAX && are_field_lines(line)
                       ? VALID
                       : NOT_HTTP;
        }
        if (size > EVENT_MAX - reply->body_length)
            return BEYOND_EVENT_MAX;
        if (size > bytes.length)
            return MORE_NEEDED;
        add_to_body(reply, (struct text){bytes.data, (size_t)size});
        bytes = (struct text){bytes.data + size, bytes.length - (size_t)size};
        if (bytes.length >= 1 && bytes.data[0] == '\n')
            return NOT_HTTP;
        if (bytes.length < 2)
            return MORE_NEEDED;
        if (bytes.data[0] != '\r' || bytes.data[1] != '\n')
            return NOT_HTTP;
        bytes = (struct text){bytes.data + 2, bytes.length - 2};
    }
    return unended(bytes, SIZE_LINE_MAX);
}

/* One number, or a list in which it stands again letter by letter: RFC 9110 8.6. */
static bool reference_length(struct text list, uint64_t *length) {
    struct text first = {0};
    for (size_t at = 0, end; at <= list.length; at = end + 1) {
        for (end = at; end < list.length && list.data[end] != ',';)
            end++;
        struct text element = without_blanks((struct text){list.data + at, end - at});
        first = at == 0 ? element : first;
        if (!reference_number(element, 10, length) || element.length != first.length ||
            memcmp(element.data, first.data, element.length) != 0)
            return false;
    }
    return true;
}

static enum verdict take_body(struct text bytes, enum ending ending,
                              struct reference_reply *reply) {
    uint64_t length;
    if (reply->status == 204 || reply->status == 304)
        return VALID;
    if (reply->encoding.data && reply->length.data)
        return NOT_HTTP;
    if (reply->encoding.data && (reply->http_1_0 || reply->encoding.length != 7 ||
                                 strncasecmp(reply->encoding.data, "chunked", 7) != 0))
        return NOT_HTTP;
    if (reply->encoding.data)
        return take_chunks(bytes, reply);
    if (!reply->length.data) {
        reply->persistent = false;
        if (!add_to_body(reply, bytes))
            return BEYOND_EVENT_MAX;
        return ending == CLOSED ? VALID : MORE_NEEDED;
    }
    if (!reference_length(reply->length, &length))
        return NOT_HTTP;
    if (length > EVENT_MAX)
        return BEYOND_EVENT_MAX;
    if (length > bytes.length)
        return MORE_NEEDED;
    add_to_body(reply, (struct text){bytes.data, (size_t)length});
    return VALID;
}

/* What all the bytes received so far are. reply->body is the caller's to free, whatever comes out.
 * Of a reply that is no event the head is enough, if the body breaks off. */
static enum verdict reference_reply(struct text bytes, enum ending ending,
                                    struct reference_reply *reply) {
    struct text line, lines = {0}, all = bytes;
    do {
        *reply = (struct reference_reply){0};
        if (!take_line(&bytes, &line) || (line.length && !take_lines(&bytes, &lines)))
            return unended(all, HEAD_MAX); /* a head is judged when it is whole */
        if (all.length - bytes.length > HEAD_MAX || !matches_any(status_lines, line) ||
            line.data[9] < '1' || line.data[9] > '5')
            return NOT_HTTP;
        reply->status = (int)strtol(line.data + 9, NULL, 10);
        reply->http_1_0 = line.data[7] == '0';
        if (reply->status == 101 || !are_field_lines(lines))
            return NOT_HTTP;
    } while (reply->status < 200);
    reply->length = field_of(lines, "Content-Length");
    reply->encoding = field_of(lines, "Transfer-Encoding");
    reply->id = field_of(lines, "Lambda-Runtime-Aws-Request-Id");
    reply->persistent = keeps_open(lines, reply->http_1_0);
    enum verdict verdict = take_body(bytes, ending, reply);
    if (verdict != MORE_NEEDED || ending == STILL_OPEN || reply->status == 200)
        return verdict;
    reply->persistent = false;
    reply->body_length = 0;
    return VALID;
}

/* ---- UTF-8 and JSON ---- */

/* The code point that the bytes at the front stand for, U+FFFD for a byte that belongs to none; how
 * many bytes it took goes to *used. Tries every length, and whether encoding gives the same. */
static uint32_t decode(struct text t, size_t *used) {
    static const struct {
        unsigned char mark, mask;
        uint32_t least;
    } forms[] = {{0, 0x80, 0}, {0xc0, 0xe0, 0x80}, {0xe0, 0xf0, 0x800}, {0xf0, 0xf8, 0x10000}};
    const unsigned char *byte = (const unsigned char *)t.data;
    for (size_t n = 1; n <= 4 && n <= t.length; n++) {
        uint32_t point = byte[0] & (unsigned char)~forms[n - 1].mask;
        bool well = (byte[0] & forms[n - 1].mask) == forms[n - 1].mark;
        for (size_t i = 1; i < n; i++) {
            well = well && byte[i] >> 6 == 2;
            point = point << 6 | (byte[i] & 0x3f);
        }
        if (well && point >= forms[n - 1].least && point <= 0x10ffff &&
            (point < 0xd800 || point > 0xdfff)) {
            *used = n;
            return point;
        }
    }
    *used = 1;
    return 0xfffd;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads one character of a JSON string (RFC 8259 7), strictly; -1 when it is not allowed there. */
static int64_t read_json_character(struct text *json) {
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    size_t used;
    int64_t point = decode(*json, &used);
    bool replaced = used == 1 && point == 0xfffd; /* not UTF-8 */
    if (replaced || point < ' ' || point == '"')
        return -1;
    if (point == '\\' && json->length >= 6 && json->data[1] == 'u') {
        point = 0;
        for (size_t i = 2; i < 6; i++) {
            int digit = hex_digit(json->data[i]);
            if (digit < 0)
                return -1;
            point = point << 4 | digit;
        }
        used = 6;
    } else if (point == '\\') {
        const char *name = json->length >= 2 && json->data[1] ? strchr(names, json->data[1]) : NULL;
        if (!name)
            return -1;
        point = (unsigned char)meanings[name - names];
        used = 2;
    }
    *json = (struct text){json->data + used, json->length - used};
    return point;
}

/* Is `json` one JSON string, and does it say what the bytes of `from` say? */
static bool is_json_of(struct text json, struct text from) {
    if (json.length < 2 || json.data[0] != '"' || json.data[json.length - 1] != '"')
        return false;
    json = (struct text){json.data + 1, json.length - 2};
    while (from.length) {
        size_t used;
        uint32_t point = decode(from, &used);
        from = (struct text){from.data + used, from.length - used};
        if (json.length == 0 || read_json_character(&json) != point)
            return false;
    }
    return json.length == 0;
}

/* ---- Do the two agree? ---- */

static bool number_agrees(struct text text) {
    bool agree = true;
    for (unsigned base = 10; base <= 16; base += 6) {
        uint64_t expected = 4711, number = 4711;
        bool valid = reference_number(text, base, &expected);
        agree = agree && parse_number(text, base, &number) == valid && number == expected;
    }
    return agree;
}

static bool cut_agrees(struct text text) {
    struct text rest = text, before;
    size_t at = 0;
    while (at < text.length && text.data[at] != ',')
        at++;
    bool found = cut(&rest, ',', &before);
    return found == (at < text.length) && before.length == at && before.data == text.data &&
           rest.length == (found ? text.length - at - 1 : 0) &&
           (!found || rest.data == text.data + at + 1);
}

static bool trim_agrees(struct text text) {
    struct text trimmed = trim(text), expected = without_blanks(text);
    return trimmed.length == expected.length &&
           (expected.length == 0 || trimmed.data == expected.data);
}

static bool json_agrees(struct text text) {
    static char storage[6 * 65536 + 2];
    struct buffer to = {storage, 0, sizeof storage, false};
    append_json_string(&to, text);
    return !to.overflow && is_json_of(text_in(&to), text);
}

/* The cut falls behind a whole character, unless the bytes are no UTF-8. */
static bool first_bytes_agree_at(struct text text, size_t most) {
    size_t used = 0, whole = 0;
    struct text rest = text, first = first_bytes(text, most);
    bool utf8 = true;
    while (rest.length) {
        uint32_t point = decode(rest, &used);
        utf8 = utf8 && (point != 0xfffd || used != 1);
        rest = (struct text){rest.data + used, rest.length - used};
        if ((size_t)(rest.data - text.data) <= most)
            whole = (size_t)(rest.data - text.data);
    }
    return first.data == text.data && first.length <= most &&
           (most > text.length || first.length + 3 >= most) && (!utf8 || first.length == whole);
}

static bool first_bytes_agrees(struct text text) {
    bool agree = true;
    for (size_t most = 0; most <= text.length + 1; most++)
        agree = agree && first_bytes_agree_at(text, most);
    return agree;
}

static bool address_agrees(struct text text) {
    static struct reference_address expected;
    struct runtime runtime = {0};
    bool valid = reference_address(text, &expected);
    const struct sockaddr_in *address = &runtime.connection.address;
    return !parse_address(text, &runtime) == valid &&
           (!valid || (ntohl(address->sin_addr.s_addr) == expected.address &&
                       ntohs(address->sin_port) == expected.port &&
                       equal(runtime.host, text_of(expected.host)) &&
                       equal(runtime.path, text_of(expected.path))));
}

/* Is what read_reply found in these bytes what is in them? */
static bool reply_agrees(struct text bytes, enum ending ending, const char *wrong,
                         const struct api_reply *reply) {
    struct reference_reply expected;
    enum verdict found = !wrong                     ? VALID
                         : wrong == CONNECTION_LOST ? MORE_NEEDED
                         : wrong == BODY_TOO_LARGE  ? BEYOND_EVENT_MAX
                                                    : NOT_HTTP;
    enum verdict verdict = reference_reply(bytes, ending, &expected);
    bool agree = found == verdict;
    if (agree && verdict == VALID)
        agree = reply->status == expected.status && is_persistent(reply) == expected.persistent &&
                equal(reply->body, (struct text){expected.body, expected.body_length}) &&
                equal(reply->invocation.request_id, expected.id);
    free(expected.body);
    return agree;
}
