"""Policies in plain words and as FHIR Consents: what an actor's session knows, handed to consent/.

Never grants more than a Consent says: what the caller adds (a grantee, an end) narrows it or is refused.
Follows docs/spec/consent.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from panachain.consent import explain as sentences
from panachain.consent.explain import Explanation, TellMoment, Translate, in_utc, untranslated
from panachain.consent.explain import explain as explained
from panachain.consent.fhir_consent import ConsentPlan, from_consent
from panachain.consent.fhir_export import to_consent
from panachain.consent.offer import Offer
from panachain.errors import (
    ConsentNotEnforceableError,
    PanaChainError,
    PartlyDoneError,
    UnknownActorError,
    UsageError,
)
from panachain.model.actors import Actor, Address, PolicyId, Role
from panachain.model.policy import OnChainPolicy, PolicyStatus, Terms
from panachain.model.scope import Purpose
from panachain.sdk.network import Network
from panachain.sdk.offers import Offers
from panachain.sdk.patient import Patient
from panachain.sdk.results.people import People
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.times import Moment, seconds
from panachain.sdk.words import Categories, Purposes


class PolicySession(Protocol):
    """What this module needs of a patient's or practitioner's session."""

    network: Network
    address: Address

    def terms_of(self, policy_id: PolicyId) -> tuple[OnChainPolicy, Terms]:
        """Return a policy as the chain shows it and as its terms say."""
        ...


class GrantingSession(Protocol):
    """What this module needs of a patient's session to grant."""

    network: Network
    address: Address

    def grant(
        self,
        grantee: str,
        categories: Categories,
        years: Iterable[int] = (),
        purpose: Purposes = Purpose.TREAT,
        *,
        until: Moment,
        starts: Moment | None = None,
        dry_run: bool = False,
    ) -> PolicyView:
        """Make a policy."""
        ...


def explain(
    session: PolicySession,
    policy_id: PolicyId,
    *,
    translate: Translate = untranslated,
    moment: TellMoment = in_utc,
    codes: bool = True,
    names: People | None = None,
) -> Explanation:
    """Say in plain words what a policy allows, and who holds what of it; to its patient also what is known of receipts.

    Args:
        session: its patient's or its grantee's.
        policy_id: which one.
        translate: into the reader's language.
        moment: tells a moment to the reader; in UTC to the second if nobody says otherwise.
        codes: whether each purpose is followed by its code.
        names: what to call grantee and patient; None takes their handles.

    Raises:
        PolicyUnknownError: the policy isn't this actor's.
    """
    policy, terms = session.terms_of(policy_id)
    grantee = _known(session.network, terms.grantee)
    patient = _known(session.network, terms.patient)
    return explained(
        terms,
        policy,
        is_group=grantee is not None and grantee.role is Role.GROUP,
        grantee=_name(grantee, names),
        patient=_name(patient, names),
        translate=translate,
        moment=moment,
        codes=codes,
        revocation=_stage(session, policy),
        nodes=len(session.network.mainchain.nodes.urls),
        quorum=session.network.mainchain.nodes.quorum,
    )


def explain_offer(
    patient: Patient,
    grantee: str,
    categories: Categories,
    years: Iterable[int] = (),
    purpose: Purposes = Purpose.TREAT,
    *,
    until: Moment,
    request: int | None = None,
    translate: Translate = untranslated,
    moment: TellMoment = in_utc,
    codes: bool = True,
    names: People | None = None,
) -> tuple[Offer, Explanation]:
    """Say what a grant would allow, before anything of it is made: no key, no share, no signature.

    Args:
        patient: who grants.
        grantee: as `Patient.grant`, as all that follow up to `request`.
        categories: which.
        years: which.
        purpose: for what.
        until: the end, exclusive.
        request: a request of the grantee's that this answers.
        translate: into the reader's language.
        moment: tells a moment to the reader; in UTC to the second if nobody says otherwise.
        codes: whether each purpose is followed by its code.
        names: what to call grantee and patient; None takes their handles.

    Returns:
        What would be granted, whose grantee is found and whose times are counted, and what it allows.

    Raises:
        UsageError: the choice doesn't fit.
        UnknownActorError: nobody has the name.
    """
    offer = Offers(patient.network).first(grantee, categories, years, purpose, until=until, request=request)
    told = sentences.explain_offer(
        offer,
        patient=patient.address,
        grantee=_name(offer.grantee, names),
        patient_name=_name(patient.profile.actor, names),
        translate=translate,
        moment=moment,
        codes=codes,
    )
    return offer, told


def export_consent(session: PolicySession, policy_id: PolicyId) -> dict[str, Any]:
    """Return a policy as a FHIR R4 Consent.

    Raises:
        PolicyUnknownError: the policy isn't this actor's.
    """
    policy, terms = session.terms_of(policy_id)
    mainchain = session.network.mainchain
    granted = next(mainchain.policies.events(policy_ids=[policy_id], kind="PolicyGranted"), None)
    return to_consent(terms, policy, granted_at=mainchain.block(granted.block).time if granted else None)


def import_consent(
    patient: GrantingSession,
    document: Mapping[str, Any],
    *,
    grantee: str | None = None,
    until: Moment | None = None,
    dry_run: bool = False,
) -> tuple[ConsentPlan, list[PolicyView]]:
    """Grant what a FHIR R4 Consent permits, one policy for each grantee.

    Args:
        patient: whose records they are.
        document: the Consent.
        grantee: who shall read, where the Consent names nobody or somebody whom this network doesn't know.
        until: an end, exclusive, where the Consent has none or a later one.
        dry_run: make everything, send nothing.

    Returns:
        What was planned, and the policies.

    Raises:
        ConsentNotEnforceableError: something in it can't be enforced, or it is about another patient.
        UsageError: no end or no grantee is given, or one that the Consent doesn't allow.
        PartlyDoneError: some policies were made, then one failed.
    """
    plan = from_consent(document)
    account = plan.patient.account
    if account and account.lower() != patient.address.lower():
        raise ConsentNotEnforceableError.of((("Consent.patient", "is another patient than you"),))
    end = _end(plan, None if until is None else seconds(until, at=int(patient.network.clock()), name="until"))
    readers = _readers(patient.network, plan, grantee)
    made: list[PolicyView] = []
    for reader in readers:
        try:
            made.append(_grant(patient, plan, reader, end, dry_run=dry_run))
        except PanaChainError as exc:
            if not made or dry_run:
                raise
            raise PartlyDoneError(
                f"{len(made)} of {len(readers)} policies were made ({', '.join(one.policy_id for one in made)}),"
                f" then: {exc}",
                hint="the same Consent would grant those again: use `panachain grant` for the rest",
            ) from exc
    return plan, made


def _grant(patient: GrantingSession, plan: ConsentPlan, grantee: str, end: int, *, dry_run: bool) -> PolicyView:
    return patient.grant(
        grantee,
        plan.categories,
        plan.years,
        purpose=plan.purposes,
        starts=plan.starts_at,
        until=end,
        dry_run=dry_run,
    )


def _end(plan: ConsentPlan, expires_at: int | None) -> int:
    if plan.expires_at is None:
        if expires_at is None:
            raise UsageError("the Consent has no end, and a policy has one", hint="add --until")
        return expires_at
    if expires_at is not None and expires_at > plan.expires_at:
        raise UsageError(
            f"the Consent ends at {plan.expires_at}, before {expires_at} (Unix seconds)", hint="leave --until out"
        )
    return plan.expires_at if expires_at is None else expires_at


def _readers(network: Network, plan: ConsentPlan, grantee: str | None) -> list[str]:
    """Return an address for each grantee; the caller's word counts only where the Consent's can't be understood."""
    foreign = [party for party in plan.grantees if not party.account]
    if grantee is None:
        if foreign or not plan.grantees:
            raise UsageError(
                "the Consent names a recipient whom this network doesn't know" if foreign else "it names no recipient",
                hint="say who it is with --grantee",
            )
        return [network.resolve(party.account).address for party in plan.grantees]
    chosen = network.resolve(grantee).address
    if plan.grantees and not foreign:
        accounts = {party.account.lower() for party in plan.grantees}
        if chosen.lower() not in accounts:
            raise UsageError("the Consent permits somebody else than that grantee", hint="leave --grantee out")
    elif len(plan.grantees) > 1:
        raise UsageError("the Consent names several recipients: who of them --grantee is can't be told")
    return [chosen]


def _stage(session: PolicySession, policy: OnChainPolicy) -> str:
    """Return how far a revocation has come, as far as this actor knows; empty takes what the chain says."""
    if policy.status is not PolicyStatus.REVOKED or not isinstance(session, Patient):
        return ""
    return next((view.stage for view in session.policies() if view.policy_id == policy.policy_id), "")


def _name(actor: Actor | None, names: People | None) -> str:
    if actor is None:
        return ""
    return actor.handle if names is None else names.of(actor.address, actor.role)


def _known(network: Network, address: Address) -> Actor | None:
    try:
        return network.resolve(address)
    except UnknownActorError:
        return None
