/* wire.h - the server's side of HTTP/1.1, shared by every program in this folder that
 * plays Lambda: the scripted server, the local Lambda, the bench.
 *
 * SPDX-License-Identifier: MIT-0 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes on the heap that grow as they are appended. All zero is empty. Out of memory ends
 * the program: these are test tools. */
struct bytes {
    char *data;
    size_t length, capacity;
};

void bytes_append(struct bytes *to, const void *data, size_t length);
void bytes_text(struct bytes *to, const char *text); /* up to its NUL */
void bytes_format(struct bytes *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bytes_drop_front(struct bytes *from, size_t length);
void bytes_free(struct bytes *); /* and all zero again */

/* One request. What has no memory of its own points into the input it was parsed from. The target
 * begins with a slash: of an absolute one (RFC 9112 3.2.2) it is what stands behind the host. */
struct request {
    const char *method, *target, *fields; /* fields: from the first field line to the blank line */
    const char *trailers;                 /* as fields, of the trailer section */
    size_t method_length, target_length, fields_length, trailers_length;
    size_t head_length; /* up to and with the blank line */
    bool http_1_0, chunked, keep_alive, expects_continue;
    unsigned hosts, lengths; /* fields that tell the host, or the body's length */
    uint64_t content_length; /* 0 without that field */
    struct bytes body;       /* decoded; owned by the request: request_free */
    size_t length;           /* of the whole message, framing included */
    const char *wrong;       /* what RFC 9112 forbids in it, when malformed */
};

enum request_reading { REQUEST_INCOMPLETE, REQUEST_COMPLETE, REQUEST_MALFORMED };

/* Looks at the bytes received so far. Cheap to call after each recv: an incomplete body of
 * known length costs nothing. Once the head is whole, its members are set even while the body is
 * still incomplete (head_length is then not 0). */
enum request_reading request_parse(const char *data, size_t length, struct request *);
void request_free(struct request *);

/* The value of a field, without surrounding blanks, any case of the name; NULL when absent. */
const char *request_field(const struct request *, const char *name, size_t *length);
bool request_field_is(const struct request *, const char *name, const char *value);

/* A listening socket on 127.0.0.1; port 0 in, the port that was given out. -1 and errno. */
int listen_on_loopback(uint16_t *port);
bool send_all(int fd, const void *data,
              size_t length);                       /* blocking, but for SO_SNDTIMEO; no SIGPIPE */
uint64_t now_us(void);                              /* CLOCK_MONOTONIC */
bool read_file(const char *path, struct bytes *to); /* - is stdin; with a NUL behind */
const char *temporary_folder(void);                 /* $TMPDIR, or /tmp */
unsigned open_descriptors(pid_t); /* of another process, of the numbers below 1,024 */
/* From a file of /proc/PID: the sum of all lines that begin with the name. */
size_t memory_kib(pid_t, const char *file, const char *name);

void json_string(struct bytes *to, const char *data, size_t length); /* with quotes */
/* Is it one value of RFC 8259? If not, `wrong` is where what it must not have begins. */
bool json_is_valid(const char *data, size_t length, size_t *wrong);
/* These take valid JSON with a NUL behind it. Appends the text of a string, or a number, true or
 * false as it stands there; nothing of null; false: it is none of these. */
bool json_text(const char *value, struct bytes *to);
const char *json_skip(const char *value); /* what is behind it */
/* The values of an object, and their names; or of an array, with NULL for the name. NULL: there is
 * none, or `from` is NULL or something else. */
const char *json_first(const char *from, struct bytes *name);
const char *json_next(const char *value, struct bytes *name);
const char *json_member(const char *object, const char *name);
void base64(struct bytes *to, const void *data, size_t length);
bool base64_decode(struct bytes *to, const char *text, size_t length); /* false: it is none */

#endif
