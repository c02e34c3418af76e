"""What plugins, and seqbench itself, write about a finished trial: pictures, tables, exports."""

from __future__ import annotations

import copy
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seqbench.api import FinishedTrial
from seqbench.registry.plugins import registry
from seqbench.registry.registration import one_line
from seqbench.trials.undisturbed import undisturbed

if TYPE_CHECKING:
    from seqbench.records import TrialRecord
    from seqbench.tracking.runlog import RunLog
    from seqbench.training.data import TrialData
    from seqbench.training.predictor import Predictor
    from seqbench.trials.trial import Trial

HOOK = "seqbench_outputs"
_OF_THE_RUN = ("checkpoint", "config.json", "record.json", "traceback.txt")


def make_outputs(
    trial: Trial,
    record: TrialRecord,
    predictor: Predictor,
    data: TrialData,
    folder: Path,
    log: RunLog,
) -> None:
    """Have every output write its files, and log them; one that fails costs a line on stderr.

    Args:
        trial: trained and scored.
        record: of the trial; no output can change it.
        predictor: of the fold.
        data: of a fold, unsealed.
        folder: to work in; left empty.
        log: of the run.
    """
    config = trial.settings.to_dict()
    kept = set(map(Path, _OF_THE_RUN))
    for origin, output in registry().implementations(HOOK):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        finished = FinishedTrial(copy.deepcopy(record), config, trial.task)
        predictor.eval()
        try:
            with undisturbed():
                output(trial=finished, predictor=predictor, data=data, folder=folder)
        except (Exception, SystemExit) as error:
            _complain(origin, f"failed: {one_line(error)}")
            continue
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_symlink() and not _stays_inside(path, folder):
                _complain(origin, f"left out {name}: a link to what is no file of this output")
                continue
            if not path.is_file():
                continue
            if kept & {name, *name.parents}:
                _complain(origin, f"left out {name}: the run has a file of that name")
                continue
            kept.add(name)
            log.log_artifact(path, None if name.parent == Path() else str(name.parent))
    shutil.rmtree(folder, ignore_errors=True)


def _stays_inside(link: Path, folder: Path) -> bool:
    """Whether a link leads to a file that the output made: another one is not of the run."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # it leads nowhere, or in a circle
        return False
    return target.is_file() and target.is_relative_to(folder.resolve())


def _complain(origin: str, fault: str) -> None:
    sys.stderr.write(f"seqbench: {HOOK} of {origin} {fault}\n")
