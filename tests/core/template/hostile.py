"""Templates that mean harm, and a process that renders each in a child of its own.

`python -m tests.core.template.hostile` prints what became of each as a line of JSON.
"""

# ruff: noqa: E501, SIM905 - one template a line, however long

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator
from typing import Any

from notifyctl.core.model import Channel
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.render import Renderer
from notifyctl.core.template.source import Source

VALUES: dict[str, Any] = {
    "s": "text",
    "n": 3,
    "f": 1.5,
    "z": None,
    "t": True,
    "l": [1, 2, 3],
    "o": {"a": {"b": 1}, "items": [1], "keys": 2},
    "big": list(range(5000)),
    "rows": [{"a": i, "l": list(range(100))} for i in range(1000)],
}
MACROS = Source("macros", Channel.EMAIL, {"body": "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{% set v = 1 %}"})

_ATTRIBUTES = """__class__ __dict__ __init__ __globals__ __builtins__ __subclasses__ __mro__ __base__ __reduce_ex__
__getattribute__ __format__ __doc__ __module__ __self__ __func__ __code__ __import__ mro gi_frame f_globals f_back
tb_frame _members _asked items keys values get pop update clear append extend insert remove sort copy format
format_map upper encode decode join real imag numerator as_integer_ratio fromkeys setdefault popitem""".split()
_ON = ["s", "n", "f", "z", "t", "l", "o", "o.a", "''", "[]", "{}", "()", "range(3)", "o|items", "loop"]
_DEEP = 100_000


def templates() -> dict[str, str]:
    """Return them by name."""
    found = {f"{way} {i}": text for way, texts in _ways() for i, text in enumerate(texts)}
    assert len(found) >= 300
    return found


def _ways() -> Iterator[tuple[str, list[str]]]:
    yield "attribute", [f"{{{{ {'so'[i % 2]}.{name} }}}}" for i, name in enumerate(_ATTRIBUTES)]
    yield "call", [f"{{{{ {'ol'[i % 2]}.{name}() }}}}" for i, name in enumerate(_ATTRIBUTES)]
    yield "item", [f"{{{{ o['{name}'] }}}}" for name in _ATTRIBUTES if name not in ("items", "keys")]
    yield "attr", [f"{{{{ {on}|attr('__class__') }}}}" for on in _ON]
    yield "map", [f"{{{{ [o]|map(attribute='{name}')|list }}}}" for name in _ATTRIBUTES[:20]]
    yield "print", [f"{{{{ {what} }}}}" for what in _PRINTED]
    yield "loops", _loops()
    yield "strings", _strings()
    yield "lists", _lists()
    yield "recursion", _RECURSION
    yield "depth", _depth()
    yield "numbers", _NUMBERS
    yield "broken", _BROKEN
    yield "includes", _INCLUDES


_PRINTED = """range namespace dict cycler joiner debug debug() loop self super caller plural lipsum lipsum() request config
app g url_for get_flashed_messages environ environment context this globals() locals() vars() dir() open('/etc/passwd')
eval('1') exec('1') __import__('os') import('os') os sys env namespace() range() cycler(1,2) joiner(',') dict(a=1)
namespace(a=1) o l z range(3) loop.cycle self.a() caller() super() _plain _text o.items() l.append(1)""".split()


def _loops() -> list[str]:
    found = []
    for depth in range(2, 8):
        for size in (100, 1000, 10_000):
            opened = "".join(f"{{% for x{i} in range({size}) %}}" for i in range(depth))
            found += [opened + body + "{% endfor %}" * depth for body in ("x", "", "{{ loop.index }}")]
    found += [f"{{% for i in range({size}) %}}{{% endfor %}}" for size in (10**5, 10**7, 10**9, 10**18, -(10**9))]
    found += ["{% for i in range(0, 10, 0) %}{% endfor %}", "{% for i in range(10**30) %}{% endfor %}"]
    found += ["{% for i in range(10000) %}" + "x" * 100_000 + "{% endfor %}"]
    found += ["{% for i in range(100000) %}{{ big }}{% endfor %}", "{% for i in range(100000) %}{{ o }}{% endfor %}"]
    found += [
        f"{{% set s = 'a' * 100000 %}}{{% for i in range(100000) %}}{{% if s is {test} %}}{{% endif %}}{{% endfor %}}"
        for test in ("lower", "upper", "string", "in(s)", "startingwith(s)", "eq(s)")
    ]
    return found


def _strings() -> list[str]:
    found = [f"{{{{ 'a' * {size} }}}}" for size in (10**6, 10**8, 10**12, 2**63, 2**70)]
    found += [f"{{{{ '%{size}d'|format(1) }}}}" for size in (10**6, 10**9, 10**12)]
    found += ["{{ '%.1000000f'|format(1.0) }}", "{{ '%*d'|format(1000000000, 1) }}", "{{ '{:1000000000}'.format(1) }}"]
    found += ["{{ 'a'|center(1000000000) }}", "{{ 'a'|ljust(1000000000) }}", "{{ 'a'.ljust(1000000000) }}"]
    found += ["{{ 'a\nb'|indent(1000000000) }}", "{{ 1.5|round(1000000000) }}", "{{ 'a b'|wordwrap(0) }}"]
    found += ["{% set x = 'aaaaaaaaaaaaaaaa' %}" + f"{{% set x = x {op} x %}}" * 60 + "{{ x }}" for op in ("~", "+")]
    found += ["{{ 'a'" + "|replace('a', 'aaaaaaaaaaaaaaaa')" * 40 + " }}", "{{ ('a' * 100000)|replace('', s * 1000) }}"]
    found += ["{{ range(10000)|join('a' * 100000) }}", "{{ ('a' * 100000)|split('')|list|length }}"]
    found += ["{% set x %}" * 28 + "a" * 10_000 + "{{ x }}{{ x }}{% endset %}{{ x }}" * 28]
    found += [
        "{% filter upper %}" * 28 + "ß" * 100_000 + "{% endfilter %}" * 28,
        "{{ '" + "a" * 600_000 + "' }}",
        "a" * 600_000,
    ]
    found += ["{% for i in range(10000) %}{{ 'a' * 10000 }}{% endfor %}", "{{ ('<' * 1000000)|e|e|e }}"]
    found += [f"{{% filter striptags %}}{{{{ '{each}' * 240000 }}}}{{% endfilter %}}" for each in ("&", "<!--", "&lt;")]
    long = "{%% set s = '%s' * %d %%}{%% set t = '%s' * %d %%}{%% set l = [s] %%}{%% set d = {'a': 1} %%}{%% set n = %d %%}"
    loop = "{% for i in range(29000) %}EACH{% endfor %}"
    for letter, size in (("a", 700_000), ("\U0001f600", 150_000)):
        before = long % (letter, size, letter, size, size - 1)
        found += [before + loop.replace("EACH", each) for each in _OF_LONG_TEXTS]
    grown = "{% set ns = namespace(x='a ') %}{% for i in range(18) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
    again = "{% for i in range(20000) %}{% set y = ns.x|FILTER %}{% endfor %}"
    for each in ("wordwrap(width=1)", "wordwrap(width=79, break_long_words=false)", "urlencode", "tojson", "striptags"):
        found.append(grown + again.replace("FILTER", each))
        found.append(grown.replace("a ", "a-") + again.replace("FILTER", each))
    return found


_OF_LONG_TEXTS = [
    *(f"{{% if {test} %}}{{% endif %}}" for test in ("s == t", "s < t", "s is eq(t)", "s is startingwith t", "s in d")),
    *(f"{{% if {test} %}}{{% endif %}}" for test in ("[s] == [t]", "l == [t]", "s is iterable", "d[s] is defined")),
    *("{% if s[n] %}{% endif %}", "{% if s[-1] %}{% endif %}", "{% if (s[n + 9]|default(l))[0] %}{% endif %}"),
    *(
        "{% for c in s %}{% break %}{% endfor %}",
        "{% set x = ('a' if s == t else 'b')|title %}",
        "{% set x = l[0][n] %}",
    ),
    *("{% set x = l|unique|list %}", "{% set x = l|sort %}", "{% set x = l|max %}", "{% set x = (s if s else t)[n] %}"),
]


_OF_LONG_LISTS = [
    *("{% if rows %}{% endif %}", "{{ rows|length }}", "{{ rows[9].l[9] }}", "{{ rows[0].l|tojson|length }}"),
    *("{% if rows[0] in rows %}{% endif %}", "{% if rows == rows %}{% endif %}", "{% set x = rows|first %}"),
    *("{% for r in rows %}{% break %}{% endfor %}", "{% set x = rows[1:2] %}", "{% set x = rows|last|length %}"),
    *("{% set x = rows|sort(attribute='a') %}", "{% set x = rows|map(attribute='a')|list %}"),
    *("{% set x = rows|sum(attribute='a') %}", "{% set x = rows[9].l|join %}", "{% set x = rows|reverse %}"),
]


def _lists() -> list[str]:
    again = "{% set a = %s %}"
    found = []
    for grown in (
        "a + a",
        "a * 2",
        "[a, a]",
        "(a, a)",
        "a|zip(a)|list",
        "a|chain(a)",
        "a|batch(2, a)|list",
        "a|slice(2, a)|list",
        "[0, 0]|map('default', a, true)|list",
        "{'x': a, 'y': a}",
        "dict(x=a, y=a)",
        "a|groupby(0)",
    ):
        text = "{% set a = [[1]] %}" + again.replace("%s", grown) * 60
        found += [
            text + "{{ a }}",
            text + "{{ a|length }}",
            text + "{{ a|tojson }}",
            text + "{{ a ~ '' }}",
            text + "{{ a == a }}",
        ]
    loop = "{%% set ns = namespace(x=[1]) %%}{%% for i in range(100) %%}{%% set ns.x = %s %%}{%% endfor %%}{{ ns.x }}"
    found += [loop % grown for grown in ("ns.x + ns.x", "[ns.x, ns.x]", "ns", "ns.x * 9", "namespace(y=ns.x, z=ns.x)")]
    found += ["{% set ns = namespace(x=1) %}{% set ns.x = ns %}" + end for end in ("{{ ns }}", "{{ ns|tojson }}", "x")]
    found += [
        "{{ [1] * 100000000 }}",
        "{{ range(100000000)|list }}",
        "{{ (big * 100000)|sum }}",
        "{{ big|sort|unique|list * 9 }}",
        *(
            f"{{% for i in range(20000) %}}{{% set x = range(100000)|{each} %}}{{% endfor %}}"
            for each in ("join", "tojson", "tojson(indent=16)", "map('title')|list", "list|title", "map('string')|join")
        ),
    ]
    return found + [f"{{% for i in range(80000) %}}{each}{{% endfor %}}" for each in _OF_LONG_LISTS]


_RECURSION = [
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('a') }}",
    "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}",
    "{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall %}{% endmacro %}{{ g() }}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{% block a %}{{ self.a() }}{% endblock %}",
    "{% block a %}{{ super() }}{% endblock %}",
    "{% block a %}{% block a %}{% endblock %}{% endblock %}",
    "".join(f"{{% macro f{i}() %}}{{{{ f{i + 1}() }}}}{{{{ f{i + 1}() }}}}{{% endmacro %}}" for i in range(19))
    + "{% macro f19() %}x{% endmacro %}{{ f0() }}",
    "".join(f"{{% macro f{i}() %}}{{{{ f{i + 1}() }}}}{{% endmacro %}}" for i in range(1000)) + "{{ f0() }}",
]


def _depth() -> list[str]:
    def around(before: str, after: str = "", inner: str = "1") -> str:
        return before * _DEEP + inner + after * _DEEP

    found = [
        around("(", ")"),
        around("[", "]"),
        around("{1:", "}"),
        around("-"),
        around("not "),
        around("1 + "),
        around("1 ~ "),
    ]
    found += [
        around("1 * "),
        around("2 ** "),
        around("1 and "),
        around("1 == "),
        around("1 in "),
        around("1 if 1 else "),
    ]
    found += [
        around("", ".b", "o"),
        around("", "[0]", "l"),
        around("", "()", "range"),
        around("", "|upper", "s"),
        around("", " is odd", "n"),
    ]
    found += [
        around("range(", ")"),
        around("(1, ", ")"),
        around("o[", "]", "1"),
        around("s|default(", ")"),
        around("", " if 1", "1"),
    ]
    found = [f"{{{{ {text} }}}}" for text in found]
    found += [around("{% if 1 %}", "{% endif %}"), "{% if 1 %}" + "{% elif 1 %}" * _DEEP + "{% endif %}"]
    found += [
        around("{% for x in l %}", "{% endfor %}"),
        around("{% with a = 1 %}", "{% endwith %}"),
        around("{% set x %}", "{% endset %}"),
    ]
    found += [
        "".join(f"{{% block b{i} %}}" for i in range(10_000)) + "{% endblock %}" * 10_000,
        "{{ [" + "1," * _DEEP + "] }}",
    ]
    found += [
        "{% set " + "a, " * _DEEP + "b = 1 %}",
        "{{ 1 }}" * _DEEP,
        "{% raw %}" * _DEEP,
        "{#" * _DEEP,
        "{{" * _DEEP,
        "{%" * _DEEP,
    ]
    found += ["{{ " + "'a' " * _DEEP + "}}", "{{ f(" + "a=1, " * _DEEP + ") }}", "{% set " + "(" * _DEEP + "a = 1 %}"]
    return found


_NUMBERS = [
    f"{{{{ {text} }}}}"
    for text in (
        "9" * 5000,
        "9" * 100_000,
        "1e308 * 10",
        "1e999",
        "-1e999",
        "0 / 0",
        "1 / 0",
        "1 % 0",
        "1 // 0",
        "10 ** 10 ** 10",
        "2 ** 100000000",
        "2 ** -1000",
        "(-1) ** 0.5",
        "0x" + "f" * 5000,
        "9223372036854775807 + 1",
        "-9223372036854775808 - 1",
        "170141183460469231731687303715884105727 + 1",
        "('9' * 100000)|int",
        "('9' * 100000)|float",
        "1.7976931348623157e308",
        "5e-324",
        "range(9223372036854775807)",
        "l[9223372036854775808]",
        "s[::0]",
        "l[::-9223372036854775808]",
        "'a'|int",
        "n|filesizeformat",
        "(2 ** 120)|filesizeformat",
        "1_0",
        "1__0",
        "0b2",
        "1.2.3",
    )
]
_BROKEN = [
    "{{",
    "{%",
    "{#",
    "{{ }}",
    "{% %}",
    "{{ ' }}",
    "{% for %}",
    "{% endfor %}",
    "{% if %}",
    "{% if 1 %}",
    "{{ a b }}",
    "{{ 1 + }}",
    "{{ (1 }}",
    "{{ [1 }}",
    "{{ {1 }}",
    "{{ a. }}",
    "{{ a| }}",
    "{{ a is }}",
    "{{ 1 if }}",
    "\0",
    "{{ '\0' }}",
    "\ud800",
    "{{ '\ud800' }}",
    "{{ '\\ud800' }}",
    "{{ '\\x' }}",
    "{{ '\\u{110000}' }}",
    "\ufeff{{ 1 }}",
    "{{\u2028 1 }}",
    "{{ \u0661 }}",
    "{{ ａ }}",
    "{% set loop = 1 %}",
    "{% set self = 1 %}",
    "{% set true = 1 %}",
    "{% set o.a.b = 1 %}{{ o }}",
    "{% set l.append = 1 %}",
    "{% break %}",
    "{% continue %}",
    "{% trans %}x{% endtrans %}",
    "{% pluralize %}",
    "{% do o.clear() %}",
    "{% autoescape 'none' %}{{ s }}{% endautoescape %}",
    "{% autoescape o %}{% endautoescape %}",
    "{{ f(*l) }}",
    "{{ f(**o) }}",
    "{{ range(*big) }}",
    "{% filter nothing %}{% endfilter %}",
    "{{ s|nothing }}",
    "{{ s is nothing }}",
    "{{ nothing() }}",
    "{{ s|map('nothing')|list }}",
    "{{ l|map('attr', '__class__')|list }}",
    "{{ l|select('lower')|list }}",
    "{{ l|map('_plain', 'x:1:2')|list }}",
    "{{ s|_plain('a:0:1') }}",
    "{{ s|_plain }}",
    "{{ l|map('zip', l)|list }}",
]
_INCLUDES = [
    "{% include 'macros' %}",
    "{% include 'me' %}",
    "{% include '/etc/passwd' %}",
    "{% include '../../etc/passwd' %}",
    "{% include s %}",
    "{% include ['a', 'b'] %}",
    "{% include 'nothing' ignore missing %}",
    "{% extends 'nothing' %}",
    "{% extends 'me' %}",
    "{% extends s %}",
    "{% import 'macros' as m %}{{ m }}",
    "{% import 'macros' as m %}{{ m.twice }}",
    "{% import 'macros' as m %}{{ m.twice(1) }}",
    "{% import 'macros' as m %}{{ m.__class__ }}",
    "{% import 'macros' as m %}{{ [m] }}",
    "{% import 'macros' as m %}{{ m|tojson }}",
    "{% from 'macros' import twice %}{{ twice }}",
    "{% from 'macros' import nothing %}{{ nothing() }}",
    "{% include '' %}",
    "{% include '\0' %}",
    "{% include 'macros' %}" * 10_000,
    "{% for i in range(100000) %}{% include 'macros' %}{% endfor %}",
    "{% from 'macros' import twice %}" + "{% set x = 'aaaaaaaa' %}" + "{% set x = twice(x) %}" * 60 + "{{ x }}",
    "{% extends 'macros' %}{% extends 'macros' %}",
]


def _tried(text: str) -> dict[str, Any]:
    """Render a template; return what came of it, the processor's time and the memory that it took."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    said = failed = None
    tried = 0
    try:
        for part in ("body", "html"):
            tried += 1
            source = Source("me", Channel.EMAIL, {part: text}, includes={"macros": MACROS})
            said = str(_RENDERER.render_part(source, part, VALUES))
    except TemplateError as error:
        failed = error.message
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / tried
    return {
        "said": len((said or "").encode()),
        "head": (said or "")[:2000],
        "failed": failed,
        "seconds": seconds,
        "kilobytes": after.ru_maxrss - before.ru_maxrss,
    }


_RENDERER = Renderer()


def _in_a_child(name: str, text: str) -> dict[str, Any]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        os.write(write, json.dumps(_tried(text)).encode()[:60_000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return {"name": name, "status": status, **(json.loads(answer) if answer else {})}


def main() -> None:
    """Print what became of each."""
    _tried("{{ s }}{% for x in l %}{{ x }}{% endfor %}")  # what is loaded only once counts for nobody
    for name, text in templates().items():
        sys.stdout.write(json.dumps(_in_a_child(name, text)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
