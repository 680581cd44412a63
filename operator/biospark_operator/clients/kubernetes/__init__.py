"""The API server of the cluster."""
