"""The resource that users write: its models, its rules, and everything generated from them.

The lowest layer of the operator: it imports neither a Kubernetes client nor any other part.
"""
