"""`retrain bundle`: a version with all that speaks for it in one file, for an audit or for a store that lost bytes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrain_pipeline.cli.common import Home, Model, console, refusals_told

if TYPE_CHECKING:
    from retrain_pipeline.records.bundle.verify import Verified

bundle_app = typer.Typer(no_args_is_help=True, help="A version with all that speaks for it, in one file.")
File = Annotated[Path, typer.Argument(help="A bundle.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print canonical JSON.")]


@bundle_app.command()
def export(
    model: Model,
    version: Annotated[str | None, typer.Argument(help="The version. Default: the champion.")] = None,
    to: Annotated[Path | None, typer.Option(help="The file. Default: MODEL-VERSION.bundle.zip, here.")] = None,
    home: Home = None,
) -> None:
    """Write the bundle of a version: model, evidence, records, decisions, code, environment, pages to read."""
    import warnings

    from retrain_pipeline.assets.graph import graph_of
    from retrain_pipeline.cli.places import NotFound, all_declarations, open_state
    from retrain_pipeline.records.bundle.export import export as write

    with refusals_told(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Dagster says of its own parameters when the graph is read
        stores = open_state(home)
        row = stores.ledger.deployment(model)
        if version is None and row is None:
            raise NotFound(f"{model}: nobody serves, so there is no champion to bundle; name a version")
        wanted = version or str(row.state["champion"] if row else None)
        graph = graph_of([one for one in all_declarations()[0] if one.spec.name == model])
        file = to or Path(f"{model}-{wanted}.bundle.zip")
        with console.status(f"bundling {model} {wanted}"):
            done = write(stores, model, wanted, file, graph=graph)
        size = file.stat().st_size / 2**20
        words = f"{file}: {len(done.bundle.inventory)} files, {size:.1f} MiB, bundle {done.bundle.bundle_id}"
        console.print(words, markup=False, highlight=False, soft_wrap=True)
        for one in done.bundle.absent:
            console.print(f"  not in it: {one.what}: {one.why}", markup=False, highlight=False, soft_wrap=True)
        signed = f"signed by key {done.signed_by}" if done.signed_by else "not signed: RETRAIN_LEDGER_KEY names no key"
        console.print(f"  {signed}", markup=False, highlight=False)


@bundle_app.command()
def verify(
    file: File,
    as_json: AsJson = False,
    allow_inconclusive: Annotated[
        list[str] | None, typer.Option(help="A check that may be unable to tell: signature, where nobody signs.")
    ] = None,
) -> None:
    """Look at a bundle, offline: exit with 0 when it is what it says, 1 when not, 3 when something cannot be told."""
    from retrain_pipeline.ledger.keyring import FILE as KEYRING
    from retrain_pipeline.ledger.keyring import policy_folder, read_keyring
    from retrain_pipeline.records.bundle.verify import verify as look
    from retrain_pipeline.verdicts import Verdict, worst

    with refusals_told():
        found = look(file, read_keyring(policy_folder() / KEYRING))
        _show(found, as_json)
        allowed = allow_inconclusive or ()
        verdict = worst(
            one.verdict for one in found.checks if one.verdict is not Verdict.INCONCLUSIVE or one.gate not in allowed
        )
        if verdict is not Verdict.PASS:
            raise typer.Exit(1 if verdict is Verdict.FAIL else 3)


@bundle_app.command()
def restore(file: File, home: Home = None) -> None:
    """Put the artifacts of a bundle back into a store that lost them; nothing else is written."""
    from retrain_pipeline.cli.places import open_state
    from retrain_pipeline.records.bundle.verify import restore as put_back

    with refusals_told():
        stores = open_state(home)
        verified, back = put_back(file, stores.ledger.keyring(), stores.artifacts)
        bundle = verified.bundle
        named = f"{bundle.model} {bundle.version}" if bundle else str(file)
        console.print(f"{named}: {len(back)} artifacts put back", markup=False, highlight=False)
        if bundle and stores.ledger.latest(bundle.model, "candidate_registered", bundle.version) is None:
            words = "this ledger does not know the version: bytes without an entry are no version, and serve nobody"
            console.print(f"  {words}", markup=False, highlight=False, soft_wrap=True)


def _show(found: "Verified", as_json: bool) -> None:
    from rich.table import Table

    from retrain_pipeline.canonical import canonical_json
    from retrain_pipeline.verdicts import Verdict

    if as_json:
        bundle = found.bundle.model_dump(mode="json", by_alias=True, exclude={"inventory"}) if found.bundle else None
        checks = [one.model_dump(mode="json") for one in found.checks]
        typer.echo(canonical_json({"bundle": bundle, "checks": checks}).decode())
        return
    if found.bundle is not None:
        console.print(
            f"{found.bundle.model} {found.bundle.version}: {found.bundle.role}", markup=False, highlight=False
        )
    table = Table("check", "verdict", "found")
    colours = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow"}
    for one in found.checks:
        table.add_row(one.gate, f"[{colours[one.verdict]}]{one.verdict}[/]", one.words.replace("[", r"\["))
    console.print(table)
