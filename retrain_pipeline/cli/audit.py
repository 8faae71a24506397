"""`retrain audit` and `retrain retire`: a look over the record, and taking out of it what serves no more."""

from pathlib import Path
from typing import Annotated

import typer

from retrain_pipeline.cli.common import Home, Model, console, refusals_told
from retrain_pipeline.cli.places import declaration_named, open_state


def add_audit(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command()(audit)
    app.command()(annex)
    app.command()(newcomer)
    app.command()(retire)
    app.command()(where)
    app.command(name="tests")(enter_test_run)


def audit(
    model: Model,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as canonical JSON.")] = False,
    home: Home = None,
) -> None:
    """Look over a model's record: reviews, references, citations, retention, who filled it in, personal data.

    Enters what was found; exits with 1 if a check fails.
    """
    from datetime import UTC, datetime

    from retrain_pipeline.canonical import canonical_json
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.records.audit.look import audit as look_over
    from retrain_pipeline.records.audit.page import page
    from retrain_pipeline.verdicts import Verdict

    with refusals_told():
        declaration = declaration_named(model)
        stores = open_state(home, declaration.lane)
        found = look_over(stores, declaration, today=datetime.now(UTC).date(), actor=actor())
        typer.echo(canonical_json(found.document()).decode() if as_json else page(found), nl=as_json)
        if any(one.verdict is Verdict.FAIL for one in found.checks):
            raise typer.Exit(1)


def annex(
    model: Model,
    as_json: Annotated[bool, typer.Option("--json", help="Print canonical JSON.")] = False,
    home: Home = None,
) -> None:
    """Show the index for Annex IV of the EU AI Act: each point generated, written by people, or missing."""
    from retrain_pipeline.canonical import canonical_json
    from retrain_pipeline.records.audit.annex import annex as index_of
    from retrain_pipeline.records.audit.annex import as_markdown, to_json
    from retrain_pipeline.records.audit.look import examined

    with refusals_told():
        declaration = declaration_named(model)
        points = index_of(examined(open_state(home, declaration.lane), declaration), declaration.folder)
        told = canonical_json(to_json(model, points)).decode() if as_json else as_markdown(model, points)
        typer.echo(told, nl=as_json)


def newcomer(
    model: Model,
    as_json: Annotated[bool, typer.Option("--json", help="Print canonical JSON.")] = False,
    home: Home = None,
) -> None:
    """Show what somebody new to a model reads first: summary, way through, questions, diagrams, words."""
    from retrain_pipeline.canonical import canonical_json
    from retrain_pipeline.records.newcomer import as_markdown
    from retrain_pipeline.records.newcomer import newcomer as document_of

    with refusals_told():
        declaration = declaration_named(model)
        document = document_of(open_state(home, declaration.lane), declaration)
        typer.echo(canonical_json(document).decode() if as_json else as_markdown(document), nl=as_json)


def enter_test_run(
    model: Model,
    report: Annotated[Path, typer.Argument(help="What `pytest --junit-xml=FILE` wrote.")],
    home: Home = None,
) -> None:
    """Enter a run of the tests on this commit: evidence for the ML Test Score."""
    from retrain_pipeline.cli.places import PACKAGE
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.learning.environment import code_revision
    from retrain_pipeline.records.test_runs import enter_tests

    with refusals_told():
        code, _ = code_revision(PACKAGE)
        entry = enter_tests(open_state(home), model, report.read_bytes(), code, actor=actor())
        console.print(f"{model}: tests of {entry.subject} are on record", highlight=False, soft_wrap=True)


def retire(
    model: Model,
    version: Annotated[str, typer.Argument(help="The version.")],
    why: Annotated[str, typer.Option(help="The reason, for the record.")],
    by: Annotated[str, typer.Option(help="Who decided it.")],
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the bytes of the model away, too; no other version has them.")
    ] = False,
    home: Home = None,
) -> None:
    """Retire a version: it serves no more, and a tombstone stands for it. Evidence, manifest and records stay."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.records.retirement import retire as bury

    with refusals_told():
        done = bury(open_state(home), model, version, why=why, by=by, actor=actor(), remove=remove)
        size = done.tombstone.document["size_bytes"]
        gone = f"; {size} bytes of its model are gone" if done.removed else ""
        words = f"{model} {version} is retired; tombstone {done.tombstone.digest}{gone}"
        console.print(words, markup=False, highlight=False, soft_wrap=True)


def where(
    model: Model,
    key: Annotated[list[str], typer.Option(help="COLUMN=VALUE of data.key; several narrow it down.")],
    home: Home = None,
) -> None:
    """Say which versions learned from, or were judged on, the rows of an entity: what a request to erase is about."""
    from retrain_pipeline.records.contained import where as versions_with

    with refusals_told():
        declaration = declaration_named(model)
        wanted = dict(one.partition("=")[::2] for one in key)
        rows, found = versions_with(open_state(home, declaration.lane), declaration.spec, wanted)
        console.print(f"{model}: {rows} rows with that key, in {len(found)} versions", highlight=False)
        for one in found:
            words = f"  {one.version} ({one.role}): learned from {one.learned}, judged on {one.judged}"
            console.print(f"{words}; training set {one.training_set}", markup=False, highlight=False, soft_wrap=True)
