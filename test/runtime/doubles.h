/* doubles.h - bootstrap.c with the edge of the system replaced: its system calls go to functions
 * named double_..., which the file that includes this one defines, and main is runtime_main.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
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

static int double_socket(void);
static int double_connect(int descriptor);
static int double_setsockopt(int descriptor, const void *value, size_t length);
static ssize_t double_writev(int descriptor, const struct iovec *pieces, int count);
static void double_signal(int number, void (*action)(int));
static ssize_t double_recv(int descriptor, void *to, size_t room, int flags);
static int double_shutdown(int descriptor);
static int double_close(int descriptor);
static int double_poll(int ms);
static int double_madvise(void *from, size_t length);
static void *double_mmap(size_t length);
static pid_t double_fork(void);
static pid_t double_getppid(void);
static pid_t double_waitpid(int options);
static int double_prctl(void);
static ssize_t double_log(const void *data, size_t length);
static long double_clock_gettime(void);
static _Noreturn void double_exit(int status);

#ifndef __has_feature /* which clang has */
#define __has_feature(name) 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer)
void __asan_poison_memory_region(const volatile void *, size_t);
void __asan_unpoison_memory_region(const volatile void *, size_t);
#else
#define __asan_poison_memory_region(at, length) (void)0
#define __asan_unpoison_memory_region(at, length) (void)0
#endif

/* What is free behind the last bytes received: to be written, and not to be read. */
static struct {
    char *data;
    size_t length;
} room_left;

static void free_room(char *data, size_t length) {
    if (room_left.length)
        __asan_unpoison_memory_region(room_left.data, room_left.length);
    room_left.data = data;
    room_left.length = length;
    if (length)
        __asan_poison_memory_region(data, length);
}

/* The runtime itself writes there. */
static void *written(void *to, size_t length) {
    if (room_left.length) {
        char *end = (char *)to + length, *limit = room_left.data + room_left.length;
        if (end > room_left.data && (char *)to < limit)
            free_room(end, end < limit ? (size_t)(limit - end) : 0);
    }
    return to;
}

/* No double of recv is asked for nothing: its 0 would be taken for the end of the connection. */
static ssize_t recv_into_some(int descriptor, char *to, size_t room, int flags) {
    if (room == 0) {
        fprintf(stderr, "recv is called with a length of 0\n");
        abort();
    }
    if (flags & MSG_PEEK)
        return double_recv(descriptor, to, room, flags);
    free_room(NULL, 0);
    ssize_t n = double_recv(descriptor, to, room, flags);
    free_room(to + (n > 0 ? n : 0), room - (n > 0 ? (size_t)n : 0));
    return n;
}

/* What goes to standard error is the log, and one piece. */
static ssize_t writev_or_log(int descriptor, const struct iovec *pieces, int count) {
    return descriptor == STDERR_FILENO ? double_log(pieces->iov_base, pieces->iov_len)
                                       : double_writev(descriptor, pieces, count);
}

#define socket(domain, type, protocol) double_socket()
#define connect(descriptor, address, length) double_connect(descriptor)
#define setsockopt(descriptor, level, option, ...) double_setsockopt(descriptor, __VA_ARGS__)
#define writev(descriptor, pieces, count) writev_or_log(descriptor, pieces, count)
#define signal(number, action) double_signal(number, action)
#define recv(descriptor, to, room, flags) recv_into_some(descriptor, to, room, flags)
#define memcpy(to, from, length) memcpy(written(to, length), from, length)
#define shutdown(descriptor, how) double_shutdown(descriptor)
#define close(descriptor) double_close(descriptor)
#define poll(set, n, ms) double_poll(ms)
#define madvise(from, length, advice) double_madvise(from, length)
#define mmap(at, length, protection, flags, descriptor, offset) double_mmap(length)
#define _Fork double_fork
#define fork() double_fork()
#define getppid() double_getppid()
#define waitpid(pid, status, options) double_waitpid(options)
#define syscall(number, ...) ((number) == SYS_prctl ? double_prctl() : double_clock_gettime())
#define exit(status) double_exit(status)
#define main runtime_main
#include "../../bootstrap.c"
#undef socket
#undef connect
#undef setsockopt
#undef writev
#undef signal
#undef recv
#undef memcpy
#undef shutdown
#undef close
#undef poll
#undef madvise
#undef mmap
#undef _Fork
#undef fork
#undef getppid
#undef waitpid
#undef syscall
#undef exit
#undef main
