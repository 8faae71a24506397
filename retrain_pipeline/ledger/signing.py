"""Ed25519: private keys in files that only their owner reads, public keys in a keyring, statements bound to a purpose.

A signature covers the canonical JSON of a statement, its purpose and the id of the key (RFC 8032 over RFC 8785): a
signature of one purpose is none of another, and a statement cannot be said to be another key's.
"""

import base64
import binascii
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import canonical_json, sha256
from retrain_pipeline.ledger.errors import KeyRefused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ENTRY = "retrain ledger entry/1"
"""The purpose of the signature of an entry."""

_ID_DIGITS = 32


def key_id(public: bytes) -> str:
    """Return the id of a public key: the first 128 bits of its SHA-256, in hex."""
    return sha256(public)[:_ID_DIGITS]


@dataclass(frozen=True)
class PublicKey:
    """A key of the keyring: who it speaks for (`owner`, an actor), and its 32 bytes."""

    name: str
    owner: str
    public: bytes
    signs_from: int | None = None
    """From this entry on the ledger is signed, by this or other keys: known outside the ledger, so that a chain
    rewritten without signatures cannot pass for one that never had any."""

    @property
    def id(self) -> str:
        """The id of the key."""
        return key_id(self.public)

    def signed(self, purpose: str, statement: Mapping[str, Any], signature: str) -> bool:
        """Return whether the signature (base64) is this key's, of this statement, for this purpose."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            raw = base64.b64decode(signature, validate=True)
            Ed25519PublicKey.from_public_bytes(self.public).verify(raw, _message(purpose, statement, self.id))
        except (InvalidSignature, ValueError, binascii.Error):
            return False
        return True


class SigningKey:
    """A private key, read from its file at the first use and kept in this process only.

    Parameters
    ----------
    file
        PEM (PKCS 8, no passphrase), readable by its owner only.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._private: Ed25519PrivateKey | None = None

    def __repr__(self) -> str:
        return f"SigningKey({self.file})"

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return self._loaded().public_key().public_bytes_raw()

    @property
    def id(self) -> str:
        """The id of the key."""
        return key_id(self.public)

    def sign(self, purpose: str, statement: Mapping[str, Any]) -> str:
        """Return the signature of a statement for a purpose, in base64.

        Raises
        ------
        KeyRefused
            When the file is missing, is no Ed25519 key, or others may read it.
        """
        return base64.b64encode(self._loaded().sign(_message(purpose, statement, self.id))).decode()

    def _loaded(self) -> "Ed25519PrivateKey":
        if self._private is None:
            self._private = _read_private(self.file)
        return self._private


def new_private_key(file: Path) -> SigningKey:
    """Make a key and write it to a new file, 0600; a file that exists is never overwritten.

    Raises
    ------
    KeyRefused
        When the file exists or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from retrain_pipeline.files import private_folder, sync_folder

    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        private_folder(file.parent)
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
            out.write(pem)
            out.flush()
            os.fsync(out.fileno())
        sync_folder(file.parent)
    except OSError as error:
        raise KeyRefused(f"{file}: {error.strerror}; a key is written to a new file: give another name") from error
    return SigningKey(file)


def _read_private(file: Path) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        with file.open("rb") as opened:
            # Of the file that is read, not of what the name means a moment later.
            mode = os.fstat(opened.fileno()).st_mode
            if not stat.S_ISREG(mode) or mode & 0o077:
                words = f"mode {stat.S_IMODE(mode):04o}: others may read this private key; chmod 600 it"
                raise KeyRefused(f"{file}: {words}, and make a new one if they could")
            private = load_pem_private_key(opened.read(16384), password=None)
    except OSError as error:
        raise KeyRefused(f"{file}: {error.strerror}; `retrain keys new NAME` makes a key") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyRefused(f"{file}: no private key in PEM without a passphrase; `retrain keys new NAME`") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyRefused(f"{file}: not an Ed25519 key; `retrain keys new NAME` makes one")
    return private


def _message(purpose: str, statement: Mapping[str, Any], key: str) -> bytes:
    return canonical_json({"purpose": purpose, "key": key, "statement": dict(statement)})
