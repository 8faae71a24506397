"""Continuous retraining of tabular models on Dagster: observe, decide, build, judge, release, explain."""

__version__ = "0.1.0"
