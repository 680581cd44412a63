"""The benchmark: what many environments cost, and how quickly they become and stay what they shall be.

`python -m tests.scale` (`make bench`) runs it; `docs/performance.md` says what it measures and how to read it.
"""
