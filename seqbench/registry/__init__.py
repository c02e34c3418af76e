"""Which models, tasks, metrics and callbacks there are, found without importing them."""
