"""Benchmarks write the tables that are committed: Markdown, with the machine on top."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join(lines + [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows])


def write_page(name: str, title: str, parts: Sequence[str]) -> Path:
    """Write a page of results; the figures are those of one run on one machine."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    machine = (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, Dagster {version('dagster')}. Written by `make bench`."
    )
    file = FOLDER / f"{name}.md"
    file.write_text("\n\n".join([f"# {title}", machine, *parts]) + "\n", encoding="utf-8")
    return file


def median(values: Sequence[float]) -> float:
    """Return the middle value (of an even number, the lower middle)."""
    return sorted(values)[(len(values) - 1) // 2]
