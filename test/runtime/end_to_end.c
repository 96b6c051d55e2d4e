/* end_to_end.c - the real executable against a scripted Runtime API on loopback: the cases. How one
 * is written stands in script.h.
 *
 *   end_to_end BOOTSTRAP PROBE [PART OF A CASE'S NAME]
 *
 * With - for the probe, the cases that need it are left out. A program in $RUN_WITH starts both
 * executables, such as qemu-aarch64-static.
 *
 * SPDX-License-Identifier: MIT-0 */
/* For mutate.sh one failure is enough, which often comes as a silence. */
#ifdef IMPATIENT
enum { PATIENCE_MS = 3000, FAILURES_MAX = 1 };
#else
enum { PATIENCE_MS = 20000, FAILURES_MAX = 20 };
#endif

#include "script.h"

/* clang-format off */
/* ---- The cases, in the order of a runtime's life ---- */

#define X16 "xxxxxxxxxxxxxxxx"
#define X256 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16
#define X4K X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256
#define X60K X4K X4K X4K X4K X4K X4K X4K X4K X4K X4K X4K X4K X4K X4K X4K
#define X64K X60K X4K
#define PADDING(n) {BYTES, X64K, .length = n}
#define ONE_ECHO NEXT, EVENT("echo-1", 5, "hello"), RESPONSE("echo-1", "hello"), ACCEPTED
#define ONE_ANSWER NEXT, EVENT("r1", 2, "hi"), RESPONSE("r1", "hi") /* to which the case replies */
#define NO_EVENT SEND("HTTP/1.1 204 No Content\r\n\r\n")
#define NO_EVENT_AT_LENGTH SEND("HTTP/1.1 204 x\r\nX: " X60K "\r\n\r\n")
#define RESTORE_ROUTE "GET /2018-06-01/runtime/restore/next"
#define BAD_ADDRESS(value)                                                                         \
    FATAL("AWS_LAMBDA_RUNTIME_API: \"" value "\": expected host:port"),                          \
    .environment = {"AWS_LAMBDA_RUNTIME_API=" value}
#define MISUNDERSTOOD(value, advice)                                                               \
    FATAL("AWS_LAMBDA_RUNTIME_API: \"*\": *" advice),                                              \
    .environment = {"AWS_LAMBDA_RUNTIME_API=" value}
#define PREFIXED(method, prefix, action, body)                                                     \
    {ASKED, method " " prefix "/2018-06-01/runtime/invocation/" action, body}
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define REFUSED(reply, why) {NEXT, SEND(reply)}, FATAL("next invocation: " why)
#define TOO_LARGE "ERROR r1 Runtime.EventTooLarge: The event is larger than 32 MiB.\n"
#define WITH_DEADLINE(ms)                                                                          \
    NEXT, SEND(HEAD("r1") "Lambda-Runtime-Deadline-Ms: " ms "\r\nContent-Length: 2\r\n\r\nhi"),    \
    RESPONSE("r1", "hi")
#define FAILS(id) NEXT, EVENT(id, 8, "fail A b"), ERROR(id, "A", "b")
#define STREAMS NEXT, EVENT("r1", 10, "stream one"), RESPONSE("r1", "one")
#define REFUSED_ERROR(id) "ERROR " id " A: b\nWARN " id " *: status 413: *\n"
#define THREE_TIMES \
    "FATAL r1 bootstrap: the answer to one event: \"r1\": refused three times in a row\n"
#define REFUSALS "WARN *: status 413: *\nWARN *: status 413: *\n"
#define AS_PROCESS_1 .process_1 = true, .needs = "unshare -pf true 2>/dev/null"
/* All that an event may have, and the head of the reply to its answer. */
#define LARGEST_EVENT                                                                              \
    NEXT, SEND(HEAD("r1") CHUNKED "X: "), PADDING(65449), SEND("\r\n\r\n2000000;"),    \
    PADDING(65526), SEND("\r\n"), FILL(33554432),                          \
    SEND("\r\n0\r\nT: "), PADDING(65529), SEND("\r\n\r\n"),                           \
    ECHOED("r1", 33554432), SEND("HTTP/1.1 200 A\r\n" CHUNKED "X: "),                        \
    PADDING(65485), SEND("\r\n\r\n")
/* A status that the server answers a response with, after which the runtime goes on. */
#define GOES_ON(status)                                                                            \
    {ONE_ANSWER, STATUS(status), ONE_ECHO}, WARNS("invocation response: status " status)
#define ECHOES(reply, body)                                                                        \
    {NEXT, SEND(reply), RESPONSE("r1", body), ACCEPTED, NEXT, SEND_SLOWLY(reply),                  \
     RESPONSE("r1", body), ACCEPTED}, .connections = 1

/* Workers: the steps that they share. TRACED is an invocation that answers with the variable. */
#define AT(n) {WORKER, .number = n}
#define WAITS(n) AT(n), NEXT
#define CRASHES EVENT("r1", 5, "crash"), {CLOSED}
#define DIES_ANSWERING EVENT("r1", 2, "hi"), RESPONSE("r1", "hi"), STATUS("500 x"), {CLOSED}
#define TRACED(value)                                                                              \
    NEXT, SEND(HEAD("r1") "Lambda-Runtime-Trace-Id: t\r\nContent-Length: 5\r\n\r\ntrace"),         \
    RESPONSE("r1", value), ACCEPTED
#define WORKERS(value)                                                                             \
    .probe = true, .environment = {"AWS_LAMBDA_MAX_CONCURRENCY=" value}
#define ONE_WORKER(value)                                                                          \
    {TRACED("t")}, WORKERS(value),                                                                 \
    WARNS("AWS_LAMBDA_MAX_CONCURRENCY: \"" value "\": expected a number from 1 to 1600; ")

static const struct test tests[] = {
    /* Settings. PORT stands for the server's. */
    {"an echo, and another on the same connection", {ONE_ECHO, ONE_ECHO}, .connections = 1},
    {"1,100 connections, of which at most one is open", {ONE_ECHO, {CLOSE}}, .rounds = 1100},
    {"address: http:// in front, localhost, and a path",
     {PREFIXED("GET", "/1-2", "next", ""), HAS("Host", "localhost:PORT"), EVENT("1", 2, "hi"),
      PREFIXED("POST", "/1-2", "1/response", "hi"), STATUS("500 x")},
     FATAL("500"), .environment = {"AWS_LAMBDA_RUNTIME_API=hTTp://localhost:PORT/1-2"}},
    {"address: a path",
     {PREFIXED("GET", "/a/b", "next", ""), EVENT("1", 2, "hi"), HAS("Host", "127.0.0.1:PORT"),
      PREFIXED("POST", "/a/b", "1/response", "hi"), ACCEPTED, PREFIXED("GET", "/a/b", "next", ""),
      STATUS("500 x")},
     FATAL("500"), .environment = {"AWS_LAMBDA_RUNTIME_API=127.0.0.1:PORT/a/b/"}},
    {"address not set", FATAL("AWS_LAMBDA_RUNTIME_API: (not set): expected the host:port"),
     .environment = {"AWS_LAMBDA_RUNTIME_API"}},
    {"address empty", BAD_ADDRESS("")},
    {"address 127.0.0.1:http", BAD_ADDRESS("127.0.0.1:http")},
    {"address 127.0.0.1:0", BAD_ADDRESS("127.0.0.1:0")},
    {"address http://lambda.example/path",
     MISUNDERSTOOD("http://lambda.example/path", "IPv4 number")},
    {"address HTTPS://lambda.example", MISUNDERSTOOD("HTTPS://lambda.example", "https")},
    {"address http://[::]:9000/.rt", MISUNDERSTOOD("http://[::]:9000/.rt", "IPv6")},
    {"a late server", {ONE_ECHO}, .late = true},
    {"nothing listens", FATAL("connection refused: \"127.0.0.1:1\""),
     .environment = {"AWS_LAMBDA_RUNTIME_API=127.0.0.1:1"}},
    {"nothing listens at localhost",
     FATAL("no connection: connection refused: 127.0.0.1 was tried: \"localhost:1\": "),
     .environment = {"AWS_LAMBDA_RUNTIME_API=localhost:1"}},

    /* The initialization hook. */
    {"initialization error",
     {{ASKED, "POST /2018-06-01/runtime/init/error",
       ERROR_JSON("Function.NoDatabase", "cannot \\\"open\\\" it")},
      HAS("Lambda-Runtime-Function-Error-Type", "Function.NoDatabase"),
      HAS("Lambda-Runtime-Invocation-Id", NULL), ACCEPTED},
     .status = EXIT(1),
     .logs = "ERROR Function.NoDatabase: cannot \"open\" it\n"
             "FATAL bootstrap: initialization of the function failed: \"Function.NoDatabase\": "
             "exiting, as Lambda expects\n",
     .probe = true, .environment = {"PROBE_FAIL=1"}},
    {"initialization error in JSON",
     {{ASKED, "POST /2018-06-01/runtime/init/error"}, ACCEPTED}, .status = EXIT(1),
     .logs = "{\"timestamp\":\"20*Z\",\"level\":\"ERROR\",\"errorType\":\"Function.NoDatabase\","
             "\"errorMessage\":\"cannot \\\"open\\\" it\"}\n"
             "{\"timestamp\":\"20*Z\",\"level\":\"FATAL\",\"message\":\"bootstrap: initialization "
             "*\"}\n",
     .probe = true, .environment = {"PROBE_FAIL=1", "AWS_LAMBDA_LOG_FORMAT=JSON"}},
    {"initialization error that Lambda cannot take",
     {{ASKED, "POST /2018-06-01/runtime/init/error"}, STATUS("500 no")},
     .status = EXIT(1),
     .logs = "ERROR Function.NoDatabase: *\nFATAL bootstrap: initialization error: status 500*\n",
     .probe = true, .environment = {"PROBE_FAIL=1"}},

    /* What goes out. */
    {"the fields of a response",
     {NEXT, HAS("Host", "127.0.0.1:PORT"), HAS("User-Agent", "bootstrap.c/2.0.0"),
      HAS("Content-Length", NULL), HAS("Expect", NULL), EVENT("r1", 2, "hi"), RESPONSE("r1", "hi"),
      HAS("Host", "127.0.0.1:PORT"), HAS("Content-Type", "application/json"),
      HAS("Content-Length", "2"), HAS("Expect", NULL), HAS("Transfer-Encoding", NULL),
      HAS("Lambda-Runtime-Invocation-Id", NULL), ACCEPTED}},
    {"an empty event",
     {NEXT, EVENT("r1", 0, ""), RESPONSE("r1", ""), HAS("Content-Length", "0"), ACCEPTED}},
    {"the invocation id goes back, and is not carried over",
     {NEXT, SEND(HEAD("r1")
                 "Lambda-Runtime-Invocation-Id: a b\x80=\r\nContent-Length: 2\r\n\r\nhi"),
      RESPONSE("r1", "hi"), HAS("Lambda-Runtime-Invocation-Id", "a b\x80="), ACCEPTED, NEXT,
      SEND(HEAD("r2") "Lambda-Runtime-Invocation-Id: i2\r\nContent-Length: 8\r\n\r\nfail A b"),
      ERROR("r2", "A", "b"), HAS("Lambda-Runtime-Invocation-Id", "i2"), ACCEPTED, NEXT,
      EVENT("r3", 2, "hi"), RESPONSE("r3", "hi"), HAS("Lambda-Runtime-Invocation-Id", NULL),
      ACCEPTED},
     .logs = "ERROR r2 A: b\n", .probe = true},
    {"invocation id of 1,024 bytes",
     {NEXT, SEND(HEAD("r1") "Lambda-Runtime-Invocation-Id: " X256 X256 X256 X256
                 "\r\nContent-Length: 2\r\n\r\nhi"),
      RESPONSE("r1", "hi"), HAS("Lambda-Runtime-Invocation-Id", X256 X256 X256 X256), ACCEPTED}},
    {"invocation id of 1,025 bytes",
     {NEXT, SEND(HEAD("r1") "Lambda-Runtime-Invocation-Id: x" X256 X256 X256 X256
                 "\r\nContent-Length: 2\r\n\r\nhi")},
     FATAL("Lambda-Runtime-Invocation-Id: \"xxx")},

    /* The context. */
    {"every field of the context, names in any case; none is carried over, empty ones are absent",
     {NEXT, SEND("HTTP/1.1 200 OK\r\nLAMBDA-RUNTIME-AWS-REQUEST-ID:id-1\r\n"
                 "lambda-runtime-deadline-ms:\t 18446744073709551615 \t\r\n"
                 "Lambda-Runtime-INVOKED-Function-Arn: arn:\xc3\xa9\xff\r\n"
                 "lambda-runtime-trace-id: Root=1;Sampled=0\r\n"
                 "Lambda-Runtime-Client-Context: {\"a\": 1}\r\n"
                 "Lambda-Runtime-Cognito-Identity: {}\r\nlambda-runtime-aws-tenant-id: blue\r\n"
                 "Lambda-Runtime-Invocation-Id: nonce\r\nContent-type: text/plain\r\n"
                 "content-LENGTH: 7\r\n\r\ncontext"),
      RESPONSE("id-1", "id-1|arn:\xc3\xa9\xff|Root=1;Sampled=0|{\"a\": 1}|{}|blue|nonce|"
                       "text/plain|18446744073709551615"), ACCEPTED,
      NEXT, EVENT("id-2", 7, "context"), RESPONSE("id-2", "id-2||||||||0"), ACCEPTED,
      NEXT, SEND(HEAD("id-3") "Lambda-Runtime-Trace-Id:\r\nLambda-Runtime-Client-Context: \r\n"
                 "Lambda-Runtime-Deadline-Ms: 12x\r\nLambda-Runtime-Invocation-Id:\r\n"
                 "Content-Length: 7\r\n\r\ncontext"),
      RESPONSE("id-3", "id-3||||||||0"), HAS("Lambda-Runtime-Invocation-Id", NULL), ACCEPTED},
     .probe = true},
    {"request id of 256 bytes",
     {NEXT, EVENT(X256, 2, "hi"), RESPONSE(X256, "hi"), ACCEPTED}},
    {"request id of 257 bytes", {NEXT, EVENT("x" X256, 2, "hi")},
     FATAL("Lambda-Runtime-Aws-Request-Id: \"xxx")},
    {"request id with a slash", {NEXT, EVENT("a/b", 2, "hi")}, FATAL("\"a/b\"")},
    {"request id with a question mark", {NEXT, EVENT("a?b", 2, "hi")}, FATAL("\"a?b\"")},
    {"request id with a hash", {NEXT, EVENT("a#b", 2, "hi")}, FATAL("\"a#b\"")},
    {"request id with a percent sign", {NEXT, EVENT("a%b", 2, "hi")}, FATAL("\"a%b\"")},
    {"request id beyond ASCII", {NEXT, EVENT("\xc3\xa9", 2, "hi")}, FATAL("\"\xc3\xa9\"")},
    {"no request id", {NEXT, SEND("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")},
     FATAL("Lambda-Runtime-Aws-Request-Id: it is missing")},
    {"the trace id is set, changed and unset",
     {NEXT, SEND(HEAD("1") "Lambda-Runtime-Trace-Id: Root=1\r\nContent-Length: 5\r\n\r\ntrace"),
      RESPONSE("1", "Root=1"), ACCEPTED, NEXT,
      SEND(HEAD("2") "Lambda-Runtime-Trace-Id: R=22;Lineage=1:9581a8d4:0\r\nContent-Length: 5\r\n"
                     "\r\ntrace"),
      RESPONSE("2", "R=22;Lineage=1:9581a8d4:0"), ACCEPTED, NEXT, EVENT("3", 5, "trace"),
      RESPONSE("3", "(unset)"), ACCEPTED, NEXT, EVENT("4", 7, "another"),
      RESPONSE("4", "variable"), ACCEPTED},
     .probe = true, .environment = {"PROBE_SETENV=1", "_X_AMZN_TRACE_ID=from outside"}},
    {"5,000 variables in 64 KiB of stack", {ONE_ECHO}, .little_stack = true,
     .needs = "test -z \"$RUN_WITH\""},
    {"the handler's children have none of our descriptors",
     {NEXT, EVENT("1", 75, "sh for d in 3 4 5 6 7 8 9; do (: >&$d) 2>/dev/null && echo $d; done; "
                           "echo ."), RESPONSE("1", ".\n"), ACCEPTED}, .probe = true},
    {"the handler's children are ended by SIGPIPE",
     {NEXT, EVENT("1", 45, "sh sh -c 'kill -PIPE $$; echo alive'; echo $?"),
      RESPONSE("1", "141\n"), ACCEPTED},
     .probe = true},
    {"standard output: whole lines at once, in order with the log",
     {NEXT, EVENT("r1", 17, "print one\ntwo\nthr"), RESPONSE("r1", ""), ACCEPTED, NEXT,
      EVENT("r2", 14, "print ee\nfour\n"), RESPONSE("r2", ""), ACCEPTED},
     .logs = "one\ntwo\nINFO r1 printed\nthree\nfour\nINFO r2 printed\n", .probe = true},

    {"the hook behind each response, error and stream, before the next event is asked for",
     {NEXT, EVENT("r1", 2, "hi"), RESPONSE("r1", "hi"), ACCEPTED, FAILS("r2"), STATUS("413 x"),
      NEXT, EVENT("r3", 14, "streamlate one"), RESPONSE("r3", "one"), ACCEPTED, {CLOSED}, NEXT,
      EVENT("r4", 5, "early"), {ASKED, POST_ROUTE "r4/error"}, ACCEPTED, NEXT,
      EVENT("r5", 4, "last"), RESPONSE("r5", "last"), ACCEPTED},
     .logs = "INFO r1 hi\n" REFUSED_ERROR("r2") "INFO r2 fail A b\n"
             "ERROR r3 *\nINFO r3 streamlate one\nERROR r4 *\nINFO r4 early\nINFO r5 last\n",
     .status = EXIT(3), .probe = true, .environment = {"PROBE_AFTER=1"}},

    /* Invocation errors. */
    {"an error, and on",
     {NEXT, EVENT("r1", 29, "fail Function.Bad no \"such\" \\"),
      ERROR("r1", "Function.Bad", "no \\\"such\\\" \\\\"),
      HAS("Lambda-Runtime-Function-Error-Type", "Function.Bad"),
      HAS("Content-Type", "application/json"), ACCEPTED, ONE_ECHO},
     .logs = "ERROR r1 Function.Bad: no \"such\" \\\n", .probe = true},
    {"an error in a log of JSON",
     {NEXT, SEND(HEAD("r1") "Lambda-Runtime-Trace-Id: t\r\nLambda-Runtime-Aws-Tenant-Id: x\r\n"
                 "Content-Length: 13\r\n\r\nfail A\n \"b\"\nc"), {ASKED, POST_ROUTE "r1/error"},
      ACCEPTED, ONE_ECHO},
     .logs = "{\"timestamp\":\"20*Z\",\"level\":\"ERROR\",\"requestId\":\"r1\","
             "\"tenantId\":\"x\",\"traceId\":\"t\",\"errorType\":\"A\\u000a\","
             "\"errorMessage\":\"\\\"b\\\"\\u000ac\"}\n",
     .probe = true, .environment = {"AWS_LAMBDA_LOG_FORMAT=JSON"}},
    {"an error below the level of the log",
     {NEXT, EVENT("r1", 8, "fail A b"), ERROR("r1", "A", "b"), ACCEPTED}, .probe = true,
     .environment = {"AWS_LAMBDA_LOG_LEVEL=FATAL"}},
    {"an error that is longer than a line of the log",
     {NEXT, SEND(HEAD("r1") "Content-Length: 65543\r\n\r\nfail A "), PADDING(65536),
      {ASKED, POST_ROUTE "r1/error"}, ACCEPTED},
     .logs = "ERROR r1 A: " X16 "*\n", .probe = true},
    {"an error of any bytes",
     {NEXT, EVENT("r1", 24, "fail a\r\nb\x7f: \xc3\xa9 \x01\x1f\t\xff\xc3(\xed\xa0\x80"),
      ERROR("r1", "a\\u000d\\u000ab\\u007f:",
            "\xc3\xa9 \\u0001\\u001f\\u0009\xef\xbf\xbd\xef\xbf\xbd("
            "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
      HAS("Lambda-Runtime-Function-Error-Type", "a??b?:"), ACCEPTED},
     .logs = "ERROR r1 a\r\rb\x7f:: \xc3\xa9 \x01\x1f\t\xff\xc3(\xed\xa0\x80\n", .probe = true},
    {"an error without type and message",
     {NEXT, EVENT("r1", 4, "fail"), ERROR("r1", "Runtime.UnknownReason", ""),
      HAS("Lambda-Runtime-Function-Error-Type", "Runtime.UnknownReason"), ACCEPTED},
     .logs = "ERROR r1 Runtime.UnknownReason: \n", .probe = true},

    /* What Lambda answers. */
    {"response answered 403", GOES_ON("403")},
    {"response answered 413", GOES_ON("413")},
    {"response answered 300", GOES_ON("300")},
    {"any 2xx is accepted",
     {ONE_ANSWER, STATUS("299 fine"), ONE_ECHO}},
    {"204 is accepted, and has no body",
     {ONE_ANSWER, SEND("HTTP/1.1 204 \r\n\r\n"), ONE_ECHO}},
    {"304 has no body, and its connection stays",
     {ONE_ANSWER, SEND("HTTP/1.1 304 \r\n\r\n"), ONE_ECHO},
     .connections = 1,
     .logs = "WARN r1 bootstrap: invocation response: status 304: *\n"},
    {"an answer refused three times in a row",
     {WITH_DEADLINE("5"), STATUS("413 x"), WITH_DEADLINE("5"), STATUS("400 x"), WITH_DEADLINE("5"),
      STATUS("302 x")},
     .status = EXIT(1),
     .logs = "WARN *: status 413: *\nWARN *: status 400: *\nWARN *: status 302: *\n" THREE_TIMES},
    {"an error refused three times in a row, without a deadline",
     {FAILS("r1"), STATUS("413 x"), FAILS("r1"), STATUS("413 x"), FAILS("r1"), STATUS("413 x")},
     .probe = true, .status = EXIT(1),
     .logs = REFUSED_ERROR("r1") REFUSED_ERROR("r1") REFUSED_ERROR("r1") THREE_TIMES},
    {"streams refused, and then one whose reply is lost",
     {STREAMS, STATUS("413 x"), STREAMS, STATUS("413 x"), STREAMS, {CLOSE}, ONE_ECHO},
     .probe = true,
     .logs = REFUSALS "WARN r1 bootstrap: streamed response: all sent*\n"},
    {"answers refused, with an accepted one in between",
     {WITH_DEADLINE("5"), STATUS("413 x"), WITH_DEADLINE("5"), STATUS("413 x"), WITH_DEADLINE("5"),
      ACCEPTED, WITH_DEADLINE("5"), STATUS("413 x"), WITH_DEADLINE("5"), STATUS("413 x")},
     .logs = REFUSALS "WARN *: status 413: *\nWARN *: status 413: *\n"},
    {"an answer delivered three times by a second try is none refused",
     {WITH_DEADLINE("5"), {CLOSE}, RESPONSE("r1", "hi"), STATUS("403 x"), WITH_DEADLINE("5"),
      {CLOSE}, RESPONSE("r1", "hi"), STATUS("403 x"), WITH_DEADLINE("5"), {CLOSE},
      RESPONSE("r1", "hi"), STATUS("403 x"), ONE_ECHO}},
    {"response answered 500",
     {ONE_ANSWER, STATUS("500 x")},
     FATAL("invocation response: status 500: \"{}\"")},
    {"next answered 403", {NEXT, STATUS("403 x")}, FATAL("next invocation: status 403")},
    {"next answered 204: asked again, on the same connection",
     {NEXT, NO_EVENT, NEXT, NO_EVENT, NEXT, NO_EVENT, ONE_ECHO, NEXT, NO_EVENT, ONE_ECHO},
     .connections = 1},
    {"next answered 204 with a close",
     {NEXT, SEND("HTTP/1.1 204 x\r\nConnection: close\r\n\r\n"), {CLOSED}, ONE_ECHO},
     .connections = 2},
    {"next answered 204, and the connection lost, six times",
     {NEXT, NO_EVENT, NEXT, {CLOSE}, NEXT, NO_EVENT, NEXT, {CLOSE}, NEXT, NO_EVENT, NEXT, {CLOSE},
      NEXT, NO_EVENT, NEXT, {CLOSE}, NEXT, NO_EVENT, NEXT, {CLOSE}, NEXT, NO_EVENT, NEXT, {CLOSE},
      ONE_ECHO}, .connections = 7},
    {"next answered 202", {NEXT, STATUS("202 x")}, FATAL("next invocation: status 202")},
    {"a reply's text is shown on one line, cut",
     {NEXT, SEND("HTTP/1.1 403 x\r\nContent-Length: 300\r\n\r\n\r\n\x1b[1m" X256 X16 X16 X16)},
     FATAL("status 403: \"\\u000d\\u000a\\u001b?1m" X16 X16 X16 X16 X16 X16 X16 X16 X16
           "xxxxxxxxxx\": expected")},
    {"a chunked reply is drained",
     {ONE_ANSWER,
      SEND("HTTP/1.1 202 A\r\n" CHUNKED "\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"), ONE_ECHO},
     .connections = 1},

    /* HTTP, each at once and byte by byte. With a colon in its name a case also runs with the
     * limits of tiny.sh. */
    {"reply: interim replies before it",
     ECHOES("HTTP/1.1 100 Continue\r\nLambda-Runtime-Aws-Request-Id: no\r\n\r\n"
            "HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\n" HEAD("r1")
            "Content-Length: 2\r\n\r\nhi", "hi")},
    {"reply: HTTP/1.2 is read as 1.1",
     ECHOES("HTTP/1.2 200 OK\r\nLambda-Runtime-Aws-Request-Id: r1\r\n" CHUNKED
            "\r\n2\r\nhi\r\n0\r\n\r\n", "hi")},
    {"reply: LF alone ends a line",
     ECHOES("HTTP/1.1 200 OK\nLambda-Runtime-Aws-Request-Id: r1\nContent-Length: 2\n\nhi", "hi")},
    {"chunked: CRLF in the data, hex in either case, zeros, extensions, trailer section",
     ECHOES(HEAD("r1")
            "transfer-encoding: CHUNKED\r\n\r\n1\r\n\n\r\n00A ;x=\"y\"\r\n\r\n0\r\n\r\n456\r\n"
            "000b\r\n01234567890\r\n00;last\r\nContent-Length: 9\r\n"
            "Lambda-Runtime-Aws-Request-Id: no\r\n\r\n", "\n\r\n0\r\n\r\n45601234567890")},
    {"HTTP/1.0, and a body that ends with the connection",
     {NEXT, SEND("HTTP/1.0 200 OK\r\nLambda-Runtime-Aws-Request-Id: r1\r\n\r\nuntil the end"),
      {CLOSE}, RESPONSE("r1", "until the end"), SEND("HTTP/1.0 202 A\r\n\r\n"),
      {CLOSE}, ONE_ECHO}},
    {"HTTP/1.0 without keep-alive: a new connection",
     {NEXT, SEND("HTTP/1.0 200 OK\r\nLambda-Runtime-Aws-Request-Id: r1\r\nContent-Length: 2\r\n"
                 "\r\nhi"), {CLOSED}, RESPONSE("r1", "hi"), ACCEPTED}},
    {"HTTP/1.0 with keep-alive",
     {NEXT, SEND("HTTP/1.0 200 OK\r\nLambda-Runtime-Aws-Request-Id: r1\r\nConnection: "
                 "Keep-Alive\r\n"
                 "Content-Length: 2\r\n\r\nhi"), RESPONSE("r1", "hi"), ACCEPTED}, .connections = 1},
    {"Connection: close, in a list, is honoured",
     {NEXT, SEND(HEAD("r1") "Connection: x, Close\r\nContent-Length: 2\r\n\r\nhi"), {CLOSED},
      RESPONSE("r1", "hi"),
      SEND("HTTP/1.1 202 A\r\nConnection: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
      {CLOSED}, ONE_ANSWER, SEND("HTTP/1.1 202 A\r\nConnection: close\r\nConnection: a\r\n"
                                 "Content-Length: 0\r\n\r\n"), {CLOSED}, ONE_ECHO}},
    {"bytes behind a reply: the connection is given up, nothing is taken from them",
     {NEXT, EVENT("r1", 2, "hiHTTP/1.1 200 OK\r\n\r\n"), {CLOSED}, RESPONSE("r1", "hi"), ACCEPTED,
      ONE_ECHO}},
    {"100 Continue before the reply to a response",
     {ONE_ANSWER, SEND("HTTP/1.1 100 Continue\r\n\r\n"),
      ACCEPTED, ONE_ECHO}},
    {"refused: HTTP/1.10", REFUSED("HTTP/1.10 200 OK\r\n\r\n", "a status line")},
    {"refused: status 600", REFUSED("HTTP/1.1 600 OK\r\n\r\n", "a status code")},
    {"refused: 101", REFUSED("HTTP/1.1 101 Switching\r\n\r\n", "a switch")},
    {"refused: a name that is no token", REFUSED(HEAD("r1") "a(b): 2\r\n\r\nhi", "a field line")},
    {"refused: a malformed trailer section",
     REFUSED(HEAD("r1") CHUNKED "\r\n2\r\nhi\r\n0\r\nno colon\r\n\r\n", "a field line")},
    {"refused: two request ids",
     REFUSED(HEAD("r1") "Lambda-Runtime-Aws-Request-Id: r2\r\n\r\n",
      "a field that must not be repeated")},
    {"refused: a list of lengths",
     REFUSED(HEAD("r1") "Content-Length: 2, 2\r\n\r\nhi", "a Content-Length")},
    {"refused: both framings",
     REFUSED(HEAD("r1") CHUNKED "Content-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "both")},
    {"refused: another encoding",
     REFUSED(HEAD("r1") "Transfer-Encoding: gzip, chunked\r\n\r\n", "a Transfer-Encoding")},
    {"refused: chunked twice",
     REFUSED(HEAD("r1") CHUNKED CHUNKED "\r\n0\r\n\r\n", "a field that must not be repeated")},
    {"refused: a chunk size with a bracket",
     REFUSED(HEAD("r1") CHUNKED "\r\n[\r\nfour\r\n", "a chunk size")},
    {"refused: a chunk longer than its size",
     REFUSED(HEAD("r1") CHUNKED "\r\n2\r\nhiho\r\n0\r\n\r\n", "a chunk that")},
    {"refused: a chunk extension without end",
     REFUSED(HEAD("r1") CHUNKED "\r\n2;" X64K, "a chunk-size line")},
    {"refused: a trailer section without end",
     REFUSED(HEAD("r1") CHUNKED "\r\n0\r\nA: " X64K, "a head or trailer section of more")},
    {"a reply to a response is refused likewise",
     {ONE_ANSWER, SEND("HTTP/1.1 2OO OK\r\n\r\n")},
     FATAL("invocation response: a status code")},

    /* Sizes. */
    {"a head of 64 KiB and a byte is refused",
     {NEXT, SEND(HEAD("r1") "X: "), PADDING(65478), SEND("\r\n\r\n")},
     FATAL("next invocation: a head or trailer section of more")},
    {"refused: interim replies of more than 64 KiB in all",
     REFUSED("HTTP/1.1 100 C\r\nX: " X60K "\r\n\r\nHTTP/1.1 200 " X4K X4K,
      "a head or trailer section of more")},
    {"6 MB in one chunk, as Lambda sends it",
     {NEXT, SEND(HEAD("r1") CHUNKED "\r\n5fff95\r\n"), FILL(0x5fff95),
      SEND("\r\n0\r\n\r\n"), ECHOED("r1", 0x5fff95), ACCEPTED, ONE_ECHO}},
    {"a byte more than 32 MiB until the connection ends",
     {NEXT, SEND(HEAD("r1") "\r\n"), FILL(33554433), {CLOSED},
      ERROR("r1", "Runtime.EventTooLarge", "The event is larger than 32 MiB."), ACCEPTED, ONE_ECHO},
     .logs = TOO_LARGE},
    {"a byte more than 32 MiB in two chunks",
     {NEXT, SEND(HEAD("r1") CHUNKED "\r\n1\r\nx\r\n2000000\r\n"), {CLOSED},
      ERROR("r1", "Runtime.EventTooLarge", "The event is larger than 32 MiB."), ACCEPTED, ONE_ECHO},
     .logs = TOO_LARGE},
    {"an event too large, then cut off",
     {NEXT, SEND(HEAD("r1") "Content-Length: 33554433\r\n\r\nx"), {CLOSE},
      ERROR("r1", "Runtime.EventTooLarge", "The event is larger than 32 MiB."), ACCEPTED,
      ONE_ECHO}, .logs = TOO_LARGE},
    {"32 MiB with all around it of 64 KiB, and a reply likewise, is received and answered once",
     {LARGEST_EVENT, SEND("fffb;"), PADDING(65529), SEND("\r\n"),
      PADDING(65531), SEND("\r\n0\r\n\r\n"), ONE_ECHO}, .connections = 1},
    {"the same, with a reply that would leave no room for its end, which is given up",
     {LARGEST_EVENT, SEND("2000000;"), PADDING(65526), SEND("\r\n"), {CLOSED},
      ONE_ECHO}, .connections = 2},
    {"an event too large, of an invocation without an id",
     {NEXT, SEND("HTTP/1.1 200 OK\r\nContent-Length: 33554433\r\n\r\n")},
     FATAL("Lambda-Runtime-Aws-Request-Id: it is missing")},

    /* Connections. */
    {"closed between two requests", {ONE_ECHO, {CLOSE}, ONE_ECHO}},
    {"reset between two requests", {ONE_ECHO, {RESET}, ONE_ECHO}},
    {"closed while the handler works, small response",
     {NEXT, EVENT("r1", 2, "hi"), {CLOSE}, RESPONSE("r1", "hi"), ACCEPTED, ONE_ECHO}},
    {"lost before any byte of the reply to next: asked again",
     {NEXT, {RESET}, NEXT, {CLOSE}, ONE_ECHO}},
    {"a torn event is asked for again, with a length",
     {NEXT, EVENT("r1", 5, "hell"), {CLOSE}, NEXT, EVENT("r1", 5, "he"), {RESET}, ONE_ECHO}},
    {"a torn event of 20 MiB is asked for again",
     {NEXT, SEND(HEAD("r1") "Content-Length: 20971520\r\n\r\n"), FILL(20000000),
      {CLOSE}, NEXT, SEND(HEAD("r1") "Content-Length: 20971520\r\n\r\n"),
      FILL(20000000), {CLOSE}, NEXT,
      SEND(HEAD("r1") "Content-Length: 20971520\r\n\r\n"),
      FILL(20971520), ECHOED("r1", 20971520), ACCEPTED, ONE_ECHO}},
    {"a torn event is asked for again, in the middle of a chunk",
     {NEXT, SEND(HEAD("r1") CHUNKED "\r\n5\r\nhell"), {CLOSE}, ONE_ECHO}},
    {"a torn event is asked for again, before the end of the trailer section",
     {NEXT, SEND(HEAD("r1") CHUNKED "\r\n5\r\nhello\r\n0\r\n"), {CLOSE}, ONE_ECHO}},
    {"a server that keeps closing",
     {NEXT, {CLOSE}, NEXT, {RESET}, NEXT, {CLOSE}, NEXT, EVENT("1", 2, "h"),
      {CLOSE}, NEXT, {CLOSE}, NEXT, {CLOSE}},
     FATAL("next invocation: the connection was lost")},
    {"the reply to a response lost: sent once more",
     {ONE_ANSWER, {CLOSE}, RESPONSE("r1", "hi"),
      ACCEPTED, ONE_ECHO}},
    {"403 for a response that was sent again: it had been delivered",
     {ONE_ANSWER, {RESET}, RESPONSE("r1", "hi"),
      STATUS("403 x"), ONE_ECHO}},
    {"another status below 500 for a response that was sent again: it is told",
     {ONE_ANSWER, {RESET}, RESPONSE("r1", "hi"), STATUS("413 x"), ONE_ECHO},
     WARNS("invocation response: status 413")},
    {"500 for a response that was sent again",
     {ONE_ANSWER, {RESET}, RESPONSE("r1", "hi"), STATUS("500 x")},
     FATAL("invocation response: status 500")},
    {"a reply whose body is cut off says enough: nothing is sent again",
     {ONE_ANSWER, SEND("HTTP/1.1 201 A\r\nContent-Length: 16\r\n\r\n{\"st"),
      {CLOSE}, ONE_ECHO}},
    {"the reply to a response lost twice",
     {ONE_ANSWER, {CLOSE}, RESPONSE("r1", "hi"), {CLOSE}},
     FATAL("invocation response: the connection was lost")},
    {"a response cut off half way",
     {NEXT, EVENT("r1", 13, "large 8000000"), {COMES, "\r\n\r\n"}, {RESET}},
     FATAL("invocation response: the connection broke within the body"), .probe = true},
    {"closed while the handler works, large response",
     {NEXT, EVENT("r1", 14, "closed 8000000"), {CLOSE},
      {ASKED, POST_ROUTE "r1/response"}, ACCEPTED, ONE_ECHO}, .probe = true},
    {"413 and a close while an echo is still being sent",
     {NEXT, SEND(HEAD("r1") "Content-Length: 8000000\r\n\r\n"), FILL(8000000),
      {COMES, "\r\n\r\n"},
      SEND("HTTP/1.1 413 Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"), {CLOSE},
      ONE_ECHO},
     WARNS("invocation response: status 413")},
    {"signals interrupt everything",
     {ONE_ECHO, NEXT, {PAUSE, .number = 50},
      SEND_SLOWLY(HEAD("r1") "Content-Length: 13\r\n\r\nlarge 8000000"),
      {PAUSE, .number = 50}, {ASKED, POST_ROUTE "r1/response"}, {PAUSE, .number = 50}, ACCEPTED,
      ONE_ECHO},
     .probe = true, .environment = {"PROBE_SIGNALS=1"}},
    {"frozen and thawed while it waits",
     {NEXT, {SIGNAL, .number = SIGSTOP}, {PAUSE, .number = 300},
      {SIGNAL, .number = SIGCONT}, EVENT("r1", 2, "hi"), RESPONSE("r1", "hi"), ACCEPTED}},
    {"no time-out: silence of 1.5 seconds", {NEXT, {PAUSE, .number = 1500}, EVENT("r1", 2, "hi"),
      RESPONSE("r1", "hi"), ACCEPTED}},
    {"SIGTERM while it waits", {NEXT, {SIGNAL, .number = SIGTERM}}, .status = SIGTERM},
    {"SIGTERM to process 1", {ONE_ECHO, NEXT, {SIGNAL, .number = SIGTERM}}, .status = EXIT(143),
     AS_PROCESS_1},
    {"SIGINT to process 1", {NEXT, {SIGNAL, .number = SIGINT}}, .status = EXIT(130), AS_PROCESS_1},
    {"SIGINT to process 1, whose handler has an action of its own",
     {NEXT, {SIGNAL, .number = SIGINT}, EVENT("r1", 2, "hi"), RESPONSE("r1", "hi"), ACCEPTED},
     .probe = true, .environment = {"PROBE_SIGNALS=1"}, AS_PROCESS_1},
    {"SIGINT to another process", {NEXT, {SIGNAL, .number = SIGINT}}, .status = SIGINT},
    {"a handler that crashes ends the process",
     {NEXT, EVENT("r1", 5, "crash")}, .status = SIGKILL, .probe = true},

    /* Response streaming. */
    {"a stream of three pieces, then a new connection",
     {NEXT, SEND(HEAD("r1")
                 "Lambda-Runtime-Invocation-Id: i1\r\nContent-Length: 16\r\n\r\nstream one two 3"),
      RESPONSE("r1", "onetwo3"), HAS("Lambda-Runtime-Function-Response-Mode", "streaming"),
      HAS("Transfer-Encoding", "chunked"), HAS("Content-Length", NULL),
      HAS("Content-Type", "text/plain"), HAS("Trailer",
       "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"),
      HAS("Lambda-Runtime-Invocation-Id", "i1"),
      {COMES, "\r\n\r\n3\r\none\r\n3\r\ntwo\r\n1\r\n3\r\n0\r\n\r\n"}, ACCEPTED, {CLOSED},
      ONE_ECHO}, .probe = true},
    {"an empty stream ends", {NEXT, EVENT("r1", 6, "stream"), RESPONSE("r1", ""),
      HAS("Transfer-Encoding", "chunked"), ACCEPTED, {CLOSED}, ONE_ECHO}, .probe = true},
    {"what success() returns ends a stream", {NEXT, EVENT("r1", 18, "streamtail one two"),
      RESPONSE("r1", "onetwo"), ACCEPTED, {CLOSED}}, .probe = true},
    {"a prelude with its 8 NUL bytes", {NEXT, EVENT("r1", 9, "http body"),
      {ASKED, POST_ROUTE "r1/response", "{}\0\0\0\0\0\0\0\0body", 14},
      HAS("Content-Type", "application/vnd.awslambda.http-integration-response"), ACCEPTED,
      {CLOSED}}, .probe = true},
    {"an error behind the first byte: trailers", {NEXT, EVENT("r1", 14, "streamlate one"),
      RESPONSE("r1", "one"),
      {COMES, "0\r\nLambda-Runtime-Function-Error-Type: Function.L?ate\r\n"
                "Lambda-Runtime-Function-Error-Body: "
                "eyJlcnJvclR5cGUiOiJGdW5jdGlvbi5MXHUwMDBhYXRlIiwic3RhY2tUcmFjZSI6W10sImVycm9y"
                "TWVzc2FnZSI6ImJlXCJoaW5kIn0=\r\n\r\n"}, ACCEPTED, {CLOSED}, ONE_ECHO},
     .logs = "ERROR r1 Function.L\rate: be\"hind\n", .probe = true},
    {"an error before the first byte: an invocation error", {NEXT, EVENT("r1", 5, "early"),
      ERROR("r1", "Function.Early", "before"), HAS("Transfer-Encoding", NULL), ACCEPTED, ONE_ECHO},
     .logs = "ERROR r1 Function.Early: before\n", .probe = true},
    {"a stream on a connection that was closed meanwhile",
     {NEXT, EVENT("r1", 16, "streamclosed one"), {CLOSE}, RESPONSE("r1", "one"), ACCEPTED,
      {CLOSED}}, .probe = true},
    {"a stream answered 413", {NEXT, EVENT("r1", 10, "stream one"), RESPONSE("r1", "one"),
      STATUS("413 x"), {CLOSED}, ONE_ECHO}, WARNS("streamed response: status 413"),
     .probe = true},
    {"a stream answered 500", {NEXT, EVENT("r1", 10, "stream one"), RESPONSE("r1", "one"),
      STATUS("500 x")}, FATAL("streamed response: status 500"), .probe = true},
    {"a stream whose reply is lost", {NEXT, EVENT("r1", 10, "stream one"), RESPONSE("r1", "one"),
      {CLOSE}, ONE_ECHO}, WARNS("streamed response: all sent"), .probe = true},
    {"a stream after bytes behind its event, which are no reply to it",
     {NEXT, SEND(HEAD("r1") "Content-Length: 10\r\n\r\nstream oneHTTP/1.1 500 x\r\n\r\n"), {CLOSED},
      RESPONSE("r1", "one"), ACCEPTED, {CLOSED}, ONE_ECHO}, .probe = true},
    {"a stream cut off behind its first piece, which goes out at once",
     {NEXT, EVENT("r1", 15, "streamcut 1 2 3"), {COMES, "\r\n\r\n1\r\n1\r\n"}, {RESET}},
     .status = EXIT(1),
     .logs = "ERROR r1 Function.Stream: cannot write\n"
             "FATAL r1 bootstrap: streamed response: the connection broke*\n",
     .probe = true},

    /* What a function can call. */
    {"log: the other levels", {NEXT, EVENT("r1", 11, "log debug a"), RESPONSE("r1", "logged"),
      ACCEPTED, NEXT, EVENT("r2", 10, "log warn b"), RESPONSE("r2", "logged"), ACCEPTED},
     .logs = "DEBUG r1 a\nWARN r2 b\n", .probe = true},
    {"log: below the level", {NEXT, EVENT("r1", 10, "log info a"), RESPONSE("r1", "logged"),
      ACCEPTED, NEXT, EVENT("r2", 10, "log warn b"), RESPONSE("r2", "logged"), ACCEPTED, NEXT,
      EVENT("r3", 11, "log debug c"), RESPONSE("r3", "logged"), ACCEPTED, NEXT,
      EVENT("r4", 11, "log error d"), RESPONSE("r4", "logged"), ACCEPTED},
     .logs = "WARN r2 b\nERROR r4 d\n", .probe = true,
     .environment = {"AWS_LAMBDA_LOG_LEVEL=warn"}},
    {"log: JSON",
     {NEXT, SEND(HEAD("r1") "Lambda-Runtime-Trace-Id: t\r\nLambda-Runtime-Aws-Tenant-Id: \"x\"\r\n"
                 "Content-Length: 14\r\n\r\nlog error a\n\"b"), RESPONSE("r1", "logged"), ACCEPTED},
     .logs = "{\"timestamp\":\"20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:"
             "[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9]Z\","
             "\"level\":\"ERROR\",\"requestId\":\"r1\",\"tenantId\":\"\\\"x\\\"\","
             "\"traceId\":\"t\",\"message\":\"a\\u000a\\\"b\"}\n",
     .probe = true, .environment = {"AWS_LAMBDA_LOG_FORMAT=json"}},
    {"log: the runtime's own messages in JSON",
     {ONE_ANSWER, STATUS("410 x"), ONE_ECHO},
     .logs = "{\"timestamp\":\"20*Z\",\"level\":\"WARN\",\"requestId\":\"r1\","
             "\"message\":\"bootstrap: invocation response: status 410: \\\"{}\\\": expected 202; "
             "*\"}\n",
     .environment = {"AWS_LAMBDA_LOG_FORMAT=JSON"}},
    {"log: the runtime's own messages below the level",
     {ONE_ANSWER, STATUS("410 x"), ONE_ECHO},
     .environment = {"AWS_LAMBDA_LOG_LEVEL=FATAL"}},

    /* Workers: as many connections as AWS_LAMBDA_MAX_CONCURRENCY says. */
    {"concurrency 1", {TRACED("t")}, WORKERS("1")},
    {"concurrency empty", {TRACED("t")}, WORKERS("")},
    {"concurrency 0", ONE_WORKER("0")},
    {"concurrency 1601", ONE_WORKER("1601")},
    {"concurrency 2a", ONE_WORKER("2a")},
    {"concurrency 1600, the most", {NEXT, {SIGNAL, .number = SIGTERM}}, .status = SIGTERM,
     .environment = {"AWS_LAMBDA_MAX_CONCURRENCY=1600"}, .needs = "test -z \"$RUN_WITH\""},
    {"workers work at once, and have no trace variable",
     {WAITS(3), WAITS(2), WAITS(1), WAITS(0), EVENT("r0", 2, "hi"), AT(1), EVENT("r1", 2, "ho"),
      AT(2), EVENT("r2", 2, "hu"), AT(3), EVENT("r3", 2, "ha"), RESPONSE("r3", "ha"), ACCEPTED,
      TRACED("(unset)"), AT(2), RESPONSE("r2", "hu"), ACCEPTED, TRACED("(unset)"), AT(1),
      RESPONSE("r1", "ho"), ACCEPTED, AT(0), RESPONSE("r0", "hi"), ACCEPTED}, WORKERS("4")},
    {"a worker that crashes is replaced; the other one goes on",
     {WAITS(1), WAITS(0), CRASHES, ONE_ECHO, AT(1), EVENT("r1", 2, "hi"), RESPONSE("r1", "hi"),
      ACCEPTED},
     .logs = "ERROR bootstrap: worker: it ended, *\n", WORKERS("2")},
    {"a worker that exits is replaced; the other one keeps its invocation",
     {WAITS(1), WAITS(0), AT(1), EVENT("r2", 7, "later 2"), AT(0), EVENT("r1", 6, "exit 3"),
      {CLOSED}, NEXT, AT(1), RESPONSE("r2", "xx"), ACCEPTED, AT(0), EVENT("r1", 2, "hi"),
      RESPONSE("r1", "hi"), ACCEPTED},
     .logs = "ERROR bootstrap: worker: it ended, *\n", WORKERS("2")},
    {"workers that have served between their deaths are replaced for ever",
     {WAITS(1), WAITS(0), DIES_ANSWERING, ONE_ECHO, AT(1), EVENT("r1", 2, "hi"),
      RESPONSE("r1", "hi"), ACCEPTED},
     .logs = "*worker: it ended, *", .rounds = 11, .environment = {"AWS_LAMBDA_MAX_CONCURRENCY=2"}},
    {"ten deaths without an accepted answer in between end the environment",
     {WAITS(1), WAITS(0), CRASHES, NEXT, DIES_ANSWERING, NEXT, CRASHES, NEXT, DIES_ANSWERING, NEXT,
      CRASHES, NEXT, DIES_ANSWERING, NEXT, CRASHES, NEXT, DIES_ANSWERING, NEXT, CRASHES, NEXT,
      DIES_ANSWERING, AT(1), {CLOSED}},
     .status = EXIT(1), .logs = "*it ended ten times*", WORKERS("2")},
    {"a worker whose initialization fails ends all at once",
     {AT(1), {ASKED, "POST /2018-06-01/runtime/init/error"}, AT(0),
      {ASKED, "POST /2018-06-01/runtime/init/error"}, ACCEPTED},
     .status = EXIT(1), .logs = "*worker: it gave up*", .probe = true,
     .environment = {"AWS_LAMBDA_MAX_CONCURRENCY=2", "PROBE_FAIL=1"}},
    {"no worker outlives its parent", {WAITS(3), WAITS(2), WAITS(1), WAITS(0),
      {SIGNAL, .number = SIGKILL}, {CLOSED}, AT(1), {CLOSED}, AT(2), {CLOSED}, AT(3), {CLOSED}},
     .status = SIGKILL, WORKERS("4")},
    {"SIGTERM to process 1, which has workers", {WAITS(1), WAITS(0), {SIGNAL, .number = SIGTERM},
      {CLOSED}, AT(1), {CLOSED}}, .status = EXIT(143), WORKERS("2"), AS_PROCESS_1},

    /* Standard streams. */
    {"closed: neither a socket nor a file of the handler takes their place",
     {ONE_ANSWER, STATUS("400 x"), NEXT, EVENT("r2", 4, "open"), RESPONSE("r2", "4"), ACCEPTED,
      ONE_ECHO}, .streams = CLOSED_STREAMS, .probe = true},
    {"a log that nobody reads any more", {ONE_ANSWER, STATUS("413 x"), ONE_ECHO},
     .streams = BROKEN_LOG},

    /* SnapStart. */
    {"a restore, then a new connection",
     {{ASKED, RESTORE_ROUTE, ""},
      SEND("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), {CLOSED}, ONE_ECHO},
     .environment = {"AWS_LAMBDA_INITIALIZATION_TYPE=snap-start"}},
    {"a restore with a body, which leaves room for the largest event",
     {{ASKED, RESTORE_ROUTE, ""}, SEND("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
      FILL(1000000), {CLOSED},
      NEXT, SEND(HEAD("r1") "Content-Length: 33554432\r\n\r\n"), FILL(33554432),
      ECHOED("r1", 33554432), ACCEPTED, ONE_ECHO},
     .environment = {"AWS_LAMBDA_INITIALIZATION_TYPE=snap-start"}},
    {"a restore that fails",
     {{ASKED, RESTORE_ROUTE, ""},
      SEND("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
      {CLOSED}, {ASKED, "POST /2018-06-01/runtime/restore/error",
       ERROR_JSON("Runtime.AfterRestoreError", "no way back")},
      ACCEPTED},
     .status = EXIT(1), .logs = "ERROR Runtime.AfterRestoreError: no way back\n"
                          "FATAL bootstrap: initialization of the function failed: "
                          "\"Runtime.AfterRestoreError\": *\n",
     .probe = true,
     .environment = {"AWS_LAMBDA_INITIALIZATION_TYPE=snap-start", "PROBE_FAIL_RESTORE=1"}},
    {"a restore refused", {{ASKED, RESTORE_ROUTE, ""}, STATUS("404 x")},
     FATAL("next restore: status 404"),
     .environment = {"AWS_LAMBDA_INITIALIZATION_TYPE=snap-start"}},

    /* Memory. */
    {"memory after 20 MiB and a few small events",
     {NEXT, SEND(HEAD("r1") "Content-Length: 20971520\r\n\r\n"), FILL(20971520),
      ECHOED("r1", 20971520), ACCEPTED, ONE_ECHO, ONE_ECHO, ONE_ECHO, NEXT,
      {MEMORY, .number = 2048}, EVENT("1", 1, "x"), RESPONSE("1", "x"), ACCEPTED}},
};
/* clang-format on */

/* ---- All of them ---- */

static unsigned passed, failed, skipped;

static void run_all(const char *only) {
    const struct test *end = tests + sizeof tests / sizeof *tests;
    for (const struct test *t = tests; t < end && failed < FAILURES_MAX; t++) {
        if ((only && !strstr(t->name, only)) || (t->probe && strcmp(probe, "-") == 0))
            continue;
        if (t->needs && system(t->needs) != 0) {
            printf("SKIP %s: needs %s\n", t->name, t->needs);
            skipped++;
            continue;
        }
        passes(t) ? passed++ : failed++;
    }
}

int main(int count, char **arguments) {
    if (count < 3 || count > 4) {
        fprintf(stderr,
                "end_to_end: expected bootstrap, the probe, and perhaps a part of a name\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    for (int inherited = STDERR_FILENO + 1; inherited < 256; inherited++)
        close(inherited); /* or a case would take it for one that the runtime has leaked */
    setvbuf(stdout, NULL, _IOLBF, 0);
    fill();
    bootstrap = arguments[1];
    probe = arguments[2];
    if (arguments[3] && !getenv("RUN_WITH"))
        patience_ms = 900; /* who names a case looks on, and has the verdict within a second */
    run_all(arguments[3]);
    if (passed + failed + skipped == 0) {
        fprintf(stderr, "end_to_end: no case has %s in its name\n", arguments[3]);
        return 2;
    }
    printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    return failed ? 1 : 0;
}
