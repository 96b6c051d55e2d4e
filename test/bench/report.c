/* report.c - tables, CSV and a picture of what bench.c has measured, from its JSON: now or later.
 *
 *   report FILE.json                    tables in Markdown
 *   report --csv FILE.json              all figures, one a line
 *   report --svg PICTURE.svg FILE.json  the picture alone
 *
 * A median has an interval that holds the true one in 95 of 100 runs, from the ranks of the samples; of
 * several processes, from the ranks of their medians, since the samples of one are alike. Compared with
 * the floor, the first program, are medians: as a ratio, and as the distance, which moves less. Of
 * processor times it is the lowest tenth, since whatever else runs on the machine only adds to them.
 *
 * SPDX-License-Identifier: MIT-0 */
#define _GNU_SOURCE 1
#include "../lambda/wire.h"

#include <err.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROGRAMS_MAX = 14,
    RESULTS_MAX = PROGRAMS_MAX * 64,
    RANK_SAMPLES = 6, /* fewer have no interval */
    TAIL_SAMPLES = 100,
    MUCH_WAITING = 3, /* per cent of a median: more of it has a warning */
};

/* ---- JSON: what bench.c has written, in a text that is known to be valid -------------------- */

static const char *file_name;

static const char *member(const char *object, const char *name) {
    const char *value = json_member(object, name);
    if (value == NULL)
        errx(1, "%s: \"%s\" is expected, as build/bench writes it", file_name, name);
    return value;
}

/* With a blank for each control character, which would end a row. */
static char *text_of(const char *value) {
    struct bytes text = {0};
    json_text(value, &text);
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] < ' ')
            text.data[i] = ' ';
    bytes_append(&text, "", 1);
    return text.data;
}

/* ---- Figures ------------------------------------------------------------------------------ */

struct samples {
    double *at;
    size_t count;
};

static struct result {
    size_t program;
    char *group, *item, *unit, *remark; /* the remark: why it failed, or what moves its median */
    struct samples all, medians;        /* in order; the medians are those of several processes */
} results[RESULTS_MAX];
static size_t result_count;

static struct program { char *name, *version; } programs[PROGRAMS_MAX]; /* the first: the floor */
static size_t program_count;
static char *machine, *date, *command, *method;
static struct bytes warnings; /* lines */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void keep(struct samples *s, double value) {
    s->at = realloc(s->at, (s->count + 1) * sizeof *s->at);
    if (s->at == NULL)
        err(1, "samples");
    s->at[s->count++] = value;
}

/* Nearest rank, of what is in order. */
static double percentile(const struct samples *s, size_t percent) {
    return s->count == 0 ? 0 : s->at[(s->count * percent + 99) / 100 - 1];
}

static double sort_for_median(struct samples *s) {
    if (s->count > 0)
        qsort(s->at, s->count, sizeof *s->at, by_value);
    return percentile(s, 50);
}

/* The median lies between the samples of rank r and n + 1 - r unless fewer than r of n coins fall on
 * the one side or on the other. Returns the largest such r for 95 %, 0 when there is none. */
static size_t rank_for_95(size_t n) {
    double below = 0;
    for (size_t r = 0; r < n; r++) {
        below += exp(lgamma((double)n + 1) - lgamma((double)r + 1) - lgamma((double)(n - r) + 1) -
                     (double)n * log(2));
        if (below > 0.025)
            return r;
    }
    return 0;
}

/* false: too few. */
static bool interval(const struct result *r, double *low, double *high) {
    const struct samples *s = r->medians.count > 1 ? &r->medians : &r->all;
    size_t rank = s->count < RANK_SAMPLES ? 0 : rank_for_95(s->count);
    *low = rank == 0 ? 0 : fmin(s->at[rank - 1], percentile(&r->all, 50));
    *high = rank == 0 ? 0 : fmax(s->at[s->count - rank], percentile(&r->all, 50));
    return rank > 0;
}

static struct result *find(size_t program, const char *group, const char *item) {
    for (struct result *r = results; r < results + result_count; r++)
        if (r->program == program && strcmp(r->group, group) == 0 && strcmp(r->item, item) == 0)
            return r;
    return NULL;
}

/* The figure that is compared and drawn; 0 where there is none. */
static double figure(const struct result *r) {
    return r == NULL ? 0 : percentile(&r->all, strstr(r->item, "processor time") != NULL ? 10 : 50);
}

/* 0 where there is nothing to compare, or to compare with. */
static double floor_of(const struct result *r) {
    bool none = r->all.count == 0 || strstr(r->item, "waiting") != NULL;
    return none ? 0 : figure(find(0, r->group, r->item));
}

/* Says of the program that suffers that it does, by what it does to the median. Of waiting there may be
 * one sample for several times. */
static void remark_waiting(const struct result *waiting) {
    char item[64];
    snprintf(item, sizeof item, "%.*s", (int)strcspn(waiting->item, ","), waiting->item);
    struct result *r = find(waiting->program, waiting->group, item);
    struct samples without = {0};
    if (r == NULL || waiting->all.count == 0)
        return;
    for (size_t i = 0; i < r->all.count; i++)
        keep(&without,
             fmax(0, r->all.at[i] - waiting->all.at[i * waiting->all.count / r->all.count]));
    double part = 100 - 100 * sort_for_median(&without) / sort_for_median(&r->all);
    if (part > MUCH_WAITING && *r->remark == '\0') {
        struct bytes remark = {0};
        bytes_format(&remark, "%.0f %% of p50 is waiting for a processor", part);
        bytes_append(&remark, "", 1);
        free(r->remark);
        r->remark = remark.data;
    }
    free(without.at);
}

/* Those of all processes stay in the order of measuring for now. */
static void read_samples(struct result *r, const char *processes) {
    for (const char *at = json_first(processes, NULL); at != NULL; at = json_next(at, NULL)) {
        struct samples process = {0};
        for (const char *one = json_first(at, NULL); one != NULL; one = json_next(one, NULL)) {
            keep(&process, strtod(one, NULL));
            keep(&r->all, strtod(one, NULL));
        }
        keep(&r->medians, sort_for_median(&process));
        free(process.at);
    }
    sort_for_median(&r->medians);
}

static void read_result(const char *from) {
    struct result *r = &results[result_count];
    char *name = text_of(member(from, "program"));
    while (r->program < program_count && strcmp(programs[r->program].name, name) != 0)
        r->program++;
    if (r->program == program_count || ++result_count == RESULTS_MAX)
        errx(1, "%s: too many results, or one of a program that is not listed: %s", file_name,
             name);
    free(name);
    r->group = text_of(member(from, "group"));
    r->item = text_of(member(from, "item"));
    r->unit = text_of(member(from, "unit"));
    r->remark = text_of(member(from, "failed"));
    read_samples(r, member(from, "samples"));
}

static void read_program(const char *from) {
    if (program_count == PROGRAMS_MAX)
        errx(1, "%s: %d programs at most", file_name, PROGRAMS_MAX);
    programs[program_count].name = text_of(member(from, "name"));
    programs[program_count++].version = text_of(member(from, "version"));
}

static void read_run(const char *path) {
    struct bytes text = {0};
    size_t wrong = 0;
    file_name = path;
    if (!read_file(path, &text))
        err(1, "%s", path);
    if (!json_is_valid(text.data, text.length - 1, &wrong))
        errx(1, "%s: JSON is expected, and it is none from byte %zu on", path, wrong);
    const char *run = text.data, *at;
    machine = text_of(member(run, "machine"));
    date = text_of(member(run, "date"));
    command = text_of(member(run, "command"));
    method = text_of(member(run, "method"));
    for (at = json_first(member(run, "programs"), NULL); at != NULL; at = json_next(at, NULL))
        read_program(at);
    for (at = json_first(member(run, "warnings"), NULL); at != NULL; at = json_next(at, NULL)) {
        char *one = text_of(at);
        bytes_format(&warnings, "warning: %s\n", one);
        free(one);
    }
    bytes_append(&warnings, "", 1);
    for (at = json_first(member(run, "results"), NULL); at != NULL; at = json_next(at, NULL))
        read_result(at);
    bytes_free(&text);
    for (size_t i = 0; i < result_count; i++)
        if (strstr(results[i].item, ", waiting to run") != NULL)
            remark_waiting(&results[i]);
    for (size_t i = 0; i < result_count; i++)
        sort_for_median(&results[i].all);
}

/* ---- Tables and CSV ----------------------------------------------------------------------- */

enum { ITEM_WIDTH = 34, NAME_WIDTH = 16, NUMBER_WIDTH = 9 };

enum { FIGURES = 8, RATIO = 5 };
static const char *const heads[FIGURES] = {"p10",     "p50",     "95 % from", "to",
                                           "- floor", "x floor", "p90",       "p99"};

/* In the unit of the result, but for the ratio; NAN where there is none. */
static void figures_of(const struct result *r, double figures[FIGURES]) {
    double least = floor_of(r), low, high, none = (double)NAN;
    bool known = interval(r, &low, &high);
    figures[0] = r->all.count > 1 ? percentile(&r->all, 10) : none;
    figures[1] = r->all.count > 0 ? percentile(&r->all, 50) : none;
    figures[2] = known ? low : none;
    figures[3] = known ? high : none;
    figures[4] = least > 0 ? figure(r) - least : none;
    figures[RATIO] = least > 0 ? figure(r) / least : none;
    figures[6] = r->all.count > 1 ? percentile(&r->all, 90) : none;
    figures[7] = r->all.count >= TAIL_SAMPLES ? percentile(&r->all, 99) : none;
}

/* Three significant digits are more than the machine's noise leaves. */
static void print_row(const struct result *r) {
    bool time = strcmp(r->unit, "ns") == 0;
    double figures[FIGURES];
    char item[96];
    snprintf(item, sizeof item, "%s%s%s", r->item, *r->unit == '\0' ? "" : ", ",
             time ? "\302\265s" : r->unit);
    printf("| %-*s | %-*s | %5zu ", ITEM_WIDTH + time, item, NAME_WIDTH, programs[r->program].name,
           r->all.count);
    figures_of(r, figures);
    for (size_t i = 0; i < FIGURES; i++) {
        double value = figures[i] / (time && i != RATIO ? 1000 : 1), size = fabs(value);
        int digits = size >= 100 || value == floor(value) ? 0 : size < 10 ? 2 : 1;
        if (isnan(value))
            printf("| %*s ", NUMBER_WIDTH, "-");
        else
            printf("| %*.*f ", NUMBER_WIDTH, digits, value);
    }
    printf("| %s |\n", r->remark);
}

/* Markdown that is aligned for the terminal too. */
static void print_head(const char *group) {
    printf("\n| %-*s | %-*s |     n ", ITEM_WIDTH, group, NAME_WIDTH, "program");
    for (size_t i = 0; i < FIGURES; i++)
        printf("| %*s ", NUMBER_WIDTH, heads[i]);
    puts("| remark |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|");
}

static void print_tables(void) {
    printf("%s, %s\n%s\n%s\n", machine, date, command, method);
    puts("95 %: where the median lies, by ranks; of several processes, by those of their medians.");
    puts("Compared with the floor: p50; of processor times p10, to which other load adds least.");
    for (size_t i = 0; i < program_count; i++)
        if (*programs[i].version != '\0')
            printf("%s: %s\n", programs[i].name, programs[i].version);
    fputs(warnings.data, stdout);
    for (const struct result *r = results; r < results + result_count; r++) {
        if (r == results || strcmp(r[-1].group, r->group) != 0)
            print_head(r->group);
        print_row(r);
    }
}

static void print_csv(void) {
    puts("program,group,item,unit,n,p10,p50,low,high,above_floor,ratio,p90,p99,remark");
    for (const struct result *r = results; r < results + result_count; r++) {
        double figures[FIGURES];
        figures_of(r, figures);
        printf("%s,%s,\"%s\",%s,%zu", programs[r->program].name, r->group, r->item, r->unit,
               r->all.count);
        for (size_t i = 0; i < FIGURES; i++)
            printf(isnan(figures[i]) ? "," : ",%.6g", figures[i]);
        for (char *quote = r->remark; (quote = strchr(quote, '"')) != NULL;)
            *quote = '\'';
        printf(",\"%s\"\n", r->remark);
    }
}

/* ---- Picture: its parts ------------------------------------------------------------------- */

enum {
    WIDTH = 940,
    MARGIN = 26,
    LEFT = 160, /* of the plots, behind the names */
    DOT_ROW = 22,
    DOTS = 265,   /* width of a plot of dots, without the figures behind */
    SECOND = 555, /* left of the second one beside it */
    PLOT = 580,   /* width of the last plot, before its names */
    LETTER = 8,   /* of a name: wide enough for most */
    CURVES = 300, /* height of the last plot */
    COLORS = 8,
};

static const char style[] =
    "<style>\n"
    "  .paper { fill: #fcfcfb } .ink { fill: #1d2026 } .soft { fill: #667080 }\n"
    "  .grid { stroke: #e3e6ea }\n"
    "  .c0 { color: #8b93a1 } .c1 { color: #d9480f } .c2 { color: #1971c2 } .c3 { color: #2b8a3e }\n"
    "  .c4 { color: #9c36b5 } .c5 { color: #0b7285 } .c6 { color: #c2255c } .c7 { color: #846200 }\n"
    "  @media (prefers-color-scheme: dark) {\n"
    "    .paper { fill: #15181d } .ink { fill: #e9ecf1 } .soft { fill: #98a2b3 }\n"
    "    .grid { stroke: #2c323b }\n"
    "    .c0 { color: #8d97a7 } .c1 { color: #ff8a3d } .c2 { color: #4dabf7 } .c3 { color: #51cf66 }\n"
    "    .c4 { color: #cc5de8 } .c5 { color: #3bc9db } .c6 { color: #f783ac } .c7 { color: #e6b422 }\n"
    "  }\n"
    "  .fill { fill: currentColor } .ring { fill: none; stroke: currentColor }\n"
    "  .stroke { stroke: currentColor; stroke-width: 2; fill: none }\n"
    "  .wide { stroke: currentColor; stroke-width: 5; stroke-opacity: 0.5 }\n"
    "  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif }\n"
    "  .title { font-size: 19px; font-weight: 600 } .head { font-size: 14px; font-weight: 600 }\n"
    "  .name { font-weight: 600 } .small { font-size: 11px } .end { text-anchor: end }\n"
    "  .middle { text-anchor: middle } .number { font-variant-numeric: tabular-nums }\n"
    "  .halo { paint-order: stroke; stroke: #fcfcfb; stroke-width: 4 }\n"
    "  @media (prefers-color-scheme: dark) { .halo { stroke: #15181d } }\n"
    "</style>\n";

static const struct units {
    int step;             /* each is so many of the one before */
    const char *names[5]; /* NULL ends them */
} times = {1000, {"ns", "\302\265s", "ms", "s"}}, sizes = {1000, {"B", "KB", "MB", "GB"}},
  memories = {1024, {"KiB", "MiB", "GiB"}};

/* A logarithmic axis, from `at` on. */
struct axis {
    double low, high; /* logarithms */
    double at, length;
    const struct units *units;
};

static struct bytes picture;
static size_t order[PROGRAMS_MAX]; /* the fastest start first, what failed last */

/* Three digits, as long as there is a unit for it. */
static const char *readable(double value, const struct units *units) {
    static char text[32];
    const char *const *name = units->names;
    for (; value >= 999.5 && name[1] != NULL; name++)
        value /= units->step;
    snprintf(text, sizeof text, value >= 999.5 ? "%.0f %s" : "%.3g %s", value, *name);
    return text;
}

static double on_axis(const struct axis *a, double value) {
    return a->at + (log10(value) - a->low) / (a->high - a->low) * a->length;
}

/* Makes room for a value, and a little beside it. */
static void take_in(struct axis *a, double value) {
    if (value <= 0)
        return;
    a->low = fmin(a->low, log10(value) - 0.06);
    a->high = fmax(a->high, log10(value) + 0.06);
}

/* What is formatted may hold what means something in XML. */
__attribute__((format(printf, 4, 5))) static void add_text(double x, double y, const char *classes,
                                                           const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    bytes_format(&picture, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, classes);
    for (const char *at = text; *at != '\0'; at++)
        if (*at == '&' || *at == '<' || *at == '>')
            bytes_format(&picture, "&#%d;", *at);
        else
            bytes_append(&picture, at, 1);
    bytes_text(&picture, "</text>");
}

static void add_line(const char *classes, double x1, double y1, double x2, double y2) {
    bytes_format(&picture, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
                 classes, x1, y1, x2, y2);
}

static void add_circle(const char *classes, double x, double y, double radius) {
    bytes_format(&picture, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>", classes, x,
                 y, radius);
}

/* Lines at 1, and where there is room at 2 and 5, of each decade of a unit. They cross the axis, from
 * `from` to `to`, where the numbers stand; that of an axis that goes up is at the left. */
static void add_grid(const struct axis *a, double from, double to) {
    double decade = fabs(a->length) / (a->high - a->low);
    for (int power = (int)floor(a->low); power <= (int)ceil(a->high); power++)
        for (int digit = 1; digit <= 5; digit += digit == 1 ? 1 : 3) {
            double value = digit * pow(10, power % 3) * pow(a->units->step, power / 3); /* round */
            double at = on_axis(a, value);
            bool wanted = decade > 130 || (digit == 1 && (decade > 46 || power % 2 == 0));
            if (!wanted || log10(value) < a->low - 1e-9 || log10(value) > a->high + 1e-9)
                continue;
            if (a->length < 0) {
                add_line("grid", from, at, to, at);
                add_text(from - 8, at + 4, "soft small end number", "%s",
                         readable(value, a->units));
            } else {
                add_line("grid", at, from, at, to);
                add_text(at, to + 15, "soft small middle number", "%s", readable(value, a->units));
            }
        }
}

/* Floors are grey, and the first program beside them is the one this is all about. */
static size_t color_of(size_t program) {
    if (program == 0 || strncmp(programs[program].name, "floor", 5) == 0)
        return 0;
    return program == 1 ? 1 : 2 + program % (COLORS - 2);
}

static int by_start(const void *a, const void *b) {
    double x = figure(find(*(const size_t *)a, "cold", "first poll"));
    double y = figure(find(*(const size_t *)b, "cold", "first poll"));
    return x == 0 || y == 0 ? (x == 0) - (y == 0) : (x > y) - (x < y);
}

/* ---- Picture: dots ------------------------------------------------------------------------ */

/* The interval is that of the median. */
static bool bar(const struct result *r, double *low, double *high) {
    return r != NULL && figure(r) == percentile(&r->all, 50) && interval(r, low, high);
}

/* Medians, with their intervals; of times also how far above the floor they are, where that says more
 * than the whole. */
static void add_dot(const struct result *r, const struct axis *a, double y) {
    double low, high, value = figure(r), dot = on_axis(a, value), behind = dot;
    char above[40] = "";
    add_line("grid", a->at, y, dot, y);
    bytes_format(&picture, "<g class=\"c%zu\">", color_of(r->program));
    if (bar(r, &low, &high)) {
        behind = on_axis(a, high);
        add_line("wide", on_axis(a, low), y, behind, y);
    }
    add_circle("fill", dot, y, 4);
    bytes_text(&picture, "</g>");
    if (a->units == &times && floor_of(r) < value && value < 10 * floor_of(r))
        snprintf(above, sizeof above, "  +%s", readable(value - floor_of(r), &times));
    add_text(fmax(dot + 9, behind + 5), y + 4.5, "ink number halo", "%s%s",
             readable(value, a->units), above);
}

static void add_dots(double x, double top, const char *title, const char *group, const char *item,
                     const struct units *units) {
    struct axis a = {99, -99, x, DOTS, units};
    double bottom = top + 16 + (double)DOT_ROW * (double)program_count, low, high;
    add_text(x, top, "ink head", "%s", title);
    for (size_t i = 0; i < program_count; i++) {
        const struct result *r = find(i, group, item);
        take_in(&a, figure(r));
        if (bar(r, &low, &high)) {
            take_in(&a, low);
            take_in(&a, high);
        }
    }
    if (a.low > a.high)
        return;
    add_grid(&a, top + 12, bottom);
    for (size_t i = 0; i < program_count; i++) {
        const struct result *r = find(order[i], group, item);
        double y = top + 28 + (double)DOT_ROW * (double)i;
        if (figure(r) > 0)
            add_dot(r, &a, y);
        else
            add_text(x + 4, y + 4, "soft small", r == NULL ? "-" : "failed");
    }
}

static double add_all_dots(double top) {
    static const struct {
        const char *title, *group, *item;
        const struct units *units;
    } plots[] = {
        {"Start, to the first poll", "cold", "first poll", &times},
        {"Processor time of that, lowest tenth", "cold", "first poll, processor time", &times},
        {"Serving an event of 16 B", "warm Content-Length", "16 B", &times},
        {"Package, zipped", "cost", "package, zipped", &sizes},
        {"Private memory after an event", "cost", "private memory after a response", &memories},
        {"Files mapped, with interpreter, libraries", "cost", "files mapped", &sizes}};
    for (size_t i = 0; i < sizeof plots / sizeof plots[0]; i++) {
        for (size_t j = 0; j < program_count && i % 2 == 0; j++)
            add_text(LEFT - 14, top + 32 + (double)DOT_ROW * (double)j, "ink name end", "%s",
                     programs[order[j]].name);
        add_dots(i % 2 == 0 ? LEFT : SECOND, top, plots[i].title, plots[i].group, plots[i].item,
                 plots[i].units);
        top += i % 2 == 0 ? 0 : (double)DOT_ROW * (double)program_count + 72;
    }
    return top;
}

/* ---- Picture: cost by size ---------------------------------------------------------------- */

static const struct {
    const char *item;
    double size;
} events[] = {
    {"16 B", 16}, {"2 KB", 2048}, {"100 KB", 102400}, {"1 MB", 1048576}, {"6 MB", 6291456}};
enum { EVENTS = sizeof events / sizeof events[0] };

static double time_of(size_t program, size_t event) {
    return figure(find(program, "warm Content-Length", events[event].item));
}

/* Of each program the end of its curve, and how many events there are up to that; 0: it has none. */
static struct end {
    double x, y;
    size_t events;
} ends[PROGRAMS_MAX];

static void add_curve(size_t program, const struct axis *x, const struct axis *y) {
    struct end *end = &ends[program];
    bytes_format(&picture, "<path class=\"stroke c%zu\" d=\"", color_of(program));
    for (size_t i = 0; i < EVENTS; i++) {
        if (time_of(program, i) <= 0)
            continue;
        char how = end->events == 0 ? 'M' : 'L';
        *end = (struct end){on_axis(x, events[i].size), on_axis(y, time_of(program, i)), i + 1};
        bytes_format(&picture, "%c%.1f %.1f", how, end->x, end->y);
    }
    bytes_text(&picture, "\"/>");
}

static int by_end(const void *a, const void *b) {
    double x = ends[*(const size_t *)a].y, y = ends[*(const size_t *)b].y;
    return (x > y) - (x < y);
}

/* At the right ends of the curves, from the highest down, none over another. */
static void add_curve_names(double right) {
    double at = -1e9;
    qsort(order, program_count, sizeof order[0], by_end);
    for (const size_t *p = order; p < order + program_count; p++) {
        const struct end *end = &ends[*p];
        if (end->events == 0)
            continue;
        at = fmax(end->y, at + 14);
        bytes_format(&picture, "<g class=\"c%zu\">", color_of(*p));
        add_circle("fill", end->x, end->y, 3);
        add_line("ring", right + 4, end->y, right + 18, at);
        bool failed = end->events < EVENTS &&
                      find(*p, "warm Content-Length", events[end->events].item) != NULL;
        add_text(right + 22, at + 4, "fill small name", "%s%s", programs[*p].name,
                 failed ? " (failed)" : "");
        bytes_text(&picture, "</g>");
    }
}

static double add_curves(double top) {
    struct axis x = {99, -99, LEFT, PLOT, &sizes},
                y = {99, -99, top + 20 + CURVES, -CURVES, &times};
    for (size_t j = 0; j < EVENTS; j++) {
        take_in(&x, events[j].size);
        for (size_t i = 0; i < program_count; i++)
            take_in(&y, time_of(i, j));
    }
    if (y.low > y.high)
        return top;
    add_text(MARGIN, top, "ink head", "Serving an event, by its size");
    add_grid(&y, LEFT, LEFT + PLOT);
    for (size_t j = 0; j < EVENTS; j++) {
        add_line("grid", on_axis(&x, events[j].size), top + 20, on_axis(&x, events[j].size),
                 top + 20 + CURVES);
        add_text(on_axis(&x, events[j].size), top + 36 + CURVES, "soft small middle", "%s",
                 events[j].item);
    }
    for (size_t i = program_count; i-- > 0;)
        add_curve(i, &x, &y);
    add_curve_names(LEFT + PLOT);
    return top + CURVES + 76;
}

/* Names of more than the table's width have as much more room at both sides. */
static bool write_picture(const char *path) {
    int longest = NAME_WIDTH;
    for (size_t i = 0; i < program_count; i++) {
        order[i] = i;
        longest = (int)fmax(longest, (double)strlen(programs[i].name));
    }
    qsort(order, program_count, sizeof order[0], by_start);
    double y = add_curves(add_all_dots(106));
    add_text(MARGIN, 40, "ink title", "Lambda runtimes: start, service, size and memory");
    add_text(MARGIN, 62, "ink",
             "A process on this machine, not Lambda's cold start. Medians; bars: "
             "their 95 %% intervals; +: above the floor. All scales are logarithmic.");
    add_text(MARGIN, y, "soft small", "%s", machine);
    add_text(WIDTH - MARGIN, y, "soft small end", "%s", date);
    add_text(MARGIN, y + 16, "soft small", "%.100s", command);
    if (*warnings.data != '\0')
        add_text(WIDTH - MARGIN, y + 16, "soft small end", "There were warnings: see the tables.");
    bytes_append(&picture, "", 1);
    int height = (int)y + 36, left = LETTER * (NAME_WIDTH - longest), width = WIDTH - 2 * left;
    FILE *file = fopen(path, "w");
    return file != NULL &&
           fprintf(file,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"%d 0 %d %d\" width=\"%d\" "
                   "height=\"%d\" role=\"img\">\n<title>Lambda runtimes compared</title>\n%s"
                   "<rect class=\"paper\" x=\"%d\" width=\"100%%\" height=\"100%%\" rx=\"10\"/>\n"
                   "%s</svg>\n",
                   left, width, height, width, height, style, left, picture.data) > 0 &&
           fclose(file) == 0;
}

int main(int count, char **arguments) {
    bool csv = count == 3 && strcmp(arguments[1], "--csv") == 0;
    bool svg = count == 4 && strcmp(arguments[1], "--svg") == 0;
    if (!csv && !svg && (count != 2 || arguments[1][0] == '-'))
        errx(1, "expected: report [--csv | --svg PICTURE.svg] FILE.json");
    read_run(arguments[count - 1]);
    if (svg && !write_picture(arguments[2]))
        err(1, "writing %s", arguments[2]);
    if (csv)
        print_csv();
    else if (!svg)
        print_tables();
    if (fclose(stdout) != 0)
        err(1, "writing to stdout");
    return 0;
}
