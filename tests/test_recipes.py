"""The recipes of docs/fixtures.md, as they stand there: the job of GitHub Actions and the tests with pytest."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.command import Cli, Result
from tests.support.prose import page

PLUGIN = ("-p", "no:notifyctl", "-p", "notifyctl.pytest_plugin", "-p", "no:cacheprovider", "-q")
"""Where it is not installed anew, its entry point may not be there yet: `test_packaging` looks at that."""


def block(first_line: str) -> str:
    """Return the page's block of code that begins with that line."""
    text = page("fixtures")
    found = re.search(rf"```\w+\n({re.escape(first_line)}\n.*?)```", text, re.DOTALL)
    assert found is not None, first_line
    return found[1]


def steps() -> list[list[str]]:
    """Return the commands of notifyctl's that the job runs, in their order."""
    job: Any = yaml.safe_load(block("# .github/workflows/test.yml"))
    found = [each["run"].split() for each in job["jobs"]["test"]["steps"] if "run" in each]
    return [each[1:] for each in found if each[0] == "notifyctl"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the page's fixture."""
    folder = tmp_path / "home"
    (folder / "fixtures").mkdir(parents=True, exist_ok=True)
    (folder / "fixtures" / "people.yaml").write_text(block("# fixtures/people.yaml"), encoding="utf-8")
    return folder


@pytest.fixture
def runner(project: Path, empty_database_url: str) -> Cli:
    """The command line in an environment where nothing was ever done."""
    return Cli(home=project, database_url=empty_database_url)


def test_the_job_runs_twice_and_the_second_time_changes_nothing(runner: Cli) -> None:
    """In an empty environment; the key that the fixture makes is in its file, and stays the same."""
    first = _job(runner)
    assert "created" in first[-1].stderr
    key = (runner.home / "fixtures" / "secrets" / "ci.key").read_text()
    second = _job(runner)
    assert (second[-1].stdout, second[-1].stderr) == ("", "6 unchanged\n")
    assert (runner.home / "fixtures" / "secrets" / "ci.key").read_text() == key
    runner.call("keys", "verify", input=key).ok()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"])
def test_the_second_run_takes_no_longer_than_importing_its_libraries_twice(runner: Cli) -> None:
    """Counted in CPU time, the least of some runs beside each other: a busy machine does not make it slower."""
    _job(runner)
    env = {name: value for name, value in runner.env.items() if name != "PYTHONWARNINGS"}
    yardstick, step = [sys.executable, "-c", "import typer, sqlalchemy"], runner.command(*steps()[-1])
    times = [(_cpu_s(yardstick, runner.home, env), _cpu_s(step, runner.home, env)) for _ in range(8)]
    least = min(each[0] for each in times), min(each[1] for each in times)
    assert least[1] <= 2 * least[0], least


def test_the_recipe_for_pytest_passes(project: Path, backend: str, request: pytest.FixtureRequest) -> None:
    """With the plugin, on SQLite and on a server; each test has what the fixture says, whatever another one did."""
    options = ""
    if backend == "postgresql":
        options = f'notifyctl_database_url = "{request.getfixturevalue("postgresql_server")}"\n'
    (project / "pyproject.toml").write_text(block("# pyproject.toml") + options)
    (project / "test_newsletter.py").write_text(
        block("# test_newsletter.py")
        + """

def test_another_has_a_database_of_its_own(notifyctl_db):
    import os

    assert os.environ["NOTIFYCTL_DATABASE_URL"] == notifyctl_db.url
    told = notifyctl_db.run("prefs", "show", "anna", "-o", "json").json()
    assert told[0]["left_categories"] == []
    refused = notifyctl_db.run("users", "show", "nobody", check=False)
    assert refused.exit_code == 3
"""
    )
    done = _pytest(project)
    assert (done.returncode, "2 passed" in done.stdout) == (0, True), done.stdout + done.stderr


def test_a_fixture_that_is_refused_fails_the_test_with_its_reason(project: Path) -> None:
    """The line of the flaw is told, and no traceback of the plugin's."""
    (project / "fixtures" / "wrong.yaml").write_text("users:\n- {username: anna}\n")
    (project / "pyproject.toml").write_text(block("# pyproject.toml"))
    (project / "test_it.py").write_text("def test_it(notifyctl_db):\n    pass\n")
    done = _pytest(project)
    assert done.returncode == 1
    assert "wrong.yaml:2:3: users[0].email: is missing" in done.stdout
    assert "Traceback" not in done.stdout


def _job(runner: Cli) -> list[Result]:
    return [runner.run(*each).ok() for each in steps()]


def _pytest(folder: Path) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("NOTIFYCTL_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", *PLUGIN]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def _cpu_s(command: list[str], folder: Path, env: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=env, capture_output=True, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_an_editor_takes_the_recipe_for_valid(bare_cli: Cli) -> None:
    """By the schema that `fixtures schema` prints, though it reads YAML as version 1.1."""
    jsonschema: Any = pytest.importorskip("jsonschema")
    made = bare_cli.call("fixtures", "schema").ok().json()
    jsonschema.Draft202012Validator(made).validate(yaml.safe_load(block("# fixtures/people.yaml")))
