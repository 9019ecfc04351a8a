"""Profiles: an actor in a folder, its seed locked, its public side readable and never more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import ConfigurationError, DiskError, LockedError, UnknownActorError, UsageError
from panachain.model.actors import Role, Status
from panachain.sdk import profiles
from panachain.sdk.contacts import add_contact
from panachain.sdk.profiles import (
    Profile,
    choose_profile,
    create_profile,
    list_profiles,
    load_profile,
    profile_names,
    unlock,
)
from tests.keystores import make_cheap

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def _cheap_key_stores() -> Iterator[None]:
    """Key stores of these tests cost no time."""
    with pytest.MonkeyPatch.context() as patch:
        make_cheap(patch, for_this_process_only=True)
        yield


def make(home: Path, name: str = "me", role: Role = Role.PATIENT) -> Profile:
    return create_profile(home, name, role, PASSPHRASE)


class TestCreate:
    def test_what_is_read_back_is_what_was_made(self, tmp_path: Path) -> None:
        made = create_profile(tmp_path, "me", Role.PATIENT, PASSPHRASE, "Some Body")
        assert load_profile(tmp_path, "me") == made
        assert made.handle.startswith("pat-")
        assert (made.actor.address, made.actor.status) == (made.address, Status.UNKNOWN)

    def test_the_seed_fits_the_public_side_and_opens_with_the_passphrase_only(self, tmp_path: Path) -> None:
        made = make(tmp_path)
        seed = unlock(made, PASSPHRASE)
        assert seed.public_keys() == made.keys
        with pytest.raises(LockedError):
            unlock(made, "another")

    def test_no_file_shows_the_seed_and_none_is_for_others(self, tmp_path: Path) -> None:
        made = make(tmp_path)
        secret = unlock(made, PASSPHRASE).reveal().hex()
        for path in made.folder.iterdir():
            assert secret not in path.read_text()
            assert path.stat().st_mode & 0o077 == 0
        assert made.folder.stat().st_mode & 0o077 == 0
        assert PASSPHRASE not in repr(made)

    @pytest.mark.parametrize("name", ["", ".", "..", "../me", "a/b", "Me", "x" * 65, "me\n", "-rf"])
    def test_a_name_that_could_leave_the_folder_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageError, match="profile name"):
            make(tmp_path / "home", name)
        assert not (tmp_path / "home").exists()

    def test_one_that_exists_is_left_as_it_is(self, tmp_path: Path) -> None:
        made = make(tmp_path)
        with pytest.raises(UsageError, match="exists already"):
            make(tmp_path, role=Role.HOSPITAL)
        assert load_profile(tmp_path, "me") == made

    def test_a_contacts_name_is_taken(self, tmp_path: Path) -> None:
        add_contact(tmp_path, "physio", make(tmp_path).address)
        with pytest.raises(UsageError, match="a contact is called 'physio'") as caught:
            make(tmp_path, "physio")
        assert "contacts remove physio" in caught.value.hint

    def test_a_full_disk_leaves_no_profile(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuses(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(profiles, "write_private", refuses)
        with pytest.raises(DiskError, match="No space left on device"):
            make(tmp_path)
        assert list_profiles(tmp_path) == []


class TestLoad:
    @pytest.mark.parametrize("name", ["me", "", "..", "../../etc"])
    def test_one_that_is_not_there_is_unknown(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UnknownActorError, match="no profile"):
            load_profile(tmp_path, name)

    def test_a_misspelt_one_is_answered_with_those_that_look_like_it(self, tmp_path: Path) -> None:
        for name in ("doctor", "clinic"):
            (tmp_path / "profiles" / name).mkdir(parents=True)
            # What stands in it isn't read for this.
            (tmp_path / "profiles" / name / "profile.json").write_text("torn")
        with pytest.raises(UnknownActorError) as caught:
            load_profile(tmp_path, "doctro")
        assert caught.value.hint.startswith("did you mean doctor? panachain --profile doctro init")

    @pytest.mark.parametrize(
        "change",
        [
            {"role": "emperor"},
            {"address": 7},
            {"address": "0x12"},
            {"key_block": "zz"},
            {"key_block": 5},
            {"key_block": None},
            {"key_block": "02" * 1283},
        ],
    )
    def test_a_damaged_field_is_told(self, tmp_path: Path, change: dict[str, Any]) -> None:
        path = make(tmp_path).folder / "profile.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(ConfigurationError, match=r"profile\.json can't be read as a profile"):
            load_profile(tmp_path, "me")

    @pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff", b'{"role": "patient"}'])
    def test_a_damaged_file_is_told(self, tmp_path: Path, content: bytes) -> None:
        (make(tmp_path).folder / "profile.json").write_bytes(content)
        with pytest.raises(ConfigurationError, match="can't be read as a profile"):
            load_profile(tmp_path, "me")

    def test_all_are_listed_by_name(self, tmp_path: Path) -> None:
        assert list_profiles(tmp_path) == []
        for name in ("b", "a"):
            make(tmp_path, name)
        (tmp_path / "profiles" / "empty").mkdir()
        assert [one.name for one in list_profiles(tmp_path)] == ["a", "b"]
        # Names need no file that can be read.
        (tmp_path / "profiles" / "b" / "profile.json").write_bytes(b"torn")
        assert profile_names(tmp_path) == ["a", "b"]
        with pytest.raises(ConfigurationError):
            list_profiles(tmp_path)


class TestChoose:
    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        make(tmp_path, "me")
        make(tmp_path, "doctor", Role.PRACTITIONER)
        make(tmp_path, "nurse", Role.PRACTITIONER)
        return tmp_path

    def test_the_only_one_that_fits_acts(self, home: Path) -> None:
        assert choose_profile(home, "", [Role.PATIENT]).name == "me"
        assert choose_profile(home, "", [Role.PATIENT, Role.HOSPITAL]).name == "me"

    def test_a_name_decides_among_several(self, home: Path) -> None:
        assert choose_profile(home, "nurse", [Role.PRACTITIONER]).name == "nurse"
        assert choose_profile(home, "nurse").name == "nurse"

    def test_several_are_named_and_none_is_guessed(self, home: Path) -> None:
        with pytest.raises(UsageError, match="2 profiles could do this: doctor, nurse"):
            choose_profile(home, "", [Role.PRACTITIONER])

    def test_none_that_fits_says_how_to_make_one(self, home: Path) -> None:
        with pytest.raises(UsageError, match="no profile of a hospital or researcher") as caught:
            choose_profile(home, "", [Role.HOSPITAL, Role.RESEARCHER])
        assert caught.value.hint == "panachain init --role hospital"
        with pytest.raises(UsageError, match="there is no profile in"):
            choose_profile(home / "elsewhere", "")

    def test_one_of_another_role_is_refused_with_what_it_was_for(self, home: Path) -> None:
        with pytest.raises(UsageError, match="profile me is a patient; `upload` is for a hospital"):
            choose_profile(home, "me", [Role.HOSPITAL], purpose="upload")
        with pytest.raises(UsageError, match="a hospital was asked for"):
            choose_profile(home, "me", [Role.HOSPITAL])
