"""The second validator: the question of `quality`, on rows that the gates have not seen, by code of its own.

It shares nothing with `quality` that could be wrong in both: it reads rows and labels from the lake itself, loads the
stored bytes and asks them itself, has its own losses, and tests by another statistic. Where `quality` bounds a mean
by resampled stretches of time, this flips the signs of whole blocks (Fisher's randomisation test): were neither
better, the sum of the differences of a block would be as likely to have the other sign. No variance is estimated, and
no distribution assumed but that symmetry.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import EvaluationRows, GateResult, Mode
from retrain_pipeline.gates.kept import second_rows
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

MIN_ROWS = 50
MIN_BLOCKS = 6
"""2⁻⁶ is the smallest probability that six blocks can show; five cannot show 0.03."""
FLIPS = 4999
_LEAST_CHANCE = 1e-15

Found = tuple[EvaluationRows | None, GateResult]


def second_look(
    stores: "Stores",
    spec: "ModelSpec",
    candidate: "VersionManifest",
    champion: str | None,
    mode: Mode,
    keep: Callable[[bytes], str],
) -> Found:
    """Judge quality on the rows that were kept back, and return these rows with the result.

    `keep` takes the sorted digests of the rows, and returns the digest of that.

    PASS, FAIL and INCONCLUSIVE are as for `quality`, at `gates.alpha`. What cannot be looked at has no statistic.
    """
    from retrain_pipeline.learning.versions import read_manifest

    try:
        reference = read_manifest(stores, spec.name, champion) if champion is not None else None
        x, y, keys = _rows(stores, spec, candidate)
        fresh = _unseen(stores, keys, [one for one in (candidate, reference) if one is not None])
        x, y, keys = x[fresh], y[fresh], keys[fresh]
        if len(y) < MIN_ROWS:
            return None, _cannot(f"{len(y)} rows are kept back and unseen, {MIN_ROWS} are needed")
        dummy = candidate.baselines.get("dummy")
        other, bytes_of = (candidate, dummy) if reference is None else (reference, reference.model_artifact)
        own = _losses(spec, _answers(stores, candidate.model_artifact, candidate, x), y)
        theirs = _losses(spec, _answers(stores, bytes_of, other, x), y)
    except (PermanentError, ValueError, TypeError, KeyError, AttributeError) as error:
        return None, _cannot(f"it could not look: {type(error).__name__}: {error}")
    rows = EvaluationRows(
        rows=len(y),
        digest=keep(_identities(keys).astype("<u8").tobytes()),
        **{"from": keys["_event_time"].min().isoformat(), "until": keys["_event_time"].max().isoformat()},
    )
    return rows, flipped(own, theirs, keys["_event_time"], spec=spec, mode=mode)


def flipped(
    own: "NDArray[np.float64]", theirs: "NDArray[np.float64]", event_time: Any, *, spec: "ModelSpec", mode: Mode
) -> GateResult:
    """Judge row losses by a sign-flip test over whole blocks of `gates.block_hours`, counted from the Unix epoch."""
    import numpy as np
    import pandas as pd

    if not (np.isfinite(own).all() and np.isfinite(theirs).all()):
        return _cannot("a loss is not a finite number")
    margin = spec.gates.margin if mode == "non_inferiority" else 0.0
    allowed = (1 + margin) ** 2 if spec.problem.success.metric == "rmse" else 1 + margin
    width, differences = int(spec.gates.block_hours * 3_600_000_000), own - allowed * theirs
    moments = pd.DatetimeIndex(event_time).as_unit("us").asi8
    _, block = np.unique(moments // width, return_inverse=True)
    blocks = np.bincount(block, differences).astype(np.float64)
    if len(blocks) < MIN_BLOCKS:
        return _cannot(f"{len(blocks)} blocks of {spec.gates.block_hours:g} h hold kept-back rows, not {MIN_BLOCKS}")
    better, worse = _chances(blocks, seed=len(own))
    alpha = spec.gates.alpha
    verdict = Verdict.PASS if better <= alpha else Verdict.FAIL if worse <= alpha else Verdict.INCONCLUSIVE
    asked = f"not worse than {allowed:g} times the champion" if mode == "non_inferiority" else "better"
    words = (
        f"on {len(own)} other rows in {len(blocks)} blocks, {asked}: by flipped signs p = {better:.3g} that it is not, "
        f"{worse:.3g} that it is; asked at most {alpha:g}"
    )
    return GateResult(gate="second", verdict=verdict, statistic=better, threshold=alpha, n=len(own), words=words)


def _chances(blocks: "NDArray[np.float64]", seed: int) -> tuple[float, float]:
    """Return how often flipped signs give a sum as low, and one as high, as the sum that was found."""
    import numpy as np

    rng, total = np.random.default_rng(seed), float(blocks.sum())
    # Sums of the same numbers in another order differ by rounding; what ties must count as a tie.
    slack = 1e-9 * float(np.abs(blocks).sum())
    low = high = 1
    for done in range(0, FLIPS, 500):
        signs = rng.integers(0, 2, size=(min(500, FLIPS - done), len(blocks))) * 2 - 1
        sums = signs @ blocks
        low += int((sums <= total + slack).sum())
        high += int((sums >= total - slack).sum())
    return low / (FLIPS + 1), high / (FLIPS + 1)


def _cannot(why: str) -> GateResult:
    return GateResult(gate="second", verdict=Verdict.INCONCLUSIVE, words=f"no second judgement: {why}"[:2000])


def _rows(
    stores: "Stores", spec: "ModelSpec", manifest: "VersionManifest"
) -> "tuple[pd.DataFrame, NDArray[Any], pd.DataFrame]":
    """Return features, labels and identities of the kept-back rows, read and joined here."""
    from datetime import datetime

    frozen, identity = manifest.frozen, [*spec.data.key, "_event_time"]
    begin, end = datetime.fromisoformat(frozen.evaluation_from), datetime.fromisoformat(frozen.as_of)
    features, labels = (
        _between(stores.lake.read_snapshot(one), begin, end) for one in (frozen.features, frozen.labels)
    )
    newest = labels.sort_values("_known_time", kind="stable").groupby(identity, sort=True)["label"].last()
    rows = features.set_index(identity)
    if rows.index.has_duplicates:
        raise ValueError("a row of the frozen features is there twice")
    rows = rows.join(newest.rename("_label"), how="inner").sort_index().reset_index()
    kept = second_rows(stores, spec, rows[identity], end)
    rows = rows[kept].reset_index(drop=True)
    return rows, _truth(rows["_label"], spec.data.label.task), rows[identity]


def _between(frame: "pd.DataFrame", begin: "datetime", end: "datetime") -> "pd.DataFrame":
    moments = frame["_event_time"]
    return frame[(moments >= begin) & (moments < end)]


def _truth(labels: "pd.Series[Any]", task: str) -> "NDArray[Any]":
    import numpy as np

    if task == "regression":
        return labels.to_numpy(dtype=np.float64)
    if task == "binary":
        return np.array([_yes(one) for one in labels], dtype=np.int64)
    whole = [one.is_integer() if isinstance(one, float) else False for one in labels]
    return np.array([str(int(one)) if as_whole else str(one) for one, as_whole in zip(labels, whole, strict=True)])


def _yes(label: Any) -> bool:
    return label.lower() in ("1", "1.0", "true") if isinstance(label, str) else float(label) == 1.0


def _unseen(stores: "Stores", keys: "pd.DataFrame", models: "list[VersionManifest]") -> "NDArray[np.bool_]":
    """Return which rows no model has seen: later than its training, and not among its rows."""
    import numpy as np
    import pandas as pd

    fresh, own = np.ones(len(keys), dtype=bool), _identities(keys, in_order=True)
    for model in models:
        frozen = model.frozen
        learned = set(np.frombuffer(stores.artifacts.get(frozen.row_digests_artifact), dtype="<u8").tolist())
        later = (keys["_event_time"] > pd.Timestamp(frozen.train_until)).to_numpy()
        fresh &= later & np.array([int(one) not in learned for one in own], dtype=bool)
    return fresh


def _identities(keys: "pd.DataFrame", *, in_order: bool = False) -> "NDArray[np.uint64]":
    import numpy as np

    from retrain_pipeline.lake.digests import row_digests

    found = row_digests(keys)
    return found if in_order else np.sort(found)


def _answers(
    stores: "Stores", model: str | None, manifest: "VersionManifest", x: "pd.DataFrame"
) -> "tuple[Any, NDArray[Any]]":
    """Return the classes of a stored model and its probabilities; where it has none, None and its answers."""
    import numpy as np
    import pandas as pd

    from retrain_pipeline.learning.persistence import load_model

    if model is None:
        raise ValueError("there is nothing to compare with")
    pipeline, columns = load_model(stores.artifacts.get(model)), manifest.columns
    given = {name: x[name].astype("float64") for name in columns.numeric}
    given |= {
        name: pd.Series([None if pd.isna(one) else str(one) for one in x[name]], index=x.index, dtype=object)
        for name in columns.categorical
    }
    frame = pd.DataFrame(given)[[*columns.numeric, *columns.categorical]]
    if not hasattr(pipeline, "predict_proba"):
        return None, np.asarray(pipeline.predict(frame))
    return list(pipeline.classes_), np.asarray(pipeline.predict_proba(frame), dtype=np.float64)


def _losses(spec: "ModelSpec", told: "tuple[Any, NDArray[Any]]", y: "NDArray[Any]") -> "NDArray[np.float64]":
    """Return the loss of each row by the declared metric."""
    import numpy as np

    (classes, answers), metric = told, spec.problem.success.metric
    if metric in ("mae", "rmse"):
        off = answers.astype(np.float64) - y
        return np.asarray(off * off if metric == "rmse" else np.abs(off), dtype=np.float64)
    return np.asarray(_of_classes(metric, spec.data.label.task == "binary", classes, answers, y), dtype=np.float64)


def _of_classes(metric: str, binary: bool, classes: Any, answers: "NDArray[Any]", y: "NDArray[Any]") -> Any:
    import numpy as np

    labels = y.astype(int).astype(str) if binary else y
    if classes is None:
        if metric != "error":
            raise ValueError(f"{metric} needs probabilities, and the model gives none")
        return (answers.astype(int) if binary else answers).astype(str) != labels
    names = [str(int(one)) if binary else str(one) for one in classes]
    truth = np.array([[float(name == one) for name in names] for one in labels]).reshape(len(labels), len(names))
    own = (truth * answers).sum(axis=1)
    if metric == "log_loss":
        return -np.log(np.maximum(own, _LEAST_CHANCE))
    if metric == "brier":
        # Of a class that the model does not know, all of the probability is lost.
        missed = 1.0 - truth.sum(axis=1)
        return (1.0 - own) ** 2 if binary else ((answers - truth) ** 2).sum(axis=1) + missed
    if binary:
        yes = answers[:, names.index("1")] if "1" in names else np.zeros(len(labels))
        return (yes >= 0.5) != (labels == "1")
    return np.array(names)[answers.argmax(axis=1)] != labels
