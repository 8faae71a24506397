"""What a candidate must prove before it may serve: the section `gates` of a declaration."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.strict import Strict


class Gates(Strict):
    """What a candidate must prove."""

    alpha: float = Field(0.05, gt=0, lt=0.5)
    margin: float = Field(0.05, ge=0)
    """Non-inferiority margin, as a share of the champion's mean loss; of the anchor's, too (docs/gates.md)."""
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
    max_rss_mb: float | None = Field(None, gt=0)
    """Peak memory of a fresh process that loads the model and predicts; where it is declared, latency is measured there
    too."""
    robustness: float = Field(3.0, gt=1)
    """How many times the reference's loss a candidate may have when an input is missing or noisy."""
    groups: tuple[str, ...] = ()
    """Raw columns between whose values the gap in loss and in positive rate may not grow."""
    group_margin: float = Field(0.05, ge=0)
    """By how much it may: points of the positive rate, and of the loss as a share of the reference's."""
    documentation: bool = False
    """What changed since the champion must have a decision file that says why."""
    refits: int = Field(1, ge=0, le=20)
    """Fits of the winner that judging may cost: the first with its own seed (it must come out the same), any others
    with other seeds (the verdict must hold)."""
    guard: Literal["none", "required"] = "none"
    """Required: evidence that the update changes neither what is collected nor how users behave must be on record."""
    escalate: Escalate | None = None
    """What calls for a second validator of other code on other rows. Default: nothing, and no rows are kept back."""

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what came later and is not declared: digests of policies and declarations on record stay valid."""
        later: dict[str, Any] = {"guard": "none", "escalate": None}
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if name not in later or value != later[name]}
