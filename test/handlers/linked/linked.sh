#!/bin/sh
# linked.sh - builds the examples of this folder and gives a thousand events to each. One is skipped
# where its compiler is not installed or, of json.c, npm: it fetches a package that has cJSON's source.
#
# SPDX-License-Identifier: MIT-0
set -u
cd "$(dirname "$0")/../../.." || exit 2
. test/checks.sh

# Each event has another number in place of N, and so has its answer.
thousand() { # NAME CONCURRENCY EVENT ANSWER ERROR, which [] leads to
    start 'serves at' env CONCURRENCY="$2" PORT=0 build/local_lambda serve
    url=$(sed -n 's/.* serves at //p' "$work/log")
    seq 1000 | xargs -I N curl -sS --max-time 20 -d "$3" "$url" >"$work/out" 2>"$work/err"
    seq 1000 | xargs -I N printf %s "$4" >"$work/expected"
    cmp "$work/out" "$work/expected" >>"$work/err" 2>&1
    verdict $? "$1: a thousand events, CONCURRENCY=$2"
    expect "$1: an error" 0 "*\"errorType\":\"$5\"*" curl -sS --max-time 20 -d '[]' "$url"
}

example() { # NAME COMPILER EVENT ANSWER ERROR MAKE-OPTION...
    name=$1 compiler=$2 event=$3 answer=$4 error=$5
    shift 5
    if ! command -v "$compiler" >/dev/null; then
        skip "$name: $compiler is not installed"
        return
    fi
    check "$name: make" make -s "$@"
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
end
