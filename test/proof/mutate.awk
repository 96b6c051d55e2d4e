# mutate.awk - breaks a C file in one small way: a comparison turned, a constant off by one, an
# operator replaced, a statement removed. Comments, literals and directives stay as they are.
#
#   awk -f mutate.awk FILE               lists the ways: the line; in which function, or of which
#                                        constant or variable, what becomes what; the text
#   awk -v wanted=N -f mutate.awk FILE   prints the file broken in the N-th way, from 1
#
# SPDX-License-Identifier: MIT-0
BEGIN {
    count = split(" < , <= , <= , < , > , >= , >= , > , == , != , != , == , && , || , || , && ," \
        " + , - , - , + , += , -= , -= , += ,++,--,(!,(, !, , % , / , / , * , | , & , << , >> ", \
        turns, ",")
    other = "^(return|static|struct|enum|bool|char|s?size_t|int|uint|unsigned|const|extern|pid_t" \
        "|typedef|void)"
}

function trim(text) {
    gsub(/^ +| +$/, "", text)
    return text
}

function last_word(text) {
    match(text, /[A-Za-z0-9_]+[^A-Za-z0-9_]*$/)
    text = substr(text, RSTART)
    sub(/[^A-Za-z0-9_]+$/, "", text)
    return text
}

# The line with tabs in the place of what is no code.
function code_of(line,    code, n) {
    while (line != "") {
        if (is_directive || (!is_comment && code == "" && line ~ /^#/)) {
            is_directive = line ~ /\\$/
            n = length(line)
        } else if (is_comment) {
            n = index(line, "*/")
            is_comment = !n
            n = n ? n + 1 : length(line)
        } else if (match(line, /\/\*|"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/)) {
            code = code substr(line, 1, RSTART - 1)
            line = substr(line, RSTART)
            is_comment = line ~ /^\/\*/
            n = is_comment ? 0 : RLENGTH
        } else
            return code line
        while (n--) {
            code = code "\t"
            line = substr(line, 2)
        }
    }
    return code
}

# One way to break it: what is `from`, at that place of the line, becomes `to`.
function offer(at, from, to,    key) {
    ways++
    if (wanted == ways)
        broken = substr(line, 1, at - 1) to substr(line, at + length(from))
    if (wanted)
        return
    if (is_enum && match(substr(line, 1, at - 1), /.*=/))
        place = last_word(substr(line, 1, RLENGTH))
    key = place ": " trim(from) " becomes " trim(to)
    print "line " NR ": " key (seen[key]++ ? " (" seen[key] ")" : "") " in: " trim(line)
}

{
    line = broken = $0
    ends_before = last ~ /[;{}):\/eo]$/ && !is_comment && !is_directive
    code = code_of(line)
    # The definition that began last, in the first column; in "enum {" the constant.
    if (code ~ /^[A-Za-z0-9_]/) {
        is_enum = line ~ /^enum {/
        match(line, /^[^([={]*/)
        place = last_word(substr(line, 1, RLENGTH))
    }
    # A statement on a line of its own that is no declaration and no return.
    if (ends_before && code ~ /^    +[A-Za-z0-9_]/ && line ~ /;$/ && trim(line) !~ other)
        offer(match(line, /[^ ]/), trim(line), ";")
    for (at = 1; at <= length(line); at++) {
        rest = substr(line, at)
        if (substr(code, at, 1) ~ /[ +(-]/)
            for (i = 1; i < count; i += 2)
                if (index(rest, turns[i]) == 1 && !(turns[i] ~ /!$/ && rest ~ /^.!=/))
                    offer(at, turns[i], turns[i + 1])
        if (substr(code, at, 1) !~ /[a-z0-9]/ || substr(" " line, at, 1) ~ /[A-Za-z0-9_]/)
            continue
        if (match(rest, /^(true|false)/) && rest !~ /^[a-z]+[A-Z0-9_]/)
            offer(at, substr(rest, 1, RLENGTH), rest ~ /^t/ ? "false" : "true")
        if (match(rest, /^(0x[0-9a-f]+|[0-9]+)/)) {
            number = substr(rest, 1, RLENGTH)
            offer(at, number, number ~ /x/ ? "(" number " + 1)" : sprintf("%.0f", number + 1))
        }
    }
    last = line
    if (wanted)
        print broken
}
