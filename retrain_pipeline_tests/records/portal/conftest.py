"""A site made once from stores with everything in them, hostile text too, and a browser to look at it with."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrain_pipeline.records.kinds.deviation import Deviation
from retrain_pipeline.records.portal.build import build_portal
from retrain_pipeline.records.record import enter
from retrain_pipeline.stores import Stores, open_stores
from retrain_pipeline_tests.records.portal.browsing import MISSING, chromium, started
from retrain_pipeline_tests.records.portal.written import Tried, Written

HOSTILE = (
    '<script>window.hit=1</script><img src=x onerror="window.hit=1"><svg onload="window.hit=1">'
    "</script>{{7*7}}{% raw %}[click](javascript:window.hit=1) ![x](http://example.invalid/x.png) "
    "\u202egnp.exe\u2066 =cmd|' /C calc'!A0 write to ada.lovelace@example.org or pay 4111 1111 1111 1111"
)
GRAPH = {
    "bikes": [
        {"key": "bikes/raw", "deps": [], "kinds": ["parquet"], "side": "data", "words": "Rows of the source."},
        {"key": "bikes/features", "deps": ["bikes/raw"], "kinds": [], "side": "data", "words": HOSTILE},
        {"key": "bikes/release", "deps": ["bikes/features", "loans/x"], "kinds": [], "side": "model", "words": "It."},
    ]
}


def write_all(stores: Stores) -> Written:
    """Write two models: bikes has a history of everything, loans is hostile wherever people may write."""
    bikes = Written(stores, "bikes")
    first = bikes.decide(
        1, "A tree", "## Why\nBecause **trees** find corners.\n\n## Not\n[a link](https://example.org)\n"
    )
    bikes.decide(2, "A deeper tree", "## Why\nDepth counts.\n", supersedes=first, subject={"kind": "optimizer"})
    for week in range(6):
        bikes.monitor(week, None if week == 2 else 2.0 + week / 10, "FAIL" if week == 4 else "PASS")
        bikes.version(verdict="FAIL" if week == 3 else "PASS")
    bikes.fail("the source did not answer")
    tried = Tried.make(
        model="bikes", subject="run-bikes-00003", run_id="run-bikes-00003", why_failed="quality was not shown",
        lesson="more rows are needed", version=bikes.champion, links={"decision": first},
    )  # fmt: skip
    enter(stores, tried, actor="test")
    found = {"model": "bikes", "subject": "run-bikes-00003", "found_by": "machine", "agreed": "python 3.11"}
    enter(stores, Deviation.make(**found, what="python 3.12"), actor="test")
    told = {"why": "the machine was new", "expected": "nothing", "by": "ann"}
    enter(stores, Deviation.make(**found, what="python 3.12", **told), actor="test")
    bikes.roll_back("odd scores at night")
    loans = Written(stores, "loans", statement=HOSTILE, words=HOSTILE, metric="brier")
    loans.decide(
        1,
        HOSTILE,
        f"## {HOSTILE}\n{HOSTILE}\n\n<b>x</b>\n",
        problem_domain="credit",
        model_type="linear",
        data_sources=[HOSTILE],
    )
    loans.monitor(0, 0.1)
    loans.version(features=("temp", HOSTILE))
    loans.version(verdict="INCONCLUSIVE")
    loans.enter("alerted", None, words=HOSTILE)
    return bikes


@pytest.fixture(scope="package")
def made(tmp_path_factory) -> Iterator[tuple[Stores, Path]]:
    """The stores, and the site that was built from them."""
    folder = tmp_path_factory.mktemp("portal")
    stores = open_stores(folder / "home")
    write_all(stores)
    build_portal(stores, folder / "site", graph=GRAPH)
    yield stores, folder / "site"
    stores.close()


@pytest.fixture(scope="package")
def site(made) -> Path:
    """The folder of the site."""
    return made[1]


@pytest.fixture(scope="package")
def browser() -> Iterator["object"]:
    """Chromium without a window. On CI it must be there; elsewhere a test that needs it is skipped where it is not."""
    paths = chromium()
    if paths is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with started(paths) as one:
        yield one
