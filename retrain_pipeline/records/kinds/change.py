"""What a release changed: each part with the decisions or commits that say why, and the tests that looked at it."""

from typing import ClassVar

from retrain_pipeline.gates.evidence import Digest
from retrain_pipeline.records.record import Record
from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict


class Test(Strict):
    """A test that was run on a change: a gate, or a run of the project's tests."""

    __test__ = False
    """Not a test of pytest's, for all its name."""
    id: str
    verdict: Verdict
    pointer: str
    """The place in the evidence, or the digest of the record of the test run."""


class Change(Strict):
    """One part that is otherwise than before. PASS: explained and tested. FAIL: unexplained, or a test failed.

    INCONCLUSIVE: explained, and nobody ran what would test it.
    """

    part: str
    places: tuple[str, ...]
    because: str
    decisions: tuple[str, ...]
    """Ids of decisions."""
    commits: tuple[str, ...]
    """Before and after, where code changed."""
    tests: tuple[Test, ...]
    verdict: Verdict
    words: str


class ChangeRecord(Record):
    """The changes of one release: its subject is the version. One that is tested later has a newer record."""

    KIND: ClassVar[str] = "change"

    epoch: int
    previous: str | None
    evidence: Digest
    changes: tuple[Change, ...]
