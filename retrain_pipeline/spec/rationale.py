"""Which kinds of decision say why a section of a declaration is as it is."""

from collections.abc import Mapping

KINDS: Mapping[str, frozenset[str]] = {
    "problem": frozenset({"threshold"}),
    "data": frozenset({"data"}),
    "features": frozenset({"feature"}),
    "training": frozenset({"architecture", "optimizer"}),
    "trigger": frozenset({"threshold"}),
    "gates": frozenset({"threshold"}),
    "rollout": frozenset({"rollout"}),
    "signals": frozenset({"data", "collection"}),
}
"""The sections of a declaration, and the kinds of decision that answer for a change of each."""
