"""A patient's grants: to whom, what each allows, a new one as a short dialogue, and taking one back.

Nothing is signed before the patient has seen what it allows, in the words of `policy explain`. Follows design section 8
(Grant; Revoke, R1 to R4) and docs/spec/consent.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.consent.explain import HEADINGS, Explanation
from panachain.consent.offer import Offer
from panachain.errors import PanaChainError, PolicyUnknownError, UsageError
from panachain.model.actors import Address, PolicyId, Role
from panachain.model.policy import PolicyStatus
from panachain.model.scope import RESTRICTED, Category, Purpose
from panachain.plain import json_line, line
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.jobs import JobProgress
from panachain.portal.labels import CATEGORIES
from panachain.portal.pages import Page
from panachain.portal.pages.patient_choosing import LENGTHS, categories_of, end_of, purposes_of, years_of
from panachain.portal.paging import part_of
from panachain.portal.refusals import said
from panachain.portal.rendering import confirm, confirmed, moment, render, to
from panachain.portal.whom import called
from panachain.sdk import consents
from panachain.sdk.access import in_force
from panachain.sdk.contacts import list_contacts
from panachain.sdk.names import policy_id
from panachain.sdk.offers import GRANTEES
from panachain.sdk.patient import Patient
from panachain.sdk.profiles import list_profiles
from panachain.sdk.results.listings import Listing
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.revocations import RevocationReport
from panachain.sdk.words import WHOLE

PAGES: Final = (Page("/grants", N_("Who can read"), frozenset({Role.PATIENT}), 20),)

router = APIRouter()
Sitting = Annotated[Seat, Depends(seated(Role.PATIENT))]
Filled = Annotated[Form, Depends(checked_form)]


def told(sentence: str) -> str:
    """Return a sentence of an explanation, or the word of a category in one, in the language of this request."""
    return _(CATEGORIES.get(sentence, sentence))


def lines_of(explanation: Explanation) -> list[str]:
    """Return an explanation as the sentences of a confirmation: what it allows, then who holds what of it."""
    found = list(explanation.allows)
    for name, heading in HEADINGS[1:]:
        sentences: tuple[str, ...] = getattr(explanation, name)
        if sentences:
            found.append(f"{_(heading)}: {' '.join(sentences)}")
    return found


def own_policy(text: str) -> PolicyId:
    """Return the policy that a page's address or a form names.

    Raises:
        UsageError: it is no whole ID.
    """
    return policy_id(text if len(text) == 42 else "", ())


def _policies(patient: Patient) -> Listing[PolicyView]:
    found = patient.policies()
    return Listing(found, found.left_out)


@router.get("/grants")
async def grants(request: Request, seat: Sitting, show: str = "now", page: str = "1") -> Response:
    """List the grants: those by which somebody can read now or later, or those that are over."""
    found = await seat.run(_policies)
    now = in_force(found)
    over = [view for view in found if view not in now]
    chosen = over if show == "over" else now
    return render(
        request,
        "patient/grants.html",
        part=part_of(chosen[::-1], page, size=20),
        show="over" if show == "over" else "now",
        counts={"now": len(now), "over": len(over)},
        left_out=found.left_out,
    )


@dataclass(frozen=True)
class Known:
    """Somebody whom this machine has a name for."""

    name: str
    role: Role | None


def _known(patient: Patient) -> list[Known]:
    """Return whom this machine knows and a grant can go to."""
    home = patient.network.home
    known = [Known(one.name, one.role) for one in list_contacts(home) if one.role in (*GRANTEES, None)]
    known += [Known(one.name, one.role) for one in list_profiles(home) if one.role in GRANTEES]
    return sorted({one.name: one for one in known}.values(), key=lambda one: one.name)


@router.get("/grants/new")
async def ask_grant(request: Request, seat: Sitting, to: str = "") -> Response:
    """Show the dialogue: who, what, why, and for how long."""
    return await _dialogue(request, seat, {"who": line(to[:100])})


async def _dialogue(
    request: Request, seat: Seat, given: dict[str, object], error: PanaChainError | None = None
) -> Response:
    known = await seat.run(_known)
    return render(
        request,
        "patient/grant.html",
        status=200 if error is None else 400,
        given={"categories": (), "purposes": (Purpose.TREAT.value,), "length": "30d", **given},
        error=error,
        known=known,
        wide=WHOLE,
        categories=[one.value for one in Category if one not in RESTRICTED],
        restricted=[one.value for one in Category if one in RESTRICTED],
        purposes=[one.value for one in Purpose],
        lengths={code: words for code, (words, _seconds) in LENGTHS.items()},
    )


@router.post("/grants/new")
async def grant(request: Request, seat: Sitting, form: Filled) -> Response:
    """Show what a grant would allow, and make it once that is confirmed."""
    if confirmed(request, form):
        who, until = Address(form["grantee"]), int(form["until"])
        categories, purposes = form["categories"].split(","), form["purposes"].split(",")
        years = [int(year) for year in form["years"].split(",") if year]

        def work(patient: Patient, progress: JobProgress) -> PolicyView:
            progress.stage(_("Keys and shares are made, the grant is signed, and a relay brings it on chain"))
            return patient.grant(who, categories, years, purposes, until=until)

        left = _("The same grant once more goes on where this one stopped; nothing is granted twice.")
        return to(seat.start(_("Granting"), work, template="patient/granted.html", left=left))
    given: dict[str, object] = {
        "who": line(form.get("who", "")[:200]),
        "categories": tuple(form.all("categories")),
        "years": line(form.get("years", "")[:1000]),
        "purposes": tuple(form.all("purposes")),
        "length": form.get("length", ""),
        "day": line(form.get("day", "")[:40]),
    }

    def plan(patient: Patient) -> tuple[Offer, Explanation]:
        who = str(given["who"]).strip()
        if not who:
            raise said(UsageError(_("It isn't said who may read."), hint=_("Choose a contact, or paste an address.")))
        return consents.explain_offer(
            patient,
            who,
            categories_of(form.all("categories")),
            years_of(form.get("years", "")),
            purposes_of(form.all("purposes")),
            until=end_of(form.get("length", ""), form.get("day", ""), now=patient.network.clock()),
            translate=told,
            moment=moment,
            codes=False,
            names=seat.names,
        )

    try:
        offer, explanation = await seat.run(plan)
    except UsageError as exc:
        return await _dialogue(request, seat, given, exc)
    account = await called(seat, offer.grantee.address, offer.grantee.role)
    return confirm(
        request,
        title=_("Let somebody read"),
        sentences=[_("It goes to the account %(address)s.", address=account), *lines_of(explanation)],
        fields={
            "grantee": offer.grantee.address,
            "categories": ",".join(dict.fromkeys(scope.text.partition("/")[0] for scope in offer.scopes)),
            "years": ",".join(map(str, years_of(form.get("years", "")))),
            "purposes": ",".join(purpose.value for purpose in offer.purposes),
            "until": str(offer.expires_at),
        },
        button=_("Sign and grant"),
    )


@router.get("/grants/{policy}")
async def one_grant(request: Request, seat: Sitting, policy: str) -> Response:
    """Show what one grant allows, who holds what of it, and how to take it back."""
    wanted = own_policy(policy)

    def look(patient: Patient) -> tuple[PolicyView, Explanation | None, PanaChainError | None]:
        view = _find(patient, wanted)
        try:
            found = consents.explain(patient, wanted, translate=told, moment=moment, codes=False, names=seat.names)
            return view, found, None
        except PolicyUnknownError as exc:
            # A grant that waits is on no chain yet: what it allows is in the view.
            return view, None, exc

    view, explanation, _why = await seat.run(look)
    return render(
        request,
        "patient/one_grant.html",
        policy=view,
        explanation=explanation,
        headings=HEADINGS,
        over=view.status in (PolicyStatus.EXPIRED, PolicyStatus.REVOKED),
        revoked=view.status is PolicyStatus.REVOKED or view.stage == "sent, not proven yet",
    )


@router.get("/grants/{policy}/consent.json")
async def consent(seat: Sitting, policy: str) -> Response:
    """Give one grant as a FHIR R4 Consent."""
    wanted = own_policy(policy)
    document = await seat.run(lambda patient: consents.export_consent(patient, wanted))
    return Response(
        json_line(document, indent=2),
        media_type="application/fhir+json",
        headers={"Content-Disposition": f'attachment; filename="consent-{wanted[:10]}.json"'},
    )


@router.post("/grants/revoke")
async def revoke(request: Request, seat: Sitting, form: Filled) -> Response:
    """Take a grant back, with its stages shown."""
    wanted, rotate = own_policy(form["policy"]), form.get("rotate", "") == "yes"
    if not confirmed(request, form):
        view = await seat.run(lambda patient: _sought(patient, wanted))
        return confirm(
            request,
            title=_("Take the grant back"),
            sentences=_revoke_sentences(seat, view, rotate=rotate),
            fields={"policy": wanted, "rotate": "yes" if rotate else ""},
            button=_("Take it back, with new keys") if rotate else _("Take it back"),
            danger=True,
        )

    def work(patient: Patient, progress: JobProgress) -> RevocationReport:
        progress.stage(_("The revocation goes to every relay, node and proxy at once; each proxy deletes its share"))

        def tell(done: int, total: int, *, unit: str) -> None:
            if unit == "proxies":
                progress(done, total, unit=unit)
                progress.stage(_("The chain proves that it is revoked"))

        report = patient.revoke(wanted, progress=tell)
        if rotate and report.proven and report.shares:
            progress.stage(_("The categories get new keys; hospitals and everybody else who reads are told"))
            report = patient.revoke(wanted, rotate=True, progress=progress)
        return report

    left = _("A revocation that was signed is sent again whenever you unlock the portal, until the chain proves it.")
    return to(seat.start(_("Taking it back"), work, template="patient/revoked.html", left=left, asked_new_lanes=rotate))


@router.post("/grants/look")
async def look_at_revocation(request: Request, seat: Sitting, form: Filled) -> Response:
    """Ask the proxies and the store how far a revocation has come; nothing is changed."""
    del request
    wanted = own_policy(form["policy"])

    def work(patient: Patient, progress: JobProgress) -> RevocationReport:
        progress.stage(_("The policy's proxies are asked what they signed"))
        return patient.revocation(wanted)

    return to(seat.start(_("How far the revocation is"), work, template="patient/revoked.html", asked_new_lanes=False))


def _find(patient: Patient, wanted: PolicyId) -> PolicyView:
    """Return one policy of the patient's.

    Raises:
        PolicyUnknownError: it isn't theirs, or its terms can't be read.
    """
    view = _sought(patient, wanted)
    if view is None:
        raise PolicyUnknownError(f"policy {wanted} isn't one of this patient's", hint=_("Look through your grants."))
    return view


def _sought(patient: Patient, wanted: PolicyId) -> PolicyView | None:
    """Return one policy of the patient's, or None where nobody can tell what it allows: it can be revoked anyway."""
    try:
        return next((view for view in patient.policies() if view.policy_id == wanted), None)
    except PanaChainError:
        return None


def _revoke_sentences(seat: Seat, view: PolicyView | None, *, rotate: bool) -> list[str]:
    sentences = []
    if view is not None:
        what = ", ".join(dict.fromkeys(told(scope.partition("/")[0]) for scope in view.scopes))
        sentences.append(_("%(who)s reads %(what)s by it.", who=seat.names.of(view.grantee), what=what))
    sentences += [
        _("Honest proxies refuse from the next block on. It is final once enough proxies signed the deletion."),
        _("What was opened before can't be called back by anybody, nor a copy of it."),
        _("Other grants to the same person stay as they are."),
    ]
    if rotate:
        sentences += [
            _(
                "The categories get new keys: what is published later is out of reach, even if proxies break their"
                " word."
            ),
            _("Everybody else who reads these categories is granted anew, and hospitals are asked to move records."),
            _("Everybody who watches the chains can see that you changed keys."),
        ]
    else:
        sentences.append(_("Without new keys, proxies that break their word together could still help."))
    return sentences
