"""`seqbench evaluate run=ID`: a finished run's model on its task's test split, or on other data."""

from __future__ import annotations

from seqbench.commands import read
from seqbench.commands.notes import note
from seqbench.errors import EXIT_DONE, Refused


def command(args: list[str]) -> int:
    """Evaluate a run and print the table; returns the exit code.

    Args:
        args: see ``seqbench evaluate --help``.

    Raises:
        Refused: an argument is wrong, or the run is unknown, unfinished or damaged, or its model
            does not fit the data.
    """
    given = read("evaluate", args)
    if any(word.startswith("task.name=") for word in given.overrides):
        raise Refused("seqbench evaluate: a run is scored on its own task; leave out task.name")
    _check_source(given.overrides)
    from seqbench.reporting.terminal import print_result
    from seqbench.trials.evaluate import evaluate

    uri = given.optional("tracking.uri")
    accelerator = given.text("trainer.accelerator")
    found = evaluate(given.text("run"), uri, given.overrides, accelerator=accelerator, note=note)
    print_result(found.record, evaluation=found.evaluation)
    return EXIT_DONE


def _check_source(words: list[str]) -> None:
    """Refuse a source that is not there before torch and MLflow load, where no name can be meant.

    A plugin's task may take other things than paths.
    """
    from omegaconf import OmegaConf

    from seqbench.config.composition import check_source
    from seqbench.registry.plugins import registry
    from seqbench.registry.registration import BUILT_IN

    if any(item.origin != BUILT_IN for item in registry().all("task")):
        return
    for word in words:
        if word.startswith("task.source="):
            try:
                found = OmegaConf.from_dotlist([word]).task.source
            except Exception:  # what cannot be read is refused with the run
                continue
            check_source(found)
