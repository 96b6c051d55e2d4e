#!/bin/sh
# clients.sh - the local Lambda as its users' clients see it: the real curl and AWS CLI,
# version 2 (Debian's package awscli). What needs no package is in lambda_test.c.
#
#     clients.sh LOCAL_LAMBDA PROBE        PROBE is built from test/runtime/probe.c
#
# A client that is not installed is skipped, with a word. AWS=path names another AWS CLI.
#
# SPDX-License-Identifier: MIT-0
set -u

. test/checks.sh
if [ $# -ne 2 ] || [ ! -x "$1" ] || [ ! -x "$2" ]; then
    die "expected LOCAL_LAMBDA PROBE, two executables"
fi
lambda=$1 probe=$2

# No user's configuration, no look for credentials elsewhere, no pager.
export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
export AWS_EC2_METADATA_DISABLED=true AWS_PAGER='' AWS_MAX_ATTEMPTS=1
unset AWS_PROFILE AWS_ENDPOINT_URL http_proxy HTTP_PROXY all_proxy ALL_PROXY

# A local Lambda on a free port, perhaps for one FUNCTION; its address in $endpoint and $url.
serve() {
    start 'serves at' env FUNCTION="${1-}" PORT=0 BOOTSTRAP="$probe" "$lambda" serve
    endpoint=$(sed -n 's/.* serves at \(http:..127.0.0.1:[0-9]*\).*/\1/p' "$work/log")
    url=$endpoint/2015-03-31/functions/function/invocations
}

# A client prints what it says of the reply, such as its head, and then the body, which is in a file, too.
post() {
    : >"$work/body"
    curl -s --max-time 20 -D - -o "$work/body" "$@" && cat "$work/body"
}

call() {
    timeout 20 "$aws" --endpoint-url "$endpoint" lambda "$@"
}

invoke() {
    : >"$work/body"
    call invoke --function-name function --cli-binary-format raw-in-base64-out "$@" "$work/body" &&
        cat "$work/body"
}

body() { # NAME FILE CLIENT...: has just that as its body
    name=$1 file=$2
    shift 2
    run "$@"
    check "$name" cmp "$file" "$work/body"
}

line="a line of the function's log"
printf '{"text":"Hello"}' >"$work/hello"
{
    printf '"'
    head -c 4718590 /dev/urandom | base64 | tr -d '\n' | head -c 6291454
    printf '"'
} >"$work/six"

# What curl sends in a way of its own: chunks, and 6 MB only when it was told to go on.
curl_cases() {
    serve
    body "curl: README's example" "$work/hello" post -d @"$work/hello" "$url"
    body "curl: a chunked request" "$work/hello" \
        post -H 'Transfer-Encoding: chunked' -d @"$work/hello" "$url"
    body "curl: 6 MB" "$work/six" post --data-binary @"$work/six" "$url"
    expect "curl: HEAD" 0 "HTTP/1.1 405 *" post -I "$url"
    expect "curl: a function URL" 0 "HTTP/1.1 200 *\"body\":\"$(base64 <"$work/hello")\"*" \
        post --data-binary @"$work/hello" "$endpoint/path"
}

log_tail() { # OPTION...
    invoke --log-type Tail --query LogResult --output text "$@" | head -n 1 | base64 -d
}

# What the CLI makes of the replies.
# shellcheck disable=SC2016 # $LATEST is the version's name
aws_cases() {
    serve
    lines="*START RequestId: *$line*END RequestId: *Duration: *Billed Duration: "
    expect "aws: log tail of a cold start" 0 \
        "$lines*Memory Size: 128 MB*Max Memory Used: *Init Duration: *" \
        log_tail --payload "\"log info $line\""
    body "aws: README's example" "$work/hello" invoke --payload '{"text":"Hello"}' --qualifier 1
    body "aws: 6 MB" "$work/six" invoke --payload fileb://"$work/six"
    expect "aws: function error" 0 \
        '*"StatusCode": 200*"Unhandled"*"ExecutedVersion": "$LATEST"*"errorType":"Function.Refused"*' \
        invoke --payload '"fail Function.Refused no"'
    expect "aws: DryRun" 0 '*"StatusCode": 204*' invoke --payload '"crash"' --invocation-type DryRun
    expect "aws: Event" 0 '*"StatusCode": 202*' \
        invoke --payload "\"log info $line\"" --invocation-type Event
    expect "aws: context" 0 '*|{"custom":{"a":1}}|*' \
        invoke --payload '"context"' --client-context "$(printf '{"custom":{"a":1}}' | base64)"
    expect "aws: an event that is no JSON" 1 \
        '|*InvalidRequestContentException*Could not parse request body into json: *' \
        invoke --payload '{"text":'
    stop
    equal "aws: the asynchronous invocation ran" "$(grep -c "$line" "$work/log")" 2
    serve function
    expect "aws: by its ARN" 0 '*}?1|' invoke --payload 1 \
        --function-name arn:aws:lambda:us-east-1:123456789012:function:function
    expect "aws: another version" 1 '|*ResourceNotFoundException*:function:function:1*' \
        invoke --payload 1 --qualifier 1
    for state in exists active active-v2 updated updated-v2; do
        check "aws: wait function-$state" call wait "function-$state" --function-name function
    done
}

coldstart() { # N EVENT
    env N="$1" EVENT="$2" ENDPOINT="$endpoint" AWS="$aws" sh test/bench/coldstart.sh function
}

# Its cold starts come from changed variables, which it puts back.
coldstart_cases() {
    serve
    expect "aws: configuration" 0 '*"State": "Active"*"LastUpdateStatus": "Successful"*' \
        call update-function-configuration --function-name function \
        --environment '{"Variables":{"ANOTHER":"é \"1\""}}'
    expect "aws: a variable" 0 '*é "1"*' invoke --payload '"another"'
    call get-function-configuration --function-name function >"$work/before"
    expect "coldstart.sh" 0 '*| function *coldstart.sh: 5 of 5, function*' coldstart 5 '"cold"'
    cp "$work/out" "$work/table"
    check "coldstart.sh: its table" \
        grep -Eq '^\| init, ms +\| function +\| +5 \| +[0-9.]+ \| +[0-9.]+ \|' "$work/table"
    equal "coldstart.sh: five more cold starts" "$(grep -c "Init Duration: " "$work/log")" 6
    call get-function-configuration --function-name function >"$work/after"
    check "coldstart.sh: the variables are back" cmp "$work/before" "$work/after"
    expect "coldstart.sh: a function that fails" 1 '*coldstart.sh: function failed: {*' \
        coldstart 1 '"crash"'
}

aws=
for candidate in "${AWS:-aws}" /usr/bin/aws; do
    case $("$candidate" --version 2>&1) in
    aws-cli/2*) aws=$candidate && break ;;
    esac
done
if command -v curl >/dev/null; then
    curl_cases
else
    skip "curl: it is not installed"
fi
if [ -n "$aws" ]; then
    aws_cases
    coldstart_cases
else
    skip "the AWS CLI, version 2: it is not installed (package awscli)"
fi
end
