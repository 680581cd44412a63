"""Thin, typed access to the systems outside the operator, one module each, with one error vocabulary."""
