"""Features: what the function is given, what it must return, and that it looks only backwards."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_pipeline.learning.errors import FeatureContractBroken
from retrain_pipeline.learning.features import (
    FeatureCode,
    build_features,
    load_features,
    sees_the_future,
    update_features,
)
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.learning.small_world import day, declared, raw_day


def code(build) -> FeatureCode:
    return FeatureCode(build, "0" * 64, "features.py:build")


def built(build, raw=None, start=0, end=1, spec=None):
    return build_features(code(build), spec or declared(), raw_day(0) if raw is None else raw, day(start), day(end))


def test_the_function_is_given_declared_columns_key_and_time_and_never_the_label():
    seen = {}

    def build(rows):
        seen.update(rows.dtypes.astype(str))
        rows["income"] = 0.0  # it may do with its copy what it likes
        return rows[["age"]]

    raw = raw_day(0).assign(undeclared=1.0)
    result = built(build, raw)
    assert seen == {
        "id": "int64",
        "income": "float64",
        "age": "int64",
        "town": "object",
        "at": "datetime64[us, UTC]",
    }
    assert list(result.columns) == ["id", "_event_time", "_known_time", "age"]
    assert raw["income"].abs().sum() > 0


def test_asking_for_a_column_that_is_not_declared_names_those_that_are():
    with pytest.raises(
        FeatureContractBroken, match=r"'paid'.*is given \['age', 'at', 'id', 'income', 'town'\].*declare"
    ):
        built(lambda rows: rows[["paid"]])


def test_only_rows_of_the_period_come_out_and_history_is_seen():
    raw = pd.concat([raw_day(1), raw_day(0)])
    result = built(lambda rows: rows[["age"]].assign(before=rows["age"].shift(1)), raw, 1, 2)
    assert len(result) == 60
    assert result["_event_time"].min() == day(1)
    assert result["before"].iloc[0] == raw_day(0)["age"].iloc[-1]


def test_values_come_out_in_one_spelling_so_that_a_gap_changes_no_type():
    def build(rows):
        return pd.DataFrame(
            {
                "whole": rows["age"],
                "gappy": rows["age"].astype("Int64").mask(rows["age"] > 40),
                "flag": rows["age"] > 40,
                "level": rows["town"].astype("category"),
                "code": pd.Categorical(rows["age"] % 3),
                "text": rows["town"].astype("string"),
            },
            index=rows.index,
        )

    result = built(build)
    for name in ("whole", "gappy", "flag"):
        assert result[name].dtype == "float64"
    for name in ("level", "code", "text"):
        assert {type(value) for value in result[name]} <= {str, type(None)}
    assert result["level"].isna().sum() == result["text"].isna().sum() > 0


CASES = {
    "no frame": (lambda rows: rows["age"], "returned Series"),
    "fewer rows": (lambda rows: rows[["age"]].iloc[1:], "59 rows for 60"),
    "another index": (lambda rows: rows[["age"]].sort_values("age"), "another index"),
    "no columns": (lambda rows: rows[[]], "no columns"),
    "name twice": (lambda rows: pd.concat([rows[["age"]], rows[["age"]]], axis=1), "'age': the name occurs twice"),
    "a number as name": (lambda rows: rows[["age"]].set_axis([7], axis=1), "7: a column name is not text"),
    "the label's name": (lambda rows: rows[["age"]].rename(columns={"age": "paid"}), "'paid': it is the label"),
    "a reserved name": (lambda rows: rows[["age"]].rename(columns={"age": "score"}), "'score': the name is reserved"),
    "a hidden name": (lambda rows: rows[["age"]].rename(columns={"age": "_x"}), "'_x': the name is reserved"),
    "the key": (lambda rows: rows[["id"]], "'id': the name is reserved"),
    "infinity": (lambda rows: rows[["age"]] / 0.0, "60 infinite values, the first in row 0; use NaN"),
    "a time": (lambda rows: rows[["at"]], "dtype datetime64.*hours since"),
    "objects": (lambda rows: rows[["age"]].astype(object), "holds int .* in an object column; cast it"),
    "an id as number": (lambda rows: rows[["age"]] + 2**53, "an id is no number"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_broken_promise_names_model_column_example_and_mend(case):
    build, words = CASES[case]
    with pytest.raises(FeatureContractBroken, match=f"model 'loans', features.build.*{words}"):
        built(build)


def test_a_period_without_rows_calls_nothing():
    def build(rows):
        raise AssertionError("called")

    assert built(build, start=5, end=6).empty


@pytest.mark.fault("I4")
@settings(max_examples=30, deadline=None)
@given(st.permutations(list(raw_day(0).columns)), st.randoms(use_true_random=False))
def test_order_of_rows_and_columns_changes_nothing(columns, random):
    def build(rows):
        return rows[["income"]].assign(before=rows["age"].shift(1), mean=rows["income"].expanding().mean())

    raw = raw_day(0, rows=20)
    rows = list(range(20))
    random.shuffle(rows)
    pd.testing.assert_frame_equal(built(build, raw), built(build, raw.iloc[rows][columns]))


LEAKS = {
    "the next row": lambda rows: rows["age"].shift(-1),
    "a mean of all": lambda rows: rows["age"] - rows["age"].mean(),
    "a rank": lambda rows: rows["age"].rank(),
    "a fill from behind": lambda rows: rows["income"].bfill(),
    "a count of a level": lambda rows: rows.groupby("town")["age"].transform("size"),
    "a level of the future": lambda rows: rows["town"].shift(-1),
    "the last moment": lambda rows: (rows["at"].max() - rows["at"]).dt.total_seconds(),
}
HONEST = {
    "the row itself": lambda rows: np.log(rows["age"]),
    "a lag": lambda rows: rows["age"].shift(1),
    "a rolling mean": lambda rows: rows["income"].rolling(7, min_periods=1).mean(),
    "an expanding rank": lambda rows: rows["age"].expanding().rank(),
    "a level": lambda rows: rows["town"].ffill(),
    "a running count": lambda rows: rows.groupby("town").cumcount(),
}


@pytest.mark.fault("I29")
@pytest.mark.requirement("D38")
@pytest.mark.parametrize("name", LEAKS)
def test_a_feature_that_looks_ahead_is_found(name):
    build = code(lambda rows: pd.DataFrame({"honest": rows["age"], "guilty": LEAKS[name](rows)}))
    raw = pd.concat([raw_day(0), raw_day(1)])
    assert sees_the_future(build, declared(), raw, day(1), day(2)) == ["guilty"]


@pytest.mark.fault("I29")
@pytest.mark.parametrize("name", HONEST)
def test_a_feature_that_looks_back_is_not_accused(name):
    build = code(lambda rows: pd.DataFrame({"honest": HONEST[name](rows)}))
    raw = pd.concat([raw_day(0), raw_day(1)])
    assert sees_the_future(build, declared(), raw, day(1), day(2)) == []


def test_one_moment_has_no_future():
    raw = raw_day(0, rows=1)
    assert sees_the_future(code(lambda rows: rows[["age"]]), declared(), raw, day(0), day(1)) == []


def test_features_of_a_period_are_written_once(world):
    there = world()
    there.put_raw(raw_day(0))
    feature_code = load_features(there.declaration.folder, there.spec.features)
    first = update_features(there.stores.lake, feature_code, there.spec, "2024-01-01")
    again = update_features(there.stores.lake, feature_code, there.spec, "2024-01-01")
    assert first.columns == ["age", "hour", "income", "income_before", "town"]
    assert first.rows == 60
    assert first.write.changed
    assert not again.write.changed
    assert first.verdict is Verdict.PASS
    assert {check.name: check.verdict for check in first.checks} == {
        "output_contract": Verdict.PASS,
        "point_in_time": Verdict.PASS,
        "label_leak": Verdict.INCONCLUSIVE,
    }


def test_history_reaches_over_the_border_of_the_period(world):
    there = world(declared(features={"history_periods": 1}))
    there.put_raw(pd.concat([raw_day(0), raw_day(1)]))
    there.put_features(["2024-01-02"])
    first = there.stores.lake.read("loans", "features").iloc[0]
    before = raw_day(0)["income"].iloc[-1]
    assert first["income_before"] == before


@pytest.mark.fault("I29")
@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("def build(rows):\n    return rows[['age']].shift(-1)\n", "point_in_time"),
        ("def build(rows):\n    return rows[['paid']]\n", "output_contract"),
    ],
)
def test_nothing_is_written_when_a_check_fails_and_the_old_features_stay(world, text, check):
    there = world()
    there.put_raw(raw_day(0))
    there.put_features(["2024-01-01"])
    before = there.stores.lake.version("loans", "features")
    (there.declaration.folder / "features.py").write_text(text)
    bad = load_features(there.declaration.folder, there.spec.features)
    report = update_features(there.stores.lake, bad, there.spec, "2024-01-01")
    assert report.verdict is Verdict.FAIL
    assert [one.name for one in report.checks if one.verdict is Verdict.FAIL] == [check]
    assert report.write is None
    assert there.stores.lake.version("loans", "features") == before


@pytest.mark.fault("I14")
def test_an_empty_period_has_empty_features_and_a_missing_one_fails(world):
    there = world()
    there.put_raw(raw_day(0))
    there.stores.lake.replace_partition("loans", "raw", "2024-01-02", raw_day(1).iloc[:0])
    feature_code = load_features(there.declaration.folder, there.spec.features)
    empty = update_features(there.stores.lake, feature_code, there.spec, "2024-01-02")
    missing = update_features(there.stores.lake, feature_code, there.spec, "2024-01-03")
    assert (empty.rows, empty.verdict) == (0, Verdict.PASS)
    assert there.stores.lake.periods("loans", "features") == ["2024-01-02"]
    assert (missing.write, missing.verdict) == (None, Verdict.FAIL)
    assert "ingest it first" in missing.checks[0].words
