"""A season in which the column `b` stands still: who learns in it forgets what `b` does, and is found out after it."""

from datetime import timedelta
from pathlib import Path

import numpy as np

from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline_tests.gates.world import START, World, deliver, make_world, toys

AFTER = 20
"""The week as of which the candidate is built: its evaluation rows are of after the season."""


def make_season(folder: Path) -> tuple[World, str, str, str]:
    """Return a world and three versions: the first learned before the season, the champion in it and was let through
    as not worse, and a candidate in it, not judged yet."""
    world = make_world(folder, weeks=1)
    file = world.declaration.folder / "defs.yaml"
    text, tree = file.read_text(), "sklearn.tree.DecisionTreeRegressor, params: {min_samples_leaf: 8}"
    assert tree in text
    file.write_text(text.replace(tree, "sklearn.linear_model.Ridge"))
    world = World(world.stores, read_declaration(world.declaration.folder), world.home)
    rows = toys(AFTER, "regression")
    week = (rows["_event_time"] - START) / timedelta(weeks=1)
    rows.loc[(week >= 8) & (week < 18), "b"] = 0.0
    rows["y"] = 2 * rows["a"] + 2 * rows["b"] + np.random.default_rng(4).normal(0, 0.5, len(rows))
    deliver(world.stores, world.declaration, rows)
    first = world.build(8)
    world.judged_release(first, "first")
    second = world.build(18, parent=first)
    world.judged_release(second)
    return world, first, second, world.build(AFTER, parent=second)
