"""The locks of a profile: each opens it, and whoever changes them opens it anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from panachain import security_keys
from panachain.config import Config
from panachain.errors import LockedError, SecurityKeyError, SecurityKeyMissingError, UsageError
from panachain.model.actors import Role
from panachain.model.credentials import PASSKEY, SECURITY_KEY, Answer, Credential
from panachain.sdk.locks import Locks, unlocked_by_passkey, unlocked_by_security_key
from panachain.sdk.profiles import Profile, create_profile, unlock
from tests.ctap import Person, SoftKey
from tests.keystores import make_cheap

WORDS, NUMBER = "four words of nobody", "4711"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    make_cheap(monkeypatch, for_this_process_only=True)
    for name in ("FILE", "COMMAND"):
        monkeypatch.delenv(f"PANACHAIN_PASSPHRASE_{name}", raising=False)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return create_profile(tmp_path / "home", "me", Role.PATIENT, WORDS)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> SoftKey:
    """The key that is plugged in."""
    one = SoftKey(NUMBER)
    monkeypatch.setattr(security_keys, "usb_devices", lambda: [one])
    return one


def added(profile: Profile, label: str = "") -> Credential:
    locks = Locks(profile)
    return locks.add_security_key(locks.open(WORDS), Person(NUMBER), label=label)


def config(profile: Profile, **settings: str) -> Config:
    return Config.load({"home": str(profile.folder.parents[1]), **settings}, {})


def test_a_security_key_opens_what_the_passphrase_does(profile: Profile, key: SoftKey) -> None:
    made = added(profile)
    assert made.label == "security key 1"
    found = unlocked_by_security_key(config(profile), profile, Person(NUMBER))
    assert found is not None
    assert unlock(profile, found).reveal() == unlock(profile, WORDS).reveal()


def test_it_is_not_asked_where_something_else_opens_the_profile(
    profile: Profile, key: SoftKey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    person = Person(NUMBER)
    # None is among the locks yet.
    assert unlocked_by_security_key(config(profile), profile, person) is None
    added(profile)
    key.asked.clear()
    assert unlocked_by_security_key(config(profile, security_key="no"), profile, person) is None
    assert unlocked_by_security_key(config(profile, passphrase_file="x"), profile, person) is None
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_COMMAND", "pass show x")
    assert unlocked_by_security_key(config(profile), profile, person) is None
    monkeypatch.delenv("PANACHAIN_PASSPHRASE_COMMAND")
    # Whoever asks for the passphrase says what is wrong with the file.
    (profile.folder / "seed.json").chmod(0o644)
    assert unlocked_by_security_key(config(profile), profile, person) is None
    assert key.asked == []


def test_without_the_key_the_passphrase_is_asked_for_if_there_is_one(
    profile: Profile, key: SoftKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(profile)
    monkeypatch.setattr(security_keys, "usb_devices", list)
    assert unlocked_by_security_key(config(profile), profile, Person()) is None
    monkeypatch.setattr(security_keys, "usb_devices", lambda: [key])
    locks = Locks(profile)
    locks.remove(locks.open_by_security_key(Person(NUMBER), locks.credentials(SECURITY_KEY)), locks.named("passphrase"))
    monkeypatch.setattr(security_keys, "usb_devices", list)
    with pytest.raises(SecurityKeyMissingError):
        unlocked_by_security_key(config(profile), profile, Person())


@pytest.mark.parametrize("terminal", [True, False])
def test_a_refusal_is_told_and_leaves_the_passphrase_where_somebody_can_type_it(
    profile: Profile,
    key: SoftKey,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
) -> None:
    added(profile)
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal)
    if terminal:
        person = Person("0000", "")
        assert unlocked_by_security_key(config(profile), profile, person) is None
        assert "no PIN was given" in person.told[-1]
    else:
        with pytest.raises(SecurityKeyError, match="no PIN was given"):
            unlocked_by_security_key(config(profile), profile, Person(""))


def test_a_key_that_was_reset_or_is_another_ones_opens_nothing(
    profile: Profile, key: SoftKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = added(profile)
    # Its secret is another one: what it answers doesn't open.
    key._known[made.id].with_check = bytes(32)
    with pytest.raises(LockedError, match="another key's answer"):
        unlocked_by_security_key(config(profile), profile, Person(NUMBER))


def test_a_passkey_opens_by_its_answer(profile: Profile) -> None:
    locks = Locks(profile)
    credential = Credential(PASSKEY, bytes(16), bytes(32), True, "0123456789abcdef.localhost", "laptop")
    answer = Answer(PASSKEY, credential.id, b"\x05" * 32)
    locks.add_passkey(locks.open(WORDS), credential, answer, answer)
    assert unlock(profile, unlocked_by_passkey(profile, answer)).reveal() == unlock(profile, WORDS).reveal()
    assert [one.label for one in locks.credentials(PASSKEY)] == ["laptop"]
    with pytest.raises(LockedError):
        unlocked_by_passkey(profile, Answer(PASSKEY, credential.id, bytes(32)))
    with pytest.raises(UsageError, match="no passkey"):
        locks.add_passkey(locks.open(WORDS), Credential(SECURITY_KEY, bytes(16), bytes(32)), answer, answer)


def test_a_lock_is_named_by_number_label_or_kind(profile: Profile, key: SoftKey) -> None:
    added(profile, "Schlüssel")
    locks = Locks(profile)
    assert [locks.named(text).kind for text in ("1", "2", "passphrase", "Schlüssel")] == [
        "passphrase",
        "security-key",
        "passphrase",
        "security-key",
    ]
    for text in ("0", "3", "other", "", "\u0663"):
        with pytest.raises(UsageError, match="0 locks"):
            locks.named(text)


@pytest.mark.parametrize("label", ["7", " blue", "a\x1bb", "x" * 65, "taken"])
def test_a_label_that_cannot_be_one_changes_nothing(profile: Profile, key: SoftKey, label: str) -> None:
    added(profile, "taken")
    asked = len(key.asked)
    with pytest.raises(UsageError, match=r"label|another lock"):
        added(profile, label)
    assert len(key.asked) == asked
    assert len(Locks(profile).all()) == 2
