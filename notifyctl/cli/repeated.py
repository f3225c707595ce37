"""Of an option that is for one value, a second one is refused: the first would be left out, and nobody would know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from notifyctl.core.errors import UsageError


class OnceEach:
    """A command that takes each option once, but for those that are lists, and flags that mean the same again.

    It is the command line that is looked at: what the environment or a default says stands behind it as ever.
    """

    def make_parser(self, ctx: Any) -> Any:
        """Return the parser, which refuses what is given twice before any value is looked at."""
        parser = super().make_parser(ctx)  # type: ignore[misc]
        read = parser.parse_args

        def parse_args(args: list[str]) -> Any:
            found = read(args=args)
            if not ctx.resilient_parsing:
                _refuse(found[-1])
            return found

        parser.parse_args = parse_args
        return parser


def _refuse(order: Iterable[Any]) -> None:
    """Raise UsageError for what stands there twice. `order` has each parameter as often as the command line has it."""
    for param, times in Counter(order).items():
        if times > 1 and param.param_type_name == "option" and not _may_be_repeated(param):
            raise UsageError(f"{_name(param)} is given {'twice' if times == 2 else f'{times} times'}", _remedy(param))


def _may_be_repeated(option: Any) -> bool:
    return option.multiple or option.count or (option.is_flag and not option.secondary_opts)


def _name(option: Any) -> str:
    return "/".join([*option.opts, *option.secondary_opts])


def _remedy(option: Any) -> str:
    if option.is_flag:
        return f"{' or '.join([*option.opts, *option.secondary_opts])}, not both"
    if "," in (option.metavar or ""):
        return f"several go into one, with commas between: {option.opts[-1]} {option.metavar}"
    return "give it once; where several are meant, run the command for each"
