"""A software authenticator that speaks CTAP 2.1, for tests: it is plugged in where a key on USB would be.

Its cryptography is written from the specification (FIDO CTAP 2.1, sections 6.1, 6.2, 6.5 and 12.5) and shares nothing
with the client that asks it: an answer that fits shows that both read the specification alike. A test can leave out
what a key has, take it out, keep it from being touched, or change its answers on the way.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fido2 import cbor
from fido2.ctap import CtapDevice

MAKE, GET, INFO, PIN = 0x01, 0x02, 0x04, 0x06
_PIN_TRIES = 8


class RefusedError(Exception):
    """A status of CTAP 2.1, section 8.2."""

    def __init__(self, status: int) -> None:
        super().__init__(hex(status))
        self.status = status


@dataclass
class _Credential:
    rp: str
    key: ec.EllipticCurvePrivateKey
    with_check: bytes = field(default_factory=lambda: os.urandom(32))
    without: bytes = field(default_factory=lambda: os.urandom(32))


class SoftKey(CtapDevice):
    """One key."""

    def __init__(
        self, pin: str = "", *, finger: bool = False, protocols: tuple[int, ...] = (2, 1), hmac_secret: bool = True
    ) -> None:
        """Make it.

        Args:
            pin: it has; empty for none.
            finger: whether it knows a finger, and checks it.
            protocols: of PIN and fingerprint, the best first.
            hmac_secret: whether it can compute over a salt.
        """
        self._pin = pin
        self.finger = finger
        self.protocols = protocols
        self.hmac_secret = hmac_secret
        self.always_checks = False
        self.tries = _PIN_TRIES
        self.wrong_since_plugged_in = 0
        self.is_touched = True
        """Whether somebody touches it when it asks."""
        self.is_plugged_in = True
        self.mangle: Callable[[int, bytes], bytes] = lambda _, answer: answer
        """Changes an answer on its way: of which command it is, and its bytes with the status."""
        self.asked: list[tuple[int, Any]] = []
        """Each request: its command and what was in it."""
        self._known: dict[bytes, _Credential] = {}
        self._agreement = ec.generate_private_key(ec.SECP256R1())
        self._token, self._may, self._for = b"", 0, ""

    # The device

    @property
    def capabilities(self) -> int:
        return 0x04

    @classmethod
    def list_devices(cls) -> Iterator[CtapDevice]:
        return iter(())

    def plug_in(self) -> None:
        """Take it out and plug it in: its tokens and its count of wrong PINs in a row are new."""
        self.is_plugged_in, self.wrong_since_plugged_in, self._token = True, 0, b""

    def call(self, cmd: int, data: bytes = b"", event: Any = None, on_keepalive: Any = None) -> bytes:
        if not self.is_plugged_in:
            raise OSError(errno.ENODEV, "No such device")
        command, asked = data[0], cbor.decode(data[1:]) if data[1:] else {}
        self.asked.append((command, asked))
        try:
            said = {MAKE: self._make, GET: self._get, INFO: self._info, PIN: self._client_pin}[command](asked)
            answer = b"\x00" + (cbor.encode(said) if said else b"")
        except RefusedError as exc:
            answer = bytes([exc.status])
        except KeyError:
            answer = b"\x01"
        return self.mangle(command, answer)

    def touched(self) -> None:
        if not self.is_touched:
            raise RefusedError(0x2F)

    # Its commands

    def _info(self, _: Any) -> dict[int, Any]:
        options = {"rk": False, "up": True, "pinUvAuthToken": True, "clientPin": bool(self._pin)}
        if self.finger:
            options["uv"] = True
        if self.always_checks:
            options["alwaysUv"] = True
        return {
            1: ["FIDO_2_1"],
            2: ["hmac-secret"] if self.hmac_secret else ["credProtect"],
            3: bytes(16),
            4: options,
            5: 1200,
            6: list(self.protocols),
        }

    def _make(self, asked: dict[int, Any]) -> dict[int, Any]:
        checked = self._checked(asked.get(8), asked.get(9), asked[1], 0x01, asked[2]["id"])
        if (self._pin or self.finger) and not checked:
            raise RefusedError(0x36)
        self.touched()
        if any(self._of(one["id"], asked[2]["id"]) for one in asked.get(5, [])):
            raise RefusedError(0x19)
        assert {"type": "public-key", "alg": -7} in asked[4]
        made = _Credential(asked[2]["id"], ec.generate_private_key(ec.SECP256R1()))
        name = os.urandom(48)
        self._known[name] = made
        attested = bytes(16) + len(name).to_bytes(2, "big") + name + cbor.encode(_cose(made.key.public_key(), -7))
        extensions = {"hmac-secret": True} if (asked.get(6) or {}).get("hmac-secret") and self.hmac_secret else None
        data = self._data(made.rp, 0x01 | 0x40 | (0x04 if checked else 0), attested, extensions)
        self._token = b""
        signature = made.key.sign(data + asked[1], ec.ECDSA(SHA256()))
        return {1: "packed", 2: data, 3: {"alg": -7, "sig": signature}}

    def _get(self, asked: dict[int, Any]) -> dict[int, Any]:
        up = asked.get(5, {}).get("up", True)
        checked = self._checked(asked.get(6), asked.get(7), asked[2], 0x02, asked[1])
        if self.always_checks and up and not checked:
            raise RefusedError(0x36)
        found = next((one["id"] for one in asked.get(3, []) if self._of(one["id"], asked[1])), None)
        if found is None:
            raise RefusedError(0x2E)
        credential, extensions = self._known[found], None
        if up:
            self.touched()
            self._token = b""
        if "hmac-secret" in asked.get(4, {}):
            given = asked[4]["hmac-secret"]
            way = _Way(given.get(4, 1), self._agreement, given[1])
            if not hmac.compare_digest(way.mac(given[2]), given[3]):
                raise RefusedError(0x33)
            salt = way.decrypt(given[2])
            if not up or len(salt) not in (32, 64):
                raise RefusedError(0x02)
            secret = credential.with_check if checked else credential.without
            computed = b"".join(hmac.digest(secret, salt[at : at + 32], "sha256") for at in range(0, len(salt), 32))
            extensions = {"hmac-secret": way.encrypt(computed)}
        data = self._data(asked[1], (0x01 if up else 0) | (0x04 if checked else 0), b"", extensions)
        signature = credential.key.sign(data + asked[2], ec.ECDSA(SHA256()))
        return {1: {"type": "public-key", "id": found}, 2: data, 3: signature}

    def _client_pin(self, asked: dict[int, Any]) -> dict[int, Any]:
        which = asked[2]
        if which == 0x01:
            return {3: self.tries}
        if which == 0x02:
            return {1: _cose(self._agreement.public_key(), -25)}
        if which == 0x06:
            if not self.finger:
                raise RefusedError(0x3F)
            self.touched()
        elif which in (0x05, 0x09):
            self._check_pin(asked)
        else:
            raise RefusedError(0x3E)
        way = _Way(asked[1], self._agreement, asked[3])
        self._token, self._may, self._for = os.urandom(32), asked.get(9, 0x03), asked.get(10, "")
        return {2: way.encrypt(self._token)}

    def _check_pin(self, asked: dict[int, Any]) -> None:
        if not self._pin:
            raise RefusedError(0x35)
        if not self.tries:
            raise RefusedError(0x32)
        if self.wrong_since_plugged_in >= 3:
            raise RefusedError(0x34)
        way = _Way(asked[1], self._agreement, asked[3])
        self.tries -= 1
        if way.decrypt(asked[6]) != hashlib.sha256(self._pin.encode()).digest()[:16]:
            self.wrong_since_plugged_in += 1
            # A new key, so that nobody asks many times with one.
            self._agreement = ec.generate_private_key(ec.SECP256R1())
            raise RefusedError(0x32 if not self.tries else 0x34 if self.wrong_since_plugged_in >= 3 else 0x31)
        self.tries, self.wrong_since_plugged_in = _PIN_TRIES, 0

    # Parts

    def _of(self, name: bytes, rp: str) -> bool:
        return name in self._known and self._known[name].rp == rp

    def _checked(self, proof: bytes | None, version: int | None, digest: bytes, needs: int, rp: str) -> bool:
        if proof is None:
            return False
        mac = hmac.digest(self._token, digest, "sha256")[: 16 if version == 1 else 32]
        if not self._token or not hmac.compare_digest(mac, proof) or not self._may & needs or self._for not in ("", rp):
            raise RefusedError(0x33)
        return True

    def _data(self, rp: str, flags: int, attested: bytes, extensions: Any) -> bytes:
        more = b"" if extensions is None else cbor.encode(extensions)
        flags |= 0x80 if more else 0
        return hashlib.sha256(rp.encode()).digest() + bytes([flags]) + bytes(4) + attested + more


class _Way:
    """A PIN/UV auth protocol (sections 6.5.6 and 6.5.7), as the authenticator has it."""

    def __init__(self, version: int, own: ec.EllipticCurvePrivateKey, theirs: dict[int, Any]) -> None:
        self._version = version
        numbers = ec.EllipticCurvePublicNumbers(
            int.from_bytes(theirs[-2], "big"), int.from_bytes(theirs[-3], "big"), ec.SECP256R1()
        )
        z = own.exchange(ec.ECDH(), numbers.public_key())
        if version == 1:
            self._mac = self._aes = hashlib.sha256(z).digest()
        else:
            self._mac, self._aes = (HKDF(SHA256(), 32, bytes(32), info).derive(z) for info in _INFO)

    def mac(self, message: bytes) -> bytes:
        return hmac.digest(self._mac, message, "sha256")[: 16 if self._version == 1 else 32]

    def encrypt(self, text: bytes) -> bytes:
        vector = bytes(16) if self._version == 1 else os.urandom(16)
        done = Cipher(algorithms.AES(self._aes), modes.CBC(vector)).encryptor().update(text)
        return done if self._version == 1 else vector + done

    def decrypt(self, sealed: bytes) -> bytes:
        vector, sealed = (bytes(16), sealed) if self._version == 1 else (sealed[:16], sealed[16:])
        return Cipher(algorithms.AES(self._aes), modes.CBC(vector)).decryptor().update(sealed)


_INFO = (b"CTAP2 HMAC key", b"CTAP2 AES key")


def _cose(key: ec.EllipticCurvePublicKey, algorithm: int) -> dict[int, Any]:
    numbers = key.public_numbers()
    return {1: 2, 3: algorithm, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}


class Person:
    """Whoever is asked: touches nothing by themselves, and types these PINs."""

    def __init__(self, *pins: str) -> None:
        self.told: list[str] = []
        self.left: list[int | None] = []
        self._pins = list(pins)

    def tell(self, what: str) -> None:
        self.told.append(what)

    def pin(self, left: int | None) -> str:
        self.left.append(left)
        return self._pins.pop(0) if self._pins else ""
