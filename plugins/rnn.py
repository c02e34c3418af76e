"""The simple recurrent network."""

from __future__ import annotations

from seqbench.nn import RecurrentModel, RNNCell


class RNN(RecurrentModel):
    """Simple recurrent network with tanh: the contrast that shows vanishing gradients.

    At each step t, for inputs x_t ``[F]`` and hidden state h_t ``[H]`` (h_0 = 0)::

        h_t = tanh(W x_t + U h_{t-1} + b)

    W ``[H, F]``, U ``[H, H]`` and b ``[H]`` are learned. The gradient passes through U and tanh' at
    every step, and so shrinks or grows exponentially with the distance (Bengio et al. 1994).
    """

    citation = "J. L. Elman: Finding structure in time. Cognitive Science 14(2), 1990."
    cell = RNNCell
