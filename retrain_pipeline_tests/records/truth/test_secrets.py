"""Secrets do not come out: not in records, cards, verdicts, comments, nor in why a retrain failed."""

from pathlib import Path

import pytest

from retrain_pipeline.canonical import NotCanonical, canonical_json, parse_json
from retrain_pipeline.records.comment import as_comment, declared_change
from retrain_pipeline.records.kinds.deviation import Deviation
from retrain_pipeline.records.record import RecordRefused, enter, records
from retrain_pipeline.records.render import escape_markdown
from retrain_pipeline.records.revisions import declared_at
from retrain_pipeline.records.settle import settle
from retrain_pipeline.records.truth.verify import verify
from retrain_pipeline.redaction import redacted, redacted_values
from retrain_pipeline.triggers.retrain import close_retrain
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.records.truth.documented import context_of
from retrain_pipeline_tests.records.truth.known_bad import replaced

# Spelled in pieces, so that this file holds none.
TOKENS = {
    "GitHub": "ghp_" + "a1B2c3D4" * 5,
    "AWS": "AKIA" + "ABCDEFGH23456789",
    "GitLab": "glpat-" + "x7y8z9AB" * 3,
    "Slack": "xoxb-" + "123456789012-abcdefghij",
    "web": ".".join(("eyJ" + "hbGciOiJIUzI1", "eyJ" + "zdWIiOiIxMjM0", "SflKxwRJSMeKKF2Q")),
    "key": "-----BEGIN PRIVATE " + "KEY-----\nMIIabc\n-----END PRIVATE " + "KEY-----",
    "URL": "postgresql://retrain:" + "correct-horse@db/retrain",
    "named": "RETRAIN_S3_SECRET=" + "correct/horse+battery",
}
SECRET = {**TOKENS, "URL": "correct-horse", "named": "correct/horse+battery", "key": "MIIabc"}


@pytest.mark.fault("S8")
@pytest.mark.parametrize("kind", TOKENS)
def test_a_secret_is_seen_by_its_form(kind):
    text = f"it said {TOKENS[kind]} and went on"
    assert SECRET[kind] not in redacted(text)
    assert redacted(text).endswith("and went on")
    assert redacted(redacted(text)) == redacted(text)
    assert SECRET[kind] not in str(escape_markdown(text))


@pytest.mark.parametrize(
    "text",
    [
        "sha256 " + "0f" * 32,
        "the token bucket holds 12 tokens: 4.5 a second",
        "https://example.org/a:b/c@d",
        "a secret is never shown",
        "version 20240212-5e76b701",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redacted(text) == text


def test_values_are_looked_at_by_their_names():
    found = redacted_values({"api_key": "Zx81Zx81Zx81", "columns": {"token": "category", "secret": "9" * 12}, "n": [1]})
    assert found == {
        "api_key": "[redacted: value of a secret]",
        "columns": {"token": "category", "secret": "9" * 12},
        "n": [1],
    }


@pytest.mark.fault("S8")
def test_a_secret_that_people_wrote_is_in_nothing_that_is_shown(documented, policy, monkeypatch):
    world, token = documented, TOKENS["GitHub"]
    monkeypatch.setenv("RETRAIN_SECRET_TOKEN", token)
    folder = world.declaration.folder
    replaced(world, "# A tree, at every retrain", f"# A tree {token}")
    file = folder / "defs.yaml"
    file.write_text(file.read_text().replace("How much a toy weighs", f"With {token} how much a toy weighs"))
    world = world.again()
    world.judged_release(world.build(7, parent=versions(world)[0]), run_id="run-7")
    settle(world.stores, world.declaration, "test")
    outputs = [one.document for one in records(world.stores, "toy")]
    outputs += [[card.document, card.markdown] for card in context_of(world).cards.values()]
    outputs.append(verify(context_of(world)).document())
    outputs.append(as_comment("toy", [change for change in [_change(folder)] if change]))
    assert len(outputs) > 10
    assert token not in canonical_json(outputs).decode()
    assert "redacted: GitHub token" in canonical_json(outputs).decode()


def _change(folder):
    old, new = declared_at(folder.parent / "toy", "HEAD"), declared_at(folder.parent / "toy", None)
    return declared_change("toy", old.get("toy"), new.get("toy"))


@pytest.mark.fault("S8")
def test_why_a_retrain_failed_is_told_without_the_secret(documented):
    ledger = documented.stores.ledger
    close_retrain(ledger, "toy", "run-9", f"OperationalError: {TOKENS['URL']} refused", "test")
    reason = ledger.latest("toy", "retrain_failed").payload["reason"]
    assert "OperationalError" in reason
    assert SECRET["URL"] not in reason


@pytest.mark.fault("S5")
@pytest.mark.parametrize(
    "text", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "[NaN]", "1" * 10_000_000]
)
def test_deep_and_huge_json_is_refused(text):
    with pytest.raises(NotCanonical):
        parse_json(text)


@pytest.mark.fault("S5")
def test_a_record_of_deep_json_is_refused_and_named(documented):
    stores = documented.stores
    made = Deviation.make(model="toy", subject="toy", found_by="ann", agreed="", what="one leaf more", by="ann")
    enter(stores, made, actor="test")
    [one] = records(stores, "toy", "deviation")
    Path(stores.artifacts.path(one.digest)).write_bytes(b"[" * 100_000)
    with pytest.raises(RecordRefused, match="unreadable"):
        list(records(stores, "toy", "deviation"))
