"""The workflow for pull requests: least permissions, nothing unpinned, no text of others in a script; and the hooks."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FILE = ROOT / ".github" / "workflows" / "docs.yml"
# What somebody from outside can spell as they like: it may come into a step as a variable, never into its script.
EVENT = re.compile(r"\$\{\{")
ALLOWED = {"contents: read", "pull-requests: write"}


class Strict(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error, and `on` is a word."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key is given twice near line {node.start_mark.line + 1}"
        return super().construct_mapping(node, deep)


Strict.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in known if tag != "tag:yaml.org,2002:bool"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def problems(workflow: dict) -> list[str]:
    """Return what is unsafe in a workflow, in words."""
    found = []
    if "pull_request_target" in workflow["on"] or "workflow_run" in workflow["on"]:
        found.append("it runs with the rights of the base on what a pull request says")
    if workflow.get("permissions") != {}:
        found.append("permissions that no job asked for")
    for name, job in workflow["jobs"].items():
        given = {f"{scope}: {right}" for scope, right in (job.get("permissions") or {"all": "write"}).items()}
        found += [f"{name}: may {right}" for right in sorted(given - ALLOWED)]
        runs_their_code = any("pip install" in step.get("run", "") for step in job["steps"])
        if runs_their_code and given != {"contents: read"}:
            found.append(f"{name}: runs the code of the pull request and may more than read")
        for step in job["steps"]:
            used = step.get("uses")
            if used is not None and not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", used):
                found.append(f"{name}: {used} is not pinned by a commit")
            if EVENT.search(step.get("run", "")):
                found.append(f"{name}: a value of the event inside a script")
            if "pip install" in step.get("run", "") and "--require-hashes" not in step["run"]:
                found.append(f"{name}: installs what is not pinned by digest")
        if "timeout-minutes" not in job:
            found.append(f"{name}: may run for hours")
    return found


@pytest.fixture
def workflow() -> dict:
    return yaml.load(FILE.read_text(encoding="utf-8"), Loader=Strict)


@pytest.mark.requirement("A31", "B17")
@pytest.mark.fault("S20", "S14")
def test_the_workflow_is_safe_and_asks_what_it_should(workflow):
    assert problems(workflow) == []
    assert list(workflow["on"]) == ["pull_request"]
    scripts = "\n".join(step["run"] for job in workflow["jobs"].values() for step in job["steps"])
    for wanted in ("retrain check", "retrain docs diff", "retrain docs verify", "--require-hashes"):
        assert wanted in scripts
    assert "<!-- retrain-docs -->" in scripts


@pytest.mark.fault("S20")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: made["on"].update(pull_request_target=None), "rights of the base"),
        (lambda made: made.update(permissions={"contents": "write"}), "no job asked for"),
        (lambda made: made["jobs"]["verify"].pop("permissions"), "may all: write"),
        (lambda made: made["jobs"]["verify"]["permissions"].update({"pull-requests": "write"}), "more than read"),
        (lambda made: made["jobs"]["verify"]["steps"].append({"uses": "actions/checkout@v4"}), "not pinned"),
        (
            lambda made: made["jobs"]["verify"]["steps"].append({"run": "echo ${{ github.head_ref }}"}),
            "inside a script",
        ),
        (lambda made: made["jobs"]["verify"]["steps"].append({"run": "pip install x"}), "not pinned by digest"),
        (lambda made: made["jobs"]["comment"].pop("timeout-minutes"), "for hours"),
    ],
)
def test_what_would_be_unsafe_is_seen(workflow, change, words):
    change(workflow)
    assert any(words in problem for problem in problems(workflow))


def test_the_scripts_are_shell(workflow, tmp_path):
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            (tmp_path / "step").write_text(step["run"])
            subprocess.run([shutil.which("bash"), "-n", str(tmp_path / "step")], check=True)


@pytest.mark.requirement("B17")
def test_a_commit_is_held_to_what_is_written_too():
    hooks = yaml.load((ROOT / ".pre-commit-config.yaml").read_text(), Loader=Strict)["repos"][0]["hooks"]
    [own] = [hook for hook in hooks if hook["id"] == "documents"]
    assert own["entry"].split("retrain ", 1)[1] == "docs verify --declared --allow-inconclusive commits"
    files = re.compile(own["files"])
    for name in ("a/defs/models/x/decisions/0001.md", "a/defs/models/x/defs.yaml", "a/defs/OWNERS.yaml"):
        assert files.search(name)
