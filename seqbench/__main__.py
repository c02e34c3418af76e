"""`python -m seqbench`: the same as the command `seqbench`."""

from __future__ import annotations

import sys

from seqbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
