"""What a contract's custom error means, in words for people.

Pure: takes the decoded text of `chain/abi.py`, which relays pass on too, and gives a sentence's end. An error that
isn't listed stays as it is: it tells an engineer more than a phrase that fits everything.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_WORDS: Final = {
    "ActorAlreadyRegistered": "{account} is registered already",
    "ERC2771ForwarderExpiredRequest": "it was signed to be sent until {deadline}, and that is over",
    "ERC2771ForwarderInvalidSigner": "another call of {from} was made before it",
    "EmergencyNotActivePractitioner": "{account} works for no hospital, or is no practitioner whom the registrar admits"
    " now",
    "EmergencyUnknownPatient": "{patient} isn't registered as a patient",
    "EmergencyInvalidCosigner": "{cosigner} can't cosign emergency access {id}",
    "EmergencyRequestExpired": "the time to cosign emergency access {id} is over",
    "EmergencyNotCosigned": "nobody has cosigned emergency access {id} yet",
    "EmergencyClosed": "emergency access {id} is over",
    "GroupAlreadyAccepted": "{member} is a member of group {group} already",
    "GroupAlreadyClosed": "group {group} is closed",
    "GroupAlreadyCreated": "group {group} exists already",
    "GroupNotAccepted": "{member} is no member of group {group}, or hasn't accepted the invitation yet",
    "GroupNotActivePractitioner": "{account} is no practitioner whom the registrar admits now",
    "GroupNotListed": "{member} is no member of group {group}",
    "GroupNotManager": "only the manager of group {group} may do this",
    "GroupTooMany": "{manager} manages {most} open groups already, and nobody may manage more",
    "GroupUnknown": "there is no group {group}",
    "IdentityAlreadyRegistered": "{account} is registered already",
    "IdentityAlreadyApproved": "{guardian} spoke for this account already",
    "IdentityAlreadyFrozen": "{guardian} froze {patient} before, and each guardian can once",
    "IdentityInvalidDelay": "a delay is a day to thirty days",
    "IdentityInvalidSuccessor": "{successor} is no other patient whom the registrar admits now",
    "IdentityIsFrozen": "{patient} is frozen, or guardians move this account: nobody new is named or paired with",
    "IdentityNothingAnnounced": "nothing is announced that could be taken back",
    "IdentityNotActivePatient": "{account} is no patient whom the registrar admits now",
    "IdentityNotGuardian": "{caller} is no guardian of {patient} now",
    "IdentityRecoveryNotReady": "no move of {patient} is open, or its delay isn't over, or it was over two weeks ago",
    "IdentityRecoveryOpen": "enough guardians spoke for moving {patient} to {successor} already",
    "IdentityNotSuccessor": "only the account to which guardians move {patient} may complete this",
    "IdentityNotPaired": "{patient} isn't paired with {hospital}",
    "LedgerNotActiveHospital": "{account} is no hospital that the registrar admits now",
    "LogNotActiveProxy": "{account} is no proxy that the registrar admits now",
    "PolicyAlreadyGranted": "policy {policyId} is granted already",
    "PolicyAlreadyRevoked": "policy {policyId} is revoked already",
    "PolicyDeadlineOver": "it was signed to be sent until {deadline}, and that is over",
    "PolicyInvalidSignature": "the signature for policy {policyId} doesn't fit",
    "PolicyInvalidWindow": "the policy would end at {expiresAt}, which is over or before its beginning",
    "PolicyNotOwner": "policy {policyId} is another patient's",
    "RequestInvalid": "a request must end in the future, and this one would end at {expiresAt}",
    "RequestNotActivePractitioner": "{account} is no practitioner whom the registrar admits now",
    "RequestNotActivePatient": "{account} is suspended, or was moved to another account, and doesn't answer this",
    "RequestNotOpen": "request {id} is {state} already",
    "RequestNotYours": "request {id} isn't yours to answer or withdraw",
    "RequestReferredToOneself": "{account} can't refer to themselves: `panachain request` asks in one's own name",
    "RequestTooManyOpen": "as many requests to {patient} wait as one practitioner may have; there is room for one"
    " once the patient answers, or at {freeAt}",
    "RequestTooOften": "{requester} asked too often; the next request can be made at {nextAt}",
    "WardshipAccountTaken": "{account} is the account of wardship {id} already: each wardship has one of its own",
    "WardshipInvalid": "a wardship ends in the future and within 25 years, and this one would end at {endsAt}; it names"
    " categories, and what the ward keeps is a part of them",
    "WardshipInvalidParties": "ward {ward}, carer {carer} and the account {account} must be three, and neither ward nor"
    " carer is the account of a wardship",
    "WardshipNotActiveCarer": "{account} is nobody whom the registrar admits now",
    "WardshipNotActivePatient": "{account} is no patient whom the registrar admits now",
    "WardshipNothingToConclude": "wardship {id} never began, or its account was closed already",
    "WardshipNotYours": "wardship {id} isn't yours",
    "WardshipUnexpectedState": "wardship {id} is {state}, which doesn't allow that",
    "WardshipWardTaken": "{ward} is under care already: wardship {id} is in force",
    "RequestUnknownPatient": "{patient} isn't registered as a patient",
}
"""Name of a custom error → what it means, with its arguments."""
REQUEST_STATES: Final = {0: "none", 1: "open", 2: "approved", 3: "denied", 4: "withdrawn", 5: "expired"}
"""The numbers of `AccessRequests.State` (docs/spec/formats.md, section "Codes")."""
WARDSHIP_STATES: Final = {0: "none", 1: "proposed", 2: "accepted", 3: "in force", 4: "over", 5: "ended"}
"""The numbers of `Wardships.State` (docs/spec/formats.md, section "Codes")."""
_TIMES: Final = frozenset({"deadline", "endsAt", "expiresAt", "freeAt", "nextAt"})
"""Arguments that are Unix seconds."""


def refusal_words(reason: str) -> str:
    """Return a decoded custom error, such as `RequestNotOpen(id=1, state=2)`, in words; others as they are."""
    found = re.fullmatch(r"([A-Za-z0-9]+)\((.*)\)", reason, re.ASCII | re.DOTALL)
    if found is None or found[1] not in _WORDS:
        return reason
    arguments = dict(part.partition("=")[::2] for part in found[2].split(", "))
    for name in arguments.keys() & _TIMES:
        try:
            moment = datetime.fromtimestamp(int(arguments[name]), UTC)
        except (ValueError, OverflowError, OSError):
            # No calendar has it: the number says as much.
            continue
        arguments[name] = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    if found[1] == "RequestNotOpen" and arguments.get("state", "").isdecimal():
        arguments["state"] = REQUEST_STATES.get(int(arguments["state"]), arguments["state"])
    if found[1] == "WardshipUnexpectedState" and arguments.get("state", "").isdecimal():
        arguments["state"] = WARDSHIP_STATES.get(int(arguments["state"]), arguments["state"])
    try:
        return _WORDS[found[1]].format_map(arguments)
    except KeyError:
        # Another version of the contracts, with other arguments.
        return reason
