"""A matrix of trials: which are finished, which are to run, and running them."""
