"""The gate judges candidates whose answer is known. A gate that passes a bad one proves nothing about ours (G28)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from retrain_pipeline.gates.evidence import GateResult, Mode
from retrain_pipeline.gates.fresh import Footprint, footprint
from retrain_pipeline.gates.operation import latency_of, size
from retrain_pipeline.gates.quality import Paired, loss_margin, quality
from retrain_pipeline.gates.refits import seed_noise
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retrain_pipeline.spec.gates import Gates


def self_test(
    paired: Paired,
    shuffled: "NDArray[np.float64] | None",
    mode: Mode,
    gates: "Gates | None" = None,
    others: Sequence[str] = (),
) -> GateResult:
    """Judge known-bad and known-good candidates through `quality`, and known numbers through the gates with a limit.

    Parameters
    ----------
    paired
        The comparison that the candidate itself goes through.
    shuffled
        Row losses of the candidate's predictions dealt to the wrong rows; None when there are none.
    mode
        The mode of the judgement.
    gates
        The declared limits; by default `quality` alone is tested.
    others
        Gates that answered wrongly about candidates that are known to them (`known.wrong_about_candidates`).

    FAIL when a known-bad candidate passes: the shuffled predictions (where they are worse than what the margin allows,
    as those of a constant model are not), or one with three times the reference's losses. INCONCLUSIVE when a
    known-good one does not pass: the rows cannot show even that.
    """
    if not len(paired.candidate):
        return GateResult(gate="self_test", verdict=Verdict.INCONCLUSIVE, n=0, words="no rows to test the gate on")
    bad = {"three times the reference's loss": _worse(paired.reference)}
    if shuffled is not None and len(shuffled) and shuffled.mean() > _worst_allowed(paired):
        bad["its predictions shuffled"] = shuffled
    passed = [name for name, losses in bad.items() if _verdict(paired, losses, paired.reference, mode) is Verdict.PASS]
    n = len(paired.candidate)
    wrong = sorted({*others, *([] if gates is None else _wrong_about_limits(gates))})
    if wrong:
        words = f"gates that answer wrongly about what is known: {', '.join(wrong)}: their verdicts mean nothing"
        return GateResult(
            gate="self_test", verdict=Verdict.FAIL, statistic=float(len(wrong)), threshold=0.0, n=n, words=words
        )
    if passed:
        words = f"the quality gate passes a known-bad candidate ({', '.join(passed)}): its verdicts mean nothing"
        return GateResult(
            gate="self_test", verdict=Verdict.FAIL, statistic=float(len(passed)), threshold=0.0, n=n, words=words
        )
    if _verdict(paired, paired.candidate, _worse(paired.candidate), mode) is not Verdict.PASS:
        words = "the quality gate does not pass a known-good candidate (against a copy three times worse) on these rows"
        return GateResult(gate="self_test", verdict=Verdict.INCONCLUSIVE, n=n, words=words)
    words = f"known-bad refused ({', '.join(bad)}), known-good passed"
    return GateResult(gate="self_test", verdict=Verdict.PASS, statistic=0.0, threshold=0.0, n=n, words=words)


def _wrong_about_limits(gates: "Gates") -> list[str]:
    """Return the gates that pass twice their limit, or do not pass half of it."""
    rss = gates.max_rss_mb or 1000.0

    def asked(share: float) -> list[GateResult]:
        measured = Footprint(latency_ms_p95=1.0, peak_rss_mb=rss * share, load_seconds=1.0)
        return [
            latency_of(gates.latency_ms_p95 * share, gates.latency_ms_p95, "known"),
            size(int(gates.max_size_mb * share * 1e6), max_size_mb=gates.max_size_mb),
            footprint(measured, max_rss_mb=rss),
            seed_noise(share, [share, share], 1.0, metric="mae", margin=0.0, mode="superiority"),
        ]

    bad = {one.gate for one in asked(2.0) if one.verdict is not Verdict.FAIL}
    return sorted(bad | {one.gate for one in asked(0.5) if one.verdict is not Verdict.PASS})


def _worse(losses: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Three times the losses, and something where all are zero."""
    return losses * 3 + (losses.mean() or 1.0)


def _worst_allowed(paired: Paired) -> float:
    return float(paired.reference.mean()) * (1 + 2 * loss_margin(paired.metric, paired.margin))


def _verdict(paired: Paired, candidate: "NDArray[np.float64]", reference: "NDArray[np.float64]", mode: Mode) -> Verdict:
    return quality(replace(paired, candidate=candidate, reference=reference), mode).verdict
