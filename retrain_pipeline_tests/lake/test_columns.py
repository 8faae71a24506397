"""Values are read strictly: spelled as the type, or refused."""

import math
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retrain_pipeline.lake.columns import Typed, WrongType, read_column

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,9})?", re.ASCII)


def read(values: object, dtype: str, text: bool = True, **options: object) -> Typed:
    return read_column(pa.chunked_array([values]), dtype, text=text, **options)  # type: ignore[arg-type]


def rules(typed: Typed) -> list[str]:
    return [rule for rule, _, _ in typed.refused]


@given(
    st.lists(
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, max_value=2.0**52, min_value=-(2.0**52)))
    )
)
def test_floats_survive_their_text(values: list[float | None]) -> None:
    typed = read(pa.array([None if value is None else repr(value) for value in values], pa.string()), "float")
    assert typed.values.to_pylist() == values
    assert typed.refused == []


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1))))
def test_ints_survive_their_text(values: list[int | None]) -> None:
    typed = read(pa.array([None if value is None else str(value) for value in values], pa.string()), "int")
    assert typed.values.to_pylist() == values
    assert typed.refused == []


@given(st.text(alphabet="0123456789+-.eE_x ,naif\t١", min_size=1, max_size=8), st.booleans())
@example("1e400", True)
@example("+5", False)
@example(".", True)
@example("nan", True)
def test_a_cell_is_a_number_exactly_when_it_is_spelled_as_one(cell: str, beside_a_bad_one: bool) -> None:
    column = pa.array([cell, "x"] if beside_a_bad_one else [cell])
    typed = read(column, "float")
    refused = any(mask[0] for _, mask, _ in typed.refused)
    fits = _NUMBER.fullmatch(cell) is not None and math.isfinite(float(cell))
    precise = not (re.fullmatch(r"[+-]?\d{16,}", cell) and abs(float(cell)) >= 2**53)
    assert refused != (fits and precise)
    assert typed.values[0].as_py() == (float(cell) if fits and precise else None)


def test_a_label_may_keep_its_infinities() -> None:
    typed = read(pa.array(["inf", "-inf", "nan", "1"]), "float", finite=False)
    assert np.array_equal(typed.values.to_pylist(), [math.inf, -math.inf, math.nan, 1.0], equal_nan=True)
    assert typed.refused == []


@pytest.mark.fault("I21")
def test_sentinels_are_missing_whatever_they_look_like() -> None:
    sentinels = {"missing": (-999, "n/a")}
    assert read(pa.array(["-999", "-999.00", "n/a", "-99"]), "float", **sentinels).values.to_pylist() == [
        None,
        None,
        None,
        -99,
    ]
    assert read(pa.array([-999, 1]), "int", text=False, **sentinels).values.to_pylist() == [None, 1]
    assert read(pa.array([-999.0, 1.5]), "float", text=False, **sentinels).values.to_pylist() == [None, 1.5]
    assert read(pa.array([True]), "bool", text=False, **sentinels).values.to_pylist() == [True]
    assert read(pa.array(["n/a", "-999", "x"]), "string", text=False, **sentinels).values.to_pylist() == [
        None,
        None,
        "x",
    ]


@pytest.mark.fault("I31")
def test_numbers_that_would_lose_digits_are_refused() -> None:
    assert rules(read(pa.array([2**53, 1]), "float", text=False)) == ["precision"]
    assert rules(read(pa.array([2**64 - 1], pa.uint64()), "int", text=False)) == ["overflow"]
    assert rules(read(pa.array([2.0**60, 0.5, 3.0]), "int", text=False)) == ["precision", "dtype"]
    assert read(pa.array([1e20, 1.0]), "float", text=False).refused == []  # a measure, not an id


def test_types_of_the_source_are_taken_as_they_are() -> None:
    from datetime import UTC, date, datetime
    from decimal import Decimal

    assert read(pa.array([Decimal("1.5"), None]), "float", text=False).values.to_pylist() == [1.5, None]
    assert read(pa.array([1, 2], pa.uint8()), "int", text=False).values.type == pa.int64()
    assert read(pa.array(["a", "b", "a"]).dictionary_encode(), "category", text=False).values.to_pylist() == [
        "a",
        "b",
        "a",
    ]
    assert read(pa.array(["a"], pa.large_string()), "string", text=False).values.type == pa.string()
    assert read(pa.array([date(2024, 1, 1)]), "timestamp", text=False).values.to_pylist() == [
        datetime(2024, 1, 1, tzinfo=UTC)
    ]
    assert read(pa.array([7, 8]), "category", text=False).values.to_pylist() == ["7", "8"]
    assert read(pa.nulls(2), "int", text=False).values.type == pa.int64()
    assert rules(read(pa.array(["2024-01-01", "soon"]), "timestamp")) == ["dtype"]


@pytest.mark.fault("I5")
@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["1"], "int"), (["1"], "float"), ([1], "string"), ([1], "bool"), ([1.0], "category"), ([b"x"], "string"),
        ([1], "timestamp"), ([True], "float"), ([True], "int"),
    ],
)  # fmt: skip
def test_a_type_that_cannot_carry_the_declared_one_is_refused(values: list[object], dtype: str) -> None:
    with pytest.raises(WrongType):
        read(pa.array(values), dtype, text=False)
