"""The three answers that a check can give. There is no fourth, and no boolean."""

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """PASS: looked, and good. FAIL: looked, and bad. INCONCLUSIVE: could not tell, which is never a pass."""

    PASS = "PASS"  # noqa: S105 (no password)
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return FAIL if any is, else INCONCLUSIVE if any is or there are none, else PASS.

    Examples
    --------
    >>> worst([Verdict.PASS, Verdict.INCONCLUSIVE]), worst([])
    (<Verdict.INCONCLUSIVE: 'INCONCLUSIVE'>, <Verdict.INCONCLUSIVE: 'INCONCLUSIVE'>)
    """
    seen = set(verdicts)
    if Verdict.FAIL in seen:
        return Verdict.FAIL
    if Verdict.INCONCLUSIVE in seen or not seen:
        return Verdict.INCONCLUSIVE
    return Verdict.PASS
