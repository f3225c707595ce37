"""Which option a value was refused of: a parser knows the text alone, and of several durations any may be meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from functools import partial
from typing import Any

from notifyctl.core.errors import UsageError


def name_options(params: Iterable[Any]) -> None:
    """Let what the parsers of these options refuse be told with the option's name."""
    for param in params:
        if param.param_type_name == "option" and hasattr(param.type, "func"):
            param.type = copy(param.type)  # one declaration is for the options of many commands
            param.type.convert = partial(_converted, param.type.convert)


def _converted(convert: Callable[..., Any], value: Any, param: Any, ctx: Any) -> Any:
    try:
        return convert(value, param, ctx)
    except UsageError as error:
        name = param.opts[-1]
        if name not in error.message:
            error.message = f"{name}: {error.message}"
        raise
