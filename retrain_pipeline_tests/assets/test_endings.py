"""Why a retrain came to no verdict: what its step says, or Dagster and the kernel when it said nothing."""

import dagster as dg
import pytest
from dagster._utils import get_run_crash_explanation

from retrain_pipeline.assets.common import OOM_TAG
from retrain_pipeline.assets.endings import ending_of
from retrain_pipeline.assets.failures import closing
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.learning.errors import AllCandidatesFailed
from retrain_pipeline.learning.kernel import killed_for_memory, oom_kills
from retrain_pipeline.triggers.retrain import DIED

KEY = dg.AssetKey(["toy", "candidate"])


@pytest.mark.fault("P7", "P36")
@pytest.mark.parametrize(
    ("error", "told", "cause"),
    [
        (MemoryError("no room"), MemoryError, "oom"),
        (AllCandidatesFailed("toy", {"a": "it did not converge", "b": "out of memory"}), dg.Failure, "oom"),
        (AllCandidatesFailed("toy", {"a": "it did not converge"}), dg.Failure, "refused"),
        (PermanentError("no"), dg.Failure, "refused"),
        (ValueError("what"), ValueError, "error"),
        (dg.DagsterExecutionInterruptedError(), dg.DagsterExecutionInterruptedError, "cancelled"),
        (KeyboardInterrupt(), KeyboardInterrupt, "cancelled"),
    ],
)
def test_a_step_says_why_it_ends_and_the_error_goes_on(ledger, error, told, cause):
    with pytest.raises(told), closing(ledger, "toy", "run-1", KEY):
        raise error
    [entry] = ledger.entries(action="retrain_failed")
    assert entry.payload["cause"] == cause
    assert entry.payload["reason"].startswith("toy/candidate: ")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def killed_run(instance, number, kills_before):
    """Return a run as Dagster leaves it whose worker died by a signal."""

    @dg.job
    def job():
        pass

    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags={OOM_TAG: kills_before})
    instance.report_engine_event(get_run_crash_explanation("Run execution process", -number), run)
    instance.report_run_failed(run)
    return run.run_id


@pytest.mark.fault("P7")
def test_a_killed_run_is_out_of_memory_only_where_the_kernel_counted_it(instance):
    now = oom_kills()
    assert now, "Linux counts"
    boot, count = now.rsplit(":", 1)
    fewer = f"{boot}:{int(count) - 1}"
    assert ending_of(instance, killed_run(instance, 9, fewer)).cause == "oom"
    assert ending_of(instance, killed_run(instance, 9, now)).cause == "killed"
    assert ending_of(instance, killed_run(instance, 9, f"another boot:{int(count) - 1}")).cause == "killed"
    segfault = ending_of(instance, killed_run(instance, 11, fewer))
    assert (segfault.cause, segfault.words) == ("killed", "the run's process was killed by signal 11 (SIGSEGV)")
    assert ending_of(instance, "deleted") == DIED


@pytest.mark.fault("P7")
def test_the_kernels_count_is_read_from_its_files(tmp_path):
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("b1\n")
    assert oom_kills(tmp_path) is None
    (tmp_path / "vmstat").write_text("nr_free_pages 7\noom_kill 3\nswap_ra 0\n")
    assert oom_kills(tmp_path) == "b1:3"
    assert killed_for_memory("b1:2", "b1:3")
    assert not killed_for_memory("b1:3", "b1:3")
    assert not killed_for_memory(None, "b1:3")
