"""A patient's tokens for relays: fetched many at once, sealed in the profile, each shown for one policy only.

The issuer learns that a patient fetched tokens, and can't know them again; a relay learns that some patient grants, and
not which. A token that was shown is never shown for another policy: it would tell a relay that both are one patient's.
Follows docs/spec/relay.md, section "Tokens", and ADR 19.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from panachain.chain.issuing import TokenRequest, sign_token_request
from panachain.chain.signing import Account
from panachain.crypto import kdf, labels, padding, stream
from panachain.crypto.blind_rsa import TokenKey
from panachain.crypto.keys import Seed
from panachain.crypto.tokens import Ask, ask, challenge
from panachain.errors import (
    ConfigurationError,
    DiskError,
    IntegrityError,
    PanaChainError,
    RateLimitedError,
    UnavailableError,
)
from panachain.ipld import dagcbor
from panachain.model.actors import PolicyId
from panachain.private_files import open_private, write_private
from panachain.trust import Trust
from panachain.wire.client import Client, WireError, said
from panachain.wire.json_text import read_json
from panachain.wire.transport import Bounds

BATCH: Final = 16
"""Tokens that are fetched at once: a fetch for each grant would tell the issuer when one is made."""
_BOUND: Final = 256
"""Policies whose tokens are remembered: those of grants that may still be sent again."""
_VALID: Final = 45
"""Seconds for which a request counts."""
_ANSWER: Final = Bounds(limit=131_072, total=20.0)
_SCHEMA: Final = "panachain/tokens/1"
_LOCK: Final = threading.Lock()


@dataclass(frozen=True)
class TokenIssuer:
    """Who gives tokens, as the network file says."""

    name: str
    url: str
    key: TokenKey
    """Pinned by the network file: an issuer with a key for each patient could know each token again."""
    period: int
    """Seconds."""

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """Return what the section `tokens` of a network file says.

        Raises:
            ConfigurationError: a field is missing or of the wrong kind.
        """
        try:
            key = TokenKey.parse(bytes.fromhex(fields["key"]))
            found = cls(str(fields["issuer"]), str(fields["url"]).rstrip("/"), key, int(fields["periodSeconds"]))
        except (KeyError, TypeError, ValueError, IntegrityError) as exc:
            raise ConfigurationError("the section `tokens` of the network file can't be read") from exc
        if found.period < 1:
            raise ConfigurationError("the section `tokens` of the network file has a period of no time")
        return found


class Wallet:
    """The tokens of one profile."""

    def __init__(
        self,
        folder: Path,
        seed: Seed,
        issuer: TokenIssuer,
        *,
        domain: bytes,
        clock: Callable[[], float],
        client: Client | None = None,
    ) -> None:
        """Take the patient's profile and the issuer.

        Args:
            folder: of the profile.
            seed: the patient's; tokens are sealed under a key of it, and it signs for them.
            issuer: who gives tokens.
            domain: of requests for tokens (`chain.issuing.issuer_domain`).
            clock: Unix seconds.
            client: asks the issuer; None makes one.
        """
        self._path = folder / "tokens.sealed"
        self._lock = folder / "tokens.lock"
        self._seed = seed
        self._key = kdf.derive(seed.store_key(), labels.WALLET)
        self._issuer = issuer
        self._domain = domain
        self._clock = clock
        self._client = client or Client(trust=Trust(None))

    def token(self, relay: str, policy_id: PolicyId) -> bytes:
        """Return the token with which a relay is paid for one policy: the same one whenever it is asked again.

        Args:
            relay: its URL, as the network file has it.
            policy_id: what is granted.

        Raises:
            UnavailableError: the issuer gives none.
            IntegrityError: the issuer lies, or the file isn't this patient's.
            DiskError: the profile can't be written; no token leaves then.
        """
        origin = relay.rstrip("/")
        name = f"{policy_id} {origin}"
        with self._exclusive():
            kept, bound = self._read()
            if name not in bound:
                period = int(self._clock()) // self._issuer.period
                # Those of the period before still count, and are used first.
                good = [one for one in kept.get(origin, []) if one[0] >= period - 1]
                if not good:
                    good = [[period, token] for token in self._fetch(origin, period)]
                bound[name] = good.pop(0)[1]
                kept[origin] = good
                # On disk before it is shown: a program that ends now shows it for no other policy.
                self._write(kept, dict(list(bound.items())[-_BOUND:]))
            return bound[name]

    def _fetch(self, origin: str, period: int) -> list[bytes]:
        asked = challenge(self._issuer.name, origin, period)
        asks = [ask(self._issuer.key, asked) for _ in range(BATCH)]
        account = Account(self._seed.account_key())
        unsigned = TokenRequest(
            account.address, period, tuple(one.blinded for one in asks), int(self._clock()) + _VALID
        )
        return self._issued(asks, sign_token_request(account, self._domain, unsigned))

    def _issued(self, asks: list[Ask], request: TokenRequest) -> list[bytes]:
        fields = {
            "schema": _SCHEMA,
            "patient": request.patient,
            "period": request.period,
            "blinded": [blinded.hex() for blinded in request.blinded],
            "expires_at": request.expires_at,
            "signature": request.signature.hex(),
        }
        where = f"the issuer {self._issuer.url}"
        try:
            answer = self._client.post(
                f"{self._issuer.url}/v1/tokens",
                json.dumps(fields, separators=(",", ":")).encode(),
                bounds=_ANSWER,
                timeout=_ANSWER.total,
                headers={"Content-Type": "application/json"},
            )
        except WireError as exc:
            raise UnavailableError(f"{where} gives no tokens: {said(exc)}") from exc
        try:
            found = read_json(answer.content)
            if answer.status != 200:
                raise self._refusal(answer.status, found)
            signatures = [bytes.fromhex(one) for one in found["signatures"]]
            return [one.token(signature) for one, signature in zip(asks, signatures, strict=True)]
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise IntegrityError(f"{where} answers no tokens") from exc

    def _refusal(self, status: int, found: Any) -> PanaChainError:
        detail = str(found.get("detail", ""))[:200] or f"status {status}"
        if status == 429:
            return RateLimitedError(f"the issuer gives no more tokens: {detail}", retry_after=self._issuer.period)
        return UnavailableError(f"the issuer gives no tokens: {detail}")

    # On disk

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Wait for this patient's other programs and threads: one token is for one policy."""
        try:
            with _LOCK, open(open_private(self._lock, os.O_WRONLY), "wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as exc:
            raise DiskError(f"the profile's tokens can't be locked: {exc.strerror}") from exc

    def _read(self) -> tuple[dict[str, list[Any]], dict[str, bytes]]:
        if not self._path.exists():
            return {}, {}
        plain = padding.unpad(stream.open_(self._path.read_bytes(), self._key, labels.WALLET))
        try:
            content: Any = dagcbor.decode(plain)
            return dict(content["kept"]), dict(content["bound"])
        except (ValueError, KeyError, TypeError) as exc:
            raise IntegrityError(f"{self._path} holds no tokens") from exc

    def _write(self, kept: Mapping[str, Any], bound: Mapping[str, bytes]) -> None:
        # Pairs, since DAG-CBOR sorts a map: those that were bound first are forgotten first.
        plain = dagcbor.encode({"kept": dict(kept), "bound": [[name, token] for name, token in bound.items()]})
        sealed = stream.seal(padding.pad(plain), self._key, labels.WALLET)
        write_private(self._path, sealed)
