"""The processes beside the one that runs a trial which train with it, one for each further device.

They rebuild the trial from its settings, train as it does, and say nothing. What they are told
comes through their standard input, whose end is theirs: they outlive their trial under no
circumstances.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from seqbench.config.settings import Limits, Settings
from seqbench.errors import TRACEBACK, SeqbenchError, TrialFailed
from seqbench.records import is_of_machine
from seqbench.trials.trial import load

if TYPE_CHECKING:
    from seqbench.training.distributed import Rank
    from seqbench.training.fit import Training

_READY, _DONE = "ready", "done"
_MOMENT = 2.0  # seconds in which a process that has failed is known to have
_HANGING = 10.0  # seconds after which rank 0 is freed from waiting for one that has ended


@dataclass(frozen=True)
class _Order:
    """A fold to train on: where its checkpoint is, and on which port the ranks meet."""

    fold: int
    checkpoint: Path
    port: int


class Team:
    """A trial's further ranks. They start when they are first needed, and stay for all folds.

    Args:
        settings: of the trial.
        parts: of its identity, which theirs must equal.
    """

    def __init__(self, settings: Settings, parts: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self._parts = dict(parts or {})
        self._members: list[_Member] = []

    @contextmanager
    def train(self, training: Training) -> Iterator[Rank]:
        """Have the others train on a fold while this process does as the rank that is given.

        Args:
            training: what this process trains.

        Raises:
            TrialFailed: one of them has failed.
        """
        from seqbench.training.distributed import Rank, joined, meeting_place

        rank = Rank(0, training.trainer.devices)
        store = meeting_place(rank)
        try:
            for number in range(len(self._members) + 1, rank.size):
                self._members.append(_Member(self._settings, number, self._parts))
            for member in self._members:
                member.tell(_Order(training.data.fold, training.checkpoint, store.port))
            for member in self._members:
                member.wait_for(_READY)
            with joined(rank, store, training.device):
                left = threading.Event()
                for member in self._members:
                    member.watch(left)
                try:
                    yield rank
                    for member in self._members:
                        member.wait_for(_DONE)
                except BaseException as error:
                    failed = self._failure(error)
                    self.end()  # before the group is left, which waits for what is under way
                    if failed is not None:
                        raise failed from error
                    raise
                finally:
                    left.set()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the processes."""
        for member in self._members:
            member.end()
        self._members = []

    def _failure(self, error: BaseException) -> TrialFailed | None:
        """Return why another rank has failed, if that is why this one did."""
        if not isinstance(error, Exception) or isinstance(error, SeqbenchError):
            return None
        own = _reason(error, self._settings.limits)["reason"]
        found = [member.failure(_MOMENT / len(self._members)) for member in self._members]
        return next((item for item in found if item and not str(item).startswith(own)), None)


Ranks = Callable[["Training"], AbstractContextManager["Rank"]]
"""Has a training's ranks train while what is inside runs as the one that it gives, the first."""


@contextmanager
def team(settings: Settings, parts: Mapping[str, str] | None = None) -> Iterator[Ranks]:
    """Give the ranks beside this process that a trial's settings ask for, and end them.

    Args:
        settings: of the trial.
        parts: of its identity: a rank that finds other code fails.
    """
    if settings.trainer.devices == 1:
        yield _alone
        return
    members = Team(settings, parts)
    try:
        yield members.train
    finally:
        members.end()


def _alone(training: Training) -> AbstractContextManager[Rank]:
    from seqbench.training.distributed import Rank

    return nullcontext(Rank())


class _Member:
    """Another rank, as this process sees it.

    Args:
        settings: of the trial.
        number: of the rank.
        parts: of the trial's identity.
    """

    def __init__(
        self, settings: Settings, number: int, parts: dict[str, str] | None = None
    ) -> None:
        self._number = number
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._failure: TrialFailed | None = None
        self._ended = threading.Event()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        # The same modules are to be found as here; the working directory is not one of their places
        # only because of `-c`.
        code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as this; this.main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get(TRACEBACK) == "1" else self._errors,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.tell((settings, number, parts or {}))

    def tell(self, what: object) -> None:
        """Send something; a process that has ended is noticed when it is waited for."""
        assert self._process.stdin is not None
        with suppress(OSError):
            pickle.dump(what, self._process.stdin)
            self._process.stdin.flush()

    def wait_for(self, word: str) -> None:
        """Wait until the process says a word.

        Raises:
            TrialFailed: it says that it has failed, or ended.
        """
        if self._said.get() != word:
            assert self._failure is not None
            raise self._failure

    def watch(self, left: threading.Event) -> None:
        """Free this process from waiting for the other one, should that end before it has left.

        A GPU does not notice by itself that another has gone.
        """

        def free() -> None:
            from torch.distributed import group

            while not left.is_set():
                if self._ended.wait(1.0) and not left.wait(_HANGING):
                    if group.WORLD is not None:
                        group.WORLD.abort()
                    return

        threading.Thread(target=free, daemon=True).start()

    def failure(self, seconds: float) -> TrialFailed | None:
        """Return why it has failed, waiting so long for it to say so; None if it has not."""
        self._ended.wait(seconds)
        return self._failure

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            with suppress(OSError):  # what could not be told any more
                stream.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "reason" in said:
                reason = f"{said['reason']} (on device {self._number})"
                self._failure = TrialFailed(reason, said["status"])
                break
            self._said.put(said["word"])
        if self._failure is None:
            how = f"the process of device {self._number} {self._how()}"
            self._failure = TrialFailed(how, "KILLED")
        self._ended.set()
        self._said.put("")

    def _how(self) -> str:
        """Return how the process ended that said nothing of it."""
        code = self._process.wait()
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"ended with exit code {code}: {last}".removesuffix(": ")


def main() -> NoReturn:
    """Be one of a trial's further ranks, until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # of the whole group: rank 0 sees to it
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what code of plugins prints, rank 0 prints
    orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(orders,), daemon=True).start()
    try:
        _serve(orders, answers)
    except BaseException as error:
        _give_up(error, answers, Limits())


def _receive(orders: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            orders.put(pickle.load(sys.stdin.buffer))
    except EOFError:
        os._exit(0)


def _serve(orders: queue.SimpleQueue[Any], answers: IO[str]) -> NoReturn:
    """Train on one fold after the other, as is ordered."""
    settings: Settings
    parts: dict[str, str]
    settings, number, parts = orders.get()
    import torch

    from seqbench.training.distributed import Rank, joined, meeting_place
    from seqbench.training.fit import train
    from seqbench.training.limits import memory_limit, start_counting

    trial = load(_silent(settings))
    trial.expect(parts)
    rank = Rank(number, settings.trainer.devices)
    if trial.device == "cuda":
        torch.cuda.set_device(number)
    start_counting(settings.limits.gib, trial.device)
    with memory_limit(settings.limits.gib, trial.device):
        folds = {data.fold: data for data in trial.data()}
        while True:
            order: _Order = orders.get()
            data = folds[order.fold]
            training = trial.training(data, trial.predictor(data), order.checkpoint)
            _say(answers, word=_READY)
            with joined(rank, meeting_place(rank, order.port), trial.device):
                try:
                    train(training, rank)
                except BaseException as error:
                    # Before the group is left: by that rank 0 notices.
                    _give_up(error, answers, settings.limits)
                _say(answers, word=_DONE)


def _silent(settings: Settings) -> Settings:
    """Return a trial's settings for a rank that shows nothing, and leaves the clock to rank 0."""
    return replace(
        settings,
        trainer=replace(settings.trainer, progress=False),
        limits=replace(settings.limits, minutes=None),
    )


def _give_up(error: BaseException, answers: IO[str], limits: Limits) -> NoReturn:
    """Tell rank 0 of an exception, and end."""
    if os.environ.get(TRACEBACK) == "1":
        traceback.print_exception(error)
    _say(answers, **_reason(error, limits))
    os._exit(1)


def _reason(error: BaseException, limits: Limits) -> dict[str, str]:
    """Return an exception as rank 0 is told of it."""
    from seqbench.training.limits import out_of_memory

    text = " ".join(str(error).split())
    if isinstance(error, TrialFailed):
        return {"reason": text, "status": error.status}
    if failed := out_of_memory(error, limits):
        return {"reason": str(failed), "status": failed.status}
    if not isinstance(error, SeqbenchError):
        text = f"{type(error).__name__}: {text}"
    return {"reason": text, "status": "KILLED" if is_of_machine(error) else "FAILED"}


def _say(answers: IO[str], **what: str) -> None:
    """Tell rank 0 something, in one line."""
    answers.write(f"{json.dumps(what)}\n")
    answers.flush()
