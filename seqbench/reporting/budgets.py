"""What was spent on choosing a configuration, as records say it: were two models given the same?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What a tuning gives each model. Two budgets are equal if all fields are.

    The model and its study are no fields: what is compared is what each model was given.

    Args:
        candidates: settings that are tried, in each fold.
        seeds: on which each is trained, in rising order.
        folds: that choose for themselves; 1 where nothing is nested.
        sampler: ``tpe`` or ``random``.
        sampler_seed: of the sampler.
        space: what is drawn, as the command says it, by key; a model that lacks a key goes without.
    """

    candidates: int
    seeds: tuple[int, ...]
    folds: int
    sampler: str
    sampler_seed: int
    space: frozenset[tuple[str, str]]

    @classmethod
    def of(
        cls,
        candidates: int,
        seeds: Iterable[int],
        folds: int,
        sampler: str,
        sampler_seed: int,
        space: Mapping[str, str],
    ) -> Budget:
        """Return a budget from what a tuning knows; the order of seeds and space is none of it."""
        return cls(
            candidates,
            tuple(sorted(seeds)),
            folds,
            sampler,
            sampler_seed,
            frozenset(space.items()),
        )

    @classmethod
    def read(cls, text: str) -> Budget | None:
        """Return the budget that a record's ``tuning`` tells; None where it is in other words."""
        found = _TEXT.fullmatch(text)
        if found is None:
            return None
        words = [word for word in re.split(_NEXT_KEY, found["space"]) if word]
        return cls.of(
            int(found["candidates"]),
            [int(seed) for seed in found["seeds"].split(", ")],
            int(found["folds"] or 1),
            found["sampler"],
            int(found["sampler_seed"]),
            {key: value for key, _, value in (word.partition("=") for word in words)},
        )

    def __str__(self) -> str:
        nested = f" in each of {self.folds} folds" if self.folds > 1 else ""
        space = " ".join(f"{key}={value}" for key, value in sorted(self.space))
        return (
            f"{self.candidates} candidates x seeds {', '.join(map(str, self.seeds))}{nested}, "
            f"{self.sampler} with seed {self.sampler_seed}, space: {space}"
        )


# Runs of before say which study it was, too, and had no folds of their own.
_TEXT = re.compile(
    r"(?P<candidates>\d+) candidates x seeds (?P<seeds>\d+(?:, \d+)*)"
    r"(?: in each of (?P<folds>\d+) folds)?, (?P<sampler>\w+) with seed (?P<sampler_seed>\d+)"
    r"(?:, study \S+)?, space: (?P<space>.*)"
)
_NEXT_KEY = r" (?=(?:recipe|model)\.\w+=)"


def same_budget(tunings: Iterable[str]) -> bool:
    """Return whether trials were given the same to find their configurations.

    Args:
        tunings: what their records say of it, see :attr:`seqbench.records.TrialRecord.tuning`;
            empty for one that was not tuned. Words that nobody knows are equal to the same only.
    """
    return len({Budget.read(text) or text for text in tunings}) <= 1
