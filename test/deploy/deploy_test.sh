#!/bin/sh
# deploy_test.sh - tests what make zip, deploy, invoke and undeploy do: package.sh by itself, and
# deploy.sh with an aws of our own, which writes down what it is asked and keeps one function. It
# asks the real CLI, too, whether it would take the command: up to the point where nobody listens.
#
#   deploy_test.sh BOOTSTRAP ARM64_BOOTSTRAP
#
# Needs make, zip, unzip and the aws CLI (AWS, default aws) in version 2 or 1. Compiles with CC
# (musl-gcc). Nothing leaves the machine.
#
# SPDX-License-Identifier: MIT-0
set -eu

. test/checks.sh
[ $# -eq 2 ] || die "expected BOOTSTRAP ARM64_BOOTSTRAP"
bootstrap=$(realpath "$1") arm64=$(realpath "$2")
top=$PWD
machine=$(uname -m)
arch=arm64 other=x86_64
[ "$machine" != x86_64 ] || arch=x86_64 other=arm64
real_aws=$(command -v "${AWS:-aws}") || die "${AWS:-aws} is missing; expected the AWS CLI in PATH"
cc=${CC:-musl-gcc}
cd "$work"
PATH=$top/test/deploy:$PATH

# A refusal is one line that begins with the program's name, and a status that is not 0.
expect_refusal() { # WHAT PATTERN COMMAND...
    what=$1 pattern=$2
    shift 2
    expect "$what" 1 "*|[a-z]*.sh: *$pattern*" "$@"
    equal "$what: lines" "$(wc -l <err)" 1
}

# --- packaging --------------------------------------------------------------------------------

mkdir a
cp -R "$top/Makefile" "$top/bootstrap.c" "$top/test" a
expect "make zip" 0 '*|' make -s -C a zip CC="$cc"

mkdir one two
cp "$bootstrap" one/bootstrap
cp "$bootstrap" two/bootstrap
chmod 700 two/bootstrap
touch -t 202001010000 two/bootstrap
expect "zip" 0 '*|' package.sh one/bootstrap "$machine" one/function.zip
echo "not a zip" >two/function.zip
# shellcheck disable=SC2016 # the inner shell expands them
expect "zip, other folder, mode, date, zone and umask" 0 '*|' env TZ=EST5 ZIPOPT=-0 \
    sh -c 'umask 077; "$0" "$@"' package.sh two/bootstrap "$machine" two/function.zip
check "the same zip" cmp one/function.zip two/function.zip
mkdir left
env TMPDIR="$PWD/left" package.sh one/bootstrap "$machine" piped.zip 2>err | :
equal "left behind when nobody reads the report" "$(ls left)" ''

# b- and not bx: no owner, and no other date.
equal "what is in the zip" "$(zipinfo one/function.zip '*' | awk '{ print $1, $5, $7, $9 }')" \
    "-rwxr-xr-x b- 80-Jan-01 bootstrap"
expect "make zip of an executable that is given" 0 '*|' \
    make -s -C a zip HANDLER=test/handlers/fail.c BOOTSTRAP="$bootstrap"
check "that executable in it" cmp a/function.zip one/function.zip
unzip -p one/function.zip bootstrap >unzipped
check "the executable out of the zip" cmp unzipped "$bootstrap"
printf '' >empty
equal "CodeSha256 of nothing" "$(package.sh --code-sha256 empty)" \
    47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=

refused() { # WHAT PATTERN FILE ARCH
    expect_refusal "$1" "$2" package.sh "$3" "$4" refused.zip
    check "$1: no zip" test ! -e refused.zip
}

mkdir without_zip
ln -s "$(command -v sh)" without_zip
expect_refusal "no zip program" "zip is missing; *apk add zip*dnf install zip" \
    env PATH="$work/without_zip" "$top/test/deploy/package.sh" "$bootstrap" "$machine" refused.zip
ln -s "$(command -v zip)" without_zip
expect_refusal "no readelf" "readelf is missing" \
    env PATH="$work/without_zip" "$top/test/deploy/package.sh" "$bootstrap" "$machine" refused.zip
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
refused "other architecture" "built for *; expected $other" "$bootstrap" "$other"
refused "script" "script: not a 64-bit ELF executable" script "$machine"
refused "object file" "object: not a 64-bit ELF executable" object "$machine"
refused "cut off" "cut: *cut short" cut "$machine"
refused "no file" "nothing: no such file" nothing "$machine"
refused "unknown architecture" "ARCH=mips: expected" "$bootstrap" mips
expect_refusal "no folder for the zip" "cannot be written" \
    package.sh "$bootstrap" "$machine" nowhere/function.zip

# --- the aws command --------------------------------------------------------------------------

# It keeps "ARN architecture CodeSha256" of the function in the file live. A role of another account
# is refused, as is everything where there is no function. An event is its own answer.
cat >aws <<END
#!/bin/sh
real='$real_aws' kept='$work'
END
cat >>aws <<'END'
refuse() { # NAME MESSAGE
    echo "An error occurred ($1) when calling the $operation operation: $2" >&2
    exit 254
}
value_of() { # OPTION
    printf %s "$asked" | sed "s/.* --$1 //; s/ .*//; s/^fileb:..//"
}
said=$("$real" "$@" --endpoint-url http://127.0.0.1:1 2>&1)
case $said in *[Cc]onnect*127.0.0.1:1/*) ;; *) echo "$said" >&2; exit 252 ;; esac
operation=$2 asked="aws $*"
echo "$asked" >>"$kept/calls"
[ -e "$kept/live" ] || [ "$operation" = create-function ] ||
    refuse ResourceNotFoundException 'Function not found'
case $asked in
*123456789013*) refuse InvalidParameterValueException 'The role cannot be assumed by Lambda.' ;;
esac
case $operation in
create-function | update-function-code)
    zip=$(value_of zip-file)
    [ ! -e exchanged ] || mv exchanged "$zip"
    # By the system's own tools, so that it does not agree with our scripts by construction.
    sha256=$(/usr/bin/printf "$(sha256sum <"$zip" | cut -c -64 | sed 's/../\\x&/g')" | base64)
    arn=arn:aws:lambda:eu-central-1:123456789012:function:$(value_of function-name)
    printf '%s\t%s\t%s\n' "$arn" "$(value_of architectures)" "$sha256" >"$kept/live"
    ;;
get-function-configuration) cat "$kept/live" ;;
invoke)
    cp "$(value_of payload)" "$(value_of 'output text')"
    printf '%s\t%s\n' "$(cat function-error 2>/dev/null || echo None)" "$(echo its log | base64)"
    ;;
delete-function) rm "$kept/live" ;;
esac
END
chmod 755 aws
AWS=$work/aws

# Nothing of the user's own: neither credentials nor a region, nor a look for them elsewhere.
unset AWS_PROFILE AWS_REGION AWS_SESSION_TOKEN AWS_ENDPOINT_URL_LAMBDA AWS_ENDPOINT_URL
unset MEMORY TIMEOUT
export AWS_CONFIG_FILE="$work/none" AWS_SHARED_CREDENTIALS_FILE="$work/none"
export AWS_EC2_METADATA_DISABLED=true AWS_MAX_ATTEMPTS=1 no_proxy=127.0.0.1
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=eu-central-1
export AWS ZIP_FILE="$work/one/function.zip" ARCH="$machine"

# Succeeds by these operations, each called as a dry run of the same command prints it.
expect_calls() { # WHAT OPERATIONS COMMAND...
    what=$1 operations=$2
    shift 2
    : >calls
    expect "$what, dry run" 0 '*|' env DRY_RUN=1 AWS=aws "$@"
    tr -d "'" <out >shown
    equal "calls of a dry run" "$(cat calls)" ""
    expect "$what" 0 '*|' "$@"
    equal "operations, $what" "$(cut -d ' ' -f 3 calls | tr '\n' ' ')" "$operations "
    equal "not as in the dry run, $what" "$(grep -vxF -f shown calls)" ""
}
look=get-function-configuration
update="$look update-function-code wait update-function-configuration wait $look"

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
expect_refusal "nobody there" "cannot look for echo: *[Cc]onnect" \
    env AWS="$real_aws" AWS_ENDPOINT_URL=http://127.0.0.1:1 deploy.sh deploy echo "$role"
expect_refusal "a role that Lambda refuses" "cannot create echo: *cannot be assumed" \
    deploy.sh deploy echo arn:aws:iam::123456789013:role/test
expect_refusal "a function that is not there" "cannot invoke echo: *not found" deploy.sh invoke echo '{}'

expect "dry run of invoke" 0 '*|' env DRY_RUN=1 deploy.sh invoke echo "it's"
cp out shown
check "a shell can read it" sh -n shown

expect_calls "create" "$look create-function wait $look" \
    env HANDLER=some.c deploy.sh deploy echo "$role"
equal "how it is created" "$(grep create calls)" "aws lambda create-function --function-name echo \
--runtime provided.al2023 --architectures $arch --handler bootstrap --memory-size 128 --role $role \
--zip-file fileb://$ZIP_FILE --query State --output text"
equal "what is deployed" "$(head -n 1 out)" "Deploys     some.c for $arch"
equal "CodeSha256 that is printed" "$(awk '/^CodeSha256/ { print $2 }' out)" \
    "$(package.sh --code-sha256 "$ZIP_FILE")"
equal "ARN that is printed" "$(awk '/^ARN/ { print $2 }' out)" \
    arn:aws:lambda:eu-central-1:123456789012:function:echo
check "dry run says when it is refused" grep "^# when there is (refused .* unless ARCH is given)" shown

event='{"text":"it'\''s \u00e9 é"}'
expect "invoke" 0 '*|' deploy.sh invoke echo "$event"
equal "response" "$(cat out)" "$event"
printf '[1,2]' >event.json
expect "invoke with a file" 0 '\[1,2]|' deploy.sh invoke echo @event.json
expect "invoke with standard input" 0 '\[1,2]|' sh -c 'deploy.sh invoke echo - <event.json'
expect_refusal "no event file" "cannot be read; expected an event" deploy.sh invoke echo @none.json

echo Unhandled >function-error
expect "a function error" 1 '|{"errorType":"Function.Refused"}
deploy.sh: echo failed (Unhandled); the end of its log:
its log' deploy.sh invoke echo '{"errorType":"Function.Refused"}'

expect_calls "update without a role" "$update" env MEMORY=256 deploy.sh deploy echo ""
equal "how it is updated" "$(grep update-function-configuration calls)" \
    "aws lambda update-function-configuration --function-name echo --runtime provided.al2023 \
--handler bootstrap --memory-size 256 --query LastUpdateStatus --output text"
expect_refusal "a role that cannot be configured" "echo has the new code, *cannot be assumed" \
    deploy.sh deploy echo arn:aws:iam::123456789013:role/test

# Between packing and uploading somebody exchanges the zip.
cp one/function.zip changing.zip
package.sh "$arm64" aarch64 exchanged >/dev/null
expect_refusal "other code than packed" "holds other code than changing.zip" \
    env ZIP_FILE=changing.zip deploy.sh deploy echo "$role"

# Nothing is deployed from this machine for another architecture, or over one, by oversight.
expect_calls "other architecture" "$update" env ARCH="$other" deploy.sh deploy echo "$role"
: >calls
expect "architecture not given" 1 \
    "*|deploy.sh: echo runs on $other and this is for $arch; expected ARCH=$other*" \
    env -u ARCH make -s -C a deploy HANDLER=bootstrap.c CC="$cc" FUNCTION=echo
equal "calls that change something" "$(grep update calls)" ""
expect "back" 0 '*|' deploy.sh deploy echo "$role"
expect "architecture not given, and the same" 0 '*|' env -u ARCH deploy.sh deploy echo "$role"

expect_calls "undeploy" delete-function deploy.sh undeploy echo
expect_refusal "undeployed twice" "cannot delete echo: *not found" deploy.sh undeploy echo
end
