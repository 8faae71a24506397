"""Which model answers whom: a salted hash of the entity, the same in batch scoring and in a service.

An entity's place on the line from 0 to 1 depends on the salt and on nothing else, so it stays with its model however
often it comes, and a larger share takes new entities in without letting any go.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

CHAMPION, CANARY, CONTROL, HOLDBACK, FALLBACK = "champion", "canary", "control", "holdback", "fallback"
_BITS = 52


@dataclass(frozen=True)
class Route:
    """Who answers an entity, in which arm, and how probable that was."""

    arm: str
    version: str
    propensity: float


@dataclass(frozen=True)
class Share:
    """A version that answers a share of the entities, drawn by a salt of its own."""

    version: str
    share: float
    salt: str


@dataclass(frozen=True)
class Routing:
    """Who answers whom. `canary` is a challenger that serves; `holdback` an earlier model that is kept as it was."""

    champion: str
    canary: Share | None = None
    holdback: Share | None = None

    @property
    def one_model(self) -> bool:
        """The champion answers everybody."""
        return self.canary is None and self.holdback is None

    @property
    def shares(self) -> dict[str, float]:
        """The probability of each arm."""
        return {arm: route.propensity for arm, route in self._by_arm.items()}

    def route(self, entity: Sequence[Any]) -> Route:
        """Return who answers an entity, given as the values of its columns.

        Beside the canary stands a control of the same size (or what is left): entities that the champion answers, drawn
        in the same way, so that both are compared in equal numbers.

        Examples
        --------
        >>> Routing("v2", Share("v3", 0.25, "salt")).route(["customer-7"])
        Route(arm='champion', version='v2', propensity=0.5)
        """
        routes = self._by_arm
        if self.holdback is not None and place(self.holdback.salt, entity) < self.holdback.share:
            return routes[HOLDBACK]
        if self.canary is None:
            return routes[CHAMPION]
        at = place(self.canary.salt, entity)
        if at < self.canary.share:
            return routes[CANARY]
        return routes[CONTROL] if at >= 1 - _control(self.canary.share) else routes[CHAMPION]

    @cached_property
    def _by_arm(self) -> dict[str, Route]:
        return {route.arm: route for route in self._routes()}

    def _routes(self) -> Iterable[Route]:
        held = self.holdback.share if self.holdback is not None else 0.0
        if self.holdback is not None:
            yield Route(HOLDBACK, self.holdback.version, held)
        share = self.canary.share if self.canary is not None else 0.0
        control = _control(share)
        if self.canary is not None:
            yield Route(CANARY, self.canary.version, (1 - held) * share)
            yield Route(CONTROL, self.champion, (1 - held) * control)
        if (rest := 1 - share - control) > 0:
            yield Route(CHAMPION, self.champion, (1 - held) * rest)


def _control(share: float) -> float:
    return min(share, 1 - share)


def place(salt: str, entity: Sequence[Any]) -> float:
    """Return an entity's place in [0, 1): SHA-256 of the salt and of its values as text, each with its length.

    A value has one text however it comes: 5, 5.0 and "5" are one customer.
    """
    digest = hashlib.sha256()
    for text in (salt, *map(_text, entity)):
        data = text.encode()
        digest.update(b"%d:%b" % (len(data), data))
    return (int.from_bytes(digest.digest()[:8], "big") >> (64 - _BITS)) / (1 << _BITS)


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN is not itself
        return ""
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
