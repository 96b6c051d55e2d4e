#!/bin/sh
# examples.sh - runs the worked examples of test/handlers, built in the folder $1, in the local
# Lambda $2, as README says; then sees that make builds anew what has changed, and only that.
#
# SPDX-License-Identifier: MIT-0
built=$1 lambda=$2 passed=0 failed=0
unset FUNCTION # the user's
folder=$(mktemp -d) || exit 2
errors=$folder/errors
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT PIPE TERM

end() {
    echo "$passed passed, $failed failed"
    exit $((failed != 0))
}

verdict() { # STATUS WHAT
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $2: status $status, stdout $output, stderr $(cat "$errors")"
        [ "$failed" -lt 20 ] || end
    fi
}

# What a handler prints on stdout; its exit status, 0 if nothing is said; and a part of its stderr.
expect() { # HANDLER EVENT PATTERN [STATUS PART]
    output=$(BOOTSTRAP=$built/$1 "$lambda" run "$2" 2>"$errors" </dev/null)
    status=$?
    # shellcheck disable=SC2254 # a pattern
    case $output in
    $3) [ "$status" -eq "${4-0}" ] && { [ $# -eq 3 ] || grep -qF -- "$5" "$errors"; } ;;
    *) false ;;
    esac
    verdict $? "$1 $2"
}

# Whether a command ends with success (0) or not (1), and says that on stdout and stderr.
check() { # WHAT RESULT PATTERN COMMAND...
    what=$1 result=$2 pattern=$3
    shift 3
    output=$("$@" 2>"$errors")
    status=$?
    # shellcheck disable=SC2254 # a pattern
    case $output$(cat "$errors") in
    $pattern) [ $((status != 0)) -eq "$result" ] ;;
    *) false ;;
    esac
    verdict $? "$what"
}

compile() { # WHAT RESULT OPTION...
    what=$1 result=$2
    shift 2
    check "$what" "$result" '*' "${CC:-cc}" -std=gnu11 "$@"
}

build() { # WHAT RESULT PATTERN OPTION...
    what=$1 result=$2 pattern=$3
    shift 3
    check "make: $what" "$result" "$pattern" make -C "$folder" "$@"
}

expect hello '{"name":"Ada"}' '{"greeting":"Hello, Ada!"}'
expect hello ' { "name" : "" } ' '{"greeting":"Hello, !"}'
for event in '{"name":"A\u0041"}' '{"name":"Ada' '{"name":"Ada"' '{"name":"Ada"}}' '{"id":"Ada"}' \
    '{"name":1}' '"name"' '{}' '{"name":"Ada","id":1}'; do
    expect hello "$event" '' 1 'Function.NoName'
done
# shellcheck disable=SC2016 # $LATEST is the version's name
for part in '"functionName":"function"' '"functionVersion":"$LATEST"' '"memorySize":"128"' \
    '"invokedFunctionArn":"arn:aws:lambda:' '"traceId":"Root=1-' '"deadlineMs":1' '"region":"'; do
    expect context '{}' "*$part*"
done
expect fail '"no"' '' 1 '{"errorType":"Function.Refused","stackTrace":[],"errorMessage":"\"no\""}'
expect fail '"no"' '' 1 ' Function.Refused: "no"'
export RESOURCE="$PWD/test/handlers/init.c"
expect init '{}' '*init.c - opens a resource once*'
RESOURCE=/nowhere
expect init '{}' '' 1 'Function.NoResource'
expect stream '{}' '*one
two
three'
expect stream '"fail"' '*one'
export ROUNDS=2
expect slow '{}' 2
unset ROUNDS
export TIMEOUT=2
expect slow '{}' '[1-9]*'
case $output in [2-9][0-9] | 1[0-4][0-9] | 150) ;; *) false ;; esac
verdict $? 'slow: rounds of 10 ms in the second and a half that it has'
unset TIMEOUT
expect big '{}' '' 1 'Function.ResponseSizeTooLarge'
export JOURNAL="$folder/journal"
expect shutdown '"entry"' '"entry"' 0 'INFO closed the journal'
output=$(cat "$JOURNAL")
[ "$output" = '"entry"' ] && ! grep -F 'local_lambda: ' "$errors"
verdict $? 'shutdown: the journal, and nothing that Lambda objects to'
end_of_serve() { # SETTING FIRST LAST: Ctrl-C as soon as it says the first, and then it says the last
    : >"$errors" # now, and not when the server has started
    env "$1" PORT=0 BOOTSTRAP="$built/shutdown" "$lambda" serve 2>"$errors" &
    for _ in 1 2 3 4 5 6 7 8 9; do
        grep -qF "$2" "$errors" && break
        sleep 1
    done
    kill -INT $!
    wait $!
    status=$?
    [ "$status" -eq 0 ] && grep -qF "$2" "$errors" && grep -qF "$3" "$errors"
    verdict $? "shutdown, served: $1"
}
end_of_serve TIMEOUT=3 'opened the journal' 'INFO closed the journal'
end_of_serve CONCURRENCY=2 'no SIGTERM will come' '"level":"WARN"'
expect several '"one two  three"' '{"words":3}'

# S() of what it would cut does not compile; of a literal it does.
for argument in '"literal":0' 'pointer:1' 'array:1'; do
    printf '#include "%s/bootstrap.c"\nstruct text f(const char *pointer) { static char array[64]; %s; }\n' \
        "$PWD" "(void)array, (void)pointer; return S(${argument%:*})" >"$folder/handler.c"
    compile "S(${argument%:*})" "${argument#*:}" -DHANDLER=h -fsyntax-only "$folder/handler.c"
done

# Nor does a handler collide with what is internal, under names that it may well choose.
printf '#include "%s/bootstrap.c"\nint get, post, receive, fatal, append, next, fail, current;\n' \
    "$PWD" >"$folder/handler.c"
compile 'names that a handler may choose' 0 -DHANDLER=h -fsyntax-only "$folder/handler.c"

# Nothing but main is global, and what musl looks for: so a library's functions are its own, even under
# names that bootstrap.c has too.
compile 'an object for symbols' 0 -c bootstrap.c -o "$folder/symbols.o"
output=$(nm -g --defined-only "$folder/symbols.o" | sed 's/.* //' | paste -s -d ' ' -)
[ "${output#__stdout_write }" = main ]
verdict $? 'what bootstrap.c has that is global'

printf '#include "%s/bootstrap.c"\n' "$PWD" >"$folder/handler.c"
check 'no HANDLER' 1 '*expected #define HANDLER name*' "${CC:-cc}" -fsyntax-only "$folder/handler.c"

# The echo, edited in place, calls what a handler may.
sed '/^static struct outcome echo/a log_info(invocation, S("")); allocate_buffer(invocation, 1);' bootstrap.c \
    >"$folder/handler.c"
compile 'echo, edited in place' 0 -Werror -fsyntax-only "$folder/handler.c"

# Workers are forked where threads could be made, and not where one runs already.
cat >"$folder/handler.c" <<END
#include <pthread.h>
#define HANDLER echo
#include "$PWD/bootstrap.c"
static struct outcome echo(const struct invocation *invocation) { return success(invocation->event); }
static void *wait_for_ever(void *nothing) {
    pause();
    return nothing;
}
__attribute__((constructor)) static void start(void) {
    pthread_t thread;
    if (getenv("EARLY"))
        pthread_create(&thread, NULL, wait_for_ever, NULL);
}
END
compile 'threads, linked' 0 -pthread "$folder/handler.c" -o "$folder/threads"
export AWS_LAMBDA_MAX_CONCURRENCY=2 AWS_LAMBDA_RUNTIME_API=127.0.0.1:1 # nobody serves them
check 'workers, and no thread before main' 1 '*worker: it gave up before*' "$folder/threads"
check 'no workers behind a thread before main' 1 'FATAL bootstrap: fork: expected no thread before main' \
    env EARLY=1 "$folder/threads"
unset AWS_LAMBDA_MAX_CONCURRENCY AWS_LAMBDA_RUNTIME_API

# One in another language, which answers with more than the memory holds, or not at all.
cat >"$folder/library.c" <<'END'
#include <stddef.h>
typedef void say_answer(void *to, const char *type, const char *bytes, size_t length);
void handle_event(const char *event, size_t length, say_answer *say, void *to);
void handle_event(const char *event, size_t length, say_answer *say, void *to) {
    static char large[16 * 1024 * 1024 + 1];
    if (length == 2 && event[0] == '[')
        say(to, NULL, large, sizeof large);
}
END
compile 'a library in another language, linked' 0 \
    -I. test/handlers/linked/foreign.c "$folder/library.c" -o "$folder/foreign"
built=$folder
expect foreign '[]' '' 1 'Function.TooLarge: beyond 16 MiB'
expect foreign '{}' '' 1 'Function.NoAnswer: expected one'
built=$1

# A handler as people write it: the system's headers first, one of its own, and no look at the length.
cp Makefile bootstrap.c "$folder"
ln -s "$PWD/test" "$folder/test"
cat >"$folder/greet.c" <<'END'
#include <stdio.h>
#define HANDLER greet
#include "bootstrap.c"
#include "greet.h"
static struct outcome greet(const struct invocation *invocation) {
    char name[16], *greeting = allocate(invocation, 100);
    memcpy(name, invocation->event.data, invocation->event.length);
    int length = snprintf(greeting, 100, GREETING " %.*s", (int)invocation->event.length, name);
    return success((struct text){greeting, (size_t)length});
}
END
unset MAKEFLAGS MAKEOVERRIDES HANDLER ARCH DRY_RUN
# shellcheck disable=SC2016 # signs of make's own, as they are
build 'an event with dollar signs' 0 '{"greeting":"Hello, $5 $(five) $$!"}*' \
    -s -C "$PWD" run BOOTSTRAP="$built/hello" EVENT='{"name":"$5 $(five) $$"}'
build 'an event that is empty' 1 "*EVENT is empty; expected JSON*" run EVENT=
build 'a handler that is not there' 1 '*HANDLER=none.c: no such file*' run HANDLER=none.c
build 'deploy of a handler that is not named' 1 \
    '*HANDLER is missing; expected HANDLER=hello.c, or HANDLER=bootstrap.c*' deploy FUNCTION=none DRY_RUN=1
build 'deploy says what it takes for which architecture' 0 '# deploys bootstrap.c for arm64:*' \
    -s deploy HANDLER=bootstrap.c ARCH=arm64 FUNCTION=none DRY_RUN=1
build 'deploy of an executable that is given' 0 '# deploys its/own for *' \
    -s deploy BOOTSTRAP=its/own FUNCTION=none DRY_RUN=1
echo '#define GREETING "Hello"' >"$folder/greet.h"
echo 'int more;' >"$folder/more.c"
build 'system headers before bootstrap.c' 0 '*' HANDLER='greet.c more.c'
built=$folder
expect bootstrap '"Ada"' 'Hello "Ada"'
expect bootstrap '"longer than 16 bytes"' '' 1 'Runtime.ExitError'
printf '#!/bin/sh\nexit 127\n' >"$folder/cmp" # as where there is none
chmod 755 "$folder/cmp"
PATH=$folder:$PATH
build 'nothing has changed' 0 '*' -q HANDLER='greet.c more.c'
touch "$folder/greet.c"
build 'one of two has changed' 0 '* -c greet.c *' HANDLER='greet.c more.c'
case $output in *' -c more.c '*) false ;; esac
verdict $? 'only what has changed is compiled'
mv "$folder/greet.c" "$folder/new.c"
sed 's/GREETING "/"Old" "/' "$folder/new.c" >"$folder/greet.c"
touch -t 200001010000 "$folder/greet.c"
build 'an older file of that name' 0 '*' HANDLER='greet.c more.c'
expect bootstrap '"Ada"' 'Old "Ada"'
mv "$folder/new.c" "$folder/greet.c"
cat >"$folder/root.c" <<'END'
#include <math.h>
double root(double);
double root(double x) { return cbrt(x); }
END
(cd "$folder" && "${CC:-cc}" -c root.c && ar rc libroot.a root.o && rm root.c)
echo 'double root(double); __attribute__((constructor)) void more(void); void more(void) { root(27); }' \
    >"$folder/more.c"
for linked in root.o libroot.a; do
    build "$linked, LDLIBS and LDFLAGS" 0 '*definition of cbrt*' \
        HANDLER="greet.c more.c $linked" LDLIBS=-lm LDFLAGS=-Wl,-y,cbrt
    expect bootstrap '"Ada"' 'Hello "Ada"'
done
build 'CPPFLAGS and CFLAGS behind our own' 0 '* -Os -DLESS -DMORE *' -n CPPFLAGS=-DLESS CFLAGS=-DMORE
mkdir "$folder/a b"
cp "$folder/greet.c" "$folder/a b"
build 'a blank in a path' 1 \
    '*HANDLER=a: no such file; expected .c, .o or .a, and a path without a blank*' HANDLER='a b/greet.c'
build 'another machine wants an emulator' 1 '*no qemu-other *: apt-get install qemu-user-static*' \
    -o bootstrap ARCH=other run
build 'a machine that Lambda has not' 1 '*no compiler none; Lambda has ARCH=x86_64 *' ARCH=ARM64 CC=none
build 'a compiler for this machine only' 1 '*compiles for *; expected a compiler for other*' \
    ARCH=other CC="${CC:-cc}"
rm -r "$folder/a b"
echo 'char more(long); char more(long size) { return size; }' >"$folder/more.c"
build 'nothing to say of the compiler that is given, or of others'\'' sources' 0 '' \
    -s CC="${CC:-cc}" HANDLER='greet.c more.c'
echo '#define GREETING "Bye"' >"$folder/greet.h"
build 'a header has changed' 0 '*' HANDLER='greet.c more.c'
expect bootstrap '"Ada"' 'Bye "Ada"'
mv "$folder/greet.c" "$folder/bye.c"
build 'the handler has another name' 0 '*' HANDLER=bye.c
rm "$folder/greet.h"
build 'a header is gone' 1 '*greet.h*' HANDLER=bye.c
[ ! -e "$folder/bootstrap" ]
verdict $? 'no executable of another handler is left'
build 'the handler is not named' 0 '*'
expect bootstrap '"Ada"' '"Ada"'
echo 'another' >"$folder/bootstrap"
build 'an executable that make did not link is not taken for it' 0 '* -o bootstrap*'
export HANDLER=greet.c
build 'the handler is named in the environment, and gone' 1 '*HANDLER=greet.c: no such file*'
end
