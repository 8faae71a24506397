"""The log is found by words and by time, and what is exported of it forges no line, formula or colour."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_pipeline.canonical import canonical_json, parse_json
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.records.history import UnknownVersion
from retrain_pipeline.records.log import COLUMNS, ExportRefused, cell, exported, log, spelt

HOSTILE = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "  =1",
    "line\n99,2026-01-01,,released,v9,forged,person:boss",
    '{"seq":99}\n{"action":"released"}',
    "\x1b[31mred\x1b[0m \x9b31m",
    "a\u2028b\u2029c\u202ed\x85e\x0bf",
    'quote " and , comma',
]


@pytest.fixture
def entered(stores):
    """Entries of one model, their reasons hostile."""
    for at, text in enumerate(HOSTILE):
        stores.ledger.append(NewEntry("person:ann", "halted", "toy", f"s{at}", {"because": text}))
    stores.ledger.append(NewEntry("person:bob", "resumed", "toy", None, {"because": "Labels are GOOD again"}))
    return stores


@pytest.mark.requirement("A22")
def test_the_log_is_found_by_all_words_whatever_their_case(entered):
    assert len(log(entered, "toy")) == len(HOSTILE) + 1
    assert [one.actor for one in log(entered, "toy", grep="good LABELS")] == ["person:bob"]
    assert [one.action for one in log(entered, "toy", grep="person:bob")] == ["resumed"]
    assert log(entered, "toy", grep="labels bad") == []
    with pytest.raises(UnknownVersion):
        log(entered, "other")


@pytest.mark.requirement("A22")
def test_the_log_is_read_as_of_a_moment(entered):
    whole = log(entered, "toy")
    until = datetime.fromisoformat(whole[3].at_utc)
    assert [one.seq for one in log(entered, "toy", until=until)] == [one.seq for one in whole[:4]]
    assert log(entered, "toy", until=datetime(2000, 1, 1, tzinfo=UTC)) == []


@pytest.mark.fault("I34")
def test_no_cell_of_the_csv_is_a_formula_and_the_text_is_kept(entered):
    data = exported(log(entered, "toy"), "csv").decode()
    head, *rows = csv.reader(io.StringIO(data))
    assert tuple(head) == COLUMNS
    assert len(rows) == len(HOSTILE) + 1
    assert len(data.splitlines()) == len(rows) + 1
    for row, text in zip(rows, HOSTILE, strict=False):
        told = row[COLUMNS.index("words")]
        assert told.removeprefix("'") == spelt(text)
        for value in row:
            assert not value.lstrip().startswith(("=", "+", "-", "@"))
            assert value.isprintable()


@pytest.mark.fault("S8", "S11")
def test_no_value_forges_a_line_of_json(entered):
    entries = log(entered, "toy")
    data = exported(entries, "jsonl").decode()
    lines = data.splitlines()  # splits at whatever any reader may take for the end of a line
    assert len(lines) == len(entries)
    assert data.replace("\n", "").isprintable()
    for line, entry in zip(lines, entries, strict=True):
        value = parse_json(line)
        assert value["payload"] == entry.payload
        assert value["seq"] == entry.seq
    assert lines[-1] == canonical_json(parse_json(lines[-1])).decode()


@pytest.mark.fault("I34", "S11")
@given(st.text(max_size=40))
def test_whatever_the_text_a_cell_is_one_line_and_no_formula(text):
    told = str(cell(text))
    assert len(told.splitlines()) <= 1
    assert not told.lstrip().startswith(("=", "+", "-", "@"))
    assert json.loads(spelt(json.dumps(text, ensure_ascii=False))) == text


def test_another_form_is_refused(entered):
    with pytest.raises(ExportRefused, match=r"\.csv or \.jsonl"):
        exported(log(entered, "toy"), "xlsx")
