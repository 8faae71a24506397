"""Digests depend on content only."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.pandas import column, data_frames, range_indexes

from retrain_pipeline.lake.digests import frame_digest, row_digests
from retrain_pipeline.lake.errors import ColumnRefused

FRAMES = data_frames(
    [
        column("n", elements=st.integers(-(2**63), 2**63 - 1), dtype=np.int64),
        column("x", elements=st.floats(width=64), dtype=float),
        column("s", elements=st.one_of(st.none(), st.text(max_size=5)), dtype=object),
        column("b", elements=st.booleans(), dtype=bool),
    ],
    index=range_indexes(max_size=12),
)


@pytest.mark.fault("I4", "I12")
@given(FRAMES, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_neither_row_order_nor_column_order_matters(frame: pd.DataFrame, random) -> None:  # type: ignore[no-untyped-def]
    columns, positions = list(frame.columns), list(range(len(frame)))
    random.shuffle(columns)
    random.shuffle(positions)
    assert frame_digest(frame.iloc[positions][columns]) == frame_digest(frame)


@given(FRAMES.filter(lambda frame: len(frame) > 0), st.data())
@settings(deadline=None, max_examples=60)
def test_one_changed_value_changes_the_digest(frame: pd.DataFrame, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(frame) - 1))
    changed = frame.copy()
    changed.loc[position, "n"] = int(frame.loc[position, "n"]) ^ 1
    assert frame_digest(changed) != frame_digest(frame)
    assert (row_digests(changed) != row_digests(frame)).sum() == 1


@given(FRAMES)
@settings(deadline=None, max_examples=30)
def test_rows_count_as_often_as_they_are_there(frame: pd.DataFrame) -> None:
    assert (frame_digest(pd.concat([frame, frame])) == frame_digest(frame)) == (len(frame) == 0)


def test_the_container_of_a_value_does_not_matter() -> None:
    plain = pd.DataFrame({"n": [1, 2], "b": [True, False], "s": ["a", "b"], "x": [0.0, 1.5]})
    wrapped = pd.DataFrame({
        "s": pd.Categorical(["a", "b"]), "x": pd.array([-0.0, 1.5], "Float64"), "n": pd.array([1, 2], "Int64"),
        "b": pd.array([True, False], "boolean"),
    })  # fmt: skip
    assert frame_digest(plain) == frame_digest(wrapped)
    times = pd.Series(pd.to_datetime(["2024-01-01T12:00Z"]))
    there = times.dt.tz_convert("Asia/Tokyo").astype("datetime64[us, Asia/Tokyo]")
    assert frame_digest(times.to_frame("t")) == frame_digest(there.to_frame("t"))


@pytest.mark.parametrize(
    ("one", "other"),
    [([1], [1.0]), (["1"], [1]), (["None"], [None]), (["nan"], [None]), ([True], [1]), ([None, "a"], ["a", "a"])],
)
def test_values_that_differ_in_kind_differ(one: list[object], other: list[object]) -> None:
    assert frame_digest(pd.DataFrame({"a": one})) != frame_digest(pd.DataFrame({"a": other}))


def test_values_do_not_swap_columns_unseen() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 2.0, 1.0], "b": [2.0, 1.0, 2.0, 1.0]})
    assert len(set(row_digests(frame))) == 4
    assert row_digests(frame, ["a"])[0] == row_digests(frame, ["a"])[3]


@pytest.mark.parametrize("values", [[{"a": 1}], [b"x"], [1, "a"], pd.to_datetime(["2024-01-01"]), pd.to_timedelta([1])])
def test_a_column_without_one_plain_type_is_refused(values: object) -> None:
    with pytest.raises(ColumnRefused, match="column 'a'"):
        frame_digest(pd.DataFrame({"a": values}))


def test_the_digest_is_the_same_in_another_process() -> None:
    code = (
        "import pandas as pd; from retrain_pipeline.lake.digests import frame_digest;"
        "print(frame_digest(pd.DataFrame({'a': [1, 2], 's': ['ä', None]})))"
    )
    here = frame_digest(pd.DataFrame({"a": [1, 2], "s": ["ä", None]}))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": "."},
    )  # fmt: skip
    assert done.stdout.strip() == here == "20db1b4272cf50ae6207f680aa3a7793d8e98d431f3707155c5915a1b96c45ec"
