"""Whatever is appended and changed, in any order: the chain verifies, and deployments are the fold of their entries."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrain_pipeline.canonical import NotCanonical, canonical_json
from retrain_pipeline.ledger.entries import FIRST_PREV, NewEntry, _canonical_columns
from retrain_pipeline.ledger.errors import KeyReused, StaleEpoch
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.verdicts import Verdict

MODELS = st.sampled_from(["ant", "bike", "cat"])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
STATES = st.dictionaries(st.sampled_from(["champion", "canary", "share"]), JSON, max_size=3)
KEYS = st.none() | st.sampled_from(["k1", "k2"])
STEPS = st.one_of(
    st.tuples(st.just("append"), MODELS, STATES, KEYS, st.just(0)),
    st.tuples(st.just("change"), MODELS, STATES, KEYS, st.sampled_from([0, 0, 0, 0, -1, 1])),
)


@pytest.mark.fault("G7", "P26")
@pytest.mark.requirement("D39")
@given(steps=st.lists(STEPS, min_size=1, max_size=12))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_story_verifies_and_deployments_are_the_fold_of_their_entries(ledger_url, tamperer, steps):
    ledger = Ledger(ledger_url)
    ledger.head()
    tamperer.do("DELETE FROM retrain_entry", "DELETE FROM retrain_deployment")
    tamperer.do("UPDATE retrain_head SET seq = 0, sha256 = :first", first=FIRST_PREV)
    expected, returned = {}, []
    for kind, model, state, key, off in steps:
        epoch = expected.get(model, (0, None))[0]
        new = NewEntry("actor", kind, model, payload={"it": state}, key=key)
        try:
            if kind == "append":
                returned.append(ledger.append(new))
                continue
            done = ledger.change_deployment(model, max(0, epoch + off), state, new)
        except (StaleEpoch, KeyReused):
            continue
        if done not in returned:
            assert off == 0 or epoch + off < 0 == epoch
            expected[model] = (epoch + 1, done.payload["deployment"]["state"])
        returned.append(done)
    fold = {}
    for entry in ledger.entries(action="change"):
        made = entry.payload["deployment"]
        assert made["epoch"] == entry.epoch == fold.get(entry.model, (0, None))[0] + 1
        fold[entry.model] = (entry.epoch, made["state"])
    assert {row.model: (row.epoch, row.state) for row in ledger.deployments()} == fold == expected
    assert {entry.seq: entry for entry in returned} == {entry.seq: entry for entry in ledger.entries()}
    found = ledger.verify()
    assert (found.problems, found.verdict) == ([], Verdict.PASS if returned else Verdict.INCONCLUSIVE)
    assert ledger.restore_deployments("nobody") == []
    ledger.close()


_TEXT = st.one_of(st.none(), st.text())
_NUMBER = st.one_of(st.none(), st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1))


@given(
    columns=st.fixed_dictionaries({"seq": _NUMBER, "epoch": _NUMBER, "actor": _TEXT, "key": _TEXT, "subject": _TEXT})
)
def test_columns_are_spelled_as_rfc_8785_spells_them(columns):
    assert _canonical_columns(columns) == canonical_json(columns)


@pytest.mark.parametrize("strange", [b"bytes", "\ud800", float("nan"), {1}])
def test_columns_that_no_entry_has_are_not_canonical(strange):
    with pytest.raises(NotCanonical):
        _canonical_columns({"actor": strange})
