"""Sending messages: to an address by e-mail, a phone, a chat room, by whatever service the actor chose.

A message comes from one closed list of texts (sdk/watching.py): no name, no number, nothing of health. The addresses
hold passwords and tokens, so they lie sealed under the actor's seed, are never shown, logged or put into an error, and
are typed or read from a file. Follows docs/spec/messages.md. `apprise` knows the services; this is its only place.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from panachain.crypto.keys import Seed
from panachain.errors import ConfigurationError, UnavailableError, UsageError
from panachain.sdk.kept import Kept

TITLE: Final = "PanaChain"
"""Of every message: whoever looks over a shoulder learns that somebody uses it, and nothing else."""
_MOST: Final = 20
"""Addresses of one actor."""
_LENGTH: Final = 2000
"""Characters of one address."""
_NAME: Final = "notify"


class Notifier:
    """Where one actor's messages go."""

    def __init__(self, profile: Path, seed: Seed) -> None:
        """Take the profile's folder and the actor's seed."""
        self._kept = Kept(profile, seed, _NAME)

    def services(self) -> list[str]:
        """Return the service of each address, in their order, such as `mailto`: an address itself is never shown."""
        return [url.partition(":")[0] for url in self._urls()]

    def add(self, url: str) -> str:
        """Send messages to one more address from now on, and return its service.

        Args:
            url: as apprise writes it, such as `ntfys://TOPIC`.

        Raises:
            UsageError: as `service_of`, or there are too many.
            ConfigurationError: apprise isn't installed.
        """
        known, url = self._urls(), url.strip()
        if len(known) >= _MOST:
            raise UsageError(f"at most {_MOST} addresses are kept; nothing was added")
        service = service_of(url)
        if url not in known:
            self._keep([*known, url])
        return service

    def remove(self, number: int) -> str:
        """Send nothing more to an address, by its place in `services` from 1 on, and return its service.

        Raises:
            UsageError: there is no such address.
        """
        known = self._urls()
        if not 0 < number <= len(known):
            raise UsageError(f"there is no address {number}; there are {len(known)}", hint="panachain notify list")
        url = known.pop(number - 1)
        self._keep(known)
        return url.partition(":")[0]

    def send(self, text: str) -> int:
        """Send a message to every address, and return to how many it went.

        Args:
            text: of the closed list.

        Raises:
            UsageError: there is no address.
            UnavailableError: it went to none of them.
            ConfigurationError: apprise isn't installed.
        """
        known = self._urls()
        if not known:
            raise UsageError("there is no address to send messages to", hint="panachain notify add")
        sent = sum(_delivered(url, text) for url in known)
        if not sent:
            raise UnavailableError(f"the message went to none of {len(known)} addresses", hint="panachain notify test")
        return sent

    def _urls(self) -> list[str]:
        content = self._kept.read()
        urls = content.get("urls") if isinstance(content, dict) else None
        return [one for one in urls if isinstance(one, str)] if isinstance(urls, list) else []

    def _keep(self, urls: Sequence[str]) -> None:
        self._kept.write({"urls": list(urls)})


def service_of(url: str) -> str:
    """Return the service that an address is of, such as `mailto`, and keep nothing of it.

    Args:
        url: as `Notifier.add` takes it.

    Raises:
        UsageError: it is no address of a service that is known.
        ConfigurationError: apprise isn't installed.

    Examples:
        >>> service_of("ntfys://a-topic")
        'ntfys'
    """
    url = url.strip()
    if len(url) > _LENGTH:
        raise UsageError(f"an address has at most {_LENGTH} characters; nothing was added")
    # Without the address: it may hold a password.
    if not url.isprintable() or _sender(url) is None:
        raise UsageError(
            "this is no address that messages can be sent to; nothing was added",
            hint="see apprise's list of services, such as ntfys://TOPIC",
        )
    return url.partition(":")[0]


def _delivered(url: str, text: str) -> bool:
    sender = _sender(url)
    try:
        return sender is not None and bool(sender.notify(body=text, title=TITLE))
    except Exception:  # noqa: BLE001
        # A plugin of any service; its message may quote the address, and the others get theirs.
        return False


def _sender(url: str) -> Any:
    """Return what sends to an address; None where no service is known for it."""
    try:
        import apprise
    except ImportError:
        raise ConfigurationError(
            "messages are sent by `apprise`, which isn't installed", hint="pip install 'panachain[messages]'"
        ) from None
    # It logs what it can't read, which may be a password; and what it sends by logs paths, which may be a token.
    for name in ("apprise", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    sender = apprise.Apprise()
    return sender if sender.add(url) else None
