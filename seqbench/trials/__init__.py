"""One trial: builds it, runs it on one or several devices, matches sizes, loads it again."""
