"""Tuning with equal budgets: as many candidates for each model, from the same space and sampler."""
