"""Thin, typed access to the systems outside the operator, a folder each, with one error vocabulary."""
