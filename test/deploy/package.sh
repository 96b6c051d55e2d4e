#!/bin/sh
# package.sh - packs the executable into the zip that Lambda takes, and refuses one that Lambda
# could not start. The same executable gives the same zip, byte for byte, on every run and machine.
#
#   package.sh BOOTSTRAP ARCH OUT.zip     checks and packs; prints sizes and digests
#   package.sh --code-sha256 FILE.zip     prints what Lambda will show as CodeSha256
#
# Needs zip; everything else is POSIX but sha256sum (or shasum) and mktemp. The entry in the zip is
# dated SOURCE_DATE_EPOCH, or 1980-01-01, where zip's calendar begins.
#
# SPDX-License-Identifier: MIT-0
set -eu
unset ZIPOPT ZIP # zip reads options from both

die() {
    echo "package.sh: $*" >&2
    exit 1
}

# --- ELF: what System V ABI, "Object Files", says about the first 64 bytes --------------------

# The bytes OFFSET to OFFSET + COUNT of FILE as decimal numbers, one a line.
bytes_of() { # FILE OFFSET COUNT
    od -A n -v -t u1 -j "$2" -N "$3" "$1" 2>/dev/null | awk '{ for (i = 1; i <= NF; i++) print $i }'
}

# Machine, then offset and number of the program headers, for 64 bits with the lowest byte first.
# Nothing for anything else, a file without program headers (an object file) among them.
elf_header() { # FILE
    bytes_of "$1" 0 64 | awk '
        function number(at, size,   sum) {
            for (sum = 0; size > 0; size--) sum = 256 * sum + byte[at + size - 1]
            return sum
        }
        { byte[NR - 1] = $1; magic = magic (NR <= 6 ? $1 " " : "") }
        END {
            elf64 = magic == "127 69 76 70 2 1 " && number(54, 2) == 56
            if (NR == 64 && elf64 && number(56, 2) > 0)
                print number(18, 2), number(32, 8), number(56, 2)
        }'
}

# PT_INTERP (3) among the program headers, 56 bytes each, means that a dynamic loader is to start
# the program. A table that is cut short counts as one, too: whatever it is, it does not start.
needs_loader() { # FILE OFFSET COUNT
    bytes_of "$1" "$2" $((56 * $3)) | awk -v size=$((56 * $3)) '
        NR % 56 == 1 && $1 == 3 { found = 1 }
        END { exit !(found || NR < size) }'
}

check_executable() { # FILE ARCH
    [ -f "$1" ] || die "$1: no such file; expected the executable that make builds"
    [ -x "$1" ] || die "$1: not executable; expected mode 755 (chmod 755 $1)"
    # shellcheck disable=SC2046 # splitting is the point
    set -- "$1" "$2" $(elf_header "$1")
    [ $# -eq 5 ] || die "$1: not a 64-bit ELF executable; expected one for Linux on $2"
    case $3 in
    62) found=x86_64 ;;
    183) found=arm64 ;;
    *) found="ELF machine $3" ;;
    esac
    [ "$found" = "$2" ] || die "$1: built for $found; expected $2"
    ! needs_loader "$1" "$4" "$5" ||
        die "$1: dynamically linked or cut short; expected a static executable"
}

# --- the zip and its digests ------------------------------------------------------------------

date_entry() { # FILE
    case ${SOURCE_DATE_EPOCH-} in
    '') TZ=UTC touch -t 198001010000 "$1" ;;
    *[!0-9]*) die "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH: expected seconds since 1970" ;;
    *) touch -d "@$SOURCE_DATE_EPOCH" "$1" ;;
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
    date_entry "$scratch/bootstrap"
    (cd "$scratch" && TZ=UTC zip -9 -X -q out.zip bootstrap) || die "$2: zip failed"
    mv -f "$scratch/out.zip" "$2" 2>/dev/null || die "$2: cannot be written"
}

sha256_hex() { # FILE
    if command -v sha256sum >/dev/null; then
        sha256sum <"$1"
    else
        shasum -a 256 <"$1"
    fi | cut -c 1-64
}

# Three hexadecimal digits are two of base64. The 64 are filled up to 66 with two zeros, which end
# up in the last character, where 32 bytes have the padding.
base64_of_hex() { # 64 DIGITS
    awk -v hex="${1}00" 'BEGIN {
        digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for (at = 1; at <= 66; at += 3) {
            value = 0
            for (i = at; i < at + 3; i++)
                value = 16 * value + index("0123456789abcdef", substr(hex, i, 1)) - 1
            text = text substr(digits, int(value / 64) + 1, 1) substr(digits, value % 64 + 1, 1)
        }
        print substr(text, 1, 43) "="
    }'
}

size_of() { # FILE
    wc -c <"$1" | tr -d ' '
}

report() { # BOOTSTRAP ARCH OUT
    hex=$(sha256_hex "$3")
    echo "$3: $(size_of "$3") bytes, with bootstrap ($(size_of "$1") bytes, static, $2)"
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
check_executable "$1" "$arch"
pack "$1" "$3"
report "$1" "$arch" "$3"
