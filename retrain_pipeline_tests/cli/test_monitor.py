"""`retrain monitor`: one page on the terminal, as JSON, or one paragraph that says what is wrong."""

import io
import json
import math
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from retrain_pipeline.cli import monitor, places
from retrain_pipeline.monitoring.columns import PERIODS
from retrain_pipeline.monitoring.page import Page, read_page
from retrain_pipeline_tests.assets.conftest import make_project, played_folder, released

__all__ = ["make_project", "played_folder", "released"]
PARTS = (monitor._header, monitor._diagnosis, monitor._loss, monitor._maturity, monitor._columns, monitor._signals)


@pytest.fixture
def shown(retrain, released, monkeypatch):
    """Return a function that runs `retrain monitor` over the state of a released toy."""
    monkeypatch.setattr(places, "DEFS", released.folder / "models")
    return lambda *arguments: retrain("monitor", *arguments, "--home", released.folder / "state")


@pytest.mark.requirement("D5", "D27")
def test_the_page_tells_verdict_reasons_loss_columns_and_trigger(shown, released):
    result = shown("toy")
    assert result.exit_code == 0, (result.output, result.exception)
    entry = released.stores.ledger.latest("toy", "monitored").payload
    for word in (
        f"toy  week {entry['period']}  {entry['verdict']}", entry["champion"], "Diagnosis:", "validated",
        "Loss (error)", "Labels known by age in weeks", "Columns, the worst first", "Operation", "Trigger now: wait",
    ):  # fmt: skip
        assert word in result.stdout, (word, result.stdout)
    for column in ("a", "b", "ab", "kind"):
        assert any(line.split()[:1] == [column] for line in result.stdout.splitlines())


def test_json_is_canonical_and_holds_what_the_page_shows(shown, released):
    result = shown("toy", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout, parse_constant=lambda word: pytest.fail(word))
    assert list(told) == sorted(told)
    assert told["verdict"] == released.stores.ledger.latest("toy", "monitored").payload["verdict"]
    assert told["trigger"]["action"] == "wait"
    assert {one["column"] for one in told["columns"]} == {"a", "b", "ab", "kind"}


def test_a_wrong_model_or_period_is_told_with_the_nearest_word(shown):
    for arguments, word in ((("toi",), "did you mean 'toy'?"), (("toy", "--period", "2024-02-06"), "2024-02-05")):
        result = shown(*arguments)
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit), result.exception
        assert word in result.stderr


def hostile(page: Page) -> Page:
    """Return a page with names and words that are long, wide, or look like markup, and numbers that are none."""
    line = page.columns[0]
    names = ["[red]x[/red]", "[/]", "x" * 300, "漢" * 90, "a\nb", "\x1b[31m"]
    lines = [
        replace(line, column=name, words=f"{name}: [bold]up[/bold] {name}", trend=(1.0,) * PERIODS) for name in names
    ]
    signals = ({"signal": "[/]", "value": math.nan}, {"signal": "x" * 500, "value": None})
    words = "[/bold] " + "word " * 90
    return replace(page, columns=tuple(lines * 5), words=words, reasons=(words,), maturing=(words,), signals=signals)


@pytest.mark.fault("S6")
@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_page_fits_the_screen_whatever_its_names(released, width):
    page = read_page(released.stores, released.declaration.spec)
    for one in (page, hostile(page)):
        console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        for part in PARTS:
            part(console, one)
        told = console.file.getvalue()
        assert max(map(cell_len, told.splitlines())) <= width, told
        assert "\x1b" not in told
    assert "[red]x[/red]" in told
    assert "and 10 more" in told
