"""The figures that are quoted are those of the committed benchmark results."""

from __future__ import annotations

import json

from tests.benchmarks.quoted import RESULTS, table
from tests.support.prose import page


def test_what_is_quoted_are_the_results() -> None:
    """A reader can trust each ratio: it stands in the results that `make bench` wrote."""
    quoted = "\n".join(table(json.loads(RESULTS.read_text())))
    assert f"\n\n{quoted}\n\n" in page("performance") + "\n"
