"""What can be wrong with a template, or with what it is given."""

from __future__ import annotations

from typing import ClassVar

from notifyctl.core.errors import NotifyctlError


class TemplateError(NotifyctlError):
    """A template that cannot be rendered: which one, which part of it, where, and why.

    `line` and `column` begin at 1 and are None where nothing is known of them; `variable` is the name of one that has
    no value, or a wrong one.
    """

    exit_code: ClassVar[int] = 2
    code: ClassVar[str] = "template_error"

    def __init__(
        self,
        reason: str,
        *,
        template: str = "",
        part: str = "",
        line: int | None = None,
        column: int | None = None,
        variable: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(_sentence(reason, template, part, line, column), hint)
        self.reason = reason
        self.template = template
        self.part = part
        self.line = line
        self.column = column
        self.variable = variable

    def at(self, template: str, part: str) -> TemplateError:
        """Return it with the template's name and part, unless it has them."""
        return TemplateError(
            self.reason,
            template=self.template or template,
            part=self.part or part,
            line=self.line,
            column=self.column,
            variable=self.variable,
            hint=self.hint,
        )


def _sentence(reason: str, template: str, part: str, line: int | None, column: int | None) -> str:
    where = " ".join(each for each in (template, part) if each)
    if line is not None:
        at = f"line {line}" if column is None else f"line {line}, column {column}"
        where = f"{where}, {at}" if where else at
    return f"{where}: {reason}" if where else reason
