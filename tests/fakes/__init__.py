"""Stand-ins for the world outside the operator, for tests of behaviour that no cluster is needed for."""
