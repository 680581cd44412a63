"""Makes the world equal to a `BioSparkEnvironment`, keeps it so, and proves it."""

from importlib.metadata import version

#: The version of this operator, as in `status.operatorVersion`.
__version__ = version("biospark")
