"""A user's folder of wav files: both layouts are written by the test, read, and refused if bad."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.io.wavfile
import scipy.signal

from seqbench.config.userdata import UserData
from seqbench.errors import Refused
from seqbench.tasks.speech import Speech
from seqbench.tasks.speech import folder as folder_module
from seqbench.tasks.speech.folder import load_folder, mfcc
from seqbench.tasks.speech.wav import read_wav

RATE = 8000
SPLITS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tone(hertz: float, samples: int = 1700, rate: int = RATE) -> np.ndarray:
    """Return a fading chord, unlike noise and silence."""
    time = np.arange(samples) / rate
    wave = np.sin(2 * np.pi * hertz * time) + 0.3 * np.sin(2 * np.pi * 3.1 * hertz * time)
    return np.asarray(0.4 * wave * np.exp(-5 * time))


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """Write 16 bits per sample, as both data sets have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.wavfile.write(path, rate, np.round(samples * 32767).astype(np.int16))
    return path


def write_digits(folder: Path, speakers: str = "abcd", takes: int = 2) -> Path:
    """Write two digits by each speaker."""
    for number, speaker in enumerate(speakers):
        for digit in (3, 7):
            for take in range(takes):
                name = f"{digit}_{speaker}_{take}.wav"
                write(folder / name, tone(100 * digit + 10 * number + take, 1500 + 40 * take))
    return folder


def write_commands(folder: Path, lists: bool = True) -> Path:
    """Write two words by five speakers, one of them in each list."""
    names = [
        f"{word}/{speaker}_nohash_{take}.wav"
        for word in ("yes", "no")
        for speaker in ("0a", "0b", "1c", "1d", "2e")
        for take in (0, 1)
    ]
    for number, name in enumerate(names):
        write(folder / name, tone(150 + 20 * number, 3200, 16_000), 16_000)
    write(folder / "_background_noise_" / "tap.wav", tone(50, 3200, 16_000), 16_000)
    if lists:
        for file, speaker in (("validation_list.txt", "1c"), ("testing_list.txt", "2e")):
            listed = [name for name in names if f"/{speaker}_" in name]
            (folder / file).write_text("\n".join(listed) + "\n")
    return folder


def units(task: Speech, fold: int = 0) -> dict[str, set[str]]:
    splits = task.splits(fold)
    return {name: {example.group for example in getattr(splits, name)} for name in SPLITS}


def expected_mfcc(samples: np.ndarray, rate: int) -> np.ndarray:
    """Compute MFCC from their definition, with a library that is not the task's."""
    window, hop, bands = rate // 20, rate // 40, 128
    padded = np.pad(samples, window // 2, mode="reflect")
    starts = range(0, len(padded) - window + 1, hop)
    frames = np.array([padded[start : start + window] for start in starts])
    power = np.abs(np.fft.rfft(frames * scipy.signal.get_window("hann", window))) ** 2
    edges_mel = np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), bands + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    bins = np.fft.rfftfreq(window, 1 / rate)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    mel = power @ np.maximum(0, np.minimum(rising, falling)).T
    decibels = 10 * np.log10(np.maximum(mel, 1e-10))
    return np.asarray(
        scipy.fft.dct(np.maximum(decibels, decibels.max() - 80), norm="ortho")[:, :13]
    )


# Features


@pytest.mark.parametrize(("rate", "samples"), [(8000, 1700), (8000, 400), (16_000, 9000)])
@pytest.mark.slow
def test_mfcc_are_their_definition(rate: int, samples: int) -> None:
    """Against numpy and scipy; the end is nearly silent, so that the floor at -80 dB is met."""
    sound = (tone(440, samples, rate) * np.linspace(1, 0, samples) ** 12).astype(np.float32)
    found = mfcc(sound, rate)
    assert found.shape == (1 + samples // (rate // 40), 13)
    np.testing.assert_allclose(expected_mfcc(sound, rate), found, atol=2e-2)


def test_a_wav_file_is_read_at_the_tasks_rate(tmp_path: Path) -> None:
    """As it is at the same rate; resampled from a higher one, whatever it is."""
    same = read_wav(write(tmp_path / "a.wav", tone(300)), RATE)
    np.testing.assert_allclose(tone(300), same, atol=1e-4)
    for rate in (16_000, 11_025, 44_100):
        found = read_wav(write(tmp_path / "b.wav", tone(300, rate // 4, rate), rate), RATE)
        assert len(found) == pytest.approx(RATE / 4, abs=1)
        middle = slice(200, 1800)  # a filter rings at the ends
        np.testing.assert_allclose(tone(300, 2000)[middle], found[middle], atol=5e-3)


# Layouts


def test_digits_of_four_speakers(tmp_path: Path) -> None:
    """Each speaker tests one fold and validates the fold before; frames and words are as named."""
    task = Speech(source=str(write_digits(tmp_path / "wavs")))
    task.prepare()
    assert task.folds() == (0, 1, 2, 3)
    for fold in task.folds():
        test, valid = "abcd"[fold], "bcda"[fold]
        expected = {"train": set("abcd") - {test, valid}, "valid": {valid}, "test": {test}}
        assert expected == units(task, fold)
    examples = task.splits(0).test
    assert sorted((int(e.targets), len(e.values)) for e in examples) == [
        (0, 1 + 1500 // 200),
        (0, 1 + 1540 // 200),
        (1, 1 + 1500 // 200),
        (1, 1 + 1540 // 200),
    ]


def test_official_takes_of_digits(tmp_path: Path) -> None:
    """Takes 0-4 test, 5-9 validate, the others train; by every speaker."""
    task = Speech(source=str(write_digits(tmp_path, "ab", takes=12)), split="official")
    task.prepare()
    assert task.folds() == (0,)
    takes = {
        name: {int(group.rpartition("_")[2]) for group in found}
        for name, found in units(task).items()
    }
    assert takes == {"train": {10, 11}, "valid": set(range(5, 10)), "test": set(range(5))}
    assert len(units(task)["test"]) == 2 * 2 * 5


def test_commands_and_their_lists(tmp_path: Path) -> None:
    """The lists are the official split; noise is no word; 16 kHz is brought to 8 kHz."""
    task = Speech(source=str(write_commands(tmp_path)), split="official")
    task.prepare()
    assert task.classes == 2
    found = units(task)
    assert found["valid"] == {f"{w}/1c_nohash_{t}" for w in ("yes", "no") for t in (0, 1)}
    assert found["test"] == {f"{w}/2e_nohash_{t}" for w in ("yes", "no") for t in (0, 1)}
    assert len(found["train"]) == 12
    assert {len(example.values) for example in task.splits(0).train} == {1 + 1600 // 200}


def test_commands_leave_speakers_out(tmp_path: Path) -> None:
    task = Speech(source=str(write_commands(tmp_path, lists=False)), sample_rate=16_000)
    task.prepare()
    assert task.folds() == (0, 1, 2, 3, 4)
    for fold in task.folds():
        found = units(task, fold)
        assert [3, 1, 1] == [len(found[name]) for name in SPLITS]
        assert set.union(*found.values()) == {"0a", "0b", "1c", "1d", "2e"}


def test_many_speakers_are_left_out_in_six_groups(tmp_path: Path) -> None:
    """Every speaker tests exactly one fold, and no fold has a speaker twice."""
    speakers = "abcdefghijklm"
    task = Speech(source=str(write_digits(tmp_path, speakers, takes=1)))
    task.prepare()
    assert task.folds() == tuple(range(6))
    tested = []
    for fold in task.folds():
        found = units(task, fold)
        assert sum(map(len, found.values())) == len(set.union(*found.values())) == 13
        assert found["valid"] == units(task, (fold + 1) % 6)["test"]
        assert len(found["test"]) in (2, 3)
        tested += found["test"]
    assert sorted(tested) == list(speakers)


def test_a_file_of_unknown_speaker_is_a_speaker_of_its_own(tmp_path: Path) -> None:
    for number in range(4):
        for word in ("yes", "no"):
            write(tmp_path / word / f"x{number}.wav", tone(100 + number + 10 * len(word)))
    task = Speech(source=str(tmp_path))
    task.prepare()
    assert sum(len(task.splits(fold).test) for fold in task.folds()) == 8
    assert set.union(*units(task).values()) == {
        f"{w}/x{n}.wav" for w in ("yes", "no") for n in range(4)
    }


# The cache


def test_features_are_computed_once_and_again_when_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, read = write_digits(tmp_path / "wavs"), []
    monkeypatch.setattr(
        folder_module, "read_wav", lambda *args: read.append(args[0].name) or read_wav(*args)
    )

    def fingerprint() -> str:
        task = Speech(source=str(folder))
        task.prepare()
        return task.fingerprint()

    first = fingerprint()
    assert first == fingerprint()
    assert len(read) == 16
    write(folder / "3_a_0.wav", tone(555))
    os.utime(folder / "3_a_0.wav", ns=(0, 0))
    assert first != fingerprint()
    assert len(read) == 32


# Refusals


def test_folders_that_hold_nothing_of_use(tmp_path: Path) -> None:
    def refusal(path: Path) -> str:
        with pytest.raises(Refused) as caught:
            Speech(source=str(path)).prepare()
        return str(caught.value)

    (tmp_path / "recordings").mkdir()
    right = tmp_path / "recordings"
    wrong = refusal(tmp_path / "recordngs")
    assert wrong.endswith(f"does not exist (did you mean '{right}'?)")
    one = refusal(write(tmp_path / "one.wav", tone(100)))
    assert one.endswith("one.wav' is not a folder; give the one that it lies in")
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    (tmp_path / "empty" / "sub" / "a.flac").write_bytes(b"fLaC")
    assert refusal(tmp_path / "empty").endswith("holds no wav files (.wav); it holds 1 .flac")
    write(tmp_path / "noise" / "_background_noise_" / "a.wav", tone(100))
    assert "holds neither files named digit_speaker_take.wav nor" in refusal(tmp_path / "noise")


@pytest.mark.parametrize(
    ("speakers", "takes", "parameters", "message"),
    [
        ("ab", 2, {}, r"has 2 speakers; task\.split=leave_speakers_out takes three: one tests"),
        ("a", 2, {}, r"has 1 speaker; "),
        ("abc", 2, {"split": "official"}, r"the official split's train and valid part is empty"),
        ("abc", 2, {"fold": 3}, r"task\.fold=3: task\.source '.*' has folds 0\.\.2"),
    ],
)
def test_too_few_speakers_or_takes(
    tmp_path: Path, speakers: str, takes: int, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        Speech(source=str(write_digits(tmp_path, speakers, takes)), **parameters).prepare()


def test_too_few_words(tmp_path: Path) -> None:
    """One word is no choice, and one that only the tested speaker says cannot be learned."""
    for path in write_digits(tmp_path, "abcd").glob("7_*.wav"):
        if path.name[2] != "a":
            path.unlink()
    with pytest.raises(Refused, match=r"the word '7' has no training recording in fold 0") as no:
        Speech(source=str(tmp_path)).prepare()
    assert no.value.details == ("  '7': fold 0, 3",)  # where its speaker tests, and validates
    for path in tmp_path.glob("7_*.wav"):
        path.unlink()
    with pytest.raises(Refused, match=r"holds one word, '3'; it takes two"):
        Speech(source=str(tmp_path)).prepare()


def test_an_official_split_takes_lists(tmp_path: Path) -> None:
    write_commands(tmp_path, lists=False)
    with pytest.raises(Refused, match=r"has neither validation_list\.txt nor testing_list\.txt"):
        Speech(source=str(tmp_path), split="official").prepare()


def test_librosa_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Refused, match=r"needs librosa; run: pip install 'seqbench\[speech\]'"):
        load_folder(UserData(write_digits(tmp_path)), RATE, "official")


def test_a_bar_is_shown_on_a_terminal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_digits(tmp_path)
    load_folder(UserData(folder), RATE, "official")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "other"))
    load_folder(UserData(folder), RATE, "official")
    output = capsys.readouterr()
    assert output.out == ""
    assert "MFCC of 16 wav files" in output.err
