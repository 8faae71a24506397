"""Which feature comes from which column, seen by changing columns; what cannot be seen is said."""

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.insight.lineage import ColumnLineage, Probe, observe, probe_rows
from retrain_pipeline.learning.team_code import FeatureCode
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline_tests.learning.small_world import declared, raw_day

GROUPED = ColumnLineage(
    code="c", declared="d", period="p", rows=1, unresolved={},
    sources={"x": ("a", "b"), "y": ("a", "b"), "z": ("c",), "lost": ()},
)  # fmt: skip


def seen(build, spec: ModelSpec | None = None, rows: pd.DataFrame | None = None) -> ColumnLineage:
    rows = pd.concat([raw_day(0), raw_day(1)], ignore_index=True) if rows is None else rows
    return observe(FeatureCode(build, "0" * 64, "test"), spec or declared(), Probe(rows, "2024-01-02"))


@pytest.mark.requirement("A16", "B36")
def test_every_feature_is_traced_to_its_columns():
    def build(rows):
        return pd.DataFrame(
            {
                "income": rows["income"],
                "older": (rows["age"] > 60).astype(int),
                "town": rows["town"].astype("category"),
                "hour": rows["at"].dt.hour,
                "before": rows["income"].shift(3),
                "both": rows["income"] * rows["age"],
                "paid_late": rows["town"].eq("voss") & (rows["income"] > 12),
                "gap": rows["at"].diff().dt.total_seconds(),
                "parity": rows["id"] % 2,
            },
            index=rows.index,
        )

    found = seen(build)
    assert found.sources == {
        "income": ("income",),
        "older": ("age",),
        "town": ("town",),
        "hour": ("at",),
        "before": ("income",),
        "both": ("age", "income"),
        "paid_late": ("income", "town"),
        "gap": ("at",),
        "parity": ("id",),
    }
    assert found.unresolved == {}
    assert found.features_of("income") == ["before", "both", "income", "paid_late"]


def test_what_cannot_be_seen_is_said():
    calls = iter(range(10_000))

    def build(rows):
        if rows["town"].isna().all() or not rows["town"].dropna().isin(["oslo", "bergen", "voss"]).all():
            raise TypeError("towns must be known")
        if not rows["town"].equals(original["town"]):
            raise ValueError("no other towns")
        return pd.DataFrame({"income": rows["income"], "one": 1.0, "restless": float(next(calls))}, index=rows.index)

    original = pd.concat([raw_day(0), raw_day(1)], ignore_index=True)
    found = seen(build, rows=original)
    assert found.sources == {"income": ("income",), "one": (), "restless": ()}
    assert "differ between two calls" in found.unresolved["restless"]
    assert "no change of any one column moved it" in found.unresolved["one"]
    assert "bears no change of it" in found.unresolved["town"]


def test_the_label_is_not_among_the_sources():
    found = seen(lambda rows: rows[["income"]].assign(seen="paid" in rows))
    assert found.sources["seen"] == ()
    assert all("paid" not in columns for columns in found.sources.values())


def test_columns_of_every_type_are_changed():
    spec = declared()
    data = spec.data.model_copy(
        update={
            "columns": {
                name: spec.data.columns["age"].model_copy(update={"dtype": dtype})
                for name, dtype in {"flag": "bool", "day": "timestamp", "note": "string", "n": "int"}.items()
            }
        }
    )
    rows = raw_day(0)
    rows = rows.assign(
        flag=np.arange(len(rows)) % 2 == 0,
        day=rows["_event_time"].dt.floor("D"),
        note="always the same",
        n=pd.array([3] * len(rows), dtype="Int64"),
    )
    found = seen(
        lambda given: pd.DataFrame(
            {
                "f": given["flag"].astype("float64"),
                "d": given["day"].dt.dayofyear,
                "s": given["note"].str.len().astype("float64"),
                "n": given["n"].astype("Float64").astype("float64"),
            },
            index=given.index,
        ),
        spec.model_copy(update={"data": data}),
        rows,
    )
    assert found.sources == {"f": ("flag",), "d": ("day",), "s": ("note",), "n": ("n",)}


def test_groups_are_the_columns_that_give_the_same_features():
    assert GROUPED.groups() == {"a + b": ("x", "y"), "c": ("z",), "lost": ("lost",)}


def test_the_probe_is_the_newest_rows_with_their_history(bench):
    probe = probe_rows(bench.world.stores, bench.world.declaration.spec)
    assert probe.period == "2024-02-19"
    assert len(probe.rows) == 168
    assert probe.rows["_event_time"].is_monotonic_increasing


@pytest.mark.requirement("C12")
def test_a_column_knows_what_depends_on_it(bench):
    from retrain_pipeline.insight.recipe import NotMeasured
    from retrain_pipeline.records.upstream import downstream_of

    first = bench.build(5)
    (bench.world.declaration.folder / "decisions" / "0002-shop.md").write_text(
        "---\nid: shops\nschema: 1\nstatus: proposed\ndate: 2024-01-01\n"
        "subject: {kind: feature}\nreview_by: 2030-01-01\n---\n# Which shop\n\nThe shop says how it is weighed.\n"
    )
    stores, declaration = bench.world.stores, bench.world.declaration
    found = downstream_of(stores, declaration, "shop", actor="test")
    assert found.lineage.features_of("shop") == ["shop"]
    assert [(one.version, one.features, one.known) for one in found.versions] == [(first, ("shop",), True)]
    assert found.decisions == (("0002-shop.md", "Which shop", "shop"),)
    assert [one.features for one in downstream_of(stores, declaration, None, actor="test").versions] == [
        ("a", "b", "shop")
    ]
    with pytest.raises(NotMeasured, match="has no column 'colour'; it has a, at, b, id, shop"):
        downstream_of(stores, declaration, "colour", actor="test")
    # a version of other code that was never observed counts by the names of its features
    bench.code("def build(rows):\n    return rows[['a']].assign(shop2=rows['shop'])\n")
    bench.build(6)
    found = downstream_of(stores, bench.world.declaration, "shop", actor="test")
    assert [(one.features, one.known) for one in found.versions] == [(("shop",), True), (("shop2",), True)]


@pytest.mark.requirement("A16")
def test_lineage_is_observed_once_for_each_state_of_the_code(bench):
    from retrain_pipeline.learning.features import load_features
    from retrain_pipeline.records.insights import observed_lineage
    from retrain_pipeline.records.kinds.lineage import LineageRecord
    from retrain_pipeline.records.record import records

    stores, declaration = bench.world.stores, bench.world.declaration
    code = load_features(declaration.folder, declaration.spec.features)
    first = observed_lineage(stores, declaration, code, actor="test")
    assert observed_lineage(stores, declaration, code, actor="other") == first
    assert len(list(records(stores, "toy", LineageRecord.KIND))) == 1
    (declaration.folder / "features.py").write_text("def build(rows):\n    return rows[['a']]\n")
    moved = load_features(declaration.folder, declaration.spec.features)
    assert observed_lineage(stores, declaration, moved, actor="test").sources == {"a": ("a",)}
    assert len(list(records(stores, "toy", LineageRecord.KIND))) == 2
