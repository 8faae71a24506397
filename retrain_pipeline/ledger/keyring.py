"""The keyring: the public keys that a project believes, in a JSON file that is reviewed like code."""

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from retrain_pipeline.canonical import NotCanonical, parse_json
from retrain_pipeline.files import write_whole
from retrain_pipeline.ledger.errors import KeyRefused
from retrain_pipeline.ledger.signing import PublicKey
from retrain_pipeline.names import check_name
from retrain_pipeline.strict import Strict

POLICY_VARIABLE = "RETRAIN_POLICY"
"""Environment variable: the folder of `keyring.json` and `roles.yaml`. Default: the project's `defs`."""
FILE = "keyring.json"

_KEY_BYTES = 32
_TEXT = r"^[ -~]{1,200}$"


class _Key(Strict):
    name: str
    owner: Annotated[str, Field(pattern=_TEXT)]
    public: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]
    signs_from: int | None = Field(None, ge=1)


class _File(Strict):
    schema_: Literal["keyring/1"] = Field("keyring/1", alias="schema", serialization_alias="schema")
    keys: tuple[_Key, ...]


@dataclass(frozen=True)
class Keyring:
    """Public keys by id."""

    keys: tuple[PublicKey, ...] = ()

    def find(self, key_id: str) -> PublicKey | None:
        """Return the key of an id."""
        return next((key for key in self.keys if key.id == key_id), None)

    def named(self, name: str) -> PublicKey | None:
        """Return the key of a name."""
        return next((key for key in self.keys if key.name == name), None)

    @property
    def signs_from(self) -> int | None:
        """The entry from which on the ledger is signed, as far as the keyring knows."""
        return min((key.signs_from for key in self.keys if key.signs_from is not None), default=None)


def policy_folder() -> Path:
    """Return the folder of the project's keyring and roles.

    Raises
    ------
    KeyRefused
        When RETRAIN_POLICY names no folder: a name misspelt must not mean that everybody may do everything.
    """
    given = os.environ.get(POLICY_VARIABLE, "")
    if given and not Path(given).is_dir():
        raise KeyRefused(f"{POLICY_VARIABLE} is {given!r:.200}, and there is no such folder; make it, or name another")
    return Path(given) if given else Path(__file__).parents[1] / "defs"


def read_keyring(file: Path) -> Keyring:
    """Return the keyring of a file; a file that is not there is an empty keyring.

    Raises
    ------
    KeyRefused
        When the file is no keyring, or two keys share a name or their bytes.
    """
    try:
        found = _File.model_validate(parse_json(file.read_bytes()), strict=False)
    except FileNotFoundError:
        return Keyring()
    except OSError as error:
        raise KeyRefused(f"{file}: {error.strerror}; mend its permissions") from error
    except (NotCanonical, UnicodeDecodeError) as error:
        raise KeyRefused(f"{file}: {error}; take the version of the last commit") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise KeyRefused(f"{file}: {where}: {problem['msg']}; take the version of the last commit") from error
    keys = tuple(
        PublicKey(check_name(one.name, "key"), one.owner, base64.b64decode(one.public), one.signs_from)
        for one in found.keys
    )
    for what, values in (("name", [key.name for key in keys]), ("public key", [key.id for key in keys])):
        if len(set(values)) != len(values):
            raise KeyRefused(f"{file}: two keys share a {what}; leave one of them out")
    return Keyring(keys)


def write_keyring(file: Path, keyring: Keyring) -> None:
    """Write a keyring, whole; one key a block, so that a review sees what is new."""
    keys = [
        {"name": key.name, "owner": key.owner, "public": base64.b64encode(key.public).decode()}
        | ({} if key.signs_from is None else {"signs_from": key.signs_from})
        for key in keyring.keys
    ]
    text = json.dumps({"schema": "keyring/1", "keys": keys}, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(file, text.encode() + b"\n")
