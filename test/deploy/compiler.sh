#!/bin/sh
# compiler.sh - says what to install where there is no compiler, or none for that machine, and where
# it has no musl, with which the executable is smaller: but not to those who have named it.
#
#   compiler.sh COMPILER MACHINE     MACHINE as uname -m says it: the one that is compiled for
#
# From the environment: CC, where the user has named the compiler; make passes it on only then.
#
# SPDX-License-Identifier: MIT-0
cc=$1 machine=$2 here=$(uname -m)

die() {
    echo "make: $*" >&2
    exit 1
}

if ! target=$($cc -dumpmachine 2>/dev/null); then
    debian=amd64
    case $machine in
    "$here")
        die "no compiler $cc; install one: apt-get install musl-tools gcc (Debian, Ubuntu)," \
            "apk add gcc musl-dev (Alpine), dnf install gcc glibc-static (Amazon Linux)"
        ;;
    aarch64) debian=arm64 ;;
    x86_64) ;;
    *) die "no compiler $cc; Lambda has ARCH=x86_64 (or amd64) and ARCH=arm64 (or aarch64)" ;;
    esac
    die "no compiler $cc; install one: dpkg --add-architecture $debian && apt-get update &&" \
        "apt-get install gcc-$(echo "$machine" | tr _ -)-linux-gnu musl-dev:$debian (Debian)"
fi
case $machine:$target in
"$here":*) ;;
*:"$here"-*) die "$cc compiles for $here; expected a compiler for $machine, or no CC" ;;
esac
if [ -z "${CC-}" ] &&
    echo '#include <features.h>' | $cc -E -dM -x c - 2>/dev/null | grep -q __GLIBC__; then
    echo "make: $cc has no musl and makes a larger executable; on Debian and Ubuntu:" \
        "apt-get install musl-tools" >&2
fi
