"""The README's figures are those of the committed benchmark results."""

from __future__ import annotations

import json

from tests.benchmarks.quoted import RESULTS, table
from tests.support.command import REPOSITORY


def test_the_readme_quotes_the_results() -> None:
    """A reader can trust each ratio: it stands in the results that `make bench` wrote."""
    quoted = "\n".join(table(json.loads(RESULTS.read_text())))
    assert f"\n\n{quoted}\n\n" in (REPOSITORY / "README.md").read_text()
