"""Makes the world equal to a `BioSparkEnvironment`, keeps it so, and proves it."""
