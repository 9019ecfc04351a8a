"""Security keys: authenticators with `hmac-secret`, asked over USB by this process and not by a browser.

Whatever a key answers is checked and bounded, and every wait ends. Never keeps a PIN longer than the question it is
for, and never sees a fingerprint: that unlocks the authenticator, and never leaves it. What a key answers opens a lock
of a key store (crypto/wraps.py), and nothing else.
Follows CTAP 2.1, sections 6.1, 6.2, 6.5 and 12.5, and ADR 57. The one place that imports python-fido2.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from panachain.errors import SecurityKeyError, SecurityKeyMissingError, UsageError, alone
from panachain.model.credentials import MAX_CREDENTIAL, SECURITY_KEY, Answer, Credential
from panachain.model.sizes import KEY_SIZE
from panachain.passphrase import Hidden

if TYPE_CHECKING:
    from fido2.ctap import CtapDevice

Result = TypeVar("Result")

RP_ID: Final = "key-store.panachain.invalid"
"""For whom credentials are made. No page can ask for them: nobody has a name below `invalid` (RFC 6761 section 6.4)."""
_EXTENSION: Final = "hmac-secret"
_TOUCH: Final = 40.0
"""Seconds for a touch: keys end their own wait after some 30."""
_ANSWER: Final = 5.0
"""Seconds for what needs no touch."""
_TRIES: Final = 3
"""PINs that are asked for in a row: after three wrong ones a key wants to be plugged in anew (section 6.5.2.2)."""
_MOST_PIN: Final = 63
"""Bytes of a PIN in UTF-8 (section 6.5.1)."""
_LOG: Final = logging.getLogger(__name__)


class Asking(Protocol):
    """How a person is asked."""

    def tell(self, what: str) -> None:
        """Tell them what to do now, such as to touch their key."""
        ...

    def pin(self, left: int | None) -> str:
        """Return the key's PIN, of which `left` wrong ones are left; empty gives up."""
        ...


class Terminal:
    """Asks on the terminal: talk on standard error, a PIN without an echo."""

    def tell(self, what: str) -> None:
        """Say it."""
        import click

        click.echo(what, err=True)

    def pin(self, left: int | None) -> str:
        """Return what is typed; nothing where there is no terminal."""
        import click

        if not sys.stdin.isatty():
            return ""
        told = "" if left is None or left > _TRIES else f" ({left} tries left)"
        typed: str = click.prompt(
            f"PIN of the security key{told}", hide_input=True, default="", show_default=False, err=True
        )
        return typed


def is_installed() -> bool:
    """Tell whether the package that talks to keys is there."""
    from importlib.util import find_spec

    return find_spec("fido2") is not None


def usb_devices() -> list[CtapDevice]:
    """Return the authenticators that are plugged in and that this user may open."""
    from fido2 import hid

    # Its functions for each system bring no types.
    usb: Any = hid
    found: list[CtapDevice] = []
    for one in usb.list_descriptors():
        try:
            found.append(usb.CtapHidDevice(one, usb.open_connection(one)))
        except Exception as exc:  # noqa: BLE001 - one that answers nonsense costs no other; whoever looks for it is told.
            _LOG.warning("an authenticator can't be used: %s", type(exc).__name__)
    return found


def enrol(
    asking: Asking,
    *,
    verified: bool,
    label: str = "",
    known: Sequence[Credential] = (),
    devices: Callable[[], Sequence[CtapDevice]] | None = None,
) -> tuple[Credential, Answer, Answer]:
    """Make a credential on the one key that is plugged in, and ask it the same twice.

    Args:
        asking: asks the person.
        verified: whether the key is to check a PIN or a fingerprint each time; else a touch is enough.
        label: what its owner calls it.
        known: credentials that there are; a key that has one of them is refused.
        devices: lists the keys; None takes those on USB.

    Raises:
        UsageError: python-fido2 isn't installed, several keys are plugged in, or this one is known.
        SecurityKeyMissingError: none is plugged in.
        SecurityKeyError: the key can't do it, refuses, or answers what it must not.
    """
    with _keys(devices) as keys:
        able = [key for key in keys if key.is_able]
        if not keys:
            raise SecurityKeyMissingError("no security key is plugged in, or this user may not open it")
        if not able:
            raise SecurityKeyError(
                "this security key has no hmac-secret, so it can't open a key store; nothing was changed",
                hint="use one that says FIDO2 with hmac-secret",
            )
        if len(able) > 1:
            raise UsageError(
                f"{len(able)} security keys are plugged in; nothing was changed", hint="leave one of them in"
            )
        (key,) = able
        ids = [one.id for one in known if one.kind == SECURITY_KEY]
        made = Credential(SECURITY_KEY, key.make(asking, ids, verified), os.urandom(KEY_SIZE), verified, label=label)
        first = key.answer(asking, made, "Touch it again")
        # What it gives later has to be what it gives now: asked twice, with keys of their own for the way.
        return made, first, key.answer(asking, made, "And once more, to read it back")


def ask(
    asking: Asking, credentials: Sequence[Credential], devices: Callable[[], Sequence[CtapDevice]] | None = None
) -> Answer:
    """Return the answer of the first key that is plugged in and has one of the credentials.

    Args:
        asking: asks the person.
        credentials: those of a key store; passkeys among them are passed over.
        devices: lists the keys; None takes those on USB.

    Raises:
        UsageError: python-fido2 isn't installed.
        SecurityKeyMissingError: no key has one of them.
        SecurityKeyError: the key refuses, isn't touched, or answers what it must not.
    """
    wanted = [one for one in credentials if one.kind == SECURITY_KEY]
    with _keys(devices) as keys:
        trouble: SecurityKeyError | None = None
        for key in keys:
            try:
                if key.is_able and (found := key.first_of(wanted)) is not None:
                    return key.answer(asking, found, "Touch your security key")
            except SecurityKeyMissingError:
                continue
            except SecurityKeyError as exc:
                # Another one that is plugged in may be the right one.
                trouble = exc
        raise trouble or SecurityKeyMissingError("no security key that is plugged in opens this")


@dataclass
class _Token:
    """What shows a key that its PIN or fingerprint was checked; for one request."""

    options: dict[str, bool] | None = None
    proof: bytes | None = None
    version: int | None = None


class _Key:
    """One authenticator that is plugged in."""

    def __init__(self, device: CtapDevice) -> None:
        from fido2.ctap2 import ClientPin, Ctap2

        self._device = device
        self._ctap = _bounded(lambda _: Ctap2(device), _ANSWER)
        self._info = self._ctap.info
        versions = self._info.pin_uv_protocols
        self.is_able = _EXTENSION in self._info.extensions and any(
            one.VERSION in versions for one in ClientPin.PROTOCOLS
        )
        """Whether it can open a key store at all."""
        self._client = ClientPin(self._ctap) if self.is_able else None
        self._pin: Hidden | None = None

    def close(self) -> None:
        """Let it go, and forget its PIN."""
        self._pin = None
        try:
            self._device.close()
        except OSError:
            # It was unplugged.
            _LOG.info("an authenticator was gone before it was closed")

    def make(self, asking: Asking, known: Sequence[bytes], verified: bool) -> bytes:
        """Return the ID of a new credential."""
        from fido2.ctap2 import ClientPin

        options = self._info.options
        if verified and not (options.get("clientPin") or options.get("uv")):
            raise SecurityKeyError(
                "this security key has neither a PIN nor a fingerprint yet; nothing was changed",
                hint="set one with its maker's program or a browser, or say --touch-only",
            )
        if not verified and options.get("alwaysUv"):
            raise SecurityKeyError(
                "this security key always checks its PIN or a fingerprint", hint="leave out --touch-only"
            )
        digest = os.urandom(KEY_SIZE)
        # A key with a PIN wants it for a new credential, whatever the credential is used with later.
        needs = verified or (options.get("clientPin") and not options.get("makeCredUvNotRqd"))
        token = self._token(asking, digest, ClientPin.PERMISSION.MAKE_CREDENTIAL) if needs else _Token()
        asking.tell("Touch your security key now.")
        made = _bounded(
            lambda event: self._ctap.make_credential(
                digest,
                {"id": RP_ID, "name": "PanaChain"},
                # Drawn, and of nobody: a key that is found tells no name.
                {"id": os.urandom(16), "name": "PanaChain"},
                [{"type": "public-key", "alg": algorithm} for algorithm in (-7, -8)],
                [{"type": "public-key", "id": one} for one in known] or None,
                {_EXTENSION: True},
                token.options,
                token.proof,
                token.version,
                event=event,
            ),
            _TOUCH,
        )
        with _said():
            data = made.auth_data
            self._check(data, verified)
            if data.credential_data is None:
                raise SecurityKeyError("this security key made no credential; nothing was changed")
            found = data.credential_data.credential_id
            if (data.extensions or {}).get(_EXTENSION) is not True:
                raise SecurityKeyError("this security key made a credential without hmac-secret; nothing was changed")
            if not isinstance(found, bytes) or not 1 <= len(found) <= MAX_CREDENTIAL:
                raise SecurityKeyError(
                    f"this security key's credential has {len(found)} bytes, {MAX_CREDENTIAL} at most fit"
                )
            return found

    def first_of(self, credentials: Sequence[Credential]) -> Credential | None:
        """Return the first credential that it has; it needs no touch to tell."""
        from fido2.ctap import CtapError

        for one in credentials:

            def look(event: Event, asked: dict[str, Any] = _named(one)) -> object:  # noqa: B008 - of this turn.
                return self._ctap.get_assertion(RP_ID, os.urandom(KEY_SIZE), [asked], None, {"up": False}, event=event)

            try:
                # What a key says that hasn't made it.
                _bounded(look, _ANSWER, (CtapError.ERR.NO_CREDENTIALS, CtapError.ERR.INVALID_CREDENTIAL))
            except _PassedError:
                continue
            return one
        return None

    def answer(self, asking: Asking, credential: Credential, told: str) -> Answer:
        """Return what it computes over a credential's salt (CTAP 2.1, section 12.5)."""
        from fido2.ctap2 import ClientPin

        if self._client is None:
            raise SecurityKeyError("this security key has no hmac-secret")
        protocol, digest = self._client.protocol, os.urandom(KEY_SIZE)
        token = self._token(asking, digest, ClientPin.PERMISSION.GET_ASSERTION) if credential.verified else _Token()
        agreed = _bounded(
            lambda event: self._ctap.client_pin(protocol.VERSION, ClientPin.CMD.GET_KEY_AGREEMENT, event=event), _ANSWER
        )
        with _said():
            own, shared = protocol.encapsulate(agreed[ClientPin.RESULT.KEY_AGREEMENT])
            sealed = protocol.encrypt(shared, credential.salt)
            asked: dict[int, Any] = {1: own, 2: sealed, 3: protocol.authenticate(shared, sealed)}
            if protocol.VERSION != 1:
                asked[4] = protocol.VERSION
        asking.tell(f"{told} now.")
        found = _bounded(
            lambda event: self._ctap.get_assertion(
                RP_ID,
                digest,
                [_named(credential)],
                {_EXTENSION: asked},
                token.options,
                token.proof,
                token.version,
                event=event,
            ),
            _TOUCH,
        )
        with _said():
            self._check(found.auth_data, credential.verified)
            if isinstance(found.credential, Mapping) and found.credential.get("id", credential.id) != credential.id:
                raise SecurityKeyError("the security key answered for another credential; nothing was opened")
            secret = protocol.decrypt(shared, (found.auth_data.extensions or {})[_EXTENSION])
            if len(secret) != KEY_SIZE:
                raise SecurityKeyError(f"the security key's answer has {len(secret)} bytes, not {KEY_SIZE}")
            return Answer(SECURITY_KEY, credential.id, secret)

    def _token(self, asking: Asking, digest: bytes, permission: Any) -> _Token:
        """Have the key check a fingerprint or its PIN, and return what shows it."""
        from fido2.ctap import CtapError

        client, options = self._client, self._info.options
        if client is None:
            raise SecurityKeyError("this security key can't check a PIN")
        token = b""
        if options.get("uv") and self._pin is None:
            if options.get("pinUvAuthToken") is not True:
                # An earlier key checks it within the request itself.
                return _Token({"uv": True})
            asking.tell("Touch your security key with your finger, which it checks by itself.")
            try:
                token = _bounded(
                    lambda event: client.get_uv_token(permission, RP_ID, event),
                    _TOUCH,
                    passes=(CtapError.ERR.UV_INVALID, CtapError.ERR.UV_BLOCKED) if options.get("clientPin") else (),
                )
            except _PassedError:
                asking.tell("It doesn't know this finger, so it asks for its PIN.")
        if not token:
            token = self._token_by_pin(asking, permission)
        with _said():
            return _Token(None, client.protocol.authenticate(token, digest), client.protocol.VERSION)

    def _token_by_pin(self, asking: Asking, permission: Any) -> bytes:
        from fido2.ctap import CtapError

        client = self._client
        if client is None or not self._info.options.get("clientPin"):
            raise SecurityKeyError("the security key has no PIN, and doesn't know this finger; nothing was opened")
        for _ in range(_TRIES):
            left = _bounded(lambda _: client.get_pin_retries()[0], _ANSWER)
            if left == 0:
                raise _refusal(CtapError.ERR.PIN_BLOCKED.name)
            if self._pin is None:
                # Hidden at once, since a traceback that shows variables must not show it.
                typed = Hidden(unicodedata.normalize("NFC", asking.pin(left if isinstance(left, int) else None)))
                if not typed.reveal():
                    raise SecurityKeyError("no PIN was given; nothing was opened")
                if len(typed.reveal().encode(errors="replace")) > _MOST_PIN:
                    raise SecurityKeyError(f"a PIN has {_MOST_PIN} bytes at most; nothing was opened")
                self._pin = typed
            pin = self._pin
            try:
                return _bounded(
                    lambda _: client.get_pin_token(pin.reveal(), permission, RP_ID),  # noqa: B023 - used at once.
                    _ANSWER,
                    passes=(CtapError.ERR.PIN_INVALID,),
                )
            except _PassedError:
                self._pin = None
        raise SecurityKeyError("the security key refuses this PIN; nothing was opened")

    def _check(self, data: Any, verified: bool) -> None:
        """Check that an answer is for us, and that somebody was there.

        Raises:
            SecurityKeyError: it isn't.
        """
        from hashlib import sha256

        if data.rp_id_hash != sha256(RP_ID.encode()).digest():
            raise SecurityKeyError("the security key answered for somebody else; nothing was opened")
        if not data.is_user_present() or (verified and not data.is_user_verified()):
            raise SecurityKeyError("the security key didn't check whose hand it is in; nothing was opened")


class _PassedError(Exception):
    """A key said one of the things that whoever asked it foresaw."""


@contextmanager
def _keys(devices: Callable[[], Sequence[CtapDevice]] | None) -> Iterator[list[_Key]]:
    """Open the keys that are plugged in; one that speaks no CTAP2 isn't among them."""
    if not is_installed():
        raise UsageError("security keys need python-fido2, which isn't installed", hint="pip install 'panachain[fido]'")
    listed = _bounded(lambda _: list((devices or usb_devices)()), _ANSWER)
    keys: list[_Key] = []
    try:
        for one in listed:
            try:
                keys.append(_Key(one))
            except SecurityKeyError as exc:
                _LOG.info("an authenticator is passed over: %s", exc)
        yield keys
    finally:
        for key in keys:
            key.close()


def _named(credential: Credential) -> dict[str, Any]:
    return {"type": "public-key", "id": credential.id}


def _bounded(work: Callable[[Event], Result], seconds: float, passes: Sequence[int] = ()) -> Result:
    """Return what a key answers within a time; whatever goes wrong is a SecurityKeyError.

    Args:
        work: asks it. It may end early once the event is set.
        seconds: that it may take.
        passes: what the key may say that is no failure.

    Raises:
        _PassedError: it said one of these.
        SecurityKeyError: anything else.
    """
    event = Event()
    told: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            told.put((work(event), None))
        except BaseException as exc:  # noqa: BLE001 - handed to whoever waits.
            # The frames below hold a PIN, or what a key answered.
            told.put((None, alone(exc)))

    # Of its own: a read of a device that is silent ends with nothing but the device.
    Thread(target=run, name="security key", daemon=True).start()
    try:
        result, failed = told.get(timeout=seconds)
    except queue.Empty:
        event.set()
        raise SecurityKeyError(f"the security key gave no answer in {seconds:.0f} s; nothing was opened") from None
    except KeyboardInterrupt:
        event.set()
        raise
    with _said(passes):
        if failed is not None:
            raise failed
    # None is no answer of a key's, and no caller asks for one.
    return result  # type: ignore[return-value]


@contextmanager
def _said(passes: Sequence[int] = ()) -> Iterator[None]:
    """Turn what goes wrong with a key's answer into a SecurityKeyError, without a cause that could hold a secret."""
    from fido2.ctap import CtapError

    try:
        yield
    except (SecurityKeyError, UsageError, KeyboardInterrupt):
        raise
    except CtapError as exc:
        if exc.code in passes:
            raise _PassedError from None
        raise _refusal(exc.code.name) from None
    except OSError as exc:
        raise SecurityKeyError(f"the security key was unplugged: {exc.strerror or type(exc).__name__}") from None
    except Exception as exc:  # noqa: BLE001 - whatever a key makes its reader stumble over is a bad answer.
        raise SecurityKeyError(f"the security key answers what is no CTAP 2: {type(exc).__name__}") from None


def _refusal(code: str) -> SecurityKeyError:
    """Return the error for what a key says, by the name of its code (CTAP 2.1, section 8.2)."""
    said, hint = {
        "PIN_BLOCKED": ("has seen too many wrong PINs, and takes none any more", "give the passphrase; reset the key"),
        "PIN_AUTH_BLOCKED": ("takes no PIN until it is plugged in anew", "unplug it, plug it in, and try again"),
        "UV_BLOCKED": ("has seen too many wrong fingers", "unlock it by its PIN"),
        "UV_INVALID": ("doesn't know this finger", "try again, or give the passphrase"),
        "USER_ACTION_TIMEOUT": ("wasn't touched in time", "touch it when it blinks"),
        "ACTION_TIMEOUT": ("wasn't touched in time", "touch it when it blinks"),
        "KEEPALIVE_CANCEL": ("wasn't touched in time", "touch it when it blinks"),
        "OPERATION_DENIED": ("was told to refuse", ""),
        "CREDENTIAL_EXCLUDED": ("opens this key store already", "panachain key list"),
        "NO_CREDENTIALS": ("doesn't open this", ""),
        "PIN_POLICY_VIOLATION": ("wants a new PIN first", "set it with its maker's program or a browser"),
        "KEY_STORE_FULL": ("is full", "remove something from it"),
    }.get(code, (f"refuses: {code}", ""))
    kind = SecurityKeyMissingError if code == "NO_CREDENTIALS" else SecurityKeyError
    return kind(f"the security key {said}; nothing was changed", hint=hint)
