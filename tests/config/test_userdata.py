"""A user's folder: which files count, and all that is wrong with them said in one go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seqbench.config.sources import content_hash
from seqbench.config.userdata import Bad, UserData
from seqbench.errors import Refused


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the text of {name}")


def names_in(data: UserData) -> list[str]:
    return [data.name(path) for path in data.find((".csv",), "CSV files")]


HIDDEN = [
    ".ipynb_checkpoints/a-checkpoint.csv",
    "__MACOSX/a.csv",
    "._a.csv",
    "~$a.csv",
    ".git/a.csv",
    ".hidden/deep/a.csv",
]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_hidden_files_are_no_data(tmp_path: Path, hidden: str) -> None:
    write(tmp_path, "b.csv", hidden)
    data = UserData(tmp_path)
    assert names_in(data) == ["b.csv"]
    assert [item.name for item in data.left_out] == [hidden]


@pytest.mark.parametrize("hidden", [*HIDDEN, ".DS_Store", "Thumbs.db", "b.csv~"])
def test_hidden_files_are_no_part_of_the_identity(tmp_path: Path, hidden: str) -> None:
    write(tmp_path, "b.csv")
    before = content_hash(str(tmp_path))
    write(tmp_path, hidden)
    assert content_hash(str(tmp_path)) == before
    write(tmp_path, "c.csv")
    assert content_hash(str(tmp_path)) != before


def test_files_are_found_below_in_the_order_of_names_whatever_their_case(tmp_path: Path) -> None:
    write(tmp_path, "z.CSV", "one/two/a.Csv", "one/b.csv", "notes.txt")
    assert names_in(UserData(tmp_path)) == ["z.CSV", "one/b.csv", "one/two/a.Csv"]


def test_links_count_once_and_may_lead_in_a_circle(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    write(inside, "a.csv")
    write(tmp_path, "elsewhere/b.csv")
    os.symlink(inside, inside / "again")
    os.symlink(tmp_path / "elsewhere", inside / "linked")
    os.symlink(inside / "a.csv", inside / "b.csv")
    os.symlink(inside / "gone", inside / "c.csv")
    data = UserData(inside)
    assert names_in(data) == ["a.csv", "linked/b.csv"]
    assert dict(data.left_out) == {
        "b.csv": "it has the same bytes as a.csv",
        "c.csv": "it is a link to nothing",
    }


def test_copies_count_once(tmp_path: Path) -> None:
    for name in ("a.csv", "copy of a.csv", "b.csv"):
        (tmp_path / name).write_text("b" if name == "b.csv" else "a")
    data = UserData(tmp_path)
    assert names_in(data) == ["a.csv", "b.csv"]
    assert dict(data.left_out) == {"copy of a.csv": "it has the same bytes as a.csv"}


@pytest.mark.parametrize(
    "copy",
    [
        "a (copy).csv",
        "a (another copy).csv",
        "a (3rd copy).csv",
        "a - Copy.csv",
        "a - Copy (2).csv",
        "a(1).csv",
        "a (12).csv",
        "Copy of a.csv",
        "Copy (2) of a.csv",
        "_copy/a.csv",
        "a_copy.csv",
        "a copy 2.csv",
        "a - Kopie.csv",
        "Kopie von a.csv",
        "2020 backup/b - Copy.csv",
        "0 (copy)/a.csv",
    ],
)
def test_the_original_is_kept_and_not_its_copy(tmp_path: Path, copy: str) -> None:
    """Whatever comes first in the order of names."""
    for name in (copy, "sub/a.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a")
    write(tmp_path, "x.csv")
    data = UserData(tmp_path)
    assert names_in(data) == ["x.csv", "sub/a.csv"]
    assert dict(data.left_out) == {copy: "it has the same bytes as sub/a.csv"}


def test_of_copies_alone_the_first_counts_and_of_links_the_file(tmp_path: Path) -> None:
    for name in ("a (1).csv", "a (copy).csv", "b (10).csv"):
        (tmp_path / name).write_text("a")
    assert names_in(UserData(tmp_path)) == ["a (1).csv"]
    os.symlink(tmp_path / "a (copy).csv", tmp_path / "a.csv")
    assert names_in(UserData(tmp_path)) == ["a (1).csv"]


def test_a_wrong_path_names_what_is_nearest(tmp_path: Path) -> None:
    write(tmp_path, "recordings/a.csv")
    with pytest.raises(Refused, match=r"does not exist \(did you mean '.*/recordings'\?\)"):
        names_in(UserData(tmp_path / "recordngs"))


def test_a_folder_of_other_files_says_what_it_holds(tmp_path: Path) -> None:
    write(tmp_path, "a.ts", "b.ts", "LICENSE", ".hidden")
    with pytest.raises(Refused) as refusal:
        names_in(UserData(tmp_path))
    assert str(refusal.value).endswith("holds no CSV files (.csv); it holds 2 .ts, 1 no suffix")


def read(path: Path) -> str:
    text = path.read_text()
    if "bad" in text:
        raise Bad("line 1: it is bad", "line 2: it is worse")
    return text


def test_all_that_is_wrong_with_all_files_is_said_at_once(tmp_path: Path) -> None:
    write(tmp_path, "bad1.csv", "good.csv", "sub/bad2.csv")
    data = UserData(tmp_path)
    with pytest.raises(Refused) as refusal:
        data.read(data.find((".csv",), "CSV files"), read)
    assert str(refusal.value).endswith(
        "2 of 3 files cannot be used; task.skip_bad=true goes on without them"
    )
    assert refusal.value.details == (
        "  bad1.csv: line 1: it is bad",
        "  bad1.csv: line 2: it is worse",
        "  sub/bad2.csv: line 1: it is bad",
        "  sub/bad2.csv: line 2: it is worse",
    )
    assert refusal.value.within("run 1").details == refusal.value.details


def test_bad_files_are_left_out_if_asked(tmp_path: Path) -> None:
    write(tmp_path, "bad1.csv", "good.csv")
    data = UserData(tmp_path, skip_bad=True)
    found = data.read(data.find((".csv",), "CSV files"), read)
    assert list(found.values()) == ["the text of good.csv"]
    assert dict(data.left_out) == {"bad1.csv": "line 1: it is bad; line 2: it is worse"}


def test_nothing_is_left_to_go_on_with(tmp_path: Path) -> None:
    write(tmp_path, "bad1.csv")
    data = UserData(tmp_path, skip_bad=True)
    with pytest.raises(Refused, match=r"1 of 1 files cannot be used$"):
        data.read(data.find((".csv",), "CSV files"), read)


def test_copies_of_a_bad_file_are_bad_too(tmp_path: Path) -> None:
    """Else the copy would be the next refusal, once the first is mended."""
    for name, text in {"a.csv": "bad", "b.csv": "bad", "c.csv": "good"}.items():
        (tmp_path / name).write_text(text)
    data = UserData(tmp_path)
    with pytest.raises(Refused, match=r"2 of 3 files cannot be used") as refusal:
        data.read(data.find((".csv",), "CSV files"), read)
    assert refusal.value.details == (
        "  a.csv: line 1: it is bad",
        "  a.csv: line 2: it is worse",
        "  b.csv: it has the same bytes as a.csv",
    )
    data = UserData(tmp_path, skip_bad=True)
    data.read(data.find((".csv",), "CSV files"), read)
    assert sorted(item.name for item in data.left_out) == ["a.csv", "b.csv"]


def test_of_a_source_that_is_one_file_the_message_itself_says_what_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, "bad.csv")
    data = UserData(tmp_path / "bad.csv", skip_bad=True)
    with pytest.raises(Refused, match=r"bad\.csv': line 1: it is bad$") as refusal:
        data.read(data.find((".csv",), "CSV files"), read)
    assert refusal.value.details == ("  line 2: it is worse",)
