"""A Dagster process that is killed at a named place. Run as a program: `dying.py PLACE MODULE ARGUMENT…`.

The places of the daemon are those that Dagster's own tests crash at, in a tick of one sensor (`SENSOR`); those of the
webserver lie around the two writes of a launch. `nowhere` is no place. The sensor does not wait for its interval here,
so that the next daemon looks at once. Nothing else differs from `python -m MODULE ARGUMENT…`.
"""

import os
import runpy
import signal
import sys
from typing import Any

SENSOR = "toy_retrain"
TICK = (
    "TICK_CREATED",
    "TICK_HELD",
    "RUN_IDS_RESERVED",
    "RUN_CREATED",
    "RUN_LAUNCHED",
    "RUN_IDS_ADDED_TO_EVALUATIONS",
)
LAUNCH = ("before the run is created", "the run is created", "the run is submitted")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm_the_daemon(place: str) -> None:
    import dagster._daemon.sensor as daemon

    original = daemon.is_under_min_interval

    def crash(_flags: object, key: str) -> None:
        if key == place and sys._getframe(1).f_locals["remote_sensor"].name == SENSOR:
            die()

    daemon.check_for_debug_crash = crash  # type: ignore[attr-defined]
    daemon.is_under_min_interval = lambda state, sensor, *rest: sensor.name != SENSOR and original(state, sensor, *rest)


def arm_the_webserver(place: str) -> None:
    from dagster import DagsterInstance

    create, submit = DagsterInstance.create_run, DagsterInstance.submit_run

    def create_run(*args: Any, **kwargs: Any) -> Any:
        if place == LAUNCH[0]:
            die()
        run = create(*args, **kwargs)
        if place == LAUNCH[1]:
            die()
        return run

    def submit_run(*args: Any, **kwargs: Any) -> Any:
        run = submit(*args, **kwargs)
        if place == LAUNCH[2]:
            die()
        return run

    DagsterInstance.create_run = create_run  # type: ignore[method-assign]
    DagsterInstance.submit_run = submit_run  # type: ignore[method-assign]


if __name__ == "__main__":
    chosen, module, *arguments = sys.argv[1:]
    sys.path[0] = ""  # as `python -m` has it
    (arm_the_daemon if module.startswith("dagster._daemon") else arm_the_webserver)(chosen)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
