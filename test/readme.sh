#!/bin/sh
# readme.sh - runs every command in README.md, as it stands there, in a copy of the project.
#
#   readme.sh
#
# A command is a line of a block marked sh, or what stands in the text as `make …`. An example marked
# c is put into the file that its first line names. The lines of a block without a mark have to come
# in what the commands print, but for the numbers. Not run: what installs packages on another system
# than this one, `docker build …`, which image_test.sh takes, and a block marked console. Of what would
# go to AWS the CLI looks at the options only. Needs what .ci/run installs.
#
# SPDX-License-Identifier: MIT-0
set -eu
PATH=/usr/bin:$PATH # the packages' tools, such as version 2 of the aws CLI, before any other
cd "$(dirname "$0")/.."
. test/checks.sh
stop() { # what a command has started
    [ ! -e "$work/pid" ] || kill "$(cat "$work/pid")" 2>/dev/null || :
}

cp -r bootstrap.c Makefile Dockerfile.build README.md test "$work"
cd "$work"
# What the user would fetch, from a package that has its source; and the user's other files.
if command -v npm >/dev/null && npm pack --silent node-rdkafka@3.6.1 >/dev/null; then
    tar xzf node-rdkafka-*.tgz && mv package/deps/librdkafka/src/cJSON.[ch] .
fi
echo 'int library;' >library.c
echo 'int more;' >more.c
echo 'int other;' >other.c
cc -c more.c other.c
ar rc libother.a other.o

# Commands, one a line, each but once; and examples and expected lines into files.
awk '
    function command(text) {
        if (!seen[text]++) print text
    }
    function spans(text,    part, n, i) {
        n = split(text, part, "`")
        for (i = 2; i <= n; i += 2)
            if (part[i] ~ /^make [a-zA-Z]/) command(part[i])
    }
    /^```/ { spans(text); text = ""; block = block ? "" : substr($0, 4) "|"; file = ""; next }
    block == "sh|" && /\\$/ { line = line substr($0, 1, length - 1); next }
    block == "sh|" { sub(/^ */, ""); sub(/ # .*/, ""); sub(/ +$/, ""); command(line $0); line = "" }
    block == "c|" { if (!file) { file = $NF; sub(/ *\/\/.*/, "") } print > file }
    block == "|" { print > "expected" }
    !block && /^$/ { spans(text); text = "" }
    !block { text = text " " $0 }
' README.md >commands
printf '%s\n' "$(wc -l <commands) commands in README.md"

set --
settings=
while IFS= read -r command; do
    case $command in
    export*) settings="$settings$command; " ;;
    'make serve')
        # Without TMPDIR, by which run.sh finds what a command has left running: this one shall.
        set -- "$@" "env -u TMPDIR make serve >serve.txt 2>&1 & echo \$! >$work/pid
            for i in 1 2 3 4 5 6 7 8 9; do grep -q 'serves at' serve.txt && exit; sleep 1; done; cat serve.txt; exit 1"
        ;;
    apt-get* | apk* | dnf* | *cJSON* | *linked\ haskell* | *linked\ rust*)
        case $command in
        *cJSON*) [ -e cJSON.c ] ;;
        *haskell) command -v ghc >/dev/null ;;
        *rust) command -v rustc >/dev/null ;;
        *) command -v "${command%% *}" >/dev/null ;;
        esac || command="echo '0 passed, 0 failed, 1 skipped'"
        set -- "$@" "$command"
        ;;
    *--endpoint-url*) set -- "$@" "$settings$command" ;;
    aws*) set -- "$@" "AWS_DEFAULT_REGION=us-east-1 $command --generate-cli-skeleton" ;; # looked at only
    *) set -- "$@" "$settings$command" ;;
    esac
done <commands

{ sh test/run.sh "$@" || :; } 2>&1 | tee printed

# What README shows of the output, but for numbers and blanks.
plain() { # FILE
    sed 's/[0-9][0-9]*\(,[0-9]\{3\}\)*/0/g; s/  */ /g; s/^ //; s/ $//' "$1"
}
plain printed >printed.plain
plain expected | sort -u >expected.plain
missing=$(grep -vxFf printed.plain expected.plain || :)
read -r passed failed skipped <<END
$(tail -n 1 printed | tr -cd '0-9 \n')
END
equal 'what README shows and no command printed' "$missing" ''
end
