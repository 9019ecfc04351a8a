"""How a node shows that it may use a chain's RPC: single-use signed tokens, or a header from a file.

A token names the gate, the node, when it ends, a nonce, and the SHA-256 of the body; the node's account signs it.
Never logs a key or a token. Follows docs/spec/gate.md, section "Tokens", EIP-712 and RFC 4648 section 5 (base64url).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from panachain.chain.rpc import Authorise
from panachain.chain.signing import recover_digest
from panachain.errors import LockedError
from panachain.ethereum import address_of_point, checksum_address, keccak
from panachain.model.actors import Address
from panachain.model.sizes import ADDRESS_SIZE, HASH_SIZE, KEY_SIZE, NONCE_SIZE, SIGNATURE_SIZE

SCHEME: Final = "PanaChain"
"""Authentication scheme in the header `Authorization` (RFC 9110, section 11)."""
MAX_LIFE: Final = 60
"""Seconds that a token may still count."""
LIFE: Final = 30
"""Seconds that we give a token: half, so that clocks may differ by as much."""
_VERSION: Final = 1
_SIZE: Final = 1 + ADDRESS_SIZE + 8 + NONCE_SIZE + HASH_SIZE + SIGNATURE_SIZE
"""Bytes: version, node, end, nonce, digest of the body, signature."""
_DOMAIN_TYPE: Final = keccak("EIP712Domain(string name,string version,uint256 chainId)")
_TOKEN_TYPE: Final = keccak("Token(string gate,address node,uint64 expiresAt,bytes16 nonce,bytes32 body)")
_MAX_SECRET: Final = 16_384
"""Bytes of a key file or a header file."""
_ANOTHER: Final = "put the right file there, or name another one; `panachain gate key FILE` makes a key for a gate"


@dataclass(frozen=True)
class Token:
    """What one request shows to a gate."""

    node: Address
    expires_at: int
    """Unix seconds, exclusive."""
    nonce: bytes
    """16 bytes."""
    body: bytes
    """SHA-256 of the request's body."""
    signature: bytes
    """65 bytes r ‖ s ‖ v."""

    def encode(self) -> str:
        """Return the token as it stands in the header, without the scheme."""
        fields = (
            bytes([_VERSION]),
            bytes.fromhex(self.node[2:]),
            self.expires_at.to_bytes(8, "big"),
            self.nonce,
            self.body,
            self.signature,
        )
        return base64.urlsafe_b64encode(b"".join(fields)).rstrip(b"=").decode()


def decode_token(text: str) -> Token | None:
    """Return the token that a header holds, or None when it holds none."""
    try:
        raw = base64.b64decode(text.encode("ascii") + b"==", altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    if len(raw) != _SIZE or raw[0] != _VERSION:
        return None
    return Token(
        node=checksum_address(raw[1:21]),
        expires_at=int.from_bytes(raw[21:29], "big"),
        nonce=raw[29:45],
        body=raw[45:77],
        signature=raw[77:],
    )


class GateDomain:
    """One gate of one chain: a token for it counts nowhere else."""

    def __init__(self, url: str, chain_id: int) -> None:
        """Take the URL under which nodes reach the gate, and the chain's ID."""
        self._gate = keccak(normal_url(url))
        fields = (_DOMAIN_TYPE, keccak("PanaChain Gate"), keccak("1"), chain_id.to_bytes(32, "big"))
        self._separator = keccak(b"".join(fields))

    def digest(self, node: Address, expires_at: int, nonce: bytes, body: bytes) -> bytes:
        """Return the EIP-712 digest that a node signs, 32 bytes."""
        struct = (
            _TOKEN_TYPE,
            self._gate,
            bytes.fromhex(node[2:]).rjust(32, b"\0"),
            expires_at.to_bytes(32, "big"),
            # bytes16 stands at the left of its word, numbers and addresses at the right.
            nonce.ljust(32, b"\0"),
            body,
        )
        return keccak(b"\x19\x01" + self._separator + keccak(b"".join(struct)))

    def signer(self, token: Token) -> Address | None:
        """Return who signed a token, or None when the signature is none."""
        return recover_digest(self.digest(token.node, token.expires_at, token.nonce, token.body), token.signature)


class NodeKey:
    """A node's account. Its `repr` shows the address only."""

    def __init__(self, key: bytes) -> None:
        """Take the secret key, 32 bytes."""
        # Imported here: who only asks a chain doesn't pay for it.
        from panachain.secp256k1 import Scalar

        self._key = Scalar(key)
        self.address = address_of_point(self._key.public().uncompressed)

    def __repr__(self) -> str:
        return f"NodeKey({self.address})"

    def token(self, domain: GateDomain, body: bytes, *, now: float) -> Token:
        """Return a token for one request.

        Args:
            domain: the gate.
            body: of the request.
            now: Unix seconds.
        """
        expires_at, nonce, digest = int(now) + LIFE, os.urandom(NONCE_SIZE), hashlib.sha256(body).digest()
        signature = self._key.sign_recoverable(domain.digest(self.address, expires_at, nonce, digest))
        # 27 is added to the parity as Ethereum's signatures have it, so that wallets and contracts can check a token
        # too.
        return Token(self.address, expires_at, nonce, digest, signature[:64] + bytes([signature[64] + 27]))

    def authoriser(self, url: str, chain_id: int, *, clock: Callable[[], float] = time.time) -> Authorise:
        """Return what makes the header of each request to one gate."""
        domain = GateDomain(url, chain_id)
        return lambda body: {"Authorization": f"{SCHEME} {self.token(domain, body, now=clock()).encode()}"}


def normal_url(url: str) -> str:
    """Return a URL as it is signed: scheme, host and port in lower case, no slash at the end."""
    parts = urlsplit(url)
    # One form, because gate and node write the URL down each by themselves, and both sign it.
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def read_key(path: Path) -> bytes:
    """Return the secret key in a file of 64 hex digits, 32 bytes.

    Raises:
        LockedError: there is none, others may read it, or it holds no key.
    """
    text = _read_secret(path)
    try:
        key = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != KEY_SIZE or not any(key):
        # Without a cause: nothing of the file may reach a traceback.
        raise LockedError(f"{path} holds no secret key of 64 hex digits", hint=_ANOTHER) from None
    return key


def _read_secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise LockedError(
                    f"{path} has permissions {mode:o}, at most 600 are accepted", hint=f"chmod 600 '{path}'"
                )
            return file.read(_MAX_SECRET).decode("ascii").strip()
    except OSError as exc:
        raise LockedError(f"{path} can't be read: {exc.strerror}", hint=_ANOTHER) from exc
    except UnicodeDecodeError:
        raise LockedError(f"{path} isn't ASCII text", hint=_ANOTHER) from None


def read_header(path: Path) -> dict[str, str]:
    """Return the header that a file holds as one line `Name: value`.

    Raises:
        LockedError: there is none, others may read it, or it holds no header.
    """
    name, colon, value = _read_secret(path).partition(":")
    if not colon or not name.strip() or "\n" in value or "\r" in value:
        raise LockedError(f"{path} holds no header of the form `Name: value`")
    return {name.strip(): value.strip()}
