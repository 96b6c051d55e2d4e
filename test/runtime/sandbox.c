/* sandbox.c - what little the executable needs of a system.
 *
 *   sandbox END_TO_END BOOTSTRAP    every case of end_to_end.c that needs no probe, each by
 *   sandbox BOOTSTRAP               which takes the executable's place
 *
 * The file is static; no segment can be both written and executed, nor can the stack be executed.
 * The process has 1,024 descriptors, 128 MiB of address space and the system calls of the table,
 * those of workers only where the case has several. A seccomp filter kills it at any other: none of
 * them opens, makes or changes a file. Calls younger than Linux 4.14 answer ENOSYS, as they would
 * there.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE
#include "../lambda/wire.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- The file ---- */

static const char *wrong_in(const struct bytes *file) {
    Elf64_Ehdr head;
    bool stack = false;
    if (file->length < sizeof head || memcmp(file->data, ELFMAG, SELFMAG) != 0)
        return "it is no ELF executable";
    memcpy(&head, file->data, sizeof head);
    for (size_t i = 0; i < head.e_phnum; i++) {
        Elf64_Phdr part;
        memcpy(&part, file->data + head.e_phoff + i * sizeof part, sizeof part);
        stack |= part.p_type == PT_GNU_STACK;
        if (part.p_type == PT_INTERP)
            return "it is not static: it asks for an interpreter";
        if ((part.p_flags & PF_W) && (part.p_flags & PF_X))
            return "a segment or the stack is both writable and executable";
    }
    return stack ? NULL : "its stack is executable, since it does not say that it is not";
}

/* ---- The process ---- */

/* What all need, what workers do, what glibc does; each ends with -1. */
static const int needed[][24] = {
    {SYS_execve, SYS_set_tid_address, SYS_socket, SYS_connect, SYS_writev, SYS_rt_sigaction,
     SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_recvfrom, SYS_close, SYS_shutdown, SYS_madvise,
     SYS_clock_gettime, SYS_exit_group, SYS_getpid,
#ifdef __x86_64__
     SYS_arch_prctl, SYS_poll,
#else
     SYS_ppoll,
#endif
     -1},
    {SYS_mmap, SYS_getppid, SYS_wait4, SYS_prctl, SYS_gettid,
#ifdef __x86_64__
     SYS_fork,
#else
     SYS_clone,                                                      /* there is no fork */
#endif
     -1},
    {SYS_brk, SYS_mprotect, SYS_set_robust_list, SYS_prlimit64, SYS_readlinkat, SYS_getrandom,
     SYS_clone, SYS_uname /* before 2.36 */,
#ifdef __x86_64__
     SYS_readlink,
#endif
     -1}};

/* What linux/seccomp.h and linux/filter.h say, which not every system has installed. */
struct instruction {
    uint16_t code;
    uint8_t if_true, if_false; /* how many instructions to skip */
    uint32_t operand;
};
enum { LOAD = 0x20, IF_EQUAL = 0x15, IF_GREATER = 0x25, RETURN = 0x06 };
enum { AT_NUMBER = 0, AT_ARCHITECTURE = 4 };
static const uint32_t kill_it = 0x80000000, let_it = 0x7fff0000, no_such_call = 0x50000 | ENOSYS;

#ifdef __x86_64__
static const uint32_t architecture = 0xc000003e, last_of_4_14 = 332; /* statx */
#else
static const uint32_t architecture = 0xc00000b7, last_of_4_14 = 291; /* statx */
#endif

/* From here on only the calls of the table. */
static bool filter(bool workers, bool glibc) {
    const bool wanted[] = {true, workers, glibc};
    struct instruction code[2 * sizeof needed / sizeof(int) + 8];
    unsigned short n = 0;
    code[n++] = (struct instruction){LOAD, 0, 0, AT_ARCHITECTURE};
    code[n++] = (struct instruction){IF_EQUAL, 1, 0, architecture};
    code[n++] = (struct instruction){RETURN, 0, 0, kill_it};
    code[n++] = (struct instruction){LOAD, 0, 0, AT_NUMBER};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        for (const int *call = needed[i]; wanted[i] && *call >= 0; call++) {
            code[n++] = (struct instruction){IF_EQUAL, 0, 1, (uint32_t)*call};
            code[n++] = (struct instruction){RETURN, 0, 0, let_it};
        }
    code[n++] = (struct instruction){IF_GREATER, 0, 1, last_of_4_14};
    code[n++] = (struct instruction){RETURN, 0, 0, no_such_call};
    code[n++] = (struct instruction){RETURN, 0, 0, kill_it};
    struct {
        unsigned short length;
        struct instruction *code;
    } program = {n, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, 2 /* SECCOMP_MODE_FILTER */, &program) == 0;
}

/* Where end_to_end starts the executable. What goes wrong before that goes into its log. */
static int enter(char *executable) {
    struct rlimit descriptors = {1024, 1024}, space = {128 << 20, 128 << 20};
    struct bytes file = {0};
    const char *wrong = read_file(executable, &file) ? wrong_in(&file) : "it cannot be read";
    if (wrong) {
        fprintf(stderr, "sandbox: %s: %s\n", executable, wrong);
        return 2;
    }
    bool glibc = memmem(file.data, file.length, "GLIBC_", 6) != NULL;
    if (setrlimit(RLIMIT_NOFILE, &descriptors) == 0 && setrlimit(RLIMIT_AS, &space) == 0 &&
        filter(getenv("AWS_LAMBDA_MAX_CONCURRENCY") != NULL, glibc))
        execv(executable, (char *[]){"bootstrap", NULL});
    perror("sandbox");
    return 2;
}

int main(int count, char **arguments) {
    if (count == 2)
        return enter(arguments[1]);
    if (count != 3) {
        fprintf(stderr, "sandbox: expected the paths of end_to_end and bootstrap\n");
        return 2;
    }
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) { /* under qemu, for one */
        printf("SKIP the sandbox: there is no seccomp here\n0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    setenv("RUN_WITH", arguments[0], 1);
    execl(arguments[1], arguments[1], arguments[2], "-", NULL);
    perror(arguments[1]);
    return 2;
}
