"""The Dagster shell around the rooms below: one file per asset of the picture in `architecture.md`, with its checks."""
