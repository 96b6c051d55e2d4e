#!/bin/sh
# mutate.sh [COUNT] - breaks bootstrap.c in COUNT small ways (120; "all" for every one), evenly over
# the file, and shows how many of them the tests notice.
#
# Each broken copy is built in a scratch folder and runs against unit, end_to_end, exhaustive and
# faults, until one of them fails. One whose executables are, byte for byte, those of the unbroken file
# is equivalent, and so is one that mutate.txt names. CC and SCRATCH may be given.
#
# SPDX-License-Identifier: MIT-0
set -u
here=$(cd "$(dirname "$0")" && pwd)
scratch=${SCRATCH:-$(mktemp -d)}
cc=${CC:-$(command -v musl-gcc || command -v cc)}
host=${HOST_CC:-cc}
mkdir -p "$scratch/test"

fail() {
    echo "mutate.sh: $1" >&2
    exit 1
}

# The tests, impatient: a broken runtime often hangs, one failure is enough, and 1,000 invocations
# will do for 100,000.
cp "$here"/*.c "$here"/*.h "$scratch/test/" || fail "cannot copy the tests"
sed -i -e 's/PATIENCE_MS = [0-9]*/PATIENCE_MS = 3000/' \
    -e 's/serve_echoes_quickly(&r, 99000)/serve_echoes_quickly(\&r, 900)/' \
    -e 's/^static void count(bool fine) {$/&\n    if (!fine)\n        exit(1);/' \
    "$scratch/test/end_to_end.c"
"$host" -O2 -w "$here/mutate.c" -o "$scratch/mutate" || fail "cannot build mutate.c"
cd "$scratch" || fail "no folder $scratch"
"$host" -std=c11 -O2 -w test/end_to_end.c test/wire.c -o end_to_end || fail "cannot build end_to_end"
"$host" -std=c11 -O2 -w -c test/wire.c -o wire.o || fail "cannot build wire.c"

build() { # FOLDER: the executables of the bootstrap.c that is in place
    "$cc" -std=c11 -w -Os -static -s -Wl,--build-id=none bootstrap.c -o "$1/echo" 2>>"$1/log" &&
        "$cc" -std=c11 -w -Os -static -s -Wl,--build-id=none test/probe.c -o "$1/probe" 2>>"$1/log"
}

# What notices the broken file: the name of a test; nothing, if it survives.
caught_by() {
    "$host" -std=c11 -O1 -w test/unit.c -o broken/unit 2>>broken/log || { echo build; return; }
    timeout 20 broken/unit >broken/out 2>&1 || { echo unit; return; }
    timeout 90 ./end_to_end broken/echo broken/probe >broken/out 2>&1 || { echo end_to_end; return; }
    "$host" -std=c11 -O2 -w test/exhaustive.c -o broken/exhaustive 2>>broken/log || { echo build; return; }
    timeout 60 broken/exhaustive -1 >broken/out 2>&1 || { echo exhaustive; return; }
    "$host" -std=c11 -O2 -w test/faults.c wire.o -o broken/faults 2>>broken/log || { echo build; return; }
    timeout 120 broken/faults >broken/out 2>&1 || echo faults
}

mkdir -p whole broken
cp "$here/../bootstrap.c" .
build whole || fail "bootstrap.c itself does not build: $(cat whole/log)"
cp whole/echo whole/probe broken/
by=$(caught_by)
[ -z "$by" ] || fail "the unbroken bootstrap.c does not pass $by: $(head -n 3 broken/out)"
./mutate "$here/../bootstrap.c" >list
ways=$(wc -l <list)
count=${1:-120}
[ "$count" != all ] && [ "$count" -lt "$ways" ] || count=$ways
tried=0 caught=0 equivalent=0 invalid=0 survived=0 i=0
while [ "$i" -lt "$count" ]; do
    n=$((i * ways / count)) i=$((i + 1))
    ./mutate "$here/../bootstrap.c" "$n" >bootstrap.c
    what=$(sed -n "$((n + 1))p" list | tr '\t' ' ')
    line=$(sed -n "${what%% *}s/^ *//p" "$here/../bootstrap.c")
    if ! build broken; then
        invalid=$((invalid + 1))
        continue
    fi
    tried=$((tried + 1))
    if cmp -s whole/echo broken/echo && cmp -s whole/probe broken/probe; then
        equivalent=$((equivalent + 1))
        continue
    fi
    by=$(caught_by)
    if [ -n "$by" ]; then
        caught=$((caught + 1))
        echo "caught by $by: $what"
    elif grep -qxF "${what#* } in: $line" "$here/mutate.txt"; then
        equivalent=$((equivalent + 1))
    else
        survived=$((survived + 1))
        echo "SURVIVES $n: $what in: $line"
    fi
done
echo "$tried mutants, $caught caught, $equivalent equivalent, $invalid that do not compile"
[ -n "${SCRATCH:-}" ] || rm -rf "$scratch"
echo "$((caught + equivalent)) passed, $survived failed"
[ "$survived" -eq 0 ]
