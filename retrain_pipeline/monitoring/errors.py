"""What monitoring refuses."""

from retrain_pipeline.errors import PermanentError


class ProfilesDiffer(PermanentError):
    """Two profiles that were not counted in the same cells; adding them up would mean nothing."""


class ReferenceMissing(PermanentError):
    """A version without a reference profile: nothing to compare with."""


class FeedbackRefused(PermanentError):
    """Labels and predictions that cannot be joined or scored."""


class SummaryMissing(PermanentError):
    """A period of which no summary is kept."""


class NotMonitored(PermanentError):
    """A period that was not monitored."""
