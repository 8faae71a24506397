"""Old model × new data and new model × old data: both models answer rows of both schemas, and the result shows it."""

from dataclasses import replace

import pandas as pd
import pytest

from retrain_pipeline.gates.compatibility import Answers, Asked, contract
from retrain_pipeline.gates.looking import _contract
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.test_judge import read
from retrain_pipeline_tests.gates.world import template, versions

pytestmark = pytest.mark.requirement("D8", "D25", "C22")
CELLS = [f"{model} on {schema} rows" for schema in ("present", "earlier") for model in ("candidate", "champion")]


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    world = template().copy(tmp_path_factory.mktemp("contract"))
    return read(world, versions(world)[1])


def test_both_models_answer_rows_of_both_schemas_and_the_matrix_says_so(material):
    found = _contract(material)
    assert found.verdict is Verdict.PASS
    assert all(f"{cell} PASS" in found.words for cell in CELLS)
    assert len(material.earlier) == 256, "the champion's probe set: rows as it learned from"


def test_a_column_that_the_release_adds_is_missing_in_earlier_rows_and_must_be_borne(material):
    """The candidate's trees have learned what to say without `b`; a model that has not is no successor."""
    before = material.earlier.drop(columns=["b"])
    champion = replace(material.champion, takes=("a", "shop"))
    assert _contract(replace(material, earlier=before, champion=champion)).verdict is Verdict.PASS

    class Strict:
        named_steps = material.candidate.pipeline.named_steps

        def predict(self, rows):
            if rows["b"].isna().any():
                raise ValueError("Input X contains NaN")
            return material.candidate.pipeline.predict(rows)

    strict = replace(material.candidate, pipeline=Strict())
    found = _contract(replace(material, earlier=before, candidate=strict))
    assert found.verdict is Verdict.FAIL
    assert "candidate on earlier rows FAIL" in found.words
    assert "Input X contains NaN" in found.words
    assert "candidate on present rows PASS" in found.words


def test_a_column_whose_kind_the_release_changes_is_found_on_earlier_rows(material):
    """`a` is a number now and was text: on present rows nothing shows."""
    texts = material.earlier.assign(a="north")
    found = _contract(replace(material, earlier=texts))
    assert found.verdict is Verdict.FAIL
    assert "candidate on earlier rows: candidate cannot predict these rows: feature 'a'" in found.words


def test_a_new_model_that_answers_old_rows_in_another_kind_fails():
    present, earlier = Asked("multiclass", ("a",), 2, ("x", "y")), Asked("multiclass", ("a",), 2, ("x", "y", "z"))

    def told(name, *answers):
        return Answers(name, ("a",), pd.DataFrame({"prediction": answers, "score": 0.5}))

    both = (told("candidate", "x", "y"), told("champion", "y", "x"))
    assert (
        contract(present, both, (earlier, (told("candidate", "x", "y"), told("champion", "z", "x")))).verdict == "PASS"
    )
    found = contract(present, both, (earlier, (told("candidate", "x", "?"), told("champion", "z", "x"))))
    assert found.verdict is Verdict.FAIL
    assert "candidate on earlier rows: candidate: unknown classes ?" in found.words
    assert [cell for cell in CELLS if f"{cell} FAIL" in found.words] == ["candidate on earlier rows"]


def test_before_the_first_release_there_is_no_earlier_schema(material):
    found = _contract(replace(material, champion=None, earlier=None))
    assert found.verdict is Verdict.PASS
    assert "earlier" not in found.words
