"""What a sweep's variants need so that a difference between them can be found."""

from __future__ import annotations

from collections.abc import Sequence

from seqbench.config.command import command, plugin_words, store_words
from seqbench.config.settings import TrackingSettings
from seqbench.identity import conditions_and_variant
from seqbench.registry.plugins import registry
from seqbench.reporting.comparison import Practical
from seqbench.reporting.needs import needs
from seqbench.reporting.pilot import PILOT, AskedVariant, PilotRuns, pilot_runs
from seqbench.sweeps.plan import Plan, Planned
from seqbench.sweeps.run import trial_names

Key = tuple[str, str, TrackingSettings]


def needed(found: Plan, words: Sequence[str], difference: Practical | None) -> list[str]:
    """Return what it takes to find a difference between the variants of a plan, in lines.

    Args:
        found: the plan.
        words: of the sweep's command.
        difference: that is to be found; None takes the smallest that each task says to be worth
            having, and says nothing of a task that does not say.

    Raises:
        Refused: the tracking store cannot be used.
    """
    lines = []
    for (title, _, tracking), asked in _tables(found.trials).items():
        wanted = difference or _worth(asked[0].task)
        if wanted is None or len(asked) < 2:
            continue
        if not tracking.enabled:
            lines.append(f"{title}: tracking=none keeps no trials, so what it takes is not known")
            continue
        runs = pilot_runs(asked, tracking)
        lines += needs(title, asked, runs, wanted) or _pilot(title, runs, words, tracking)
    if difference is not None and not lines:
        lines.append("a difference is one between variants: name two or more, as model=lstm,gru")
    return lines


def _worth(task: str) -> Practical | None:
    found = registry().get("task", task).smallest_difference
    return None if found is None else Practical(found[0], is_share=False)


def _tables(trials: Sequence[Planned]) -> dict[Key, list[AskedVariant]]:
    """Return the variants that will stand in one table, for each table."""
    found: dict[Key, dict[str, AskedVariant]] = {}
    numbers: dict[tuple[Key, str], int] = {}
    names = trial_names(trials, seeds=False)
    for item, name in zip(trials, names, strict=True):
        if item.settings is None:
            continue
        settings, config = item.settings, item.settings.to_dict()
        conditions, variant = conditions_and_variant(
            settings.task, settings.model, config, item.parts, ""
        )
        key = (item.title, conditions, settings.tracking)
        number = numbers[key, variant] = numbers.get((key, variant), 0) + 1
        found.setdefault(key, {})[variant] = AskedVariant(
            name.removeprefix(item.title).strip(),
            settings.task,
            settings.model,
            config,
            item.parts,
            number,
        )
    return {key: list(variants.values()) for key, variants in found.items()}


def _pilot(
    title: str,
    runs: dict[str, PilotRuns],
    words: Sequence[str],
    tracking: TrackingSettings,
) -> list[str]:
    """Say that nothing is known yet, and how to know it."""
    left_out = ("seed=", "looks=", "rerun=", "tracking.experiment=", "tracking=")
    kept = [word for word in words if not word.startswith(left_out)]
    own = [word for word in store_words(tracking) if not word.startswith("tracking.experiment=")]
    kept += [word for word in own if word not in kept]
    few = ", ".join(name for name, found in runs.items() if not found.by_split)
    who = few or "two seeds of each model"
    pilot = ["seed=range(100,105)", f"tracking.experiment={PILOT}"]
    return [
        f"{title}: what a difference takes is not known without trials of {who}; a pilot tells:",
        f"  {command('-m', plugin_words(), kept, pilot)}",
    ]
