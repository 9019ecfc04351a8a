"""How a profile is unlocked in the portal: by its passphrase, by a passkey, or by its agent, which can also keep it so.

A passkey's answer opens nothing without the profile's files, and no agent counts where several people come by. Never
puts a passphrase or an answer on a page. Follows docs/spec/portal.md, section "Unlocking", and ADR 51 and 57.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final

from panachain.agent import client
from panachain.crypto.wraps import DataKey
from panachain.errors import LockedError
from panachain.model.credentials import MAX_CREDENTIAL, PASSKEY, Answer
from panachain.passphrase import Hidden
from panachain.portal.desk import Seat
from panachain.portal.forms import Form
from panachain.portal.i18n import N_, gettext
from panachain.portal.refusals import RefusedError
from panachain.portal.site import Site
from panachain.sdk.locks import unlocked_by_passkey
from panachain.sdk.profiles import Profile, data_key, start_agent, unlocked_by_agent

PERIODS: Final = (900, 3600, 4 * 3600, 12 * 3600)
"""Seconds for which the page offers to keep a profile unlocked; 12 hours are the most that an agent lasts."""
_ANSWER: Final = 32
"""Bytes of a passkey's answer (WebAuthn level 3, section 10.1.4)."""


async def seat_of(site: Site, profile: Profile, form: Form) -> Seat:
    """Return the seat of a profile, unlocked by what a form brings.

    Args:
        site: the portal.
        profile: whose.
        form: with `passphrase`, with `credential` and `answer` of a passkey, or with `agent`; and with `keep`, for how
            many seconds an agent is to keep it unlocked, 0 for not at all.

    Raises:
        LockedError: it doesn't open it.
        RefusedError: it isn't such a form, or nothing of the kind counts here.
    """
    seconds = _seconds(site, form)
    note = client.locked_at(site.home, profile.name)
    secret = await asyncio.to_thread(_secret, site, profile, form)
    if seconds:
        # The key store is opened once: what opens it from now on is what the agent holds, and what the seat takes.
        given = secret.reveal() if isinstance(secret, Hidden) else secret
        secret = await asyncio.to_thread(data_key, profile, given)
        await asyncio.to_thread(start_agent, site.home, profile, secret, seconds)
    seat = Seat(profile, secret, site.opener, site.home, _lasting(site, profile, note, by_agent="agent" in form))
    await seat.sit()
    return seat


def lock_agent(site: Site, profile: Profile) -> None:
    """Have a profile's agent forget its key, too, if one counts here."""
    if site.keeps:
        client.lock(site.home, profile.name)


def hexadecimal(text: str, *, least: int, most: int) -> bytes:
    """Return what a page's script wrote as hexadecimal digits.

    Args:
        text: lower-case digits.
        least: bytes.
        most: bytes.

    Raises:
        RefusedError: it isn't that.
    """
    if not re.fullmatch(r"(?:[0-9a-f]{2})*", text) or not least <= len(text) // 2 <= most:
        raise RefusedError(400, gettext(N_("This isn't what a passkey answers.")))
    return bytes.fromhex(text)


def answer_of(form: Form, name: str) -> Answer:
    """Return a passkey's answer that a form brings in a field, with its credential; raises as `hexadecimal`."""
    credential = hexadecimal(form["credential"], least=1, most=MAX_CREDENTIAL)
    return Answer(PASSKEY, credential, hexadecimal(form[name], least=_ANSWER, most=_ANSWER))


def _secret(site: Site, profile: Profile, form: Form) -> Hidden | DataKey:
    if "agent" in form:
        key = unlocked_by_agent(site.home, profile) if site.keeps else None
        if key is None:
            raise LockedError("no agent keeps this profile unlocked")
        return key
    if "answer" in form:
        answer = answer_of(form, "answer")
        if answer.credential not in [one.id for one in site.passkeys(profile)]:
            raise LockedError("no passkey of this profile is bound to this portal's name")
        return unlocked_by_passkey(profile, answer)
    return Hidden(form["passphrase"])


def _seconds(site: Site, form: Form) -> int:
    text = form.get("keep") or "0"
    seconds = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else -1
    if seconds != 0 and (seconds not in PERIODS or not site.keeps):
        raise RefusedError(400, gettext(N_("A profile can't be kept unlocked for this time here.")))
    return seconds


def _lasting(site: Site, profile: Profile, note: int, *, by_agent: bool) -> Callable[[], bool]:
    """Return what tells whether a seat may stay: not after `panachain lock`, and by an agent not longer than it."""

    def lasts() -> bool:
        if not site.keeps:
            return True
        if client.locked_at(site.home, profile.name) != note:
            return False
        return not by_agent or client.status(site.home, profile.name) is not None

    return lasts
