"""A device that lost its seed asks guardians for it: a one-time key, the words to read out, and the answers.

Never writes the one-time key unlocked: it lies in a key store, under the passphrase of the profile that is to come.
What the answers hold are recovery shares, checked as those on paper are (sdk/recovery.py).
Follows docs/spec/recovery.md, section "Guardians", and ADR 54.

    HOME/asking/seed.json    what the one-time key follows from, locked
    HOME/asking/ask.json     the question (`panachain/asking/1`)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from panachain.crypto import keystore
from panachain.crypto.keys import Seed
from panachain.errors import ConfigurationError, DiskError, UsageError
from panachain.ethereum import parse_address
from panachain.ipld.cid import CID
from panachain.passphrase import Hidden
from panachain.private_files import make_private_folder, write_private
from panachain.sdk.guardian_blocks import ANSWER, ASK, code_of, line, open_answer, question, read_line
from panachain.sdk.recovery import RecoveryShare, check_together, read_share
from panachain.sdk.results.guardians import QuestionReport
from panachain.storage.blocks import keep

if TYPE_CHECKING:
    from panachain.sdk.network import Network

_FOLDER: Final = "asking"
_SCHEMA: Final = "panachain/asking/1"
_LONGEST: Final = 1 << 12
"""Bytes of `ask.json`."""


class Asking:
    """The question of one machine; there is one at a time.

    Examples:
        >>> from panachain.sdk.asking import Asking
        >>> with connect("me", role="patient") as patient:
        ...     asking = Asking(patient.network.home)
        ...     asked = asking.ask(patient.network, patient.address, "a passphrase")
        ...     asking.view() == asked
        True
    """

    def __init__(self, home: Path) -> None:
        """Take the folder of all state; nothing is read yet."""
        self._folder = home / _FOLDER

    def ask(self, network: Network, who: str, passphrase: str | Hidden) -> QuestionReport:
        """Make a question, in place of one that was made before.

        Args:
            network: its store takes the question, and its registries know the account.
            who: handle or address of the account whose seed was lost.
            passphrase: locks the one-time key on this machine.

        Raises:
            UnknownActorError: no registry knows the account.
            DiskError: the disk refuses.
            StoreUnavailableError: the store doesn't take the question.
        """
        account = network.resolver.registered(who).address
        hidden = passphrase if isinstance(passphrase, Hidden) else Hidden(passphrase)
        del passphrase
        seed = Seed.random()
        cid = keep(network.store, question(account, seed.sealing().public))
        self.end()
        try:
            make_private_folder(self._folder)
            keystore.create(self._folder / "seed.json", seed, hidden.reveal())
            content = {"schema": _SCHEMA, "account": account, "ask": str(cid)}
            write_private(self._folder / "ask.json", json.dumps(content).encode())
        except OSError as exc:
            raise DiskError(f"{self._folder} can't be written: {exc.strerror}") from exc
        return self.view()

    def view(self) -> QuestionReport:
        """Return the question of this machine, to be shown again.

        Raises:
            UsageError: there is none.
            ConfigurationError: the file is damaged.
        """
        path = self._folder / "ask.json"
        try:
            with path.open("rb") as file:
                fields = json.loads(file.read(_LONGEST))
            if fields["schema"] != _SCHEMA:
                raise ValueError("another file")
            cid = CID.parse(fields["ask"])
            account = parse_address(fields["account"])
        except FileNotFoundError:
            raise UsageError(
                "this machine hasn't asked guardians for anything", hint="panachain recovery ask --who HANDLE"
            ) from None
        except OSError as exc:
            raise DiskError(f"{path} can't be read: {exc.strerror}") from exc
        except (ValueError, KeyError, TypeError, UsageError, RecursionError) as exc:
            raise ConfigurationError(f"{path} can't be read", hint="ask anew: panachain recovery ask") from exc
        return QuestionReport(account, line(ASK, cid), " ".join(code_of(cid)))

    def answers(
        self, network: Network, texts: Sequence[str], passphrase: str | Hidden | Callable[[], str | Hidden]
    ) -> list[RecoveryShare]:
        """Return the shares in guardians' answers to this machine's question.

        Args:
            network: its store has the answers.
            texts: the lines that guardians sent.
            passphrase: what the question was made with, or returns it.

        Raises:
            UsageError: there is no question, or a text is no line of an answer.
            LockedError: it is another passphrase.
            ShareError: an answer is for another question, or its share is damaged or of another set than the others.
            BlockNotFoundError: no store has an answer.
        """
        asked = read_line(self.view().ask, ASK)
        places = [read_line(text, ANSWER) for text in texts]
        given = passphrase() if callable(passphrase) else passphrase
        hidden = given if isinstance(given, Hidden) else Hidden(given)
        del given, passphrase
        secret = keystore.open(self._folder / "seed.json", hidden.reveal()).sealing()
        found: list[RecoveryShare] = []
        for cid in places:
            found.append(read_share(open_answer(network.store.get_block(cid), secret, asked)))
            check_together(found)
        return found

    def end(self) -> None:
        """Forget the question and its key, as when the profile is restored.

        Raises:
            DiskError: the disk refuses.
        """
        try:
            shutil.rmtree(self._folder)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise DiskError(f"{self._folder} can't be deleted: {exc.strerror}") from exc
