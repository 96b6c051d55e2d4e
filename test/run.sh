#!/bin/sh
# run.sh - runs each argument as a shell command from the top of the project, and adds up what they
# say.
#
# A command that ends with a line "N passed, N failed", perhaps with ", N skipped", counts as that
# many tests; any other as one, by its exit status. So does one that says that all have passed and
# then fails itself, or leaves something behind: in $TMPDIR, a folder in build, where what is in it
# can be executed even if /tmp does not allow that; or a process with that $TMPDIR, which is ended.
#
# SPDX-License-Identifier: MIT-0
cd "$(dirname "$0")/.." || exit 1
mkdir -p build
export TMPDIR="$PWD/build"
. test/checks.sh
TMPDIR=$work/tmp
log=$work/log

for command; do
    echo "-- $command"
    start=$(date +%s)
    mkdir "$TMPDIR"
    { sh -c "$command" 2>&1 </dev/null; echo "$?" >"$log.status"; } | tee "$log"
    status=$(cat "$log.status")
    counts=$(tail -n 1 "$log" | tr -d '\r' |
        sed -n 's/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2 0/p
                s/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed, \([0-9][0-9]*\) skipped$/\1 \2 \3/p')
    # shellcheck disable=SC2086 # three numbers
    set -- ${counts:-$((status == 0)) $((status != 0)) 0}
    [ "$status" -eq 0 ] || [ "$2" -ne 0 ] || set -- "$1" 1 "$3"
    if ! rmdir "$TMPDIR" 2>/dev/null; then
        echo "FAIL left behind: $(cd "$TMPDIR" && ls -Ap)"
        set -- "$1" $(($2 + 1)) "$3"
        chmod -R u+w "$TMPDIR" && rm -rf "$TMPDIR"
    fi
    for _ in 1 2 3 4 5 6 7 8 9 10; do # a process may take its time to end
        left=$(env -u TMPDIR grep -lsF "TMPDIR=$TMPDIR" /proc/[0-9]*/environ) || break
        sleep 0.1
    done
    for process in $left; do
        process=${process%/environ}
        echo "FAIL left running: $(tr '\0' ' ' <"$process/cmdline")"
        set -- "$1" $(($2 + 1)) "$3"
        kill -9 "${process#/proc/}"
    done
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
    echo "-- in $(($(date +%s) - start)) s"
done
end
