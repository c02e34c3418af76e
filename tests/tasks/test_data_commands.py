"""One command on a user's own data gives a score beside baselines, and what is not used is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqbench.cli import main

TRIAL = ["model=gru", "experiment=smoke", "tracking=none", "trainer.progress=false"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A user's folder: the archives' forms, arrays, patients in a table, and a long series."""
    draw = np.random.default_rng(0)
    for name, count in (("TRAIN", 20), ("TEST", 8)):
        lines = ["@missing true", "@equalLength false", "@classLabel true a b", "@data"]
        numbers = ["@targetlabel true", "@data"]
        for number in range(count):
            values = (draw.normal(size=(2, 5 + number % 4)) + number % 2).round(3)
            columns = [",".join(map(str, column)) for column in values]
            lines.append(":".join([*columns, "ab"[number % 2]]))
            numbers.append(":".join([*columns, f"{values.mean():.3f}"]))
        (tmp_path / "classes").mkdir(exist_ok=True)
        (tmp_path / "numbers").mkdir(exist_ok=True)
        (tmp_path / "classes" / f"P_{name}.ts").write_text("\n".join(lines) + "\n")
        (tmp_path / "numbers" / f"P_{name}.ts").write_text("\n".join(numbers) + "\n")
    lengths = draw.integers(3, 9, 40)
    owner = np.repeat(np.arange(40), lengths)
    visits = pd.DataFrame({"patient": owner, "time": np.concatenate([*map(np.arange, lengths)])})
    visits["lactate"] = np.where(
        draw.random(len(owner)) < 0.3, np.nan, draw.normal(size=len(owner))
    )
    visits["outcome"] = np.where(owner % 2, "ill", "well")
    visits.to_csv(tmp_path / "patients.csv", index=False, sep=";", decimal=",")
    pytest.importorskip("pyarrow", reason="Parquet files need pyarrow")
    visits.to_parquet(tmp_path / "patients.parquet", index=False)
    (tmp_path / "cut").mkdir()
    test = (tmp_path / "classes" / "P_TEST.ts").read_text()
    (tmp_path / "cut" / "P_TEST.ts").write_text(test)
    (tmp_path / "cut" / "P_TRAIN.ts").write_text(test[:-60])
    steps = np.arange(600)
    wave = np.sin(steps * 2 * np.pi / 24) + 0.1 * draw.normal(size=600)
    odd = (steps % 130 > 124).astype(int)
    table = pd.DataFrame({"time": steps, "value": wave + 2 * odd, "label": odd})
    table.to_csv(tmp_path / "series.csv", index=False)
    table.to_parquet(tmp_path / "steps.pq")
    values = draw.normal(size=(40, 6, 2))
    np.savez(tmp_path / "mine.npz", X=values, y=(values[:, :, 0].mean(axis=1) > 0).astype(int))
    return tmp_path


COMMANDS = {
    "task=data task.source={}/classes": "random_kernels",
    "task=data/regress task.source={}/numbers": "nearest_neighbour",
    "task=data task.source={}/patients.csv": "logistic_regression",
    "task=data task.source={}/mine.npz": "majority",
    "task=data task.source={}/patients.parquet": "logistic_regression",
    "task=data/label task.source={}/steps.pq task.time=time": "majority",
    "task=data/forecast task.source={}/series.csv task.horizon=3": "seasonal",
    "task=data/label task.source={}/series.csv": "majority",
    "task=data/anomaly task.source={}/series.csv": "window_mahalanobis",
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_gives_a_score_beside_baselines(
    data: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main([*command.format(data).split(), *TRIAL])
    out = capsys.readouterr().out
    rows = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert "gru" in rows
    assert COMMANDS[command] in rows


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("task=data task.source={}/clases", "/classes'?)"),
        ("task=data task.source={}/series.csv", "task=data/label takes one a step"),
        ("task=data/regress task.source={}/classes", "task=data/classify takes classes"),
        ("task=data task.source={}/patients.csv task.id=patientt", "(did you mean 'patient'?)"),
        (
            "task=data task.source={}/cut task.skip_bad=true",
            "no file of its train part can be used",
        ),
        ("task=data task.source={}", "problems; one at a time is trained on"),
    ],
)
def test_a_mistake_costs_a_line_and_its_details(
    data: Path, command: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main([*command.format(data).split(), *TRIAL])
    text = capsys.readouterr().err
    assert "Traceback" not in text
    assert expected in text
    first, *details = text.splitlines()
    assert first.startswith("seqbench: ")
    assert all(line.startswith("  ") for line in details)
    shown = text.replace(str(data), "")
    assert all(len(line) <= 300 for line in shown.splitlines())
