/* wire.c - the server's side of HTTP/1.1: see wire.h.
 *
 * Strict on purpose. RFC 9112 lets a server forgive much that a client must never send; here
 * the client is the program under test, so whatever it must not send is malformed, and `wrong`
 * says why with the section that forbids it.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE 1
#include "wire.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- Limits ---- */

#define HEAD_MAX (1 << 20)    /* Lambda's quota for request line and header values together */
#define LENGTH_MAX (64 << 20) /* of a body or chunk: ten times what Lambda takes of either side */

/* ---- Bytes ---- */

static void reserve(struct bytes *to, size_t more) {
    if (more <= to->capacity - to->length)
        return;
    size_t capacity = to->length + to->length / 2 + more + 256;
    char *data = realloc(to->data, capacity);
    if (data == NULL) {
        fprintf(stderr, "wire: no memory for %zu bytes\n", more);
        exit(1);
    }
    to->data = data;
    to->capacity = capacity;
}

void bytes_append(struct bytes *to, const void *data, size_t length) {
    if (length == 0)
        return;
    reserve(to, length);
    memcpy(to->data + to->length, data, length);
    to->length += length;
}

void bytes_text(struct bytes *to, const char *text) {
    bytes_append(to, text, strlen(text));
}

void bytes_format(struct bytes *to, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length <= 0)
        return;
    reserve(to, (size_t)length + 1); /* vsnprintf wants room for its NUL */
    va_start(arguments, format);
    vsnprintf(to->data + to->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    to->length += (size_t)length;
}

void bytes_drop_front(struct bytes *from, size_t length) {
    if (length == 0)
        return;
    from->length -= length;
    memmove(from->data, from->data + length, from->length);
}

void bytes_free(struct bytes *bytes) {
    free(bytes->data);
    *bytes = (struct bytes){0};
}

/* ---- Text: pointer and length ---- */

struct text {
    const char *at;
    size_t length;
};

static bool same_word(struct text a, const char *word) {
    return a.length == strlen(word) && strncasecmp(a.at, word, a.length) == 0;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static struct text behind(struct text t, size_t length) {
    return (struct text){t.at + length, t.length - length};
}

static struct text trim(struct text t) {
    while (t.length > 0 && is_blank(t.at[0]))
        t = behind(t, 1);
    while (t.length > 0 && is_blank(t.at[t.length - 1]))
        t.length--;
    return t;
}

/* RFC 9110 5.6.2. */
static bool is_token(struct text t) {
    size_t n = 0;
    while (n < t.length && t.at[n] != '\0' &&
           (isalnum((unsigned char)t.at[n]) || strchr("!#$%&'*+-.^_`|~", t.at[n]) != NULL))
        n++;
    return n > 0 && n == t.length;
}

/* Cuts the text before the first `byte` off the front of `rest`, and the byte with it. */
static bool cut(struct text *rest, char byte, struct text *front) {
    const char *found = rest->length == 0 ? NULL : memchr(rest->at, byte, rest->length);
    if (found == NULL)
        return false;
    *front = (struct text){rest->at, (size_t)(found - rest->at)};
    *rest = behind(*rest, front->length + 1);
    return true;
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* Nothing but digits; leading zeros as many as they like. */
static bool parse_length(struct text t, unsigned base, uint64_t *value) {
    *value = 0;
    for (size_t i = 0; i < t.length; i++) {
        unsigned digit = (unsigned)digit_value(t.at[i]);
        if (digit >= base || *value >= LENGTH_MAX / base)
            return false;
        *value = *value * base + digit;
    }
    return t.length > 0;
}

/* ---- Lines ---- */

/* From here on, NULL is what is right, `incomplete` what may become right when more has come, and
 * any other text says what is wrong. */
static const char incomplete[] = "";

/* Cuts a line off `rest`. RFC 9112 2.2: a line ends with CRLF and holds no other CR. */
static const char *cut_line(struct text *rest, struct text *line) {
    if (!cut(rest, '\n', line))
        return incomplete;
    if (line->length == 0 || line->at[line->length - 1] != '\r')
        return "a line ends with LF alone, not with CRLF (RFC 9112 2.2)";
    if (memchr(line->at, '\r', --line->length) != NULL)
        return "a CR stands inside a line (RFC 9112 2.2)";
    return NULL;
}

/* RFC 9112 5: field-name ":" OWS field-value OWS; RFC 9110 5.5 for the bytes of a value. */
static const char *check_field(struct text line, struct text *name, struct text *value) {
    *value = line;
    if (!cut(value, ':', name) || !is_token(*name))
        return "a field line does not begin with a token and a colon, without blanks "
               "(RFC 9112 5)";
    *value = trim(*value);
    for (size_t i = 0; i < value->length; i++)
        if (((unsigned char)value->at[i] < ' ' && value->at[i] != '\t') || value->at[i] == 127)
            return "a field value holds a control character (RFC 9110 5.5)";
    return NULL;
}

/* ---- The head ---- */

/* The absolute form, which no client of a server sends and which a server has to take (RFC 9112
 * 3.2.2), without http:// and the host. */
static struct text origin_form(struct text target) {
    struct text host, path;
    if (target.length <= 7 || strncasecmp(target.at, "http://", 7) != 0 || target.at[7] == '/')
        return target;
    path = behind(target, 7);
    return cut(&path, '/', &host) ? (struct text){path.at - 1, path.length + 1}
                                  : (struct text){"/", 1};
}

/* RFC 9112 3: method SP request-target SP HTTP-version. */
static const char *parse_request_line(struct text line, struct request *r) {
    struct text method, target, version = line;
    if (!cut(&version, ' ', &method) || !is_token(method))
        return "the request line begins with no method and one space (RFC 9112 3)";
    if (!cut(&version, ' ', &target) || target.length == 0)
        return "the request line has no target between two single spaces (RFC 9112 3)";
    for (size_t i = 0; i < target.length; i++)
        if (target.at[i] <= ' ' || target.at[i] >= 127 || target.at[i] == '#')
            return "the request target holds a byte that no URI has (RFC 9112 3.2)";
    target = origin_form(target);
    if (target.at[0] != '/')
        return "the request target begins neither with a slash nor with http:// and a host "
               "(RFC 9112 3.2)";
    r->http_1_0 = version.length == 8 && memcmp(version.at, "HTTP/1.0", 8) == 0;
    if (!r->http_1_0 && !(version.length == 8 && memcmp(version.at, "HTTP/1.1", 8) == 0))
        return "the version is neither HTTP/1.1 nor HTTP/1.0 (RFC 9112 2.3)";
    r->keep_alive = !r->http_1_0;
    r->method = method.at;
    r->method_length = method.length;
    r->target = target.at;
    r->target_length = target.length;
    return NULL;
}

static bool lists(struct text rest, const char *word) {
    for (struct text option; cut(&rest, ',', &option);)
        if (same_word(trim(option), word))
            return true;
    return same_word(trim(rest), word);
}

/* The fields that decide where the message ends. */
static const char *note_field(struct text name, struct text value, struct request *r) {
    if (same_word(name, "Host"))
        r->hosts++;
    if (same_word(name, "Connection"))
        r->keep_alive &= !lists(value, "close");
    if (same_word(name, "Content-Length")) {
        r->lengths++;
        if (!parse_length(value, 10, &r->content_length))
            return "Content-Length is no number, or one beyond 64 MiB (RFC 9110 8.6)";
    }
    if (same_word(name, "Transfer-Encoding")) {
        r->lengths++;
        r->chunked = true;
        if (!same_word(value, "chunked"))
            return "Transfer-Encoding is something else than chunked (RFC 9112 6.1)";
    }
    if (same_word(name, "Expect")) {
        r->expects_continue = true;
        if (!same_word(value, "100-continue"))
            return "Expect asks for something else than 100-continue (RFC 9110 10.1.1)";
    }
    return NULL;
}

/* The field lines up to the blank line, of a head or of a trailer section. */
static const char *parse_fields(struct text *rest, struct request *r, bool is_head) {
    struct text line, name, value;
    const char *wrong, *begin = rest->at;
    *(is_head ? &r->fields : &r->trailers) = begin;
    while ((wrong = cut_line(rest, &line)) == NULL && line.length > 0) {
        wrong = check_field(line, &name, &value);
        if (wrong == NULL && is_head)
            wrong = note_field(name, value, r);
        if (wrong != NULL)
            return wrong;
        *(is_head ? &r->fields_length : &r->trailers_length) = (size_t)(rest->at - begin);
    }
    return wrong;
}

static const char *parse_head(struct text *rest, struct request *r) {
    struct text line;
    const char *wrong = cut_line(rest, &line);
    if (wrong == NULL)
        wrong = parse_request_line(line, r);
    if (wrong == NULL)
        wrong = parse_fields(rest, r, true);
    if (wrong == NULL && r->hosts != 1 && (r->hosts > 0 || !r->http_1_0))
        return "there is not exactly one Host field (RFC 9112 3.2)";
    if (wrong == NULL && r->lengths > 1)
        return "Content-Length and Transfer-Encoding come more than once, or together "
               "(RFC 9112 6.1 to 6.3)";
    return wrong;
}

/* ---- The body (RFC 9112 6 and 7.1) ---- */

static const char *parse_chunked(struct text *rest, struct request *r) {
    for (;;) {
        struct text line = {0}, digits;
        uint64_t size;
        const char *wrong = cut_line(rest, &line);
        digits = line;
        if (wrong == NULL)
            cut(&line, ';', &digits); /* what is in extensions does not matter */
        if (wrong == NULL && !parse_length(digits, 16, &size))
            return "a chunk size is no hexadecimal number, or one beyond 64 MiB (RFC 9112 7.1)";
        if (wrong == NULL && size == 0)
            return parse_fields(rest, r, false);
        if (wrong == NULL && rest->length < size + 2)
            wrong = incomplete;
        if (wrong != NULL)
            return wrong;
        if (memcmp(rest->at + size, "\r\n", 2) != 0)
            return "chunk data is not followed by CRLF (RFC 9112 7.1)";
        bytes_append(&r->body, rest->at, (size_t)size);
        *rest = behind(*rest, (size_t)size + 2);
    }
}

/* ---- The request ---- */

enum request_reading request_parse(const char *data, size_t length, struct request *r) {
    struct text rest = {data, length};
    *r = (struct request){0};
    const char *wrong = parse_head(&rest, r);
    if (wrong == incomplete && length > HEAD_MAX)
        wrong = "the head is larger than 1 MiB";
    if (wrong == NULL) {
        r->head_length = (size_t)(rest.at - data);
        if (r->chunked)
            wrong = parse_chunked(&rest, r);
        else if (rest.length < r->content_length)
            wrong = incomplete;
        else {
            bytes_append(&r->body, rest.at, (size_t)r->content_length);
            rest = behind(rest, (size_t)r->content_length);
        }
        r->length = (size_t)(rest.at - data);
    }
    if (wrong == incomplete && length > LENGTH_MAX + HEAD_MAX)
        wrong = "the request is larger than 65 MiB";
    if (wrong == NULL)
        return REQUEST_COMPLETE;
    bytes_free(&r->body);
    r->wrong = wrong == incomplete ? NULL : wrong;
    return wrong == incomplete ? REQUEST_INCOMPLETE : REQUEST_MALFORMED;
}

void request_free(struct request *r) {
    bytes_free(&r->body);
    *r = (struct request){0};
}

const char *request_field(const struct request *r, const char *name, size_t *length) {
    struct text rest = {r->fields, r->fields_length}, line, found;
    while (cut(&rest, '\n', &line)) {
        struct text value = {line.at, line.length - 1}; /* without its CR */
        if (!cut(&value, ':', &found) || !same_word(found, name))
            continue;
        value = trim(value);
        *length = value.length;
        return value.at;
    }
    return NULL;
}

bool request_field_is(const struct request *r, const char *name, const char *value) {
    size_t length;
    const char *found = request_field(r, name, &length);
    return found != NULL && length == strlen(value) && memcmp(found, value, length) == 0;
}

/* ---- Sockets, files and the clock ---- */

int listen_on_loopback(uint16_t *port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        int reason = errno;
        close(fd);
        errno = reason;
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

bool send_all(int fd, const void *data, size_t length) {
    for (const char *at = data; length > 0;) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return false;
        if (sent > 0) {
            at += sent;
            length -= (size_t)sent;
        }
    }
    return true;
}

uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool read_file(const char *path, struct bytes *to) {
    char block[4096];
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n;
    while ((n = read(fd, block, sizeof block)) > 0)
        bytes_append(to, block, (size_t)n);
    close(fd);
    bytes_append(to, "", 1);
    return n == 0;
}

const char *temporary_folder(void) {
    const char *folder = getenv("TMPDIR");
    return folder && *folder ? folder : "/tmp";
}

unsigned open_descriptors(pid_t pid) {
    char path[64], target[64];
    unsigned count = 0;
    for (int number = 0; number < 1024; number++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, number);
        count += readlink(path, target, sizeof target) > 0;
    }
    return count;
}

size_t memory_kib(pid_t pid, const char *file, const char *name) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    FILE *lines = fopen(path, "re");
    size_t sum = 0;
    while (lines && fgets(line, sizeof line, lines))
        if (strncmp(line, name, strlen(name)) == 0)
            sum += strtoul(strchr(line, ':') + 1, NULL, 10);
    if (lines)
        fclose(lines);
    return sum;
}

/* ---- JSON and base64 ---- */

/* The length of the well-formed UTF-8 sequence at `s` (Unicode, table 3-7), 0 when there is
 * none: overlong, surrogate, beyond U+10FFFF, cut off. */
static size_t utf8_length(const unsigned char *s, size_t left) {
    if (s[0] < 0x80)
        return 1;
    size_t n = s[0] >= 0xC2 && s[0] <= 0xDF ? 2 : s[0] >= 0xE0 && s[0] <= 0xEF ? 3 : 4;
    if (s[0] < 0xC2 || s[0] > 0xF4 || n > left)
        return 0;
    unsigned lowest = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
    unsigned highest = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;
    if (s[1] < lowest || s[1] > highest)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

void json_string(struct bytes *to, const char *data, size_t length) {
    bytes_text(to, "\"");
    for (size_t i = 0; i < length;) {
        size_t n = utf8_length((const unsigned char *)data + i, length - i);
        if (n == 0)
            bytes_text(to, "\xEF\xBF\xBD"); /* U+FFFD, the replacement character */
        else if (data[i] == '"' || data[i] == '\\')
            bytes_format(to, "\\%c", data[i]);
        else if ((unsigned char)data[i] < ' ')
            bytes_format(to, "\\u%04x", (unsigned)data[i]);
        else
            bytes_append(to, data + i, n);
        i += n == 0 ? 1 : n;
    }
    bytes_text(to, "\"");
}

static size_t digits_length(struct text t) {
    size_t n = 0;
    while (n < t.length && t.at[n] >= '0' && t.at[n] <= '9')
        n++;
    return n;
}

/* The length of what each of these is named after, at the front; 0 when it is wrong or cut off. */
static size_t json_number_length(struct text t) {
    size_t at = t.at[0] == '-', n = digits_length(behind(t, at));
    if (n == 0 || (n > 1 && t.at[at] == '0'))
        return 0;
    at += n;
    if (at < t.length && t.at[at] == '.') {
        n = digits_length(behind(t, at + 1));
        at += n + 1;
    }
    if (n > 0 && at < t.length && (t.at[at] | 0x20) == 'e') {
        at += at + 1 < t.length && (t.at[at + 1] == '+' || t.at[at + 1] == '-') ? 2 : 1;
        n = digits_length(behind(t, at));
        at += n;
    }
    return n == 0 ? 0 : at;
}

/* RFC 3629 3. */
static void append_utf8(struct bytes *to, uint64_t c) {
    static const unsigned lead[] = {0, 0xc0, 0xe0, 0xf0};
    unsigned more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    bytes_append(to, &(char){(char)(lead[more] | c >> 6 * more)}, 1);
    while (more-- > 0)
        bytes_append(to, &(char){(char)(0x80 | (c >> 6 * more & 63))}, 1);
}

static bool is_unicode_escape(struct text t, uint64_t *c) {
    return t.length >= 6 && t.at[0] == '\\' && t.at[1] == 'u' &&
           parse_length((struct text){t.at + 2, 4}, 16, c);
}

/* This and the next append what they mean, too. */
static size_t json_escape_length(struct text t, struct bytes *to) {
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *letter = t.length < 2 || t.at[1] == '\0' ? NULL : strchr(letters, t.at[1]);
    uint64_t c, low;
    if (letter != NULL) {
        bytes_append(to, &meant[letter - letters], 1);
        return 2;
    }
    if (!is_unicode_escape(t, &c))
        return 0;
    bool is_pair = c >> 10 == 0xd800 >> 10 && is_unicode_escape(behind(t, 6), &low) &&
                   low >> 10 == 0xdc00 >> 10;
    append_utf8(to, is_pair ? 0x10000 + ((c & 0x3ff) << 10) + (low & 0x3ff) : c);
    return is_pair ? 12 : 6;
}

static size_t json_string_length(struct text t, struct bytes *to) {
    for (size_t at = 1, n = 1; n > 0 && at < t.length; at += n) {
        struct text rest = behind(t, at);
        if (rest.at[0] == '"')
            return at + 1;
        if (rest.at[0] == '\\') {
            n = json_escape_length(rest, to);
            continue;
        }
        n = utf8_length((const unsigned char *)rest.at, rest.length);
        n = (unsigned char)rest.at[0] < ' ' ? 0 : n;
        bytes_append(to, rest.at, n);
    }
    return 0;
}

static size_t json_scalar_length(struct text t, struct bytes *to) {
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (t.length >= strlen(words[i]) && strncmp(t.at, words[i], strlen(words[i])) == 0)
            return strlen(words[i]);
    return t.at[0] == '"' ? json_string_length(t, to) : json_number_length(t);
}

static const char json_blanks[] = " \t\r\n";

/* The length of the value at the front, or what comes before what it must not have. Without
 * recursion, so that no depth is too much: `open` is what closes the arrays and objects around, and
 * `due` the bytes that may come next. */
static size_t json_length(struct text t, bool *right) {
    static const char end_or_value[] = "]{[\"-0123456789tfn", *const value = end_or_value + 1;
    struct bytes open = {0}, text = {0};
    const char *due = value;
    size_t at = 0;
    for (size_t n = 1; n > 0 && due[0] != '\0'; at += n) {
        while (at < t.length && t.at[at] != '\0' && strchr(json_blanks, t.at[at]) != NULL)
            at++;
        char c = at < t.length ? t.at[at] : '\0',
             around = open.length > 0 ? open.data[open.length - 1] : '\0';
        n = 1;
        text.length = 0;
        if (c == '\0' || strchr(due, c) == NULL)
            n = 0;
        else if (c == '{' || c == '[') {
            bytes_text(&open, c == '{' ? "}" : "]");
            due = c == '{' ? "}\"" : end_or_value;
        } else if (c == ',' || c == ':')
            due = c == ',' && around == '}' ? "\"" : value;
        else if (c == '"' && due != value && due != end_or_value) { /* a name */
            n = json_string_length(behind(t, at), &text);
            due = ":";
        } else { /* the end of a value */
            if (c == '}' || c == ']')
                open.length--;
            else
                n = json_scalar_length(behind(t, at), &text);
            around = open.length > 0 ? open.data[open.length - 1] : '\0';
            due = n == 0 ? value : around == '}' ? ",}" : around == ']' ? ",]" : "";
        }
    }
    bytes_free(&open);
    bytes_free(&text);
    *right = due[0] == '\0';
    return at;
}

bool json_is_valid(const char *data, size_t length, size_t *wrong) {
    bool right;
    *wrong = json_length((struct text){data, length}, &right);
    while (right && *wrong < length && data[*wrong] != '\0' &&
           strchr(json_blanks, data[*wrong]) != NULL)
        ++*wrong;
    return right && *wrong == length;
}

/* What is valid ends where it ends, and so nobody counts its bytes. */
bool json_text(const char *at, struct bytes *to) {
    size_t n = json_scalar_length((struct text){at, SIZE_MAX}, to);
    if (*at != '"' && *at != 'n')
        bytes_append(to, at, n);
    return n > 0;
}

const char *json_skip(const char *at) {
    bool right;
    return at + json_length((struct text){at, SIZE_MAX}, &right);
}

/* Behind what opens an object or array, or behind a comma. */
static const char *json_value(const char *at, struct bytes *name) {
    at += strspn(at, json_blanks);
    if (*at == ']' || *at == '}')
        return NULL;
    if (name == NULL)
        return at;
    name->length = 0;
    json_text(at, name);
    at = strchr(json_skip(at), ':') + 1;
    return at + strspn(at, json_blanks);
}

const char *json_first(const char *from, struct bytes *name) {
    from = from == NULL ? "" : from + strspn(from, json_blanks);
    return *from == (name == NULL ? '[' : '{') ? json_value(from + 1, name) : NULL;
}

const char *json_next(const char *value, struct bytes *name) {
    const char *at = json_skip(value);
    at += strspn(at, json_blanks);
    return *at == ',' ? json_value(at + 1, name) : NULL;
}

const char *json_member(const char *object, const char *name) {
    struct bytes one = {0};
    const char *at = json_first(object, &one);
    while (at != NULL && !(one.length == strlen(name) && memcmp(one.data, name, one.length) == 0))
        at = json_next(at, &one);
    bytes_free(&one);
    return at;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64(struct bytes *to, const void *data, size_t length) {
    const unsigned char *s = data;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        unsigned three = (unsigned)s[i] << 16 | (left > 1 ? (unsigned)s[i + 1] << 8 : 0) |
                         (left > 2 ? (unsigned)s[i + 2] : 0);
        char four[4] = {base64_digits[three >> 18], base64_digits[three >> 12 & 63],
                        left > 1 ? base64_digits[three >> 6 & 63] : '=',
                        left > 2 ? base64_digits[three & 63] : '='};
        bytes_append(to, four, 4);
    }
}

bool base64_decode(struct bytes *to, const char *text, size_t length) {
    unsigned bits = 0, held = 0;
    while (length > 0 && text[length - 1] == '=')
        length--;
    for (size_t i = 0; i < length; i++) {
        const char *digit = text[i] == '\0' ? NULL : strchr(base64_digits, text[i]);
        if (digit == NULL)
            return false;
        bits = (bits << 6 | (unsigned)(digit - base64_digits)) & 0xffff;
        held += 6;
        if (held >= 8)
            bytes_append(to, &(char){(char)(bits >> (held -= 8))}, 1);
    }
    return length % 4 != 1;
}
