"""The core API of BioSpark Health AI, the service that an environment deploys."""
