"""`retrain status`, `history`, `explain`, `rollback`, `ledger verify`, `check` and `suggest-columns`."""

import shutil
import sqlite3
from datetime import timedelta

import pytest

from retrain_pipeline.cli import places
from retrain_pipeline.triggers.halts import halts, standing_word
from retrain_pipeline.triggers.scoring import score_retrains
from retrain_pipeline_tests.gates.world import START, versions, write_folder
from retrain_pipeline_tests.records.truth.documented import DECISION


def refused(result, kind: str) -> str:
    """Return the one paragraph of a refusal."""
    assert result.exit_code == 1, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert result.stderr.startswith(f"{kind} "), result.stderr
    assert "\n\n" not in result.stderr.strip()
    return result.stderr


def test_status_of_an_empty_home_says_how_to_start(retrain, tmp_path):
    result = retrain("status", "--home", tmp_path / "new")
    assert result.exit_code == 0
    assert "knows no model yet" in result.stdout


def test_status_shows_who_serves(retrain, world):
    first = versions(world)[0]
    result = retrain("status", "--home", world.home)
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stdout.splitlines() if "toy" in line]
    assert first in line
    assert "2024-02-12" in line
    assert "mae" in line


def test_history_tells_judgements_releases_and_rollbacks_with_who(retrain, two_champions):
    world, first, second = two_champions
    assert retrain("rollback", "toy", "--because", "support says weights are off", "--home", world.home).exit_code == 0
    result = retrain("history", "toy", "--home", world.home)
    assert result.exit_code == 0
    lines = [line for line in result.stdout.splitlines() if "rolled_back" in line]
    assert len(lines) == 1
    assert "support says weights are off" in lines[0]
    assert "person:" in lines[0]
    assert first in lines[0]
    assert sum("released" in line and second in line for line in result.stdout.splitlines()) == 1


@pytest.mark.requirement("D49")
def test_the_report_card_shows_what_came_of_retrains(retrain, two_champions, monkeypatch):
    world, _, second = two_champions
    monkeypatch.setattr(places, "DEFS", world.declaration.folder.parent)
    score_retrains(world.stores, world.declaration.spec, START + timedelta(weeks=8))
    result = retrain("report-card", "toy", "--home", world.home)
    assert result.exit_code == 0, (result.output, result.exception)
    (line,) = [line for line in result.stdout.splitlines() if "built-in" in line]
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells[:7] == ["built-in", "scheduled", "1", "1", "0", "0", "1"]
    assert "share of the label" in result.stdout
    history = retrain("history", "toy", "--home", world.home).stdout
    assert any("retrain_scored" in line and second in line for line in history.splitlines())


@pytest.mark.requirement("D48")
def test_the_report_card_by_release_tells_of_each_release_days_on(retrain, two_champions, monkeypatch):
    world, first, second = two_champions
    monkeypatch.setattr(places, "DEFS", world.declaration.folder.parent)
    score_retrains(world.stores, world.declaration.spec, START + timedelta(weeks=8))
    result = retrain("report-card", "toy", "--by-release", "--home", world.home)
    assert result.exit_code == 0, (result.output, result.exception)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines() if "│" in line]
    assert [row[:3] for row in rows if row[0] == second] == [
        [second, first, f"{days} (not over)"] for days in (30, 60, 90)
    ]


@pytest.mark.parametrize(
    ("option", "words"),
    [([], "no retrain was judged against a champion yet"), (["--by-release"], "no release replaced a champion yet")],
)
def test_a_report_card_without_retrains_says_so(retrain, world, monkeypatch, option, words):
    monkeypatch.setattr(places, "DEFS", world.declaration.folder.parent)
    result = retrain("report-card", "toy", *option, "--home", world.home)
    assert result.exit_code == 0, (result.output, result.exception)
    assert words in result.stdout


def test_explain_says_why_judged_on_what_and_serving_whom(retrain, world):
    first = versions(world)[0]
    result = retrain("explain", "toy", first, "--home", world.home)
    assert result.exit_code == 0, result.output
    for word in ("why", "judged", "serves", "verdict  PASS", "evidence", first):
        assert word in result.stdout, result.stdout


def test_what_the_ledger_does_not_know_is_told_as_one_paragraph(retrain, world):
    assert "nobody" in refused(retrain("history", "nobody", "--home", world.home), "UnknownVersion")
    assert "v-none" in refused(retrain("explain", "toy", "v-none", "--home", world.home), "UnknownVersion")


@pytest.mark.requirement("D35")
def test_retraining_is_halted_and_resumed_by_a_person_with_a_reason(retrain, two_champions, monkeypatch):
    world, _, _ = two_champions
    monkeypatch.setattr(places, "DEFS", world.declaration.folder.parent)
    said = retrain("halt", "toy", "--because", "an audit looks at the labels", "--home", world.home)
    assert said.exit_code == 0, said.stderr
    assert "retrain resume toy" in said.stdout
    assert "retraining_halted" in retrain("history", "toy", "--home", world.home).stdout
    assert halts(standing_word(world.stores.ledger, "toy"))[0].startswith("an audit looks at the labels (person:")
    assert retrain("resume", "toy", "--because", "labels are right", "--home", world.home).exit_code == 0
    assert halts(standing_word(world.stores.ledger, "toy")) == ()
    assert "reason" in refused(retrain("halt", "toy", "--because", " ", "--home", world.home), "PolicyRefused")
    assert retrain("halt", "ghost", "--because", "why not", "--home", world.home).exit_code == 1


def test_rollback_moves_once_and_says_when_nothing_changed(retrain, two_champions):
    world, first, _ = two_champions
    command = ("rollback", "toy", "--because", "support says weights are off", "--home", world.home)
    moved = retrain(*command)
    assert moved.exit_code == 0, moved.output
    assert f"{first} now serves" in moved.stdout
    epoch = world.stores.ledger.deployment("toy").epoch
    again = retrain(*command, "--to", first)
    assert again.exit_code == 0
    assert f"{first} already serves; nothing was changed" in again.stdout
    assert world.stores.ledger.deployment("toy").epoch == epoch
    (entry,) = world.stores.ledger.entries(action="rolled_back")
    assert entry.actor.startswith("person:")


def test_rollback_without_a_reason_or_a_target_is_refused(retrain, two_champions):
    world, _, _ = two_champions
    before = world.stores.ledger.head()
    assert retrain("rollback", "toy", "--home", world.home).exit_code == 2
    assert "reason" in refused(retrain("rollback", "toy", "--because", " ", "--home", world.home), "RollbackRefused")
    unknown = retrain("rollback", "toy", "--because", "no such version is there", "--to", "v9", "--home", world.home)
    assert "v9" in refused(unknown, "RollbackRefused")
    never = retrain("rollback", "bike", "--because", "it was never released", "--home", world.home)
    assert "nothing was ever released" in refused(never, "RollbackRefused")
    assert world.stores.ledger.head() == before


def test_verify_passes_on_a_whole_ledger_and_fails_on_a_tampered_one(retrain, world):
    whole = retrain("ledger", "verify", "--home", world.home)
    assert whole.exit_code == 0
    assert whole.stdout.startswith("PASS: ")
    world.stores.close()
    with sqlite3.connect(world.home / "ledger.db") as connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{trigger}"')
        changed = connection.execute("UPDATE retrain_entry SET actor = 'somebody else' WHERE seq = 2").rowcount
    connection.close()
    assert changed == 1
    tampered = retrain("ledger", "verify", "--home", world.home)
    assert tampered.exit_code == 1
    assert "FAIL: " in tampered.stdout
    assert "2" in tampered.stdout.splitlines()[0]


@pytest.mark.parametrize("command", [("status",), ("history", "toy"), ("ledger", "verify")])
def test_a_home_that_cannot_be_is_told_as_one_paragraph(retrain, tmp_path, command):
    (tmp_path / "file").write_text("")
    result = retrain(*command, "--home", tmp_path / "file" / "home")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert "file" in result.stderr


@pytest.mark.requirement("D4")
def test_check_tells_every_mistake_of_every_file(retrain, tmp_path):
    good = write_folder(tmp_path / "models" / "good").file
    for name, old, new in (("one", "dtype: float", "dtype: flaot"), ("two", "margin: 0.08", "margin: -1")):
        folder = write_folder(tmp_path / "models" / "deep" / name).folder
        text = good.read_text().replace("name: toy", f"name: {name}").replace(old, new)
        (folder / "defs.yaml").write_text(text.replace("period: week", "period: wek"))
    result = retrain("check", tmp_path)
    assert result.exit_code == 1
    for word in ("flaot", "margin", "1 declaration(s) accepted, 2 refused"):
        assert word in result.stdout
    assert result.stdout.count("'wek'") == 2
    assert "decisions/0001-tree.md" in retrain("check", good.parent).stdout  # it has no front matter
    (good.parent / "decisions" / "0001-tree.md").write_text(DECISION)
    alone = retrain("check", good.parent)
    assert alone.exit_code == 0
    assert "1 declaration(s) accepted, 0 refused" in alone.stdout
    assert retrain("check", tmp_path / "models" / "deep" / "one").stdout.count("is refused") == 1


@pytest.mark.parametrize("name", ["risks.yaml", "checklist.yaml"])
def test_check_reads_what_people_write_beside_a_declaration(retrain, tmp_path, name):
    folder = write_folder(tmp_path / "models" / "good").folder
    (folder / "decisions" / "0001-tree.md").write_text(DECISION)
    (folder / name).write_text("schema: 1\nby: nobody\n")
    result = retrain("check", tmp_path)
    assert result.exit_code == 1
    assert f"{name}: " in result.stdout
    assert "; by: Input should be a valid array" in result.stdout
    assert "1 declaration(s) accepted, 0 refused" in result.stdout


def test_check_refuses_a_name_twice_wherever_the_folders_lie(retrain, tmp_path):
    write_folder(tmp_path / "team_a" / "toy")
    write_folder(tmp_path / "team_b" / "toy")
    result = retrain("check", tmp_path)
    assert result.exit_code == 1
    assert "0 declaration(s) accepted, 2 refused" in result.stdout
    assert "has it too" in result.stdout


def test_check_of_nothing_is_no_success(retrain, tmp_path):
    assert "no such folder" in refused(retrain("check", tmp_path / "modles"), "NotFound")


def test_check_passes_over_other_components_with_a_word(retrain, tmp_path):
    other = tmp_path / "models" / "theirs"
    other.mkdir(parents=True)
    (other / "defs.yaml").write_text("type: dagster.DefsFolderComponent\n")
    result = retrain("check", tmp_path)
    assert result.exit_code == 0, result.stdout
    assert "dagster.DefsFolderComponent: another component, passed over" in " ".join(result.stdout.split())
    assert "0 declaration(s) accepted, 0 refused" in result.stdout


def test_check_accepts_what_ships(retrain):
    result = retrain("check")
    assert result.exit_code == 0, result.stdout
    assert "0 refused" in result.stdout


def test_suggest_columns_prints_a_block_to_start_from(retrain, tmp_path):
    (tmp_path / "rows.csv").write_text("id,size,shop\n" + "".join(f"i{n},{n}.5,north\n" for n in range(20)))
    result = retrain("suggest-columns", tmp_path / "rows.csv")
    assert result.exit_code == 0
    assert "\ncolumns:\n" in result.stdout
    assert "size: {dtype: float" in result.stdout
    shutil.move(tmp_path / "rows.csv", tmp_path / "rows.txt")
    for missing in (tmp_path / "rows.csv", tmp_path):
        result = retrain("suggest-columns", missing)
        assert result.exit_code == 1, result.output
        assert isinstance(result.exception, SystemExit), result.exception


@pytest.mark.requirement("D15")
def test_explain_takes_the_judgement_again_and_says_what_it_turned_on(retrain, world):
    version = versions(world)[1]
    result = retrain("explain", "toy", version, "--home", world.home)
    assert result.exit_code == 0, result.output
    assert "replayed same verdict: PASS" in result.stdout
    assert "turns on" in result.stdout
    assert "spends 0.025, α is 0.05" in " ".join(result.stdout.split())


@pytest.mark.fault("G15")
@pytest.mark.requirement("D51")
def test_gates_replay_shows_which_verdicts_a_threshold_flips_and_can_fail_a_review(retrain, world, monkeypatch):
    monkeypatch.setattr(places, "DEFS", world.declaration.folder.parent)
    command = ("gates", "replay", "toy", "--fail-on-flip", "--home", world.home)
    same = retrain(*command)
    assert same.exit_code == 0, (same.output, same.exception)
    assert "0 of 3 judgements would flip" in same.stdout
    path = world.declaration.folder / "defs.yaml"
    path.write_text(path.read_text().replace("at_most: 5", "at_most: 0.1"))
    flipped = retrain(*command)
    assert flipped.exit_code == 1
    assert "1 of 3 judgements would flip" in flipped.stdout
    assert "success: PASS → FAIL" in flipped.stdout
    assert retrain("gates", "replay", "--home", world.home).exit_code == 0
