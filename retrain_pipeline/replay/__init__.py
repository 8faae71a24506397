"""A policy run over recorded history: the same trigger policies as in production, no Dagster inside."""
