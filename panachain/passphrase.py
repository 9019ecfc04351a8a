"""Where a passphrase comes from: a descriptor, a file, a command, the system's keychain, or a prompt on a terminal.

Never takes one from an argument or an environment variable's value: other processes can read both.
Follows docs/spec/cli.md, section "Passphrases", and security rule 10.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from panachain.errors import LockedError, UsageError

MAXIMUM_SIZE: Final = 4096
"""Bytes of a passphrase; what is longer is some other file."""

COMMAND_TIMEOUT: Final = 60
"""Seconds that a passphrase command may take; it may wait for a hardware key."""

FILE: Final = "PANACHAIN_PASSPHRASE_FILE"
COMMAND: Final = "PANACHAIN_PASSPHRASE_COMMAND"
_SERVICE: Final = "panachain"
"""What entries of the keychain belong to."""


class Hidden:
    """A passphrase on its way to a key store. Its `repr` shows nothing of it, so no traceback with variables does."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Hidden()"

    def reveal(self) -> str:
        """Return the passphrase itself, for the key store and for nothing else."""
        return self._text


@dataclass(frozen=True)
class Sources:
    """Where the settings' files say that passphrases come from; none of it is a passphrase."""

    file: str = ""
    """A file whose first line it is; empty for none."""
    command: str = ""
    """A program and its arguments, whose first line of output it is; empty for none."""
    keychain: str = ""
    """Under which name the system's keychain may hold it; empty asks none."""


def is_named(sources: Sources) -> bool:
    """Tell whether the environment or the settings name where a passphrase comes from, so that nobody is asked."""
    named = os.environ.get(FILE) or os.environ.get(COMMAND)
    return bool(named or sources.file or sources.command or sources.keychain)


def read_passphrase(
    what: str,
    *,
    descriptor: int | None = None,
    file: Path | None = None,
    settings: Callable[[], Sources] | None = None,
    confirm: bool = False,
) -> str:
    """Return the passphrase from the first source that is given.

    Args:
        what: what it opens, for the prompt.
        descriptor: the number given with `--passphrase-fd`.
        file: a file that a program names; None leaves it to the settings.
        settings: returns what the settings' files name; asked only where the environment names nothing, so that a
            service, which has no settings, reads none.
        confirm: ask twice, because the passphrase is a new one. Only a prompt can be mistyped.

    Raises:
        LockedError: there is no source, or it gives nothing.
        UsageError: the file descriptor is no number of an open file.
    """
    if descriptor is not None:
        return _from_descriptor(descriptor)
    if file is not None:
        return _from_file(file, "passphrase_file")
    if name := os.environ.get(FILE):
        return _from_file(Path(name), FILE)
    if command := os.environ.get(COMMAND):
        return _from_command(command, COMMAND)
    sources = Sources() if settings is None else settings()
    if sources.file:
        return _from_file(Path(sources.file).expanduser(), "the setting passphrase_file")
    if sources.command:
        return _from_command(sources.command, "the setting passphrase_command")
    # What isn't remembered yet is asked for.
    if sources.keychain and (remembered := recall(sources.keychain)):
        return remembered
    if sys.stdin.isatty():
        return _from_terminal(what, confirm=confirm)
    raise LockedError(
        f"the passphrase of {what} is needed, and there is no terminal to ask on",
        hint=f"set {FILE} or {COMMAND}, or use --passphrase-fd",
    )


def read_new_passphrase(what: str, *, descriptor: int | None = None, file: Path | None = None) -> str:
    """Return the passphrase that `what` gets: never from where its old one comes.

    Args:
        what: what it is to open, for the prompt.
        descriptor: the number of an open file that gives it.
        file: a file whose first line it is.

    Raises:
        UsageError: two sources are given, or the file descriptor is no number of an open file.
        LockedError: there is no source, or it gives nothing.
    """
    if descriptor is not None and file is not None:
        raise UsageError("two sources of the new passphrase were given; which one counts can't be told")
    if descriptor is not None:
        return _from_descriptor(descriptor)
    if file is not None:
        return _from_file(file, "--new-passphrase-file")
    if sys.stdin.isatty():
        return _from_terminal(f"{what} from now on", confirm=True)
    raise LockedError(
        f"the new passphrase of {what} is needed, and there is no terminal to ask on",
        hint="use --new-passphrase-fd or --new-passphrase-file",
    )


def recall(name: str) -> str | None:
    """Return the passphrase that the system's keychain holds under a name, or None.

    Raises:
        LockedError: there is no keychain that locks what it holds, or it stays locked.
    """
    with _keychain() as chain:
        found: str | None = chain.get_password(_SERVICE, name)
        return found


def remember(name: str, passphrase: str) -> None:
    """Have the system's keychain hold a passphrase, and read it back; raises as `recall`."""
    with _keychain() as chain:
        chain.set_password(_SERVICE, name, passphrase)
        same = chain.get_password(_SERVICE, name) == passphrase
    if not same:
        raise LockedError("the keychain doesn't give back what it was given; give the passphrase yourself")


def forget(name: str) -> bool:
    """Take a passphrase out of the system's keychain, and tell whether there was one; raises as `recall`."""
    with _keychain() as chain:
        if chain.get_password(_SERVICE, name) is None:
            return False
        chain.delete_password(_SERVICE, name)
        return True


@contextmanager
def _keychain() -> Iterator[Any]:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise LockedError(
            "the keychain is asked for by `keyring`, which isn't installed", hint="pip install 'panachain[keychain]'"
        ) from None
    try:
        chain = keyring.get_keyring()
        # Below 1 are those that its makers don't recommend: files in the clear, and none at all.
        weak = [one for one in getattr(chain, "backends", [chain]) if one.priority < 1]
        if weak:
            raise LockedError(f"this system's keychain is {type(weak[0]).__name__}, which isn't one that locks")
        yield chain
    except (KeyringError, RuntimeError) as exc:
        # Without a cause: whatever a backend quotes stays there.
        raise LockedError(
            f"the keychain refuses: {type(exc).__name__}", hint="unlock it, or give the passphrase"
        ) from None


def _from_descriptor(descriptor: int) -> str:
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return _text(file.read(MAXIMUM_SIZE + 1), f"file descriptor {descriptor}")
    except OSError as exc:
        raise UsageError(f"--passphrase-fd {descriptor} can't be read: {exc.strerror}") from exc


def _from_file(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            # Only the user's own files are refused: the user can mend them, unlike one that a container mounts.
            lax = stat.S_ISREG(found.st_mode) and found.st_mode & 0o077
            if lax and found.st_uid == os.getuid():
                raise LockedError(
                    f"{source} names a file that others may read (mode {stat.S_IMODE(found.st_mode):04o})",
                    hint=f"chmod 600 {shlex.quote(str(path))}",
                )
            return _text(file.read(MAXIMUM_SIZE + 1), source)
    except OSError as exc:
        raise LockedError(
            f"{source} names {path}, which can't be read: {exc.strerror}",
            hint=f"make that file, with the passphrase on its first line and mode 0600, or unset {source}",
        ) from exc


def _from_command(command: str, source: str) -> str:
    # Imported here: only such a setting needs it.
    import subprocess

    from panachain.beside import environment_of_others

    try:
        words = shlex.split(command)
        # No shell: it is a program and its arguments, nothing more. Its talk may go to the terminal.
        done = subprocess.run(
            words, stdout=subprocess.PIPE, timeout=COMMAND_TIMEOUT, check=False, env=environment_of_others()
        )
    except (ValueError, IndexError) as exc:
        raise LockedError(f"{source} is no command line") from exc
    except OSError as exc:
        raise LockedError(f"the program that {source} names can't be run: {exc.strerror}") from exc
    except subprocess.TimeoutExpired:
        # Without a cause: the exception holds what the program has written so far.
        raise LockedError(f"the program that {source} names gave no answer in {COMMAND_TIMEOUT} s") from None
    if done.returncode:
        raise LockedError(f"the program that {source} names ended with exit code {done.returncode}")
    return _text(done.stdout, source)


def _from_terminal(what: str, *, confirm: bool) -> str:
    # Imported here: only a prompt needs it.
    import click

    text: str = click.prompt(
        f"Passphrase of {what}",
        hide_input=True,
        confirmation_prompt="Again" if confirm else False,
        err=True,
        show_default=False,
    )
    return text


def _text(content: bytes, source: str) -> str:
    """Return the first line of what a source gave."""
    if len(content) > MAXIMUM_SIZE:
        raise LockedError(f"{source} gives more than {MAXIMUM_SIZE} bytes; that is no passphrase")
    line = content.split(b"\n", 1)[0].removesuffix(b"\r")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        # Without a cause: the exception holds the bytes.
        raise LockedError(f"{source} gives no UTF-8 text") from None
    if not text:
        raise LockedError(f"{source} gives an empty passphrase")
    return text
