"""Every truth check is green on what is true, and rejects what it is there to reject."""

from dataclasses import replace

import pytest

from retrain_pipeline.artifacts import ArtifactsUnreachable
from retrain_pipeline.records.kinds import kinds as registered_kinds
from retrain_pipeline.records.truth.schemas import kinds
from retrain_pipeline.records.truth.verify import CHECKS, verify
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.records.truth import bad_decisions, bad_documents, bad_pages  # noqa: F401 - their cases
from retrain_pipeline_tests.records.truth.documented import context_of
from retrain_pipeline_tests.records.truth.known_bad import CASES, portal

BY_NAME = {check.name: check for check in CHECKS}


@pytest.mark.requirement("A1", "A12", "A14", "A15")
def test_what_is_true_passes_every_check(documented, policy):
    site = portal(policy, '<p>true</p><a href="#top">up</a>')
    found = verify(context_of(documented, portal=site))
    assert [(one.check.name, one.problems) for one in found.answers if one.verdict is not Verdict.PASS] == []
    assert all(one.findings for one in found.answers)


@pytest.mark.requirement("A14", "A15")
@pytest.mark.fault("G10", "G11", "G12", "G28")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_untrue_is_rejected_by_its_check(documented, policy, case):
    import re

    [answer] = verify(case.untrue(documented, policy), [BY_NAME[case.check]]).answers
    assert answer.verdict is Verdict.FAIL
    failed = [one for one in answer.problems if one.verdict is Verdict.FAIL]
    assert any(re.search(case.words, one.told()) for one in failed), [one.told() for one in failed]
    assert all(one.thing and one.place and one.words and one.mend for one in answer.problems)


def test_a_check_that_cannot_look_says_so_and_the_others_look(documented, policy, monkeypatch):
    monkeypatch.setenv("RETRAIN_POLICY", str(policy / "none"))

    def silent(context):
        raise ArtifactsUnreachable("the store does not answer")
        yield

    asked = [replace(BY_NAME["links"], look=silent), BY_NAME["owners"], BY_NAME["rationale"]]
    found = verify(context_of(documented), asked)
    assert [one.verdict.value for one in found.answers] == ["INCONCLUSIVE", "FAIL", "PASS"]
    assert "does not answer" in found.of("links").words
    assert "there is no such folder" in found.of("owners").words


def test_every_kind_of_record_that_there_is_has_a_schema():
    assert {*kinds()} == {kind.KIND for kind in registered_kinds()}


def test_every_check_has_something_that_it_rejects():
    assert {case.check for case in CASES} == {*BY_NAME}
    assert [check.number for check in CHECKS] == [*range(1, 17)]
    assert len({check.name for check in CHECKS}) == 16
