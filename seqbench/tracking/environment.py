"""The environment of a trial: versions, platform, git state. Imports nothing heavy."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from seqbench import __version__
from seqbench.config.machine import usable_cpus

DISTRIBUTIONS = ("torch", "lightning", "mlflow", "hydra-core", "numpy")
"""Distributions whose versions are kept with a trial, beside seqbench's and Python's."""


def environment(folder: Path | None = None) -> dict[str, str]:
    """Return versions, platform, CPUs, and git commit and state.

    The machine's name, the user's name and paths are left out, so the result can be published.

    Args:
        folder: folder whose git state is returned; None for the working directory. ``git`` is
            ``none`` outside a repository, and otherwise the commit, followed by ``+changes`` if
            tracked files differ from it.
    """
    return {
        "seqbench": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in DISTRIBUTIONS},
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": str(usable_cpus()),
        "git": git_state(folder or Path.cwd()),
    }


def environment_changes(
    then: Mapping[str, str], now: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Return what of two environments that both know is different, then and now; not the code."""
    return {
        key: (then[key], now[key])
        for key in then
        if key != "git" and key in now and then[key] != now[key]
    }


@lru_cache
def version(distribution: str) -> str:
    """Return the installed version of a distribution, or ``missing``."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "missing"


def git_state(folder: Path) -> str:
    """Return a folder's git commit and whether tracked files were changed; ``none`` without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return "none"
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if changes is None:
        return f"{commit}+unknown"
    return f"{commit}+changes" if changes else commit


@lru_cache
def code_state(path: Path) -> str:
    """Return the git commit of the checkout that code comes from, and whether the code differs.

    It is asked once in a process, which goes on with the code that it began with.

    Args:
        path: a file or folder of code.

    Returns:
        As :func:`git_state`, with the changes of this file or folder only; a file that git does not
        know is a change. Empty where it is in no checkout, as what is installed.
    """
    folder, name = (path, ".") if path.is_dir() else (path.parent, path.name)
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit or _git(folder, "check-ignore", "--quiet", name) is not None:
        return ""
    changes = _git(folder, "status", "--porcelain", "--untracked-files=all", "--", name)
    if changes is None:
        return f"{commit}+unknown"
    return f"{commit}+changes" if changes else commit


def _git(folder: Path, *arguments: str) -> str | None:
    """Return git's answer, or None where it has none; no hook of the repository's runs."""
    try:
        answer = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *arguments],
            cwd=folder, capture_output=True, text=True, timeout=10, check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
