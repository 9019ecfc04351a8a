"""The address book: names stand for one address each, and no hostile file gets a name in."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panachain.errors import ConfigurationError, UnknownActorError, UsageError
from panachain.model.actors import Address, Role
from panachain.sdk.contacts import (
    FILE,
    SCHEMA,
    Contact,
    add_contact,
    find_contact,
    list_contacts,
    remove_contact,
    rename_contact,
)
from panachain.sdk.profiles import create_profile

CARDIOLOGIST = Address("0x52908400098527886E0F7030069857D2E4169EE7")
PHARMACIST = Address("0x8617E340B3D01FA5F11F306F4090FD50E238070D")


def written(home: Path, content: bytes, mode: int = 0o600) -> None:
    path = home / FILE
    path.write_bytes(content)
    path.chmod(mode)


def book(*entries: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"schema": SCHEMA, "contacts": list(entries)} | more).encode()


def entry(name: Any = "cardiologist", address: Any = CARDIOLOGIST, role: Any = "practitioner") -> dict[str, Any]:
    return {"name": name, "address": address, "role": role}


def test_a_contact_is_found_listed_and_removed(tmp_path: Path) -> None:
    made = add_contact(tmp_path, "cardiologist", CARDIOLOGIST, Role.PRACTITIONER)
    add_contact(tmp_path, "a-study", PHARMACIST)

    assert find_contact(tmp_path, "cardiologist") == made
    assert [one.name for one in list_contacts(tmp_path)] == ["a-study", "cardiologist"]
    assert made.to_json()["handle"].startswith("pra-")  # type: ignore[attr-defined]
    assert Contact("a-study", PHARMACIST).to_json()["handle"] == ""

    assert remove_contact(tmp_path, "cardiologist") == made
    assert find_contact(tmp_path, "cardiologist") is None
    with pytest.raises(UnknownActorError):
        remove_contact(tmp_path, "cardiologist")


def test_the_file_is_the_users_alone(tmp_path: Path) -> None:
    add_contact(tmp_path, "cardiologist", CARDIOLOGIST)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_the_same_contact_twice_is_no_error(tmp_path: Path) -> None:
    add_contact(tmp_path, "cardiologist", CARDIOLOGIST)
    add_contact(tmp_path, "cardiologist", CARDIOLOGIST, Role.PRACTITIONER)
    assert list_contacts(tmp_path) == [Contact("cardiologist", CARDIOLOGIST, Role.PRACTITIONER)]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Dr-One",
        "dr physio",
        "../x",
        "-x",
        ".x",
        "x" * 65,
        "dr-oné",
        "dr‐physio",
        "0x5290",
        "pra-mfrggzdfmy2tq",
        "a\nb",
    ],
)
def test_refuses_names_that_could_be_taken_for_another(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        add_contact(tmp_path, name, CARDIOLOGIST)
    assert list_contacts(tmp_path) == []


def test_refuses_a_name_that_stands_for_somebody_else(tmp_path: Path) -> None:
    add_contact(tmp_path, "cardiologist", CARDIOLOGIST)
    with pytest.raises(UsageError, match="stands for"):
        add_contact(tmp_path, "cardiologist", PHARMACIST)
    assert list_contacts(tmp_path) == [Contact("cardiologist", CARDIOLOGIST)]


def test_refuses_a_second_name_for_an_address(tmp_path: Path) -> None:
    add_contact(tmp_path, "cardiologist", CARDIOLOGIST)
    with pytest.raises(UsageError, match="one address has one name"):
        add_contact(tmp_path, "physio", CARDIOLOGIST)


def test_contacts_and_profiles_share_no_name(tmp_path: Path) -> None:
    create_profile(tmp_path, "me", Role.PATIENT, "passphrase of a test")
    with pytest.raises(UsageError, match="a profile"):
        add_contact(tmp_path, "me", CARDIOLOGIST)
    add_contact(tmp_path, "cardiologist", CARDIOLOGIST)
    with pytest.raises(UsageError, match="a contact"):
        create_profile(tmp_path, "cardiologist", Role.PATIENT, "passphrase of a test")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "0x",
        CARDIOLOGIST.lower(),
        CARDIOLOGIST[:-1],
        CARDIOLOGIST[:-1] + "8",
        "x" * 42,
        CARDIOLOGIST + "\n",
        "0x" + "٣" * 40,
    ],
)
def test_refuses_an_address_without_its_checksum(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match="checksum"):
        add_contact(tmp_path, "cardiologist", Address(address))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schema": "panachain/contacts/2", "contacts": []}',
        b'{"schema": "panachain/contacts/1", "contacts": {}}',
        b'{"schema": "panachain/contacts/1", "schema": "panachain/contacts/1", "contacts": []}',
        book(more=1),
        book("cardiologist"),  # type: ignore[arg-type]
        book(entry(name=1)),
        book(entry(name="Dr-One")),
        book(entry(name="pra-mfrggzdfmy2tq")),
        book(entry(name="0xdead")),
        book(entry(name="cardiologist\u202e")),
        book(entry(address=CARDIOLOGIST.lower())),
        book(entry(address=None)),
        book(entry(role="king")),
        book(entry() | {"note": "x"}),
        book(entry(), entry(address=PHARMACIST)),
        book(entry(), entry(name="physio")),
        book(*[entry()] * 20_000),
    ],
)
def test_a_damaged_file_gives_no_name_and_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    written(tmp_path, content)
    with pytest.raises(ConfigurationError):
        find_contact(tmp_path, "cardiologist")
    with pytest.raises(ConfigurationError):
        add_contact(tmp_path, "pharmacist", PHARMACIST)
    assert (tmp_path / FILE).read_bytes() == content


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=300)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(
        lambda body: json.dumps({"schema": SCHEMA, "contacts": body}).encode()
    )
)
def test_whatever_the_file_holds_it_is_contacts_or_a_clear_error(tmp_path: Path, content: bytes) -> None:
    written(tmp_path, content)
    with contextlib.suppress(ConfigurationError):
        assert all(isinstance(one, Contact) for one in list_contacts(tmp_path))


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_file_that_others_can_touch_is_not_believed(tmp_path: Path, mode: int) -> None:
    written(tmp_path, book(entry()), mode)
    with pytest.raises(ConfigurationError, match="others may"):
        list_contacts(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(book(entry()))
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError):
        list_contacts(tmp_path)


def test_changes_at_once_all_come_in(tmp_path: Path) -> None:
    from panachain.ethereum import checksum_address

    threads = [
        threading.Thread(target=add_contact, args=(tmp_path, f"c{n}", checksum_address(bytes([n]) * 20)))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list_contacts(tmp_path)) == 8


@pytest.mark.parametrize("name", ["0x", "0x1234", "pra-mfrggzdfmy2tq", "xyz-2222222222222"])
def test_a_profile_cannot_be_called_like_somebodys_handle_or_address(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="looks like an address or a handle"):
        create_profile(tmp_path, name, Role.PATIENT, "passphrase")
    assert not (tmp_path / "profiles").exists()


def test_a_contact_is_renamed_and_stays_who_it_is(tmp_path: Path) -> None:
    added = add_contact(tmp_path, "one", CARDIOLOGIST, Role.PATIENT)
    add_contact(tmp_path, "two", PHARMACIST)
    assert rename_contact(tmp_path, "one", "three") == replace(added, name="three")
    assert rename_contact(tmp_path, "three", "three").name == "three"
    with pytest.raises(UsageError, match="stands for"):
        rename_contact(tmp_path, "three", "two")
    with pytest.raises(UnknownActorError):
        rename_contact(tmp_path, "one", "four")
    with pytest.raises(UsageError):
        rename_contact(tmp_path, "three", "0x12")
    assert [(one.name, one.address) for one in list_contacts(tmp_path)] == [
        ("three", CARDIOLOGIST),
        ("two", PHARMACIST),
    ]
