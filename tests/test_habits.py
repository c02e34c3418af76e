"""What make, the workflows and the citation say is so."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from seqbench import __version__

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_lists_every_target_with_its_purpose() -> None:
    shown = subprocess.run(
        ["make", "help", "--no-print-directory"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split(maxsplit=2) for line in shown.stdout.splitlines()]
    assert sorted(TARGETS) == sorted(row[1] for row in rows)
    assert {"make"} == {row[0] for row in rows}
    assert all(len(row) == 3 for row in rows)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_what_make_runs(workflow: Path) -> None:
    """Nothing is done by a workflow that cannot be done here by the same words."""
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert commands
    assert [] == [line for line in commands if not line.startswith("make ")]
    assert {line.removeprefix("make ") for line in commands} <= TARGETS


def test_the_ci_script_runs_make() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    calls = [line.partition("#")[0].split()[1:] for line in lines if line.startswith("make ")]
    targets = {word for words in calls for word in words if not word.startswith("-")}
    assert {"lint", "test-all", "docs", "wheel"} == targets <= TARGETS


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert __version__ == citation["version"]
