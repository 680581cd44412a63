"""What the API service keeps secret: its keys, and the first administrator's password."""
