#!/bin/sh
# compiler.sh - says what to install where there is no compiler, and where it has no musl, with which
# the executable is smaller.
#
#   compiler.sh COMPILER MACHINE     MACHINE as uname -m says it: the one that is compiled for
#
# SPDX-License-Identifier: MIT-0
cc=$1 machine=$2
case $machine in
x86_64) debian=amd64 ;;
aarch64) debian=arm64 ;;
*) debian=$machine ;;
esac
if ! $cc -dumpmachine >/dev/null 2>&1; then
    if [ "$machine" = "$(uname -m)" ]; then
        install='apt-get install musl-tools gcc (Debian, Ubuntu), apk add gcc musl-dev (Alpine),'
        install="$install dnf install gcc glibc-static (Amazon Linux)"
    else
        install="dpkg --add-architecture $debian && apt-get update && apt-get install"
        install="$install gcc-$(echo "$machine" | tr _ -)-linux-gnu musl-dev:$debian (Debian)"
    fi
    echo "make: no compiler $cc; install one: $install" >&2
    exit 1
fi
if echo '#include <features.h>' | $cc -E -dM -x c - 2>/dev/null | grep -q __GLIBC__; then
    echo "make: $cc has no musl and makes a larger executable; on Debian and Ubuntu:" \
        "apt-get install musl-tools" >&2
fi
