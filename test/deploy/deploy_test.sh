#!/bin/sh
# deploy_test.sh - tests what make zip, deploy, invoke and undeploy do: package.sh by itself, and
# deploy.sh with the real aws CLI against control_plane, which runs what it was given.
#
#   deploy_test.sh BOOTSTRAP CONTROL_PLANE LOCAL_LAMBDA [ARM64_BOOTSTRAP]
#
# Needs make, zip, unzip and the aws CLI (AWS, default aws) in version 2 or 1; for the fourth
# argument qemu-aarch64-static, too. Compiles with CC (musl-gcc). Nothing leaves the machine.
#
# SPDX-License-Identifier: MIT-0
set -eu

die() {
    echo "deploy_test.sh: $*" >&2
    exit 1
}

[ $# -ge 3 ] || die "expected BOOTSTRAP CONTROL_PLANE LOCAL_LAMBDA [ARM64_BOOTSTRAP]"
here=$(cd "$(dirname "$0")" && pwd) top=$(cd "$(dirname "$0")/../.." && pwd)
bootstrap=$(realpath "$1") control_plane=$(realpath "$2") local_lambda=$(realpath "$3")
arm64=${4:+$(realpath "$4")}
machine=$(uname -m)
arch=arm64 other=x86_64
[ "$machine" != x86_64 ] || arch=x86_64 other=arm64
AWS=${AWS:-aws}
unset MAKEFLAGS MFLAGS MAKELEVEL HANDLER ARCH # of the make that runs this, which has a -j of its own
scratch=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT PIPE TERM
cd "$scratch"

# --- what a check is --------------------------------------------------------------------------

checks=0

# Runs a command with its output in $scratch/out and err, and its exit status in $status.
run() {
    status=0
    "$@" >out 2>err || status=$?
}

passed() {
    checks=$((checks + 1))
}

expect_success() { # WHAT COMMAND...
    what=$1
    shift
    run "$@"
    [ "$status" -eq 0 ] || die "$what: exit status $status: $(cat err)"
    [ ! -s err ] || die "$what: unexpected on stderr: $(cat err)"
    passed
}

# A refusal is one line that begins with the program's name, and a status that is not 0.
expect_refusal() { # WHAT PATTERN COMMAND...
    what=$1 pattern=$2
    shift 2
    run "$@"
    [ "$status" -ne 0 ] || die "$what: succeeded; expected a refusal"
    [ "$(wc -l <err)" -eq 1 ] || die "$what: expected one line, got: $(cat err)"
    grep -q "^[a-z]*\.sh: .*$pattern" err || die "$what: expected \"$pattern\", got: $(cat err)"
    passed
}

expect_equal() { # WHAT FOUND EXPECTED
    [ "$2" = "$3" ] || die "$1: $2; expected $3"
    passed
}

compile() { # OUT OPTIONS..., the source from stdin
    "${CC:-musl-gcc}" -x c -I"$top" -o "$@" -
}

# --- packaging --------------------------------------------------------------------------------

package() {
    "$here/package.sh" "$@"
}

as_nobody() { # COMMAND...
    if [ "$(id -u)" -eq 0 ]; then
        chown -R 65534:65534 another
        setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent "$@"
    else
        "$@"
    fi
}

# In another folder and, when we may be, as another user.
test_reproducible_build() {
    chmod 711 .
    for folder in a another/place; do
        mkdir -p $folder
        cp -R "$top/Makefile" "$top/bootstrap.c" "$top/test" $folder
    done
    expect_success "make zip" make -s -C a zip CC="${CC:-musl-gcc}"
    expect_success "make zip elsewhere" \
        as_nobody make -s -C another/place zip CC="${CC:-musl-gcc}"
    cmp a/bootstrap another/place/bootstrap || die "bootstrap depends on where it is built"
    cmp a/function.zip another/place/function.zip || die "function.zip depends on where it is built"
}

test_reproducible_zip() {
    mkdir one two
    cp "$bootstrap" one/bootstrap
    cp "$bootstrap" two/bootstrap
    chmod 700 two/bootstrap
    touch -t 202001010000 two/bootstrap
    expect_success "zip" package one/bootstrap "$machine" one/function.zip
    echo "not a zip" >two/function.zip
    # shellcheck disable=SC2016 # the inner shell expands them
    expect_success "zip, other folder, mode, date, zone and umask" env TZ=EST5 ZIPOPT=-0 \
        sh -c 'umask 077; "$0" "$@"' "$here/package.sh" two/bootstrap "$machine" two/function.zip
    cmp one/function.zip two/function.zip || die "the same executable gave two different zips"
    expect_equal "date in the zip" "$(zipinfo one/function.zip bootstrap | awk '{ print $7 }')" \
        80-Jan-01
    mkdir left
    env TMPDIR="$PWD/left" "$here/package.sh" one/bootstrap "$machine" piped.zip 2>err | :
    expect_equal "left behind when nobody reads the report" "$(ls left)" ''
    TZ=JST-9 SOURCE_DATE_EPOCH=1700000000 package one/bootstrap "$machine" dated.zip >/dev/null
    expect_equal "date in the zip" "$(zipinfo dated.zip bootstrap | awk '{ print $7 }')" 23-Nov-14
}

test_content() {
    expect_equal "names in the zip" "$(zipinfo -1 one/function.zip)" bootstrap
    expect_equal "mode in the zip" "$(zipinfo one/function.zip bootstrap | cut -c 1-10)" -rwxr-xr-x
    unzip -p one/function.zip bootstrap | cmp - "$bootstrap" || die "the zip holds something else"
    printf '' >empty
    expect_equal "CodeSha256 of nothing" "$(package --code-sha256 empty)" \
        47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
}

refused() { # WHAT PATTERN FILE ARCH
    expect_refusal "$1" "$2" package "$3" "$4" refused.zip
    [ ! -e refused.zip ] || die "$1: refused, and yet there is a zip"
}

test_refusals() {
    mkdir without_zip
    for tool in sh dirname; do ln -s "$(command -v $tool)" without_zip; done
    expect_refusal "no zip program" "zip is missing; .*apk add zip.*dnf install zip" \
        env PATH="$scratch/without_zip" "$here/package.sh" "$bootstrap" "$machine" refused.zip
    echo 'int main(void) { return 0; }' | compile dynamic
    echo 'int x;' | compile object -c
    printf '#!/bin/sh\n' >script
    head -c 100 "$bootstrap" >'cut'
    cp "$bootstrap" plain
    chmod 755 object script cut
    chmod 644 plain
    refused "dynamic executable" "dynamic: dynamically linked" dynamic "$machine"
    refused "not executable" "plain: not executable" plain "$machine"
    refused "other architecture" "built for .*; expected $other" "$bootstrap" "$other"
    refused "script" "script: not a 64-bit ELF executable" script "$machine"
    refused "object file" "object: not a 64-bit ELF executable" object "$machine"
    refused "cut off" "cut: .*cut short" cut "$machine"
    refused "no file" "nothing: no such file" nothing "$machine"
    refused "unknown architecture" "ARCH=mips: expected" "$bootstrap" mips
    expect_refusal "bad date" "SOURCE_DATE_EPOCH=today" \
        env SOURCE_DATE_EPOCH=today "$here/package.sh" "$bootstrap" "$machine" refused.zip
    expect_refusal "no folder for the zip" "cannot be written" \
        package "$bootstrap" "$machine" nowhere/function.zip
}

# --- the control plane ------------------------------------------------------------------------

# An arm64 function on another machine starts under the emulator, as it would start on Graviton.
write_runner() {
    cat >runner <<END
#!/bin/sh
elf_machine=\$(od -A n -t u1 -j 18 -N 1 "\$BOOTSTRAP" | tr -d ' ')
if [ "\$elf_machine" = 183 ] && [ $machine != aarch64 ]; then
    mv "\$BOOTSTRAP" "\$BOOTSTRAP.arm64"
    printf '#!/bin/sh\nexec qemu-aarch64-static "%s.arm64"\n' "\$BOOTSTRAP" >"\$BOOTSTRAP"
    chmod 755 "\$BOOTSTRAP"
fi
exec '$local_lambda' "\$@"
END
    chmod 755 runner
}

start_control_plane() {
    write_runner
    mkdir plane
    "$control_plane" plane runner >calls 2>plane.err &
    server=$!
    tries=0
    while [ ! -s calls ]; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || die "control_plane did not start: $(cat plane.err)"
        sleep 0.1
    done
    AWS_ENDPOINT_URL=$(head -n 1 calls)
    export AWS_ENDPOINT_URL
}

# Nothing of the user's own: neither credentials nor a region, nor a look for them elsewhere.
use_test_account() {
    unset AWS_PROFILE AWS_REGION AWS_SESSION_TOKEN AWS_ENDPOINT_URL_LAMBDA DRY_RUN MEMORY TIMEOUT
    export AWS_CONFIG_FILE="$scratch/none" AWS_SHARED_CREDENTIALS_FILE="$scratch/none"
    export AWS_EC2_METADATA_DISABLED=true AWS_MAX_ATTEMPTS=1 no_proxy=127.0.0.1
    export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=eu-central-1
    export AWS ZIP_FILE="$scratch/one/function.zip" ARCH="$machine"
}

deploy() { # FUNCTION ROLE
    "$here/deploy.sh" deploy "$@"
}

invoke() { # FUNCTION EVENT
    "$here/deploy.sh" invoke "$@"
}

undeploy() { # FUNCTION
    "$here/deploy.sh" undeploy "$@"
}

# The calls since forget_calls that were not just looks, without their paths' common beginning.
changes() {
    tail -n +"$((seen + 1))" calls | sed 's|/2015-03-31/functions||' | grep -v GET | tr '\n' ';'
}

forget_calls() {
    seen=$(wc -l <calls)
}

setting() { # NAME
    "$AWS" lambda get-function-configuration --function-name echo --query "$1" --output text \
        --endpoint-url "$AWS_ENDPOINT_URL"
}

role=arn:aws:iam::123456789012:role/test

# --- deploying --------------------------------------------------------------------------------

test_missing() {
    expect_refusal "no CLI" "aws is missing" \
        env AWS=no-such-aws "$here/deploy.sh" undeploy e
    expect_refusal "no credentials" "no AWS credentials; expected" \
        env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY "$here/deploy.sh" deploy echo "$role"
    expect_refusal "no region" "no AWS region; expected" \
        env -u AWS_DEFAULT_REGION "$here/deploy.sh" deploy echo "$role"
    expect_refusal "no role" "ROLE is missing; expected" deploy echo ""
    expect_refusal "bad role" "ROLE=admin: expected" deploy echo admin
    expect_refusal "no function" "FUNCTION is missing" deploy "" "$role"
    expect_refusal "no zip" "cannot be read" env ZIP_FILE=none.zip "$here/deploy.sh" deploy echo "$role"
    expect_refusal "bad architecture" "ARCH=mips" \
        env ARCH=mips "$here/deploy.sh" deploy echo "$role"
    expect_refusal "nobody there" "cannot look for echo: .*[Cc]onnect" \
        env AWS_ENDPOINT_URL=http://127.0.0.1:1 "$here/deploy.sh" deploy echo "$role"
    expect_refusal "a role that Lambda refuses" "cannot create echo: .*cannot be assumed" \
        deploy echo arn:aws:iam::123456789013:role/test
    expect_refusal "a function that is not there" "cannot invoke echo: .*not found" invoke echo '{}'
    expect_refusal "nothing to undeploy" "cannot delete echo: .*not found" undeploy echo
}

test_dry_run() {
    forget_calls
    expect_success "dry run" env DRY_RUN=1 AWS=no-such-aws "$here/deploy.sh" deploy echo "$role"
    grep -q "^no-such-aws lambda create-function --function-name echo .*--role $role" out ||
        die "dry run does not show how the function is created: $(cat out)"
    expect_success "dry run of invoke" env DRY_RUN=1 "$here/deploy.sh" invoke echo "it's"
    sh -n out || die "dry run prints what a shell cannot read: $(cat out)"
    expect_success "dry run of undeploy" env DRY_RUN=1 "$here/deploy.sh" undeploy echo
    expect_equal "calls of dry runs" "$(wc -l <calls)" "$seen"
}

test_create() {
    forget_calls
    expect_success "create" env HANDLER=some.c "$here/deploy.sh" deploy echo "$role"
    expect_equal "what is deployed" "$(head -n 1 out)" "Deploys     some.c for $arch"
    expect_equal "state" "$(setting State)" Active
    expect_equal "CodeSha256 that is printed" "$(awk '/^CodeSha256/ { print $2 }' out)" \
        "$(package --code-sha256 "$ZIP_FILE")"
    expect_equal "ARN that is printed" "$(awk '/^ARN/ { print $2 }' out)" \
        arn:aws:lambda:eu-central-1:123456789012:function:echo
    expect_equal "calls that change something" "$(changes)" "POST  201;"
    expect_equal "settings" "$(setting '[Runtime,Handler,MemorySize,Role]' | tr '\t' ' ')" \
        "provided.al2023 bootstrap 128 $role"
}

test_invoke() {
    event='{"text":"it'\''s \u00e9 é"}'
    expect_success "invoke" invoke echo "$event"
    expect_equal "response" "$(cat out)" "$event"
    printf '[1,2]' >event.json
    expect_success "invoke with a file" invoke echo @event.json
    expect_equal "response" "$(cat out)" "[1,2]"
    expect_success "invoke with standard input" invoke echo - <event.json
    expect_equal "response" "$(cat out)" "[1,2]"
    expect_refusal "no event file" "cannot be read; expected an event" invoke echo @none.json
}

test_update() {
    mkdir failing
    compile failing/bootstrap -static -Os <<'END'
#define HANDLER fail
#include "bootstrap.c"
static struct outcome fail(const struct invocation *invocation) {
    write(STDERR_FILENO, "looking at the event\n", 21);
    return failure(S("Function.Refused"), invocation->event);
}
END
    package failing/bootstrap "$machine" failing/function.zip >/dev/null
    forget_calls
    expect_success "update without a role" \
        env ZIP_FILE=failing/function.zip MEMORY=256 "$here/deploy.sh" deploy echo ""
    expect_equal "calls that change something" "$(changes)" \
        "PUT /echo/code 200;PUT /echo/configuration 200;"
    expect_equal "settings" "$(setting '[MemorySize,Role]' | tr '\t' ' ')" "256 $role"
}

test_failure() {
    run invoke echo '{}'
    [ "$status" -ne 0 ] || die "a function error must fail make invoke"
    [ ! -s out ] || die "an error is no response: $(cat out)"
    grep -q '"errorType": *"Function.Refused"' err || die "the error is not printed: $(cat err)"
    grep -q '^deploy.sh: echo failed (Unhandled)' err || die "not told that it failed: $(cat err)"
    grep -q '^looking at the event$' err || die "the log's end is not printed: $(cat err)"
    passed
}

# Between packing and uploading somebody exchanges the zip.
test_other_code() {
    cp one/function.zip changing.zip
    cat >changing_aws <<END
#!/bin/sh
case "\$*" in *update-function-code*) cp failing/function.zip changing.zip ;; esac
exec '$AWS' "\$@"
END
    chmod 755 changing_aws
    expect_refusal "other code than packed" "holds other code than changing.zip" \
        env ZIP_FILE=changing.zip AWS=./changing_aws "$here/deploy.sh" deploy echo "$role"
}

# Nothing is deployed from this machine for another architecture, or over one, by oversight.
test_architecture() {
    expect_success "other architecture" env ARCH="$other" "$here/deploy.sh" deploy echo "$role"
    forget_calls
    run env -u ARCH make -s -C a deploy HANDLER=bootstrap.c CC="${CC:-musl-gcc}" FUNCTION=echo
    [ "$status" -ne 0 ] || die "architecture not given: deployed"
    grep -q "^deploy.sh: echo runs on $other and this is for $arch; expected ARCH=$other" err ||
        die "architecture not given: $(cat err)"
    expect_equal "calls that change something" "$(changes)" ""
    expect_success "back" deploy echo "$role"
    expect_success "architecture not given, and the same" \
        env -u ARCH "$here/deploy.sh" deploy echo "$role"
}

test_arm64() {
    [ -n "$arm64" ] || return 0
    package "$arm64" aarch64 arm64.zip >/dev/null
    expect_success "update to arm64" \
        env ZIP_FILE=arm64.zip ARCH=aarch64 "$here/deploy.sh" deploy echo "$role"
    expect_equal "memory that was not given" "$(setting MemorySize)" 256
    expect_equal "architecture" "$(setting 'Architectures[0]')" arm64
    expect_success "invoke on arm64" invoke echo '{"on":"arm64"}'
    expect_equal "response" "$(cat out)" '{"on":"arm64"}'
}

test_undeploy() {
    expect_success "undeploy" undeploy echo
    expect_refusal "undeployed twice" "cannot delete echo: .*not found" undeploy echo
}

use_test_account
test_reproducible_build
test_reproducible_zip
test_content
test_refusals
start_control_plane
test_missing
test_dry_run
test_create
test_invoke
test_update
test_failure
test_other_code
test_architecture
test_arm64
test_undeploy
[ ! -s plane.err ] || die "control_plane complains: $(cat plane.err)"
echo "$checks passed, 0 failed"
