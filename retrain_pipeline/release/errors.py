"""What the release room refuses. Each error names the thing and the mend."""

from retrain_pipeline.errors import PermanentError


class ReleaseRefused(PermanentError):
    """A version that may not become champion: its evidence is missing, not a PASS, or of another state of the world."""


class RollbackRefused(PermanentError):
    """A rollback without a target that can serve, or without a reason."""


class ServingRefused(PermanentError):
    """A period that the version in charge cannot score."""


class ApprovalRefused(ReleaseRefused):
    """An approval that is missing or does not hold, or a person's word that may not be given."""
