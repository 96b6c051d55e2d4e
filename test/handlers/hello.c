/* hello.c - answers with JSON made from the event: {"name":"Ada"} gives {"greeting":"Hello, Ada!"}.
 * It looks for the name itself, which does for one field; for more link a JSON reader.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER hello
#include "../../bootstrap.c"

static struct outcome hello(const struct invocation *invocation) {
    struct text rest = invocation->event, key, name = S("");
    while (name.length == 0 && cut(&rest, '"', &key) && cut(&rest, '"', &key))
        if (equal(key, S("name")) && cut(&rest, '"', &key) && equal(trim(key), S(":")))
            cut(&rest, '"', &name);
    if (name.length == 0 || memchr(name.data, '\\', name.length))
        return failure(S("Function.NoName"),
                       S("expected an event like {\"name\":\"Ada\"}, without escapes in the name"));

    struct buffer json = allocate_buffer(invocation, name.length + 100);
    append(&json, S("{\"greeting\":\"Hello, "));
    append(&json, name); /* still escaped as it came */
    append(&json, S("!\"}"));
    return success(text_in(&json));
}
