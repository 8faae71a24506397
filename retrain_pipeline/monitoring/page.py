"""A monitored period on one page: everything that the stores know of it, as plain values."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from retrain_pipeline.monitoring.columns import (
    ColumnLine,
    column_lines,
    read_shapes,
    read_trends,
    stored_results,
)
from retrain_pipeline.monitoring.errors import NotMonitored
from retrain_pipeline.monitoring.kept import MONITORED
from retrain_pipeline.periods import as_utc
from retrain_pipeline.spec.model import ModelSpec

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.stores import Stores

_MAX_SIGNALS = 200


@dataclass(frozen=True)
class Known:
    """An estimate of an earlier period, made without labels, beside what came true, and whether it was within."""

    period: str
    estimate: float
    realized: float
    inside: bool


@dataclass(frozen=True, kw_only=True)
class Page:
    """What was found of a period. The mappings are those of the ledger's entry and of the full report."""

    model: str
    period: str
    as_of: datetime
    verdict: str
    words: str
    champion: str | None
    """Whom it was monitored against."""
    champion_age_periods: int | None
    """From the end of the data that it knew to the end of this period."""
    serving: str | None
    """Who is champion by now."""
    metric: str
    cadence: str
    cause: str
    reasons: tuple[str, ...]
    performance: Mapping[str, Any]
    half: float | None
    """Half the 95 % interval of the loss that was judged."""
    estimated: Mapping[str, Any] | None
    earlier: tuple[Known, ...]
    known_by_age: tuple[float, ...]
    """Share of labels known by age in periods."""
    maturing: tuple[str, ...]
    """Of each earlier period some of whose labels are known."""
    unlabelled_periods: int
    """Predicted periods of whose labels none is known."""
    columns: tuple[ColumnLine, ...]
    drift: Mapping[str, Any]
    prediction_drift: Mapping[str, Any]
    operation: Mapping[str, float | int | None]
    signals: tuple[Mapping[str, Any], ...]
    """Rows of the table of signals in this period, where there is one."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; what is no number is null."""
        value: dict[str, Any] = _plain({**asdict(self), "as_of": self.as_of.isoformat()})
        return value


def read_page(stores: "Stores", spec: ModelSpec, period: str | None = None) -> Page:
    """Return the page of a period, by default of the newest that was monitored.

    Raises
    ------
    NotMonitored
        When the period was not, or none was; with those that were.
    """
    entry = _entry(stores, spec.name, period)
    payload = entry.payload
    period, as_of = str(payload["period"]), as_utc(datetime.fromisoformat(payload["as_of"]))
    report, serving = stores.artifacts.get_json(payload["report"]), stores.ledger.deployment(spec.name)
    checks = report["checks"]
    explained = checks.get("explained") or {}
    late = explained.get("late") or {}
    return Page(
        model=spec.name,
        period=period,
        as_of=as_of,
        verdict=str(payload["verdict"]),
        words=str(report["words"]),
        champion=payload["champion"],
        champion_age_periods=_age(stores, spec, payload["champion"], as_of),
        serving=str(serving.state["champion"]) if serving else None,
        metric=spec.problem.success.metric,
        cadence=spec.data.time.calendar().cadence,
        cause=payload["diagnosis"]["cause"],
        reasons=tuple(explained.get("reasons") or [payload["diagnosis"]["words"]]),
        performance=payload["performance"],
        half=_half(checks["performance"]),
        estimated=payload.get("estimated_loss"),
        earlier=tuple(_known(one) for one in late.get("reconciled", ())),
        known_by_age=tuple((late.get("curve") or {}).get("known", ())),
        maturing=tuple(str(one["words"]) for one in late.get("maturing", ()) if one["n"]),
        unlabelled_periods=sum(not one["n"] for one in late.get("maturing", ())),
        columns=column_lines(
            stored_results(checks["drift"]),
            rows=int(payload["rows"]),
            missing=checks["missing"],
            unseen=checks["unseen"],
            trends=read_trends(stores.lake, spec.name, period),
            shapes=read_shapes(stores, spec.name, period),
        ),
        drift=payload["drift"],
        prediction_drift=payload["prediction_drift"],
        operation={name: payload.get(name) for name in _OPERATION},
        signals=_signals(stores, spec.name, period),
    )


_OPERATION = ("rows", "latency_ms_mean", "latency_ms_p95", "missing", "unseen", "new_labels_since_champion")


def _entry(stores: "Stores", model: str, period: str | None) -> "Entry":
    """Return what was entered last of a period, or of the newest one."""
    found = stores.ledger.latest(model, MONITORED, period)
    if found is None:
        raise NotMonitored(_not_monitored(stores, model, period))
    if period is not None:
        return found
    # A back-fill may have monitored an old period after the newest one.
    newest = max((one for one in stores.lake.periods(model, "monitoring")), default=found.subject)
    return stores.ledger.latest(model, MONITORED, newest) or found


def _not_monitored(stores: "Stores", model: str, period: str | None) -> str:
    periods = stores.lake.periods(model, "monitoring")
    if not periods:
        return (
            f"{model}: no period was monitored yet; `retrain play {model}` plays its history, or materialize its data"
        )
    asked = str(period)
    near = max((one for one in periods if one <= asked), default=periods[0])  # keys sort as time does
    if len(asked) != len(near):
        near = next(iter(get_close_matches(asked, periods, n=1, cutoff=0.0)))
    there = f"those of {periods[0]} to {periods[-1]} were ({len(periods)})"
    return f"{model}: period {period!r:.40} was not monitored; {there}; did you mean {near}?"


def _age(stores: "Stores", spec: ModelSpec, champion: str | None, as_of: datetime) -> int | None:
    released = stores.ledger.latest(spec.name, "released", champion) if champion else None
    if released is None:
        return None
    since = as_utc(datetime.fromisoformat(released.payload["as_of"]))
    return spec.data.time.calendar().periods_since(since, as_of)


def _half(performance: Mapping[str, Any]) -> float | None:
    se = performance.get("se")
    return None if se is None else 1.96 * float(se)


def _known(one: Mapping[str, Any]) -> Known:
    estimate, realized = float(one["estimate"]), float(one["realized"])
    return Known(str(one["period"]), estimate, realized, abs(realized - estimate) <= float(one["high"]) - estimate)


def _signals(stores: "Stores", model: str, period: str) -> tuple[Mapping[str, Any], ...]:
    """Return the rows of the table of signals, whatever its columns, where the lake has one."""
    rows = stores.lake.read(model, "signals", periods=[period])
    names = [str(name) for name in rows.columns if not str(name).startswith("_")]
    return tuple({str(k): v for k, v in one.items()} for one in rows[names].head(_MAX_SIGNALS).to_dict("records"))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else _plain_or_text(value)


def _plain_or_text(value: Any) -> Any:
    """Return a value of a data frame as JSON: numbers of NumPy as numbers, anything else as text."""
    item = value.item() if hasattr(value, "item") else str(value)
    return _plain(item) if isinstance(item, bool | int | float | str) else str(item)
