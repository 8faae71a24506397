"""From a frozen training set to a version that loads, or does not, and can be made again."""

import dataclasses
import json
import re
import subprocess
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.canonical import digest_of, sha256
from retrain_pipeline.learning.build import build_candidate
from retrain_pipeline.learning.environment import code_revision, environment
from retrain_pipeline.learning.errors import (
    AllCandidatesFailed,
    FeatureContractBroken,
    FingerprintChanged,
    ModelOfOtherVersion,
    NotReproducible,
    UntrustedModel,
    VersionNotLoadable,
)
from retrain_pipeline.learning.fingerprint import prediction_fingerprint, probe_bytes, probe_set, read_probe
from retrain_pipeline.learning.manifest import TriggerRef, VersionManifest
from retrain_pipeline.learning.reproduce import reproduce
from retrain_pipeline.learning.training_set import freeze_training_set, read_training_set
from retrain_pipeline.learning.versions import load_baseline, load_version, read_manifest, register
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.names import check_name
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.learning.small_world import FEATURES, World, day, declared

TRIGGER = TriggerRef(kind="manual", id="test")


def build(there: World, as_of=None, **changes) -> VersionManifest:
    ts = freeze_training_set(there.stores, there.spec, as_of or day(12))
    asked = {"trigger": TRIGGER, "run_id": "run-1", "actor": "tester"} | changes
    return build_candidate(there.stores, there.declaration, ts, **asked)


def with_spec(there: World, spec) -> World:
    return World(there.stores, dataclasses.replace(there.declaration, spec=spec))


def reregistered(there: World, manifest: VersionManifest, **changes) -> str:
    """Put a changed manifest on record under a version of its own."""
    changed = manifest.model_copy(update={"version": "20240113-00000000", **changes})
    digest = there.stores.artifacts.put(json.dumps(changed.to_json()).encode())
    there.stores.ledger.append(
        NewEntry(
            actor="tester", action="candidate_registered", model="loans", subject=changed.version,
            payload={"manifest": digest},
        )
    )  # fmt: skip
    return changed.version


def other_packages(manifest: VersionManifest, **packages: str):
    return manifest.environment.model_copy(update={"packages": manifest.environment.packages | packages})


@pytest.mark.requirement("A6", "A17", "A18", "D2")
@pytest.mark.parametrize("task", ["binary", "regression", "multiclass"])
def test_a_candidate_is_built_registered_and_loaded(lived, task):
    there = lived(task)
    manifest = build(there)
    check_name(manifest.version, "version")
    assert re.fullmatch(r"20240113-[0-9a-f]{8}", manifest.version)
    loaded = load_version(there.stores, "loans", manifest.version)
    assert loaded.fidelity == "same"
    assert loaded.manifest == manifest
    assert loaded.features == ["age", "hour", "income", "income_before", "town"]
    frames = read_training_set(there.stores, manifest.frozen)
    answers = loaded.predict(frames.eval_x)
    assert len(answers.frame) == 120
    assert manifest.feature_agreement.startswith("PASS")
    assert manifest.training_set["row_digests_artifact"] in manifest.artifacts
    assert all(there.stores.artifacts.exists(digest) for digest in manifest.artifacts)
    entry = there.stores.ledger.latest("loans", "candidate_registered")
    assert (entry.subject, entry.run_id, entry.actor) == (manifest.version, "run-1", "tester")
    assert there.stores.artifacts.get_json(manifest.spec_digest)["name"] == "loans"
    assert there.stores.ledger.verify().verdict is Verdict.PASS


@pytest.mark.requirement("A6", "D2")
def test_the_manifest_says_all_that_made_the_version(lived):
    there = lived()
    manifest = build(there, trigger={"kind": "drift", "id": "e" * 64, "attempt": 2})
    assert manifest.environment == environment(1)
    assert {"scikit-learn", "skops", "numpy", "pandas"} <= set(manifest.environment.packages)
    assert (manifest.trigger.kind, manifest.trigger.attempt) == ("drift", 2)
    assert manifest.spec_digest == there.spec.digest
    board = there.stores.artifacts.get_json(manifest.leaderboard)
    assert len(board["trials"]) == 2
    assert set(board["baselines"]) == set(manifest.baselines) == {"dummy", "linear"}
    assert board["winner"]["loss"] == manifest.validation_loss
    assert manifest.size_bytes == len(there.stores.artifacts.get(manifest.model_artifact))
    dummy = load_baseline(there.stores, manifest, "dummy")
    frames = read_training_set(there.stores, manifest.frozen)
    assert dummy.predict_proba(frames.eval_x)[0, 1] == pytest.approx(frames.train_y.mean())
    with pytest.raises(VersionNotLoadable, match="no baseline 'oracle'"):
        load_baseline(there.stores, manifest, "oracle")


@pytest.mark.requirement("D22", "D40")
def test_features_and_estimators_are_swapped_without_touching_the_other(lived):
    there = lived()
    boosting = {"estimator": "sklearn.ensemble.HistGradientBoostingClassifier", "params": {"max_iter": 5}}
    other_model = build(with_spec(there, declared(candidates={"boosting": boosting})))
    (there.declaration.folder / "features.py").write_text('def build(rows):\n    return rows[["age", "income"]] * 2\n')
    there.put_features([f"2024-01-{number:02}" for number in range(1, 11)])
    other_features = build(there)
    assert (other_model.candidate, other_model.columns.categorical) == ("boosting", ("town",))
    assert (other_features.candidate, other_features.columns.numeric) == ("tree", ("age", "income"))


@pytest.mark.fault("P26")
@pytest.mark.requirement("D1")
def test_doing_it_again_gives_the_same_version_and_one_entry(lived):
    there = lived()
    first = build(there)
    again = build(there, run_id="run-2", trigger=TriggerRef(kind="manual", id="again"))
    assert again == first
    assert len(there.stores.ledger.entries(model="loans", action="candidate_registered")) == 1


@pytest.mark.parametrize(
    "changes", [{"parent": "20240101-aaaaaaaa"}, {"seed": 3}, {"as_of": day(11)}], ids=["parent", "seed", "moment"]
)
def test_what_decides_the_model_decides_the_version(lived, changes):
    there = lived()
    first = build(there)
    seed = changes.pop("seed", 0)
    second = build(with_spec(there, declared(seed=seed)), **changes)
    assert second.version != first.version


def test_the_parent_is_the_champion_unless_it_is_given(lived):
    there = lived()
    assert build(there).parent is None
    entry = NewEntry(actor="tester", action="released", model="loans", subject="20240105-bbbbbbbb")
    there.stores.ledger.change_deployment("loans", 0, {"champion": "20240105-bbbbbbbb"}, entry)
    assert build(there).parent == "20240105-bbbbbbbb"


@pytest.mark.fault("P20")
def test_bytes_without_an_entry_are_no_version(lived):
    there = lived()
    with pytest.raises(VersionNotLoadable, match="bytes without an entry are no version"):
        load_version(there.stores, "loans", "20240113-12345678")


@pytest.mark.fault("P20")
@pytest.mark.parametrize("part", ["manifest", "model_artifact", "probe"])
def test_a_version_without_one_of_its_parts_does_not_load(lived, part):
    from pathlib import Path

    there = lived()
    manifest = build(there)
    entry = there.stores.ledger.latest("loans", "candidate_registered")
    digest = {
        "manifest": entry.payload["manifest"],
        "model_artifact": manifest.model_artifact,
        "probe": manifest.probe.artifact,
    }[part]
    Path(there.stores.artifacts.path(digest)).unlink()
    with pytest.raises(VersionNotLoadable, match="is not loadable"):
        load_version(there.stores, "loans", manifest.version)


@pytest.mark.fault("P20")
def test_a_manifest_that_names_missing_bytes_is_not_registered(lived):
    there = lived()
    manifest = build(there)
    broken = manifest.model_copy(update={"model_artifact": "0" * 64, "version": "20240113-00000000"})
    with pytest.raises(VersionNotLoadable, match="names artifacts that are not stored"):
        register(there.stores, broken, actor="tester")
    assert there.stores.ledger.latest("loans", "candidate_registered", "20240113-00000000") is None


@pytest.mark.fault("P20")
def test_an_entry_that_names_another_manifest_is_refused(lived):
    there = lived()
    manifest = build(there)
    other = there.stores.artifacts.put(json.dumps(manifest.to_json()).encode())
    nonsense = there.stores.artifacts.put(b'{"model": "loans"}')
    for subject, digest, words in (
        ("20240113-11111111", other, "is of version"),
        ("20240113-22222222", nonsense, "does not read"),
    ):
        payload = {"manifest": digest}
        there.stores.ledger.append(
            NewEntry(actor="tester", action="candidate_registered", model="loans", subject=subject, payload=payload)
        )
        with pytest.raises(VersionNotLoadable, match=words):
            read_manifest(there.stores, "loans", subject)


@pytest.mark.fault("P29")
def test_a_model_of_another_minor_version_is_revalidated_by_its_answers(lived):
    there = lived()
    manifest = build(there)
    older = other_packages(manifest, **{"scikit-learn": "1.2.0"})
    assert load_version(there.stores, "loans", reregistered(there, manifest, environment=older)).fidelity == "same"


@pytest.mark.fault("P29")
def test_a_model_of_another_minor_version_that_answers_otherwise_is_refused(lived):
    there = lived()
    manifest = build(there)
    older = other_packages(manifest, **{"scikit-learn": "1.2.0"})
    dummy = manifest.baselines["dummy"]
    version = reregistered(there, manifest, environment=older, model_artifact=dummy)
    with pytest.raises(ModelOfOtherVersion, match=r"written by scikit-learn 1\.2\.0, this is .*its answers differ by"):
        load_version(there.stores, "loans", version)


@pytest.mark.fault("P29")
def test_bytes_of_another_minor_version_that_do_not_load_say_so(lived):
    there = lived()
    manifest = build(there)
    older = other_packages(manifest, **{"scikit-learn": "1.2.0"})
    torn = there.stores.artifacts.put(b"bytes of another world")
    version = reregistered(there, manifest, environment=older, model_artifact=torn)
    with pytest.raises(ModelOfOtherVersion, match="install the other, or retrain"):
        load_version(there.stores, "loans", version)


@pytest.mark.fault("P28")
def test_other_answers_in_the_same_environment_are_never_loaded(lived):
    there = lived()
    manifest = build(there)
    for name in ("dummy", "linear"):
        with pytest.raises(FingerprintChanged, match="differ by"):
            load_version(there.stores, "loans", reregistered(there, manifest, model_artifact=manifest.baselines[name]))


@pytest.mark.parametrize(("shift", "loads"), [(1e-8, True), (1e-3, False)])
def test_another_platform_may_differ_within_the_tolerance_only(lived, shift, loads):
    there = lived("regression")
    manifest = build(there)
    pipeline = load_version(there.stores, "loans", manifest.version).pipeline
    probe, recorded = read_probe(there.stores.artifacts.get(manifest.probe.artifact))
    told = probe.assign(_answer_0=recorded[:, 0] + shift)
    path = there.declaration.folder / "probe.parquet"
    told.to_parquet(path, index=False)
    elsewhere = manifest.environment.model_copy(update={"cpu": "another"})
    version = reregistered(
        there, manifest, environment=elsewhere, prediction_fingerprint="0" * 64,
        probe=manifest.probe.model_copy(update={"artifact": there.stores.artifacts.put(path.read_bytes())}),
    )  # fmt: skip
    assert pipeline is not None
    if loads:
        assert load_version(there.stores, "loans", version).fidelity == "within tolerance"
    else:
        with pytest.raises(FingerprintChanged):
            load_version(there.stores, "loans", version)


@pytest.mark.fault("S1", "S2")
def test_a_version_whose_bytes_name_strange_types_is_refused(lived):
    import skops.io

    there = lived()
    manifest = build(there)
    strange = there.stores.artifacts.put(skops.io.dumps(subprocess.Popen))
    with pytest.raises(UntrustedModel, match=r"subprocess\.Popen"):
        load_version(there.stores, "loans", reregistered(there, manifest, model_artifact=strange))


@pytest.mark.fault("P28")
@pytest.mark.requirement("D1")
def test_the_same_inputs_with_other_answers_raise_the_alarm(lived):
    there = lived()
    manifest = build(there)
    other = manifest.model_copy(update={"version": "20240113-00000000", "prediction_fingerprint": "1" * 64})
    with pytest.raises(NotReproducible, match="fingerprint") as caught:
        register(there.stores, other, actor="tester")
    assert caught.value.version == manifest.version
    alarm = there.stores.ledger.latest("loans", "alerted")
    assert alarm.payload["kind"] == "not_reproducible"
    assert "fingerprint" in alarm.payload["differences"][0]
    assert there.stores.ledger.latest("loans", "candidate_registered").subject == manifest.version
    # a search that the clock ended may end elsewhere
    cut = other.model_copy(update={"search_complete": False})
    assert register(there.stores, cut, actor="tester").version == "20240113-00000000"


@pytest.mark.fault("P27")
def test_when_nothing_could_be_fitted_nothing_is_registered(lived):
    there = lived()
    failing = {"odd": {"estimator": "retrain_pipeline_tests.learning.odd_estimators.Failing"}}
    with pytest.raises(AllCandidatesFailed):
        build(with_spec(there, declared(candidates=failing)))
    assert there.stores.ledger.entries(model="loans", action="candidate_registered") == []


@pytest.mark.requirement("D19")
@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('rows["at"].dt.hour', 'rows["at"].dt.hour + 1', "hour"),
        ('out["hour"]', 'out["hour_of_day"]', "hour"),
        ('["income", "age"]', '["income"]', "age"),
    ],
)
def test_features_of_other_code_than_will_serve_are_not_trained_on(lived, old, new, named):
    there = lived(features=FEATURES.replace(old, new))
    with pytest.raises(FeatureContractBroken, match=rf"are not those .*{named}.*compute the features of"):
        build(there)


def test_without_raw_rows_the_agreement_is_inconclusive_and_said(lived):
    there = lived()
    there.stores.lake.replace_partition("loans", "raw", "2024-01-10", pd.DataFrame())
    assert build(there).feature_agreement == "INCONCLUSIVE: raw has no rows of period 2024-01-10"


def test_whole_numbers_and_floats_stay_what_they_were(lived):
    # To a forest, 1.0 is all features and 1 is one of them; RFC 8785 spells both 1.
    there = lived()
    params = {"n_estimators": 3, "max_features": 1.0}
    forest = {"forest": {"estimator": "sklearn.ensemble.RandomForestClassifier", "params": params}}
    there = with_spec(there, declared(candidates=forest))
    version = build(there).version
    read = read_manifest(there.stores, "loans", version)
    assert isinstance(read.params["max_features"], float)
    assert reproduce(there.stores, there.declaration, version).same


@pytest.mark.requirement("D1", "A19")
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_version_is_reproduced_from_its_manifest(lived, task):
    there = lived(task)
    version = build(there).version
    again = reproduce(there.stores, there.declaration, version)
    assert (again.same, again.differences) == (True, [])


@pytest.mark.requirement("A19")
def test_what_differs_is_named_by_layer(lived):
    there = lived()
    manifest = build(there)
    older = other_packages(manifest, numpy="1.0", vanished="2.0").model_copy(update={"cpu": "another"})
    version = reregistered(
        there, manifest, environment=older, seed=7, candidate="tree", params={"max_depth": 1},
        spec_digest=sha256(b"another"),
    )  # fmt: skip
    (there.declaration.folder / "features.py").write_text(FEATURES + "\n# edited\n")
    again = reproduce(there.stores, there.declaration, version)
    assert not again.same
    layers = "\n".join(again.differences)
    for words in (
        "declaration:",
        "features:",
        "cpu another then",
        "numpy 1.0 then",
        "vanished 2.0 then, absent",
        "answers:",
    ):
        assert words in layers


@pytest.mark.requirement("A19")
def test_data_that_is_gone_is_a_difference(lived):
    there = lived()
    manifest = build(there)
    training_set = json.loads(json.dumps(manifest.training_set))
    training_set["features"]["digest"] = "0" * 64
    again = reproduce(there.stores, there.declaration, reregistered(there, manifest, training_set=training_set))
    assert not again.same
    assert again.differences[0].startswith("data:")


def test_the_probe_is_small_fixed_and_spread():
    frame = pd.DataFrame({"a": np.arange(10_000.0)})
    probe = probe_set(frame)
    assert len(probe) == 256
    assert (probe["a"].iloc[0], probe["a"].iloc[-1]) == (0.0, 9999.0)
    assert probe.equals(probe_set(frame))
    assert len(probe_set(frame.head(7))) == 7
    assert probe_set(frame.head(0)).empty


@pytest.mark.fault("I4")
def test_the_fingerprint_knows_answers_and_not_column_order_or_extra_columns(lived):
    there = lived()
    loaded = load_version(there.stores, "loans", build(there).version)
    probe, _ = read_probe(there.stores.artifacts.get(loaded.manifest.probe.artifact))
    expected = loaded.manifest.prediction_fingerprint
    assert prediction_fingerprint(loaded.pipeline, probe[probe.columns[::-1]].assign(extra=1)) == expected
    assert prediction_fingerprint(loaded.pipeline, probe.iloc[::-1]) != expected
    assert probe_bytes(loaded.pipeline, probe) == probe_bytes(loaded.pipeline, probe)


def test_classifiers_without_probabilities_have_fingerprints_too(lived):
    there = lived()
    problem = there.spec.problem.model_dump() | {"success": {"metric": "error", "at_most": 1.0}}
    flat = {"flat": {"estimator": "sklearn.linear_model.RidgeClassifier"}}
    there = with_spec(there, declared(problem=problem, candidates=flat))
    assert load_version(there.stores, "loans", build(there).version).fidelity == "same"


def git(folder, *arguments):
    names = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *names, "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.mark.requirement("A18")
def test_a_dirty_tree_is_recorded_as_a_patch(tmp_path):
    outside, _ = code_revision(tmp_path)
    git(tmp_path, "init", "-q")
    unborn, _ = code_revision(tmp_path)
    (tmp_path / "a.py").write_text("one = 1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-qm", "one")
    clean, nothing = code_revision(tmp_path)
    (tmp_path / "a.py").write_text("one = 2\n")
    (tmp_path / "new.py").write_text("two = 2\n")
    (tmp_path / "notes.txt").write_text("not code\n")
    dirty, patch = code_revision(tmp_path)
    assert outside.commit is None or outside.commit != clean.commit
    assert unborn.commit is None
    assert (clean.dirty, clean.diff_digest, nothing) == (False, None, b"")
    assert (dirty.commit, dirty.dirty, dirty.diff_digest) == (clean.commit, True, sha256(patch))
    assert b"+one = 2" in patch
    assert f"untracked {sha256(b'two = 2' + bytes([10]))} new.py".encode() in patch
    assert b"notes.txt" not in patch


@pytest.mark.requirement("A6")
def test_the_environment_names_its_lock(tmp_path):
    without = environment(1, tmp_path)
    assert without.lock_digest == digest_of(without.packages)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "run.txt").write_text("pandas==2.3.3\n")
    locked = environment(2, tmp_path)
    assert locked.lock_digest == sha256(b"pandas==2.3.3\n")
    assert (locked.threads, locked.digest != without.digest) == (2, True)
    assert environment(1, tmp_path).digest == environment(1, tmp_path).digest


def test_the_as_of_of_a_manifest_is_the_moment_of_its_training_set(lived):
    there = lived()
    assert datetime.fromisoformat(build(there).as_of) == day(12)


def test_progress_is_told(lived):
    told = []
    build(lived(), progress=lambda done, total, trial: told.append((done, total, trial.candidate)))
    assert told == [(1, 2, "tree"), (2, 2, "tree")]
