"""What a task says is worth having is read from its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqbench.registry.plugins import registry
from seqbench.registry.registration import Registration


@pytest.mark.parametrize("name", sorted(registry().names("task")))
def test_built_in_tasks_say_what_is_worth_having(name: str) -> None:
    """With a reason; those of a user's own data cannot know."""
    worth = registry().get("task", name).smallest_difference
    if name.startswith("data"):
        assert worth is None
    else:
        assert worth is not None
        assert worth[0] > 0
        assert 10 < len(worth[1]) < 80


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("(1, 'a reason')", (1.0, "a reason")),
        ("(0.5, 'a reason')", (0.5, "a reason")),
        ("(0, 'none')", None),
        ("(-1.0, 'less')", None),
        ("0.5", None),
        ("('0.5', 'a text')", None),
        ("compute()", None),
    ],
)
def test_the_smallest_difference_is_read_from_source(
    tmp_path: Path, value: str, found: tuple[float, str] | None
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"class Mine:\n    smallest_difference = {value}\n", encoding="utf-8")
    item = Registration("task", "mine", f"{path}:Mine", str(path))
    assert found == item.smallest_difference
