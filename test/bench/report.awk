# report.awk - tables, CSV and a picture of what bench.c has measured, from its JSON: now or later.
#
#   awk -f report.awk FILE.json           tables in Markdown
#   awk -f report.awk form=csv FILE.json  all figures, one a line
#   awk -f report.awk form=svg FILE.json  the picture
#
# With LC_ALL=C, or some awks write a comma into numbers. The JSON is read by lines, as bench.c ends
# them: the machine and the method, then each program, warning and result on a line of its own.
#
# A median has an interval that holds the true one in 95 of 100 runs, from the ranks of the samples; of
# several processes, from the ranks of their medians, since the samples of one are alike. Compared with
# the floor, the first program, are medians: as a ratio, and as the distance, which moves less. Of
# processor times it is the lowest tenth, since whatever else runs on the machine only adds to them.
#
# What stands in a function's head behind several blanks are its own variables.
#
# SPDX-License-Identifier: MIT-0

# ---- JSON ----

function fail(expected) {
    print "report.awk: " FILENAME ": " expected " is expected, as bench writes it" >"/dev/stderr"
    failed = 1
    exit 1
}

# The members of the line that are strings, and `rest`, what stands behind the last string. An
# apostrophe is put for what is escaped there, and a blank for each control character, which would end
# a row.
function read_members(line,    part, count, i) {
    split("", member)
    gsub(/\\u00../, " ", line)
    gsub(/\\["\\]/, "'", line)
    count = split(line, part, "\"")
    for (i = 2; i + 2 <= count; i += 4)
        member[part[i]] = part[i + 2]
    rest = part[count]
}

# Those of all processes stay in the order of measuring for now.
function read_samples(r, text,    process, one, i, j) {
    split(text, process, "[")
    for (i = 3; i in process; i++) {
        split(process[i], one, /[],]/)
        for (j = 1; one[j] ~ /[0-9]/; j++) {
            keep(r, one[j])
            keep(r "/" i, one[j])
        }
        keep(r "/medians", median(r "/" i))
    }
    sort(r "/medians")
}

FNR == 1 {
    read_members($0)
    for (name in member)
        run[name] = member[name]
}
/^  "/ {
    read_members("\"\": " $0)
    warning[++warnings] = member[""]
}
/^  [{]"name"/ {
    read_members($0)
    names[++programs] = member["name"]
    version[programs] = member["version"]
    place[member["name"]] = programs
}
/^  [{]"program"/ {
    read_members($0)
    if (!(member["program"] in place))
        fail("a result of a program that is listed")
    program[++rows] = place[member["program"]]
    group[rows] = member["group"]
    item[rows] = member["item"]
    unit[rows] = member["unit"]
    remark[rows] = member["failed"] # why it failed, or what moves its median
    row[program[rows], group[rows], item[rows]] = rows
    count[rows] = 0 # gawk 5.2 crashes when a function gets what nothing was put into
    read_samples(rows, rest)
}
{
    last = $0
}
END {
    if (!failed && (last != "]}" || run["method"] == ""))
        fail("JSON with a method, whole,")
    if (failed)
        exit 1
    for (r = 1; r <= rows; r++)
        if (item[r] ~ /, waiting to run/)
            remark_waiting(r)
    for (r = 1; r <= rows; r++)
        sort(r)
    if (form == "svg")
        print_picture()
    else if (form == "csv")
        print_csv()
    else
        print_tables()
}

# ---- Figures: the samples of a key, which is the number of a row or something made of it ----

function keep(key, value) {
    sample[key, ++count[key]] = value + 0
}

# By Shell, in a list whose places are plain numbers, which is several times faster.
function sort(key,    n, list, gap, i, j) {
    n = count[key]
    for (i = 1; i <= n; i++)
        list[i] = sample[key, i]
    for (gap = int(n / 2); gap > 0; gap = int(gap / 2))
        for (i = 1 + gap; i <= n; i++) {
            list[0] = list[i]
            for (j = i; j > gap && list[j - gap] > list[0]; j -= gap)
                list[j] = list[j - gap]
            list[j] = list[0]
        }
    for (i = 1; i <= n; i++)
        sample[key, i] = list[i]
}

# Nearest rank, of what is in order. 0 of nothing.
function percentile(key, percent) {
    return count[key] == 0 ? 0 : sample[key, int((count[key] * percent + 99) / 100)]
}

function median(key) {
    sort(key)
    return percentile(key, 50)
}

# The median lies between the samples of rank r and n + 1 - r unless fewer than r of n coins fall on
# the one side or on the other. Returns the largest such r for 95 %, 0 when there is none.
function rank_for_95(n,    r, below, logarithm) {
    logarithm = -n * log(2)
    for (r = 0; r < n; r++) {
        below += exp(logarithm)
        if (below > 0.025)
            break
        logarithm += log((n - r) / (r + 1))
    }
    return r
}

# Sets low and high, unless there are too few.
function interval(r,    key, rank) {
    key = count[r "/medians"] > 1 ? r "/medians" : r
    rank = rank_for_95(count[key])
    low = rank == 0 ? "" : min(sample[key, rank], percentile(r, 50))
    high = rank == 0 ? "" : max(sample[key, count[key] + 1 - rank], percentile(r, 50))
    return rank > 0
}

# The figure that is compared and drawn; 0 where there is none.
function figure(r) {
    return percentile(r, item[r] ~ /processor time/ ? 10 : 50)
}

# 0 where there is nothing to compare, or to compare with.
function floor_of(r) {
    return count[r] == 0 || item[r] ~ /waiting/ ? 0 : figure(row[1, group[r], item[r]])
}

# Says of the program that suffers that it does, by what it does to the median, where that is more than
# 3 %. Of waiting there may be one sample for several times.
function remark_waiting(waiting,    name, r, i, part) {
    name = item[waiting]
    sub(/,.*/, "", name)
    r = row[program[waiting], group[waiting], name]
    if (count[r] == 0 || count[waiting] == 0 || remark[r] != "")
        return
    for (i = 0; i < count[r]; i++)
        keep(r "/without", max(0, sample[r, i + 1] - \
            sample[waiting, int(i * count[waiting] / count[r]) + 1]))
    part = 100 - 100 * median(r "/without") / median(r)
    if (part > 3)
        remark[r] = sprintf("%.0f %% of p50 is waiting for a processor", part)
}

function min(a, b) {
    return a < b ? a : b
}

function max(a, b) {
    return a > b ? a : b
}

# ---- Tables and CSV ----

# In the unit of the result, but for the ratio, which is the sixth; "" where there is none.
function figures_of(r,    least) {
    least = floor_of(r)
    interval(r)
    figures[1] = count[r] > 1 ? percentile(r, 10) : ""
    figures[2] = count[r] > 0 ? percentile(r, 50) : ""
    figures[3] = low
    figures[4] = high
    figures[5] = least > 0 ? figure(r) - least : ""
    figures[6] = least > 0 ? figure(r) / least : ""
    figures[7] = count[r] > 1 ? percentile(r, 90) : ""
    figures[8] = count[r] >= 100 ? percentile(r, 99) : ""
}

# Three significant digits are more than the machine's noise leaves.
function print_row(r,    name, i, value, size) {
    name = sprintf("%-34s", item[r] (unit[r] == "" ? "" : ", ") unit[r])
    sub(/, ns/, ", \302\265s", name)
    printf "| %s | %-16s | %5d ", name, names[program[r]], count[r]
    figures_of(r)
    for (i = 1; i <= 8; i++) {
        value = figures[i] / (unit[r] == "ns" && i != 6 ? 1000 : 1)
        size = max(value, -value)
        if (figures[i] == "")
            printf "|         - "
        else
            printf "| %9." (size >= 100 || value == int(value) ? 0 : size < 10 ? 2 : 1) "f ", value
    }
    print "| " remark[r] " |"
}

# Markdown that is aligned for the terminal too.
function print_head(name) {
    printf "\n| %-34s | program          |     n |       p10 |       p50 | 95 %% from |", name
    print "        to |   - floor |   x floor |       p90 |       p99 | remark |"
    print "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|"
}

function print_tables(    i) {
    print run["machine"] ", " run["date"] "\n" run["command"] "\n" run["method"]
    print "95 %: the median's interval within this run, by ranks; warm, that of the processes' medians."
    print "- floor, x floor: of p50; for processor times of p10, to which other load adds least."
    for (i = 1; i <= programs; i++)
        if (version[i] != "")
            print names[i] ": " version[i]
    for (i = 1; i <= warnings; i++)
        print "warning: " warning[i]
    for (i = 1; i <= rows; i++) {
        if (group[i] != group[i - 1])
            print_head(group[i])
        print_row(i)
    }
}

function print_csv(    r, i) {
    print "program,group,item,unit,n,p10,p50,low,high,above_floor,ratio,p90,p99,remark"
    for (r = 1; r <= rows; r++) {
        figures_of(r)
        printf "%s,%s,\"%s\",%s,%d", names[program[r]], group[r], item[r], unit[r], count[r]
        for (i = 1; i <= 8; i++)
            printf "%s", (figures[i] == "" ? "," : sprintf(",%.6g", figures[i]))
        print ",\"" remark[r] "\""
    }
}

# ---- Picture: its parts ----

# Three digits, as long as there is a greater unit for it.
function readable(value, in_unit,    step, name, i) {
    step = in_unit == "KiB" ? 1024 : 1000
    split(in_unit == "ns" ? "ns,\302\265s,ms,s" : in_unit == "KiB" ? "KiB,MiB,GiB" : "B,KB,MB,GB", \
        name, ",")
    for (i = 1; value >= 999.5 && (i + 1) in name; i++)
        value /= step
    return sprintf(value >= 999.5 ? "%.0f %s" : "%.3g %s", value, name[i])
}

function log10(value) {
    return log(value) / log(10)
}

# A logarithmic axis of a length, from `at` on, without values yet.
function begin_axis(axis, at, extent) {
    axis["low"] = 99
    axis["high"] = -99
    axis["at"] = at
    axis["length"] = extent
}

# Makes room for a value, and a little beside it.
function take_in(axis, value) {
    if (value > 0) {
        axis["low"] = min(axis["low"], log10(value) - 0.06)
        axis["high"] = max(axis["high"], log10(value) + 0.06)
    }
}

function on_axis(axis, value) {
    return axis["at"] + (log10(value) - axis["low"]) / (axis["high"] - axis["low"]) * axis["length"]
}

function add(element) {
    picture = picture element
}

function add_text(x, y, classes, text) {
    gsub(/&/, "\\&#38;", text)
    gsub(/</, "\\&#60;", text)
    gsub(/>/, "\\&#62;", text)
    add(sprintf("<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, classes) text "</text>")
}

function add_line(classes, x1, y1, x2, y2) {
    add(sprintf("<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", \
        classes, x1, y1, x2, y2))
}

function add_circle(x, y, radius) {
    add(sprintf("<circle class=\"fill\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>", x, y, radius))
}

# Floors are grey, and the first program beside them is the one this is all about.
function color_of(p) {
    return p == 1 || names[p] ~ /^floor/ ? 0 : p == 2 ? 1 : 2 + (p - 1) % 6
}

# Puts the programs in the order of their keys.
function sort_programs(key,    i, j) {
    for (i = 1; i <= programs; i++) {
        for (j = i - 1; j > 0 && key[order[j]] > key[i]; j--)
            order[j + 1] = order[j]
        order[j + 1] = i
    }
}

# ---- Picture: dots ----

# The interval is that of the median.
function has_bar(r) {
    return figure(r) == percentile(r, 50) && interval(r)
}

# Medians, with their intervals; of times also how far above the floor they are, where that says more
# than the whole.
function add_dot(r, axis, y,    value, dot, behind, above) {
    value = figure(r)
    dot = behind = on_axis(axis, value)
    add_line("grid", axis["at"], y, dot, y)
    add("<g class=\"c" color_of(program[r]) "\">")
    if (has_bar(r)) {
        behind = on_axis(axis, high)
        add_line("wide", on_axis(axis, low), y, behind, y)
    }
    add_circle(dot, y, 4)
    add("</g>")
    if (unit[r] == "ns" && floor_of(r) < value && value < 10 * floor_of(r))
        above = "  +" readable(value - floor_of(r), "ns")
    add_text(max(dot + 9, behind + 5), y + 4.5, "ink number", \
        readable(value, unit[r]) above)
}

# The names of the programs stand before the first plot of a row.
function add_dots(x, top, title, of, what,    axis, i, r, y) {
    begin_axis(axis, x, 265)
    add_text(x, top, "ink head", title)
    for (i = 1; i <= programs; i++) {
        if (x == LEFT)
            add_text(x - 14, top + 10 + DOT_ROW * i, "ink name end", names[order[i]])
        r = row[i, of, what]
        take_in(axis, figure(r))
        if (has_bar(r)) {
            take_in(axis, low)
            take_in(axis, high)
        }
    }
    if (axis["low"] > axis["high"])
        return
    for (i = 1; i <= programs; i++) {
        r = row[order[i], of, what]
        y = top + 6 + DOT_ROW * i
        if (figure(r) > 0)
            add_dot(r, axis, y)
        else
            add_text(x + 4, y + 4, "soft small", r == "" ? "-" : "failed")
    }
}

# Returns what is below them.
function add_all_dots(top,    height) {
    height = DOT_ROW * programs + 56
    add_dots(LEFT, top, "Start, to the first poll", "cold", "first poll")
    add_dots(555, top, "Processor time of that, lowest tenth", "cold", "first poll, processor time")
    top += height
    add_dots(LEFT, top, "Serving an event of 16 B", "warm Content-Length", "16 B")
    add_dots(555, top, "Package, zipped", "cost", "package, zipped")
    top += height
    add_dots(LEFT, top, "Private memory after an event", "cost", "private memory after a response")
    add_dots(555, top, "Files mapped, with interpreter, libraries", "cost", "files mapped")
    return top + height
}

# ---- Picture: cost by size ----

function curve_row(p, event) {
    return row[p, "warm Content-Length", event_name[event]]
}

# Keeps its end, and how many events there are up to that: none, if it has none.
function add_curve(p, x, y,    i, value) {
    add("<path class=\"stroke c" color_of(p) "\" d=\"")
    end_y[p] = end_event[p] = 0
    for (i = 1; i <= EVENTS; i++) {
        value = figure(curve_row(p, i))
        if (value <= 0)
            continue
        end_x[p] = on_axis(x, event_size[i])
        end_y[p] = on_axis(y, value)
        add(sprintf("%s%.1f %.1f", end_event[p] == 0 ? "M" : "L", end_x[p], end_y[p]))
        end_event[p] = i
    }
    add("\"/>")
}

# At the right ends of the curves, from the highest down, none over another.
function add_curve_names(right,    at, i, p, failed_at) {
    sort_programs(end_y)
    for (i = 1; i <= programs; i++) {
        p = order[i]
        if (end_event[p] == 0)
            continue
        at = max(end_y[p], at + 14)
        add("<g class=\"c" color_of(p) "\">")
        add_circle(end_x[p], end_y[p], 3)
        add_line("ring", right + 4, end_y[p], right + 18, at)
        failed_at = end_event[p] + 1
        add_text(right + 22, at + 4, "fill small name", \
            names[p] (failed_at <= EVENTS && curve_row(p, failed_at) ? " (failed)" : ""))
        add("</g>")
    }
}

function add_curves(top,    x, y, i, p, bottom, at) {
    EVENTS = split("16 B,2 KB,100 KB,1 MB,6 MB", event_name, ",")
    split("16 2048 102400 1048576 6291456", event_size, " ")
    bottom = top + 320
    begin_axis(x, LEFT, PLOT)
    begin_axis(y, bottom, top + 20 - bottom)
    for (i = 1; i <= EVENTS; i++) {
        take_in(x, event_size[i])
        for (p = 1; p <= programs; p++)
            take_in(y, figure(curve_row(p, i)))
    }
    if (y["low"] > y["high"])
        return top
    add_text(26, top, "ink head", "Serving an event, by its size")
    for (i = 3; i <= y["high"]; i++)
        if (i >= y["low"]) {
            at = on_axis(y, 10 ^ i)
            add_line("grid", LEFT, at, LEFT + PLOT, at)
            add_text(LEFT - 8, at + 4, "soft small end number", readable(10 ^ i, "ns"))
        }
    for (i = 1; i <= EVENTS; i++) {
        at = on_axis(x, event_size[i])
        add_line("grid", at, top + 20, at, bottom)
        add_text(at, bottom + 16, "soft small middle", event_name[i])
    }
    for (p = programs; p > 0; p--)
        add_curve(p, x, y)
    add_curve_names(LEFT + PLOT)
    return bottom + 56
}

# ---- Picture: the whole ----

function print_style() {
    print "<style>"
    print "  .paper { fill: #fcfcfb } .ink { fill: #1d2026 } .soft { fill: #667080 }"
    print "  .grid { stroke: #e3e6ea }"
    print "  .c0 { color: #8b93a1 } .c1 { color: #d9480f } .c2 { color: #1971c2 } .c3 { color: #2b8a3e }"
    print "  .c4 { color: #9c36b5 } .c5 { color: #0b7285 } .c6 { color: #c2255c } .c7 { color: #846200 }"
    print "  @media (prefers-color-scheme: dark) {"
    print "    .paper { fill: #15181d } .ink { fill: #e9ecf1 } .soft { fill: #98a2b3 }"
    print "    .grid { stroke: #2c323b }"
    print "    .c0 { color: #8d97a7 } .c1 { color: #ff8a3d } .c2 { color: #4dabf7 } .c3 { color: #51cf66 }"
    print "    .c4 { color: #cc5de8 } .c5 { color: #3bc9db } .c6 { color: #f783ac } .c7 { color: #e6b422 }"
    print "  }"
    print "  .fill { fill: currentColor } .ring { fill: none; stroke: currentColor }"
    print "  .stroke { stroke: currentColor; stroke-width: 2; fill: none }"
    print "  .wide { stroke: currentColor; stroke-width: 5; stroke-opacity: 0.5 }"
    print "  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif }"
    print "  .title { font-size: 19px; font-weight: 600 } .head { font-size: 14px; font-weight: 600 }"
    print "  .name { font-weight: 600 } .small { font-size: 11px } .end { text-anchor: end }"
    print "  .middle { text-anchor: middle } .number { font-variant-numeric: tabular-nums }"
    print "</style>"
}

# The fastest start first, what failed last. Names of more than 16 letters have as much more room at
# both sides.
function print_picture(    key, i, longest, y, left, width, height) {
    LEFT = 160 # of the plots, behind the names
    DOT_ROW = 22
    PLOT = 580 # width of the last plot, before its names
    longest = 16
    for (i = 1; i <= programs; i++) {
        key[i] = figure(row[i, "cold", "first poll"])
        key[i] = key[i] == 0 ? 1e99 : key[i]
        longest = max(longest, length(names[i]))
    }
    sort_programs(key)
    y = add_curves(add_all_dots(106))
    add_text(26, 40, "ink title", "Lambda runtimes: start, service, size and memory")
    add_text(26, 62, "ink", "A process on this machine, not Lambda's cold start. Medians; bars: " \
        "their 95 % intervals; +: above the floor. All scales are logarithmic.")
    add_text(26, y, "soft small", run["machine"])
    add_text(914, y, "soft small end", run["date"])
    add_text(26, y + 16, "soft small", substr(run["command"], 1, 100))
    if (warnings > 0)
        add_text(914, y + 16, "soft small end", "There were warnings: see the tables.")
    height = int(y) + 36
    left = 8 * (16 - longest)
    width = 940 - 2 * left
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"%d 0 %d %d\" width=\"%d\" height=\"%d\" " \
        "role=\"img\">\n<title>Lambda runtimes compared</title>\n", left, width, height, width, height
    print_style()
    print "<rect class=\"paper\" x=\"" left "\" width=\"100%\" height=\"100%\" rx=\"10\"/>"
    print picture "</svg>"
}
