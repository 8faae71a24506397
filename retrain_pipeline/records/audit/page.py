"""An audit for people: its checks, findings and counts as Markdown."""

from retrain_pipeline.records.audit.fields import Filled
from retrain_pipeline.records.audit.score import TestScore, as_markdown
from retrain_pipeline.records.kinds.audit import Audit
from retrain_pipeline.records.render import escape_markdown

SHOWN = 30


def page(found: Audit) -> str:
    """Return an audit as Markdown; what people wrote shows as text."""
    lines = [f"# Audit of {escape_markdown(found.model)}, {found.today}", ""]
    lines += ["| check | verdict | found | of | words |", "|---|---|--:|--:|---|"]
    for one in found.checks:
        many = "" if one.statistic is None else f"{one.statistic:g}"
        lines.append(f"| {one.gate} | {one.verdict} | {many} | {one.n} | {escape_markdown(one.words[:300])} |")
    if found.findings:
        lines += ["", "## Findings", "", "| check | what | where | |", "|---|---|---|---|"]
        for finding in found.findings[:SHOWN]:
            cells = (finding.check, finding.what, finding.place, finding.words[:300])
            lines.append(f"| {' | '.join(map(escape_markdown, cells))} |")
        if len(found.findings) > SHOWN:
            lines.append(f"\nand {len(found.findings) - SHOWN} more")
    lines += ["", "## Filled in by machine", "", "| kind | by machine | by people | share |", "|---|--:|--:|--:|"]
    for kind, count in found.filled.items():
        share = Filled(count.machine, count.person).share
        lines.append(f"| {escape_markdown(kind)} | {count.machine} | {count.person} | {_percent(share)} |")
    lines += [f"| all | | | {_percent(found.machine_share)} |", "", "## Counts", ""]
    lines += [f"- {escape_markdown(name)}: {many}" for name, many in found.counts.items()]
    score = TestScore.model_validate(found.test_score, strict=False)
    return "\n".join([*lines, "", "## ML Test Score", "", as_markdown(score)])


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{share:.0%}"
