"""Patients: list, search, get, create, replace, change, delete."""
