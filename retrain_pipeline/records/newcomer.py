"""What somebody new to a model reads first: a summary, the way through its documents, its words and common questions.

Generated, so that it is never older than what it describes.
"""

from typing import TYPE_CHECKING, Any, get_args

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.records.glossary import GATES, METRICS, TERMS
from retrain_pipeline.records.history import explain
from retrain_pipeline.records.render import render
from retrain_pipeline.spec.decision import read_decisions
from retrain_pipeline.spec.model import Metric

if TYPE_CHECKING:
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

SUMMARY_WORDS = 120
"""The longest that a summary may be."""


def newcomer(stores: "Stores", declaration: "Declaration") -> dict[str, Any]:
    """Return the document as JSON values. The same stores and folder give the same document."""
    spec = declaration.spec
    decisions, _ = read_decisions(declaration.folder)
    return {
        "schema": "newcomer/1",
        "model": spec.name,
        "summary": _summary(stores, spec),
        "path": _path(stores, spec, [one.file for one in decisions if one.front.status == "accepted"]),
        "glossary": glossary(spec),
        "questions": _questions(spec),
        "diagrams": diagrams(spec),
        "policy": policy_diagram(spec),
    }


def as_markdown(document: dict[str, Any]) -> str:
    """Return the document as Markdown."""
    return render("newcomer.md.j2", document)


def glossary(spec: "ModelSpec") -> list[dict[str, str]]:
    """Return every gate that the model requires, the metrics, and the words of the trade, each in a sentence."""
    gates = {gate: GATES[gate] for gate in required_gates(spec.gates)}
    known = {**TERMS, **{name: METRICS[name] for name in get_args(Metric)}, **gates}
    return [{"word": name, "means": known[name]} for name in sorted(known)]


def policy_diagram(spec: "ModelSpec") -> str:
    """Return the way of a candidate to its users as a Mermaid flow chart, from the declared gates and rollout."""
    rollout = spec.rollout
    stages = ["shadow"] if rollout.shadow_periods else []
    stages += [f"canary {share:.0%}" for share in rollout.canary_shares]
    stages += ["champion"]
    gates = "<br/>".join(required_gates(spec.gates))
    lines = [
        "flowchart LR",
        '  retrain["retrain"] --> gates["' + gates + '"]',
        '  gates -- "not all PASS" --> rejected',
    ]
    before = "gates"
    if rollout.approval == "required":
        lines.append('  gates -- "all PASS" --> approval["a person approves"]')
        before = "approval"
    for at, stage in enumerate(stages):
        lines.append(f'  {before} --> s{at}["{stage}"]')
        before = f"s{at}"
    if rollout.watch_periods or rollout.guardrails:
        lines.append(f'  {before} -- "shown worse" --> back["rolled back"]')
    return "\n".join(lines)


def diagrams(spec: "ModelSpec") -> list[dict[str, str]]:
    """Return the diagrams that there are of the model, and where."""
    name = spec.name
    return [
        {"shows": "data paths: source to features to predictions to feedback", "where": f"Dagster, group {name}"},
        {"shows": "decision logic: what a candidate passes before it serves", "where": "below"},
        {"shows": "who served when, on trial and rolled back", "where": f"Dagster, asset {name}/rollout"},
        {"shows": "drift and loss by period", "where": f"Dagster, asset {name}/monitoring"},
    ]


def _summary(stores: "Stores", spec: "ModelSpec") -> str:
    """Return purpose, framing and state in at most `SUMMARY_WORDS` words; a long statement is cut, and says so."""
    metric, success = spec.problem.business_metric, spec.problem.success
    row = stores.ledger.deployment(spec.name)
    state = "Nobody serves yet."
    if row is not None:
        version = str(row.state["champion"])
        try:
            story = explain(stores, spec.name, version)
            state = f"{version} serves; it was judged {story.verdict or 'never'} ({story.mode or 'no mode'})."
        except PermanentError as error:
            state = f"{version} serves; what is on record of it cannot be read: {type(error).__name__}."
    rest = (
        f"The business looks at {metric.name}, which should go {metric.direction}. Success is {success.metric} at most "
        f"{success.at_most:g}. It learns from {spec.training.window_periods} periods of a {spec.data.time.period} "
        f"and is retrained by the policy {spec.trigger.policy}. {state}"
    )
    room = SUMMARY_WORDS - len(rest.split())
    words = spec.problem.statement.split()
    statement = " ".join(words) if len(words) <= room else " ".join([*words[: room - 1], "…"])
    return f"{statement} {rest}"


def _path(stores: "Stores", spec: "ModelSpec", decisions: list[str]) -> list[dict[str, str]]:
    name, row = spec.name, stores.ledger.deployment(spec.name)
    champion = str(row.state["champion"]) if row else "VERSION"
    why = ", ".join(f"decisions/{one}" for one in decisions) or f"none is accepted yet: retrain decide {name}"
    owners = ", ".join(spec.owners) or "nobody is declared (owners)"
    return [
        {"step": "What it is for, and what it may not do", "where": "defs.yaml, problem and gates"},
        {"step": "Why it is as it is", "where": why},
        {"step": "Who serves, and why", "where": f"retrain explain {name} {champion}"},
        {"step": "What is not known of it", "where": f"Dagster, asset {name}/model_card, Limitations"},
        {"step": "How it does now", "where": f"retrain monitor {name}"},
        {"step": "What happened so far", "where": f"retrain log {name}"},
        {"step": "What is overdue or missing", "where": f"retrain audit {name}"},
        {"step": "The way back, rehearsed", "where": f"retrain drill {name}"},
        {"step": "Whom to ask", "where": owners},
    ]


def _questions(spec: "ModelSpec") -> list[dict[str, str]]:
    name, trigger, rollout = spec.name, spec.trigger, spec.rollout
    gates = required_gates(spec.gates)
    asks = "a person approves it" if rollout.approval == "required" else "no person is asked"
    return [
        {
            "ask": "What makes it retrain?",
            "answer": f"The policy {trigger.policy}, and an age of {trigger.max_age_periods} periods whatever it says; "
            f"at least {trigger.cooldown_periods} periods lie between two.",
        },
        {
            "ask": "What must a candidate prove?",
            "answer": f"{len(gates)} gates: {', '.join(gates)}. One that cannot tell is no pass; {asks}.",
        },
        {
            "ask": "How do I take it back?",
            "answer": f"retrain rollback {name} --because REASON; it takes one transaction.",
        },
        {"ask": "How do I stop retraining?", "answer": f"retrain halt {name} --because REASON, and resume ends it."},
        {"ask": "Why did it do what it did?", "answer": f"retrain explain {name} VERSION, or --as-of a day."},
        {"ask": "Where do I write down why?", "answer": f"retrain decide {name}."},
    ]
