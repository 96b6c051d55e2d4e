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

cd "$(dirname "$0")/../.." || exit 2
. test/checks.sh

apart() { # COMMAND...
    unshare --mount --pid --kill-child "$@" >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    wait "$pid"
    status=$?
    pid=
    return "$status"
}

try() { # SUITE WITH-OR-WITHOUT FIRST-COMMAND
    root=$work/root
    cp -a "$work/$1" "$root"
    git clone -q . "$root/project" || exit 1
    printf '%s\n' 'set -e' 'mount -t proc proc /proc' 'cd /project' "{ $3; } >/tmp/first" \
        'tail -n 1 /tmp/first' echo 'wc -c <bootstrap' 'make test >/tmp/second' 'tail -n 1 /tmp/second' \
        >"$root/tmp/commands"
    apart chroot "$root" env -i PATH="$PATH" HOME=/root DEBIAN_FRONTEND=noninteractive sh /tmp/commands
    tail -n 9 "$root/tmp/first" "$root/tmp/second" >"$work/log"
    [ "$status" -eq 0 ] && [ "$(head -n 1 "$work/out")" = '{"text":"Hello"}' ]
    verdict $? "$1 $2 musl-gcc: status $status"
    echo "$1 $2 musl-gcc: $(tail -n +2 "$work/out" | paste -s -d : | sed 's/:/ bytes, /')"
    rm -rf "$root"
}

first=$(sed -n 's/ *# Debian, Ubuntu$//p' README.md)
case $first in apt-get*' musl-tools '*' make run') ;; *) die "README.md: $first" ;; esac
[ $# -gt 0 ] || set -- bullseye bookworm trixie
for suite; do
    if apart sh test/deploy/root.sh "$suite" "$work/$suite"; then
        try "$suite" without "$(echo "$first" | sed 's/ musl-tools / /')"
        try "$suite" with "$first"
    else
        skip "$suite: $(cat "$work/err")"
    fi
    rm -rf "${work:?}/$suite"
done
end
