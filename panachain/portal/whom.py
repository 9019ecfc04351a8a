"""Whom a form means: a name is looked up once, before anything is confirmed, and the account is what is confirmed.

A name can mean somebody else a moment later: other people of the same machine change its contacts. Follows
docs/spec/portal.md, section "Confirmations", and security rule 16.
"""

from __future__ import annotations

from typing import Any

from panachain.errors import PanaChainError
from panachain.model.actors import Address, Role, handle_of
from panachain.plain import line
from panachain.portal.desk import Seat
from panachain.sdk.contacts import check_address

_MOST = 200
"""Characters of a name that are looked at."""


async def account_of(seat: Seat, text: str, *roles: Role) -> Address:
    """Return the account that a text means.

    Args:
        seat: whose registries are asked.
        text: an address, which stands for itself though no registry answers; or a profile's or a contact's name, or a
            handle.
        roles: accept only these, where a name or a handle is looked up; none accepts all.

    Raises:
        UnknownActorError: nobody fits.
        UsageError: it is an address with a wrong checksum.
    """
    text = text.strip()[:_MOST]
    if text.startswith("0x"):
        return check_address(text)
    found: Address = await seat.run(lambda actor: actor.network.resolve(text, *roles).address)
    return found


async def called(seat: Seat, address: str, role: Role | None = None) -> str:
    """Return what a confirmation calls an account: by its name, its handle and its whole address.

    Args:
        seat: whose names these are.
        address: of the account.
        role: of whoever has it, if that is known; otherwise the registries are asked for the handle.
    """
    account = Address(address)
    handle = handle_of(account, role) if role is not None else await seat.run(_handle, account)
    name = line(seat.names.of(account, role))
    # A branch's name holds its handle already.
    more = [part for part in (handle, account) if part and part not in name]
    return f"{name} ({', '.join(more)})" if more else name


def _handle(actor: Any, account: Address) -> str:
    try:
        return str(actor.network.resolver.registered(account).handle)
    except PanaChainError:
        # It adorns an address that is shown whole: somebody can be blocked though no registry answers or knows them.
        return ""
