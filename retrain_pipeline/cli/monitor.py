"""`retrain monitor`: a monitored period on the terminal, from the stores alone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from retrain_pipeline.canonical import canonical_json
from retrain_pipeline.cli.show import STYLE, number
from retrain_pipeline.monitoring.columns import PERIODS, ColumnLine
from retrain_pipeline.monitoring.page import Page, read_page
from retrain_pipeline.monitoring.sparks import sparkline
from retrain_pipeline.records.monitored import share
from retrain_pipeline.spec.model import ModelSpec

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores
    from retrain_pipeline.triggers.policy import TriggerDecision

WIDE = 120
"""From so many columns on a table has room for words, thresholds and half a year of bars."""
_NARROW_BARS = 13
_MAX_ROWS = 20
_MAX_SIGNAL_COLUMNS = 6


def show_monitor(console: Console, stores: "Stores", spec: ModelSpec, period: str | None, as_json: bool) -> None:
    """Print the page of a period, by default the newest, and what the trigger would do now."""
    from retrain_pipeline.triggers.policy import decide
    from retrain_pipeline.triggers.state import read_state

    page = read_page(stores, spec, period)
    # whether a retrain is in flight only the orchestrator knows; the stores know what was asked and how it ended
    decision = decide(read_state(stores.ledger, spec, in_flight=False))
    if as_json:
        told = {**page.to_json(), "trigger": {"action": decision.action, "reasons": list(decision.reasons)}}
        typer.echo(canonical_json(told))
        return
    for part in (_header, _diagnosis, _loss, _maturity, _columns, _operation, _signals):
        part(console, page)
    _trigger(console, decision)


def _title(console: Console, text: str) -> None:
    console.print(f"\n[bold]{escape(text)}[/bold]", highlight=False)


def _line(console: Console, text: str, style: str = "") -> None:
    """Print a line, wrapped under its beginning."""
    console.print(Padding(_text(text, style), (0, 0, 0, 2)))


def _text(value: str, style: str = "") -> Text:
    """Return what people or data wrote as text: never as markup, and without what a terminal would obey."""
    return Text("".join(one if one.isprintable() else " " for one in value), style=style)


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)


def _header(console: Console, page: Page) -> None:
    style = STYLE.get(page.verdict, "white")
    head = f"[bold]{escape(page.model)}[/bold]  {page.cadence} {page.period}  [bold {style}]{page.verdict}[/]"
    console.print(head, highlight=False)
    if page.champion is None:
        told = "no champion yet"
    else:
        old = page.champion_age_periods
        aged = "" if old is None else f", data {old} {page.cadence}{'' if old == 1 else 's'} old"
        since = "" if page.serving == page.champion else f"; by now {page.serving} serves"
        told = f"champion {page.champion}{aged}{since}"
    _line(console, f"{told}; as of {page.as_of:%Y-%m-%d %H:%M} UTC")
    _line(console, page.words, style)


def _diagnosis(console: Console, page: Page) -> None:
    _title(console, f"Diagnosis: {page.cause.replace('_', ' ')}")
    for reason in page.reasons:
        _line(console, f"· {reason}")


def _loss(console: Console, page: Page) -> None:
    _title(console, f"Loss ({page.metric})")
    judged, guess = page.performance, page.estimated or {}
    table = _table()
    for name in ("", "loss", "95 % interval", "n"):
        table.add_column(name, justify="left" if not name else "right")
    mean, half = judged["mean"], page.half
    table.add_row("validated", number(judged["validated"]), "", "")
    measured = "" if mean is None or half is None else _interval(max(mean - half, 0.0), mean + half)
    table.add_row("measured", number(mean), measured, str(judged["n"]))
    table.add_row(
        "estimated without labels", number(guess.get("estimate")), _interval(guess.get("low"), guess.get("high")), ""
    )
    console.print(Padding(table, (0, 0, 0, 2)))
    if judged["words"] not in page.words:
        _line(console, f"{judged['verdict']}: {judged['words']}", STYLE.get(judged["verdict"], ""))
    if guess:
        _line(console, str(guess["words"]), "dim")
    if page.earlier:
        inside = sum(one.inside for one in page.earlier)
        marks = "".join("✓" if one.inside else "✗" for one in page.earlier[-PERIODS:])
        _line(console, f"{inside} of {len(page.earlier)} earlier estimates held, the newest last: {marks}")


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def _maturity(console: Console, page: Page) -> None:
    if not page.known_by_age:
        return
    known = page.known_by_age
    last = next((age for age, one in enumerate(known) if one >= known[-1]), 0)  # after it nothing more comes
    ages = ", ".join(f"{age}: {one:.0%}" for age, one in enumerate(known[: last + 1]))
    _title(console, f"Labels known by age in {page.cadence}s")
    _line(console, f"{sparkline(known[: last + 1])}  {ages}")
    for words in page.maturing:
        _line(console, words, "dim")
    if page.unlabelled_periods:
        _line(console, f"of {page.unlabelled_periods} {page.cadence}s no label is known yet", "dim")


def _columns(console: Console, page: Page) -> None:
    _title(console, "Columns, the worst first")
    if not page.columns:
        _line(console, str(page.drift["words"]), STYLE.get(page.drift["verdict"], ""))
        return
    wide = console.width >= WIDE
    table = _table()
    table.add_column("column", no_wrap=True, overflow="ellipsis", max_width=32 if wide else 18)
    table.add_column("", no_wrap=True)
    table.add_column("moved")  # alone is wrapped on a narrow screen
    for name in ("of", "missing", "unseen") if wide else ():
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("past", "now"):
        table.add_column(name, no_wrap=True)
    for one in page.columns[:_MAX_ROWS]:
        table.add_row(*_column_cells(one, wide))
    console.print(Padding(table, (0, 0, 0, 2)))
    if more := page.columns[_MAX_ROWS:]:
        drifted = sum(one.verdict == "FAIL" for one in more)
        _line(console, f"and {len(more)} more, {drifted} of them drifted")
    limit = "of: what chance and the minimum effect allow" if wide else "?: cannot tell"
    legend = "past: ▇ at the threshold or beyond; now: rows per cell against training, ▃ as many, ▁ half, ▇ twice"
    _line(console, f"{limit}; {legend}", "dim")
    _line(console, f"predictions: {page.prediction_drift['words']}", STYLE.get(page.prediction_drift["verdict"], ""))


def _column_cells(one: ColumnLine, wide: bool) -> list[Text]:
    short = {"PASS": "ok", "FAIL": "DRIFT", "INCONCLUSIVE": "?"}[one.verdict]
    odd = [f"{share(value)} {what}" for what, value in (("missing", one.missing), ("unseen", one.unseen)) if value]
    moved = one.moved if wide or not odd else f"{', '.join(odd)}; {one.moved}"
    cells = [one.column, short, moved]
    if wide:
        cells += [number(one.threshold), share(one.missing), share(one.unseen)]
    bars = sparkline(one.trend, width=PERIODS if wide else _NARROW_BARS)
    style = STYLE[one.verdict]
    return [_text(cell, style if at == 1 else "") for at, cell in enumerate([*cells, bars, one.shape])]


def _operation(console: Console, page: Page) -> None:
    told = page.operation
    _title(console, "Operation")
    latency = f"latency {number(told['latency_ms_mean'])} ms mean, {number(told['latency_ms_p95'])} ms p95"
    counts = f"{told['missing'] or 0} values missing, {told['unseen'] or 0} unseen in training"
    _line(console, f"{told['rows']} rows; {latency}; {counts}; {told['new_labels_since_champion']} new labels")


def _signals(console: Console, page: Page) -> None:
    """Print the table of signals, whatever its columns: those with something in them, the first few."""
    if not page.signals:
        return
    _title(console, "Signals")
    names = [name for name in page.signals[0] if any(_told(row, name) for row in page.signals)][:_MAX_SIGNAL_COLUMNS]
    table = _table()
    for name in names:
        table.add_column(_text(name))
    for row in page.signals[:_MAX_ROWS]:
        table.add_row(*(_text(_told(row, name)) for name in names))
    console.print(Padding(table, (0, 0, 0, 2)))
    if len(page.signals) > _MAX_ROWS:
        _line(console, f"and {len(page.signals) - _MAX_ROWS} more")


def _told(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if value is None or value != value:
        return ""
    return number(value) if isinstance(value, float) else str(value)


def _trigger(console: Console, decision: "TriggerDecision") -> None:
    _title(console, f"Trigger now: {decision.action}")
    for reason in decision.reasons:
        _line(console, f"· {reason}")
