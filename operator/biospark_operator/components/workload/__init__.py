"""The API service of an environment: Deployment, Service, and what scales and protects them."""
