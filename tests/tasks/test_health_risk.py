"""Metrics of predicted risks, against scikit-learn and against resampling rows one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from seqbench.api import GroupCounts, MeanLoss, resampling
from seqbench.api.resampling import percentile_interval
from seqbench.tasks.health.pbc import PBC
from seqbench.tasks.health.risk import BINS, HELP, RiskMetrics

Rows = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


@pytest.fixture
def rows() -> Rows:
    """Logits with ties, labels and patients of 60 patients with 1 to 5 visits each."""
    generator = np.random.default_rng(1)
    patients = np.repeat(np.arange(60), generator.integers(1, 6, size=60))
    labels = (generator.random(len(patients)) < 0.2).astype(float)
    logits = np.round(generator.normal(size=len(patients)) + labels - 1.5, 1)
    return logits, labels, patients


def metrics_of(*rows: NDArray[np.generic]) -> RiskMetrics:
    metrics = RiskMetrics()
    logits, labels, patients = (torch.from_numpy(np.asarray(part)) for part in rows)
    metrics.update(logits[:, None], labels, patients)
    return metrics


def interval_of(*rows: NDArray[np.generic]) -> tuple[float, float]:
    return percentile_interval(np.array(metrics_of(*rows).bootstrap_scores()["auroc"]))


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logits))


def calibration_error(
    logits: NDArray[np.float64],
    labels: NDArray[np.float64],
    chosen: NDArray[np.int64] | None = None,
) -> float:
    """Return the calibration error of chosen rows; the groups are those of all rows."""
    chosen = np.arange(len(logits)) if chosen is None else chosen
    ranks = np.array([(logits < logit).sum() for logit in logits])
    groups = ranks * BINS // len(logits)
    total = 0.0
    for group in range(BINS):
        of_group = chosen[groups[chosen] == group]
        if len(of_group):
            risks, shares = sigmoid(logits[of_group]).mean(), labels[of_group].mean()
            total += abs(risks - shares) * len(of_group) / len(chosen)
    return total


def expected_scores(
    logits: NDArray[np.float64], labels: NDArray[np.float64], chosen: NDArray[np.int64]
) -> dict[str, float]:
    risks, truth = sigmoid(logits[chosen]), labels[chosen]
    return {
        "auroc": roc_auc_score(truth, logits[chosen]),
        "auprc": average_precision_score(truth, logits[chosen]),
        "brier": brier_score_loss(truth, risks),
        "ece": calibration_error(logits, labels, chosen),
        "nll": log_loss(truth, risks),
    }


def test_metrics_equal_scikit_learns(rows: Rows) -> None:
    logits, labels, _ = rows
    found = metrics_of(*rows).compute()
    assert list(HELP) == list(found)
    expected = expected_scores(logits, labels, np.arange(len(logits)))
    assert expected == pytest.approx(found, abs=1e-12)


def test_neither_batches_nor_order_matter(rows: Rows) -> None:
    """Ties are what makes the order dangerous: equal risks count together."""
    whole = metrics_of(*rows).compute()
    order = np.random.default_rng(2).permutation(len(rows[0]))
    parts = RiskMetrics()
    for row in order:
        logits, labels, patients = (torch.from_numpy(part[row : row + 1]) for part in rows)
        parts.update(logits[:, None], labels, patients)
    assert whole == pytest.approx(parts.compute(), abs=1e-12)


def test_nll_is_the_mean_of_the_tasks_loss(rows: Rows) -> None:
    loss = MeanLoss(PBC(), "nll")
    logits, labels, patients = (torch.from_numpy(part) for part in rows)
    loss.update(logits[:, None], labels, patients)
    expected = loss.compute()["nll"]
    assert expected == pytest.approx(metrics_of(*rows).compute()["nll"], abs=1e-12)


def test_a_constant_risk_has_the_scores_of_chance() -> None:
    labels = np.array([0.0, 1.0, 0.0, 0.0])
    found = metrics_of(np.full(4, np.log(1 / 3)), labels, np.arange(4)).compute()
    assert found["auroc"] == 0.5
    assert found["auprc"] == 0.25
    assert found["ece"] == pytest.approx(0.0, abs=1e-12)


def test_large_logits_stay_finite() -> None:
    found = metrics_of(np.array([-800.0, 800.0]), np.array([1.0, 0.0]), np.arange(2)).compute()
    assert found == pytest.approx(
        {"auroc": 0.0, "auprc": 0.5, "brier": 1.0, "ece": 1.0, "nll": 800.0}
    )


def test_one_class_has_no_auroc() -> None:
    found = metrics_of(np.array([0.0, 1.0]), np.zeros(2), np.arange(2)).compute()
    assert math.isnan(found["auroc"])
    assert math.isnan(found["auprc"])
    assert found["brier"] == pytest.approx(((sigmoid(np.array([0.0, 1.0]))) ** 2).mean())


def test_no_rows_have_no_scores() -> None:
    assert all(math.isnan(value) for value in RiskMetrics().compute().values())
    assert {} == RiskMetrics().bootstrap_scores()


def naive_resamples(patients: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the rows of each resample, a patient's rows as often as the patient is drawn."""
    numbers = np.unique(patients)
    generator = np.random.default_rng(resampling.SEED)
    resamples = []
    for _ in range(resampling.RESAMPLES):
        counts = generator.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)))
        drawn = np.repeat(numbers, counts)
        resamples.append(np.concatenate([np.flatnonzero(patients == patient) for patient in drawn]))
    return resamples


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "RESAMPLES", 45)
    monkeypatch.setattr(resampling, "CHUNK", 20)


@pytest.mark.usefixtures("few_resamples")
def test_replicates_equal_a_bootstrap_of_patients_row_by_row(rows: Rows) -> None:
    logits, labels, patients = rows
    scores = [expected_scores(logits, labels, chosen) for chosen in naive_resamples(patients)]
    found = metrics_of(*rows).bootstrap_scores()
    assert list(HELP) == list(found)
    for name, values in found.items():
        assert [score[name] for score in scores] == pytest.approx(values, abs=1e-12)


def test_the_bootstrap_draws_patients_not_visits() -> None:
    """A visit told nine times over adds nothing: the interval stays that of the patients."""
    generator = np.random.default_rng(4)
    labels = (generator.random(80) < 0.3).astype(float)
    logits = generator.normal(size=80) + labels
    patients = np.arange(80)
    once = interval_of(logits, labels, patients)
    again = (np.repeat(part, 9) for part in (logits, labels, patients))
    assert once == pytest.approx(interval_of(*again), abs=1e-12)
    alone = np.repeat(logits, 9), np.repeat(labels, 9), np.arange(720)
    narrow = interval_of(*alone)
    assert narrow[1] - narrow[0] < (once[1] - once[0]) / 2


@pytest.mark.usefixtures("few_resamples")
def test_a_resample_without_a_positive_is_left_out() -> None:
    """One positive patient is missing from a third of the resamples; the others count."""
    logits, labels = np.array([2.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])
    assert (1.0, 1.0) == interval_of(logits, labels, np.arange(3))


def test_the_groups_are_patients_with_as_many_labels_as_they_have_visits(rows: Rows) -> None:
    """Some of these have visits of both kinds, so patients are of no class."""
    visits = sorted(np.bincount(rows[2]).tolist())
    assert GroupCounts(tuple(map(float, visits))) == metrics_of(*rows).group_counts("auroc")


def test_patients_with_one_label_are_cases_or_controls() -> None:
    """That counts where cases are ranked above controls, and nowhere else."""
    patients = np.array([0, 0, 1, 2, 3, 3, 3])
    labels = np.array([1.0, 1, 0, 0, 0, 0, 0])
    metrics = metrics_of(np.linspace(0, 1, 7), labels, patients)
    for name in ("auroc", "auprc"):
        assert GroupCounts((1.0, 1.0, 2.0, 3.0), (1, 3)) == metrics.group_counts(name)
    assert GroupCounts((1.0, 1.0, 2.0, 3.0)) == metrics.group_counts("nll")
