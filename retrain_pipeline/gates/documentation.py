"""Is the reason for what changed written down? Decision files in the model's folder, held against what changed.

A decision counts for a change when it is accepted, its subject is of a kind that answers for what changed, and it was
written or edited since the champion was judged: the champion's evidence names the files that stood then, by digest.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrain_pipeline.canonical import sha256
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.spec.errors import YamlRefused
from retrain_pipeline.spec.rationale import KINDS
from retrain_pipeline.spec.yaml import read_yaml
from retrain_pipeline.verdicts import Verdict

_FENCE = "---\n"


def decision_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every decision file of a model's folder, by file name."""
    return {file.name: sha256(file.read_bytes()) for file in sorted((folder / "decisions").glob("*.md"))}


def changed_sections(before: Mapping[str, Any], now: Mapping[str, Any], *, features_changed: bool) -> list[str]:
    """Return the sections of two declarations that differ, of those that need a reason; a change of code is features'.

    >>> changed_sections({"gates": {"alpha": 0.05}}, {"gates": {"alpha": 0.1}}, features_changed=True)
    ['features', 'gates']
    """
    moved = {name for name in KINDS if before.get(name) != now.get(name)}
    return sorted(moved | ({"features"} if features_changed else set()))


def documentation(folder: Path, before: Mapping[str, str] | None, changed: list[str]) -> GateResult:
    """Judge that every changed section has a decision that is new or edited since the champion was judged.

    Parameters
    ----------
    before
        Decision files by digest when the champion was judged; None without a champion: then one accepted decision, of
        whatever kind, must be there.
    """
    kinds, problems = dict[str, str](), list[str]()
    for file in sorted((folder / "decisions").glob("*.md")):
        try:
            kinds[file.name] = _kind_of_accepted(file)
        except (YamlRefused, ValueError) as error:
            problems.append(f"decisions/{file.name}: {error}")
    if before is None:
        accepted = [name for name, kind in kinds.items() if kind]
        problems += [] if accepted else ["no decision says why the model is as it is: write one and accept it"]
        words = f"{len(accepted)} accepted decisions"
    else:
        fresh = {name: kind for name, kind in kinds.items() if _edited(folder / "decisions" / name, before)}
        missing = [section for section in changed if not KINDS[section] & {*fresh.values()}]
        problems += [
            f"{section} changed since the champion, and no new accepted decision of kind "
            f"{' or '.join(sorted(KINDS[section]))} says why"
            for section in missing
        ]
        words = f"changed since the champion: {', '.join(changed) or 'nothing'}; new decisions: {len(fresh)}"
    return GateResult(
        gate="documentation",
        verdict=Verdict.FAIL if problems else Verdict.PASS,
        statistic=float(len(problems)),
        threshold=0.0,
        n=len(kinds),
        words=("; ".join(problems) or words)[:2000],
    )


def _edited(file: Path, before: Mapping[str, str]) -> bool:
    return before.get(file.name) != sha256(file.read_bytes())


def _kind_of_accepted(file: Path) -> str:
    """Return the kind of an accepted decision's subject, nothing of one that is not accepted."""
    text = file.read_text(encoding="utf-8")
    head, fence, _ = text.removeprefix(_FENCE).partition(f"\n{_FENCE}")
    if not text.startswith(_FENCE) or not fence:
        raise ValueError("no front matter between two lines of ---")
    matter = read_yaml(head + "\n", file.name).value
    if not isinstance(matter, Mapping) or not isinstance(matter.get("status"), str):
        raise ValueError("front matter without a status")
    if matter["status"] != "accepted":
        return ""
    subject = matter.get("subject")
    if not isinstance(subject, Mapping) or not isinstance(subject.get("kind"), str):
        raise ValueError("front matter of an accepted decision without subject.kind")
    return str(subject["kind"])
