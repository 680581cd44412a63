"""Quality gates: questions to a running environment, each with a threshold and answered by measured evidence.

`catalog.GATES` is the table of them. A policy turns evidence into a verdict, the ledger decides how long a verdict
holds and which waivers count. Everything here is pure: evidence and the time come as values.
"""
