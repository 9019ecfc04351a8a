"""What a policy allows, in plain words, and who holds each part of it: mathematics, honest proxies, or nobody.

Promises nothing that docs/spec and SECURITY.md don't: what a grantee opened can't be called back, and this says so each
time. Pure: no clock, no network. Each sentence is a template and what goes into it, so that it can be told in another
language; what others wrote is never a template. Follows design sections 3, 5 and 8 and docs/spec/consent.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from panachain.consent.offer import Offer
from panachain.errors import UsageError
from panachain.model.actors import Address, PolicyId, Role
from panachain.model.policy import Disclosure, GrantedLane, OnChainPolicy, PolicyStatus, Terms
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
HEADINGS: Final = (
    ("allows", "What it allows"),
    ("mathematics", "Held by mathematics"),
    ("proxies", "Held by honest proxies"),
    ("nobody", "Held by nobody"),
    ("revocation", "The revocation"),
)
"""The parts of an explanation, in their order, each with what stands above it."""

Translate = Callable[[str], str]
"""Returns a template in the reader's language; the places in braces stay."""


def untranslated(template: str) -> str:
    """Return a template as it is: English."""
    return template


TellMoment = Callable[[int], str]
"""Returns Unix seconds as the reader reads a moment."""


def in_utc(seconds: int) -> str:
    """Return a moment to the second, the same wherever it is read.

    Raises:
        ValueError, OverflowError, OSError: no calendar has it.
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class _Say:
    """Says a sentence in the reader's language."""

    def __init__(self, translate: Translate, moment: TellMoment, *, codes: bool) -> None:
        self._translate = translate
        self._moment = moment
        self._codes = codes

    def __call__(self, template: str, /, **values: object) -> str:
        # Values are put in once, and what they hold isn't looked at: a brace in a name stays a brace.
        return self._translate(template).format(**values)

    def moment(self, seconds: int) -> str:
        """Return a moment in the reader's way; one beyond the calendar is a number."""
        try:
            return self._moment(seconds)
        except (ValueError, OverflowError, OSError):
            return self("{seconds} (Unix seconds)", seconds=seconds)

    def purpose(self, purpose: Purpose) -> str:
        """Return a purpose in words, with its code where codes are told."""
        told = self(PURPOSES[purpose])
        return f"{told} ({purpose.value})" if self._codes else told

    def either(self, words: Sequence[str]) -> str:
        """Join words by commas, and the last one by `or`."""
        if len(words) == 1:
            return words[0]
        return self("{first} or {last}", first=", ".join(words[:-1]), last=words[-1])


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
        parts = {name: list(getattr(self, name)) for name, _ in HEADINGS}
        return {"schema": "panachain/explanation/1", "policy_id": self.policy_id, "status": self.status, **parts}

    def text(self) -> str:
        """Return the explanation as lines to read."""
        lines: list[str] = []
        for name, heading in HEADINGS:
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
    translate: Translate = untranslated,
    moment: TellMoment = in_utc,
    codes: bool = True,
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
        translate: into the reader's language.
        moment: tells a moment to the reader; in UTC to the second if nobody says otherwise.
        codes: whether each purpose is followed by its code of HL7 v3 PurposeOfUse.

    Raises:
        UsageError: no revocation has this state.
    """
    if policy.status is PolicyStatus.REVOKED:
        revocation = revocation or "revoked on chain"
    say = _Say(translate, moment, codes=codes)
    stands = [say(_STATUS[policy.status]), *_believed(say, nodes, quorum)]
    return Explanation(
        policy_id=terms.policy_id,
        status=policy.status.name.lower(),
        allows=(*_allows(say, terms, is_group, grantee or terms.grantee, patient or terms.patient), " ".join(stands)),
        mathematics=_mathematics(say, terms, policy.disclosure),
        proxies=_proxies(say, terms, is_group),
        nobody=_nobody(say, terms, is_group),
        revocation=_revocation(say, terms, revocation) if revocation else (),
    )


def explain_offer(
    offer: Offer,
    *,
    patient: Address,
    grantee: str = "",
    patient_name: str = "",
    translate: Translate = untranslated,
    moment: TellMoment = in_utc,
    codes: bool = True,
) -> Explanation:
    """Say the same of what a patient is about to grant: nothing of it is signed, and no key is made for it.

    Args:
        offer: what would be granted.
        patient: whose records.
        grantee: what to call the grantee; empty takes their address.
        patient_name: the same for the patient.
        translate: into the reader's language.
        moment: tells a moment to the reader, as in `explain`.
        codes: whether codes of purposes are told, as in `explain`.
    """
    terms = Terms(
        policy_id=PolicyId(""),
        patient=patient,
        grantee=offer.grantee.address,
        key_digest=offer.grantee.key_digest,
        receiving_key=b"",
        verifying_key=b"",
        purposes=offer.purposes,
        starts_at=offer.starts_at,
        expires_at=offer.expires_at,
        threshold=offer.threshold,
        proxies=offer.proxies,
        lanes=tuple(GrantedLane(scope, 0, b"", b"", b"") for scope in offer.scopes),
        audit_key=b"",
    )
    say, is_group = _Say(translate, moment, codes=codes), offer.grantee.role is Role.GROUP
    stands = say("It isn't granted yet: nothing is signed or sent before you confirm it.")
    return Explanation(
        policy_id="",
        status="offered",
        allows=(*_allows(say, terms, is_group, grantee or terms.grantee, patient_name or patient), stands),
        mathematics=_mathematics(say, terms, offer.disclosure),
        proxies=_proxies(say, terms, is_group),
        nobody=_nobody(say, terms, is_group),
    )


def _in_emergency(say: _Say, delay: int) -> str:
    """Return who reads in an emergency; `delay` is seconds after the second signature."""
    if delay:
        return say(
            "in an emergency, from {minutes} minutes after a second practitioner of the same hospital co-signed until"
            " four hours after it, the member of an emergency desk who asked",
            minutes=str(delay // 60),
        )
    return say(
        "in an emergency, for four hours, the member of an emergency desk who asks once a second practitioner of"
        " the same hospital co-signed"
    )


def _allows(say: _Say, terms: Terms, is_group: bool, grantee: str, patient: str) -> tuple[str, ...]:
    if terms.is_for_emergencies:
        grantee = _in_emergency(say, terms.emergency_delay or 0)
    elif is_group:
        grantee = say("everybody who is a member of the group {group} at the time of opening", group=grantee)
    purposes = [say.purpose(purpose) for purpose in terms.purposes]
    return (
        say("{patient} lets {who} read: {what}.", patient=patient, who=grantee, what=_scopes(say, terms)),
        say(
            "For {purposes}, from {start} until {end}, that moment excluded.",
            purposes=say.either(purposes),
            start=say.moment(terms.starts_at),
            end=say.moment(terms.expires_at),
        ),
        say("Records that hospitals publish later are covered too, as long as it lasts and the keys don't change."),
    )


def _mathematics(say: _Say, terms: Terms, disclosure: Disclosure) -> tuple[str, ...]:
    chain = (
        "The chain shows everybody the purposes and categories, since the patient made it open, but not who reads."
        if disclosure.word
        else "The chain shows that somebody granted something and when, but not who, to whom, or what."
    )
    return (
        say(
            "Fewer than {needed} of the {shares} proxies open nothing, also together with the grantee.",
            needed=terms.threshold,
            shares=len(terms.proxies),
        ),
        say("The proxies read nothing without the grantee's key, not even all of them together."),
        say("What isn't named above stays closed to the grantee, even if all proxies help against the rules."),
        say("Only the patient's key can take it back; nobody's can change or extend it."),
        say(chain),
    )


def _proxies(say: _Say, terms: Terms, is_group: bool) -> tuple[str, ...]:
    rules = (
        "the window, the purpose that is stated, that the reader is a member, and that nobody reads who is suspended;"
        if is_group
        else "the window, the purpose that is stated, and that nobody reads who is suspended;"
    )
    return (
        say(
            "The rules below hold while fewer than {needed} of the {shares} break them:",
            needed=terms.threshold,
            shares=len(terms.proxies),
        ),
        say(rules),
        say(
            "a revocation at once, and for good with {receipts} deletion receipts, unless a receipt is a lie;",
            receipts=_needed(terms),
        ),
        say("a signed receipt of each reading: one for serving what was forbidden convicts the proxy."),
    )


def _nobody(say: _Say, terms: Terms, is_group: bool) -> tuple[str, ...]:
    opened = (
        "What was opened can't be called back, nor a copy of it, whoever has it by then; a former member keeps what was"
        " opened as one."
        if is_group
        else "What was opened can't be called back, nor a copy of it, whoever has it by then."
    )
    return (
        say(opened),
        say("That the purpose is the true one: it is stated, not proven."),
        say("That hospitals sorted each record into its right category."),
        say(
            "If {needed} proxies break the rules with the grantee, this is read at any time; new keys close only"
            " what is published later.",
            needed=terms.threshold,
        ),
    )


_STAGES: Final = {
    "revoked on chain": (
        "The chain says revoked: honest proxies refuse from that block on.",
        "No deletion is known yet: it is final once {needed} of the {shares} proxies have signed theirs.",
    ),
    "final": (
        "Final: {needed} proxies signed the deletion, so fewer than {threshold} can serve, unless one lied.",
        "Not all of it has new keys: proxies that lied could also serve records that are published later.",
    ),
    "lane rotated": (
        "The categories have new keys: records published under these are out of reach, whatever proxies do.",
        "Older records are still under the old keys: proxies that break the rules could serve those.",
    ),
    "headers re-wrapped": (
        "The categories have new keys, and old records moved to them: old and new records are under the new keys.",
        "Anybody who kept copies from before could still open them with proxies that break the rules.",
    ),
}
_SOME_DELETED: Final = (
    "{deleted} of {shares} proxies signed that they deleted their key fragments.",
    "Final once {needed} have: until then {threshold} proxies that break the rules can serve.",
)


def _revocation(say: _Say, terms: Terms, state: str) -> tuple[str, ...]:
    values: dict[str, object] = {"needed": _needed(terms), "shares": len(terms.proxies), "threshold": terms.threshold}
    sentences = _STAGES.get(state)
    if found := _DELETED.fullmatch(state):
        sentences = _SOME_DELETED
        values |= {"deleted": found[1], "shares": found[2]}
    if sentences is None:
        raise UsageError(f"no revocation has the state {state!r}")
    return tuple(say(sentence, **values) for sentence in sentences)


def _believed(say: _Say, nodes: int, quorum: int) -> list[str]:
    """Say whom this machine believes about the chain, and for what."""
    if not nodes:
        return []
    if quorum > 1:
        agreed = "{quorum} of {nodes} nodes agree that the chain says so now; fewer that lie change nothing."
        return [say(agreed, quorum=quorum, nodes=nodes)]
    return [say("One node is believed that nothing newer happened: it could show an older state, but forge nothing.")]


def _needed(terms: Terms) -> int:
    return len(terms.proxies) - terms.threshold + 1


def _scopes(say: _Say, terms: Terms) -> str:
    years: dict[str, set[int] | None] = {}
    for scope in dict.fromkeys(lane.scope for lane in terms.lanes):
        name, slash, year = scope.text.partition("/")
        known = years.setdefault(name, set())
        if not slash or known is None:
            years[name] = None
        else:
            known.add(int(year))
    if "all" in years:
        return _everything(say, years)
    # Categories with the same years stand together.
    groups: dict[tuple[int, ...] | None, list[str]] = {}
    for name, found in years.items():
        groups.setdefault(None if found is None else tuple(sorted(found)), []).append(_name(say, name))
    parts = [f"{', '.join(names)}{f' ({_years(say, found)})' if found else ''}" for found, names in groups.items()]
    return "; ".join(parts)


def _everything(say: _Say, years: Mapping[str, set[int] | None]) -> str:
    """Name what `all` leaves out, but for what is granted beside it."""
    closed = [category for category in RESTRICTED if years.get(category.value, set()) is not None]
    left_out = ", ".join(_in_order(say, closed))
    parts = [say("everything but {categories}", categories=left_out) if closed else say("everything")]
    parts += [
        say("of {category} what is of {years}", category=say(category.value), years=_years(say, sorted(found)))
        for category in closed
        if (found := years.get(category.value))
    ]
    return "; ".join(parts)


def _name(say: _Say, name: str) -> str:
    if name == "emergency":
        held = ", ".join(_in_order(say, EMERGENCY))
        return say("the emergency summary ({held}; nothing restricted but what the patient included)", held=held)
    return say(name)


def _in_order(say: _Say, categories: Iterable[Category]) -> list[str]:
    chosen = set(categories)
    return [say(category.value) for category in Category if category in chosen]


def _years(say: _Say, years: Sequence[int]) -> str:
    dated = [year for year in years if year != UNDATED]
    runs: list[list[int]] = []
    for year in dated:
        if runs and runs[-1][1] == year - 1:
            runs[-1][1] = year
        else:
            runs.append([year, year])
    words = [f"{first}" if first == last else say("{first} to {last}", first=first, last=last) for first, last in runs]
    return ", ".join(words + ([say("undated")] if UNDATED in years else []))
