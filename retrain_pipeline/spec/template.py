"""A new model's folder: a declaration that loads at once, a feature function, and the place for the first reason."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.lake.declared import Data, Volume
from retrain_pipeline.lanes import lane_name
from retrain_pipeline.names import check_name
from retrain_pipeline.spec.declaration import COMPONENT, FILE, LANE
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.spec.gates import Gates
from retrain_pipeline.spec.insight import Insight
from retrain_pipeline.spec.model import Budget, Features, Report, Training, Trigger
from retrain_pipeline.spec.rollout import Rollout
from retrain_pipeline.spec.yaml import yaml_flow

_FILES = {
    FILE: "defs.yaml.j2",
    "features.py": "features.py.j2",
    "decisions/0001-why-this-model.md": "decision.md.j2",
}
_REVIEW_AFTER = timedelta(days=365)


class FolderTaken(PermanentError):
    """A model folder that already holds one of the files that would be written."""


def scaffold(folder: Path, name: str, *, today: date | None = None) -> None:
    """Write a model folder whose declaration is valid at once.

    Parameters
    ----------
    folder
        Made when it does not exist. It may hold other files, but none that would be written.
    name
        The model's name: 1 to 63 of ``a-z 0-9 _ -``.
    today
        The date of the first decision; by default today's, in UTC.

    Raises
    ------
    NameRefused
        When the name does not follow the grammar.
    FolderTaken
        When one of the files exists; then nothing is written.
    """
    check_name(name, "model")
    _write(folder, _FILES, _values(name, today or datetime.now(UTC).date()))


def scaffold_lane(folder: Path, of: str, name: str) -> None:
    """Write the folder of a lane: a declaration that differs from its model's in nothing yet.

    Raises
    ------
    NameRefused, FolderTaken
        As `scaffold`.
    """
    check_name(of, "model")
    check_name(lane_name(of, name), "lane")
    _write(folder, {FILE: "lane.yaml.j2"}, {"of": of, "name": name, "component": LANE})


def _write(folder: Path, files: dict[str, str], values: dict[str, Any]) -> None:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    for file in files:
        if (folder / file).exists():
            raise FolderTaken(f"{folder / file} exists: choose another folder, or change what is there by hand")
    templates = Environment(
        loader=PackageLoader("retrain_pipeline.spec"),
        autoescape=select_autoescape(),  # by file name: these are YAML, Python and Markdown, and stay as they are
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    templates.filters["flow"] = yaml_flow
    for file, template in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(templates.get_template(template).render(values), encoding="utf-8")


def _values(name: str, today: date) -> dict[str, Any]:
    """Return what the templates show; defaults are read from the types, so that they cannot differ from them."""
    return {
        "name": name,
        "component": COMPONENT,
        "today": today.isoformat(),
        "review_by": (today + _REVIEW_AFTER).isoformat(),
        "start": (today - timedelta(days=today.weekday() + 52 * 7)).isoformat(),  # a Monday, a year ago
        "data": _defaults_of(Data),
        "volume": _defaults_of(Volume),
        "features": _defaults_of(Features),
        "training": _defaults_of(Training),
        "budget": _defaults_of(Budget),
        "trigger": _defaults_of(Trigger),
        "gates": _defaults_of(Gates),
        "escalate": _defaults_of(Escalate),
        "rollout": _defaults_of(Rollout),
        "report": _defaults_of(Report) | {"insight": _defaults_of(Insight)},
    }


def _defaults_of(section: type[BaseModel]) -> dict[str, Any]:
    values = {name: field.get_default(call_default_factory=False) for name, field in section.model_fields.items()}
    plain = (str, int, float, tuple)
    return {name: value for name, value in values.items() if isinstance(value, plain)}
