"""The filters of this program as a template calls them: what they are given and give is counted, for each rendering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from notifyctl.core.template import filters
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.values import LISTS, escaped, is_marked, joined, printed, replaced

OUTPUT_MAX = 1_000_000
"""How many bytes a part may have when it is rendered."""
WORK_MAX = 12_000_000
"""How many characters these filters may be given and give."""
ITEM, MEMBER, PIECE, JSON, WORD, OBJECT = 40, 150, 4, 32, 150, 1000
"""What an item of a list counts for, and a member of it; a character of a text that is put together of pieces, or of
lists and objects; a word of one that is; and an object that is compared with others."""
_WIDE = 6
"""What a character counts for that is not ASCII, where texts are compared whatever their case."""
TOO_MANY_STEPS = "it takes too many steps"


class CountedFilters:
    """The filters of one thread. `safe` marks a text as HTML; whether that counts, `begin` says."""

    def __init__(self, safe: Callable[[str], str]) -> None:
        self._safe = safe
        self.begin(escapes=False)

    def begin(self, *, escapes: bool) -> None:
        """Begin with another rendering, of HTML or not."""
        self._work, self._escapes = WORK_MAX, escapes

    @property
    def filters(self) -> Mapping[str, Callable[..., Any]]:
        """The filters by the names by which templates call them."""
        return {
            "join": self._joined,
            "replace": self._replaced,
            "string": printed,
            "striptags": self._stripped,
            "tojson": self._as_json,
            "urlencode": lambda value: self._made(filters.urlencode(value)),
            "wordwrap": self._wordwrapped,
        }

    def spend(self, work: int) -> None:
        """Count what is done, by the characters that the engine would go through meanwhile. Raises TemplateError."""
        self._work -= work
        if self._work < 0:
            raise TemplateError(TOO_MANY_STEPS)

    def passed(self, value: Any) -> Any:
        """Count what passes between the engine and these filters, which the engine's own count leaves out."""
        if isinstance(value, str):
            self.spend(len(value))
        return value

    def text(self, value: Any) -> str:
        """Return a value as it prints: a text is the same, marked as safe or not."""
        text = printed(value)
        self.spend(len(text) if isinstance(value, str) else JSON * len(text))
        return text

    def compared(self, value: Any, scale: int) -> int:
        """Return what an item counts for that is compared with others of its list, an object `scale`."""
        return len(value) * (1 if value.isascii() else _WIDE) if isinstance(value, str) else scale

    def _as_json(self, value: Any, *given: Any, **how: Any) -> str:
        text = self._made(filters.tojson(value, *given, **how))
        self.spend(0 if isinstance(value, str) else (JSON - PIECE) * len(text))
        return self._safe(text)

    def _made(self, text: str) -> str:
        """Return a text that was made of many pieces."""
        if len(text) > OUTPUT_MAX:
            raise too_long()
        self.spend(PIECE * len(text))
        return text

    def _stripped(self, value: Any) -> str:
        text = printed(value)
        self.spend(PIECE * len(text) + ITEM * (text.count("&") + text.count("<!--")))
        return self._made(filters.striptags(text))

    def _wordwrapped(self, value: Any, *given: Any, **how: Any) -> str:
        text = printed(value)
        self.spend(2 * PIECE * len(text) + WORD * sum(map(text.count, filters.BREAKS)))
        return self._made(filters.wordwrap(text, *given, **how))

    def _joined(self, values: Any, separator: Any = "", attribute: str | None = None) -> str:
        self.spend(ITEM * len(values) if isinstance(values, LISTS) else 0)
        texts = joined(values, attribute)
        between = self.passed(printed(separator))
        if sum(map(len, texts)) + len(between) * len(texts) > OUTPUT_MAX:
            raise TemplateError("join: the text becomes too long")
        between, *texts = self._alike([between, *texts])
        return self._marked(str.join(between, texts), between, *texts[:1])

    def _replaced(self, value: Any, old: Any, new: Any) -> str:
        texts = self._alike([printed(self.passed(each)) for each in (value, old, new)])
        return self._marked(replaced(str(texts[0]), str(texts[1]), str(texts[2]), OUTPUT_MAX), *texts)

    def _alike(self, texts: list[str]) -> list[str]:
        """Return texts that become one: in HTML, where some of them are marked as safe, the others escaped and so, too.

        So names are escaped that `join("<br>"|safe)` puts together, and what it puts between them is not.
        """
        if not self._escapes or not any(map(is_marked, texts)):
            return texts
        return [each if is_marked(each) else self._safe(escaped(each)) for each in texts]

    def _marked(self, text: str, *of: str) -> str:
        """Return a text, counted, marked as safe where it was made of such."""
        is_safe = self._escapes and any(map(is_marked, of))
        return self._safe(self.passed(text)) if is_safe else str(self.passed(text))


def too_long() -> TemplateError:
    """Return that a part says too much."""
    return TemplateError(f"it is longer than {OUTPUT_MAX:,} bytes when it is rendered")
