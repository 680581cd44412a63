"""One module per revision, in the order of their numbers. There is no way down.

Rules, so that the pods of the previous release go on working during and after a migration:
- Expand now, contract a release later: add tables, columns with a default, indexes; what the previous release
  reads or writes is neither dropped, renamed nor made stricter.
- Nothing that holds a lock for long: no default that rewrites a table, checks first NOT VALID, indexes on tables
  with data CONCURRENTLY (`online.create_index`).
"""
