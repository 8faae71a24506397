"""The gates that every candidate must have a PASS of, by name; importable without any of what they compute with."""

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
