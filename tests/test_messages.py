"""Every message is one short line in a user's words; the commands that it advises are commands.

Two views: what the code can say, read from its source, and what it does say of some mistakes.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import seqbench
import seqbench.api
import seqbench.nn
from seqbench import interface
from seqbench.cli import main
from seqbench.commands import SUBCOMMANDS, read
from seqbench.config.composition import compose_each, settings
from seqbench.config.members import sweep_members
from seqbench.errors import LONGEST, Refused, did_you_mean, folded, listed, unknown

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for name in ("seqbench", "tasks", "plugins") for path in ROOT.glob(f"{name}/**/*.py")
)
SAID_BY = ("Refused", "TrialFailed", "ValueError", "Bad", "LeftOut", "note", "warning", "write")
ROOM = 60
"""Characters that a message leaves for what stands in it, a path or a value."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in SOURCES:
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


TREES = dict(trees())
PUBLIC = {*seqbench.api.__all__, *seqbench.nn.__all__}
CLASSES = {
    node.name
    for tree in TREES.values()
    for node in ast.walk(tree)
    if isinstance(node, ast.ClassDef)
} - PUBLIC


def texts(node: ast.expr) -> str:
    """Return the literal part of a message; of a choice the longer one."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(texts, node.values))
    if isinstance(node, ast.FormattedValue):
        return "{}"
    if isinstance(node, ast.BinOp):
        return texts(node.left) + texts(node.right)
    if isinstance(node, ast.IfExp):
        return max(texts(node.body), texts(node.orelse), key=len)
    return ""


def messages() -> Iterator[tuple[str, str]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args:
                name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                name = node.func.id if isinstance(node.func, ast.Name) else name
                if name in SAID_BY and (text := texts(node.args[0])).strip():
                    yield f"{path}:{node.lineno}", text


MESSAGES = dict(messages())


def test_messages_are_found() -> None:
    """Those of every kind, so that the rules below have something to rule."""
    assert len(MESSAGES) > 400
    assert {place.partition("/")[0] for place in MESSAGES} == {"seqbench", "tasks", "plugins"}


def test_messages_are_short() -> None:
    long = {place: len(text) for place, text in MESSAGES.items() if len(text) > LONGEST - ROOM}
    assert not long


def test_messages_name_nothing_inside() -> None:
    """No class, module or private name: a user has never seen them."""
    inner = re.compile(
        rf"\b(?:{'|'.join(sorted(CLASSES))})\b(?=[.(]| object)"
        r"|\bseqbench\.(?!api\b|nn\b)[a-z]+\.[a-zA-Z]|(?<![\w/}])_[a-z]\w+\b(?!\.)"
    )
    found = {place: hit[0] for place, text in MESSAGES.items() if (hit := inner.search(text))}
    assert not found


def test_a_long_message_is_folded() -> None:
    """After its parts; what cannot be cut, such as a command, has a line of its own."""
    command = "seqbench " + " ".join(f"model.key{number}=1" for number in range(30))
    first, second = folded(f"lstm and gru were trained on other data: run them together: {command}")
    assert first.endswith("run them together:")
    assert second.strip() == command
    parts = "; ".join(f"part {number} of a long message" for number in range(60))
    assert all(len(line) <= LONGEST for line in folded(parts))
    assert " ".join(line.strip() for line in folded(parts)) == parts
    assert folded("short; as most: are") == ["short; as most: are"]


def test_long_lists_and_values_are_shortened() -> None:
    names = [f"variant_{number:03}" for number in range(500)]
    message = str(unknown("model", "x" * 1000, names))
    assert len(message) <= LONGEST
    assert re.search(r"variant_000, .* and \d+ more$", message)
    assert listed(names[:3]) == "variant_000, variant_001, variant_002"
    assert listed([]) == "none"


def test_dashes_make_no_flag_alike() -> None:
    assert did_you_mean("--nope", ["--info", "--json"]) == ""
    assert did_you_mean("--jsn", ["--info", "--json"]) == " (did you mean '--json'?)"
    assert did_you_mean("jsn", ["--json"]) == " (did you mean '--json'?)"


MISTAKES: list[tuple[str, str, str]] = [
    # what is typed; what the message has in it; what it says to type instead
    ("--nope", "unknown flag '--nope'; see seqbench --help", "--help"),
    ("--multi", "did you mean '--multirun'", ""),
    ("-m", "-m: name what to run", ""),
    ("--run", "--run: name what to run", ""),
    ("--cfg", "--cfg must be one of job, hydra, all", "--cfg job"),
    ("--cfg jbo", "not 'jbo' (did you mean 'job'?)", "--cfg job"),
    ("-m seed=1 --info", "--multirun and --info cannot be given together", ""),
    ("repotr", "did you mean 'report'", "report --help"),
    ("modle=gru", "did you mean 'model'", "model=gru"),
    ("+foo=1", "unknown key 'foo'; known: by_fold, experiment", ""),
    ("title=x", "unknown key 'title'; known: by_fold, experiment", ""),
    ("hydra/sweeper=foo", "unknown hydra/sweeper 'foo'; known: basic, seqbench", ""),
    ("hydra/foo=1", "known: hydra/launcher", ""),
    ("hydra.foo=1", "unknown key 'hydra.foo'; `seqbench --cfg hydra`", "--cfg hydra"),
    ("model=lstn", "did you mean 'lstm'", "model=lstm"),
    ("model=lstm,gru", "add -m to run a trial for each", "plan -m model=lstm,gru"),
    ("'model=[lstm,gru]'", "use -m model=lstm,gru", "plan -m model=lstm,gru"),
    ("~model", "a trial needs model", ""),
    ("~recipe.lr", "every trial needs its value", ""),
    ("model.hidden=3", "did you mean 'model.hidden_size'", "model.hidden_size=3"),
    ("seed=a", "seed must be a whole number, not 'a'", ""),
    (f"seed={'a' * 500}", "seed must be a whole number, not 'aaa", ""),
    (f"model={'a' * 500}", "unknown model 'aaa", ""),
    (f"{'a' * 500}=1", "unknown key 'aaa", ""),
    (f"{'a' * 500}", "is neither a subcommand nor key=value", ""),
    ("seed=-1", "seed must be in 0..4294967295, not -1", ""),
    ("'seed=${oops}'", "seed refers to the key 'oops'", ""),
    ("recipe.lr=-1", "recipe.lr must be a positive number, not -1", ""),
    ("recipe.dropout=1", "must be at least 0 and below 1, not 1", ""),
    ("recipe.optimizer=sdg", "did you mean 'sgd'", "recipe.optimizer=sgd"),
    ("experiment=smok", "did you mean 'smoke'", "experiment=smoke"),
    ("task=anomaly task.drop=x", "task.drop must be a list of texts or null", ""),
    ("task.title=[a]", "task.title must be a text", ""),
    ("task.source=nowhere", "task.source 'nowhere' does not exist", ""),
    ("report tracking.uri=ftp://x", "unknown scheme 'ftp'; write a path", ""),
    ("tracking=non", "did you mean 'none'", "tracking=none"),
    ("rerun=allways", "did you mean 'always'", "rerun=always"),
    ("looks=6,10 seed=0", "is a list; write looks=[6,10]", "'looks=[6,10]'"),
    ("'looks=[6,10]' seed=12", "plans the seeds 0 to 9, and seed=12 is none of them", ""),
    ("plan -m looks=10,6", "looks=10,6 must be rising numbers of seeds from 5 on", ""),
    ("plan -m 'looks=range(6,9)'", "list the numbers, such as looks=6,10,14,20", ""),
    ("plan -m looks=6,x", "looks must be a list of whole numbers or null", ""),
    ("look=6", "did you mean 'looks'", "looks=6"),
    ("plan difference=x", "difference must be a positive number in the metric's unit", ""),
    ("tune model=lstm trials=1 looks=6,10", "a tuning looks once", ""),
    ("-m seed=0, 1", "write seed=0,1, without a space", "plan -m seed=0,1"),
    ("-m seed=0,1 seed=2", "give it once, such as seed=0,1,2", "plan -m seed=0,1,2"),
    ("-m 'seed=rang(3)'", "did you mean 'range'", "plan -m seed=range(3)"),
    ("-m 'recipe.lr=interval(1,2)'", "such as -m recipe.lr=1,2", "plan -m recipe.lr=1,2"),
    ("-m hydra/launcher=locl", "did you mean 'local'", ""),
    ("-m hydra.launcher.workers=2", "has no parameter 'workers'", ""),
    ("plan seed=a", "seed must be a whole number, not 'a'", ""),
    ("plan seed=a,b", "seed must be a whole number, not 'a'", ""),
    ("plan recipe.lr=nan", "recipe.lr must be a positive number, not nan", ""),
    ("plan recipe.lr=", "recipe.lr must be a number, not ''", ""),
    ("plan seed=1.0", "seed must be a whole number, not 1.0", ""),
    ("plan 'seed=[1,2]'", "seed must be a whole number, not [1, 2]", ""),
    ("plan +foo=1", "unknown key 'foo'", ""),
    ("plan -x", "unknown word '-x'", ""),
    ("list modls", "did you mean 'models'", "list models"),
    ("describe lstn", "write model=NAME or task=NAME", ""),
    ("describe task=music picture=a.foo", "must end in .png, .svg or .pdf", ""),
    ("describe task=music picture=no/a.png", "there is no such folder", ""),
    ("new", "write `model NAME`", "new model my_name out=."),
    ("new model 1x", "begin with a letter", ""),
    ("new model my_x out=no/where", "there is no folder no; make it first", ""),
    ("new model my_x out=file", "a file is there, and no folder", ""),
    ("new model my_x my_y", "see seqbench new --help", "new --help"),
    ("check lstm", "write model=NAME", ""),
    ("compare lstm", "for example: seqbench compare lstm gru", ""),
    ("compare lstm gru", "there is no trial in", ""),
    ("compare lstm gru task=a task=b", "give it once, as task=a,b", ""),
    ("compare lstm gru practical=x", "practical=x must be a positive number", ""),
    ("report out=no/where", "there is no folder no; make it first", ""),
    ("report out=file", "a file is there, and no folder", ""),
    ("report out=a out=b", "out is given twice, as a and b: give it once", ""),
    ("report ''", "is not KEY=VALUE", ""),
    ("report task=", "task= lacks a value", ""),
    ("evaluate", "run=ID is missing", ""),
    ("evaluate zz", "write run=zz", ""),
    ("evaluate run=a run=b", "run is given twice", ""),
    ("evaluate run=zz", "run", ""),
    ("sample run=zz steps=x", "steps must be a whole number from 1", ""),
    ("tune model=lstm", "needs trials=N", ""),
    ("tune model=lstm trials=1 seed=1", "takes its seeds from tune.seeds", ""),
    ("status", "no sweep yet in", ""),
    ("ui port=0", "port must be a whole number from 1 to 65535", ""),
    ("prepare zz", "see seqbench prepare --help", "prepare --help"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with one file, and no trial that would train."""

    def begin(_: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr("seqbench.trials.run.run", begin)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("file").touch()
    return tmp_path


def accepted(code: int, error: str) -> bool:
    """Whether a command was done, or a trial would have begun."""
    return code == 0 or "the trial exited with code 0" in error


def commands_in(message: str) -> Iterator[list[str]]:
    """Return the words of each whole command that a message has."""
    for found in re.finditer(
        r"`seqbench ([^`]*)`|(?:example|together|first): seqbench (.*)$", message
    ):
        yield shlex.split(found[1] if found[1] is not None else found[2])
    for name in re.findall(r"see seqbench ((?:\w+ )?--help)", message):
        yield name.split()


def check_command(words: list[str]) -> None:
    """Each can be read: by its subcommand, or as the trials of a sweep."""
    if "--help" in words or words[0].startswith("--cfg"):
        assert main(words) == 0
    elif words[0] in SUBCOMMANDS:
        if len(words) > 1:  # `seqbench tune` alone is its name, and no command to be copied
            read(words[0], words[1:])
    else:
        for composed in compose_each(sweep_members([word for word in words if word != "-m"])):
            settings(composed)


@pytest.mark.parametrize(("typed", "part", "mended"), MISTAKES, ids=[m[0][:40] for m in MISTAKES])
def test_a_mistake(typed: str, part: str, mended: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, one short line and its details; the advice works."""
    assert main(shlex.split(typed)) == 2
    captured = capsys.readouterr()
    first, *details = captured.err.splitlines()
    assert first.startswith("seqbench: ")
    assert part in first
    assert all(len(line) <= LONGEST for line in (first, *details))
    assert all(line.startswith("  ") for line in details)
    assert "Traceback" not in captured.err
    assert "internal error" not in captured.err
    assert captured.out == ""
    assert not re.search(rf"\b(?:{'|'.join(sorted(CLASSES))})\b(?=[.(])", captured.err)
    for words in commands_in(first):
        check_command(words)
    if mended:
        code = main(shlex.split(mended))
        assert accepted(code, capsys.readouterr().err)


def test_a_plan_counts_what_can_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The impossible is not among what is to run."""
    assert main(["plan", "seed=0,a"]) == 0
    out = capsys.readouterr().out
    assert "2 trials: 1 new, 1 impossible; 1 to run" in out
    assert "1 impossible: seed must be a whole number, not 'a'" in out


def test_commands_in_a_message_are_checked() -> None:
    """A command that nobody can run would be found."""
    assert list(commands_in("x; start one, for example: seqbench -m seed=0,1")) == [
        ["-m", "seed=0,1"]
    ]
    with pytest.raises(Refused):
        check_command(["report", "outt=x"])
    with pytest.raises(Refused):
        check_command(["-m", "modle=lstm"])


CALLS: list[tuple[Callable[[], object], str]] = [
    (lambda: seqbench.compare(["lstm", "gru"]), "models must be names, .*not \\['lstm', 'gru'\\]"),  # type: ignore[arg-type]
    (lambda: seqbench.compare(1, 2), "models must be names, .*, not 1$"),  # type: ignore[arg-type]
    (lambda: seqbench.compare("lstm", "gru", task=[]), "task must be a name .*not \\[\\]"),
    (lambda: seqbench.compare("lstm", "gru", task=None), "task must be .*, not None"),
    (lambda: seqbench.compare("lstm", "gru", control=3), "control must be a text"),  # type: ignore[arg-type]
    (lambda: seqbench.compare("lstm", "gru", practical=[1]), "practical=\\[1\\] must be"),  # type: ignore[arg-type]
    (lambda: seqbench.report(3), "out must be a text .*, not 3"),  # type: ignore[arg-type]
    (lambda: seqbench.report(""), "out must be a text .*, not ''"),
    (lambda: seqbench.report(model={"lstm"}), "model must be a name or a list .*, not {'lstm'}"),
    (lambda: seqbench.report(task=[1]), "task must be a text .*, not 1"),
    (lambda: seqbench.evaluate(None), "run must be a text .*, not None"),  # type: ignore[arg-type]
    (lambda: seqbench.evaluate(12), "run must be a text .*, not 12"),  # type: ignore[arg-type]
    (lambda: seqbench.evaluate("12", uri=3), "uri must be a text .*, not 3"),  # type: ignore[arg-type]
    (lambda: seqbench.load(None), "run must be a text .*, not None"),  # type: ignore[arg-type]
    (lambda: seqbench.load("12", fold=1.5), "fold must be a number, a name or None"),  # type: ignore[arg-type]
    (lambda: seqbench.load("12", accelerator=None), "accelerator must be one of"),  # type: ignore[arg-type]
    (lambda: seqbench.sweep(seed=(seed for seed in range(2))), "seed: a value must be .*generator"),
    (lambda: seqbench.sweep(seed={1, 2}), "seed: a value must be .*, not {1, 2}"),
    (lambda: seqbench.sweep(seed=[]), "seed: a sweep needs at least one value"),
    (lambda: seqbench.sweep(launcher=3), "unknown hydra/launcher '3'"),  # type: ignore[arg-type]
    (lambda: seqbench.run(model=print), "model: a value must be"),
    (lambda: seqbench.run(recipe={"lr": {1}}), "recipe.lr: a value must be .*, not {1}"),
    (lambda: seqbench.results(uri=[1]), "tracking.uri must be text or null"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), CALLS, ids=[message[:30] for _, message in CALLS])
def test_arguments_of_the_wrong_type(
    call: Callable[[], object], message: str, folder: Path
) -> None:
    """Refused as a word of a command is, and nothing is made."""
    with pytest.raises(Refused, match=message) as refusal:
        call()
    assert len(str(refusal.value)) <= LONGEST
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_arrays_are_lists() -> None:
    """Of NumPy, as a sweep's values and as one number."""
    found = interface._word("seed", np.arange(3), several=True)
    assert found == "seed=0,1,2"
    assert interface._word("recipe.lr", np.float32(0.5)) == "recipe.lr=0.5"
    assert interface._word("task.source", Path("a b")) == "task.source='a b'"


def test_a_mapping_with_a_name_chooses() -> None:
    """So that no message has keys of a task that was not asked for."""
    given = {"task": {"name": "data/classify", "source": "uea"}, "recipe": {"lr": 1}}
    assert dict(interface._flat(given)) == {
        "task": "data/classify", "task.source": "uea", "recipe.lr": 1,
    }  # fmt: skip
    with pytest.raises(Refused, match=r"unknown task 'muzic' \(did you mean 'music'"):
        seqbench.run(task={"name": "muzic"})
