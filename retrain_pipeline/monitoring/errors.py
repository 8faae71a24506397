"""What monitoring refuses."""

from retrain_pipeline.errors import PermanentError, TransientError


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


class MonitoringUnread(TransientError):
    """A store that did not give what a look needs: no verdict, and nothing entered, until it is looked at again."""
