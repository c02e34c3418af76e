"""seqbench: the bench on which recurrent sequence models are compared honestly."""

__version__ = "0.1.0"
