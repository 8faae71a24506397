"""When versions are measured beyond their judgement, and what that may cost."""

from typing import Annotated, Literal

from pydantic import Field

from retrain_pipeline.strict import Strict

Due = Literal["first", "never"] | Annotated[int, Field(ge=1)]


class Insight(Strict):
    """Measurements of released versions. Importances and groups cost predictions and are taken of every version."""

    every: Due = 10
    """Which versions are refitted without each group of features and with each hyper-parameter moved: the first one and
    every so many after it, only the `first`, or `never`."""
    split: bool = True
    """Split the change of the metric since the parent into its causes, at every version: a handful of refits."""
    seeds: int = Field(3, ge=1, le=20)
    """How often that split is done over, each time with other seeds: the spread is its uncertainty."""
    budget_seconds: float = Field(60, gt=0)
    """No refit begins after it; what was not reached is named."""
    groups: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Features by the name of their group. Default: those that come from the same source column."""

    def refits_due(self, released_before: int) -> bool:
        """Return whether a version is refitted, by how many versions of the model were released before it.

        >>> [number for number in range(25) if Insight().refits_due(number)]
        [0, 10, 20]
        """
        if isinstance(self.every, int):
            return released_before % self.every == 0
        return self.every == "first" and released_before == 0
