/* sandbox.c - the executable itself, and what little it needs of a system.
 *
 *   sandbox BOOTSTRAP [minimal]
 *
 * The file: static, no segment that can be written and executed, no executable stack. The process:
 * runs a whole life, alone and as two workers, as an unprivileged user, in a read-only root without
 * /proc, /dev and /etc, with 1,024 descriptors and 128 MiB of address space, under a seccomp filter
 * that allows the system calls of the table and kills at any other. Calls that are younger than
 * Linux 4.14 answer ENOSYS, as they would there. With "minimal", and musl, the table is also shown
 * to be minimal: without any one of its calls that life ends early.
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
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
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

enum purpose { LIFE, WORKERS, MUSL, GLIBC };

static const struct call {
    const char *name;
    unsigned number;
    enum purpose purpose;
} calls[] = {
#define CALL(name, purpose) \
    { #name, SYS_##name, purpose }
    CALL(execve, MUSL),
    CALL(set_tid_address, MUSL),
    CALL(socket, LIFE),
    CALL(connect, LIFE),
    CALL(writev, LIFE),
    CALL(rt_sigaction, LIFE),
    CALL(rt_sigprocmask, LIFE), /* of musl's sigaction */
    CALL(rt_sigreturn, LIFE),   /* from SIGPIPE */
    CALL(recvfrom, LIFE),
    CALL(close, LIFE),
    CALL(shutdown, LIFE),
    CALL(madvise, LIFE),
    CALL(clock_gettime, LIFE), /* of a JSON log */
    CALL(exit_group, LIFE),
    CALL(mmap, WORKERS),
    CALL(getpid, LIFE), /* process 1 has signals of its own */
    CALL(getppid, WORKERS),
    CALL(wait4, WORKERS),
    CALL(prctl, WORKERS),
    CALL(gettid, WORKERS), /* of _Fork */
#ifdef __x86_64__
    CALL(arch_prctl, MUSL),
    CALL(poll, LIFE),
    CALL(fork, WORKERS),
    CALL(readlink, GLIBC),
#else
    CALL(ppoll, LIFE),
#endif
    CALL(clone, GLIBC), /* where there is no fork, in either library */
    CALL(brk, GLIBC),
    CALL(mprotect, GLIBC),
    CALL(set_robust_list, GLIBC),
    CALL(prlimit64, GLIBC),
    CALL(readlinkat, GLIBC),
    CALL(getrandom, GLIBC),
    CALL(uname, GLIBC), /* before 2.36 */
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

/* May it be called? GLIBC's only with that library, those of workers only by them. */
static bool is_allowed(const struct call *call, bool workers, bool glibc) {
    return call->purpose == LIFE || call->purpose == MUSL ||
           (call->purpose == WORKERS && workers) ||
           (call->purpose == GLIBC && (glibc || (workers && call->number == SYS_clone)));
}

/* From here on only the calls of the table, without the one of the index `without`. */
static bool filter(bool workers, bool glibc, int without) {
    struct instruction code[2 * CALLS + 8];
    unsigned short n = 0;
    code[n++] = (struct instruction){LOAD, 0, 0, AT_ARCHITECTURE};
    code[n++] = (struct instruction){IF_EQUAL, 1, 0, architecture};
    code[n++] = (struct instruction){RETURN, 0, 0, kill_it};
    code[n++] = (struct instruction){LOAD, 0, 0, AT_NUMBER};
    for (int i = 0; i < CALLS; i++)
        if (i != without && is_allowed(&calls[i], workers, glibc)) {
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

static bool glibc;

/* Asked as root, whom no mode hinders. */
static bool is_read_only(const char *file) {
    return open(file, O_WRONLY | O_CLOEXEC) < 0 && errno == EROFS;
}

static _Noreturn void enter(uint16_t port, bool workers, int without) {
    char address[64], *environment[] = {address, "AWS_LAMBDA_LOG_FORMAT=JSON",
                                        workers ? "AWS_LAMBDA_MAX_CONCURRENCY=2" : NULL, NULL};
    struct rlimit descriptors = {DESCRIPTORS, DESCRIPTORS}, space = {ADDRESS_SPACE, ADDRESS_SPACE};
    int log = open("/dev/null", O_WRONLY | O_CLOEXEC);
    snprintf(address, sizeof address, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:%u", port);
    dup2(log, STDERR_FILENO);
    dup2(log, STDOUT_FILENO);
    close(STDIN_FILENO);
    if (chroot(root) == 0 && chdir("/") == 0 && (!is_mounted || is_read_only("/bootstrap")) &&
        setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0 &&
        setrlimit(RLIMIT_NOFILE, &descriptors) == 0 && setrlimit(RLIMIT_AS, &space) == 0 &&
        filter(workers, glibc, without))
        execve("/bootstrap", (char *[]){"bootstrap", NULL}, environment);
    _exit(CANNOT);
}

/* ---- Its life: what the server does, and what has to come ---- */

enum { PATIENCE_MS = 20000, LARGE = 12 << 20 }; /* more than any socket holds */

struct life {
    pid_t pid;
    int listener, connection, status;
    bool dead;
    struct bytes input;
    struct request request;
};

static bool is_alive(struct life *l) {
    if (!l->dead && waitpid(l->pid, &l->status, WNOHANG) == l->pid)
        l->dead = true;
    return !l->dead;
}

static bool readable(struct life *l, int descriptor) {
    for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
        if (poll(&(struct pollfd){.fd = descriptor, .events = POLLIN}, 1, 10) > 0)
            return true;
        if (!is_alive(l))
            return false;
    }
    return false;
}

static void hang_up(int *descriptor) {
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

static bool receive(struct life *l) {
    static char block[1 << 18];
    if (l->connection < 0) {
        if (!readable(l, l->listener))
            return false;
        l->connection = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);
    }
    if (!readable(l, l->connection))
        return false;
    ssize_t n = recv(l->connection, block, sizeof block, 0);
    if (n > 0)
        bytes_append(&l->input, block, (size_t)n);
    else
        hang_up(&l->connection);
    return n > 0 || l->input.length == 0; /* closed between two requests */
}

/* The whole next request, whose method this is. */
static bool asked(struct life *l, char method) {
    l->input.length = 0;
    request_free(&l->request);
    while (request_parse(l->input.data, l->input.length, &l->request) != REQUEST_COMPLETE)
        if (!receive(l))
            return false;
    return l->request.method[0] == method;
}

static char pattern[LARGE];

/* A reply with so much of the pattern behind it. */
static bool reply(struct life *l, const char *head, size_t length) {
    struct bytes out = {0};
    bytes_format(&out, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", head, length);
    bytes_append(&out, pattern, length);
    bool sent = send_all(l->connection, out.data, out.length);
    bytes_free(&out);
    return sent;
}

static bool send_event(struct life *l, size_t length) {
    return asked(l, 'G') && reply(l, "200 OK\r\nLambda-Runtime-Aws-Request-Id: 1", length);
}

static bool echoes(struct life *l, size_t length, const char *status) {
    return send_event(l, length) && asked(l, 'P') && l->request.body.length == length &&
           memcmp(l->request.body.data, pattern, length) == 0 && reply(l, status, 0);
}

/* The server answers and closes when it has the beginning of a response. */
static bool refuses_early(struct life *l) {
    if (!send_event(l, LARGE))
        return false;
    l->input.length = 0;
    while (l->input.length < 1000)
        if (!receive(l))
            return false;
    bool sent = reply(l, "413 Large", 0);
    hang_up(&l->connection);
    return sent;
}

/* The server is gone, which ends the process when it has tried for a while. */
static bool loses_its_server(struct life *l) {
    hang_up(&l->listener);
    hang_up(&l->connection);
    return true;
}

/* Small, large, small again so that memory is given back, told of a closed pipe, refused, cut
 * short. */
static bool lives(struct life *l) {
    return echoes(l, 11, "202 A") && echoes(l, LARGE, "413 Large") && echoes(l, 1, "202 A") &&
           kill(l->pid, SIGPIPE) == 0 && echoes(l, 2, "202 A") && refuses_early(l) &&
           asked(l, 'G') && loses_its_server(l);
}

/* One worker serves and is then ended by a 500; another one takes its place. */
static bool works(struct life *l) {
    bool fine = true;
    for (int i = 0; fine && i < 3; i++) {
        fine = echoes(l, 11, "202 A") && asked(l, 'G') && reply(l, "500 x", 0);
        hang_up(&l->connection);
    }
    return fine;
}

static bool run(bool workers, int without, int *status) {
    uint16_t port = 0;
    struct life l = {.listener = listen_on_loopback(&port), .connection = -1};
    fflush(stdout);
    l.pid = fork();
    if (l.pid == 0)
        enter(port, workers, without);
    bool fine = workers ? works(&l) : lives(&l);
    for (int waited = 0; !workers && fine && is_alive(&l) && waited < PATIENCE_MS; waited += 10)
        usleep(10000);
    if (!l.dead) {
        kill(l.pid, SIGTERM);
        waitpid(l.pid, &l.status, 0);
    }
    *status = l.status;
    hang_up(&l.connection);
    hang_up(&l.listener);
    request_free(&l.request);
    bytes_free(&l.input);
    return fine;
}

static const char *meaning(int status) {
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return ": a system call beyond the table";
    return WIFEXITED(status) && WEXITSTATUS(status) == CANNOT ? ": it could not be entered" : "";
}

static void check_life(void) {
    int status = 0;
    bool fine = run(false, NO_CALL, &status);
    if (!check(fine && WIFEXITED(status) && WEXITSTATUS(status) == 1, "a life in the sandbox"))
        printf("it ended with wait status %d%s\n", status, meaning(status));
    check(run(true, NO_CALL, &status), "two workers in the sandbox");
}

static void check_each_call_is_needed(void) {
    for (int i = 0; i < CALLS; i++) {
        char what[64];
        int status = 0;
        if (calls[i].purpose != LIFE && calls[i].purpose != WORKERS)
            continue;
        bool fine = run(calls[i].purpose == WORKERS, i, &status);
        fine = fine && (calls[i].purpose == WORKERS || WIFEXITED(status));
        snprintf(what, sizeof what, "%s is needed", calls[i].name);
        check(!fine, what);
    }
}

static bool is_permitted(void) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(chroot(root) == 0 && setuid(NOBODY) == 0 && filter(false, true, NO_CALL) ? 0 : 1);
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static void check_process(bool minimal) {
    is_mounted = mount_read_only();
    if (is_mounted)
        check(is_read_only(executable), "the root is read-only, for root too");
    else
        skip("a read-only mount: unshare and mount are not permitted; its mode stands in for it");
    check_life();
    if (minimal && glibc)
        skip("the table is minimal: only musl's calls are known so well");
    else if (minimal)
        check_each_call_is_needed();
}

int main(int count, char **arguments) {
    bool minimal = count == 3 && strcmp(arguments[2], "minimal") == 0;
    if (count != 2 && !minimal) {
        fprintf(stderr, "sandbox: expected the path of bootstrap, and perhaps: minimal\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct image image = load(arguments[1]);
    glibc = memmem(image.data, image.length, "GLIBC_", 6) != NULL;
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i * 2654435761u >> 13);
    check_file(image);
    if (!check(make_root(image), "a folder that holds the executable"))
        perror(root);
    else if (is_permitted())
        check_process(minimal);
    else
        skip("a life in the sandbox: chroot and seccomp need root");
    remove_root();
    printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    return failed ? 1 : 0;
}
