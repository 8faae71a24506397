"""Is the reason for what changed written down? Decision files in the model's folder, held against what changed.

A decision counts for a change when it is accepted, its text is a reason, it answers for the fields that changed, and it
was written or edited since the champion was judged: the champion's evidence names the files that stood then, by digest.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from retrain_pipeline.canonical import sha256
from retrain_pipeline.gates.coverage import by_section, shown, uncovered
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.spec.decision import Decision, read_decisions
from retrain_pipeline.spec.rationale import KINDS
from retrain_pipeline.spec.rationale_text import text_problems
from retrain_pipeline.verdicts import Verdict


def decision_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every decision file of a model's folder, by file name."""
    return {file.name: sha256(file.read_bytes()) for file in sorted((folder / "decisions").glob("*.md"))}


def documentation(
    folder: Path, before: Mapping[str, str] | None, changed: Sequence[str], model: str = "MODEL"
) -> GateResult:
    """Judge that every changed field has a decision that is new or edited since the champion was judged.

    Parameters
    ----------
    before
        Decision files by digest when the champion was judged; None without a champion: then one accepted decision, of
        whatever kind, must be there.
    changed
        Paths in the declaration, as `coverage.changed_fields` gives them.
    model
        Its name, for the words.
    """
    decisions, refused = read_decisions(folder)
    problems = [str(one) for one in refused]
    accepted = [one for one in decisions if one.accepted]
    fresh = accepted if before is None else [one for one in accepted if before.get(one.file) != one.digest]
    for one in fresh:
        problems += [f"decisions/{one.file}: {words}" for words in text_problems(one, _earlier(one, decisions))]
    if before is None:
        problems += [] if accepted else ["no decision says why the model is as it is: write one and accept it"]
        words = f"{len(accepted)} accepted decisions{_unsaid(accepted)}"
    else:
        problems += _unexplained(uncovered(changed, fresh), model)
        words = f"changed since the champion: {shown(sorted(changed)) or 'nothing'}; new decisions: {len(fresh)}"
    return GateResult(
        gate="documentation",
        verdict=Verdict.FAIL if problems else Verdict.PASS,
        statistic=float(len(problems)),
        threshold=0.0,
        n=len(decisions),
        words=("; ".join(problems) or words)[:2000],
    )


def _earlier(decision: Decision, decisions: Sequence[Decision]) -> list[Decision]:
    return [one for one in decisions if one.file < decision.file]


def _unexplained(paths: Sequence[str], model: str) -> list[str]:
    """Return what has no decision, a line a section, and what to do about it."""
    told = []
    for section, changed in by_section(paths).items():
        named = "" if changed == [section] else f" ({shown(changed)})"
        kinds = " or ".join(sorted(KINDS[section]))
        told.append(
            f"{section} changed since the champion{named}, and no new accepted decision of kind {kinds}, or whose "
            f"subject.covers lists it, says why: retrain decide {model}"
        )
    return told


def _unsaid(accepted: Sequence[Decision]) -> str:
    """Return, for a first model, the sections that no decision speaks of: told, and no reason to stop it."""
    silent = uncovered(sorted(KINDS), accepted)
    # one that lists fields of a section speaks of it
    named = {path.partition(".")[0] for one in accepted for path in one.front.subject.covers}
    rest = [section for section in silent if section not in named]
    return f"; nothing is said of {', '.join(rest)}" if rest else ""
