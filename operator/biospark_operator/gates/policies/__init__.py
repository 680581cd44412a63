"""What evidence means: a pure function for each gate, from evidence and threshold to a verdict."""
