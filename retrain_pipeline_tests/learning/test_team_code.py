"""Loading a team's feature module: by path, fresh, and under a name of its own."""

import sys

import pytest

from retrain_pipeline.learning.errors import FeatureCodeRefused
from retrain_pipeline.learning.team_code import code_digest, load_features
from retrain_pipeline.spec.model import Features

ONE = "def build(rows):\n    return 1\n"


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_two_folders_with_the_same_module_name_do_not_meet(tmp_path):
    a = load_features(write(tmp_path / "a", features=ONE), Features())
    b = load_features(write(tmp_path / "b", features=ONE.replace("1", "2")), Features())
    assert (a.build(None), b.build(None)) == (1, 2)
    assert a.digest != b.digest
    assert a.reference == "features.py:build"
    assert str(tmp_path) not in "".join(sys.path)
    assert "features" not in sys.modules


def test_an_edit_within_the_same_second_and_size_is_seen(tmp_path):
    folder = write(tmp_path / "a", features=ONE)
    before = load_features(folder, Features())
    stamp = (folder / "features.py").stat().st_mtime
    write(folder, features=ONE.replace("1", "2"))
    import os

    os.utime(folder / "features.py", (stamp, stamp))
    after = load_features(folder, Features())
    assert (before.build(None), after.build(None)) == (1, 2)
    assert not (folder / "__pycache__").exists()


def test_neighbours_are_imported_relatively_and_count_in_the_digest(tmp_path):
    folder = write(
        tmp_path / "a", features="from . import helpers\n\ndef build(rows):\n    return helpers.N\n", helpers="N = 7\n"
    )
    first = load_features(folder, Features())
    assert first.build(None) == 7
    write(folder, helpers="N = 8\n")
    second = load_features(folder, Features())
    assert second.build(None) == 8
    assert second.digest != first.digest == first.digest
    assert second.digest == code_digest(folder)


def test_packages_inside_the_folder_load_too(tmp_path):
    inner = tmp_path / "a" / "made"
    inner.mkdir(parents=True)
    (inner / "__init__.py").write_text("N = 3\n")
    (inner / "of.py").write_text("from . import N\n\ndef make(rows):\n    return N\n")
    assert load_features(tmp_path / "a", Features(build="made.of.make")).build(None) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def biuld(rows):\n    return 1\n", "no function 'build'; it has \\['biuld'\\]"),
        ("build = 3\n", "no function 'build'"),
        ("def build(rows:\n", "does not load"),
        ("import no_such_package\n", "No module named 'no_such_package'"),
        ("from . import missing\n", "does not load"),
    ],
)
def test_a_module_that_does_not_fit_is_refused_in_words(tmp_path, text, words):
    with pytest.raises(FeatureCodeRefused, match=words):
        load_features(write(tmp_path / "a", features=text), Features())


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FeatureCodeRefused, match=r"other\.py is not a file"):
        load_features(tmp_path, Features(build="other.build"))
