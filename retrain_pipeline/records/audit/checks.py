"""The checks of an audit, by name; importable without any of what they look with."""

CHECKS = {
    "reviews": "No decision and no open review is past its date.",
    "references": "All that is named by digest is there and hashes to it; tables have the versions that are named.",
    "risks": "What could go wrong is assessed, reviewed and owned, and what watches over it holds.",
    "checklist": "What people expect of each other is done by its day.",
    "changes": "Each change of the champion has a decision or commit that says why, and a test that passed on it.",
    "citations": "No superseded decision is cited by what holds now.",
    "retention": "No version is kept longer than rollout.retire_periods asks.",
    "machine_filled": "At least 80 % of the fields of records are filled in by machine.",
    "personal_data": "No e-mail address and no payment card is in free text or in text columns.",
}
