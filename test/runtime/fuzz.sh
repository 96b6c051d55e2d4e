#!/bin/sh
# fuzz.sh - fuzzes one target, or every one, as many at a time as there are processors, from the
# seeds. What was found, and what each has said, stays in build/.
#
#   fuzz.sh FUZZ SECONDS [TARGET]
#
# SPDX-License-Identifier: MIT-0
fuzz=$1 seconds=$2 target=${3-}
if [ -z "$target" ]; then
    printf '%s\n' conversation reply address text json request |
        xargs -n 1 -P "$(getconf _NPROCESSORS_ONLN)" sh "$0" "$fuzz" "$seconds" || exit 1
    echo '6 passed, 0 failed'
    exit
fi
mkdir -p "build/corpus/$target"
sed -n "s/^$target //p" test/runtime/seeds.txt | while IFS= read -r seed; do
    number=$((number + 1))
    env printf %b "$seed" >"build/corpus/$target/seed-$number" # a shell's own may not know \xHH
done
if ! FUZZ_TARGET=$target "$fuzz" -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 \
    -artifact_prefix="build/finding-$target-" "build/corpus/$target" >"build/fuzz-$target.txt" 2>&1; then
    tail -n 40 "build/fuzz-$target.txt"
    grep -m 1 '^fuzz: ' "build/fuzz-$target.txt"
    exit 1
fi
echo "$target: $(grep DONE "build/fuzz-$target.txt")"
