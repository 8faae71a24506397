"""`retrain docs verify` and `retrain docs diff` as a person or a pull request runs them."""

import pytest
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from retrain_pipeline.canonical import parse_json
from retrain_pipeline.cli import app, places
from retrain_pipeline.records.comment import LONGEST, MARK, Change, ModelChange, as_comment, plain
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.records.truth.bad_decisions import second
from retrain_pipeline_tests.records.truth.documented import commit
from retrain_pipeline_tests.records.truth.known_bad import decision_of, replaced

HOSTILE = "@ann fixes #12, <script>alert(1)</script> [x](javascript:1) http://evil.invalid www.evil.invalid GH-7 |"


@pytest.fixture
def retrain(monkeypatch, documented):
    """Return a function that runs `retrain …` over the documented model."""
    for name in ("RETRAIN_HOME", "RETRAIN_LAKE_URL", "RETRAIN_ARTIFACTS_URL", "RETRAIN_LEDGER_URL"):
        monkeypatch.setenv(name, "")  # so that monkeypatch knows the value to restore
        monkeypatch.delenv(name)
    monkeypatch.setattr(places, "DEFS", documented.declaration.folder)

    def run(*arguments):
        return CliRunner().invoke(app, ["docs", *map(str, arguments)])

    return run


@pytest.mark.requirement("A14")
def test_exit_codes_tell_true_untrue_and_unknown(retrain, documented, policy):
    home = ("--home", documented.home)
    true = retrain("verify", "toy", *home)
    assert (true.exit_code, "toy: is what is written true?" in true.stdout) == (0, True), true.output
    late = retrain("verify", *home, "--as-of", "2025-01-01", "--json", policy / "found.json")
    assert late.exit_code == 1
    assert "due by 2024-12-31" in " ".join(late.stdout.split())
    found = parse_json((policy / "found.json").read_bytes())
    [bad] = [one for one in found["models"][0]["checks"] if one["verdict"] != "PASS"]
    assert (found["verdict"], bad["check"], len(found["models"][0]["checks"])) == ("FAIL", "reviews", 16)
    assert bad["problems"][0]["mend"]
    (policy / "OWNERS.yaml").unlink()
    assert retrain("verify", "toy", *home).exit_code == 3
    assert retrain("verify", "toy", *home, "--allow-inconclusive", "owners").exit_code == 0
    still = retrain("verify", "toy", *home, "--as-of", "2025-01-01", "--allow-inconclusive", "reviews")
    assert still.exit_code == 1


def test_what_is_not_there_is_told(retrain, documented, policy):
    home = ("--home", documented.home)
    for arguments, words in (
        (("verify", "doll", *home), "no model named 'doll'"),
        (("verify", "toy", *home, "--allow-inconclusive", "luck"), "no check named luck; there are: schema"),
        (("verify", "toy", *home, "--portal", policy / "none"), "there is no such folder"),
        (("verify", "--defs", documented.declaration.folder.parent, "doll", *home), "no model named doll"),
        (("diff", "nowhere"), "'nowhere' is no commit"),
        (("diff", "--model", "toy", "--", "-x"), "'-x' is no commit"),
        (("diff", "HEAD", "--model", "doll"), "no model named 'doll'"),
        (("diff", versions(documented)[0], "--model", "toy"), "give the one to compare it with"),
    ):
        result = retrain(*arguments)
        assert result.exit_code == 1, arguments
        assert words in result.stderr, result.stderr


def test_files_alone_answer_for_a_pull_request(retrain, documented):
    declared = ("verify", "--declared", "--as-of", "2024-06-01")
    assert retrain(*declared, "--allow-inconclusive", "commits").exit_code == 0
    assert retrain(*declared).exit_code == 3  # no decision names a commit
    replaced(documented, "while a line would charge small toys too much", "TODO")
    found = retrain(*declared, "--allow-inconclusive", "commits")
    assert found.exit_code == 1
    assert "TODO or TBD" in " ".join(found.stdout.split())


@pytest.mark.requirement("A31")
@pytest.mark.fault("S6")
def test_a_comment_shows_what_a_change_does_and_what_nobody_explains(retrain, documented):
    folder = documented.declaration.folder
    file = folder / "defs.yaml"
    file.write_text(file.read_text().replace("margin: 0.08", "margin: 0.2").replace("north", "nord"))
    (folder / "features.py").write_text((folder / "features.py").read_text() + "\n# new\n")
    second(documented).write_text(second(documented).read_text().replace("# A tree, at every retrain", f"# {HOSTILE}"))
    result = retrain("diff", "HEAD")
    assert result.exit_code == 0, result.output
    text = result.stdout
    assert text.startswith(MARK)
    assert "| gates.margin | 0.08 | 0.2 |" in text
    assert "features.code" in text
    assert "new (accepted): 0002-tree.md" in text
    assert "**No decision says why:** data.columns.shop.values, features.code, gates.margin" in text
    for live in ("@ann", "#12", "<script", "http://", "www.e", "GH-7"):
        assert live not in text.removeprefix(MARK)
    assert "<a " not in MarkdownIt("commonmark").enable("table").render(text)
    assert text == retrain("diff", "HEAD").stdout
    commit(folder, "Change it")
    assert "Nothing that is declared" in retrain("diff", "HEAD").stdout
    assert "| gates.margin | 0.08 | 0.2 |" in retrain("diff", "HEAD~1", "HEAD").stdout
    assert "this model is new" not in text


def test_a_model_that_comes_goes_or_does_not_read_is_told(retrain, documented):
    folder = documented.declaration.folder
    decision_of(documented).write_text("no front matter")
    assert "no front matter between two lines" in retrain("diff", "HEAD").stdout
    (folder / "defs.yaml").unlink()
    assert "this model is declared no more" in retrain("diff", "HEAD").stdout


def test_cards_of_two_versions_are_compared(retrain, documented):
    first = versions(documented)[0]
    twin = documented.build(7, parent=first)
    result = retrain("diff", first, twin, "--model", "toy", "--home", documented.home)
    assert result.exit_code == 0, result.output
    assert f"| model\\_details.version | {first} | {twin} |" in result.stdout


def test_a_long_comment_is_cut_and_says_so():
    many = [Change(f"place{number}", "x" * 280, "y" * 280) for number in range(120)]
    text = as_comment("long", [ModelChange("toy", many), ModelChange("doll", many)])
    assert len(text) < LONGEST + 100
    assert text.endswith("`retrain docs diff` has the rest\n")
    assert plain("x" * 400).endswith("…")


def test_what_the_model_that_ships_declares_is_true(monkeypatch):
    monkeypatch.delenv("RETRAIN_POLICY", raising=False)
    declared = ("verify", "--declared", "--as-of", "2025-06-01", "--allow-inconclusive", "commits")
    result = CliRunner().invoke(app, ["docs", *declared])
    assert result.exit_code == 0, result.output
    assert "lending: is what is written true?" in result.stdout
