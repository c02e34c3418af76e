"""Anomaly detection: what does not follow from what came before, scored for each sample."""

default = "watch"
