"""The plugins that the stand-in has: what each may be configured with, and what it does with a request."""
