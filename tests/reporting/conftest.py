"""Trials as a store would tell them, made up so that what is true of them is known."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from seqbench.records import MetricInfo, TrialRecord
from seqbench.reporting.overview import overviews
from seqbench.reporting.page import Content
from seqbench.reporting.splits import split_tables
from seqbench.reporting.table import Table
from seqbench.reporting.trials import ReportedTrial
from seqbench.tracking.logged import LoggedTrial

Make = Callable[..., LoggedTrial]

PARTS = {
    "task": "aaaa", "model": "bbbb", "protocol": "2", "torch": "2.13.0", "lightning": "2.6.5",
}  # fmt: skip


@pytest.fixture(scope="session")
def logged() -> Make:
    """Make a finished run of a trial, with anything changed."""

    def make(
        model: str = "lstm",
        seed: int = 0,
        score: float = 8.5,
        *,
        task: str = "music",
        status: str = "FINISHED",
        reason: str = "",
        began: float = 1000.0,
        config: dict[str, Any] | None = None,
        parts: dict[str, str] | None = None,
        parent: str = "",
        gap: str = "",
        data: str = "dd",
        plan: str = "",
        **fields: Any,
    ) -> LoggedTrial:
        text = repr((model, seed, task, began, parent, config, parts))
        run_id = hashlib.sha256(text.encode()).hexdigest()[:32]
        record = TrialRecord(
            key=run_id[:16],
            task=task,
            model=model,
            seed=seed,
            context="past",
            status=status,  # type: ignore[arg-type]
            reason=reason,
            monitor=MetricInfo("nll", "min", "nats per frame"),
            primary=MetricInfo("nll", "min", "nats per frame"),
            metrics={"test/nll": score, "valid/nll": score + 0.1, "test/accuracy": 0.3},
            baselines={"unigram": {"nll": 11.3}, "logistic_regression": {"nll": 9.4}},
            history=[
                {"valid/nll": score + 1 / (epoch + 1), "seconds": 0.5 * (epoch + 1)}
                for epoch in range(5)
            ],
            parameters=1000 + 100 * len(model),
            epochs=5,
            steps=50,
            steps_per_second=10.0,
            seconds=5.0,
            costs={
                "flops_per_step": 2000.0 + len(model), "state_bytes": 512.0, "step_seconds": 1e-3,
                "sequence_seconds": 0.02, "sequence_steps": 50, "peak_bytes": 3e8,
            },
            backend="cpu",
            environment={"device": "cpu", "python": "3.11.7", "git": "0123456 (clean)"},
        )  # fmt: skip
        chosen = {
            "task": {"name": task, "fold": 0},
            "model": {"name": model, "hidden_size": 128},
            "recipe": {"lr": 0.003, "max_epochs": 200, "max_examples": None},
            "trainer": {"accelerator": "cpu", "progress": True},
            "seed": seed,
        }
        for section, changes in (config or {}).items():
            chosen[section] = {**chosen[section], **changes}  # type: ignore[dict-item]
        return LoggedTrial(
            run_id=run_id,
            status=status,
            reason=reason,
            began=began,
            record=dataclasses.replace(record, **fields),
            config=chosen,
            tags={
                "seqbench.schema": "2",
                "seqbench.parts": json.dumps({**PARTS, **(parts or {})}),
                "seqbench.data": data,
                **({"seqbench.plan": plan} if plan else {}),
            },
            parent=parent,
            gap=gap,
        )

    return make


@pytest.fixture(scope="session")
def family(logged: Make) -> Callable[..., list[LoggedTrial]]:
    """Make a run of each seed and model, planned and audited: ``family(lstm=8.5, gru=8.4)``.

    ``noise`` is the standard deviation of a run over seeds. Test pieces are as many as ``groups``,
    ``spread`` is the standard deviation over them of a model's own difficulty; the pieces' common
    one cancels in differences. Bootstrap scores come from resamples of pieces, as in a trial.
    A model whose mean is a list has these scores. ``looks`` of the plan are all seeds.
    """

    def make(
        seeds: Sequence[int] = range(10),
        noise: float = 0.02,
        task: str = "music",
        groups: int = 20,
        spread: float = 0.02,
        looks: Sequence[int] = (),
        planned: Sequence[int] | None = None,
        fields: dict[str, Any] | None = None,
        **means: float | list[float],
    ) -> list[LoggedTrial]:
        generator = np.random.default_rng(1)
        counts = np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), 1000)
        pieces = generator.normal(0, 0.3, groups)
        plan = make_plan(planned if planned is not None else seeds, looks)
        given = {
            "audit": "passed",
            "group": "piece",
            "group_sizes": [1.0] * groups,
            "baseline_bootstrap": {
                name: drawn(counts, level, pieces)
                for name, level in (("unigram", 11.3), ("logistic_regression", 9.4))
            },
            **(fields or {}),
        }
        runs = []
        for model, mean in means.items():
            own = generator.normal(0, noise, len(seeds))
            own -= own.mean()
            scores = list(mean) if isinstance(mean, list) else (mean + own).tolist()
            of_pieces = pieces + generator.normal(0, spread, groups)
            for seed, score in zip(seeds, scores, strict=True):
                each = {"bootstrap_scores": drawn(counts, score, of_pieces), **given}
                if math.isfinite(score):
                    runs.append(logged(model, seed, score, task=task, plan=plan, **each))
                else:
                    runs.append(logged(model, seed, math.nan, task=task, plan=plan,
                                       status="FAILED", reason="the loss became nan",
                                       metrics={}))  # fmt: skip
        return runs

    def make_plan(seeds: Sequence[int], looks: Sequence[int]) -> str:
        return json.dumps({"seeds": list(seeds), "looks": list(looks) or [len(seeds)]})

    def drawn(counts: np.ndarray, score: float, of_pieces: np.ndarray) -> list[float]:
        centred = of_pieces - of_pieces.mean()
        return (score + counts @ centred / counts.shape[1]).tolist()

    return make


@pytest.fixture(scope="session")
def content_of() -> Callable[[list[ReportedTrial], list[Table]], Content]:
    """Make a report without pictures, which cost most of its time."""

    def make(trials: list[ReportedTrial], tables: list[Table]) -> Content:
        return Content(
            store="store.db", chosen="", trials=trials, tables=tables,
            overviews=overviews(tables)[0], splits=split_tables(tables), pictures={}, tunings=[],
            commands=lambda _: [], notes=[],
        )  # fmt: skip

    return make
