"""Which language of a template a reader gets, and plurals by its rules."""

from __future__ import annotations

import pytest

from notifyctl.core.model import Channel
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.language import best, form
from notifyctl.core.template.render import Renderer
from notifyctl.core.template.source import Source


@pytest.mark.parametrize(
    ("tag", "offered", "found"),
    [
        ("de-AT", "en de de-CH", "de"),
        ("de-CH-1996", "en de de-CH", "de-CH"),
        ("DE", "en de", "de"),
        ("zh-HK", "zh zh-TW en", "zh-TW"),
        ("zh-HK", "zh zh-Hant zh-TW", "zh-Hant"),
        ("zh-MO", "zh zh-TW zh-HK", "zh-HK"),
        ("zh-HK", "zh en", "zh"),
        ("zh-Hant", "zh-CN zh-TW", "zh-TW"),
        ("zh", "zh-TW zh-CN", "zh-CN"),
        ("zh-SG", "zh-TW zh", "zh"),
        ("zh-Hans-HK", "zh-TW zh-CN", "zh-CN"),
        ("es-MX", "es es-419", "es-419"),
        ("es-ES", "es-419 es", "es"),
        ("es", "en es-MX", "es-MX"),
        ("en-AU", "en en-GB", "en-GB"),
        ("en-US", "en-GB en", "en"),
        ("pt-AO", "pt pt-PT", "pt-PT"),
        ("pt-BR", "pt pt-PT", "pt"),
        ("sr-Latn-RS", "sr sr-Latn", "sr-Latn"),
        ("sr", "sr-Latn sr-Cyrl", "sr-Cyrl"),
        ("nb-NO", "en no", "no"),
        ("no", "en nb", "nb"),
        ("iw", "en he", "he"),
        ("fr", "fr-CA fr-FR", "fr-FR"),
        ("pt", "pt-PT pt-BR", "pt-BR"),
        ("en", "en-GB en-US", "en-US"),
        ("de", "de-AT de-DE de-CH", "de-DE"),
        ("fr", "en de", None),
        ("x-klingon", "en", None),
        ("i", "en", None),
        ("en-u-ca-gregory", "en-CA en", "en"),
        ("en-x-us-gb", "en-GB en", "en"),
        ("cmn-TW", "zh zh-TW", "zh-TW"),
        ("sh", "en sr-Latn", "sr-Latn"),
        ("sl-rozaj-biske-1994", "sl sl-rozaj-biske", "sl-rozaj-biske"),
        ("de-CH-1996-x-formal", "de de-CH de-CH-1996", "de-CH-1996"),
        ("zh-HK-x-a", "zh zh-TW", "zh-TW"),
        ("ca-ES", "ca-valencia ca", "ca"),
        ("de-AT", "de-1996 de", "de"),
    ],
)
def test_the_language_that_suits_best_is_found(tag: str, offered: str, found: str | None) -> None:
    """RFC 4647's look-up, along the parents of CLDR and never from one script to another while there is a choice."""
    assert best(tag, offered.split()) == found


@pytest.mark.parametrize(
    ("tag", "numbers", "forms"),
    [
        ("en", [0, 1, 2, 1.5], "other one other other"),
        ("de", [1, 1.0, 5], "one one other"),
        ("pt-PT-x-informal", [0, 1], "other one"),
        ("pt-BR-u-nu-latn", [0, 1], "one one"),
        ("sh", [1, 2, 5], "one few other"),
        ("fr", [0, 1, 2], "one one other"),
        ("pl", [1, 2, 5, 22, 25, 1.5], "one few many few many other"),
        ("ar", [0, 1, 2, 3, 11, 100], "zero one two few many other"),
        ("ja", [0, 1, 2], "other other other"),
        ("zh-Hant-TW", [1], "other"),
        ("pt-PT", [0, 1], "other one"),
        ("pt", [0, 1], "one one"),
        ("no", [1, 2], "one other"),
        ("qq", [1, 2], "one other"),
        ("ru", [-1, -2, 21, 11], "one few one many"),
    ],
)
def test_plural_forms_are_those_of_cldr(tag: str, numbers: list[float], forms: str) -> None:
    """The expected ones are of CLDR's chart of plural rules."""
    assert [form(number, tag) for number in numbers] == forms.split()


def files() -> Source:
    english = "{{ n }} {{ n|plural(one='file', other='files') }}"
    polish = "{{ n }} {{ plural(n, one='plik', few='pliki', many='plików', other='pliku') }}"
    return Source("t", Channel.SMS, {"body": english}, language="en", variants={"pl": {"body": polish}})


@pytest.mark.parametrize(
    ("tag", "number", "said"),
    [
        ("pl-PL", 3, "3 pliki"),
        ("pl", 5, "5 plików"),
        ("en-GB", 1, "1 file"),
        ("fr", 2, "2 files"),
        (None, 1, "1 file"),
        ("pl", 1.5, "1.5 pliku"),
    ],
)
def test_a_variant_follows_the_plurals_of_its_own_language(tag: str | None, number: float, said: str) -> None:
    """The rules are those of the language in which it is written, not of the reader's."""
    assert Renderer().render(files(), {"n": number}, tag) == {"body": said}


def test_a_variant_has_what_it_does_not_say_from_the_template() -> None:
    """A mail of which only the subject is translated has the other parts as they are."""
    source = Source("t", Channel.EMAIL, {"subject": "Hi", "body": "text"}, variants={"de": {"subject": "Hallo"}})
    assert Renderer().render(source, {}, "de-AT") == {"subject": "Hallo", "text": "text"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ n|plural(one='a') }}", "the form other is missing"),
        ("{{ n|plural(many_='a', other='b') }}", "there is no form many_"),
        ("{{ 'x'|plural(other='b') }}", "takes a number, which text is not"),
        ("{{ none|plural(other='b') }}", "takes a number, which null is not"),
        ("{{ missing|plural(other='b') }}", "missing has no value"),
    ],
)
def test_what_has_no_plural_is_refused(text: str, reason: str) -> None:
    """A wrong form would otherwise be found by the one reader whose number needs it."""
    with pytest.raises(TemplateError, match=reason):
        Renderer().render(Source("t", Channel.SMS, {"body": text}), {"n": 1})
