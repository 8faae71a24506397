"""`retrain ledger`: is the record whole, and the means to show it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrain_pipeline.cli.common import Because, Home, console, refusals_told
from retrain_pipeline.cli.places import open_state

if TYPE_CHECKING:
    from retrain_pipeline.triggers.reconcile import KnownRun

ledger_app = typer.Typer(no_args_is_help=True, help="The record of decisions.")
Repository = Annotated[Path, typer.Option(help="The git repository of the tags.")]


@ledger_app.command()
def verify(
    anchor: Annotated[list[Path] | None, typer.Option(help="A file of anchors; may be given again.")] = None,
    anchor_git: Annotated[bool, typer.Option(help="Compare with the anchors in git tags.")] = False,
    repository: Repository = Path(),
    home: Home = None,
) -> None:
    """Recompute the hash chain, signatures, deployment rows and anchors; exit with 1 if anything does not hold."""
    from retrain_pipeline.ledger.anchors import read_anchors, read_git_anchors

    with refusals_told():
        anchors = [one for file in anchor or () for one in read_anchors(file)]
        anchors += read_git_anchors(repository) if anchor_git else []
        found = open_state(home).ledger.verify(anchors=anchors)
        for problem in found.problems:
            console.print(problem, markup=False, style="red")
        for note in found.notes:
            console.print(note, markup=False, style="yellow")
        facts = f"{found.entries} entries, {found.signed} signed, {len(anchors)} anchors"
        console.print(f"{found.verdict.value}: {facts}, head {found.head_seq} {found.head_sha256[:16]}")
        if found.problems:
            raise typer.Exit(1)


@ledger_app.command()
def anchor(
    to: Annotated[Path | None, typer.Option(help="The file to append to; keep it off this machine.")] = None,
    git: Annotated[bool, typer.Option(help="Keep it in an annotated git tag; push the tag.")] = False,
    repository: Repository = Path(),
    home: Home = None,
) -> None:
    """Keep the head of the chain elsewhere: only that shows a cut-off end or a chain written anew."""
    from retrain_pipeline.ledger.anchors import anchor_to_file, anchor_to_git
    from retrain_pipeline.ledger.errors import AnchorRefused

    with refusals_told():
        ledger = open_state(home).ledger
        if to is None and not git:
            raise AnchorRefused("say where the anchor goes: --to FILE, --git, or both")
        if to is not None:
            kept = anchor_to_file(ledger, to)
            console.print(f"entry {kept.seq} {kept.sha256[:16]} is anchored in {to}", soft_wrap=True)
        if git:
            kept, tag = anchor_to_git(ledger, repository)
            console.print(f"entry {kept.seq} is anchored in tag {tag}; now: git push origin {tag}", soft_wrap=True)


@ledger_app.command()
def reconcile(
    check: Annotated[bool, typer.Option("--check", help="Close nothing; only say what does not add up.")] = False,
    close_unknown: Annotated[
        bool, typer.Option(help="Also close retrains whose run this Dagster does not know: no other shares the ledger.")
    ] = False,
    home: Home = None,
) -> None:
    """Compare the retrain runs that Dagster knows with the ledger; close those that died; exit with 1 if it differs."""
    import os

    import dagster as dg

    from retrain_pipeline.assets.endings import ending_of
    from retrain_pipeline.assets.reconcile import known_runs
    from retrain_pipeline.cli.places import NotFound
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.triggers.reconcile import reconcile as compare

    with refusals_told():
        if not os.environ.get("DAGSTER_HOME"):
            raise NotFound("DAGSTER_HOME is not set: without Dagster's own record there is nothing to compare with")
        ledger = open_state(home).ledger
        started = [entry.run_id for entry in ledger.entries(action="retrain_started") if entry.run_id]
        with dg.DagsterInstance.get() as instance:
            known = known_runs(instance, started)
            found = compare(
                ledger,
                known,
                actor(),
                close=not check,
                close_unknown=close_unknown,
                ending=lambda run_id: ending_of(instance, run_id),
            )
        for run_id in found.closed:
            console.print(f"{run_id}: ended without a verdict; closed", highlight=False)
        problems = [*found.problems, *_experiments(home, known, settled=not check)]
        for problem in problems:
            console.print(problem, markup=False, style="red")
        verdict = "FAIL" if problems else found.verdict.value
        console.print(f"{verdict}: {found.runs} retrains, {len(found.closed)} closed now")
        if problems:
            raise typer.Exit(1)


def _experiments(home: Path | None, known: "list[KnownRun]", *, settled: bool) -> list[str]:
    """Enter the records that are missing of every declared model, and return the runs without an experiment."""
    from retrain_pipeline.cli.places import all_declarations
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.records.reconciled import count_experiments
    from retrain_pipeline.records.settle import settle

    problems: list[str] = []
    for declaration in all_declarations()[0]:
        stores = open_state(home, declaration.lane)
        if settled:
            settle(stores, declaration, actor())
        problems += count_experiments(stores, declaration.spec.name, known).problems
    return problems


@ledger_app.command(name="end-signing")
def end_signing(because: Because, home: Home = None) -> None:
    """Enter, signed, that entries after this one need no signature; the next signed one begins it again."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.governance.roles import check
    from retrain_pipeline.ledger.entries import NewEntry
    from retrain_pipeline.ledger.errors import SignatureNeeded
    from retrain_pipeline.ledger.signatures import SIGNING_ENDED

    with refusals_told():
        ledger = open_state(home).ledger
        if ledger.signer is None:
            raise SignatureNeeded("the end of signing is itself signed: set RETRAIN_LEDGER_KEY")
        granted = check(ledger, actor(), "manage_keys", None)
        entry = ledger.append(NewEntry(actor(), SIGNING_ENDED, payload={"because": because, **granted.payload()}))
        console.print(f"entries after {entry.seq} need no signature")


@ledger_app.command(name="demo-tamper")
def demo_tamper(home: Home = None) -> None:
    """Attack copies of the ledger for real, one way after another, and show what catches each."""
    from retrain_pipeline.cli.tamper import show_attacks

    with refusals_told():
        if not show_attacks(console, open_state(home).ledger):
            raise typer.Exit(1)
