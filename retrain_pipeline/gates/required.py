"""The gates that a candidate must have a PASS of, by name; importable without any of what they compute with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrain_pipeline.spec.gates import Gates

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
    "robustness",
    "self_test",
)
"""Those that every model requires."""


def required_gates(gates: "Gates") -> tuple[str, ...]:
    """Return the gates that a declaration requires: all of `GATES`, and what it declares beyond them."""
    declared = {
        "groups": bool(gates.groups),
        "reproducible": gates.refits >= 1,
        "seed_noise": gates.refits >= 2,
        "footprint": gates.max_rss_mb is not None,
        "documentation": gates.documentation,
        "guard": gates.guard == "required",
        # Last: what the others found is what calls for it.
        "escalation": gates.escalate is not None,
    }
    return (*GATES, *(gate for gate, wanted in declared.items() if wanted))
