"""What a code location pays for loading the stores."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["retrain_pipeline.ledger.store", "retrain_pipeline.stores", "retrain_pipeline.artifacts"]
)
def test_loading_and_naming_stores_imports_nothing_heavy_and_writes_nothing(module, tmp_path):
    code = (
        f"import sys, {module}\n"
        "from retrain_pipeline.ledger.store import Ledger\n"
        "from retrain_pipeline.artifacts import Artifacts\n"
        "Ledger('sqlite:///ledger.db'), Artifacts('artifacts'), Ledger('postgresql+psycopg://h/d')\n"
        "heavy = {'sqlalchemy', 'psycopg', 'pandas', 'numpy', 'deltalake', 'upath', 'fsspec', 'dagster'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []
