/* coverage.c - linked into a program that gcc has built with --coverage, keeps its record of executed
 * lines when a signal ends it, as the tests end every runtime: see coverage.sh.
 *
 * SPDX-License-Identifier: MIT-0 */
#include <signal.h>

void __gcov_dump(void);

static void dump_and_die(int number) {
    __gcov_dump();
    signal(number, SIG_DFL);
    raise(number);
}

__attribute__((constructor)) static void handle_signals(void) {
    signal(SIGTERM, dump_and_die);
    signal(SIGSEGV, dump_and_die);
    signal(SIGABRT, dump_and_die);
    signal(SIGFPE, dump_and_die);
}
