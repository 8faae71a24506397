"""`retrain ledger demo-tamper`: each attack on a copy of the ledger, and what caught it."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger


def show_attacks(console: Console, ledger: "Ledger") -> bool:
    """Attack copies in a scratch folder, print what caught each attack, and return whether everything was caught."""
    from retrain_pipeline.ledger.attacks import attack_copies

    with tempfile.TemporaryDirectory(prefix="retrain-tamper-") as scratch:
        control, outcomes = attack_copies(ledger, Path(scratch))
    table = Table(title=f"Attacks on copies of {ledger.place}", title_justify="left")
    for column in ("attack", "what was done", "caught by", "in words"):
        table.add_column(column, overflow="fold")
    style = "green" if control.verdict is Verdict.PASS else "red"
    table.add_row("none", "an honest copy", f"[{style}]{control.verdict.value}[/]", f"{control.entries} entries")
    for one in outcomes:
        caught = f"[green]{one.caught_by}[/]" if one.caught_by else "[bold red]nothing[/]"
        table.add_row(one.attack.name, one.attack.what, caught, escape(one.words))
    console.print(table)
    missed = [one.attack.name for one in outcomes if not one.caught_by]
    console.print(f"{len(outcomes) - len(missed)} of {len(outcomes)} attacks were caught; the ledger was only read.")
    if control.verdict is not Verdict.PASS:
        console.print(f"The honest copy does not verify: {'; '.join(control.problems[:3])}", style="red", markup=False)
    return not missed and control.verdict is Verdict.PASS
