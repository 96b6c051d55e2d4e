#!/bin/sh
# package.sh - packs the executable into the zip that Lambda takes, and refuses one that Lambda
# could not start. The same executable gives the same zip, byte for byte, on every run and machine.
#
#   package.sh BOOTSTRAP ARCH OUT.zip     checks and packs; prints sizes and digests
#   package.sh --code-sha256 FILE.zip     prints what Lambda will show as CodeSha256
#
# Needs zip, and readelf, which comes with the compiler; everything else is POSIX but sha256sum, base64
# and mktemp. The entry in the zip is dated 1980-01-01, where zip's calendar begins.
#
# SPDX-License-Identifier: MIT-0
set -eu
unset ZIPOPT ZIP # zip reads options from both

die() {
    echo "package.sh: $*" >&2
    exit 1
}

check_executable() { # FILE ARCH
    [ -f "$1" ] || die "$1: no such file; expected the executable that make builds"
    [ -x "$1" ] || die "$1: not executable; expected mode 755 (chmod 755 $1)"
    elf=$(LC_ALL=C readelf -hlW "$1" 2>&1) || :
    case $elf in
    *ELF64*'little endian'*' EXEC ('* | *ELF64*'little endian'*' DYN ('*) ;;
    *) die "$1: not a 64-bit ELF executable; expected one for Linux on $2" ;;
    esac
    case $elf in
    *'Machine: '*X86-64*) found=x86_64 ;;
    *'Machine: '*AArch64*) found=arm64 ;;
    *) found="another machine" ;;
    esac
    [ "$found" = "$2" ] || die "$1: built for $found; expected $2"
    case $elf in # a dynamic loader is to start it, or readelf misses a part
    *' INTERP '* | *'readelf: Error'*)
        die "$1: dynamically linked or cut short; expected a static executable"
        ;;
    esac
}

# Through a scratch folder: the user's file keeps its name, mode and date, and a zip that is already
# there is replaced, not added to, and only by a whole one.
pack() { # BOOTSTRAP OUT
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' HUP INT PIPE TERM
    cp "$1" "$scratch/bootstrap"
    chmod 755 "$scratch/bootstrap"
    TZ=UTC touch -t 198001010000 "$scratch/bootstrap"
    (cd "$scratch" && TZ=UTC zip -9 -X -q out.zip bootstrap) || die "$2: zip failed"
    mv -f "$scratch/out.zip" "$2" 2>/dev/null || die "$2: cannot be written"
}

sha256_hex() { # FILE
    sha256sum <"$1" | cut -c 1-64
}

# shellcheck disable=SC2046,SC2059 # a word for each byte, and a format of nothing but octal numbers
base64_of_hex() { # DIGITS
    printf "$(printf '\\%03o' $(echo "$1" | sed 's/../0x& /g'))" | base64
}

report() { # BOOTSTRAP ARCH OUT
    hex=$(sha256_hex "$3")
    echo "$3: $(($(wc -c <"$3"))) bytes, with bootstrap ($(($(wc -c <"$1"))) bytes, static, $2)"
    echo "SHA-256     $hex"
    echo "CodeSha256  $(base64_of_hex "$hex")"
}

usage="usage: package.sh BOOTSTRAP ARCH OUT.zip | package.sh --code-sha256 FILE.zip"
if [ $# -eq 2 ] && [ "$1" = --code-sha256 ]; then
    [ -r "$2" ] || die "$2: cannot be read; expected the zip that make zip writes"
    base64_of_hex "$(sha256_hex "$2")"
    exit
fi
[ $# -eq 3 ] || die "$usage"
case $2 in
x86_64 | amd64) arch=x86_64 ;;
arm64 | aarch64) arch=arm64 ;;
*) die "ARCH=$2: expected x86_64 (or amd64) or arm64 (or aarch64)" ;;
esac
command -v zip >/dev/null ||
    die "zip is missing; expected it in PATH (apt-get install zip, apk add zip, dnf install zip)"
command -v readelf >/dev/null || die "readelf is missing; expected it in PATH (binutils)"
check_executable "$1" "$arch"
pack "$1" "$3"
report "$1" "$arch" "$3"
