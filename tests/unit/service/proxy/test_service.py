"""The proxy's duties without HTTP: whom it serves, whom it refuses, and what it signs."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.receipts import receipt_hash
from panachain.chain.signing import Account
from panachain.chain.typed import answer_signer, request_hash, sign_request
from panachain.consent.receipts import check_receipt, mark_of, opened_detail, read_detail
from panachain.consent.times import MARGIN
from panachain.crypto import box, labels, umbral
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed
from panachain.errors import (
    AccessDeniedError,
    ChainUnavailableError,
    ConfigurationError,
    DiskError,
    IntegrityError,
    OpensLaterError,
    OutOfScopeError,
    PanaChainError,
    PolicyExpiredError,
    PolicyRevokedError,
    PolicyUnknownError,
    SuspendedError,
    UnavailableError,
    UsageError,
)
from panachain.ethereum import checksum_address
from panachain.model.actors import Address, Status
from panachain.model.emergencies import LASTS, TOLERANCE, waiting_account
from panachain.model.policy import OnChainPolicy, PolicyStatus, Receipt, ReceiptKind
from panachain.model.proxy_requests import ReceiptPart, ReencryptRequest
from panachain.model.scope import Purpose
from panachain.model.transactions import Emergency
from panachain.proxy import messages
from panachain.service.proxy import service as service_module
from panachain.service.proxy.service import ProxyService, Rates
from panachain.service.proxy.store import ProxyStore
from tests.unit.service.proxy_world import DOMAIN, LOG_DOMAIN, Policy, ProxyWorld, address

EXPIRED = PolicyStatus.EXPIRED


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProxyWorld]:
    made = ProxyWorld(tmp_path)
    yield made
    made.close()


def serve(service: ProxyService, request: ReencryptRequest) -> messages.Answer:
    """Do what the HTTP side does, message by message."""
    admitted = messages.parse_reencrypt(messages.parse_json(messages.canonical(messages.reencrypt_fields(request))))
    service.authenticate(admitted)
    return messages.parse_answer(service.reencrypt(admitted), count=len(request.capsules))


def kinds(world: ProxyWorld, policy: Policy, number: int = 0) -> list[str]:
    return [receipt.kind.value for receipt in world.stores[number].receipts(policy.terms.policy_id)]


def open_detail(receipt: Receipt, audit: SealingKey) -> dict[str, Any]:
    """Return what a receipt tells the patient."""
    return read_detail(receipt, opened_detail(receipt, audit))


class TestReencrypt:
    def test_threshold_of_answers_opens_what_was_wrapped(self, world: ProxyWorld) -> None:
        policy = world.grant()
        wraps = policy.wraps(3)
        capsules = tuple(umbral.capsule_of(wrap) for wrap in wraps.values())
        answers = [serve(world.services[n], world.request(policy, n, capsules=capsules)) for n in (0, 2)]
        keys = {"verifying": policy.terms.verifying_key, "delegating": policy.lane.public}
        opened = {
            name: umbral.unwrap_reencrypted(policy.secret, wrap, [a.cfrags[n] for a in answers], threshold=2, **keys)
            for n, (name, wrap) in enumerate(wraps.items())
        }
        assert opened == policy.plain(wraps)

    def test_answer_is_signed_for_this_request_and_its_receipt(self, world: ProxyWorld) -> None:
        policy = world.grant()
        request = world.request(policy)
        answer = serve(world.services[0], request)

        def signer(asked: ReencryptRequest) -> Address | None:
            return answer_signer(
                DOMAIN,
                request=request_hash(asked),
                cfrags=answer.cfrags,
                receipt=receipt_hash(answer.receipt),
                signature=answer.signature,
            )

        assert signer(request) == world.services[0].address
        assert signer(replace(request, nonce=bytes(16))) != world.services[0].address
        check_receipt(
            answer.receipt,
            proxy=world.services[0].address,
            domain=LOG_DOMAIN,
            policy_id=policy.terms.policy_id,
            kind=ReceiptKind.REENCRYPTED,
        )

    def test_receipt_tells_the_patient_who_asked_for_what(self, world: ProxyWorld) -> None:
        policy = world.grant()
        request = world.request(policy)
        answer = serve(world.services[0], request)
        assert open_detail(answer.receipt, policy.audit) == {
            "requester": policy.grantee.address,
            "grantee": policy.terms.grantee,
            "purpose": "TREAT",
            "lane": 0,
            "capsules": 1,
            "opened": b"".join(map(mark_of, request.capsules)),
        }

    @pytest.mark.parametrize("field", ["policy_id", "grantee", "purpose", "lane", "capsules", "expires_at", "nonce"])
    def test_a_field_changed_after_signing_is_refused(self, world: ProxyWorld, field: str) -> None:
        policy = world.grant()
        request = world.request(policy)
        changed: dict[str, Any] = {
            "policy_id": world.grant().terms.policy_id,
            "grantee": world.services[1].address,
            "purpose": Purpose.HRESCH,
            "lane": 1,
            "capsules": world.request(policy).capsules,
            "expires_at": request.expires_at - 1,
            "nonce": os.urandom(16),
        }
        with pytest.raises(OutOfScopeError, match="isn't signed by the account that it names"):
            serve(world.services[0], replace(request, **{field: changed[field]}))

    def test_a_request_for_another_chain_is_refused(self, world: ProxyWorld) -> None:
        policy = world.grant()
        with pytest.raises(OutOfScopeError, match="isn't signed by the account"):
            serve(world.services[0], sign_request(policy.grantee, bytes(32), world.request(policy)))

    def test_a_request_for_another_proxy_is_refused(self, world: ProxyWorld) -> None:
        with pytest.raises(OutOfScopeError, match="another proxy"):
            serve(world.services[0], world.request(world.grant(), 1))

    @pytest.mark.parametrize("seconds", [-1, 0, 61, 100_000])
    def test_a_request_that_is_over_or_lasts_too_long_is_refused(self, world: ProxyWorld, seconds: int) -> None:
        with pytest.raises(UsageError, match="it may end within 60 s"):
            serve(world.services[0], world.request(world.grant(), expires_at=world.chain.now + seconds))

    def test_a_request_counts_once(self, world: ProxyWorld) -> None:
        policy = world.grant()
        request = world.request(policy)
        serve(world.services[0], request)
        with pytest.raises(UsageError, match="sent before"):
            serve(world.services[0], request)
        assert kinds(world, policy) == ["deposited", "reencrypted"]

    def test_another_purpose_is_refused_and_logged(self, world: ProxyWorld) -> None:
        policy = world.grant()
        with pytest.raises(OutOfScopeError, match="purpose"):
            serve(world.services[0], world.request(policy, purpose=Purpose.HRESCH))
        assert kinds(world, policy) == ["deposited", "denied"]
        detail = open_detail(world.stores[0].receipts(policy.terms.policy_id)[-1], policy.audit)
        assert (detail["reason"], detail["purpose"]) == ("OutOfScopeError", "HRESCH")
        # Whoever is refused got none of the capsules, and could make the log large with them.
        assert "opened" not in detail

    def test_a_capsule_of_another_lane_gives_cfrags_that_open_nothing(self, world: ProxyWorld) -> None:
        policy, other = world.grant(), world.grant()
        wraps = other.wraps(1)
        capsules = (umbral.capsule_of(wraps["00000"]),)
        answers = [serve(world.services[n], world.request(policy, n, capsules=capsules)) for n in (0, 1)]
        keys = {"verifying": policy.terms.verifying_key, "delegating": policy.lane.public}
        with pytest.raises(IntegrityError):
            umbral.unwrap_reencrypted(
                policy.secret, wraps["00000"], [a.cfrags[0] for a in answers], threshold=2, **keys
            )

    def test_a_broken_capsule_is_refused_without_a_receipt(self, world: ProxyWorld) -> None:
        policy = world.grant()
        with pytest.raises(IntegrityError):
            serve(world.services[0], world.request(policy, capsules=(bytes(105),)))
        assert kinds(world, policy) == ["deposited"]

    def test_a_stranger_is_refused(self, world: ProxyWorld) -> None:
        policy, stranger = world.grant(), Account(os.urandom(32))
        world.chain.people[stranger.address] = Status.ACTIVE
        with pytest.raises(OutOfScopeError, match="wasn't granted to"):
            serve(world.services[0], world.request(policy, signer=stranger, requester=stranger.address))
        own = {"requester": stranger.address, "grantee": stranger.address}
        with pytest.raises(OutOfScopeError, match="wasn't granted to"):
            serve(world.services[0], world.request(policy, signer=stranger, **own))

    def test_a_stranger_cannot_fill_the_log(self, world: ProxyWorld) -> None:
        policy, stranger = world.grant(), Account(os.urandom(32))
        for _ in range(70):
            with pytest.raises(OutOfScopeError):
                serve(world.services[0], world.request(policy, signer=stranger, requester=stranger.address))
        assert kinds(world, policy) == ["deposited", "denied"]

    @pytest.mark.parametrize("status", [Status.SUSPENDED, None])
    def test_who_is_not_active_is_refused(self, world: ProxyWorld, status: Status | None) -> None:
        policy = world.grant()
        world.chain.people.pop(policy.terms.grantee)
        if status is not None:
            world.chain.people[policy.terms.grantee] = status
        with pytest.raises(SuspendedError):
            serve(world.services[0], world.request(policy))

    def test_an_unknown_policy_is_refused(self, world: ProxyWorld) -> None:
        with pytest.raises(PolicyUnknownError):
            serve(world.services[0], world.request(world.grant(deposit=False)))

    def test_a_lane_that_was_not_deposited_is_refused(self, world: ProxyWorld) -> None:
        with pytest.raises(OutOfScopeError, match="no kfrag for lane 1"):
            serve(world.services[0], world.request(world.grant(), lane=1))

    def test_an_old_head_means_no_service(self, world: ProxyWorld) -> None:
        policy = world.grant()
        world.chain.age = 121
        with pytest.raises(ChainUnavailableError):
            serve(world.services[0], world.request(policy))
        with pytest.raises(ChainUnavailableError):
            world.services[0].ready()

    def test_no_receipt_means_no_answer(self, world: ProxyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        policy = world.grant()

        def full(*_: object, **__: object) -> None:
            raise DiskError("full")

        monkeypatch.setattr(world.stores[0], "log", full)
        with pytest.raises(DiskError):
            serve(world.services[0], world.request(policy))


class TestGroups:
    @pytest.fixture
    def member(self, world: ProxyWorld) -> Account:
        account = Account(os.urandom(32))
        world.chain.people[account.address] = Status.ACTIVE
        return account

    def ask(self, world: ProxyWorld, policy: Policy, member: Account) -> messages.Answer:
        return serve(world.services[0], world.request(policy, signer=member, requester=member.address))

    def test_a_member_is_served_and_named(self, world: ProxyWorld, member: Account) -> None:
        policy = world.grant()
        world.chain.members.add((policy.terms.grantee, member.address))
        answer = self.ask(world, policy, member)
        assert open_detail(answer.receipt, policy.audit)["requester"] == member.address

    def test_a_former_member_is_refused(self, world: ProxyWorld, member: Account) -> None:
        policy = world.grant()
        world.chain.members.add((policy.terms.grantee, member.address))
        self.ask(world, policy, member)
        world.chain.members.clear()
        with pytest.raises(OutOfScopeError):
            self.ask(world, policy, member)

    def test_a_suspended_member_is_refused(self, world: ProxyWorld, member: Account) -> None:
        policy = world.grant()
        world.chain.members.add((policy.terms.grantee, member.address))
        world.chain.people[member.address] = Status.SUSPENDED
        with pytest.raises(SuspendedError):
            self.ask(world, policy, member)

    def test_a_member_of_another_group_is_refused(self, world: ProxyWorld, member: Account) -> None:
        policy, other = world.grant(), world.grant()
        world.chain.members.add((other.terms.grantee, member.address))
        with pytest.raises(OutOfScopeError):
            self.ask(world, policy, member)
        asked = {"requester": member.address, "grantee": other.terms.grantee}
        with pytest.raises(OutOfScopeError, match="wasn't granted to"):
            serve(world.services[0], world.request(policy, signer=member, **asked))


class TestEmergency:
    """A policy whose grantee is its patient: served in that patient's emergencies, and to whoever asked."""

    @pytest.fixture
    def asking(self, world: ProxyWorld) -> Account:
        account = Account(os.urandom(32))
        world.chain.people[account.address] = Status.ACTIVE
        return account

    def ask(self, world: ProxyWorld, policy: Policy, who: Account) -> messages.Answer:
        return serve(world.services[0], world.request(policy, signer=who, requester=who.address))

    def test_whoever_asked_is_served_while_it_is_active_and_is_named(self, world: ProxyWorld, asking: Account) -> None:
        policy = world.grant()
        world.chain.emergencies[policy.terms.grantee, asking.address] = world.chain.now + 1
        answer = self.ask(world, policy, asking)
        assert open_detail(answer.receipt, policy.audit)["requester"] == asking.address

    def test_before_and_after_it_nobody_is(self, world: ProxyWorld, asking: Account) -> None:
        policy = world.grant()
        with pytest.raises(OutOfScopeError):
            self.ask(world, policy, asking)
        world.chain.emergencies[policy.terms.grantee, asking.address] = world.chain.now
        with pytest.raises(OutOfScopeError):
            self.ask(world, policy, asking)

    def test_another_patients_emergency_opens_nothing(self, world: ProxyWorld, asking: Account) -> None:
        policy, other = world.grant(), world.grant()
        world.chain.emergencies[other.terms.grantee, asking.address] = world.chain.now + 1
        with pytest.raises(OutOfScopeError):
            self.ask(world, policy, asking)

    def test_who_is_suspended_is_refused(self, world: ProxyWorld, asking: Account) -> None:
        policy = world.grant()
        world.chain.emergencies[policy.terms.grantee, asking.address] = world.chain.now + 1
        world.chain.people[asking.address] = Status.SUSPENDED
        with pytest.raises(SuspendedError):
            self.ask(world, policy, asking)


class TestOneHead:
    """What a request makes a proxy read of the mainchain is of one head, so its node is asked for that once."""

    ASKED = ("policy", "head_time", "revocation_in_sight")

    @pytest.fixture
    def seen(self, world: ProxyWorld, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        seen: list[str] = []
        pinned: list[bool] = []

        @contextmanager
        def pin() -> Iterator[None]:
            seen.append("pinned")
            pinned.append(True)
            yield
            pinned.pop()

        def noting(name: str, real: Any) -> Any:
            def noted(*given: Any) -> Any:
                assert pinned, f"{name} is asked for anew"
                seen.append(name)
                return real(*given)

            return noted

        monkeypatch.setattr(world.chain, "pinned", pin)
        for name in self.ASKED:
            monkeypatch.setattr(world.chain, name, noting(name, getattr(world.chain, name)))
        return seen

    def test_of_an_opening_and_of_a_deposit(self, world: ProxyWorld, seen: list[str]) -> None:
        policy = world.grant()
        assert seen.count("pinned") == len(world.services)
        seen.clear()
        serve(world.services[0], world.request(policy))
        assert seen.count("pinned") == 1
        assert set(seen) == {"pinned", *self.ASKED}

    def test_one_that_is_old_is_let_go_before_a_new_one_is_waited_for(
        self, world: ProxyWorld, seen: list[str], tmp_path: Path
    ) -> None:
        policy = world.grant()
        world.chain.age = 500
        seen.clear()

        def wake() -> None:
            seen.append("awake")
            world.chain.age = 0

        serve(world.service(world.seeds[0], world.stores[0], wake=wake), world.request(policy))
        assert seen[:5] == ["pinned", "head_time", "awake", "pinned", "head_time"]

    def test_a_revocation_is_looked_for_again_where_the_head_is_a_second_old(
        self, world: ProxyWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        policy, real = world.grant(), world.chain.identity

        def slow(account: Address) -> Any:
            # The sidechain takes its time, and the patient revokes meanwhile: after the look at the mainchain.
            world.chain.now += 1
            return real(account)

        monkeypatch.setattr(world.chain, "identity", slow)
        work = world.services[0].begin_reencryption(world.request(policy))
        work.step()
        world.chain.waiting.add(policy.terms.policy_id)
        with pytest.raises(PolicyRevokedError):
            world.services[0].finish_reencryption(work)


class TestWaiting:
    """What a patient lets wait: the delay counts from the co-signature's time, or from when this proxy saw it."""

    PATIENT, NURSE, DELAY = Address("0x" + "66" * 20), Address("0x" + "77" * 20), 1800

    @pytest.fixture
    def asking(self, world: ProxyWorld) -> Account:
        account = Account(os.urandom(32))
        world.chain.people[account.address] = Status.ACTIVE
        return account

    @pytest.fixture
    def policy(self, world: ProxyWorld) -> Policy:
        policy = world.grant(deposit=False)
        later = checksum_address(waiting_account(self.PATIENT, self.DELAY))
        return replace(policy, terms=replace(policy.terms, grantee=later))

    def deposited(self, world: ProxyWorld, policy: Policy) -> Policy:
        for number, service in enumerate(world.services):
            service.deposit(service.open_deposit(world.sealed(policy, number)))
        return policy

    def cosign(self, world: ProxyWorld, who: Account, *, early: int = 0, number: int = 1) -> Emergency:
        """Let the sidechain show a co-signature that is stamped so many seconds before now."""
        ends = world.chain.now - early + LASTS
        made = Emergency(number, who.address, self.PATIENT, b"r" * 32, ends, self.NURSE, ends, ends)
        world.chain.cosignatures.append(made)
        return made

    def waits(self, world: ProxyWorld, policy: Policy, who: Account, service: int = 0) -> int:
        """Return for how long a proxy lets somebody wait, seconds; 0 if it serves."""
        request = world.request(policy, service, signer=who, requester=who.address)
        try:
            serve(world.services[service], request)
        except OpensLaterError as exc:
            waits, told = exc.retry_after, str(exc)
        else:
            return 0
        assert f"at {world.chain.now + waits} (Unix seconds)" in told
        return waits

    def never_opens(self, world: ProxyWorld, policy: Policy, who: Account, *, over_in: int) -> None:
        """Check that what waits doesn't open for somebody before the emergency is over, in so many seconds."""
        request = world.request(policy, signer=who, requester=who.address)
        end = world.chain.now + over_in
        with pytest.raises(OpensLaterError, match=f"doesn't open .* before it is over, at {end}") as no:
            serve(world.services[0], request)
        assert f"doesn't open at this proxy before it is over, at {end}" in str(no.value)
        assert no.value.retry_after == over_in

    def test_an_honest_stamp_counts(self, world: ProxyWorld, policy: Policy, asking: Account) -> None:
        self.deposited(world, policy)
        self.cosign(world, asking, early=5)
        world.services[0].look_for_emergencies()
        assert self.waits(world, policy, asking) == self.DELAY - 5
        world.chain.now += self.DELAY - 6
        assert self.waits(world, policy, asking) == 1
        world.chain.now += 1
        assert self.waits(world, policy, asking) == 0

    @pytest.mark.parametrize("early", [TOLERANCE, TOLERANCE + 1, 1800, LASTS - 1])
    def test_an_early_stamp_shortens_it_by_the_tolerance_alone(
        self, world: ProxyWorld, policy: Policy, asking: Account, early: int
    ) -> None:
        self.deposited(world, policy)
        self.cosign(world, asking, early=early)
        # Whether it looks by itself or is asked makes no difference.
        world.services[0].look_for_emergencies()
        for number in (0, 1):
            assert self.waits(world, policy, asking, number) == min(self.DELAY - TOLERANCE, LASTS - early)
        if early < LASTS - self.DELAY:
            world.chain.now += self.DELAY - TOLERANCE
            assert self.waits(world, policy, asking) == 0

    def test_a_late_stamp_prolongs_it(self, world: ProxyWorld, policy: Policy, asking: Account) -> None:
        self.deposited(world, policy)
        self.cosign(world, asking, early=-30)
        assert self.waits(world, policy, asking) == self.DELAY + 30

    def test_a_head_that_is_ahead_of_the_proxys_clock_shortens_nothing(
        self, world: ProxyWorld, policy: Policy, asking: Account
    ) -> None:
        self.deposited(world, policy)
        self.cosign(world, asking, early=1800)
        world.services[0].look_for_emergencies()
        seen, chain = world.chain.now, world.chain
        chain.now += self.DELAY - TOLERANCE
        behind = [float(chain.now - 30)]
        world.services[0] = world.service(world.seeds[0], world.stores[0], clock=lambda: behind[0])
        ends = int(behind[0]) + 45
        request = world.request(policy, signer=asking, requester=asking.address, expires_at=ends)
        with pytest.raises(OpensLaterError, match=f"opens at this proxy at {seen + self.DELAY - TOLERANCE}") as caught:
            serve(world.services[0], request)
        assert caught.value.retry_after == 30
        behind[0] += 30
        assert self.waits(world, policy, asking) == 0

    def test_what_opens_at_once_or_never_is_noted_by_nobody_who_asks(
        self, world: ProxyWorld, policy: Policy, asking: Account
    ) -> None:
        self.deposited(world, policy)
        at_once = world.grant(deposit=False)
        at_once = self.deposited(world, replace(at_once, terms=replace(at_once.terms, grantee=self.PATIENT)))
        elses = world.grant()
        for number in range(3):
            self.cosign(world, asking, number=number)
        assert self.waits(world, at_once, asking) == 0
        with pytest.raises(OutOfScopeError):
            serve(world.services[0], world.request(elses, signer=asking, requester=asking.address))
        assert world.stores[0]._read("SELECT COUNT(*) FROM emergency")[0][0] == 0
        assert self.waits(world, policy, asking) == self.DELAY
        assert world.stores[0]._read("SELECT COUNT(*) FROM emergency")[0][0] == 3

    def test_what_is_over_is_forgotten_when_it_looks_also_where_the_sidechain_is_silent(
        self, world: ProxyWorld, asking: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.cosign(world, asking)
        world.services[0].look_for_emergencies()

        def silent(**_: object) -> None:
            raise ChainUnavailableError("silent")

        monkeypatch.setattr(world.chain, "cosigned", silent)
        for later, kept in ((LASTS - 1, 1), (1, 0)):
            world.chain.now += later
            with pytest.raises(ChainUnavailableError):
                world.services[0].look_for_emergencies()
            assert world.stores[0]._read("SELECT COUNT(*) FROM emergency")[0][0] == kept

    def test_a_proxy_that_starts_again_remembers(self, world: ProxyWorld, policy: Policy, asking: Account) -> None:
        self.deposited(world, policy)
        self.cosign(world, asking)
        for service in world.services[:2]:
            service.look_for_emergencies()
        world.chain.now += 1000
        world.services[0] = world.service(world.seeds[0], world.stores[0])
        assert self.waits(world, policy, asking) == self.DELAY - 1000
        # The third one was down meanwhile, and counts from now.
        assert self.waits(world, policy, asking, 2) == self.DELAY - TOLERANCE

    def test_a_cosignature_that_comes_back_at_another_time_is_another_one(
        self, world: ProxyWorld, policy: Policy, asking: Account
    ) -> None:
        """A reorganisation took it away; it was written again, by whoever makes the blocks, with an earlier stamp."""
        self.deposited(world, policy)
        self.cosign(world, asking)
        world.services[0].look_for_emergencies()
        world.chain.cosignatures.clear()
        world.chain.now += 1000
        self.cosign(world, asking, early=1500)
        assert self.waits(world, policy, asking) == self.DELAY - TOLERANCE

    def test_more_emergencies_than_are_kept_open_nothing_that_waits(
        self, world: ProxyWorld, policy: Policy, asking: Account
    ) -> None:
        self.deposited(world, policy)
        other = Account(os.urandom(32))
        for number in range(70):
            self.cosign(world, other, number=number)
        world.services[0].look_for_emergencies()
        # One person's don't take the place of another one's.
        self.cosign(world, asking, number=99)
        world.services[0].look_for_emergencies()
        world.chain.people[other.address] = Status.ACTIVE
        del world.chain.cosignatures[:69]
        # No time is told at which it is over.
        self.never_opens(world, policy, other, over_in=LASTS)
        world.chain.now += self.DELAY
        assert self.waits(world, policy, asking) == 0

    def test_a_proxy_that_comes_back_too_late_says_that_it_doesnt_open(
        self, world: ProxyWorld, policy: Policy, asking: Account
    ) -> None:
        self.deposited(world, policy)
        # It was down since the co-signature.
        left = self.DELAY - TOLERANCE - 100
        self.cosign(world, asking, early=LASTS - left)
        self.never_opens(world, policy, asking, over_in=left)
        # A newer one of theirs opens it, and its time is told.
        self.cosign(world, asking, number=2)
        assert self.waits(world, policy, asking) == self.DELAY

    def test_nobody_hears_of_it_whom_the_rules_refuse(self, world: ProxyWorld, policy: Policy, asking: Account) -> None:
        self.deposited(world, policy)
        self.cosign(world, asking)
        for change, error in (({"purpose": Purpose.HRESCH}, OutOfScopeError), ({}, SuspendedError)):
            if not change:
                world.chain.people[asking.address] = Status.SUSPENDED
            request = world.request(policy, signer=asking, requester=asking.address, **change)
            with pytest.raises(error):
                serve(world.services[0], request)
        stranger = Account(os.urandom(32))
        with pytest.raises(OutOfScopeError):
            serve(world.services[0], world.request(policy, signer=stranger, requester=stranger.address))

    def test_what_opens_at_once_does_whatever_the_stamp_says(self, world: ProxyWorld, asking: Account) -> None:
        policy = world.grant(deposit=False)
        policy = self.deposited(world, replace(policy, terms=replace(policy.terms, grantee=self.PATIENT)))
        self.cosign(world, asking, early=1800)
        assert self.waits(world, policy, asking) == 0


class TestDeposit:
    def test_a_second_deposit_returns_the_first_receipt(self, world: ProxyWorld) -> None:
        policy = world.grant()
        again = world.services[0].deposit(world.services[0].open_deposit(world.sealed(policy, 0)))
        assert messages.parse_receipt(again["receipt"]) == world.stores[0].receipts(policy.terms.policy_id)[0]
        assert kinds(world, policy) == ["deposited"]

    def test_a_deposit_counts_once(self, world: ProxyWorld) -> None:
        policy = world.grant(deposit=False)
        sealed = world.sealed(policy, 0)
        world.services[0].deposit(world.services[0].open_deposit(sealed))
        with pytest.raises(UsageError, match="sent before"):
            world.services[0].deposit(world.services[0].open_deposit(sealed))

    def test_a_deposit_for_another_proxy_is_refused(self, world: ProxyWorld) -> None:
        policy = world.grant(deposit=False)
        with pytest.raises(IntegrityError):
            world.services[1].open_deposit(world.sealed(policy, 0))
        with pytest.raises(OutOfScopeError, match="another proxy"):
            world.services[0].open_deposit(world.sealed(policy, 0, proxy=world.services[1].address))

    def test_a_foreign_kfrag_is_refused(self, world: ProxyWorld) -> None:
        policy, other = world.grant(deposit=False), world.grant(deposit=False)
        lanes = world.deposit_request(other, 0).lanes
        with pytest.raises(IntegrityError):
            world.services[0].deposit(world.services[0].open_deposit(world.sealed(policy, 0, lanes=lanes)))
        assert kinds(world, policy) == []

    def test_other_terms_than_on_chain_are_refused(self, world: ProxyWorld) -> None:
        policy = world.grant(deposit=False)
        with pytest.raises(OutOfScopeError, match="other terms"):
            world.services[0].deposit(world.services[0].open_deposit(world.sealed(policy, 0, terms=bytes(32))))

    def test_a_deposit_signed_by_another_is_refused(self, world: ProxyWorld) -> None:
        policy = world.grant(deposit=False)
        policy.account = Account(os.urandom(32))
        with pytest.raises(OutOfScopeError):
            world.services[0].open_deposit(world.sealed(policy, 0))

    @pytest.mark.parametrize("key", [bytes(1216), b"\xff" * 1216], ids=["small order", "not reduced"])
    def test_a_deposit_whose_receipts_could_be_sealed_to_nobody_is_refused(self, world: ProxyWorld, key: bytes) -> None:
        policy = world.grant(deposit=False)
        with pytest.raises(IntegrityError, match="nothing can be sealed"):
            world.services[0].deposit(world.services[0].open_deposit(world.sealed(policy, 0, audit_key=key)))
        assert kinds(world, policy) == []

    def test_a_deposit_after_the_revocation_is_refused(self, world: ProxyWorld) -> None:
        policy = world.grant(deposit=False)
        world.chain.waiting.add(policy.terms.policy_id)
        with pytest.raises(PolicyRevokedError):
            world.services[0].deposit(world.services[0].open_deposit(world.sealed(policy, 0)))

    @pytest.mark.parametrize("plain", [b"", b"[]", b"{", b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 100_000])
    def test_garbage_in_a_seal_is_refused(self, world: ProxyWorld, plain: bytes) -> None:
        sealed = box.seal_to(world.seeds[0].sealing().public, plain, labels.DEPOSIT)
        with pytest.raises(UsageError):
            world.services[0].open_deposit(sealed)


class TestEnd:
    def test_revocation_in_sight_stops_service_and_deletes_nothing(self, world: ProxyWorld) -> None:
        policy = world.grant()
        world.chain.waiting.add(policy.terms.policy_id)
        with pytest.raises(PolicyRevokedError):
            serve(world.services[0], world.request(policy))
        assert world.stores[0].kfrag(policy.terms.policy_id, 0) is not None
        with pytest.raises(UsageError, match="isn't revoked on chain"):
            world.services[0].revoke(policy.terms.policy_id)

    def test_revocation_deletes_with_one_receipt(self, world: ProxyWorld) -> None:
        policy = world.grant()
        world.chain.revoke(policy.terms.policy_id)
        first = world.services[0].revoke(policy.terms.policy_id)
        assert world.services[0].revoke(policy.terms.policy_id) == first
        assert world.stores[0].kfrag(policy.terms.policy_id, 0) is None
        assert kinds(world, policy) == ["deposited", "deleted"]

    def test_what_was_deleted_is_in_no_file(self, world: ProxyWorld) -> None:
        policy = world.grant()
        store = world.stores[0]
        rows = store._read("SELECT sealed FROM kfrag WHERE policy_id = {}", policy.terms.policy_id)
        sealed = bytes(rows[0][0])
        world.chain.revoke(policy.terms.policy_id)
        world.services[0].revoke(policy.terms.policy_id)
        store.close()
        files = list(world.folder.glob("proxy-0.sqlite*"))
        assert files
        assert not any(sealed[:64] in file.read_bytes() for file in files)

    def test_a_denied_request_deletes_what_the_chain_says_is_revoked(self, world: ProxyWorld) -> None:
        policy = world.grant()
        world.chain.revoke(policy.terms.policy_id)
        with pytest.raises(PolicyRevokedError):
            serve(world.services[0], world.request(policy))
        assert kinds(world, policy) == ["deposited", "denied", "deleted"]

    def test_an_expired_policy_is_refused_and_forgotten_once_the_clock_agrees(self, world: ProxyWorld) -> None:
        policy = world.grant()
        world.chain.expire(policy.terms.policy_id)
        ended = world.chain.policies[policy.terms.policy_id].expires_at
        for now, expected in (
            (MARGIN - 1, ["deposited", "denied"]),
            (MARGIN, ["deposited", "denied", "deleted"]),
        ):
            world.chain.now = ended + now
            with pytest.raises(PolicyExpiredError):
                serve(world.services[0], world.request(policy))
            assert kinds(world, policy) == expected

    def test_sweep_forgets_what_the_chain_says_is_over(self, world: ProxyWorld) -> None:
        over, running = world.grant(), world.grant()
        assert world.services[0].sweep() == 0
        world.chain.now += 4000
        # The clock alone deletes nothing.
        assert world.services[0].sweep() == 0
        world.chain.expire(over.terms.policy_id)
        # Nor does the chain alone.
        assert world.services[0].sweep() == 0
        world.chain.now += MARGIN
        assert world.services[0].sweep() == 1
        assert (kinds(world, over)[-1], kinds(world, running)[-1]) == ("deleted", "deposited")

    def test_sweep_forgets_what_was_revoked_though_nobody_asks_for_it(self, world: ProxyWorld) -> None:
        """Its patient's machine may be gone, and its grantee has no reason to ask."""
        revoked, waiting, running = world.grant(), world.grant(), world.grant()
        world.chain.revoke(revoked.terms.policy_id)
        world.chain.waiting.add(waiting.terms.policy_id)
        world.chain.shallow.add(waiting.terms.policy_id)
        assert world.services[0].sweep() == 1
        assert [kinds(world, one)[-1] for one in (revoked, waiting, running)] == ["deleted", "deposited", "deposited"]
        assert world.stores[0].kfrag(revoked.terms.policy_id, 0) is None
        assert world.services[0].sweep() == 0

    def test_one_that_cannot_be_deleted_keeps_no_other_and_a_sweep_has_an_end(
        self, world: ProxyWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service_module, "_MOST_DELETED", 2)
        revoked = [world.grant() for _ in range(5)]
        for one in revoked:
            world.chain.revoke(one.terms.policy_id)
        first = min(one.terms.policy_id for one in revoked)
        real = world.services[0]._delete

        def refusing(policy: OnChainPolicy) -> None:
            if policy.policy_id == first:
                raise DiskError("no room")
            real(policy)

        monkeypatch.setattr(world.services[0], "_delete", refusing)
        for _ in range(2):
            with pytest.raises(DiskError, match="no room"):
                world.services[0].sweep()
        assert sorted(one.terms.policy_id for one in revoked if kinds(world, one)[-1] == "deposited") == [first]
        monkeypatch.undo()
        assert world.services[0].sweep() == 1

    def test_no_policies_that_last_longer_than_they_said_keep_others_from_being_swept(
        self, world: ProxyWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A grant that a reorganisation took away may be granted again with another window, by whoever likes."""
        monkeypatch.setattr(service_module, "_SWEPT", 2)
        longer, over = [world.grant() for _ in range(5)], [world.grant() for _ in range(3)]
        world.chain.now += 4000 + MARGIN
        for one in longer:
            known = world.chain.policies[one.terms.policy_id]
            world.chain.policies[one.terms.policy_id] = replace(known, expires_at=world.chain.now + 1)
        for one in over:
            known = world.chain.policies[one.terms.policy_id]
            world.chain.policies[one.terms.policy_id] = replace(known, status=EXPIRED)
        assert world.services[0].sweep() == len(over)

    def test_owner_reads_receipts_once_per_request_and_strangers_never(self, world: ProxyWorld) -> None:
        policy = world.grant()
        request = world.receipts_request(policy)
        world.services[0].authenticate(request)
        assert len(world.services[0].receipts(request)["receipts"]) == 1
        with pytest.raises(UsageError, match="sent before"):
            world.services[0].receipts(request)
        with pytest.raises(OutOfScopeError):
            world.services[0].authenticate(sign_request(policy.grantee, DOMAIN, world.receipts_request(policy)))


class TestTime:
    """A node may lie about the time: nothing is served, deleted or signed by what it says alone (security rule 19)."""

    @pytest.mark.parametrize(("age", "serves"), [(-30, True), (-31, False), (120, True), (121, False)])
    def test_a_head_is_believed_between_two_bounds(self, world: ProxyWorld, age: int, serves: bool) -> None:
        policy = world.grant()
        world.chain.age = age
        if serves:
            serve(world.services[0], world.request(policy))
            return
        service, request = world.services[0], world.request(policy)
        deposit = service.open_deposit(world.sealed(policy, 0))
        world.chain.revoke(policy.terms.policy_id)
        for act in (
            lambda: serve(service, request),
            lambda: service.deposit(deposit),
            lambda: service.revoke(policy.terms.policy_id),
            service.sweep,
            service.ready,
        ):
            with pytest.raises(ChainUnavailableError):
                act()
        assert kinds(world, policy) == ["deposited"]
        assert world.stores[0].kfrag(policy.terms.policy_id, 0) is not None

    @pytest.mark.parametrize("ahead", [3600, 30 * 86_400])
    def test_a_head_that_only_the_policy_is_read_at_is_not_believed_either(
        self, world: ProxyWorld, monkeypatch: pytest.MonkeyPatch, ahead: int
    ) -> None:
        policy = world.grant()
        real = world.chain.policy
        monkeypatch.setattr(
            world.chain, "policy", lambda name: replace(real(name), block_time=world.chain.now + ahead, status=EXPIRED)
        )
        with pytest.raises(ChainUnavailableError, match=f"head is {ahead} s ahead of this machine's clock"):
            serve(world.services[0], world.request(policy))
        assert kinds(world, policy) == ["deposited"]

    def test_a_lying_head_deletes_nothing(self, world: ProxyWorld) -> None:
        """The window's end comes by chain and clock, and a node moves the one only."""
        policy = world.grant()
        clock = world.chain.now
        service = world.service(world.seeds[0], world.stores[0], clock=lambda: clock, max_head_ahead=1 << 40)
        world.chain.now = policy.terms.expires_at + 30 * 86_400
        world.chain.policies[policy.terms.policy_id] = replace(
            world.chain.policies[policy.terms.policy_id], status=EXPIRED
        )
        assert service.sweep() == 0
        assert world.stores[0].kfrag(policy.terms.policy_id, 0) is not None

    @pytest.mark.parametrize(("ahead", "stated"), [(-5, -5), (0, 0), (1, 0), (30, 0)])
    def test_a_receipt_states_no_time_after_the_proxys_own(self, world: ProxyWorld, ahead: int, stated: int) -> None:
        """With a head that is ahead, a revocation of a moment later would convict an honest proxy."""
        policy = world.grant()
        now = world.chain.now
        service = world.service(world.seeds[0], world.stores[0], clock=lambda: now)
        world.chain.now = now + ahead
        request = world.request(policy, expires_at=now + 45)
        assert serve(service, request).receipt.at == now + stated

    def test_a_receipt_states_no_time_before_the_policys_begin(self, world: ProxyWorld) -> None:
        policy = world.grant()
        now = world.chain.now
        service = world.service(world.seeds[0], world.stores[0], clock=lambda: now)
        world.chain.now = now + 30
        known = world.chain.policies[policy.terms.policy_id]
        world.chain.policies[policy.terms.policy_id] = replace(known, starts_at=now + 10)
        assert serve(service, world.request(policy, expires_at=now + 45)).receipt.at == now + 10

    def test_a_revocation_that_may_be_replaced_deletes_nothing(self, world: ProxyWorld) -> None:
        policy = world.grant()
        world.chain.revoke(policy.terms.policy_id)
        world.chain.shallow.add(policy.terms.policy_id)
        with pytest.raises(PolicyRevokedError):
            serve(world.services[0], world.request(policy))
        with pytest.raises(UsageError, match="deep enough"):
            world.services[0].revoke(policy.terms.policy_id)
        assert world.stores[0].kfrag(policy.terms.policy_id, 0) is not None
        world.chain.shallow.clear()
        world.services[0].revoke(policy.terms.policy_id)
        assert world.stores[0].kfrag(policy.terms.policy_id, 0) is None


class TestDeleteOrder:
    """The owner's signature deletes, whatever a node says."""

    @pytest.mark.parametrize("age", [0, 10_000, -10_000])
    def test_an_order_needs_no_chain(self, world: ProxyWorld, monkeypatch: pytest.MonkeyPatch, age: int) -> None:
        policy = world.grant()
        world.chain.age = age

        def down(*_: object) -> None:
            raise ChainUnavailableError("no node answers")

        for name in ("policy", "settled", "head_time", "revocation_in_sight"):
            monkeypatch.setattr(world.chain, name, down)
        answer = world.services[0].delete(world.revocation(policy))
        receipt = messages.parse_receipt(answer["receipt"])
        assert (receipt.kind, receipt.block, receipt.at) == (ReceiptKind.DELETED, 0, world.chain.now)
        assert world.stores[0].kfrag(policy.terms.policy_id, 0) is None
        assert world.services[0].delete(world.revocation(policy)) == answer
        monkeypatch.undo()
        world.chain.age = 0
        # The chain still says active: what was deleted can't be served, nor handed in again.
        with pytest.raises(OutOfScopeError, match="no kfrag"):
            serve(world.services[0], world.request(policy))
        world.services[0].deposit(world.services[0].open_deposit(world.sealed(policy, 0)))
        assert world.stores[0].kfrag(policy.terms.policy_id, 0) is None

    def test_nobody_else_orders_it(self, world: ProxyWorld) -> None:
        policy, other = world.grant(), world.grant()
        good = world.revocation(policy)
        for wrong in (
            world.revocation(policy, signer=policy.grantee),
            replace(good, policy_id=other.terms.policy_id),
            replace(good, signature=bytes(64)),
            replace(good, signature=bytes([good.signature[0] ^ 1]) + good.signature[1:]),
        ):
            with pytest.raises(IntegrityError, match="isn't signed by the policy's own key"):
                world.services[0].delete(wrong)
        assert kinds(world, policy) == kinds(world, other) == ["deposited"]
        with pytest.raises(PolicyUnknownError):
            world.services[0].delete(world.revocation(world.grant(deposit=False)))


class TestSharedDatabase:
    """Two services on one database, as two worker processes have it."""

    @pytest.fixture
    def twins(self, world: ProxyWorld) -> Iterator[tuple[ProxyService, ProxyService]]:
        seed = world.seeds[0]
        second = ProxyStore(world.folder / "proxy-0.sqlite", seed.store_key(), proxy=address(seed))
        yield world.services[0], world.service(seed, second)
        second.close()

    def test_a_nonce_counts_once_over_all(self, world: ProxyWorld, twins: tuple[ProxyService, ProxyService]) -> None:
        request = world.request(world.grant())
        serve(twins[0], request)
        with pytest.raises(UsageError, match="sent before"):
            serve(twins[1], request)

    def test_of_equal_requests_at_once_one_is_answered(
        self, world: ProxyWorld, twins: tuple[ProxyService, ProxyService]
    ) -> None:
        policy = world.grant()
        request = world.request(policy)
        outcomes: list[str] = []

        def ask(service: ProxyService) -> None:
            try:
                serve(service, request)
                outcomes.append("served")
            except PanaChainError as exc:
                outcomes.append(type(exc).__name__)

        threads = [threading.Thread(target=ask, args=(twin,)) for twin in twins * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(outcomes) == ["UsageError"] * 7 + ["served"]
        assert kinds(world, policy) == ["deposited", "reencrypted"]

    def test_another_proxys_database_is_refused(self, world: ProxyWorld) -> None:
        stranger = Seed.random()
        with pytest.raises(ConfigurationError, match="is of proxy"):
            ProxyStore(world.folder / "proxy-0.sqlite", stranger.store_key(), proxy=address(stranger))


class TestRefusals:
    def refused(self, world: ProxyWorld, policy: Policy, person: Account, **changes: Any) -> None:
        with pytest.raises(AccessDeniedError):
            serve(world.services[0], world.request(policy, signer=person, requester=person.address, **changes))

    def page(self, world: ProxyWorld, policy: Policy, part: ReceiptPart, **changes: Any) -> dict[str, Any]:
        request = replace(world.receipts_request(policy), part=part, **changes)
        return world.services[0].receipts(sign_request(policy.account, DOMAIN, request))

    def people(self, world: ProxyWorld, count: int) -> list[Account]:
        made = [Account(os.urandom(32)) for _ in range(count)]
        world.chain.people |= {one.address: Status.ACTIVE for one in made}
        return made

    def test_of_one_person_share_a_receipt_for_a_while(self, world: ProxyWorld) -> None:
        policy, (person,) = world.grant(), self.people(world, 1)
        for _ in range(5):
            self.refused(world, policy, person)
        world.chain.now += 600
        self.refused(world, policy, person)
        found = self.page(world, policy, ReceiptPart.REFUSED)["receipts"]
        # The first at once, the other four together with the next one.
        assert [receipt["count"] for receipt in found] == [1, 5]
        details = [open_detail(messages.parse_receipt(receipt), policy.audit) for receipt in found]
        assert {detail["requester"] for detail in details} == {person.address}

    def test_of_each_person_and_reason_have_their_own(self, world: ProxyWorld) -> None:
        policy = world.grant()
        first, (second,) = policy.grantee, self.people(world, 1)
        for person in (first, second, first, second):
            self.refused(world, policy, person, purpose=Purpose.HRESCH)
        world.chain.people[first.address] = Status.SUSPENDED
        self.refused(world, policy, first)
        found = self.page(world, policy, ReceiptPart.REFUSED)["receipts"]
        details = [open_detail(messages.parse_receipt(receipt), policy.audit) for receipt in found]
        assert [detail["requester"] for detail in details] == [first.address, second.address, first.address]
        assert [detail["reason"] for detail in details] == ["OutOfScopeError", "OutOfScopeError", "SuspendedError"]

    def test_of_strangers_stand_apart_and_are_one(self, world: ProxyWorld) -> None:
        policy, (person,) = world.grant(), self.people(world, 1)
        serve(world.services[0], world.request(policy))
        for _ in range(200):
            self.refused(world, policy, Account(os.urandom(32)))
            world.chain.now += 1
        self.refused(world, policy, person)
        asked = [part for part in ReceiptPart if part is not ReceiptPart.PROOF]
        parts = {part: self.page(world, policy, part)["receipts"] for part in asked}
        assert [receipt["kind"] for receipt in parts[ReceiptPart.SERVED]] == ["deposited", "reencrypted"]
        assert [len(parts[part]) for part in (ReceiptPart.REFUSED, ReceiptPart.STRANGERS)] == [1, 1]
        apart = [receipt for part, found in parts.items() if part is not ReceiptPart.ALL for receipt in found]
        assert parts[ReceiptPart.ALL] == sorted(apart, key=lambda receipt: receipt["sequence"])

    def test_what_no_receipt_tells_of_yet_is_told_when_its_time_is_over(self, world: ProxyWorld) -> None:
        policy = world.grant()
        for _ in range(20):
            self.refused(world, policy, Account(os.urandom(32)))
        assert world.services[0].tell_refusals() == 0
        world.chain.now += 3601
        assert (world.services[0].tell_refusals(), world.services[0].tell_refusals()) == (1, 0)
        found = self.page(world, policy, ReceiptPart.STRANGERS)["receipts"]
        assert [receipt["count"] for receipt in found] == [1, 19]
        assert world.stores[0]._read("SELECT count(*) FROM refused")[0][0] == 0

    def test_a_flood_of_strangers_uses_up_nothing_of_what_counts_for_people(self, world: ProxyWorld) -> None:
        policy, (person,) = world.grant(), self.people(world, 1)
        # More than are counted in a minute, without a second passing.
        for _ in range(70):
            self.refused(world, policy, Account(os.urandom(32)))
        self.refused(world, policy, person)
        assert len(self.page(world, policy, ReceiptPart.REFUSED)["receipts"]) == 1
        assert world.stores[0]._read("SELECT count(*) FROM nonce")[0][0] <= 1 + 60 + 1 + 1

    def test_pages_go_on_where_the_last_one_ended(self, world: ProxyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(messages, "RECEIPTS_PAGE", 3)
        policy = world.grant()
        for _ in range(6):
            serve(world.services[0], world.request(policy))
        seen: list[int] = []
        more = True
        while more:
            answer = self.page(world, policy, ReceiptPart.SERVED, after=seen[-1] if seen else 0)
            seen += [receipt["sequence"] for receipt in answer["receipts"]]
            more = answer["more"]
        assert seen == [receipt.sequence for receipt in world.stores[0].receipts(policy.terms.policy_id)]
        assert len(seen) == 7

    def test_what_strangers_are_refused_costs_no_capsules(self, world: ProxyWorld) -> None:
        service = world.service(world.seeds[0], world.stores[0], rates=Rates(opened=5))
        policy, (person,) = world.grant(), self.people(world, 1)
        many = world.request(policy).capsules * 5
        for _ in range(3):
            with pytest.raises(AccessDeniedError):
                service.reencrypt(world.request(policy, signer=person, requester=person.address, capsules=many))
        assert service.reencrypt(world.request(policy, capsules=many))["cfrags"]


class TestLogThatWasSetBack:
    """The chain has an anchor that the database lacks: nothing is signed, whatever is asked."""

    def test_nothing_is_written_to_it(self, world: ProxyWorld) -> None:
        policy, store = world.grant(), world.stores[0]
        # A refusal that waits to be told of.
        world.chain.people.clear()
        for _ in range(2):
            with pytest.raises(AccessDeniedError):
                world.services[0].reencrypt(world.request(policy))
        world.chain.now += 10**6

        def set_back() -> None:
            raise UnavailableError("an older database")

        refusing = world.service(world.seeds[0], store, check_log=set_back)
        before = store.head()
        world.chain.revoke(policy.terms.policy_id)
        deposit = refusing.open_deposit(world.sealed(policy, 0))
        for ask in (
            lambda: refusing.deposit(deposit),
            lambda: refusing.reencrypt(world.request(policy)),
            lambda: refusing.revoke(policy.terms.policy_id),
            lambda: refusing.delete(world.revocation(policy)),
            refusing.sweep,
            refusing.tell_refusals,
            refusing.ready,
        ):
            with pytest.raises(UnavailableError, match="an older database"):
                ask()
        assert store.head() == before

    def test_a_signed_revocation_deletes_where_no_chain_tells(self, world: ProxyWorld) -> None:
        policy = world.grant()

        def unknown() -> None:
            raise ChainUnavailableError("no node answers")

        service = world.service(world.seeds[0], world.stores[0], check_log=unknown)
        service.delete(world.revocation(policy))
        assert world.stores[0].kfrag(policy.terms.policy_id, 0) is None
        with pytest.raises(ChainUnavailableError):
            service.ready()
