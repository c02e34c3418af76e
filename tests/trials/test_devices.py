"""One trial on several devices: CPU processes here, which train as GPUs' would."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from seqbench.config import composition
from seqbench.config.settings import Settings
from seqbench.errors import Refused, TrialFailed
from seqbench.registry.plugins import add_plugin_file
from seqbench.training.callbacks import Checkpoints
from seqbench.training.data import BucketSampler
from seqbench.training.distributed import Rank, joined, meeting_place, sum_gradients
from seqbench.training.fit import Fitted, fit
from seqbench.training.predictor import Predictor, batch_loss
from seqbench.trials import distributed
from seqbench.trials.distributed import Ranks, Team, team
from seqbench.trials.run import run
from seqbench.trials.trial import load

SMOKE = ("task=music", "experiment=smoke", "tracking=none", "trainer.progress=false")
# Batches of 8, 8 and 1: of the last one, the second device's share is empty.
TWO = (*SMOKE, "trainer.devices=2", "recipe.batch_size=8", "recipe.max_examples=17")

two_cores = pytest.mark.skipif(
    sys.platform == "linux" and len(os.sched_getaffinity(0)) < 2, reason="needs two CPU cores"
)


def settings(*words: str) -> Settings:
    return composition.settings(composition.compose(words))


def train(
    chosen: Settings, others: Ranks, folder: Path, listener: Callable[[int], None] = lambda _: None
) -> tuple[Fitted, Predictor]:
    """Train on the first fold, as a trial does."""
    trial = load(chosen)
    data = trial.data()[0]
    predictor = trial.predictor(data)
    training = replace(
        trial.training(data, predictor, folder / "best.ckpt"),
        listener=lambda epoch, _: listener(epoch),
    )
    fitted = fit(training, others(training))
    return fitted, predictor


def without_time(fitted: Fitted) -> list[dict[str, float]]:
    return [
        {name: value for name, value in epoch.items() if name != "seconds"}
        for epoch in fitted.history
    ]


def children() -> list[str]:
    """Return the processes of this one that still run."""
    found = []
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text().split():
            command = Path(f"/proc/{pid}/cmdline").read_text()
            found += [command] if "seqbench.trials.distributed" in command else []
    return found


@two_cores
@pytest.mark.slow
def test_two_devices_find_what_one_finds(tmp_path: Path) -> None:
    """Without dropout all that differs is the order of sums: 1e-4 after 9 steps of AdamW.

    Also where a batch is too small for both; steps are counted once.
    """
    both = settings(*TWO, "recipe.max_epochs=3", "model.dropout=0")
    alone = replace(both, trainer=replace(both.trainer, devices=1))
    with team(alone) as none, team(both) as others:
        one, expected = train(alone, none, tmp_path / "one")
        two, found = train(both, others, tmp_path / "two")
    assert [] == children()
    assert (9, 9) == (one.steps, two.steps)
    assert without_time(one) == [pytest.approx(epoch, rel=1e-5) for epoch in without_time(two)]
    for name, weight in expected.state_dict().items():
        torch.testing.assert_close(weight, found.state_dict()[name], rtol=0, atol=1e-4)


@two_cores
@pytest.mark.slow
def test_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM ends all ranks; the next training gives the bits of one go, dropout included."""
    monkeypatch.setattr(Checkpoints, "SECONDS_BETWEEN_STATES", 0)
    chosen = settings(*TWO, "recipe.max_epochs=5", "model.dropout=0.3")
    before = signal.getsignal(signal.SIGTERM)
    heard: list[int] = []

    def stop(epoch: int) -> None:
        heard.append(epoch)
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with team(chosen) as others:
        whole, expected = train(chosen, others, tmp_path / "whole")
        with pytest.raises(KeyboardInterrupt):
            train(chosen, others, tmp_path / "cut", stop)
        assert [] == children()
        assert before == signal.getsignal(signal.SIGTERM)
        cut, found = train(chosen, others, tmp_path / "cut", heard.append)
    assert [0, 1, 2, 0, 1, 2, 3, 4] == heard
    assert without_time(whole) == without_time(cut)
    for name, weight in expected.state_dict().items():
        assert torch.equal(weight, found.state_dict()[name])


@two_cores
@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("raise MemoryError", r"^out of memory: MemoryError \(on device 1\)$"),
        ("os.kill(os.getpid(), 9)", "^the process of device 1 was killed by SIGKILL$"),
    ],
)
def test_a_device_that_fails_fails_the_trial(
    does: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its reason, though it is noticed by another device, late; nothing is left running."""
    monkeypatch.setattr(distributed, "_HANGING", 0)
    (tmp_path / "odd.py").write_text(
        "import os, time\n"
        "import torch.distributed as dist\n"
        "from seqbench.plugins.lstm import LSTM\n\n\n"
        "class Odd(LSTM):\n"
        '    """Fails on the second device."""\n\n'
        "    def encode(self, inputs):\n"
        "        if dist.is_initialized():\n"
        "            if dist.get_rank() == 1:\n"
        f"                {does}\n"
        "            time.sleep(2)\n"
        "        return super().encode(inputs)\n"
    )
    add_plugin_file(str(tmp_path / "odd.py"))
    with pytest.raises(TrialFailed, match=reason) as failure:
        run(settings(*TWO, "model=odd"))
    assert ("OOM" if "Memory" in does else "KILLED") == failure.value.status
    assert [] == children()


def test_what_fails_everywhere_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exception of rank 0 is not hidden behind the same one of another rank."""
    others = Team(settings(*TWO))

    class Failed:
        def failure(self, seconds: float) -> TrialFailed:
            return TrialFailed("ValueError: bad (on device 1)")

    monkeypatch.setattr(others, "_members", [Failed()])
    assert others._failure(ValueError("bad")) is None
    assert others._failure(KeyboardInterrupt()) is None
    assert others._failure(TrialFailed("the loss became nan")) is None
    found = others._failure(RuntimeError("connection closed"))
    assert "ValueError: bad (on device 1)" == str(found)


def test_a_rank_ends_with_its_input() -> None:
    """Which ends when rank 0 does, however that ends; Ctrl-C and SIGTERM are for rank 0 alone."""
    member = distributed._Member(settings(*TWO), 1)
    try:
        assert member._process.stdin is not None
        member._process.stdin.close()
        assert 0 == member._process.wait(timeout=60)
    finally:
        member.end()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer.devices=0"], "trainer.devices must be at least 1, not 0"),
        (["trainer.devices=two"], "trainer.devices must be a whole number, not 'two'"),
        (
            ["trainer.devices=2", "recipe.batch_size=1"],
            "trainer.devices=2 is more than the sequences of a batch, recipe.batch_size=1",
        ),
        (
            ["trainer.devices=5000", "recipe.batch_size=5000"],
            "trainer.devices=5000: of CPU cores there are",
        ),
    ],
)
def test_impossible_numbers_of_devices_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(Refused, match=message):
        load(settings(*SMOKE, *words))


def test_more_devices_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Refused, match=r"trainer\.devices=2: of GPUs torch finds 1 here"):
        load(settings(*SMOKE, "trainer=gpu", "trainer.devices=2"))


def test_a_trial_in_a_slurm_job_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Slurm says of its tasks is not taken for a training that it has distributed."""
    for name, value in {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "sweep",
        "SLURM_NTASKS": "4",
        "SLURM_PROCID": "2",
        "SLURM_LOCALID": "2",
        "LOCAL_RANK": "2",
    }.items():
        monkeypatch.setenv(name, value)
    assert "FINISHED" == run(settings(*SMOKE)).status


def test_ranks_share_each_batch() -> None:
    """Shares are a batch together, of sequences of like length; only their number differs."""
    lengths = [(7 * index) % 50 + 1 for index in range(41)]
    whole = list(BucketSampler(lengths, 8, seed=3))
    shares = [list(BucketSampler(lengths, 8, 3, rank, 3)) for rank in range(3)]
    assert whole != sorted(whole)
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(batch) == sorted(index for part in parts for index in part)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [1, 0, 0] == [min(map(len, share)) for share in shares]


def test_an_empty_share_counts_for_nothing() -> None:
    """It is a sequence without a target: its loss is zero, and each gradient is there, zero."""
    trial = load(settings(*TWO))
    data = trial.data()[0]
    predictor = trial.predictor(data)
    losses = [batch_loss(trial.task, predictor, batch) for batch in data.train(1, 2)]
    (empty,) = [total for total, count in losses if count == 0]
    assert 0.0 == empty.item()
    empty.backward()
    for weight in predictor.parameters():
        assert weight.grad is not None
        assert 0 == weight.grad.abs().max()


def test_gradients_of_what_no_rank_uses_stay_none() -> None:
    """So that weight decay leaves it alone, as it does on one device."""
    used, unused = nn.Parameter(torch.tensor([[1.0, 2.0]])), nn.Parameter(torch.ones(3))
    used.square().sum().backward()
    alone = Rank(0, 1)
    with joined(alone, meeting_place(alone), "cpu"):
        sum_gradients([used, unused])
    assert used.grad is not None
    assert [[2.0, 4.0]] == used.grad.tolist()
    assert unused.grad is None
