"""What a retrain is expected to show, written down by machine when it starts: before anything could come out."""

from typing import TYPE_CHECKING

from retrain_pipeline.records.agreed import check_agreed
from retrain_pipeline.records.kinds.hypothesis import Criterion, Hypothesis
from retrain_pipeline.records.record import Recorded, enter, entered, records
from retrain_pipeline.spec.decision import Decision, read_decisions
from retrain_pipeline.spec.rationale import KINDS

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores
    from retrain_pipeline.triggers.retrain import Retrain


def begin(stores: "Stores", declaration: "Declaration", retrain: "Retrain", actor: str) -> Hypothesis:
    """Enter what a retrain that has just started is expected to show; once a run.

    Raises
    ------
    NotAgreed
        When problem or protocol, as declared, were not on record when it started.
    """
    protocol = check_agreed(stores, declaration.spec, retrain.run_id)
    row = stores.ledger.deployment(declaration.spec.name)
    champion = str(row.state["champion"]) if row else None
    record = Hypothesis.make(
        model=declaration.spec.name,
        subject=retrain.run_id,
        words=_words(declaration.spec, retrain, champion),
        success=_criteria(declaration.spec, retrain.mode),
        failure="any required gate that does not pass: FAIL, or INCONCLUSIVE where no stage can tell",
        protocol=protocol.digest,
        protocol_version=protocol.version,
        rationale=rationale(declaration),
    )
    enter(stores, record, actor=actor)
    return record


def hypothesis_of(stores: "Stores", model: str, run_id: str) -> tuple[Recorded, Hypothesis] | None:
    """Return the hypothesis of a run as it stands in the ledger; None where nobody wrote one."""
    for one in records(stores, model, Hypothesis.KIND, subject=run_id):
        return one, one.read(Hypothesis)
    return None


def written_late(stores: "Stores", model: str) -> list[str]:
    """Return what is wrong with the order of hypotheses and results: one that was written when the result was known.

    The order is that of the chain, so a time that is set back shows, too.
    """
    results: dict[str, Entry] = {}
    for entry in stores.ledger.entries(model=model, action=("candidate_built", "judged")):
        results.setdefault(entry.run_id or "", entry)
    problems = []
    for one in entered(stores, model, Hypothesis.KIND):
        result = results.get(one.subject or "")
        if result is None:
            continue
        if result.seq < one.seq:
            words = f"written in entry {one.seq}, after {result.action} in entry {result.seq}"
            problems.append(f"{model} {one.subject}: hypothesis {words}")
        elif result.at_utc < one.at_utc:
            words = f"entry {one.seq} says {one.at_utc}, the later entry {result.seq} {result.at_utc}"
            problems.append(f"{model} {one.subject}: the clock went back between hypothesis and result: {words}")
    return problems


def rationale(declaration: "Declaration") -> dict[str, tuple[str, ...]]:
    """Return the ids of the accepted decisions that answer for each section of a declaration, as they lie there now."""
    decisions, _ = read_decisions(declaration.folder)
    accepted = [one for one in decisions if one.front.status == "accepted"]
    return {name: tuple(one.front.id for one in accepted if _answers(one, name)) for name in KINDS}


def _answers(decision: Decision, section: str) -> bool:
    covers = decision.front.subject.covers
    if covers:
        return any(path.split(".")[0] == section for path in covers)
    return decision.front.subject.kind in KINDS[section]


def _words(spec: "ModelSpec", retrain: "Retrain", champion: str | None) -> str:
    success = f"{spec.problem.success.metric} at most {spec.problem.success.at_most:g}"
    fitted = f"A model fitted on up to {spec.training.window_periods} periods before {retrain.as_of.isoformat()}"
    because = f" Asked for by {retrain.kind}: {'; '.join(retrain.reasons)}"[:1500] if retrain.reasons else ""
    if retrain.mode == "first" or champion is None:
        return f"{fitted} does better than the baselines, with {success}.{because}"
    margin = f"{spec.gates.margin:.3g} of its mean loss"
    if retrain.mode == "non_inferiority":
        return f"{fitted} is no worse than {champion} by more than {margin}, on rows that neither has learned.{because}"
    return f"{fitted} is better than {champion}, on rows that neither has learned, beyond chance.{because}"


def _criteria(spec: "ModelSpec", mode: str) -> tuple[Criterion, ...]:
    """Return the bounds of the two gates that say whether it is good, as the gates measure them."""
    success, reference = spec.problem.success, "the dummy's" if mode == "first" else "the champion's"
    if mode == "non_inferiority":
        reference = f"{1 + spec.gates.margin:g} times {reference}"
    metric = f"upper bound of its mean row loss minus {reference}"
    return (
        Criterion(gate="quality", metric=metric, op="<=" if mode == "non_inferiority" else "<", value=0.0),
        Criterion(gate="success", metric=success.metric, op="<=", value=success.at_most),
    )
