"""`approval`: a person's word on a version, given in Dagster's UI with typed config.

Dagster's web server has no login, so what is typed here proves nobody's identity. It counts only where `roles.yaml` has
`unsigned_approvals: true`: behind a proxy that a team trusts to let nobody else in. Elsewhere it is refused, and a
person signs with `retrain approve`.
"""

import dagster as dg
from pydantic import Field

from retrain_pipeline.assets.common import config_of, metadata, model_asset, schema_of
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration


class ApprovalConfig(dg.Config):
    """Who approves which version, and why."""

    version: str = Field("", description="The version. Empty: the newest that waits for an approval.")
    because: str = Field(description="The reason, for the record; at least 10 characters.")
    approver: str = Field("", description="Who you are, as roles.yaml knows you. Counts only with unsigned_approvals.")
    expires_hours: float = Field(72, gt=0, le=720, description="How long the approval holds.")


def approval_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/approval`, of a model whose releases need one."""

    @model_asset(
        declaration,
        "approval",
        set(),
        ("evaluation",),
        "A person's approval of a version. Counts where roles.yaml has unsigned_approvals; else use retrain approve.",
        config_schema=schema_of(ApprovalConfig),
    )
    def approval(context: dg.AssetExecutionContext, stores: StoresResource) -> dg.MaterializeResult[None]:
        from retrain_pipeline.errors import PermanentError
        from retrain_pipeline.release.approvals import grant
        from retrain_pipeline.release.permits import subject_that_waits

        config = config_of(context, ApprovalConfig)
        opened = stores.open()
        actor = f"user:{config.approver}" if config.approver else f"user:{context.run.tags.get('user', 'unknown')}"
        try:
            subject = subject_that_waits(opened, declaration, config.version)
            entry = grant(
                opened.ledger,
                subject,
                actor=actor,
                key=None,
                because=config.because,
                expires_hours=config.expires_hours,
            )
        except PermanentError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        return dg.MaterializeResult(
            metadata=metadata(
                {
                    "version": subject.name,
                    "approver": entry.actor,
                    "entry": entry.seq,
                    "expires_at": entry.payload["expires_at"],
                    "evidence": subject.evidence,
                }
            ),
            data_version=dg.DataVersion(subject.name),
        )

    return approval
