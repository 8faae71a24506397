"""What a judgement is held to before anything is looked at: the budget by rows that judged before, and the code."""

import subprocess

import pytest

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.gates.budget import Reuse
from retrain_pipeline.learning.versions import register
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline_tests.gates.handmade import ROWS, manifest
from retrain_pipeline_tests.gates.seeing import judged
from retrain_pipeline_tests.release.handmade import Trial

OWN = b"v2 judge"
"""The rows that judge v2: eight bytes, the digest of one row."""


@pytest.fixture
def trial(tmp_path):
    made = Trial(tmp_path, "shadow_periods: 1, canary_shares: [0.1]")
    yield made
    made.stores.close()


def judged_before(trial, version, rows, begin, until, model="toy"):
    payload = {
        "question": version * 2, "mode": "non_inferiority", "verdict": "PASS", "alpha_spent": 0.01,
        "rows": {"digest": trial.stores.artifacts.put(rows), "from": begin, "until": until},
    }  # fmt: skip
    trial.ledger.append(NewEntry("test", "judged", model, version, payload))


def test_the_level_is_halved_by_each_judgement_that_shares_rows_and_by_no_other(trial):
    judged_before(trial, "shares", b"another." + OWN, ROWS["from"], ROWS["until"])
    judged_before(trial, "beside", b"another." + b"further.", ROWS["from"], ROWS["until"])
    judged_before(trial, "before", OWN, "2024-01-01T00:00:00+00:00", "2024-02-04T23:00:00+00:00")
    judged_before(trial, "behind", OWN, "2024-02-18T23:30:00+00:00", "2024-03-01T00:00:00+00:00")
    judged_before(trial, "others", OWN, ROWS["from"], ROWS["until"], model="doll")
    budget = judged(trial, mode="non_inferiority")[0].budget
    assert budget.reused == (Reuse(version="shares", rows=1),)
    assert (budget.judgement, budget.spent_before, budget.spent) == (5, 0.04, 0.025)


def test_what_is_judged_is_named_by_its_own_registration_and_against_its_own_models_champion(trial):
    made = trial.manifest
    for model, version in (("doll", "v2"), ("toy", "v3")):
        register(trial.stores, manifest(trial.stores.artifacts, version, model=model, seed=9), actor="test")
    trial.ledger.append(NewEntry("test", "looked_at", "toy", "v2", {"manifest": "e" * 64}))
    other = {**trial.champion.to_state(), "model": "aaa", "champion": "v8"}
    trial.ledger.change_deployment("aaa", 0, other, NewEntry("test", "released", "aaa", "v8"))
    found, _ = judged(trial)
    assert (found.manifest, found.champion) == (trial.evidence.manifest, "v1")
    assert found.training_set == made.frozen.digest
    entry = trial.ledger.latest("toy", "judged")
    assert (entry.run_id, entry.actor, entry.payload["evidence"]) == ("run-8", "somebody", digest_of(found.document()))


def test_the_code_that_judged_is_that_of_the_work_tree_that_holds_the_declaration(trial):
    folder, name = trial.declaration.folder, ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for command in (["init", "-q"], ["add", "."], [*name, "commit", "-q", "--no-verify", "-m", "a model"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    code = judged(trial)[0].code
    assert (code.commit, code.dirty) == (said.stdout.strip(), False)
