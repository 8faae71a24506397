"""Is a history of concurrent operations one that could have come of doing them one at a time?

The search of Wing and Gong (1993, *Testing and verifying concurrent objects*), with Lowe's memory (2017, *Testing for
linearizability*) of what was tried: an order of the operations that a register allows, in which no operation comes
before one that had ended when it began. An operation without an answer (its process died) may come at any later place,
or not at all.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Operation:
    """What a process asked, when, and what it was told. Without an answer `ended` is None."""

    process: int
    asked: Any
    began: float
    ended: float | None = None
    answer: Any = None


Step = Callable[[Any, Any], Iterable[tuple[Any, Any]]]
"""From a state and what is asked, the states and answers that may follow."""


def order(history: Sequence[Operation], state: Hashable, step: Step) -> list[Operation] | None:
    """Return the operations in an order that explains every answer, or None where there is none.

    Those without an answer are in it only where they must have taken effect.
    """
    heard = frozenset(at for at, one in enumerate(history) if one.ended is not None)
    tried: set[tuple[frozenset[int], Hashable]] = set()
    path: list[int] = []

    def search(left: frozenset[int], now: Hashable) -> bool:
        if not left & heard:
            return True
        if (left, now) in tried:
            return False
        tried.add((left, now))
        until = min(history[at].ended or 0.0 for at in left & heard)
        for at in sorted(left, key=lambda at: history[at].began):
            one = history[at]
            if one.began > until:
                break
            for after, answer in step(now, one.asked):
                if one.ended is not None and answer != one.answer:
                    continue
                path.append(at)
                if search(left - {at}, after):
                    return True
                path.pop()
        return False

    found = search(frozenset(range(len(history))), state)
    return [history[at] for at in path] if found else None
