"""What a policy looks at: how the champion has fared since its data ended, beside models fitted anew.

Losses are means over the rows of a period, in the unit that a retrain's cost is declared in (`History.scale`). The
excess of a period is the champion's loss there less that of a model fitted right before that period, by the same
recipe: what a retrain in time would have saved. Both are scored on rows that neither has seen.
"""

from dataclasses import dataclass
from typing import Protocol

from retrain_pipeline.verdicts import Verdict


@dataclass(frozen=True, kw_only=True)
class Course:
    """One champion's course as of now, the oldest period first.

    Attributes
    ----------
    age
        Periods that the champion has served.
    lag
        Periods whose labels are not known yet: what a retrain now cannot learn from.
    first
        Number of the first of the periods that `champion` and `fresh` are of.
    champion, fresh
        Losses in each period since the champion's data ended whose labels are known; same length.
    noise
        Standard error of the excess in each of these periods; empty where nobody measured it, which counts as none.
    past
        The excess of earlier champions by their age in periods, each as it was known when the champion was replaced.
    validated
        The loss that was promised of the champion at its release; None when there is none on record.
    risen
        Whether a detector finds the champion's loss risen.
    """

    age: int
    lag: int = 0
    first: int = 0
    champion: tuple[float, ...] = ()
    fresh: tuple[float, ...] = ()
    noise: tuple[float, ...] = ()
    past: tuple[tuple[float, ...], ...] = ()
    validated: float | None = None
    risen: Verdict = Verdict.INCONCLUSIVE

    @property
    def excess(self) -> tuple[float, ...]:
        """The champion's excess by its age in periods."""
        return tuple(mine - other for mine, other in zip(self.champion, self.fresh, strict=True))


@dataclass(frozen=True)
class Opinion:
    """Whether to retrain now; `reasons` say what was compared, with numbers."""

    retrain: bool
    reasons: tuple[str, ...]


class Policy(Protocol):
    """A rule for when to retrain. Pure: the same course gives the same opinion."""

    @property
    def name(self) -> str:
        """What the policy is called, with all of its setting: ``periodic:8``; two of one name are of one opinion."""

    def look(self, course: Course) -> Opinion:
        """Return the opinion on a course."""
