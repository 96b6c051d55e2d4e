#!/bin/sh
# tiny.sh FOLDER - a copy there of bootstrap.c with limits of a few dozen bytes, and of the tests that
# include it, so that within seconds they meet every boundary. Fails if a limit has another name. Of the
# room for two request heads all is taken away that these tests do not need.
#
# SPDX-License-Identifier: MIT-0
set -eu
rm -rf "$1"
mkdir -p "$1"
cp -r bootstrap.c Makefile test "$1"
while read -r file from to; do
    grep -q "$from" "$1/$file" || { echo "tiny.sh: $file has no $from" >&2; exit 1; }
    sed -i "s/${from}[^,}]*/$to/" "$1/$file"
done <<'END'
bootstrap.c HEAD_MAX.=.64 HEAD_MAX = 184
bootstrap.c SIZE_LINE_MAX.= SIZE_LINE_MAX = 24
bootstrap.c TRAILER_MAX.= TRAILER_MAX = 56
bootstrap.c EVENT_MAX.= EVENT_MAX = 48
bootstrap.c REPLY_BODY_MAX.= REPLY_BODY_MAX = 32
bootstrap.c REQUEST_HEAD_MAX.= REQUEST_HEAD_MAX = 1184
bootstrap.c ENVIRONMENT_MAX.= ENVIRONMENT_MAX = 128
bootstrap.c PAGE_MAX.= PAGE_MAX = 64
bootstrap.c TRAILER_MAX.+.4096 TRAILER_MAX + 384 - 2496 <=
bootstrap.c MEMORY_MAX.= MEMORY_MAX = 1056
bootstrap.c MEMORY_KEPT.= MEMORY_KEPT = 576
bootstrap.c ALLOCATE_MAX.= ALLOCATE_MAX = 64
bootstrap.c ADDRESS_MAX.= ADDRESS_MAX = 32
bootstrap.c REQUEST_ID_MAX.= REQUEST_ID_MAX = 24
bootstrap.c INVOCATION_ID_MAX.= INVOCATION_ID_MAX = 16
bootstrap.c ERROR_TYPE_MAX.= ERROR_TYPE_MAX = 24
bootstrap.c ERROR_MESSAGE_MAX.= ERROR_MESSAGE_MAX = 32
bootstrap.c CONTENT_TYPE_MAX.= CONTENT_TYPE_MAX = 16
bootstrap.c ONE_SEND_MAX.= ONE_SEND_MAX = 32
bootstrap.c LOG_LINE_MAX.= LOG_LINE_MAX = 1744
bootstrap.c TRAILERS_MAX.= TRAILERS_MAX = 568
test/runtime/faults.c {300\> {30
test/runtime/faults.c {77 {41
test/runtime/faults.c {MEMORY_KEPT.+ {48
test/runtime/faults.c {20000 {40
test/runtime/faults.c {3000 {47
test/runtime/faults.c 2.\*.AT_ONCE 46
test/runtime/faults.c AT_ONCE_MAX.=.256 AT_ONCE_MAX = 200
END
