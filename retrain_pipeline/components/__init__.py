"""Dagster components that teams use in their `defs.yaml`."""

from retrain_pipeline.components.lane import Lane
from retrain_pipeline.components.retrained_model import RetrainedModel

__all__ = ["Lane", "RetrainedModel"]
