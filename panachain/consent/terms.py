"""Terms: what a policy allows, sealed to its grantee and to the patient, and nobody else.

Never on chain: the chain holds the digest of the sealed block. Follows docs/spec/formats.md (`panachain/terms/3`),
design section 5 and ADR 36: the peppers in it are told to nobody else but the hospitals, to each its own.

    block = 0x03 ‖ shared box to grantee and patient of (signature ‖ dag-cbor map)

With their own seal a patient restores their policies from the seed alone.
"""

from __future__ import annotations

from typing import Any, Final

from panachain.crypto import box, labels, umbral
from panachain.crypto.hpke import SealingKey
from panachain.errors import IntegrityError, UsageError
from panachain.ethereum import checksum_address
from panachain.ipld import dagcbor
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import GrantedLane, ProxyRef, Terms
from panachain.model.scope import Purpose, Scope
from panachain.model.sizes import HASH_SIZE, KEY_SIZE, PUBLIC_SIZE, SEALING_SIZE, UMBRAL_SIGNATURE_SIZE

VERSION: Final = 3


def seal_terms(terms: Terms, *, grantee_key: bytes, patient_key: bytes, signer: umbral.Signer) -> bytes:
    """Return the sealed terms: one block for the store.

    Args:
        terms: what the policy allows.
        grantee_key: the grantee's sealing key, 1,216 bytes.
        patient_key: the patient's own.
        signer: the patient's Umbral signer; its public key stands in the IdentityRegistry.
    """
    body = dagcbor.encode(_to_fields(terms))
    # The signature is inside the seal: outside, anybody could tell whose terms these are.
    plain = signer.sign(labels.TERMS + body) + body
    return bytes([VERSION]) + box.seal_to_each([grantee_key, patient_key], plain, labels.TERMS)


class UnverifiedTerms:
    """Opened terms whose signature nobody has checked yet.

    Whoever can seal to a grantee can write anything into them, somebody else's name too. So they show nothing but the
    account of the patient whom they claim to be of, which is what looking up that patient's key needs.
    """

    __slots__ = ("_body", "_signature", "_terms")

    def __init__(self, terms: Terms, body: bytes, signature: bytes) -> None:
        """Take what was opened: the terms, the signed bytes, and the signature over them."""
        self._terms = terms
        self._body = body
        self._signature = signature

    @property
    def claimed_patient(self) -> Address:
        """The account whose key must have signed; a claim until `verified` has returned."""
        return self._terms.patient

    def verified(self, *, policy_id: PolicyId, patient_verifying_key: bytes) -> Terms:
        """Return the terms, if they are those of this policy and the patient signed them.

        Args:
            policy_id: as the chain names the policy whose digest led to the block.
            patient_verifying_key: of `claimed_patient`, as the IdentityRegistry has it, 33 bytes.

        Raises:
            IntegrityError: they belong to another policy, or the signature doesn't fit.
        """
        if self._terms.policy_id != policy_id:
            raise IntegrityError(f"the terms name policy {self._terms.policy_id}, expected {policy_id}")
        umbral.verify(patient_verifying_key, labels.TERMS + self._body, self._signature)
        return self._terms


def open_terms(block: bytes, secret: SealingKey, *, own: bool = False) -> UnverifiedTerms:
    """Open sealed terms as grantee or patient.

    Args:
        block: as the store has it.
        secret: the sealing key of the grantee or of the patient.
        own: whether it is most likely the patient's: each wrong try costs as much as the right one.

    Raises:
        IntegrityError: they aren't sealed to this key, or don't decode.
    """
    if block[:1] != bytes([VERSION]):
        raise IntegrityError(f"terms of {len(block)} bytes aren't of version {VERSION}")
    plain = box.open_shared(secret, block[1:], labels.TERMS, readers=2, likely=int(own))
    signature, body = plain[:UMBRAL_SIGNATURE_SIZE], plain[UMBRAL_SIGNATURE_SIZE:]
    try:
        # Unverified by type: the patient's signer stands in the registry, which isn't asked here.
        return UnverifiedTerms(_from_fields(dagcbor.decode(body)), body, signature)
    except (KeyError, TypeError, AttributeError, ValueError, UsageError) as exc:
        raise IntegrityError("the terms lack a field or have one of the wrong type") from exc


def _to_fields(terms: Terms) -> dict[str, Any]:
    return {
        "policy": _raw(terms.policy_id),
        "patient": _raw(terms.patient),
        "grantee": _raw(terms.grantee),
        "keys": terms.key_digest,
        "receiving": terms.receiving_key,
        "verifying": terms.verifying_key,
        "purposes": [purpose.value for purpose in terms.purposes],
        "starts_at": terms.starts_at,
        "expires_at": terms.expires_at,
        "threshold": terms.threshold,
        "audit": terms.audit_key,
        "kfrags": list(terms.kfrag_digests),
        "proxies": [[_raw(proxy.address), proxy.endpoint, proxy.key_digest] for proxy in terms.proxies],
        "hospitals": [_raw(hospital) for hospital in terms.hospitals],
        "lanes": [
            [lane.scope.text, lane.generation, lane.delegating_key, lane.locator_key, lane.pepper]
            for lane in terms.lanes
        ],
    }


def _from_fields(fields: dict[str, Any]) -> Terms:
    """Return the terms that a map states.

    A patient may sign whatever they like: what has another type than it should would fail later, in somebody's list.
    """
    return Terms(
        policy_id=PolicyId(checksum_address(fields["policy"])),
        patient=checksum_address(fields["patient"]),
        grantee=checksum_address(fields["grantee"]),
        key_digest=_bytes(fields["keys"], HASH_SIZE),
        receiving_key=_bytes(fields["receiving"], PUBLIC_SIZE),
        verifying_key=_bytes(fields["verifying"], PUBLIC_SIZE),
        purposes=tuple(Purpose(purpose) for purpose in fields["purposes"]),
        starts_at=_number(fields["starts_at"]),
        expires_at=_number(fields["expires_at"]),
        threshold=_number(fields["threshold"]),
        audit_key=_bytes(fields["audit"], SEALING_SIZE),
        kfrag_digests=tuple(_bytes(digest, HASH_SIZE) for digest in fields["kfrags"]),
        proxies=tuple(
            ProxyRef(checksum_address(address), _text(endpoint), _bytes(digest, HASH_SIZE))
            for address, endpoint, digest in fields["proxies"]
        ),
        lanes=tuple(
            GrantedLane(
                Scope.parse(scope),
                _number(generation),
                _bytes(delegating, PUBLIC_SIZE),
                _bytes(locator, KEY_SIZE),
                _bytes(pepper, KEY_SIZE),
            )
            for scope, generation, delegating, locator, pepper in fields["lanes"]
        ),
        hospitals=tuple(checksum_address(hospital) for hospital in fields["hospitals"]),
    )


def _number(value: object) -> int:
    # A bool is an int to Python, and not to dag-cbor.
    if type(value) is not int or value < 0:
        raise TypeError("not a number")
    return value


def _bytes(value: object, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise TypeError(f"not {size} bytes")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _raw(address: Address | PolicyId) -> bytes:
    return bytes.fromhex(address[2:])
