"""The grammar of names, the spelling of JSON, the calendar and the three verdicts."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from retrain_pipeline.canonical import NotCanonical, canonical_json, digest_of, parse_json, sha256
from retrain_pipeline.names import NameRefused, check_name
from retrain_pipeline.periods import Calendar, PeriodRefused, as_utc
from retrain_pipeline.verdicts import Verdict, worst

GOOD = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
EXACT = 2**53 - 1
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers(-EXACT, EXACT) | FLOATS | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


@pytest.mark.fault("S3", "I44")
@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "../x",
            "..",
            ".",
            "..\\x",
            "%2e%2e",
            "%252e",
            "/etc",
            "\\\\host\\share",
            "a/b",
            "a\\b",
            "a\0",
            "a\n",
            "\na",
        ),
        *(
            "-a",
            "_a",
            "a" * 64,
            "a" * 300,
            "con",
            "nul",
            "com1",
            "lpt9",
            "CON",
            "Bike",
            "a b",
            "a.b",
            "\u00e9",
            "e\u0301",
        ),
        *("a\u202eb", "a\u200b", "\u00b2", "\u0661", "\uff41", "~", "$HOME", "a:b", "a\r", " a", "a ", None, 7, b"a"),
    ],
)
def test_names_that_could_be_something_else_are_refused(name):
    with pytest.raises(NameRefused) as caught:
        check_name(name, "model")
    assert "model name" in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@pytest.mark.fault("S3", "I44")
@pytest.mark.dagster_fact("K7")
@given(st.text(max_size=80) | GOOD)
def test_a_name_is_accepted_exactly_when_it_follows_the_grammar(name):
    devices = {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(10)}
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789_-")
    expected = 0 < len(name) <= 63 and set(name) <= allowed and name[0] not in "_-" and name not in devices
    try:
        assert check_name(name, "model") == name
        accepted = True
    except NameRefused:
        accepted = False
    assert accepted == expected


@pytest.mark.fault("I44")
@given(GOOD, GOOD)
def test_two_accepted_names_never_share_a_file_on_a_file_system_that_ignores_case(one, other):
    assume(one != other)
    assert one.casefold() != other.casefold()


@given(VALUES)
def test_canonical_text_is_read_and_written_again_the_same(value):
    text = canonical_json(value)
    assert canonical_json(parse_json(text)) == text
    assert canonical_json(parse_json(text.decode())) == text
    assert digest_of(value) == sha256(text)


@given(st.dictionaries(st.text(), SCALARS))
def test_the_order_of_keys_does_not_matter(value):
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@given(FLOATS)
def test_a_number_keeps_its_value(number):
    assert float(parse_json(canonical_json(number))) == number
    assert float(json.loads(canonical_json(number))) == number


@pytest.mark.parametrize("number", [1e20, -1e20, 2.0**53, 1e16, 1.2345678901234568e20, 1.8e307, 5e-324])
def test_a_large_number_round_trips(number):
    text = canonical_json({"loss": number})
    assert parse_json(text) == {"loss": number}
    assert canonical_json(parse_json(text)) == text


@given(st.integers(-EXACT, EXACT))
def test_an_exact_integer_stays_an_integer(number):
    found = parse_json(canonical_json(number))
    assert found == number
    assert type(found) is int


@pytest.mark.parametrize(
    "value",
    [
        *(float("nan"), float("inf"), -float("inf"), 2**53, -(2**53), 10**400, {"\ud800": 1}, "\ud800", ["\udfff"]),
        *({1: 2}, {None: 1}, {(1,): 1}, b"x", {1, 2}, object(), 1j, datetime(2024, 1, 1, tzinfo=UTC), date(2024, 1, 1)),
    ],
)
def test_what_json_cannot_hold_is_refused(value):
    for nested in (value, {"a": [value]}):
        with pytest.raises(NotCanonical):
            canonical_json(nested)


def test_a_value_nested_too_deeply_is_refused_in_both_directions():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotCanonical):
        canonical_json(deep)
    with pytest.raises(NotCanonical):
        parse_json("[" * 100_000 + "]" * 100_000)


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "-Infinity", "1e999", "-1e999", "9" * 400, "9" * 5000, "{", "", "{'a': 1}", b"\xff"]
)
def test_what_is_not_finite_json_is_refused(text):
    with pytest.raises(NotCanonical) as caught:
        parse_json(text)
    assert len(str(caught.value)) < 300


CALENDARS = st.one_of(
    st.builds(Calendar, st.sampled_from(["hour", "day", "week"]), st.dates(date(1990, 1, 1), date(2060, 1, 1))),
    st.builds(lambda day: Calendar("month", day.replace(day=1)), st.dates(date(1990, 1, 1), date(2060, 1, 1))),
)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2070, 1, 1), timezones=st.timezones())  # noqa: DTZ001


@given(CALENDARS, MOMENTS)
def test_every_moment_lies_in_exactly_the_period_of_its_key(calendar, moment):
    assume(moment >= calendar.origin)
    start, end = calendar.bounds(calendar.key(moment))
    assert start <= moment < end
    assert start.utcoffset() == end.utcoffset() == timedelta(0)
    assert calendar.key(start) == calendar.key(moment) != calendar.key(end)
    assert calendar.newest_complete(end) == calendar.key(start)
    assert calendar.newest_complete(end - timedelta(microseconds=1)) != calendar.key(start)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d(-\d\d)?", calendar.key(moment))
    check_name(calendar.key(moment), "partition")


@given(CALENDARS, st.integers(0, 400), st.integers(0, 40))
def test_periods_follow_each_other_without_gap_or_overlap(calendar, skipped, count):
    first = calendar.shift(calendar.origin, skipped)
    last = calendar.shift(first, count)
    keys = calendar.keys_between(first, last)
    assert len(keys) == count == calendar.periods_since(first, last)
    for one, other in pairwise(keys):
        assert calendar.bounds(one)[1] == calendar.bounds(other)[0]
        assert one < other
    assert calendar.shift(last, -count) == first


@pytest.mark.fault("G20")
@pytest.mark.parametrize(
    ("cadence", "key", "before"),
    [
        ("hour", "2025-03-05-13", "2024-03-06-13"),
        ("day", "2025-03-05", "2024-03-06"),
        ("week", "2024-12-30", "2024-01-01"),
        ("week", "2024-12-23", None),
        ("month", "2025-02-01", "2024-02-01"),
    ],
)
def test_the_same_part_of_the_year_before_is_on_the_same_weekday(cadence, key, before):
    assert Calendar(cadence, date(2024, 1, 1)).year_before(key) == before


@given(CALENDARS, st.text(max_size=20))
def test_a_key_that_names_no_period_is_refused(calendar, key):
    try:
        start, _ = calendar.bounds(key)
    except PeriodRefused:
        return
    assert calendar.key(start) == key
    assert start >= calendar.origin


@pytest.mark.parametrize("key", ["2024-01-02", "2023-12-25", "2024-1-8", "2024-02-30", "", "2024-01-08\n", "x" * 500])
def test_weeks_start_on_the_declared_weekday_and_not_before_the_start(key):
    calendar = Calendar("week", date(2024, 1, 1))
    assert calendar.bounds("2024-01-08")[0] == datetime(2024, 1, 8, tzinfo=UTC)
    with pytest.raises(PeriodRefused) as caught:
        calendar.bounds(key)
    assert len(str(caught.value)) < 300


def test_times_without_a_zone_and_months_that_start_late_are_refused():
    with pytest.raises(PeriodRefused, match="no time zone"):
        as_utc(datetime(2024, 1, 1))  # noqa: DTZ001
    with pytest.raises(PeriodRefused, match="first day of a month"):
        Calendar("month", date(2024, 1, 2))


@given(st.lists(st.sampled_from(Verdict)))
def test_nothing_but_passes_is_a_pass(verdicts):
    found = worst(verdicts)
    assert (found is Verdict.PASS) == (set(verdicts) == {Verdict.PASS})
    assert (found is Verdict.FAIL) == (Verdict.FAIL in verdicts)
    assert found is worst(reversed(verdicts))
