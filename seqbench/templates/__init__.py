"""Files that `seqbench new` writes: they run unchanged, and their names are replaced."""
