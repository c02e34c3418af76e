"""How trials that have finished stand after each of a number of edits; run in a copy of the code.

    python states.py FOLDER < edits.json > states.json

FOLDER holds the copy, as ``seqbench/``, and a third party's files, as ``third/``.
"""

from __future__ import annotations

import ast
import functools
import json
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Log a trial of every model and task, and ask how each stands, edit by edit."""
    ast.parse = functools.cache(
        ast.parse
    )  # an edit changes one file, and the others are as they were
    from seqbench.config.settings import Recipe, Settings, TrackingSettings, TrainerSettings
    from seqbench.identity import identity
    from seqbench.records import TrialRecord
    from seqbench.registry import codehash
    from seqbench.registry.plugins import add_plugin_file, registry
    from seqbench.sweeps.plan import _planned
    from seqbench.tracking.store import open_store
    from seqbench.tracking.tags import identity_tags
    from seqbench.tracking.trials import stored_trials

    for path in sorted((folder / "third").glob("[bo]*.py")):
        add_plugin_file(str(path))
    tracking = TrackingSettings(uri=str(folder / "runs.db"))
    pairs = {
        f"model={item.name}": ("music/harmonize", item.name) for item in registry().all("model")
    }
    pairs |= {f"task={item.name}": (item.name, "gru") for item in registry().all("task")}
    trials = {
        name: Settings(task, {}, model, {}, Recipe(), TrainerSettings(), tracking)
        for name, (task, model) in pairs.items()
    }
    store = open_store(tracking)
    harness = codehash.harness_hashes()
    for settings in trials.values():
        asked = identity(settings)
        record = TrialRecord(asked.key, settings.task, settings.model, 0)
        tags = identity_tags(asked.configuration, asked.parts, harness)
        store.start(record, settings.to_dict(), tags).finish(record)
    stored = stored_trials(tracking)
    found = {}
    for name, edit in json.load(sys.stdin).items():
        path = folder / edit["file"]
        text = path.read_text()
        path.write_text(text.replace(edit["before"], edit["after"]))
        codehash.harness_hashes.cache_clear()
        registry.cache_clear()
        found[name] = {}
        for trial, settings in trials.items():
            asked = identity(settings)
            before = [item for item in stored if item.configuration == asked.configuration]
            planned = _planned([], settings, asked, before)
            found[name][trial] = [planned.state, planned.reason]
        path.write_text(text)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
