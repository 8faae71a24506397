"""Entering a run of the tests as evidence: its report, in JUnit's XML, becomes a record."""

from typing import TYPE_CHECKING
from xml.etree import ElementTree  # nosec B405 - entities are refused before anything is parsed

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.records.kinds.test_run import TestRun
from retrain_pipeline.records.record import enter

if TYPE_CHECKING:
    from retrain_pipeline.learning.environment import CodeRevision
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.stores import Stores

_LARGEST = 64 * 2**20
_LONGEST_ID = 500


class TestReportRefused(PermanentError):
    """A test report that is none, or that holds no test."""

    __test__ = False


def enter_tests(stores: "Stores", model: str, report: bytes, code: "CodeRevision", *, actor: str) -> "Entry":
    """Store a JUnit report and enter which tests passed, failed and were skipped on which revision of the code.

    Raises
    ------
    TestReportRefused
        When it is no JUnit XML, declares entities, is larger than 64 MiB, or holds no test.
    """
    passed, failed, skipped = _outcomes(report)
    digest = stores.artifacts.put(report)
    run = TestRun.make(
        model=model,
        subject=code.commit or digest,
        commit=code.commit,
        dirty=code.dirty,
        report=digest,
        passed=tuple(sorted(passed)),
        failed=tuple(sorted(failed)),
        skipped=skipped,
    )
    return enter(stores, run, actor=actor)


def _outcomes(report: bytes) -> tuple[list[str], list[str], int]:
    if len(report) > _LARGEST or b"<!DOCTYPE" in report or b"<!ENTITY" in report:
        raise TestReportRefused("the test report is larger than 64 MiB or declares entities; give what pytest wrote")
    try:
        cases = list(ElementTree.fromstring(report).iter("testcase"))  # noqa: S314 # nosec B314 - no entities
    except ElementTree.ParseError as error:
        raise TestReportRefused(f"the test report is no XML: {error}; write one with pytest --junit-xml") from error
    if not cases:
        raise TestReportRefused("the test report holds no test")
    passed, failed, skipped = [], [], 0
    for case in cases:
        name = f"{case.get('classname', '')}::{case.get('name', '')}"[:_LONGEST_ID]
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed.append(name)
    return passed, failed, skipped
