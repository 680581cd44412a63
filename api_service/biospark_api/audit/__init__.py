"""Who did what to whom, and how it ended."""
