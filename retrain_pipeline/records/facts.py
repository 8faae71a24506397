"""What the names of predicates stand for in the stores of a model, now. `spec.predicate.SOURCES` lists the names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import Evidence, read_evidence
from retrain_pipeline.spec.predicate import PredicateRefused, Seen, judge, nearest_names, parse_predicate
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

_DAY = 24 * 3600.0


class NotKnown(PermanentError):
    """A name that stands for nothing here, or not yet; the words say why, and which name is nearest."""


@dataclass(frozen=True)
class Side:
    """A version: how it was made, and how it was judged."""

    manifest: "VersionManifest"
    evidence: Evidence | None


class Facts:
    """The facts about a model, each read when it is asked for, once.

    Parameters
    ----------
    stores, declaration
        Of the model.
    """

    def __init__(self, stores: "Stores", declaration: "Declaration") -> None:
        self._stores, self._declaration = stores, declaration
        self._model = declaration.spec.name

    @property
    def version(self) -> str | None:
        """The newest version that was registered; None before the first."""
        entry = self._stores.ledger.latest(self._model, "candidate_registered")
        return entry.subject if entry else None

    def look(self, name: str) -> Seen:
        """Return what a name is now.

        Raises
        ------
        NotKnown
            When nothing is known of it, with the reason.
        """
        head, _, rest = name.partition(".")
        of: Mapping[str, Callable[[str], Seen]] = {
            "champion": lambda part: self._of_version("champion", part),
            "newest": lambda part: self._of_version("newest", part),
            "features": self._features,
            "data": self._data,
            "labels": self._labels,
            "monitored": self._monitored,
            "spec": self._declared,
        }
        if head not in of:
            raise NotKnown(f"{name!r:.100} is nothing that can be looked up{nearest_names(head, [*of])}")
        try:
            return of[head](rest)
        except NotKnown:
            raise
        except PermanentError as error:
            raise NotKnown(f"{name}: cannot be read: {error}") from error
        except KeyError as error:  # an entry of an earlier release, which did not hold it yet
            raise NotKnown(f"{name}: not on record ({error})") from error

    def hold(self, predicate: str) -> tuple[Verdict, str]:
        """Return whether a predicate holds now, and what was seen; INCONCLUSIVE where that cannot be told."""
        try:
            asked = parse_predicate(predicate)
            seen = self.look(asked.name)
        except (NotKnown, PredicateRefused) as error:
            return Verdict.INCONCLUSIVE, f"cannot be told: {error}"
        verdict = judge(asked, seen)
        told = {Verdict.PASS: "holds", Verdict.FAIL: "does not hold", Verdict.INCONCLUSIVE: "cannot be told"}
        return verdict, f"{told[verdict]}: {asked.name} is {seen}"

    @cached_property
    def _champion(self) -> Side | None:
        row = self._stores.ledger.deployment(self._model)
        return self._side(row.state["champion"], str(row.state["evidence"])) if row else None

    @cached_property
    def _newest(self) -> Side | None:
        if self.version is None:
            return None
        judged = self._stores.ledger.latest(self._model, "judged", self.version)
        return self._side(self.version, str(judged.payload["evidence"]) if judged else None)

    def _side(self, version: str, evidence: str | None) -> Side:
        from retrain_pipeline.learning.versions import read_manifest

        manifest = read_manifest(self._stores, self._model, version)
        return Side(manifest, read_evidence(self._stores.artifacts, evidence) if evidence else None)

    def _made(self) -> "VersionManifest":
        if self._newest is None:
            raise NotKnown(f"{self._model}: no version was built yet")
        return self._newest.manifest

    def _of_version(self, which: str, part: str) -> Seen:
        side = self._champion if which == "champion" else self._newest
        if side is None:
            raise NotKnown(f"{self._model}: there is no {which} version yet")
        made, found = side.manifest, side.evidence
        facts: dict[str, Seen] = {
            "version": made.version,
            "candidate": made.candidate,
            "estimator": made.estimator,
            "size_mb": made.size_bytes / 1e6,
        }
        if part in facts:
            return facts[part]
        if part.startswith("params."):
            return _plain(_named(made.params, part.removeprefix("params."), f"parameters of {made.version}"))
        if found is None:
            raise NotKnown(f"{made.version} was never judged")
        loss = found.validated_loss
        judged: dict[str, Seen] = {
            "verdict": found.verdict.value,
            "rows_judged": found.evaluation.rows,
            "validated_loss": loss.value if loss else None,
            "validated_mean": loss.mean if loss else None,
        }
        if part in judged:
            return judged[part]
        _, gate, field = (*part.split("."), "", "")[:3]
        results = {one.gate: one for one in found.results}
        result = _named(results, gate, f"gates that judged {made.version}")
        return str(result.verdict.value) if field == "verdict" else _plain(result.statistic)

    def _features(self, part: str) -> Seen:
        columns = self._made().columns
        used = (*columns.numeric, *columns.categorical)
        facts: dict[str, Seen] = {"used": used, "dropped": tuple(sorted(columns.dropped)), "count": len(used)}
        return facts[part]

    def _data(self, part: str) -> Seen:
        made = self._made()
        frozen, window = made.frozen, made.window
        return {
            "rows": window.train_rows if window else frozen.train_rows,
            "periods": window.periods if window else len(frozen.periods),
            "evaluation_rows": frozen.evaluation_rows,
        }[part]

    def _labels(self, part: str) -> Seen:
        frozen = self._made().frozen
        newest = frozen.evaluation_until or frozen.train_until
        if part != "delay_days" or newest is None:
            raise NotKnown(f"labels.{part}: no labelled row is on record")
        return (datetime.fromisoformat(frozen.as_of) - datetime.fromisoformat(newest)).total_seconds() / _DAY

    def _monitored(self, part: str) -> Seen:
        entry = self._stores.ledger.latest(self._model, "monitored")
        if entry is None:
            raise NotKnown(f"{self._model} was never monitored")
        payload = entry.payload
        if part.startswith("null_share."):
            return self._null_share(str(entry.subject), part.removeprefix("null_share."))
        performance, drift = payload["performance"], payload["drift"]
        facts: dict[str, Seen] = {
            "verdict": payload["verdict"],
            "rows": payload["rows"],
            "cause": payload["diagnosis"]["cause"],
            "latency_ms_p95": payload["latency_ms_p95"],
            "loss": performance["mean"],
            "relative_rise": performance["relative_rise"],
            "drift.verdict": drift["verdict"],
            "drift.max_effect": drift["max_effect"],
            "drift.columns": tuple(drift["columns"]),
        }
        return facts[part]

    def _null_share(self, period: str, column: str) -> float:
        from retrain_pipeline.monitoring.kept import read_summary

        profile = read_summary(self._stores, self._model, period).features
        found = _named(profile.columns, column, "monitored features")
        rows = found.count + found.nulls
        if not rows:
            raise NotKnown(f"{self._model} {period}: no rows of {column!r}")
        return float(found.nulls / rows)

    def _declared(self, path: str) -> Seen:
        value: Any = self._declaration.spec.model_dump(mode="json")
        for at, part in enumerate(path.split(".")):
            if not isinstance(value, Mapping):
                raise NotKnown(f"spec.{path}: nothing is declared below {'.'.join(path.split('.')[:at])}")
            value = _named(value, part, "declared there")
        return _plain(value)


def _named(values: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in values:
        raise NotKnown(f"{name!r:.80} is not among the {what}{nearest_names(name, sorted(values))}")
    return values[name]


def _plain(value: Any) -> Seen:
    if isinstance(value, list | tuple):
        return tuple(map(str, value))
    if isinstance(value, Mapping):
        return tuple(sorted(map(str, value)))
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
