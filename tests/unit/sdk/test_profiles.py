"""Profiles: an actor in a folder, its seed locked, its public side readable and never more."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from panachain.errors import ConfigurationError, DiskError, LockedError, UnknownActorError, UsageError
from panachain.model.actors import Role, Status
from panachain.sdk import profiles
from panachain.sdk.contacts import add_contact
from panachain.sdk.profiles import (
    Profile,
    choose_profile,
    create_profile,
    find_profile,
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
        assert list((tmp_path / "profiles").iterdir()) == []


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


def _written(content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "profile.json").write_bytes(content) and None


def _replaced(make_other: Callable[[Path], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "profile.json").unlink()
        make_other(folder / "profile.json")

    return spoil


def _unreachable(folder: Path) -> None:
    folder.rename(folder.parents[1] / "elsewhere")
    folder.symlink_to(folder.parents[1] / "not-mounted")


def _in_a_circle(folder: Path) -> None:
    folder.rename(folder.parents[1] / "elsewhere")
    folder.symlink_to(folder.name)


SPOILED: dict[str, Callable[[Path], None]] = {
    "half": lambda folder: os.truncate(folder / "profile.json", 700),
    "empty": _written(b""),
    "bytes that aren't UTF-8": _written(b'{"role": "patient", "display_name": "\xff\xfe"}'),
    "zeros": _written(bytes(2000)),
    "deep": _written(b"[" * 60000),
    "large": _written(b" " * (1 << 17)),
    "gone, its key store stays": lambda folder: (folder / "profile.json").unlink(),
    "a FIFO": _replaced(os.mkfifo),
    "a folder": _replaced(Path.mkdir),
    "a link to nowhere": _replaced(lambda path: path.symlink_to("nowhere")),
    "a link to itself": _replaced(lambda path: path.symlink_to(path.name)),
    "a device": _replaced(lambda path: path.symlink_to("/dev/zero")),
    "its folder is a link to a disk that isn't there": _unreachable,
    "its folder is a link to itself": _in_a_circle,
}


class TestDamaged:
    @pytest.mark.parametrize("how", SPOILED)
    def test_one_stops_none_of_the_others_and_is_named_with_what_helps(self, tmp_path: Path, how: str) -> None:
        for name in ("a", "bad", "c"):
            make(tmp_path, name)
        SPOILED[how](tmp_path / "profiles" / "bad")
        found = list_profiles(tmp_path)
        assert [one.name for one in found] == ["a", "c"]
        assert profile_names(tmp_path) == ["a", "bad", "c"]
        ((name, damage),) = found.damaged.items()
        assert (name, str(found.omissions[0])) == ("bad", f"profile bad: {damage}")
        assert str(tmp_path / "profiles" / "bad") in str(damage)
        assert damage.hint != ConfigurationError.usual_hint
        # By its name it is told the same, and nothing is written over it.
        with pytest.raises(ConfigurationError, match=re.escape(str(damage))):
            load_profile(tmp_path, "bad")
        with pytest.raises(UsageError, match="exists already; it was left as it is"):
            make(tmp_path, "bad")
        # The others are as ever.
        assert choose_profile(tmp_path, "c").name == "c"
        unlock(choose_profile(tmp_path, "a"), PASSPHRASE)

    @pytest.mark.parametrize("refused", ["folder", "file"])
    def test_one_that_may_not_be_read_is_told_as_that(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
    ) -> None:
        """Whoever runs the tests may be allowed everything, so the system's answer is made up."""
        for name in ("a", "bad"):
            make(tmp_path, name)
        bad, lstat, opens = tmp_path / "profiles" / "bad", Path.lstat, os.open

        def denied(path: object, real: Callable[..., Any], *given: Any, **more: Any) -> Any:
            if str(path).startswith(f"{bad}/"):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path, *given, **more)

        if refused == "folder":
            monkeypatch.setattr(Path, "lstat", lambda path: denied(path, lstat))
        monkeypatch.setattr(os, "open", lambda path, *given, **more: denied(path, opens, *given, **more))
        found = list_profiles(tmp_path)
        assert [one.name for one in found] == ["a"]
        assert "Permission denied" in str(found.damaged["bad"])
        assert "its owner and its mode" in found.damaged["bad"].hint

    @pytest.mark.skipif(os.geteuid() != 0, reason="gives the folders to another user")
    def test_another_user_reads_those_that_are_theirs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("a", "bad"):
            make(tmp_path, name)
        for path in (tmp_path, *tmp_path.rglob("*")):
            os.chown(path, 65534, 65534)
        os.chown(tmp_path / "profiles" / "bad", 0, 0)
        monkeypatch.chdir(tmp_path)
        try:
            os.seteuid(65534)
            found = list_profiles(Path())
        finally:
            os.seteuid(0)
        assert ([one.name for one in found], list(found.damaged)) == (["a"], ["bad"])
        assert str(found.damaged["bad"]).endswith("can't be read as a profile: Permission denied")

    @pytest.mark.parametrize("name", ["Me", "ME", "a b", "caf\xe9", "a\nb", "\udcff", "x" * 65, "-rf"])
    def test_a_name_that_no_profile_can_have_is_named_as_it_can_be_shown(self, tmp_path: Path, name: str) -> None:
        shutil.copytree(make(tmp_path, "me").folder, tmp_path / "profiles" / name)
        found = list_profiles(tmp_path)
        assert [one.name for one in found] == ["me"]
        ((shown, damage),) = found.damaged.items()
        assert (shown, shown.isprintable(), shown.isascii()) == (ascii(name), True, True)
        assert "has a name that no profile can have" in str(damage)
        with pytest.raises(UnknownActorError):
            load_profile(tmp_path, name)
        assert find_profile(tmp_path, name) is None

    def test_what_is_no_profile_is_none(self, tmp_path: Path) -> None:
        make(tmp_path, "a")
        folder = tmp_path / "profiles"
        (folder / "empty").mkdir()
        (folder / "notes.txt").write_text("mine")
        (folder / ".b.1234.new").mkdir()
        os.mkfifo(folder / "pipe")
        (folder / "pictures").mkdir()
        (folder / "pictures" / "1.png").write_bytes(b"")
        found = list_profiles(tmp_path)
        assert ([one.name for one in found], found.damaged) == (["a"], {})

    def test_a_folder_that_cannot_be_listed_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "profiles").write_text("no folder")
        with pytest.raises(DiskError, match="profiles can't be listed: Not a directory"):
            list_profiles(tmp_path)

    @pytest.mark.parametrize("role", [[], ["patient"], 7, None, {}])
    @pytest.mark.parametrize("field", ["role", "display_name"])
    def test_a_field_of_another_kind_is_damage(self, tmp_path: Path, field: str, role: object) -> None:
        path = make(tmp_path).folder / "profile.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {field: role}))
        assert list(list_profiles(tmp_path).damaged) == ["me"]

    def test_what_was_never_made_is_not_the_one_that_is_meant(self, tmp_path: Path) -> None:
        """An `init` that was killed left a key store alone, before a profile was there whole or not at all."""
        create_profile(tmp_path, "me", Role.PATIENT, "passphrase of a test")
        create_profile(tmp_path, "begun", Role.PATIENT, "passphrase of a test")
        (tmp_path / "profiles" / "begun" / "profile.json").unlink()
        assert choose_profile(tmp_path, "").name == "me"
        assert list(list_profiles(tmp_path).damaged) == ["begun"]

    def test_none_is_guessed_beside_one_that_may_be_meant(self, tmp_path: Path) -> None:
        make(tmp_path, "clinic", Role.HOSPITAL)
        make(tmp_path, "bad", Role.HOSPITAL)
        (tmp_path / "profiles" / "bad" / "profile.json").write_bytes(b"{")
        with pytest.raises(UsageError, match=r"profile bad: .* nothing tells whether it is the one") as caught:
            choose_profile(tmp_path, "", [Role.HOSPITAL])
        assert caught.value.hint.startswith("--profile clinic, if it isn't; else put that file back")
        assert choose_profile(tmp_path, "clinic", [Role.HOSPITAL]).name == "clinic"
        with pytest.raises(ConfigurationError, match="profile bad") as caught:
            choose_profile(tmp_path, "", [Role.PATIENT])
        assert "put that file back" in caught.value.hint
        make(tmp_path, "other", Role.HOSPITAL)
        with pytest.raises(UsageError, match=r"2 profiles could do this: clinic, other; profile bad: "):
            choose_profile(tmp_path, "", [Role.HOSPITAL])


class TestWhole:
    """A profile is there whole or not at all, whenever the program ends."""

    def test_one_that_is_killed_leaves_nothing_that_counts_and_the_next_call_sweeps_it(self, tmp_path: Path) -> None:
        code = (
            "import os, sys; from pathlib import Path; from panachain.model.actors import Role\n"
            "from panachain.sdk import profiles\n"
            "from panachain.crypto import keystore\n"
            "keystore.create = lambda path, *_, **__: path.write_bytes(b'seed')\n"
            "profiles.write_private = lambda *_: os._exit(9)\n"
            "profiles.create_profile(Path(sys.argv[1]), 'me', Role.PATIENT, 'a passphrase')\n"
        )
        assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60, check=False).returncode == 9
        (left,) = (tmp_path / "profiles").iterdir()
        assert left.name.startswith(".me.")
        assert (list_profiles(tmp_path), list_profiles(tmp_path).damaged) == ([], {})
        make(tmp_path)
        assert [path.name for path in (tmp_path / "profiles").iterdir()] == ["me"]
        assert sorted(path.name for path in (tmp_path / "profiles" / "me").iterdir()) == ["profile.json", "seed.json"]

    def test_one_that_is_being_made_is_swept_by_nobody(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = profiles.write_private

        def meanwhile(path: Path, content: bytes) -> None:
            monkeypatch.setattr(profiles, "write_private", real)
            # Another one of this name, made as this one is half done.
            make(tmp_path)
            real(path, content)

        monkeypatch.setattr(profiles, "write_private", meanwhile)
        with pytest.raises(UsageError, match="exists already; it was left as it is"):
            make(tmp_path, role=Role.HOSPITAL)
        assert load_profile(tmp_path, "me").role is Role.PATIENT
        assert [path.name for path in (tmp_path / "profiles").iterdir()] == ["me"]

    @pytest.mark.parametrize("what", ["file", "pipe", "folder"])
    def test_what_has_its_name_already_is_left(self, tmp_path: Path, what: str) -> None:
        (tmp_path / "profiles").mkdir()
        place = tmp_path / "profiles" / "me"
        if what == "folder":
            place.mkdir()
            (place / "journal.sqlite").write_bytes(b"another one's")
        elif what == "pipe":
            os.mkfifo(place)
        else:
            place.write_bytes(b"mine")
        before = place.lstat()
        with pytest.raises(UsageError, match="holds something else already; it was left as it is"):
            make(tmp_path)
        assert os.path.samestat(place.lstat(), before)
        assert [path.name for path in (tmp_path / "profiles").iterdir()] == ["me"]

    @pytest.mark.parametrize("fails", [False, True])
    def test_an_empty_folder_or_a_link_to_one_keeps_its_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
    ) -> None:
        (tmp_path / "disk").mkdir()
        (tmp_path / "profiles").mkdir()
        (tmp_path / "profiles" / "me").symlink_to(tmp_path / "disk")
        if fails:
            monkeypatch.setattr(profiles, "write_private", Mock(side_effect=OSError(28, "No space left on device")))
            with pytest.raises(DiskError, match="No space left"):
                make(tmp_path)
            assert list((tmp_path / "disk").iterdir()) == []
        else:
            made = make(tmp_path)
            assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["profile.json", "seed.json"]
            assert list_profiles(tmp_path) == [made]


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
