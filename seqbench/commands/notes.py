"""What commands say on the side, on standard error."""

from __future__ import annotations

import sys


def note(text: str) -> None:
    """Say why a result may not be what was expected."""
    sys.stderr.write(f"seqbench: {text}\n")
