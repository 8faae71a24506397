"""Times are read as declared, or refused with an example."""

from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_pipeline.lake.errors import SourceRefused
from retrain_pipeline.lake.times import TimeReader

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
NAIVE = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def read(values: object, unit: str = "text", timezone: str | None = "UTC") -> list[datetime | None]:
    column = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    return TimeReader("at", unit, timezone).read(column).to_pylist()  # type: ignore[arg-type, no-any-return]


def refusal(values: object, unit: str = "text", timezone: str | None = "UTC") -> SourceRefused:
    with pytest.raises(SourceRefused) as caught:
        read(values, unit, timezone)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2024-02-29 12:00", NOON),
        ("2024-02-29T12:00:00.000001", NOON + timedelta(microseconds=1)),
        ("2024-02-29T12:00:00Z", NOON),
        ("2024-02-29T14:00:00+02:00", NOON),
        ("2024-02-29T06:30:00-0530", NOON),
    ],
)
def test_iso_texts_are_read(text: str, expected: datetime) -> None:
    assert read(pa.array([text, None])) == [expected, None]


@pytest.mark.fault("I19")
@pytest.mark.parametrize(
    "text", ["2023-02-29", "2024-13-01", "9999-12-31", "01/02/2024", "20240101", "2024", "now",
             " 2024-01-01", "2024-01-01T25:00"]
)  # fmt: skip
def test_what_is_no_time_is_missing_not_guessed(text: str) -> None:
    assert read(pa.array(["2024-02-29 12:00", text])) == [NOON, None]


@given(
    st.datetimes(min_value=NAIVE.replace(year=1900), max_value=NAIVE.replace(year=2200)), st.integers(-14 * 4, 14 * 4)
)
def test_any_moment_survives_its_iso_text(naive: datetime, quarters: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=15 * quarters)))
    assert read(pa.array([moment.isoformat()])) == [moment]


@pytest.mark.fault("I18")
def test_a_mix_of_naive_and_aware_times_is_refused_with_both() -> None:
    error = refusal(pa.array(["2024-01-01 10:00", "2024-01-01T10:00:00Z"]))
    assert error.rule == "time_mixed"
    assert "'2024-01-01 10:00'" in str(error)
    assert "'2024-01-01T10:00:00Z'" in str(error)
    reader = TimeReader("at", "text", "UTC")
    reader.read(pa.chunked_array([pa.array(["2024-01-01"])]))
    with pytest.raises(SourceRefused, match="mixes"):  # the mix may only show in a later chunk
        reader.read(pa.chunked_array([pa.array(["2024-01-01T00:00Z"])]))


@pytest.mark.fault("I18")
def test_naive_times_are_refused_when_no_zone_is_declared() -> None:
    assert refusal(pa.array(["2024-01-01 10:00"]), timezone=None).rule == "time_naive"
    assert refusal(pa.array([NAIVE]), timezone=None).rule == "time_naive"
    assert refusal(pa.array([date(2024, 1, 1)]), timezone=None).rule == "time_naive"
    assert read(pa.array(["2024-02-29T12:00Z"]), timezone=None) == [NOON]


@pytest.mark.fault("I18")
@pytest.mark.parametrize("text", [False, True])
def test_seconds_and_milliseconds_are_not_mistaken_for_each_other(text: bool) -> None:
    def numbers(*values: float) -> pa.Array:
        return pa.array([str(value) for value in values]) if text else pa.array(values)

    seconds = int(NOON.timestamp())
    assert read(numbers(seconds), "s") == [NOON]
    assert read(numbers(seconds * 1000 + 1), "ms") == [NOON + timedelta(milliseconds=1)]
    assert "looks like milliseconds" in str(refusal(numbers(seconds * 1000), "s"))
    assert "looks like seconds" in str(refusal(numbers(seconds), "ms"))


def test_epochs_that_are_no_whole_number_are_missing() -> None:
    seconds = NOON.timestamp()
    assert read(pa.array([seconds, seconds + 0.5, float("nan"), float("inf"), None]), "s") == [
        NOON,
        None,
        None,
        None,
        None,
    ]
    assert read(pa.array([str(int(seconds)), "x", "1.5", ""]), "s") == [NOON, None, None, None]


def test_numbers_without_a_declared_unit_are_refused() -> None:
    assert refusal(pa.array([1_700_000_000])).rule == "time_unit"
    assert refusal(pa.array([True]), "s").rule == "time_unit"


def test_real_timestamps_of_any_precision_and_zone_are_read() -> None:
    naive = NOON.replace(tzinfo=None)
    for kind in (pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "UTC"), pa.timestamp("ns", "Asia/Tokyo")):
        assert read(pa.array([naive if kind.tz is None else NOON], kind)) == [NOON]
    assert read(pa.array([NOON.date()])) == [datetime(2024, 2, 29, tzinfo=UTC)]
    assert read(pa.array(["2024-02-29 12:00"]).dictionary_encode()) == [NOON]
    assert read(pa.nulls(2)) == [None, None]
