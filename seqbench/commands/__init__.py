"""The subcommands of ``seqbench``: what each takes, in one table; its module is imported on call.

From the table come parsing, ``seqbench COMMAND --help``, TAB, the help page and the README's list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqbench.commands.words import (
    ANY,
    AmountOrShare,
    Choice,
    Given,
    Names,
    Positive,
    Quoted,
    Whole,
    Word,
    read_words,
)


@dataclass(frozen=True)
class Subcommand:
    """A first word that is not an override.

    Args:
        module: in ``seqbench.commands``, with a function ``command(args) -> exit code``.
        example: words after its name, for the help page and the README.
        short: what it does, in a line of the help page and the README.
        summary: what it does, for its own help.
        words: that it takes.
        otherwise: what is said of a bare word that it does not take.
    """

    module: str
    example: str
    short: str
    summary: str
    words: tuple[Word, ...] = ()
    otherwise: str = ""


_URI = Word(
    "tracking.uri",
    "the tracking store: a folder, a file or a server; otherwise $MLFLOW_TRACKING_URI, or "
    "seqbench-runs/ here",
    "URI",
    form=Quoted(),
)
_TRACKING = Word(
    "tracking.",
    "another store or experiment: tracking.uri=URI, tracking.experiment=NAME",
    "VALUE",
    below=("tracking.uri", "tracking.experiment"),
)
_RUN = Word(
    "run",
    "a finished run: its identifier or the first digits, as its table and the report show them",
    "ID",
    least=1,
    missing="run=ID is missing; `seqbench ui` shows the runs",
)
_ACCELERATOR = Word(
    "trainer.accelerator",
    "where to compute: auto is where it was trained, or a CPU if there is no GPU here",
    "auto|cpu|gpu",
    "auto",
    Choice(("auto", "cpu", "gpu")),
)
_JSON = Word("--json", "print JSON instead of text")
_MULTIRUN = Word("-m", "as a sweep's command has it; changes nothing", former=("--multirun",))
_MODEL_KEYS = Word("model.", "a parameter of the model", "VALUE")
_TASK_KEYS = Word("task.", "a parameter of the task, for example task.source=PATH", "VALUE")
_FILTERS = (
    Word("task", "trials of these tasks only", "NAME,...", form=Names(), kind="task"),
    Word(
        "sweep",
        "trials of this sweep only: the beginning of its run's identifier, or latest",
        "RUN|latest",
        form=Names(),
    ),
    Word(
        "conditions",
        "trials of the same conditions only: the beginning of the hash that a table names",
        "HASH",
        form=Names(),
        former=("protocol",),
    ),
)
_PRACTICAL = Word(
    "practical",
    "the smallest difference worth having, in place of the task's: in the metric's unit, or a "
    "share of the control's score",
    "0.05|1%",
)
_OUT = "where to write"

SUBCOMMANDS = {
    "list": Subcommand(
        "listing",
        "",
        "models and tasks, and whether they work here",
        "List models and tasks: name, what it is, origin, and whether it can be used here.",
        (Word("KIND", "only these", form=Choice(("models", "tasks"))),),
    ),
    "describe": Subcommand(
        "describe",
        "model=peephole",
        "equations, parameters; a task's data card",
        "Describe a model or task: equations, citation, parameters, data, metrics, baselines; or "
        "draw an example of a task's data.",
        (
            Word("model", "a model", "NAME", repeats=True, kind="model"),
            Word("task", "a task", "NAME", repeats=True, kind="task"),
            Word("NAME", "a model or a task by its name alone", repeats=True, kind="model task"),
            Word("picture", "draw an example of the task's data into this file", "FILE"),
        ),
    ),
    "new": Subcommand(
        "new",
        "model my_cell",
        "a file of your own to begin with",
        "Write a file that runs as it is, or a whole distribution, to begin a model or a task of "
        "your own with.",
        (
            Word(
                "KIND",
                "what to begin",
                form=Choice(("model", "task")),
                least=1,
                missing="write `model NAME` or `task NAME`",
            ),
            Word(
                "NAME",
                "of the file, and by which it is selected",
                least=1,
                missing="write `model NAME` or `task NAME`",
            ),
            Word("out", f"the folder {_OUT}", "FOLDER", "."),
            Word("--package", "write a distribution, with configuration, tests and entry points"),
        ),
    ),
    "check": Subcommand(
        "check",
        "my_cell.py",
        "does it keep a fair comparison's contract?",
        "Run the conformance suite: does a model or task keep its contract? Says what was seen, "
        "what was expected, and where to read.",
        (
            Word("model", "models", "NAME,...", form=Names(), repeats=True, kind="model"),
            Word("task", "tasks", "NAME,...", form=Names(), repeats=True, kind="task"),
            Word("FILE", "a Python file with a model or a task", repeats=True),
            Word("--installed", "every plugin that is installed"),
            _JSON,
            _MODEL_KEYS,
            _TASK_KEYS,
        ),
    ),
    "prepare": Subcommand(
        "prepare",
        "task=music",
        "fetch and check data, to work offline later",
        "Fetch, check and cache a task's data, so that trials work offline.",
        (
            Word("task", "the task", "NAME", "music", kind="task"),
            Word("task.", _TASK_KEYS.meaning, "VALUE", former=("+task.",)),
        ),
    ),
    "evaluate": Subcommand(
        "evaluate",
        "run=ID task.source=PATH",
        "a finished run's model, on other data",
        "Score the model of a finished run again, on its own test data or on yours.",
        (_RUN, _TASK_KEYS, _ACCELERATOR, _URI),
    ),
    "sample": Subcommand(
        "sample",
        "run=ID",
        "a chorale continued by a trained model",
        "Continue a piece of the test split with a trained model of context=past: MIDI and a "
        "picture.",
        (
            _RUN,
            Word("piece", "number or name of a piece of the test split", "NUMBER|NAME", "0"),
            Word("given", "steps of it that the model is given", "NUMBER", "16", Whole(0)),
            Word("steps", "steps to draw", "NUMBER", "64", Whole(1, 10_000)),
            Word("seed", "of the draws", "NUMBER", "0", Whole(0)),
            Word(
                "temperature",
                "1 draws what the model says, less its most probable steps, more nearer to chance",
                "NUMBER",
                "1",
                Positive(),
            ),
            Word("out", "path of the files without their suffixes; otherwise sample-ID", "STEM"),
            _URI,
        ),
    ),
    "plan": Subcommand(
        "plan",
        "-m model=lstm,gru seed=0,1,2",
        "what it would run, and how long that may take",
        "Say what a sweep has finished, what it would run, how long that may take, and how many "
        "seeds, test groups and splits a difference between its models takes.",
        (
            _MULTIRUN,
            Word(
                "difference",
                "that is to be found; otherwise the smallest that the task says to be worth having",
                "0.05|1%",
                form=AmountOrShare(),
                taken=True,
            ),
            Word(ANY, "the sweep's own overrides", "VALUE,VALUE", repeats=True),
        ),
    ),
    "status": Subcommand(
        "status",
        "",
        "how the latest sweep goes",
        "Show how the latest sweep goes, or another one: what has finished, runs, failed, is stale "
        "and why.",
        (
            _TRACKING,
            _MULTIRUN,
            Word(ANY, "the overrides of another sweep", "VALUE,VALUE", repeats=True),
        ),
    ),
    "tune": Subcommand(
        "tune",
        "task=music model=lstm,gru trials=20",
        "the same tuning budget for each model",
        "Tune each model with the same number of candidates, on validation; then train its best "
        "on fresh seeds.",
        (
            Word("trials", "candidates of each model", "NUMBER"),
            Word("model", "the models", "NAME,...", kind="model"),
            Word("task", "the tasks", "NAME,...", kind="task"),
            Word("tune.seeds", "a candidate's score is the mean over these", "[SEED,...]"),
            Word("tune.final_seeds", "on which the best is trained again", "[SEED,...]"),
            Word("tune.sampler", "how candidates are drawn: tpe or random", "NAME"),
            Word("tune.sampler_seed", "of the draws", "NUMBER"),
            Word("hydra/launcher", "where trials run: basic, local, slurm or ray", "NAME"),
            Word(
                ANY,
                "any override; an interval such as recipe.lr=interval(1e-4,1e-2) is searched",
                "VALUE",
                repeats=True,
            ),
        ),
    ),
    "report": Subcommand(
        "report",
        "",
        "which differences hold, what models cost",
        "Say which differences between models hold on new data and what models cost: a page, "
        "Markdown, LaTeX, CSV and Parquet.",
        (
            _FILTERS[0],
            Word("model", "trials of these models only", "NAME,...", form=Names(), kind="model"),
            *_FILTERS[1:],
            Word("control", "what others are compared with", "MODEL", kind="model"),
            _PRACTICAL,
            Word("out", f"the folder {_OUT}", "FOLDER", "seqbench-report"),
            _JSON,
            _TRACKING,
        ),
        otherwise="to compare models, write seqbench compare",
    ),
    "compare": Subcommand(
        "compare",
        "lstm gru task=music",
        "does that difference hold? in the terminal",
        "Compare models by their finished trials, each with the first one, here in the terminal.",
        (
            Word(
                "MODEL",
                "two or more, the first of which others are compared with",
                least=2,
                missing="name two models, for example: seqbench compare lstm gru",
                repeats=True,
                kind="model",
            ),
            *_FILTERS,
            Word("control", "another one that others are compared with", "MODEL", kind="model"),
            _PRACTICAL,
            _JSON,
            _TRACKING,
        ),
    ),
    "costs": Subcommand(
        "costs",
        "task=music",
        "what a step of each model costs, timed together",
        "Time one more step of every model that has finished, those of the same conditions in "
        "turns, and keep it for the report.",
        (_FILTERS[0], _FILTERS[2], _TRACKING),
        otherwise="all models of a task are timed together",
    ),
    "repro": Subcommand(
        "repro",
        "ID",
        "train a run again: do the bits agree?",
        "Train a finished run's trial again, or score its weights apart from the targets, and say "
        "whether the numbers agree.",
        (
            Word(
                "run",
                _RUN.meaning,
                "ID",
                least=1,
                missing="which RUN? `seqbench report` and `seqbench ui` show them",
                bare=True,
            ),
            Word(
                "--isolated",
                "do not train: score the kept weights in a process that never held the targets",
            ),
            _URI,
        ),
    ),
    "sync": Subcommand(
        "sync",
        "",
        "deliver what a tracking store did not take",
        "Deliver what a store did not take when it failed: it waits in unlogged/ beside it.",
        (Word("tracking.uri", "only what is for this store", "URI", form=Quoted()),),
    ),
    "doctor": Subcommand(
        "doctor",
        "",
        "what is ok here, what to do about the rest",
        "Check versions, devices, data, plugins and tracking: each is ok, or says what to do.",
    ),
    "ui": Subcommand(
        "ui",
        "",
        "browse the runs in MLflow's page",
        "Browse the runs in MLflow's own page, on this machine only.",
        (
            Word("port", "of the page", "NUMBER", "5000", Whole(1, 65535)),
            _URI,
        ),
    ),
}


def read(command: str, args: Sequence[str]) -> Given:
    """Return what a subcommand's arguments say.

    Raises:
        Refused: an argument is unknown or its value is wrong, or one is missing.
    """
    known = SUBCOMMANDS[command]
    return read_words(command, known.words, args, known.otherwise)
