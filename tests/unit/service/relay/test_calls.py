"""The relay of a sidechain without a chain: whose calls are paid, how many, and that taking back never waits."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak
from starlette.testclient import TestClient

from panachain.chain.abi import contract
from panachain.chain.evm import Receipt
from panachain.chain.rpc import RpcAnswerError
from panachain.chain.sidechain import Sidechain
from panachain.chain.signing import Account
from panachain.model.actors import Actor, Address, Role, Status
from panachain.model.guardianship import GuardianProof
from panachain.model.transactions import Call
from panachain.service.problems import ProblemError
from panachain.service.relay import calls
from panachain.service.relay.app import create_app
from panachain.service.relay.calls import MAX_CALL_GAS, CallRelayService
from panachain.service.relay.service import Budget
from panachain.service.relay.store import RelayStore
from tests.unit.service.loopback import wait_for

CONTRACTS = {
    name: Address(f"0x{number:040x}")
    for number, name in enumerate(
        ("Forwarder", "IdentityRegistry", "AccessRequests", "CareGroups", "EmergencyAccess", "AccessManager"), start=16
    )
}
PATIENT, DOCTOR, STRANGER = (Account(bytes([number]) * 32) for number in (1, 2, 3))
HOSPITAL = Address("0x" + "48" * 20)
PLENTY = Budget(10**9, 10**6)
COST = 0x10000 * 12 // 10
"""Gas that is put aside for each call."""


class TwinSidechain(Sidechain):
    """A sidechain on which a patient and a doctor are registered, and that refuses what a test says."""

    def __init__(self) -> None:
        rpc: Any = SimpleNamespace(call=self.answer)
        super().__init__(rpc, CONTRACTS, 31_338)
        self.refused: dict[str, bytes] = {}
        """Revert data by the contract that is called."""
        self.guardians: list[tuple[str, str, GuardianProof]] = []
        """Patient, account, and what it is known by."""
        self.identities.identity_of = self.identity  # type: ignore[method-assign]
        self.guardianships.is_guardian = (  # type: ignore[method-assign]
            lambda patient, account, proof: (patient, account, proof) in self.guardians
        )

    def answer(self, method: str, params: Any = ()) -> Any:
        if method == "eth_estimateGas" and params[0]["to"] in self.refused:
            raise RpcAnswerError("execution reverted", code=3, data=self.refused[params[0]["to"]])
        return {"gasLimit": "0x1c9c380"} if method == "eth_getBlockByNumber" else "0x10000"

    def identity(self, account: Address) -> Actor | None:
        if account not in (PATIENT.address, DOCTOR.address):
            return None
        return Actor(account, Role.PATIENT, Status.ACTIVE, b"")


class Mining:
    """Mines what it is given, at once or when the test says so."""

    address = "0x" + "22" * 20

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def send(self, to: str, data: str, *, what: str, signed: Any) -> Receipt:
        assert to == CONTRACTS["Forwarder"]
        self.sent.append(data[:10])
        tx_hash = "0x" + hashlib.sha256(data.encode()).hexdigest()
        signed(tx_hash, "0x02")
        assert self.go_on.wait(60)
        return Receipt(tx_hash, 7, 50_000)


@pytest.fixture
def chain() -> TwinSidechain:
    return TwinSidechain()


@contextmanager
def running(
    folder: Path, chain: TwinSidechain, sender: Any = None, budget: Budget = PLENTY, **settings: Any
) -> Iterator[CallRelayService]:
    store = RelayStore(folder / "relay.sqlite")
    service = CallRelayService(chain, sender or Mining(), store, budget, **settings)
    service.start()
    try:
        yield service
    finally:
        service.stop(timeout=60)
        store.close()


def signed(
    chain: TwinSidechain, who: Account, name: str, function: str, *args: Any, nonce: int = 0, **change: Any
) -> tuple[Call, bytes]:
    data = bytes.fromhex(contract(name).calldata(function, *args)[2:])
    call = Call(Address(who.address), CONTRACTS[name], data, 90_000, nonce, 2_000_000_000)
    call = replace(call, **change)
    return call, chain.forwarder.sign(who, call)


def pair(chain: TwinSidechain, who: Account = PATIENT, nonce: int = 0) -> tuple[Call, bytes]:
    return signed(chain, who, "IdentityRegistry", "pair", HOSPITAL, b"p" * 32, nonce=nonce)


def unpair(chain: TwinSidechain, nonce: int = 0) -> tuple[Call, bytes]:
    return signed(chain, PATIENT, "IdentityRegistry", "unpair", HOSPITAL, nonce=nonce)


def submit(service: CallRelayService, call: tuple[Call, bytes]) -> Any:
    return service.submit(service.call(*call))


def refusal(service: CallRelayService, call: tuple[Call, bytes]) -> str:
    with pytest.raises(ProblemError) as caught:
        submit(service, call)
    return caught.value.kind.slug


class TestWho:
    def test_a_registered_persons_call_is_paid(self, tmp_path: Path, chain: TwinSidechain) -> None:
        with running(tmp_path, chain) as service:
            outcome = submit(service, pair(chain)).result(timeout=60)
            assert (outcome.state, outcome.gas_used) == ("mined", 50_000)
            # The same again is the same one, and is counted and paid once.
            assert submit(service, pair(chain)).result(timeout=60) == outcome
            assert service.left()[0] == PLENTY.gas - 50_000

    def test_a_strangers_is_not(self, tmp_path: Path, chain: TwinSidechain) -> None:
        with running(tmp_path, chain) as service:
            assert refusal(service, pair(chain, STRANGER)) == "not-registered"
            assert service.left()[0] == PLENTY.gas

    def test_nobody_signs_for_another(self, tmp_path: Path, chain: TwinSidechain) -> None:
        with running(tmp_path, chain) as service:
            call, signature = pair(chain, STRANGER)
            assert refusal(service, (replace(call, signer=Address(PATIENT.address)), signature)) == "not-signed"
            call, signature = pair(chain)
            assert refusal(service, (replace(call, nonce=1), signature)) == "not-signed"

    @pytest.mark.parametrize("function", ["approveRecovery", "freezeFor"])
    def test_a_guardian_who_is_a_stranger_speaks_for_the_patient(
        self, tmp_path: Path, chain: TwinSidechain, function: str
    ) -> None:
        proof = GuardianProof((b"c" * 32,), 0, b"s" * 32)
        between = [DOCTOR.address] if function == "approveRecovery" else []
        spoken = ("IdentityRegistry", function, PATIENT.address, *between, *proof.arguments)
        with running(tmp_path, chain, calls_per_day=1) as service:
            assert refusal(service, signed(chain, STRANGER, *spoken)) == "not-registered"
            chain.guardians = [(PATIENT.address, STRANGER.address, proof)]
            assert submit(service, signed(chain, STRANGER, *spoken)).result(timeout=60).state == "mined"
            # And nothing else.
            assert refusal(service, pair(chain, STRANGER)) == "not-registered"
            # It is none of the patient's calls of the day.
            assert submit(service, pair(chain)).result(timeout=60).state == "mined"
            assert refusal(service, pair(chain, nonce=1)) == "quota-exhausted"

    def test_who_is_only_a_guardian_has_a_small_limit_of_their_own(
        self, tmp_path: Path, chain: TwinSidechain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proof = GuardianProof((b"c" * 32,), 0, b"s" * 32)
        monkeypatch.setattr(calls, "GUARDIAN_CALLS_PER_DAY", 2)
        chain.guardians = [(one.address, STRANGER.address, proof) for one in (PATIENT, DOCTOR)]
        freeze = ("IdentityRegistry", "freezeFor")
        with running(tmp_path, chain) as service:
            # Whomever they guard.
            for nonce, one in enumerate((PATIENT, DOCTOR)):
                call = signed(chain, STRANGER, *freeze, one.address, *proof.arguments, nonce=nonce)
                assert submit(service, call).result(timeout=60).state == "mined"
            third = signed(chain, STRANGER, *freeze, PATIENT.address, *proof.arguments, nonce=2)
            assert refusal(service, third) == "quota-exhausted"
            for nonce in range(3):
                assert submit(service, pair(chain, nonce=nonce)).result(timeout=60).state == "mined"

    def test_what_only_begins_like_a_guardians_call_is_a_strangers(self, tmp_path: Path, chain: TwinSidechain) -> None:
        selector = contract("IdentityRegistry").selector("approveRecovery")
        with running(tmp_path, chain) as service:
            for rest in (b"", b"\xff" * 64, bytes(32 * 5)):
                call = Call(
                    Address(STRANGER.address), CONTRACTS["IdentityRegistry"], selector + rest, 90_000, 0, 2 * 10**9
                )
                assert refusal(service, (call, chain.forwarder.sign(STRANGER, call))) == "not-registered"


class TestWhat:
    @pytest.mark.parametrize(
        "change", [{"to": HOSPITAL}, {"to": CONTRACTS["AccessManager"]}, {"gas": MAX_CALL_GAS + 1}]
    )
    def test_other_contracts_and_boundless_calls_are_not_paid(
        self, tmp_path: Path, chain: TwinSidechain, change: dict[str, Any]
    ) -> None:
        with running(tmp_path, chain) as service:
            call = signed(chain, PATIENT, "IdentityRegistry", "unpair", HOSPITAL, **change)
            assert refusal(service, call) == "foreign-contract"

    def test_what_the_contract_refuses_is_told_in_its_own_words(self, tmp_path: Path, chain: TwinSidechain) -> None:
        chain.refused = {
            CONTRACTS["Forwarder"]: _error("Forwarder", "FailedCall"),
            CONTRACTS["IdentityRegistry"]: _error("IdentityRegistry", "IdentityNotPaired", PATIENT.address, HOSPITAL),
        }
        with running(tmp_path, chain) as service, pytest.raises(ProblemError, match="IdentityNotPaired") as caught:
            submit(service, unpair(chain))
        assert caught.value.kind.slug == "would-revert"


class TestHowOften:
    def test_so_many_a_day_and_account(self, tmp_path: Path, chain: TwinSidechain) -> None:
        with running(tmp_path, chain, calls_per_day=2) as service:
            for nonce in range(2):
                submit(service, pair(chain, nonce=nonce)).result(timeout=60)
            assert refusal(service, pair(chain, nonce=2)) == "quota-exhausted"
            assert submit(service, pair(chain, DOCTOR)).result(timeout=60).state == "mined"

    def test_what_takes_back_is_counted_apart(self, tmp_path: Path, chain: TwinSidechain) -> None:
        with running(tmp_path, chain, calls_per_day=1) as service:
            submit(service, pair(chain)).result(timeout=60)
            assert submit(service, unpair(chain, nonce=1)).result(timeout=60).state == "mined"
            assert refusal(service, unpair(chain, nonce=2)) == "quota-exhausted"

    def test_what_takes_back_has_a_reserve(self, tmp_path: Path, chain: TwinSidechain) -> None:
        with running(tmp_path, chain, budget=Budget(0, COST)) as service:
            assert refusal(service, pair(chain)) == "budget-exhausted"
            assert submit(service, unpair(chain)).result(timeout=60).state == "mined"

    def test_what_takes_back_never_waits_for_another_call(self, tmp_path: Path, chain: TwinSidechain) -> None:
        sender = Mining()
        sender.go_on.clear()
        with running(tmp_path, chain, sender) as service:
            first = submit(service, pair(chain, DOCTOR))
            assert wait_for(lambda: len(sender.sent) == 1)
            back = submit(service, unpair(chain))
            assert wait_for(lambda: len(sender.sent) == 2)
            assert not first.done()
            sender.go_on.set()
            assert {one.result(timeout=60).state for one in (first, back)} == {"mined"}

    def test_what_waits_goes_together(self, tmp_path: Path, chain: TwinSidechain) -> None:
        sender = Mining()
        sender.go_on.clear()
        with running(tmp_path, chain, sender) as service:
            waits = [submit(service, pair(chain))]
            assert wait_for(lambda: len(sender.sent) == 1)
            waits += [submit(service, pair(chain, nonce=1)), submit(service, pair(chain, DOCTOR))]
            sender.go_on.set()
            assert {one.result(timeout=60).state for one in waits} == {"mined"}
        single, batch = (contract("Forwarder").selector(name).hex() for name in ("execute", "executeBatch"))
        assert sender.sent == ["0x" + single, "0x" + batch]


class TestHttp:
    @pytest.fixture
    def client(self, tmp_path: Path, chain: TwinSidechain) -> Iterator[TestClient]:
        with (
            running(tmp_path, chain) as service,
            TestClient(create_app(service, per_minute=0, wait=60, starts=False)) as client,
        ):
            yield client

    def fields(self, call: Call, signature: bytes) -> dict[str, Any]:
        return {
            "signer": call.signer,
            "to": call.to,
            "data": call.data.hex(),
            "gas": call.gas,
            "nonce": call.nonce,
            "deadline": call.deadline,
            "signature": signature.hex(),
        }

    def test_calls_have_two_paths(self, client: TestClient, chain: TwinSidechain) -> None:
        assert client.post("/v1/call", json=self.fields(*pair(chain))).json()["state"] == "mined"
        assert client.post("/v1/take-back", json=self.fields(*unpair(chain))).json()["state"] == "mined"
        refused = client.post("/v1/take-back", json=self.fields(*pair(chain, nonce=1)))
        assert refused.status_code == 422
        assert "/v1/call takes it" in refused.json()["detail"]

    def test_a_relay_of_the_sidechain_has_no_path_for_policies(self, client: TestClient) -> None:
        assert {client.post(path, json={}).status_code for path in ("/v1/grant", "/v1/revoke", "/v1/evidence")} == {404}

    @pytest.mark.parametrize(
        "change", [{"data": "00"}, {"gas": 0}, {"signature": "00"}, {"signer": "0x1"}, {"nonce": -1}]
    )
    def test_a_call_of_another_form_is_none(
        self, client: TestClient, chain: TwinSidechain, change: dict[str, Any]
    ) -> None:
        answer = client.post("/v1/call", json=self.fields(*pair(chain)) | change)
        assert answer.status_code == 422
        assert next(iter(change)) in answer.json()["detail"]

    def test_it_says_what_it_serves(self, client: TestClient) -> None:
        assert client.get("/v1/relay").json() == {
            "schema": "panachain/call-relay/1",
            "account": Mining.address,
            "chain_id": 31_338,
            "forwarder": CONTRACTS["Forwarder"],
            "gas_left": PLENTY.gas,
            "gas_left_for_taking_back": PLENTY.gas + PLENTY.reserve,
            "calls_per_day": 200,
        }


def _error(of: str, name: str, *values: Any) -> bytes:
    """Return revert data as eth_abi encodes it."""
    inputs = next(one["inputs"] for one in contract(of).entries if one["type"] == "error" and one["name"] == name)
    types = [one["type"] for one in inputs]
    return bytes(keccak(text=f"{name}({','.join(types)})")[:4]) + encode(types, values)
