"""What the benchmarks' figures rest on: whose CPU time it is, of which interval, and when a goal is met."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.benchmarks import baseline, processes
from tests.benchmarks.processes import Meter, at
from tests.benchmarks.report import Goal
from tests.benchmarks.runs import interval

BURNS = "import time\nwhile time.process_time() < {seconds}: pass\n"
ITS_CHILD_BURNS = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}], check=True)\n"


def started(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], text=True)


def test_a_process_is_counted_with_its_ended_children() -> None:
    """PostgreSQL's backends come and go; what they used is not lost with them."""
    meter = Meter()
    process = started(ITS_CHILD_BURNS.format(code=BURNS.format(seconds=0.5)))
    meter.follow("own", process.pid)
    began = time.time()
    meter.watch([process], patience_s=60)
    assert process.wait() == 0
    assert 0.45 < meter.used(began, time.time())["own"] < 1.5
    assert meter.busy(began, time.time()) > 0.4


def test_what_hangs_is_not_waited_for() -> None:
    """A peer that never ends does not hang the whole run."""
    process = started("import time\ntime.sleep(60)\n")
    try:
        with pytest.raises(TimeoutError):
            Meter().watch([process], patience_s=0.3)
    finally:
        process.kill()
        process.wait()


def test_a_process_elsewhere_is_no_group() -> None:
    """A database on another machine has no figure, rather than none of the time."""
    meter = Meter()
    meter.follow("database", None)
    meter.sample()
    assert meter.used(0, time.time()) == {}


def test_a_child_is_found_by_its_name() -> None:
    """PgBouncer is started by the tests' own helper, which does not say which process it is."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        print("up", file=process.stdin, flush=True)
        process.stdout.readline()  # before its first answer it may still have the name of this program
        assert processes.child_named("cat") == process.pid


@pytest.mark.parametrize(("moment", "value"), [(0.0, 5.0), (1.0, 5.0), (2.0, 6.0), (3.0, 7.0), (9.0, 7.0)])
def test_between_samples_time_is_shared_evenly(moment: float, value: float) -> None:
    assert at([(1.0, 5.0), (3.0, 7.0)], moment) == value


def test_a_rate_counts_what_was_sent_after_its_beginning() -> None:
    """Three in a second after the first two: 3/s, not 5/s."""
    assert interval([1_000, 1_000, 1_300, 1_700, 2_000]) == (3, 1.0, 2.0)


def test_a_rate_of_the_middle_leaves_out_both_ends() -> None:
    moments = [0, *range(10_000, 10_800, 100), 99_000]
    assert interval(moments, share=0.8) == (7, 10.0, 10.7)


def test_a_goal_is_judged_by_its_median() -> None:
    """One slow round of a shared machine does not decide."""
    assert Goal("rate", 6.0, [1.0, 6.0, 7.0]).is_met
    assert not Goal("rate", 6.0, [1.0, 5.9, 7.0]).is_met
    assert Goal("time", 6.0, [1.0, 6.0, 9.0], at_most=True).is_met
    assert not Goal("time", 6.0, [1.0, 6.1, 9.0], at_most=True).is_met


def test_an_unknown_commit_is_left_out_with_a_word() -> None:
    """A source distribution has no history; the rest of the benchmarks runs there."""
    assert "left out" in str(baseline.obtain("0" * 40))
