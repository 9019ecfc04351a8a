"""Grants on their way: written down before anything is sent, and finished by the same call after an interruption.

A grant reaches IPFS, the mainchain and every proxy, and may replace a policy or answer a request. What is left to do
lies in the journal until all of it is done: so a policy is made once, and a proxy that was down gets its share later
(security rule 5). What isn't on chain yet is sent only when the patient asks for the same again, and is forgotten after
its deadline: no consent takes place behind a patient's back. A grant that the patient lets wait (`jitter`) is sent by
the first call after its time, unless it is taken back before.
Never decides who is granted what: sdk/offers.py does. Which step may follow which is said by consent/life.py.
Follows design section 8 (Grant).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from panachain.consent.grant import prepare_grant
from panachain.consent.life import State, advance, has_ended, is_end
from panachain.consent.offer import Offer
from panachain.consent.pending import PendingGrant
from panachain.crypto.keys import Seed
from panachain.errors import (
    ConfigurationError,
    DiskError,
    Omission,
    PanaChainError,
    PartlyDoneError,
    PolicyExpiredError,
    PolicyRevokedError,
    PolicyUnknownError,
    ProxiesUnavailableError,
    TransactionError,
    UsageError,
)
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import OnChainPolicy, PolicyStatus, Terms
from panachain.model.progress import Progress
from panachain.records.jitter import Delay, coarse_deadline, delay
from panachain.sdk.care import check_granting
from panachain.sdk.confirmations import LAGGING, POLL, Confirmations
from panachain.sdk.desks import keys_grantee
from panachain.sdk.grant_journal import GrantJournal, Unreadable
from panachain.sdk.lanes import OwnLanes
from panachain.sdk.network import Network
from panachain.sdk.offers import Offers
from panachain.sdk.policies import OwnPolicies, policy_view
from panachain.sdk.proxies import Proxies
from panachain.sdk.requests import ReceivedRequests
from panachain.sdk.results.listings import LeftOut, Listing
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.times import iso
from panachain.storage.blocks import keep

_LOG: Final = logging.getLogger(__name__)
_DEADLINE: Final = 3600
"""Seconds for which a relay may submit what was signed."""
CONFIRMING: Final = "waiting for confirmations"
"""The stage of a policy that is on chain, and not as deep as proxies want it before they take its shares."""
_OFF_CHAIN: Final = (State.WAITING, State.OVERDUE, State.SIGNED)


class Grants:
    """A patient's grants, from offer to finished policy.

    The steps of a grant, each of which the same call finishes after an interruption:

    1. go on with the same grant, if an earlier call was interrupted;
    2. check that a carer may grant it, and that enough proxies are ready: if not, nothing is changed;
    3. draw a policy number, which counts as used before anything is signed with its key;
    4. prepare keys, shares and terms (consent/grant.py), and sign for the chain;
    5. write it all down;
    6. store the terms, and have a relay bring the policy on chain;
    7. hand the proxies their shares, once the policy is as deep in the chain as they want it;
    8. take back the policy that it replaces, and answer the request: the grantee never stands without a policy;
    9. forget it, once no proxy lacks its share.
    """

    def __init__(
        self,
        network: Network,
        seed: Seed,
        patient: Address,
        *,
        profile: Path,
        proxies: Proxies,
        policies: OwnPolicies,
        requests: ReceivedRequests,
        lanes: OwnLanes,
        delay: Delay = delay,
    ) -> None:
        """Take what a grant touches.

        Args:
            network: with both chains and the store.
            seed: the patient's.
            patient: the patient's account.
            profile: folder of the patient's profile.
            proxies: as this patient talks to them.
            policies: the patient's own.
            requests: that were made to the patient.
            lanes: the patient's.
            delay: draws how long a grant waits.
        """
        self._network = network
        self._profile = profile
        self._seed = seed
        self._patient = patient
        self._proxies = proxies
        self._policies = policies
        self._requests = requests
        self._lanes = lanes
        self._delay = delay
        self._fell: set[PolicyId] = set()
        """What fell, and isn't noted as told yet."""
        self._journal = GrantJournal(profile, seed)
        self._offers = Offers(network)
        self._confirmations = Confirmations(network)

    # What a patient can ask for

    def plan(self, offer: Offer) -> PolicyView:
        """Make a policy, send nothing, and return what it would be."""
        check_granting(self._network, self._patient, offer.scopes, offer.expires_at)
        # Whose keys these are isn't proven: what is sealed to them leaves this machine only once it is.
        offer = replace(offer, grantee=self._network.keys.shown(offer.grantee))
        index = self._policies.next_index(self._journal.next_index())
        return replace(_view_off_chain(self._prepare(offer, index)), dry_run=True)

    def make(self, offer: Offer, *, wait: bool = True) -> PolicyView:
        """Bring a policy into being, or go on with the same one where an earlier call was interrupted.

        Args:
            offer: what the patient grants.
            wait: for the blocks that the proxies want above it; without, the shares are handed out by a later call.

        Raises:
            ProxiesUnavailableError: too few proxies are ready, and nothing was changed; or too few took their share,
                and the same call goes on.
            RelaysUnavailableError: no relay brought it on chain; the same call tries again.
            ChainUnavailableError: the chain stalled before the policy was deep enough; the same call goes on.
            PolicyRevokedError: it was revoked meanwhile, or what it was to replace or answer was taken back or refused.
            PolicyExpiredError: its window ended meanwhile.
            DiskError: the profile can't be written; nothing was granted.
        """
        with self._journal.exclusive(), self._telling():
            # 1. Go on with the same grant.
            made = self._go_on(offer, wait)
            if made is not None:
                return made
            # 2. Check that a carer keeps within the wardship, that enough proxies are ready, and whose keys these are.
            check_granting(self._network, self._patient, offer.scopes, offer.expires_at)
            self._proxies.check_ready(offer.proxies, offer.threshold)
            offer = replace(offer, grantee=self._network.keys.check_grantable(offer.grantee))
            self._network.keys.check_proxies(offer.proxies)
            # 3. Draw a policy number.
            index = self._policies.next_index(self._journal.next_index())
            self._journal.use_index(index)
            # 4. Prepare, and sign for the chain.
            pending = self._sign(self._prepare(offer, index), jitter=offer.jitter)
            # 5. Write it down.
            state = advance(State.DRAWN, State.WAITING if pending.due else State.SIGNED)
            self._journal.write(pending)
            self._policies.keep(pending.index, pending.sealed_terms)
            # 6. to 9. Finish it, unless it waits.
            return _waiting_view(pending) if state is State.WAITING else self._finish(pending, state, wait)

    def reissue(
        self, policy_id: PolicyId, *, threshold: int | None, proxies: Sequence[str], any_operator: bool
    ) -> PolicyView:
        """Grant a policy again, with other proxies or newer lanes, and take the old one back.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            UsageError: it is over.
        """
        # First, because an interrupted call may have revoked the old policy already, and it couldn't be granted again
        # then.
        made = self.resume(replaces=policy_id)
        if made is not None:
            return made
        own = self._policies.find(policy_id)
        if own.has_ended:
            raise UsageError(f"policy {policy_id} is {own.on_chain.status.name.lower()}: grant a new one")
        return self.make(self._offers.again(own, threshold=threshold, proxies=proxies, any_operator=any_operator))

    def resume(self, *, replaces: PolicyId | None = None, request: int | None = None) -> PolicyView | None:
        """Finish the grant that replaces a policy or answers a request, if one was interrupted, and return it."""
        with self._journal.exclusive(), self._telling():
            unfinished, damaged = self._unfinished()
            for pending, state in unfinished:
                # One that serves only lacks shares at some proxies: it has replaced and answered already.
                if not pending.served and (pending.replaces, pending.request) == (replaces, request):
                    return self._finish(pending, state)
        if left := [one for one in damaged if not one.is_aside]:
            # It may be the one, and can be read later.
            raise left[0].error
        return None

    def finish_all(self, progress: Progress | None = None) -> tuple[list[PolicyView], list[PanaChainError]]:
        """Finish what is on chain already: shares that a proxy lacks, policies that were replaced, requests.

        And send grants that have waited long enough.

        Returns:
            The policies that serve, and why each of the others still doesn't; `PolicyRevokedError` of one that never
            will, since it was taken back.
        """
        found: list[PolicyView] = []
        failed: list[PanaChainError] = []
        with self._journal.exclusive():
            unfinished, damaged = self._unfinished()
            for number, (pending, state) in enumerate(unfinished, start=1):
                if progress is not None:
                    progress(number, len(unfinished), unit="grants")
                # The patient was told that one without a delay failed, and can rely on it.
                if state is State.WAITING or (state in _OFF_CHAIN and not pending.due):
                    continue
                try:
                    found.append(self._finish(pending, state))
                except PanaChainError as exc:
                    failed.append(exc)
        return found, [*failed, *(PartlyDoneError(str(one.error), hint=one.error.hint) for one in damaged)]

    def go_on(self) -> Listing[PolicyId]:
        """Hand out the shares of grants that didn't wait for their blocks, where those are there now.

        Returns:
            The policies that serve from now on. `left_out` names those that are over instead, of kind `policy`: what
            they were to replace or answer was taken back or refused, or they were themselves. And, of kind `file`, what
            was written down of others and can't be read. What else fails is left to `finish_all`, which says why.
        """
        served: list[PolicyId] = []
        with self._journal.exclusive():
            unfinished, damaged = self._unfinished()
            left_out = [_left_out(one) for one in damaged]
            for pending, state in unfinished:
                if state is State.ON_CHAIN and self._confirmations.is_deep(pending.policy_id):
                    try:
                        served.append(self._finish(pending, state, wait=False).policy_id)
                    except (PolicyRevokedError, PolicyExpiredError) as exc:
                        left_out.append(LeftOut("policy", pending.policy_id, str(exc)))
                    except PanaChainError:
                        continue
        return Listing(served, left_out)

    def sort_out(self) -> list[LeftOut]:
        """Set aside what is written down of grants and can't be read, and return what that was.

        A call that makes or finishes grants does so by itself; by this it is told before.
        """
        with self._journal.exclusive():
            return [_left_out(one) for one in self._clear()[1]]

    def fallen(self) -> list[LeftOut]:
        """Return the grants that fell with what they were to replace or answer, and of which nobody was told yet.

        Such as where the program ended between the two. Asks no chain; `told` notes that the patient was told.
        """
        try:
            found = self._policies.fallen()
        except ConfigurationError:
            # Whoever needs the list says that it is damaged.
            return []
        self._fell |= found.keys()
        return [LeftOut("policy", policy_id, why) for policy_id, why in found.items()]

    def told(self) -> None:
        """Note that the patient was told of all grants that fell, as far as this session found them."""
        while self._fell:
            self._policies.told(self._fell.pop())

    def unclear(self, terms: Terms) -> list[PolicyId]:
        """Return the policies in force that may have been to replace one; nobody can tell.

        What was written down of their grants can't be read any more, so that taking that one back doesn't fell them.

        Args:
            terms: of that one; those of other grantees aren't meant.
        """
        ids = self._aside() - {terms.policy_id}
        return [
            one.policy_id
            for one in (self._policies.readable() if ids else ())
            if one.policy_id in ids and not one.has_ended and one.terms.grantee == terms.grantee
        ]

    def _aside(self) -> set[PolicyId]:
        used = self._journal.next_index()
        return {PolicyId(self._policies.account(index).address) for index in self._journal.aside() if index < used}

    def granted(self) -> int:
        """Return how many policy numbers this machine has used."""
        return self._journal.next_index()

    def lacking(self) -> dict[PolicyId, int]:
        """Return for each unfinished policy how many proxies lack their share."""
        return {pending.policy_id: pending.lacking for pending, _ in self._unfinished()[0]}

    def waiting(self) -> list[PolicyView]:
        """Return the grants that wait to be sent, oldest first."""
        unfinished, _ = self._unfinished()
        return [_waiting_view(pending) for pending, state in unfinished if pending.due and state in _OFF_CHAIN]

    def heirs(
        self, *, policy_id: PolicyId | None = None, request: int | None = None, emergencies: bool = False
    ) -> list[PendingGrant]:
        """Return the unfinished grants that replace a policy, that answer a request, or that are for emergencies.

        And those that replace these. A relay may have any of them and bring it on chain later, whatever it said: so
        whoever takes the policy back, refuses the request or vetoes means them too. Waits for no grant that is under
        way.

        Args:
            policy_id: the policy.
            request: the request's number.
            emergencies: whether those for emergencies are meant.
        """
        found: list[PendingGrant] = []
        named = {policy_id} - {None}
        # Each is later than what it replaces.
        for one in self._journal.look()[0]:
            meant = (request is not None and one.request == request) or (emergencies and one.terms.is_for_emergencies)
            if not one.served and (meant or one.replaces in named):
                found.append(one)
                named.add(one.policy_id)
        return found

    def unseen(self, policy_ids: Collection[PolicyId]) -> set[PolicyId]:
        """Return which of some policies the chain doesn't know, of unfinished grants of which nobody has a share.

        Nobody can read by them, and there is nothing to revoke yet.

        Args:
            policy_ids: which.
        """
        found = {one.policy_id for one in self._journal.look()[0] if not one.held} | self._aside()
        found &= set(policy_ids)
        return found - self._network.mainchain.policies.policies_of(sorted(found)).keys()

    def withdraw(self, policy_id: PolicyId) -> bool:
        """Forget a grant that waits, and tell whether there was one: nobody has heard of it yet.

        Waits for no other grant that is under way.
        """
        if not any(one.policy_id == policy_id and one.due for one in self._journal.look()[0]):
            return False
        with self._journal.exclusive():
            for pending, state in self._states(self._journal.look()[0]):
                if pending.policy_id == policy_id and state is State.WAITING:
                    self._end(pending, advance(state, State.WITHDRAWN))
                    return True
        return False

    # Steps

    def _go_on(self, offer: Offer, wait: bool) -> PolicyView | None:
        """Do step 1: finish the grant of this offer that an earlier call began, unless it still waits."""
        unfinished, damaged = self._unfinished()
        for pending, state in unfinished:
            # A policy that serves isn't gone on with: the same words may well mean a second grant.
            if pending.served or not pending.is_for(offer):
                continue
            waits = offer.jitter and state is State.WAITING
            return _waiting_view(pending) if waits else self._finish(pending, state, wait)
        for one in damaged:
            # What may be of this offer, which would be granted twice, and can be read later.
            if not one.is_aside and (one.path != self._profile or self._needs_orders(offer)):
                raise one.error
        return None

    def _needs_orders(self, offer: Offer) -> bool:
        """Tell whether it must be known what was taken back, before an offer can be granted."""
        replaces = offer.replaces is not None or offer.request is not None
        return replaces or any(not one.served and one.is_for(offer) for one in self._journal.look()[0])

    def _prepare(self, offer: Offer, index: int) -> PendingGrant:
        """Do the first half of step 4: make keys, shares and terms, and draw how long the grant waits."""
        prepared = prepare_grant(
            self._seed,
            offer,
            index=index,
            patient=self._patient,
            generations=self._lanes.generations(),
            hospitals=[actor.address for actor, _ in self._lanes.hospitals()],
        )
        due = self._now() + self._delay(offer.jitter) if offer.jitter else 0
        return PendingGrant.of(offer, prepared, due=due)

    def _sign(self, pending: PendingGrant, *, jitter: int) -> PendingGrant:
        """Do the second half of step 4: sign what may be relayed from now on, or once it has waited."""
        now, jitter = self._now(), max(jitter, self._network.config.jitter)
        deadline = coarse_deadline(now, jitter=jitter) if jitter else now + _DEADLINE
        grant = replace(pending.grant, deadline=deadline)
        signature = self._network.mainchain.policies.sign_grant(self._policies.account(pending.index), grant)
        return replace(pending, grant=grant, signature=signature)

    def _finish(self, pending: PendingGrant, state: State, wait: bool = True) -> PolicyView:
        """Do what is left, and return the policy.

        Raises:
            PolicyRevokedError: it was revoked meanwhile, or what it was to replace or answer was taken back or refused.
            PolicyExpiredError: its window ended meanwhile.
        """
        tx, gas = "", 0
        self._check_wanted(pending, state)
        # 6. Bring it on chain.
        if state in _OFF_CHAIN:
            pending, tx, gas = self._send(pending, state)
            state = State.SIGNED
        # 7. Wait until it is deep enough, and hand out the shares.
        on_chain = self._on_chain(pending, wait)
        if on_chain is None:
            raise TransactionError(
                f"policy {pending.policy_id} isn't on chain, though its transaction was mined: its block was replaced",
                hint="the same call sends it again",
            )
        state = _moved(state, pending, on_chain)
        if state is State.DONE:
            self._end(pending, state)
        elif is_end(state):
            raise self._ended(pending, state, on_chain)
        if not wait and pending.lacking and not self._confirmations.is_deep(pending.policy_id):
            view = replace(policy_view(pending.terms, on_chain), stage=CONFIRMING)
            return replace(view, tx=tx, gas=gas, deposited=pending.held, lacking=pending.lacking)
        self._check_wanted(pending, state)
        try:
            pending = self._hand_out(pending)
        except ProxiesUnavailableError:
            # Proxies refuse what is revoked: it must not be said that more of them would help.
            self._check_wanted(pending, state)
            self._check_in_force(pending)
            raise
        state = _moved(state, pending, on_chain)
        # 8. Take back what it replaces, answer the request.
        self._check_wanted(pending, state)
        self._check_in_force(pending)
        if not pending.served:
            pending = replace(self._follow_up(pending), served=True)
            state = _moved(state, pending, on_chain)
            if not is_end(state):
                self._journal.write(pending)
        # 9. Forget it, once no proxy lacks its share.
        if is_end(state):
            self._end(pending, state)
        view = policy_view(pending.terms, on_chain)
        return replace(view, tx=tx, gas=gas, deposited=pending.held, lacking=pending.lacking)

    def _check_wanted(self, pending: PendingGrant, state: State) -> None:
        """Check that what a grant replaces or answers wasn't taken back or refused meanwhile; else take it back, too.

        It may have been done on another device of the patient's, by another program on this one, or while a relay kept
        this grant. Once step 8 has begun, what it replaces is revoked by this very grant.

        Raises:
            PolicyRevokedError: somebody did.
        """
        if pending.served:
            return
        why = ""
        if pending.replaces is not None and not pending.replacing and self._policies.is_revoked(pending.replaces):
            why = f"policy {pending.replaces}, which it was to replace, was revoked"
        elif pending.request is not None and self._requests.is_refused(pending.request):
            why = f"request {pending.request}, which it was to answer, was refused or withdrawn"
        if why:
            raise self._fallen(pending, why, terms=None if state in _OFF_CHAIN else pending.terms)

    def _check_in_force(self, pending: PendingGrant) -> None:
        """Check that nobody revoked the policy itself meanwhile; else forget its grant.

        Once step 8 has begun, what it replaces is taken back all the same.

        Raises:
            PolicyRevokedError: somebody did.
        """
        # Whoever revokes it without being able to write that down sends it to the chain all the same.
        with contextlib.suppress(ConfigurationError):
            if not pending.replacing and self._policies.is_revoked(pending.policy_id):
                raise self._ended(pending, State.ENDED, None)

    def _fallen(self, pending: PendingGrant, why: str, *, terms: Terms | None) -> PolicyRevokedError:
        """Take back a grant that nobody wants any more, and return the error that says so."""
        told = f"{why}: so policy {pending.policy_id} is taken back, too"
        self._fell.add(pending.policy_id)
        self._policies.fall(pending.index, terms=terms, why=told)
        return PolicyRevokedError(told, hint="panachain grant lets them read again, if you want that")

    def _ended(self, pending: PendingGrant, state: State, on_chain: OnChainPolicy | None) -> PanaChainError:
        """Forget a grant that came to an end while it was made, and return the error that says which.

        Args:
            pending: the grant.
            state: one of the ends, but not that it is done.
            on_chain: what the chain says; None where the policy was revoked, whether or not the chain shows it.
        """
        self._end(pending, state)
        name, hint = f"policy {pending.policy_id}", "panachain grant lets them read again, if you want that"
        if state is State.DISPLACED:
            return TransactionError(f"another device of yours used the key of {name} for another one", hint=hint)
        if on_chain is not None and on_chain.status is PolicyStatus.EXPIRED:
            return PolicyExpiredError(f"{name} ended while it was made: its window is over", hint=hint)
        told = f"{name} was revoked while it was made"
        if pending.replaces is not None and not pending.replacing:
            told += f"; policy {pending.replaces}, which it was to replace, stayed as it was"
            hint = f"panachain revoke {pending.replaces} takes that one back as well, if you want that"
        return PolicyRevokedError(told, hint=hint)

    def _send(self, pending: PendingGrant, state: State) -> tuple[PendingGrant, str, int]:
        """Do step 6: store the terms, and have a relay bring the policy on chain; return hash and gas too.

        Raises:
            IntegrityError: it waited, and the grantee ended the keys meanwhile to which its terms are sealed.
        """
        if pending.due:
            # What was sealed a while ago: nobody else may find the terms, not only the shares.
            self._network.keys.check_grantee(keys_grantee(self._network, pending.terms), pending.terms.key_digest)
        if state is State.OVERDUE:
            # It has waited for longer than it had to.
            pending = self._sign(pending, jitter=0)
            self._journal.write(pending)
        elif state is State.WAITING:
            # The patient wants it at once after all. From here on a relay may have it, whatever it says.
            pending = replace(pending, due=0)
            self._journal.write(pending)
        keep(self._network.store, pending.sealed_terms)
        wallet = self._network.wallet(self._profile, self._seed)
        receipt = self._network.relay(wallet).grant(pending.grant, pending.signature)
        return pending, receipt.tx_hash, receipt.gas_used

    def _on_chain(self, pending: PendingGrant, wait: bool) -> OnChainPolicy | None:
        """Do the first half of step 7: return the policy, deep enough if a proxy lacks its share; None if it's gone."""
        if pending.lacking and wait:
            return self._confirmations.wait(pending.policy_id)
        return self._confirmations.shown(pending.policy_id)

    def _hand_out(self, pending: PendingGrant) -> PendingGrant:
        """Do the second half of step 7, and return the grant with the shares that nobody took.

        Raises:
            ProxiesUnavailableError: fewer proxies than the threshold took theirs.
        """
        if not pending.lacking:
            return pending
        terms, account = pending.terms, self._policies.account(pending.index)
        # Once more, since an interrupted grant may go on years later.
        self._network.keys.check_grantee(keys_grantee(self._network, terms), terms.key_digest)
        until = self._network.clock() + LAGGING
        while True:
            lacking = [proxy for proxy in terms.proxies if proxy.address in pending.shares]
            without = self._network.keys.check_proxies(lacking, signed=True)
            shares = {proxy: share for proxy, share in pending.shares.items() if proxy not in without}
            # Those that have theirs already count: once a reader can open, nobody waits for a proxy that is down.
            enough = max(terms.threshold - pending.held, 1)
            taken, failures = self._proxies.deposit(terms, shares, account, pending.grant.terms, enough=enough)
            pending = pending.without_shares_of({receipt.proxy for receipt in taken})
            self._journal.write(pending)
            # Proxies have nodes of their own, which may see the grant a little later than the patient's.
            lag = self._network.may_lag and any(isinstance(failure.error, PolicyUnknownError) for failure in failures)
            if pending.held >= terms.threshold or not lag or self._network.clock() >= until:
                break
            self._network.sleep(POLL)
        if pending.held < terms.threshold:
            revoked = any(isinstance(failure.error, PolicyRevokedError) for failure in failures)
            raise ProxiesUnavailableError(
                f"policy {terms.policy_id} is on chain, only {pending.held} of {len(terms.proxies)} proxies took a "
                f"share, {terms.threshold} are needed: {'; '.join([*map(str, failures), *map(_without, without)])}",
                answered=pending.held,
                needed=terms.threshold,
                hint="proxies say that it was revoked: panachain policies shows so, once the chain does"
                if revoked
                else "panachain settle hands out the rest, once more proxies answer",
            )
        return pending

    def _follow_up(self, pending: PendingGrant) -> PendingGrant:
        """Do step 8, and return the grant as it is written down then; all of it may be done twice.

        Raises:
            DiskError: it can't be written down that this grant takes back what it replaces; so it doesn't yet.
            PolicyRevokedError: what it replaces was revoked by somebody else at that very time.
        """
        if pending.replaces is not None:
            replaced = self._policies.find(pending.replaces)
            if not pending.replacing:
                pending = replace(pending, replacing=True)
                self._journal.write(pending)
            heir = pending.policy_id if pending.marked else None
            self._policies.take_back(replaced, heir=heir)
            # Another device's revocation may have come first, at any moment since it was looked at: the one that the
            # chain took says by its signature whose it is. Where it shows none yet, ours is on its way.
            if heir is not None and self._policies.is_revoked_for(replaced, heir) is False:
                raise self._fallen(
                    pending, f"policy {pending.replaces}, which it was to replace, was revoked", terms=pending.terms
                )
        if pending.request is not None:
            self._requests.answer(pending.request, pending.terms)
        return pending

    # What is written down, and what the chain says of it

    def _clear(self) -> tuple[list[PendingGrant], list[Unreadable]]:
        """Return the grants that are written down, and those that can't be read, which are set aside.

        Of these the file's name says whose number it is. What isn't on chain is taken back: a relay may have it, and
        nobody can tell any more what it was to replace or answer. What is on chain stays what it is there.
        """
        found, damaged = self._journal.look()
        return found, [self._put_aside(one) for one in damaged]

    def _put_aside(self, one: Unreadable) -> Unreadable:
        """Set aside what can't be read, once the chain says what becomes of it; return it with what that means."""
        index = one.index
        # Of a number that was never drawn there is no grant.
        if index is None or index >= self._journal.next_index():
            return self._journal.put_aside(one)
        policy_id = PolicyId(self._policies.account(index).address)
        known = self._network.mainchain.policies.policies_of([policy_id]).get(policy_id)
        aside = self._journal.put_aside(one)
        if not aside.is_aside:
            return aside
        told, hint = str(aside.error), "panachain policies shows what you granted: grant again what it lacks"
        if known is None:
            told += f"; policy {policy_id} isn't on chain, and is taken back"
            self._fell.add(policy_id)
            # Nobody finishes it either way.
            with contextlib.suppress(ConfigurationError, DiskError):
                self._policies.fall(index, terms=None, why=told)
        elif not has_ended(known):
            told += f"; policy {policy_id} is on chain; what it was to replace stays in force, and shares that"
            told += " proxies lack are lost"
            hint = (
                f"panachain reissue {policy_id} hands out all shares anew, panachain revoke takes back what is too much"
            )
        return replace(aside, error=ConfigurationError(told, hint=hint))

    def _unfinished(self) -> tuple[list[tuple[PendingGrant, State]], list[Unreadable]]:
        """Return the grants that may yet be finished, oldest first, each with its state, and end the others.

        And those that can't be read: they stop none of the others, nor what takes a right away, and are set aside.
        Where nobody can tell which of them are taken back, none is finished.
        """
        found, damaged = self._clear()
        left = []
        for pending, state in self._states(found):
            try:
                taken_back = self._policies.is_taken_back(pending.policy_id)
            except ConfigurationError as exc:
                return [], [*damaged, Unreadable(self._profile, None, exc)]
            if taken_back:
                # Whether or not the chain shows its revocation yet: nobody gets a share any more.
                if state is State.WAITING:
                    # No relay was given it, so none can bring it.
                    self._end(pending, advance(state, State.WITHDRAWN))
                    continue
                if state in _OFF_CHAIN:
                    continue
                state = state if is_end(state) else advance(state, State.ENDED)
            if is_end(state):
                self._end(pending, state)
                if not taken_back and not pending.served and (state is State.ENDED or pending.due):
                    # Nobody did that here, and the patient waits for it.
                    _LOG.warning("policy %s ended before its grant was finished: grant again", pending.policy_id)
            else:
                left.append((pending, state))
        return left, damaged

    def _states(self, found: Sequence[PendingGrant]) -> list[tuple[PendingGrant, State]]:
        """Return grants that are written down, each with its state by what the chain says now."""
        if not found:
            return []
        known = self._network.mainchain.policies.policies_of([pending.policy_id for pending in found])
        now = self._now()
        return [(pending, pending.state(known.get(pending.policy_id), now)) for pending in found]

    def _end(self, pending: PendingGrant, state: State) -> None:
        """Forget a grant that has come to an end."""
        if state is State.LAPSED:
            # Nobody needs the terms of a policy that never came on chain.
            self._network.store.unpin(CID(RAW, pending.grant.terms))
        elif state is State.DISPLACED:
            _LOG.warning("another device of this patient's used the key of policy %s: grant again", pending.policy_id)
        if state in (State.LAPSED, State.WITHDRAWN):
            # The revocation is of something that there never was. A damaged list of them keeps no grant alive.
            with contextlib.suppress(ConfigurationError):
                self._policies.let_go(pending.policy_id, pending.index)
        self._journal.forget(pending)

    def _now(self) -> int:
        return self._network.chain_time()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Note that the patient was told why a grant fell, where an error says it that ends the call."""
        try:
            yield
        except PolicyRevokedError:
            self.told()
            raise


def _left_out(one: Unreadable) -> LeftOut:
    return LeftOut("file", one.path.name, f"{one.error}: {one.error.hint}")


def _without(proxy: Address) -> str:
    return f"proxy {proxy} is suspended, or ended the keys that the policy says"


def _moved(before: State, pending: PendingGrant, on_chain: OnChainPolicy) -> State:
    """Return the state after a step, which must be one that may follow."""
    return advance(before, pending.state(on_chain, on_chain.block_time))


def _view_off_chain(pending: PendingGrant) -> PolicyView:
    """Return a policy that isn't on chain yet."""
    grant = pending.grant
    return policy_view(
        pending.terms, OnChainPolicy(grant.owner, PolicyStatus.UNKNOWN, 0, 0, grant.terms, grant.disclosure)
    )


def _waiting_view(pending: PendingGrant) -> PolicyView:
    stage = f"waiting until {iso(pending.due)}"
    return replace(_view_off_chain(pending), stage=stage, lacking=pending.lacking)


def check_finished(failed: Sequence[PanaChainError], result: Callable[[], object]) -> None:
    """Check that all was finished.

    Args:
        failed: why things weren't.
        result: returns what was; called only where some of it would be lost.

    Raises:
        PartlyDoneError: some grants were taken back: each is told now or never, since it isn't there any more when the
            same call is made again. `omissions` names these first, and then all others that aren't finished.
        PanaChainError: why the first of those that aren't finished isn't.
    """
    over = (PolicyRevokedError, PolicyExpiredError)
    if any(isinstance(one, over) for one in failed):
        left = sorted(failed, key=lambda one: not isinstance(one, over))
        raise PartlyDoneError.of(
            [Omission("", "a grant that wasn't finished", one) for one in left],
            done="the others were finished",
            result=result(),
        )
    if failed:
        raise failed[0]
