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

work=$(mktemp -d) || exit 2
passed=0
failed=0
pid=
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT PIPE TERM

# No user's configuration, no look for credentials elsewhere, no pager.
export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
export AWS_EC2_METADATA_DISABLED=true AWS_PAGER='' AWS_MAX_ATTEMPTS=1
unset FUNCTION AWS_PROFILE AWS_ENDPOINT_URL http_proxy HTTP_PROXY all_proxy ALL_PROXY

stop() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null
    [ -z "$pid" ] || wait "$pid"
    pid=
}

# A local Lambda on a free port, perhaps for one FUNCTION; its address in $endpoint and $url.
start() {
    stop
    : >"$work/log"
    FUNCTION=${1-} PORT=0 BOOTSTRAP=${2-$probe} "$lambda" serve 2>>"$work/log" &
    pid=$!
    tries=0
    until endpoint=$(sed -n 's/.* serves at \(http:..127.0.0.1:[0-9]*\).*/\1/p' "$work/log") &&
        [ -n "$endpoint" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 400 ]; then
            echo "clients.sh: the local Lambda does not come up:" >&2
            cat "$work/log" >&2
            exit 1
        fi
        sleep 0.05
    done
    url=$endpoint/2015-03-31/functions/function/invocations
}

end() {
    echo "$passed passed, $failed failed"
    exit $((failed != 0))
}

# verdict NAME STATUS
verdict() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $1"
        sed 's/^/    /' "$work/out" "$work/head" "$work/log" 2>/dev/null | cut -c1-300 | tail -40
        [ "$failed" -lt 20 ] || end
    fi
}

# expect NAME WORDS...: each of the words stands in what the client printed or got as body.
expect() {
    name=$1 missing=0
    shift
    for words in "$@"; do
        cat "$work/head" "$work/out" | grep -qF -- "$words" || missing=1
    done
    verdict "$name" "$missing"
}

# got NAME FILE: as body, just that.
got() {
    cmp -s "$2" "$work/out"
    verdict "$1" $?
}

post() {
    curl -s --max-time 20 -D "$work/head" -o "$work/out" "$@"
}

# A call of the CLI, and one which gets a body into a file.
call() {
    timeout 20 "$aws" --endpoint-url "$endpoint" lambda "$@" >"$work/head" 2>&1
}

invoke() {
    : >"$work/out"
    call invoke --function-name function --cli-binary-format raw-in-base64-out "$@" "$work/out"
}

lambda=$1 probe=$2
line="a line of the function's log"
printf '{"text":"Hello"}' >"$work/hello"
{
    printf '"'
    head -c 4718590 /dev/urandom | base64 | tr -d '\n' | head -c 6291454
    printf '"'
} >"$work/six"

# What curl sends in a way of its own: chunks, and 6 MB only when it was told to go on.
curl_cases() {
    start
    post -d @"$work/hello" "$url"
    got "curl: README's example" "$work/hello"
    post -H 'Transfer-Encoding: chunked' -d @"$work/hello" "$url"
    got "curl: a chunked request" "$work/hello"
    post --data-binary @"$work/six" "$url"
    got "curl: 6 MB" "$work/six"
    post -I "$url"
    expect "curl: HEAD" "HTTP/1.1 405 "
    post --data-binary @"$work/hello" "$endpoint/path"
    expect "curl: a function URL" "HTTP/1.1 200 " '"isBase64Encoded":true' \
        "$(base64 <"$work/hello")"
}

# A runtime of curl's own, which streams one piece, and another only when the first has arrived.
url_cases() {
    cat >"$work/runtime" <<'END'
#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
id=$(curl -s -D - -o event "$api/next" | tr -d '\r' |
    sed -n 's/^Lambda-Runtime-Aws-Request-Id: //p')
{ printf '{"statusCode":201,"headers":{"content-type":"text/plain"}}\0\0\0\0\0\0\0\0one\n'
    until [ -e go ]; do sleep 0.01; done
    cat event; } |
    curl -s -N -T - -X POST -H 'Lambda-Runtime-Function-Response-Mode: streaming' -H \
        'Content-Type: application/vnd.awslambda.http-integration-response' "$api/$id/response"
exec curl -s "$api/next"
END
    chmod +x "$work/runtime"
    start '' "$work/runtime"
    post -N -b 'c=1' "$endpoint/a?b=c" &
    client=$!
    for _ in $(seq 200); do
        [ "$(cat "$work/out" 2>/dev/null)" = one ] && break
        sleep 0.01
    done
    [ "$(cat "$work/out")" = one ]
    verdict "curl -N: the first piece, before the second is written" $?
    : >"$work/go"
    wait $client
    verdict "curl -N: exit status" $?
    expect "curl -N: head and the rest" "HTTP/1.1 201 " "content-type: text/plain" "chunked" \
        '"rawPath":"/a"' '"b":"c"' '"cookies":["c=1"]'
}

# What the CLI makes of the replies.
aws_cases() {
    start
    invoke --payload "\"log info $line\"" --log-type Tail --query LogResult --output text
    base64 -d <"$work/head" >"$work/out" 2>/dev/null
    expect "aws: log tail of a cold start" "START RequestId: " "$line" "END RequestId: " \
        "Duration: " "Billed Duration: " "Memory Size: 128 MB" "Max Memory Used: " "Init Duration: "
    invoke --payload '{"text":"Hello"}' --qualifier 1
    got "aws: README's example" "$work/hello"
    expect "aws: fields" '"StatusCode": 200' '"ExecutedVersion": "'"\$LATEST"
    invoke --payload fileb://"$work/six"
    got "aws: 6 MB" "$work/six"
    invoke --payload '"fail Function.Refused no"'
    expect "aws: function error" '"FunctionError": "Unhandled"' '"StatusCode": 200' \
        '"errorType":"Function.Refused"'
    invoke --payload '"crash"' --invocation-type DryRun
    expect "aws: DryRun" '"StatusCode": 204'
    invoke --payload "\"log info $line\"" --invocation-type Event
    expect "aws: Event" '"StatusCode": 202'
    invoke --payload '"context"' --client-context "$(printf '{"custom":{"a":1}}' | base64)"
    expect "aws: context" '|{"custom":{"a":1}}|'
    invoke --payload '{"text":'
    expect "aws: an event that is no JSON" "InvalidRequestContentException" \
        "Could not parse request body into json: "
    stop
    [ "$(grep -c "$line" "$work/log")" -eq 2 ]
    verdict "aws: the asynchronous invocation ran" $?
    start function
    invoke --payload 1 --function-name arn:aws:lambda:us-east-1:123456789012:function:function
    expect "aws: by its ARN" 1
    invoke --payload 1 --qualifier 1
    expect "aws: another version" "ResourceNotFoundException" ":function:function:1"
    for state in exists active active-v2 updated updated-v2; do
        call wait "function-$state" --function-name function
        verdict "aws: wait function-$state" $?
    done
}

coldstart() { # N EVENT
    N=$1 EVENT=$2 ENDPOINT=$endpoint AWS=$aws sh "$(dirname "$0")/../bench/coldstart.sh" function \
        >"$work/out" 2>"$work/head"
}

# Its cold starts come from changed variables, which it puts back.
coldstart_cases() {
    start
    call update-function-configuration --function-name function \
        --environment '{"Variables":{"ANOTHER":"é \"1\""}}'
    expect "aws: configuration" '"State": "Active"' '"LastUpdateStatus": "Successful"'
    invoke --payload '"another"'
    expect "aws: a variable" 'é "1"'
    call get-function-configuration --function-name function
    cp "$work/head" "$work/before"
    coldstart 5 '"cold"'
    expect "coldstart.sh: progress" "coldstart.sh: 5 of 5, function"
    grep -Eq '^\| init, ms +\| function +\| +5 \| +[0-9.]+ \| +[0-9.]+ \|' "$work/out"
    verdict "coldstart.sh: its table" $?
    [ "$(grep -c "Init Duration: " "$work/log")" -eq 6 ]
    verdict "coldstart.sh: five more cold starts" $?
    call get-function-configuration --function-name function
    cmp -s "$work/head" "$work/before"
    verdict "coldstart.sh: the variables are back" $?
    coldstart 1 '"crash"'
    [ $? -eq 1 ]
    verdict "coldstart.sh: a function that fails" $?
    expect "coldstart.sh: says so" "coldstart.sh: function failed: {"
}

aws=
for candidate in "${AWS:-aws}" /usr/bin/aws; do
    case $("$candidate" --version 2>&1) in
    aws-cli/2*) aws=$candidate && break ;;
    esac
done
if command -v curl >/dev/null; then
    curl_cases
    url_cases
else
    echo "skipped: curl is not installed"
fi
if [ -n "$aws" ]; then
    aws_cases
    coldstart_cases
else
    echo "skipped: the AWS CLI, version 2, is not installed (package awscli)"
fi
end
