/* coverage.c - linked into a program that gcc has built with --coverage, keeps its record of executed
 * lines when a signal ends it, as the tests end every runtime: see coverage.sh.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE
#include <signal.h>

void __gcov_dump(void);

static void dump_and_die(int number) {
    __gcov_dump();
    signal(number, SIG_DFL);
    raise(number);
}

__attribute__((constructor)) static void handle_signals(void) {
    static const int numbers[] = {SIGTERM, SIGSEGV, SIGABRT, SIGFPE};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction handled = {.sa_handler = dump_and_die, .sa_flags = SA_NODEFER};
        sigaction(numbers[i], &handled, 0);
    }
}
