"""Histories: of tables, and of a model's own record."""

import pytest

from retrain_pipeline.learning.errors import LabelsRefused
from retrain_pipeline.replay.errors import HistoryRefused
from retrain_pipeline.replay.history import delayed, from_model
from retrain_pipeline_tests.replay.conftest import ROWS, history_of, rows


def test_a_table_is_cut_into_batches_in_time_order(table, tmp_path):
    ordered = history_of(table)
    assert (ordered.batches, ordered.starts[:3], ordered.keys[0]) == (14, (0, ROWS, 2 * ROWS), "2024-01-01 00:00")
    shuffled = rows().sample(frac=1, random_state=0)
    shuffled.to_csv(tmp_path / "shuffled.csv", index=False)
    again = history_of(tmp_path / "shuffled.csv")
    assert again.digest == ordered.digest
    assert "at" not in ordered.features
    assert "y" not in ordered.features


def test_rows_without_a_label_and_the_last_part_of_a_batch_are_left_out(tmp_path):
    frame = rows().astype({"y": "float"})
    frame.loc[:9, "y"] = None
    frame.to_parquet(tmp_path / "gaps.parquet")
    assert history_of(tmp_path / "gaps.parquet").starts[-1] == 13 * ROWS


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"time": "when"}, HistoryRefused, "no column 'when'; there are: at, a, b, kind, y"),
        ({"drop": ("c",)}, HistoryRefused, "no column 'c'"),
        ({"rows_per_batch": 400}, HistoryRefused, "2 batches; 4 are needed"),
        ({"label": "kind"}, LabelsRefused, "binary labels"),
    ],
)
def test_a_table_that_cannot_be_replayed_is_told_why(table, more, error, words):
    with pytest.raises(error, match=words):
        history_of(table, **more)


def test_late_labels_are_known_so_many_batches_later():
    assert delayed(4, 0) == (0, 1, 2, 3, 4)
    assert delayed(4, 2) == (0, 0, 0, 1, 2)


def test_a_models_record_is_replayed_with_its_labels_as_late_as_they_came(released):
    history = from_model(released.stores, released.declaration.spec)
    assert list(history.keys) == [released.period(week) for week in range(6)]
    assert {"a", "b", "kind", "ab"} == set(history.features.columns)
    assert set(history.y.tolist()) == {0, 1}
    # labels come a day after their event: those of a week's last day are not known at its end
    assert history.known[0] == 0
    assert all(count <= t for t, count in enumerate(history.known))
    assert history.known[5] == 4


def test_a_model_without_labels_has_nothing_to_replay(make_project):
    project = make_project()
    with pytest.raises(HistoryRefused, match="retrain play"):
        from_model(project.stores, project.declaration.spec)
