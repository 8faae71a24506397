"""A lane: an experiment that runs a model's graph beside it, on stores of its own (`lane_stores`)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.ledger.store import Ledger

OPENED, ENDED = "lane_opened", "lane_ended"


class LaneRefused(PermanentError):
    """A lane tried to write what is not its own."""


@dataclass(frozen=True)
class Lane:
    """An experiment beside a model. `name` is its full name, ``<of>__<lane>``: of its tables, entries and assets."""

    name: str
    of: str
    why: str


def lane_name(of: object, lane: object) -> str:
    """Return the full name of a model's lane.

    Examples
    --------
    >>> lane_name("lending", "forest")
    'lending__forest'
    """
    return f"{of}__{lane}"


LOADED = "RETRAIN_LANES"
"""Environment variable of a code location: `only` loads nothing but lanes, `without` none of them; default: all."""


def is_loaded(lane: Lane | None, environment: Mapping[str, str]) -> bool:
    """Return whether a code location has a model (no lane) or a lane: so that each can run under its own account.

    Raises
    ------
    LaneRefused
        When the variable is another word.
    """
    word = environment.get(LOADED, "").strip() or "with"
    if word not in ("with", "without", "only"):
        raise LaneRefused(f"{LOADED} is {word!r:.40}: write only or without, or leave it out for models and lanes")
    return word == "with" or (word == "only") == (lane is not None)


_ACTING: ContextVar[Lane | None] = ContextVar("retrain_lane", default=None)


def acting_lane() -> Lane | None:
    """Return the lane whose step runs here; None in a model's own."""
    return _ACTING.get()


@contextmanager
def acting(lane: Lane | None) -> Iterator[None]:
    """While the body runs, whoever opens the stores gets them as the lane may use them: the team's own code, too."""
    token = _ACTING.set(lane)
    try:
        yield
    finally:
        _ACTING.reset(token)


def ended(ledger: "Ledger", lane: Lane | None) -> "Entry | None":
    """Return the entry that ended a lane; None while it runs, and of a model."""
    return None if lane is None else ledger.latest(lane.name, ENDED)


def known_lanes(ledger: "Ledger") -> dict[str, str]:
    """Return the model of each lane that ever ran, by the lane's full name."""
    return {name: str(entry.payload["of"]) for name, entry in ledger.latest_by_model(OPENED).items()}
