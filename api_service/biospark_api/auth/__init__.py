"""Who calls: passwords, tokens, sessions, and what each role may do."""
