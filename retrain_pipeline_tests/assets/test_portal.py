"""The asset `portal`: the site beside the stores, its place in the metadata, one for all models, lanes aside."""

from pathlib import Path

import dagster as dg
import pytest

from retrain_pipeline.assets.graph import graph_of
from retrain_pipeline.assets.portal import portal_asset, portal_definitions
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.stores import open_stores
from retrain_pipeline_tests.assets.conftest import write_model
from retrain_pipeline_tests.records.portal.written import Written


@pytest.mark.requirement("D11", "B26")
def test_the_asset_builds_the_site_and_names_its_first_page(tmp_path):
    declaration = read_declaration(write_model(tmp_path / "toy"))
    stores = open_stores(tmp_path / "home")
    Written(stores, "toy").version()
    done = dg.materialize(
        [portal_asset([declaration])],
        instance=dg.DagsterInstance.ephemeral(),
        resources={"stores": StoresResource(home=str(tmp_path / "home"))},
    )
    (event,) = done.asset_materializations_for_node("portal")
    assert Path(str(event.metadata["index"].value)) == tmp_path / "home" / "portal" / "index.html"
    assert event.metadata["versions"].value == 1
    lineage = (tmp_path / "home" / "portal" / "m" / "toy" / "lineage.html").read_text()
    for one in graph_of([declaration])["toy"]:
        assert f'<th scope="row">{one["key"]}</th>' in lineage
    assert {"toy/raw", "toy/release"} <= {one["key"] for one in graph_of([declaration])["toy"]}
    stores.close()


def test_a_project_has_one_portal_and_no_models_have_none(tmp_path):
    declaration = read_declaration(write_model(tmp_path / "toy"))
    made = portal_definitions([declaration])
    assert len(list(made.assets or ())) == len(list(made.schedules or ())) == 1
    assert not portal_definitions([]).assets
