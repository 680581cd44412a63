"""Runs the engine inside a cluster: settings, kopf, leader election, health, metrics, logs.

`main` puts the parts together. Handlers of kopf only wake; all work happens in the passes of `loop`.
"""
