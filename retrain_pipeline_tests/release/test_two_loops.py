"""Old code and new code over the same stores, each a process of its own, as long as a transition lasts."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.release.state import Deployment
from retrain_pipeline.triggers.retrain import TERMINAL
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import World, deliver, make_world, toys

ROOT = Path(__file__).parents[2]


class LoopProcess:
    """The other end of a `two_loops` program."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "retrain_pipeline_tests.release.two_loops"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def tell(self, do: str, **more: object) -> dict[str, str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline() or '{"refused": "it died"}')

    def ask(self, do: str, **more: object) -> str:
        told = self.tell(do, **more)
        assert "answer" in told, told
        return told["answer"]

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def processes():
    """Two loops of their own processes, made once: the imports cost more than what they do."""
    two = (LoopProcess(), LoopProcess())
    yield two
    for one in two:
        one.end()


@pytest.fixture(scope="module")
def delivered(tmp_path_factory) -> World:
    """A world with nine weeks of rows and labels, and no version."""
    world = make_world(tmp_path_factory.mktemp("two"))
    deliver(world.stores, world.declaration, toys(1, "regression", first=8))
    return world


@pytest.fixture
def loops(processes, delivered, tmp_path, ledger_url):
    """The old loop and the new one, each with code and recipe of its own, over the stores of one world."""
    world = delivered.copy(tmp_path, ledger_url)
    for which, params, words in (
        ("old", "{min_samples_leaf: 8}", "the columns"),
        ("new", "{min_samples_leaf: 8, max_depth: 20}", "the columns, with other code"),
    ):
        folder = tmp_path / which / "toy"
        shutil.copytree(world.declaration.folder, folder)
        for file, before, after in (
            ("defs.yaml", "{min_samples_leaf: 8}", params),
            ("defs.yaml", "gates: {", "gates: {refits: 0, "),  # refits take time and say nothing here
            ("features.py", "the columns", words),
        ):
            text = (folder / file).read_text()
            assert before in text
            (folder / file).write_text(text.replace(before, after))
    for process, which in zip(processes, ("old", "new"), strict=True):
        process.ask("open", home=str(world.home), ledger_url=ledger_url, models=str(tmp_path / which))
    old, new = processes
    old.ask("write_format_1")
    yield old, new, world
    old.ask("write_format_2")
    world.stores.close()


@pytest.mark.slow
@pytest.mark.requirement("D42")
@pytest.mark.fault("P12")
def test_the_old_loop_and_the_new_run_side_by_side_and_neither_corrupts_the_other(loops):
    old, new, world = loops
    stores = world.stores
    # the old loop made the model; the new one reads its record and serves by it
    first, verdict = old.ask("build", run_id="run-first", week=6, mode="first").split()
    assert (verdict, old.ask("release", run_id="run-first", week=6)) == ("PASS", first)
    record = stores.ledger.deployment("toy")
    assert record.state["schema"] == "deployment/1"
    assert new.ask("champion") == first
    assert [old.ask("period", week=6), new.ask("period", week=6)] == [f"{first} wrote", f"{first} found"]
    assert [new.ask("period", week=7), old.ask("period", week=7)] == [f"{first} wrote", f"{first} found"]

    # both retrain on the same state; the new one is first to release
    late, verdict = old.ask("build", run_id="run-old", week=7, mode="non_inferiority").split()
    assert verdict == "PASS"
    second, verdict = new.ask("build", run_id="run-new", week=8, mode="non_inferiority").split()
    assert verdict == "PASS"
    recipes = [read_manifest(stores, "toy", version) for version in (late, second)]
    assert [one.params.get("max_depth") for one in recipes] == [None, 20]
    assert recipes[0].feature_code_digest != recipes[1].feature_code_digest
    told = new.tell("release", run_id="run-old", week=7)  # what other code built is not the new code's to release
    assert told["refused"] == "ReleaseRefused", told
    assert stores.ledger.deployment("toy") == record
    assert new.ask("release", run_id="run-new", week=8) == second
    changed = stores.ledger.deployment("toy")
    assert (changed.epoch, changed.state["schema"], changed.state["previous"]) == (2, "deployment/2", first)

    # the old release cannot read what the new one wrote, and stops rather than overwrites
    for refused in (old.tell("release", run_id="run-old", week=7), old.tell("period", week=8), old.tell("roll_back")):
        assert refused["refused"] == "ReleaseRefused", refused
        assert "newer version" in refused["words"]
    assert stores.ledger.deployment("toy") == changed
    # its code upgraded, its recipe still the old one: what it decided on the old state is refused, on record
    old.ask("write_format_2")
    told = old.tell("release", run_id="run-old", week=7)
    assert told["refused"] == "ReleaseRefused"
    assert "epoch" in told["words"]
    assert stores.ledger.deployment("toy") == changed
    assert [new.ask("period", week=8), old.ask("period", week=8)] == [f"{second} wrote", f"{second} found"]

    # back over the format: to the record that the old loop made
    assert old.ask("roll_back") == first == new.ask("champion")
    restored = Deployment.from_state(stores.ledger.deployment("toy").state)
    assert restored.serving_digest == Deployment.from_state(record.state).serving_digest

    ends = {
        run: [entry.action for entry in stores.ledger.entries(run_id=run, action=TERMINAL)]
        for run in ("run-first", "run-old", "run-new")
    }
    assert ends == {"run-first": ["released"], "run-old": ["superseded"], "run-new": ["released"]}
    assert [row.epoch for row in stores.ledger.deployments()] == [3]
    assert stores.ledger.verify().verdict is Verdict.PASS
