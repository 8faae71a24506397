"""Alerts: each in the ledger once, told to a file and to a real web server, and never with a secret in the words."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from retrain_pipeline import alerts
from retrain_pipeline.alerts import (
    Alert,
    LogFileNotifier,
    NotificationFailed,
    WebhookNotifier,
    note_broken_contract,
    note_failed_run,
    notifiers_from_environment,
    raise_alerts,
)
from retrain_pipeline.lake.checks import Check
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.verdicts import Verdict

ALERT = Alert(7, "2024-01-01T00:00:00+00:00", "bike", "rejected", "warning", "rejected v1: worse", "run-1")
TOKEN = "s3cr3t-t0ken"


@pytest.fixture
def small_ledger(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


@pytest.fixture
def web():
    """A web server that answers by path, and the requests that it saw."""
    seen: list[tuple[str, dict]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, json.loads(body)))
            kind = self.path.split("/")[1]
            if kind == "slow":
                time.sleep(2)
            self.send_response({"moved": 302, "down": 500, "nothing": 204, "bad": 404}.get(kind, 200))
            if kind == "moved":
                self.send_header("Location", f"/ok/{TOKEN}")
            if kind == "drip":
                self.send_header("Content-Length", "100")
            self.end_headers()
            if kind == "drip":
                time.sleep(2)

        def do_GET(self):  # what a followed redirect would become
            seen.append((self.path, {}))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.seen = seen
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


class Listener:
    """Somebody who is told, and can be deaf."""

    def __init__(self, deaf_to: tuple[str, ...] = (), dies_at: str | None = None) -> None:
        self.heard: list[Alert] = []
        self.deaf_to = deaf_to
        self.dies_at = dies_at

    def notify(self, alert: Alert) -> None:
        if alert.kind == self.dies_at:
            raise KeyboardInterrupt
        if alert.kind in self.deaf_to:
            raise NotificationFailed(f"deaf to {alert.kind}")
        self.heard.append(alert)


def happened(ledger: Ledger, *actions: str, **payload) -> None:
    for action in actions:
        ledger.append(NewEntry("test", action, "bike", "v1", payload or {"reason": "because"}, "run-1"))


@pytest.mark.requirement("D33")
@pytest.mark.parametrize("kind", ["ok", "nothing"])
def test_a_webhook_gets_the_alert_as_json(web, kind):
    WebhookNotifier(f"{web.url}/{kind}/{TOKEN}").notify(ALERT)
    assert web.seen == [(f"/{kind}/{TOKEN}", ALERT.to_json())]


@pytest.mark.parametrize(("kind", "word"), [("down", "500"), ("bad", "404"), ("moved", "302")])
def test_any_other_answer_is_a_failure_and_no_redirect_is_followed(web, kind, word):
    with pytest.raises(NotificationFailed) as caught:
        WebhookNotifier(f"{web.url}/{kind}/{TOKEN}").notify(ALERT)
    assert str(caught.value) == f"webhook: answered {word}"
    assert [path for path, _ in web.seen] == [f"/{kind}/{TOKEN}"]


def test_a_server_that_does_not_answer_in_time_is_a_failure(web, monkeypatch):
    monkeypatch.setattr(alerts, "WEBHOOK_SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(NotificationFailed, match=r"^webhook: ReadTimeout$"):
        WebhookNotifier(f"{web.url}/slow/{TOKEN}").notify(ALERT)
    assert time.monotonic() - started < 1.5


def test_a_body_that_drips_in_is_not_waited_for(web):
    started = time.monotonic()
    WebhookNotifier(f"{web.url}/drip/{TOKEN}").notify(ALERT)
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/{}", "nothing/{}", "http:///{}", "http://[::1/{}", "ftp://x/{}"])
def test_the_url_with_its_token_is_in_no_message_and_no_traceback(url):
    import traceback

    with pytest.raises(NotificationFailed) as caught:
        WebhookNotifier(url.format(TOKEN)).notify(ALERT)
    assert str(caught.value).startswith("webhook: ")
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


@pytest.mark.fault("S11")
def test_line_breaks_and_escapes_in_values_stay_inside_one_line_of_json(tmp_path, small_ledger):
    forged = 'bad\n{"kind": "released"}\r\n\x1b[2J\u2028\u0085end'
    happened(small_ledger, "rejected", reason=forged)
    log = tmp_path / "deep" / "alerts.jsonl"
    raise_alerts(small_ledger, [LogFileNotifier(log)], 0)
    raw = log.read_bytes()
    assert raw.count(b"\n") == 1
    assert raw.endswith(b"\n")
    assert all(32 <= byte < 127 for byte in raw[:-1])
    assert len(log.read_text().splitlines()) == 1
    assert json.loads(raw)["words"] == f"rejected v1: {forged}"


def test_a_log_that_cannot_be_written_is_a_failed_notification(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotificationFailed, match="alert log"):
        LogFileNotifier(tmp_path / "file" / "alerts.jsonl").notify(ALERT)


def test_who_is_told_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("RETRAIN_ALERT_WEBHOOK", raising=False)
    assert notifiers_from_environment(tmp_path) == [LogFileNotifier(tmp_path / "alerts.jsonl")]
    monkeypatch.setenv("RETRAIN_ALERT_WEBHOOK", "http://127.0.0.1:9/x")
    assert notifiers_from_environment(tmp_path)[1:] == [WebhookNotifier("http://127.0.0.1:9/x")]


@pytest.mark.requirement("D33")
@pytest.mark.dagster_fact("K10")
def test_what_alerts_and_what_does_not(small_ledger):
    happened(small_ledger, "retrain_started", "released", "rejected", "monitored", "retrain_failed", "superseded")
    happened(small_ledger, "rolled_back", because="it was slow")
    note_failed_run(small_ledger, "bike", "run-9", "x" * 9000)
    listener = Listener()
    told, seq, troubles = raise_alerts(small_ledger, [listener], 0)
    assert [(one.kind, one.urgency) for one in told] == [
        ("rejected", "warning"),
        ("retrain_failed", "error"),
        ("superseded", "warning"),
        ("rolled_back", "warning"),
        ("run_failed", "error"),
    ]
    assert told[3].words == "rolled back v1: it was slow"
    assert len(told[4].words) < 2100
    assert (listener.heard, troubles, seq) == (told, [], 8)
    entries = small_ledger.entries(action="alerted")
    assert [entry.payload["of_seq"] for entry in entries] == [one.seq for one in told]


def test_going_on_from_the_cursor_tells_only_what_is_new(small_ledger):
    happened(small_ledger, "rejected")
    listener = Listener()
    _, seq, _ = raise_alerts(small_ledger, [listener], 0)
    told, seq, _ = raise_alerts(small_ledger, [listener], seq)  # sees its own entry, which is no alert
    assert (told, seq) == ([], 2)
    assert raise_alerts(small_ledger, [listener], seq) == ([], 2, [])
    happened(small_ledger, "superseded")
    told, seq, _ = raise_alerts(small_ledger, [listener], seq)
    assert [one.kind for one in told] == ["superseded"]
    assert [one.kind for one in listener.heard] == ["rejected", "superseded"]


def test_a_crash_in_between_tells_again_and_enters_once(small_ledger):
    happened(small_ledger, "rejected", "superseded")
    dying = Listener(dies_at="superseded")
    with pytest.raises(KeyboardInterrupt):
        raise_alerts(small_ledger, [dying], 0)
    assert [one.kind for one in dying.heard] == ["rejected"]
    listener = Listener()
    told, _, _ = raise_alerts(small_ledger, [listener], 0)  # the cursor was never kept
    assert [one.kind for one in listener.heard] == ["rejected", "superseded"]
    assert listener.heard == told
    again, _, _ = raise_alerts(small_ledger, [], 0)
    assert again == told
    assert [entry.payload["of_seq"] for entry in small_ledger.entries(action="alerted")] == [1, 2]
    assert not small_ledger.verify().problems


def test_a_deaf_listener_keeps_nothing_from_the_others(small_ledger, tmp_path):
    happened(small_ledger, "rejected", "superseded")
    deaf, listener = Listener(deaf_to=("rejected",)), Listener()
    told, seq, troubles = raise_alerts(small_ledger, [deaf, listener], 0)
    assert troubles == ["deaf to rejected"]
    assert listener.heard == told
    assert [one.kind for one in deaf.heard] == ["superseded"]
    assert seq == 2
    assert len(small_ledger.entries(action="alerted")) == 2


@pytest.mark.requirement("D33")
def test_a_broken_contract_is_one_entry_a_period_and_only_for_failures(small_ledger):
    checks = [
        (
            "2024-01-01",
            [Check("range", Verdict.FAIL, "a: 3 rows of 10 above 5", {}), Check("volume", Verdict.PASS, "", {})],
        ),
        ("2024-01-08", [Check("range", Verdict.INCONCLUSIVE, "too few rows", {})]),
        ("2024-01-15", [Check("range", Verdict.FAIL, "b", {}), Check("volume", Verdict.FAIL, "c", {})]),
    ]
    for _ in range(2):  # a step that is tried again
        entries = note_broken_contract(small_ledger, "bike", "raw", checks, "run-1")
        assert [entry.subject for entry in entries] == ["raw/2024-01-01", "raw/2024-01-15"]
    assert len(small_ledger.entries()) == 2
    told, _, _ = raise_alerts(small_ledger, [], 0)
    assert [one.words for one in told] == [
        "raw 2024-01-01: range: a: 3 rows of 10 above 5",
        "raw 2024-01-15: range: b; volume: c",
    ]
    assert {one.run_id for one in told} == {"run-1"}
