"""The lending world: the same bytes every time, a drift that hurts, a retrain that helps, a poisoned delivery."""

import hashlib
import subprocess
import sys
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import retrain_pipeline
from retrain_pipeline.simulation.lending import LABEL_DELAY, LendingWorld
from retrain_pipeline.spec.declaration import read_declaration

MODEL = Path(retrain_pipeline.__file__).parent / "defs" / "models" / "lending"
PINNED_LINES = [
    "application_id,applied_at,amount,income,age,employment_years,purpose,channel,credit_utilisation,prior_defaults",
    "app-000-0000,2025-01-06T00:32:21Z,6400,34900,52,16.1,other,web,0.549,0",
]
PINNED_DIGEST = "9c175adad59f2ae14c7395420138feb9bbe47bc92d0a1e0de0cb0499ae51340c"
SMALL = LendingWorld(weeks=10, applications_per_week=30, drift_week=4, poison_week=6, correction_weeks=2)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_equal_worlds_have_equal_bytes_however_they_are_delivered(tmp_path: Path):
    np.random.seed(1)
    SMALL.write(tmp_path / "at once", range(16))
    np.random.seed(2)
    for week in reversed(range(16)):
        LendingWorld(**vars(SMALL)).write(tmp_path / "one by one", [week])
    assert digests(tmp_path / "at once") == digests(tmp_path / "one by one")
    assert len(digests(tmp_path / "at once")) == 10 + 11 + 1


def test_the_bytes_are_those_of_every_earlier_run(tmp_path: Path):
    LendingWorld().write(tmp_path, [0, 20])
    digest = digests(tmp_path)["applications/applications-2025-01-06.csv"]
    lines = (tmp_path / "applications" / "applications-2025-01-06.csv").read_text().splitlines()
    assert lines[:2] == PINNED_LINES, (
        "numpy's generators changed: the documents that cite the demo's numbers must follow"
    )
    assert digest == PINNED_DIGEST


def test_another_seed_is_another_world():
    one, other = LendingWorld(seed=1).applications(0), LendingWorld(seed=2).applications(0)
    assert not one["income"].equals(other["income"])


def test_weeks_are_whole_and_applications_lie_inside_them():
    for week in (0, 3, 9):
        frame = SMALL.applications(week)
        assert len(frame) == 30
        assert frame["applied_at"].is_monotonic_increasing
        assert frame["applied_at"].between(SMALL.monday(week), SMALL.monday(week + 1), inclusive="left").all()
        assert "defaulted" not in frame
    for week in (-1, 10):
        with pytest.raises(IndexError, match="weeks 0 to 9"):
            SMALL.applications(week)


def test_every_outcome_becomes_known_once_thirty_days_after():
    world = LendingWorld(**{**vars(SMALL), "poison_week": None})
    delivered = [world.outcomes(week).assign(week=week) for week in range(16)]
    assert [len(part) for part in delivered[:4]] == [0] * 4
    known = pd.concat(delivered).set_index("application_id")
    truth = pd.concat([world.truth(week) for week in range(10)]).set_index("application_id")
    assert known.index.is_unique
    assert set(known.index) == set(truth.index)
    assert (known["known_at"] - truth["applied_at"] == LABEL_DELAY).all()
    assert (known["defaulted"].astype(int) == truth["defaulted"].reindex(known.index)).all()
    mondays = known["week"].map(world.monday)
    assert ((known["known_at"] >= mondays) & (known["known_at"] < mondays + timedelta(days=7))).all()


def test_the_poisoned_delivery_is_inverted_until_the_correction(tmp_path: Path):
    clean = LendingWorld(**{**vars(SMALL), "poison_week": None})
    poisoned, right = SMALL.outcomes(6), clean.outcomes(6)
    assert ((poisoned["defaulted"] + right["defaulted"]) == 1).all()
    for week in (5, 7):
        assert SMALL.outcomes(week).equals(clean.outcomes(week))
    SMALL.write(tmp_path, range(8))
    assert not list(tmp_path.rglob("*corrected*"))
    (_, _, corrected) = SMALL.write(tmp_path, [8])
    assert corrected.name == "outcomes-2025-02-17-corrected.csv"
    rows = pd.read_csv(corrected)
    assert rows["application_id"].tolist() == right["application_id"].tolist()
    assert rows["defaulted"].tolist() == right["defaulted"].tolist()
    assert set(rows["known_at"]) == {"2025-03-03T12:00:00Z"}
    assert clean.correction(8) is None


def test_files_arrive_whole_and_nothing_else_is_left(tmp_path: Path):
    written = SMALL.write(tmp_path)
    assert sorted(written) == sorted(file for file in tmp_path.rglob("*") if file.is_file())
    assert {file.parent.name for file in written} == {"applications", "outcomes"}
    assert b"\r" not in written[0].read_bytes()


def test_the_rates_are_those_of_lending_and_the_new_channel_comes_with_the_drift():
    world = LendingWorld()
    rates = [float(world.truth(week)["defaulted"].mean()) for week in range(world.weeks)]
    assert 0.15 < np.mean(rates[: world.drift_week]) < 0.25
    assert 0.15 < np.mean(rates[world.drift_week :]) < 0.25
    before, after = world.applications(world.drift_week - 1), world.applications(world.drift_week)
    assert (before["channel"] == "partner").sum() == 0
    assert (after["channel"] == "partner").mean() > 0.2
    assert after["credit_utilisation"].mean() > before["credit_utilisation"].mean() + 0.05


def test_a_world_without_drift_stays_as_it_is():
    world = LendingWorld(drift_week=None)
    assert not any((world.applications(week)["channel"] == "partner").any() for week in (20, 43))


def test_the_shipped_model_declares_what_the_world_delivers(tmp_path: Path):
    declaration = read_declaration(MODEL)
    spec, world = declaration.spec, LendingWorld()
    assert spec.data.time.calendar().origin == world.monday(0)
    assert spec.data.label.delay_hours == LABEL_DELAY / timedelta(hours=1)
    for week in (0, 17, 18, 43):
        frame = world.applications(week)
        assert set(frame) == {*spec.data.columns, *spec.data.key, spec.data.time.column}
        for name, column in spec.data.columns.items():
            if column.range is not None:
                assert frame[name].between(*column.range).all(), name
            else:
                assert frame[name].isin(column.values).all(), name
    assert list(world.outcomes(5)) == [*spec.data.key, spec.data.label.column, spec.data.label.known_time]


@cache
def week_of(week: int) -> tuple[pd.DataFrame, pd.Series]:
    """Features of a week, by the shipped function, and its true labels."""
    names: dict = {}
    exec(compile((MODEL / "features.py").read_text(), "features.py", "exec"), names)
    world = LendingWorld()
    features = names["build"](world.applications(week))
    return pd.get_dummies(features, columns=["purpose", "channel"], dtype=float), world.truth(week)["defaulted"]


@cache
def brier(trained_from: int, trained_until: int, scored_from: int, scored_until: int) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = pd.concat([week_of(week)[0] for week in range(trained_from, trained_until)]).fillna(0.0)
    y = pd.concat([week_of(week)[1] for week in range(trained_from, trained_until)])
    model = HistGradientBoostingClassifier(
        learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=30, l2_regularization=1.0, random_state=0
    ).fit(x, y)
    scored = pd.concat([week_of(week)[0] for week in range(scored_from, scored_until)]).reindex(columns=x.columns)
    truth = pd.concat([week_of(week)[1] for week in range(scored_from, scored_until)])
    return float(np.mean((model.predict_proba(scored.fillna(0.0))[:, 1] - truth) ** 2))


def test_before_the_drift_a_model_keeps_its_quality():
    assert brier(0, 10, 10, 14) < 0.135
    assert abs(brier(0, 10, 14, 18) - brier(0, 10, 10, 14)) < 0.015


def test_the_drift_hurts_a_model_that_is_not_retrained():
    assert brier(0, 10, 18, 44) > brier(0, 10, 10, 18) + 0.05


def test_a_retrain_on_the_twelve_newest_labelled_weeks_recovers_most_of_it():
    before, stale, fresh = brier(0, 10, 10, 18), brier(0, 10, 36, 44), brier(18, 30, 36, 44)
    assert stale - fresh > 0.6 * (stale - before)


def test_learning_the_poison_would_hurt():
    """Two weeks of inverted labels in twelve cost more than the margin that the gates allow."""
    from sklearn.linear_model import LogisticRegression

    def score(flipped: range) -> float:
        x = pd.concat([week_of(week)[0] for week in range(19, 31)])
        y = pd.concat([week_of(week)[1] if week not in flipped else 1 - week_of(week)[1] for week in range(19, 31)])
        means, deviations = x.mean(), x.std()
        model = LogisticRegression(max_iter=1000).fit((x - means) / deviations, y)
        scored = pd.concat([week_of(week)[0] for week in range(36, 44)])
        truth = pd.concat([week_of(week)[1] for week in range(36, 44)])
        return float(np.mean((model.predict_proba((scored - means) / deviations)[:, 1] - truth) ** 2))

    assert score(range(29, 31)) > 1.02 * score(range(0))


READS = """
import sys
from pathlib import Path
from retrain_pipeline.simulation.lending import LendingWorld

opened = []
sys.addaudithook(lambda event, found: opened.append((str(found[0]), str(found[1]))) if event == "open" else None)
sys.addaudithook(lambda event, _: sys.exit(f"{event}: the network") if event.startswith("socket.connect") else None)
LendingWorld(weeks=10, applications_per_week=30, drift_week=4, poison_week=6, correction_weeks=2).write(
    Path(sys.argv[1]), range(8)
)
print("\\n".join(name for name, mode in opened if "r" in mode))
"""


@pytest.mark.requirement("C24")
def test_no_row_can_be_of_a_real_person_since_no_data_is_read(tmp_path: Path):
    """Whatever is written comes of the seed: while it is made, nothing is opened to read but code and the system."""
    done = subprocess.run(
        [sys.executable, "-c", READS, str(tmp_path / "world")], capture_output=True, text=True, check=True, timeout=120
    )
    assert len(digests(tmp_path / "world")) > 8
    read = [name for name in done.stdout.split() if name.startswith("/")]
    libraries = (sys.prefix, sys.base_prefix, "/proc", "/sys", "/etc", "/dev", "/usr")
    own = (str(Path(retrain_pipeline.__file__).parent), str(tmp_path))
    assert [name for name in read if not name.startswith((*libraries, *own))] == []
    assert [name for name in read if name.startswith(own[0]) and Path(name).suffix not in (".py", ".pyc")] == []
