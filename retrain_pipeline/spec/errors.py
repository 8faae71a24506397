"""What can be wrong with a declaration, and how it is told: the place, what was found, what is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retrain_pipeline.errors import PermanentError


@dataclass(frozen=True)
class Refusal:
    """A place in a YAML text (line and column count from 1) and why it is refused."""

    line: int
    column: int
    words: str


class YamlRefused(PermanentError):
    """A text that is not the plain YAML we read: all that is wrong with it, in order."""

    def __init__(self, name: str, refusals: Sequence[Refusal]) -> None:
        self.name = name
        self.refusals = tuple(refusals)
        super().__init__("\n".join(f"{name}:{r.line}:{r.column}  {r.words}" for r in self.refusals))


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a declaration.

    Parameters
    ----------
    path
        Where, as keys under ``attributes``: ``data.columns.temp.dtype``. Empty for the file as a whole.
    line, column
        The place in the file, from 1; 0 when the values came from elsewhere than a file.
    found
        What stands there, as it is spelled; None when a found value would say nothing.
    expected
        What may stand there, or what is wrong, as a phrase that can follow a semicolon.
    nearest
        The allowed word that is nearest to what was found.
    """

    path: str
    line: int
    column: int
    found: str | None
    expected: str
    nearest: str | None = None

    def told(self, file: str) -> str:
        """Return the problem as one line, ``defs.yaml:12:7  data.label.task  found …; allowed: …; nearest: …``."""
        place = f"{file}:{self.line}:{self.column}" if self.line else file
        facts = [self.expected]
        if self.found is not None:
            facts.insert(0, f"found {self.found}")
        if self.nearest is not None:
            facts.append(f"nearest: '{self.nearest}'")
        return "  ".join(part for part in (place, self.path, "; ".join(facts)) if part)


class DeclarationRefused(PermanentError):
    """A declaration that cannot be used, with everything that is wrong with it at once."""

    def __init__(self, file: Path, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        lines = [f"{file} is refused: {count}", *(problem.told(file.name) for problem in self.problems)]
        super().__init__("\n  ".join(lines))
