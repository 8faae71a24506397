"""What the words on the pages mean: gates, metrics and terms of this project, in the glossary of the portal."""

GATES = {
    "contract": "Candidate and champion take the columns that there are, of today's schema and of the one they learned "
    "from, and answer in kind.",
    "disjoint": "The rows that judge are unseen by both sides, by row digest and by time.",
    "quality": "The candidate's loss beside the champion's on the same rows: lower beyond noise, or not higher beyond "
    "the margin where decay called for the retrain.",
    "baseline": "Better than a constant answer, and no worse than a linear model of the same rows.",
    "success": "The criterion that the problem declares.",
    "slices": "No declared group of rows is worse off beyond the slice margin.",
    "labels": "The labels look like labels: not recoded, rescaled or shuffled.",
    "leakage": "No feature gives the label away by itself.",
    "calibration": "Probabilities mean what they say; errors of a regression have no bias.",
    "latency": "Time of an answer, 95th percentile, in milliseconds.",
    "size": "Size of the stored model.",
    "fingerprint": "The stored bytes answer the fixed probe questions as the manifest says.",
    "robustness": "Loss with each input missing in turn, and with noise on all numbers.",
    "self_test": "In this very run, known-bad candidates are refused and known-good ones pass.",
    "groups": "The gap between declared groups, in loss and in positive rate, did not grow.",
    "reproducible": "Fitted again from its manifest it gives the same answers.",
    "seed_noise": "Fitted with other seeds it is still good enough.",
    "footprint": "Peak memory of a fresh process that loads the model and answers.",
    "documentation": "What changed in the declaration since the champion has an accepted decision.",
    "guard": "Evidence that the update changes neither what is collected nor how users behave.",
    "escalation": "Where something calls for it, a second validator judges other rows, and agrees.",
    "online_loss": "Loss on live rows of a version on trial, with bounds that hold at every look.",
}

METRICS = {
    "mae": "Mean absolute error: the mean distance of answer and truth, in the label's unit.",
    "rmse": "Root mean squared error: the root of the mean squared distance, in the label's unit.",
    "error": "Error rate: the share of rows answered wrongly.",
    "brier": "Brier score: the mean squared distance of a probability and what came; lower is better, 0 is perfect.",
    "log_loss": "Log loss: minus the mean logarithm of the probability given to what came.",
}

TERMS = {
    "AUC": "Area under the ROC curve: how often a positive row gets a higher score than a negative one; 0.5 is chance.",
    "as of": "The moment whose knowledge counts: rows that became known later are not used.",
    "baseline model": "A constant answer or a linear model, fitted on the same rows, that a candidate must beat.",
    "candidate": "A version that was fitted and waits for its judgement.",
    "canary": "A stage in which a version answers a share of the entities.",
    "CBPE": "Confidence-based performance estimation: what a model's calibrated probabilities say of its own loss, "
    "before labels are known.",
    "challenger": "A version that passed its gates and is on trial beside the champion.",
    "champion": "The version that serves.",
    "decision": "A choice with its options, reasons, assumptions and the date at which it is looked at again.",
    "digest": "SHA-256 of a document's bytes: its name in the store, and proof that it is unchanged.",
    "drift": "Inputs or answers of a period that are distributed otherwise than those that the champion learned from.",
    "evidence": "The stored record of one judgement: inputs by digest, the result of each gate, the verdict.",
    "experiment": "One retrain run, whatever became of it.",
    "FAIL": "The gate looked, and what it saw is not good enough.",
    "first": "Mode of a judgement in which there is no champion yet.",
    "holdback": "An earlier champion that a share of the entities stays with, to measure all updates together.",
    "INCONCLUSIVE": "The gate could not tell; nothing is released on it.",
    "label delay": "Time between an event and the moment at which its label is known.",
    "lane": "An experiment that runs a model's graph beside it and cannot touch what serves.",
    "ledger": "The chain of entries: who did what, when and why. To change one breaks the chain.",
    "LORD++": "A rule that spends an error budget over a model's whole life, so that judging often is not luck.",
    "manifest": "Everything that made a version, by digest: data, declaration, code, seed, environment.",
    "margin": "How much worse than the champion counts as no worse.",
    "non_inferiority": "Mode of a judgement that asks: not worse than the champion beyond the margin.",
    "PASS": "The gate looked, and what it saw is good enough.",
    "PSI": "Population stability index: how far two distributions over the same cells lie apart.",
    "period": "The step of time in which data is taken in, named by its start, in UTC.",
    "protocol": "By what versions are judged, on record before the first run that uses it.",
    "record": "A typed document about a model, stored by digest and entered in the ledger.",
    "rollback": "Making an earlier champion serve again.",
    "shadow": "A stage in which a version answers beside the champion and nobody is served its answers.",
    "slice": "The rows in which a declared column has one value.",
    "standard error": "How far a mean would scatter if the rows were drawn again.",
    "superiority": "Mode of a judgement that asks: better than the champion beyond noise.",
    "training set": "Frozen rows, by table versions and row digests, that a version learned from.",
    "validated loss": "The loss on evaluation rows with which a version was released, and to which it is held.",
    "version": "One fitted model, named by the day of its data and a digest of what made it.",
}

STREAMS = {
    "data": ("data_doubted", "contract_failed", "training_set_frozen", "monitored", "profiled", "signal_halted"),
    "infrastructure": (
        "run_failed", "retrain_failed", "drilled", "drill_failed", "alerted", "deployments_restored", "restored",
    ),
    "records": ("recorded", "policy_accepted", "plan_approved", "override_granted", "override_reviewed", "dissented"),
}  # fmt: skip
"""Of which stream an entry of the ledger is, by its action; all others are of the model."""

QUIET = ("candidate_built", "champion_watched", "profiled", "retrain_requested", "documents_looked_at")
"""Entries that are left out of the timeline: others say the same."""


def stream_of(action: str) -> str:
    """Return the stream of the timeline that an action belongs to."""
    return next((stream for stream, actions in STREAMS.items() if action in actions), "model")


def anchor(term: str) -> str:
    """Return the anchor of a term in the glossary."""
    return "".join(one if one.isalnum() else "-" for one in term.lower())
