"""Which language a notification is in, and what depends on that."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from itertools import takewhile
from typing import Any

from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.source import Source, described
from notifyctl.core.template.values import printed

FORMS = ("zero", "one", "two", "few", "many", "other")
"""The plural forms of CLDR; which a language has, and for which numbers, is its own."""

_spoken: ContextVar[str] = ContextVar("_spoken", default="en")


def chosen(source: Source, tag: str | None) -> str | None:
    """Return the language of the template that suits a reader of the language `tag` best.

    It is looked up as RFC 4647 says, by leaving out parts from the end, but along CLDR's parents and by script:
    `zh-HK` finds `zh-TW` before `zh`, `es-MX` `es-419` before `es`, `en-AU` `en-GB` before `en`. What no variant suits
    is said in the template's own language, which None is where it does not tell.
    """
    if not source.variants or not tag:
        return source.language
    known: dict[str, str | None] = source.made.setdefault("languages", {})
    if tag not in known:
        offered = [*([source.language] if source.language else []), *source.variants]
        known[tag] = best(tag, offered) or source.language
    return known[tag]


def best(tag: str, offered: list[str]) -> str | None:
    """Return which of the languages on offer suits a reader of `tag` best, None if none does.

    Of several that are as near it is that of most who speak it: `fr` finds `fr-FR` before `fr-CA`.
    """
    known = {each.lower(): each for each in offered}
    for wanted in _written(tag):
        if wanted in known:
            return known[wanted]
    lines = {each: _line(each) for each in offered}
    for ancestor in _line(tag):
        related = [(line.index(ancestor), each) for each, line in lines.items() if ancestor in line]
        if related:
            return min(related, key=lambda found: (found[0], not _is_usual(found[1]), found[1].count("-")))[1]
    own = _language(tag)
    offered = sorted(offered, key=lambda each: not _is_usual(each))
    return next((each for each in offered if _language(each) == own), None)


class Speaking:
    """Lets templates that are rendered meanwhile follow the rules of a language."""

    __slots__ = ("_before", "_tag")

    def __init__(self, tag: str) -> None:
        self._tag = tag

    def __enter__(self) -> None:
        self._before = _spoken.set(self._tag)

    def __exit__(self, *_: object) -> None:
        _spoken.reset(self._before)


def plural(number: Any, **forms: Any) -> str:
    """Return the form that the language has for a number: `{{ n|plural(one="file", other="files") }}`.

    A form that is not given is `other`, which always is. Raises TemplateError.
    """
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
        raise TemplateError(f"plural: it takes a number, which {described(number)} is not")
    if wrong := sorted(forms.keys() - set(FORMS)):
        raise TemplateError(f"plural: there is no form {wrong[0]}", hint=f"the forms are {', '.join(FORMS)}")
    if "other" not in forms:
        raise TemplateError("plural: the form other is missing", hint='{{ n|plural(one="file", other="files") }}')
    found = forms.get(form(number, _spoken.get()), forms["other"])
    return printed(found)


def form(number: float, tag: str) -> str:
    """Return which plural form a language has for a number; the rules of English stand in for what CLDR lacks."""
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return str(_rule(tag)(abs(number)))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {"plural": plural}


@lru_cache(maxsize=1000)
def _rule(tag: str) -> Callable[[float], str]:
    from babel.core import Locale, UnknownLocaleError  # here: it is large, and few templates need it

    parts = list(takewhile(lambda part: len(part) > 1, tag.split("-")))  # no extensions, nor what is private
    for name in (*("_".join(parts[:count]) for count in range(len(parts), 1, -1)), _language(tag), "en"):
        try:
            return Locale.parse(name).plural_form
        except (UnknownLocaleError, ValueError):
            continue
    raise AssertionError("English has plurals")


def _written(tag: str) -> Iterator[str]:
    """Yield a language as it is written, then without what stands behind its region, from the end, as RFC 4647 does."""
    parts, core = tag.lower().split("-"), sum(map(bool, _parts(tag)))
    yield tag.lower()
    while len(parts) > core:
        parts.pop()
        while len(parts) > 1 and len(parts[-1]) == 1:
            parts.pop()
        yield "-".join(parts)


@lru_cache(maxsize=10_000)
def _line(tag: str) -> tuple[str, ...]:
    """Return a language with its ancestors, itself first, of one script: `zh_Hant_HK`, `zh_Hant`."""
    from babel.core import get_global

    language, script, region = _parts(tag)
    likely, parents = get_global("likely_subtags"), get_global("parent_exceptions")
    full = str(likely.get("_".join(filter(None, (language, region)))) or likely.get(language) or language)
    usual = str(likely.get(language) or language).split("_")
    script = script or _script(full)
    unusual = script if script and script not in usual else ""
    now = "_".join(filter(None, (language, unusual, region)))
    found: list[str] = []
    while now and now != "root" and now not in found:
        found.append(now)
        now = (
            parents.get(now)
            or parents.get(now.replace(f"_{unusual}", "") if unusual else now)
            or now.rpartition("_")[0]
        )
        if unusual and unusual not in now:
            break
    return tuple(found)


@lru_cache(maxsize=10_000)
def _is_usual(tag: str) -> bool:
    """Whether a language is meant as in the country where most speak it: `pt-BR` for `pt`, `fr-FR` for `fr`."""
    from babel.core import get_global

    language, _, region = _parts(tag)
    likely = str(get_global("likely_subtags").get(language) or language)
    return region in ("", likely.rpartition("_")[2])


def _script(full: str) -> str:
    return next((part for part in full.split("_")[1:] if len(part) == 4), "")


def _parts(tag: str) -> tuple[str, str, str]:
    """Return language, script and region of a tag, as CLDR spells them today."""
    first, *rest = tag.replace("_", "-").split("-")
    rest = list(takewhile(lambda part: len(part) > 1, rest))  # what stands behind is of extensions, or private
    script = next((part.title() for part in rest if len(part) == 4 and part.isalpha()), "")
    region = next((part.upper() for part in rest if len(part) == 2 or (len(part) == 3 and part.isdigit())), "")
    return _ALIASES.get(first.lower(), first.lower()), script, region


def _language(tag: str) -> str:
    return _parts(tag)[0]


_ALIASES = {
    "iw": "he",
    "in": "id",
    "ji": "yi",
    "jw": "jv",
    "mo": "ro",
    "tl": "fil",
    "nb": "no",
    "sh": "sr",
    "cmn": "zh",
}
