"""The connections to PostgreSQL while the service runs. The schema is in `biospark_api.schema`."""
