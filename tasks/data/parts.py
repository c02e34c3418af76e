"""Which sequence is for training, validation and test: as the data say, else dealt out by hashes.

Where the data have a test part it is kept, and validation is cut from the training part unless they
have that too. Without one, three in five groups train, one validates, and one is for test.
Groups are dealt out class by class, in the order of a hash of their names, so that the parts are
alike and everyone's are the same. A split seed says which deal, and which fifth of it is tested.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from seqbench.errors import Refused
from seqbench.records import Deal, LeftOut
from seqbench.tasks.data.collection import ReadSequence, listed

Split = Literal["given", "hashed"]

PATTERN = ("train", "test", "train", "valid", "train")
"""How groups of a class are dealt out, for the first fold of a deal; others begin later in it."""
CUT = ("train", "train", "valid", "train", "train")
"""How those of a given training part are."""


class SequenceParts(NamedTuple):
    """The sequences of a split; each has its group."""

    train: list[ReadSequence]
    valid: list[ReadSequence]
    test: list[ReadSequence]


def deal(
    series: Sequence[ReadSequence], strata: Mapping[str, str], split: Split, split_seed: int
) -> SequenceParts:
    """Return the sequences by part.

    Args:
        series: with unique names.
        strata: the class of each, by its name; none has one if it is absent.
        split: ``given`` keeps a split that the data have; ``hashed`` deals them all out anew.
        split_seed: see :class:`~seqbench.records.Deal`; 0 where the split is given.

    Raises:
        Refused: a group is in two parts of the given split, or there are too few groups.
    """
    given = is_given(series, split)
    grouped = _grouped(series, given)
    if given:
        _check_groups(grouped)
        test = [item for item in grouped if item.part == "test"]
        valid = [item for item in grouped if item.part == "valid"]
        rest = [item for item in grouped if item.part not in ("test", "valid")]
        if valid:
            return SequenceParts(rest, valid, test)
        parts = _dealt(rest, strata, CUT, Deal.of(0))
        found = SequenceParts(_of(rest, parts, "train"), _of(rest, parts, "valid"), test)
    else:
        parts = _dealt(grouped, strata, PATTERN, Deal.of(split_seed))
        found = SequenceParts(*(_of(grouped, parts, part) for part in SequenceParts._fields))
    for name, part in zip(found._fields, found, strict=True):
        if not part:
            groups = len({item.group for item in grouped})
            raise Refused(
                f"task.source has {groups} groups of sequences, too few: none is left for {name};"
                " five of a class are the least"
            )
    return found


def is_given(series: Sequence[ReadSequence], split: Split) -> bool:
    """Return whether the data have a split of their own that is kept."""
    return split == "given" and {"train", "test"} <= {item.part for item in series}


def without_copies(parts: SequenceParts) -> tuple[SequenceParts, list[LeftOut]]:
    """Return parts of which no sequence is in another one, label included, and what is left out.

    A split that comes with the data may have the same sequence on both sides. It stays in the later
    part: the test part is never changed.
    """
    seen: dict[bytes, str] = {}
    kept: dict[str, list[ReadSequence]] = {}
    left_out = []
    for name in reversed(SequenceParts._fields):
        here: dict[bytes, str] = {}
        kept[name] = []
        for item in getattr(parts, name):
            content = repr(item.labels).encode() + item.values.tobytes()
            if content in seen:
                reason = f"it has the values and the label of {seen[content]}, of a later part"
                left_out.append(LeftOut(item.name, reason))
            else:
                here[content] = item.name
                kept[name].append(item)
        seen |= here
    return SequenceParts(**kept), left_out


def _of(
    series: Sequence[ReadSequence], parts: Mapping[str, str], wanted: str
) -> list[ReadSequence]:
    return [item for item in series if parts[item.group] == wanted]


def _grouped(series: Sequence[ReadSequence], given: bool) -> list[ReadSequence]:
    """Return sequences with a group each: their own, or that of one with the same values."""
    owner: dict[tuple[str, bytes], str] = {}
    found = []
    for item in series:  # a copy in another part would be a leak
        content = hashlib.sha256(item.values.tobytes()).digest()
        key = (item.part if given else "", content)
        group = item.group or owner.setdefault(key, item.name)
        found.append(replace(item, group=group))
    return found


def _check_groups(series: Sequence[ReadSequence]) -> None:
    seen: dict[str, str] = {}
    shared = set()
    for item in series:
        if seen.setdefault(item.group, item.part) != item.part:
            shared.add(item.group)
    if shared:
        raise Refused(
            f"task.source: {len(shared)} groups are in two parts of its own split:"
            f" {listed(sorted(shared), 5)}; task.split=hashed deals all sequences out by group"
        )


def _dealt(
    series: Sequence[ReadSequence], strata: Mapping[str, str], pattern: Sequence[str], deal: Deal
) -> dict[str, str]:
    """Return the part of each group."""
    stratum: dict[str, str] = {}
    for item in series:
        stratum.setdefault(item.group, strata.get(item.name, ""))
    order = sorted(
        stratum,
        key=lambda group: (
            stratum[group],
            hashlib.sha256(f"{deal.number}\0{group}".encode()).hexdigest(),
        ),
    )
    counts: dict[str, int] = {}
    parts = {}
    for group in order:
        place = counts.get(stratum[group], 0)
        counts[stratum[group]] = place + 1
        parts[group] = pattern[(place - deal.fold) % len(pattern)]
    return parts
