"""Where the command line finds models, state and the shipped files."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.lanes import Lane, acting
from retrain_pipeline.spec.declaration import Declaration, DeclarationRefused, Problem, other_components, read_all

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

PACKAGE = Path(__file__).parent.parent
DEFS = PACKAGE / "defs"


class NotFound(PermanentError):
    """Something that the command line was asked for and that is not there."""


def shipped(name: str) -> Path:
    """Return a file that ships beside the package: at the top of a checkout, inside an installed wheel."""
    for folder in (PACKAGE.parent, PACKAGE):
        if (folder / name).is_file():
            return folder / name
    raise NotFound(f"{name}: neither in {PACKAGE.parent} nor in {PACKAGE}; install the package again")


def use_home(home: Path | None) -> Path:
    """Make `home` the place of all state of this process, and return it."""
    if home is not None:
        os.environ["RETRAIN_HOME"] = str(home)
    return Path(os.environ.get("RETRAIN_HOME", "data/state"))


def open_state(home: Path | None, lane: Lane | None = None) -> "Stores":
    """Open the three stores as Dagster's code would, of a lane those of the lane."""
    from retrain_pipeline.assets.resources import StoresResource

    use_home(home)
    with acting(lane):
        return StoresResource().open()


def all_declarations(folder: Path | None = None) -> tuple[list[Declaration], list[DeclarationRefused]]:
    """Return the declarations under a folder (by default the project's), however deep, and the refusals.

    A name that models of different parent folders share is refused for both, as Dagster would.

    Raises
    ------
    NotFound
        When there is no such folder.
    """
    folder = (DEFS if folder is None else folder).absolute()
    if not folder.is_dir():
        raise NotFound(f"{folder}: there is no such folder; give one that holds model folders")
    accepted: list[Declaration] = []
    refused: list[DeclarationRefused] = []
    for parent in sorted({file.parent.parent for file in folder.rglob("defs.yaml")}):
        good, bad = read_all(parent)
        accepted += [one for one in good if one.file.is_relative_to(folder)]
        refused += [one for one in bad if one.file.is_relative_to(folder)]
    twins = {one.file: others for one in accepted if (others := _namesakes(one, accepted))}
    refused += [_twin(file, others) for file, others in twins.items()]
    return [one for one in accepted if one.file not in twins], refused


def files_of_others(folder: Path) -> dict[Path, tuple[str, ...]]:
    """Return the `defs.yaml` files under a folder that declare other components than ours, with their types."""
    files = sorted(folder.absolute().rglob("defs.yaml"))
    return {file: kinds for file in files if (kinds := other_components(file))}


def _namesakes(one: Declaration, all_of_them: list[Declaration]) -> list[Declaration]:
    return [other for other in all_of_them if other.spec.name == one.spec.name and other.file != one.file]


def _twin(file: Path, others: list[Declaration]) -> DeclarationRefused:
    elsewhere = ", ".join(str(other.file) for other in others)
    words = f"expected a name of its own: {elsewhere} has it too"
    return DeclarationRefused(file, [Problem("name", 0, 0, repr(others[0].spec.name), words)])


def declaration_named(model: str) -> Declaration:
    """Return the declaration of a model.

    Raises
    ------
    NotFound
        With the models that there are; a model whose file is refused is told as that.
    """
    accepted, refused = all_declarations()
    for declaration in accepted:
        if declaration.spec.name == model:
            return declaration
    for refusal in refused:
        if refusal.file.parent.name == model:
            raise refusal
    known = sorted(d.spec.name for d in accepted)
    near = "".join(f"; did you mean {one!r}?" for one in get_close_matches(model, known, n=1))
    raise NotFound(f"no model named {model!r} under {DEFS}; there are: {', '.join(known) or 'none'}{near}")
