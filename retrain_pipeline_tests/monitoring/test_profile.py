"""Profiles: what is counted, and that two passes add up to one."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_pipeline.canonical import canonical_json, parse_json
from retrain_pipeline.monitoring.errors import ProfilesDiffer
from retrain_pipeline.monitoring.profile import TOP_LEVELS, profile, profile_lazy
from retrain_pipeline.monitoring.summaries import Profile, grid_of, merge_profiles

numbers = st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(-3, 3).map(float))
levels = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "", "other", "é"]))
rows = st.lists(st.tuples(numbers, levels), max_size=60)


def frame_of(values: list) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "x": pd.Series([x for x, _ in values], dtype="float64"),
            "c": pd.Series([c for _, c in values], dtype="object"),
        }
    )


@settings(max_examples=150, deadline=None)
@given(reference=rows, parts=st.lists(rows, min_size=1, max_size=4))
def test_merged_profiles_equal_one_pass(reference, parts):
    edges = profile(frame_of(reference)).edges
    merged = merge_profiles([profile(frame_of(part), edges) for part in parts])
    once = profile(frame_of([row for part in parts for row in part]), edges)
    assert merged == once
    assert Profile.from_json(parse_json(canonical_json(merged.to_json()))) == once


@settings(max_examples=100, deadline=None)
@given(rows)
def test_every_row_is_counted_once_and_json_gives_the_profile_back(values):
    found = profile(frame_of(values))
    x, c = found.columns["x"], found.columns["c"]
    assert sum(x.counts) + x.below + x.above == x.count
    assert x.count + x.nulls == len(values) == c.count + c.nulls
    assert x.out_of_range == 0  # of the reference itself
    assert Profile.from_json(parse_json(canonical_json(found.to_json()))) == found
    json.dumps(found.to_json(), allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(reference=rows, values=rows)
def test_a_streamed_table_leaves_the_summary_of_the_frame(reference, values):
    edges = profile(frame_of(reference)).edges
    frame = frame_of(values)
    assert profile_lazy(pl.from_pandas(frame.astype({"c": "string"})).lazy(), edges) == profile(frame, edges)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50))
def test_moments_are_those_of_the_values_to_a_step_of_the_grid(values):
    found = profile(pd.DataFrame({"x": values})).columns["x"]
    step = grid_of(found.edges)[1]
    assert found.mean == pytest.approx(np.mean(values), abs=step + 1e-12 * 1e9)
    assert found.std == pytest.approx(np.std(values), abs=2 * step + 1e-6)


def test_extremes_infinities_and_gaps_are_counted_and_spoil_no_sum():
    edges = profile(pd.DataFrame({"x": np.linspace(0, 1, 101)})).edges
    odd = pd.DataFrame({"x": [0.5, 1e300, -1e300, np.inf, -np.inf, np.nan]})
    found = profile(odd, edges).columns["x"]
    assert (found.count, found.nulls, found.below, found.above) == (3, 3, 1, 1)
    assert (found.min, found.max) == (-1e300, 1e300)
    assert found.total == 0
    parts = [profile(odd.iloc[[i]], edges) for i in range(len(odd))]
    assert merge_profiles(parts[::-1]) == profile(odd, edges)
    json.dumps(profile(odd, edges).to_json(), allow_nan=False)


def test_a_profile_of_the_first_schema_is_still_read():
    now = profile(pd.DataFrame({"x": np.linspace(0, 10, 1001)}))
    old = now.to_json()
    column = old["columns"]["x"]
    column |= {"mean": 5.0, "m2": 1001 * column["counts"][0]}
    del column["total"], column["squares"]
    read = Profile.from_json({**old, "schema": "profile/1"}).columns["x"]
    assert read.counts == now.columns["x"].counts
    assert read.mean == pytest.approx(5.0, abs=1e-3)
    assert read.m2 == pytest.approx(column["m2"], rel=1e-3)


@pytest.mark.parametrize(
    ("values", "bins"),
    [
        ([0.0] * 95 + [1.0] * 5, 2),  # a rare flag
        ([0.0] * 5 + [1.0] * 95, 2),
        ([float(i % 7) for i in range(1000)], 7),
        (list(np.linspace(0, 1, 1000)), 10),
        ([5.0] * 1500 + [1.0, 2.0] + list(np.linspace(3, 4, 100)), 2),  # nearly all the highest value
        ([4.0] * 50, 1),
    ],
)
def test_cells_tell_values_apart(values, bins):
    found = profile(pd.DataFrame({"x": values})).columns["x"]
    assert len(found.counts) == bins
    assert all(found.counts)


def test_values_on_an_edge_belong_to_the_bin_below_and_outside_is_outside():
    reference = profile(pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]}))
    now = profile(pd.DataFrame({"x": [-1.0, 0.0, 1.0, 1.5, 3.0, 3.1, np.nan]}), reference.edges).columns["x"]
    assert now.edges == (0.0, 0.0, 1.0, 2.0, 3.0)
    assert (now.below, now.counts, now.above, now.nulls) == (1, (1, 1, 1, 1), 1, 1)


@pytest.mark.fault("I26")
def test_an_id_as_a_category_stays_small():
    frame = pd.DataFrame({"id": [f"user-{i}" for i in range(20_000)]})
    found = profile(frame)
    assert len(found.columns["id"].counts) == TOP_LEVELS
    assert found.columns["id"].other == 20_000 - TOP_LEVELS
    assert len(canonical_json(found.to_json())) < 5_000


def test_bools_are_numbers_categories_are_text_and_our_own_columns_are_left_out():
    frame = pd.DataFrame({"b": [True, False], "k": pd.Categorical(["u", None]), "_period": ["p", "p"]})
    found = profile(frame)
    assert set(found.columns) == {"b", "k"}
    assert found.columns["b"].edges == (0.0, 0.0, 1.0)
    assert (found.columns["k"].counts, found.columns["k"].nulls) == ((1,), 1)


def test_a_reference_of_nothing_counts_everything_as_beyond():
    edges = profile(pd.DataFrame({"x": pd.Series([None, None], dtype="float64"), "c": [None, None]})).edges
    now = profile(pd.DataFrame({"x": [1.0, 2.0], "c": ["a", None]}), edges)
    assert (now.columns["x"].above, now.columns["x"].mean) == (2, 1.5)
    assert (now.columns["c"].other, now.columns["c"].nulls) == (1, 1)


def test_what_was_counted_in_other_cells_is_not_added_up():
    one = profile(pd.DataFrame({"x": [1.0, 2.0], "c": ["a", "b"]}))
    other = profile(pd.DataFrame({"x": [1.0, 3.0], "c": ["a", "b"]}))
    with pytest.raises(ProfilesDiffer, match="edges of one reference"):
        one.merge(other)
    with pytest.raises(ProfilesDiffer, match="levels"):
        one.merge(profile(pd.DataFrame({"x": [1.0, 2.0], "c": ["a", "z"]})))
    with pytest.raises(ProfilesDiffer, match="in one profile only"):
        one.merge(profile(pd.DataFrame({"x": [1.0, 2.0]})))
    with pytest.raises(ProfilesDiffer, match="a number in one profile"):
        one.merge(profile(pd.DataFrame({"x": ["1", "2"], "c": ["a", "b"]})))
    with pytest.raises(ProfilesDiffer, match="now holds text"):
        profile(pd.DataFrame({"x": ["high"], "c": ["a"]}), one.edges)
    with pytest.raises(ProfilesDiffer, match="no profile"):
        merge_profiles([])
