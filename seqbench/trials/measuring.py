"""What one more step of each of a table's models costs, timed together after they were trained."""

from __future__ import annotations

import time

from seqbench.config.settings import TrackingSettings
from seqbench.errors import Refused
from seqbench.reporting.latency import Latency
from seqbench.reporting.table import Table
from seqbench.tracking.measured import Measured, keep_measured
from seqbench.trials.reload import Note, reload
from seqbench.trials.undisturbed import undisturbed


@undisturbed()
def measure_table(table: Table, settings: TrackingSettings, note: Note) -> dict[str, Latency]:
    """Time a step of every variant of a table in this process, in turns, and keep it.

    The models have the weights of their first seed that finished. It takes about half a second a
    model, after that the models are loaded; see :func:`seqbench.training.latency.interleaved`.

    Args:
        table: whose variants share their conditions, and so their data and device.
        settings: the store of its runs.
        note: hears of a variant that cannot be loaded.

    Returns:
        What was found, by label.

    Raises:
        Refused: the store cannot be used.
    """
    import torch

    from seqbench.tracking.environment import environment
    from seqbench.training.latency import ReadyModel, interleaved, make_ready, median_inputs

    ready: dict[str, ReadyModel] = {}
    runs: dict[str, str] = {}
    inputs = None
    device = "cpu"
    for item in table.able:
        run = next(iter(item.scored.values())).run_id
        try:
            reloaded = reload(run, settings.uri)
            data = reloaded.data(lambda _: None)[0]
            predictor = reloaded.predictor(data).eval()
        except Refused as refusal:
            note(f"{table.name} {item.label} is not timed: {refusal}")
            continue
        device = reloaded.trial.device
        if inputs is None:  # equal conditions: the same data
            data.unseal()
            inputs = median_inputs(data.splits.test).to(device)
        ready[item.label], runs[item.label] = make_ready(predictor, inputs), run
    turns = interleaved([item.copies for item in ready.values()], device)
    session = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {table.conditions[:8]}"
    threads = torch.get_num_threads()
    machine = f"{environment()['platform']}, {device}, {threads} thread{'s' * (threads != 1)}"
    found = {
        label: Measured(session, seconds, ready[label].streams, machine)
        for label, seconds in zip(ready, turns, strict=True)
    }
    keep_measured({runs[label]: measured for label, measured in found.items()}, settings)
    return {label: Latency(item.seconds, item.streams) for label, item in found.items()}
