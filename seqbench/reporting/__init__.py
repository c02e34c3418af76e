"""Turns finished trials into statistics, verdicts, tables, pictures and the page; no torch."""
