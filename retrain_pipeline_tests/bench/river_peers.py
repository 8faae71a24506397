"""Runs in an environment of its own, where river is: detectors over streams in an .npz; alarms to standard output."""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

WARM = 2000


def detectors() -> dict[str, list[tuple[str, Callable[[], Any]]]]:
    """Return each detector at its default and over a grid of its sensitivity."""
    from river import drift
    from river.drift import binary

    def grid(make: Callable[..., Any], name: str, values: list[float], **more: Any) -> list[tuple[str, Any]]:
        return [(f"{name}={value:g}", lambda value=value: make(**{name: value}, **more)) for value in values]

    deltas = [0.002, 0.02, 0.1, 0.2, 0.3, 0.5, 1e-4]
    return {
        "ADWIN": grid(drift.ADWIN, "delta", deltas),
        "PageHinkley": grid(drift.PageHinkley, "threshold", [50, 20, 30, 40, 70, 100, 150], delta=0.005, mode="up"),
        "KSWIN": grid(drift.KSWIN, "alpha", [0.005, 0.02], seed=1),
        "DDM": grid(binary.DDM, "drift_threshold", [3, 2, 2.2, 2.5, 3.5]),
        "EDDM": grid(binary.EDDM, "beta", [0.9, 0.88, 0.86, 0.84, 0.8]),
        "HDDM_A": grid(binary.HDDMA, "drift_confidence", [1e-3, 0.005, 0.01, 0.02, 0.04, 1e-4]),
        "HDDM_W": grid(binary.HDDMW, "drift_confidence", [1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10]),
    }


def first_alarm(make: Callable[[], Any], stream: np.ndarray) -> int | None:
    """Return the row of the first alarm after the validated rows, which come first and whose alarms do not count."""
    detector = make()
    for index, value in enumerate(stream):
        detector.update(float(value))
        if detector.drift_detected and index >= WARM:
            return index - WARM + 1
    return None


def main() -> None:
    """Write ``{detector: {setting: {streams: [row or null]}}}``; KSWIN, a thousand times as slow, sees two of each."""
    streams = np.load(sys.argv[1])
    found: dict[str, Any] = {}
    for name, settings in detectors().items():
        found[name] = {}
        for label, make in settings:
            found[name][label] = {
                key: [first_alarm(make, one) for one in streams[key][: 2 if name == "KSWIN" else None]]
                for key in sorted(streams)
            }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
