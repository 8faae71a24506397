"""What is measured of a released version, beyond the judgement that let it through."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.insight.effects import Effect, ablation, sensitivity
from retrain_pipeline.insight.groups import GroupLine, declared_groups, group_lines
from retrain_pipeline.insight.importances import Importance, importances
from retrain_pipeline.insight.lineage import ColumnLineage
from retrain_pipeline.insight.paths import DecisionPath, decision_paths
from retrain_pipeline.insight.ranges import OutOfRange, out_of_range
from retrain_pipeline.insight.recipe import Made, Purse, losses_on, made
from retrain_pipeline.insight.split import Split, split_change
from retrain_pipeline.learning.guarded import FitFailed, guarded
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

T = TypeVar("T")
BY_REQUEST = "retrain insight {model} {version} --measure"


class Unmeasured(Strict):
    """What was not measured, and why."""

    what: str
    why: str


class Measured(Strict):
    """The measurements of a version, on its own frozen evaluation rows. Losses are row losses of `metric`."""

    metric: str
    rows: int
    mean_loss: float
    alpha: float
    ablation: tuple[Effect, ...] = ()
    sensitivity: tuple[Effect, ...] = ()
    importances: tuple[Importance, ...] = ()
    paths: tuple[DecisionPath, ...] = ()
    groups: tuple[GroupLine, ...] = ()
    out_of_range: tuple[OutOfRange, ...] = ()
    lineage: ColumnLineage | None = None
    split: Split | None = None
    not_measured: tuple[Unmeasured, ...] = ()


def measure(
    stores: "Stores",
    model: str,
    version: str,
    *,
    refits: bool,
    lineage: ColumnLineage | None = None,
    before: Sequence[GroupLine] = (),
) -> Measured:
    """Return the measurements of a version; what cannot be had is named with its reason, and hides nothing else.

    The same stores give the same measurements, unless the time for refits runs out.

    Parameters
    ----------
    refits
        Refit for ablation and sensitivity (`report.insight.every` says when).
    lineage
        Source columns by feature: the groups of the ablation, where none are declared.
    before
        The group lines of the version before.

    Raises
    ------
    VersionNotLoadable, NotMeasured, SnapshotChanged, RowsOverlap
        When the version, its declaration or its rows are not there.
    """
    from retrain_pipeline.learning.prediction import predict
    from retrain_pipeline.learning.versions import load_version

    one = made(stores, model, version)
    pipeline = load_version(stores, model, version).pipeline
    declared, missing = one.spec.report.insight, list[Unmeasured]()
    purse = Purse(declared.budget_seconds)
    told = predict(pipeline, one.spec.data.label.task, one.frames.eval_x).frame
    losses = losses_on(one.spec, pipeline, one.frames.eval_x, one.frames.eval_y)
    found: dict[str, Any] = {
        "importances": _tried("importances", lambda: importances(one, pipeline), missing),
        "paths": _tried("decision paths", lambda: decision_paths(one, pipeline), missing),
        "groups": _tried("groups by stage", lambda: group_lines(stores, one, told, losses, before), missing),
        "out_of_range": _tried("inputs out of range", lambda: out_of_range(one, pipeline), missing),
    }
    split = _split(stores, one, purse, missing)
    if refits:
        groups = declared.groups or _groups(one, lineage)
        found["ablation"] = _tried("ablation", lambda: ablation(one, groups, purse), missing)
        found["sensitivity"] = _tried("sensitivity", lambda: sensitivity(one, purse), missing)
    else:
        why = f"not due: report.insight.every is {declared.every}; on request: {BY_REQUEST}"
        missing.append(Unmeasured(what="ablation and sensitivity", why=why.format(model=model, version=version)))
    missing += [Unmeasured(what=what, why=why) for what, why in (one.split(": ", 1) for one in purse.not_reached)]
    return Measured(
        metric=one.spec.problem.success.metric,
        rows=len(losses),
        mean_loss=float(losses.mean()),
        alpha=one.spec.gates.alpha,
        lineage=lineage,
        split=split,
        not_measured=(*missing, *_said(one, lineage)),
        **{name: tuple(lines or ()) for name, lines in found.items()},
    )


def _tried(what: str, work: Callable[[], T], missing: list[Unmeasured]) -> T | None:
    try:
        found: T = guarded(work)
    except (PermanentError, FitFailed) as error:
        missing.append(Unmeasured(what=what, why=" ".join(str(error).split())[:500]))
        return None
    return found


def _split(stores: "Stores", one: Made, purse: Purse, missing: list[Unmeasured]) -> Split | None:
    manifest, declared = one.manifest, one.spec.report.insight
    what = "the causes of the change of the metric"
    if not declared.split or manifest.parent is None:
        why = "there is no version before it" if declared.split else "report.insight.split is false"
        missing.append(Unmeasured(what=what, why=why))
        return None
    old = manifest.parent
    return _tried(
        what,
        lambda: split_change(stores, manifest.model, old, manifest.version, seeds=declared.seeds, purse=purse),
        missing,
    )


def _groups(one: Made, lineage: ColumnLineage | None) -> dict[str, tuple[str, ...]]:
    """Return the groups of features by source column; features of unknown source are groups of their own."""
    known = lineage.groups() if lineage else {}
    told = {feature for features in known.values() for feature in features}
    return known | {name: (name,) for name in one.frames.train_x.columns if name not in told}


def _said(one: Made, lineage: ColumnLineage | None) -> list[Unmeasured]:
    """Return what no measurement was asked of, and what the lineage leaves open."""
    found = []
    if not declared_groups(one):
        found.append(Unmeasured(what="groups by stage", why="neither gates.groups nor gates.slices is declared"))
    if lineage is None:
        found.append(Unmeasured(what="column lineage", why="it was not observed for this feature code"))
    else:
        found += [Unmeasured(what=f"where {name} comes from", why=why) for name, why in lineage.unresolved.items()]
    return found
