"""One module per revision, in the order of their numbers: what it does is in `STEPS`. There is no way down.

Rules, so that the pods of the previous release go on working during and after a migration:
- Expand now, contract a release later: add tables, columns with a default, indexes; what the previous release
  reads or writes is neither dropped, renamed nor made stricter.
- Nothing that holds a lock for long: no default that rewrites a table, checks first NOT VALID, indexes on tables
  with data CONCURRENTLY (`steps.OnlineIndex`).
- What was released is never edited: databases remember what ran, and refuse to go on when it changed.
"""
