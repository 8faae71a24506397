"""What can go wrong in the lake, and whether trying again helps."""

from retrain_pipeline.errors import PermanentError, TransientError


class ColumnRefused(PermanentError):
    """A column that cannot be stored: no single type, another type than before, or a missing time."""


class TableMissing(PermanentError):
    """A table, version or column that does not exist."""


class SnapshotChanged(PermanentError):
    """A snapshot that no longer reads as it did when it was taken."""


class SourceMissing(PermanentError):
    """A declared source that is not there."""


class SourceRefused(PermanentError):
    """A delivery that is not read at all; `rule` is the machine-readable reason."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason


class PartitionContended(TransientError):
    """Other writers changed the same table again and again while we wrote."""


class SourceUnavailable(TransientError):
    """A source that does not answer now."""


class SourceUnsettled(TransientError):
    """A file that changed while it was copied."""
