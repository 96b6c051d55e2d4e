#!/bin/sh
# fuzz.sh FUZZ SECONDS - fuzzes conversations from the seeds. What was found, and what was said, stays in
# build/.
#
# SPDX-License-Identifier: MIT-0
mkdir -p build/corpus
sed -n 's/^S("\(.*\)"),$/\1/p' test/runtime/seeds.txt | while IFS= read -r seed; do
    number=$((number + 1))
    # shellcheck disable=SC2059 # escapes as in C, of which printf knows these; no %
    printf "$seed" >"build/corpus/seed-$number"
done
if ! "$1" -max_total_time="$2" -max_len=4096 -print_final_stats=1 -artifact_prefix=build/finding- \
    build/corpus >build/fuzz.txt 2>&1; then
    tail -n 40 build/fuzz.txt
    grep -m 1 '^fuzz: ' build/fuzz.txt
    exit 1
fi
grep DONE build/fuzz.txt
echo '1 passed, 0 failed'
