"""`retrain docs verify` and `retrain docs diff`: answers as a table, as JSON, as an exit code; changes as Markdown."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from retrain_pipeline.cli import places
from retrain_pipeline.cli.places import NotFound, all_declarations, declaration_named, open_state
from retrain_pipeline.cli.show import verdict_text
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.verify import Verified
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

CODES = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 3}
"""Exit codes by the verdict over all."""
_VERSION = re.compile(r"\d{8}-[0-9a-f]{8}")


def show_verification(
    console: Console,
    models: Sequence[str],
    home: Path | None,
    *,
    as_of: datetime | None,
    portal: Path | None,
    json_file: Path | None,
    allowed: Sequence[str],
    folder: Path | None,
    declared: bool,
) -> int:
    """Verify what is written about models, print it, and return the exit code.

    Raises
    ------
    NotFound
        When a model or the portal is not there.
    NoSuchCheck
        When a name in `allowed` is of no check.
    """
    from retrain_pipeline.canonical import canonical_json
    from retrain_pipeline.files import write_whole
    from retrain_pipeline.records.truth.context import Context
    from retrain_pipeline.records.truth.verify import CHECKS, Verified, verify

    if portal is not None and not portal.is_dir():
        raise NotFound(f"{portal}: there is no such folder; build it: retrain portal build")
    moment = as_of.replace(tzinfo=UTC) if as_of is not None and as_of.tzinfo is None else as_of
    checks = tuple(check for check in CHECKS if check.declared) if declared else CHECKS
    found = list[Verified]()
    for declaration in _declarations(models, folder):
        with _stores(declaration, home, declared) as stores:
            found.append(verify(Context(stores, declaration, moment, portal=portal), checks))
        _show(console, found[-1])
    verdict = worst(one.verdict_allowing(allowed) for one in found)
    if json_file is not None:
        document = {"verdict": verdict.value, "models": [one.document() for one in found]}
        write_whole(json_file.absolute(), canonical_json(document) + b"\n")
    console.print(f"{len(found)} model(s): {verdict_text(verdict.value)}", highlight=False)
    return CODES[verdict]


def _declarations(models: Sequence[str], folder: Path | None) -> list["Declaration"]:
    if models and folder is None:
        return [declaration_named(model) for model in models]
    accepted, refused = all_declarations(folder)
    if refused:
        raise refused[0]
    named = [one for one in accepted if not models or one.spec.name in models]
    if missing := sorted(set(models) - {one.spec.name for one in named}):
        raise NotFound(f"no model named {', '.join(missing)} under {folder}")
    return named


@contextmanager
def _stores(declaration: "Declaration", home: Path | None, declared: bool) -> Iterator["Stores"]:
    """Give the stores; empty ones where only files are asked, so that no answer comes from somewhere else."""
    from retrain_pipeline.stores import open_stores

    if not declared:
        yield open_state(home, declaration.lane)
        return
    with tempfile.TemporaryDirectory(prefix="retrain-declared-") as empty:
        stores = open_stores(empty)
        try:
            yield stores
        finally:
            stores.close()


def _show(console: Console, verified: "Verified") -> None:
    table = Table(title=f"{verified.model}: is what is written true?", title_justify="left")
    for column in ("#", "check", "verdict", "what was found"):
        table.add_column(column, overflow="fold")
    for one in verified.answers:
        told = [finding.told() for finding in one.problems]
        lines = [one.words] if len(told) < 2 else [f"{len(told)} of {len(one.findings)}:", *told[:10]]
        if len(told) > 10:
            lines.append(f"… and {len(told) - 10} more; --json has all")
        number, name = str(one.check.number), one.check.name
        table.add_row(number, name, verdict_text(one.verdict.value), escape("\n".join(lines)))
    console.print(table)


def docs_diff(base: str, head: str | None, model: str | None, folder: Path | None, home: Path | None) -> str:
    """Return what changes in the documents between two revisions of the repository, or two versions of a model.

    Raises
    ------
    NotFound, NoSuchRevision
        When the model, a version or a revision is not there.
    """
    from retrain_pipeline.records.comment import ModelChange, as_comment, changes, declared_change
    from retrain_pipeline.records.revisions import declared_at

    if model is not None and _VERSION.fullmatch(base):
        if head is None:
            raise NotFound(f"{base} is a version: give the one to compare it with, too")
        stores, declaration = _opened(model, home)
        before, after = (_card(stores, declaration, version) for version in (base, head))
        moved = changes(before, after)
        return as_comment(f"{model}: from {base} to {head}", [ModelChange(model, moved)] if moved else [])
    place = (folder or places.DEFS).absolute()
    old, new = declared_at(place, base), declared_at(place, head)
    names = sorted({*old, *new}) if model is None else [model]
    if model is not None and model not in old and model not in new:
        raise NotFound(f"no model named {model!r:.80} in either revision")
    found = (declared_change(name, old.get(name), new.get(name)) for name in names)
    title = f"What is declared, from {base} to {head or 'the work tree'}"
    return as_comment(title, [one for one in found if one is not None])


def _opened(model: str, home: Path | None) -> tuple["Stores", "Declaration"]:
    declaration = declaration_named(model)
    return open_state(home, declaration.lane), declaration


def _card(stores: "Stores", declaration: "Declaration", version: str) -> dict[str, Any]:
    """Return a version's card as it is on record, else as it would be written now."""
    from retrain_pipeline.records.card import write_card
    from retrain_pipeline.records.truth.context import Context

    known = Context(stores, declaration, only=(version,)).cards
    return known[version].document if version in known else write_card(stores, declaration, version).document
