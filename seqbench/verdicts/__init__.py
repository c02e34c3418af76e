"""What may be claimed of scores: tests, intervals and claims as pure functions.

Larger is better everywhere: whoever has a metric that is to be small negates its scores first
(:meth:`seqbench.verdicts.scores.Runs.of` does). ``docs/statistics.md`` says what it all means, and
``benchmarks/verdicts.py`` measures how often a claim is false.
"""
