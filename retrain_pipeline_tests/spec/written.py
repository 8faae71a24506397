"""Decision files, written for tests: whole by default, with any part exchanged."""

from pathlib import Path

from retrain_pipeline.spec.decision import Decision, read_decision

BECAUSE = "the effect of a has a corner that no straight line follows, and a tree of few leaves finds it in few rows"
BODY = """\
# {title}

## Context and Problem Statement
How heavy is a toy, given its size, so that nobody pays too much postage?

## Considered Options
* A tree
* A straight line

## Decision Outcome
Chosen option: a tree, because {because}.

### Consequences
* Good, because the corner is found.
* Bad, because a tree says the same of all sizes beyond the last one that it saw.

### Edge Cases
Sizes beyond the range are refused before they come here.

### How It Is Tuned
Nothing is searched: the leaf size is set.
"""


def decision_text(
    name: str = "toy-0001",
    kind: str = "architecture",
    status: str = "accepted",
    because: str = BECAUSE,
    title: str = "A tree",
    covers: tuple[str, ...] = (),
    more: str = "",
    body: str | None = None,
) -> str:
    """Return the text of a decision file.

    Parameters
    ----------
    more
        Further lines of the front matter.
    body
        What stands below it instead.
    """
    makers = "" if "decision-makers" in more else 'decision-makers: ["team:toys"]\n'
    listed = f", covers: [{', '.join(covers)}]" if covers else ""
    head = f"id: {name}\nschema: 1\nstatus: {status}\ndate: 2024-01-01\n{makers}subject: {{kind: {kind}{listed}}}\n"
    review = "" if "review_by" in more else "review_by: 2025-01-01\n"
    return f"---\n{head}{review}{more}---\n{BODY.format(title=title, because=because) if body is None else body}"


def write_decision(folder: Path, file: str, **parts: object) -> Decision:
    """Write a decision file into a model's folder and return the decision."""
    (folder / "decisions").mkdir(parents=True, exist_ok=True)
    path = folder / "decisions" / file
    path.write_text(decision_text(**parts), encoding="utf-8")  # type: ignore[arg-type]
    return read_decision(path)
