"""One tree of errors: every failure that PanaChain reports on purpose, each with a `hint`: the next thing to do.

Never carries a key, a plaintext, a name or an identifier of a person: ids, sizes and times only.
Follows the exit codes of the command line (docs/spec/cli.md).

    PanaChainError                      1
    ├── UsageError                      2   bad argument, bad input file, unknown category
    │   ├── InputError                  2   a source file that can't be read as what it claims to be
    │   │   └── ConsentNotEnforceableError  2   a FHIR Consent that no grant can hold as it is written
    │   ├── NothingToDoError            2
    │   ├── ShareError                  2   recovery shares that restore nothing as they are
    │   │   ├── ShareDamagedError       2   the words of one can't be right
    │   │   ├── ShareRepeatedError      2   the same one was given twice
    │   │   ├── SharesMixedError        2   they are of different sets, or of different actors
    │   │   ├── SharesThresholdError    2   they don't say the same number that is needed
    │   │   └── SharesTooFewError       2
    │   ├── UnknownActorError           2
    │   └── ConfigurationError          2
    ├── PartlyDoneError                 3
    ├── LockedError                     4   wrong passphrase, no passphrase, no such key
    │   └── SecurityKeyError            4   a security key is missing, refuses, or wasn't touched
    │       └── SecurityKeyMissingError 4   none that is plugged in opens this
    ├── AccessDeniedError               5
    │   ├── PolicyUnknownError          5
    │   ├── PolicyNotActiveError        5   before its window
    │   │   └── OpensLaterError         5   what the patient lets wait in an emergency still has to
    │   ├── PolicyExpiredError          5   after its window
    │   ├── PolicyRevokedError          5
    │   ├── OutOfScopeError             5   lane, purpose or grantee doesn't fit the policy
    │   ├── NotPairedError              5   the patient didn't assent that the hospital publishes, or no longer does
    │   └── SuspendedError              5
    ├── IntegrityError                  6   bytes, a signature or a proof don't fit
    │   └── SharesWrongError            6   recovery shares that make another seed than the one that is looked for
    ├── TooLargeError                   1   a record is larger, all of it put back, than the settings allow
    ├── UnavailableError                7
    │   ├── ChainUnavailableError       7
    │   │   └── NodeRefusedError        5   the chain's node or its gate doesn't admit the caller
    │   ├── RelaysUnavailableError      7
    │   ├── StoreUnavailableError       7
    │   │   ├── BlockNotFoundError      7
    │   │   └── BlockOutOfReachError    7   no store that answers has it, and another one doesn't answer
    │   ├── EndpointRefusedError        7   an endpoint of others that nothing is sent to
    │   ├── RateLimitedError            7   too many requests; the same one later succeeds
    │   └── ProxiesUnavailableError     7   fewer than t good answers
    ├── TransactionError                1   the contract reverted (decoded), or the transaction was not mined
    │   └── StuckError                  3   it was sent, and a chain that goes on doesn't take it
    └── DiskError                       1   disk full, read-only, no permission
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

from panachain.plain import line

Failed = TypeVar("Failed", bound=BaseException)


class PanaChainError(Exception):
    """Base of every error that PanaChain raises on purpose.

    `exit_code` is what the command line ends with; `hint` is the next thing to do.

    Examples:
        >>> try:
        ...     connect("nobody")
        ... except PanaChainError as error:
        ...     print(type(error).__name__, error.exit_code, bool(error.hint))
        UnknownActorError 2 True
    """

    exit_code: ClassVar[int] = 1
    usual_hint: ClassVar[str] = "`panachain doctor` checks this machine, the network and its services"
    """The hint of an error that brings none of its own."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        # Messages carry what others wrote, into terminals, logs and tracebacks: here all of it comes by.
        super().__init__(line(message))
        self.hint = line(hint or self.usual_hint)


def alone(error: Failed) -> Failed:
    """Return an error without the frames that it came through, and without what it came of: both hold secrets.

    Python keeps what an error came of also where it is raised `from None`, and tools show it with its variables.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class UsageError(PanaChainError):
    """The caller asked for something that makes no sense; nothing was changed."""

    exit_code = 2
    usual_hint = "correct what the message names and try again"


class InputError(UsageError):
    """A source can't be read as what it claims to be; nothing of it was published."""

    usual_hint = "correct the file, or leave it out, and try again: what was published before isn't published twice"


class ConsentNotEnforceableError(InputError):
    """A FHIR Consent says something that no grant can hold; nothing was granted.

    `provisions` names each such place, as FHIRPath writes it, with the reason in plain words.
    """

    usual_hint = "change what the message names in the Consent, or grant without a Consent"

    def __init__(self, message: str, *, provisions: tuple[tuple[str, str], ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.provisions = provisions

    @classmethod
    def of(cls, provisions: tuple[tuple[str, str], ...], *, hint: str = "") -> Self:
        """Return the error that names these places, at least one."""
        place, reason = provisions[0]
        more = f"; and {len(provisions) - 1} more: {', '.join(p for p, _ in provisions[1:6])}" if provisions[1:] else ""
        return cls(f"{place} {reason}{more}", provisions=provisions, hint=hint)


class NothingToDoError(UsageError):
    """What was named holds nothing that could be done."""

    usual_hint = "look whether what was named is what was meant"


class ShareError(UsageError):
    """Recovery shares restore nothing as they are; no word of them is ever in a message."""

    usual_hint = "look at the pages again: every share has its number, and all of a set begin with the same two words"


class ShareDamagedError(ShareError):
    """The words of a share can't be right: one isn't in the list, some are missing, or the checksum doesn't fit."""

    usual_hint = "compare it with its page word by word; the others needn't be typed again"


class ShareRepeatedError(ShareError):
    """The same share was given twice: it counts once."""

    usual_hint = "give another share of the same set"


class SharesMixedError(ShareError):
    """Shares of different sets, or of different actors, never fit together."""

    usual_hint = "take shares of one set: they begin with the same two words, and their pages show the same handle"


class SharesThresholdError(ShareError):
    """Shares of one set don't say the same number that is needed: at least one isn't of this set."""


class SharesTooFewError(ShareError):
    """There are fewer shares than the set needs, and they tell nothing of the seed."""

    usual_hint = "give more shares of the same set"


class UnknownActorError(UsageError):
    """No profile, handle or address fits."""

    usual_hint = "give a profile name of this machine, a handle such as pat-…, or an address"


class ConfigurationError(UsageError):
    """A setting is missing or contradicts another one."""

    usual_hint = "`panachain config show --origin` shows each setting and where it comes from"


class PartlyDoneError(PanaChainError):
    """Some of the work is done and stays done; the same command again does the rest.

    `omissions` names each thing that was left out, with its reason; `result` is what a call would have returned that
    returns one result.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     opening, records = patient.records(), []
        ...     try:
        ...         records += opening
        ...     except PartlyDoneError as error:
        ...         print(*error.omissions)
        >>> len(records)
        2
    """

    exit_code = 3
    usual_hint = "do the same again: what is done isn't done twice"

    def __init__(
        self, message: str, *, hint: str = "", omissions: Sequence[Omission] = (), result: object = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.omissions = tuple(omissions)
        self.result = result

    @classmethod
    def of(cls, omissions: Sequence[Omission], *, done: str, hint: str = "", result: object = None) -> Self:
        """Return the error that names what was left out, at least one thing.

        Args:
            omissions: what was left out.
            done: what was done, as the beginning of the message.
            hint: the next thing to do.
            result: what the call would have returned.
        """
        more = f"; and {len(omissions) - 1} more" if omissions[1:] else ""
        message = f"{done}, and this was left out: {omissions[0]}{more}"
        return cls(message, hint=hint or omissions[0].error.hint, omissions=omissions, result=result)


class LockedError(PanaChainError):
    """A key store stays locked: the passphrase is missing or wrong."""

    exit_code = 4
    usual_hint = "give the passphrase of this profile; nobody can restore it"


class SecurityKeyError(LockedError):
    """A security key didn't answer as it has to: a wrong PIN, no touch in time, no such function."""

    usual_hint = 'try again; with the setting `security_key = "no"` the passphrase is asked for'


class SecurityKeyMissingError(SecurityKeyError):
    """No security key that is plugged in opens this."""

    usual_hint = "plug in the security key of this profile, or give its passphrase"


class AccessDeniedError(PanaChainError):
    """The rules forbid the access."""

    exit_code = 5
    usual_hint = "ask the patient: `panachain request PATIENT --category CATEGORY --purpose PURPOSE`"


class PolicyUnknownError(AccessDeniedError):
    """No policy has this ID on the mainchain, or none is addressed to the caller."""

    usual_hint = "`panachain policies` lists what a patient granted, `panachain inbox` what was granted to you"


class PolicyNotActiveError(AccessDeniedError):
    """The time is before the policy's window."""

    usual_hint = "wait until the policy begins"


class OpensLaterError(PolicyNotActiveError):
    """What the patient lets wait in an emergency still has to. `retry_after` is in seconds."""

    usual_hint = "the same again, after the seconds that `retry_after` names"

    def __init__(self, message: str, *, retry_after: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class PolicyExpiredError(AccessDeniedError):
    """The time is at or after the end of the policy's window."""


class PolicyRevokedError(AccessDeniedError):
    """The patient took the permission back."""


class OutOfScopeError(AccessDeniedError):
    """The lane, the purpose or the asker doesn't fit the policy."""

    usual_hint = "`panachain policy explain` says what the policy allows"


class NotPairedError(AccessDeniedError):
    """The patient isn't paired with the hospital; nothing was published."""

    usual_hint = "the patient pairs with the hospital: `panachain --profile PATIENT pair`"


class SuspendedError(AccessDeniedError):
    """The registrar suspended the actor."""

    usual_hint = "ask the registrar why"


class IntegrityError(PanaChainError):
    """Bytes, a signature or a proof don't fit; nothing of them was used."""

    exit_code = 6
    usual_hint = "nothing of it was used: ask the party that the message names, and keep what it sent"


class SharesWrongError(IntegrityError):
    """Recovery shares fit each other's numbers and make another seed than the one that is looked for."""

    usual_hint = "nothing was written: at least one share isn't of this set, so try another one of them"


class TooLargeError(PanaChainError):
    """A record is larger, decompressed and with its attachments put back, than the settings allow; it wasn't opened.

    `size` and `limit` are in bytes; or in words, where too many of a list begin as a search says.
    """

    usual_hint = "`record_limit` and `opening_limit` are settings: raise them if you trust the hospital"

    def __init__(self, message: str, *, size: int, limit: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.size = size
        self.limit = limit


class UnavailableError(PanaChainError):
    """A service that is needed doesn't answer."""

    exit_code = 7
    usual_hint = "try again later; `panachain doctor` shows which services answer"


class ChainUnavailableError(UnavailableError):
    """The RPC node doesn't answer, or its head is too old to be believed."""


class NodeRefusedError(ChainUnavailableError):
    """The chain's node, or the gate before it, doesn't admit the caller, or doesn't pass what is asked.

    It stands below the unavailable, not the denied: a service that is refused its chain denies nobody.
    """

    exit_code = 5
    usual_hint = "ask the operator of the chain's gate to admit this machine's account"


class RelaysUnavailableError(UnavailableError):
    """No relay brought a policy transaction on chain; the message names each with its reason.

    `taken` counts those that say they took it.
    """

    def __init__(self, message: str, *, taken: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.taken = taken


class StoreUnavailableError(UnavailableError):
    """The block store doesn't answer."""


class BlockNotFoundError(StoreUnavailableError):
    """The store answers, but has no block of this CID."""

    usual_hint = "`panachain storage repair` looks for it on every node"


class BlockOutOfReachError(StoreUnavailableError):
    """No store that answers has a block, and another one doesn't answer: it may have it, or nobody does.

    It strikes the block's own item: what else these stores hold is there.
    """

    usual_hint = "try again when every store answers: `panachain storage status` shows which one doesn't"


class EndpointRefusedError(UnavailableError):
    """An endpoint of others leads to where nothing is sent; its service counts as down."""

    usual_hint = "tell the operator of the proxy that the message names"


class RateLimitedError(UnavailableError):
    """A service takes no more requests for now. `retry_after` is in seconds."""

    usual_hint = "the same again, after the seconds that `retry_after` names"

    def __init__(self, message: str, *, retry_after: int = 60, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class ProxiesUnavailableError(UnavailableError):
    """Fewer proxies gave a good answer than the threshold needs.

    `answered` and `needed` count proxies.
    """

    def __init__(self, message: str, *, answered: int, needed: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.answered = answered
        self.needed = needed


class TransactionError(PanaChainError):
    """A transaction reverted or was not mined. `reason` names the contract's custom error, decoded."""

    usual_hint = "look what the chain says now, then try again"

    def __init__(self, message: str, *, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class StuckError(TransactionError):
    """A transaction was sent and not mined, though the chain goes on: it pays too little, or waits for another one."""

    exit_code = 3
    usual_hint = "the same command again waits for it, and sends nothing twice"


class DiskError(PanaChainError):
    """The disk refuses a write or a read; the state stays as it was."""

    usual_hint = "make room, or allow this user to write there, and try again"


@dataclass(frozen=True)
class Omission:
    """One thing that a result lacks, or that is odd about it: whose, what, and why.

    Examples:
        >>> omission = Omission("0x52908400098527886E0F7030069857D2E4169EE7", "record bafy", PanaChainError("torn"))
        >>> str(omission)
        'record bafy of hospital 0x52908400098527886E0F7030069857D2E4169EE7: torn'
    """

    hospital: str
    """The account of the hospital whose it is; empty where it is nobody's of them."""
    what: str
    """In words, such as `record bafk…` or `storage transaction 3`; empty for all that the hospital has."""
    error: PanaChainError
    """Why."""

    def named(self) -> PanaChainError:
        """Return its error once more, with a message that says whose it is."""
        error = self.error
        # Not by its constructor: each error has arguments of its own.
        made = error.__class__.__new__(error.__class__)
        made.__dict__.update(error.__dict__)
        made.args = (line(str(self)),)
        return made

    def __str__(self) -> str:
        """Return it as one line."""
        whose = f"hospital {self.hospital}" if self.hospital else ""
        return f"{' of '.join(part for part in (self.what, whose) if part)}: {self.error}"

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/omission/1`."""
        return {
            "schema": "panachain/omission/1",
            "hospital": self.hospital,
            "what": self.what,
            "error": type(self.error).__name__,
            "message": str(self.error),
        }
