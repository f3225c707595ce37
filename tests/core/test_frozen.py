"""Our frozen dataclasses against the standard library's: the same in all that a value can do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import frozen
from notifyctl.core.sealing import Place

T = TypeVar("T")
Decorator = Callable[..., Callable[[type[Any]], type[Any]]]


def _declared(dataclass: Decorator) -> tuple[type[Any], ...]:
    """The same classes by either decorator: fields of all kinds, one that inherits, one with methods of its own."""

    @dataclass(frozen=True, slots=True)
    class Plain(Generic[T]):
        """A doc string."""

        name: str
        secret: str | None = dataclasses.field(default=None, repr=False)
        found: list[T] = dataclasses.field(default_factory=list, compare=False)
        _set: int = 3
        shared: ClassVar[str] = "of the class"

    @dataclass(frozen=True, slots=True)
    class Further(Plain[int]):
        """Another."""

        more: tuple[int, ...] = ()
        counted: int = dataclasses.field(init=False, compare=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "counted", len(self.more))

    @dataclass(frozen=True, slots=True)
    class Own:
        name: str

        def __eq__(self, other: object) -> bool:
            return True

        def __repr__(self) -> str:
            return "own"

    @dataclass(frozen=True, slots=True)
    class Nothing:
        pass

    return Plain, Further, Own, Nothing


Plain, Further, Own, Nothing = OURS = _declared(frozen.dataclass)
THEIRS = _declared(dataclasses.dataclass)
for _made in OURS:
    _made.__qualname__ = _made.__name__  # to be found again by pickle

names = st.sampled_from(["", "a", "it's", "\n"])
values = st.fixed_dictionaries(
    {"name": names},
    optional={"secret": st.none() | names, "found": st.lists(st.integers(0, 1), max_size=1), "_set": st.integers(0, 1)},
)
further = st.builds(lambda said, more: said | {"more": more}, values, st.tuples(st.integers(0, 1)))


def _shown(value: Any) -> str:
    return repr(value).replace("_declared.<locals>.", "")


def _outcome(act: Callable[[], Any]) -> tuple[str, Any]:
    """What came of it: a value by what it shows, an error by its kind."""
    try:
        return "done", _shown(act())
    except Exception as error:
        return type(error).__name__, ""


def _matched(kind: Any, value: Any) -> Any:
    match value:
        case kind(name, secret):
            return name, secret


@pytest.mark.parametrize(("at", "said"), [(0, values), (1, further)])
@given(data=st.data())
def test_a_value_is_as_the_standard_ones(at: int, said: st.SearchStrategy[dict[str, Any]], data: st.DataObject) -> None:
    """Shown, compared, hashed, replaced, taken apart, copied and pickled alike."""
    first, second = data.draw(said), data.draw(said)
    ours, theirs = [[kind(**each) for each in (first, second)] for kind in (OURS[at], THEIRS[at])]
    assert _shown(ours) == _shown(theirs)
    assert (ours[0] == ours[1]) is (theirs[0] == theirs[1])
    assert (hash(ours[0]) == hash(ours[1])) is (hash(theirs[0]) == hash(theirs[1]))
    assert _shown(dataclasses.replace(ours[0], name="b")) == _shown(dataclasses.replace(theirs[0], name="b"))
    assert dataclasses.asdict(ours[0]) == dataclasses.asdict(theirs[0])
    for again in (pickle.loads(pickle.dumps(ours[0])), copy.deepcopy(ours[0]), copy.copy(ours[0])):
        assert again == ours[0] and dataclasses.asdict(again) == dataclasses.asdict(ours[0])


@pytest.mark.parametrize(
    "act",
    [
        lambda kinds: kinds[0](),
        lambda kinds: kinds[0]("a", "b", [], 1, 2),
        lambda kinds: kinds[0]("a", name="b"),
        lambda kinds: kinds[0]("a", what="b"),
        lambda kinds: kinds[1]("a", counted=1),
        lambda kinds: setattr(kinds[0]("a"), "name", "b"),
        lambda kinds: delattr(kinds[0]("a"), "name"),
        lambda kinds: hash(kinds[1]("a", more=[])),
        lambda kinds: kinds[0]("a").found is kinds[0]("a").found,
        lambda kinds: kinds[0]("a") == kinds[1]("a"),
        lambda kinds: kinds[2]("a") == 1 and hash(kinds[2]("a")) == hash(kinds[2]("a")),
        lambda kinds: kinds[2]("a"),
        lambda kinds: (kinds[3](), kinds[3]() == kinds[3](), hash(kinds[3]()) == hash(kinds[3]())),
        lambda kinds: kinds[0]("a").__dict__,
        lambda kinds: [(kind.__match_args__, kind.__slots__, kind.__doc__ and kind.__doc__[:3]) for kind in kinds[:2]],
        lambda kinds: [(field.name, field.type, field.default) for field in dataclasses.fields(kinds[1])],
        lambda kinds: (kinds[0].shared, kinds[1]("a").shared, kinds[0].name),
        lambda kinds: _matched(kinds[0], kinds[1]("a", "b")),
        lambda kinds: _matched(kinds[0], kinds[0]("a", "b")),
        lambda kinds: [dataclasses.is_dataclass(kind) for kind in kinds],
        lambda kinds: dataclasses.fields(type("Under", (kinds[1],), {})("a"))[-1].name,
    ],
)  # fmt: skip
def test_the_edges_are_as_the_standard_ones(act: Callable[[tuple[type[Any], ...]], Any]) -> None:
    """The same errors and answers; asked twice, since a first value is made another way."""
    expected = _outcome(lambda: act(THEIRS))
    assert [_outcome(lambda: act(_declared(frozen.dataclass)))] == [expected]
    assert [_outcome(lambda: act(OURS)) for _ in range(2)] == [expected] * 2


def test_a_class_compiles_nothing_before_its_first_value() -> None:
    """That is what it is for: `exec` is called once for a class that is used, and for another one never."""
    code = (
        "import sys; from notifyctl.core.frozen import dataclass\n"
        "ran = []; sys.addaudithook(lambda event, _: ran.append(event) if event == 'exec' else None)\n"
        "@dataclass(frozen=True, slots=True)\n"
        "class Made:\n    name: str\n"
        "before = len(ran); Made('a'); Made('b')\n"
        "print(before, len(ran))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1"]


def test_a_value_that_comes_from_another_process_is_whole() -> None:
    """Where nobody made one before: it is compared, hashed and shown as any other."""
    sent = [pickle.dumps(Place("t", "1", "x")), pickle.dumps(Place("t", "1", "x")), pickle.dumps(Place("t", "2", "x"))]
    code = (
        "import pickle, sys; from notifyctl.core.frozen import dataclass\n"
        f"one, same, other = map(pickle.loads, {sent!r})\n"
        "print(one == same, hash(one) == hash(same), one == other, repr(one))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"True True False {Place('t', '1', 'x')!r}\n"


def test_every_frozen_class_is_one() -> None:
    """But those that applications see, which they may want to look into."""
    source = Path(frozen.__file__).parents[1]
    standard = [
        each.relative_to(source).as_posix()
        for each in source.rglob("*.py")
        if re.search(
            r"^from dataclasses import .*\bdataclass\b", text := each.read_text(encoding="utf-8"), re.MULTILINE
        )
        and "@dataclass(frozen=True, slots=True)" in text
    ]
    assert standard == ["core/application.py"], "import dataclass from notifyctl.core.frozen there"
