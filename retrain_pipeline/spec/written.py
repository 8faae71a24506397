"""Files that people write beside a declaration: strict YAML of a schema, every mistake named at once."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from retrain_pipeline.canonical import canonical_json
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.spec.errors import YamlRefused
from retrain_pipeline.spec.predicate import PredicateRefused, parse_predicate
from retrain_pipeline.spec.yaml import read_yaml_file
from retrain_pipeline.strict import Strict

T = TypeVar("T", bound=Strict)


def read_written(file: Path, kind: type[T], refused: type[PermanentError]) -> T | None:
    """Return what a file says; None when there is none.

    Raises
    ------
    PermanentError
        Of the type `refused`, with every place in the file that is wrong.
    """
    if not file.is_file():
        return None
    try:
        return kind.model_validate_json(canonical_json(read_yaml_file(file).value), strict=True)
    except YamlRefused as error:
        raise refused(f"{file.name}: {error}") from error
    except ValidationError as error:
        told = [f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in error.errors()]
        raise refused(f"{file.name}: {'; '.join(told)}; docs/audit.md shows one") from error


def reads(predicate: str | None) -> str | None:
    """Return the text of a predicate if it is one: for validators.

    Raises
    ------
    ValueError
        When it is none.
    """
    if predicate is not None:
        try:
            parse_predicate(predicate)
        except PredicateRefused as error:
            raise ValueError(str(error)) from error
    return predicate


def twice(names: list[str]) -> list[str]:
    """Return the names that are given more than once, sorted."""
    return sorted({name for name in names if names.count(name) > 1})
