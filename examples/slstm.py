"""sLSTM of the package xlstm, its authors' own, as a model of seqbench: pip install xlstm."""

from torch import nn
from xlstm.blocks.slstm.layer import sLSTMLayer, sLSTMLayerConfig

from seqbench.api import Context, Encoding, Model, SequenceInput
from seqbench.nn import last_step, zero_padding

requires = ("xlstm",)
PLAIN = {"backend": "vanilla", "conv1d_kernel_size": 0, "bias_init": "standard",
         "dtype": "float32", "enable_automatic_mixed_precision": False}  # fmt: skip


class SLSTM(Model):
    """The LSTM with exponential gates, a normaliser and heads (Beck et al. 2024, section 2.2).

    Args:
        hidden_size: units.
        num_heads: groups of units whose states mix; they divide hidden_size.
    """

    citation = "M. Beck et al. xLSTM: Extended Long Short-Term Memory. NeurIPS 2024."
    backward_size = 0

    def __init__(
        self, input_size: int, context: Context, *, hidden_size: int = 128, num_heads: int = 4
    ) -> None:
        super().__init__(input_size, context)
        if min(hidden_size, num_heads) < 1 or hidden_size % num_heads:
            raise ValueError(f"num_heads={num_heads} does not divide hidden_size={hidden_size}")
        self.forward_size = self.final_size = hidden_size
        self.project = nn.Linear(input_size, hidden_size)
        config = sLSTMLayerConfig(embedding_dim=hidden_size, num_heads=num_heads, **PLAIN)
        self.layer = sLSTMLayer(config)
        self.layer.reset_parameters()

    def encode(self, inputs: SequenceInput) -> Encoding:
        """Run the layer; it reads forwards, so it never sees the padding at the end."""
        steps = zero_padding(self.layer(self.project(inputs.values)), inputs.mask)
        return Encoding(steps, None, last_step(steps, inputs.lengths))
