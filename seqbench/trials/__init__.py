"""One trial: built, run, on several devices, made of equal size, loaded again."""
