"""One tree of errors: every failure that PanaChain reports on purpose.

Never carries a key, a plaintext, a name or an identifier of a person: ids, sizes and times only.
Follows the exit codes of the command line (docs/spec/cli.md).

    PanaChainError                      1
    ├── UsageError                      2   bad argument, bad input file, unknown category
    │   ├── InputError                  2   a source file that can't be read as what it claims to be
    │   │   └── ConsentNotEnforceableError  2   a FHIR Consent that no grant can hold as it is written
    │   ├── UnknownActorError           2
    │   └── ConfigurationError          2
    ├── PartlyDoneError                 3
    ├── LockedError                     4   wrong passphrase, no passphrase, no such key
    ├── AccessDeniedError               5
    │   ├── PolicyUnknownError          5
    │   ├── PolicyNotActiveError        5   before its window
    │   ├── PolicyExpiredError          5   after its window
    │   ├── PolicyRevokedError          5
    │   ├── OutOfScopeError             5   lane, purpose or grantee doesn't fit the policy
    │   └── SuspendedError              5
    ├── IntegrityError                  6   bytes, a signature or a proof don't fit
    └── UnavailableError                7
        ├── ChainUnavailableError       7
        │   └── NodeRefusedError        5   the chain's node or its gate doesn't admit who asks
        ├── RelaysUnavailableError      7
        ├── StoreUnavailableError       7
        │   └── BlockNotFoundError      7
        ├── RateLimitedError            7   too many requests; the same one later succeeds
        └── ProxiesUnavailableError     7   fewer than t good answers
    TransactionError                    1   the contract reverted (decoded), or the transaction was not mined
    DiskError                           1   disk full, read-only, no permission
"""

from __future__ import annotations

from typing import ClassVar, Self


class PanaChainError(Exception):
    """Base of every error that PanaChain raises on purpose.

    `exit_code` is what the command line ends with; `hint` is the next thing to do, or empty.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(PanaChainError):
    """The caller asked for something that makes no sense; nothing was changed."""

    exit_code = 2


class InputError(UsageError):
    """A source can't be read as what it claims to be; nothing of it was published."""


class ConsentNotEnforceableError(InputError):
    """A FHIR Consent says something that no grant can hold; nothing was granted.

    `provisions` names each such place, as FHIRPath writes it, with the reason in plain words.
    """

    def __init__(self, message: str, *, provisions: tuple[tuple[str, str], ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.provisions = provisions

    @classmethod
    def of(cls, provisions: tuple[tuple[str, str], ...], *, hint: str = "") -> Self:
        """Return the error that names these places, at least one."""
        place, reason = provisions[0]
        more = f"; and {len(provisions) - 1} more: {', '.join(p for p, _ in provisions[1:6])}" if provisions[1:] else ""
        return cls(f"{place} {reason}{more}", provisions=provisions, hint=hint)


class UnknownActorError(UsageError):
    """No profile, handle or address fits."""


class ConfigurationError(UsageError):
    """A setting is missing or contradicts another one."""


class PartlyDoneError(PanaChainError):
    """Some of the work is done and stays done; the same command again does the rest."""

    exit_code = 3


class LockedError(PanaChainError):
    """A key store stays locked: the passphrase is missing or wrong."""

    exit_code = 4


class AccessDeniedError(PanaChainError):
    """The rules forbid the access."""

    exit_code = 5


class PolicyUnknownError(AccessDeniedError):
    """No policy has this ID on the mainchain, or none is addressed to the caller."""


class PolicyNotActiveError(AccessDeniedError):
    """The time is before the policy's window."""


class PolicyExpiredError(AccessDeniedError):
    """The time is at or after the end of the policy's window."""


class PolicyRevokedError(AccessDeniedError):
    """The patient took the permission back."""


class OutOfScopeError(AccessDeniedError):
    """The lane, the purpose or the asker doesn't fit the policy."""


class SuspendedError(AccessDeniedError):
    """The registrar suspended the actor."""


class IntegrityError(PanaChainError):
    """Bytes, a signature or a proof don't fit; nothing of them was used."""

    exit_code = 6


class UnavailableError(PanaChainError):
    """A service that is needed doesn't answer."""

    exit_code = 7


class ChainUnavailableError(UnavailableError):
    """The RPC node doesn't answer, or its head is too old to be believed."""


class NodeRefusedError(ChainUnavailableError):
    """The chain's node, or the gate before it, doesn't admit who asks, or doesn't pass what is asked.

    It stands below the unavailable, not the denied: a service that is refused its chain denies nobody.
    """

    exit_code = 5


class RelaysUnavailableError(UnavailableError):
    """No relay brought a policy transaction on chain; the message names each with its reason."""


class StoreUnavailableError(UnavailableError):
    """The block store doesn't answer."""


class BlockNotFoundError(StoreUnavailableError):
    """The store answers, but has no block of this CID."""


class RateLimitedError(UnavailableError):
    """A service takes no more requests for now. `retry_after` is in seconds."""

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

    def __init__(self, message: str, *, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class DiskError(PanaChainError):
    """The disk refuses a write or a read; the state stays as it was."""
