"""What a truth check is, and what it finds: a finding for each thing that it looked at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.redaction import redacted
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.context import Context

_LONGEST = 600


@dataclass(frozen=True)
class Finding:
    """One thing, where it stands, what is wrong with it and how to mend that. One that is right has no words."""

    verdict: Verdict
    thing: str
    place: str
    words: str = ""
    mend: str = ""

    def told(self) -> str:
        """Return the finding as one line, without what looks like a secret."""
        line = f"{self.thing} ({self.place}): {self.words}"
        return redacted(f"{line}; {self.mend}" if self.mend else line)[:_LONGEST]


def right(thing: str, place: str) -> Finding:
    """Return that a thing was looked at and is as it should be."""
    return Finding(Verdict.PASS, thing, place)


def wrong(thing: str, place: str, words: str, mend: str) -> Finding:
    """Return that a thing was looked at and is not as it should be."""
    return Finding(Verdict.FAIL, thing, place, words, mend)


def unknown(thing: str, place: str, words: str, mend: str) -> Finding:
    """Return that a thing could not be looked at."""
    return Finding(Verdict.INCONCLUSIVE, thing, place, words, mend)


Look = Callable[["Context"], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """One question about what is written. `look` yields a finding for each thing that it looked at."""

    number: int
    name: str
    asks: str
    look: Look
    nothing: str
    """What it means that there was nothing to look at."""
    declared: bool = False
    """Whether the files of a repository alone can answer it, without any store: so a pull request can ask."""


@dataclass(frozen=True)
class Checked:
    """The answer of one check. Nothing looked at is INCONCLUSIVE, never a PASS."""

    check: Check
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of what was found."""
        return worst(one.verdict for one in self.findings)

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What did not pass, failures first."""
        bad = [one for one in self.findings if one.verdict is not Verdict.PASS]
        return tuple(sorted(bad, key=lambda one: one.verdict is not Verdict.FAIL))

    @property
    def words(self) -> str:
        """One line: how much was looked at, and what is wrong."""
        if not self.findings:
            return f"nothing to look at: {self.check.nothing}"
        if not self.problems:
            return f"{len(self.findings)} looked at"
        return f"{len(self.problems)} of {len(self.findings)}: {self.problems[0].told()}"

    def document(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        return {
            "number": self.check.number,
            "check": self.check.name,
            "asks": self.check.asks,
            "verdict": self.verdict.value,
            "looked_at": len(self.findings),
            "words": self.words,
            "problems": [
                {
                    "verdict": one.verdict.value,
                    "thing": redacted(one.thing),
                    "place": redacted(one.place),
                    "words": redacted(one.words),
                    "mend": redacted(one.mend),
                }
                for one in self.problems
            ],
        }
