"""Models, tasks, metrics and callbacks by name, found without importing them."""
