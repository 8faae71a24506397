"""A copy of the prepared world for each test, and how to write a decision into its folder."""

from collections.abc import Callable, Iterator
from datetime import date

import pytest

from retrain_pipeline_tests.gates.world import World, template

TODAY = date(2026, 6, 1)
DECISION = """\
---
id: {id}
schema: 1
status: {status}
date: 2026-01-05
decision-makers: ["team:toys"]
subject: {{kind: architecture}}
review_by: {review_by}
{more}---
# A tree

## Context and Problem Statement
{text}
"""


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    """A regression world: a champion at epoch 1 and two versions judged against it; no decision that cannot be read."""
    made = template().copy(tmp_path)
    for file in (made.declaration.folder / "decisions").glob("*.md"):
        file.unlink()
    yield made
    made.stores.close()


@pytest.fixture
def decide(world) -> Callable[..., None]:
    """Return a function that writes a decision."""

    def write(name: str, *, status="accepted", review_by="2027-01-01", more="", text="The effect of a has a corner."):
        values = {"id": name, "status": status, "review_by": review_by, "more": more, "text": text}
        (world.declaration.folder / "decisions" / f"{name}.md").write_text(DECISION.format(**values))

    return write
