"""Vault servers, and those that speak their protocol such as OpenBao."""
