#!/bin/sh
# mutate.sh [COUNT] - breaks bootstrap.c in COUNT small ways (120; "all" for every one), evenly over
# the file, and says which test notices each of them.
#
# A broken copy runs against unit, the fuzz seeds, the replies of other readers, end_to_end, faults, and
# unit with sanitizers, the cheapest first, until one of them fails. It is equivalent if mutate.txt names
# it, or if its executables are byte for byte those of the unbroken file. Two copies a processor are tried
# at once, since the tests mostly wait.
#
# SPDX-License-Identifier: MIT-0
set -u
here=$(cd "$(dirname "$0")" && pwd)
source=$here/../../bootstrap.c
static_cc=$(command -v musl-gcc || command -v cc)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT PIPE TERM
cd "$scratch" || exit 1

fail() {
    echo "mutate.sh: $1" >&2
    exit 1
}

# ---- In a folder with a copy of bootstrap.c ----

prepare() { # FOLDER
    mkdir -p "$1" && cp -r "$here/.." "$1/test" && cp wire.o "$1"
}

compiles() { # TEST OPTION...
    name=$1
    shift
    cc -std=c11 -w "$@" "test/$name.c" wire.o -o "${name#*/}"
}

links() { # bootstrap itself, and the probe
    "$static_cc" -std=c11 -w -Os -static -s bootstrap.c -o echo &&
        "$static_cc" -std=c11 -w -Os -static -s test/runtime/probe.c -o probe
}

# Whether the test says that all is well. It is stopped at its first failure; one that goes round for
# ever has failed.
passes() { # SECONDS COMMAND...
    timeout "$@" 2>&1 |
        awk '/^FAIL/ { exit } /^[0-9]+ passed, 0 failed/ { fine = 1 } END { exit !fine }'
}

noticed_by() {
    if ! compiles runtime/unit; then
        echo compiler
    elif ! passes 60 ./unit; then
        echo unit
    elif ! compiles runtime/exhaustive || ! passes 60 ./exhaustive seeds; then
        echo seeds
    elif links && cmp -s echo ../echo && cmp -s probe ../probe; then
        echo equivalent
    elif ! compiles proof/differential || ! passes 60 ./differential test/proof/differential.txt; then
        echo differential
    elif ! passes 300 ../end_to_end ./echo ./probe; then
        echo end_to_end
    elif ! compiles runtime/faults || ! passes 300 ./faults; then
        echo faults
    elif ! compiles runtime/unit -fsanitize=address,undefined \
        -fno-sanitize-recover=all || ! passes 60 ./unit; then
        echo sanitizers
    else
        echo NOTHING
    fi
}

try_every() { # FIRST STEP
    prepare "$1" && cd "$1" || exit
    i=$1
    while [ "$i" -lt "$count" ]; do
        way=$((i * ways / count + 1)) i=$((i + $2))
        what=$(sed -n "${way}p" ../list)
        key=${what#*: }
        if grep -qxFe "${key%% in: *}" "$here/mutate.txt"; then
            printf 'equivalent: %s\n' "$what"
        else
            awk -v wanted="$way" -f "$here/mutate.awk" "$source" >bootstrap.c
            printf '%s: %s\n' "$(noticed_by 2>log)" "$what"
        fi
    done
}

# ---- All of them ----

cc -O2 -w -c "$here/../lambda/wire.c" || fail "cannot build wire.c"
cc -O2 -w -DIMPATIENT "$here/../runtime/end_to_end.c" wire.o -o end_to_end || fail "cannot build end_to_end.c"
awk -f "$here/mutate.awk" "$source" >list || fail "cannot list the ways to break it"
sed 's/^[^:]*: //; s/ in: .*//' list >keys
grep -v '^#' "$here/mutate.txt" | grep -vxF -f keys | sed 's/^/stale, not in bootstrap.c: /' >stale
cat stale
prepare unbroken
cp "$source" unbroken || fail "cannot copy the tests"
by=$(cd unbroken && noticed_by 2>log)
[ "$by" = NOTHING ] || fail "bootstrap.c fails before it is broken: $by"
mv unbroken/echo unbroken/probe .

ways=$(wc -l <list)
count=${1:-120}
[ "$count" != all ] && [ "$count" -lt "$ways" ] || count=$ways
workers=$((2 * $(nproc))) worker=0
while [ "$worker" -lt "$workers" ]; do
    try_every "$worker" "$workers" &
    worker=$((worker + 1))
    [ "$worker" -lt "$workers" ] || wait
done | tee verdicts
[ "$(wc -l <verdicts)" -eq "$count" ] || fail "$(wc -l <verdicts) of $count were tried: no more processes?"
invalid=$(grep -c ^compiler: verdicts)
equivalent=$(grep -c ^equivalent: verdicts)
survived=$(grep -c ^NOTHING: verdicts)
[ ! -s stale ] || echo "$(wc -l <stale) of mutate.txt are stale: name them anew, or take them out"
echo "$((count - invalid)) mutants, $((count - invalid - equivalent - survived)) caught," \
    "$equivalent equivalent, $survived noticed by nothing; $invalid do not compile"
echo "$((count - invalid - survived)) passed, $survived failed"
[ "$survived" -eq 0 ]
