"""What can be wrong with a replay."""

from retrain_pipeline.errors import PermanentError


class HistoryRefused(PermanentError):
    """A table or a model's record that cannot be replayed, and what it lacks."""
