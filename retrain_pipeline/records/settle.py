"""Bringing the records of a model up to date: after every release, on a schedule, and on request.

Each step looks at the stores and enters what is missing; done again it enters nothing. So a process that died between
two of them leaves nothing that the next does not mend.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

Step = Callable[["Stores", "Declaration", str], None]
"""A step takes the stores, the model's declaration and the actor."""


def steps() -> tuple[Step, ...]:
    """Return the steps, in the order in which they build on each other."""
    from retrain_pipeline.records.cards import write_cards
    from retrain_pipeline.records.changes import write_changes
    from retrain_pipeline.records.checklist import register_checklist
    from retrain_pipeline.records.data_sheets import write_data_sheets
    from retrain_pipeline.records.decay import check_assumptions
    from retrain_pipeline.records.decisions import register_decisions
    from retrain_pipeline.records.effects import score_effects
    from retrain_pipeline.records.experiments import write_experiments
    from retrain_pipeline.records.impact import write_briefs
    from retrain_pipeline.records.incidents import write_postmortems
    from retrain_pipeline.records.releases import write_release_notes
    from retrain_pipeline.records.risks import register_risks

    return (
        register_decisions,
        register_risks,
        register_checklist,
        check_assumptions,
        write_experiments,
        write_data_sheets,
        write_release_notes,
        write_changes,
        score_effects,
        write_briefs,
        write_postmortems,
        write_cards,
    )


def settle_move(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Enter what a trial's end or a way back calls for at once, and not at the next retrain."""
    from retrain_pipeline.records.cards import write_cards
    from retrain_pipeline.records.incidents import write_postmortems
    from retrain_pipeline.records.releases import write_release_notes

    for write in (write_release_notes, write_postmortems, write_cards):
        write(stores, declaration, actor)


def settle(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Enter every record of a model that is missing."""
    for step in steps():
        step(stores, declaration, actor)
