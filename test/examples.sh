#!/bin/sh
# examples.sh - runs the worked examples of test/handlers, built in the folder $1, in the local
# Lambda $2, as README says.
#
# SPDX-License-Identifier: MIT-0
built=$1 lambda=$2 passed=0 failed=0

# What a handler prints on stdout, its exit status, and a part of what is on stderr.
expect() { # HANDLER EVENT STDOUT STATUS STDERR
    errors=$(mktemp)
    output=$(BOOTSTRAP=$built/$1 "$lambda" run "$2" 2>"$errors" </dev/null)
    status=$?
    if [ "$output" = "$3" ] && [ "$status" -eq "$4" ] &&
        { [ -z "$5" ] || grep -qF -- "$5" "$errors"; }; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1 $2: status $status, stdout $output, stderr $(cat "$errors")"
    fi
    rm -f "$errors"
}

# The same for what fits a pattern on stdout.
expect_like() { # HANDLER EVENT PATTERN
    output=$(BOOTSTRAP=$built/$1 "$lambda" run "$2" 2>/dev/null </dev/null)
    # shellcheck disable=SC2254 # a pattern
    case $output in
    $3) passed=$((passed + 1)) ;;
    *) failed=$((failed + 1)) && echo "FAIL $1 $2: expected $3, got $output" ;;
    esac
}

expect hello '{"name":"Ada"}' '{"greeting":"Hello, Ada!"}' 0 ''
expect hello ' { "name" : "" } ' '{"greeting":"Hello, !"}' 0 ''
for event in '{"name":"A\u0041"}' '{"name":"Ada' '{"name":"Ada"' '{"name":"Ada"}}' '{"id":"Ada"}' \
    '{"name":1}' '"name"' '{}' '{"name":"Ada","id":1}'; do
    expect hello "$event" '' 1 'Function.NoName'
done
# shellcheck disable=SC2016 # $LATEST is the version's name
for part in '"functionName":"function"' '"functionVersion":"$LATEST"' '"memorySize":128' \
    '"invokedFunctionArn":"arn:aws:lambda:' '"traceId":"Root=1-' '"deadlineMs":1' '"region":"'; do
    expect_like context '{}' "*$part*"
done
expect fail '"no"' '' 1 '"errorMessage":"\"no\"","errorType":"Function.Refused"'
expect fail '"no"' '' 1 'ERROR '
RESOURCE=$PWD/test/handlers/init.c
export RESOURCE
expect_like init '{}' '*init.c - opens a resource once*'
RESOURCE=/nowhere
expect init '{}' '' 1 'Function.NoResource'
expect_like stream '{}' '*one
two
three'
expect_like stream '"fail"' '*one'
ROUNDS=2
export ROUNDS
expect slow '{}' 2 0 ''
unset ROUNDS
TIMEOUT=1
export TIMEOUT
expect_like slow '{}' '[2-5][0-9]' # rounds of 10 ms in the half second it has
unset TIMEOUT
expect crash '{}' '{}' 0 ''
expect crash '"crash"' '' 1 'Runtime.ExitError'
expect crash '"exit"' '' 1 'exit status 7'
expect big '{}' '' 1 'Function.ResponseSizeTooLarge'
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
