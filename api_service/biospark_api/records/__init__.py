"""Health records of a patient: list, search, get, create."""
