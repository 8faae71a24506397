"""Measurements, never tests: `make bench` runs them and writes their tables to `docs/benchmarks/`."""
