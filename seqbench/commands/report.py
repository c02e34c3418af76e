"""``seqbench report``: which differences are real, and what they cost, as a page and as tables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqbench.errors import EXIT_DONE, Refused

if TYPE_CHECKING:
    from seqbench.commands.selection import Selection
    from seqbench.reporting.drawing import Picture

FOLDER = "seqbench-report"
PAGE = "report.html"


def command(args: list[str]) -> int:
    """Read the finished trials of a store and write what they say.

    Args:
        args: filters, ``control``, ``practical``, ``out=FOLDER``, ``--json``, ``tracking.*``.

    Raises:
        Refused: a word is wrong, a filter finds nothing, or the store cannot be used.
    """
    from seqbench.commands.selection import read_words, select
    from seqbench.reporting.summary import summary
    from seqbench.reporting.verdict import verdict

    words = read_words("report", args, ("out",))
    if words.names:
        raise Refused(
            f"seqbench report: '{words.names[0]}' is not KEY=VALUE; to compare models, "
            "write seqbench compare"
        )
    selection = select(words)
    folder = Path(words.others.get("out", FOLDER)).expanduser()
    if not selection.trials and (folder / PAGE).exists():
        raise Refused(f"there is no trial in {selection.store}: {folder / PAGE} stays as it is")
    try:
        written = write_report(folder, selection, words.chosen)
    except OSError as error:
        raise Refused(f"out={folder} cannot be written: {error.strerror or error}") from error
    if words.json:
        sys.stdout.write(json.dumps(summary(selection.tables), indent=2) + "\n")
        return EXIT_DONE
    for table in selection.tables:
        if not table.is_old:
            sys.stdout.write(f"{verdict(table)}\n")
    if not selection.tables:
        what = "but candidates of tunings " if selection.trials else ""
        sys.stdout.write(f"there is no trial {what}in {selection.store}\n")
    for path in written:
        sys.stdout.write(f"{path}\n")
    return EXIT_DONE


def write_report(folder: Path, selection: Selection, chosen: str) -> list[Path]:
    """Write every form of the report, each file in one move; return the files.

    Args:
        folder: made if it is not there.
        selection: trials and what they say.
        chosen: how they were filtered; empty if not at all.
    """
    from seqbench.commands.selection import commands_for
    from seqbench.reporting.exports import PICTURES, latex, markdown, write_csv, write_parquet
    from seqbench.reporting.overview import overviews
    from seqbench.reporting.page import Content, page
    from seqbench.reporting.pictures import KINDS
    from seqbench.reporting.tuned import tuning_pictures

    folder.mkdir(parents=True, exist_ok=True)
    tables = selection.tables
    found, left_out = overviews(tables)
    pictures = _pictures(selection, found)
    content = Content(
        store=selection.store,
        chosen=chosen,
        trials=selection.trials,
        tables=tables,
        overviews=found,
        pictures=pictures,
        tunings=tuning_pictures(selection.trials),
        commands=commands_for(selection.defaults),
        notes=[*selection.notes, *left_out],
    )
    drawn = [*(item for items in pictures.values() for item in items)]
    drawn += [picture for _, picture in content.tunings]
    (folder / PICTURES).mkdir(exist_ok=True)
    for picture in drawn:
        _put(folder / PICTURES / f"{picture.name}.svg", picture.in_file())
    names = {picture.name for picture in drawn}
    for path in (folder / PICTURES).glob("*.svg"):  # of an earlier report
        if path.stem not in names and path.stem.startswith(KINDS):
            path.unlink()
    paths = [folder / name for name in (PAGE, "report.md", "tables.tex")]
    for path, text in zip(paths, (page(content), markdown(content), latex(tables)), strict=True):
        _put(path, text)
    for name, write in (("results.csv", write_csv), ("results.parquet", write_parquet)):
        draft = folder / f"{name}.draft"
        write(draft, selection.trials, tables)
        os.replace(draft, folder / name)
        paths.append(folder / name)
    return paths


def _pictures(selection: Selection, found: Sequence[Any]) -> dict[str, list[Picture]]:
    """Draw what a page has room for; a table without a score has no picture."""
    from rich.console import Console
    from rich.progress import Progress

    from seqbench.reporting.drawing import looks
    from seqbench.reporting.page import PICTURE_BYTES
    from seqbench.reporting.pictures import (
        costs_picture,
        curves_picture,
        overview_pictures,
        scores_picture,
    )

    tables = [table for table in selection.tables if any(item.scored for item in table.variants)]
    labels = [item.label for table in tables for item in table.variants]
    models = [item.model for table in tables for item in table.variants]
    style = looks([*sorted(dict.fromkeys(models)), *labels])
    drawn = {item.identifier: overview_pictures(item, style) for item in found}
    room = PICTURE_BYTES - sum(len(item.svg) for items in drawn.values() for item in items)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        for table in bar.track(tables, description="drawing"):
            if room <= 0:
                break
            pictures = [
                scores_picture(table, style),
                curves_picture(table, style),
                costs_picture(table, style),
            ]
            drawn[table.identifier] = [item for item in pictures if item is not None]
            room -= sum(len(item.svg) for item in drawn[table.identifier])
    left = len(tables) - sum(table.identifier in drawn for table in tables)
    if left:
        selection.notes.append(
            f"Pictures of {left} tables are left out, so that the page stays small; filter with "
            "task=."
        )
    return drawn


def _put(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(text, encoding="utf-8", errors="replace")
    os.replace(draft, path)
