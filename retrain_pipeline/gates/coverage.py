"""Which fields differ between two versions, and which decisions say why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from retrain_pipeline.spec.decision import Decision
from retrain_pipeline.spec.rationale import KINDS

CODE = "features.code"
"""The place of a change of feature code, which the declaration itself does not hold."""
_SHOWN = 8


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a declaration by path; a list is one value.

    >>> list(leaves({"gates": {"alpha": 0.05, "slices": ["shop"]}}))
    [('gates.alpha', 0.05), ('gates.slices', ['shop'])]
    """
    if isinstance(value, Mapping) and value:
        for name in sorted(value):
            yield from leaves(value[name], f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def changed_fields(before: Mapping[str, Any], now: Mapping[str, Any], *, features_changed: bool) -> list[str]:
    """Return the paths at which two declarations differ, in sections that need a reason; of changed code `CODE`.

    >>> changed_fields({"gates": {"alpha": 0.05}}, {"gates": {"alpha": 0.1}}, features_changed=True)
    ['features.code', 'gates.alpha']
    """
    moved = {CODE} if features_changed else set[str]()
    for section in KINDS:
        old, new = (dict(leaves(one[section], section)) if section in one else {} for one in (before, now))
        moved |= {
            path for path in old.keys() | new.keys() if path not in old or path not in new or old[path] != new[path]
        }
    # a mapping that was empty is a leaf of its own: what came into it says it all
    return sorted(path for path in moved if not any(other.startswith(f"{path}.") for other in moved))


def covers(decision: Decision, path: str) -> bool:
    """Return whether a decision answers for a path: it lists it, or one above it; or its kind answers for the section.

    One that lists no path answers by its kind alone.
    """
    subject = decision.front.subject
    if subject.covers:
        return any(path == one or path.startswith(f"{one}.") for one in subject.covers)
    return subject.kind in KINDS.get(path.partition(".")[0], frozenset())


def uncovered(paths: Iterable[str], decisions: Sequence[Decision]) -> list[str]:
    """Return the paths that no decision answers for."""
    return [path for path in paths if not any(covers(one, path) for one in decisions)]


def by_section(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return paths by their sections, both in order."""
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        found.setdefault(path.partition(".")[0], []).append(path)
    return found


def shown(paths: Sequence[str]) -> str:
    """Return paths in words, the first of many."""
    rest = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + rest
