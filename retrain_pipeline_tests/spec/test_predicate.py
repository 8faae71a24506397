"""Assumptions as predicates: a small grammar, read by hand, and three answers."""

import pytest

from retrain_pipeline.spec.predicate import SOURCES, PredicateRefused, judge, parse_predicate
from retrain_pipeline.verdicts import Verdict

pytestmark = pytest.mark.requirement("A30")


@pytest.mark.parametrize(
    ("text", "seen", "verdict"),
    [
        ("champion.validated_loss <= 0.16", 0.16, "PASS"),
        ("champion.validated_loss <= 0.16", 0.1601, "FAIL"),
        ("champion.validated_loss < 0.16", 0.16, "FAIL"),
        ("data.rows>=4000", 4000, "PASS"),
        ("data.rows > 4e3", 4000, "FAIL"),
        ("data.rows == 12", 12, "PASS"),
        ("data.rows != 12", 12, "FAIL"),
        ("champion.candidate == boosting", "boosting", "PASS"),
        ('champion.candidate != "boosting"', "boosting", "FAIL"),
        ("features.used contains amount", ("amount", "b"), "PASS"),
        ("features.used contains amoun", ("amount", "b"), "FAIL"),
        ("features.used excludes amount", ("amount",), "FAIL"),
        ('features.used excludes "two words"', ("two words",), "FAIL"),
        ("spec.gates.documentation == true", True, "PASS"),
        ("spec.gates.documentation == true", False, "FAIL"),
        # what is not known, or of another kind, is never a pass
        ("data.rows >= 1", None, "INCONCLUSIVE"),
        ("data.rows != 1", None, "INCONCLUSIVE"),
        ("features.used excludes a", None, "INCONCLUSIVE"),
        ("data.rows >= 1", "many", "INCONCLUSIVE"),
        ("data.rows >= 1", True, "INCONCLUSIVE"),
        ("champion.candidate != boosting", 3.0, "INCONCLUSIVE"),
        ("champion.candidate contains boost", "boosting", "INCONCLUSIVE"),
        ("spec.gates.documentation != true", "true", "INCONCLUSIVE"),
    ],
)
def test_a_predicate_has_three_answers(text, seen, verdict):
    assert judge(parse_predicate(text), seen) is Verdict(verdict)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a name"),
        ("data.rows", "expected a name"),
        ("data.rows => 4", "expected a"),
        ("data.rows >= many", "compares with a number"),
        ("data.rows >= 4 or true", "compares with a number"),
        ("data.rows >= 1_000", "compares with a number"),
        ("data.rows == __import__('os')", "expected a number, a word"),
        ("data.row >= 4", "nearest: 'data.rows'"),
        ("dat.rows >= 4", "nearest: 'data.rows'"),
        ("champion..validated_loss < 1", "nothing that can be looked up"),
        ("monitored.null_share < 1", "nothing that can be looked up"),
        ("champion.gates.quality < 1", "nothing that can be looked up"),
        ("features.used contains", "expected a name"),
        ("data.rows >= nan", "compares with a number"),
        ('champion.candidate == "a" "b"', "expected a number, a word"),
    ],
)
def test_what_is_no_predicate_is_refused_with_the_nearest_name(text, words):
    with pytest.raises(PredicateRefused) as caught:
        parse_predicate(text)
    assert words in str(caught.value)


def test_every_source_can_be_named():
    for source in SOURCES:
        name = ".".join("part" if one.startswith("<") else one for one in source.split("."))
        assert parse_predicate(f"{name} == x").name == name
