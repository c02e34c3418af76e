"""The report of a store: read, compared, and written in every form."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqbench.config.command import command
from seqbench.errors import Refused, why_not
from seqbench.records import some
from seqbench.reporting.drawing import Picture, looks
from seqbench.reporting.exports import PICTURES, latex, markdown, write_csv, write_parquet
from seqbench.reporting.notes import failure_lines
from seqbench.reporting.overview import Overview, overviews
from seqbench.reporting.page import PICTURE_BYTES, Content, page
from seqbench.reporting.pictures import (
    KINDS,
    costs_picture,
    curves_picture,
    overview_pictures,
    scores_picture,
)
from seqbench.reporting.progress import ProgressWatch, unwatched
from seqbench.reporting.selection import Selection, Wanted, commands_for, select
from seqbench.reporting.splits import split_tables, split_verdict
from seqbench.reporting.summary import summary
from seqbench.reporting.table import Table
from seqbench.reporting.text import wrapped
from seqbench.reporting.tuned import tuning_pictures
from seqbench.reporting.verdict import verdict

FOLDER = "seqbench-report"
PAGE = "report.html"
_MOST_FAILURES = 5  # lines below a verdict


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Args:
        folder: where it is; the page is ``report.html`` in it.
        files: the page, and the same as Markdown, LaTeX, CSV and Parquet.
        tables: of what was compared, older conditions included.
        nothing: why there is no table; empty if there is one.
    """

    folder: Path
    files: list[Path]
    tables: list[Table]
    nothing: str

    @property
    def verdicts(self) -> list[str]:
        """What each table says, and splits together; older conditions are left out."""
        said = [verdict(table) for table in self.tables if not table.is_old]
        return [*said, *map(split_verdict, split_tables(self.tables))]

    @property
    def summary(self) -> list[dict[str, Any]]:
        """The tables as JSON types; what is not finite is None."""
        return summary(self.tables)

    def __str__(self) -> str:
        """Return the verdicts, why trials have no score, and where the files are."""
        said = [] if self.tables else [self.nothing]
        for table in self.tables:
            if not table.is_old:
                more = "{} more lines of failures; results.csv has the reason of each trial"
                why = some(failure_lines(table), _MOST_FAILURES, more)
                said += [wrapped(verdict(table)), *(wrapped(line, "  ") for line in why)]
        return "\n".join([*said, *map(str, self.files)])


def report(folder: Path, wanted: Wanted | None = None, watch: ProgressWatch = unwatched) -> Report:
    """Read the finished trials of a store and write what they say.

    Args:
        folder: made if it is not there.
        wanted: which trials, and how they are compared; None takes all.
        watch: sees each run that is read and each table that is drawn.

    Raises:
        Refused: a filter finds nothing, the store or the folder cannot be used, or there is no
            trial: a report that the folder has stays as it is.
    """
    wanted = wanted or Wanted()
    if not folder.absolute().parent.is_dir():
        raise Refused(f"out={folder}: there is no folder {folder.parent}; make it first")
    if folder.exists() and not folder.is_dir():
        raise Refused(
            f"out={folder} cannot be written: a file is there, and no folder; name another place"
            " with out=PATH"
        )
    selection = select(wanted, watch)
    if not selection.trials:
        kept = f"; {folder / PAGE} stays as it is" if (folder / PAGE).exists() else ""
        example = command("experiment=smoke")
        raise Refused(f"there is no trial in {selection.store}{kept}; run one first: {example}")
    try:
        files = write_report(folder, selection, wanted.chosen, watch)
    except OSError as error:
        raise Refused(
            f"out={folder} cannot be written: {why_not(error)}; name a folder that can be, with"
            " out=PATH"
        ) from error
    only = f"there is no trial but candidates of tunings in {selection.store}"
    nothing = "" if selection.tables else only
    return Report(folder, files, selection.tables, nothing)


def write_report(
    folder: Path, selection: Selection, chosen: str = "", watch: ProgressWatch = unwatched
) -> list[Path]:
    """Write every form of the report, each file in one move; return the files.

    Args:
        folder: made if it is not there.
        selection: trials and what they say.
        chosen: how they were filtered; empty if not at all.
        watch: sees each table that is drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = selection.tables
    found, left_out = overviews(tables)
    pictures = _pictures(selection, found, watch)
    content = Content(
        store=selection.store,
        chosen=chosen,
        trials=selection.trials,
        tables=tables,
        overviews=found,
        splits=split_tables(tables),
        pictures=pictures,
        tunings=tuning_pictures(selection.trials),
        commands=commands_for(selection.defaults, selection.tracking),
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


def _pictures(
    selection: Selection, found: Sequence[Overview], watch: ProgressWatch
) -> dict[str, list[Picture]]:
    """Draw what a page has room for; a table without a score has no picture."""
    tables = [table for table in selection.tables if any(item.scored for item in table.variants)]
    labels = [item.label for table in tables for item in table.variants]
    models = [item.model for table in tables for item in table.variants]
    style = looks([*sorted(dict.fromkeys(models)), *labels])
    drawn = {item.identifier: overview_pictures(item, style) for item in found}
    room = PICTURE_BYTES - sum(len(item.svg) for items in drawn.values() for item in items)
    for table in watch(tables, "drawing", len(tables)):
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
