#!/bin/sh
# roots.sh - gives README's two commands to fresh Debian systems, which have seen no other, with
# musl-gcc and without: in a clean clone, so it takes what is committed.
#
#   roots.sh [SUITE...]       bullseye, bookworm and trixie, which are Debian 11, 12 and 13
#
# A suite whose root cannot be made is skipped. Needs root, git, debootstrap and unshare, whose
# namespace takes what is mounted and what runs in it along when it ends.
#
# SPDX-License-Identifier: MIT-0
set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
passed=0 failed=0 skipped=0 pid=
scratch=$(mktemp -d) || exit 2
trap '[ -z "$pid" ] || { kill "$pid"; wait "$pid"; }; rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT PIPE TERM

apart() { # COMMAND...
    unshare --mount --pid --kill-child "$@" >"$scratch/out" 2>"$scratch/err" </dev/null &
    pid=$!
    wait "$pid"
    status=$?
    pid=
    return "$status"
}

try() { # SUITE WITH-OR-WITHOUT FIRST-COMMAND
    root=$scratch/root
    cp -a "$scratch/$1" "$root"
    git clone -q "$top" "$root/project" || exit 1
    printf '%s\n' 'set -e' 'mount -t proc proc /proc' 'cd /project' "{ $3; } >/tmp/first" \
        'tail -n 1 /tmp/first' echo 'wc -c <bootstrap' 'make test >/tmp/second' 'tail -n 1 /tmp/second' \
        >"$root/tmp/commands"
    apart chroot "$root" env -i PATH="$PATH" HOME=/root DEBIAN_FRONTEND=noninteractive sh /tmp/commands
    if [ "$status" -eq 0 ] && [ "$(head -n 1 "$scratch/out")" = '{"text":"Hello"}' ]; then
        passed=$((passed + 1))
        echo "ok: $1 $2 musl-gcc: $(tail -n +2 "$scratch/out" | paste -s -d : | sed 's/:/ bytes, /')"
    else
        failed=$((failed + 1))
        echo "FAILED $1 $2 musl-gcc, status $status:"
        tail -n 20 "$root/tmp/first" "$root/tmp/second" "$scratch/out" "$scratch/err"
    fi
    rm -rf "$root"
}

first=$(sed -n 's/ *# Debian, Ubuntu$//p' "$top/README.md")
case $first in apt-get*' musl-tools '*' make run') ;; *) echo "roots.sh: README.md: $first" >&2; exit 1 ;; esac
[ $# -gt 0 ] || set -- bullseye bookworm trixie
for suite; do
    if apart sh "$top/test/deploy/root.sh" "$suite" "$scratch/$suite"; then
        try "$suite" without "$(echo "$first" | sed 's/ musl-tools / /')"
        try "$suite" with "$first"
    else
        skipped=$((skipped + 2))
        echo "skipped $suite: $(cat "$scratch/err")"
    fi
    rm -rf "${scratch:?}/$suite"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
