"""A run of the project's tests, as its report says: which tests passed on which commit."""

from typing import ClassVar

from pydantic import Field

from retrain_pipeline.gates.evidence import Digest
from retrain_pipeline.records.record import Record


class TestRun(Record):
    """The subject is the commit, or the digest of the report where there is no commit."""

    __test__ = False
    """Not a test of pytest's, for all its name."""
    KIND: ClassVar[str] = "test_run"

    commit: str | None
    dirty: bool | None
    """Whether the work tree held changes that the commit does not have."""
    report: Digest
    """The report as it came (JUnit XML), in the artifacts."""
    passed: tuple[str, ...]
    """Ids of tests."""
    failed: tuple[str, ...]
    skipped: int = Field(ge=0)
