/* several.c - a function of several files: they are included behind bootstrap.c, one after another,
 * and are compiled as one. So they can use all that it has, and no Makefile needs to know them.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER count_words
#include "../../bootstrap.c"

#include "several/words.c"

static struct outcome count_words(const struct invocation *invocation) {
    struct buffer json = allocate_buffer(invocation, 32);
    append_string(&json, "{\"words\":");
    append_number(&json, words_in(invocation->event));
    append_string(&json, "}");
    return success(text_in(&json));
}
