"""Is a decision's text a reason? Sections that are filled, options, a price, words of its own; nothing left to fill in.

Pure functions of decisions that are read; each returns what is wrong in words, and nothing where nothing is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from retrain_pipeline.spec.decision import Decision, FrontMatter
from retrain_pipeline.verdicts import Verdict

MIN_WORDS = 12
"""Distinct words that a because has at least."""
COPIED_ABOVE = 0.9
"""Likeness of two reasons (matching characters over all, of both) from which one is a copy of the other."""
REQUIRED = ("Context and Problem Statement", "Considered Options", "Decision Outcome")
OF_KIND: Mapping[str, str] = {
    "optimizer": "How It Is Tuned",
    "threshold": "Edge Cases",
}
"""What else a kind of decision must say: what is searched and when it stops; what lies at the border, and what then."""

_CHOSEN = re.compile(r"Chosen option:\s*(?P<option>.+?),?\s+because\b\s*(?P<because>.*)", re.DOTALL | re.IGNORECASE)
_ITEM = re.compile(r"^\s{0,3}[*+-]\s+(.+)$", re.MULTILINE)
_CON = re.compile(r"^\s{0,3}[*+-]\s+bad,?\s+because\s+\S", re.MULTILINE | re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_PLACEHOLDERS = (
    (re.compile(r"\b(TODO|TBD|FIXME|TBA)\b"), "TODO or TBD"),
    (re.compile(r"\blorem\b", re.IGNORECASE), "lorem ipsum"),
    (re.compile(r"\[?more information needed\]?", re.IGNORECASE), "[More Information Needed]"),
    (re.compile(r"(?<!\w)…"), "…"),
    (re.compile(r"(?<![\w.])\.\.\.(?![\w.])"), "..."),
    (re.compile(r"^[\s*+>\"'-]*n/?a[\s.\"']*$", re.MULTILINE | re.IGNORECASE), "n/a without a reason"),
)


def because_of(decision: Decision) -> str:
    """Return the because of a decision: what follows ``Chosen option: …, because`` in its outcome; else nothing."""
    found = _CHOSEN.search(decision.sections.get("Decision Outcome", ""))
    return " ".join(found["because"].split()) if found else ""


def chosen_option(decision: Decision) -> str:
    """Return the option that was chosen, as it is written there, without quotes; else nothing."""
    found = _CHOSEN.search(decision.sections.get("Decision Outcome", ""))
    return " ".join(found["option"].split()).strip("\"'“”*") if found else ""


def options_of(decision: Decision) -> list[str]:
    """Return the options that were considered."""
    return [" ".join(one.split()) for one in _ITEM.findall(decision.sections.get("Considered Options", ""))]


def text_problems(decision: Decision, others: Iterable[Decision] = ()) -> list[str]:
    """Return what keeps a decision's text from being a reason, in words.

    Parameters
    ----------
    others
        Decisions of the model: a because that is one of theirs is a copy, unless `unchanged_because` says why.
    """
    return [*_missing(decision), *placeholders(decision), *thin(decision), *copied(decision, others)]


def text_verdict(decision: Decision, others: Iterable[Decision] = ()) -> Verdict:
    """Return PASS where an accepted decision's text is whole, FAIL where not; of others it says nothing yet."""
    if decision.front.status == "proposed":
        return Verdict.INCONCLUSIVE
    return Verdict.FAIL if text_problems(decision, others) else Verdict.PASS


def accepted_problems(decisions: Sequence[Decision]) -> dict[str, list[str]]:
    """Return what is wrong with the texts of accepted decisions, by file; each is compared with those before it."""
    found = {one.file: text_problems(one, decisions[:at]) for at, one in enumerate(decisions) if one.accepted}
    return {file: problems for file, problems in found.items() if problems}


def unnamed_metric(decision: Decision, metric: str) -> list[str]:
    """Return that a decision's context does not name the business metric: the reason ends where the business begins."""
    if metric in decision.sections.get("Context and Problem Statement", ""):
        return []
    return [f"Context and Problem Statement: does not name the business metric {metric}"]


def placeholders(decision: Decision) -> list[str]:
    """Return the places of a decision that still say that somebody should write something there."""
    places = {"title": decision.title, **decision.sections, **dict(_front_texts(decision.front))}
    return [f"{place}: {words}" for place, text in places.items() for words in unfilled(text)]


def unfilled(text: str) -> list[str]:
    """Return what in a text still says that somebody should write something there.

    >>> unfilled("Because TBD")
    ['TODO or TBD is a place to fill in, not a text']
    """
    return [f"{name} is a place to fill in, not a text" for pattern, name in _PLACEHOLDERS if pattern.search(text)]


def _front_texts(front: FrontMatter) -> Iterator[tuple[str, str]]:
    for name in ("problem_domain", "model_type", "data_quality_influence", "unchanged_because"):
        yield name, str(getattr(front, name) or "")
    yield "dissent", "\n".join(front.dissent)
    yield "assumptions", "\n".join(one.text for one in front.assumptions)


def _missing(decision: Decision) -> Iterator[str]:
    if not decision.title:
        yield "no title: begin the text with a line '# …'"
    extra = OF_KIND.get(decision.front.subject.kind)
    for name in (*REQUIRED, *([extra] if extra else [])):
        # a section may consist of subsections alone only where one of them is its own
        if not decision.sections.get(name, "").strip():
            yield f"section '{name}' is missing or empty"
    if decision.sections.get("Considered Options") and len(options_of(decision)) < 2:
        yield "Considered Options: fewer than two; what else could have been done, if only nothing?"
    if decision.sections.get("Decision Outcome") and not because_of(decision):
        yield "Decision Outcome: no 'Chosen option: …, because …'"
    if not has_con(decision):
        yield "no price: a line '* Bad, because …' under Consequences or under the chosen option"


def has_con(decision: Decision) -> bool:
    """Return whether a decision names a price of what was chosen."""
    chosen = _plain(chosen_option(decision))
    return any(
        _CON.search(text)
        for name, text in decision.sections.items()
        if name == "Consequences" or (chosen and _plain(name) and (_plain(name) in chosen or chosen in _plain(name)))
    )


def thin(decision: Decision) -> Iterator[str]:
    """Yield that the because has too few words of its own."""
    words = {one.casefold() for one in _LETTERS.findall(because_of(decision))}
    if because_of(decision) and len(words) < MIN_WORDS:
        yield f"the because has {len(words)} distinct words, fewer than {MIN_WORDS}: say what speaks for it here"


def copied(decision: Decision, others: Iterable[Decision]) -> Iterator[str]:
    """Yield each other decision whose because this one's is, unless it says why it is unchanged."""
    own = _plain(because_of(decision))
    if not own or decision.front.unchanged_because:
        return
    for other in others:
        if other.file != decision.file and alike(own, _plain(because_of(other))):
            yield f"the because is that of {other.file}: write this one's own, or say why it is (unchanged_because)"


def alike(one: str, other: str) -> bool:
    """Return whether two texts are as good as the same.

    >>> alike("trees find corners", "trees find corners!"), alike("trees find corners", "ridge is enough")
    (True, False)
    """
    if not one or not other:
        return False
    match = SequenceMatcher(None, one, other, autojunk=False)
    # the two cheap ones are upper bounds of the third
    return all(ratio() >= COPIED_ABOVE for ratio in (match.real_quick_ratio, match.quick_ratio, match.ratio))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
