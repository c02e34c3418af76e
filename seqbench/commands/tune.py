"""``seqbench tune``: the same number of candidates for each model, and the best on fresh seeds."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from seqbench.commands import read
from seqbench.errors import EXIT_DONE, EXIT_FAILED, Refused


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
    from seqbench.tuning.run import tune
    from seqbench.tuning.space import read_words

    words, of_hydra = split_words(given.overrides)
    tuning = read_words(words)
    deliver_what_waits([tuning.settings_of(*tuning.studies[0]).tracking])
    with make_launcher(of_hydra) as launcher:
        found = tune(tuning, [TUNE, *sorted(words)], launcher)
    models = [
        TunedModel(
            study=item.study,
            task=item.task,
            model=item.model,
            monitor=item.monitor,
            direction=item.direction,
            scores=[result.score for result in item.results],
            trials=len(item.results) * len(tuning.settings.seeds),
            seconds=sum(result.seconds for result in item.results),
            best=item.best or {},
            importances=item.importances,
        )
        for item in found
    ]
    print_tuning(models)
    final = [result for item in found for result in item.final]
    if final:
        sys.stdout.write(f"\non seeds {', '.join(map(str, tuning.settings.final_seeds))}:\n")
        print_sweep(final)
    picture = tuning.folder / picture_name(models)
    budget_curves(models, picture)
    sys.stdout.write(f"\nbest by budget: {readable_path(picture)}\n")
    for item in found:
        sys.stdout.write(f"budget of {item.task} {item.model}: {item.budget}\n")
        reasons = Counter(result.reason for result in item.results if result.reason)
        for reason, number in reasons.items():
            sys.stdout.write(f"{number} failed of {item.task} {item.model}: {reason}\n")
    well = all(result.status in ("FINISHED", "ELSEWHERE") for result in final)
    return EXIT_DONE if well and all(item.best for item in found) else EXIT_FAILED


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
