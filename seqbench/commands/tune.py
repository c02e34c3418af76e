"""``seqbench tune``: the same number of candidates for each model, and the best on fresh seeds."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqbench.commands import read
from seqbench.errors import EXIT_DONE, EXIT_FAILED, Refused

if TYPE_CHECKING:
    from seqbench.tuning.space import Tuning


def command(args: list[str]) -> int:
    """Tune models, and print what was found.

    Args:
        args: ``trials=N model=NAME,NAME task=NAME``, ``tune.*``, overrides of all trials, parts of
            the search space, and ``hydra/launcher=NAME``.

    Raises:
        Refused: a word is wrong, or Optuna is not installed.
        KeyboardInterrupt: the user stopped it.
    """
    _need_optuna()
    given = read("tune", args)
    from seqbench.config.overrides import split_words
    from seqbench.reporting.sweep import print_sweep
    from seqbench.reporting.tuning import TunedModel, budget_curves, picture_name, print_tuning
    from seqbench.sweeps.run import deliver_what_waits
    from seqbench.sweeps.sweeper import make_launcher
    from seqbench.tracking.address import readable_path
    from seqbench.tracking.trials import TUNE
    from seqbench.tuning.run import tune, write
    from seqbench.tuning.space import read_words

    words, of_hydra = split_words(given.overrides)
    tuning = read_words(words)
    deliver_what_waits([tuning.settings_of(*tuning.studies[0]).tracking])
    with make_launcher(of_hydra) as launcher:
        found = tune(tuning, [TUNE, *sorted(words)], launcher)
    models = [
        TunedModel(
            study=item.study,
            task=item.task if item.fold is None else f"{item.task} fold {item.fold}",
            model=item.model,
            monitor=item.monitor,
            direction=item.direction,
            scores=[result.score for result in item.results],
            trials=len(item.results) * len(tuning.settings.seeds),
            seconds=sum(result.seconds for result in item.results),
            best=item.best or {},
            importances=item.importances,
        )
        for choice in found
        for item in choice.studies
    ]
    print_tuning(models)
    final = [result for choice in found for result in choice.final]
    if final:
        sys.stdout.write(f"\non seeds {', '.join(map(str, tuning.settings.final_seeds))}:\n")
        print_sweep(final)
    picture = tuning.folder / picture_name(models)
    budget_curves(models, picture)
    sys.stdout.write(f"\nbest by budget: {readable_path(picture)}\n")
    for choice in found:
        sys.stdout.write(f"budget of {choice.task} {choice.model}: {choice.budget}\n")
        reasons = Counter(
            result.reason for item in choice.studies for result in item.results if result.reason
        )
        for reason, number in reasons.items():
            sys.stdout.write(f"{number} failed of {choice.task} {choice.model}: {reason}\n")
    if written := write(tuning, found):
        for path in written:
            sys.stdout.write(f"written: {readable_path(path)}\n")
        sys.stdout.write(f"take it: {_taking(tuning)}\n")
    well = all(result.status in ("FINISHED", "ELSEWHERE") for result in final)
    return EXIT_DONE if well and all(choice.is_made for choice in found) else EXIT_FAILED


def _taking(tuning: Tuning) -> str:
    """Return the command that trains each model with the recipe that was written."""
    from seqbench.config.command import command, plugin_words

    tasks, models = (dict.fromkeys(names) for names in zip(*tuning.studies, strict=True))
    kept = [word for word in tuning.fixed if not word.startswith(("recipe", "model."))]
    seeds = ",".join(map(str, tuning.settings.final_seeds))
    words = [f"task={','.join(tasks)}", f"model={','.join(models)}", *kept]
    recipe = [f"recipe={tuning.settings.save}", f"seed={seeds}"]
    folder = f"--config-dir={tuning.settings.folder}"
    known = [word for word in plugin_words() if word != folder]
    return command([*known, folder, "-m", *words, *recipe])


def known_members(words: Sequence[str]) -> list[list[str]]:
    """Return the overrides of the trials of a tuning's candidates that were drawn so far.

    Args:
        words: that name the tuning.

    Raises:
        Refused: a word is wrong, or Optuna is not installed.
    """
    _need_optuna()
    from seqbench.tracking.trials import TUNE
    from seqbench.tuning.run import known_members as members_of
    from seqbench.tuning.space import read_words

    return members_of(read_words([word for word in words if word != TUNE]))


def _need_optuna() -> None:
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise Refused("seqbench tune needs optuna: pip install 'seqbench[optuna]'")
