"""An orphan: a retrain that is stopped before its release and wakes up after others went. Run as a program."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.triggers.retrain import close_dead
from retrain_pipeline_tests.e2e.doors import Door, Doors, fork, must, wait
from retrain_pipeline_tests.e2e.killing_case import TERMS, Case
from retrain_pipeline_tests.e2e.model_side import MODEL, STEPS, Asked, bound

EXIT_REFUSED = 3


def retrain_or_refusal(case: Case, home: Path, asked: Asked, at: Callable[[Door], None]) -> None:
    try:
        Doors(at).run(bound(case.open(home), case.declaration(), asked))
    except ReleaseRefused as refusal:
        (case.folder / "refusal.txt").write_text(str(refusal))
        os._exit(EXIT_REFUSED)


class StopBeforeTheRelease:
    """Stops this process once, where the transaction of the release is about to begin."""

    def __init__(self) -> None:
        self.stopped = False

    def __call__(self, door: Door) -> None:
        if not self.stopped and (door.step, door.what) == ("release", "ledger: before begin"):
            self.stopped = True
            os.kill(os.getpid(), signal.SIGSTOP)


def orphan(case: Case) -> None:
    """Stop a retrain before its release is committed, move the deployment on and back, let it go on; write a report."""
    case.warm()
    home = case.fresh("orphan")
    pid = fork(lambda: retrain_or_refusal(case, home, case.asked, StopBeforeTheRelease()))
    _, status = os.waitpid(pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), status
    other = Asked("other", 7, *TERMS["second"])

    def meanwhile() -> None:
        stores = case.open(home)
        close_dead(stores.ledger, MODEL, lambda _run: False, "sensor")
        before = stores.ledger.deployment(MODEL)
        for work in STEPS.values():
            work(stores, case.declaration(), other)
        rollback(stores, MODEL, because="the released one is worse in the field", actor="anna")
        after = stores.ledger.deployment(MODEL)
        assert before
        assert after
        champions = [before.state["champion"], after.state["champion"]]
        (case.folder / "before.json").write_text(json.dumps([champions, after.epoch, after.state_digest]))

    try:
        must(meanwhile)
    finally:
        os.kill(pid, signal.SIGCONT)
        status = wait(pid)
    stores = case.open(home)
    row = stores.ledger.deployment(MODEL)
    assert row
    report = {
        "exit": os.WEXITSTATUS(status),
        "refusal": (case.folder / "refusal.txt").read_text(),
        "before": json.loads((case.folder / "before.json").read_text()),
        "after": [row.state["champion"], row.epoch, row.state_digest],
        "superseded": [[e.run_id, e.payload] for e in stores.ledger.entries(action="superseded")],
        "released": [e.run_id for e in stores.ledger.entries(action="released")],
        "verdict": stores.ledger.verify().verdict.value,
    }
    (case.folder / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    orphan(Case(Path(sys.argv[1]), sys.argv[2]))
