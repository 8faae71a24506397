"""What one check of an audit found."""

from dataclasses import dataclass

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.records.kinds.audit import Finding
from retrain_pipeline.verdicts import Verdict


@dataclass(frozen=True)
class Found:
    """What one check found, of how many looked at."""

    check: str
    n: int
    findings: tuple[Finding, ...]
    empty: str
    """Why nothing can be said where nothing was looked at."""

    def result(self) -> GateResult:
        """Return PASS where all was well, FAIL with what was not, INCONCLUSIVE where there was nothing to look at."""
        many = len(self.findings)
        if not self.n and not many:
            return GateResult(gate=self.check, verdict=Verdict.INCONCLUSIVE, words=self.empty, n=0)
        shown = "; ".join(f"{one.what} ({one.place}): {one.words}" for one in self.findings[:5])
        more = f"; and {many - 5} more" if many > 5 else ""
        return GateResult(
            gate=self.check,
            verdict=Verdict.FAIL if many else Verdict.PASS,
            words=f"{many} of {self.n}: {shown}{more}"[:2000] if many else f"none of {self.n}",
            statistic=float(many),
            threshold=0.0,
            n=self.n,
        )
