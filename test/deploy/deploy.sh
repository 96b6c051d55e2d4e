#!/bin/sh
# deploy.sh - what make deploy, make invoke and make undeploy do, with the aws CLI, version 1 or 2.
#
#   deploy.sh deploy FUNCTION ROLE     creates the function, or updates it when it exists already
#   deploy.sh invoke FUNCTION EVENT    EVENT is JSON, @FILE or - for stdin; prints the response
#   deploy.sh undeploy FUNCTION
#
# Environment: ZIP_FILE (function.zip), HANDLER, which it was built from, and ARCH, which it is for: this
# machine's unless given, but a function that is there keeps its own; MEMORY in MB (128 at first) and
# TIMEOUT in seconds, which stay as they are unless given; AWS (aws); AWS_ENDPOINT_URL_LAMBDA or
# AWS_ENDPOINT_URL, which older CLIs do not read by themselves.
# DRY_RUN=1 prints the commands and runs none of them.
#
# SPDX-License-Identifier: MIT-0
set -eu

zip=${ZIP_FILE:-function.zip}
aws=${AWS:-aws}
endpoint=${AWS_ENDPOINT_URL_LAMBDA:-${AWS_ENDPOINT_URL:-}}
dry_run=${DRY_RUN:-}
export AWS_PAGER= # or version 2 stops at a pager
if [ -n "${AWS_REGION-}" ]; then
    export AWS_DEFAULT_REGION="$AWS_REGION" # version 1 reads no other name
fi
exec 3>&1 # for what a dry run prints, also where output is captured

die() {
    printf 'deploy.sh: %s\n' "$*" >&2
    exit 1
}

# --- the CLI ----------------------------------------------------------------------------------

quoted() { # WORD
    printf '%s\n' "'$(printf %s "$1" | sed "s/'/'\\\\''/g")'"
}

# A command as a shell would read it.
show() { # COMMAND...
    line=
    for word in "$@"; do
        case $word in
        '' | *[!A-Za-z0-9_./:@,+-]*) word=$(quoted "$word") ;;
        esac
        line="$line $word"
    done
    printf '%s\n' "${line# }" >&3
}

comment() {
    [ -z "$dry_run" ] || echo "# $*" >&3
}

# Standard error goes to $scratch/error, for explain.
lambda() { # OPERATION OPTIONS...
    set -- "$aws" lambda "$@"
    [ -z "$endpoint" ] || set -- "$@" --endpoint-url "$endpoint"
    if [ -n "$dry_run" ]; then
        show "$@"
    else
        "$@" 2>"$scratch/error"
    fi
}

# Ends with one line: for what a first deployment lacks with its remedy, for the rest with what the
# CLI said.
explain() { # WHAT
    message=$(tr -s '\n' ' ' <"$scratch/error" | sed 's/^ *//; s/ *$//')
    case $message in
    *[Uu]'nable to locate credentials'*)
        die "no AWS credentials; expected AWS_ACCESS_KEY_ID and its secret, or aws configure"
        ;;
    *'specify a region'*)
        die "no AWS region; expected AWS_REGION, such as AWS_REGION=eu-central-1, or aws configure"
        ;;
    *) die "$1: ${message:-$aws failed without a word}" ;;
    esac
}

# --- deploy -----------------------------------------------------------------------------------

create() { # FUNCTION ROLE ARCHITECTURE
    lambda create-function --function-name "$1" --runtime provided.al2023 --architectures "$3" \
        --handler bootstrap --memory-size "${MEMORY:-128}" ${TIMEOUT:+--timeout "$TIMEOUT"} \
        --role "$2" --zip-file "fileb://$zip" \
        --query State --output text >/dev/null || explain "cannot create $1"
    lambda wait function-active-v2 --function-name "$1" || explain "$1 did not become active"
}

# Lambda takes one change at a time, so each is waited for.
update() { # FUNCTION ROLE ARCHITECTURE
    lambda update-function-code --function-name "$1" --architectures "$3" \
        --zip-file "fileb://$zip" \
        --query LastUpdateStatus --output text >/dev/null || explain "cannot update the code of $1"
    lambda wait function-updated-v2 --function-name "$1" || explain "$1 did not take the code"
    lambda update-function-configuration --function-name "$1" --runtime provided.al2023 \
        --handler bootstrap ${MEMORY:+--memory-size "$MEMORY"} ${TIMEOUT:+--timeout "$TIMEOUT"} \
        ${2:+--role "$2"} \
        --query LastUpdateStatus --output text >/dev/null ||
        explain "$1 has the new code, and cannot be configured"
    lambda wait function-updated-v2 --function-name "$1" ||
        explain "$1 has the new code, and was not configured"
}

# What Lambda now holds: "ARN architecture CodeSha256".
held() { # FUNCTION
    lambda get-function-configuration --function-name "$1" \
        --query '[FunctionArn,Architectures[0],CodeSha256]' --output text
}

create_or_update() { # FUNCTION ROLE ARCHITECTURE
    if live=$(held "$1"); then
        live=${live%	*}
        live=${live##*	}
        [ -n "${ARCH-}" ] || [ "$live" = "$3" ] ||
            die "$1 runs on $live and this is for $3; expected ARCH=$live, or ARCH=$3 to change that"
        update "$@"
    elif grep -q ResourceNotFoundException "$scratch/error"; then
        [ -n "$2" ] || die "$1 is to be created and ROLE is missing; expected ROLE=$role_form"
        create "$@"
    else
        explain "cannot look for $1"
    fi
}

show_deploy() { # FUNCTION ROLE ARCHITECTURE
    held "$1"
    comment "when there is no such function:"
    create "$1" "${2:-$role_form}" "$3"
    comment "when there is (refused if that runs on another architecture, unless ARCH is given):"
    update "$@"
    comment "and at the end, to compare CodeSha256:"
    held "$1"
}

role_form=arn:aws:iam::123456789012:role/NAME

deploy() { # FUNCTION ROLE
    case ${ARCH:-$(uname -m)} in
    x86_64 | amd64) set -- "$1" "$2" x86_64 ;;
    arm64 | aarch64) set -- "$1" "$2" arm64 ;;
    *) die "ARCH=${ARCH:-$(uname -m)}: expected x86_64 (or amd64) or arm64 (or aarch64)" ;;
    esac
    case $2 in
    '' | arn:*:iam::*:role/*) ;;
    *) die "ROLE=$2: expected the role's ARN, such as $role_form" ;;
    esac
    if [ -n "$dry_run" ]; then
        comment "deploys ${HANDLER:-$zip} for $3:"
        case ${HANDLER-} in *.[aco]) show make "HANDLER=$HANDLER" "ARCH=$3" zip ;; esac
        show_deploy "$@"
        return
    fi
    echo "Deploys     ${HANDLER:-$zip} for $3"
    packed=$(sh "$(dirname "$0")/package.sh" --code-sha256 "$zip")
    create_or_update "$@"
    now=$(held "$1") || explain "cannot read back $1"
    echo "ARN         ${now%%	*}"
    echo "CodeSha256  ${now##*	}"
    [ "${now##*	}" = "$packed" ] || die "$1 holds other code than $zip; expected CodeSha256 $packed"
}

# --- invoke and undeploy ----------------------------------------------------------------------

# A command's output goes into a file.
into() { # FILE COMMAND...
    file=$1
    shift
    if [ -n "$dry_run" ]; then
        printf '%s >%s\n' "$(show "$@" 3>&1)" "$file" >&3
    else
        "$@" >"$file"
    fi
}

# The event goes through a file because only that means the same to both versions of the CLI.
# Without a read timeout: the CLI's own is 60 s, after which it would invoke a second time.
invoke() { # FUNCTION EVENT
    folder=${scratch:-.}
    case $2 in
    @*) file=${2#@} ;;
    -) into "$folder/payload.json" cat ;;
    *) into "$folder/payload.json" printf %s "$2" ;;
    esac
    [ -n "$dry_run" ] || [ -r "$file" ] || die "$file: cannot be read; expected an event"
    outcome=$(lambda invoke --function-name "$1" --payload "fileb://$file" --log-type Tail \
        --cli-read-timeout 0 --query '[FunctionError,LogResult]' --output text \
        "$folder/response.json") || explain "cannot invoke $1"
    [ -z "$dry_run" ] || return 0
    case $outcome in
    None*) ;;
    *) exec >&2 ;;
    esac
    cat "$folder/response.json"
    [ -z "$(tail -c 1 "$folder/response.json")" ] || echo
    case $outcome in
    None*) return 0 ;;
    esac
    echo "deploy.sh: $1 failed (${outcome%	*}); the end of its log:"
    printf %s "${outcome##*	}" | base64 -d
    return 1
}

undeploy() { # FUNCTION
    lambda delete-function --function-name "$1" >/dev/null || explain "cannot delete $1"
    [ -n "$dry_run" ] || echo "$1 is deleted; its logs stay in the log group /aws/lambda/$1"
}

usage="usage: deploy.sh deploy FUNCTION ROLE | invoke FUNCTION EVENT | undeploy FUNCTION"
case ${1-} in
deploy | invoke) [ $# -eq 3 ] || die "$usage" ;;
undeploy) [ $# -eq 2 ] || die "$usage" ;;
*) die "$usage" ;;
esac
[ -n "$2" ] || die "FUNCTION is missing; expected FUNCTION=name"
if [ -z "$dry_run" ]; then
    command -v "$aws" >/dev/null ||
        die "$aws is missing; expected the AWS CLI, version 2 or 1, in PATH"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' HUP INT PIPE TERM
fi
"$@"
