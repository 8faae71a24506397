"""What changed from release to release, in three streams: architecture, data, and how versions are evaluated."""

from dataclasses import dataclass
from typing import Any

from retrain_pipeline.records.portal.facts import differences
from retrain_pipeline.records.portal.past import Past, Version
from retrain_pipeline.records.portal.words import day, number

STREAMS = ("architecture", "data", "evaluation")
_OF_DATA = ("data.", "signals.", "training.window", "training.min_periods")
_OF_EVALUATION = ("gates.", "problem.", "rollout.", "training.evaluation", "trigger.")


@dataclass(frozen=True)
class Change:
    """One line of the changelog: what changed, from what to what; a change of one thing has no `before`."""

    what: str
    before: str
    after: str


def changes(past: Past, before: Version | None, after: Version) -> dict[str, list[Change]]:
    """Return what differs between two versions, by stream; of a first version, what it is."""
    key = (before.name if before else "", after.name)
    if key not in past.compared:
        past.compared[key] = _compared(past, before, after)
    found: dict[str, list[Change]] = past.compared[key]
    return found


def _compared(past: Past, before: Version | None, after: Version) -> dict[str, list[Change]]:
    old, new = before.facts if before else {}, after.facts
    found: dict[str, list[Change]] = {stream: [] for stream in STREAMS}
    for name in ("candidate", "estimator", "params", "feature_code", "features"):
        if name == "params" and old.get("candidate") != new.get("candidate"):
            continue  # those of another estimator: there is nothing to compare
        for place, a, b in _listed(name, old.get(name), new.get(name)):
            found["architecture"].append(Change(place, a, b))
    for name in ("commit", "environment"):
        if before and old.get(name) != new.get(name):
            words = "project code" if name == "commit" else name
            found["architecture"].append(Change(words, str(old.get(name))[:12], str(new.get(name))[:12]))
    if before and old.get("spec") and new.get("spec"):
        for place, a, b in past.facts.changed(str(old["spec"]), str(new["spec"])):
            found[_stream(place)].append(Change(place, a, b))
    found["data"] += _refreshed(old, new)
    found["evaluation"] += _evaluated(before, after)
    return found


def _stream(place: str) -> str:
    if place.startswith(_OF_DATA):
        return "data"
    return "evaluation" if place.startswith(_OF_EVALUATION) else "architecture"


def _listed(name: str, old: Any, new: Any) -> list[list[str]]:
    """Return (what, before, after): of lists, what came and went."""
    if isinstance(new, list):
        known = set(old or ())
        gone, come = sorted(known - set(new)), sorted(set(new) - known)
        if not known:
            return [[name, "", ", ".join(come)]] if come else []
        went = [[f"{name} removed", ", ".join(gone), ""]] if gone else []
        return [*went, [f"{name} added", "", ", ".join(come)]] if come else went
    if name == "feature_code":
        return [] if old == new or not old else [["feature code", str(old)[:12], str(new)[:12]]]
    if isinstance(new, dict) and not old:
        return [[f"{name}.{one}", "", str(value)] for one, value in sorted(new.items())]
    return differences(old, new, name)


def _refreshed(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    found = []
    if old.get("training_set") != new.get("training_set"):
        a, b = _rows(old), _rows(new)
        found.append(Change("training rows", a if old else "", b))
    for place, a, b in differences(old.get("dropped") or {}, new.get("dropped") or {}, "not used"):
        found.append(Change(place, a, b))
    return found


def _evaluated(before: Version | None, after: Version) -> list[Change]:
    old, new = before.judged if before else {}, after.judged
    found = []
    if new and old.get("mode") != new.get("mode"):
        found.append(Change("mode", str(old.get("mode") or ""), str(new.get("mode"))))
    gone = sorted(set(old.get("required") or ()) - set(new.get("required") or ()))
    come = sorted(set(new.get("required") or ()) - set(old.get("required") or ()))
    found += [Change("gates no longer required", ", ".join(gone), "")] * bool(gone and new)
    found += [Change("gates required", "", ", ".join(come))] * bool(come)
    if new and (old.get("from"), old.get("until")) != (new.get("from"), new.get("until")):
        a, b = (
            f"{number(one.get('rows'))} rows, {day(one.get('from'))} to {day(one.get('until'))}" for one in (old, new)
        )
        found.append(Change("evaluation rows", a if old else "", b))
    return found


def _rows(said: dict[str, Any]) -> str:
    return f"{number(said.get('rows'))} rows, {day(said.get('from'))} to {day(said.get('until'))}"
