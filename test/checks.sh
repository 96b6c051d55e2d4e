# checks.sh - what the scripts that test have in common. Each reads it at the top of the project, with
# `. test/checks.sh`, and ends with `end`. It has the folder $work for itself, which goes with it, as
# does what runs in the background as $pid.
#
# shellcheck shell=sh
# SPDX-License-Identifier: MIT-0
unset MAKEFLAGS MAKEOVERRIDES MFLAGS MAKELEVEL HANDLER BOOTSTRAP ARCH FUNCTION DRY_RUN # the user's, or make's
passed=0 failed=0 skipped=0 pid=
work=$(mktemp -d) || exit 2
trap 'stop; chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT PIPE TERM

die() { # WHY
    echo "${0##*/}: $*" >&2
    exit 1
}

end() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ] || exit 1
}

verdict() { # STATUS WHAT
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    echo "FAILED $2"
    tail -n 20 "$work/out" "$work/err" "$work/log" 2>/dev/null | cut -c -300 | sed 's/^/    /'
    [ "$failed" -lt 20 ] || end
}

skip() { # WHAT
    skipped=$((skipped + 1))
    echo "skipped $1"
}

equal() { # WHAT FOUND EXPECTED
    wrong=0
    [ "$2" = "$3" ] || wrong=1
    verdict "$wrong" "$1: $2; expected $3"
}

run() { # COMMAND...
    status=0
    "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}

check() { # WHAT COMMAND...: it has to succeed
    what=$1
    shift
    run "$@"
    verdict "$status" "$what"
}

# A command has to end with success (0) or not (1), and to say what the pattern has for stdout, a |, and
# for stderr.
expect() { # WHAT RESULT PATTERN COMMAND...
    what=$1 result=$2 pattern=$3
    shift 3
    run "$@"
    wrong=1
    # shellcheck disable=SC2254 # a pattern
    case "$(cat "$work/out")|$(cat "$work/err")" in
    $pattern) wrong=$(((status != 0) != result)) ;;
    esac
    verdict "$wrong" "$what: status $status; expected $result, $pattern"
}

start() { # WORDS COMMAND...: in the background; goes on as soon as it has said the words on stderr
    words=$1
    shift
    stop
    : >"$work/log" # now, and not when the command has started
    "$@" 2>"$work/log" &
    pid=$!
    for _ in $(seq 100); do
        ! grep -qF -- "$words" "$work/log" || return 0
        sleep 0.1
    done
    verdict 1 "it says: $words"
}

stop() {
    [ -z "$pid" ] || { kill "$pid" && wait "$pid"; } 2>/dev/null || :
    pid=
}
