#!/bin/sh
# counts.sh - holds to limits what build/echo takes and what bootstrap.c has: counts that are the same
# on a fast machine and on a slow one. The bench has the times.
#
# Instructions are those of callgrind, for an environment as in Lambda and events of 16 bytes behind
# a head of a few hundred. What 1,000 of them need beyond none is divided by 1,000. A worker is what a fourth one
# adds to three. Needs valgrind, strace, universal-ctags and zip.
#
# SPDX-License-Identifier: MIT-0
set -eu
cd "$(dirname "$0")/../.."
. test/checks.sh

# The limits are what the code had when they were last set, with gcc 12.2 and musl 1.2.3 on x86-64;
# those of source lines are what a reader can be asked to read. SLACK is by how many percent a limit may
# be exceeded.
hold() { # VALUE LIMIT SLACK MEANING
    most=$(($2 * (100 + $3) / 100))
    printf '%6s %s, at most %d\n' "$1" "$4" "$most"
    verdict $(($1 < 0 || $1 > most)) "$4"
}

make -s ARCH=arm64 build/arm64/echo
make -s build/echo build/bench
cp build/echo "$work/echo" # which nobody else runs: its pages are private

# Page faults and private memory after so many events.
converse() { # EVENTS PROGRAM
    env -i PATH=/usr/bin:/bin build/bench --events "$1" "$work/$2"
}

# Makes a program that runs the executable in an environment that is the same everywhere. Its folder
# is the current one, and its name has the same length everywhere: musl reads it.
wrap() { # COMMAND, VARIABLE=... in front
    cat >"$work/wrapped" <<END
#!/bin/sh
exec env -i AWS_LAMBDA_RUNTIME_API="\$AWS_LAMBDA_RUNTIME_API" LANG=en_US.UTF-8 TZ=:UTC \
    _HANDLER=function.handler AWS_LAMBDA_FUNCTION_NAME=counts AWS_LAMBDA_FUNCTION_VERSION=1 \
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128 AWS_LAMBDA_INITIALIZATION_TYPE=on-demand \
    AWS_REGION=us-east-1 LAMBDA_TASK_ROOT=/var/task $1 ./echo
END
    chmod +x "$work/wrapped"
}

# Of 15 runs, since the kernel puts the stack at a random place, which may take a page more.
least() { # COMMAND... that prints a number
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do "$@"; done | sort -n | sed -n 1p
}

instructions() { # EVENTS
    converse "$1" wrapped >/dev/null
    awk '/^totals:/ { print $2 }' "$work/callgrind"
}

# With execve, in which it starts, and the recvfrom, in which it waits at the end.
calls() { # EVENTS
    converse "$1" wrapped >/dev/null
    grep -c '^[a-z_0-9]*(' "$work/calls"
}

first_response() { # FIELD
    converse 1 echo | cut -d ' ' -f "$1"
}

idle_workers() { # COUNT
    wrap "AWS_LAMBDA_MAX_CONCURRENCY=$1"
    converse 0 wrapped | cut -d ' ' -f 4
}

wrap "$(command -v valgrind) -q --tool=callgrind --callgrind-out-file=callgrind"
none=$(instructions 0)
hold "$none" 8265 3 'instructions from the start to the first request'
hold $((($(instructions 1000) - none) / 1000)) 16830 3 'instructions of an invocation'
wrap "$(command -v strace) -o calls"
none=$(calls 0)
hold $((none - 2)) 8 0 'system calls from the start to the first request, which is the last'
hold $((($(calls 1000) - none) / 1000)) 4 0 'system calls of an invocation'
hold "$(least first_response 1)" 6 0 'page faults to the first response, the least'
hold "$(least first_response 4)" 36 0 'KiB of private memory after it, waiting, the least'
hold $(($(least idle_workers 4) - $(least idle_workers 3))) 12 0 \
    'KiB of private memory that a worker adds, waiting'

sh test/deploy/package.sh build/echo "$(uname -m)" "$work/function.zip" >/dev/null
hold "$(wc -c <build/echo)" 20208 0 'bytes of the executable'
hold "$(wc -c <"$work/function.zip")" 12252 0 'bytes of the zip'
hold "$(wc -c <build/arm64/echo)" 24960 3 'bytes of the executable for arm64'

hold "$(wc -l <bootstrap.c)" 1799 0 'lines of bootstrap.c'
hold "$(awk '
    { sub(/\/\*.*\*\//, "") }
    inside { if (!sub(/.*\*\//, "")) next; inside = 0 }
    sub(/\/\*.*/, "") { inside = 1 }
    /[^ ]/' bootstrap.c | wc -l)" 1313 0 'of them neither blank nor all comment'
ctags -x --kinds-c=f --_xformat='%N %n %e' bootstrap.c >"$work/functions"
awk '{ print $3 - $2 + 1 }' "$work/functions" | sort -n >"$work/lengths"
functions=$(wc -l <"$work/functions")
hold "$functions" 119 0 functions
hold "$(sed -n "$(((functions + 1) / 2))p" "$work/lengths")" 9 0 'lines of a function, median'
hold "$(tail -n 1 "$work/lengths")" 27 0 'lines of the longest function'
hold "$(sed -n 's/^main .* //p' "$work/functions")" 1105 0 'the line at which main ends'
end
