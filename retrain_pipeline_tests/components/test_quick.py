"""Loading with less work gives what loading gives, and leaves the process as it was."""

import gc
import subprocess
import sys
import weakref

import pytest
import yaml
from dagster_shared.yaml_utils import parse_yamls_with_source_position

from retrain_pipeline.assets.common import with_signature
from retrain_pipeline.cli.places import DEFS
from retrain_pipeline.quick import quickly

ODD = "a: 1.10\nb: [yes, 010, 2025-01-06, ~]\nc: |\n  text\n\n  more\nd: {é: 'x', \"y\": }\n---\nsecond: 1:30\n"


@pytest.mark.parametrize("text", [ODD, *(file.read_text() for file in sorted(DEFS.rglob("defs.yaml")))])
def test_dagster_reads_the_same_values_and_places(text):
    slowly = parse_yamls_with_source_position(text, "defs.yaml")
    with quickly():
        assert yaml.SafeLoader is yaml.CSafeLoader
        assert parse_yamls_with_source_position(text, "defs.yaml") == slowly


def test_the_process_is_as_it_was_after_a_load_that_fails():
    def load():
        with quickly():
            assert not gc.isenabled()
            raise ValueError("broken")

    before = yaml.SafeLoader
    with pytest.raises(ValueError, match="broken"):
        load()
    assert yaml.SafeLoader is before
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with quickly():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_an_earlier_load_left_is_collected_after_the_next():
    class Loaded:
        def __init__(self):
            self.itself = self  # only a collector can free it

    gone = []
    try:
        with quickly():
            weakref.finalize(Loaded(), gone.append, True)
        gc.collect()
        assert gone == []
        assert gc.get_freeze_count() > 0
        with quickly():
            pass
        assert gone == [True]
    finally:
        gc.unfreeze()


def test_definitions_are_imported_where_no_garbage_is_collected():
    look = (
        "import gc, sys\n"
        "seen = []\n"
        "gc.callbacks.append(lambda phase, info: seen.append(info['generation']))\n"
        "from retrain_pipeline.definitions import defs\n"
        "assert not any(name.startswith('retrain_pipeline.assets') for name in sys.modules)\n"
        "seen.clear()\n"
        "loaded = defs()\n"
        "print('retrain_pipeline.assets.model' in sys.modules, seen)\n"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True []"


def test_bodies_of_one_code_share_a_signature_and_others_do_not():
    def made(model):
        def body(context: str, stores: "int") -> None:
            assert model

        return with_signature(body)

    one, two = made("one"), made("two")
    assert one.__signature__ is two.__signature__
    assert one.__signature__.parameters["stores"].annotation is int
    assert with_signature(lambda context: None).__signature__ != one.__signature__
