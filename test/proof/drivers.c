/* drivers.c - the main for each proof of proof.sh: that no bytes, of a text up to a length or behind
 * the beginning of a reply, make bootstrap.c do what C does not define. Frama-C's Eva shows it.
 *
 * SPDX-License-Identifier: MIT-0 */
#include <__fc_builtin.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "row.h" /* which main it is: proof.sh writes this */

static ssize_t model_recv(char *to, size_t room, int flags);
static ssize_t model_writev(int descriptor, const struct iovec *pieces, int count);
static _Noreturn void model_exit(void);

typedef long double max_align_t;
#define MADV_DONTNEED 4 /* what Frama-C's headers lack */
#define PR_SET_PDEATHSIG 1
#define SYS_prctl 157
#define SYS_clock_gettime 228
#define recv(descriptor, to, room, flags) model_recv(to, room, flags)
#define writev(descriptor, pieces, count) model_writev(descriptor, pieces, count)
#define memchr model_memchr
#define memcmp model_memcmp
#define memcpy model_memcpy
#define memmove model_memmove
#define strlen model_strlen
#define __builtin_add_overflow(a, b, to) model_add(a, b, to)
#define __builtin_mul_overflow(a, b, to) model_mul(a, b, to)
#define syscall(number, ...) 0
#define connect(descriptor, address, length) 0
#define socket(domain, type, protocol) 3
#define setsockopt(descriptor, level, option, value, length) 0
#define shutdown(descriptor, how) 0
#define close(descriptor) 0
#define poll(set, count, ms) 0
#define madvise(at, length, advice) 0
#define exit(status) model_exit()
#define main runtime_main
#define _Alignas(bytes) __attribute__((aligned(bytes)))

/* In C, so that Eva follows each byte. */
static void *model_memchr(const VOLATILE void *in, int c, size_t length) {
    const VOLATILE char *at = in;
    for (size_t i = 0; i < length; i++)
        if (at[i] == (char)c)
            return (void *)(at + i);
    return NULL;
}

static int model_memcmp(const VOLATILE void *a, const VOLATILE void *b, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (((const VOLATILE char *)a)[i] != ((const VOLATILE char *)b)[i])
            return 1;
    return 0;
}

/* What is put together counts by its length; whatever its bytes may be is less to follow. */
static void *model_memcpy(void *to, const VOLATILE void *from, size_t length) {
    //@ assert length == 0 || \valid_read((char *)from + (0 .. length - 1));
    if (length)
        Frama_C_make_unknown(to, length);
    return to;
}

static void *model_memmove(void *to, const VOLATILE void *from, size_t length) {
    if ((char *)to > (const VOLATILE char *)from)
        for (size_t i = length; i-- > 0;)
            ((char *)to)[i] = ((const VOLATILE char *)from)[i];
    else
        for (size_t i = 0; i < length; i++)
            ((char *)to)[i] = ((const VOLATILE char *)from)[i];
    return to;
}

static size_t model_strlen(const char *string) {
    size_t n = 0;
    while (string[n])
        n++;
    return n;
}

static int model_add(uint64_t a, uint64_t b, uint64_t *to) {
    *to = a + b;
    return a > UINT64_MAX - b;
}

static int model_mul(uint64_t a, uint64_t b, uint64_t *to) {
    *to = a * b;
    return a > UINT64_MAX / b;
}

#define HANDLER echo
#include "subject.c" /* what proof.sh makes of bootstrap.c */
static struct outcome echo(const struct invocation *invocation) {
    return success(invocation->event);
}
#undef main

static _Noreturn void model_exit(void) {
    for (;;)
        ;
}

/* ---- A reply, behind a prefix that is fixed, in pieces of any size; or a whole event ---- */

static struct api_reply reply;
static struct runtime runtime;
static const char *coming;
static size_t fixed, more, requests;

/* As long as there are bytes, some of them; those that are not fixed are unknown. */
static ssize_t model_recv(char *to, size_t room, int flags) {
    size_t n = 0;
    if (flags)
        return -1;
    //@ assert room > 0;
    if (fixed) {
        n = fixed;
        for (size_t i = 0; i < n; i++)
            to[i] = coming[i];
        fixed = 0;
    } else if (more) {
        n = (size_t)Frama_C_interval(1, (int)more);
        //@ split n;
        Frama_C_make_unknown(to, n);
        more -= n;
    }
    return (ssize_t)n;
}

/* To an answer Lambda says that it has it. */
static ssize_t model_writev(int descriptor, const struct iovec *pieces, int count) {
    size_t all = 0;
    if (descriptor != STDERR_FILENO && ++requests == 2) {
        coming = "HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";
        fixed = model_strlen(coming);
    }
    for (int i = 0; i < count; i++)
        all += pieces[i].iov_len;
    return (ssize_t)all;
}

#define NOTHING ""
#define VERSION "HTTP/1.1 "
#define OK VERSION "200 OK\r\n"
#define LENGTH_FIELD OK "Content-Length:"
#define UNTIL_CLOSE OK "\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
#define CHUNK CHUNKED "1\r\nx\r\n"
#ifdef CALL /* of a parser */
static void at(struct text text) {
    char storage[6 * MOST + 2];
    struct buffer to = {storage, 0, sizeof storage, false};
    struct invocation invocation = {.request_id = {"r1", 2}};
    uint64_t number;
    CALL;
}

int main(void) {
    char unknown[MOST];
    for (size_t length = 0; length <= MOST; length++) {
        Frama_C_make_unknown(unknown, MOST);
        at((struct text){unknown + MOST - length, length});
    }
}
#elif defined PREFIX
int main(void) {
    char memory[MEMORY_MAX]; /* what has not been received is not initialized */
    struct api_connection c = {0};
    use_memory(&c, memory, sizeof memory);
    c.socket = 3;
    coming = PREFIX;
    fixed = sizeof PREFIX - 1;
    more = 6;
    read_reply(&c, &reply);
}
#else /* one whole event of six unknown bytes, then the reply to its answer */
int main(void) {
    char memory[MEMORY_MAX];
    static struct worker worker;
    static char event[] = OK "Lambda-Runtime-Aws-Request-Id: r1\r\nContent-Length: 6\r\n\r\n......";
    runtime.worker = &worker;
    runtime.workers = 1;
    runtime.host = S("127.0.0.1:9001");
    use_memory(&runtime.connection, memory, sizeof memory);
    coming = event;
    fixed = sizeof event - 1 - 6;
    more = 6;
    process_event(&runtime);
    //@ assert worker.answered == 1;
}
#endif
