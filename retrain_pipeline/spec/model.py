"""The declaration of a model: what a team writes in `defs.yaml`, typed.

Defaults cover all but name, problem, data and candidates.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.lake.declared import Data
from retrain_pipeline.names import NameRefused, check_name
from retrain_pipeline.periods import PeriodRefused
from retrain_pipeline.spec.gates import Gates
from retrain_pipeline.spec.insight import Insight
from retrain_pipeline.spec.rollout import Rollout, rollout_problems
from retrain_pipeline.spec.signals import Signal, signal_problems
from retrain_pipeline.strict import Strict

FORMAT: Literal[1] = 1
"""The format of declarations that this code reads. It rises when a file that used to load would mean something else."""


def _model_name(value: str) -> str:
    if "-" in value:  # asset groups and sensors in Dagster take letters, digits and '_' only
        mended = value.replace("-", "_")
        raise ValueError(f"model name {value!r:.80} is refused: use '_' instead of '-': {mended!r:.80}")
    try:
        return check_name(value, "model")
    except NameRefused as error:  # pydantic gathers ValueErrors, and lets others through at the first
        raise ValueError(str(error)) from error


Metric = Literal["mae", "rmse", "error", "brier", "log_loss"]
Name = Annotated[str, AfterValidator(_model_name)]
# Dagster's owner grammar: an e-mail address or team:<name>.
Owner = Annotated[
    str, Field(pattern=r"^(team:[a-zA-Z0-9_-]+|[^@\s]+@[^@\s]+)$", description="team:<name> or an e-mail address")
]
Dotted = Annotated[
    str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$", description="a dotted path like sklearn.linear_model.Ridge")
]

POLICY = (
    r"^(never|detector|adaptive|periodic:[1-9][0-9]{0,5}"
    r"|(error_threshold|cumulative_excess):([1-9][0-9]{0,4}(\.[0-9]{1,6})?|0\.[0-9]{0,5}[1-9]))$"
)
"""The policies of `triggers.policies`, as they are written."""
REGRESSION_METRICS = frozenset({"mae", "rmse"})
BASELINES = ("dummy", "linear")
"""Trained beside the declared candidates at every retrain, so that a gain is a gain over something simple."""


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
    params: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, list[Any]] = Field(default_factory=dict)


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
    window_choices: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Shorter windows to try beside `window_periods`, in periods; one is taken when it is better beyond noise. Default:
    half of `window_periods`."""
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
    def _coherent(self) -> "Training":
        for name in self.candidates:
            try:
                check_name(name, "candidate")
            except NameRefused as error:
                raise ValueError(f"candidates: {error}") from error
            if name in BASELINES:
                raise ValueError(f"candidates.{name}: the name is taken by a baseline that is always trained")
        if self.min_periods <= self.evaluation_periods:
            raise ValueError(f"min_periods: must be greater than evaluation_periods ({self.evaluation_periods})")
        if self.min_periods > self.window_periods:
            raise ValueError(f"min_periods: no window reaches it, window_periods is {self.window_periods}")
        if problem := self._window_problem():
            raise ValueError(f"window_choices: {problem}")
        return self

    @property
    def shorter_windows(self) -> tuple[int, ...]:
        """The windows to try beside `window_periods`, which may be among them."""
        if self.window_choices is not None:
            return self.window_choices
        # docs/benchmarks/window.md: 14 % less loss on one real set of five, at most 1 % more on the others.
        half = self.window_periods // 2
        return (half,) if half >= self.min_periods else ()

    def _window_problem(self) -> str | None:
        for one in self.shorter_windows:
            if self.shorter_windows.count(one) > 1:
                return f"{one} is given twice; leave one out"
            if one > self.window_periods:
                return f"{one} is longer than window_periods ({self.window_periods}); raise that, or leave it out"
            if one < self.min_periods:
                return f"{one} is shorter than min_periods ({self.min_periods}); lower that, or leave it out"
        return None


class RetrainBudget(Strict):
    """At most so many retrains, failed ones too, in so many periods."""

    retrains: int = Field(ge=1)
    periods: int = Field(ge=1)


class Trigger(Strict):
    """When to ask for a retrain, and the bounds on asking."""

    policy: str = Field(
        "adaptive",
        pattern=POLICY,
        description="one of adaptive, detector, never, periodic:N, error_threshold:X, cumulative_excess:X",
    )
    """What asks for a retrain: see docs/triggers.md."""
    retrain_cost: float = Field(0.02, ge=0)
    """What a retrain costs, as a mean loss over one period: of a regression in shares of the label's size."""
    cost_per_hour: float | None = Field(None, gt=0)
    """The same for an hour of fitting: the cost is then that of the newest retrain's measured hours."""
    expected_run_length_periods: float = Field(200, gt=1)
    """Looks from one false alarm of a check to the next when nothing changes."""
    min_drift_sd: float = Field(0.1, ge=0)
    """A column that moved by less than this, in standard deviations of the reference (of a share: Cohen's h), has not
    drifted."""
    max_age_periods: int = Field(26, ge=1)
    cooldown_periods: int = Field(2, ge=0)
    max_attempts: int = Field(2, ge=1)
    min_new_labels: int = Field(50, ge=1)
    budget: RetrainBudget | None = None


class Report(Strict):
    """What people read: the Evidently report of a period, and what is measured of a version."""

    max_rows: int = Field(2000, ge=100)
    """Rows of each side that the report samples."""
    every: int = Field(1, ge=1)
    """Periods from one report to the next; 1 is a report every period."""
    insight: Insight = Insight()

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what came later and is not declared: digests of declarations on record stay valid."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if name != "insight" or self.insight != Insight()}


def _named_alone(value: Any) -> Any:
    """Read ``features: features.build`` as ``features: {build: features.build}``."""
    return {"build": value} if isinstance(value, str) else value


class ModelSpec(Strict):
    """One model, declared."""

    format: Literal[1] = FORMAT
    name: Name
    owners: tuple[Owner, ...] = ()
    problem: Problem
    data: Data
    features: Annotated[Features, BeforeValidator(_named_alone)] = Features()
    training: Training
    trigger: Trigger = Trigger()
    gates: Gates = Gates()
    rollout: Rollout = Rollout()
    report: Report = Report()
    signals: dict[str, Signal] = Field(default_factory=dict)
    """Business and engagement metrics by name, and `missing` of built-in signals."""

    @model_validator(mode="after")
    def _coherent(self) -> "ModelSpec":
        problems = [*_data_problems(self.data), *_name_problems(self.data), *_cross_problems(self)]
        if problems := [*problems, *signal_problems(self)]:
            raise ValueError("\n".join(problems))
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the declaration, defaults filled in."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def collection_digest(self) -> str:
        """SHA-256 of what is collected and how: the data and signals of the declaration."""
        return collection_digest(self.model_dump(mode="json"))


def collection_digest(declared: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a declaration, as JSON values, collects: of its data and signals."""
    return digest_of({name: declared[name] for name in ("data", "signals")})


def _data_problems(data: Data) -> Iterator[str]:
    """Yield what is wrong with the data section, each as ``path: words``."""
    try:
        data.time.calendar()
    except PeriodRefused as error:
        yield f"data.time.start: {error}"
    label = data.label.column
    if label in data.columns:
        yield f"data.columns.{label}: this is the label, and features must not see it"
    if label in data.key:
        yield f"data.key: {label!r} is the label"
    if label == data.time.column:
        yield f"data.label.column: {label!r} is the time column"
    if len(set(data.key)) != len(data.key):
        yield "data.key: a column is given twice"


def _name_problems(data: Data) -> Iterator[str]:
    """Yield what is wrong with the names of columns, each as ``path: words``."""
    key, time, label = data.key, data.time.column, data.label.column
    # Tables keep the case of names, and do not tell names apart by it.
    spellings = {name.casefold(): name for name in (*reversed(data.columns), label, time, *key)}
    for name in data.columns:
        if (other := spellings[name.casefold()]) != name:
            yield f"data.columns: {other!r} and {name!r} differ only in case"
    named = {"data.time.column": [time], "data.label.column": [label], "data.key": key, "data.columns": data.columns}
    for path, names in named.items():
        for name in names:
            if not _is_column_name(name):
                yield f"{path}: {name!r:.110} is refused: 1 to 100 printable NFC characters, no leading '_'"


def _cross_problems(spec: ModelSpec) -> Iterator[str]:
    """Yield what does not fit between sections, each as ``path: words``."""
    metric, task = spec.problem.success.metric, spec.data.label.task
    if (task == "regression") != (metric in REGRESSION_METRICS):
        yield f"problem.success.metric: {metric!r} does not fit a {task} label"
    for path, names in (("slices", spec.gates.slices), ("groups", spec.gates.groups)):
        for name in (one for one in names if one not in spec.data.columns):
            nearest = get_close_matches(name, spec.data.columns, n=1)
            hint = f"; nearest: {nearest[0]!r}" if nearest else ""
            yield f"gates.{path}: {name!r:.110} is not one of data.columns{hint}"
    yield from rollout_problems(spec.rollout, spec.data, spec.signals)


def _is_column_name(name: str) -> bool:
    # `isprintable` also refuses what nobody sees: zero-width and bidirectional marks (two names that look alike).
    printable = name.isprintable() and unicodedata.is_normalized("NFC", name)
    return printable and 1 <= len(name) <= 100 and not name.startswith("_")
