/* mutate.c - breaks a C file in one small way: a comparison turned, a constant off by one, an
 * operator replaced, a statement removed. Comments, literals and directives stay as they are.
 *
 *   mutate FILE      lists the ways, one a line: its number, its line; in which function, or of which
 *                    constant or variable, what stands there becomes what; the text of the line
 *   mutate FILE N    prints the file broken in the N-th way, from 0
 *
 * SPDX-License-Identifier: MIT-0 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE_MAX = 1 << 20 };

static char source[SOURCE_MAX];
static bool is_code[SOURCE_MAX]; /* no comment, literal or directive */
static size_t length;
static long wanted = -1, found;

/* From an opening quote or the start of a comment or directive to behind its end. */
static size_t end_of_literal(size_t at) {
    char quote = source[at++];
    while (at < length && source[at] != quote)
        at += source[at] == '\\' ? 2 : 1;
    return at + 1;
}

static size_t end_of_comment(size_t at) {
    const char *end = strstr(source + at, "*/");
    return end ? (size_t)(end - source) + 2 : length;
}

static size_t end_of_directive(size_t at) {
    while (at < length && (source[at] != '\n' || source[at - 1] == '\\'))
        at++;
    return at;
}

static void mark_code(void) {
    for (size_t at = 0, end; at < length; at = end) {
        end = at + 1;
        if (source[at] == '"' || source[at] == '\'')
            end = end_of_literal(at);
        else if (strncmp(source + at, "/*", 2) == 0)
            end = end_of_comment(at);
        else if (source[at] == '#' && (at == 0 || source[at - 1] == '\n'))
            end = end_of_directive(at);
        else
            is_code[at] = true;
    }
}

static unsigned line_of(size_t at) {
    unsigned line = 1;
    for (size_t i = 0; i < at; i++)
        line += source[i] == '\n';
    return line;
}

/* Without blanks around it. */
static void print(const char *text, size_t n) {
    for (; n && *text == ' '; text++)
        n--;
    while (n && text[n - 1] == ' ')
        n--;
    printf("%.*s", (int)n, text);
}

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static size_t line_with(size_t at) {
    while (at && source[at - 1] != '\n')
        at--;
    return at;
}

/* The name that ends before `at`, behind blanks. */
static void print_name(size_t at) {
    size_t end, begin;
    for (end = at; end && !is_word(source[end - 1]); end--)
        ;
    for (begin = end; begin && is_word(source[begin - 1]); begin--)
        ;
    printf("%.*s: ", (int)(end - begin), source + begin);
}

/* The function or variable whose definition began last, in the first column; in an enumeration
 * without a name the constant. It stands before its parameters, size, value or members. */
static void print_place(size_t at) {
    size_t begin = line_with(at);
    while (begin && !(is_code[begin] && is_word(source[begin])))
        begin = line_with(begin - 1);
    if (strncmp(source + begin, "enum {", 6) == 0)
        for (begin = at; source[begin] != '='; begin--)
            ;
    print_name(begin + strcspn(source + begin, "([={"));
}

static void list(size_t at, size_t n, const char *text) {
    size_t line = line_with(at);
    printf("%ld, line %u: ", found, line_of(at));
    print_place(at);
    print(source + at, n);
    printf(" becomes ");
    print(text, strlen(text));
    printf(" in: ");
    print(source + line, strcspn(source + line, "\n"));
    printf("\n");
}

/* One way to break it: `n` bytes at `at` become `text`. */
static void offer(size_t at, size_t n, const char *text) {
    if (wanted < 0)
        list(at, n, text);
    else if (found == wanted)
        printf("%.*s%s%s", (int)at, source, text, source + at + n);
    found++;
}

static void offer_operator(size_t at) {
    static const struct {
        const char *from, *to;
    } turns[] = {{" < ", " <= "},  {" <= ", " < "},  {" > ", " >= "},  {" >= ", " > "},
                 {" == ", " != "}, {" != ", " == "}, {" && ", " || "}, {" || ", " && "},
                 {" + ", " - "},   {" - ", " + "},   {" += ", " -= "}, {" -= ", " += "},
                 {"++", "--"},     {"(!", "("},      {" !", " "},      {" % ", " / "},
                 {" / ", " * "},   {" | ", " & "},   {" << ", " >> "}};
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++)
        if (strncmp(source + at, turns[i].from, strlen(turns[i].from)) == 0 &&
            !(turns[i].from[strlen(turns[i].from) - 1] == '!' &&
              source[at + strlen(turns[i].from)] == '='))
            offer(at, strlen(turns[i].from), turns[i].to);
}

static void offer_word(size_t at) {
    char *end, text[32];
    size_t n = 0;
    if (at && is_word(source[at - 1]))
        return;
    while (is_word(source[at + n]))
        n++;
    if (n == 4 && strncmp(source + at, "true", n) == 0)
        offer(at, n, "false");
    if (n == 5 && strncmp(source + at, "false", n) == 0)
        offer(at, n, "true");
    if (isdigit((unsigned char)source[at])) {
        unsigned long number = strtoul(source + at, &end, 0);
        snprintf(text, sizeof text, "%lu", number + 1);
        offer(at, (size_t)(end - source) - at, text);
    }
}

/* A statement on a line of its own that is no declaration and no return. */
static void offer_removal(size_t at) {
    static const char *const others[] = {
        "return", "static",   "struct", "enum",   "bool", "char",  "size_t",  "ssize_t",
        "int",    "unsigned", "const",  "extern", "uint", "pid_t", "typedef", "void"};
    const char *end = strchr(source + at, '\n');
    if (source[at] != '\n' || !end)
        return;
    size_t begin = at + 1 + strspn(source + at + 1, " ");
    const char *line_end = strchr(source + begin, '\n');
    size_t n = line_end ? (size_t)(line_end - source) - begin : 0;
    if (begin < at + 5 || n < 2 || !is_code[begin] || source[begin + n - 1] != ';' || at == 0)
        return;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strncmp(source + begin, others[i], strlen(others[i])) == 0)
            return;
    if (is_word(source[begin]) && strchr(";{}):/eo", source[at - 1]))
        offer(begin, n, ";");
}

int main(int count, char **arguments) {
    FILE *file = count > 1 ? fopen(arguments[1], "r") : NULL;
    if (!file) {
        fprintf(stderr, "mutate: expected a C file, and the number of a way to break it\n");
        return 2;
    }
    length = fread(source, 1, sizeof source - 1, file);
    fclose(file);
    wanted = count > 2 ? strtol(arguments[2], NULL, 10) : -1;
    mark_code();
    for (size_t at = 0; at < length; at++) {
        if (!is_code[at])
            continue;
        offer_operator(at);
        offer_word(at);
        offer_removal(at);
    }
    return wanted >= found;
}
