"""Do candidate, champion and data fit together, and are the rows that judge unseen?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.lake.declared import Task
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Answers:
    """What one model takes (columns) and said of the rows; `predictions` is None where it could not."""

    name: str
    takes: tuple[str, ...]
    predictions: "pd.DataFrame | None"
    why_not: str = ""


@dataclass(frozen=True)
class Asked:
    """What the models were asked for: the kind of answer, and the columns, rows and classes that there are."""

    task: Task
    columns: tuple[str, ...]
    rows: int
    classes: tuple[str, ...] = ()
    probabilities: bool = True


Look = tuple[Asked, tuple[Answers, ...]]


def contract(asked: Asked, models: tuple[Answers, ...], earlier: Look | None = None) -> GateResult:
    """Judge that each model takes the columns there are and answers in kind, on rows of the present schema and on those
    of the champion's: old model × new data, and new model × old data.

    One prediction a row; numbers for regression, probabilities in [0, 1] with binary labels (when the metric is made of
    them), known classes otherwise.

    Parameters
    ----------
    models
        Candidate and champion on the present rows.
    earlier
        Both on rows as the champion learned from; what these lack is missing there. None before the first release.
    """
    looks = {"present": (asked, models)} | ({"earlier": earlier} if earlier is not None else {})
    cells = {
        f"{model.name} on {schema} rows": _problems(one, model)
        for schema, (one, answers) in looks.items()
        for model in answers
    }
    problems = [f"{cell}: {problem}" for cell, found in cells.items() for problem in found]
    matrix = ", ".join(f"{cell} {'FAIL' if found else 'PASS'}" for cell, found in cells.items())
    told = "; ".join(problems) or f"{len(asked.columns)} columns in, {asked.rows} {asked.task} answers out"
    return GateResult(
        gate="contract",
        verdict=Verdict.FAIL if problems else Verdict.PASS,
        statistic=float(len(problems)),
        threshold=0.0,
        n=asked.rows,
        words=f"{told} [{matrix}]"[:2000],
    )


def _problems(asked: Asked, model: Answers) -> list[str]:
    missing = sorted(set(model.takes) - set(asked.columns))
    if missing:
        return [f"{model.name} needs {', '.join(missing[:8])}, which the features table no longer has"]
    if model.predictions is None:
        return [f"{model.name} cannot predict these rows: {model.why_not or 'no predictions'}"]
    if len(model.predictions) != asked.rows:
        return [f"{model.name} gives {len(model.predictions)} predictions for {asked.rows} rows"]
    bad = _wrong_kind(asked, model.predictions)
    return [f"{model.name}: {bad}"] if bad else []


def _wrong_kind(asked: Asked, predictions: "pd.DataFrame") -> str | None:
    import numpy as np
    import pandas as pd

    if asked.task == "multiclass":
        unknown = sorted(set(predictions["prediction"].astype(str)) - set(asked.classes))
        return f"unknown classes {', '.join(unknown[:5])}" if unknown else None
    told = pd.to_numeric(predictions["prediction"], errors="coerce").to_numpy(dtype=np.float64)
    lost = int((~np.isfinite(told)).sum())
    if lost:
        return f"{lost} predictions are not finite numbers"
    if asked.task == "regression":
        return None
    score = predictions["score"].to_numpy(dtype=np.float64)
    off = int((~((score >= 0) & (score <= 1))).sum())
    if off and (asked.probabilities or not np.isnan(score).all()):
        return f"{off} scores are not probabilities"
    odd = sorted(set(told.tolist()) - {0.0, 1.0})
    return f"predictions besides 0 and 1: {', '.join(f'{one:g}' for one in odd[:3])}" if odd else None


@dataclass(frozen=True)
class Seen:
    """What a model has seen: digests of its training rows (None when they are lost) and its newest training event."""

    name: str
    row_digests: "NDArray[np.uint64] | None"
    train_until: "pd.Timestamp"


def seen_rows(digests: "NDArray[np.uint64]", event_time: "pd.Series[Any]", seen: Seen) -> "NDArray[np.bool_]":
    """Return which evaluation rows a model has seen: in its training set, or not later than its newest event."""
    import numpy as np

    early = np.asarray(event_time <= seen.train_until)
    return early if seen.row_digests is None else early | np.isin(digests, seen.row_digests)


def disjoint(
    digests: "NDArray[np.uint64]",
    event_time: "pd.Series[Any]",
    candidate: Seen,
    champion: Seen | None,
    *,
    min_rows: int,
) -> GateResult:
    """Judge that the evaluation rows are unseen by both, by row digest, and later than both training cut-offs.

    A row that the candidate has seen is FAIL. Rows that the champion has seen are left out of the judgement; when fewer
    than `min_rows` remain the answer is INCONCLUSIVE.
    """
    n = len(digests)
    lost = [seen.name for seen in (candidate, champion) if seen is not None and seen.row_digests is None]
    if lost:
        words = f"row digests of the training set of {' and '.join(lost)} are missing: nothing proves the rows unseen"
        return GateResult(gate="disjoint", verdict=Verdict.INCONCLUSIVE, n=n, words=words)
    own = int(seen_rows(digests, event_time, candidate).sum())
    if own:
        words = f"{own} of {n} evaluation rows were in the training of the {candidate.name}, or are not later than it"
        return GateResult(gate="disjoint", verdict=Verdict.FAIL, statistic=float(own), threshold=0.0, n=n, words=words)
    rest, left_out = n, ""
    if champion is not None and (theirs := int(seen_rows(digests, event_time, champion).sum())):
        rest, left_out = n - theirs, f", {theirs} that the {champion.name} has seen are left out"
    words, verdict = f"{rest} evaluation rows unseen by both{left_out}", Verdict.PASS
    if rest < min_rows:
        words, verdict = f"{words}; gates.min_rows asks for {min_rows}", Verdict.INCONCLUSIVE
    return GateResult(gate="disjoint", verdict=verdict, statistic=0.0, threshold=0.0, n=rest, words=words)
