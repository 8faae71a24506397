"""What each truth check must reject: a documented world, with one thing made untrue. The cases are in `bad_*.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from retrain_pipeline.records.truth.context import Context
from retrain_pipeline_tests.gates.world import World

PAGE = """<!doctype html><html><head>
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>toy</title></head><body><h1 id="top">toy</h1>{body}</body></html>
"""
POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:"


@dataclass(frozen=True)
class Bad:
    """One thing made untrue, and words that the finding must hold."""

    check: str
    untrue: Callable[[World, Path], Context]
    words: str

    @property
    def name(self) -> str:
        """Name of the case."""
        return f"{self.check}-{self.untrue.__name__}"


CASES: list[Bad] = []


def bad(check: str, words: str):
    """Return a decorator that makes a function a known-bad of a check."""

    def made(function):
        CASES.append(Bad(check, function, words))
        return function

    return made


def decision_of(world: World) -> Path:
    """Return the one decision file."""
    return world.declaration.folder / "decisions" / "0001-tree.md"


def replaced(world: World, before: str, after: str) -> None:
    """Edit the decision file."""
    text = decision_of(world).read_text()
    assert before in text
    decision_of(world).write_text(text.replace(before, after))


def damaged(world: World, digest: str) -> None:
    """Write over stored bytes."""
    file = Path(world.stores.artifacts.path(digest))
    file.write_bytes(b"x" + file.read_bytes()[1:])


def portal(folder: Path, body: str, policy: str = POLICY) -> Path:
    """Write a portal of one page and return its folder."""
    site = folder / "site"
    site.mkdir()
    (site / "index.html").write_text(PAGE.format(policy=policy, body=body))
    return site
