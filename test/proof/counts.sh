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

# The limit, by how many percent it may be exceeded, and the name and meaning of what it limits. The
# limits are what the code had when they were last set, with gcc 12.2 and musl 1.2.3 on x86-64; those of
# source lines are what a reader can be asked to read.
limits() {
    cat <<'END'
 8265  3  start          instructions from the start to the first request
16830  3  warm           instructions of an invocation
    8  0  start_calls    system calls from the start to the first request, which is the last
    4  0  warm_calls     system calls of an invocation
    6  0  faults         page faults to the first response, the least
   36  0  memory         KiB of private memory after it, waiting, the least
   12  0  worker         KiB of private memory that a worker adds, waiting
20480  0  executable     bytes of the executable
12300  0  zip            bytes of the zip
24960  3  arm64          bytes of the executable for arm64
 1823  0  lines          lines of bootstrap.c
 1337  0  code           of them neither blank nor all comment
  121  0  functions      functions
    9  0  median         lines of a function, median
   27  0  longest        lines of the longest function
 1150  0  main           the line at which main ends
END
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT PIPE TERM
make -s ARCH=arm64 build/arm64/echo
make -s build/echo build/bench
cp build/echo "$work/echo" # which nobody else runs: its pages are private

say() { # NAME VALUE
    echo "$1 ${2:-none}" >>"$work/values"
}

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
say start "$none"
say warm $((($(instructions 1000) - none) / 1000))
wrap "$(command -v strace) -o calls"
none=$(calls 0)
say start_calls $((none - 2))
say warm_calls $((($(calls 1000) - none) / 1000))
say faults "$(least first_response 1)"
say memory "$(least first_response 4)"
say worker $(($(least idle_workers 4) - $(least idle_workers 3)))

sh test/deploy/package.sh build/echo "$(uname -m)" "$work/function.zip" >/dev/null
say executable "$(wc -c <build/echo)"
say zip "$(wc -c <"$work/function.zip")"
say arm64 "$(wc -c <build/arm64/echo)"

say lines "$(wc -l <bootstrap.c)"
say code "$(awk '
    { sub(/\/\*.*\*\//, "") }
    inside { if (!sub(/.*\*\//, "")) next; inside = 0 }
    sub(/\/\*.*/, "") { inside = 1 }
    /[^ ]/' bootstrap.c | wc -l)"
ctags -x --kinds-c=f --_xformat='%N %n %e' bootstrap.c >"$work/functions"
say functions "$(wc -l <"$work/functions")"
awk '{ print $3 - $2 + 1 }' "$work/functions" | sort -n >"$work/lengths"
say median "$(awk '{ length_of[NR] = $1 } END { print length_of[int((NR + 1) / 2)] }' "$work/lengths")"
say longest "$(tail -n 1 "$work/lengths")"
say main "$(awk '$1 == "main" { print $3 }' "$work/functions")"

limits | awk '
    FILENAME != "-" { value[$1] = $2; next }
    {
        limit = $1; slack = $2; name = $3; $1 = $2 = $3 = ""
        ok = value[name] ~ /^[0-9]+$/ && value[name] <= limit * (1 + slack / 100)
        ok ? passed++ : failed++
        printf "%s %6s %s, at most %d\n", ok ? "ok  " : "FAIL", value[name], $0, limit * (1 + slack / 100)
    }
    END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 }' "$work/values" -
