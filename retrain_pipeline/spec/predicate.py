"""An assumption that a machine can look at: ``champion.validated_loss <= 0.16``.

One name, one comparison, one value; read by hand, and nothing is ever evaluated. What a name stands for in the stores
is `records.facts`' to know; here is which names there are.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.verdicts import Verdict

Value = float | str | bool
Seen = float | str | bool | Sequence[str] | None
"""What a name is now: a number, a text, a truth, a set of texts; None: nobody knows."""

_OF_VERSION: Mapping[str, str] = {
    "version": "the version",
    "validated_loss": "the metric of problem.success on the rows that judged it",
    "validated_mean": "its mean row loss on them",
    "rows_judged": "how many rows judged it",
    "verdict": "PASS, FAIL or INCONCLUSIVE",
    "candidate": "the declared candidate that won (boosting)",
    "estimator": "its class, as a dotted path",
    "size_mb": "bytes of the model, in millions",
    "params.<name>": "a parameter that the search picked",
    "gates.<gate>.verdict": "what a gate said of it",
    "gates.<gate>.statistic": "the number that the gate compared with its threshold",
}
SOURCES: Mapping[str, str] = {
    **{f"champion.{name}": f"of the champion: {words}" for name, words in _OF_VERSION.items()},
    **{f"newest.{name}": f"of the newest version: {words}" for name, words in _OF_VERSION.items()},
    "features.used": "the features that the newest version takes (contains, excludes)",
    "features.dropped": "the features that it was given and does not use (contains, excludes)",
    "features.count": "how many it takes",
    "data.rows": "rows that it was fitted on",
    "data.periods": "periods that these rows are of",
    "data.evaluation_rows": "rows kept from training, to judge it",
    "labels.delay_days": "days from its newest labelled row to the moment that it was built as of",
    "monitored.verdict": "what the newest monitoring said",
    "monitored.loss": "mean row loss of the champion there, on mature labels",
    "monitored.relative_rise": "by how much that is more than was validated, as a share",
    "monitored.rows": "rows of the newest monitored period",
    "monitored.cause": "the cause that monitoring named",
    "monitored.latency_ms_p95": "milliseconds, 95th percentile of answering",
    "monitored.drift.verdict": "whether columns drifted",
    "monitored.drift.max_effect": "the largest shift of a column, in standard deviations of the reference",
    "monitored.drift.columns": "the columns that drifted (contains, excludes)",
    "monitored.null_share.<column>": "share of missing values of a feature in the newest monitored period",
    "spec.<path>": "a value of the declaration: spec.training.window_periods",
}
"""Every name that a predicate may use, and what it stands for; ``<…>`` stands for a part of your own."""

_NUMBERS = ("<=", ">=", "<", ">")
_SETS = ("contains", "excludes")
OPERATORS = (*_NUMBERS, "==", "!=", *_SETS)
_FORM = re.compile(r"([A-Za-z_][\w.-]*)\s*(<=|>=|==|!=|<|>|contains\b|excludes\b)\s*(\S.*)", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?")
_WORD = re.compile(r"[A-Za-z_][\w.:/-]*")
_QUOTED = re.compile(r'"([^"\\]*)"')


class PredicateRefused(PermanentError):
    """A text that is no predicate; the words say what one looks like, and which name is nearest."""


@dataclass(frozen=True)
class Predicate:
    """A name of `SOURCES`, an operator and the value to compare with."""

    name: str
    operator: str
    value: Value

    def __str__(self) -> str:
        return f"{self.name} {self.operator} {self.value}"


def parse_predicate(text: str) -> Predicate:
    """Return the predicate of a text.

    Raises
    ------
    PredicateRefused
        When it is none, or uses a name that there is not.

    Examples
    --------
    >>> parse_predicate("champion.validated_loss <= 0.16")
    Predicate(name='champion.validated_loss', operator='<=', value=0.16)
    >>> parse_predicate("features.used contains amount").value
    'amount'
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        allowed = " ".join(OPERATORS)
        raise PredicateRefused(f"predicate {text!r:.120}: expected a name, one of {allowed}, and a value")
    name, operator, spelled = found[1], found[2], found[3].strip()
    _check(name)
    return Predicate(name, operator, _value(text, operator, spelled))


def judge(predicate: Predicate, seen: Seen) -> Verdict:
    """Return PASS where the predicate holds of a value, FAIL where not; INCONCLUSIVE where nobody can say.

    >>> judge(parse_predicate("data.rows >= 4000"), None).value
    'INCONCLUSIVE'
    """
    operator, value = predicate.operator, predicate.value
    if seen is None:
        return Verdict.INCONCLUSIVE
    if operator in _SETS:
        if isinstance(seen, str | bool | float | int):
            return Verdict.INCONCLUSIVE
        return _verdict((value in seen) == (operator == "contains"))
    if operator in _NUMBERS:
        if isinstance(seen, bool) or not isinstance(seen, float | int) or not isinstance(value, float):
            return Verdict.INCONCLUSIVE
        held = {"<=": seen <= value, ">=": seen >= value, "<": seen < value, ">": seen > value}
        return _verdict(held[operator])
    if isinstance(seen, bool) != isinstance(value, bool) or isinstance(seen, str) != isinstance(value, str):
        return Verdict.INCONCLUSIVE
    return _verdict((seen == value) == (operator == "=="))


def nearest_names(name: str, names: Sequence[str]) -> str:
    """Return ``; nearest: …`` for the name that is most like it, nothing where none is."""
    near = get_close_matches(name, names, n=1)
    return f"; nearest: {near[0]!r}" if near else ""


def _verdict(holds: bool) -> Verdict:
    return Verdict.PASS if holds else Verdict.FAIL


def _check(name: str) -> None:
    parts = name.split(".")
    if all(parts) and any(_fits(parts, source.split(".")) for source in SOURCES):
        return
    near = nearest_names(name, [*SOURCES, *(source.partition(".<")[0] for source in SOURCES)])
    raise PredicateRefused(
        f"{name!r:.100} is nothing that can be looked up{near}; `retrain decisions --names` lists all"
    )


def _fits(parts: Sequence[str], source: Sequence[str]) -> bool:
    if source[-1] in ("<path>", "<column>") and len(parts) >= len(source):
        # a name that ends in a path or in the name of a column may have dots in it
        return all(one == other for one, other in zip(parts, source[:-1], strict=False))
    return len(parts) == len(source) and all(
        one == other or other.startswith("<") for one, other in zip(parts, source, strict=True)
    )


def _value(text: str, operator: str, spelled: str) -> Value:
    if operator in _NUMBERS:
        if not _NUMBER.fullmatch(spelled):
            raise PredicateRefused(
                f"predicate {text!r:.120}: {operator} compares with a number, not with {spelled!r:.40}"
            )
        return float(spelled)
    if quoted := _QUOTED.fullmatch(spelled):
        return quoted[1]
    if operator not in _SETS:
        if spelled in ("true", "false"):
            return spelled == "true"
        if _NUMBER.fullmatch(spelled):
            return float(spelled)
    if not _WORD.fullmatch(spelled):
        raise PredicateRefused(
            f'predicate {text!r:.120}: expected a number, a word or a text in "…", found {spelled!r:.40}'
        )
    return spelled
