"""A key store that a thread opens: the same seed, the same failures, and nothing of it to be seen."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from panachain.crypto.keys import Seed, address_of
from panachain.errors import LockedError
from panachain.model.actors import Role
from panachain.passphrase import Hidden
from panachain.sdk import unlocking
from panachain.sdk.profiles import Profile, create_profile
from panachain.sdk.unlocking import Unlocking

PASSPHRASE = "a passphrase of nobody"


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Profile]:
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o700)
    return create_profile(home, "me", Role.PATIENT, PASSPHRASE)


def test_a_thread_opens_what_the_passphrase_opens(profile: Profile) -> None:
    opening = Unlocking(profile, Hidden(PASSPHRASE))
    assert address_of(opening.seed().account_key()) == profile.address
    # Handed over once: whoever keeps this keeps no seed.
    with pytest.raises(LockedError, match="any more"):
        opening.seed()


def test_a_wrong_passphrase_is_told_to_whoever_waits(profile: Profile) -> None:
    opening = Unlocking(profile, Hidden("another"))
    with pytest.raises(LockedError):
        opening.seed()


def test_it_is_opened_while_the_program_goes_on(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, seed = threading.Event(), Seed.random()

    def unlock(_: Profile, secret: str) -> Seed:
        assert secret == PASSPHRASE
        assert go_on.wait(20)
        return seed

    monkeypatch.setattr(unlocking, "unlock", unlock)
    opening = Unlocking(profile, Hidden(PASSPHRASE))
    go_on.set()
    assert opening.seed() is seed


def test_nothing_of_it_is_shown(profile: Profile, tmp_path: Path) -> None:
    opening = Unlocking(profile, Hidden("another"))
    assert repr(opening) == "Unlocking()"
    with pytest.raises(LockedError) as caught:
        opening.seed()
    told = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=False).format())
    assert "another" not in told
