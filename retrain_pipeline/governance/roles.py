"""Who may do what: `roles.yaml` of the project, and the one question that every guarded action asks.

Without the file everybody may do everything: one person on a laptop. With it, what is not allowed is refused, and the
attempt is an entry of the ledger.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from retrain_pipeline.canonical import canonical_json, digest_of
from retrain_pipeline.governance.errors import NotAllowed, RolesRefused
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.keyring import policy_folder
from retrain_pipeline.spec.errors import YamlRefused
from retrain_pipeline.spec.yaml import read_yaml_file
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger

FILE = "roles.yaml"
Action = Literal[
    "approve", "release", "rollback", "override", "review_override", "halt", "resume", "change_policy", "manage_keys",
    "retire",
]  # fmt: skip
REFUSED = "refused"
"""The action of the entry of a refused attempt."""

# Who an actor speaks for: `person:` is the account or key of whoever typed, `user:` what a Dagster run's tag claims.
_PEOPLE = ("person:", "user:")


class Person(Strict):
    """One person (or a bot), by every name under which they commit, log in and sign."""

    roles: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    until: date | None = None
    """The last day on which the roles hold (UTC)."""
    bot: bool = False
    """A machine's account: it never approves, overrides or reviews."""


class Roles(Strict):
    """What `roles.yaml` says."""

    roles: dict[str, tuple[Action, ...]]
    people: dict[str, Person]
    machines: tuple[Literal["release", "rollback"], ...] = ("release", "rollback")
    """What sensors, schedules and runs that nobody signed for may do."""
    models: dict[str, dict[Action, tuple[str, ...]]] = Field(default_factory=dict)
    """For a model, who alone may do an action, of those whose roles allow it."""
    unsigned_approvals: bool = False
    """Whether an approval without a signature counts: it proves what Dagster's own login proves, which is nothing."""

    @model_validator(mode="after")
    def _coherent(self) -> "Roles":
        problems = [
            f"people.{name}.roles: {role!r:.80} is not one of {', '.join(self.roles)}"
            for name, person in self.people.items()
            for role in person.roles
            if role not in self.roles
        ]
        problems += [
            f"models.{model}.{action}: {name!r:.80} is not one of people"
            for model, actions in self.models.items()
            for action, names in actions.items()
            for name in names
            if name not in self.people
        ]
        known: dict[str, str] = {}
        for name, person in self.people.items():
            for alias in (name, *person.aliases):
                if known.setdefault(_plain(alias), name) != name:
                    problems.append(f"people.{name}.aliases: {alias!r:.80} is {known[_plain(alias)]}'s already")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of what the file says: the version of the policy under which somebody acted."""
        return digest_of(self.model_dump(mode="json"))

    def person(self, identity: str) -> str | None:
        """Return whose name an actor, login, commit author or e-mail address is, or None when nobody's."""
        plain = _plain(identity)
        for name, person in self.people.items():
            if plain in {_plain(alias) for alias in (name, *person.aliases)}:
                return name
        return None

    def role_for(self, actor: str, action: Action, model: str | None, now: datetime) -> str:
        """Return the role by which an actor may do an action now.

        Raises
        ------
        NotAllowed
            With the reason.
        """
        if not actor.startswith(_PEOPLE):
            if action in self.machines:
                return "machine"
            raise NotAllowed(f"{actor} is no person, and {FILE} lets machines {', '.join(self.machines) or 'nothing'}")
        name = self.person(actor)
        if name is None:
            raise NotAllowed(f"{FILE} knows no {actor}: add them to people, or an alias to whom they are")
        person = self.people[name]
        if person.until is not None and now.astimezone(UTC).date() > person.until:
            raise NotAllowed(f"{name}'s roles ended on {person.until}")
        if person.bot and action in ("approve", "override", "review_override"):
            raise NotAllowed(f"{name} is a bot, and only a person may {action}")
        role = next((role for role in person.roles if action in self.roles[role]), None)
        if role is None:
            having = [one for one, actions in self.roles.items() if action in actions]
            raise NotAllowed(f"{name} has no role that may {action} ({', '.join(having) or 'no role may'})")
        only = self.models.get(model or "", {}).get(action)
        if only is not None and name not in only:
            raise NotAllowed(f"of {model}, only {', '.join(only) or 'nobody'} may {action}")
        return role


@dataclass(frozen=True)
class Grant:
    """Who may do what they are about to do, by which role, under which version of the roles."""

    person: str
    role: str
    policy: str | None

    def payload(self) -> dict[str, Any]:
        """Return what the entry of the action says of it; nothing where there is no roles file."""
        return {} if self.policy is None else {"role": self.role, "roles": self.policy}


def read_roles(file: Path) -> Roles | None:
    """Return what a roles file says; None when there is no file.

    Raises
    ------
    RolesRefused
        With the path in the file and what is wrong. A file that cannot be read allows nothing.
    """
    if not file.exists():
        return None
    try:
        document = read_yaml_file(file)
        return Roles.model_validate_json(canonical_json(document.value), strict=True)
    except YamlRefused as error:
        raise RolesRefused(f"{file}: {error}") from error
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            path = tuple(part for part in problem["loc"] if part != "[key]")
            place = document.place(path)
            where = f"{file.name}:{place.line}:{place.column}" if place.line else file.name
            lines.append(f"{where}  {'.'.join(map(str, path))}  {problem['msg']}")
        words = f"roles and actions: {', '.join(get_args(Action))}"
        raise RolesRefused("\n  ".join([f"{file} is refused; {words}", *lines])) from error
    except OSError as error:
        raise RolesRefused(f"{file}: {error.strerror}; mend its permissions") from error


def project_roles() -> Roles | None:
    """Return the roles of the project: `roles.yaml` in the folder of RETRAIN_POLICY."""
    return read_roles(policy_folder() / FILE)


def check(ledger: "Ledger", actor: str, action: Action, model: str | None, subject: str | None = None) -> Grant:
    """Return by which role an actor may do an action to a model, or refuse it on record.

    Raises
    ------
    NotAllowed
        After an entry ``refused`` that says who tried what.
    RolesRefused
        When the roles file cannot be read.
    """
    roles = project_roles()
    if roles is None:
        return Grant(actor, "everybody", None)
    try:
        role = roles.role_for(actor, action, model, datetime.now(UTC))
    except NotAllowed as refusal:
        words = f"{action} of {model or 'the project'} refused to {actor}: {refusal}"
        note_refusal(ledger, actor, action, model, subject, words, roles)
        raise NotAllowed(words) from refusal
    return Grant(roles.person(actor) or actor, role, roles.digest)


def note_refusal(
    ledger: "Ledger", actor: str, action: str, model: str | None, subject: str | None, words: str, roles: Roles | None
) -> None:
    """Enter that somebody tried what they may not do."""
    payload = {"attempted": action, "words": words[:1000], "roles": roles.digest if roles else None}
    ledger.append(NewEntry(actor=actor, action=REFUSED, model=model, subject=subject, payload=payload))


def same_person(roles: Roles | None, one: str, other: str) -> bool:
    """Return whether two identities may be one person: what could be the same counts as the same.

    Names compare without case and prefix; an e-mail address also by what stands before the ``@``.
    """
    if roles is not None:
        first, second = roles.person(one), roles.person(other)
        if first is not None and second is not None:
            return first == second
    spellings = [{_plain(text), _plain(text).partition("@")[0]} for text in (one, other)]
    return bool(spellings[0] & spellings[1])


def is_person(actor: str) -> bool:
    """Return whether an actor is a person by their own word, not a sensor, a schedule or Dagster."""
    return actor.startswith(_PEOPLE) and not actor.endswith("[bot]")


def _plain(identity: str) -> str:
    for prefix in _PEOPLE:
        identity = identity.removeprefix(prefix)
    return " ".join(identity.casefold().split())
