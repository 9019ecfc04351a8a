"""The address book of this machine: names of one's own for actors elsewhere, typed and shown in place of hex.

A name here decides who gets a grant: so the file is the user's alone (0600), a name stands for one address and an
address has one name, and a damaged file stops the command before it does anything.

    HOME/contacts.json    `panachain/contacts/1`, docs/spec/cli.md, section "State on disk"
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from panachain.errors import ConfigurationError, DiskError, UnknownActorError, UsageError
from panachain.ethereum import checksum_address
from panachain.model.actors import Address, Role, handle_of
from panachain.private_files import make_private_folder, open_private, write_private

FILE: Final = "contacts.json"
SCHEMA: Final = "panachain/contacts/1"
_MAX_SIZE: Final = 1 << 20
"""Bytes of the file that are read; some 8,000 contacts."""
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
"""Of contacts and of profiles: ASCII only, so that no two names look alike."""
_HANDLE: Final = re.compile(r"[a-z]{3}-[a-z2-7]{13}")
_DEPTH: Final = 3
"""How deep the file's brackets are nested; the JSON reader's stack isn't safe from deeper ones."""
_FIELDS: Final = {"name", "address", "role"}


@dataclass(frozen=True)
class Contact:
    """Somebody whom this machine's user named."""

    name: str
    address: Address
    role: Role | None = None
    """What the registry said when the contact was added; None for an account that no registry knew."""

    @property
    def handle(self) -> str:
        """The contact's handle; empty without a role."""
        return handle_of(self.address, self.role) if self.role else ""

    def to_json(self) -> dict[str, object]:
        """Return the contact as JSON, schema `panachain/contact/1`."""
        return {
            "schema": "panachain/contact/1",
            "name": self.name,
            "address": self.address,
            "role": self.role.value if self.role else "",
            "handle": self.handle,
        }


def list_contacts(home: Path) -> list[Contact]:
    """Return all contacts, by name.

    Raises:
        ConfigurationError: the file is damaged, or others may change it.
    """
    path = home / FILE
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid != os.getuid():
                raise ConfigurationError(
                    f"others may read or change {path}, and its names decide who is granted what",
                    hint=f"look through it, then: chmod 600 '{path}'",
                )
            content = file.read(_MAX_SIZE + 1)
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be read: {exc.strerror}") from exc
    try:
        return sorted(_parse(content), key=lambda contact: contact.name)
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ConfigurationError(
            f"{path} isn't an address book of schema {SCHEMA}", hint=f"mend it, or move it away: mv '{path}' away"
        ) from exc


def looks_like_an_actor(name: str) -> bool:
    """Tell whether a name could be taken for somebody's address or handle."""
    return name.startswith("0x") or _HANDLE.fullmatch(name) is not None


def find_contact(home: Path, name: str) -> Contact | None:
    """Return the contact of this name, or None."""
    if not NAME.fullmatch(name):
        return None
    return next((contact for contact in list_contacts(home) if contact.name == name), None)


def check_name(home: Path, name: str) -> None:
    """Check that a name can be given to a contact.

    Raises:
        UsageError: its spelling isn't allowed, it looks like a handle or an address, or a profile has it.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"contact name {name!a}: use 1 to 64 of a-z, 0-9, dot, dash and underscore")
    if looks_like_an_actor(name):
        raise UsageError(f"contact name {name!r} looks like an address or a handle, which name somebody already")
    if (home / "profiles" / name).exists():
        raise UsageError(f"a profile of this machine is called {name!r}", hint="choose another name for the contact")


def add_contact(home: Path, name: str, address: Address, role: Role | None = None) -> Contact:
    """Enter a contact. The same once more is no error.

    Raises:
        UsageError: the name can't be used, stands for somebody else, or the address has another name.
        ConfigurationError: the file is damaged.
    """
    check_name(home, name)
    made = Contact(name, check_address(address), role)
    with _changing(home) as contacts:
        for known in contacts.values():
            if known.name == name and known.address != made.address:
                raise UsageError(
                    f"{name!r} stands for {known.address} already; it was left as it is",
                    hint=f"panachain contacts remove {name}",
                )
            if known.address == made.address and known.name != name:
                raise UsageError(
                    f"{known.address} is called {known.name!r} already; one address has one name",
                    hint=f"panachain contacts remove {known.name}",
                )
        contacts[name] = made
    return made


def remove_contact(home: Path, name: str) -> Contact:
    """Take a contact out; policies and records aren't touched.

    Raises:
        UnknownActorError: there is no such contact.
    """
    with _changing(home) as contacts:
        if name not in contacts:
            raise UnknownActorError(f"no contact is called {name!a}", hint="panachain contacts list")
        return contacts.pop(name)


def rename_contact(home: Path, name: str, new: str) -> Contact:
    """Give a contact another name; address and role stay.

    Raises:
        UnknownActorError: there is no such contact.
        UsageError: the new name can't be used, or stands for somebody else.
    """
    check_name(home, new)
    with _changing(home) as contacts:
        if name not in contacts:
            raise UnknownActorError(f"no contact is called {name!a}", hint="panachain contacts list")
        if new in contacts and new != name:
            raise UsageError(f"{new!r} stands for {contacts[new].address} already; nobody was renamed")
        made = replace(contacts.pop(name), name=new)
        contacts[new] = made
    return made


def check_address(text: str) -> Address:
    """Return an address whose spelling is that of EIP-55, so that no digit was mistyped.

    Raises:
        UsageError: it isn't one.
    """
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text, re.ASCII) or checksum_address(bytes.fromhex(text[2:])) != text:
        raise UsageError(f"{text!a} is no address with a right checksum (EIP-55): 0x and 40 hexadecimal digits")
    return Address(text)


@contextmanager
def _changing(home: Path) -> Iterator[dict[str, Contact]]:
    """Give the contacts by name, and write them back; two changes at once wait for each other."""
    try:
        make_private_folder(home)
        with open(open_private(home / f".{FILE}.lock", os.O_RDWR), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            contacts = {contact.name: contact for contact in list_contacts(home)}
            yield contacts
            entries = [
                {"name": one.name, "address": one.address, "role": one.role.value if one.role else ""}
                for one in sorted(contacts.values(), key=lambda contact: contact.name)
            ]
            content = json.dumps({"schema": SCHEMA, "contacts": entries}, indent=1).encode() + b"\n"
            if len(content) > _MAX_SIZE:
                raise UsageError(f"an address book holds at most {_MAX_SIZE:,} bytes, this would be {len(content):,}")
            write_private(home / FILE, content)
    except OSError as exc:
        raise DiskError(f"{home / FILE} can't be written: {exc.strerror}") from exc


def _parse(content: bytes) -> list[Contact]:
    """Return the contacts of a file's content.

    Raises:
        ValueError: it isn't what this module writes.
    """
    if len(content) > _MAX_SIZE:
        raise ValueError("too large")
    if _depth(content) > _DEPTH:
        raise ValueError("nested too deeply")
    body = json.loads(content, object_pairs_hook=_once)
    if set(body) != {"schema", "contacts"} or body["schema"] != SCHEMA or not isinstance(body["contacts"], list):
        raise ValueError("another schema")
    contacts = [_contact(entry) for entry in body["contacts"]]
    for seen in ([one.name for one in contacts], [one.address for one in contacts]):
        if len(set(seen)) != len(seen):
            raise ValueError("a name or an address stands twice")
    return contacts


def _contact(entry: Mapping[str, Any]) -> Contact:
    name = entry["name"]
    if set(entry) != _FIELDS or not NAME.fullmatch(name) or looks_like_an_actor(name):
        raise ValueError("no contact")
    try:
        address = check_address(entry["address"])
    except UsageError as exc:
        raise ValueError(str(exc)) from exc
    return Contact(name, address, Role(entry["role"]) if entry["role"] else None)


def _depth(content: bytes) -> int:
    """Return how deep brackets are nested at most; no string that this module writes holds one."""
    deepest = depth = 0
    for bracket in re.findall(rb"[\[\]{}]", content):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's fields; a field that stands twice would mean another thing to another reader."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands twice")
    return found
