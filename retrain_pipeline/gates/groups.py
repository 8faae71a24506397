"""Fairness between declared groups, and over time: the gap between groups may not grow beyond a margin."""

from typing import TYPE_CHECKING

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.quality import MIN_SLICE_ROWS
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def groups(
    measures: "dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]",
    values: "pd.DataFrame",
    declared: tuple[str, ...],
    *,
    margin: float,
    alpha: float,
    seed: int,
) -> GateResult:
    """Judge, of each declared group and measure, how far the candidate's values lie apart against the reference's.

    The gap of a model is the largest difference between the means of two values of the group (demographic parity
    difference for the positive rate; for the loss the difference in error). FAIL when a gap is wider than the
    reference's by more than `margin`, beyond what resampling rows gives at `alpha` over all gaps (Bonferroni);
    INCONCLUSIVE where a wider gap is not proven, or a group has fewer than two values of 30 rows.

    Parameters
    ----------
    measures
        By name of the measure: the candidate's and the reference's value of each row. Rates and losses as shares.
    values
        The declared columns of the same rows.
    """
    import numpy as np

    missing = [name for name in declared if name not in values.columns]
    if missing or not measures:
        words = f"no values of {', '.join(missing)} for these rows" if missing else "nothing to compare groups by"
        return GateResult(gate="groups", verdict=Verdict.INCONCLUSIVE, words=words)
    found = []
    for column in declared:
        texts = values[column].astype("string").fillna("(missing)").to_numpy()
        parts = [np.flatnonzero(texts == value) for value in sorted(set(texts))]
        parts = [rows for rows in parts if len(rows) >= MIN_SLICE_ROWS]
        if len(parts) < 2:
            words = f"{column}: fewer than two values have {MIN_SLICE_ROWS} rows"
            return GateResult(gate="groups", verdict=Verdict.INCONCLUSIVE, n=len(values), words=words)
        for measure, (own, theirs) in measures.items():
            level = alpha / (len(declared) * len(measures))
            found.append((*_wider(own, theirs, parts, level, seed), f"{measure} by {column}"))
    wider, low, high, name = max(found)
    proven = [label for _, least, _, label in found if least > margin]
    verdict = Verdict.FAIL if proven else Verdict.PASS if wider <= margin else Verdict.INCONCLUSIVE
    words = f"the gap in {name} grew by {wider:.4g} [{low:.4g}, {high:.4g}], at most {margin:g} is allowed"
    if proven:
        words += f"; proven: {', '.join(proven)}"
    return GateResult(
        gate="groups", verdict=verdict, statistic=wider, threshold=margin, n=len(values), interval=(low, high),
        words=words,
    )  # fmt: skip


_RESAMPLES = 500


def _wider(
    own: "NDArray[np.float64]", theirs: "NDArray[np.float64]", parts: "list[NDArray[np.int64]]", level: float, seed: int
) -> tuple[float, float, float]:
    """Return by how much the candidate's gap is wider than the reference's, with bounds from resampled rows."""
    import numpy as np

    rng = np.random.default_rng(seed)
    drawn = np.empty(_RESAMPLES)
    for at in range(_RESAMPLES):
        chosen = [rows[rng.integers(0, len(rows), len(rows))] for rows in parts]
        drawn[at] = _gap(own, chosen) - _gap(theirs, chosen)
    low, high = np.quantile(drawn, [level, 1 - level])
    return _gap(own, parts) - _gap(theirs, parts), float(low), float(high)


def _gap(values: "NDArray[np.float64]", parts: "list[NDArray[np.int64]]") -> float:
    means = [float(values[rows].mean()) for rows in parts]
    return max(means) - min(means)
