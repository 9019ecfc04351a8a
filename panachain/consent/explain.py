"""What a policy allows, in plain words, and who holds each part of it: mathematics, honest proxies, or nobody.

Promises nothing that docs/spec and SECURITY.md don't: what a grantee opened can't be called back, and this says so each
time. Pure: no clock, no network. Follows design sections 3, 5 and 8 and docs/spec/consent.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from panachain.errors import UsageError
from panachain.model.policy import OnChainPolicy, PolicyStatus, Terms
from panachain.model.scope import EMERGENCY, RESTRICTED, UNDATED, Category, Purpose

PURPOSES: Final = {
    Purpose.TREAT: "treatment",
    Purpose.ETREAT: "emergency treatment",
    Purpose.HPAYMT: "payment for care",
    Purpose.HOPERAT: "running the healthcare organisation",
    Purpose.HRESCH: "research",
    Purpose.PATRQT: "the patient's own request",
    Purpose.PUBHLTH: "public health",
    Purpose.FAMRQT: "a request of the family",
}
"""HL7 v3 PurposeOfUse in plain words."""

_STATUS: Final = {
    PolicyStatus.UNKNOWN: "It isn't granted on chain: nobody can use it.",
    PolicyStatus.NOT_YET: "Its time hasn't come yet.",
    PolicyStatus.ACTIVE: "It is in force.",
    PolicyStatus.EXPIRED: "Its time is over: honest proxies serve nobody under it.",
    PolicyStatus.REVOKED: "The patient took it back.",
}
_DELETED: Final = re.compile(r"([0-9]{1,5}) of ([0-9]{1,5}) proxies deleted")
_HEADINGS: Final = (
    ("allows", "What it allows"),
    ("mathematics", "Held by mathematics"),
    ("proxies", "Held by honest proxies"),
    ("nobody", "Held by nobody"),
    ("revocation", "The revocation"),
)


@dataclass(frozen=True)
class Explanation:
    """A policy in whole sentences, sorted by what enforces them."""

    policy_id: str
    status: str
    allows: tuple[str, ...]
    """What it allows: to whom, what, for what, from when until when."""
    mathematics: tuple[str, ...]
    """What holds whatever anybody does."""
    proxies: tuple[str, ...]
    """What holds as long as fewer than the threshold of proxies break the rules."""
    nobody: tuple[str, ...]
    """What nothing here holds."""
    revocation: tuple[str, ...] = ()
    """Where the revocation stands; empty if there is none."""

    def to_json(self) -> dict[str, object]:
        """Return the explanation as JSON, schema `panachain/explanation/1`."""
        parts = {name: list(getattr(self, name)) for name, _ in _HEADINGS}
        return {"schema": "panachain/explanation/1", "policy_id": self.policy_id, "status": self.status, **parts}

    def text(self) -> str:
        """Return the explanation as lines to read."""
        lines: list[str] = []
        for name, heading in _HEADINGS:
            sentences: tuple[str, ...] = getattr(self, name)
            if sentences:
                lines += [f"{heading}:", *(f"  - {sentence}" for sentence in sentences)]
        return "\n".join(lines)


def explain(
    terms: Terms,
    policy: OnChainPolicy,
    *,
    is_group: bool = False,
    grantee: str = "",
    patient: str = "",
    revocation: str = "",
    nodes: int = 0,
    quorum: int = 0,
) -> Explanation:
    """Say in plain words what a policy allows and who holds what of it.

    Args:
        terms: what the policy allows.
        policy: what the mainchain says of it.
        is_group: whether the grantee is a care team or department.
        grantee: a handle to name them by; empty takes their address.
        patient: the same for the patient.
        revocation: how far a revocation has come: `revoked on chain`, `K of N proxies deleted`, `final`,
            `lane rotated` or `headers re-wrapped`; empty takes what the chain says.
        nodes: how many nodes of the mainchain were asked; 0 says nothing of them.
        quorum: how many of them agreed on the newest block.

    Raises:
        UsageError: no revocation has this state.
    """
    if policy.status is PolicyStatus.REVOKED:
        revocation = revocation or "revoked on chain"
    return Explanation(
        policy_id=terms.policy_id,
        status=policy.status.name.lower(),
        allows=_allows(
            terms, policy, is_group, grantee or terms.grantee, patient or terms.patient, _believed(nodes, quorum)
        ),
        mathematics=_mathematics(terms, policy),
        proxies=_proxies(terms, is_group),
        nobody=_nobody(terms, is_group),
        revocation=_revocation(terms, revocation) if revocation else (),
    )


def _allows(
    terms: Terms, policy: OnChainPolicy, is_group: bool, grantee: str, patient: str, believed: str
) -> tuple[str, ...]:
    who = f"everybody who is a member of the group {grantee} at the time of opening" if is_group else grantee
    purposes = _or([f"{PURPOSES[purpose]} ({purpose.value})" for purpose in terms.purposes])
    return (
        f"{patient} lets {who} read: {_scopes(terms)}.",
        f"For {purposes}, from {_time(terms.starts_at)} until {_time(terms.expires_at)}, that moment excluded.",
        "Records that hospitals publish later are covered too, as long as it lasts and the lanes aren't rotated.",
        _STATUS[policy.status] + believed,
    )


def _mathematics(terms: Terms, policy: OnChainPolicy) -> tuple[str, ...]:
    needed, shares = terms.threshold, len(terms.proxies)
    chain = (
        "The chain shows everybody the purposes and categories, since the patient made it open, but not who reads."
        if policy.disclosure.word
        else "The chain shows that somebody granted something and when, but not who, to whom, or what."
    )
    return (
        f"Fewer than {needed} of the {shares} proxies open nothing, also together with the grantee.",
        "The proxies read nothing without the grantee's key, not even all of them together.",
        "What isn't named above stays closed to the grantee, even if all proxies help against the rules.",
        "Only the patient's key can take it back; nobody's can change or extend it.",
        chain,
    )


def _proxies(terms: Terms, is_group: bool) -> tuple[str, ...]:
    member = "that the reader is a member, " if is_group else ""
    return (
        f"The rules below hold while fewer than {terms.threshold} of the {len(terms.proxies)} break them:",
        f"the window, the purpose that is stated, {member}and that nobody reads who is suspended;",
        f"a revocation at once, and for good with {_needed(terms)} deletion receipts, unless a receipt is a lie;",
        "a signed receipt of each reading: one for serving what was forbidden convicts the proxy.",
    )


def _nobody(terms: Terms, is_group: bool) -> tuple[str, ...]:
    left = "; a former member keeps what was opened as one" if is_group else ""
    return (
        f"What was opened can't be called back, nor a copy of it, whoever has it by then{left}.",
        "That the purpose is the true one: it is stated, not proven.",
        "That hospitals sorted each record into its right category.",
        f"If {terms.threshold} proxies break the rules with the grantee, this is read at any time; rotating the lanes"
        " closes only what is published later.",
    )


def _revocation(terms: Terms, state: str) -> tuple[str, ...]:
    needed, shares = _needed(terms), len(terms.proxies)
    found = _DELETED.fullmatch(state)
    if found:
        sentence = f"Final once {needed} have: until then {terms.threshold} proxies that break the rules can serve."
        return (f"{found[1]} of {found[2]} proxies signed that they deleted their key fragments.", sentence)
    sentences = {
        "revoked on chain": (
            "The chain says revoked: honest proxies refuse from that block on.",
            f"No deletion is known yet: it is final once {needed} of the {shares} proxies have signed theirs.",
        ),
        "final": (
            f"Final: {needed} proxies signed the deletion, so fewer than {terms.threshold} can serve, unless one lied.",
            "The lanes aren't all rotated: proxies that lied could also serve records that are published later.",
        ),
        "lane rotated": (
            "The lanes are rotated: records published under the new ones are out of reach, whatever proxies do.",
            "Older records are still under the old lanes: proxies that break the rules could serve those.",
        ),
        "headers re-wrapped": (
            "The lanes are rotated and the old headers replaced: new lanes hold old and new records.",
            "Anybody who kept copies of the old headers could still open them with proxies that break the rules.",
        ),
    }
    if state not in sentences:
        raise UsageError(f"no revocation has the state {state!r}")
    return sentences[state]


def _believed(nodes: int, quorum: int) -> str:
    """Say whom this machine believes about the chain, and for what."""
    if not nodes:
        return ""
    if quorum > 1:
        return f" {quorum} of {nodes} nodes agree that the chain says so now; fewer that lie change nothing."
    return " One node is believed that nothing newer happened: it could show an older state, but forge nothing."


def _needed(terms: Terms) -> int:
    return len(terms.proxies) - terms.threshold + 1


def _scopes(terms: Terms) -> str:
    years: dict[str, set[int] | None] = {}
    for scope in dict.fromkeys(lane.scope for lane in terms.lanes):
        name, slash, year = scope.text.partition("/")
        known = years.setdefault(name, set())
        if not slash or known is None:
            years[name] = None
        else:
            known.add(int(year))
    if "all" in years:
        return _everything(years)
    # Categories with the same years stand together.
    groups: dict[tuple[int, ...] | None, list[str]] = {}
    for name, found in years.items():
        groups.setdefault(None if found is None else tuple(sorted(found)), []).append(_name(name))
    parts = [f"{', '.join(names)}{f' ({_years(found)})' if found else ''}" for found, names in groups.items()]
    return "; ".join(parts)


def _everything(years: Mapping[str, set[int] | None]) -> str:
    """Name what `all` leaves out, but for what is granted beside it."""
    closed = [category for category in RESTRICTED if years.get(category.value, set()) is not None]
    parts = [f"everything but {', '.join(_in_order(closed))}" if closed else "everything"]
    parts += [
        f"of {category.value} what is of {_years(sorted(found))}"
        for category in closed
        if (found := years.get(category.value))
    ]
    return "; ".join(parts)


def _name(name: str) -> str:
    if name == "emergency":
        held = ", ".join(_in_order(EMERGENCY))
        return f"the emergency summary ({held}; nothing restricted but what the patient included)"
    return name


def _in_order(categories: Iterable[Category]) -> list[str]:
    chosen = set(categories)
    return [category.value for category in Category if category in chosen]


def _years(years: Sequence[int]) -> str:
    dated = [year for year in years if year != UNDATED]
    runs: list[list[int]] = []
    for year in dated:
        if runs and runs[-1][1] == year - 1:
            runs[-1][1] = year
        else:
            runs.append([year, year])
    words = [f"{first}" if first == last else f"{first} to {last}" for first, last in runs]
    return ", ".join(words + (["undated"] if UNDATED in years else []))


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} (Unix seconds)"


def _or(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
