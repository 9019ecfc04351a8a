"""Who passes the gate: nodes and active actors, once with each token, as its log says."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from panachain.chain.access import MAX_LIFE, NodeKey
from panachain.errors import ChainUnavailableError, DiskError, PanaChainError
from panachain.model.actors import Actor, Role, Status
from panachain.service.gate.service import Admitted, AuditLog, Gate, Nonces, RegistryWatch
from tests.unit.service.gate.world import DOMAIN, NODE, NOW, STRANGER, header


class Listed:
    """A registry that says what a test says."""

    def __init__(self, *answer: Actor) -> None:
        self.answer: list[Actor] | PanaChainError = list(answer)

    def find(self) -> list[Actor]:
        if isinstance(self.answer, PanaChainError):
            raise self.answer
        return self.answer


def actor(role: Role, status: Status = Status.ACTIVE) -> Actor:
    return Actor(STRANGER.address, role, status, b"")


class TestRegistry:
    @pytest.mark.parametrize("role", [Role.HOSPITAL, Role.PROXY, Role.REGISTRAR])
    def test_active_actors_pass_and_suspended_ones_are_out_at_the_next_look(self, role: Role) -> None:
        listed, admitted = Listed(), Admitted([NODE.address])
        watch = RegistryWatch(listed, admitted, seconds=60)
        watch.look()
        assert STRANGER.address not in admitted
        listed.answer = [actor(role)]
        watch.look()
        assert STRANGER.address in admitted
        listed.answer = [actor(role, Status.SUSPENDED)]
        watch.look()
        assert STRANGER.address not in admitted

    def test_researchers_stay_out(self) -> None:
        admitted = Admitted([NODE.address])
        RegistryWatch(Listed(actor(Role.RESEARCHER)), admitted, seconds=60).look()
        assert STRANGER.address not in admitted

    def test_what_the_registry_said_ends(self) -> None:
        now = [100.0]
        admitted = Admitted([NODE.address], clock=lambda: now[0])
        RegistryWatch(Listed(actor(Role.HOSPITAL)), admitted, seconds=5).look()
        now[0] = 104.9
        assert STRANGER.address in admitted
        now[0] = 105.0
        assert STRANGER.address not in admitted
        assert NODE.address in admitted

    def test_it_counts_from_before_the_question(self) -> None:
        now = [100.0]
        admitted = Admitted([], clock=lambda: now[0])

        class Slow(Listed):
            def find(self) -> list[Actor]:
                now[0] += 4
                return super().find()

        RegistryWatch(Slow(actor(Role.HOSPITAL)), admitted, seconds=5).look()
        now[0] = 104.9
        assert STRANGER.address in admitted
        now[0] = 105.0
        assert STRANGER.address not in admitted

    def test_a_registry_that_does_not_answer_stops_nothing_but_its_actors_and_is_told_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        now = [100.0]
        listed, admitted = Listed(actor(Role.HOSPITAL)), Admitted([NODE.address], clock=lambda: now[0])
        watching = RegistryWatch(listed, admitted, seconds=6).watching()
        watching.turn()
        listed.answer = ChainUnavailableError("gone")
        with caplog.at_level(logging.WARNING, logger="panachain.gate"):
            for _ in range(3):
                now[0] += 2
                watching.turn()
        assert STRANGER.address not in admitted
        assert NODE.address in admitted
        assert caplog.messages == ["the registry can't be read: gone"]


class TestGate:
    def test_a_token_that_is_over_or_lasts_too_long_is_none(self) -> None:
        now = [float(NOW)]
        gate = Gate(DOMAIN, Admitted([NODE.address]), Nonces(clock=lambda: now[0]), clock=lambda: now[0])
        token = NODE.token(DOMAIN, b"", now=NOW)
        now[0] = token.expires_at - MAX_LIFE - 1
        assert gate.admit([header(token).encode()]) is None
        now[0] = token.expires_at
        assert gate.admit([header(token).encode()]) is None
        now[0] = token.expires_at - 1
        assert gate.admit([header(token).encode()]) == token

    def test_a_stranger_uses_up_no_nonce(self) -> None:
        nonces = Nonces(most=1, clock=lambda: NOW)
        gate = Gate(DOMAIN, Admitted([NODE.address]), nonces, clock=lambda: NOW)
        for _ in range(3):
            stranger = NodeKey(b"\x08" * 32).token(DOMAIN, b"", now=NOW)
            assert gate.admit([header(stranger).encode()]) is None
        assert gate.admit([header(NODE.token(DOMAIN, b"", now=NOW)).encode()]) is not None


class TestNonces:
    def test_are_remembered_for_as_long_as_their_tokens_count(self) -> None:
        now = [0.0]
        nonces = Nonces(clock=lambda: now[0])
        for second in range(300):
            now[0] = float(second)
            assert nonces.use(second.to_bytes(16, "big"))
            for past in range(max(second - MAX_LIFE + 1, 0), second + 1):
                assert not nonces.use(past.to_bytes(16, "big"))
        assert len(nonces._new) + len(nonces._old) <= 2 * MAX_LIFE

    def test_too_many_are_refused_rather_than_forgotten(self) -> None:
        nonces = Nonces(most=3)
        used = [bytes([n]) * 16 for n in range(3)]
        assert all(nonces.use(nonce) for nonce in used)
        with pytest.raises(ChainUnavailableError):
            nonces.use(b"x" * 16)
        assert not any(nonces.use(nonce) for nonce in used)

    def test_a_restart_forgets_none(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        tokens = [NODE.token(DOMAIN, b"", now=NOW) for _ in range(3)]
        first = AuditLog(path, clock=lambda: NOW)
        for token in tokens:
            first.write(token, ["eth_chainId"], "passed")
        first.close()
        with path.open("ab") as file:
            file.write(b'{"at": 17000')
        second = AuditLog(path, clock=lambda: NOW + 30)
        assert sorted(second.recent_nonces()) == sorted(token.nonce for token in tokens)
        second.close()
        late = AuditLog(path, clock=lambda: NOW + 2 * MAX_LIFE + 1)
        assert late.recent_nonces() == []
        late.close()


class TestAuditLog:
    def test_two_gates_never_share_a_log(self, tmp_path: Path) -> None:
        first = AuditLog(tmp_path / "log")
        with pytest.raises(DiskError):
            AuditLog(tmp_path / "log")
        first.close()

    def test_nobody_else_may_read_it(self, tmp_path: Path) -> None:
        log = AuditLog(tmp_path / "log")
        assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
        log.close()
