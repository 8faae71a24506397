"""Compatibility to the letter: what each answer and each seen row comes to, with its numbers and words."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates.compatibility import Answers, Asked, Seen, contract, disjoint, seen_rows
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.verdicts import Verdict

LETTERS = tuple("abcdefghij")


def told(prediction, score=np.nan):
    return pd.DataFrame({"prediction": prediction, "score": score})


def asked(task="regression", rows=3, classes=(), **more):
    return Asked(task, LETTERS, rows, classes, **more)


def answers(predictions, name="candidate", **more):
    return Answers(name, LETTERS[:2], predictions, **more)


def result(verdict, words, **numbers):
    return GateResult(gate="contract", verdict=verdict, threshold=0.0, words=words, **numbers)


GOOD = told([1.0, 2.0, 3.0])


def test_each_model_on_each_schema_is_a_cell_of_the_answer():
    both = answers(GOOD), answers(GOOD, "champion")
    one = contract(asked(), both)
    fine = "10 columns in, 3 regression answers out [candidate on present rows PASS, champion on present rows PASS]"
    assert one == result(Verdict.PASS, fine, statistic=0.0, n=3)
    old = asked(rows=2), (answers(None, why_not="a is gone"), answers(GOOD, "champion"))
    words = (
        "candidate on earlier rows: candidate cannot predict these rows: a is gone; "
        "champion on earlier rows: champion gives 3 predictions for 2 rows "
        "[candidate on present rows PASS, champion on present rows PASS, "
        "candidate on earlier rows FAIL, champion on earlier rows FAIL]"
    )
    assert contract(asked(), both, old) == result(Verdict.FAIL, words, statistic=2.0, n=3)


def test_words_of_a_contract_are_cut_at_two_thousand():
    assert len(contract(asked(), (answers(None, why_not="x" * 3000),)).words) == 2000


@pytest.mark.parametrize(
    ("task", "predictions", "problem"),
    [
        ("regression", None, "candidate cannot predict these rows: no predictions"),
        ("regression", told(["1", "?", "3"]), "candidate: 1 predictions are not finite numbers"),
        ("binary", told([0, 1, 1], [0.0, 1.0, 0.5]), None),
        ("binary", told([0, 1, 1], [0.1, None, -0.1]), "candidate: 2 scores are not probabilities"),
        ("binary", told([0, 1, 1], pd.Series([0.1, None, 0.2], dtype=object)),
         "candidate: 1 scores are not probabilities"),
        ("binary", told([5, 4, 3, 2], 0.5), "candidate: predictions besides 0 and 1: 2, 3, 4"),
        ("multiclass", told(list("gfedcba")), "candidate: unknown classes c, d, e, f, g"),
        ("multiclass", told(list("hgfedcba")), "candidate: unknown classes c, d, e, f, g"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_answers_is_said_with_the_first_of_many(task, predictions, problem):
    rows = 3 if predictions is None else len(predictions)
    found = contract(asked(task, rows, ("a", "b")), (answers(predictions),))
    fine = f"10 columns in, {rows} {task} answers out [candidate on present rows PASS]"
    failed = f"candidate on present rows: {problem} [candidate on present rows FAIL]"
    assert found.words == (failed if problem else fine)


def test_the_first_eight_columns_that_are_gone_are_named():
    gone = contract(replace(asked(), columns=("a",)), (Answers("candidate", LETTERS, GOOD),))
    assert "candidate needs b, c, d, e, f, g, h, i, which the features table no longer has" in gone.words


def test_scores_may_be_missing_only_where_no_probabilities_are_asked_and_then_all_of_them():
    labels_only = asked("binary", probabilities=False)
    assert contract(labels_only, (answers(told([0, 1, 1])),)).verdict is Verdict.PASS
    some = contract(labels_only, (answers(told([0, 1, 1], [0.5, np.nan, 0.5])),))
    assert "candidate: 1 scores are not probabilities" in some.words


HOURS = pd.Series(pd.date_range("2024-03-01", periods=10, freq="h", tz="UTC"))
DIGESTS = np.arange(10, dtype=np.uint64)
EARLY = pd.Timestamp("2024-02-01", tz="UTC")


def seen(name="candidate", rows=(100,), until=EARLY):
    return Seen(name, None if rows is None else np.array(rows, dtype=np.uint64), until)


def judge(candidate, champion=None, min_rows=5):
    return disjoint(DIGESTS, HOURS, candidate, champion, min_rows=min_rows)


@pytest.mark.parametrize(
    ("candidate", "champion", "min_rows", "verdict", "statistic", "n", "words"),
    [
        (seen(rows=None), seen("champion", None), 5, Verdict.INCONCLUSIVE, None, 10,
         "row digests of the training set of candidate and champion are missing: nothing proves the rows unseen"),
        (seen(), seen("champion", None), 5, Verdict.INCONCLUSIVE, None, 10,
         "row digests of the training set of champion are missing: nothing proves the rows unseen"),
        (seen(rows=(9,), until=HOURS[1]), None, 5, Verdict.FAIL, 3.0, 10,
         "3 of 10 evaluation rows were in the training of the candidate, or are not later than it"),
        (seen(), None, 10, Verdict.PASS, 0.0, 10, "10 evaluation rows unseen by both"),
        (seen(), seen("champion", (9,), HOURS[1]), 7, Verdict.PASS, 0.0, 7,
         "7 evaluation rows unseen by both, 3 that the champion has seen are left out"),
        (seen(), seen("champion", (9,), HOURS[1]), 8, Verdict.INCONCLUSIVE, 0.0, 7,
         "7 evaluation rows unseen by both, 3 that the champion has seen are left out; gates.min_rows asks for 8"),
        (seen(), None, 11, Verdict.INCONCLUSIVE, 0.0, 10,
         "10 evaluation rows unseen by both; gates.min_rows asks for 11"),
    ],
)  # fmt: skip
def test_rows_that_were_seen_are_counted_and_named(candidate, champion, min_rows, verdict, statistic, n, words):
    threshold = None if statistic is None else 0.0
    wanted = {"verdict": verdict, "statistic": statistic, "threshold": threshold, "n": n, "words": words}
    assert judge(candidate, champion, min_rows) == GateResult(gate="disjoint", **wanted)


def test_where_digests_are_lost_the_cut_off_alone_tells_what_was_seen():
    assert seen_rows(DIGESTS, HOURS, seen(rows=None, until=HOURS[3])).tolist() == [True] * 4 + [False] * 6
