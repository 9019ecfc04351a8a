"""`network add-proxy`, `add-hospital` and `add-person`: a card is read strictly, and what is left to do is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.chain.contracts.actor_registry import ActorRegistry
from panachain.chain.contracts.identity_registry import IdentityRegistry
from panachain.cli import network as subject
from panachain.cli.app import App
from panachain.crypto.blind_rsa import IssuerKey
from panachain.crypto.keys import Seed, address_of
from panachain.errors import ChainUnavailableError, IntegrityError, UnavailableError
from panachain.ethereum import parse_address
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, KeyChange, Role, Status
from panachain.sdk.base import Registrar
from panachain.sdk.key_blocks import KeyBlocks
from panachain.sdk.profiles import create_profile
from tests.cli.test_doctor import serving
from tests.cli.twin import Outcome
from tests.keystores import make_cheap
from tests.unit.chain.fake import Node, bound
from tests.unit.storage.memory_store import MemoryStore

Run = Callable[..., Outcome]
SEED = Seed.random()
KEYS = SEED.public_keys()
HOUSE = "0x52908400098527886E0F7030069857D2E4169EE7"
PROXY = Actor.of(address_of(SEED.account_key()), Role.PROXY, KEYS, endpoint="https://proxy.example")


def card(folder: Path, **change: Any) -> Path:
    fields = {
        "schema": "panachain/actor/2",
        "address": PROXY.address,
        "role": "proxy",
        "key_block": KEYS.encode().hex(),
        "endpoint": PROXY.endpoint,
    } | change
    path = folder / "card.json"
    path.write_text(json.dumps(fields))
    return path


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def registry(
    environment: None, monkeypatch: pytest.MonkeyPatch, store: MemoryStore, tmp_path: Path
) -> dict[str, Actor]:
    """Who is registered; the card's endpoint answers once it is."""
    known: dict[str, Actor] = {}
    calldata = ActorRegistry(bound(Node("ActorRegistry"))).admission
    actors = SimpleNamespace(actor_of=known.get, address="0x" + "c0" * 20, admission=calldata)
    calldata_of_persons = IdentityRegistry(bound(Node("IdentityRegistry"))).admission
    persons = SimpleNamespace(identity_of=known.get, address="0x" + "d0" * 20, admission=calldata_of_persons)
    opened = SimpleNamespace(
        mainchain=SimpleNamespace(actors=actors),
        sidechain=SimpleNamespace(identities=persons),
        reach=None,
        threshold=2,
        resolver=SimpleNamespace(house=lambda text, _: parse_address(text)),
        proxies=lambda: list(known.values()),
        key_blocks=KeyBlocks(tmp_path, store),
    )

    @contextmanager
    def network(self: App) -> Iterator[Any]:
        yield opened

    monkeypatch.setattr(App, "network", network)
    monkeypatch.setattr(subject, "ready_problem", lambda _, endpoint: None if known else "doesn't answer")
    make_cheap(monkeypatch, for_this_process_only=True)
    return known


def steps(done: Outcome) -> dict[str, dict[str, Any]]:
    assert done.code == 0, done.err
    return {one["step"]: one for one in map(json.loads, done.out.splitlines())}


def test_without_a_registrar_here_the_calldata_is_printed(run: Run, registry: dict[str, Actor], tmp_path: Path) -> None:
    found = steps(run("network", "add-proxy", str(card(tmp_path)), "--json"))
    assert found["registry"]["state"] == "to do"
    assert found["registry"]["run"] == ActorRegistry(bound(Node("ActorRegistry"))).admission(PROXY)
    assert "0x" + "c0" * 20 in found["registry"]["detail"]
    assert found["service"]["state"] == "to do"


def test_the_registrars_profile_admits_what_was_shown_whole(
    run: Run, registry: dict[str, Actor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_profile(tmp_path / "home", "registrar", Role.REGISTRAR, "correct horse battery")

    class Twin(Registrar):
        def __init__(self) -> None:
            """Take nothing."""

        def admit(self, actor: Actor, *, personal: bytes = b"") -> Actor:
            registry[actor.address] = replace(actor, status=Status.ACTIVE)
            return actor

    @contextmanager
    def acting(self: App, *_: Role) -> Iterator[Any]:
        yield Twin()

    monkeypatch.setattr(App, "acting", acting)
    refused = run("network", "add-proxy", str(card(tmp_path)))
    assert (refused.code, registry) == (2, {})
    done = run("network", "add-proxy", str(card(tmp_path)), "--yes")
    assert done.code == 0, done.err
    for shown in (PROXY.address, PROXY.key_digest.hex(), PROXY.endpoint):
        assert shown in done.err
    assert registry[PROXY.address].status is Status.ACTIVE
    again = steps(run("network", "add-proxy", str(card(tmp_path)), "--json"))
    assert {one["state"] for one in again.values()} <= {"done", "note"}


def test_another_endpoint_is_the_proxys_own_to_announce(run: Run, registry: dict[str, Actor], tmp_path: Path) -> None:
    registry[PROXY.address] = replace(PROXY, status=Status.ACTIVE, endpoint="https://before.example")
    found = steps(run("network", "add-proxy", str(card(tmp_path)), "--json"))
    assert found["endpoint"]["run"] == "panachain proxy announce https://proxy.example --config proxy.toml"


def test_other_keys_of_a_registered_account_are_refused(run: Run, registry: dict[str, Actor], tmp_path: Path) -> None:
    registry[PROXY.address] = replace(PROXY, key_digest=bytes(32), keys=None)
    done = run("network", "add-proxy", str(card(tmp_path)), "--yes")
    assert done.code == 2
    assert "with other keys; nothing was changed" in done.err


def test_a_card_of_before_a_change_of_keys_is_its_owners(run: Run, registry: dict[str, Actor], tmp_path: Path) -> None:
    registry[PROXY.address] = replace(PROXY, status=Status.ACTIVE).changed(b"n" * 32, KeyChange(5, 6))
    found = steps(run("network", "add-proxy", str(card(tmp_path)), "--json"))
    assert found["registry"]["state"] == "done"


def test_who_has_the_card_puts_a_key_block_that_the_store_lost(
    run: Run, registry: dict[str, Actor], store: MemoryStore, tmp_path: Path
) -> None:
    """Also of who is registered already, and without a registrar's profile."""
    registry[PROXY.address] = replace(PROXY, status=Status.ACTIVE)
    for told in ("was put into", "lay in"):
        found = steps(run("network", "add-proxy", str(card(tmp_path)), "--json"))
        assert found["key block"]["state"] == "done"
        assert told in found["key block"]["detail"]
        assert PROXY.key_digest.hex() in found["key block"]["detail"]
        assert store.get_block(CID(RAW, PROXY.key_digest)) == KEYS.encode()
        assert CID(RAW, PROXY.key_digest) in store.pinned


@pytest.mark.parametrize(("what", "role"), [("add-proxy", "proxy"), ("add-hospital", "hospital")])
def test_an_organisation_goes_into_the_registry(
    run: Run, registry: dict[str, Actor], tmp_path: Path, what: str, role: str
) -> None:
    change = {"role": role, "endpoint": PROXY.endpoint if role == "proxy" else ""}
    found = steps(run("network", what, str(card(tmp_path, **change)), "--organisation", HOUSE, "--json"))
    actor = replace(PROXY, role=Role(role), endpoint=change["endpoint"], organisation=parse_address(HOUSE))
    assert found["registry"]["run"] == ActorRegistry(bound(Node("ActorRegistry"))).admission(actor)
    assert HOUSE[2:].lower() in found["registry"]["run"]
    # Whoever is registered has one for good: the same one is told, another one refused.
    registry[PROXY.address] = replace(actor, status=Status.ACTIVE)
    again = steps(run("network", what, str(card(tmp_path, **change)), "--organisation", HOUSE, "--json"))
    assert HOUSE in again["registry"]["detail"]
    done = run("network", what, str(card(tmp_path, **change)), "--organisation", "0x" + "11" * 20, "--yes")
    assert done.code == 2
    assert f"is registered under {HOUSE[:10]}, which never changes; nothing was changed" in done.err


def test_key_blocks_that_the_store_lacks_are_a_finding_for_each_registry(tmp_path: Path, store: MemoryStore) -> None:
    others = [Seed(bytes([number]) * 32) for number in range(1, 6)]
    persons = [Actor.of(address_of(one.account_key()), Role.PATIENT, one.public_keys()) for one in others]
    blocks = KeyBlocks(tmp_path, store)
    blocks.put(PROXY)
    blocks.put(persons[0])

    def out_of_reach() -> list[Actor]:
        raise ChainUnavailableError("the gate lets nobody in")

    network = SimpleNamespace(
        key_blocks=blocks,
        mainchain=SimpleNamespace(actors=SimpleNamespace(find=lambda: [PROXY])),
        sidechain=SimpleNamespace(
            identities=SimpleNamespace(find=lambda: persons), groups=SimpleNamespace(find=out_of_reach)
        ),
    )

    @contextmanager
    def opened() -> Iterator[Any]:
        yield network

    app: Any = SimpleNamespace(network=opened)
    public, people, groups = subject._key_blocks(app)
    assert (public.state, public.detail) == ("ok", "the store has those of all 1")
    assert (people.state, people.exit_code) == ("bad", 7)
    named = ", ".join(one.handle for one in persons[1:4])
    assert people.detail == f"the store lacks those of 4 of 5: {named} and 1 more"
    assert "register" in people.fix
    # What can't be read is a finding of its own, and hides none of the others.
    assert (groups.state, groups.detail) == ("bad", "the gate lets nobody in")


SIDE = {"chainId": 6, "contracts": {"Forwarder": "0x" + "f0" * 20}}
PAYING = {"chain_id": 6, "forwarder": SIDE["contracts"]["Forwarder"], "gas_left": 5}  # type: ignore[index]


@pytest.mark.parametrize(
    ("told", "state", "detail"),
    [
        (PAYING, "ok", "ready, and of this network"),
        (PAYING | {"chain_id": 7}, "bad", "it serves another network"),
        (PAYING | {"gas_left": 0}, "bad", "its budget is used up for now"),
    ],
)
def test_each_relay_of_the_sidechain_is_asked(told: object, state: str, detail: str) -> None:
    with serving(200, told) as url:
        (found,) = subject._payers_of_persons({"sidechain": SIDE | {"paid": True}, "sidechainRelays": [url]})
    assert (found.name, found.state, found.detail) == (f"sidechain relay {url}", state, detail)


def test_where_gas_costs_something_somebody_must_pay_for_persons() -> None:
    (found,) = subject._payers_of_persons({"sidechain": SIDE | {"paid": True}})
    assert (found.name, found.state) == ("sidechain relays", "bad")
    assert not list(subject._payers_of_persons({"sidechain": SIDE | {"paid": True}, "sidechainRelayKeyFile": "k"}))
    assert not list(subject._payers_of_persons({"sidechain": SIDE}))


def test_an_issuer_of_tokens_must_have_the_key_that_is_pinned() -> None:
    pinned = IssuerKey.random().public.encoded.hex()
    tokens = {"issuer": "issuer.example", "key": pinned, "periodSeconds": 60}
    with serving(200, {"key": pinned}) as url:
        assert subject._issuer({"tokens": tokens | {"url": url}}) == f"{url} has the key that the file pins"
    with serving(200, {"key": pinned[:-2] + "00"}) as url, pytest.raises(IntegrityError, match="another key"):
        subject._issuer({"tokens": tokens | {"url": url}})
    with pytest.raises(UnavailableError, match="doesn't answer"):
        subject._issuer({"tokens": tokens | {"url": "http://127.0.0.1:1"}})


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "other"},
        {"role": "nobody"},
        {"address": "0x12"},
        {"schema": "panachain/actor/1"},
        {"key_block": "00"},
        {"key_block": 7},
        {"key_block": KEYS.encode().hex() + "00"},
        {"key_block": replace(KEYS, verifying=b"").encode().hex()},
        {"key_block": replace(KEYS, sealing=b"\xff" * 1216).encode().hex()},
        {"endpoint": "http://proxy.example"},
        {"endpoint": "https://proxy.example/?a=b"},
    ],
)
def test_what_is_no_card_admits_nobody(
    run: Run, registry: dict[str, Actor], tmp_path: Path, change: dict[str, Any]
) -> None:
    assert run("network", "add-proxy", str(card(tmp_path, **change)), "--yes").code == 2


def test_a_card_of_another_role_is_told(run: Run, registry: dict[str, Actor], tmp_path: Path) -> None:
    done = run("network", "add-hospital", str(card(tmp_path)))
    assert done.code == 2
    assert "the card of a proxy, not of a hospital" in done.err


def test_a_hospital_is_told_what_else_it_needs(run: Run, registry: dict[str, Actor], tmp_path: Path) -> None:
    done = run("network", "add-hospital", str(card(tmp_path, role="hospital", endpoint="")))
    assert done.code == 0
    assert all(len(line) <= 100 for line in done.out.splitlines())
    assert "network check network.json" in done.out


@pytest.mark.parametrize(
    ("role", "registry_of", "at"),
    [
        (Role.PATIENT, IdentityRegistry(bound(Node("IdentityRegistry"))), "d0"),
        (Role.PRACTITIONER, IdentityRegistry(bound(Node("IdentityRegistry"))), "d0"),
        (Role.RESEARCHER, ActorRegistry(bound(Node("ActorRegistry"))), "c0"),
    ],
)
def test_a_person_is_admitted_to_the_registry_of_their_role(
    run: Run, registry: dict[str, Actor], tmp_path: Path, role: Role, registry_of: Any, at: str
) -> None:
    found = steps(run("network", "add-person", str(card(tmp_path, role=role.value, endpoint="")), "--json"))
    actor = replace(PROXY, role=role, endpoint="")
    assert found["registry"]["run"] == registry_of.admission(actor)
    assert "0x" + at * 20 in found["registry"]["detail"]
    registry[PROXY.address] = replace(actor, status=Status.ACTIVE)
    again = steps(run("network", "add-person", str(card(tmp_path, role=role.value, endpoint="")), "--json"))
    assert again["registry"]["state"] == "done"


def test_a_person_is_told_by_which_command_their_card_is_taken(
    run: Run, registry: dict[str, Actor], tmp_path: Path
) -> None:
    done = run("network", "add-hospital", str(card(tmp_path, role="patient", endpoint="")))
    assert done.code == 2
    assert "panachain network add-person" in done.err
    assert "panachain network add-proxy" in run("network", "add-person", str(card(tmp_path))).err
    registrar = run("network", "add-person", str(card(tmp_path, role="registrar", endpoint="")))
    assert "nobody is admitted by this card" in registrar.err
