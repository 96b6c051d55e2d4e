/* hello.c - answers with JSON made from the event: {"name":"Ada"} gives {"greeting":"Hello, Ada!"}.
 * It takes exactly this form; for events of any form link a JSON parser.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER hello
#include "../../bootstrap.c"

/* Takes white space and then this character off the front. */
static bool take(struct text *rest, char character) {
    while (rest->length && memchr(" \t\r\n", rest->data[0], 4))
        *rest = (struct text){rest->data + 1, rest->length - 1};
    if (rest->length == 0 || rest->data[0] != character)
        return false;
    *rest = (struct text){rest->data + 1, rest->length - 1};
    return true;
}

static bool parse_name(struct text event, struct text *name) {
    struct text key;
    return take(&event, '{') && take(&event, '"') && cut(&event, '"', &key) &&
           equal(key, S("name")) && take(&event, ':') && take(&event, '"') &&
           cut(&event, '"', name) && !memchr(name->data, '\\', name->length) && take(&event, '}') &&
           !take(&event, '\0') && event.length == 0;
}

static struct outcome hello(const struct invocation *invocation) {
    struct text name;
    if (!parse_name(invocation->event, &name))
        return failure(S("Function.NoName"), S("expected {\"name\":\"Ada\"}, without escapes"));

    struct buffer json = allocate_buffer(invocation, name.length * 6 + 100);
    append_string(&json, "{\"greeting\":\"Hello, ");
    append_json_text(&json, name);
    append_string(&json, "!\"}");
    return json.overflow ? failure(S("Function.NameTooLong"), S("expected a shorter name"))
                         : success(text_in(&json));
}
