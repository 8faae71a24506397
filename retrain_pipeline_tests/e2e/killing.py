"""Deaths at every write of the model side. Run as a program: it forks, and what it forks must not have used delta-rs.

One walk passes all doors. At each it forks a twin that copies what lies on the disk and is killed there (SIGKILL
flushes and mends nothing, so that is what a death leaves); every such estate is inspected. Estates with the same ledger
and the same artifacts, whatever temporary files there are, go on alike: of each such group the last door is died at for
real, over stores of its own, and the retrain is run again.
"""

import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from retrain_pipeline.canonical import parse_json
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.learning.versions import load_version
from retrain_pipeline.release.state import current
from retrain_pipeline.stores import Stores
from retrain_pipeline.triggers.retrain import TERMINAL, close_dead
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.e2e.doors import Door, Doors, die, fork, in_turn, killed, must, twins
from retrain_pipeline_tests.e2e.killing_case import TERMS, WEEK, Case, artifact_names, copy_home, temporaries
from retrain_pipeline_tests.e2e.model_side import MODEL, STEPS, Asked, bound


def lake_files(case: Case) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_size) for path in (case.prepared / "lake").rglob("*") if path.is_file())


def hex_strings(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every SHA-256 in a JSON value with its place; places in lists are alike."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from hex_strings(one, (*at, str(key)))
    elif isinstance(value, list):
        for one in value:
            yield from hex_strings(one, (*at, "*"))
    elif isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        yield at, value


Places = set[tuple[str, ...]]


def references(stores: Stores, names: Callable[[tuple[str, ...], str], bool]) -> Places:
    """Follow the ledger's references through JSON artifacts; return the places; each must read with its digest."""
    found: Places = set()
    queue = [
        place
        for entry in stores.ledger.entries()
        for place in hex_strings({"subject": entry.subject, **entry.payload}, (entry.action,))
    ]
    seen = set()
    while queue:
        at, digest = queue.pop()
        if (at, digest) in seen or not names(at, digest):
            continue
        seen.add((at, digest))
        found.add(at)
        data = stores.artifacts.get(digest)  # raises when it is missing or damaged
        if data.startswith(b"{"):
            queue += hex_strings(parse_json(data), (*at, ">"))
    return found


def estate(case: Case, home: Path, truth: dict[str, Any]) -> str:
    """Inspect what a death left; return what those who read the stores can tell of it."""
    stores = case.open(home)
    entries = stores.ledger.entries()
    verified = stores.ledger.verify()
    assert verified.verdict is (Verdict.PASS if entries else Verdict.INCONCLUSIVE), verified
    epoch, deployment = current(stores.ledger, MODEL)
    champion = deployment.champion if deployment else None
    assert (epoch, champion) in ((truth["old_epoch"], truth["old"]), (truth["old_epoch"] + 1, truth["new"]))
    if deployment is not None and champion is not None:
        serving = load_version(stores, MODEL, champion).manifest
        assert serving.prediction_fingerprint == truth["fingerprints"][champion]
        evidence = read_evidence(stores.artifacts, deployment.evidence)
        assert (evidence.version, evidence.verdict) == (champion, Verdict.PASS)
    naming = {tuple(place) for place in truth["naming"]}
    references(stores, lambda at, _digest: at in naming)
    stores.close()
    # The digests of what is measured or timed differ from walk to walk, so only their number is compared.
    return json.dumps([[entry.action for entry in entries], len(artifact_names(home))])


# --- the walk --------------------------------------------------------------------------------------------------------


def walk(case: Case) -> None:
    """Pass every door; at each, a forked twin copies the stores and is killed."""
    home = case.fresh("walk")
    doors: list[Door] = []
    (case.folder / "dead").mkdir()
    before = lake_files(case)
    stores, declaration = case.open(home), case.declaration()
    # The first look at a ledger that is not there makes its tables, and those writes are doors too.
    epoch, old = current(stores.ledger, MODEL) if (home / "ledger.db").exists() else (0, None)
    twin = twins(doors, lambda door: copy_home(home, case.folder / "dead" / f"{door.number:03d}"))
    Doors(twin).run(bound(stores, declaration, case.asked))
    assert lake_files(case) == before, "the model side wrote to the lake: those writes need doors too"
    reached, new = current(stores.ledger, MODEL)
    assert (reached, new is not None) == (epoch + 1, True)
    universe = artifact_names(home)
    versions = [one.champion for one in (old, new) if one]
    truth = {
        "doors": [asdict(door) for door in doors],
        "old_epoch": epoch,
        "old": old.champion if old else None,
        "new": new.champion if new else None,
        "fingerprints": {v: load_version(stores, MODEL, v).manifest.prediction_fingerprint for v in versions},
        "naming": sorted(references(stores, lambda _at, digest: digest in universe)),
        "steps": [*STEPS],
    }
    (case.folder / "truth.json").write_text(json.dumps(truth))


def inspect(case: Case, truth: dict[str, Any], share: int, shares: int) -> None:
    """Inspect a share of the estates of the walk, and write what can be told of each."""
    told = {}
    for door in truth["doors"][share::shares]:
        home = case.folder / "dead" / f"{door['number']:03d}"
        try:
            told[door["number"]] = estate(case, home, truth)
        except Exception as error:
            raise AssertionError(f"{case.name} {door}") from error
        shutil.rmtree(home)
    (case.folder / f"told-{share}.json").write_text(json.dumps(told))


# --- dying for real, and doing it again ------------------------------------------------------------------------------


def die_at(case: Case, home: Path, chosen: Door) -> None:
    def at(door: Door) -> None:
        if door.place == chosen.place:
            die()

    killed(fork(lambda: Doors(at).run(bound(case.open(home), case.declaration(), case.asked))))


def death(case: Case, truth: dict[str, Any], door: Door, told: str, same_run: bool) -> None:
    """Die at a door over fresh stores; inspect; run again, as the sensor does and, if asked, as a retried step."""
    home = case.fresh(f"door-{door.number:03d}")
    die_at(case, home, door)
    assert estate(case, home, truth) == told, door
    if same_run:
        twin = case.folder / f"door-{door.number:03d}-same"
        copy_home(home, twin)
        again(case, truth, twin, door, "dying")
        shutil.rmtree(twin)
    again(case, truth, home, door, "next")
    shutil.rmtree(home)


def again(case: Case, truth: dict[str, Any], home: Path, door: Door, run_id: str) -> None:
    """Go on after a death and check that everything is as if nobody had died."""
    stores, declaration = case.open(home), case.declaration()
    steps = list(STEPS)
    if run_id != case.asked.run_id:  # the sensor closes the dead run; one that was released is not asked for again
        close_dead(stores.ledger, MODEL, lambda _run: False, "sensor")
        answered = stores.ledger.entries(model=MODEL, action="released", run_id=case.asked.run_id)
        steps = steps[steps.index("release") :] if answered else steps
    else:  # the orchestrator tries the step again that died
        steps = steps[steps.index(door.step) :]
    asked = Asked(run_id, WEEK[case.name], *TERMS[case.name], attempt=2)
    for step in steps:
        STEPS[step](stores, declaration, asked)
    converged(stores, truth, home)
    stores.close()


def converged(stores: Stores, truth: dict[str, Any], home: Path) -> None:
    epoch, deployment = current(stores.ledger, MODEL)
    assert deployment is not None
    assert (epoch, deployment.champion, deployment.previous) == (truth["old_epoch"] + 1, truth["new"], truth["old"])
    loaded = load_version(stores, MODEL, deployment.champion)
    assert loaded.manifest.prediction_fingerprint == truth["fingerprints"][truth["new"]]
    assert stores.ledger.verify().verdict is Verdict.PASS
    assert len(stores.ledger.entries(action="released")) == epoch
    registered = [entry.subject for entry in stores.ledger.entries(action="candidate_registered")]
    assert len(set(registered)) == len(registered) == epoch, registered
    started = sorted(str(entry.run_id) for entry in stores.ledger.entries(action="retrain_started"))
    assert sorted(str(entry.run_id) for entry in stores.ledger.entries(action=TERMINAL)) == started
    naming = {tuple(place) for place in truth["naming"]}
    assert references(stores, lambda at, _digest: at in naming) == naming
    # What a dead writer left half done is garbage, an hour later.
    left = temporaries(home)
    for path in left:
        os.utime(path, (time.time() - 7200,) * 2)
    assert stores.artifacts.collect_garbage() == len(left)
    assert not temporaries(home)


def kill_everywhere(case: Case) -> None:
    """Walk, inspect all estates, die for real in each group; write a report."""
    seconds = [time.monotonic()]
    case.warm()
    must(lambda: walk(case))
    seconds.append(time.monotonic())
    truth = json.loads((case.folder / "truth.json").read_text())
    in_turn([lambda share=share: inspect(case, truth, share, 2) for share in range(2)])  # type: ignore[misc]
    seconds.append(time.monotonic())
    told = {int(n): words for share in range(2) for n, words in _told(case, share).items()}
    doors = [Door(**door) for door in truth["doors"]]
    assert sorted(told) == [door.number for door in doors]
    # The last door of each group; a death in a step that is tried again is the last of the step.
    last = [
        door
        for door, after in zip(doors, [*doors[1:], None], strict=True)
        if after is None or told[door.number] != told[after.number]
    ]
    ends = {door.step: door.number for door in last}
    in_turn(
        [
            lambda door=door: death(case, truth, door, told[door.number], ends[door.step] == door.number)  # type: ignore[misc]
            for door in last
        ]
    )
    seconds.append(time.monotonic())
    report = {
        "doors": truth["doors"],
        "steps": truth["steps"],
        "deaths": [door.number for door in last],
        "seconds": [round(b - a, 1) for a, b in itertools.pairwise(seconds)],
    }
    (case.folder / "report.json").write_text(json.dumps(report))


def _told(case: Case, share: int) -> dict[str, str]:
    return dict(json.loads((case.folder / f"told-{share}.json").read_text()))


if __name__ == "__main__":
    kill_everywhere(Case(Path(sys.argv[1]), sys.argv[2]))
