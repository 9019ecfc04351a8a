"""What each kind of error means to people who use pages: a sentence and the next step, translated when they are shown.

The SDK's own message says more, in English: pages in another language show it below the sentence. Never hides a
message, and never guesses at what it says. Follows docs/spec/portal.md, section "Languages".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from panachain import errors
from panachain.chain import nodes, rpc
from panachain.errors import PanaChainError
from panachain.portal.i18n import N_, gettext
from panachain.sdk.kept_persons import UnsureError

_AGAIN: Final = N_("Try again later. If it stays so, the page of the services shows which of them is down.")
_ASK: Final = N_("Ask the patient for access.")

SENTENCES: Final[Mapping[type[PanaChainError], tuple[str, str]]] = {
    PanaChainError: (N_("It failed."), N_("Do it again. If it fails once more, report it with the message below.")),
    errors.UsageError: (N_("What was asked for can't be done so."), N_("Correct it, and try again.")),
    errors.InputError: (
        N_("A file can't be read as what it claims to be; nothing of it was published."),
        N_("Correct the file, or leave it out, and try again. What was published before isn't published twice."),
    ),
    UnsureError: (
        N_("The files are about different persons, and nothing says which of them is the patient."),
        N_("Look at the files, and leave out what is another person's."),
    ),
    errors.ConsentNotEnforceableError: (
        N_("The consent says something that no grant can hold. Nothing was granted."),
        N_("Change the consent there, or grant without it."),
    ),
    errors.ShareError: (
        N_("These shares restore nothing as they are."),
        N_("Look at the pages again: every share has its number, and all of a set begin with the same two words."),
    ),
    errors.ShareDamagedError: (
        N_("The words of a share can't be right: one isn't in the list, some are missing, or one is another."),
        N_("Compare it with its page word by word. The others needn't be typed again."),
    ),
    errors.ShareRepeatedError: (
        N_("The same share was given twice: it counts once."),
        N_("Give another share of the same set."),
    ),
    errors.SharesMixedError: (
        N_("The shares are of different sets, or of different people, and never fit together."),
        N_("Take shares of one set: they begin with the same two words, and their pages show the same handle."),
    ),
    errors.SharesThresholdError: (
        N_("The shares of this set don't say the same number that is needed: at least one isn't of it."),
        N_("Take shares whose pages were made on the same day."),
    ),
    errors.SharesTooFewError: (
        N_("There are fewer shares than the set needs, and they tell nothing of the key."),
        N_("Give more shares of the same set."),
    ),
    errors.SharesWrongError: (
        N_("The shares fit together, and make another key than the one that is looked for."),
        N_("Look whether their pages show this profile's handle."),
    ),
    errors.NothingToDoError: (N_("There is nothing to do."), N_("Look whether you named what you meant.")),
    errors.UnknownActorError: (
        N_("Nobody is known by this name, handle or address."),
        N_("Look it up among your contacts, or paste the handle or the address as you were given it."),
    ),
    errors.ConfigurationError: (
        N_("A setting is missing, or contradicts another one."),
        N_("The page of the settings shows each of them and where it comes from."),
    ),
    errors.PartlyDoneError: (
        N_("It was done in part; what was left out stands below."),
        N_("Do the same again: what is done isn't done twice."),
    ),
    errors.LockedError: (
        N_("The profile stays locked: its passphrase is missing or isn't right."),
        N_("Unlock it with its passphrase. Nobody can restore that."),
    ),
    errors.SecurityKeyError: (
        N_("A security key didn't answer as it has to."),
        N_("Try again, or give the passphrase."),
    ),
    errors.SecurityKeyMissingError: (
        N_("No security key that is plugged in opens this."),
        N_("Plug in the profile's security key, or give the passphrase."),
    ),
    errors.AccessDeniedError: (N_("The rules don't allow this."), _ASK),
    errors.PolicyUnknownError: (N_("This wasn't granted to you, or isn't on the chain."), _ASK),
    errors.PolicyNotActiveError: (N_("The time of this grant hasn't come yet."), N_("Try again when it has begun.")),
    errors.OpensLaterError: (
        N_("What the patient lets wait in an emergency isn't open yet."),
        N_("Try again at the time that the message names. What opens at once is open."),
    ),
    errors.PolicyExpiredError: (N_("The time of this grant is over."), _ASK),
    errors.PolicyRevokedError: (N_("The patient took this grant back."), _ASK),
    errors.OutOfScopeError: (N_("The grant isn't for this: not for this category, purpose or person."), _ASK),
    errors.NotPairedError: (
        N_("The patient isn't paired with this hospital, so nothing can be published for them."),
        N_("The patient pairs with the hospital on their page of the hospitals."),
    ),
    errors.SuspendedError: (
        N_("The registrar suspended this account."),
        N_("Ask the registrar of this network."),
    ),
    errors.IntegrityError: (
        N_("Something doesn't fit its signature, its proof or its seal; nothing of it was used."),
        N_("Report it with the message below. What fits can be used as before."),
    ),
    errors.TooLargeError: (
        N_("A record is larger than the settings allow, so it wasn't opened."),
        N_("Raise the limit in the settings, if you trust who published it."),
    ),
    errors.UnavailableError: (N_("A service that is needed doesn't answer."), _AGAIN),
    errors.ChainUnavailableError: (N_("The chain doesn't answer, or what it says is too old to be believed."), _AGAIN),
    nodes.LaggingError: (N_("The chain's nodes are behind; nothing newer is known yet."), _AGAIN),
    nodes.UnprovableError: (N_("The chain's node can't prove what it says."), _AGAIN),
    nodes.ReorganisedError: (N_("The chain changed meanwhile."), N_("Do it again.")),
    rpc.RpcAnswerError: (N_("The chain's node refuses what was asked."), _AGAIN),
    errors.NodeRefusedError: (
        N_("The chain's node or its gate doesn't admit this account."),
        N_("Ask the registrar whether the account is registered, and not suspended."),
    ),
    errors.RelaysUnavailableError: (N_("No relay brought this on the chain."), _AGAIN),
    errors.StoreUnavailableError: (N_("The store of the records doesn't answer."), _AGAIN),
    errors.BlockNotFoundError: (N_("The store doesn't have a block of this record."), _AGAIN),
    errors.BlockOutOfReachError: (N_("No store that answers has a block of this record."), _AGAIN),
    errors.EndpointRefusedError: (N_("The address of a service leads to where nothing is sent."), _AGAIN),
    errors.RateLimitedError: (
        N_("A service takes no more requests for now."),
        N_("Wait a little, and do the same again."),
    ),
    errors.ProxiesUnavailableError: (
        N_("Too few proxies gave a good answer, so nothing could be opened."),
        _AGAIN,
    ),
    errors.TransactionError: (
        N_("The chain refused the transaction, or it wasn't taken up in time."),
        N_("Look whether the state is as you expect it, and do it again."),
    ),
    errors.StuckError: (
        N_("The transaction was sent, and the chain hasn't taken it up."),
        N_("Do the same again later: it goes on where it stopped."),
    ),
    errors.DiskError: (
        N_("The disk of this machine refuses to write or to read."),
        N_("Look whether it is full, and do the same again."),
    ),
}
"""A sentence and the next step of each kind of error; of kinds that aren't here, those of what they are a kind of."""


def sentence_of(error: PanaChainError) -> str:
    """Return what an error means, in the language of this request."""
    return gettext(_of(error)[0])


def step_after(error: PanaChainError) -> str:
    """Return what to do next, in the language of this request."""
    return gettext(_of(error)[1])


def _of(error: PanaChainError) -> tuple[str, str]:
    return next(SENTENCES[kind] for kind in type(error).__mro__ if kind in SENTENCES)
