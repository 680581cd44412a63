"""Makes the world equal to a `BioSparkEnvironment`, keeps it so, and proves it."""

#: The version of the project, and of this operator in `status.operatorVersion`.
__version__ = "0.1.0"
