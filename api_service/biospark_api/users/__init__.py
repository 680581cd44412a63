"""Users: administrators create, disable, reset and give roles."""
