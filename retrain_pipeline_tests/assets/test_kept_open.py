"""A played run keeps the SQLite files of its events open, so that not every event waits for the disk."""

from pathlib import Path

import dagster as dg

from retrain_pipeline.assets.playback import kept_open

RUN = "00000000-0000-0000-0000-000000000001"


def logs(home: Path) -> set[str]:
    return {file.name for file in home.rglob("*.db-wal")}


def test_sqlite_does_not_fold_its_log_into_the_file_after_each_event_while_a_run_is_played(tmp_path):
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        with kept_open(instance, RUN):
            instance.report_engine_event("one", run_id=RUN, job_name="played")
            assert f"{RUN}.db-wal" in logs(tmp_path)
            assert "index.db-wal" in logs(tmp_path)
        assert not logs(tmp_path)
        assert [one.message for one in instance.all_logs(RUN)] == ["one"]
        instance.report_engine_event("two", run_id=RUN, job_name="played")
        assert not logs(tmp_path)  # where this no longer holds, nothing needs to be kept open


def test_other_storages_are_left_alone():
    with dg.DagsterInstance.ephemeral() as instance, kept_open(instance, RUN):
        instance.report_engine_event("one", run_id=RUN, job_name="played")
