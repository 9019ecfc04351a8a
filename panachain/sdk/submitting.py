"""Signed revocations outside of their patient's machine: written into a file, submitted by anybody, gone on with.

Whoever submits one needs no profile and no key, learns nothing but the policy's ID, and can do nothing else with it.
Follows docs/spec/formats.md (`panachain/signed-revocation/1`) and ADR 15.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from panachain.consent.revocation_file import read_file
from panachain.errors import PolicyUnknownError, UsageError
from panachain.model.actors import PolicyId
from panachain.sdk.network import Network
from panachain.sdk.proxies import Proxies
from panachain.sdk.results.listings import LeftOut, Listing
from panachain.sdk.results.policies import AnyPolicy, id_of
from panachain.sdk.results.revocations import SubmissionReport
from panachain.sdk.taking_back import take_back

if TYPE_CHECKING:
    from panachain.model.policy import Terms
    from panachain.sdk.patient import Patient


def sign(patient: Patient, policy: AnyPolicy) -> bytes:
    """Return a policy's signed revocation as a file's content; nobody is asked, and nothing is sent.

    Raises:
        PolicyUnknownError: the policy isn't this patient's.
    """
    return patient._revocations.sign(id_of(policy))


def own_ids(patient: Patient) -> list[PolicyId]:
    """Return the IDs of the policies that this machine granted, by the seed alone; nobody is asked."""
    return patient._policies.ids(patient._grants.granted())


def go_on(patient: Patient) -> list[PolicyId]:
    """Send every revocation of a patient's again that the chain hasn't proven, and return those that it still doesn't.

    The command line does so in each command of a patient's. Where nothing is left, nobody is asked.
    """
    return patient._revocations.go_on()


def hand_out(patient: object) -> Listing[PolicyId]:
    """Hand out the shares of a patient's grants that didn't wait for their blocks; return the policies that serve.

    `left_out` of the list names those that are over instead, and what was written down of others and can't be read,
    each with why.
    """
    from panachain.sdk.patient import Patient

    return patient._grants.go_on() if isinstance(patient, Patient) else Listing()


def sort_out(patient: object) -> Listing[PolicyId]:
    """Set aside what is written down of a patient's grants and can't be read; `left_out` names it, nothing serves."""
    from panachain.sdk.patient import Patient

    return Listing((), patient._grants.sort_out()) if isinstance(patient, Patient) else Listing()


def fallen(patient: object) -> list[LeftOut]:
    """Return a patient's grants that fell with what they were to replace or answer, where nobody told it yet.

    Such as where the program ended before it could. Asks nobody.
    """
    from panachain.sdk.patient import Patient

    return patient._grants.fallen() if isinstance(patient, Patient) else []


def told(patient: object) -> None:
    """Note that a patient was told of all that `fallen` and `hand_out` returned."""
    from panachain.sdk.patient import Patient

    if isinstance(patient, Patient):
        patient._grants.told()


def submit(network: Network, content: bytes) -> SubmissionReport:
    """Send a signed revocation to every relay, node and proxy of a network.

    Args:
        network: of the file's mainchain.
        content: of the file.

    Raises:
        UsageError: it isn't of the documented form, or is for another chain or registry.
        IntegrityError: the policy's own key didn't sign it.
        RelaysUnavailableError: nobody took it.
    """
    file, mainchain = read_file(content), network.mainchain
    here = mainchain.chain_id, mainchain.policies.address.lower()
    if (file.chain_id, file.policy_registry.lower()) != here:
        raise UsageError(
            f"the revocation is for registry {file.policy_registry} on chain {file.chain_id}, this network's is "
            f"{mainchain.policies.address} on chain {mainchain.chain_id}; nothing was sent"
        )
    policy_id = file.revocation.policy_id

    def unknown() -> Terms:
        # They are sealed to others: so every proxy is asked.
        raise PolicyUnknownError(f"the terms of policy {policy_id} are sealed")

    with closing(Proxies(network, ca=network.proxy_ca)) as proxies:
        taken = take_back(network, proxies, file.revocation, terms=unknown)
    taken.check_taken(policy_id, hint="the same again later; the file never expires")
    return SubmissionReport(
        policy_id, proven=taken.proven, tx=taken.tx, gas=taken.gas, receipts=taken.receipts, unsent=taken.unsent
    )
