"""The declaration of a model: what a team writes in `defs.yaml`, typed. Defaults cover all but name, problem, data, candidates."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.lake.declared import Data
from retrain_pipeline.names import check_name
from retrain_pipeline.strict import Strict

Metric = Literal["mae", "rmse", "error", "brier", "log_loss"]
Name = Annotated[str, AfterValidator(lambda value: check_name(value, "model"))]
# Dagster's owner grammar: an e-mail address or team:<name>.
Owner = Annotated[str, Field(pattern=r"^(team:[a-zA-Z0-9_-]+|[^@\s]+@[^@\s]+)$")]
Dotted = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]

REGRESSION_METRICS = frozenset({"mae", "rmse"})


class BusinessMetric(Strict):
    """The number that the business looks at, and the way it should go."""

    name: str = Field(min_length=1)
    direction: Literal["up", "down"]


class Success(Strict):
    """The model's own metric (lower is better) and the level that it must reach."""

    metric: Metric
    at_most: float = Field(gt=0)


class Problem(Strict):
    """Why the model exists. Declared before the first run, or no run starts."""

    statement: str = Field(min_length=20)
    business_metric: BusinessMetric
    success: Success


class Features(Strict):
    """The team's pure function: a frame of declared columns in, a frame of features with the same index out."""

    build: Dotted = "features.build"
    history_periods: int = Field(0, ge=0)
    """Earlier periods whose rows the function also sees (for lags and rolling means)."""


class Candidate(Strict):
    """A scikit-learn estimator by import path, its fixed parameters, and the values to search."""

    estimator: Dotted
    params: dict[str, Any] = {}
    search: dict[str, list[Any]] = {}


class Budget(Strict):
    """What training may cost. Crossing it ends the search; a fit that alone crosses it is not a candidate."""

    wall_seconds: float = Field(600, gt=0)
    peak_rss_mb: float = Field(4096, gt=0)


class Training(Strict):
    """How a candidate is made."""

    window_periods: int = Field(26, ge=1)
    """Labelled periods that a training set reaches back."""
    min_periods: int = Field(4, ge=1)
    """Labelled periods without which no training starts."""
    evaluation_periods: int = Field(2, ge=1)
    """The newest labelled periods, kept from training: the frozen rows that judge champion and candidate."""
    validation_share: float = Field(0.2, gt=0, lt=0.9)
    """The newest share of the training rows, on which the search picks parameters."""
    candidates: dict[str, Candidate] = Field(min_length=1)
    max_trials: int = Field(8, ge=1)
    """Parameter settings tried per candidate, drawn without replacement by the seed."""
    budget: Budget = Budget()
    seed: int = Field(0, ge=0, lt=2**32)
    threads: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _names_are_names(self) -> "Training":
        for name in self.candidates:
            check_name(name, "candidate")
            if name in ("dummy", "linear"):
                raise ValueError(f"candidate name {name!r} is taken by a baseline that is always trained")
        return self


class Trigger(Strict):
    """When to ask for a retrain, and the bounds on asking."""

    retrain_cost: float = Field(0.02, ge=0)
    expected_run_length_periods: float = Field(200, gt=1)
    max_age_periods: int = Field(26, ge=1)
    cooldown_periods: int = Field(2, ge=0)
    max_attempts: int = Field(2, ge=1)
    min_new_labels: int = Field(50, ge=1)


class Gates(Strict):
    """What a candidate must prove."""

    alpha: float = Field(0.05, gt=0, lt=0.5)
    margin: float = Field(0.01, ge=0)
    """Non-inferiority margin, as a share of the champion's mean loss."""
    slices: tuple[str, ...] = ()
    """Raw columns whose values are looked at one by one."""
    slice_margin: float = Field(0.1, ge=0)
    """As `margin`, for each slice."""
    min_rows: int = Field(100, ge=1)
    """Fewer evaluation rows than this are INCONCLUSIVE."""
    block_hours: float = Field(24, gt=0)
    """Rows of one block are dependent: the bootstrap draws blocks."""
    latency_ms_p95: float = Field(50, gt=0)
    """95th percentile of single-row prediction."""
    max_size_mb: float = Field(200, gt=0)


class Rollout(Strict):
    """How a released model reaches users."""

    shadow_periods: int = Field(0, ge=0)
    canary_shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    holdback_share: float = Field(0.0, ge=0, lt=0.5)
    approval: Literal["none", "required"] = "none"


class Report(Strict):
    """The Evidently report that people read."""

    max_rows: int = Field(2000, ge=100)
    """Rows of each side that the report samples."""
    every: int = Field(1, ge=1)
    """Periods from one report to the next; 1 is a report every period."""


class ModelSpec(Strict):
    """One model, declared."""

    name: Name
    owners: tuple[Owner, ...] = ()
    problem: Problem
    data: Data
    features: Features = Features()
    training: Training
    trigger: Trigger = Trigger()
    gates: Gates = Gates()
    rollout: Rollout = Rollout()
    report: Report = Report()

    @model_validator(mode="before")
    @classmethod
    def _features_may_be_a_path(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("features"), str):
            return {**value, "features": {"build": value["features"]}}
        return value

    @model_validator(mode="after")
    def _coherent(self) -> "ModelSpec":
        data, label = self.data, self.data.label
        metric = self.problem.success.metric
        if (label.task == "regression") != (metric in REGRESSION_METRICS):
            raise ValueError(f"problem.success.metric {metric!r} does not fit a {label.task} label")
        if label.column in data.columns:
            raise ValueError(f"data.columns: {label.column!r} is the label: features must not see it")
        for name in self.gates.slices:
            if name not in data.columns:
                raise ValueError(f"gates.slices: {name!r} is not one of data.columns")
        for name in (*data.columns, *data.key, data.time.column, label.column):
            if name.startswith("_") or not re.fullmatch(r"[^\x00-\x1f\x7f]{1,100}", name):
                raise ValueError(f"column {name!r:.110}: names have 1 to 100 printable characters and no leading '_'")
        if self.training.min_periods <= self.training.evaluation_periods:
            raise ValueError("training.min_periods must be greater than training.evaluation_periods")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the declaration, defaults filled in."""
        return digest_of(self.model_dump(mode="json"))
