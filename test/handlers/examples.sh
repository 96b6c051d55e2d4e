#!/bin/sh
# examples.sh - runs the worked examples of test/handlers, built in the folder $1, in the local
# Lambda $2, as README says; then sees that make builds anew what has changed, and only that.
#
# SPDX-License-Identifier: MIT-0
. test/checks.sh
built=$1 lambda=$2

# What a handler prints on stdout; its exit status, 0 if nothing is said; and a part of its stderr.
answer() { # HANDLER EVENT PATTERN [STATUS PART]
    expect "$1 $2" "${4-0}" "$3|*${5-}*" env BOOTSTRAP="$built/$1" "$lambda" run "$2"
}

compile() { # WHAT RESULT OPTION...
    what=$1 result=$2
    shift 2
    expect "$what" "$result" '*' "${CC:-cc}" -std=gnu11 "$@"
}

build() { # WHAT RESULT PATTERN OPTION...
    what=$1 result=$2 pattern=$3
    shift 3
    expect "make: $what" "$result" "$pattern" make -C "$work" "$@"
}

answer hello '{"name":"Ada"}' '{"greeting":"Hello, Ada!"}'
answer hello ' { "name" : "" } ' '{"greeting":"Hello, !"}'
for event in '{"name":"A\u0041"}' '{"name":"Ada' '{"name":"Ada"' '{"name":"Ada"}}' '{"id":"Ada"}' \
    '{"name":1}' '"name"' '{}' '{"name":"Ada","id":1}'; do
    answer hello "$event" '' 1 'Function.NoName'
done
# shellcheck disable=SC2016 # $LATEST is the version's name
for part in '"functionName":"function"' '"functionVersion":"$LATEST"' '"memorySize":"128"' \
    '"invokedFunctionArn":"arn:aws:lambda:' '"traceId":"Root=1-' '"deadlineMs":1' '"region":"'; do
    answer context '{}' "*$part*"
done
answer fail '"no"' '' 1 '{"errorType":"Function.Refused","stackTrace":\[],"errorMessage":"\\"no\\""}'
answer fail '"no"' '' 1 ' Function.Refused: "no"'
export RESOURCE="$PWD/test/handlers/init.c"
answer init '{}' '*init.c - opens a resource once*'
RESOURCE=/nowhere
answer init '{}' '' 1 'Function.NoResource'
answer stream '{}' '*one
two
three'
answer stream '"fail"' '*one'
export ROUNDS=2
answer slow '{}' 2
unset ROUNDS
export TIMEOUT=2
answer slow '{}' '[1-9]*'
case $(cat "$work/out") in [2-9][0-9] | 1[0-4][0-9] | 150) ;; *) false ;; esac
verdict $? 'slow: rounds of 10 ms in the second and a half that it has'
unset TIMEOUT
answer big '{}' '' 1 'Function.ResponseSizeTooLarge'
export JOURNAL="$work/journal"
answer shutdown '"entry"' '"entry"' 0 'INFO closed the journal'
equal 'shutdown: what Lambda objects to' "$(grep -F 'local_lambda: ' "$work/err")" ''
equal 'shutdown: the journal' "$(cat "$JOURNAL")" '"entry"'
end_of_serve() { # SETTING FIRST LAST: Ctrl-C as soon as it says the first, and then it says the last
    start "$2" env "$1" PORT=0 BOOTSTRAP="$built/shutdown" "$lambda" serve
    kill -INT "$pid"
    wait "$pid" && grep -qF "$3" "$work/log"
    verdict $? "shutdown, served: $1"
    pid=
}
end_of_serve TIMEOUT=3 'opened the journal' 'INFO closed the journal'
end_of_serve CONCURRENCY=2 'no SIGTERM will come' '"level":"WARN"'
answer several '"one two  three"' '{"words":3}'

# S() of what it would cut does not compile; of a literal it does.
for argument in '"literal":0' 'pointer:1' 'array:1'; do
    printf '#include "%s/bootstrap.c"\nstruct text f(const char *pointer) { static char array[64]; %s; }\n' \
        "$PWD" "(void)array, (void)pointer; return S(${argument%:*})" >"$work/handler.c"
    compile "S(${argument%:*})" "${argument#*:}" -DHANDLER=h -fsyntax-only "$work/handler.c"
done

# Nor does a handler collide with what is internal, under names that it may well choose.
printf '#include "%s/bootstrap.c"\nint get, post, receive, fatal, append, next, fail, current;\n' \
    "$PWD" >"$work/handler.c"
compile 'names that a handler may choose' 0 -DHANDLER=h -fsyntax-only "$work/handler.c"

# Nothing but main is global, and what musl looks for: so a library's functions are its own, even under
# names that bootstrap.c has too.
compile 'an object for symbols' 0 -c bootstrap.c -o "$work/symbols.o"
equal 'what bootstrap.c has that is global' \
    "$(nm -g --defined-only "$work/symbols.o" | sed 's/.* //; /^__stdout_write$/d')" main

printf '#include "%s/bootstrap.c"\n' "$PWD" >"$work/handler.c"
expect 'no HANDLER' 1 '*expected #define HANDLER name*' "${CC:-cc}" -fsyntax-only "$work/handler.c"

# The echo, edited in place, calls what a handler may.
sed '/^static struct outcome echo/a log_info(invocation, S("")); allocate_buffer(invocation, 1);' bootstrap.c \
    >"$work/handler.c"
compile 'echo, edited in place' 0 -Werror -fsyntax-only "$work/handler.c"

# Workers are forked where threads could be made, and not where one runs already.
cat >"$work/handler.c" <<END
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
compile 'threads, linked' 0 -pthread "$work/handler.c" -o "$work/threads"
export AWS_LAMBDA_MAX_CONCURRENCY=2 AWS_LAMBDA_RUNTIME_API=127.0.0.1:1 # nobody serves them
expect 'workers, and no thread before main' 1 '*worker: it gave up before*' "$work/threads"
expect 'no workers behind a thread before main' 1 '|FATAL bootstrap: fork: expected no thread before main' \
    env EARLY=1 "$work/threads"
unset AWS_LAMBDA_MAX_CONCURRENCY AWS_LAMBDA_RUNTIME_API

# One in another language, which answers with more than the memory holds, or not at all.
cat >"$work/library.c" <<'END'
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
    -I. test/handlers/linked/foreign.c "$work/library.c" -o "$work/foreign"
built=$work
answer foreign '[]' '' 1 'Function.TooLarge: beyond 16 MiB'
answer foreign '{}' '' 1 'Function.NoAnswer: expected one'
built=$1

# A handler as people write it: the system's headers first, one of its own, and no look at the length.
cp Makefile bootstrap.c "$work"
ln -s "$PWD/test" "$work/test"
cat >"$work/greet.c" <<'END'
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
# shellcheck disable=SC2016 # signs of make's own, as they are
build 'an event with dollar signs' 0 '{"greeting":"Hello, $5 $(five) $$!"}*' \
    -s -C "$PWD" run BOOTSTRAP="$built/hello" EVENT='{"name":"$5 $(five) $$"}'
build 'an event that is empty' 1 "*EVENT is empty; expected JSON*" run EVENT=
build 'a handler that is not there' 1 '*HANDLER=none.c: no such file*' run HANDLER=none.c
build 'deploy of a handler that is not named' 1 \
    '*HANDLER is missing; expected HANDLER=hello.c, or HANDLER=bootstrap.c*' deploy FUNCTION=none DRY_RUN=1
build 'deploy says what it takes for which architecture' 0 "# deploys bootstrap.c for arm64:
make 'HANDLER=bootstrap.c' 'ARCH=arm64' zip*" \
    -s deploy HANDLER=bootstrap.c ARCH=arm64 FUNCTION=none DRY_RUN=1
build 'a resource of SAM of any name' 0 '*' -s build-Any ARTIFACTS_DIR="$work/artifact"
build 'deploy of an executable that is given' 0 '# deploys its/own for *' \
    -s deploy BOOTSTRAP=its/own FUNCTION=none DRY_RUN=1
echo '#define GREETING "Hello"' >"$work/greet.h"
echo 'int more;' >"$work/more.c"
build 'system headers before bootstrap.c' 0 '*' HANDLER='greet.c more.c'
built=$work
answer bootstrap '"Ada"' 'Hello "Ada"'
answer bootstrap '"longer than 16 bytes"' '' 1 'Runtime.ExitError'
printf '#!/bin/sh\nexit 127\n' >"$work/cmp" # as where there is none
chmod 755 "$work/cmp"
PATH=$work:$PATH
build 'nothing has changed' 0 '*' -q HANDLER='greet.c more.c'
touch "$work/greet.c"
build 'one of two has changed' 0 '* -c greet.c *' HANDLER='greet.c more.c'
equal 'only what has changed is compiled' "$(grep -e '-c more.c ' "$work/out")" ''
mv "$work/greet.c" "$work/new.c"
sed 's/GREETING "/"Old" "/' "$work/new.c" >"$work/greet.c"
touch -t 200001010000 "$work/greet.c"
build 'an older file of that name' 0 '*' HANDLER='greet.c more.c'
answer bootstrap '"Ada"' 'Old "Ada"'
mv "$work/new.c" "$work/greet.c"
cat >"$work/root.c" <<'END'
#include <math.h>
double root(double);
double root(double x) { return cbrt(x); }
END
(cd "$work" && "${CC:-cc}" -c root.c && ar rc libroot.a root.o && rm root.c)
echo 'double root(double); __attribute__((constructor)) void more(void); void more(void) { root(27); }' \
    >"$work/more.c"
for linked in root.o libroot.a; do
    build "$linked, LDLIBS and LDFLAGS" 0 '*definition of cbrt*' \
        HANDLER="greet.c more.c $linked" LDLIBS=-lm LDFLAGS=-Wl,-y,cbrt
    answer bootstrap '"Ada"' 'Hello "Ada"'
done
build 'CPPFLAGS and CFLAGS behind our own' 0 '* -Os -DLESS -DMORE *' -n CPPFLAGS=-DLESS CFLAGS=-DMORE
mkdir "$work/a b"
cp "$work/greet.c" "$work/a b"
build 'a blank in a path' 1 \
    '*HANDLER=a: no such file; expected .c, .o or .a, and a path without a blank*' HANDLER='a b/greet.c'
build 'another machine wants an emulator' 1 '*no qemu-other *: apt-get install qemu-user-static*' \
    -o bootstrap ARCH=other run
build 'a machine that Lambda has not' 1 '*no compiler none; Lambda has ARCH=x86_64 *' ARCH=ARM64 CC=none
build 'a compiler for this machine only' 1 '*compiles for *; expected a compiler for other*' \
    ARCH=other CC="${CC:-cc}"
rm -r "$work/a b"
echo 'char more(long); char more(long size) { return size; }' >"$work/more.c"
build 'nothing to say of the compiler that is given, or of others'\'' sources' 0 '|' \
    -s CC="${CC:-cc}" HANDLER='greet.c more.c'
echo '#define GREETING "Bye"' >"$work/greet.h"
build 'a header has changed' 0 '*' HANDLER='greet.c more.c'
answer bootstrap '"Ada"' 'Bye "Ada"'
mv "$work/greet.c" "$work/bye.c"
build 'the handler has another name' 0 '*' HANDLER=bye.c
rm "$work/greet.h"
build 'a header is gone' 1 '*greet.h*' HANDLER=bye.c
[ ! -e "$work/bootstrap" ]
verdict $? 'no executable of another handler is left'
build 'the handler is not named' 0 '*'
answer bootstrap '"Ada"' '"Ada"'
echo 'another' >"$work/bootstrap"
build 'an executable that make did not link is not taken for it' 0 '* -o bootstrap*'
export HANDLER=greet.c
build 'the handler is named in the environment, and gone' 1 '*HANDLER=greet.c: no such file*'
end
