"""Nothing in the package can unpickle: not by import, not by a flag, not by a reader that pickles underneath."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "retrain_pipeline"
MODULES = {"pickle", "cPickle", "_pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal", "jsonpickle"}
CALLS = {"read_pickle", "to_pickle", "unsafe_load", "full_load"}
BUILTINS = {"eval", "exec", "__import__"}


def offences(source: str) -> list[str]:
    """Return what a module does that could execute what it reads, with line numbers."""
    found = []
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            found += [f"{line}: import {one.name}" for one in node.names if one.name.split(".")[0] in MODULES]
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(f"{line}: from {node.module} import")
        if isinstance(node, ast.ImportFrom) and any(one.name in MODULES | CALLS for one in node.names):
            found.append(f"{line}: from {node.module} import {[one.name for one in node.names]}")
        if isinstance(node, ast.Call):
            found += _calls(node, line)
    return found


def _calls(node: ast.Call, line: int) -> list[str]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    found = [f"{line}: {name}()"] if name in CALLS else []
    if isinstance(node.func, ast.Name) and name in BUILTINS:
        found.append(f"{line}: {name}()")
    if name == "import_module" and any(isinstance(one, ast.Constant) and one.value in MODULES for one in node.args):
        found.append(f"{line}: import_module of a pickling module")
    allows = [one for one in node.keywords if one.arg == "allow_pickle"]
    if any(not (isinstance(one.value, ast.Constant) and one.value.value is False) for one in allows):
        found.append(f"{line}: allow_pickle")
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    if isinstance(owner, ast.Name) and owner.id == "yaml" and name == "load":
        found.append(f"{line}: yaml.load()")
    if isinstance(owner, ast.Name) and owner.id == "pd" and name == "eval":
        found.append(f"{line}: pd.eval()")
    return found


@pytest.mark.fault("S1")
def test_no_module_of_the_package_can_unpickle():
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 30
    found = {str(path.relative_to(PACKAGE)): offences(path.read_text(encoding="utf-8")) for path in files}
    assert {name: one for name, one in found.items() if one} == {}


@pytest.mark.fault("S1")
@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib as j",
        "from sklearn.externals import joblib",
        "from cloudpickle import loads",
        "import pandas as pd\npd.read_pickle('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "import yaml\nyaml.load(text)",
        "import importlib\nimportlib.import_module('pickle')",
        "eval('1')",
        "import pandas as pd\npd.eval('a')",
    ],
)
def test_the_ban_sees(source):
    assert offences(source)


def test_the_ban_does_not_see_ghosts():
    assert offences("import numpy as np\nnp.load('x', allow_pickle=False)\nmodel.eval()\nimport json") == []
