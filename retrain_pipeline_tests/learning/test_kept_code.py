"""Feature code that is kept with the versions it made: what is read back is what ran."""

import os

import pandas as pd
import pytest

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.canonical import sha256
from retrain_pipeline.learning.kept_code import CodeNotKept, keep_code, kept_code, kept_files
from retrain_pipeline.learning.team_code import code_digest
from retrain_pipeline.spec.model import Features


@pytest.fixture
def artifacts(tmp_path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "toy"
    (made / "parts").mkdir(parents=True)
    (made / "features.py").write_text(
        "def build(rows):\n    from .parts import scale\n    return rows.assign(a=rows['a'] * scale.BY)\n"
    )
    (made / "parts" / "__init__.py").write_text("")
    (made / "parts" / "scale.py").write_text("BY = 3\n")
    (made / "notes.md").write_text("no code")
    return made


@pytest.mark.requirement("D2")
def test_kept_code_is_named_by_the_digest_of_manifests_and_runs_again(artifacts, folder):
    digest = keep_code(artifacts, folder)
    assert digest == code_digest(folder)
    assert set(kept_files(artifacts, digest)) == {"features.py", "parts/__init__.py", "parts/scale.py"}
    (folder / "parts" / "scale.py").write_text("BY = 5\n")
    assert code_digest(folder) != digest
    with kept_code(artifacts, digest, Features()) as code:
        assert code.digest == digest
        # what it imports when it is called is the code of then, too
        assert code.build(pd.DataFrame({"a": [1.0]}))["a"].tolist() == [3.0]


def test_code_that_is_not_kept_whole_is_refused(artifacts, folder):
    digest = keep_code(artifacts, folder)
    files = kept_files(artifacts, digest)
    with pytest.raises(CodeNotKept, match="is not in the artifact store"):
        kept_files(artifacts, "0" * 64)
    os.unlink(artifacts.path(files["parts/scale.py"]))
    with pytest.raises(CodeNotKept, match=r"lacks parts/scale\.py"), kept_code(artifacts, digest, Features()):
        pass


@pytest.mark.parametrize("name", ["../out.py", "/etc/out.py", "a/../../out.py", "a\\out.py", ""])
def test_a_name_outside_the_folder_is_refused(artifacts, name, tmp_path):
    index = artifacts.put(f"{name}\0{artifacts.put(b'x = 1')}\n".encode())
    with pytest.raises(CodeNotKept, match="outside its folder"), kept_code(artifacts, index, Features()):
        pass
    assert not list(tmp_path.rglob("out.py"))
    no_index = artifacts.put(b"not a list of files")
    assert no_index == sha256(b"not a list of files")
    with pytest.raises(CodeNotKept):
        kept_files(artifacts, no_index)
