"""(a) How long the code location takes to load at 1, 20 and 200 models, against `import dagster` alone."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.progress import track

from retrain_pipeline_tests.bench.tables import markdown_table, median, write_page

CHECKOUT = Path(__file__).parents[2]
BARE = "import dagster"
LOCATION = (
    "from retrain_pipeline.definitions import defs; repository = defs().get_repository_def(); "
    "assert len(repository.asset_graph.get_all_asset_keys()) == 16 * {models} + 1"
)
# Dagster alone: as many assets and checks of one step each, written as plainly as Dagster lets one.
PEER = """
import dagster as dg
def asset(key, checks):
    specs = [dg.AssetCheckSpec(f"check_{{number}}", asset=key) for number in range(checks)]
    @dg.asset(key=key, check_specs=specs)
    def one(): ...
    return one
keys = [dg.AssetKey([f"model_{{m}}", f"asset_{{a}}"]) for m in range({models}) for a in range(16)]
assets = [asset(key, 43 if number % 16 == 0 else 0) for number, key in enumerate(keys)]
dg.Definitions(assets=assets).get_repository_def()
"""
# What the code location would take if Dagster did without what its UI shows: the page on the component types, and, of
# each asset, the place in `defs.yaml`.
NO_PAGE = """
import dagster, dagster.components.core.load_defs as made
made.get_library_json_enriched_defs = lambda tree: dagster.Definitions(component_tree=tree)
"""
NO_PLACES = """
dagster.Definitions.with_definition_metadata_update = lambda self, update: self
"""
TIMED = (
    "import time; started = time.perf_counter(); {code}; seconds = time.perf_counter() - started; "
    "import json, resource; "
    "print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))"
)
TARGET = 1.5
PROFILED = """
import cProfile, gc, json, pstats, time, dagster
imports, load = cProfile.Profile(time.process_time), cProfile.Profile(time.process_time)
gc.disable()  # as `quickly` does around both
imports.runcall(__import__, "retrain_pipeline.components.loading")
load.runcall(exec, {code!r}, {{}})
found = pstats.Stats(load)
seconds = {{name: sum(one[3] for key, one in found.stats.items() if key[2] == name) for name in {functions!r}}}
print(json.dumps([pstats.Stats(imports).total_tt, found.total_tt, seconds]))
"""
# By function, none within another: what is left of the time is "the rest".
PARTS = {
    "build_component_decl_from_yaml_file": "Dagster reads each `defs.yaml`",
    "known_troubles": "we read each `defs.yaml` strictly, once",
    "read_declaration": "we make a declaration of it: types, `features.py`, decisions",
    "model_definitions": "Dagster builds assets, checks and sensors of each model",
    "with_definition_metadata_update": "Dagster copies each asset to note where it was declared",
    "get_library_json_enriched_defs": "Dagster's page on the component types, with their schemas",
    "shared_definitions": "what all models share",
    "get_repository_def": "Dagster binds resources and resolves the asset graph",
}


def project_of(folder: Path, models: int) -> Path:
    """Return a copy of the package with this many models, all of different names and start dates."""
    shutil.copytree(
        CHECKOUT / "retrain_pipeline", folder / "retrain_pipeline", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copyfile(CHECKOUT / "pyproject.toml", folder / "pyproject.toml")
    lending = folder / "retrain_pipeline" / "defs" / "models" / "lending"
    for number in range(models):
        copy = lending.with_name(f"model_{number:03d}")
        shutil.copytree(lending, copy)
        text = (copy / "defs.yaml").read_text().replace("name: lending", f"name: model_{number:03d}")
        (copy / "defs.yaml").write_text(text.replace("2025-01-06", f"2025-01-{6 + number % 20:02d}"))
    shutil.rmtree(lending)
    return folder


def seconds_and_mb(code: str, folder: Path) -> tuple[float, float]:
    """Run code in a fresh interpreter; return its seconds and peak memory."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TIMED.format(code=f"exec({code!r})")],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, mb = json.loads(done.stdout.strip().splitlines()[-1])
    return seconds, mb


def shares(code: str, folder: Path) -> list[list[str]]:
    """Return the rows of a table: what takes which share of a load after `import dagster`, by a profile of it."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROFILED.format(code=code, functions=list(PARTS))],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    imports, load, seconds = json.loads(done.stdout.strip().splitlines()[-1])
    assert all(seconds.values()), f"a function has another name now: {seconds}"
    told = {"our modules are imported": imports} | {words: seconds[name] for name, words in PARTS.items()}
    told["the rest"] = max(load - sum(seconds.values()), 0.0)
    return [[words, f"{100 * some / (imports + load):.0f} %"] for words, some in told.items()]


def main(runs: int = 11) -> None:
    """Measure in turn (bare, Dagster alone, location, bare …) and write the table."""
    rows, without = [], list[float]()
    for models in (1, 20, 200):
        with tempfile.TemporaryDirectory() as name:
            folder = project_of(Path(name), models)
            code = LOCATION.format(models=models)
            if models == 20:
                profile = shares(code, folder)
            seconds_and_mb(code, folder)  # writes the bytecode caches, as a deployed project has them
            arms = [BARE, PEER.format(models=models), code]
            if models == 20:
                arms += [NO_PAGE + code, NO_PAGE + NO_PLACES + code]
            turns = [
                [seconds_and_mb(one, folder) for one in arms]
                for _ in track(range(runs), description=f"load, {models} models")
            ]
        bare, peer, load = (median([turn[arm][0] for turn in turns]) for arm in range(3))
        _, least, ratio, *others = (median([turn[arm][0] / turn[0][0] for turn in turns]) for arm in range(len(arms)))
        without = others or without
        memory = median([turn[2][1] for turn in turns])
        figures = [bare, peer, load, least, ratio]
        rows.append([models, *(f"{one:.2f}" for one in figures), f"{memory:.0f}"])
    header = [
        "models",
        "import dagster, s",
        "Dagster alone, s",
        "code location, s",
        "Dagster alone / import",
        "code location / import",
        "peak MB",
    ]
    write_page(
        "load",
        "Loading the code location",
        [
            f"Fresh interpreters in turn, {runs} of each, medians; ratios are medians over turns. Loading: "
            "`definitions.py` to the resolved repository. Dagster alone: 16 assets and 43 checks a model, empty, "
            "written in Python, no component, no YAML, no types of ours.",
            markdown_table(header, rows),
            f"Target: at 20 models at most {TARGET} × the bare import; seen {rows[1][5]}, Dagster alone {rows[1][4]}. "
            f"Without Dagster's page on the component types it would be {without[0]:.2f}, without that and the places "
            f"in `defs.yaml` {without[1]:.2f}: both are what Dagster's UI shows, so both stay.",
            "Where the time of 20 models goes, by a profile (which makes many small calls look dearer than they are):",
            markdown_table(["part", "share"], profile),
            "Beyond Dagster alone, an asset of ours has a context, a resource, tags, an owner, kinds and checks with "
            "descriptions: Dagster looks at each when it builds the asset, and copies the asset once to note the place "
            "in `defs.yaml` and once to bind resources. The page on the component types is what Dagster's UI shows of "
            "them; nearly half of it is pydantic, working out the schemas of Dagster's own.",
            "What was ours to save is saved. No garbage is collected while our modules are imported and definitions "
            "load, and what is there at the end is left out of later collections. YAML is read by libyaml, each text "
            "once by us. Worked out once: a signature for each kind of asset, the schema of its config, the "
            "specification of each asset, the schema of a declaration. "
            "`pyproject.toml` is read once, by Python's own parser, and what only runs need is imported by them.",
        ],
    )


if __name__ == "__main__":
    main()
