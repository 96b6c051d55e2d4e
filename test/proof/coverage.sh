#!/bin/sh
# coverage.sh - which lines and branches of bootstrap.c the tests execute, by gcc and gcov, and which
# they do not. Fails if a line is not executed.
#
# SPDX-License-Identifier: MIT-0
set -u
cd "$(dirname "$0")/../.." || exit 1
. test/checks.sh
source=$PWD
cd "$work" || exit 1

command -v gcov >gcov.txt || die "no gcov; apt install gcc (Debian, Ubuntu), apk add gcc (Alpine)"

# A copy of the sources in which no process ends by SIGKILL, which would lose its record.
cp -r "$source/bootstrap.c" "$source/test" . || die "cannot copy the sources"
sed -i 's/SIGKILL/SIGTERM/' bootstrap.c test/*/*.[ch]

for file in lambda/wire proof/coverage runtime/end_to_end; do
    gcc -std=c11 -O2 -w -c test/$file.c || die "cannot build $file.c"
done
gcc end_to_end.o wire.o -o end_to_end || die "cannot link end_to_end"
build() { # NAME FILE ARGUMENT...: with its record in a folder of its own
    name=$1 file=$2
    shift 2
    mkdir "$name"
    (cd "$name" && gcc -std=c11 -O0 -g -w --coverage -D_exit=exit "../$file" "$@" -o "$name") ||
        die "cannot build $name"
}
build echo bootstrap.c ../coverage.o
build probe test/runtime/probe.c ../coverage.o
build unit test/runtime/unit.c ../wire.o
build faults test/runtime/faults.c ../wire.o
build exhaustive test/runtime/exhaustive.c ../wire.o

# With RUN_WITH end_to_end leaves out what measures memory and counts system calls, which are not the
# same here.
for run in "unit/unit" "exhaustive/exhaustive all" "faults/faults" \
    "env RUN_WITH=env ./end_to_end echo/echo probe/probe"; do
    echo "-- $run"
    # shellcheck disable=SC2086 # words
    $run >out.txt 2>&1 || { cat out.txt; die "$run failed"; }
    tail -n 1 out.txt
done

for name in echo probe unit faults exhaustive; do
    (cd "$name" && gcov -b -c ./*.gcda >gcov.txt 2>&1) || die "gcov failed for $name"
done

# Adds up the records: a line, or the n-th branch of a line, is executed if it is in any of them.
awk -F: '
    /^ *[-#=0-9*]+: *[0-9]+:/ {
        line = $2 + 0; n = 0; count = $1; gsub(/[ *]/, "", count)
        text[line] = $0; sub(/^[^:]*:[^:]*:/, "", text[line])
        if (count != "-") known[line] = 1
        if (count ~ /^[0-9]/) done[line] = 1
    }
    /^branch/ {
        key = line SUBSEP n++
        branch[key] = 1
        if (branches[line] < n) branches[line] = n
        if ($0 ~ /taken [1-9]/) taken[key] = 1
    }
    END {
        for (l in known) { lines++; executed += l in done; if (l + 0 > last) last = l + 0 }
        for (k in branch) { all++; ways += k in taken }
        for (l = 1; l <= last; l++) {
            if ((l in known) && !(l in done)) printf "line   %5d  never executed: %s\n", l, text[l]
            missing = ""
            for (i = 0; i < branches[l]; i++) if (!((l, i) in taken)) missing = missing " " i
            if (missing != "" && l in done)
                printf "branch %5d  never taken, of %d:%s: %s\n", l, branches[l], missing, text[l]
        }
        printf "%d of %d lines, %d of %d branches\n", executed, lines, ways, all
        printf "%d passed, %d failed\n", executed == lines, executed != lines
        exit executed != lines
    }' ./*/bootstrap.c.gcov
