/* differential.c - how Node's HTTP client and h11 once read 2,220 replies, valid and slightly wrong;
 * and whether ours reads them as it did then: in two pieces cut at each place, and byte by byte.
 *
 *   differential TABLE          reads the replies of each row
 *   differential TABLE print    prints them, each as a line in hex
 *   differential TABLE record   prints the table anew; the input has a line for each reply: what Node
 *                               says of it, |, what h11 says: the status and the body in hex, or -
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

enum { REPLIES = 30, REPLY_MAX = 4096, SAID_MAX = 2 * REPLY_MAX + 8 };

/* What read_reply finds: status and body in hex; - if it refuses the reply, which the server ends. */
static void say(struct text script, size_t piece, char said[SAID_MAX]) {
    struct api_connection connection;
    struct api_reply reply;
    bool waits = !receive_reply(script, piece, &connection, &reply);
    if (waits || connection.wrong) {
        snprintf(said, SAID_MAX, "-");
        return;
    }
    int n = snprintf(said, SAID_MAX, "%d ", reply.status);
    for (size_t i = 0; i < reply.body.length; i++)
        n += snprintf(said + n, 3, "%02x", (unsigned char)reply.body.data[i]);
}

/* Whether it is the same in whatever pieces it comes. */
static bool say_in_pieces(struct text reply, char said[SAID_MAX]) {
    static char bytes[REPLY_MAX + 8], other[SAID_MAX];
    unsigned differ = 0;
    for (size_t at = 0; at <= reply.length; at++) {
        struct buffer script = {bytes, 0, sizeof bytes, false};
        append_text(&script, (struct text){reply.data, at});
        append_text(&script, S("\xfe|"));
        append_text(&script, without(reply, at));
        append_text(&script, S("\xfe."));
        if (at == 0)
            say(text_in(&script), 1, said);
        say(text_in(&script), SIZE_MAX, other);
        differ += strcmp(said, other) != 0;
    }
    return differ == 0;
}

/* ---- The table ---- */

enum { DIGEST = REPLIES + 1, NAME = DIGEST + 9, ALTERNATIVES = NAME + 2 }; /* where they stand */

static bool prints, records;
enum { FAILURES_MAX = 20 };
static unsigned passed, failed;

static _Noreturn void end(void) {
    if (!prints && !records)
        printf("%u passed, %u failed\n", passed, failed);
    exit(failed > 0);
}

static void check(bool fine, const char *what, const char *line) {
    fine ? passed++ : failed++;
    if (!fine)
        printf("FAIL %s: %s\n", what, line);
    if (failed == FAILURES_MAX)
        end();
}

static uint32_t digest(uint32_t before, const char *said) { /* FNV-1a */
    for (; *said; said++)
        before = (before ^ (unsigned char)*said) * 16777619;
    return before;
}

static char record_letter(const char *ours) {
    static char input_line[2 * SAID_MAX];
    char *node = fgets(input_line, sizeof input_line, stdin),
         *h11 = node ? strchr(node, '|') : NULL;
    if (!h11) {
        fprintf(stderr, "differential: expected what Node says, | and what h11 says\n");
        exit(2);
    }
    *h11++ = '\0';
    h11[strcspn(h11, "\n")] = '\0';
    bool by_node = *node != '-', by_h11 = *h11 != '-';
    if (*ours == '-')
        return "xnhb"[by_node + 2 * by_h11];
    if ((by_node && strcmp(node, ours) != 0) || (by_h11 && strcmp(h11, ours) != 0))
        return 'd';
    return "BHN="[by_node + 2 * by_h11];
}

static void run_row(const char *line) {
    static char bytes[REPLY_MAX], said[SAID_MAX];
    char letters[REPLIES + 1] = "", hex[9];
    struct buffer reply = {bytes, 0, sizeof bytes, false};
    uint32_t sum = 2166136261;
    row.random = digest(sum, line + NAME);
    for (size_t i = 0; i < REPLIES; i++) {
        make_reply(&reply);
        for (size_t at = 0; prints && at < reply.length; at++)
            printf("%02x%s", (unsigned char)bytes[at], at + 1 < reply.length ? "" : "\n");
        if (prints)
            continue;
        check(say_in_pieces(text_in(&reply), said), "read differently in pieces", line);
        sum = digest(sum, said);
        letters[i] = records ? record_letter(said) : line[i];
        check((*said == '-') == !strchr("=NHBd", letters[i]), "refused, or not", line);
    }
    snprintf(hex, sizeof hex, "%08x", (unsigned)sum);
    if (records)
        printf("%s %s %s\n", letters, hex, line + NAME);
    else if (!prints)
        check(strncmp(line + DIGEST, hex, 8) == 0, "another status or body", line);
}

int main(int count, char **arguments) {
    char line[1000] = "";
    bool explained = false;
    FILE *table = count > 1 ? fopen(arguments[1], "r") : NULL;
    prints = count > 2 && strcmp(arguments[2], "print") == 0;
    records = count > 2 && strcmp(arguments[2], "record") == 0;
    if (!table) {
        fprintf(stderr,
                "differential: expected a table that can be read, and perhaps print or record\n");
        return 2;
    }
    while (fgets(line, sizeof line, table)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || line[0] == '\0') {
            explained = strncmp(line, "# RFC ", 6) == 0 || (explained && line[0] == '#');
            if (records)
                printf("%s\n", line);
            continue;
        }
        row.name = '\0';
        alternatives_of(line[NAME]); /* ends here, if nothing could be replaced */
        row.name = line[NAME];
        row.alternatives = line + ALTERNATIVES;
        run_row(line);
        if (!prints && !records)
            check(explained || strspn(line, "=x") == REPLIES, "no paragraph decides it", line);
    }
    end();
}
