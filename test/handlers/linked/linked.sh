#!/bin/sh
# linked.sh - builds the examples of this folder and gives a thousand events to each. One is skipped
# where its compiler is not installed or, of json.c, npm: it fetches a package that has cJSON's source.
#
# SPDX-License-Identifier: MIT-0
set -u
cd "$(dirname "$0")/../../.." || exit 2
unset MAKEFLAGS HANDLER ARCH FUNCTION
passed=0 failed=0 skipped=0 pid=
work=$(mktemp -d) || exit 2
trap '[ -z "$pid" ] || kill "$pid"; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT PIPE TERM

verdict() { # STATUS WHAT
    if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED $2"
        tail -n 20 "$work/log" "$work/errors"
    fi
}

# Each event has another number in place of N, and so has its answer.
thousand() { # NAME CONCURRENCY EVENT ANSWER ERROR, which [] leads to
    CONCURRENCY=$2 PORT=0 build/local_lambda serve 2>"$work/log" &
    pid=$!
    for _ in 1 2 3 4 5 6 7 8 9; do
        grep -q 'serves at' "$work/log" && break
        sleep 1
    done
    url=$(sed -n 's/.* serves at //p' "$work/log")
    seq 1000 | xargs -I N curl -sS --max-time 20 -d "$3" "$url" >"$work/answers" 2>"$work/errors"
    seq 1000 | xargs -I N printf %s "$4" >"$work/expected"
    cmp "$work/answers" "$work/expected" >>"$work/errors" 2>&1
    verdict $? "$1: a thousand events, CONCURRENCY=$2"
    curl -sS --max-time 20 -d '[]' "$url" >"$work/errors" 2>&1
    grep -q "\"errorType\":\"$5\"" "$work/errors"
    verdict $? "$1: an error"
    kill "$pid" && wait "$pid"
    pid=
}

example() { # NAME COMPILER EVENT ANSWER ERROR MAKE-OPTION...
    name=$1 compiler=$2 event=$3 answer=$4 error=$5
    shift 5
    if ! command -v "$compiler" >/dev/null; then
        skipped=$((skipped + 1))
        echo "skipped $name: $compiler is not installed"
        return
    fi
    make -s "$@" >"$work/log" 2>"$work/errors"
    verdict $? "$name: make"
    thousand "$name" '' "$event" "$answer" "$error"
    thousand "$name" 2 "$event" "$answer" "$error"
}

make -s build/local_lambda || exit 1
for language in 'cpp g++ Function.Exception' 'haskell ghc Function.Exception' 'rust rustc Function.NoName'; do
    # shellcheck disable=SC2086 # three words
    set -- $language
    example "$1" "$2" '{"name":"N"}' '{"greeting":"Hello, N!"}' "$3" -C test/handlers/linked "$1"
done
! command -v npm >/dev/null || (cd "$work" && npm pack --silent node-rdkafka@3.6.1 >log &&
    tar xzf node-rdkafka-*.tgz && mv package/deps/librdkafka/src/cJSON.[ch] .) || exit 1
example json npm '{"items":[{"price":N},{"price":0.5}]}' '{"total":N.5}' Function.NoPrices \
    HANDLER="test/handlers/linked/json.c $work/cJSON.c" CFLAGS="-Os -I$work" LDLIBS=-lm
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
