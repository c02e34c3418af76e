"""The configuration: composed by Hydra, checked, typed."""
