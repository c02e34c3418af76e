"""A trial's batches: bucketed by length, in an order that the seed alone decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from seqbench.api import Batch, Example, Splits, Task, Visibility, collate
from seqbench.errors import Refused
from seqbench.training.seeds import derive

POOL_BATCHES = 4
"""Batches drawn at random together and then sorted by length: little padding, much shuffling."""


class TrialData:
    """The three splits as batches; the test split stays sealed until the model is selected.

    Args:
        task: prepared.
        batch_size: sequences in a batch.
        seed: of the trial; decides order and augmentation.
        max_examples: sequences kept of each split, None for all.
        fold: of the task.

    Raises:
        Refused: a split is empty, or a group stands in two of them.
    """

    def __init__(
        self, task: Task, batch_size: int, seed: int, max_examples: int | None, fold: int = 0
    ) -> None:
        splits = task.splits(fold)
        self.fold = fold
        self.splits = Splits(
            splits.train[:max_examples], splits.valid[:max_examples], splits.test[:max_examples]
        )
        self._check()
        self._task = task
        self._batch_size = batch_size
        self._seed = seed
        self._step_targets = task.visibility is not Visibility.SEQUENCE
        self._sealed = True

    @property
    def targets_per_batch(self) -> float:
        """Targets that count in a training batch, on average over an epoch, before augmentation.

        A step's loss is a sum over targets divided by this one number, the same for all batches of
        all epochs. So each target weighs alike, whatever sequences its batch holds, and a last,
        smaller batch weighs less.
        """
        targets = 0
        for example in self.splits.train:
            if not self._step_targets:
                targets += 1
            elif example.target_mask is None:
                targets += len(example.values)
            else:
                targets += int(example.target_mask.sum())
        batches = -(-len(self.splits.train) // self._batch_size)
        return max(targets, 1) / batches

    def unseal(self) -> None:
        """Allow the test split: the epoch has been selected."""
        self._sealed = False

    def train(self, rank: int = 0, ranks: int = 1) -> DataLoader[Batch]:
        """Return the training batches, shuffled and augmented anew in each epoch.

        Args:
            rank: whose share of each batch it is.
            ranks: how many share it. Where a batch is too small for all, the share of some is a
                sequence without a target.
        """
        sampler = BucketSampler(
            [len(example.values) for example in self.splits.train],
            self._batch_size,
            self._seed,
            rank,
            ranks,
        )
        examples = _AugmentedExamples(self._task, self.splits.train, self._seed, sampler)
        return self._loader(examples, sampler)

    def valid(self) -> DataLoader[Batch]:
        """Return the validation batches, in the task's order."""
        return self._in_order(self.splits.valid)

    def test(self) -> DataLoader[Batch]:
        """Return the test batches, in the task's order; only after :meth:`unseal`."""
        if self._sealed:
            raise RuntimeError("the test split is sealed until model selection has ended")
        return self._in_order(self.splits.test)

    def _in_order(self, examples: Sequence[Example]) -> DataLoader[Batch]:
        starts = range(0, len(examples), self._batch_size)
        batches = [
            list(range(start, min(start + self._batch_size, len(examples)))) for start in starts
        ]
        return self._loader(_Examples(examples), batches)

    def _loader(
        self, examples: Dataset[Example], batches: Sampler[list[int]] | list[list[int]]
    ) -> DataLoader[Batch]:
        return DataLoader(
            examples,  # type: ignore[arg-type]  # a loader of batches over a data set of examples
            batch_sampler=batches,
            collate_fn=self._collate,
        )

    def _collate(self, drawn: list[Example]) -> Batch:
        if drawn:
            return collate(drawn, self._step_targets)
        shortest = min(self.splits.train, key=lambda example: len(example.values))
        batch = collate([shortest], self._step_targets)
        return replace(batch, target_mask=torch.zeros_like(batch.target_mask))

    def _check(self) -> None:
        named = {
            "train": self.splits.train,
            "valid": self.splits.valid,
            "test": self.splits.test,
        }
        seen: dict[str, str] = {}
        for name, examples in named.items():
            if not examples:
                raise Refused(f"the task's {name} split is empty")
            for group in {example.group for example in examples} - {""}:
                if group in seen:
                    raise Refused(
                        f"a group of the task's {name} split is in {seen[group]} too: a leak"
                    )
                seen[group] = name


def groups_in(examples: Sequence[Example]) -> int:
    """Return how many groups (patients, pieces) examples are of; those without one do not count."""
    return len({example.group for example in examples} - {""})


class BucketSampler(Sampler[list[int]]):
    """Batches of sequences of like length, in random order.

    Args:
        lengths: of every sequence.
        batch_size: sequences in a batch; the last one may be smaller.
        seed: of the trial.
        rank: whose share of each batch is drawn; it may be empty.
        ranks: how many share it, sequences of like length each.
    """

    def __init__(
        self, lengths: Sequence[int], batch_size: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        super().__init__()
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._share = slice(rank, None, ranks)
        self.epoch = 0

    @property
    def sampler(self) -> BucketSampler:
        """Itself: Lightning tells the epoch to what a sampler of batches draws from."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(derive(self._seed, "order", self.epoch))
        order = torch.randperm(len(self._lengths), generator=generator).tolist()
        pool = self._batch_size * POOL_BATCHES
        by_length = [
            index
            for start in range(0, len(order), pool)
            for index in sorted(order[start : start + pool], key=self._lengths.__getitem__)
        ]
        starts = range(0, len(by_length), self._batch_size)
        batches = [by_length[start : start + self._batch_size] for start in starts]
        for index in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[index][self._share]


class _Examples(Dataset[Example]):
    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        return self._examples[index]


class _AugmentedExamples(_Examples):
    def __init__(
        self, task: Task, examples: Sequence[Example], seed: int, sampler: BucketSampler
    ) -> None:
        super().__init__(examples)
        self._task = task
        self._seed = seed
        self._sampler = sampler

    def __getitem__(self, index: int) -> Example:
        seed = derive(self._seed, "augmentation", self._sampler.epoch, index)
        return self._task.augment(super().__getitem__(index), torch.Generator().manual_seed(seed))
