"""A key store's content, version 2: a seed under a data key, and the data key under one lock or several.

Total: raises what it says and nothing else, whatever the bytes are, and derives nothing before the cost of all locks
together is known. Never keeps a lock that wasn't asked for: the seed's seal covers the list of locks, so one that was
added, changed, taken out or put back from an older file is noticed.
Follows docs/spec/formats.md, section "Key stores". Argon2id: RFC 9106; AES-256-GCM: NIST SP 800-38D; HKDF: RFC 5869;
`hmac-secret`: CTAP 2.1 section 12.5; PRF: WebAuthn level 3 section 10.1.4.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from panachain.crypto import labels
from panachain.crypto.kdf import derive, hkdf
from panachain.errors import IntegrityError, LockedError
from panachain.model.credentials import MAX_CREDENTIAL, MAX_LABEL, PASSKEY, SECURITY_KEY, Answer, Credential
from panachain.model.sizes import KEY_SIZE
from panachain.wire.json_text import read_json

SCHEMA: Final = "panachain/key-store/2"
"""What a file of this version says that it is."""
MAX_SIZE: Final = 1 << 14
"""Bytes of a key store file."""
PASSPHRASE: Final = "passphrase"  # noqa: S105 - the name of a kind.
"""Kind of a lock whose passphrase a person thought of."""
DRAWN: Final = "drawn"
"""Kind of a lock whose passphrase a program drew at random, of 80 bits or more."""
MAX_WRAPS: Final = 8
"""Locks of one key store."""
_ID_SIZE, _SALT_SIZE, _NONCE_SIZE, _TAG_SIZE = 16, 32, 12, 16
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
"""A host name, as a passkey is bound to one."""
_NUMBER_LIMIT: Final = 1 << 31
_ALONE: Final = Lock()
"""One derivation at a time in a process: each takes a quarter of a gigabyte."""


@dataclass(frozen=True)
class Cost:
    """What one derivation by Argon2id costs (RFC 9106, section 3.1)."""

    memory: int
    """KiB."""
    iterations: int
    """Passes over the memory."""
    lanes: int
    """That could be computed beside each other; one after another here."""

    @property
    def work(self) -> int:
        """KiB that are filled, over all passes: what the time goes with."""
        return self.memory * self.iterations

    def is_below(self, other: Cost) -> bool:
        """Tell whether a guess costs less than with `other`."""
        return self.memory < other.memory or self.work < other.work


USUAL: Final = Cost(memory=1 << 18, iterations=3, lanes=4)
"""What a person's passphrase is locked with: 256 MiB and about a second (security rule 10; four times the memory of
RFC 9106's second recommended option, with its passes and lanes)."""
LEAST: Final = Cost(memory=19 << 10, iterations=2, lanes=1)
"""What is opened at least, and what a secret that a program drew is locked with: 19 MiB and less than a tenth of a
second, OWASP's least (Password Storage Cheat Sheet, Argon2id). What can't be guessed needs no more (ADR 47)."""


MOST: Final = Cost(memory=1 << 20, iterations=3, lanes=16)
"""What is tried at most, all locks of a file together: four times the usual."""


class DataKey:
    """What opens one key store's seed, beside its file. Its `repr` shows nothing of it."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def reveal(self) -> bytes:
        """Return the key itself, 32 bytes, for the agent and for nothing else."""
        return self._key

    def __repr__(self) -> str:
        return "DataKey()"


@dataclass(frozen=True)
class Wrap:
    """The data key under one lock; of a kind that isn't known here, it is kept as it is."""

    kind: str
    fields: Mapping[str, str | int]
    """All of it, as the file has it."""

    @property
    def mark(self) -> str:
        """What tells it apart from every other lock: 16 digits."""
        return hashlib.sha256(_canonical(self.fields)).hexdigest()[:16]

    @property
    def cost(self) -> Cost | None:
        """What opening it costs; None if no passphrase does."""
        if self.kind not in (PASSPHRASE, DRAWN):
            return None
        memory, iterations, lanes = (self.fields[name] for name in ("memory", "iterations", "lanes"))
        return Cost(int(memory), int(iterations), int(lanes))

    def bytes_of(self, name: str) -> bytes:
        """Return one of its fields that hold bytes."""
        return bytes.fromhex(str(self.fields[name]))


@dataclass(frozen=True)
class Sealed:
    """A key store's content."""

    id: bytes
    """Drawn for this key store, and bound to each lock: 16 bytes."""
    wraps: tuple[Wrap, ...]
    nonce: bytes = b""
    seed: bytes = b""
    """Under the data key."""

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        body = {"nonce": self.nonce.hex(), "sealed": self.seed.hex()}
        return json.dumps(self._header() | {"seed": body}, indent=1).encode()

    def associated(self) -> bytes:
        """Return what the seed's seal covers beside the seed: all the rest of the file, in one spelling (RFC 8785)."""
        return _canonical(self._header())

    def _header(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "id": self.id.hex(), "wraps": [dict(wrap.fields) for wrap in self.wraps]}


def parse(fields: Mapping[str, Any]) -> Sealed:
    """Return a key store's content.

    Args:
        fields: what `read_json` made of the file.

    Raises:
        LockedError: the locks are weak, too many, or too costly; the message says which.
        ValueError, KeyError, TypeError: it is no such content.
    """
    if set(fields) != {"schema", "id", "wraps", "seed"} or fields["schema"] != SCHEMA:
        raise ValueError("other fields")
    body = fields["seed"]
    if set(body) != {"nonce", "sealed"}:
        raise ValueError("other fields of the seed")
    if not isinstance(fields["wraps"], list) or not 1 <= len(fields["wraps"]) <= MAX_WRAPS:
        raise ValueError("another number of locks")
    wraps = tuple(_wrap(one) for one in fields["wraps"])
    costs = [cost for wrap in wraps if (cost := wrap.cost) is not None]
    if any(cost.is_below(LEAST) for cost in costs):
        raise LockedError("the key store has a lock weaker than Argon2id with 19 MiB and 2 passes; it was not opened")
    # All together: a wrong passphrase is tried at each.
    if sum(cost.work for cost in costs) > MOST.work or any(
        cost.memory > MOST.memory or cost.lanes > MOST.lanes for cost in costs
    ):
        raise LockedError("the key store costs more than 4 times the usual to open; it was not opened")
    return Sealed(
        _bytes(fields["id"], _ID_SIZE),
        wraps,
        _bytes(body["nonce"], _NONCE_SIZE),
        _bytes(body["sealed"], KEY_SIZE + _TAG_SIZE),
    )


def read(content: bytes) -> dict[str, Any]:
    """Return the fields of a key store's file, of whatever version.

    Raises:
        ValueError: it is no JSON object, or not of a few values.
    """
    try:
        fields = read_json(content, depth=4, values=256)
    except IntegrityError:
        raise ValueError("too many values") from None
    if not isinstance(fields, dict):
        raise ValueError("no object")
    return fields


def seal(seed: bytes, passphrase: str, *, kind: str) -> tuple[Sealed, DataKey]:
    """Return a new key store's content, with one lock, and its data key.

    Raises:
        LockedError: this machine lacks the memory.
    """
    data_key, made = DataKey(os.urandom(KEY_SIZE)), Sealed(os.urandom(_ID_SIZE), ())
    return seal_again(replace(made, wraps=(lock(made, data_key, passphrase, kind=kind),)), data_key, seed), data_key


def seal_again(store: Sealed, data_key: DataKey, seed: bytes) -> Sealed:
    """Return the content with its seed sealed for the locks that it has now."""
    nonce = os.urandom(_NONCE_SIZE)
    return replace(store, nonce=nonce, seed=_cipher(data_key).encrypt(nonce, seed, store.associated()))


def lock(store: Sealed, data_key: DataKey, passphrase: str, *, kind: str) -> Wrap:
    """Return a new lock of a key store's data key, which isn't in it yet.

    Raises:
        LockedError: this machine lacks the memory.
    """
    cost = USUAL if kind == PASSPHRASE else LEAST
    salt, nonce = os.urandom(_SALT_SIZE), os.urandom(_NONCE_SIZE)
    key = _derive(passphrase, salt, cost)
    fields: dict[str, str | int] = {
        "kind": kind,
        "kdf": "argon2id",
        "memory": cost.memory,
        "iterations": cost.iterations,
        "lanes": cost.lanes,
        "salt": salt.hex(),
        "commitment": derive(key, labels.KEY_STORE_COMMITMENT).hex(),
        "nonce": nonce.hex(),
    }
    cipher = AESGCM(derive(key, labels.KEY_STORE_WRAP))
    sealed = cipher.encrypt(nonce, data_key.reveal(), _associated(store, fields))
    return Wrap(kind, fields | {"sealed": sealed.hex()})


def lock_by(store: Sealed, data_key: DataKey, credential: Credential, answer: Answer) -> Wrap:
    """Return a new lock of a key store's data key that an authenticator opens, and which isn't in it yet.

    Args:
        store: the key store.
        data_key: its own.
        credential: what the authenticator is asked.
        answer: what it answered.

    Raises:
        ValueError: a value has a size or a form that no file has.
    """
    nonce, file_key = os.urandom(_NONCE_SIZE), os.urandom(KEY_SIZE)
    fields: dict[str, str | int] = {
        "kind": credential.kind,
        "label": credential.label.encode().hex(),
        "credential": credential.id.hex(),
        "salt": credential.salt.hex(),
        "file-key": file_key.hex(),
        "verified": int(credential.verified),
        "host": credential.host,
        "nonce": nonce.hex(),
    }
    key = _key_of(answer, file_key)
    fields["commitment"] = derive(key, labels.KEY_STORE_COMMITMENT).hex()
    cipher = AESGCM(derive(key, labels.KEY_STORE_WRAP))
    sealed = cipher.encrypt(nonce, data_key.reveal(), _associated(store, fields))
    return _wrap(fields | {"sealed": sealed.hex()})


def credential_of(wrap: Wrap) -> Credential | None:
    """Return what opens a lock if an authenticator does; None for every other kind."""
    if wrap.kind not in _ASKED:
        return None
    return Credential(
        wrap.kind,
        wrap.bytes_of("credential"),
        wrap.bytes_of("salt"),
        bool(wrap.fields["verified"]),
        str(wrap.fields["host"]),
        wrap.bytes_of("label").decode(),
        wrap.mark,
    )


def unlock_by(store: Sealed, answer: Answer) -> tuple[DataKey, Wrap]:
    """Return the data key, and the lock that an authenticator's answer opened.

    Raises:
        ValueError: no lock of its kind opens.
    """
    for wrap in store.wraps:
        if wrap.kind != answer.kind or wrap.bytes_of("credential") != answer.credential:
            continue
        key = _key_of(answer, wrap.bytes_of("file-key"))
        if hmac.compare_digest(derive(key, labels.KEY_STORE_COMMITMENT), wrap.bytes_of("commitment")):
            return _opened(store, wrap, key), wrap
    raise ValueError("no lock opens")


def _key_of(answer: Answer, file_key: bytes) -> bytes:
    if len(answer.secret) != KEY_SIZE:
        raise ValueError("no answer of an authenticator's")
    # It is in the file and is shown to no browser: whoever had the answer alone has nothing.
    return hkdf(answer.secret, salt=file_key, info=_ASKED[answer.kind], size=KEY_SIZE)


def unlock(store: Sealed, passphrase: str) -> tuple[DataKey, Wrap]:
    """Return the data key, and the lock that the passphrase opened.

    Raises:
        LockedError: this machine lacks the memory.
        ValueError: no lock opens.
    """
    for wrap in store.wraps:
        cost = wrap.cost
        if cost is None:
            continue
        key = _derive(passphrase, wrap.bytes_of("salt"), cost)
        # What tells a wrong passphrase. A seal alone could be made to open under several (Len, Grubbs and Ristenpart,
        # "Partitioning Oracle Attacks", 2021).
        if not hmac.compare_digest(derive(key, labels.KEY_STORE_COMMITMENT), wrap.bytes_of("commitment")):
            continue
        return _opened(store, wrap, key), wrap
    raise ValueError("no lock opens")


def _opened(store: Sealed, wrap: Wrap, key: bytes) -> DataKey:
    fields = {name: value for name, value in wrap.fields.items() if name != "sealed"}
    cipher = AESGCM(derive(key, labels.KEY_STORE_WRAP))
    try:
        return DataKey(cipher.decrypt(wrap.bytes_of("nonce"), wrap.bytes_of("sealed"), _associated(store, fields)))
    except InvalidTag:
        raise ValueError("the lock is damaged") from None


def open_seed(store: Sealed, data_key: DataKey) -> bytes:
    """Return the seed, 32 bytes.

    Raises:
        ValueError: it is another key store's data key, or the file isn't as it was written.
    """
    try:
        return _cipher(data_key).decrypt(store.nonce, store.seed, store.associated())
    except InvalidTag:
        raise ValueError("another data key, or the file was changed") from None


def _cipher(data_key: DataKey) -> AESGCM:
    return AESGCM(derive(data_key.reveal(), labels.KEY_STORE_SEED))


def _wrap(fields: Any) -> Wrap:
    kind = fields["kind"]
    if not isinstance(kind, str) or not _NAME.fullmatch(kind):
        raise ValueError("no kind of lock")
    if kind in _ASKED:
        return _asked(kind, fields)
    if kind not in (PASSPHRASE, DRAWN):
        # Flat, and of values with one spelling: all that has to be known of it to keep it.
        if not all(_NAME.fullmatch(name) and _is_plain(value) for name, value in fields.items()):
            raise ValueError("values of another kind")
        return Wrap(kind, fields)
    if set(fields) != {"kind", "kdf", *_NUMBERS, "salt", *_SIZES} or fields["kdf"] != "argon2id":
        raise ValueError("other fields of a lock")
    for name, size in (_SIZES | {"salt": _SALT_SIZE}).items():
        _bytes(fields[name], size)
    for name in _NUMBERS:
        # A bool is an int in Python, and no number in JSON.
        if type(fields[name]) is not int or not 1 <= fields[name] < _NUMBER_LIMIT:
            raise ValueError("a cost that is no number")
    if fields["memory"] < 8 * fields["lanes"]:
        raise ValueError("less memory than lanes need")
    return Wrap(kind, fields)


def _asked(kind: str, fields: Mapping[str, Any]) -> Wrap:
    if set(fields) != {"kind", "label", "credential", "salt", "file-key", "verified", "host", *_SIZES}:
        raise ValueError("other fields of a lock")
    for name, size in (_SIZES | {"salt": _SALT_SIZE, "file-key": KEY_SIZE}).items():
        _bytes(fields[name], size)
    for name, least, most in (("credential", 1, MAX_CREDENTIAL), ("label", 0, MAX_LABEL)):
        if not isinstance(fields[name], str) or not least <= len(fields[name]) // 2 <= most:
            raise ValueError("bytes of another size")
        found = _bytes(fields[name], len(fields[name]) // 2)
        if name == "label" and not found.decode().isprintable():
            raise ValueError("a label that can't be shown")
    if type(fields["verified"]) is not int or fields["verified"] not in (0, 1):
        raise ValueError("a checking that is neither yes nor no")
    host = fields["host"]
    if not isinstance(host, str) or bool(_HOST.fullmatch(host)) != (kind == PASSKEY) or (host and kind != PASSKEY):
        raise ValueError("a name that doesn't fit")
    return Wrap(kind, fields)


_ASKED: Final[Mapping[str, bytes]] = {
    SECURITY_KEY: labels.KEY_STORE_SECURITY_KEY,
    PASSKEY: labels.KEY_STORE_PASSKEY,
}
"""Kinds that an authenticator opens, and under which label."""
_NUMBERS: Final = ("memory", "iterations", "lanes")
_SIZES: Final[dict[str, int]] = {
    "commitment": KEY_SIZE,
    "nonce": _NONCE_SIZE,
    "sealed": KEY_SIZE + _TAG_SIZE,
}


def _is_plain(value: object) -> bool:
    return (
        0 <= value < _NUMBER_LIMIT
        if type(value) is int
        else isinstance(value, str) and value.isascii() and value.isprintable()
    )


def _bytes(text: Any, size: int) -> bytes:
    # `fromhex` takes blanks and capitals, too.
    if not isinstance(text, str) or len(text) != 2 * size or not re.fullmatch(r"[0-9a-f]*", text):
        raise ValueError("no bytes of this size")
    return bytes.fromhex(text)


def _associated(store: Sealed, fields: Mapping[str, str | int]) -> bytes:
    return _canonical({"schema": SCHEMA, "id": store.id.hex(), "wrap": dict(fields)})


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _derive(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    # One spelling of each letter (RFC 8265, section 4.2): keyboards differ in how they write `ü`.
    text = unicodedata.normalize("NFC", passphrase).encode()
    function = Argon2id(
        salt=salt, length=KEY_SIZE, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory
    )
    try:
        with _ALONE:
            return function.derive(text)
    except MemoryError:
        raise LockedError(
            f"this machine hasn't the {cost.memory >> 10} MiB of memory that unlocking takes; nothing was opened",
            hint="end other programs, or raise this one's limit of memory",
        ) from None
