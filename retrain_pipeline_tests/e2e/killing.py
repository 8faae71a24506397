"""Deaths at every write of the model side. Run as a program: it forks, and what it forks must not have used delta-rs.

One walk passes all doors. At each it forks a twin that copies what lies on the disk and is killed there (SIGKILL
flushes and mends nothing, so that is what a death leaves); every such estate is inspected. Estates with the same ledger
and the same artifacts, whatever temporary files there are, go on alike: of each such group the last door is died at for
real, over stores of its own, and the retrain is run again.
"""

import contextlib
import importlib
import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from retrain_pipeline.canonical import parse_json
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.gates.judge import judge
from retrain_pipeline.learning.build import build_candidate
from retrain_pipeline.learning.frozen import record_training_set, recorded_training_set
from retrain_pipeline.learning.manifest import TriggerRef
from retrain_pipeline.learning.training_set import freeze_training_set
from retrain_pipeline.learning.versions import load_version
from retrain_pipeline.monitoring.reference import store_reference
from retrain_pipeline.records.card import write_card
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.release import newest_evidence, reject, release
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.release.state import current
from retrain_pipeline.spec.declaration import Declaration, read_declaration
from retrain_pipeline.stores import Stores, open_stores
from retrain_pipeline.triggers.request import retrain_requested
from retrain_pipeline.triggers.retrain import TERMINAL, close_dead, note_candidate, retrain_of, subject_of
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.e2e.doors import Door, Doors, die, fork, in_turn, killed, must, twins, wait
from retrain_pipeline_tests.gates.world import START, make_world

MODEL, ACTOR = "toy", "run"
WEEK = {"first": 6, "second": 8}
TERMS = {"first": ("first_model", "first"), "second": ("performance", "non_inferiority")}
EXIT_REFUSED = 3


# --- the model side, step by step, as the assets call it -------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A retrain to run."""

    run_id: str
    week: int
    kind: str
    mode: str
    attempt: int = 1


def training_set(stores: Stores, declaration: Declaration, asked: Asked) -> None:
    retrain = retrain_requested(
        stores.ledger,
        declaration.spec,
        run_id=asked.run_id,
        as_of=(START + timedelta(weeks=asked.week)).isoformat(),
        kind=asked.kind,
        mode=asked.mode,
        trigger_id=f"{asked.kind}-{asked.week}",
        attempt=asked.attempt,
        actor=ACTOR,
    )
    frozen = freeze_training_set(stores, declaration.spec, retrain.as_of)
    record_training_set(stores, frozen, run_id=asked.run_id, actor=ACTOR)


def candidate(stores: Stores, declaration: Declaration, asked: Asked) -> None:
    deployed = stores.ledger.deployment(MODEL)
    retrain = retrain_of(stores.ledger, MODEL, asked.run_id)
    frozen = recorded_training_set(stores, subject_of(stores.ledger, MODEL, "training_set_frozen", asked.run_id))
    manifest = build_candidate(
        stores,
        declaration,
        frozen,
        trigger=TriggerRef(kind=retrain.kind, id=retrain.trigger_id, attempt=retrain.attempt),
        parent=deployed.state["champion"] if deployed else None,
        run_id=asked.run_id,
        actor=ACTOR,
    )
    store_reference(stores, declaration.spec, manifest.version)
    note_candidate(stores.ledger, MODEL, manifest.version, asked.run_id, ACTOR)


def evaluation(stores: Stores, declaration: Declaration, asked: Asked) -> None:
    retrain = retrain_of(stores.ledger, MODEL, asked.run_id)
    version = subject_of(stores.ledger, MODEL, "candidate_built", asked.run_id)
    evidence, digest = judge(stores, declaration, version, mode=retrain.mode, run_id=asked.run_id, actor=ACTOR)
    if evidence.verdict is not Verdict.PASS:
        reject(stores, declaration, version, evidence_digest=digest, run_id=asked.run_id, actor=ACTOR)


def releasing(stores: Stores, declaration: Declaration, asked: Asked) -> None:
    version = subject_of(stores.ledger, MODEL, "candidate_built", asked.run_id)
    evidence = newest_evidence(stores, MODEL, version)
    release(stores, declaration, version, evidence_digest=evidence, run_id=asked.run_id, actor=ACTOR)


def model_card(stores: Stores, declaration: Declaration, asked: Asked) -> None:
    card = write_card(stores, declaration, subject_of(stores.ledger, MODEL, "released", asked.run_id))
    assert stores.artifacts.get(card.markdown)
    assert stores.artifacts.get_json(card.json)["model_details"]["version"] == card.version


STEPS = {
    "training_set": training_set,
    "candidate": candidate,
    "evaluation": evaluation,
    "release": releasing,
    "model_card": model_card,
}


def bound(stores: Stores, declaration: Declaration, asked: Asked) -> dict[str, Callable[[], None]]:
    """Return the steps of a retrain, to be called."""
    return {name: partial(work, stores, declaration, asked) for name, work in STEPS.items()}


# --- what is on the disk ---------------------------------------------------------------------------------------------


@dataclass
class Case:
    """One retrain over prepared stores: the first release, or the second over a champion."""

    folder: Path
    name: str

    @property
    def prepared(self) -> Path:
        return self.folder / "prepared" / "home"

    @property
    def asked(self) -> Asked:
        return Asked("dying", WEEK[self.name], *TERMS[self.name])

    def declaration(self) -> Declaration:
        return read_declaration(self.folder / "prepared" / "toy")

    def open(self, home: Path) -> Stores:
        """Open stores over the one prepared lake: the model side only reads it."""
        return open_stores(home, lake_url=str(self.prepared / "lake"))

    def fresh(self, name: str) -> Path:
        """Copy the prepared stores."""
        home = self.folder / name
        copy_home(self.prepared, home)
        return home

    def prepare(self) -> None:
        world = make_world(self.folder / "prepared")
        if self.name == "first":  # nothing may be in its ledger; another one makes the imports
            copy_home(self.prepared, self.folder / "rehearsal")
        home = self.prepared if self.name == "second" else self.folder / "rehearsal"
        stores = open_stores(home, lake_url=str(self.prepared / "lake"))
        asked = Asked("founder", WEEK["first"], *TERMS["first"])
        for work in STEPS.values():
            work(stores, world.declaration, asked)
        stores.close()
        world.stores.close()
        (self.folder / "modules.json").write_text(json.dumps(sorted(sys.modules)))

    def warm(self) -> None:
        """Import what the preparing child had imported, so that the children of this process need not."""
        must(self.prepare)
        for name in json.loads((self.folder / "modules.json").read_text()):
            if name != "__main__":
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)


def copy_home(source: Path, target: Path) -> None:
    """Copy stores without their lake. Whole artifacts never change, so a second name for them is a copy."""

    def copy(one: str, other: str) -> None:
        if len(Path(one).name) == 64:
            os.link(one, other)
        else:
            shutil.copyfile(one, other)

    shutil.copytree(source, target, ignore=shutil.ignore_patterns("lake"), copy_function=copy)


def artifact_names(home: Path) -> set[str]:
    return {path.name for path in (home / "artifacts").glob("??/*") if not path.name.startswith(".tmp-")}


def temporaries(home: Path) -> list[Path]:
    return sorted((home / "artifacts").glob("??/.tmp-*"))


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


# --- an orphan -------------------------------------------------------------------------------------------------------


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
    chosen = Case(Path(sys.argv[2]), sys.argv[3])
    {"kill": kill_everywhere, "orphan": orphan}[sys.argv[1]](chosen)
