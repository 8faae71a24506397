"""What was known of a model after each release: a page for each, and the list of them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from retrain_pipeline.records.portal.book import Shelf, head, said
from retrain_pipeline.records.portal.links import moment_page, page_of
from retrain_pipeline.records.portal.making import Maker
from retrain_pipeline.records.portal.releases import Release
from retrain_pipeline.records.portal.site import Page


def moments(make: Maker, shelf: Shelf, found: list[Release]) -> Iterator[Page]:
    """Yield a page of what was known after each release, and the list of them."""
    rows = []
    snapshots = _snapshots(shelf, {one.reign.entry.seq for one in found})
    for at, one in enumerate(found):
        entry = one.reign.entry
        path = moment_page(shelf.name, entry.seq)
        rows.append({"seq": entry.seq, "at": entry.at_utc, "version": one.name, "path": path})
        context = {
            **head(shelf, "moments", f"{shelf.name} as of {entry.at_utc[:10]}"),
            **snapshots[entry.seq],
            "seq": entry.seq,
            "at": entry.at_utc,
            "version": one.name,
            "path_of_version": shelf.book.page(one.name),
            "loss": one.version.told_loss if one.version else {"metric": None, "value": None},
            "before": moment_page(shelf.name, found[at - 1].reign.entry.seq) if at else None,
            "after": moment_page(shelf.name, found[at + 1].reign.entry.seq) if at + 1 < len(found) else None,
        }
        yield make.page(path, "moment.html.j2", context)
    context = {**head(shelf, "moments", f"{shelf.name} as of earlier moments"), "rows": rows[::-1]}
    yield make.page(page_of(shelf.name, "moments"), "moments.html.j2", context)


def _snapshots(shelf: Shelf, wanted: set[int]) -> dict[int, dict[str, Any]]:
    """Return what was on record after each of some entries: one walk over the ledger, whatever their number."""
    found: dict[int, dict[str, Any]] = {}
    verdicts: Counter[str] = Counter()
    monitored, versions, runs, decisions = "", 0, 0, dict[str, str]()
    status_of = {kept.digest: str(said(kept, "status") or "") for kept in shelf.past.records}
    for entry in shelf.past.entries:
        if entry.action == "monitored":
            monitored = f"{entry.payload.get('verdict')} in {entry.payload.get('period')}"
        elif entry.action == "judged":
            verdicts[str(entry.payload.get("verdict"))] += 1
        versions += entry.action == "candidate_registered"
        runs += entry.action == "retrain_started"
        line = shelf.book.line_of.get(str(entry.payload.get("record"))) if entry.action == "recorded" else None
        if line is not None:
            decisions[line.id] = status_of.get(str(entry.payload["record"])) or line.status
        if entry.seq in wanted:
            found[entry.seq] = {
                "monitored": monitored or "nothing was monitored yet",
                "versions": versions,
                "runs": runs,
                "verdicts": dict(verdicts),
                "decisions": [[one, now, shelf.book.page(one)] for one, now in decisions.items()],
            }
    return found
