"""What can be wrong with a trigger."""

from retrain_pipeline.errors import PermanentError


class PolicyRefused(PermanentError):
    """A policy that does not exist, or a setting that it does not have."""
