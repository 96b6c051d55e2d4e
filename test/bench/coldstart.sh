#!/bin/sh
# coldstart.sh - the cold starts of functions in AWS, from Lambda's own reports.
#
#   coldstart.sh FUNCTION...
#
# Forces N cold starts of each function, in turns, by changing an environment variable, and prints
# a table of what the REPORT line at the end of each log says. The functions' variables are put
# back as they were. It costs N invocations and N + 1 updates of each function.
#
# Environment: N (20); EVENT ({}); ENDPOINT, another address of the API, such as a stand-in's on
# this machine; AWS (aws), the CLI, version 1 or 2. Region and credentials as the CLI takes them.
#
# SPDX-License-Identifier: MIT-0
set -eu

starts=${N:-20}
event=${EVENT:-'{}'}
aws=${AWS:-aws}
marker=COLDSTART_SH_RUN
export AWS_PAGER= # or version 2 stops at a pager

die() {
    printf 'coldstart.sh: %s\n' "$*" >&2
    exit 1
}

[ $# -gt 0 ] || die "expected: coldstart.sh FUNCTION..."
case $starts in
'' | *[!0-9]* | 0*) die "N=$starts: expected a number of cold starts, 1 or more" ;;
esac
command -v "$aws" >/dev/null || die "$aws: not found; the aws CLI is needed"

scratch=$(mktemp -d)
printf %s "$event" >"$scratch/event"

lambda() { # OPERATION OPTIONS...
    set -- "$aws" lambda "$@"
    [ -z "${ENDPOINT-}" ] || set -- "$@" --endpoint-url "$ENDPOINT"
    "$@"
}

# --- the function's variables -----------------------------------------------------------------

# As JSON, on one line; {} when there are none, for which version 1 of the CLI says null, and version
# 2 nothing. What could not be read could not be put back.
save_variables() { # FUNCTION
    lambda get-function-configuration --function-name "$1" --query Environment.Variables \
        --output json >"$scratch/json" || die "$1: its configuration could not be read"
    before=$(tr -d '\n' <"$scratch/json")
    case $before in null | '') before='{}' ;; esac
    printf %s "$before" >"$scratch/$1.before"
    if grep -q "\"$marker\"" "$scratch/$1.before"; then
        die "$1 has a variable $marker, left by a run that was killed: remove it first"
    fi
}

set_variables() { # FUNCTION OBJECT
    printf '{"Variables": %s}' "$2" >"$scratch/environment"
    lambda update-function-configuration --function-name "$1" \
        --environment "file://$scratch/environment" >/dev/null &&
        lambda wait function-updated --function-name "$1"
}

marked() { # VALUE BEFORE
    case $2 in
    '{}') printf '{"%s": "%s"}' "$marker" "$1" ;;
    *) printf '{"%s": "%s", %s' "$marker" "$1" "${2#\{}" ;;
    esac
}

put_back() { # FUNCTION...
    for name in "$@"; do
        [ -f "$scratch/$name.changed" ] || continue
        set_variables "$name" "$(cat "$scratch/$name.before")" ||
            printf 'coldstart.sh: %s keeps the variable %s: remove it\n' "$name" "$marker" >&2
    done
    rm -rf "$scratch"
}

# --- measuring ---------------------------------------------------------------------------------

# The fields of REPORT are separated by tabs: "Init Duration: 12.34 ms".
read_report() { # LOG
    awk -F '\t' '/^REPORT / {
        for (i = 2; i <= NF; i++) {
            split($i, part, ": ")
            value[part[1]] = part[2] + 0
        }
        if ("Init Duration" in value)
            print value["Init Duration"], value["Duration"], value["Max Memory Used"]
    }' "$1"
}

start_cold() { # FUNCTION ROUND
    : >"$scratch/$1.changed"
    set_variables "$1" "$(marked "$$-$2" "$(cat "$scratch/$1.before")")" ||
        die "$1: its configuration could not be changed"
    lambda invoke --function-name "$1" --log-type Tail --payload "fileb://$scratch/event" \
        --query '[FunctionError, LogResult]' --output text "$scratch/response" >"$scratch/result" ||
        die "$1 could not be invoked"
    read -r failed log <"$scratch/result"
    [ "$failed" = None ] || die "$1 failed: $(cat "$scratch/response")"
    printf %s "$log" | base64 -d >"$scratch/log"
    figures=$(read_report "$scratch/log")
    [ -n "$figures" ] ||
        die "$1: no REPORT with an Init Duration ends its log: this was no cold start"
    printf '%s\n' "$figures" >>"$scratch/$1.figures"
}

# --- the table ---------------------------------------------------------------------------------

# Nearest rank.
percentiles() { # FILE COLUMN
    cut -d ' ' -f "$2" "$1" | sort -n | awk '
        { value[NR] = $1 }
        function rank(percent,  r) { r = int((NR * percent + 99) / 100); return value[r] }
        END { printf "| %8.2f | %8.2f | %8.2f ", rank(50), rank(90), rank(99) }'
}

print_table() { # FUNCTION...
    printf '\nCold starts as Lambda reports them: init and duration in milliseconds; %s each, %s\n\n' \
        "$starts" "$(date -u +%Y-%m-%d)"
    printf '| %-24s | init p50 |      p90 |      p99 | dur. p50 |      p90 |      p99 | memory MB |\n' \
        function
    echo '|---|--:|--:|--:|--:|--:|--:|--:|'
    for name in "$@"; do
        printf '| %-24s ' "$name"
        percentiles "$scratch/$name.figures" 1
        percentiles "$scratch/$name.figures" 2
        printf '| %9s |\n' "$(cut -d ' ' -f 3 "$scratch/$name.figures" | sort -n | tail -n 1)"
    done
}

trap 'put_back "$@"' EXIT
trap 'exit 1' HUP INT PIPE TERM
for name in "$@"; do
    save_variables "$name"
done
round=0
while [ "$round" -lt "$starts" ]; do
    round=$((round + 1))
    for name in "$@"; do
        printf 'coldstart.sh: %s of %s, %s\n' "$round" "$starts" "$name" >&2
        start_cold "$name" "$round"
    done
done
print_table "$@"
