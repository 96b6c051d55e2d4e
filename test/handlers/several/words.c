/* words.c - the second file of several.c.
 *
 * SPDX-License-Identifier: MIT-0 */
static size_t words_in(struct text text) {
    struct text word;
    size_t words = 0;
    for (bool more = true; more; words += word.length > 0)
        more = cut(&text, ' ', &word);
    return words;
}
