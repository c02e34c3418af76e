"""Health records: what happens to a patient, from visits at irregular times."""

default = "pbc"
