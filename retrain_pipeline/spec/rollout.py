"""How a model that passed its gates reaches users: declared stages, shares, bounds and the way back."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from retrain_pipeline.spec.signals import BUILT_IN
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from retrain_pipeline.lake.declared import Data
    from retrain_pipeline.spec.signals import Signal


class Guardrail(Strict):
    """A bound on a signal that holds while a model serves; beyond it the model before it serves again."""

    at_most: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _coherent(self) -> "Guardrail":
        if self.at_most is None and self.at_least is None:
            raise ValueError("at_most: give a bound: at_most, at_least or both")
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least: {self.at_least:g} is above at_most {self.at_most:g}: nothing is within")
        return self


class Rollout(Strict):
    """How a model that passed its gates reaches users."""

    shadow_periods: int = Field(0, ge=0)
    """Periods in which it answers every row and serves none."""
    canary_shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Shares of the entities that it serves, one after the other, before it serves all."""
    canary_periods: int = Field(1, ge=1)
    """Periods that each share is served at least."""
    max_periods: int | None = Field(None, ge=1)
    """Periods after which a challenger that has not proved itself goes away. Default: twice the declared stages, the
    delay of labels, and four."""
    margin: float = Field(0.05, ge=0)
    """Non-inferiority margin while it serves, as a share of the champion's mean loss."""
    watch_periods: int = Field(4, ge=0)
    """Periods after a release in which the champion before it answers too: shown worse than that beyond `margin`, the
    new one is rolled back."""
    holdback_share: float = Field(0.0, ge=0, lt=0.5)
    """Share of the entities that an earlier, frozen model goes on serving: what all updates together have changed."""
    holdback_periods: int = Field(26, ge=1)
    """Age at which the next release freezes a newer model for the holdback."""
    route_by: tuple[str, ...] = ()
    """Columns of the entity (say a customer) that stays with one model. Default: data.key."""
    guardrails: dict[str, Guardrail] = Field(default_factory=dict)
    """Bounds by signal; broken after a release by a signal that was within before, it is rolled back."""
    drill_periods: int | None = Field(None, ge=1)
    """Periods after which the way back must have been rehearsed again; else nothing is released. Default: never due."""
    retire_periods: int | None = Field(None, ge=1)
    """Periods after which a version that serves nobody, and that nothing would go back to, is to be retired: the audit
    lists it. Default: never."""
    approval: Literal["none", "required"] = "none"

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what came later and is not declared: digests of policies and declarations on record stay valid."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if name != "retire_periods" or value is not None}

    @property
    def staged(self) -> bool:
        """A release goes by stages, and is not made at once."""
        return bool(self.shadow_periods or self.canary_shares)

    def longest(self, label_delay_periods: float) -> int:
        """Return the periods after which a challenger has had its chance."""
        declared = self.shadow_periods + len(self.canary_shares) * self.canary_periods
        return self.max_periods or 2 * declared + ceil(label_delay_periods) + 4

    @model_validator(mode="after")
    def _coherent(self) -> "Rollout":
        if list(self.canary_shares) != sorted(set(self.canary_shares)):
            raise ValueError("canary_shares: each share must be greater than the one before")
        if self.canary_shares and self.canary_shares[-1] + self.holdback_share > 1:
            raise ValueError("canary_shares: the last share and holdback_share are more than all traffic")
        declared = self.shadow_periods + len(self.canary_shares) * self.canary_periods
        if self.max_periods is not None and self.max_periods < declared:
            raise ValueError(f"max_periods: {self.max_periods} end before the declared stages do ({declared} periods)")
        return self


def rollout_problems(rollout: Rollout, data: "Data", signals: "Mapping[str, Signal]") -> Iterator[str]:
    """Yield what does not fit the rest of the declaration, each as ``path: words``."""
    known = sorted({*BUILT_IN, *signals})
    for name in rollout.guardrails:
        if name not in known:
            nearest = get_close_matches(name, known, n=1)
            hint = f"; nearest: {nearest[0]!r}" if nearest else ""
            yield f"rollout.guardrails: {name!r:.110} is no signal, built in or declared{hint}"
    columns = [*data.key, *data.columns]
    for name in rollout.route_by:
        if name not in columns:
            nearest = get_close_matches(name, columns, n=1)
            hint = f"; nearest: {nearest[0]!r}" if nearest else ""
            yield f"rollout.route_by: {name!r:.110} is none of data.key and data.columns{hint}"
