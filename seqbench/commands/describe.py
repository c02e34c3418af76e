"""``seqbench describe``: what a model or task is, read from its source."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

from seqbench.commands import read
from seqbench.config import values
from seqbench.errors import EXIT_DONE, Refused, did_you_mean
from seqbench.registry.plugins import registry
from seqbench.registry.registration import KINDS, Registration
from seqbench.registry.source import UNSET, Call, ClassSource, Parameter

_DIRECTIONS = {"min": "smaller is better", "max": "larger is better"}


def command(args: list[str]) -> int:
    """Print the description of each model or task named.

    Args:
        args: see ``seqbench describe --help``.
    """
    given = read("describe", args)
    picture = given.optional("picture")
    items = [item for word, name in given.pairs if word != "picture" for item in _find(word, name)]
    if not items:
        raise Refused("nothing to describe: name a model=NAME or a task=NAME; see seqbench list")
    if picture is not None:
        _draw(items, Path(picture))
        return EXIT_DONE
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    sys.stdout.write("\n\n".join(_chapter(item, width) for item in items) + "\n")
    return EXIT_DONE


def _draw(items: list[Registration], path: Path) -> None:
    """Draw an example of a task's data into a file, fetching them if need be.

    Raises:
        Refused: there is not one task, it draws nothing, or the file cannot be written.
    """
    from seqbench.reporting.example import save_picture
    from seqbench.trials.trial import blame

    if len(items) != 1 or items[0].kind != "task":
        raise Refused("picture=FILE draws the data of one task: seqbench describe task=NAME")
    item = items[0]
    task_class = item.load()
    with blame(item, "its picture"):
        task = task_class()
        task.prepare()
        caption = save_picture(task.picture, path)
    if not caption:
        raise Refused(f"task={item.name} has no picture")
    sys.stdout.write(f"{path}: {caption}\n")


def _find(word: str, name: str) -> list[Registration]:
    """Return the model or task of a name; both, where it is given alone and both have it."""
    known = registry()
    for kind in KINDS:
        if word == kind:
            return [known.get(kind, name)]
    named = [kind for kind in KINDS if name in known.names(kind)]
    if named:
        return [known.get(kind, name) for kind in named]
    hint = did_you_mean(name, [one for kind in KINDS for one in known.names(kind)])
    raise Refused(
        f"'{name}' cannot be described{hint}: write model=NAME or task=NAME; see seqbench list"
    )


def _chapter(item: Registration, width: int) -> str:
    found = item.source()
    constants = found.constants
    parts = [f"{item.kind} {item.name}  ({item.origin})", _reflow(_plain(found.description), width)]
    reason = item.unusable()
    if reason:
        parts.append(_wrap(f"Not usable here: {reason}", width))
    for title, key in (("Citation", "citation"), ("Licence", "licence")):
        if isinstance(constants.get(key), str):
            parts.append(f"{title}\n{_wrap(constants[key], width)}")
    if item.kind == "task":
        parts += _task_facts(item, constants, width)
    parts.append(_parameters(item, found, width))
    task, model = ("music", item.name) if item.kind == "model" else (item.name, "lstm")
    plugin = f"+plugin={shlex.quote(item.origin)} " if item.origin.endswith(".py") else ""
    tries = [f"seqbench {plugin}task={task} model={model} experiment=smoke"]
    if item.kind == "task":
        name = task.replace("/", "-")
        tries.append(f"seqbench describe {plugin}task={task} picture={name}.png")
    parts.append("Try\n" + "\n".join(f"  {line}" for line in tries))
    return "\n\n".join(part for part in parts if part)


def _task_facts(item: Registration, constants: dict[str, Any], width: int) -> list[str]:
    facts = []
    for title, key in (("Version", "version"), ("Visibility", "visibility")):
        if key in constants:
            facts.append(f"{title}: {constants[key]}")
    parts = ["\n".join(facts)]
    sizes = constants.get("sizes")
    if isinstance(sizes, dict):
        parts.append("Data\n" + _pairs(sizes, width))
    for title, key in (("Selects the epoch (validation)", "monitor"), ("Ranks (test)", "primary")):
        if isinstance(constants.get(key), Call):
            parts.append(f"{title}\n  {_metric(constants[key])}")
    if item.smallest_difference is not None:
        amount, reason = item.smallest_difference
        worth = _wrap(f"{amount:g}: {reason}", width)
        parts.append(f"Smallest difference worth having (test)\n{worth}")
    meanings = constants.get("metric_help")
    if isinstance(meanings, dict):
        parts.append("Metrics\n" + _pairs(meanings, width))
    measured = constants.get("baseline_scores")
    computed = constants.get("baseline_help")
    if computed and isinstance(computed, dict):
        own = measured if measured and isinstance(measured, dict) else computed
        helps = {name: computed[name] for name in own if name in computed}
        parts.append("Baselines, what they compute\n" + _pairs(helps, width))
    if measured and isinstance(measured, dict):
        scores = {name: f"{value:.4g}" for name, value in measured.items()}
        parts.append("Baselines, as measured (test)\n" + _pairs(scores, width))
    return parts


def _metric(call: Call) -> str:
    given = dict(zip(("name", "direction", "unit"), call.arguments, strict=False))
    given.update(call.keywords)
    direction = _DIRECTIONS.get(given.get("direction", ""), "")
    return ", ".join(part for part in (given.get("name"), given.get("unit"), direction) if part)


def _parameters(item: Registration, found: ClassSource, width: int) -> str:
    lines = ["Parameters"]
    for parameter in found.parameters:
        default = _default(parameter)
        kind = values.describe(parameter.annotation) if parameter.annotation else "any value"
        lines.append(f"  {item.kind}.{parameter.name}={default}  ({kind})")
        if parameter.doc:
            lines.append(_wrap(_plain(parameter.doc), width, indent=6))
    return "\n".join(lines) if found.parameters else ""


def _default(parameter: Parameter) -> str:
    if parameter.default == UNSET:
        return "VALUE"
    if isinstance(parameter.default, Call):
        return parameter.default.function
    if isinstance(parameter.default, str):
        return parameter.default
    return values.show(parameter.default)


def _plain(text: str) -> str:
    """Strip a docstring's markup: literals, roles, and the second colon before a block."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", text)
    return text.replace("``", "").replace("::\n", ":\n")


def _reflow(text: str, width: int) -> str:
    """Fill paragraphs to the width; equations, which are indented, keep their lines."""
    paragraphs = text.split("\n\n")
    filled = [
        part if re.search(r"^ ", part, re.MULTILINE) else textwrap.fill(part, width)
        for part in paragraphs
    ]
    return "\n\n".join(filled)


def _pairs(pairs: dict[Any, Any], width: int) -> str:
    column = max(len(str(key)) for key in pairs) if pairs else 0
    lines = []
    for key, text in pairs.items():
        head = f"  {str(key).ljust(column)}  "
        lines.append(
            textwrap.fill(
                " ".join(str(text).split()),
                width,
                initial_indent=head,
                subsequent_indent=" " * len(head),
            )
        )
    return "\n".join(lines)


def _wrap(text: str, width: int, indent: int = 2) -> str:
    margin = " " * indent
    return textwrap.fill(
        " ".join(text.split()), width, initial_indent=margin, subsequent_indent=margin
    )
