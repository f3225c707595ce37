"""How property tests run: the same on a quick machine and on a busy one."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

PROFILE = "notifyctl"


def configure() -> None:
    """Choose the profile of all property tests, before their modules are read.

    No example has a deadline: time on a busy machine says nothing about the code. A failure prints how it is repeated.
    All else is Hypothesis' own choice, which in CI (where the variable CI is set) draws the same examples each time.
    """
    own = settings.get_profile(settings.get_current_profile_name())
    settings.register_profile(PROFILE, own, deadline=None, print_blob=True)
    settings.load_profile(PROFILE)


def warm_up() -> None:
    """Make what Hypothesis makes once, its tables of Unicode: seconds that the first test would be blamed for."""

    @settings(max_examples=1, database=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
    @given(st.tuples(st.text(), st.characters(codec="ascii"), st.integers(), st.floats()))
    def draw(_one_of_each: object) -> None:
        """Draw, and do nothing with it."""

    draw()
