"""What a change upstream would touch: the features, versions and decisions that depend on a source column."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.insight.lineage import ColumnLineage
from retrain_pipeline.insight.recipe import NotMeasured
from retrain_pipeline.records.insights import lineage_of_code, observed_lineage
from retrain_pipeline.spec.decision import read_decisions

if TYPE_CHECKING:
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores


@dataclass(frozen=True)
class DependentVersion:
    """A version and the features by which it depends on the columns; `known` says whether its code was observed."""

    version: str
    features: tuple[str, ...]
    serves: bool
    known: bool


@dataclass(frozen=True)
class Downstream:
    """All that depends on some source columns. `decisions` holds file, title and what of it names them."""

    model: str
    columns: tuple[str, ...]
    lineage: ColumnLineage
    versions: tuple[DependentVersion, ...]
    decisions: tuple[tuple[str, str, str], ...]


def downstream_of(stores: "Stores", declaration: "Declaration", column: str | None, *, actor: str) -> Downstream:
    """Return what depends on a source column, or on each of them.

    Raises
    ------
    NotMeasured
        When nothing was observed and raw has no rows, or the column is none that features are made of.
    """
    from retrain_pipeline.learning.features import load_features

    spec = declaration.spec
    code = load_features(declaration.folder, spec.features)
    lineage = observed_lineage(stores, declaration, code, actor=actor)
    if lineage is None:
        raise NotMeasured(f"model {spec.name!r}: raw has no rows to observe the features on: run its data side first")
    known = sorted({*spec.data.columns, *spec.data.key, spec.data.time.column})
    if column is not None and column not in known:
        raise NotMeasured(f"model {spec.name!r} has no column {column!r:.100}; it has {', '.join(known)}")
    columns = (column,) if column else tuple(known)
    return Downstream(
        spec.name, columns, lineage, _versions(stores, spec.name, columns), _decisions(declaration, lineage, columns)
    )


def _versions(stores: "Stores", model: str, columns: tuple[str, ...]) -> tuple[DependentVersion, ...]:
    from retrain_pipeline.learning.versions import REGISTERED, read_manifest

    row = stores.ledger.deployment(model)
    champion = row.state.get("champion") if row else None
    observed: dict[str, ColumnLineage | None] = {}
    found = []
    for entry in stores.ledger.entries(model=model, action=REGISTERED):
        try:
            manifest = read_manifest(stores, model, str(entry.subject))
        except PermanentError:
            continue
        code = manifest.feature_code_digest
        if code not in observed:
            observed[code] = lineage_of_code(stores, model, code)
        used = {*manifest.columns.numeric, *manifest.columns.categorical}
        own = observed[code]
        # of code that was never observed: a feature of a column's name is taken for it
        touched = {one for name in columns for one in own.features_of(name)} if own else set(columns)
        if used & touched:
            found.append(
                DependentVersion(
                    manifest.version, tuple(sorted(used & touched)), manifest.version == champion, own is not None
                )
            )
    return tuple(found)


def _decisions(
    declaration: "Declaration", lineage: ColumnLineage, columns: tuple[str, ...]
) -> tuple[tuple[str, str, str], ...]:
    """Return the decisions whose covered paths, evidence, predicates or text name a column or a feature of it."""
    import re

    words = {*columns, *(feature for column in columns for feature in lineage.features_of(column))}
    named = {word: re.compile(rf"(?<!\w){re.escape(word)}(?!\w)") for word in sorted(words)}
    found = []
    for one in read_decisions(declaration.folder)[0]:
        front = one.front
        texts = [one.title, one.body, *front.subject.covers, *front.data_sources]
        texts += [assumption.predicate for assumption in front.assumptions]
        hits = [word for word, pattern in named.items() if any(pattern.search(text) for text in texts)]
        if hits:
            found.append((one.file, one.title, ", ".join(hits)))
    return tuple(found)


def lines(found: Downstream) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Return the tables that tell it: title, head and lines."""
    lineage = found.lineage
    features: list[tuple[str, ...]] = [
        (column, ", ".join(lineage.features_of(column)) or "none was seen") for column in found.columns
    ]
    versions: list[tuple[str, ...]] = [
        (one.version, "serves" if one.serves else "", ", ".join(one.features), "observed" if one.known else "by name")
        for one in found.versions
    ]
    return [
        ("features", ("column", "features that come from it"), features),
        ("versions", ("version", "", "features", "lineage"), versions),
        ("decisions", ("file", "title", "names"), [*found.decisions]),
        ("not resolved", ("column or feature", "why"), sorted(lineage.unresolved.items())),
    ]
