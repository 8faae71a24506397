"""Tables and stories on the terminal, from what the stores say."""

import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from retrain_pipeline.gates.evidence import Evidence
    from retrain_pipeline.ledger.signing import SigningKey
    from retrain_pipeline.records.status import ModelStatus
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores
    from retrain_pipeline.triggers.horizons import Horizon
    from retrain_pipeline.triggers.report_card import CardRow

STYLE = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow"}
# Every period is monitored; in a history the quiet ones would hide the rest.
QUIET_ACTIONS = (
    "candidate_built", "champion_watched", "profiled", "alerted", "training_set_frozen", "retrain_requested",
    "recorded", "documents_looked_at",
)  # fmt: skip


PERSON_KEY = "RETRAIN_PERSON_KEY"
"""Environment variable: the file of the private key of whoever types."""


def actor() -> str:
    """Return who types, for the record: the owner of their key, where it is in the keyring; else the account.

    The account is the system's word, not that of LOGNAME or USER, which anybody can set.
    """
    from retrain_pipeline.ledger.keyring import FILE, policy_folder, read_keyring

    if (key := person_key()) is not None:
        known = read_keyring(policy_folder() / FILE).find(key.id)
        if known is not None:
            return known.owner
    try:
        return f"person:{pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:  # no such user in this container
        return "person:unknown"


def person_key(file: Path | None = None) -> "SigningKey | None":
    """Return the key of whoever types: of the file, or of RETRAIN_PERSON_KEY; None where there is neither."""
    from retrain_pipeline.ledger.signing import SigningKey

    path = file or os.environ.get(PERSON_KEY, "")
    return SigningKey(Path(path)) if path else None


def verdict_text(verdict: str | None) -> str:
    """Return a verdict with its colour; no verdict is a dash."""
    return f"[{STYLE.get(verdict, 'white')}]{verdict}[/]" if verdict else "—"


def number(value: float | None) -> str:
    """Return a number with four significant digits; none is a dash."""
    return f"{value:.4g}" if value is not None else "—"


def day(moment: str | None) -> str:
    """Return the date of an ISO time."""
    return moment[:10] if moment else "—"


def show_status(console: Console, stores: "Stores") -> None:
    """Print a line a model, under a banner for each override that nobody has reviewed."""
    from retrain_pipeline.records.status import status
    from retrain_pipeline.release.overrides import banner

    for line in banner(stores.ledger):
        console.print(f" {line} ", style="bold white on red", markup=False, highlight=False)
    found = status(stores)
    if not found:
        console.print("The ledger knows no model yet. `make demo` shows one; `retrain play MODEL` starts yours.")
        return
    monitored = stores.ledger.latest_by_model("monitored")
    table = Table(title="Models", title_justify="left")
    for column in ("model", "champion", "as of", "loss", "monitored", "monitoring", "last judgement", "last entry"):
        table.add_column(column, overflow="fold")
    for one in found:
        newest = monitored.get(one.model)
        table.add_row(
            one.model + _beside(one),
            (one.champion or "[yellow]nobody yet[/]") + (f"\n[cyan]{one.on_trial}[/]" if one.on_trial else ""),
            day(one.as_of),
            f"{number(one.validated_loss)} {one.metric or ''}",
            day(newest.payload["as_of"]) if newest else "—",
            verdict_text(newest.payload["verdict"] if newest else None),
            verdict_text(one.last_verdict),
            f"{one.last_action} {day(one.last_at_utc)}",
        )
    console.print(table)


def _beside(one: "ModelStatus") -> str:
    return f"\n[dim]lane of {one.lane_of}{', ended' if one.ended else ''}[/]" if one.lane_of else ""


def show_history(console: Console, stores: "Stores", model: str) -> None:
    """Print what happened to a model, leaving out periods in which nothing changed."""
    from retrain_pipeline.records.history import history

    table = Table(title=f"History of {model}", title_justify="left")
    for column in ("#", "as of", "what", "about", "in words", "who"):
        table.add_column(column, overflow="fold")
    verdict = None
    for event in history(stores, model):
        if event.action in QUIET_ACTIONS:
            continue
        words = event.words
        if event.action == "monitored":
            if event.payload["verdict"] == verdict:
                continue
            verdict = event.payload["verdict"]
            words = f"monitoring turned {verdict}"
        table.add_row(
            str(event.seq),
            day(event.payload.get("as_of")),
            event.action,
            event.subject or "",
            escape(words),
            event.actor,
        )
    console.print(table)


def show_report_card(console: Console, stores: "Stores", spec: "ModelSpec") -> None:
    """Print what came of the retrains that each policy asked for."""
    from retrain_pipeline.triggers.report_card import HEADER, report_card

    rows = report_card(stores.ledger, spec)
    if not rows:
        console.print(f"{spec.name}: no retrain was judged against a champion yet, so there is none to score.")
        return
    _print_cells(console, f"Retrains of {spec.name}; saved and cost in {_unit(spec)}", HEADER, rows)


def show_horizons(console: Console, stores: "Stores", spec: "ModelSpec") -> None:
    """Print the lift, steadiness and upkeep of each release, 30, 60 and 90 days on."""
    from retrain_pipeline.triggers.horizons import HEADER, horizons

    rows = horizons(stores, spec)
    if not rows:
        console.print(f"{spec.name}: no release replaced a champion yet.")
        return
    _print_cells(console, f"Releases of {spec.name}, days on; lift and upkeep in {_unit(spec)}", HEADER, rows)


def _unit(spec: "ModelSpec") -> str:
    return "one period's mean loss" + (", as a share of the label" if spec.data.label.task == "regression" else "")


def _print_cells(console: Console, title: str, header: Sequence[str], rows: "Sequence[CardRow | Horizon]") -> None:
    table = Table(title=title, title_justify="left")
    for column in header:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row.cells()))
    console.print(table)


def _turns_on(evidence: "Evidence") -> str:
    return "; ".join(f"{one.gate} ({one.words})" for one in evidence.turning) or "no gate with a margin"


def show_explanation(console: Console, stores: "Stores", model: str, version: str) -> None:
    """Print the story of a version."""
    from retrain_pipeline.records.history import explain

    story = explain(stores, model, version)
    console.print(f"[bold]{escape(model)} {escape(version)}[/bold]")
    console.print(f"  why      {story.why}", markup=False, highlight=False)
    console.print(f"  judged   {story.judged}", markup=False, highlight=False)
    console.print(f"  serves   {story.serves}", markup=False, highlight=False)
    console.print(f"  verdict  {verdict_text(story.verdict)}")
    if story.found is not None:
        console.print(f"  turns on {_turns_on(story.found)}", markup=False, highlight=False)
        console.print(f"  budget   {story.found.budget.words()}", markup=False, highlight=False)
        if (beside := story.found.anchored) is not None:
            told = (
                f"candidate not worse {beside.candidate.verdict}, it better than the champion {beside.champion.verdict}"
            )
            console.print(f"  anchor   {story.found.anchor}: {told}", markup=False, highlight=False)
        if story.found.escalation is not None:
            called = ", ".join(story.found.escalation.called) or "nothing"
            console.print(f"  second   called for by {called}", markup=False, highlight=False)
    if story.halted:
        console.print(f"  [bold red]halted[/]   {escape(story.halted)}", highlight=False)
    console.print(f"  replayed {story.replayed}", markup=False, highlight=False)
    if story.gates:
        table = Table()
        for column in ("gate", "verdict", "in words"):
            table.add_column(column, overflow="fold")
        for gate in story.gates:
            table.add_row(gate.gate, verdict_text(gate.verdict), escape(gate.words))
        console.print(table)
    if story.evidence:
        console.print(f"evidence {story.evidence}", markup=False, highlight=False)
