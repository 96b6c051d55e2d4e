/* sandbox.c - the executable itself, and what little it needs of a system.
 *
 *   sandbox END_TO_END BOOTSTRAP [minimal]
 *
 * The file: static, no segment that can be written and executed, no executable stack. The process:
 * every case of end_to_end.c that needs no probe, alone and as workers, as an unprivileged user, in
 * a read-only root without /proc, /dev and /etc, with 1,024 descriptors and 128 MiB of address
 * space, under a seccomp filter that allows the system calls of the table and kills at any other;
 * those of workers only where the case has several.
 * Calls that are younger than Linux 4.14 answer ENOSYS, as they would there. With "minimal", and
 * musl, the table is also shown to be minimal: without any one of its calls the case that it names
 * fails.
 *
 * Needs root, for chroot and for the mount; says so and skips what it may not do.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE
#include "../lambda/wire.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned passed, failed, skipped;

static bool check(bool fine, const char *what) {
    fine ? passed++ : failed++;
    if (!fine)
        printf("FAIL %s\n", what);
    return fine;
}

static void skip(const char *what) {
    skipped++;
    printf("SKIP %s\n", what);
}

/* ---- The file ---- */

struct image {
    const char *data;
    size_t length;
};

static struct image load(const char *path) {
    struct image image = {0};
    struct stat about;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &about) != 0) {
        perror("sandbox: cannot read the executable");
        exit(2);
    }
    image.length = (size_t)about.st_size;
    void *data = mmap(NULL, image.length, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (data == MAP_FAILED || image.length < sizeof(Elf64_Ehdr)) {
        fprintf(stderr, "sandbox: %s: expected a 64-bit ELF executable\n", path);
        exit(2);
    }
    image.data = data;
    return image;
}

static void check_file(struct image image) {
    Elf64_Ehdr head;
    bool interpreter = false, mixed = false, stack = false, executable_stack = true;
    memcpy(&head, image.data, sizeof head);
    check(memcmp(head.e_ident, ELFMAG, SELFMAG) == 0 && head.e_ident[EI_CLASS] == ELFCLASS64,
          "the file is a 64-bit ELF executable");
    for (size_t i = 0; i < head.e_phnum; i++) {
        Elf64_Phdr part;
        memcpy(&part, image.data + head.e_phoff + i * sizeof part, sizeof part);
        interpreter |= part.p_type == PT_INTERP;
        mixed |= part.p_type == PT_LOAD && (part.p_flags & PF_W) && (part.p_flags & PF_X);
        stack |= part.p_type == PT_GNU_STACK;
        if (part.p_type == PT_GNU_STACK)
            executable_stack = part.p_flags & PF_X;
    }
    check(!interpreter, "the file is static: it asks for no interpreter");
    check(!mixed, "no segment is both writable and executable");
    check(stack && !executable_stack, "the stack is not executable");
}

/* ---- The filter ---- */

static const char OF_GLIBC[] = "only with that library";
static const char OF_WORKERS[] = "for ever"; /* the case; allowed where there are several only */

static const struct call {
    const char *name;
    unsigned number;
    const char *needed_by; /* a part of the name of a case, if that is known so well */
} calls[] = {
#define CALL(name, needed_by) \
    { #name, SYS_##name, needed_by }
    CALL(execve, NULL),
    CALL(set_tid_address, NULL),
    CALL(socket, "an empty event"),
    CALL(connect, "an empty event"),
    CALL(writev, "an empty event"),
    CALL(rt_sigaction, "an empty event"),
    CALL(rt_sigprocmask, "an empty event"),
    CALL(rt_sigreturn, "nobody reads"),
    CALL(recvfrom, "an empty event"),
    CALL(close, "reset between two"),
    CALL(shutdown, "echo is still being sent"),
    CALL(madvise, "memory after 20 MiB"),
    CALL(clock_gettime, "own messages in JSON"),
    CALL(exit_group, "address not set"),
    CALL(mmap, OF_WORKERS),
    CALL(getpid, "an empty event"),
    CALL(getppid, OF_WORKERS),
    CALL(wait4, OF_WORKERS),
    CALL(prctl, OF_WORKERS),
    CALL(gettid, OF_WORKERS),
#ifdef __x86_64__
    CALL(arch_prctl, NULL),
    CALL(poll, "for ever"),
    CALL(fork, OF_WORKERS),
    CALL(readlink, OF_GLIBC),
    CALL(clone, OF_GLIBC), /* for fork */
#else
    CALL(clone, OF_WORKERS), /* there is no fork */
    CALL(ppoll, "for ever"),
#endif
    CALL(brk, OF_GLIBC),
    CALL(mprotect, OF_GLIBC),
    CALL(set_robust_list, OF_GLIBC),
    CALL(prlimit64, OF_GLIBC),
    CALL(readlinkat, OF_GLIBC),
    CALL(getrandom, OF_GLIBC),
    CALL(uname, OF_GLIBC), /* before 2.36 */
};
enum { CALLS = sizeof calls / sizeof *calls, NO_CALL = -1 };

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

static bool glibc;

static bool is_allowed(const char *needed_by) {
    if (needed_by == OF_WORKERS)
        return getenv("AWS_LAMBDA_MAX_CONCURRENCY") != NULL;
    return glibc || needed_by != OF_GLIBC;
}

/* From here on only the calls of the table, without the one of the index `without`. */
static bool filter(int without) {
    struct instruction code[2 * CALLS + 8];
    unsigned short n = 0;
    code[n++] = (struct instruction){LOAD, 0, 0, AT_ARCHITECTURE};
    code[n++] = (struct instruction){IF_EQUAL, 1, 0, architecture};
    code[n++] = (struct instruction){RETURN, 0, 0, kill_it};
    code[n++] = (struct instruction){LOAD, 0, 0, AT_NUMBER};
    for (int i = 0; i < CALLS; i++)
        if (i != without && is_allowed(calls[i].needed_by)) {
            code[n++] = (struct instruction){IF_EQUAL, 0, 1, calls[i].number};
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

/* ---- The root: a directory that holds the executable and nothing else ---- */

static char root[PATH_MAX], executable[sizeof root + sizeof "/bootstrap"];
static bool is_mounted; /* else it is only its mode that forbids writing */

static bool make_root(struct image image) {
    snprintf(root, sizeof root, "%s/sandbox-XXXXXX", temporary_folder());
    if (!mkdtemp(root))
        return false;
    snprintf(executable, sizeof executable, "%s/bootstrap", root);
    int file = open(executable, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0555);
    bool written = file >= 0 && write(file, image.data, image.length) == (ssize_t)image.length;
    return file >= 0 && close(file) == 0 && written && chmod(root, 0555) == 0;
}

/* In a mount namespace of our own, which takes the mount along when its last process ends. */
static bool mount_read_only(void) {
    unsigned long restricted = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount(root, root, NULL, MS_BIND, NULL) == 0 &&
           mount(NULL, root, NULL, restricted, NULL) == 0;
}

static void remove_root(void) {
    umount2(root, MNT_DETACH); /* fails when it was not mounted */
    chmod(root, 0700);         /* or only root could empty it */
    unlink(executable);
    rmdir(root);
}

/* ---- The process ---- */

enum { NOBODY = 65534, DESCRIPTORS = 1024, ADDRESS_SPACE = 128 << 20, CANNOT = 99 };

/* Asked as root, whom no mode hinders. */
static bool is_read_only(const char *file) {
    return open(file, O_WRONLY | O_CLOEXEC) < 0 && errno == EROFS;
}

/* What end_to_end starts instead of the executable: enter ROOT LIBRARY CALL EXECUTABLE. */
static int enter(char **arguments) {
    struct rlimit descriptors = {DESCRIPTORS, DESCRIPTORS}, space = {ADDRESS_SPACE, ADDRESS_SPACE};
    glibc = strcmp(arguments[1], "glibc") == 0;
    if (chroot(arguments[0]) == 0 && chdir("/") == 0 && setgroups(0, NULL) == 0 &&
        setgid(NOBODY) == 0 && setuid(NOBODY) == 0 && setrlimit(RLIMIT_NOFILE, &descriptors) == 0 &&
        setrlimit(RLIMIT_AS, &space) == 0 && filter(atoi(arguments[2])))
        execv("/bootstrap", (char *[]){"bootstrap", NULL});
    return CANNOT;
}

/* Runs all cases of end_to_end that need no probe, or those with this in their name. */
static int run(char **arguments, int without, const char *part) {
    char run_with[PATH_MAX + 64];
    int status = 0;
    snprintf(run_with, sizeof run_with, "/proc/%d/exe enter %s %s %d", (int)getpid(), root,
             glibc ? "glibc" : "musl", without);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        setenv("RUN_WITH", run_with, 1);
        if (part && freopen("/dev/null", "w", stdout))
            execl(arguments[1], arguments[1], arguments[2], "-", part, NULL);
        execl(arguments[1], arguments[1], arguments[2], "-", NULL);
        _exit(CANNOT);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : CANNOT;
}

static void check_each_call_is_needed(char **arguments) {
    for (int i = 0; i < CALLS; i++) {
        char what[64];
        if (!calls[i].needed_by || calls[i].needed_by == OF_GLIBC)
            continue;
        snprintf(what, sizeof what, "%s is needed", calls[i].name);
        check(run(arguments, NO_CALL, calls[i].needed_by) == 0, calls[i].needed_by);
        check(run(arguments, i, calls[i].needed_by) == 1 << 8, what);
    }
}

static bool is_permitted(void) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(chroot(root) == 0 && setuid(NOBODY) == 0 && filter(NO_CALL) ? 0 : 1);
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static void check_process(char **arguments, bool minimal) {
    is_mounted = mount_read_only();
    if (is_mounted)
        check(is_read_only(executable), "the root is read-only, for root too");
    else
        skip("a read-only mount: unshare and mount are not permitted; its mode stands in for it");
    check(run(arguments, NO_CALL, NULL) == 0, "the cases of end_to_end in the sandbox");
    if (minimal && glibc)
        skip("the table is minimal: only musl's calls are known so well");
    else if (minimal)
        check_each_call_is_needed(arguments);
}

int main(int count, char **arguments) {
    bool minimal = count == 4 && strcmp(arguments[3], "minimal") == 0;
    if (count == 6 && strcmp(arguments[1], "enter") == 0)
        return enter(arguments + 2);
    if (count != 3 && !minimal) {
        fprintf(stderr, "sandbox: expected the paths of end_to_end and bootstrap, and perhaps: "
                        "minimal\n");
        return 2;
    }
    struct image image = load(arguments[2]);
    glibc = memmem(image.data, image.length, "GLIBC_", 6) != NULL;
    check_file(image);
    if (!check(make_root(image), "a folder that holds the executable"))
        perror(root);
    else if (is_permitted())
        check_process(arguments, minimal);
    else
        skip("a life in the sandbox: chroot and seccomp need root");
    remove_root();
    printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    return failed ? 1 : 0;
}
