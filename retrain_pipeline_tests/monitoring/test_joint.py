"""Joint tables: calibration and slice rates as of the rows, and tables that merge to the same bits."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_pipeline.canonical import canonical_json, parse_json
from retrain_pipeline.monitoring.errors import ProfilesDiffer
from retrain_pipeline.monitoring.joint import (
    ALL,
    OTHER,
    JointTable,
    calibration,
    calibration_error,
    joint_table,
    slice_rates,
)

CUTS = (0.2, 0.4, 0.6, 0.8)


def scored(rows: int, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    score = rng.uniform(size=rows)
    label = (rng.uniform(size=rows) < score).astype(int)
    return pd.DataFrame(
        {"prediction": score, "label": label, "loss": (score - label) ** 2, "region": rng.choice(list("ns"), rows)}
    )


def table_of(frame: pd.DataFrame) -> JointTable:
    return joint_table(frame, CUTS, classes=("0", "1"), slices=frame[["region"]])


def test_calibration_and_slice_rates_are_those_of_the_rows():
    frame = scored(5000)
    table = table_of(frame)
    bins = calibration(table, "1")
    for number, rows in frame.groupby(np.searchsorted(CUTS, frame["prediction"])):
        assert bins[number].rows == len(rows)
        assert bins[number].predicted == pytest.approx(rows["prediction"].mean(), abs=1e-6)
        assert bins[number].observed == pytest.approx(rows["label"].mean(), abs=1e-12)
    assert calibration_error(table, "1") < 0.03
    assert calibration_error(table_of(frame.assign(label=1 - frame["label"])), "1") > 0.3
    rates = slice_rates(table)
    assert set(rates) == {ALL, "region=n", "region=s"}
    north = frame[frame["region"] == "n"]
    assert rates["region=n"].share == len(north) / len(frame)
    assert rates["region=n"].loss == pytest.approx(north["loss"].mean(), abs=1e-6)


def test_of_a_number_the_means_are_kept_and_what_is_not_known_is_left_out():
    frame = pd.DataFrame({"prediction": [1.0, 3.0, 5.0], "label": [2.0, None, 4.0], "loss": [1.0, None, 1.0]})
    table = joint_table(frame, (2.0,))
    assert {number: (b.predicted, b.observed) for number, b in calibration(table).items()} == {0: (1, 2), 1: (5, 4)}
    assert slice_rates(table)[ALL].rows == 2
    assert calibration_error(joint_table(frame.head(0), (2.0,))) is None


def test_classes_beyond_those_named_are_one():
    frame = scored(50).assign(label=[float(i % 5) for i in range(50)])
    table = joint_table(frame, CUTS, classes=("0", "1"))
    assert {label for _, _, label in table.cells} == {"0", "1", OTHER}


row = st.tuples(st.floats(0, 1), st.integers(0, 2), st.floats(-1e12, 1e12), st.sampled_from("ns"))


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.lists(row, max_size=8), min_size=1, max_size=4))
def test_merged_tables_equal_one_pass_to_the_bit(parts):
    def frame(rows):
        return pd.DataFrame(rows, columns=["prediction", "label", "loss", "region"])

    merged = JointTable(CUTS, {})
    for part in parts:
        merged = merged.merge(table_of(frame(part)))
    once = table_of(frame([one for part in parts for one in part]))
    assert merged == once
    assert JointTable.from_json(parse_json(canonical_json(once.to_json()))) == once


def test_tables_of_other_bins_are_not_added_up():
    with pytest.raises(ProfilesDiffer, match="bins of one reference"):
        table_of(scored(10)).merge(joint_table(scored(10), (0.5,), classes=("0", "1")))
