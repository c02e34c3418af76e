"""The tags of runs: what a run is found by, and what it says of its trial."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from seqbench.records import SCHEMA, MetricInfo

CONFIGURATION, PARTS = "seqbench.configuration", "seqbench.parts"
"""Tags that say which trial a run is of, see :class:`seqbench.identity.Identity`."""
PRIMARY, MONITOR = "seqbench.primary", "seqbench.monitor"
"""Tags that say by which metric a trial is judged, and which selects its epoch, as JSON."""
SWEEP, SWEEP_KEY = "seqbench.sweep", "seqbench.sweep_key"
"""Tags of the run of a sweep: its command as JSON, and a hash of it."""
BEGAN = "seqbench.began"
"""Tag of the run of a sweep: when it was started last, in seconds since 1970."""
PARENT = "mlflow.parentRunId"
"""Tag of MLflow's that says under which run, a sweep's, one is nested."""
SCHEMA_TAG = "seqbench.schema"
"""Tag that says under which :data:`seqbench.records.SCHEMA` a run was kept; none says the first."""
TITLE, SOURCE, LEFT_OUT = "seqbench.title", "seqbench.source", "seqbench.left_out"
"""Tags that say what the data are called, where a user's own lie, and what of them is not used."""
FOLDS = "seqbench.folds"
"""Tag that says what folds are called, whose metrics have their numbers."""
HARNESS = "seqbench.harness"
"""Tag with the hash of each module of the harness that trained a run, as JSON."""
PLAN = "seqbench.plan"
"""Tag with the seeds that a sweep planned and the looks at them, as JSON."""
TAG_LENGTH = 5000
"""Characters of a tag at most: MLflow's limit."""


def identity_tags(
    configuration: str, parts: Mapping[str, str], harness: Mapping[str, str]
) -> dict[str, str]:
    """Return what a run says of which trial it is, and of the harness that trains it.

    Args:
        configuration: see :class:`seqbench.identity.Identity`.
        parts: see there.
        harness: see :func:`seqbench.registry.codehash.harness_hashes`.
    """
    return {
        SCHEMA_TAG: str(SCHEMA),
        CONFIGURATION: configuration,
        PARTS: json.dumps(dict(parts), sort_keys=True),
        HARNESS: json.dumps(dict(harness), sort_keys=True, separators=(",", ":")),
    }


def plan_text(seeds: Iterable[int], looks: Iterable[int]) -> str:
    """Return what a run says of the seeds that were planned with its own; see :data:`PLAN`.

    Args:
        seeds: of all runs of the same conditions and variant.
        looks: after how many seeds the report may be read.

    Returns:
        Empty of more seeds than a tag holds: a thousand of them need no test.
    """
    found = {"seeds": sorted(set(seeds)), "looks": list(looks)}
    text = json.dumps(found, separators=(",", ":"))
    return text if len(text) <= TAG_LENGTH else ""


def schema_in(tags: Mapping[str, str]) -> int:
    """Return the schema under which a run was kept."""
    text = tags.get(SCHEMA_TAG, "")
    return int(text) if text.isascii() and text.isdigit() else 1


def mapping_in(text: str) -> dict[str, Any]:
    """Return the mapping that a tag holds as JSON; empty where it holds none."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def metric_in(text: str) -> MetricInfo | None:
    """Return the metric that a tag holds as JSON; None where it holds none."""
    try:
        return MetricInfo.of(mapping_in(text))
    except (TypeError, ValueError):
        return None
