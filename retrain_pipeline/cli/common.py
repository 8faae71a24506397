"""What all commands share: the console, the options that most take, and how a refusal is told."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from retrain_pipeline.errors import RetrainError

PIPED_WIDTH = 200
"""Columns of a table that goes into a file or a pipe: there is no screen, and a cell cut short would be lost."""
console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
Home = Annotated[
    Path | None, typer.Option(help="Where lake, artifacts and ledger live. Default: RETRAIN_HOME, else data/state.")
]
Model = Annotated[str, typer.Argument(help="The model's name.")]


@contextmanager
def refusals_told() -> Iterator[None]:
    """Tell a refusal, or what the system refuses, as one red paragraph and exit with 1, without a traceback."""
    try:
        yield
    except (RetrainError, OSError) as error:
        Console(stderr=True, soft_wrap=True).print(f"[red]{type(error).__name__}[/red]", end=" ")
        Console(stderr=True, soft_wrap=True).print(str(error), markup=False, highlight=False)
        raise typer.Exit(1) from error


Because = Annotated[str, typer.Option(help="The reason, for the record.")]
