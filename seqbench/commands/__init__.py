"""The subcommands of `seqbench`, one module each; heavy imports stand inside functions."""
