"""How often a diagnosis is right: each cause injected into a simulated world many times; a confusion table."""

from collections import Counter
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich.progress import track

from retrain_pipeline.learning.losses import row_losses
from retrain_pipeline.monitoring.diagnosis import PLATEAU_RETRAINS, Cause, Diagnosis, Evidence, diagnose
from retrain_pipeline.monitoring.drift import drift
from retrain_pipeline.monitoring.evidence import Measured, Scored, measure
from retrain_pipeline.monitoring.explaining import recoded
from retrain_pipeline.monitoring.performance import estimate, performance
from retrain_pipeline.monitoring.profile import profile, profile_column
from retrain_pipeline.periods import Calendar
from retrain_pipeline.simulation.causes import INJECTED, START, Injected, world
from retrain_pipeline_tests.bench.tables import markdown_table, write_page

Kind = Literal["binary", "regression"]
RIGHT: dict[Injected, Cause] = {
    "none": Cause.NONE,
    "data_shift": Cause.DATA_SHIFT,
    "concept_shift": Cause.CONCEPT_SHIFT,
    "labels_flipped": Cause.LABEL_FAULT,
    "labels_poisoned": Cause.LABEL_FAULT,
    "labels_stopped": Cause.LABEL_FAULT,
    "column_lost": Cause.PIPELINE_FAULT,
    "column_recoded": Cause.PIPELINE_FAULT,
    "miscalibration": Cause.MISCALIBRATION,
    "plateau": Cause.PLATEAU,
}
FEATURES = ["a", "b", "c", "d", "kind"]
SEEDS = 10


def fitted(task: Kind, train: pd.DataFrame) -> Any:
    """Return a boosted model of the training rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if task == "binary" else HistGradientBoostingRegressor
    model = kind(max_iter=40, learning_rate=0.1, max_leaf_nodes=12, random_state=0)
    return model.fit(numbers(train), train["label"])


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the features as numbers; kinds that training never had are missing."""
    return frame[FEATURES].assign(kind=frame["kind"].map({"x": 0.0, "y": 1.0, "z": 2.0}))


def scored(task: Kind, model: Any, frame: pd.DataFrame) -> Scored:
    """Return the rows that have a label, with what the model answers."""
    frame = frame[frame["label"].notna()].reset_index(drop=True)
    x = numbers(frame)
    nothing = np.full(len(frame), np.nan)
    if task == "binary":
        score = model.predict_proba(x)[:, 1] if len(frame) else nothing
        answers = pd.DataFrame({"prediction": (score >= 0.5).astype(int), "score": score})
        truth, metric = frame["label"].to_numpy().astype(int), "brier"
    else:
        answers = pd.DataFrame({"prediction": model.predict(x) if len(frame) else nothing, "score": nothing})
        truth, metric = frame["label"].to_numpy(), "mae"
    losses = row_losses(metric, task, truth, answers)
    return Scored(frame[FEATURES], answers, truth, losses, frame["_event_time"].to_numpy())


def examined(injected: Injected, task: Kind, seed: int) -> Diagnosis:
    """Inject a cause, monitor it as a period is monitored, and return the diagnosis."""
    seen = world(injected, task, seed)
    model = fitted(task, seen.train)
    before, now = (scored(task, model, frame) for frame in (seen.before, seen.now))
    reference = profile(seen.train[FEATURES])
    columns = {name: profile_column(seen.now[name], reference.columns[name].edges) for name in FEATURES}
    moved = drift(reference, columns, 200.0)
    validated = estimate(before.losses, before.event_time, 24.0)
    calendar = Calendar("week", START.date())
    judged = performance(now.losses, now.event_time, validated, calendar, block_hours=24.0, run_length_periods=200.0)
    metric = "brier" if task == "binary" else "mae"
    found = (
        measure(task, metric, before, now, validated=validated, block_hours=24.0, seed=0)
        if len(now.truth)
        else Measured()
    )
    gaps = {name: float(seen.now[name].isna().mean() - seen.train[name].isna().mean()) for name in FEATURES}
    swapped = recoded(reference.columns, columns)
    evidence = Evidence(
        performance=judged.verdict,
        drift=moved.verdict,
        drifted=moved.columns,
        missing_rise=max(gaps.items(), key=lambda one: one[1]),
        recoded=max(swapped.items(), key=lambda one: one[1], default=None),
        labels_expected=len(seen.now),
        labels_known=len(now.truth),
        labels_turned=found.labels_turned,
        labels_moved=found.labels_moved,
        poisoned=found.poisoning.words if found.poisoning and found.poisoning.verdict == "FAIL" else None,
        marked=bool(found.poisoning and found.poisoning.triggers),
        loss=found.loss,
        explained_up_to=found.explained.high if found.explained else None,
        repaired_loss=found.repaired_loss,
        validated_up_to=validated.mean + 2 * validated.se,
        slope=found.slope,
        intercept=found.intercept,
        retrains_without_gain=PLATEAU_RETRAINS if injected == "plateau" else 0,
    )
    return diagnose(evidence)


def main() -> None:
    """Measure and write the page."""
    parts = []
    for task in ("binary", "regression"):
        table, right = [], 0
        for injected in track(INJECTED, f"diagnosis, {task}"):
            found = Counter(examined(injected, task, seed).cause for seed in range(SEEDS))
            right += found[RIGHT[injected]]
            cells = [f"**{found[one]}**" if one is RIGHT[injected] else str(found[one] or "") for one in Cause]
            table.append([injected.replace("_", " "), *cells])
        parts.append(f"**{task.capitalize()}**: {right} of {SEEDS * len(INJECTED)} right.")
        parts.append(markdown_table(["injected", *(one.value.replace("_", " ") for one in Cause)], table))
    words = (
        f"Rows: the cause injected (`simulation/causes.py`); columns: what `monitoring/diagnosis.py` said, "
        f"{SEEDS} seeds each; the right answer is bold. Four weeks of hourly rows against the four weeks of the "
        f"validation, models trained on 4,000 rows. In the plateau the last {PLATEAU_RETRAINS} retrains are on "
        "record as no gain."
    )
    write_page("diagnosis", "Diagnosis", [words, *parts])


if __name__ == "__main__":
    main()
