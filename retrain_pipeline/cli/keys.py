"""`retrain keys`: keys of people and machines, and the keyring that believes them."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrain_pipeline.cli.common import Because, Home, console, refusals_told
from retrain_pipeline.cli.places import open_state

if TYPE_CHECKING:
    from retrain_pipeline.ledger.signing import PublicKey, SigningKey

keys_app = typer.Typer(no_args_is_help=True, help="Keys that sign entries and approvals.")
Name = Annotated[str, typer.Argument(help="The key's name: a-z, 0-9, _ and -.")]


def _keyring_file() -> Path:
    from retrain_pipeline.ledger.keyring import FILE, policy_folder

    return policy_folder() / FILE


@keys_app.command()
def new(
    name: Name,
    owner: Annotated[str | None, typer.Option(help="The actor that it speaks for. Default: person:NAME.")] = None,
    to: Annotated[Path | None, typer.Option(help="The private key's file. Default: ~/.retrain/NAME.pem.")] = None,
    ledger: Annotated[bool, typer.Option(help="Begin to sign the ledger with it, now.")] = False,
    home: Home = None,
) -> None:
    """Make an Ed25519 key: the private half into a file of its own (0600), the public half into the keyring."""
    from retrain_pipeline.ledger.keyring import Keyring, read_keyring, write_keyring
    from retrain_pipeline.ledger.signing import PublicKey, new_private_key
    from retrain_pipeline.names import check_name

    with refusals_told():
        keyring, file = read_keyring(_keyring_file()), to or Path.home() / ".retrain" / f"{name}.pem"
        if keyring.named(check_name(name, "key")) is not None:
            raise _taken(name)
        key = new_private_key(file)
        public = PublicKey(name, owner or f"person:{name}", key.public)
        # Believed before it signs: a crash in between leaves a key without entries, not entries without a key.
        write_keyring(_keyring_file(), Keyring((*keyring.keys, public)))
        if ledger:
            public = replace(public, signs_from=_begin(key, name, home))
            write_keyring(_keyring_file(), Keyring((*keyring.keys, public)))
        console.print(f"private key: {file}", soft_wrap=True, highlight=False)
        console.print(f"public key {public.id} of {public.owner}: {_keyring_file()}", soft_wrap=True, highlight=False)
        use = "RETRAIN_LEDGER_KEY for every process that writes the ledger" if ledger else "RETRAIN_PERSON_KEY"
        console.print(f"commit the keyring in a reviewed change; set {use} to the private key's file", soft_wrap=True)


@keys_app.command(name="list")
def list_keys() -> None:
    """Show the keys of the keyring."""
    from rich.table import Table

    from retrain_pipeline.ledger.keyring import read_keyring

    with refusals_told():
        table = Table("name", "speaks for", "id", "ledger signed from entry")
        for key in read_keyring(_keyring_file()).keys:
            table.add_row(key.name, key.owner, key.id, str(key.signs_from or "—"))
        console.print(table)


@keys_app.command()
def retire(name: Name, because: Because, home: Home = None) -> None:
    """Believe no signature of a key from now on; what it signed before stays valid, so it stays in the keyring."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.governance.roles import check
    from retrain_pipeline.ledger.entries import NewEntry
    from retrain_pipeline.ledger.signatures import KEY_RETIRED

    with refusals_told():
        key = _known(name)
        ledger = open_state(home).ledger
        granted = check(ledger, actor(), "manage_keys", None, name)
        payload = {"because": because, "name": name, **granted.payload()}
        entry = ledger.append(NewEntry(actor(), KEY_RETIRED, subject=key.id, payload=payload))
        console.print(f"{name}: retired by entry {entry.seq}")


def _known(name: str) -> "PublicKey":
    from retrain_pipeline.ledger.errors import KeyRefused
    from retrain_pipeline.ledger.keyring import read_keyring

    keyring = read_keyring(_keyring_file())
    if (key := keyring.named(name)) is None:
        known = ", ".join(one.name for one in keyring.keys) or "none"
        raise KeyRefused(f"{name!r:.80}: not in {_keyring_file()}; there are: {known}")
    return key


def _taken(name: str) -> Exception:
    from retrain_pipeline.ledger.errors import KeyRefused

    return KeyRefused(f"{name!r:.80}: the keyring has a key of this name; give another")


def _begin(key: "SigningKey", name: str, home: Path | None) -> int:
    """Enter the first entry that the key signs, and return its place."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.governance.roles import check
    from retrain_pipeline.ledger.entries import NewEntry

    os.environ["RETRAIN_LEDGER_KEY"] = str(key.file)  # of this process: what it writes from here on is signed
    ledger = open_state(home).ledger
    granted = check(ledger, actor(), "manage_keys", None, name)
    return ledger.append(NewEntry(actor(), "signing_began", subject=key.id, payload=granted.payload())).seq
