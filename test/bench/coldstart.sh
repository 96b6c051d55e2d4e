#!/bin/sh
# coldstart.sh - the cold starts of functions in AWS, from Lambda's own reports.
#
#   coldstart.sh FUNCTION...
#
# Forces N cold starts of each function, in turns, by changing an environment variable, and prints
# a table of what the REPORT line at the end of each log says, with the first function where the bench
# has its floor. The functions' variables are put back as they were. It costs N invocations and N + 1
# updates of each function.
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
variables="Environment.Variables || \`{}\`"
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

# What could not be read could not be put back.
save_variables() { # FUNCTION
    read_variables "$1" "$variables" >"$scratch/$1.before" ||
        die "$1: its configuration could not be read"
    if grep -q "\"$marker\"" "$scratch/$1.before"; then
        die "$1 has a variable $marker, left by a run that was killed: remove it first"
    fi
}

read_variables() { # FUNCTION OBJECT
    lambda get-function-configuration --function-name "$1" --query "{Variables: $2}" --output json
}

set_variables() { # FUNCTION FILE
    lambda update-function-configuration --function-name "$1" --environment "file://$2" >/dev/null &&
        lambda wait function-updated --function-name "$1"
}

put_back() { # FUNCTION...
    for name in "$@"; do
        [ -f "$scratch/$name.changed" ] || continue
        set_variables "$name" "$scratch/$name.before" ||
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
    read_variables "$1" "merge($variables, {$marker: '$$-$2'})" >"$scratch/$1.changed" ||
        die "$1: its configuration could not be read"
    set_variables "$1" "$scratch/$1.changed" || die "$1: its configuration could not be changed"
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

# --- the table, made as the bench makes its own --------------------------------------------------

samples() { # ITEM UNIT COLUMN FUNCTION...
    item=$1 unit=$2 column=$3
    shift 3
    for name in "$@"; do
        printf '  {"program": "%s", "group": "cold starts in Lambda", "item": "%s", "unit": "%s", "failed": "",' \
            "$name" "$item" "$unit"
        printf ' "samples": [[%s]]},\n' "$(cut -d ' ' -f "$column" "$scratch/$name.figures" | paste -s -d , -)"
    done
}

print_table() { # FUNCTION...
    {
        printf '{"machine": "AWS Lambda", "date": "%s", "command": "coldstart.sh %s", "method": "%s"\n' \
            "$(date -u +%Y-%m-%d)" "$*" 'What the REPORT line of each cold start says.'
        printf '  {"name": "%s"},\n' "$@"
        samples init ms 1 "$@"
        samples duration ms 2 "$@"
        samples memory MB 3 "$@"
        echo ']}'
    } | LC_ALL=C awk -f "$(dirname "$0")/report.awk"
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
