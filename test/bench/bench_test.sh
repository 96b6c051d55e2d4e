#!/bin/sh
# bench_test.sh - whether bench and report stay right when a peer, a disk or the user does not.
#
# Times are not looked at. Needs what make bench needs, and bash and Python for peers that misbehave.
#
# SPDX-License-Identifier: MIT-0
set -u
cd "$(dirname "$0")/../.." || exit 1
. test/checks.sh
make -s bootstrap build/bench build/floor || exit 1

bench() { # OPTIONS AND PROGRAMS...
    build/bench --quick --starts 2 --largest 16 --patience 3 "$@" 2>"$work/stderr"
}

rows() { # PATTERN: of the last table
    grep -E "$1" "$work/table"
}

ends_with() { # STATUS COMMAND...
    wanted=$1
    shift
    "$@" >/dev/null
    set -- $? "$wanted"
    [ "$1" -eq "$2" ] || { echo "status $1, expected $2" && return 1; }
}

peer() { # NAME, with the script on stdin
    cat >"$work/$1" && chmod +x "$work/$1"
}

report() { # form=FORM FILE
    LC_ALL=C awk -f test/bench/report.awk "$@"
}

# ---- Peers that fail, each in its way ----

printf '#!/bin/sh\necho no library >&2; exit 3\n' | peer ends
peer silent <<END
#!/bin/bash
setsid sleep 1000 & echo \$! >"$work/stray"
exec 3<>"/dev/tcp/\${AWS_LAMBDA_RUNTIME_API/://}"
sleep 1000
END
# Serves with a length, or in chunks of ten bytes; from the ninth event on over a second connection, while
# the first one stays open. If it is deaf, it does not read what no buffer holds.
peer serves <<'END'
#!/usr/bin/env python3
import http.client, itertools, os, sys, time
path = "/2018-06-01/runtime/invocation/"
connections = []
for n in itertools.count(1):
    if n in (1, 9):
        connections.append(http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"]))
    connections[-1].request("GET", path + "next")
    reply = connections[-1].getresponse()
    if "deaf" in sys.argv and int(reply.headers["Content-Length"] or 0) > 1 << 20:
        time.sleep(1000)
    event = reply.read()
    if "wrong" in sys.argv:
        event = event.replace(b'"', b"x", 1)
    if "chunks" in sys.argv:
        event = iter([event[at:at + 10] for at in range(0, len(event), 10)])
    response = path + reply.headers["Lambda-Runtime-Aws-Request-Id"] + "/response"
    connections[-1].request("POST", response, event)
    connections[-1].getresponse().read()
END
check 'bench goes on when peers fail' bench --output "$work/json" --seed 7 build/floor \
    ./bootstrap "ends=$work/ends" "silent=$work/silent" "serves=$work/serves" \
    "chunks=$work/serves chunks" "wrong=$work/serves wrong"
report "$work/json" >"$work/table"
check 'a peer that ends has the status in its cell' \
    rows '^\| first poll, µs +\| ends +\|.*\| ended with status 3 before its first poll \|$'
check 'its stderr is in a file' grep -q 'no library' "$work/json.stderr"
check 'a silent peer has that in its cell' rows 'silent +\|.*\| is silent for 3 s before its first'
check 'its child that left the group is ended' ends_with 1 kill -0 "$(cat "$work/stray")"
check 'a wrong answer is quoted' rows 'wrong +\|.*\| answers with 16 bytes .* in the event of 16 B'
for one in bootstrap serves chunks; do
    check "$one has times" rows "^\\| 16 B, µs +\\| $one +\\| +[0-9]+ \\| +[0-9]"
    check "$one fails nowhere" ends_with 1 grep -q "^  \"$one [a-z]" "$work/json"
    check "$one has processor time" rows "^\\| first poll, processor time, µs +\\| $one +\\| +2 \\|"
done
report form=svg "$work/json" >"$work/svg"
check 'a picture has room for what served nothing' grep -q '>serves</text>' "$work/svg"
check 'what --largest leaves out has not failed' ends_with 1 grep -E '>serves,? [^<]*failed' "$work/svg"
check 'the seed is written down' grep -q '"command": "[^"]* --seed 7"' "$work/json"
bench --output "$work/deaf" --largest 6291456 build/floor "deaf=$work/serves deaf"
check 'a peer that does not read is given up' grep -q '"deaf is silent for 3 s in the event of 6 MB"' "$work/deaf"
check 'ours that fails is a failure' ends_with 1 bench --output "$work/part" build/floor "$work/ends"

# ---- Writing, and the end before the end ----

ln -s /dev/full "$work/full"
check 'JSON that cannot be written is a failure' ends_with 1 bench --output "$work/full" ./bootstrap
report "$work/json" >/dev/full 2>&1
check 'a table that cannot be written is a failure' test $? -ne 0
build/bench --output "$work/part" build/floor ./bootstrap 2>/dev/null &
sleep 2 # somewhere in the cold starts, which are too many for that
kill -INT $!
wait $!
check 'Ctrl-C ends with 130' test $? -eq 130
report "$work/part" >"$work/table"
check 'Ctrl-C shows what there is' rows '^\| first poll, µs +\| bootstrap +\| +[0-9]+ \|'
check 'Ctrl-C is said' rows 'warning: bench was interrupted'

# ---- From JSON to figures ----

result() { # PROGRAM GROUP ITEM REASON SAMPLES
    printf '  {"program": "%s", "group": "%s", "item": "%s", "unit": "ns", "failed": "%s", "samples": [%s]},\n' "$@"
}
{
    cat <<'END'
{"machine": "a \"machine\"", "date": "2026-01-02", "command": "bench", "method": "m",
 "programs": [
  {"name": "f", "version": ""},
  {"name": "p", "version": "1.0"},
  {"name": "more than sixteen bytes", "version": ""}],
 "warnings": [
  "torn"],
 "results": [
END
    result f cold 'first poll' '' '[100000, 300000, 200000]'
    result p cold 'first poll' '' \
        '[9000000, 1000000, 5000000, 2000000, 3000000, 8000000, 4000000, 7000000, 6000000]'
    result p cold 'first poll, waiting to run' '' \
        '[4500000, 500000, 2500000, 1000000, 1500000, 4000000, 2000000, 3500000, 3000000]'
    result f warm '6 MB' 'is\u000a\"x\"' ''
    echo ']}'
} >"$work/old"
report "$work/old" >"$work/table"
check 'the machine' rows "^a 'machine', 2026-01-02$"
check 'the version' rows '^p: 1.0$'
check 'a warning' rows '^warning: torn$'
# Of nine samples the interval is from the second to the eighth.
check 'figures, no p99, and what moves the median' rows '^\| first poll, µs +\| p +\| +9 \| +1000 \| +5000 \| '\
'+2000 \| +8000 \| +4800 \| +25 \| +9000 \| +- \| 50 % of p50 is waiting for a processor \|$'
check 'of three samples no interval' rows '\| f +\| +3 \| +100 \| +200 \| +- \| +- \|'
check 'a reason' rows "^\\| 6 MB, µs +\\| f +\\|.*\\| is 'x' \\|\$"
report form=csv "$work/old" >"$work/table"
check 'CSV' rows '^p,cold,"first poll",ns,9,1e\+06,5e\+06,2e\+06,8e\+06,4.8e\+06,25,9e\+06,,"50 % of p50'
report form=svg "$work/old" >"$work/svg"
check 'the picture' grep -q 'class="ink number">5 ms<' "$work/svg"
check 'no interval leaves its plot' ends_with 1 grep -E '"wide"[^>]* x2="(4[3-9]|[5-9].).\.' "$work/svg"
check 'a long name has room' grep -q 'viewBox="-56 0 1052 ' "$work/svg"
check 'a long name is whole in it' grep -q '>more than sixteen bytes</text>' "$work/svg"
sed '$d' "$work/old" >"$work/torn"
check 'a torn file is a failure' ends_with 1 report "$work/torn"
echo '{"machine": "m"}' >"$work/other"
check 'JSON of something else is a failure' ends_with 1 report "$work/other"

end
