"""A patient's tokens: fetched in batches, sealed on disk, one for each policy, and never linked by their issuer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from panachain.crypto.keys import Seed
from panachain.crypto.tokens import challenge, check_token
from panachain.errors import ConfigurationError, IntegrityError, RateLimitedError, UnavailableError
from panachain.model.actors import PolicyId
from panachain.model.transactions import Grant
from panachain.sdk.relay import RemoteRelay
from panachain.sdk.wallet import BATCH, TokenIssuer
from panachain.wire.messages import ConnectError
from tests.unit.service.issuer.world import KEY, NAME, PERIOD, RELAY, IssuerWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[IssuerWorld]:
    made = IssuerWorld(tmp_path)
    yield made
    made.close()


def policy(number: int) -> PolicyId:
    return PolicyId(f"0x{number:040x}")


def test_a_policy_has_one_token_and_no_other_policy_has_it(world: IssuerWorld) -> None:
    wallet = world.wallet(world.patient())
    tokens = [wallet.token(RELAY, policy(number)) for number in (1, 2, 1, 2, 3)]
    assert (tokens[0], tokens[1]) == (tokens[2], tokens[3])
    assert len(set(tokens)) == 3
    for token in tokens:
        check_token(token, KEY.public, challenge(NAME, RELAY, 5))


def test_those_that_were_bound_first_are_forgotten_first(world: IssuerWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panachain.sdk.wallet._BOUND", 2)
    seed = world.patient()
    # Not in the order of their names, and a new program each time.
    tokens = {number: world.wallet(seed).token(RELAY, policy(number)) for number in (9, 1, 5)}
    assert [world.wallet(seed).token(RELAY, policy(number)) for number in (1, 5)] == [tokens[1], tokens[5]]
    assert world.wallet(seed).token(RELAY, policy(9)) not in tokens.values()


def test_a_whole_batch_is_fetched_however_many_are_needed(world: IssuerWorld) -> None:
    seed = world.patient()
    for number in range(BATCH + 1):
        # A new program each time: what was fetched lies on the disk.
        world.wallet(seed).token(RELAY, policy(number))
    assert [len(request["blinded"]) for request in world.requests] == [BATCH] * 2


def test_what_the_issuer_was_told_names_no_token_relay_or_policy(world: IssuerWorld) -> None:
    wallet = world.wallet(world.patient())
    token = wallet.token(RELAY, policy(1))
    told = json.dumps(world.requests)
    assert not any(part in told for part in (token[2:34].hex(), token[98:].hex(), policy(1)[2:], "relay"))


def test_each_relay_has_its_own(world: IssuerWorld) -> None:
    wallet = world.wallet(world.patient())
    other = wallet.token("http://other.test/", policy(1))
    assert other != wallet.token(RELAY, policy(1))
    check_token(other, KEY.public, challenge(NAME, "http://other.test", 5))


def test_the_file_is_sealed_to_the_patient(world: IssuerWorld) -> None:
    token = world.wallet(world.patient()).token(RELAY, policy(1))
    content = (world.folder / "profile" / "tokens.sealed").read_bytes()
    assert token[34:66] not in content
    with pytest.raises(IntegrityError):
        world.wallet(Seed.random()).token(RELAY, policy(1))


def test_tokens_of_the_last_period_are_used_and_older_ones_are_not(world: IssuerWorld) -> None:
    wallet = world.wallet(world.patient())
    wallet.token(RELAY, policy(1))
    world.clock.now += PERIOD
    check_token(wallet.token(RELAY, policy(2)), KEY.public, challenge(NAME, RELAY, 5))
    world.clock.now += PERIOD
    check_token(wallet.token(RELAY, policy(3)), KEY.public, challenge(NAME, RELAY, 7))
    assert len(world.requests) == 2


def test_a_stranger_gets_none_and_is_told_why(world: IssuerWorld) -> None:
    with pytest.raises(UnavailableError, match="the issuer gives no tokens: the sidechain lists no active patient"):
        world.wallet(Seed.random()).token(RELAY, policy(1))


def test_beyond_its_allowance_a_patient_is_told_to_wait(world: IssuerWorld) -> None:
    wallet = world.wallet(world.patient())
    for number in range(2 * BATCH):
        wallet.token(RELAY, policy(number))
    with pytest.raises(RateLimitedError, match="all 40 tokens of this period"):
        wallet.token(RELAY, policy(99))


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"signatures":[]}', b'{"signatures":["zz"]}', b'{"signatures":7}', b"[" * 9999]
)
def test_an_issuer_that_answers_no_tokens_is_named(world: IssuerWorld, content: bytes) -> None:
    world.lie = lambda: httpx.Response(200, content=content)
    with pytest.raises(IntegrityError, match=r"the issuer http://issuer\.test answers no tokens"):
        world.wallet(world.patient()).token(RELAY, policy(1))
    assert not (world.folder / "profile" / "tokens.sealed").exists()


def test_an_issuer_that_signs_with_another_key_is_found_out(world: IssuerWorld) -> None:
    signatures = [(b"\x01" * 256).hex()] * BATCH
    world.lie = lambda: httpx.Response(200, json={"signatures": signatures})
    with pytest.raises(IntegrityError, match="didn't sign"):
        world.wallet(world.patient()).token(RELAY, policy(1))


def test_an_issuer_that_is_down_is_named(world: IssuerWorld) -> None:
    def fail() -> httpx.Response:
        raise ConnectError("down")

    world.lie = fail
    with pytest.raises(
        UnavailableError, match=r"the issuer http://issuer\.test gives no tokens: nobody takes a connection there"
    ):
        world.wallet(world.patient()).token(RELAY, policy(1))


def test_the_network_file_says_whose_tokens_count() -> None:
    good = {"issuer": "i", "url": "https://i/", "key": KEY.public.encoded.hex(), "periodSeconds": 60}
    found = TokenIssuer.parse(good)
    assert (found.name, found.url, found.period, found.key.id) == ("i", "https://i", 60, KEY.public.id)
    for wrong in ({"key": "00"}, {"periodSeconds": 0}, {"periodSeconds": "x"}, {"url": None, "key": None}):
        with pytest.raises(ConfigurationError):
            TokenIssuer.parse(good | wrong)


def test_a_relay_is_shown_its_token_with_a_grant_and_with_nothing_else(
    world: IssuerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, Any]] = []
    relay = RemoteRelay(RELAY + "/", timeout=5, wallet=world.wallet(world.patient()))
    monkeypatch.setattr(relay._desk, "post", lambda path, fields: sent.append((path, fields)) or "mined")
    grant = Grant(owner=policy(1), starts_at=1, expires_at=9, deadline=5, terms=bytes(32))
    relay.grant(grant, b"")
    relay.grant(grant, b"")
    relay.revoke(policy(1), b"")
    (first, second, revoked) = [fields for _, fields in sent]
    assert first == second
    assert "token" not in revoked
    check_token(bytes.fromhex(first["token"]), KEY.public, challenge(NAME, RELAY, 5))
