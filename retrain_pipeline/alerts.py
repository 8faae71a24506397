"""What somebody should hear about: found in the ledger, entered in it once, and told to whoever listens."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from retrain_pipeline.errors import TransientError
from retrain_pipeline.ledger.entries import Entry, NewEntry
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.lake.checks import Check
    from retrain_pipeline.ledger.store import Ledger

ACTOR = "alerts"
# What an entry must be for somebody to hear of it, and how urgent it is.
ALERTING = {
    "approval_withdrawn": "warning",
    "awaiting_approval": "warning",
    "contract_failed": "error",
    "data_doubted": "error",
    "drill_failed": "error",
    "dissented": "warning",
    "escalation_halted": "error",
    "override_granted": "error",
    "promotion_held": "warning",
    "refused": "warning",
    "rejected": "warning",
    "retrain_failed": "error",
    "retraining_halted": "warning",
    "review_opened": "warning",
    "superseded": "warning",
    "withdrawn": "warning",
    "rolled_back": "warning",
    "run_failed": "error",
}
WEBHOOK_SECONDS = 5


class NotificationFailed(TransientError):
    """A listener could not be told; the alert itself is in the ledger."""


@dataclass(frozen=True)
class Alert:
    """One thing that somebody should hear about."""

    seq: int
    at_utc: str
    model: str
    kind: str
    urgency: str
    words: str
    run_id: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the alert as plain JSON values."""
        return dict(self.__dict__)


class Notifier(Protocol):
    """Whoever is told: one method, so that a team can plug in its own."""

    def notify(self, alert: Alert) -> None:
        """Tell one alert; raise NotificationFailed when it could not be told."""


@dataclass(frozen=True)
class LogFileNotifier:
    """Appends each alert as a line of JSON to a file."""

    path: Path

    def notify(self, alert: Alert) -> None:
        """Append one line; JSON keeps line breaks and control characters of values inside it."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(alert.to_json(), allow_nan=False) + "\n")
        except OSError as error:
            raise NotificationFailed(f"alert log {self.path}: {error}") from error


@dataclass(frozen=True)
class WebhookNotifier:
    """Posts each alert as JSON to a URL, without following redirects."""

    url: str

    def notify(self, alert: Alert) -> None:
        """Post one alert; anything but a 2xx answer within five seconds is a failure."""
        import requests

        try:
            # streamed: a body that drips in for ever is nobody's business here
            with requests.post(
                self.url, json=alert.to_json(), timeout=WEBHOOK_SECONDS, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
        except requests.RequestException as error:
            # the URL may hold a token, and the error repeats it: neither is told
            raise NotificationFailed(f"webhook: {type(error).__name__}") from None
        if not 200 <= status < 300:
            raise NotificationFailed(f"webhook: answered {status}")


def notifiers_from_environment(home: Path) -> list[Notifier]:
    """Return the log file under `home`, and the webhook of RETRAIN_ALERT_WEBHOOK if it is set."""
    webhook = os.environ.get("RETRAIN_ALERT_WEBHOOK")
    return [LogFileNotifier(home / "alerts.jsonl"), *([WebhookNotifier(webhook)] if webhook else [])]


def note_broken_contract(
    ledger: "Ledger", model: str, asset: str, checks: "Sequence[tuple[str, Sequence[Check]]]", run_id: str
) -> list[Entry]:
    """Enter one `contract_failed` for each period of an asset in which a check FAILed."""
    entries = []
    for period, found in checks:
        failed = {check.name: check.words for check in found if check.verdict is Verdict.FAIL}
        if failed:
            entries.append(
                ledger.append(
                    NewEntry(
                        actor="dagster",
                        action="contract_failed",
                        model=model,
                        subject=f"{asset}/{period}",
                        payload={"asset": asset, "period": period, "failed": failed},
                        run_id=run_id,
                        key=f"contract_failed:{run_id}:{asset}:{period}",
                    )
                )
            )
    return entries


def note_failed_run(ledger: "Ledger", model: str, run_id: str, reason: str) -> Entry:
    """Enter one `run_failed` for a run of the data side that ended in failure."""
    return ledger.append(
        NewEntry(
            actor="dagster",
            action="run_failed",
            model=model,
            payload={"reason": reason[:2000]},
            run_id=run_id,
            key=f"run_failed:{run_id}",
        )
    )


def _words(entry: Entry) -> str:
    payload = entry.payload
    if entry.action == "contract_failed":
        return f"{payload['asset']} {payload['period']}: " + "; ".join(
            f"{k}: {v}" for k, v in payload["failed"].items()
        )
    reason = payload.get("reason") or payload.get("because") or payload.get("words") or ""
    about = entry.subject or payload.get("cause") or ""
    return f"{entry.action.replace('_', ' ')} {about}: {reason}".strip(" :")


def raise_alerts(ledger: "Ledger", notifiers: Sequence[Notifier], after_seq: int) -> tuple[list[Alert], int, list[str]]:
    """Enter and tell what happened after an entry.

    The ledger holds each alert once, whatever happens in between; a listener hears of it at least once, since a crash
    between telling and remembering tells again.

    Returns
    -------
    alerts
        Those told now.
    seq
        The entry to go on from.
    troubles
        What could not be told to whom; those alerts are in the ledger all the same.
    """
    alerts, troubles, seq = [], [], after_seq
    for entry in ledger.entries(after_seq=after_seq, limit=500):
        seq = entry.seq
        if entry.action not in ALERTING:
            continue
        alert = Alert(
            entry.seq,
            entry.at_utc,
            entry.model or "",
            entry.action,
            ALERTING[entry.action],
            _words(entry),
            entry.run_id,
        )
        ledger.append(
            NewEntry(
                actor=ACTOR,
                action="alerted",
                model=entry.model,
                subject=entry.subject,
                payload={"of_seq": entry.seq, "kind": alert.kind, "words": alert.words},
                run_id=entry.run_id,
                key=f"alerted:{entry.seq}",
            )
        )
        alerts.append(alert)
        for notifier in notifiers:
            try:
                notifier.notify(alert)
            except NotificationFailed as error:
                troubles.append(str(error))
    return alerts, seq, troubles
