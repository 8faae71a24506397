"""The ML Test Score (Breck et al., "The ML Test Score: a rubric for ML production readiness", IEEE Big Data 2017).

28 items in four sections; each is 1 where a check is automated and its newest execution passed, a half where it is so
in part or by hand, 0 without evidence. The score is the least of the four sums. Nothing is claimed: each item is a
function of the record, with links to the entries that it rests on.
"""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, model_validator

from retrain_pipeline.records.audit.examined import Answer, Examined, Link
from retrain_pipeline.records.audit.items import data, infrastructure, model, monitoring
from retrain_pipeline.records.render import escape_markdown
from retrain_pipeline.strict import Strict

Section = Literal["data", "model", "infrastructure", "monitoring"]
ITEMS: dict[Section, tuple[tuple[str, Callable[[Examined], Answer]], ...]] = {
    "data": (
        ("D1", data.d1), ("D2", data.d2), ("D3", data.d3), ("D4", data.d4), ("D5", data.d5), ("D6", data.d6),
        ("D7", data.d7),
    ),
    "model": (
        ("M1", model.m1), ("M2", model.m2), ("M3", model.m3), ("M4", model.m4), ("M5", model.m5), ("M6", model.m6),
        ("M7", model.m7),
    ),
    "infrastructure": (
        ("I1", infrastructure.i1), ("I2", infrastructure.i2), ("I3", infrastructure.i3), ("I4", infrastructure.i4),
        ("I5", infrastructure.i5), ("I6", infrastructure.i6), ("I7", infrastructure.i7),
    ),
    "monitoring": (
        ("Mo1", monitoring.o1), ("Mo2", monitoring.o2), ("Mo3", monitoring.o3), ("Mo4", monitoring.o4),
        ("Mo5", monitoring.o5), ("Mo6", monitoring.o6), ("Mo7", monitoring.o7),
    ),
}  # fmt: skip


class Item(Strict):
    """One item: what it asks, what it comes to, and the evidence."""

    id: str
    section: Section
    title: str
    score: float
    words: str = Field(min_length=1)
    """What was found; without a full score, what would give it."""
    links: tuple[Link, ...]

    @model_validator(mode="after")
    def _nothing_is_claimed(self) -> "Item":
        if self.score not in (0, 0.5, 1):
            raise ValueError(f"{self.id}: a score of {self.score}; there are 0, 0.5 and 1")
        if self.score == 1 and not self.links:
            raise ValueError(f"{self.id}: a full score without a link to its evidence")
        return self


class TestScore(Strict):
    """All items, the sum of each section, and the least of these."""

    __test__ = False

    schema_: Literal["ml_test_score/1"] = Field("ml_test_score/1", alias="schema", serialization_alias="schema")
    model: str
    champion: str | None
    until_seq: int
    """The newest entry that was looked at."""
    score: float
    sections: dict[Section, float]
    items: tuple[Item, ...]

    def item(self, name: str) -> Item:
        """Return an item by its id."""
        return next(one for one in self.items if one.id == name)

    def document(self) -> dict[str, Any]:
        """Return the score as JSON values: `ml_test_score.json`."""
        return self.model_dump(mode="json", by_alias=True)


def test_score(seen: Examined) -> TestScore:
    """Return the score of a model, from its record alone."""
    items = [_item(seen, section, name, ask) for section, asked in ITEMS.items() for name, ask in asked]
    sums: dict[Section, float] = {
        section: sum((one.score for one in items if one.section == section), 0.0) for section in ITEMS
    }
    return TestScore(
        model=seen.spec.name,
        champion=seen.champion,
        until_seq=seen.entries[-1].seq if seen.entries else 0,
        score=min(sums.values()),
        sections=sums,
        items=tuple(items),
    )


test_score.__test__ = False  # type: ignore[attr-defined]


def _item(seen: Examined, section: Section, name: str, ask: Callable[[Examined], Answer]) -> Item:
    answer = ask(seen)
    title = " ".join((ask.__doc__ or "").split()).partition(":")[0]
    return Item.model_validate(
        {
            "id": name,
            "section": section,
            "title": title,
            "score": answer.score,
            "words": answer.words,
            "links": answer.links,
        }
    )


def as_markdown(score: TestScore) -> str:
    """Return the score as Markdown."""
    sums = ", ".join(f"{section} {value:g}" for section, value in score.sections.items())
    lines = [
        f"**{score.score:g} of 7**, the least of {sums}.",
        "",
        "| | item | score | evidence | |",
        "|---|---|--:|---|---|",
    ]
    for one in score.items:
        links = "; ".join(f"{link.what} (entry {link.seq}, {link.at_utc[:10]})" for link in one.links) or "none"
        cells = (one.id, one.title, f"{one.score:g}", links, one.words[:300])
        lines.append(f"| {' | '.join(map(escape_markdown, cells))} |")
    return "\n".join(lines) + "\n"
