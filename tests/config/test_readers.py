"""Files that another task reads: the task is named, and the command that is printed works."""

from __future__ import annotations

import json
import math
import shlex
import struct
import wave
from collections.abc import Callable
from pathlib import Path

import mido
import numpy as np
import pandas as pd
import pytest

from seqbench.cli import main
from seqbench.errors import EXIT_DONE, EXIT_REFUSED


def ts(folder: Path) -> Path:
    for part, count in (("TRAIN", 20), ("TEST", 8)):
        rows = [f"{n},{n % 3},{n % 5 + 1},{n * 2}:{'ab'[n % 2]}" for n in range(count)]
        lines = ["@univariate true", "@classLabel true a b", "@data", *rows]
        (folder / f"P_{part}.ts").write_text("\n".join(lines) + "\n")
    return folder


def one_ts(folder: Path) -> Path:
    """A file with commas, which reads as CSV too."""
    rows = [f"{n},{n % 3},{n % 5 + 1}:{'ab'[n % 2]}" for n in range(40)]
    path = folder / "P.ts"
    path.write_text("\n".join(["@univariate true", "@classLabel true a b", "@data", *rows]))
    return path


def arff(folder: Path) -> Path:
    rows = [f"{n},{n % 3},{n % 5 + 1},{'ab'[n % 2]}" for n in range(40)]
    steps = [f"@attribute s{n} numeric" for n in range(3)]
    lines = ["@relation p", *steps, "@attribute target {a,b}", "@data", *rows]
    (folder / "P.arff").write_text("\n".join(lines))
    return folder


def npz(folder: Path) -> Path:
    values = np.random.default_rng(0).normal(size=(40, 6, 2))
    np.savez(folder / "mine.npz", X=values, y=np.arange(40) % 2)
    return folder / "mine.npz"


def npy(folder: Path) -> Path:
    values = np.random.default_rng(0).normal(size=(40, 6, 2))
    np.save(folder / "X.npy", values)
    np.save(folder / "y.npy", np.arange(40) % 2)
    return folder


def parquet(folder: Path) -> Path:
    long_table(folder)
    pd.read_csv(folder / "long.csv").to_parquet(folder / "long.parquet")
    (folder / "long.csv").unlink()
    return folder


def midi(folder: Path) -> Path:
    for piece in range(6):
        track = mido.MidiTrack()
        for step in range(12):
            pitch = 50 + (step * (piece + 2)) % 23
            track.append(mido.Message("note_on", note=pitch, time=0))
            track.append(mido.Message("note_off", note=pitch, time=480))
        mido.MidiFile(tracks=[track], ticks_per_beat=480).save(folder / f"{piece}.MID")
    return folder


def rolls(folder: Path) -> Path:
    parts = ("train", "valid", "test")
    arrays = {part: np.eye(88, dtype=np.uint8)[:12] for part in parts}
    arrays |= {f"{part}_lengths": np.array([5, 7]) for part in parts}
    np.savez(folder / "rolls.npz", **arrays)
    return folder / "rolls.npz"


def wav(folder: Path) -> Path:
    noise = np.random.default_rng(0)
    for word in range(2):
        for speaker in ("ann", "bob", "cem", "dee"):
            for take in range(3):
                with wave.open(str(folder / f"{word}_{speaker}_{take}.wav"), "wb") as file:
                    file.setparams((1, 2, 8000, 0, "NONE", ""))
                    tones = np.sin(np.arange(2000) * (0.1 + word / 5)) + noise.normal(size=2000) / 9
                    samples = (tones * 9000).astype(int).tolist()
                    file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return folder


def nab(folder: Path) -> Path:
    windows = {}
    times = pd.date_range("2014-01-01", periods=400, freq="h")
    for name in ("realTweets/a.csv", "realTweets/b.csv"):
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = [math.sin(row / 5) + 9 * (300 <= row < 320) for row in range(400)]
        values[0] += len(windows)
        pd.DataFrame({"timestamp": times, "value": values}).to_csv(path, index=False)
        windows[name] = [[str(times[300]), str(times[320])]]
    (folder / "labels").mkdir()
    (folder / "labels" / "combined_windows.json").write_text(json.dumps(windows))
    return folder


def below_nab(folder: Path) -> Path:
    return nab(folder) / "data" / "realTweets"


def long_table(folder: Path, names: tuple[str, ...] = ("patient", "time", "outcome")) -> Path:
    draw = np.random.default_rng(0)
    rows = [
        [patient, hour, round(draw.normal(), 3), ("ill", "well")[patient % 2]]
        for patient in range(40)
        for hour in range(3 + patient % 4)
    ]
    table = pd.DataFrame(rows, columns=[names[0], names[1], "lactate", names[2]])
    table.to_csv(folder / "long.csv", index=False)
    return folder / "long.csv"


def stays(folder: Path) -> Path:
    return long_table(folder, ("ICUSTAY_ID", "hour", "hospital_expire_flag"))


def stays_below(folder: Path) -> Path:
    return stays(folder).parent


def records(folder: Path) -> Path:
    events, outcomes = ["patient,time,variable,value"], ["patient,time,label"]
    for patient in range(40):
        for time in range(3):
            events.append(f"p{patient},{time},{'ab'[time % 2]},{patient * time / 8}")
            outcomes.append(f"p{patient},{time},{patient % 2}")
    (folder / "events.csv").write_text("\n".join(events))
    (folder / "outcomes.csv").write_text("\n".join(outcomes))
    return folder


GIVEN: list[tuple[str, Callable[[Path], Path], str, list[str]]] = [
    ("anomaly", ts, "data", []),
    ("speech", ts, "data", []),
    ("music", ts, "data", []),
    ("health", ts, "data", []),
    ("anomaly", one_ts, "data", []),
    ("speech", one_ts, "data", []),
    ("music", one_ts, "data", []),
    ("health/nafld", one_ts, "data", []),
    ("anomaly", arff, "data", []),
    ("music", arff, "data", []),
    ("anomaly", npz, "data", []),
    ("speech", npz, "data", []),
    ("music", npz, "data", []),
    ("anomaly", npy, "data", []),
    ("speech", parquet, "data", []),
    ("anomaly", parquet, "data", []),
    ("data", midi, "music", []),
    ("data/regress", midi, "music", []),
    ("anomaly", midi, "music", []),
    ("speech", midi, "music", []),
    ("data", rolls, "music", []),
    ("data", wav, "speech", []),
    ("data/label", wav, "speech", []),
    ("music", wav, "speech", []),
    ("data/anomaly", nab, "anomaly", []),
    ("data/anomaly", below_nab, "anomaly", []),
    ("data/label", below_nab, "anomaly", []),
    ("data", below_nab, "anomaly", []),
    ("health", long_table, "data", ["task.id=patient", "task.time=time", "task.label=outcome"]),
    (
        "health/nafld",
        stays,
        "data",
        ["task.id=ICUSTAY_ID", "task.time=hour", "task.label=hospital_expire_flag"],
    ),
    ("health", stays_below, "data", ["task.id=ICUSTAY_ID", "task.time=hour"]),
    ("speech", records, "health", []),
    ("data", records, "health", []),
]


@pytest.mark.parametrize(
    ("given", "make", "reader", "options"),
    [pytest.param(*case, marks=[pytest.mark.slow] * bool(n % 4)) for n, case in enumerate(GIVEN)],
    ids=lambda value: getattr(value, "__name__", "") or (value if isinstance(value, str) else ""),
)
def test_the_task_that_reads_the_files_is_named_and_its_command_works(
    given: str,
    make: Callable[[Path], Path],
    reader: str,
    options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "my 'own' #1"
    folder.mkdir()
    source = make(folder)
    quoted = str(source).replace("'", "\\'")
    assert EXIT_REFUSED == main(["prepare", f"task={given}", f"task.source='{quoted}'"])
    said = capsys.readouterr().err
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if f"task={reader} " in line]
    assert len(lines) == 1, said
    command = lines[0].partition(": ")[2].partition(" or task=")[0]
    words = shlex.split(command)
    assert words[0] == f"task={reader}"
    assert set(options) <= set(words)
    assert EXIT_DONE == main(["prepare", *words]), capsys.readouterr().err


def test_tasks_of_plugins_take_part(
    tmp_path: Path, fresh_registry: None, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from seqbench.tasks.music import Music\n\n\n"
        "class Mine(Music):\n"
        '    """A task.\n\n    Args:\n        source: a folder.\n    """\n\n'
        '    source_files = (".gdf",)\n\n'
        "    def __init__(self, *, source: str | None = None) -> None:\n"
        "        super().__init__()\n"
    )
    (tmp_path / "eeg").mkdir()
    (tmp_path / "eeg" / "a.GDF").write_text("x")
    source = tmp_path / "eeg"
    args = ["prepare", f"+plugin={plugin}", "task=anomaly", f"task.source={source}"]
    assert EXIT_REFUSED == main(args)
    expected = f"""  task=mine reads .gdf files: task=mine "task.source='{source}'\""""
    assert expected in capsys.readouterr().err.splitlines()


def test_nobody_is_named_where_nobody_reads_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.docx").write_text("x")
    for task in ("anomaly", "data", "music", "speech", "health"):
        assert EXIT_REFUSED == main(["prepare", f"task={task}", f"task.source={tmp_path}"])
        assert " files: task=" not in capsys.readouterr().err
