"""The pictures of a judgement: what each is drawn of, and when there is none."""

from dataclasses import replace

import numpy as np
import pytest

from retrain_pipeline_tests.gates.seeing import HOURS, OWN, THEIRS, TRUTH, Seeing, side, told
from retrain_pipeline_tests.release.handmade import Trial


@pytest.fixture
def seeing(tmp_path, monkeypatch):
    trial = Trial(tmp_path)
    yield Seeing(trial, monkeypatch)
    trial.stores.close()


def drawn(seeing, **changed):
    for name, value in changed.items():
        setattr(seeing, name, value)
    found, _ = seeing.judge()
    stored = {kind: seeing.trial.stores.artifacts.get(digest).decode() for kind, digest in found.plots.items()}
    return dict(seeing.drawn), stored


def test_a_regression_has_pictures_of_residuals_and_of_the_difference(seeing):
    pictures, stored = drawn(seeing)
    assert stored == {"residuals": "picture of residual", "difference": "picture of difference"}
    predicted, truth, title = pictures["residual"]
    assert (predicted.tolist(), truth.tolist(), title) == ([1.0] * 300, TRUTH.tolist(), "toy v2: residuals")
    apart, times, hours, bounds, title = pictures["difference"]
    assert np.array_equal(apart, OWN - THEIRS)
    assert (times.tolist(), hours) == (HOURS.tolist(), seeing.trial.spec.gates.block_hours)
    assert bounds.mean == pytest.approx((OWN - THEIRS).mean())
    assert title == "toy v2: mae row loss minus the champion's"


@pytest.mark.parametrize("known", [True, False])
def test_probabilities_have_a_picture_beside_the_champions_where_it_gave_any(seeing, known):
    champion = replace(seeing.champion, predictions=told(0.75 if known else np.nan))
    pictures, stored = drawn(seeing, task="binary", champion=champion)
    assert stored == {"calibration": "picture of calibration", "difference": "picture of difference"}
    score, truth, theirs, title = pictures["calibration"]
    assert (score.tolist(), truth.tolist(), truth.dtype) == ([0.25] * 300, TRUTH.tolist(), np.float64)
    assert (theirs.tolist() if known else theirs) == ([0.75] * 300 if known else None)
    assert title == "toy v2: calibration"


PARTLY = told()
PARTLY.loc[3, ["prediction", "score"]] = np.nan
LOST = np.where(OWN > 2, np.nan, OWN)


@pytest.mark.parametrize(
    ("task", "predictions", "losses", "kinds"),
    [
        ("regression", None, None, set()),
        ("binary", None, None, set()),
        ("regression", PARTLY, LOST, set()),
        ("binary", PARTLY, LOST, set()),
        ("regression", told(), LOST, {"residuals"}),
        ("multiclass", told(), OWN, {"difference"}),
        ("binary", PARTLY, OWN, {"difference"}),
    ],
)
def test_what_has_no_numbers_has_no_picture(seeing, task, predictions, losses, kinds):
    assert set(drawn(seeing, task=task, candidate=side("candidate", losses, predictions))[1]) == kinds


def test_a_champion_that_could_not_answer_is_in_no_picture(seeing):
    mute = replace(seeing.champion, predictions=None, losses=None)
    pictures, stored = drawn(seeing, task="binary", champion=mute)
    assert set(stored) == {"calibration"}
    assert pictures["calibration"][2] is None


def test_where_all_rows_were_seen_there_is_no_difference_to_draw(seeing):
    seeing.seen_until = HOURS.iloc[-1]
    assert set(drawn(seeing)[1]) == {"residuals"}
