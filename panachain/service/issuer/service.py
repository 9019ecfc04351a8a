"""The issuer: signs blinded tokens of patients whom the sidechain lists as active, so many in each period.

Learns that a patient wants tokens, and never which ones: what it signs is blinded. Keeps nothing but how many were
signed. Free of HTTP, which is in app.py. Follows docs/spec/relay.md, section "Tokens", and security rule 24.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from panachain.chain.issuing import TokenRequest, signer_of
from panachain.crypto.blind_rsa import IssuerKey
from panachain.errors import OutOfScopeError, RateLimitedError, SuspendedError, UsageError
from panachain.model.actors import Actor, Address, Role, Status
from panachain.service.issuer.store import IssuerStore

MAX_ASKED: Final = 64
"""Tokens of one request."""
MAX_AGE: Final = 60
"""Seconds by which a request's end may be ahead."""


@dataclass(frozen=True)
class Allowance:
    """What each patient gets."""

    tokens: int = 64
    """In each period."""
    period: int = 30 * 86_400
    """Seconds; relays take tokens of this period and of the one before."""


class People(Protocol):
    """What an issuer asks the sidechain."""

    def identity_of(self, account: Address) -> Actor | None:
        """Return one person, or None when the account isn't registered."""
        ...


class IssuerService:
    """One issuer's duties."""

    def __init__(
        self,
        key: IssuerKey,
        people: People,
        store: IssuerStore,
        *,
        domain: bytes,
        allowance: Allowance | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the key that signs tokens, and who may have some.

        Args:
            key: the issuer's.
            people: the sidechain's registry.
            store: how many each patient had.
            domain: of the requests (`chain.issuing.issuer_domain`).
            allowance: what each patient gets.
            clock: Unix seconds.
        """
        self._key = key
        self._people = people
        self._store = store
        self._domain = domain
        self._allowance = allowance or Allowance()
        self._clock = clock

    @property
    def key(self) -> bytes:
        """The public key that relays and patients hold, SubjectPublicKeyInfo."""
        return self._key.public.encoded

    def authenticate(self, request: TokenRequest) -> None:
        """Check that a request is for now, and signed by the patient whom it names; without I/O.

        Raises:
            UsageError: it is over, ends too late, is for another period, or asks for too much.
            OutOfScopeError: somebody else signed it.
        """
        now = int(self._clock())
        if not now < request.expires_at <= now + MAX_AGE:
            raise UsageError(f"the request ends at {request.expires_at}; at {now} it may end within {MAX_AGE} s")
        period = now // self._allowance.period
        if request.period != period:
            raise UsageError(f"this is period {period}, the request is for {request.period}")
        if not 1 <= len(request.blinded) <= MAX_ASKED:
            raise UsageError(f"{len(request.blinded)} tokens in one request, 1 to {MAX_ASKED} are signed")
        if signer_of(self._domain, request) != request.patient:
            raise OutOfScopeError("the request isn't signed by the patient whom it names")

    def issue(self, request: TokenRequest) -> list[bytes]:
        """Return the blind signatures of a request, in its order; the same request again gets the same ones.

        Args:
            request: authenticated already.

        Raises:
            SuspendedError: the sidechain lists no such active patient.
            RateLimitedError: the patient had all tokens of this period.
            IntegrityError: something isn't a blinded message.
        """
        person = self._people.identity_of(request.patient)
        if person is None or person.role is not Role.PATIENT or person.status is not Status.ACTIVE:
            raise SuspendedError("the sidechain lists no active patient under this account")
        allowance = self._allowance
        if not self._store.take(request, most=allowance.tokens):
            left = allowance.period - int(self._clock()) % allowance.period
            raise RateLimitedError(f"all {allowance.tokens} tokens of this period were given out", retry_after=left)
        return [self._key.sign_blinded(blinded) for blinded in request.blinded]
