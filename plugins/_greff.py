"""What the variants of Greff et al. share."""

from __future__ import annotations

CITATION = (
    "K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink, J. Schmidhuber: LSTM: A Search "
    "Space Odyssey. IEEE Transactions on Neural Networks and Learning Systems 28(10), 2017."
)
