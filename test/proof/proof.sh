#!/bin/sh
# proof.sh [broken] - shows with Frama-C's Eva (Debian: frama-c-base) that nothing which C leaves
# undefined can happen in drivers.c, whatever the bytes are. With `broken` each driver is run on
# bootstrap.c with one condition broken, and has to see it.
#
# SPDX-License-Identifier: MIT-0
set -u
export how="${1:-whole}"
. test/checks.sh
export work
mkdir "$work/sys"
: >"$work/sys/prctl.h"
: >"$work/sys/syscall.h"

# Of texts each read is of a volatile byte, so that Eva does not tell apart what it has seen of them.
# Memory begins at a multiple of each alignment: Eva knows no addresses. How many bytes are there at
# once is followed number by number.
sed -e 's/^    const char \*data;/    const VOLATILE char *data;/' \
    -e 's/const unsigned char \*at = (const unsigned/const VOLATILE unsigned char *at = (const VOLATILE unsigned/' \
    -e 's/-(uintptr_t)c->kept %/(alignment - (size_t)(c->kept - c->memory) % alignment) %/' \
    -e 's/-(uintptr_t)from %/(PAGE_MAX - (size_t)(from - c->memory) % PAGE_MAX) %/' \
    -e 's/^        here = here < n ? here : .*/& \/\/@ split here;/' bootstrap.c >"$work/subject.c"
changed=$(diff bootstrap.c "$work/subject.c" | grep -c '^>')
[ "$changed" -eq 5 ] || die "$changed of 5 places found in bootstrap.c"

# shellcheck disable=SC2016 # expanded by the inner shell
one='
    IFS="|" read -r name volatile most main states unroll breakage <<ROW
$0
ROW
    folder=$work/$$
    mkdir "$folder"
    cp "$work/subject.c" "$folder"
    printf "#define %s\n" "VOLATILE $volatile" "MOST $most" "$main" >"$folder/row.h"
    [ "$how" = whole ] || sed -i "$breakage" "$folder/subject.c"
    start=$(date +%s)
    timeout 170 frama-c -c11 -machdep gcc_x86_64 -cpp-extra-args="-I$folder -I$work" -eva \
        -eva-no-print -eva-split-return full -eva-slevel "$states" -eva-min-loop-unroll "$unroll" \
        -eva-slevel-function lower_case:0,is_blank:0,parse_number:0,model_memcmp:0 \
        -eva-slevel-function has_control_character:0,is_visible_text:0,append_text_entry:0 \
        test/proof/drivers.c >"$folder/said" 2>&1
    proven=no
    grep -q " 0 alarms generated" "$folder/said" &&
        ! grep "valid  *[0-9]* unknown" "$folder/said" | grep -qv " 0 unknown  *0 invalid" && proven=yes
    said=$(grep -c "alarms\{0,1\} generated" "$folder/said")
    case $how,$proven,$said in
    whole,yes,1 | broken,no,1) echo "ok $name: $(($(date +%s) - start)) s" ;;
    *) echo "FAIL $name" && tail -n 20 "$folder/said" ;;
    esac'
parser() { # NAME LENGTH STATES UNROLL BREAKAGE CALL
    echo "$1, $2 bytes|volatile|$2|CALL $6|$3|$4|$5"
}
reply() { # PREFIX STATES
    echo "a reply behind $1|||PREFIX $1|$2|100|s/within - searched/within + 1 - searched/"
}
{
    reply LENGTH_FIELD 1000
    parser json 8 3000 20 's/while (text.length \&\& !to->overflow)/while (!to->overflow)/' \
        'append_json_string(&to, text)'
    reply VERSION 3000
    reply CHUNK 1000
    reply CHUNKED 1000
    reply OK 500
    reply NOTHING 500
    reply UNTIL_CLOSE 500
    echo 'a whole event|||EVENT|100|130|s/answered = true/answered = false/'
    parser address 8 1000 20 's/part.length > 1 \&\& part/part/' 'parse_address(text, &runtime)'
    parser token 8 1000 20 's/while (text.length \&\& is_blank/while (is_blank/' \
        'has_token(text, S("close"))'
    parser number 16 500 20 's/i < digits.length/i <= digits.length/' \
        'parse_number(text, 10, &number); parse_number(text, 16, &number)'
    parser status 16 500 20 's/version.length != 8/version.length > 8/' \
        'parse_status_line(text, &reply)'
    parser control 16 500 20 's/i < line.length/i <= line.length/' \
        'has_control_character(text); is_visible_text(text, "/?#%")'
    parser chunk 8 500 20 's/line.length == 0 || line.data/line.data/' \
        'parse_chunk_size(text, &number)'
    parser utf8 16 500 20 's/length > text.length ||/length > text.length + 1 ||/' \
        'if (text.length) utf8_sequence(text); first_bytes(text, text.length / 2)'
    parser base64 16 500 20 's/i + j < text.length ?/i + j <= text.length ?/' \
        'append_base64(&to, text)'
    parser log 8 500 40 's/i < to->length/i <= to->length/' \
        'log_line(LEVEL_INFO, &invocation, text)'
    parser field 8 500 40 's/line->length >= name.length \&\&//' 'parse_field_line(text, &reply)'
} | tr '\n' '\0' | xargs -0 -n 1 -P "$(nproc)" sh -c "$one" | tee "$work/verdicts"
passed=$(grep -c '^ok' "$work/verdicts") failed=$(grep -c '^FAIL' "$work/verdicts")
end
