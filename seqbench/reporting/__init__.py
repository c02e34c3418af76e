"""Finished trials turned into tables and pictures; no torch here."""
