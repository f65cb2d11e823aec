"""Times of the loops over time, against each other and against other ways to run the same network.

`python -m benchmarks` measures, `python -m benchmarks.report` writes tables and a chart;
docs/performance.md says what the numbers mean.

`python -m benchmarks faults` is about something else: faults and what comes of them, as in
docs/reliability.md.
"""
