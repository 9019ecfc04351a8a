"""Security keys over CTAP 2.1: what a software authenticator answers, and what a hostile or a broken one does."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Event

import pytest
from fido2 import cbor
from fido2.ctap import CtapDevice

from panachain import security_keys
from panachain.errors import SecurityKeyError, SecurityKeyMissingError, UsageError
from panachain.model.credentials import MAX_CREDENTIAL, PASSKEY, Answer, Credential
from tests.ctap import GET, INFO, MAKE, PIN, Person, SoftKey

WORDS = "4711"


def enrolled(
    key: SoftKey, *pins: str, verified: bool = True, known: tuple[Credential, ...] = ()
) -> tuple[Credential, Answer]:
    made, first, second = security_keys.enrol(
        Person(*(pins or (WORDS,))), verified=verified, label="blue", known=known, devices=lambda: [key]
    )
    assert first == second
    return made, first


def ask(*keys: CtapDevice, of: Credential, person: Person | None = None) -> Answer:
    return security_keys.ask(person or Person(WORDS), [of], lambda: keys)


@pytest.mark.parametrize(
    "key",
    [
        lambda: SoftKey(WORDS),
        lambda: SoftKey(WORDS, protocols=(1,)),
        lambda: SoftKey(finger=True),
        lambda: SoftKey(WORDS, finger=True),
    ],
    ids=["pin", "pin by protocol 1", "finger", "finger and pin"],
)
def test_a_key_answers_the_same_each_time_and_no_two_do(key: Callable[[], SoftKey]) -> None:
    one, other = key(), key()
    made, first = enrolled(one)
    assert ask(one, of=made) == first
    assert len(first.secret) == 32
    again, second = enrolled(one)
    assert again.id != made.id
    assert len({first.secret, second.secret, enrolled(other)[1].secret}) == 3
    # Another salt has another answer.
    assert ask(one, of=replace(made, salt=bytes(32))).secret != first.secret


@pytest.mark.parametrize("protocols", [(2,), (1,)])
@pytest.mark.parametrize(
    ("salt", "expected"),
    [
        (
            "527413ebb48293772df30f031c5ac4650c7de14bf9498671ae163447b6a772b3",
            "3c33e07d202c3b029cc21f1722767021bf27d595933b3d2b6a1b9d5dddc77fae",
        ),
        (
            "d68ac03329a10ee5e0ec834492bb9a96a0e547baf563bf78ccbe8789b22e776b",
            "a62a8773b19cda90d7ed4ef72a80a804320dbd3997e2f663805ad1fd3293d50b",
        ),
    ],
)
def test_the_answer_is_the_published_one(protocols: tuple[int, ...], salt: str, expected: str) -> None:
    # WebAuthn level 3, section 16.17.1: salts and outputs of hmac-secret for one secret of a credential.
    key = SoftKey(WORDS, protocols=protocols)
    made, _ = enrolled(key)
    key._known[made.id].with_check = bytes.fromhex("437e065e723a98b2f08f39d8baf7c53ecb3c363c5e5104bdaaf5d5ca2e028154")
    assert ask(key, of=replace(made, salt=bytes.fromhex(salt))).secret.hex() == expected


def test_what_is_asked_is_ours_and_names_nobody() -> None:
    key = SoftKey(WORDS)
    enrolled(key)
    ((_, asked),) = [one for one in key.asked if one[0] == MAKE]
    assert asked[2] == {"id": "key-store.panachain.invalid", "name": "PanaChain"}
    assert (asked[3]["name"], len(asked[3]["id"])) == ("PanaChain", 16)
    assert asked.get(7) is None
    # No page can have the name for which it is asked (RFC 6761).
    assert security_keys.RP_ID.endswith(".invalid")


def test_a_touch_alone_and_a_checked_hand_have_different_answers() -> None:
    key = SoftKey()
    made, first = enrolled(key, verified=False)
    assert ask(key, of=made) == first
    key._pin = WORDS
    assert ask(key, of=replace(made, verified=True)).secret != first.secret


def test_the_pin_is_asked_for_once_and_by_nobody_whose_key_it_isnt() -> None:
    key, other = SoftKey(WORDS), SoftKey(WORDS)
    person = Person(WORDS)
    made, first, _ = security_keys.enrol(person, verified=True, devices=lambda: [key])
    assert len(person.left) == 1
    assert len(person.told) == 3
    person = Person(WORDS)
    # The other one is plugged in, too: it has nothing of this profile's, and no PIN is spent on it.
    assert ask(other, key, of=made, person=person) == first
    assert person.left == [8]
    assert not [one for one in other.asked if one[0] == PIN]


def test_a_wrong_pin_is_asked_again_with_how_many_are_left() -> None:
    key = SoftKey(WORDS)
    made, first = enrolled(key)
    person = Person("0000", "1111", WORDS)
    assert ask(key, of=made, person=person) == first
    assert person.left == [8, 7, 6]


def test_three_wrong_pins_end_it_and_the_key_wants_to_be_plugged_in_anew() -> None:
    key = SoftKey(WORDS)
    made, first = enrolled(key)
    with pytest.raises(SecurityKeyError, match="until it is plugged in anew") as caught:
        ask(key, of=made, person=Person(*"0123"[:1] * 3))
    assert "unplug it" in caught.value.hint
    with pytest.raises(SecurityKeyError, match="until it is plugged in anew"):
        ask(key, of=made)
    key.plug_in()
    assert ask(key, of=made) == first


def test_a_blocked_pin_is_told_and_asked_for_no_more() -> None:
    key = SoftKey(WORDS)
    made, _ = enrolled(key)
    key.tries = 0
    person = Person(WORDS)
    with pytest.raises(SecurityKeyError, match="too many wrong PINs"):
        ask(key, of=made, person=person)
    assert person.left == []


@pytest.mark.parametrize("pin", ["", "9" * 64])
def test_no_pin_and_one_that_is_none_send_nothing(pin: str) -> None:
    key = SoftKey(WORDS)
    made, _ = enrolled(key)
    with pytest.raises(SecurityKeyError, match=r"no PIN was given|63 bytes at most"):
        ask(key, of=made, person=Person(pin))
    assert key.tries == 8


def test_a_finger_that_isnt_known_leaves_the_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    key = SoftKey(WORDS, finger=True)
    made, first = enrolled(key)
    key.mangle = lambda command, answer: b"\x3f" if command == PIN and key.asked[-1][1][2] == 6 else answer
    person = Person(WORDS)
    assert ask(key, of=made, person=person) == first
    assert person.left == [8]
    assert any("doesn't know this finger" in one for one in person.told)


@pytest.mark.parametrize(
    ("key", "verified", "said"),
    [
        (SoftKey(WORDS, hmac_secret=False), True, "no hmac-secret"),
        (SoftKey(WORDS, protocols=(7,)), True, "no hmac-secret"),
        (SoftKey(), True, "neither a PIN nor a fingerprint"),
    ],
)
def test_a_key_that_cannot_do_it_is_told(key: SoftKey, verified: bool, said: str) -> None:
    with pytest.raises(SecurityKeyError, match=said):
        enrolled(key, verified=verified)
    assert not [one for one in key.asked if one[0] == MAKE]


def test_a_key_that_always_checks_isnt_taken_for_a_touch() -> None:
    key = SoftKey(WORDS)
    key.always_checks = True
    with pytest.raises(SecurityKeyError, match="always checks"):
        enrolled(key, verified=False)


def test_none_and_several_are_told_before_anything_is_made() -> None:
    with pytest.raises(SecurityKeyMissingError, match="no security key is plugged in"):
        security_keys.enrol(Person(), verified=True, devices=list)
    keys = [SoftKey(WORDS), SoftKey(WORDS)]
    with pytest.raises(UsageError, match="2 security keys"):
        security_keys.enrol(Person(WORDS), verified=True, devices=lambda: keys)
    assert not [one for key in keys for one in key.asked if one[0] == MAKE]


def test_a_key_that_is_known_is_refused() -> None:
    key = SoftKey(WORDS)
    made, _ = enrolled(key)
    with pytest.raises(SecurityKeyError, match="opens this key store already"):
        enrolled(key, known=(made,))


def test_another_profiles_credential_and_a_passkey_open_nothing() -> None:
    key, other = SoftKey(WORDS), SoftKey(WORDS)
    made, _ = enrolled(other)
    person = Person(WORDS)
    for wanted in (made, replace(made, kind=PASSKEY)):
        with pytest.raises(SecurityKeyMissingError, match="opens this"):
            ask(key, of=wanted, person=person)
    assert person.left == []
    assert person.told == []


def test_one_that_is_not_touched_and_one_that_is_unplugged_are_told() -> None:
    key = SoftKey(WORDS)
    made, first = enrolled(key)
    key.is_touched = False
    with pytest.raises(SecurityKeyError, match="wasn't touched in time"):
        ask(key, of=made)
    key.is_touched, key.is_plugged_in = True, False
    with pytest.raises(SecurityKeyMissingError):
        ask(key, of=made)
    key.plug_in()

    class Hasty(Person):
        def tell(self, what: str) -> None:
            key.is_plugged_in = False

    with pytest.raises(SecurityKeyError, match="was unplugged: No such device"):
        ask(key, of=made, person=Hasty(WORDS))
    key.plug_in()
    assert ask(key, of=made) == first


def test_one_that_is_silent_is_waited_for_no_longer_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    key = SoftKey(WORDS)
    made, _ = enrolled(key)
    silent = Event()

    def wait(command: int, answer: bytes) -> bytes:
        if command == GET and key.asked[-1][1].get(5) is None:
            silent.wait(60)
        return answer

    key.mangle = wait
    monkeypatch.setattr(security_keys, "_TOUCH", 0.05)
    try:
        with pytest.raises(SecurityKeyError, match="gave no answer in"):
            ask(key, of=made)
    finally:
        silent.set()


def test_without_the_package_it_is_said_which_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security_keys, "is_installed", lambda: False)
    with pytest.raises(UsageError, match="python-fido2") as caught:
        security_keys.enrol(Person(), verified=True)
    assert "panachain[fido]" in caught.value.hint


# Hostile answers


def _parts(answer: bytes) -> dict[int, object]:
    found = cbor.decode(answer[1:])
    assert isinstance(found, dict)
    return found


def test_what_a_key_answers_for_somebody_else_opens_nothing() -> None:
    key = SoftKey(WORDS)
    made, _ = enrolled(key)

    def forged(change: Callable[[bytes], bytes]) -> Callable[[int, bytes], bytes]:
        def mangle(command: int, answer: bytes) -> bytes:
            # The look whether it has the credential stays as it is.
            if command != GET or key.asked[-1][1].get(5) is not None:
                return answer
            parts = _parts(answer)
            return b"\x00" + cbor.encode(parts | {2: change(bytes(parts[2]))})  # type: ignore[arg-type]

        return mangle

    for change, said in (
        (lambda data: bytes(32) + data[32:], "for somebody else"),
        (lambda data: data[:32] + bytes([data[32] & ~0x04]) + data[33:], "whose hand"),
        (lambda data: data[:32] + bytes([data[32] & ~0x01]) + data[33:], "whose hand"),
        # Of two salts, or of none.
        (lambda data: data[:37] + cbor.encode({"hmac-secret": bytes(80)}), "64 bytes"),
        (lambda data: data[:37] + cbor.encode({"hmac-secret": bytes(16)}), "0 bytes"),
        (lambda data: data[:37] + cbor.encode({"hmac-secret": True}), "no CTAP 2"),
        (lambda data: data[:37] + cbor.encode({"other": bytes(48)}), "no CTAP 2"),
        (lambda data: data[:32] + bytes([data[32] & ~0x80]) + data[33:37], "no CTAP 2"),
    ):
        key.mangle = forged(change)
        with pytest.raises(SecurityKeyError, match=said):
            ask(key, of=made)


def test_a_credential_that_is_too_long_or_without_the_function_is_refused() -> None:
    for change, said in (
        (lambda data: data[:53] + (600).to_bytes(2, "big") + data[55:103] + bytes(552) + data[103:], "600 bytes"),
        (lambda data: data.replace(b"\xa1\x6bhmac-secret\xf5", b"\xa1\x6bhmac-secret\xf4"), "without hmac-secret"),
        (lambda data: bytes(32) + data[32:], "for somebody else"),
    ):
        key = SoftKey(WORDS)

        def mangle(command: int, answer: bytes, change: Callable[[bytes], bytes] = change) -> bytes:
            if command != MAKE:
                return answer
            parts = _parts(answer)
            return b"\x00" + cbor.encode(parts | {2: change(bytes(parts[2]))})  # type: ignore[arg-type]

        key.mangle = mangle
        with pytest.raises(SecurityKeyError, match=said):
            enrolled(key)
    assert MAX_CREDENTIAL == 512


@pytest.mark.parametrize("command", [INFO, PIN, MAKE, GET])
@pytest.mark.parametrize(
    "answer",
    [
        *(
            b"",
            b"\x00",
            b"\x7f",
            b"\xf1",
            b"\x00\xa0",
            b"\x00\x80",
            b"\x00\xf5",
            b"\x00\xff",
            b"\x00" + b"\x81" * 6_000,
        ),
        *(
            b"\x00\xa1\x01\x5b" + b"\xff" * 8,
            b"\x00\xa1\x01\x41",
            b"\x00\xa2\x01\x01\x01\x01",
            b"\x00\xa1\x01\x62\xff\xff",
        ),
        *(
            b"\x00\xa1\x01\xa5\x01\x02\x03\x38\x18\x20\x01\x21\x41\x00\x22\x41\x00",
            b"\x00" + cbor.encode({1: [], 2: 7}),
        ),
    ],
    ids=lambda one: one[:12].hex() if isinstance(one, bytes) else None,
)
def test_a_hostile_answer_is_an_error_of_the_keys(command: int, answer: bytes) -> None:
    good = SoftKey(WORDS)
    made, _ = enrolled(good)
    good.mangle = lambda which, said: answer if which == command else said
    if command != MAKE:
        with pytest.raises(SecurityKeyError):
            ask(good, of=made)
    with pytest.raises(SecurityKeyError):
        enrolled(good)


def test_answers_that_are_cut_or_changed_anywhere_are_errors_or_other_answers() -> None:
    key = SoftKey(WORDS)
    made, first = enrolled(key)
    chance = random.Random(57)

    def mangle(command: int, answer: bytes) -> bytes:
        if not chance.randrange(3):
            at = chance.randrange(len(answer))
            return answer[:at] if chance.randrange(2) else answer[:at] + os.urandom(1) + answer[at + 1 :]
        return answer

    key.mangle = mangle
    outcomes = 0
    for _ in range(150):
        key.plug_in()
        # A bit that changed within its encrypted answer makes another one, which opens no lock.
        with suppress(SecurityKeyError):
            outcomes += ask(key, of=made) == first
    assert 0 < outcomes < 150


def test_a_hostile_key_costs_no_other_one(caplog: pytest.LogCaptureFixture) -> None:
    bad, worse, good = SoftKey(WORDS), SoftKey(WORDS), SoftKey(WORDS)
    made, first = enrolled(good)
    bad.mangle = lambda *_: b"\x00\xff"
    worse.mangle = lambda command, answer: b"\x7f" if command == GET else answer
    with caplog.at_level(logging.INFO):
        assert ask(bad, worse, good, of=made) == first
    assert "passed over" in caplog.text


# Secrets


def test_no_pin_and_no_answer_is_in_a_log_an_error_or_a_repr(caplog: pytest.LogCaptureFixture) -> None:
    pin = "6502-secret-pin"
    key = SoftKey(pin)
    with caplog.at_level(1):
        made, first, _ = security_keys.enrol(Person(pin), verified=True, devices=lambda: [key])
        key.mangle = lambda command, answer: answer[:-9] if command == GET and len(answer) > 200 else answer
        with pytest.raises(SecurityKeyError) as caught:
            security_keys.ask(Person(pin), [made], lambda: [key])
    assert caught.value.__cause__ is None
    for text in (caplog.text, repr(caught.value), repr(first), str(made)):
        assert pin not in text
        assert first.secret.hex() not in text
        assert repr(first.secret)[2:-1] not in text
