"""``seqbench tune``: the same number of candidates for each model, and the best on fresh seeds."""

from __future__ import annotations

import sys

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
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise Refused("seqbench tune needs optuna: pip install 'seqbench[optuna]'")
    for word in args:
        if word.startswith("-"):
            raise Refused(f"seqbench tune: '{word}' is of no use here; see seqbench tune --help")
    from seqbench.reporting.sweep import print_sweep
    from seqbench.reporting.tuning import TunedModel, budget_curves, print_tuning
    from seqbench.sweeps.members import split_words
    from seqbench.sweeps.run import deliver_what_waits
    from seqbench.sweeps.sweeper import make_launcher
    from seqbench.tracking.address import readable_path
    from seqbench.tuning.run import tune
    from seqbench.tuning.space import read_words
    from seqbench.tuning.study import FOLDER

    words, of_hydra = split_words(args)
    tuning = read_words(words)
    deliver_what_waits()
    with make_launcher(of_hydra) as launcher:
        found = tune(tuning, ["tune", *sorted(words)], launcher)
    models = [
        TunedModel(
            item.task,
            item.model,
            item.monitor,
            item.direction,
            item.scores,
            item.best or {},
            item.importances,
        )
        for item in found
    ]
    print_tuning(models)
    final = [result for item in found for result in item.final]
    if final:
        sys.stdout.write(f"\non seeds {', '.join(map(str, tuning.settings.final_seeds))}:\n")
        print_sweep(final)
    picture = FOLDER / f"{found[0].budget.rpartition(' ')[2]}-{tuning.trials}.png"
    budget_curves(models, picture)
    sys.stdout.write(f"\nbest by budget: {readable_path(picture)}\n")
    for item in found:
        sys.stdout.write(f"budget of {item.task} {item.model}: {item.budget}\n")
        for reason in dict.fromkeys(item.failures):
            sys.stdout.write(f"failed candidates: {reason}\n")
    well = all(result.status in ("FINISHED", "ELSEWHERE") for result in final)
    return EXIT_DONE if well and all(item.best for item in found) else EXIT_FAILED
