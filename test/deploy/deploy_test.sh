#!/bin/sh
# deploy_test.sh - tests what make zip, deploy, invoke and undeploy do: package.sh by itself, and
# deploy.sh with an aws of our own, which records what it is asked, keeps one function, and runs it.
# It asks the real CLI, too, whether it would take the command: up to the point where nobody listens.
#
#   deploy_test.sh BOOTSTRAP LOCAL_LAMBDA ARM64_BOOTSTRAP
#
# Needs make, zip, unzip, qemu-aarch64-static and the aws CLI (AWS, default aws) in version 2 or 1.
# Compiles with CC (musl-gcc). Nothing leaves the machine.
#
# SPDX-License-Identifier: MIT-0
set -eu

die() {
    echo "deploy_test.sh: $*" >&2
    exit 1
}

[ $# -eq 3 ] || die "expected BOOTSTRAP LOCAL_LAMBDA ARM64_BOOTSTRAP"
here=$(cd "$(dirname "$0")" && pwd) top=$(cd "$(dirname "$0")/../.." && pwd)
bootstrap=$(realpath "$1") local_lambda=$(realpath "$2") arm64=$(realpath "$3")
machine=$(uname -m)
arch=arm64 other=x86_64
[ "$machine" != x86_64 ] || arch=x86_64 other=arm64
real_aws=$(command -v "${AWS:-aws}") || die "${AWS:-aws} is missing; expected the AWS CLI in PATH"
unset MAKEFLAGS MFLAGS MAKELEVEL HANDLER ARCH # of the make that runs this, which has a -j of its own
cc=${CC:-musl-gcc}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT PIPE TERM
cd "$scratch"
PATH=$here:$PATH

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

# --- packaging --------------------------------------------------------------------------------

as_nobody() { # COMMAND...
    if [ "$(id -u)" -eq 0 ]; then
        chown -R 65534:65534 another
        setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent "$@"
    else
        "$@"
    fi
}

# In another folder and, when we may be, as another user.
chmod 711 .
for folder in a another/place; do
    mkdir -p $folder
    cp -R "$top/Makefile" "$top/bootstrap.c" "$top/test" $folder
done
expect_success "make zip" make -s -C a zip CC="$cc"
expect_success "make zip elsewhere" \
    as_nobody env TMPDIR=/tmp make -s -C another/place zip CC="$cc"
cmp a/bootstrap another/place/bootstrap || die "bootstrap depends on where it is built"
cmp a/function.zip another/place/function.zip || die "function.zip depends on where it is built"

mkdir one two
cp "$bootstrap" one/bootstrap
cp "$bootstrap" two/bootstrap
chmod 700 two/bootstrap
touch -t 202001010000 two/bootstrap
expect_success "zip" package.sh one/bootstrap "$machine" one/function.zip
echo "not a zip" >two/function.zip
# shellcheck disable=SC2016 # the inner shell expands them
expect_success "zip, other folder, mode, date, zone and umask" env TZ=EST5 ZIPOPT=-0 \
    sh -c 'umask 077; "$0" "$@"' package.sh two/bootstrap "$machine" two/function.zip
cmp one/function.zip two/function.zip || die "the same executable gave two different zips"
mkdir left
env TMPDIR="$PWD/left" package.sh one/bootstrap "$machine" piped.zip 2>err | :
expect_equal "left behind when nobody reads the report" "$(ls left)" ''
TZ=JST-9 SOURCE_DATE_EPOCH=1700000000 package.sh one/bootstrap "$machine" dated.zip >/dev/null
expect_equal "date in the zip" "$(zipinfo dated.zip bootstrap | awk '{ print $7 }')" 23-Nov-14

expect_equal "what is in the zip" "$(zipinfo one/function.zip '*' | awk '{ print $1, $7, $9 }')" \
    "-rwxr-xr-x 80-Jan-01 bootstrap"
unzip -p one/function.zip bootstrap | cmp - "$bootstrap" || die "the zip holds something else"
printf '' >empty
expect_equal "CodeSha256 of nothing" "$(package.sh --code-sha256 empty)" \
    47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=

refused() { # WHAT PATTERN FILE ARCH
    expect_refusal "$1" "$2" package.sh "$3" "$4" refused.zip
    [ ! -e refused.zip ] || die "$1: refused, and yet there is a zip"
}

mkdir without_zip
ln -s "$(command -v sh)" without_zip
expect_refusal "no zip program" "zip is missing; .*apk add zip.*dnf install zip" \
    env PATH="$scratch/without_zip" "$here/package.sh" "$bootstrap" "$machine" refused.zip
ln -s "$(command -v zip)" without_zip
expect_refusal "no readelf" "readelf is missing" \
    env PATH="$scratch/without_zip" "$here/package.sh" "$bootstrap" "$machine" refused.zip
echo 'int main(void) { return 0; }' >main.c
"$cc" main.c -o dynamic
"$cc" -c main.c -o object
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
    env SOURCE_DATE_EPOCH=today package.sh "$bootstrap" "$machine" refused.zip
expect_refusal "no folder for the zip" "cannot be written" \
    package.sh "$bootstrap" "$machine" nowhere/function.zip

# --- the aws command --------------------------------------------------------------------------

# Keeps the function in the folder `lambda`, each option in a file of its own name. As Lambda does, it
# is busy after each change until somebody has waited, and whoever changes or invokes it before that
# is refused. An arm64 function on another machine runs under the emulator, as it would on Graviton.
mkdir lambda
cat >aws <<END
#!/bin/sh
folder='$scratch/lambda'
real='$real_aws' lambda='$local_lambda'
emulator='$([ "$machine" = aarch64 ] || echo qemu-aarch64-static)'
END
cat >>aws <<'END'
refuse() { # NAME MESSAGE
    echo "An error occurred ($1) when calling the $operation operation: $2" >&2
    exit 254
}
keep_code() {
    zip=$(cat "$asked/zip-file")
    unzip -q -o "$zip" bootstrap
    # By the system's own tools, so that it does not agree with our scripts by construction.
    /usr/bin/printf "$(sha256sum <"$zip" | cut -c -64 | sed 's/../\\x&/g')" |
        base64 >code-sha256
}
said=$("$real" "$@" --endpoint-url http://127.0.0.1:1 2>&1)
case $said in *[Cc]onnect*127.0.0.1:1/*) ;; *) echo "$said" >&2; exit 252 ;; esac
operation=$2
shift 2
echo "$operation $*" >>"$folder/../calls"
asked=$(mktemp -d)
trap 'rm -rf "$asked"' EXIT
[ "$operation" = wait ] && shift
while [ $# -gt 0 ]; do
    case $1 in
    --*)
        case $2 in
        fileb://*) realpath "${2#fileb://}" | tr -d '\n' ;;
        *) printf %s "$2" ;;
        esac >"$asked/${1#--}"
        shift 2 ;;
    *) response=$1; shift ;;
    esac
done
cd "$folder" || exit 1
case $operation in
create-function) ;;
*) [ -e function-name ] || refuse ResourceNotFoundException 'Function not found' ;;
esac
case $operation in update* | invoke) [ ! -e busy ] || refuse ResourceConflictException 'busy' ;; esac
case $operation in
create-function | update-function-configuration)
    case $(cat "$asked/role" 2>/dev/null) in
    '' | arn:aws:iam::123456789012:*) ;;
    *) refuse InvalidParameterValueException 'The role cannot be assumed by Lambda.' ;;
    esac ;;
esac
case $operation in
create-function | update-function-*)
    for name in function-name runtime role handler memory-size architectures; do
        [ ! -e "$asked/$name" ] || cp "$asked/$name" .
    done
    [ ! -e "$asked/zip-file" ] || keep_code
    touch busy ;;
wait) rm -f busy ;;
get-function-configuration)
    printf 'arn:aws:lambda:eu-central-1:123456789012:function:%s\t%s\t%s\n' \
        "$(cat function-name)" "$(cat architectures)" "$(cat code-sha256)" ;;
invoke)
    run=./bootstrap
    if [ -n "$emulator" ] && [ "$(cat architectures)" = arm64 ]; then
        printf '#!/bin/sh\nexec %s "%s/bootstrap"\n' "$emulator" "$PWD" >run
        chmod 755 run
        run=./run
    fi
    failed=None
    BOOTSTRAP=$run "$lambda" run "@$(cat "$asked/payload")" >out 2>log || failed=Unhandled
    [ "$failed" = None ] || { tail -n 1 log >out; sed -i '$d' log; }
    cp out "$response"
    printf '%s\t%s\n' "$failed" "$(base64 -w 0 log)" ;;
delete-function) rm -f ./* ;;
*) echo "$operation: not in this stand-in" >&2; exit 1 ;;
esac
END
chmod 755 aws
AWS=$scratch/aws
: >calls

# Nothing of the user's own: neither credentials nor a region, nor a look for them elsewhere.
unset AWS_PROFILE AWS_REGION AWS_SESSION_TOKEN AWS_ENDPOINT_URL_LAMBDA AWS_ENDPOINT_URL
unset DRY_RUN MEMORY TIMEOUT
export AWS_CONFIG_FILE="$scratch/none" AWS_SHARED_CREDENTIALS_FILE="$scratch/none"
export AWS_EC2_METADATA_DISABLED=true AWS_MAX_ATTEMPTS=1 no_proxy=127.0.0.1
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=eu-central-1
export AWS ZIP_FILE="$scratch/one/function.zip" ARCH="$machine"

# The calls since forget_calls that were not just looks.
changes() {
    tail -n +"$((seen + 1))" calls | sed 's/ .*//' | grep -vE '^(get|wait)' | tr '\n' ';'
}

forget_calls() {
    seen=$(wc -l <calls)
}

settings() { # NAME...
    (cd lambda && for name; do cat "$name"; echo; done | tr '\n' ' ')
}

role=arn:aws:iam::123456789012:role/test

# --- deploying --------------------------------------------------------------------------------

expect_refusal "no CLI" "aws is missing" env AWS=no-such-aws deploy.sh undeploy e
expect_refusal "no credentials" "no AWS credentials; expected" \
    env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY deploy.sh deploy echo "$role"
expect_refusal "no region" "no AWS region; expected" \
    env -u AWS_DEFAULT_REGION deploy.sh deploy echo "$role"
expect_refusal "no role" "ROLE is missing; expected" deploy.sh deploy echo ""
expect_refusal "bad role" "ROLE=admin: expected" deploy.sh deploy echo admin
expect_refusal "no function" "FUNCTION is missing" deploy.sh deploy "" "$role"
expect_refusal "no zip" "cannot be read" env ZIP_FILE=none.zip deploy.sh deploy echo "$role"
expect_refusal "bad architecture" "ARCH=mips" env ARCH=mips deploy.sh deploy echo "$role"
expect_refusal "nobody there" "cannot look for echo: .*[Cc]onnect" \
    env AWS="$real_aws" AWS_ENDPOINT_URL=http://127.0.0.1:1 deploy.sh deploy echo "$role"
expect_refusal "a role that Lambda refuses" "cannot create echo: .*cannot be assumed" \
    deploy.sh deploy echo arn:aws:iam::123456789013:role/test
expect_refusal "a function that is not there" "cannot invoke echo: .*not found" deploy.sh invoke echo '{}'

forget_calls
expect_success "dry run" env DRY_RUN=1 AWS=no-such-aws deploy.sh deploy echo "$role"
grep -q "^no-such-aws lambda create-function --function-name echo .*--role $role" out ||
    die "dry run does not show how the function is created: $(cat out)"
grep -q "^# when there is (refused .* unless ARCH is given)" out || die "dry run: $(cat out)"
expect_success "dry run of invoke" env DRY_RUN=1 deploy.sh invoke echo "it's"
sh -n out || die "dry run prints what a shell cannot read: $(cat out)"
expect_success "dry run of undeploy" env DRY_RUN=1 deploy.sh undeploy echo
expect_equal "calls of dry runs" "$(wc -l <calls)" "$seen"

forget_calls
expect_success "create" env HANDLER=some.c deploy.sh deploy echo "$role"
expect_equal "what is deployed" "$(head -n 1 out)" "Deploys     some.c for $arch"
expect_equal "CodeSha256 that is printed" "$(awk '/^CodeSha256/ { print $2 }' out)" \
    "$(package.sh --code-sha256 "$ZIP_FILE")"
expect_equal "ARN that is printed" "$(awk '/^ARN/ { print $2 }' out)" \
    arn:aws:lambda:eu-central-1:123456789012:function:echo
expect_equal "calls that change something" "$(changes)" "create-function;"
expect_equal "settings" "$(settings runtime handler memory-size role)" \
    "provided.al2023 bootstrap 128 $role "

event='{"text":"it'\''s \u00e9 é"}'
expect_success "invoke" deploy.sh invoke echo "$event"
expect_equal "response" "$(cat out)" "$event"
printf '[1,2]' >event.json
expect_success "invoke with a file" deploy.sh invoke echo @event.json
expect_equal "response" "$(cat out)" "[1,2]"
expect_success "invoke with standard input" deploy.sh invoke echo - <event.json
expect_equal "response" "$(cat out)" "[1,2]"
expect_refusal "no event file" "cannot be read; expected an event" deploy.sh invoke echo @none.json

mkdir failing
"$cc" -static -Os "$top/test/handlers/fail.c" -o failing/bootstrap
expect_success "make zip of an executable that is given" \
    make -s -C a zip BOOTSTRAP="$scratch/failing/bootstrap"
cp a/function.zip failing
printf provided.al2 >lambda/runtime
forget_calls
expect_success "update without a role, of an older runtime" \
    env ZIP_FILE=failing/function.zip MEMORY=256 deploy.sh deploy echo ""
expect_equal "calls that change something" "$(changes)" \
    "update-function-code;update-function-configuration;"
expect_equal "settings" "$(settings runtime memory-size role)" "provided.al2023 256 $role "

expect_refusal "a role that cannot be configured" "echo has the new code, .*cannot be assumed" \
    env ZIP_FILE=failing/function.zip deploy.sh deploy echo arn:aws:iam::123456789013:role/test
run deploy.sh invoke echo '{}'
[ "$status" -ne 0 ] || die "a function error must fail make invoke"
[ ! -s out ] || die "an error is no response: $(cat out)"
grep -q '"errorType": *"Function.Refused"' err || die "the error is not printed: $(cat err)"
grep -q '^deploy.sh: echo failed (Unhandled)' err || die "not told that it failed: $(cat err)"
grep -q '^INFO .* about to fail$' err || die "the log's end is not printed: $(cat err)"
passed

# Between packing and uploading somebody exchanges the zip.
cp one/function.zip changing.zip
cat >changing_aws <<END
#!/bin/sh
case "\$*" in *update-function-code*) cp failing/function.zip changing.zip ;; esac
exec '$AWS' "\$@"
END
chmod 755 changing_aws
expect_refusal "other code than packed" "holds other code than changing.zip" \
    env ZIP_FILE=changing.zip AWS=./changing_aws deploy.sh deploy echo "$role"

# Nothing is deployed from this machine for another architecture, or over one, by oversight.
expect_success "other architecture" env ARCH="$other" deploy.sh deploy echo "$role"
forget_calls
run env -u ARCH make -s -C a deploy HANDLER=bootstrap.c CC="$cc" FUNCTION=echo
[ "$status" -ne 0 ] || die "architecture not given: deployed"
grep -q "^deploy.sh: echo runs on $other and this is for $arch; expected ARCH=$other" err ||
    die "architecture not given: $(cat err)"
expect_equal "calls that change something" "$(changes)" ""
expect_success "back" deploy.sh deploy echo "$role"
expect_success "architecture not given, and the same" env -u ARCH deploy.sh deploy echo "$role"

package.sh "$arm64" aarch64 arm64.zip >/dev/null
expect_success "update to arm64" env ZIP_FILE=arm64.zip ARCH=aarch64 deploy.sh deploy echo "$role"
expect_equal "memory that was not given" "$(settings memory-size)" "256 "
expect_equal "architecture" "$(settings architectures)" "arm64 "
expect_success "invoke on arm64" deploy.sh invoke echo '{"on":"arm64"}'
expect_equal "response" "$(cat out)" '{"on":"arm64"}'

expect_success "undeploy" deploy.sh undeploy echo
expect_refusal "undeployed twice" "cannot delete echo: .*not found" deploy.sh undeploy echo

echo "$checks passed, 0 failed"
