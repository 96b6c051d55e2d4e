#!/bin/sh
# run.sh - runs the test programs that make has built and adds up what they say.
#
# Each ends with a line "N passed, N failed", perhaps with ", N skipped"; one that does not has
# broken down and counts as one failure.
#
# SPDX-License-Identifier: MIT-0
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0 skipped=0

run() { # COMMAND...
    echo "-- $*"
    output=$("$@" 2>&1 </dev/null)
    status=$?
    last=$(printf '%s\n' "$output" | tail -n 1)
    printf '%s\n' "$output"
    counts=$(printf '%s\n' "$last" |
        sed -n 's/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed.*$/\1 \2/p')
    more=$(printf '%s\n' "$last" | sed -n 's/^.*, \([0-9][0-9]*\) skipped$/\1/p')
    # shellcheck disable=SC2086 # two words
    set -- ${counts:-0 1}
    [ "$status" -eq 0 ] || [ "$2" -ne 0 ] || set -- "$1" 1
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + ${more:-0}))
}

run build/unit
run build/end_to_end build/echo build/probe
run sh test/examples.sh build/handlers build/local_lambda
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
