"""Configurations of the example plugin."""
