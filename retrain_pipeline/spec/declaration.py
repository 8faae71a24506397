"""Reading a team's folder: `defs.yaml` typed, `features.py` and `decisions/` in place; or all that is wrong with it.

A model's `defs.yaml` is of the type `RetrainedModel`, that of a lane beside it of the type `Lane`.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from retrain_pipeline.lanes import Lane, lane_name
from retrain_pipeline.spec.errors import DeclarationRefused, Problem, YamlRefused
from retrain_pipeline.spec.explain import ATTRIBUTES, nearest_word, path_in, problem_at, problems_of, unknown_key
from retrain_pipeline.spec.lanes import KEYS, laid_over, lane_problems
from retrain_pipeline.spec.model import FORMAT, Features, ModelSpec
from retrain_pipeline.spec.yaml import Document, YamlPath, read_yaml_file

__all__ = ["COMPONENT", "FILE", "LANE", "Declaration", "DeclarationRefused", "Problem"]
__all__ += ["declaration_of", "declared_name", "is_declaration", "other_components", "read_all", "read_declaration"]

FILE = "defs.yaml"
COMPONENT = "retrain_pipeline.components.RetrainedModel"
LANE = "retrain_pipeline.components.Lane"
_TYPE = re.compile(r"""^type:[ \t]*["']?([^\s"'#]+)""", re.MULTILINE)
_TOP_KEYS = ("type", ATTRIBUTES, "requirements", "post_processing", "template_vars_module")  # Dagster's


@dataclass(frozen=True)
class Declaration:
    """A model as its team declared it: the typed values, the folder of its code and the file that says so."""

    spec: ModelSpec
    folder: Path
    file: Path
    lane: Lane | None = None
    """Of a lane: whose it is. Its folder is the model's where it has no features of its own."""


def is_declaration(kind: object) -> bool:
    """Return whether a `type` is that of a model or lane. The last part decides: a package may offer it as its own."""
    return isinstance(kind, str) and kind.endswith((".RetrainedModel", ".Lane"))


def other_components(file: Path) -> tuple[str, ...]:
    """Return the types in a `defs.yaml` that is not ours to judge: Dagster allows any component in the defs folder.

    A type that is ours, or a misspelt one, makes the whole file ours: nothing is returned.
    """
    kinds = tuple(_TYPE.findall(file.read_text("utf-8", errors="replace"))) if file.is_file() else ()
    return () if any(_is_meant_as_ours(kind) for kind in kinds) else kinds


def _is_meant_as_ours(kind: str) -> bool:
    package, dot, name = kind.rpartition(".")
    ours, _, model = COMPONENT.rpartition(".")
    return not dot or package == ours or is_declaration(kind) or bool(get_close_matches(name, [model], cutoff=0.85))


def declared_name(document: Document) -> str:
    """Return the name that a file declares: of a lane with that of its model before it."""
    name = document.at((ATTRIBUTES, "name"))
    return lane_name(document.at((ATTRIBUTES, "of")), name) if _is_lane(document) else str(name)


def _is_lane(document: Document) -> bool:
    return str(document.at(("type",))).endswith(".Lane")


def read_declaration(folder: Path) -> Declaration:
    """Return the declaration in a model's folder.

    Nothing is imported or executed: the feature function is looked up in the syntax tree of its file.

    Raises
    ------
    DeclarationRefused
        With every problem of the file and of the folder.
    """
    declaration, _ = _read(folder)
    return declaration


def declaration_of(attributes: Mapping[str, Any], file: Path) -> Declaration:
    """Return the declaration of values that are already plain Python, as they stand under ``attributes`` of `file`.

    Problems have no line then, and an unquoted ``1.10`` is no text any more: `read_declaration` tells and reads better.

    Raises
    ------
    DeclarationRefused
        As `read_declaration`.
    """
    return _declared(Document(dict(attributes), {}, {}), (), file, [])


def read_all(models_folder: Path) -> tuple[list[Declaration], list[DeclarationRefused]]:
    """Return the declarations of all model folders by folder name, and the refusals: a bad file does not hide others.

    A model folder is one that holds `defs.yaml` or `features.py`; one whose `defs.yaml` is of other components
    (`other_components`) is passed over. A name that two files declare is a problem of both.
    """
    read: list[tuple[Declaration, Document]] = []
    refused: list[DeclarationRefused] = []
    folders = sorted(models_folder.iterdir()) if models_folder.is_dir() else []
    for folder in folders:
        if other_components(folder / FILE):
            continue
        if (folder / FILE).is_file() or (folder / "features.py").is_file():
            try:
                read.append(_read(folder))
            except DeclarationRefused as refusal:
                refused.append(refusal)
    accepted = []
    for declaration, document in read:
        twins = [other.file.parent.name for other, _ in read if other.spec.name == declaration.spec.name]
        if len(twins) == 1:
            accepted.append(declaration)
            continue
        others = ", ".join(f"{twin}/{FILE}" for twin in twins if twin != declaration.file.parent.name)
        words = f"expected a name of its own: {others} has it too"
        problem = problem_at(document, (ATTRIBUTES, "name"), words, repr(declaration.spec.name))
        refused.append(DeclarationRefused(declaration.file, [problem]))
    return accepted, sorted(refused, key=lambda refusal: refusal.file)


def _read(folder: Path) -> tuple[Declaration, Document]:
    file = folder / FILE
    if not file.is_file():
        raise DeclarationRefused(file, [Problem("", 0, 0, None, f"missing: a model's folder holds a {FILE}")])
    try:
        document = read_yaml_file(file)
    except YamlRefused as error:
        refusals = [Problem("", refusal.line, refusal.column, None, refusal.words) for refusal in error.refusals]
        raise DeclarationRefused(file, refusals) from error
    problems = _top_problems(document)
    if not isinstance(document.at((ATTRIBUTES,)), Mapping):
        raise DeclarationRefused(file, problems)
    if _is_lane(document):
        return _lane(document, file, problems), document
    return _declared(document, (ATTRIBUTES,), file, problems), document


def _lane(document: Document, file: Path, problems: list[Problem]) -> Declaration:
    """Return the declaration of a lane, laid over that of the model beside whose folder it lies."""
    problems = [*problems, *lane_problems(document)]
    of, found = document.at((ATTRIBUTES, "of")), None
    if isinstance(of, str):
        try:
            found = _model_beside(of, file)
        except DeclarationRefused as refusal:
            words = f"its model is refused itself: mend {refusal.file.parent.name}/{FILE} first"
            problems.append(problem_at(document, (ATTRIBUTES, "of"), words, repr(of)))
        else:
            if found is None:
                known = sorted(_names_of(_files_beside(file)))
                words = f"expected {KEYS['of']}, of a folder beside this one: {', '.join(known) or 'there is none'}"
                near = nearest_word(of, known)
                problems.append(problem_at(document, (ATTRIBUTES, "of"), words, repr(of), near))
    if found is None:
        raise DeclarationRefused(file, problems)
    model, theirs = found
    folder = file.parent if document.at((ATTRIBUTES, "features")) is not None else model.folder
    declared = _declared(laid_over(document, theirs), (ATTRIBUTES,), file, problems, folder)
    why = " ".join(str(document.at((ATTRIBUTES, "why"))).split())
    return replace(declared, lane=Lane(declared.spec.name, model.spec.name, why))


def _model_beside(name: str, file: Path) -> tuple[Declaration, Document] | None:
    # the folder of its name first: a fleet has hundreds of files to read
    near = [other for other in _files_beside(file) if other.parent.name == name]
    folder = _names_of(near).get(name) or _names_of(_files_beside(file)).get(name)
    return None if folder is None else _read(folder)


def _files_beside(file: Path) -> list[Path]:
    return sorted(file.parent.parent.glob(f"*/{FILE}"))


def _names_of(files: Sequence[Path]) -> dict[str, Path]:
    """Return the folders of the models among these files, by name."""
    found = {}
    for other in files:
        try:
            document = read_yaml_file(other)
        except YamlRefused:
            continue
        if is_declaration(document.at(("type",))) and not _is_lane(document):
            found[declared_name(document)] = other.parent
    return found


def _top_problems(document: Document) -> list[Problem]:
    if not isinstance(document.value, Mapping):
        return [problem_at(document, (), f"expected a mapping with type: {COMPONENT} and attributes")]
    problems = [unknown_key(document, (key,), _TOP_KEYS) for key in document.value if key not in _TOP_KEYS]
    kind = document.at(("type",))
    if not is_declaration(kind):
        found = None if kind is None else f"{kind!r:.80}"
        problems.append(problem_at(document, ("type",), f"expected {COMPONENT}", found))
    if not isinstance(document.at((ATTRIBUTES,)), Mapping):
        problems.append(problem_at(document, (ATTRIBUTES,), "expected a mapping: the declaration of the model"))
    return problems


def _declared(
    document: Document, above: YamlPath, file: Path, problems: list[Problem], folder: Path | None = None
) -> Declaration:
    folder = folder or file.parent
    if (newer := _newer_format(document, (*above, "format"))) is not None:
        raise DeclarationRefused(file, [*problems, newer])
    problems = [*problems, *_folder_problems(document, (*above, "features"), folder)]
    try:
        spec = _validated(document, above)
    except ValidationError as error:
        raise DeclarationRefused(file, [*problems, *problems_of(error, document, above)]) from error
    if problems:
        raise DeclarationRefused(file, problems)
    return Declaration(spec, folder, file)


def _newer_format(document: Document, path: YamlPath) -> Problem | None:
    """Return the one problem of a file for a later release: what else seems wrong with it says nothing."""
    found = document.at(path)
    if isinstance(found, int) and found > FORMAT:
        words = f"this release reads format {FORMAT}: upgrade retrain_pipeline, or declare the model in format {FORMAT}"
        return problem_at(document, path, words, str(found))
    return None


def _validated(document: Document, above: YamlPath) -> ModelSpec:
    """Return the typed declaration.

    Pydantic validates JSON in strict mode: lists become tuples and texts dates, but text never becomes a number, nor a
    number or boolean text. Where text is expected and the file has an unquoted ``1.10`` or ``true``, what is meant is
    what is spelled, and only the file knows the spelling: the first pass says where, the second gets the text.
    """
    attributes = json.dumps(document.at(above), default=_date_as_text)
    try:
        return ModelSpec.model_validate_json(attributes, strict=True)
    except ValidationError as error:
        locations = [details["loc"] for details in error.errors() if details["type"] == "string_type"]
        paths = [path_in(document, above, location) for location in locations]
        spelled = {path: place.text for path in paths if (place := document.values.get(path)) and place.text}
        if not any(isinstance(document.at(path), int | float) for path in spelled):
            raise
    values = json.loads(attributes)
    for path, text in spelled.items():
        *parents, last = path[len(above) :]
        holder = values
        for step in parents:
            holder = holder[step]
        if isinstance(holder[last], int | float):  # booleans too; a null is not text
            holder[last] = text
    return ModelSpec.model_validate_json(json.dumps(values), strict=True)


def _date_as_text(value: Any) -> str:
    if isinstance(value, date):  # another YAML reader than ours may have made one
        return value.isoformat()
    raise TypeError(f"a declaration cannot hold a {type(value).__name__}")


def _folder_problems(document: Document, path: YamlPath, folder: Path) -> list[Problem]:
    problems = []
    # of a lane `why` says it
    if not _is_lane(document) and not any(entry.is_file() for entry in (folder / "decisions").glob("*.md")):
        words = "decisions/: expected at least one Markdown file that says why the model is as it is"
        problems.append(Problem("", 0, 0, None, words))
    dotted = document.at(path)
    if isinstance(dotted, Mapping):
        path = (*path, "build")
        dotted = document.at(path)
    if dotted is None:
        dotted = Features().build
    if isinstance(dotted, str) and all(part.isidentifier() for part in dotted.split(".")) and "." in dotted:
        problems.extend(_function_problems(document, path, folder, dotted))
    return problems


def _function_problems(document: Document, path: YamlPath, folder: Path, dotted: str) -> list[Problem]:
    """Return why the named function cannot be had from the folder's Python file, without running it."""
    module, _, function = dotted.rpartition(".")
    name = f"{module.replace('.', '/')}.py"
    if not (folder / name).is_file():
        return [problem_at(document, path, f"there is no {name} in {folder.name}/", repr(dotted))]
    try:
        tree = ast.parse((folder / name).read_bytes(), filename=name)
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        return [problem_at(document, path, f"{name}{line} is not Python: {error.args[0]}", repr(dotted))]
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    if function in functions:
        return []
    words = f"{name} defines {', '.join(functions) or 'no function'}"
    return [problem_at(document, path, words, repr(dotted), nearest_word(function, functions))]
