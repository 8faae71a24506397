"""Two loops over the same source in one project: the model in production and its successor, or an experiment."""

import pytest

from retrain_pipeline.assets.model import project_definitions
from retrain_pipeline.assets.playback import QUIET, Player
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline_tests.assets.conftest import DEFS, write_model

NEXT_FEATURES = '''\
"""Features of the toy's successor: other names, and fewer."""

import pandas as pd


def build(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the two numbers under other names."""
    return rows[["a", "b"]].rename(columns={"a": "alpha", "b": "beta"})
'''


@pytest.mark.requirement("D41", "D42", "D22")
def test_a_successor_with_another_recipe_is_released_beside_the_model_and_neither_touches_the_other(make_project):
    old = make_project()
    new_defs = DEFS.replace("name: toy", "name: toy_next").replace(
        "sklearn.linear_model.LogisticRegression", "sklearn.linear_model.LogisticRegression, params: {C: 0.5}"
    )
    declared = read_declaration(write_model(old.folder / "models" / "toy_next", new_defs, NEXT_FEATURES))
    both = project_definitions([old.declaration, declared], StoresResource(home=str(old.folder / "state")))
    players = [Player(both, old.instance, one) for one in (old.declaration, declared)]
    for week in range(4):
        assert all(player.step(old.period(week)).data_ok for player in players)
    ledger = old.stores.ledger
    first, second = ledger.deployment("toy"), ledger.deployment("toy_next")
    assert first is not None
    assert second is not None
    recipes = [
        read_manifest(old.stores, name, row.state["champion"]) for name, row in (("toy", first), ("toy_next", second))
    ]
    assert recipes[0].feature_code_digest != recipes[1].feature_code_digest
    assert [recipe.params.get("C", 1.0) for recipe in recipes] == [1.0, 0.5]
    # the successor goes on alone, is trained again and fails or not: the record of the other is as it was
    config = {**QUIET, "ops": {"toy_next__training_set": {"config": {"kind": "manual", "mode": "non_inferiority"}}}}
    job = both.resolve_implicit_global_asset_job_def()
    keys = {key for key in both.resolve_asset_graph().get_all_asset_keys() if key.path[0] == "toy_next"}
    model_side = {key for key in keys if key.path[1] in ("training_set", "candidate", "evaluation", "release")}
    job.get_subset(asset_selection=model_side).execute_in_process(
        instance=old.instance, raise_on_error=False, run_config=config
    )
    assert ledger.deployment("toy") == first
    assert players[0].data(old.period(4)).success
    served = old.stores.lake.read("toy", "predictions", periods=[old.period(4)])
    assert set(served["model_version"]) == {first.state["champion"]}
