"""What a team declares about its signals: business and engagement metrics beside what the service itself measures."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from retrain_pipeline.lake.declared import Source
from retrain_pipeline.names import NameRefused, check_name
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from retrain_pipeline.spec.model import ModelSpec

BUILT_IN: Mapping[str, str] = {
    "prediction_count": "rows",
    "prediction_mean": "mean answer (classes: score)",
    "positive_share": "share",
    "throughput_rows_per_hour": "rows/h",
    "latency_ms_mean": "ms",
    "latency_ms_p95": "ms",
    "error_rate": "share",
    "label_arrival_share": "share",
}
"""Signals that every model has, and their units; what they are is in `docs/signals.md`."""

Aggregate = Literal["mean", "sum", "count", "rate"]


class Missing(Strict):
    """What stands in for a value that is missing or late; nothing that is imputed is ever observed, or a label."""

    policy: Literal["buffer", "interpolate", "fall_back", "halt"] = "buffer"
    """Wait for it; draw a line through its neighbours; take another value; or ask that retraining halts."""
    max_periods: int | None = Field(None, ge=0)
    """Overdue periods in a row that the policy bears; default: interpolate 2, halt 0, fall_back without end."""
    fall_back: float | None = None
    """The value of `fall_back`; default: the median of the past periods of the same season."""

    @property
    def limit(self) -> int | None:
        """`max_periods` or its default; None is without end."""
        defaults = {"interpolate": 2, "halt": 0}
        return self.max_periods if self.max_periods is not None else defaults.get(self.policy)

    @model_validator(mode="after")
    def _coherent(self) -> "Missing":
        if self.policy == "buffer" and self.max_periods is not None:
            raise ValueError("max_periods: buffer waits without end: leave it out, or use halt to stop after a while")
        if self.policy in ("interpolate", "fall_back") and self.max_periods == 0:
            raise ValueError(f"max_periods: {self.policy} with 0 periods does nothing: use buffer")
        if self.policy != "fall_back" and self.fall_back is not None:
            raise ValueError(f"fall_back: goes with policy fall_back, not {self.policy}")
        return self


class Signal(Strict):
    """One signal: rows (or one row a period) of a source, aggregated by period; of a built-in one, `missing` alone."""

    source: Source | None = None
    time: str | None = None
    """Column of the event time, spelled as ISO 8601 text or a timestamp."""
    known_time: str | None = None
    """Column that says when a row became known; default: `delay_hours` after its period."""
    column: str | None = None
    """Column of the numbers; not for `count` and `rate`."""
    aggregate: Aggregate = "mean"
    """Of a period's rows: mean, sum, how many, or how many an hour."""
    unit: str | None = Field(None, min_length=1, max_length=40)
    entity: tuple[str, ...] = ()
    """Columns of the source that say whose row it is, in the order of `rollout.route_by` (default: `data.key`). With
    them a guardrail compares those whom a canary serves with its control."""
    direction: Literal["up", "down"] | None = None
    """The way that the business wants it to go."""
    delay_hours: float = Field(0.0, ge=0)
    """A period's value is due this long after the period's end; only then is it missing."""
    missing: Missing = Missing()
    link: Literal["business_metric", "satisfaction", "revenue", "efficiency"] | None = None
    """What of the success it stands for: its movement since a release is told (`docs/signals.md`)."""
    value_per_unit: float | None = Field(None, gt=0)
    """What one unit less of the model's mean row loss is expected to be worth in a period, in this signal's unit."""

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what came later and is not declared: digests of declarations on record stay valid."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if name != "entity" or value}

    @model_validator(mode="after")
    def _coherent(self) -> "Signal":
        if self.source is None:
            return self
        given = {"time": self.time, "unit": self.unit, "direction": self.direction}
        lacking = [name for name, value in given.items() if value is None]
        if lacking:
            raise ValueError("\n".join(f"{name}: missing: a signal with a source declares it" for name in lacking))
        if (self.column is None) != (self.aggregate in ("count", "rate")):
            words = "is needed for" if self.column is None else "is not for"
            raise ValueError(f"column: {words} aggregate {self.aggregate}")
        if self.value_per_unit is not None and self.link is None:
            raise ValueError("value_per_unit: says what a better model is worth: declare what it stands for in link")
        return self


def signal_problems(spec: "ModelSpec") -> Iterator[str]:
    """Yield what is wrong with the signals, each as ``path: words``."""
    business = spec.problem.business_metric
    for name, signal in spec.signals.items():
        try:
            check_name(name, "signal")
        except NameRefused as error:
            yield f"signals: {error}"
            continue
        extra = sorted(signal.model_fields_set - {"missing"})
        if name in BUILT_IN and extra:
            yield f"signals.{name}.{extra[0]}: {name} is built in: only missing can be declared, or use another name"
        if name not in BUILT_IN and signal.source is None:
            nearest = get_close_matches(name, BUILT_IN, n=1)
            hint = f", or meant is the built-in {nearest[0]!r}" if nearest else ""
            yield f"signals.{name}: expected a source: {name!r} is not built in{hint}"
        routed = spec.rollout.route_by or spec.data.key
        if signal.source is not None and signal.entity and len(signal.entity) != len(routed):
            yield (
                f"signals.{name}.entity: {len(signal.entity)} column(s), but an entity has {len(routed)} "
                f"({', '.join(routed)}: {'rollout.route_by' if spec.rollout.route_by else 'data.key'}): "
                "name one column for each, in that order"
            )
        if signal.link == "business_metric" and signal.direction not in (None, business.direction):
            yield (
                f"signals.{name}.direction: {signal.direction!r}, but problem.business_metric {business.name!r} "
                f"goes {business.direction!r}"
            )
