"""What the judging room raises."""

from retrain_pipeline.errors import PermanentError


class EvidenceRefused(PermanentError):
    """Evidence that is missing, damaged, or not of the thing that it is shown for."""


class JudgementRefused(PermanentError):
    """A judgement that makes no sense: the wrong mode for the deployment, or a candidate that is the champion."""
