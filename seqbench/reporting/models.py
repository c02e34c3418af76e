"""Named models compared by their finished trials: is the difference real?"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from seqbench.config.command import command, plugin_words
from seqbench.errors import Refused, did_you_mean, listed, shortened
from seqbench.reporting.progress import ProgressWatch, unwatched
from seqbench.reporting.selection import Selection, Wanted, plugins_of, select, trial_words
from seqbench.reporting.summary import print_tables, summary
from seqbench.reporting.table import Table
from seqbench.reporting.text import wrapped
from seqbench.verdicts.family import Claim

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """Models compared by the runs that each has.

    Args:
        tables: one for each set of conditions, on ``next`` tasks of each context; the control is
            the model that was named first, unless another one was asked for.
        alone: tables in which only one of the models has a score, so that nothing is compared.
    """

    tables: list[Table]
    alone: list[Table]

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each variant of each table.

        ``task``, ``conditions``, ``label``, ``model``, ``seeds`` (how many finished), ``failed``
        (by the model's own fault), ``mean`` and ``standard_deviation`` of both, ``low`` and
        ``high`` of the mean's interval on new test groups, ``metric``, ``direction``; and the
        difference from the control, NaN for the control itself: ``difference``, its ends
        ``difference_low`` and ``difference_high`` on new test groups, ``p`` (adjusted), ``claim``
        (see :class:`seqbench.verdicts.family.Claim`) and ``better`` (which of the two; empty where
        that is not claimed).
        """
        import pandas as pd

        return pd.DataFrame([row for table in self.tables for row in _rows(table)])

    @property
    def summary(self) -> list[dict[str, Any]]:
        """The tables as JSON types; what is not finite is None."""
        return summary(self.tables)

    def __str__(self) -> str:
        """Return the tables that the command line prints."""
        from rich.console import Console

        text = io.StringIO()
        print_tables(self.tables, Console(file=text, highlight=False, emoji=False))
        return "\n".join([text.getvalue().strip("\n"), *map(wrapped, self.not_compared)])

    @property
    def not_compared(self) -> list[str]:
        """A line for each table in which nothing is compared, with what it has."""
        return [f"not compared: {_has(table)}" for table in self.alone]


def compare_models(
    models: Sequence[str], wanted: Wanted | None = None, watch: ProgressWatch = unwatched
) -> Comparison:
    """Compare models by their finished trials; older conditions are left out.

    Args:
        models: at least two registered names; the first is the control unless ``wanted`` names
            another.
        wanted: further filters, and which store.
        watch: sees each run that is read.

    Raises:
        Refused: a model was never run, nothing can be compared, or the store cannot be used.
    """
    wanted = wanted or Wanted()
    names = list(dict.fromkeys(models))
    if len(names) < 2:
        raise Refused("name two models, for example lstm and gru")
    if wanted.control and wanted.control not in names:
        hint = did_you_mean(wanted.control, names)
        raise Refused(
            f"control={wanted.control} is none of the models that are compared{hint}: "
            f"{', '.join(names)}"
        )
    control = wanted.control or names[0]
    filters = {**wanted.filters, "model": names}
    chosen = select(replace(wanted, filters=filters, control=control), watch)
    if not chosen.trials:
        task = [*wanted.filters.get("task", ()), "music"][0]
        example = _together([*plugin_words(), f"task={task}"], names, wanted)
        raise Refused(f"there is no trial in {chosen.store}; run some first: {example}")
    tables = [table for table in chosen.tables if not table.is_old]
    alone = [table for table in tables if not _compares(table)]
    tables = [table for table in tables if _compares(table)]
    if not tables:
        raise Refused(
            f"{' and '.join(names)} have no finished trials of the same conditions;"
            f" run them together: {_on_data_of(alone, names, wanted, chosen)}",
            [f"  {_has(table)}" for table in alone],
        )
    return Comparison(tables, alone)


def _on_data_of(
    tables: Sequence[Table], names: Sequence[str], wanted: Wanted, chosen: Selection
) -> str:
    """Return the command that runs models under the conditions of the newest of some tables."""
    table = max(tables, key=lambda table: table.newest)
    trial = max(table.trials, key=lambda trial: (trial.is_scored, trial.began))
    shared = trial_words(trial, chosen.defaults, only_shared=True)
    plugins = plugins_of(*(trial for table in tables for trial in table.trials))
    return _together([*plugins, f"task={table.task}", *shared], names, wanted)


def _together(words: Sequence[str], names: Sequence[str], wanted: Wanted) -> str:
    models = f"model={','.join(names)}"
    return command("-m", words, models, "seed=range(10)", wanted.tracking)


def _compares(table: Table) -> bool:
    return len({item.model for item in table.able}) > 1


def _has(table: Table) -> str:
    """Return what trials a table has, where they are too few to compare."""
    models = listed(
        (
            f"{item.label} {len(item.scored)} of {len(item.trials)} trials"
            for item in table.variants
        ),
        100,
    )
    reasons = dict.fromkeys(trial.reason for trial in table.trials if not trial.is_scored)
    why = f" ({'; '.join(filter(None, reasons))})" if any(reasons) else ""
    return f"{models} on {table.name}, conditions {table.conditions}{shortened(why, 160)}"


def _rows(table: Table) -> list[dict[str, Any]]:
    rows = []
    for item in table.variants:
        pair = item.control
        better = ""
        if pair is not None and pair.claim is Claim.BETTER:
            better = item.label if pair.favours_first else table.control
        rows.append(
            {
                "task": table.name,
                "conditions": table.conditions,
                "label": item.label,
                "model": item.model,
                "seeds": len(item.scored),
                "failed": len(item.failed),
                "mean": item.mean,
                "standard_deviation": item.deviation,
                "low": item.interval[0],
                "high": item.interval[1],
                "metric": table.metric.name,
                "direction": table.metric.direction,
                "difference": float("nan") if pair is None else pair.mean,
                "difference_low": float("nan") if pair is None else pair.interval.low,
                "difference_high": float("nan") if pair is None else pair.interval.high,
                "p": float("nan") if pair is None else pair.p_holm,
                "claim": "" if pair is None else str(pair.claim),
                "better": better,
            }
        )
    return rows
