"""The truth checks, in order, and what they answer together."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError, TransientError
from retrain_pipeline.records.truth.cards import cards_current, regenerates
from retrain_pipeline.records.truth.commits import commits_exist
from retrain_pipeline.records.truth.dates import reviews_due
from retrain_pipeline.records.truth.digests import digests_hash
from retrain_pipeline.records.truth.experiments import experiments_counted, protocol_first
from retrain_pipeline.records.truth.finding import Check, Checked, Finding, unknown, wrong
from retrain_pipeline.records.truth.graph import decisions_agree
from retrain_pipeline.records.truth.links import links_resolve
from retrain_pipeline.records.truth.markup import output_escaped
from retrain_pipeline.records.truth.numbers import numbers_resolve
from retrain_pipeline.records.truth.owners import owners_active
from retrain_pipeline.records.truth.schemas import schema_valid
from retrain_pipeline.records.truth.text import no_placeholder, options_weighed, rationale_own
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.context import Context

_NO_CARD = "no version has a card"
_NO_DECISION = "no accepted decision"

CHECKS = (
    Check(1, "schema", "Is every record and document of its schema?", schema_valid, "nothing is on record", True),
    Check(2, "placeholders", "Is everything written that was to be written?", no_placeholder, "nothing", True),
    Check(3, "rationale", "Is every reason a reason, and its own?", rationale_own, _NO_DECISION, True),
    Check(4, "options", "Was something weighed against something?", options_weighed, _NO_DECISION, True),
    Check(5, "numbers", "Does each number stand in the evidence?", numbers_resolve, _NO_CARD),
    Check(6, "commits", "Do the commits exist, and were they clean?", commits_exist, "no commit is named", True),
    Check(7, "digests", "Are data, models and evidence there, unchanged?", digests_hash, "nothing was released"),
    Check(8, "current", "Is every card of its version, and newer than it?", cards_current, "nothing was released"),
    Check(9, "graph", "Do decisions agree, and is none cited that ended?", decisions_agree, "no decision file", True),
    Check(10, "reviews", "Was looked at again what was due?", reviews_due, _NO_DECISION, True),
    Check(11, "experiments", "Has every retrain run one experiment?", experiments_counted, "no retrain has ended"),
    Check(12, "protocol", "Was agreed before what judges?", protocol_first, "no experiment is on record"),
    Check(13, "regenerate", "Do the stores give the same documents again?", regenerates, _NO_CARD),
    Check(14, "links", "Do links lead somewhere?", links_resolve, "no decision and no card", True),
    Check(15, "owners", "Is there somebody for whatever is owned?", owners_active, "nobody is named", True),
    Check(16, "escaped", "Is what people wrote shown as text, without secrets?", output_escaped, _NO_CARD),
)
"""The sixteen, by number."""
NAMES = tuple(check.name for check in CHECKS)


class NoSuchCheck(PermanentError):
    """A check that there is none of."""


@dataclass(frozen=True)
class Verified:
    """The answers about one model."""

    model: str
    answers: tuple[Checked, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of the answers."""
        return worst(one.verdict for one in self.answers)

    def of(self, name: str) -> Checked:
        """Return the answer of a check."""
        return next(one for one in self.answers if one.check.name == name)

    def verdict_allowing(self, inconclusive: Collection[str]) -> Verdict:
        """Return the worst of the answers, where some checks may be INCONCLUSIVE; none may fail.

        Raises
        ------
        NoSuchCheck
            When one of the names is of no check.
        """
        if strange := sorted(set(inconclusive) - {*NAMES}):
            raise NoSuchCheck(f"no check named {', '.join(strange)}; there are: {', '.join(NAMES)}")
        left = [one for one in self.answers if one.check.name not in inconclusive or one.verdict is Verdict.FAIL]
        return worst(one.verdict for one in left) if left else Verdict.PASS

    def document(self) -> dict[str, Any]:
        """Return the answers as JSON values."""
        return {
            "schema": "verification/1",
            "model": self.model,
            "verdict": self.verdict.value,
            "checks": [one.document() for one in self.answers],
        }


def verify(context: "Context", checks: Iterable[Check] = CHECKS) -> Verified:
    """Ask every check. One that cannot look, since a store does not answer, is INCONCLUSIVE; one that is refused a look
    FAILs. Neither keeps the others from looking.
    """
    return Verified(context.model, tuple(Checked(check, tuple(_asked(check, context))) for check in checks))


def _asked(check: Check, context: "Context") -> Iterator[Finding]:
    try:
        yield from check.look(context)
    except TransientError as error:
        yield unknown(check.name, "stores", f"{type(error).__name__}: {error}", "try again")
    except PermanentError as error:
        yield wrong(check.name, "stores", f"{type(error).__name__}: {error}", "mend that first, then verify again")
