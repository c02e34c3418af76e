"""What tests of tasks share: data as a user would lay them, rolls and health records."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

Lines = list[list[str]]
PATIENTS = 40
SECRET = "Zaphod-8472"
"""Begins every patient's name."""


@pytest.fixture
def health_files() -> Callable[..., dict[str, Lines]]:
    """Make the lines of each file: forty patients with 1 to 6 times and two variables."""

    def make(online: bool) -> dict[str, Lines]:
        generator = np.random.default_rng(0)
        events: Lines = [["patient", "time", "variable", "value"]]
        outcomes: Lines = [["patient", "time", "label"] if online else ["patient", "label"]]
        patients: Lines = [["patient", "age", "smoker"]]
        for number in range(PATIENTS):
            name = f"{SECRET}-{number}"
            for time in range(int(generator.integers(1, 7))):
                for variable in ("lactate", "pulse")[: int(generator.integers(1, 3))]:
                    value = f"{generator.normal() + number % 2:.3f}"
                    events.append([name, f"{time}.5", variable, value])
                if online:
                    label = "" if generator.random() < 0.2 else str(number % 2)
                    outcomes.append([name, f"{time}.5", label])
            if not online:
                outcomes.append([name, str(number % 2)])
            patients.append(
                [name, str(20 + number), "" if number % 7 == 0 else str(number % 3 == 0)]
            )
        for row in patients[1:]:
            row[2] = {"True": "1", "False": "0"}.get(row[2], "")
        return {"events": events, "outcomes": outcomes, "patients": patients}

    return make


@pytest.fixture
def write_files() -> Callable[[Path, dict[str, Lines]], Path]:
    """Write them into a folder, which is returned."""

    def write(folder: Path, files: dict[str, Lines]) -> Path:
        folder.mkdir(exist_ok=True)
        for name, lines in files.items():
            with (folder / f"{name}.csv").open("w", newline="") as file:
                csv.writer(file).writerows(lines)
        return folder

    return write


@pytest.fixture
def papers_file(tmp_path: Path) -> str:
    """A file of the papers' form: pieces of 5, 6 and 7 random frames in each split."""
    generator = np.random.default_rng(0)
    contents = {}
    for split in ("train", "valid", "test"):
        cells = np.empty((1, 3), dtype=object)
        cells[0] = [(generator.random((5 + n, 88)) < 0.1).astype(float) for n in range(3)]
        contents[f"{split}data"] = cells
    scipy.io.savemat(tmp_path / "papers.mat", contents)
    return str(tmp_path / "papers.mat")
