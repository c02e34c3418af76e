"""Built-in tasks, one module each."""
