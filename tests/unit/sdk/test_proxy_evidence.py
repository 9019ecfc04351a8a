"""Evidence convicts a proxy only of what it signed itself, and only where that is wrong."""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.receipts import receipt_hash
from panachain.chain.typed import request_hash, sign_answer
from panachain.errors import IntegrityError, UsageError
from panachain.model.proxy_requests import ReencryptRequest
from panachain.proxy import messages
from panachain.sdk import proxy_evidence as subject
from panachain.sdk.proxy_evidence import Domains, EvidenceFolder, Keys, check_answer, describe, judge
from tests.unit.service.proxy_world import DOMAIN, LOG_DOMAIN, Policy, ProxyWorld

DOMAINS = Domains(DOMAIN, LOG_DOMAIN)
LIE = {"at": 5, "proxy": "0x" + "ab" * 20, "reason": "wrong"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProxyWorld]:
    made = ProxyWorld(tmp_path)
    yield made
    made.close()


@pytest.fixture
def policy(world: ProxyWorld) -> Policy:
    return world.grant()


@pytest.fixture
def request_(world: ProxyWorld, policy: Policy) -> ReencryptRequest:
    return world.request(policy)


@pytest.fixture
def answer(world: ProxyWorld, request_: ReencryptRequest) -> dict[str, Any]:
    """What the proxy answers honestly."""
    world.services[0].authenticate(request_)
    return json.loads(messages.canonical(world.services[0].reencrypt(request_)))  # type: ignore[no-any-return]


def described(world: ProxyWorld, policy: Policy, asked: ReencryptRequest, body: bytes) -> dict[str, Any]:
    """Return the evidence as it comes back from its file."""
    terms = policy.terms
    made = describe(
        terms.proxies[0],
        asked,
        body,
        "a test says so",
        keys=Keys(terms.verifying_key, terms.lanes[0].delegating_key, terms.receiving_key),
        domains=DOMAINS,
        not_before=world.chain.now,
        at=world.chain.now,
    )
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]


def signed(world: ProxyWorld, asked: ReencryptRequest, answer: dict[str, Any]) -> dict[str, Any]:
    """Let the proxy sign an answer that a test made."""
    parsed = messages.parse_answer(answer, count=len(answer["cfrags"]))
    signature = sign_answer(
        world.services[0]._account,
        DOMAIN,
        request=request_hash(asked),
        cfrags=parsed.cfrags,
        receipt=receipt_hash(parsed.receipt),
    )
    return answer | {"signature": signature.hex()}


def body_of(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode()


def flipped(answer: dict[str, Any]) -> dict[str, Any]:
    cfrag = bytearray.fromhex(answer["cfrags"][0])
    cfrag[100] ^= 1
    return answer | {"cfrags": [cfrag.hex()]}


class TestJudge:
    def test_an_honest_answer_convicts_nobody(
        self, world: ProxyWorld, policy: Policy, request_: ReencryptRequest, answer: dict[str, Any]
    ) -> None:
        assert not judge(described(world, policy, request_, body_of(answer)))

    def test_a_wrong_cfrag_that_the_proxy_signed_convicts_it(
        self, world: ProxyWorld, policy: Policy, request_: ReencryptRequest, answer: dict[str, Any]
    ) -> None:
        assert judge(described(world, policy, request_, body_of(signed(world, request_, flipped(answer)))))

    def test_a_wrong_cfrag_under_a_signature_for_another_one_does_not(
        self, world: ProxyWorld, policy: Policy, request_: ReencryptRequest, answer: dict[str, Any]
    ) -> None:
        assert not judge(described(world, policy, request_, body_of(flipped(answer))))

    def test_an_answer_to_another_request_does_not(
        self, world: ProxyWorld, policy: Policy, request_: ReencryptRequest, answer: dict[str, Any]
    ) -> None:
        assert not judge(described(world, policy, world.request(policy), body_of(answer)))

    def test_a_request_that_its_sender_did_not_sign_does_not(
        self, world: ProxyWorld, policy: Policy, request_: ReencryptRequest, answer: dict[str, Any]
    ) -> None:
        """A reader could change the request afterwards, so that a good answer looks wrong."""
        forged = replace(request_, signature=world.request(policy).signature)
        assert not judge(described(world, policy, forged, body_of(signed(world, forged, flipped(answer)))))

    def test_an_old_block_that_the_proxy_signed_convicts_it(
        self, world: ProxyWorld, policy: Policy, request_: ReencryptRequest, answer: dict[str, Any]
    ) -> None:
        evidence = described(world, policy, request_, body_of(answer))
        assert judge(evidence | {"not_before": world.chain.now + 10_000})

    @pytest.mark.usefixtures("ordinary_depth")
    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"cfrags": []}', b"[" * 50_000])
    def test_what_is_no_answer_was_never_signed(
        self, world: ProxyWorld, policy: Policy, request_: ReencryptRequest, body: bytes
    ) -> None:
        assert not judge(described(world, policy, request_, body))

    @pytest.mark.parametrize("field", ["request", "answer", "keys", "domains", "not_before"])
    @pytest.mark.parametrize("value", [None, "zz", []])
    def test_what_is_no_evidence_is_told(
        self, world: ProxyWorld, policy: Policy, request_: ReencryptRequest, field: str, value: object
    ) -> None:
        evidence = copy.deepcopy(described(world, policy, request_, b"{}"))
        with pytest.raises(UsageError):
            judge(evidence | {field: value})
        del evidence[field]
        with pytest.raises(UsageError, match="isn't evidence of the schema"):
            judge(evidence)


class TestCheckAnswer:
    def check(self, world: ProxyWorld, asked: ReencryptRequest, answer: dict[str, Any]) -> None:
        parsed = messages.parse_answer(answer, count=1)
        check_answer(parsed, asked, domains=DOMAINS, not_before=world.chain.now)

    def test_takes_what_the_proxy_signed(
        self, world: ProxyWorld, request_: ReencryptRequest, answer: dict[str, Any]
    ) -> None:
        self.check(world, request_, answer)

    def test_refuses_another_signer(
        self, world: ProxyWorld, request_: ReencryptRequest, answer: dict[str, Any]
    ) -> None:
        with pytest.raises(IntegrityError, match="didn't sign its answer"):
            self.check(world, request_, flipped(answer))

    def test_refuses_a_receipt_about_fewer_capsules(
        self, world: ProxyWorld, policy: Policy, request_: ReencryptRequest, answer: dict[str, Any]
    ) -> None:
        two = world.request(policy, capsules=request_.capsules * 2)
        with pytest.raises(IntegrityError, match="about 1 capsules, 2 were sent"):
            self.check(world, two, signed(world, two, answer))

    @pytest.mark.parametrize("field", ["policy_id", "proxy"])
    def test_refuses_a_receipt_about_something_else(
        self, world: ProxyWorld, request_: ReencryptRequest, answer: dict[str, Any], field: str
    ) -> None:
        changed = answer | {"receipt": answer["receipt"] | {field: "0x" + "11" * 20}}
        with pytest.raises(IntegrityError):
            self.check(world, request_, signed(world, request_, changed))


class TestDescribe:
    def test_holds_no_secret_and_keeps_a_huge_answer_short(
        self, world: ProxyWorld, policy: Policy, request_: ReencryptRequest
    ) -> None:
        evidence = described(world, policy, request_, b"x" * (subject._SHOWN + 5))
        assert len(evidence["answer"]) == 2 * subject._SHOWN
        text = json.dumps(evidence)
        assert policy.secret.reveal().hex() not in text
        assert evidence["schema"] == subject.SCHEMA


class TestFolder:
    def test_each_lie_is_a_private_file_and_a_line(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        folder = EvidenceFolder(tmp_path / "evidence")
        with caplog.at_level(logging.WARNING, "panachain.proxies"):
            folder.keep(LIE)
            folder.keep(LIE)
        kept = list((tmp_path / "evidence").iterdir())
        assert [json.loads(path.read_bytes()) for path in kept] == [LIE, LIE]
        assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
        assert len(caplog.records) == 2

    def test_a_full_disk_stops_nothing(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuses(*_: object) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr(subject, "write_private", refuses)
        EvidenceFolder(tmp_path).keep(LIE)
        assert "not kept: OSError" in caplog.text

    def test_without_a_folder_the_log_alone_tells(self, caplog: pytest.LogCaptureFixture) -> None:
        EvidenceFolder(None).keep(LIE)
        assert "lied: wrong; evidence: not kept" in caplog.text


def test_what_is_no_evidence_is_none(tmp_path: Path) -> None:
    for number, content in enumerate((b"", b"{", b"[]", b"null", b'{"proxy": 1}', b"[" * 100_000, b"\xff")):
        (tmp_path / f"{number}.json").write_bytes(content)
    (tmp_path / "link.json").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    good = {"schema": "s", "proxy": "0x", "at": 7, "reason": "r"}
    (tmp_path / "good.json").write_text(json.dumps(good))
    (tmp_path / "older.json").write_text(json.dumps(good | {"at": 3}))
    assert [one.at for one in EvidenceFolder(tmp_path).listed()] == [7, 3]
    assert EvidenceFolder(tmp_path / "nothing").listed() == []
    assert EvidenceFolder(None).listed() == []
