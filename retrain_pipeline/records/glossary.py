"""What the words mean: every gate and metric, and the terms that the documents use, a sentence each."""

from collections.abc import Mapping

GATES: Mapping[str, str] = {
    "contract": "It takes the declared columns and gives answers of the declared kind, on earlier rows, too.",
    "disjoint": "No row that judges was learned from, by either side.",
    "quality": "The candidate loses no more than the champion, beyond a margin and with bounds on chance.",
    "baseline": "It does better than models that know nothing, or only a straight line.",
    "success": "The declared metric reaches the declared level.",
    "slices": "In no declared part of the rows it does worse beyond a margin.",
    "labels": "The labels are not turned round, recoded or rescaled.",
    "leakage": "No feature gives the label away.",
    "calibration": "Probabilities are as often right as they say.",
    "latency": "One answer takes no longer than declared.",
    "size": "The model is no larger than declared.",
    "fingerprint": "Loaded again, it gives the same answers.",
    "robustness": "A missing or noisy input does not make it much worse.",
    "self_test": "Candidates that are known to be bad are refused by these very gates.",
    "groups": "The gap between declared groups, in loss and in rate, does not grow.",
    "reproducible": "Fitted again from its manifest, it is the same model.",
    "seed_noise": "The verdict holds for fits with other seeds.",
    "footprint": "Its memory in a fresh process is no more than declared.",
    "documentation": "What changed since the champion has a decision that says why.",
    "guard": "It changes neither what is collected nor how users behave.",
    "escalation": "Where gates are close, a second validator of other code agrees.",
}
METRICS: Mapping[str, str] = {
    "mae": "Mean absolute error: how far answers are off on average, in the unit of the label.",
    "rmse": "Root mean squared error: as mae, with large errors weighing more.",
    "error": "Share of rows whose class is answered wrongly.",
    "brier": "Mean squared distance of the probability from what came: 0 is perfect.",
    "log_loss": "How surprised the probabilities are by what came: 0 is perfect.",
}
TERMS: Mapping[str, str] = {
    "anchor": "What steps are counted from: for gates the champion that was shown to be better last, for automatic "
    "releases the last version that a person let through.",
    "as of": "Computed from what was known at a moment, and nothing later.",
    "canary": "A stage in which a new version serves a small share.",
    "challenger": "A version on trial beside the champion.",
    "champion": "The version that serves.",
    "drift": "The inputs, the answers or the labels are distributed otherwise than before.",
    "evidence": "The stored document of a judgement; its digest is its name.",
    "gate": "A check that a candidate must pass before it serves.",
    "holdback": "A share of users that stays with an earlier model, to measure all updates together.",
    "inconclusive": "The verdict where there is too little to tell; it is never a pass.",
    "lane": "An experiment with another recipe that runs beside a model and serves nobody.",
    "ledger": "The record of who did what and why, in a chain that shows tampering.",
    "manifest": "What made a version: data, declaration, code, seed and environment, by digest.",
    "mature": "Labels that had the time to arrive.",
    "period": "The span of time in which data arrive and are looked at together.",
    "shadow": "A stage in which a new version answers and serves nobody.",
    "tombstone": "The record that stands where a version was retired.",
}
