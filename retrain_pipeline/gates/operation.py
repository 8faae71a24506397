"""Can the candidate be served? Latency, size, and that its bytes give the model that was fitted."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

CALLS = 100
WARM_UP = 5
# Other work on the machine can only add to a measured time: the fastest of a few looks is nearest to the model's own.
LOOKS = 3


def latency(
    predict_one: "Callable[[pd.DataFrame], object]", features: "pd.DataFrame", *, limit_ms: float
) -> GateResult:
    """Judge the 95th percentile of single-row prediction over 100 calls after a warm-up, in this process.

    A look that is over the limit is repeated, at most twice; the fastest counts.
    """
    if not len(features):
        return GateResult(gate="latency", verdict=Verdict.INCONCLUSIVE, n=0, words="no rows to predict")
    looks: list[float] = []
    while len(looks) < LOOKS and min(looks, default=limit_ms + 1) > limit_ms:
        looks.append(p95_ms(predict_one, features))
    return latency_of(min(looks), limit_ms, "in this process")


def latency_of(p95: float, limit_ms: float, where: str) -> GateResult:
    """Judge a measured 95th percentile."""
    verdict = Verdict.PASS if p95 <= limit_ms else Verdict.FAIL
    words = f"p95 of {CALLS} single-row predictions {where}: {p95:.2f} ms, limit {limit_ms:g} ms"
    return GateResult(gate="latency", verdict=verdict, statistic=p95, threshold=limit_ms, n=CALLS, words=words)


def p95_ms(predict_one: "Callable[[pd.DataFrame], object]", features: "pd.DataFrame") -> float:
    """Return the 95th percentile of the milliseconds of 100 single-row calls after a warm-up."""
    import time

    import numpy as np

    rows = [features.iloc[[at % len(features)]] for at in range(WARM_UP + CALLS)]
    spent = np.empty(len(rows))
    for at, row in enumerate(rows):
        started = time.perf_counter_ns()
        predict_one(row)
        spent[at] = (time.perf_counter_ns() - started) / 1e6
    return float(np.quantile(spent[WARM_UP:], 0.95))


def size(model_bytes: int | None, *, max_size_mb: float) -> GateResult:
    """Judge the size of the stored model, MB of 10**6 bytes."""
    if model_bytes is None:
        return GateResult(gate="size", verdict=Verdict.INCONCLUSIVE, words="the model's bytes are missing")
    megabytes = model_bytes / 1e6
    verdict = Verdict.PASS if megabytes <= max_size_mb else Verdict.FAIL
    words = f"{megabytes:.3f} MB, limit {max_size_mb:g} MB"
    return GateResult(gate="size", verdict=verdict, statistic=megabytes, threshold=max_size_mb, words=words)


def fingerprint(recorded: str, fidelity: str | None, why_not: str = "") -> GateResult:
    """Judge that the model, loaded again from its bytes, answers the probe set as the fitted one did.

    Parameters
    ----------
    recorded
        The fingerprint in the manifest.
    fidelity
        How `learning.versions.load_version` found it: "same", "within tolerance", or None when it refused.
    """
    if fidelity is None:
        words = f"the model does not load as what was fitted: {why_not or 'no reason given'}"
        return GateResult(gate="fingerprint", verdict=Verdict.FAIL, words=words[:2000])
    return GateResult(
        gate="fingerprint", verdict=Verdict.PASS, words=f"loaded again, {fidelity} answers ({recorded[:12]})"
    )
