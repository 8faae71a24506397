"""The gates that a candidate must have a PASS of, by name; importable without any of what they compute with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrain_pipeline.spec.model import Gates

GATES = (
    "contract",
    "disjoint",
    "quality",
    "baseline",
    "success",
    "slices",
    "labels",
    "leakage",
    "calibration",
    "latency",
    "size",
    "fingerprint",
    "self_test",
)
"""Those that every model requires."""


def required_gates(gates: "Gates") -> tuple[str, ...]:
    """Return the gates that a declaration requires: all of `GATES`, and what it declares beyond them."""
    return GATES
