/* stream.c - streams its response in three pieces, as an HTTP response for a function URL. With the
 * event "fail" it breaks off after the first, and the caller is told why.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER stream
#include "../../bootstrap.c"

static struct outcome stream(const struct invocation *invocation) {
    static const char prelude[] =
        "{\"statusCode\":200,\"headers\":{\"content-type\":\"text/plain\"}}";
    if (!stream_begin_http(invocation, text_of(prelude)) || !stream_write(invocation, S("one\n")))
        return failure(S("Function.NoStream"), S("the stream could not be begun"));
    if (equal(invocation->event, S("\"fail\"")))
        return failure(S("Function.BrokeOff"), S("after the first piece, as ordered"));
    stream_write(invocation, S("two\n"));
    stream_write(invocation, S("three\n"));
    return success(S(""));
}
