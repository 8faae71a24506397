"""Deaths at every write of what brings records up to date. Run as a program, as `killing` is.

One walk passes all doors of `settle` over a life with a release, a second one and a rollback; at each a forked twin
copies what lies on the disk and is killed there. Estates with as many entries and artifacts go on alike: of each such
group the last is settled again, and must end as if nobody had died.
"""

import itertools
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from retrain_pipeline.records.record import records
from retrain_pipeline.records.settle import settle
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.stores import Stores
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.e2e.doors import Door, Doors, in_turn, must, twins
from retrain_pipeline_tests.e2e.killing_case import Case, artifact_names, copy_home, temporaries
from retrain_pipeline_tests.e2e.model_side import ACTOR, MODEL, STEPS


def on_record(stores: Stores) -> list[list[str]]:
    """Return kind and subject of every record; each must read with its digest."""
    return sorted([one.kind, one.subject] for one in records(stores, MODEL))


def prepare(case: Case) -> None:
    """A life of which nothing is on record yet: two releases, and the way back."""
    case.prepare()
    stores, declaration = case.open(case.prepared), case.declaration()
    for work in STEPS.values():
        work(stores, declaration, case.asked)
    rollback(stores, MODEL, because="the second one is worse in the field", actor="person:anna")
    stores.close()


def walk(case: Case) -> None:
    """Pass every door; at each, a forked twin copies the stores and is killed."""
    home = case.fresh("walk")
    doors: list[Door] = []
    (case.folder / "dead").mkdir()
    stores, declaration = case.open(home), case.declaration()
    twin = twins(doors, lambda door: copy_home(home, case.folder / "dead" / f"{door.number:04d}"))
    Doors(twin).run({"records": lambda: settle(stores, declaration, ACTOR)})
    truth = {"doors": [asdict(door) for door in doors], "records": on_record(stores)}
    (case.folder / "truth.json").write_text(json.dumps(truth))


def state_of(home: Path) -> tuple[int, int]:
    """Return how much is on the disk: the length of the ledger's file does, with the number of artifacts."""
    return sum(file.stat().st_size for file in home.glob("ledger.db*")), len(artifact_names(home))


def go_on(case: Case, home: Path, expected: list[list[str]]) -> None:
    """Settle again what a death left, and check that everything is as if nobody had died."""
    stores, declaration = case.open(home), case.declaration()
    assert stores.ledger.verify().verdict is Verdict.PASS
    found = on_record(stores)
    assert all(one in expected for one in found), "a record that nobody else would have written"
    settle(stores, declaration, ACTOR)
    assert on_record(stores) == expected
    head = stores.ledger.head()
    settle(stores, declaration, ACTOR)
    assert stores.ledger.head() == head
    assert stores.ledger.verify().verdict is Verdict.PASS
    stores.close()


def main(folder: Path) -> None:
    """Walk, go on from the last estate of each group, and write a report."""
    case = Case(folder, "second")
    must(lambda: prepare(case))
    must(lambda: walk(case))
    truth = json.loads((folder / "truth.json").read_text())
    homes = sorted((folder / "dead").iterdir())
    assert len(homes) == len(truth["doors"])
    left = sum(bool(temporaries(home)) for home in homes)
    groups = [list(same) for _, same in itertools.groupby(homes, state_of)]
    in_turn([lambda home=same[-1]: go_on(case, home, truth["records"]) for same in groups])  # type: ignore[misc]
    shutil.rmtree(folder / "dead")
    report = {"doors": truth["doors"], "records": truth["records"], "deaths": len(groups), "temporaries": left}
    (folder / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
