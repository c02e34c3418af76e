"""The subcommands of ``seqbench``: a module each, imported when it is called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Subcommand:
    """A first word that is not an override.

    Args:
        module: in ``seqbench.commands``, with a function ``command(args) -> exit code``.
        usage: its arguments.
        summary: what it does.
    """

    module: str
    usage: str
    summary: str


SUBCOMMANDS = {
    "list": Subcommand(
        "listing",
        "[tasks|models]",
        "List models and tasks: name, what it is, origin, and whether it can be used here.",
    ),
    "describe": Subcommand(
        "describe",
        "model=NAME | task=NAME [picture=FILE]",
        "Describe a model or task: equations, citation, parameters, data, metrics, baselines; or "
        "draw an example of a task's data.",
    ),
    "new": Subcommand(
        "new",
        "model NAME | task NAME [--package] [out=FOLDER]",
        "Write a file that runs as it is, or a whole distribution, to begin a model or a task of "
        "your own with.",
    ),
    "check": Subcommand(
        "check",
        "model=NAME | task=NAME | FILE.py | --installed [--json] [model.KEY=VALUE ...]",
        "Run the conformance suite: does a model or task keep its contract? Says what was seen, "
        "what was expected, and where to read.",
    ),
    "prepare": Subcommand(
        "prepare",
        "task=NAME [task.PARAMETER=VALUE ...]",
        "Fetch, check and cache a task's data, so that trials work offline.",
    ),
    "evaluate": Subcommand(
        "evaluate",
        "run=ID [task.source=PATH] [tracking.uri=URI]",
        "Score the model of a finished run again, on its own test data or on yours.",
    ),
    "sample": Subcommand(
        "sample",
        "run=ID [piece=0] [given=16] [steps=64] [seed=0] [temperature=1] [out=STEM] "
        "[tracking.uri=URI]",
        "Continue a piece of the test split with a trained model of context=past: MIDI and a "
        "picture.",
    ),
    "plan": Subcommand(
        "plan",
        "[-m] key=value,value ...",
        "Say what a sweep has finished, what it would run, and how long that may take.",
    ),
    "status": Subcommand(
        "status",
        "[tracking.uri=URI] [tracking.experiment=NAME] [key=value,value ...]",
        "Show how the latest sweep goes, or another one: what has finished, runs, failed, is stale "
        "and why.",
    ),
    "tune": Subcommand(
        "tune",
        "trials=N model=NAME,NAME [task=NAME] [key=value ...] [key=interval(a,b) ...] "
        "[tune.seeds=0,1] [tune.final_seeds=100,101,102] [hydra/launcher=local]",
        "Tune each model with the same number of candidates, on validation; then train its best "
        "on fresh seeds.",
    ),
    "report": Subcommand(
        "report",
        "[task=NAME] [model=NAME] [sweep=RUN|latest] [conditions=HASH] [--control lstm] "
        "[practical=0.05|1%] [out=FOLDER] [--json] [tracking.uri=URI]",
        "Say which differences between finished trials are real and what they cost: a page, "
        "Markdown, LaTeX, CSV and Parquet.",
    ),
    "compare": Subcommand(
        "compare",
        "MODEL MODEL [...] [task=NAME] [sweep=RUN|latest] [conditions=HASH] [practical=0.05|1%] "
        "[--json] [tracking.uri=URI]",
        "Compare models by their finished trials, each with the first one, here in the terminal.",
    ),
    "repro": Subcommand(
        "repro",
        "RUN [tracking.uri=URI]",
        "Train a finished run's trial again, and say whether the bits agree.",
    ),
    "sync": Subcommand(
        "sync",
        "[tracking.uri=URI]",
        "Deliver what a tracking store did not take when it failed: it waits in seqbench-runs/.",
    ),
    "doctor": Subcommand(
        "doctor",
        "",
        "Check versions, devices, data, plugins and tracking: each is ok, or says what to do.",
    ),
    "ui": Subcommand(
        "ui",
        "[port=5000] [tracking.uri=URI]",
        "Browse the runs in MLflow's own page, on this machine only.",
    ),
}
