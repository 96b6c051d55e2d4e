/* differential.c - how Node's HTTP client and h11 once read 2,250 replies, valid and slightly wrong;
 * and whether ours reads them as it did then: in two pieces cut at each place, and byte by byte.
 *
 *   differential TABLE          reads the replies of each row
 *   differential TABLE print    prints the table without the letters, and in front of each row its
 *                               replies: +, a reply in hex, what ours says of it, which is the status
 *                               and the body in hex, or -
 *
 * SPDX-License-Identifier: MIT-0 */
#include "../runtime/fuzz.c"

/* ---- Making replies ---- */

/* A name behind $ stands for one of its alternatives, at random. A row replaces those of one name. */
static const struct {
    char name;
    const char *alternatives;
} grammar[] = {
    {'m', "$*$i$s$f$l$f$/$b$e|$i$s$f$t$f$/$k$k$o$r$/$e|$*$i$s$f$/$b$e"},
    {'i', "|||HTTP/1.1 100 Continue$/$/|HTTP/1.1 103 x$/Link: a$/$/"}, /* interim replies */
    {'s', "HTTP/1.1 200 OK$/|HTTP/1.1 202 Accepted$/|HTTP/1.1 200 $/|HTTP/1.1 404 Not Found$/"},
    {'f', "||A: b$/|Content-Type: text/plain$/|Date: Thu, 01 Jan 1970 00:00:00 GMT$/X-Y:$/"},
    {'l', "Content-Length: $v$/|content-length:$v$/"},
    {'v', "$n"},
    {'t', "Transfer-Encoding: $w$/|transfer-encoding:$w$/"},
    {'w', "chunked|Chunked"},
    {'k', "|$*$z$b$d"}, /* a chunk: its size line, its bytes, its end */
    {'z', "$h$/"},
    {'d', "$/"},
    {'o', "0$/|00$/"}, /* the last one, and behind it the trailer section */
    {'r', "||A: b$/"},
    {'e', ""},
    {'/', "\r\n"},
    {'C', "\r"},
    {'L', "\n"},
    {'T', "\t"},
    {'D', "\x7f"},
    {'E', "\x80"},
};

static struct {
    char name;
    const char *alternatives;
    bool used;
    uint64_t random;
    char body[40];
    size_t length;
} row;

static size_t below(size_t limit) {
    row.random = row.random * 6364136223846793005 + 1442695040888963407;
    return (size_t)(row.random >> 33) % limit;
}

static void make_body(void) {
    static const char bytes[] = "abcdef0123456789 \r\n:;,{}\"\x80\xff";
    row.length = 1 + below(below(4) ? 9 : sizeof row.body);
    for (size_t i = 0; i < row.length; i++)
        row.body[i] = bytes[below(sizeof bytes)]; /* or its NUL */
}

static const char *alternatives_of(char name) {
    if (name == row.name) {
        row.used = true;
        return row.alternatives;
    }
    for (size_t i = 0; i < sizeof grammar / sizeof *grammar; i++)
        if (grammar[i].name == name)
            return grammar[i].alternatives;
    fprintf(stderr, "differential: $%c: expected a name of the grammar\n", name);
    exit(2);
}

static void append_symbol(struct buffer *to, char name) {
    char number[24];
    size_t count = 1;
    switch (name) {
    case '*':
        make_body();
        return;
    case 'b':
        append_text(to, (struct text){row.body, row.length});
        return;
    case 'n':
    case 'h':
        snprintf(number, sizeof number, name == 'n' ? "%zu" : "%zx", row.length);
        append_string(to, number);
        return;
    case '0':
        append_text(to, S("\0"));
        return;
    case '<': /* breaks off somewhere in what is there */
        to->length = 1 + below(to->length - 1);
        return;
    default:
        break;
    }
    const char *at = alternatives_of(name);
    for (const char *bar = at; (bar = strchr(bar, '|')); bar++)
        count++;
    for (size_t skipped = below(count); skipped > 0; skipped--)
        at = strchr(at, '|') + 1;
    for (; *at && *at != '|'; at++)
        if (*at == '$')
            append_symbol(to, *++at);
        else
            append_text(to, (struct text){at, 1});
}

/* The next one in which there is what the row replaces. */
static void make_reply(struct buffer *reply) {
    row.used = false;
    while (!row.used) {
        reply->length = 0;
        append_symbol(reply, 'm');
    }
}

/* ---- Reading them ---- */

enum { REPLIES = 30, REPLY_MAX = 4096 };

/* What read_reply finds: status and body in hex; - if it refuses the reply, which the server ends. */
static const char *say(struct text script, size_t piece, struct bytes *said) {
    struct api_connection connection;
    struct api_reply reply;
    said->length = 0;
    if (receive_reply(script, piece, &connection, &reply) && !connection.wrong) {
        bytes_format(said, "%d ", reply.status);
        for (size_t i = 0; i < reply.body.length; i++)
            bytes_format(said, "%02x", (unsigned char)reply.body.data[i]);
    } else {
        bytes_text(said, "-");
    }
    bytes_append(said, "", 1);
    return said->data;
}

/* The same in whatever pieces it comes. */
static const char *say_in_pieces(struct text reply) {
    static char bytes[REPLY_MAX + 8];
    static struct bytes said, other;
    for (size_t at = 0; at <= reply.length; at++) {
        struct buffer script = {bytes, 0, sizeof bytes, false};
        append_texts(&script, TEXTS((struct text){reply.data, at}, S("\xfe|"), without(reply, at),
                                    S("\xfe.")));
        if (at == 0)
            say(text_in(&script), 1, &said);
        require(strcmp(say(text_in(&script), SIZE_MAX, &other), said.data) == 0,
                "read differently in pieces");
    }
    return said.data;
}

/* ---- The table ---- */

enum { DIGEST = REPLIES + 1, NAME = DIGEST + 9, ALTERNATIVES = NAME + 2 }; /* where they stand */

static uint32_t digest(uint32_t before, const char *said) { /* FNV-1a */
    for (; *said; said++)
        before = (before ^ (unsigned char)*said) * 16777619;
    return before;
}

static void run_row(const char *line, bool prints) {
    static char bytes[REPLY_MAX];
    struct buffer reply = {bytes, 0, sizeof bytes, false};
    char hex[9];
    uint32_t sum = 2166136261;
    row.random = digest(sum, line + NAME);
    for (size_t i = 0; i < REPLIES; i++) {
        make_reply(&reply);
        input = text_in(&reply);
        const char *said = say_in_pieces(input);
        sum = digest(sum, said);
        require(prints || (*said == '-') == !strchr("=NHBd", line[i]), "refused, or not");
        for (size_t at = 0; prints && at < reply.length; at++)
            printf("%s%02x", at ? "" : "+ ", (unsigned char)bytes[at]);
        if (prints)
            printf(" %s\n", said);
    }
    snprintf(hex, sizeof hex, "%08x", (unsigned)sum);
    input = text_of(line);
    require(prints || strncmp(line + DIGEST, hex, 8) == 0, "another status or body");
    if (prints)
        printf("%s %s\n", hex, line + NAME);
}

int main(int count, char **arguments) {
    char line[1000] = "";
    bool explained = false, prints = count == 3 && strcmp(arguments[2], "print") == 0;
    unsigned rows = 0;
    FILE *table = count == 2 || prints ? fopen(arguments[1], "r") : NULL;
    if (!table) {
        fprintf(stderr, "differential: expected a table that can be read, and perhaps print\n");
        return 2;
    }
    while (fgets(line, sizeof line, table)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || line[0] == '\0') {
            explained = strncmp(line, "# RFC ", 6) == 0 || (explained && line[0] == '#');
            if (prints)
                printf("%s\n", line);
            continue;
        }
        input = text_of(line);
        require(explained || strspn(line, "=x") == REPLIES, "no paragraph decides it");
        row.name = '\0';
        alternatives_of(line[NAME]); /* ends here, if nothing could be replaced */
        row.name = line[NAME];
        row.alternatives = line + ALTERNATIVES;
        run_row(line, prints);
        rows++;
    }
    if (!prints)
        printf("%u passed, 0 failed\n", rows * REPLIES); /* a failure aborts */
    return 0;
}
