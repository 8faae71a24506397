"""A world in which a second validator was called for."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from retrain_pipeline_tests.gates.world import World, template, versions


def declared(world: World, escalate: str, more: str = "") -> World:
    """Return the world whose declaration escalates."""
    path = world.declaration.folder / "defs.yaml"
    text = path.read_text().replace("gates: {margin: 0.08,", f"gates: {{escalate: {escalate}, refits: 0, {more}")
    path.write_text(text)
    return world.again()


@functools.cache
def escalated_world() -> World:
    """Return the template's world, its second version judged by both validators; made once, to be copied."""
    folder = Path(tempfile.mkdtemp(prefix="escalated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    world = declared(template().copy(folder), "{near: 9}", "margin: 0.3,")
    world.judge(versions(world)[1], run_id="run-escalated")
    return world
