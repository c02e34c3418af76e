"""Configured values are held against annotations."""

from __future__ import annotations

import pytest

from seqbench.config import values


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        ("int", 3, 3),
        ("float", 0.5, 0.5),
        ("float", 1, 1.0),
        ("str", "a", "a"),
        ("str", 2024, "2024"),
        ("bool", True, True),
        ("int | None", None, None),
        ("Optional[float]", 2, 2.0),
        ("typing.Optional[int]", None, None),
        ("Union[int, str]", "x", "x"),
        ("float | int", 3, 3),
        ("int | str", 3, 3),
        ("Literal['32', 'bf16-mixed']", 32, "32"),
        ("Literal[1, 2]", 2, 2),
        ("list[float]", [1, 2.5], [1.0, 2.5]),
        ("tuple[int, ...]", [1, 2], (1, 2)),
        ("tuple[int, str]", [1, "a"], (1, "a")),
        ("Sequence[int]", [], []),
        ("dict[str, float]", {"a": 1}, {"a": 1.0}),
        ("list", [1, "a"], [1, "a"]),
        ("Whatever", object, object),
        ("not python(", 3, 3),
    ],
)
def test_fits(annotation: str, value: object, expected: object) -> None:
    fitted = values.fit(annotation, value)
    assert expected == fitted
    assert type(expected) is type(fitted)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        ("int", 1.5, "must be a whole number, not 1.5"),
        ("int", True, "must be a whole number, not true"),
        ("int", "3", "must be a whole number, not '3'"),
        ("float", "abc", "must be a number, not 'abc'"),
        ("float", False, "must be a number, not false"),
        ("bool", 1, "must be true or false, not 1"),
        ("str", 1.5, "must be text, not 1.5"),
        ("str", None, "must be text, not null"),
        ("int | None", "None", "must be a whole number or null, not 'None' (write null)"),
        (
            "Literal['adamw', 'sgd']",
            "adam",
            "must be one of adamw, sgd, not 'adam' (did you mean 'adamw'?)",
        ),
        ("list[int]", 3, "must be a list of whole numbers, not 3"),
        ("list[int]", ["a"], "must be a list of whole numbers, not ['a']"),
        ("tuple[int, int]", [1], "must be a list of 2 whole numbers, not [1]"),
        ("dict[str, int]", [1], "must be a mapping, not [1]"),
    ],
)
def test_misfits(annotation: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        values.fit(annotation, value)
    assert message == str(caught.value)


def test_an_amount_or_a_share() -> None:
    assert (0.05, False) == values.amount_or_share("0.05")
    assert (0.01, True) == values.amount_or_share("1%")
    for text in ("", "%", "x", "0", "-1%", "nan", "inf", "1%%"):
        with pytest.raises(ValueError):  # noqa: PT011 - those who ask say what is allowed
            values.amount_or_share(text)
