"""`make bench`: the benchmarks that need nothing beside the project, or those that are named."""

import runpy
import sys

NAMES = (
    "load",
    "overhead",
    "triggers",
    "foresight",
    "drift_calibration",
    "drift_speed",
    "loss_calibration",
    "diagnosis",
    "window",
    "release",
    "canary_signals",
    "swap",
    "gates",
    "gated_loop",
    "creep",
    "portal",
    "documented",
)
ALWAYS = ("load", "overhead", "diagnosis", "release", "canary_signals", "swap", "portal")
"""Those that need nothing beside the project."""

for name in sys.argv[1:] or ALWAYS:
    if name not in NAMES:
        sys.exit(f"no benchmark {name!r}; there are: {', '.join(NAMES)}")
sys.argv, chosen = sys.argv[:1], sys.argv[1:] or ALWAYS
for name in chosen:
    runpy.run_module(f"retrain_pipeline_tests.bench.{name}", run_name="__main__", alter_sys=True)
