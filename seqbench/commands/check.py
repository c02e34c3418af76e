"""``seqbench check``: does a model or task keep its contract? A list, with what was seen."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqbench.commands import read
from seqbench.config import machine
from seqbench.errors import EXIT_DONE, EXIT_FAILED, Refused
from seqbench.registry.plugins import add_plugin_file, registry
from seqbench.registry.registration import BUILT_IN, KINDS, Registration

if TYPE_CHECKING:
    from rich.console import Console

    from seqbench.commands.words import Given
    from seqbench.testing import CheckResult

_MARKS = {"kept": ("✓", "green"), "broken": ("✗", "bold red"), "skipped": ("-", "dim")}


def command(args: list[str]) -> int:
    """Run the conformance suite and print a list for each model and task.

    Args:
        args: see ``seqbench check --help``.

    Returns:
        0 if every promise is kept, otherwise 1.

    Raises:
        Refused: nothing is named, or what is named is unknown or cannot be imported.
    """
    from rich.console import Console

    given = read("check", args)
    as_json = given.flag("--json")
    items = _named(given)
    console = Console(highlight=False, emoji=False, stderr=as_json)
    found: list[dict[str, Any]] = []
    broken = 0
    for item in items:
        outcomes = _checked(item, given.overrides, console)
        broken += sum(outcome.status == "broken" for outcome in outcomes)
        found.append(
            {"kind": item.kind, "name": item.name, "origin": item.origin,
             "checks": [asdict(outcome) for outcome in outcomes]}
        )  # fmt: skip
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return EXIT_FAILED if broken else EXIT_DONE


def _named(given: Given) -> list[Registration]:
    """Return what the words name; files are registered first, wherever they stand."""
    for file in given.list("FILE"):
        if not file.endswith(".py"):
            raise Refused(
                f"seqbench check: '{file}' cannot be checked; write model=NAME, task=NAME, a "
                "Python file or --installed"
            )
        add_plugin_file(file)
    known = registry()
    everything = [item for kind in KINDS for item in known.all(kind)]
    found: list[Registration] = []
    for word, text in given.pairs:
        if word == "FILE":
            path = str(Path(text).expanduser().resolve())
            found += [item for item in everything if item.origin == path]
        names = [name.strip() for name in text.split(",")]
        found += [known.get(kind, name) for kind in KINDS if kind == word for name in names]
    if given.flag("--installed"):
        found += [item for item in everything if item.origin != BUILT_IN]
        if not found:
            raise Refused("no plugin is installed; seqbench list shows where models come from")
    if not found:
        raise Refused("nothing to check: write model=NAME, task=NAME, a file or --installed")
    return found


def _checked(item: Registration, changes: Sequence[str], console: Console) -> list[CheckResult]:
    """Check one model or task, and print what became of each promise as it is known."""
    from rich.text import Text

    console.print(Text(f"{item.kind} {item.name}  ({item.origin})", style="bold"))
    outcomes = []
    status = console.status("checking") if console.is_terminal else nullcontext()
    with status:
        for outcome in _outcomes(item, changes):
            outcomes.append(outcome)
            _print(outcome, console)
    counts = {status: sum(o.status == status for o in outcomes) for status in _MARKS}
    seconds = sum(outcome.seconds for outcome in outcomes)
    said = f"  {counts['kept']} kept, {counts['broken']} broken"
    if counts["skipped"]:
        said += f", {counts['skipped']} not looked at"
    console.print(f"{said}; {seconds:.1f} s\n", markup=False)
    return outcomes


def _print(outcome: CheckResult, console: Console) -> None:
    from rich.text import Text

    mark, style = _MARKS[outcome.status]
    line = Text.assemble(
        ("  " + mark, style), f" {outcome.check:<17} {outcome.promise}",
        (f"  {outcome.seconds:.2f} s", "dim"),
    )  # fmt: skip
    console.print(line, soft_wrap=True)
    if outcome.status == "broken":
        for title in ("seen", "expected", "read"):
            console.print(f"      {title}: {getattr(outcome, title)}", soft_wrap=True,
                          markup=False)  # fmt: skip
    elif outcome.seen:
        console.print(Text(f"      not looked at: {outcome.seen}", style="dim"), soft_wrap=True)


def _outcomes(item: Registration, changes: Sequence[str]) -> Iterator[CheckResult]:
    """Yield what becomes of each check; one that cannot be loaded fails the first."""
    from seqbench.config import composition, searchpath
    from seqbench.testing import MODEL_CHECKS, TASK_CHECKS, ModelSubject, TaskSubject, run_checks
    from seqbench.testing.checklist import Check
    from seqbench.trials.trial import blame

    own = [word for word in changes if word.startswith(f"{item.kind}.")]
    loaded: Any = None
    settings: Any = None

    def load(_: None) -> None:
        nonlocal loaded, settings
        searchpath.enable()
        settings = composition.settings(composition.compose([f"{item.kind}={item.name}", *own]))
        loaded = item.load()
        if item.kind == "task":
            with blame(item, "its constructor"):
                loaded = loaded(**settings.task_parameters)

    promise = "it can be selected by its name and imported"
    (outcome,) = run_checks([Check("selection", promise, load)], None)
    yield outcome
    if outcome.status == "broken":
        return
    if item.kind == "model":
        given = {word.partition("=")[0].partition(".")[2] for word in own}
        chosen = {key: settings.model_parameters[key] for key in sorted(given)}
        yield from run_checks(MODEL_CHECKS, ModelSubject(loaded, chosen, item))
    else:
        yield from run_checks(TASK_CHECKS, TaskSubject(loaded, item, machine.data_folder()))
