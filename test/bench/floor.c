/* floor.c - NOT a runtime: the least that a program can do and still be taken for one, so that
 * the bench has something to divide by.
 *
 * No libc, no copy of a body, no checks: it believes that AWS_LAMBDA_RUNTIME_API is an IPv4
 * address in digits, that every call succeeds, that an event's head arrives in one piece, that
 * its body has a Content-Length or is one single chunk, and that there is room for it. It echoes.
 *
 * With -DRETURNS it is floor+return: each system call is in a function that returns, as in every other
 * program. After a wait in the kernel the processor no longer predicts where to, which costs about 1 µs each
 * time: this part of the distance from the floor is nobody's fault.
 *
 * Linux on x86-64 and aarch64, little-endian.
 *
 * SPDX-License-Identifier: MIT-0 */
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define NEXT "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: lambda\r\n\r\n"
#define POST "POST /2018-06-01/runtime/invocation/"
#define LENGTH "/response HTTP/1.1\r\nHost: lambda\r\nContent-Length: "
#define LITERAL(text) (text), sizeof(text) - 1

enum {
    EVENT_MAX = 6 * 1024 * 1024 + 8192, /* Lambda's 6 MB, and the head before it */
    ID_LENGTH = 36,                     /* a request id is a UUID in the bench */
    LAST_CHUNK = 7,                     /* \r\n0\r\n\r\n behind the data of the only chunk */
};

/* The event arrives here whole; the response's head then overwrites the end of the event's,
 * which is longer, so that head and body leave in one call and no byte of a body is copied. */
static char event[EVENT_MAX];

struct body {
    char *start;
    long length;
    long rest; /* of the message, behind the body */
};

#ifdef RETURNS
#define CALL __attribute__((noinline)) static
#else
#define CALL static
#endif

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall floor_main\n");

/* Up to four arguments; the fifth, which sendto and recvfrom take for an address, is NULL. */
CALL long call(long number, long a, long b, long c, long d) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = 0;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tb floor_main\n");

CALL long call(long number, long a, long b, long c, long d) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
#else
#error "floor.c knows the system calls of x86-64 and aarch64 only"
#endif

static void send_all(int fd, const char *data, long length) {
    call(SYS_sendto, fd, (long)data, length, 0);
}

/* The one check: without it the program would never end. */
static long receive(int fd, char *to, long length, int flags) {
    long received = call(SYS_recvfrom, fd, (long)to, length, flags);
    if (received <= 0)
        call(SYS_exit_group, 0, 0, 0, 0);
    return received;
}

static uint32_t four_bytes(const char *at) {
    uint32_t value;
    __builtin_memcpy(&value, at, sizeof value);
    return value;
}

static void copy(char *to, const char *from, size_t length) {
    for (size_t i = 0; i < length; i++) {
        to[i] = from[i];
        __asm__ volatile(""); /* or the compiler would call memcpy, which is in no libc here */
    }
}

static char *put_before(char *end, const char *text, size_t length) {
    copy(end - length, text, length);
    return end - length;
}

static long decimal(const char *digits) {
    long value = 0;
    while (*digits >= '0' && *digits <= '9')
        value = value * 10 + *digits++ - '0';
    return value;
}

static char *put_decimal_before(char *end, long value) {
    do
        *--end = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    return end;
}

/* The chunk-size line, up to its CR. */
static struct body only_chunk(char *line) {
    long length = 0;
    for (; *line != '\r'; line++)
        length = length * 16 + (*line <= '9' ? *line - '0' : (*line | 32) - 'a' + 10);
    return (struct body){line + 2, length, LAST_CHUNK};
}

/* Looks for the ends of two names, ...-Request-Id and Content-Length, and for the blank line. */
static struct body read_head(char *at, char *id) {
    const uint32_t id_end = four_bytes("t-Id"), length_end = four_bytes("gth:");
    const uint32_t blank_line = four_bytes("\r\n\r\n");
    long length = -1;
    for (; four_bytes(at) != blank_line; at++)
        if (four_bytes(at) == id_end)
            copy(id, at + 6, ID_LENGTH);
        else if (four_bytes(at) == length_end)
            length = decimal(at + 5);
    return length < 0 ? only_chunk(at + 4) : (struct body){at + 4, length, 0};
}

static void serve(int fd) {
    char id[ID_LENGTH];
    send_all(fd, LITERAL(NEXT));
    long received = receive(fd, event, sizeof event, 0);
    struct body body = read_head(event, id);
    long missing = body.start + body.length + body.rest - (event + received);
    if (missing > 0)
        receive(fd, event + received, missing, MSG_WAITALL);
    char *response = put_before(body.start, LITERAL("\r\n\r\n"));
    response = put_decimal_before(response, body.length);
    response = put_before(response, LITERAL(LENGTH));
    response = put_before(response, id, ID_LENGTH);
    response = put_before(response, LITERAL(POST));
    send_all(fd, response, body.start + body.length - response);
    receive(fd, event, sizeof event, 0); /* 202 */
}

static struct sockaddr_in parse_address(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    for (int i = 0; i < 4; i++) {
        address.sin_addr.s_addr |= (uint32_t)decimal(text) << 8 * i;
        while (*text != '.' && *text != ':')
            text++;
        text++;
    }
    address.sin_port = __builtin_bswap16((uint16_t)decimal(text));
    return address;
}

/* The stack as the kernel leaves it: argc, argv, NULL, environment, NULL; and somewhere behind them the
 * variables, one after the other. Only AWS_LAMBDA_RUNTIME_API has an API= so far from its front. */
__attribute__((noreturn, used)) void floor_main(const long *stack) {
    char **variable = (char **)(stack + 1 + *stack + 1);
    const uint32_t name_end = four_bytes("API=");
    while (four_bytes(*variable + 19) != name_end)
        variable++;
    struct sockaddr_in address = parse_address(*variable + 23);
    int fd = (int)call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0);
    call(SYS_connect, fd, (long)&address, sizeof address, 0);
    for (;;)
        serve(fd);
}
