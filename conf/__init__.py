"""Hydra configurations; the package file makes `pkg://seqbench.conf` findable."""
