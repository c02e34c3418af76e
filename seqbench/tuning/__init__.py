"""Tuning with equal budgets: each model gets as many candidates, from one space and sampler."""
