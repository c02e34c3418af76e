"""MusicXML as the scores of the corpus write it, and as they might."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from seqbench.errors import Refused
from seqbench.tasks.music import chorales as chorales_module
from seqbench.tasks.music.chorales import (
    load_chorales,
    parse_corpus,
    parse_musicxml,
)
from seqbench.tasks.music.pianoroll import (
    LOWEST,
    to_roll,
)

# MusicXML


def note(pitch: str, duration: int, before: str = "", after: str = "") -> str:
    """Return a note element; ``before`` and ``after`` stand where grace, chord and tie stand."""
    alter = "<alter>1</alter>" if "#" in pitch else ""
    height = f"<step>{pitch[0]}</step>{alter}<octave>{pitch[-1]}</octave>"
    length = f"<duration>{duration}</duration>" if duration else ""
    return f"<note default-x='1'>{before}\n<pitch>{height}</pitch>\n{length}{after}</note>"


def score(*measures: str, parts: int = 1) -> bytes:
    """Return a score of equal parts, four divisions to the quarter note."""
    attributes = "<attributes><divisions>4</divisions></attributes>"
    body = "".join(f'<measure number="{n}">{inner}</measure>' for n, inner in enumerate(measures))
    part = f'<part id="P1">{body}</part>'.replace('"0">', f'"0">{attributes}', 1)
    head = "<appearance><note-size type='grace'>60</note-size></appearance><part-list></part-list>"
    return f"<score-partwise>{head}{part * parts}</score-partwise>".encode()


def quarters(document: bytes) -> list[list[tuple[float, float, int]]]:
    """Return the parts' notes: onset and offset in quarter notes, and pitch."""
    ticks = chorales_module.TICKS
    return [
        [(onset / ticks, offset / ticks, pitch) for onset, offset, pitch in part]
        for part in parse_musicxml(document)
    ]


REST = "<note><rest/><duration>4</duration></note>"
GRACE = "<grace slash='yes'/>"
TRANSPOSE = (
    "<attributes><transpose><diatonic>-1</diatonic><chromatic>-2</chromatic>"
    "<octave-change>-1</octave-change></transpose></attributes>"
)


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        pytest.param([note("C4", 4) + note("F#5", 2)], [(0, 1, 60), (1, 1.5, 78)], id="in turn"),
        pytest.param([note("C4", 4), note("D4", 4)], [(0, 1, 60), (1, 2, 62)], id="measures"),
        pytest.param([REST + note("C4", 4)], [(1, 2, 60)], id="rest"),
        pytest.param([note("D4", 0, GRACE) + note("C4", 4)], [(0, 1, 60)], id="grace"),
        pytest.param(
            [note("C4", 4) + note("E4", 4, "<chord/>") + note("G4", 4)],
            [(0, 1, 60), (0, 1, 64), (1, 2, 67)],
            id="chord",
        ),
        pytest.param(
            [note("C4", 8) + "<backup><duration>8</duration></backup>" + note("E4", 4), REST],
            [(0, 2, 60), (0, 1, 64)],
            id="backup",
        ),
        pytest.param(
            [note("C4", 8) + "<backup><duration>8</duration></backup>", note("E4", 4)],
            [(0, 2, 60), (2, 3, 64)],
            id="a measure lasts as its longest voice",
        ),
        pytest.param(
            ["<forward><duration>4</duration></forward>" + note("C4", 4)],
            [(1, 2, 60)],
            id="forward",
        ),
        pytest.param([TRANSPOSE + note("D5", 4)], [(0, 1, 60)], id="transposing instrument"),
        pytest.param(
            [note("C4", 4) + "<attributes><divisions>8</divisions></attributes>" + note("D4", 4)],
            [(0, 1, 60), (1, 1.5, 62)],
            id="divisions change",
        ),
    ],
)
def test_notes_stand_where_musicxml_puts_them(
    measures: list[str], expected: list[tuple[float, float, int]]
) -> None:
    assert [expected] == quarters(score(*measures))


def test_parts_do_not_touch_each_other() -> None:
    """Time and transposition begin anew in each part."""
    document = score(note("C4", 4)) + score(TRANSPOSE + note("C4", 4)) + score(note("C4", 4))
    assert quarters(document) == [[(0, 1, 60)], [(0, 1, 46)], [(0, 1, 60)]]


TIE_FROM, TIE_TO = '<tie type="start"/>', '<tie type="stop" />'


def test_tied_notes_are_heard_as_one() -> None:
    """Through as many as are tied; a note of the same pitch that is struck again is another."""
    tied = [
        note("C4", 4, after=TIE_FROM),
        note("C4", 4, after=TIE_TO + TIE_FROM),
        note("C4", 4, after=TIE_TO) + note("C4", 4),
    ]
    assert [[(0, 3, 60), (3, 4, 60)]] == quarters(score(*tied))
    (part,) = parse_musicxml(score(*tied))
    assert to_roll(part, chorales_module.TICKS, "quarter")[:, 60 - LOWEST].tolist() == [1] * 4


def test_a_tie_ends_what_it_began() -> None:
    """Among other voices of the part; one that nothing began is a note of its own."""
    back = "<backup><duration>8</duration></backup>"
    upper = note("E4", 4, after=TIE_FROM) + note("E4", 4, after=TIE_TO)
    lower = note("C4", 4, after=TIE_TO) + note("D4", 4)
    expected = [(0, 2, 64), (0, 1, 60), (1, 2, 62)]
    assert [expected, [(0, 1, 60)]] == [
        *quarters(score(upper + back + lower)),
        *quarters(score(note("C4", 4, after=TIE_TO))),
    ]


@pytest.mark.parametrize(
    "inner",
    [
        "<note><pitch><step>H</step><octave>4</octave></pitch><duration>4</duration></note>",
        "<note><pitch><step>C</step><alter>0.5</alter><octave>4</octave></pitch></note>",
        "<backup><level/></backup>",
        "<attributes><divisions>11</divisions></attributes>",
    ],
)
def test_what_the_parser_cannot_read_is_refused(inner: str) -> None:
    """Nothing is skipped in silence; the refusal names the file."""
    with pytest.raises(Refused, match=r"cannot read 'bach/x\.xml' of music21.*<(note|backup|div)"):
        parse_corpus({"bach/x.xml": score(inner)})


def test_compressed_scores(tmp_path: Path) -> None:
    """A .mxl holds one score, .xml or .musicxml, beside its container; anything else is refused."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("mimetype", "x")
        file.writestr("META-INF/container.xml", "<container/>")
        file.writestr("a.musicxml", score(note("C4", 4)))
    assert [n.pitch for n in parse_corpus({"b/a.mxl": packed.getvalue()})["a"][0]] == [60]
    for damaged in (packed.getvalue()[:-9], b""):
        with pytest.raises(Refused, match=r"cannot read 'b/a\.mxl'"):
            parse_corpus({"b/a.mxl": damaged})


def test_a_damaged_cache_is_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only scores in four parts are kept, in a file that is rebuilt where it is cut short."""
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path))
    four, three = score(note("C4", 4), parts=4), score(note("C4", 4), parts=3)
    files = {"b/bwv1.xml": four, "b/bwv2.xml": three, "b/bwv3.xml": four}
    monkeypatch.setattr(chorales_module, "read_members", lambda archive: files)
    first = load_chorales("sixteenth")
    (cached,) = tmp_path.glob("*.npz")
    cached.write_bytes(cached.read_bytes()[:-20])
    for chorales in (first, load_chorales("sixteenth")):
        assert chorales.names == ["bwv1", "bwv3"]
        assert [len(roll) for roll in chorales.rolls] == [4, 4]
        assert chorales.quarters == [1, 1]
        assert chorales.groups == [0, 0]
        assert [[60] * 4] * 4 == chorales.pitches[0].tolist()
        assert [4, 0, 0, 0] == chorales.begins[1].sum(axis=1).tolist()
