"""Decisions, risks and owners that are not what they should be."""

from datetime import UTC, datetime
from pathlib import Path

from retrain_pipeline_tests.records.truth.documented import context_of
from retrain_pipeline_tests.records.truth.known_bad import bad, decision_of, replaced


@bad("schema", "front matter")
def decision_has_no_front_matter(world, folder):
    decision_of(world).write_text("# Why\n\nBecause.\n")
    return context_of(world)


@bad("schema", "review_by")
def decision_has_no_review_date(world, folder):
    replaced(world, "review_by: 2024-12-31\n", "")
    return context_of(world)


@bad("schema", "risks.0.owner")
def risk_is_nobodys(world, folder):
    one = "{id: a, risk: b, impact: c, likelihood: low, severity: low, mitigation: d}"
    text = f"schema: 1\nassessed: 2024-01-01\nby: [x]\nreview_by: 2025-01-01\nrisks: [{one}]\n"
    (world.declaration.folder / "risks.yaml").write_text(text)
    return context_of(world)


@bad("reviews", "due by 2024-12-31")
def review_date_has_passed(world, folder):
    return context_of(world, given_as_of=datetime(2025, 1, 1, tzinfo=UTC))


@bad("links", "there is no decision toy-0000")
def superseded_decision_is_not_there(world, folder):
    replaced(world, "review_by:", "supersedes: toy-0000\nreview_by:")
    return context_of(world)


@bad("links", "'../notes.md' leads nowhere")
def decision_links_to_no_file(world, folder):
    replaced(world, "* Good, because one", "* Good ([notes](../notes.md)), because one")
    return context_of(world)


@bad("owners", "knows no 'team:toys'")
def owner_is_not_in_the_file(world, folder):
    (folder / "OWNERS.yaml").write_text("owners:\n  team:dolls: {contact: dolls@example.org}\n")
    return context_of(world)


@bad("owners", "until 2024-01-31 only")
def owner_has_left(world, folder):
    (folder / "OWNERS.yaml").write_text("owners:\n  team:toys: {contact: toys@example.org, until: 2024-01-31}\n")
    return context_of(world)


@bad("owners", "nobody is there any more")
def team_has_no_member_left(world, folder):
    text = "owners:\n  team:toys: {contact: x, members: [ann]}\n  ann: {contact: ann, until: 2024-01-31}\n"
    (folder / "OWNERS.yaml").write_text(text)
    return context_of(world)


@bad("owners", "knows no 'team:dolls'")
def owner_of_a_risk_is_nobody(world, folder):
    one = "{id: a, risk: b, impact: c, likelihood: low, severity: low, mitigation: d, owner: team:dolls}"
    text = f"schema: 1\nassessed: 2024-01-01\nby: [x]\nreview_by: 2025-01-01\nrisks: [{one}]\n"
    (world.declaration.folder / "risks.yaml").write_text(text)
    return context_of(world)


@bad("owners", "OWNERS.yaml is refused")
def owners_file_has_a_mistake(world, folder):
    (folder / "OWNERS.yaml").write_text("owners:\n  team:toys: {mail: toys@example.org}\n")
    return context_of(world)


@bad("owners", "nobody owns it")
def model_has_no_owner(world, folder):
    file = world.declaration.folder / "defs.yaml"
    file.write_text(file.read_text().replace('  owners: ["team:toys"]\n', ""))
    return context_of(world)


@bad("placeholders", "Decision Outcome: TODO or TBD")
def decision_says_that_it_is_to_do(world, folder):
    replaced(world, "while a line would charge small toys too much", "TODO say why")
    return context_of(world)


@bad("placeholders", r"\[More Information Needed\]")
def decision_needs_more_information(world, folder):
    replaced(world, "its answers jump at the border of a leaf", "[More Information Needed]")
    return context_of(world)


@bad("placeholders", "problem.statement: lorem ipsum")
def problem_is_lorem_ipsum(world, folder):
    file = world.declaration.folder / "defs.yaml"
    said = "How much a toy weighs by its size, so that the post is paid right."
    file.write_text(file.read_text().replace(said, "Lorem ipsum dolor sit amet, consectetur."))
    return context_of(world)


@bad("rationale", "distinct words, fewer than")
def because_is_short(world, folder):
    text = decision_of(world).read_text()
    before, after = text.index("because the weight"), text.index("### Consequences")
    decision_of(world).write_text(f"{text[:before]}because it is better.\n\n{text[after:]}")
    return context_of(world)


@bad("rationale", "is that of 0001-tree.md")
def because_was_copied(world, folder):
    text = decision_of(world).read_text().replace("toy-0001", "toy-0002").replace("one split finds", "a split finds")
    (decision_of(world).parent / "0002-tree.md").write_text(text)
    return context_of(world)


@bad("rationale", "no 'Chosen option: …, because …'")
def outcome_has_no_because(world, folder):
    replaced(world, "because the weight", "and the weight")
    return context_of(world)


@bad("options", "fewer than two")
def there_was_one_option(world, folder):
    replaced(world, "* A straight line\n", "")
    return context_of(world)


@bad("options", "nothing speaks against what was chosen")
def nothing_speaks_against_it(world, folder):
    replaced(world, "* Bad, because its answers jump", "* Good, because its answers jump")
    return context_of(world)


def second(world, front: str = "") -> Path:
    """Write a second decision, with a reason of its own."""
    text = decision_of(world).read_text().replace("toy-0001", "toy-0002").replace("review_by:", f"{front}review_by:")
    before, after = text.index("because the weight"), text.index("### Consequences")
    because = "because since the new shelf was opened large toys are sent from another place, whose scale nobody reads."
    file = decision_of(world).parent / "0002-tree.md"
    file.write_text(f"{text[:before]}{because}\n\n{text[after:]}")
    return file


@bad("graph", "which does not say superseded_by: toy-0002")
def supersession_is_said_on_one_side(world, folder):
    second(world, "supersedes: toy-0001\n")
    return context_of(world)


@bad("graph", "circle|superseded_by")
def decisions_supersede_each_other(world, folder):
    second(world, "supersedes: toy-0001\nsuperseded_by: toy-0001\n")
    replaced(world, "review_by:", "supersedes: toy-0002\nsuperseded_by: toy-0002\nreview_by:")
    return context_of(world)


@bad("graph", "toy-0001 is superseded by toy-0002: cite that")
def newest_version_rests_on_a_decision_that_ended(world, folder):
    second(world, "supersedes: toy-0001\n")
    replaced(world, "status: accepted", "status: superseded")
    replaced(world, "review_by:", "superseded_by: toy-0002\nreview_by:")
    return context_of(world)


@bad("graph", "text was changed after it was accepted")
def accepted_decision_was_edited(world, folder):
    replaced(world, "one split finds", "two splits find")
    return context_of(world)
