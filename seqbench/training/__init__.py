"""Training and evaluating one trial; the only user of Lightning."""
