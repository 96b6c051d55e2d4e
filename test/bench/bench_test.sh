#!/bin/sh
# bench_test.sh - whether bench and report stay right when a peer, a disk or the user does not.
#
# Times are not looked at. Needs what make bench needs, and bash for peers that misbehave.
#
# SPDX-License-Identifier: MIT-0
set -u
cd "$(dirname "$0")/../.." || exit 1
make -s bootstrap build/bench build/report build/floor || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT PIPE TERM
passed=0 failed=0

check() { # NAME COMMAND...: it has to succeed
    name=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAIL %s\n' "$name"
        sed 's/^/  /' "$work/said"
    fi
}

bench() { # OPTIONS AND PROGRAMS...
    build/bench --quick --starts 2 --cpu any --largest 16 --patience 1 "$@" 2>"$work/stderr"
}

rows() { # PATTERN: of the last table
    grep -E "$1" "$work/table"
}

ends_with() { # STATUS COMMAND...
    status=$1
    shift
    "$@" >/dev/null
    set -- $? "$status"
    [ "$1" -eq "$2" ] || { echo "status $1, expected $2" && return 1; }
}

peer() { # NAME, with the script on stdin
    { echo '#!/bin/bash' && cat; } >"$work/$1" && chmod +x "$work/$1"
}

# ---- Peers that fail, each in its way ----

echo 'echo "no library" >&2; exit 3' | peer ends
peer silent <<END
setsid sleep 1000 & echo \$! >"$work/stray"
exec 3<>"/dev/tcp/\${AWS_LAMBDA_RUNTIME_API/://}"
sleep 1000
END
# Serves with a length, or in chunks of ten bytes; from the ninth event on over a second connection, while
# the first one stays open. If it is deaf, it does not read what is long.
peer serves <<'END'
path=/2018-06-01/runtime/invocation reply=${1-}
exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://}"
for ((n = 1; ; n++)); do
    [ "$n" -ne 9 ] || exec 4>&3 5<&3 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://}"
    printf 'GET %s/next HTTP/1.1\r\nHost: x\r\n\r\n' $path >&3
    length= size=
    while IFS= read -r line <&3 && [ "${line%$'\r'}" ]; do
        line=${line%$'\r'}
        case $line in Content-Length:*) length=${line##* } ;; *Request-Id:*) id=${line##* } ;; esac
    done
    [ "$length" ] || { read -r size <&3 && length=$((16#${size%$'\r'})); }
    [ "$reply" != deaf ] || [ "$length" -lt 100000 ] || sleep 1000
    IFS= read -r -N "$length" event <&3
    [ ! "$size" ] || { IFS= read -r _ && read -r _ && read -r _; } <&3
    [ "$reply" != wrong ] || event=${event/\"/x}
    if [ "$reply" = chunks ]; then
        printf 'POST %s/%s/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n' $path "$id"
        for ((at = 0; at < length; at += 10)); do
            piece=${event:at:10}
            printf '%x\r\n%s\r\n' ${#piece} "$piece"
        done
        printf '0\r\n\r\n'
    else
        printf 'POST %s/%s/response HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s' $path "$id" \
            "$length" "$event"
    fi >&3
    while IFS= read -r line <&3 && [ "${line%$'\r'}" ]; do :; done
    IFS= read -r -N 16 _ <&3
done
END
check 'bench goes on when peers fail' bench --output "$work/json" --seed 7 build/floor \
    ./bootstrap "ends=$work/ends" "silent=$work/silent" "serves=$work/serves" \
    "chunks=$work/serves chunks" "wrong=$work/serves wrong"
build/report "$work/json" >"$work/table"
check 'a peer that ends has the status in its cell' \
    rows '^\| first poll, µs +\| ends +\|.*\| ended with status 3 before its first poll \|$'
check 'its stderr is in a file' grep -q 'no library' "$work/json.stderr"
check 'a silent peer has that in its cell' rows 'silent +\|.*\| is silent for 1 s before its first'
check 'its child that left the group is ended' ends_with 1 kill -0 "$(cat "$work/stray")"
check 'a wrong answer is quoted' rows 'wrong +\|.*\| answers the event of 16 B with 16 bytes'
for one in bootstrap serves chunks; do
    check "$one has times" rows "^\\| 16 B, µs +\\| $one +\\| +[0-9]+ \\| +[0-9]"
    check "$one fails nowhere" ends_with 1 grep -q "^  \"$one [a-z]" "$work/json"
    check "$one has processor time" rows "^\\| first poll, processor time, µs +\\| $one +\\| +2 \\|"
done
check 'a picture has room for what served nothing' build/report --svg "$work/svg" "$work/json"
check 'what --largest leaves out has not failed' ends_with 1 grep -E '>serves,? [^<]*failed' "$work/svg"
timeout -k 1 60 build/bench --quick --starts 2 --cpu any --patience 1 --output "$work/deaf" build/floor \
    "deaf=$work/serves deaf" 2>"$work/stderr"
check 'a peer that does not read is given up' grep -q '"deaf does not take what is sent in the event of 6 MB"' \
    "$work/deaf"
check 'the seed is written down' grep -q '"command": "[^"]* --seed 7"' "$work/json"
check 'ours that fails is a failure' ends_with 1 bench --output "$work/part" build/floor "$work/ends"

# ---- Writing, and the end before the end ----

ln -s /dev/full "$work/full"
check 'JSON that cannot be written is a failure' ends_with 1 bench --output "$work/full" ./bootstrap
# shellcheck disable=SC2016 # the inner shell expands it
check 'a table that cannot be written is a failure' ends_with 1 sh -c 'build/report "$1" >/dev/full' - \
    "$work/json"
check 'a picture that cannot be written is a failure' ends_with 1 build/report --svg /dev/full \
    "$work/json"
build/bench --cpu any --output "$work/part" build/floor ./bootstrap 2>/dev/null &
sleep 2 # somewhere in the cold starts, which are too many for that
kill -INT $!
wait $!
check 'Ctrl-C ends with 130' test $? -eq 130
build/report "$work/part" >"$work/table"
check 'Ctrl-C shows what there is' rows '^\| first poll, µs +\| bootstrap +\| +[0-9]+ \|'
check 'Ctrl-C is said' rows 'warning: bench was interrupted'

# ---- From JSON to figures ----

cat >"$work/old" <<'END'
{"machine": "a \"machine\"", "date": "2026-01-02", "command": "bench", "method": "m",
 "programs": [{"name": "f", "version": ""}, {"name": "p", "version": "1.0"},
  {"name": "more than sixteen bytes", "version": ""}], "warnings": ["torn"],
 "results": [
 {"program": "f", "group": "cold", "item": "first poll", "unit": "ns", "failed": "", "samples": [[100000,
  300000, 200000]]},
 {"program": "p", "group": "cold", "item": "first poll", "unit": "ns", "failed": "", "samples": [[9000000,
  1000000, 5000000, 2000000, 3000000, 8000000, 4000000, 7000000, 6000000]]},
 {"program": "p", "group": "cold", "item": "first poll, waiting to run", "unit": "ns", "failed": "",
  "samples": [[4500000, 500000, 2500000, 1000000, 1500000, 4000000, 2000000, 3500000, 3000000]]},
 {"program": "f", "group": "warm", "item": "6 MB", "unit": "ns", "failed": "is\u000a\"x\"", "samples": []}]}
END
build/report "$work/old" >"$work/table"
check 'the machine' rows '^a "machine", 2026-01-02$'
check 'the version' rows '^p: 1.0$'
check 'a warning' rows '^warning: torn$'
# Of nine samples the interval is from the second to the eighth.
check 'figures, no p99, and what moves the median' rows '^\| first poll, µs +\| p +\| +9 \| +1000 \| +5000 \| '\
'+2000 \| +8000 \| +4800 \| +25 \| +9000 \| +- \| 50 % of p50 is waiting for a processor \|$'
check 'of three samples no interval' rows '\| f +\| +3 \| +100 \| +200 \| +- \| +- \|'
check 'a reason' rows '^\| 6 MB, µs +\| f +\|.*\| is "x" \|$'
build/report --csv "$work/old" >"$work/table"
check 'CSV' rows '^p,cold,"first poll",ns,9,1e\+06,5e\+06,2e\+06,8e\+06,4.8e\+06,25,9e\+06,,"50 % of p50'
build/report --svg "$work/svg" "$work/old"
check 'the picture' grep -q 'class="ink number halo">5 ms<' "$work/svg"
check 'no interval leaves its plot' ends_with 1 grep -E '"wide"[^>]* x2="(4[3-9]|[5-9].).\.' "$work/svg"
check 'a long name has room' grep -q 'viewBox="-56 0 1052 ' "$work/svg"
check 'a long name is whole in it' grep -q '>more than sixteen bytes</text>' "$work/svg"
sed 's/"torn"//' "$work/old" >"$work/quiet"
check 'no warnings' build/report "$work/quiet"
sed '$s/}$//' "$work/old" >"$work/torn"
check 'a torn file is a failure' ends_with 1 build/report "$work/torn"
echo '{"machine": "m"}' >"$work/other"
check 'JSON of something else is a failure' ends_with 1 build/report "$work/other"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
