"""Piano rolls from a user's own files: the papers', an ``.npz``, or a folder of MIDI files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from seqbench.api import LeftOut
from seqbench.config.userdata import Bad, UserData, files_below
from seqbench.errors import Refused, did_you_mean
from seqbench.tasks.music.midifile import read_midi
from seqbench.tasks.music.pianoroll import (
    KEYS,
    Grid,
    Note,
    Roll,
    near_duplicate_groups,
    split_by_group,
    to_roll,
)
from seqbench.tasks.music.rolls import MOST_BYTES, READERS, SPLITS, checked_roll, read_rolls

MIDI = (".mid", ".midi", ".kar")


class Piece(NamedTuple):
    """A piece of a user's file or folder."""

    name: str
    roll: Roll
    """``[T, 88]``, T at least 1."""


Pieces = dict[str, list[Piece]]
"""The pieces of each split."""


class _Rolls(NamedTuple):
    """A piece of a MIDI file, both ``[T, 88]``."""

    on_grid: Roll
    on_quarters: Roll


def load_source(data: UserData, grid: Grid, split_seed: int) -> Pieces:
    """Return the pieces of each split, from whatever the path is.

    Args:
        data: a ``.mat``, ``.pkl``, ``.pickle`` or ``.npz`` file, or a folder of MIDI files.
        grid: of MIDI files; the other forms are rolls already.
        split_seed: of a MIDI folder without ``train``, ``valid`` and ``test`` subfolders; 0 for
            anything else.

    Raises:
        Refused: the path is missing or not of the form, or what it holds cannot be used.
    """
    path = data.path
    if path.is_file():
        if path.suffix.lower() not in READERS:
            known = ", ".join(READERS)
            midi = "; give the folder of a MIDI file" if path.suffix.lower() in MIDI else ""
            raise Refused(
                f"task.source '{path}' is neither a {known} file nor a folder of MIDI files{midi}"
            )
        _deals_nothing(split_seed, "the file has splits of its own")
        pieces = _rolls_of_a_file(data)
    else:
        pieces = _midi_folder(data, grid, split_seed)
    empty = [split for split in SPLITS if not pieces[split]]
    if empty:
        raise Refused(
            f"task.source '{path}' has no piece of {', '.join(empty)} that can be used",
            [f"  {item.name}: {item.reason}" for item in data.left_out],
        )
    return pieces


def _rolls_of_a_file(data: UserData) -> Pieces:
    (sequences,) = data.read([data.path], read_rolls).values()
    pieces: Pieces = {split: [] for split in SPLITS}
    bad: dict[str, tuple[str, ...]] = {}
    total = 0
    for split in SPLITS:
        for index, sequence in enumerate(sequences[split]):
            name = f"{split}-{index}"
            try:
                roll = checked_roll(sequence)
            except Bad as error:
                bad[name] = error.problems
                continue
            total += len(roll)
            if total * KEYS > MOST_BYTES:  # a pickle may hold one piece a million times
                raise Refused(f"task.source '{data.path}' has more than {total - 1:,} frames")
            pieces[split].append(Piece(name, roll))
    data.drop(bad, len(bad) + sum(map(len, pieces.values())), "pieces")
    return pieces


def _midi_folder(data: UserData, grid: Grid, split_seed: int) -> Pieces:
    folder = data.path
    given = _given_splits(folder)
    if given:
        _deals_nothing(split_seed, f"the folder has {', '.join(given.values())}")
        paths = {split: data.find(MIDI, "MIDI files", folder / given[split]) for split in SPLITS}
        _leave_out_others(data, given)
        found = _midi_pieces(data, [path for split in SPLITS for path in paths[split]], grid)
        return {
            split: [
                Piece(name, rolls.on_grid)
                for path in paths[split]
                for name, rolls in found.get(path, ())
            ]
            for split in SPLITS
        }
    found = _midi_pieces(data, data.find(MIDI, "MIDI files"), grid)
    named = [piece for pieces in found.values() for piece in pieces]
    on_quarters = [rolls.on_quarters for _, rolls in named]
    groups = near_duplicate_groups(on_quarters)
    if len(set(groups)) < len(SPLITS):
        raise Refused(
            f"task.source '{folder}': {len(set(groups))} of its {len(named)} pieces differ;"
            f" a split needs {len(SPLITS)}",
            [f"  {item.name}: {item.reason}" for item in data.left_out],
        )
    names = [name for name, _ in named]
    chosen = split_by_group(names, groups, [len(roll) for roll in on_quarters], split_seed)
    by_split: Pieces = {split: [] for split in SPLITS}
    for (name, rolls), split in zip(named, chosen, strict=True):
        by_split[split].append(Piece(name, rolls.on_grid))
    return by_split


def _deals_nothing(split_seed: int, reason: str) -> None:
    if split_seed:
        raise Refused(f"task.split_seed={split_seed} changes nothing: {reason}")


def _given_splits(folder: Path) -> dict[str, str]:
    """Return the name of each split's subfolder, whatever its case; empty if there are none."""
    if not folder.is_dir():
        return {}
    try:
        inside = sorted(path.name for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise Refused(f"cannot read '{folder}': {error.strerror}") from error
    given = {name.lower(): name for name in inside if name.lower() in SPLITS}
    missing = [split for split in SPLITS if split not in given]
    if given and missing:
        hint = did_you_mean(missing[0], [name for name in inside if name not in given.values()])
        raise Refused(
            f"task.source '{folder}' has folders {', '.join(given.values())} but lacks"
            f" {', '.join(missing)}{hint}; it takes all three or none"
        )
    return given


def _leave_out_others(data: UserData, given: dict[str, str]) -> None:
    """Say which MIDI files lie in none of the splits' subfolders."""
    for path in files_below(data.path):
        name = data.name(path)
        if path.suffix.lower() in MIDI and name.split("/")[0] not in given.values():
            reason = f"it lies outside {', '.join(given[split] for split in SPLITS)}"
            data.left_out.append(LeftOut(name, reason))


def _midi_pieces(
    data: UserData, paths: list[Path], grid: Grid
) -> dict[Path, list[tuple[str, _Rolls]]]:
    """Return the pieces of each MIDI file that can be used, with their names.

    A file of type 2 has one in each track, named ``file#track``, tracks numbered from 1.
    """

    def read(path: Path) -> list[tuple[str, _Rolls]]:
        parts, ticks = read_midi(path)
        found: list[tuple[str, _Rolls]] = []
        problems: list[str] = []
        for number, notes in enumerate(parts, start=1):
            of_part = f"track {number}: " if len(parts) > 1 else ""
            name = data.name(path) + (f"#{number}" if len(parts) > 1 else "")
            if not notes and len(parts) > 1:
                empty.append(LeftOut(name, "the track has no notes"))
                continue
            try:
                found.append((name, _rolls(notes, ticks, grid)))
            except Bad as error:
                problems += [of_part + problem for problem in error.problems]
        if problems or not found:
            raise Bad(*problems or ["none of its tracks has notes"])
        return found

    empty: list[LeftOut] = []
    found = data.read(paths, read)
    data.left_out += empty
    return found


def _rolls(notes: list[Note], ticks: int, grid: Grid) -> _Rolls:
    on_grid = to_roll(notes, ticks, grid)
    if not len(on_grid):
        if not notes:
            raise Bad("it has no notes; drums do not count")
        finer = grid != "sixteenth" and len(to_roll(notes, ticks, "sixteenth"))
        advice = "; task.grid=sixteenth is finer" if finer else ""
        raise Bad(
            f"none of its {len(notes):,} notes is on the {grid} grid of an 88-key piano{advice}"
        )
    return _Rolls(on_grid, to_roll(notes, ticks, "quarter"))
