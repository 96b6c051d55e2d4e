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
static int double_shutdown(int descriptor);
static int double_close(int descriptor);
static int double_poll(int ms);
static void *double_mmap(size_t length);
static pid_t double_fork(void);
static pid_t double_getppid(void);
static pid_t double_waitpid(int options);
static ssize_t double_log(const void *data, size_t length);
static long double_syscall(long number);
static _Noreturn void double_exit(int status);

#include "room.h"

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
#define shutdown(descriptor, how) double_shutdown(descriptor)
#define close(descriptor) double_close(descriptor)
#define poll(set, n, ms) double_poll(ms)
#define mmap(at, length, protection, flags, descriptor, offset) double_mmap(length)
#define _Fork double_fork
#define fork() double_fork()
#define getppid() double_getppid()
#define waitpid(pid, status, options) double_waitpid(options)
#define syscall(number, ...) double_syscall(number)
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
