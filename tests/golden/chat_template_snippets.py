"""Snippets that go through the language of chat templates, one feature and its edges after the other."""

VARIABLES = {
    "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi  "},
                 {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}],
    "text": "Hello, wörld!\n second line\n\n  third ", "words": ["b", "A", "c", "a", "B"], "empty": "", "nothing": None,
    "numbers": [3, 1, 2], "zero": 0, "n": 7, "x": 2.5, "big": 1e16, "small": 0.00001, "yes": True, "no": False,
    "nested": {"a": {"b": [1, {"c": "deep"}]}, "items": "shadowed", "k": 1.0, "get": 5, "pop": 6},
    "people": [{"name": "Zoë", "age": 3, "tags": ["x"]}, {"name": "adam", "age": 1}, {"name": "Bob", "age": 2, "tags": []}],
    "quotes": "it's \"x\" \\ \t\u0001\u00e9\u200b\U0001f600\u007f", "sharp": "straße ΑΣ ǆ ŉ ﬁ", "rows": [[1, 2], [3, 4]],
}

EXPRESSIONS = """
1 + 2 * 3|1 + 2 ~ 3|7 // 2|-7 // 2|7 % -3|-7 % 3|7 / 2|2 ** 10|2 ** -1|2 ** 3 ** 2|7.5 // 2|-7.5 % 2|1 / 0|1 // 0|1 % 0
-n|- -n|+n|-(1 + 2)|not yes|not not no|1 if yes|1 if no|1 if no else 2 if no else 3|(1, 2)|(1,)|()|1, 2|[1, "a", none, true]
{"a": 1, "b": [2.0, {"c": None}]}|{}|[]|"a" "b"|'a\\nb\\t\\x41\\u00e9\\101\\q'|"it's"|["it's"]|['"']|['\\'"']|[quotes]|[text]
1 == 1.0|1 == true|"1" == 1|[1] == [1.0]|(1,) == [1]|{"a": 1} == {"a": 1.0}|none == none|missing == missing|missing == none
1 < 2 < 3|1 < 3 < 2|1 < 2 == 2|"a" < "b"|"é" > "z"|[1, 2] < [1, 3]|[1] < [1, 0]|1 < "a"|none < 1|missing < 1|1 <= 1.0|2 >= 3
"a" in "abc"|"d" not in "abc"|1 in [1, 2]|"a" in nested|"z" in nested|1 in "abc"|1 in 5|"a" in missing|none in [none]|"" in ""
yes and n|no and n|no or n|empty or none|zero or empty|nothing and missing.x|yes or missing.x|not missing|n and text|[] or {}
text[0]|text[-1]|text[100]|text[8]|text[7:12]|text[::-1]|text[:5]|text[-6:]|text[::2]|numbers[0]|numbers[-1]|numbers[9]|numbers[1:]
numbers[:-1]|numbers[::-1]|numbers[::0]|numbers[-100:100]|numbers[5:]|numbers[true]|numbers["a"]|numbers[1.0]|nested["a"]["b"][1]["c"]
nested.a.b[1].c|nested.a.b.0|nested.missing|nested.missing.x|nothing.x|n.x|missing.x|missing[0]|missing[1:]|nothing[1:]|messages[0].role
messages[0]['content']|messages[-1].tool_calls[0].id|messages[1:][0].content|nested["items"]|nested.k|nested["get"]|nested.pop|nested["pop"]
words + ["z"]|[1] * 3|3 * "ab"|"ab" * -1|"a" + 1|[1] + (2,)|1 + none|"a" - "b"|true + 1|1.5 + 1|0.1 + 0.2|10 ** 15 * 1.0|big|small|1e3
1e22|1.0|100000.0|123456789012345678|9223372036854775807|0.1|1e-7|1.5e300|x|-x|3.0 * 2|1_000|n / 7|"a" ~ 1 ~ none ~ true ~ 1.0 ~ missing ~ [1]
text.strip()|text.lstrip("He")|text.rstrip()|" xx ".strip(" x")|"\\u3000a\\u00a0".strip()|text.split()|text.split(",")|text.split("l", 1)
"a,b,,c".split(",")|"".split()|"".split(",")|" a  b ".split(" ")|"a b c d".split(none, 2)|"a b c d".rsplit(" ", 1)|"  a b c ".split(maxsplit=1)
"  a b c ".rsplit(none, 1)|"a".split("")|text.splitlines()|"a\\r\\nb\\n\\nc".splitlines()|text.startswith("Hell")|text.endswith(("x", " "))
text.startswith(1)|text.upper()|text.lower()|sharp.upper()|sharp.lower()|sharp.title()|sharp.capitalize()|"ſt ﬁ ß".title()|"ßx".capitalize()
"they're bill's 3rd x-ray".title()|text.replace("l", "L")|text.replace("l", "L", 2)|"ab".replace("", "-")|"é".replace("", ".")|"a".replace("a")
text.find("w")|text.find("zz")|text.rfind("l")|"héllo".find("l")|text.count("l")|"aaa".count("aa")|"ab".count("")|"-".join(words)
"-".join([1])|",".join("abc")|"  ".isspace()|"".isspace()|"12".isdigit()|"1a".isdigit()|"abc".removeprefix("a")|"abc".removesuffix("c")
"abc".removeprefix("x")|words.index("c")|words.index("zz")|words.count("a")|words.append("x")|nested.update({})|nested.keys() | list|missing()
nested.values() | list|nested.a.items() | list|nested.get("a")|nested.get("zz")|nested.get("zz", 4)|nested.a.get("b")[0]|text.nosuch|text.nosuch()
text | trim|"xxaxx" | trim("x")|5 | trim|none | trim|missing | trim|text | upper|text | lower|sharp | upper|missing | upper|none | upper|[1] | lower
text | title|"foo-bar (baz) [qux] {a} <b> it's don't" | title|sharp | title|text | capitalize|"ABC déf" | capitalize|5 | string|none | string
text | length|numbers | length|nested | length|missing | length|none | length|5 | length|"wörld" | count|words | join|words | join(", ")|numbers | join("-")
missing | join|[none, true, 1.5] | join("|")|"abc" | join(".")|nested | join(",")|5 | join|missing | default("d")|none | default("d")|none | d("e", true)
"" | default("d", boolean=true)|missing | default|missing | d(1)|nested.zz | default([])|text | replace("l", "1")|text | replace("l", "1", 1)|5 | replace(5, 6)
words | first|words | last|[] | first|[] | last|"abc" | first|"abc" | last|nested | first|nested | last|numbers | list|"héy" | list|nested | list|missing | list
none | list|nested.a | items | list|missing | items | list|"12" | int|" 7 " | int|"1.9" | int|"x" | int|"x" | int(5)|none | int|missing | int
3.99 | int|-3.99 | int|true | int|"-4" | int|"1_0" | int|"" | int|"3.5" | float|"x" | float|n | float|none | float(1.5)|-5 | abs|-2.5 | abs|2.5 | round
3.14159 | round(2)|2.675 | round(2)|7 | round|3.2 | round(method="ceil")|3.77 | round(1, "floor")|words | sort|words | sort(reverse=true)
words | sort(case_sensitive=true)|numbers | sort|people | sort(attribute="age") | map(attribute="name") | join(",")|[1, "a"] | sort|words | unique | list
numbers | min|numbers | max|words | min|words | max|words | min(true)|people | min(attribute="age")|[] | min|[] | max|[1, "a"] | min|5 | max
"a{}b".format(1)|"{}{}".format(1)|"{1}{0}".format("x", none)|"{a}-{b}".format(a=1.0, b=true)|"{{}}{}".format([1, "x"])|"{}".format()|"{".format()|"}".format()
"x".format(5)|"{a}".format(1)|"{2}".format(1)|"{}".format(missing)|none | select | list|none | map("upper") | list|none | selectattr("x") | list
none | rejectattr("x") | list|missing | map(attribute="x") | list|0 | reject | list|5 | select | list|none | sort|none | unique | list
words | unique(case_sensitive=true) | list|nested.a | dictsort|{"b": 1, "A": 2} | dictsort|{"b": 1, "A": 2} | dictsort(by="value")|{"b": 1, "A": 2} | dictsort(true)
words | reverse | list|text | reverse|people | map(attribute="name") | list|people | map(attribute="tags") | list|people | map(attribute="zz", default="-") | list
people | map(attribute="tags.0") | list|words | map("upper") | join|numbers | map("string") | list|["a b"] | map("replace", " ", "_") | list|words | map("nosuch") | list
people | selectattr("tags") | map(attribute="age") | list|people | selectattr("age", "equalto", 2) | list|people | selectattr("age", "gt", 1) | map(attribute="name") | join
people | rejectattr("tags") | list | length|people | rejectattr("tags", "defined") | map(attribute="name") | list|people | selectattr("name", "in", ["Bob"]) | list | length
people | selectattr("age", "==", 3) | first|numbers | select("odd") | list|numbers | reject("odd") | list|numbers | select | list|[0, 1, ""] | reject | list
numbers | select("divisibleby", 3) | list|people | selectattr | list|(people | selectattr("zz") and 1)|people | selectattr("age") | length|people | map(attribute="age") | sort
nested | tojson|nested | tojson(indent=2)|[1, 2.0, none, true, "é\\n<&>'"] | tojson|{} | tojson(indent=4)|[] | tojson(indent=1)|[[], {}] | tojson(indent=0)|quotes | tojson
quotes | tojson(ensure_ascii=true)|missing | tojson|{"b": 1, "a": 2} | tojson(sort_keys=true)|nested | tojson(separators=(",", ":"))|[1, [2]] | tojson(indent=2, separators=(",", ": "))
nested | tojson(indent="\\t")|1e16 | tojson|(1, 2) | tojson|{1: 2, none: 3, true: 4} | tojson|{1: 2}[1]|text | indent|text | indent(2, true)|text | indent(2, first=true, blank=true)|"" | indent
text | indent("> ")|"a\\n" | indent|"<a&'\\">" | e|"<b>" | safe|"<b>" | escape|text | nosuch|n is defined|missing is defined|missing is undefined|nested.zz is defined
nothing is none|missing is none|n is number|yes is number|x is number|"a" is number|n is integer|yes is integer|x is integer|x is float|n is float|yes is boolean|n is boolean
text is string|n is string|missing is string|nested is mapping|words is mapping|words is sequence|text is sequence|nested is sequence|n is sequence|missing is sequence|words is iterable
text is iterable|n is iterable|nothing is iterable|missing is iterable|nested is iterable|yes is true|1 is true|no is false|zero is false|n is odd|n is even|x is odd|n is equalto 7
n is eq(7)|n is ne 7|n is gt 6|n is lt 6|n is ge 7|n is le 7|n is in [7]|n is not in [7]|n is divisibleby 7|n is divisibleby(3)|n is sameas 7|none is sameas none|"a" is in "abc"
"abc" is lower|"ABC" is upper|"Abc" is lower|"1" is lower|range is callable|n is callable|n is not defined|not n is defined|n is nosuch|yes is true and no is false|n is equalto(7) or no
range(3) | list|range(1, 3) | list|range(5, 0, -2) | list|range(0) | list|range(3)[1]|range(2) | length|range(0, 1, 0)|range("a")|range(100001) | length|dict(a=1, b=2)|dict({"a": 1}, b=2)
namespace(a=1).a|namespace({"a": 1}, b=2).b|namespace().zz|strftime_now("%d %b %Y")|strftime_now("%Y-%m-%d %H:%M:%S")|strftime_now("%A %j")|raise_exception("no: " ~ n)
raise_exception()|messages | map(attribute="role") | join("/")|messages | selectattr("role", "equalto", "user") | map(attribute="content") | list|(text | trim)[0]|(1 + 2) | string ~ "x"
-1 | abs|"a" ~ "b" | upper|not yes or yes|1 + 1 == 2 and 2 > 1|"%s" is string|{"a": 1}.a|{"a": 1}["a"]|[1, 2][1]|"abc"[1]|(1, 2)[0]|"a".upper().lower()|[[1, 2], [3]][0][1]|{"a": {}}.a.b
loop|loop.index|caller|1 if missing else "x"|(n if n is defined else 1) + 1|words[n - 6]|words[:n - 5]|words[1:3][0]|messages[0] is mapping|people[0].tags is defined|people[1].tags is defined
"a" if "b" is defined else "c"|nested.a is mapping and nested.a.b is sequence|1 not in [2] and 2 in [2]|not 1 in [2]|messages | last | tojson|messages[-1]["content"] is none|nested.items() | list | length
"a" if none|[1 if no]|("a" if no) is defined|("a" if no) ~ "x"|[missing]|{"a": missing}|[missing] | tojson|[text, n] | string|nested | string|[1.0, -0.0, 1e100]|yes|no|none|missing|[yes, none]
1 +|(1|[1|{1}|1)|a b|"a|1 if|x is|x.|x[|x | |@|1 ==|{"a" 1}|f(1,|f(a=1, 2)|not|-|1 2|..|"\\u12"|a.b.|x is is y|n is defined is string
[1,]|{"a": 1,}|range(3,) | list|(1, 2,)|[,]|dict(a=1,)|trueish|True|None|False|nonexistent | default(none)|none | default(1, none)|0|007|1.|.5|1e|text.0|numbers.0|numbers.9|rows.1.0
"\\"" ~ '\\''|"a\\\\b"|'\\N'|"\\0"|"\\xe9"|"\\U0001F600"|quotes | length|sharp | length|"😀é"[0]|"😀é"[1:]|"😀é" | reverse|"é" | upper|"ÿ" | upper|"İ" | lower | length
"""

STATEMENTS = [
    "a\n", "a\n\n", "\n", "", "a\r\nb\rc\n", "{{ n }}\n", "{% if yes %}\nx\n{% endif %}\n", "  {% if yes %}  x  {% endif %}  \n  y",
    "a {%- if yes -%} b {%- endif -%} c", "a\n  {%- if yes %}\n  b\n  {%- endif %}\nc", "a\n  {%+ if yes %}\n  b{% endif %}", "{% if yes +%}\n  b{% endif %}",
    "x {#- c -#} y", "x\n  {# c #}\ny", "x {# c #} y", "{# {{ n }} {% if %} #}z", "x {#+ c +#}\n y", "a  {{- n -}}  b", "a\n  {{ n }}\n  b", "a {{+n}} b", "a {{ -n }} b", "a {{-n}} b",
    "{% raw %}{{ n }}{% if %}{% endraw %}!", "a\n  {% raw %}\n  x\n  {% endraw %}\nb", "a {%- raw -%}  x {%- endraw -%}  b", "{% raw %}x", "{%raw%}{%endraw%}", "{% rawx %}", "{{ '%}' }}{{ '}}' }}{{ {'a': {'b': 1}} }}",
    "{{ {'a': {}}}}", "{%if yes%}x{%endif%}", "{%\nif yes\n%}x{%\nendif\n%}\ny", "x{{\n n \n}}y", "   {{ n }}", "   {%- set a = 1 %}   {{ a }}", "{% set a = 1 %}\n\n{{ a }}", "a{% set a = 1 %}\nb", "\t{% set a = 1 %}\t\n",
    "{% for m in messages %}{{ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}", "{% for m in messages %}\n{{ loop.index }}:{{ loop.index0 }}:{{ loop.first }}:{{ loop.last }}:{{ loop.length }}:{{ loop.revindex }}:{{ loop.revindex0 }}\n{% endfor %}",
    "{% for n in numbers %}{{ loop.previtem }}<{{ n }}>{{ loop.nextitem }};{% endfor %}", "{% for n in numbers if n > 1 %}{{ loop.index }}/{{ loop.length }}={{ n }} {% endfor %}", "{% for n in [] %}x{% else %}none{% endfor %}", "{% for n in numbers if n > 9 %}x{% else %}none{% endfor %}",
    "{% for k, v in nested.a.items() %}{{ k }}={{ v }}{% endfor %}", "{% for k, v in {'a': 1, 'b': 2}|items %}{{ k }}={{ v }};{% endfor %}", "{% for k in nested %}{{ k }} {% endfor %}", "{% for c in 'héy' %}[{{ c }}]{% endfor %}", "{% for (a, b) in rows %}{{ a + b }} {% endfor %}",
    "{% for a, b in [[1]] %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for x in 5 %}{% endfor %}", "{% for x in none %}{% endfor %}", "{% for x in missing %}a{% else %}b{% endfor %}", "{% for x in numbers %}{% for y in numbers %}{{ loop.index }}{{ loop.depth }}{{ x * y }} {% endfor %}{{ loop.index }}{{ loop.depth0 }};{% endfor %}",
    "{% for x in numbers %}{{ x }}{% if x == 1 %}{% break %}{% endif %},{% endfor %}", "{% for x in numbers %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% break %}", "{% for x in numbers %}{% else %}{% break %}{% endfor %}", "{% for x in numbers %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in 1, 2 %}{{ x }}{% endfor %}", "{% for x in words | sort %}{{ x }}{% endfor %}",
    "{% for x in numbers if yes else words %}{{ x }}{% endfor %}", "{% for x in (numbers if yes else words) %}{{ x }}{% endfor %}", "{% for x in numbers %}{% set y = x %}{% endfor %}{{ y }}", "{% set y = 0 %}{% for x in numbers %}{% set y = y + x %}{{ y }} {% endfor %}{{ y }}", "{% for x in numbers %}{{ x }}{% endfor %}{{ x }}", "{% for i in range(3) %}{% if loop.first %}{% set z = 1 %}{% endif %}{{ z }}|{% endfor %}",
    "{% set ns = namespace(t=0) %}{% for x in numbers %}{% set ns.t = ns.t + x %}{% endfor %}{{ ns.t }}", "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b is defined }}", "{% set nested.a = 1 %}", "{% set missing.a = 1 %}", "{% set ns = namespace() %}{% set ns._x = 1 %}", "{% set ns = namespace(a=[]) %}{% set ns.a = ns.a + [1] %}{{ ns.a }}{{ ns['a'] }}", "{% for x in numbers %}{% set loop.index = 1 %}{% endfor %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = [1] %}", "{% set a = 1, 2 %}{{ a }}", "{% set x %}a{{ n }}\n b{% endset %}[{{ x }}]", "{% set x | upper | trim %} ab {% endset %}[{{ x }}]", "{% set x %}{% set inner = 1 %}{% endset %}{{ inner is defined }}", "{% set true = 1 %}", "{% set 1 = 1 %}", "{% set a %}", "{% set a = %}", "{% set a 1 %}",
    "{% if no %}a{% elif yes %}b{% else %}c{% endif %}", "{% if no %}a{% elif no %}b{% else %}c{% endif %}", "{% if no %}a{% endif %}", "{% if missing %}a{% else %}b{% endif %}", "{% if yes %}", "{% endif %}", "{% else %}", "{% if yes %}{% endfor %}", "{% if %}{% endif %}", "{% for %}{% endfor %}", "{% for x numbers %}{% endfor %}", "{% nosuch %}", "{% if yes %}{% set q = 1 %}{% endif %}{{ q }}",
    "{% if yes %}a{% else %}b{% elif no %}c{% endif %}", "{{ }}", "{% %}", "{{ n", "{% if yes", "{# x", "a { b } c {", "{ {% if yes %}{{% endif %}", "{{ '{{' }}", "}} %} #}", "{{ n }}}", "{{{ n }}", "{%- if yes %}\n\n x\n{%- endif %}\n\n\nend", "{{ n -}}\n\n  x", "{% if yes -%}\n\n  x\n  {% endif -%}\n  y",
    "{% macro f(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ f(1) }} {{ f(1, 3) }} {{ f(b=4, a=5) }} {{ f() }}", "{% macro f(a, b=a) %}{{ b }}{% endmacro %}{{ f(9) }}", "{% macro f() %}{{ n }}{{ t }}{% endmacro %}{% set t = 5 %}{{ f() }}", "{% macro f(a) %}x{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}x{% endmacro %}{{ f(z=2) }}", "{% macro f(a) %}x{% endmacro %}{{ f(1, a=2) }}",
    "{% macro fact(k) %}{% if k > 1 %}{{ k * (fact(k - 1) | int) }}{% else %}1{% endif %}{% endmacro %}{{ fact(5) }}", "{% macro f() %}\n  x\n{% endmacro %}\n[{{ f() }}]", "{% macro f(a, b=1, c) %}{% endmacro %}", "{% macro f() %}{% set n = 1 %}{{ n }}{% endmacro %}{{ f() }}{{ n }}", "{% macro f() %}{{ loop.index }}{% endmacro %}{% for x in numbers %}{{ f() }}{% endfor %}", "{{ f() }}{% macro f() %}x{% endmacro %}",
    "{% for x in numbers %}{% macro g() %}{{ x }}{% endmacro %}{{ g() }}{% endfor %}", "{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}in {{ n }}{% endcall %}", "{% macro f(a) %}<{{ caller(a) }}>{% endmacro %}{% call(u) f(3) %}{{ u * 2 }}{% endcall %}", "{% filter upper %}abc {{ n }}{% endfilter %}", "{% filter trim | replace('b', 'c') %}  abab {% endfilter %}|", "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}", "{% with %}{% set n = 1 %}{{ n }}{% endwith %}{{ n }}",
    "{% generation %}x{{ n }}{% endgeneration %}y", "{% for m in messages %}\n  {% generation %}\n  {{ m.role }}\n  {% endgeneration %}\n{% endfor %}\n", "{% macro f(x) %}{{ x | upper }}{% endmacro %}{{ f('a') ~ f('b') }}", "{% macro f(x) %}{{ x }}{% endmacro %}{{ f([1, 'a']) | length }}", "{% macro m(x) %}{% for y in x %}{{ y if y is string else m(y) }}{% endfor %}{% endmacro %}{{ m(['a', ['b', ['c']]]) }}",
    "{%- set ns = namespace(found=false) -%}\n{%- for m in messages -%}\n    {%- if m.role == 'user' -%}\n        {%- set ns.found = true -%}\n    {%- endif -%}\n{%- endfor -%}\n{{ ns.found }}", "{% set x = messages | selectattr('role', 'equalto', 'user') | list %}{{ x | length }}", "{% set f = messages[0].get %}{{ f('role') }}", "{% for m in messages[::-1] %}{{ loop.index }}{{ m.role }} {% endfor %}", "{% for m in messages %}{{ (loop.index0 % 2 == 0) }}{% endfor %}",
    "{% include 'x' %}", "{% extends 'x' %}", "{% do n %}", "{% if yes %}{{ raise_exception('stop\nhere') }}{% endif %}", "{% if no %}{{ raise_exception('stop') }}{% endif %}ok", "{{ n }} {{ missing.x.y }}", "{% set n = n + 1 %}{{ n }}", "{% set messages = messages[1:] %}{{ messages | length }}{% for m in messages %}{{ m.role }}{% endfor %}",
    "{%- for t in people -%}{{ t.name ~ ('' if loop.last else ', ') }}{%- endfor -%}", "{{ '\n' }}{{ \"\\n\" }}|", "{{ 'a\r\nb' }}", "{{ 'x' }}\u00a0{%- if yes -%}\u3000y\u2003{%- endif %}", "\u00a0{% if yes %}x{% endif %}", "{% for x in numbers -%}\n  {{ x }}\n{%- endfor %}", "{% for x in numbers %}{% if x > 1 %}{{ x }}{% else %}{% continue %}{% endif %}!{% endfor %}",
]


def snippets() -> list[str]:
    expressions = [part for line in EXPRESSIONS.strip("\n").split("\n") for part in split_bars(line)]
    return ["{{ " + expression + " }}" for expression in expressions] + STATEMENTS


def split_bars(line: str) -> list[str]:
    """Cuts at bars without spaces around; those of filters have them."""
    parts, current = [], ""
    for i, c in enumerate(line):
        if c == "|" and not (line[i - 1:i] == " " and line[i + 1:i + 2] == " ") and line[i - 1:i + 2] != '"|"':
            parts.append(current)
            current = ""
        else:
            current += c
    return [part for part in parts + [current] if part]


SNIPPETS = snippets()
