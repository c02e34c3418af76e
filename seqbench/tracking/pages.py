"""What people see of the store in MLflow's own page: its address, its columns, a run's data.

MLflow opens an experiment in the mode that was used last, for language applications at first, and
shows no metric until it is chosen. A *shared view* (a tag of the experiment, named in the address)
says which columns are shown; MLflow has had it since 2.2, without an interface of its own.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from seqbench.records import TrialRecord

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient

VIEW_KEY = "seqbench"
VIEW = f"mlflow.sharedViewState.{VIEW_KEY}"
"""Tag of an experiment: the columns that its runs are shown with, as JSON."""
DESCRIPTION = "mlflow.note.content"
"""Tag that MLflow shows as a run's description, in Markdown."""
FINISHED, TRIALS = "sweep/finished", "sweep/trials"
"""Metrics of a sweep's run: how many of its trials have finished, and how many it has."""

_DIGEST_LENGTH = 36  # MLflow's limit
_FIRST = ("attributes.`Dataset`", "attributes.`Source`")
_LAST = (f"metrics.`{FINISHED}`", f"metrics.`{TRIALS}`")


def best_metric(metric: str) -> str:
    """Return the metric in which a sweep's run keeps its best mean of a primary metric."""
    return f"sweep/best {metric}"


def experiment_page(base: str, experiment_id: str, has_view: bool) -> str:
    """Return the address at which MLflow shows an experiment's runs.

    Args:
        base: of the server, for example ``http://127.0.0.1:5000``.
        experiment_id: MLflow's.
        has_view: whether the experiment has the tag :data:`VIEW`.
    """
    view = f"&viewStateShareKey={VIEW_KEY}" if has_view else ""
    where = quote(experiment_id, safe="")
    return f"{base.rstrip('/')}/#/experiments/{where}/runs?workflowType=machine_learning{view}"


def show_metric(client: MlflowClient, experiment: Experiment, metric: str) -> None:
    """Let an experiment's view have the columns of a primary metric, if it lacks them."""
    old = _columns(experiment.tags.get(VIEW, ""))
    new = [f"metrics.`test/{metric}`", f"metrics.`{best_metric(metric)}`"]
    if set(new) <= set(old):
        return
    scores = [column for column in old if column not in (*_FIRST, *_LAST)]
    columns = [*_FIRST, *dict.fromkeys([*scores, *new]), *_LAST]
    state = {"selectedColumns": columns, "orderByKey": "attributes.start_time", "orderByAsc": False}
    client.set_experiment_tag(experiment.experiment_id, VIEW, json.dumps(state))


def _columns(text: str) -> list[str]:
    try:
        columns = json.loads(text)["selectedColumns"]
    except (ValueError, KeyError, TypeError):
        return []
    return [str(column) for column in columns] if isinstance(columns, list) else []


def source_tags(commit: str) -> dict[str, str]:
    """Return the tags from which MLflow shows who made a run, and by what.

    Args:
        commit: of the code, empty if it is not known.
    """
    tags = {"mlflow.source.name": "seqbench", "mlflow.source.type": "LOCAL"}
    with suppress(OSError, KeyError, ImportError):  # a container's user may have no name
        tags["mlflow.user"] = getpass.getuser()
    if commit:
        tags["mlflow.source.git.commit"] = commit
    return tags


def dataset(trial: TrialRecord, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the operation of :mod:`seqbench.tracking.operations` that logs a run's data.

    Args:
        trial: its task, title and fingerprint are read.
        config: resolved configuration of the trial.
    """
    source = (config.get("task") or {}).get("source")
    return {
        "op": "dataset",
        "called": trial.title or trial.task,
        "digest": trial.data[:_DIGEST_LENGTH],
        "source_type": "code" if source is None else "local",
        "source": json.dumps({"task": trial.task} if source is None else {"uri": str(source)}),
    }


def log_dataset(client: MlflowClient, run_id: str, operation: Mapping[str, Any]) -> None:
    """Apply the operation of :func:`dataset`; a second time it changes nothing."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.exceptions import MlflowException

    found = Dataset(
        name=operation["called"],
        digest=operation["digest"],
        source_type=operation["source_type"],
        source=operation["source"],
    )
    context = InputTag(key="mlflow.data.context", value="train, valid, test")
    inputs = [DatasetInput(found, [context])]
    try:
        client.log_inputs(run_id, datasets=inputs)
    except MlflowException:  # of two processes that add the same dataset at once, one fails
        client.log_inputs(run_id, datasets=inputs)


def description(record: TrialRecord) -> str:
    """Return a run's result in Markdown: the model's test score beside the baselines', best first.

    Args:
        record: of a trial that has ended.
    """
    if record.status != "FINISHED":
        reason = f": {' '.join(record.reason.split())}" if record.reason else ""
        return f"{record.status}{reason}"
    primary = record.primary
    scores = {name: found.get(primary.name) for name, found in record.baselines.items()}
    scores[f"**{record.model}**"] = record.metrics.get(f"test/{primary.name}")
    ranked = sorted(_known(scores), key=lambda item: item[1], reverse=primary.direction == "max")
    unit = f" ({primary.unit})" if primary.unit else ""
    lines = [f"| predictor | test {primary.name}{unit} |", "| --- | ---: |"]
    lines += [f"| {name} | {score:.4g} |" for name, score in ranked]
    subset = (
        [f"Only {record.max_examples} sequences of each split: a smoke run, no result.", ""]
        if record.max_examples
        else []
    )
    about = (
        f"Context: {record.context}. Its files and pictures are under Artifacts. "
        f"`seqbench repro run={record.run_id}` trains it again; `seqbench report` makes a page of"
        " all runs."
    )
    return "\n".join([*subset, *lines, "", about])


def _known(scores: Mapping[str, float | None]) -> Iterable[tuple[str, float]]:
    return ((name, score) for name, score in scores.items() if score is not None)
