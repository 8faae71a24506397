"""`retrain approve`, `dissent`, `override`, `review-override`, `accept-policy` and `release`: where people decide."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrain_pipeline.cli.common import Because, Home, Model, console, refusals_told
from retrain_pipeline.cli.places import NotFound, declaration_named, open_state

if TYPE_CHECKING:
    from retrain_pipeline.gates.evidence import Evidence
    from retrain_pipeline.release.approvals import Subject
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

Version = Annotated[str, typer.Argument(help="The version.")]
Key = Annotated[Path | None, typer.Option(help="Your private key's file. Default: RETRAIN_PERSON_KEY.")]


def add_approvals(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(approve)
    app.command(name="withdraw-approval")(withdraw_approval)
    app.command()(release)
    app.command()(dissent)
    app.command()(override)
    app.command(name="review-override")(review_override)
    app.command(name="accept-policy")(accept_policy)


def approve(
    model: Model,
    because: Because,
    version: Annotated[str | None, typer.Argument(help="The version.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Approve the model's change_plan.yaml instead.")] = False,
    expires_hours: Annotated[float | None, typer.Option(help="Default: 72; of a plan 2160 (90 days).")] = None,
    key: Key = None,
    home: Home = None,
) -> None:
    """Sign that a version may serve: bound to its bytes, its evidence, this environment and the policy, for a time."""
    from retrain_pipeline.cli.show import actor, person_key
    from retrain_pipeline.release.approvals import grant
    from retrain_pipeline.release.permits import subject_that_waits

    with refusals_told():
        declaration, stores = declaration_named(model), open_state(home)
        if plan == (version is not None):
            raise NotFound(f"{model}: give a version, or --plan")
        subject = _plan(declaration) if version is None else subject_that_waits(stores, declaration, version)
        hours = expires_hours if expires_hours is not None else (2160 if plan else 72)
        signer = person_key(key)
        entry = grant(stores.ledger, subject, actor=actor(), key=signer, because=because, expires_hours=hours)
        console.print(f"{model} {entry.subject}: approved by {entry.actor}, entry {entry.seq}")
        console.print(f"until {entry.payload['expires_at']}", highlight=False)
        if version is not None:
            console.print(f"now: retrain release {model} {version} (or materialize {model}/release)", soft_wrap=True)


def withdraw_approval(model: Model, version: Version, because: Because, key: Key = None, home: Home = None) -> None:
    """Take back what was approved of a version: it is not released by it, nor made champion at the end of a trial."""
    from retrain_pipeline.cli.show import actor, person_key
    from retrain_pipeline.release.approvals import withdraw_approval as take_back

    with refusals_told():
        ledger, signer = open_state(home).ledger, person_key(key)
        entry = take_back(ledger, model, version, actor=actor(), key=signer, because=because)
        console.print(f"{model} {version}: approvals are withdrawn by {entry.actor}, entry {entry.seq}")


def release(model: Model, version: Version, home: Home = None) -> None:
    """Make a judged version champion, if its evidence and, where it is asked for, an approval say so."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.records.truth.before_release import verify_before_release
    from retrain_pipeline.release.release import newest_evidence
    from retrain_pipeline.release.release import release as make_champion

    with refusals_told():
        declaration, stores = declaration_named(model), open_state(home)
        digest = newest_evidence(stores, model, version)
        verify_before_release(stores, declaration, actor=actor(), run_id=None)
        done = make_champion(stores, declaration, version, evidence_digest=digest, run_id=None, actor=actor())
        console.print(f"{model}: {done.words}", highlight=False)


def dissent(model: Model, version: Version, because: Because, home: Home = None) -> None:
    """Object to a version, for the record: the objection stays beside the decision, and no change plan covers it."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.release.dissent import dissent as object_to

    with refusals_told():
        entry = object_to(open_state(home).ledger, model, version, because=because, actor=actor())
        console.print(f"{model} {version}: objection {entry.seq} of {entry.actor} is on record")


def override(
    model: Model,
    version: Version,
    because: Because,
    expires_hours: Annotated[float, typer.Option(help="At most 72.")] = 4,
    key: Key = None,
    home: Home = None,
) -> None:
    """Break the glass: let a version through without an approval. Loud, short, and a second person reviews it."""
    from retrain_pipeline.cli.show import actor, person_key
    from retrain_pipeline.release.approvals import grant
    from retrain_pipeline.release.permits import override_subject

    with refusals_told():
        declaration, stores = declaration_named(model), open_state(home)
        digest, evidence = _evidence(stores, model, version)
        entry = grant(
            stores.ledger,
            override_subject(declaration, evidence, digest),
            actor=actor(),
            key=person_key(key),
            because=because,
            expires_hours=expires_hours,
        )
        words = f"{model} {version}: OVERRIDE by {entry.actor}, entry {entry.seq}, until {entry.payload['expires_at']}"
        console.print(words, style="bold white on red", highlight=False)
        console.print(f"a second person reviews it: retrain review-override {model} --because …", soft_wrap=True)


def review_override(
    model: Model,
    because: Because,
    entry: Annotated[int | None, typer.Option(help="The override's entry. Default: the oldest that waits.")] = None,
    key: Key = None,
    home: Home = None,
) -> None:
    """Say, as a second person, what you found about an override; until then `status` shows it in red."""
    from retrain_pipeline.cli.show import actor, person_key
    from retrain_pipeline.release.overrides import review

    with refusals_told():
        ledger = open_state(home).ledger
        done = review(ledger, model, entry, actor=actor(), key=person_key(key), because=because)
        console.print(f"{model}: override {done.payload['of_seq']} reviewed by {done.actor}")


def accept_policy(model: Model, because: Because, home: Home = None) -> None:
    """Accept what a model now declares of gates, success and rollout, where it differs from the last release."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.release.permits import accept_policy as accept

    with refusals_told():
        digest = accept(open_state(home), declaration_named(model), because, actor())
        console.print(f"{model}: policy {digest[:12]} is accepted")


def _evidence(stores: "Stores", model: str, version: str) -> "tuple[str, Evidence]":
    from retrain_pipeline.gates.evidence import read_evidence
    from retrain_pipeline.release.release import newest_evidence

    digest = newest_evidence(stores, model, version)
    return digest, read_evidence(stores.artifacts, digest)


def _plan(declaration: "Declaration") -> "Subject":
    from retrain_pipeline.release.change_plan import read_plan
    from retrain_pipeline.release.permits import plan_subject

    plan = read_plan(declaration.folder)
    if plan is None:
        raise NotFound(f"{declaration.spec.name}: there is no change_plan.yaml in {declaration.folder}")
    return plan_subject(declaration, plan)
