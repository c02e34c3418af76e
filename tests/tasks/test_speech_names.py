"""Names of a folder of wav files: bad ones said at once, words and speakers kept with a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile

from seqbench.api import DataNames
from seqbench.errors import Refused
from seqbench.tasks.speech import Speech

RATE = 8000


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path_factory.mktemp("cache")))


def write(path: Path, hertz: float = 200) -> Path:
    """Write a fading tone of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(900) / RATE
    sound = 9000 * np.sin(2 * np.pi * hertz * time) * np.exp(-9 * time)
    scipy.io.wavfile.write(path, RATE, sound.astype(np.int16))
    return path


def write_digits(folder: Path, speakers: str = "abcd", words: str = "37") -> Path:
    for number, speaker in enumerate(speakers):
        for word in words:
            write(folder / f"{word}_{speaker}_0.wav", 100 + 10 * number + ord(word))
    return folder


def write_commands(folder: Path) -> Path:
    """Write two words by five speakers; 1c validates and 2e tests."""
    for number, speaker in enumerate(("0a", "0b", "1c", "1d", "2e")):
        for word in ("no", "yes"):
            write(folder / word / f"{speaker}_nohash_0.wav", 100 + 10 * number + len(word))
    for file, speaker in (("validation_list.txt", "1c"), ("testing_list.txt", "2e")):
        lines = [f"{word}/{speaker}_nohash_0.wav" for word in ("no", "yes")]
        (folder / file).write_text("\n".join(lines) + "\n")
    return folder


Bad = dict[str, str]


def bad_digits(folder: Path) -> Bad:
    write_digits(folder)
    write(folder / "hello.wav", 301)
    write(folder / "7_d.wav", 302)
    write(folder / "more" / "3_a_1.wav", 303)
    write(folder / "3_b_0.WAV", 304)
    (folder / "3_e_0.wav").write_bytes(b"")
    (folder / "7_e_0.wav").write_bytes((folder / "7_a_0.wav").read_bytes()[:-600])
    return {
        "3_b_0.wav": "its name is that of 3_b_0.WAV, but for the suffix; rename one",
        "3_e_0.wav": "it is empty",
        "7_d.wav": "its name is not digit_speaker_take.wav, such as 7_anna_0.wav; rename it",
        "7_e_0.wav": "byte 36: it declares 900 samples and holds 600; copy or convert it anew",
        "hello.wav": "its name is not digit_speaker_take.wav, such as 7_anna_0.wav; rename it",
        "more/3_a_1.wav": "it lies deeper than the files named digit_speaker_take.wav in words",
    }


def bad_commands(folder: Path) -> Bad:
    write_commands(folder)
    write(folder / "yes" / "late" / "0a_nohash_3.wav", 305)
    (folder / "no" / "0f_nohash_0.wav").write_bytes(b"RIFF")
    for word in ("no", "yes"):
        write(folder / word / "2e_nohash_1.wav", 306 + len(word))
        write(folder / word / "1g_nohash_0.wav", 316 + len(word))
    for name in ("validation_list.txt", "testing_list.txt"):
        with (folder / name).open("a") as file:
            file.write("yes/1g_nohash_0.wav\nno\\1g_nohash_0.wav\n")
    lists = "it is in validation_list.txt and in testing_list.txt; take it out of one"
    parts = "its speaker '2e' is in the train and in the test part of the lists, not in one"
    return {
        "no/0f_nohash_0.wav": "byte 0: it begins with b'RIFF' and b'', not with RIFF and WAVE: it"
        " is no wav file; convert it",
        "no/1g_nohash_0.wav": lists,
        "no/2e_nohash_0.wav": parts,
        "no/2e_nohash_1.wav": parts,
        "yes/1g_nohash_0.wav": lists,
        "yes/2e_nohash_0.wav": parts,
        "yes/2e_nohash_1.wav": parts,
        "yes/late/0a_nohash_3.wav": "it lies 2 folders deep; put it into a folder named after its"
        " word",
    }


@pytest.mark.parametrize(
    ("make", "total", "split"),
    [(bad_digits, 14, "leave_speakers_out"), (bad_commands, 16, "official")],
)
def test_all_bad_files_are_said_at_once_and_can_be_left_out(
    cache: None, tmp_path: Path, make: Callable[[Path], Bad], total: int, split: str
) -> None:
    """Names, sounds and lists in one refusal; then without them, from the cache."""
    folder = tmp_path / "words"
    bad = make(folder)
    if split == "official":  # who tests is left
        for word in ("no", "yes"):
            write(folder / word / "2h_nohash_0.wav", 326 + len(word))
        with (folder / "testing_list.txt").open("a") as file:
            file.write("./yes/2h_nohash_0.wav\n\nno/2h_nohash_0.wav\n")
        total += 2
    for _ in range(2):
        with pytest.raises(
            Refused, match=f"{len(bad)} of {total} files cannot be used; task"
        ) as no:
            Speech(source=str(folder), split=split).prepare()
        assert no.value.details == tuple(f"  {name}: {why}" for name, why in bad.items())
    task = Speech(source=str(folder), split=split, skip_bad=True)
    task.prepare()
    assert dict(task.left_out()) == bad
    groups = {example.group for fold in task.folds() for example in task.splits(fold).test}
    expected = {"no/2h_nohash_0", "yes/2h_nohash_0"} if split == "official" else set("abcd")
    assert groups == expected


def test_lists_do_not_matter_where_speakers_are_left_out(cache: None, tmp_path: Path) -> None:
    """And lines that name no file are said, with noise that is no word."""
    write_commands(tmp_path)
    write(tmp_path / "_background_noise_" / "tap.wav", 50)
    write(tmp_path / "yes" / ".cache" / "0a_nohash_0.wav", 51)
    with (tmp_path / "testing_list.txt").open("a") as file:
        file.write("yes/0a_nohash_0.wav\nmaybe/0a_nohash_0.wav\n")
    task = Speech(source=str(tmp_path))
    task.prepare()
    assert len(task.folds()) == 5
    assert dict(task.left_out()) == {
        "_background_noise_/tap.wav": "_background_noise_ begins with _: it is no word",
        "testing_list.txt": "1 of its 4 lines name no file, such as maybe/0a_nohash_0.wav",
        "yes/.cache/0a_nohash_0.wav": "it is hidden, or a copy that a program made",
    }


def test_digits_may_lie_a_folder_deeper(cache: None, tmp_path: Path) -> None:
    """As in a clone of the data set's repository; from either level the data are the same."""
    write_digits(tmp_path / "recordings")
    (tmp_path / "README.md").write_text("digits")
    prints = set()
    for folder in (tmp_path, tmp_path / "recordings"):
        task = Speech(source=str(folder))
        task.prepare()
        assert [task.names(fold).fold for fold in task.folds()] == ["a", "b", "c", "d"]
        prints.add(tuple(len(task.splits(fold).train) for fold in task.folds()))
    assert prints == {(4, 4, 4, 4)}


def test_a_sound_that_is_too_quiet_is_bad(cache: None, tmp_path: Path) -> None:
    """Whose levels are all at the floor of the decibels, so that nothing is left of it."""
    write_digits(tmp_path)
    rate, sound = scipy.io.wavfile.read(tmp_path / "3_a_0.wav")
    scipy.io.wavfile.write(tmp_path / "3_a_0.wav", rate, (sound / 1e15).astype(np.float32))
    with pytest.raises(Refused) as refusal:
        Speech(source=str(tmp_path)).prepare()
    assert refusal.value.details == (
        "  3_a_0.wav: it is too quiet to be told from silence; amplify it",
    )


def test_a_file_that_cannot_be_opened_is_bad(
    cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_digits(tmp_path)
    read = Path.read_bytes

    def locked(path: Path) -> bytes:
        if path.name == "3_a_0.wav":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", locked)
    task = Speech(source=str(tmp_path), skip_bad=True)
    task.prepare()
    assert dict(task.left_out()) == {"3_a_0.wav": "it cannot be read: Permission denied"}


# Names


def test_a_fold_is_named_after_its_speakers_and_outputs_after_words(
    cache: None, tmp_path: Path
) -> None:
    task = Speech(source=str(write_digits(tmp_path / "few", words="zab")))
    task.prepare()
    assert task.names(2) == DataNames("c", outputs=("a", "b", "z"))
    task = Speech(source=str(write_digits(tmp_path / "many", "abcdefghijklm")))
    task.prepare()
    named = [task.names(fold).fold for fold in task.folds()]
    assert sorted(", ".join(named).split(", ")) == list("abcdefghijklm")
    assert all(len(name.split(", ")) in (2, 3) for name in named)
    official = Speech(source=str(write_commands(tmp_path / "lists")), split="official")
    official.prepare()
    assert official.names() == DataNames(outputs=("no", "yes"))


def test_many_speakers_of_a_fold_are_named_by_the_first(cache: None, tmp_path: Path) -> None:
    for number in range(48):
        write(tmp_path / "yn"[number % 2] / f"s{number:02}_nohash_0.wav", 100 + number)
    task = Speech(source=str(tmp_path))
    task.prepare()
    named = [task.names(fold).fold for fold in task.folds()]
    assert all(name.endswith(" and 2 more") and name.count(",") == 5 for name in named)
    assert len(set(named)) == 6


def test_words_are_numbered_as_a_trained_model_does(cache: None, tmp_path: Path) -> None:
    """What it knows and does not hear is fine, even if one word is left."""
    kept = {0: DataNames("x", outputs=("9", "7", "5", "3"))}
    for words in ("37", "7"):
        task = Speech(source=str(write_digits(tmp_path / words, words=words)))
        task.expect(kept)
        task.prepare()
        assert task.classes == 4
        assert task.names().outputs == ("9", "7", "5", "3")
        numbers = {int(example.targets) for example in task.splits(0).test}
        assert numbers == {kept[0].outputs.index(word) for word in words}
    before_names = Speech(source=str(tmp_path / "37"))
    before_names.expect({0: DataNames(), 1: DataNames()})
    before_names.prepare()
    assert before_names.names().outputs == ("3", "7")


def test_the_built_in_digits_have_names_too() -> None:
    """And are numbered as a model of other recordings of them does."""
    task = Speech(fold=4)
    digits = tuple("0123456789")
    assert task.names(4) == DataNames("theo", outputs=digits)
    other = Speech(split="official")
    other.expect({0: DataNames(outputs=digits[::-1])})
    assert other.names(0) == DataNames(outputs=digits[::-1])
    assert {9 - int(found.targets) for found in other.splits().test} == set(range(10))
    known = {example.group: int(example.targets) for example in other.splits().test}
    assert known["7_theo_3"] == 2
    unfit = Speech()
    unfit.expect({0: DataNames(outputs=("yes", "no"))})
    with pytest.raises(Refused, match=r"^the digits have words that the model does not"):
        unfit.prepare()


def test_words_that_a_model_does_not_know_are_named(cache: None, tmp_path: Path) -> None:
    task = Speech(source=str(write_digits(tmp_path, words="37x")))
    task.expect({2: DataNames("x", outputs=("3", "5"))})
    message = r"has words that the model does not know: 7, x; it knows 3, 5$"
    with pytest.raises(Refused, match=message):
        task.prepare()


def test_skip_bad_needs_a_source() -> None:
    with pytest.raises(ValueError, match=r"task\.skip_bad=true needs a task\.source"):
        Speech(skip_bad=True)
