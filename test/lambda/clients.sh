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

if [ $# -ne 2 ] || [ ! -x "$1" ] || [ ! -x "$2" ]; then
    echo "usage: clients.sh LOCAL_LAMBDA PROBE (two executables)" >&2
    exit 2
fi

cd "$(dirname "$0")/../.." || exit 2
. test/checks.sh
lambda=$1 probe=$2

# No user's configuration, no look for credentials elsewhere, no pager.
export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
export AWS_EC2_METADATA_DISABLED=true AWS_PAGER='' AWS_MAX_ATTEMPTS=1
unset AWS_PROFILE AWS_ENDPOINT_URL http_proxy HTTP_PROXY all_proxy ALL_PROXY

# A local Lambda on a free port, perhaps for one FUNCTION; its address in $endpoint and $url.
serve() {
    start 'serves at' env FUNCTION="${1-}" PORT=0 BOOTSTRAP="${2-$probe}" "$lambda" serve
    endpoint=$(sed -n 's/.* serves at \(http:..127.0.0.1:[0-9]*\).*/\1/p' "$work/log")
    url=$endpoint/2015-03-31/functions/function/invocations
}

# Each of the words stands in what the client printed or got as body.
has() { # NAME WORDS...
    name=$1 missing=0
    shift
    for words in "$@"; do
        cat "$work/err" "$work/out" | grep -qF -- "$words" || missing=1
    done
    verdict "$missing" "$name"
}

got() { # NAME FILE: as body, just that
    cmp -s "$2" "$work/out"
    verdict $? "$1"
}

post() {
    curl -s --max-time 20 -D "$work/err" -o "$work/out" "$@"
}

# A call of the CLI, and one which gets a body into a file.
call() {
    timeout 20 "$aws" --endpoint-url "$endpoint" lambda "$@" >"$work/err" 2>&1
}

invoke() {
    : >"$work/out"
    call invoke --function-name function --cli-binary-format raw-in-base64-out "$@" "$work/out"
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
    post -d @"$work/hello" "$url"
    got "curl: README's example" "$work/hello"
    post -H 'Transfer-Encoding: chunked' -d @"$work/hello" "$url"
    got "curl: a chunked request" "$work/hello"
    post --data-binary @"$work/six" "$url"
    got "curl: 6 MB" "$work/six"
    post -I "$url"
    has "curl: HEAD" "HTTP/1.1 405 "
    post --data-binary @"$work/hello" "$endpoint/path"
    has "curl: a function URL" "HTTP/1.1 200 " '"isBase64Encoded":true' \
        "$(base64 <"$work/hello")"
}

# What the CLI makes of the replies.
aws_cases() {
    serve
    invoke --payload "\"log info $line\"" --log-type Tail --query LogResult --output text
    base64 -d <"$work/err" >"$work/out" 2>/dev/null
    has "aws: log tail of a cold start" "START RequestId: " "$line" "END RequestId: " \
        "Duration: " "Billed Duration: " "Memory Size: 128 MB" "Max Memory Used: " "Init Duration: "
    invoke --payload '{"text":"Hello"}' --qualifier 1
    got "aws: README's example" "$work/hello"
    has "aws: fields" '"StatusCode": 200' '"ExecutedVersion": "'"\$LATEST"
    invoke --payload fileb://"$work/six"
    got "aws: 6 MB" "$work/six"
    invoke --payload '"fail Function.Refused no"'
    has "aws: function error" '"FunctionError": "Unhandled"' '"StatusCode": 200' \
        '"errorType":"Function.Refused"'
    invoke --payload '"crash"' --invocation-type DryRun
    has "aws: DryRun" '"StatusCode": 204'
    invoke --payload "\"log info $line\"" --invocation-type Event
    has "aws: Event" '"StatusCode": 202'
    invoke --payload '"context"' --client-context "$(printf '{"custom":{"a":1}}' | base64)"
    has "aws: context" '|{"custom":{"a":1}}|'
    invoke --payload '{"text":'
    has "aws: an event that is no JSON" "InvalidRequestContentException" \
        "Could not parse request body into json: "
    stop
    [ "$(grep -c "$line" "$work/log")" -eq 2 ]
    verdict $? "aws: the asynchronous invocation ran"
    serve function
    invoke --payload 1 --function-name arn:aws:lambda:us-east-1:123456789012:function:function
    has "aws: by its ARN" 1
    invoke --payload 1 --qualifier 1
    has "aws: another version" "ResourceNotFoundException" ":function:function:1"
    for state in exists active active-v2 updated updated-v2; do
        call wait "function-$state" --function-name function
        verdict $? "aws: wait function-$state"
    done
}

coldstart() { # N EVENT
    N=$1 EVENT=$2 ENDPOINT=$endpoint AWS=$aws sh test/bench/coldstart.sh function \
        >"$work/out" 2>"$work/err"
}

# Its cold starts come from changed variables, which it puts back.
coldstart_cases() {
    serve
    call update-function-configuration --function-name function \
        --environment '{"Variables":{"ANOTHER":"é \"1\""}}'
    has "aws: configuration" '"State": "Active"' '"LastUpdateStatus": "Successful"'
    invoke --payload '"another"'
    has "aws: a variable" 'é "1"'
    call get-function-configuration --function-name function
    cp "$work/err" "$work/before"
    coldstart 5 '"cold"'
    has "coldstart.sh: progress" "coldstart.sh: 5 of 5, function"
    grep -Eq '^\| init, ms +\| function +\| +5 \| +[0-9.]+ \| +[0-9.]+ \|' "$work/out"
    verdict $? "coldstart.sh: its table"
    [ "$(grep -c "Init Duration: " "$work/log")" -eq 6 ]
    verdict $? "coldstart.sh: five more cold starts"
    call get-function-configuration --function-name function
    cmp -s "$work/err" "$work/before"
    verdict $? "coldstart.sh: the variables are back"
    coldstart 1 '"crash"'
    [ $? -eq 1 ]
    verdict $? "coldstart.sh: a function that fails"
    has "coldstart.sh: says so" "coldstart.sh: function failed: {"
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
