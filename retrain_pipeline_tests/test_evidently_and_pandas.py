"""pandas stays below 3 because of Evidently; this says when that may end."""

import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

LAST_KNOWN = Version("0.7.23")  # `import evidently` of this release fails with pandas 3


def test_pandas_is_held_below_3_for_as_long_as_evidently_is_the_release_that_needs_it():
    assert Version(version("evidently")) == LAST_KNOWN, (
        "Evidently changed: try pandas 3 (import evidently and run the monitoring tests with it). If they pass, lift "
        "the bound of pandas in pyproject.toml and remove this test; if not, move LAST_KNOWN on."
    )
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    (pandas,) = [r for r in map(Requirement, project["dependencies"]) if r.name == "pandas"]
    assert not pandas.specifier.contains("3.0.0")
    assert pandas.specifier.contains("2.3.3")
    assert Version(version("pandas")) < Version("3")
