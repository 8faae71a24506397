"""`retrain …`: what Dagster's own command line has no word for."""

from retrain_pipeline.cli.main import app

__all__ = ["app"]
