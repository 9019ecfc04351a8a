"""Copies at pinning services: told what a store pins, in step with it, and never believed beyond that."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from panachain.errors import ConfigurationError, IntegrityError, LockedError, StoreUnavailableError, UsageError
from panachain.ipld.cid import CID, RAW
from panachain.storage import pinning
from panachain.storage.pinning import PinningService, ServiceConfig, replicate, services_of
from panachain.wire.client import Answer, WireError
from panachain.wire.transport import Bounds

TOKEN = "hush-hush-token-84"
START = datetime(2026, 11, 29, tzinfo=UTC)


@dataclass
class Cluster:
    """An honest service, as the specification has it: it keeps its pins, and fetches when a test says so."""

    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    step: timedelta = timedelta(seconds=1)
    broken: list[Answer | WireError] = field(default_factory=list)

    def request(
        self,
        method: str,
        url: str,
        body: bytes | None,
        *,
        bounds: Bounds,
        timeout: float,
        headers: Mapping[str, str],
    ) -> Answer:
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert TOKEN not in url
        assert bounds.limit <= 8 << 20
        parts = urlsplit(url)
        self.asked.append((method, parts.path))
        if self.broken:
            failure = self.broken.pop(0)
            if isinstance(failure, Answer):
                return failure
            raise failure
        if method == "GET":
            return self._list(parse_qs(parts.query))
        if method == "DELETE":
            known = self.held.pop(parts.path.rpartition("/")[2], None)
            return Answer(202 if known else 404, b"")
        pin = json.loads(body or b"")
        made = self.pin(pin.pop("cid"), **pin)
        return Answer(202, json.dumps(made).encode())

    def close(self) -> None:
        pass

    def pin(self, cid: str, status: str = "queued", **rest: Any) -> dict[str, Any]:
        number = len(self.asked) + len(self.held)
        request = f"req-{number}-{os.urandom(4).hex()}"
        created = (START + self.step * number).isoformat().replace("+00:00", "Z")
        pin = {"cid": cid, **rest}
        self.held[request] = {"requestid": request, "status": status, "created": created, "pin": pin, "delegates": []}
        return self.held[request]

    def fetch(self, status: str = "pinned") -> None:
        for one in self.held.values():
            one["status"] = status

    def _list(self, query: dict[str, list[str]]) -> Answer:
        wanted = json.loads(query["meta"][0])
        states = query["status"][0].split(",")
        before = query.get("before", ["9999-01-01T00:00:00Z"])[0]
        found = [
            one
            for one in self.held.values()
            if one["status"] in states
            and wanted.items() <= (one["pin"].get("meta") or {}).items()
            and datetime.fromisoformat(one["created"]) < datetime.fromisoformat(before)
        ]
        found.sort(key=lambda one: one["created"], reverse=True)
        page = found[: int(query["limit"][0])]
        return Answer(200, json.dumps({"count": len(found), "results": page}).encode())


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def service(cluster: Cluster) -> PinningService:
    config = ServiceConfig("cluster", "https://cluster.example/psa", TOKEN, ("/ip4/10.0.0.1/tcp/4001/p2p/12D3KooX",))
    made: Any = cluster
    return PinningService(config, client=made, sleep=lambda _: None)


def cids(count: int) -> list[CID]:
    return [CID.of(RAW, os.urandom(8)) for _ in range(count)]


class TestReplicate:
    def test_asks_for_what_is_missing_once_and_tells_how_far_it_is(
        self, cluster: Cluster, service: PinningService
    ) -> None:
        wanted = cids(5)
        told: list[tuple[int, int]] = []
        first = replicate(wanted, service, progress=lambda done, total, *, unit: told.append((done, total)))
        assert (first.wanted, first.added, first.pinned, first.waiting, first.whole) == (5, 5, 0, 5, False)
        assert told[-1] == (5, 5)
        assert {one["pin"]["cid"] for one in cluster.held.values()} == set(map(str, wanted))
        assert all(one["pin"]["origins"] == ["/ip4/10.0.0.1/tcp/4001/p2p/12D3KooX"] for one in cluster.held.values())
        cluster.fetch()
        second = replicate(wanted, service)
        assert (second.added, second.removed, second.pinned, second.waiting, second.whole) == (0, 0, 5, 0, True)

    def test_gives_up_what_the_store_gave_up_and_touches_no_pin_of_others(
        self, cluster: Cluster, service: PinningService
    ) -> None:
        kept, gone = cids(2), cids(2)
        replicate([*kept, *gone], service)
        (others,) = cids(1)
        cluster.pin(str(others), "pinned", meta={"app": "theirs"})
        cluster.pin(str(gone[0]), "pinned")
        report = replicate(kept, service)
        assert report.removed == 2
        left = sorted(one["pin"]["cid"] for one in cluster.held.values())
        assert left == sorted(map(str, [*kept, others, gone[0]]))

    def test_asks_anew_for_what_the_service_gave_up(self, cluster: Cluster, service: PinningService) -> None:
        wanted = cids(2)
        replicate(wanted, service)
        cluster.fetch("failed")
        report = replicate(wanted, service)
        assert (report.added, report.removed, report.failed) == (2, 2, tuple(sorted(map(str, wanted))))
        assert not report.whole
        cluster.fetch()
        assert replicate(wanted, service).whole

    def test_one_that_broke_off_goes_on_and_what_was_added_twice_is_given_up_once(
        self, cluster: Cluster, service: PinningService
    ) -> None:
        wanted = cids(3)
        replicate(wanted[:2], service)
        # The answer to a request was lost, and it was sent again.
        cluster.pin(str(wanted[0]), meta={"panachain": "1"})
        report = replicate(wanted, service)
        assert (report.added, report.removed) == (1, 1)
        assert len(cluster.held) == 3

    @pytest.mark.parametrize("step", [timedelta(seconds=1), timedelta(milliseconds=1), timedelta(0)])
    def test_all_pages_are_read_also_of_one_moment(
        self, cluster: Cluster, service: PinningService, monkeypatch: pytest.MonkeyPatch, step: timedelta
    ) -> None:
        wanted = cids(25)
        replicate(wanted, service)
        cluster.fetch()
        monkeypatch.setattr(pinning, "_PAGE", 10)
        cluster.step = step
        for number, one in enumerate(cluster.held.values()):
            one["created"] = (START + step * (number // 3)).isoformat()
        if step:
            assert replicate(wanted, service).whole
        else:
            # More than a page of one moment can't be listed by this API, which is told.
            with pytest.raises(IntegrityError, match="doesn't go on"):
                replicate(wanted, service)


class TestAnswers:
    def test_a_service_that_is_busy_is_asked_again(self, cluster: Cluster, service: PinningService) -> None:
        cluster.broken = [Answer(503, b""), Answer(429, b""), WireError("broke")]
        assert replicate([], service).whole
        cluster.broken = [Answer(500, b"")] * 4
        with pytest.raises(StoreUnavailableError, match="500"):
            replicate([], service)

    @pytest.mark.parametrize("status", [400, 401, 403, 409, 302])
    def test_a_refusal_is_told_once_and_without_the_token(
        self, cluster: Cluster, service: PinningService, status: int
    ) -> None:
        cluster.broken = [Answer(status, TOKEN.encode())]
        with pytest.raises(StoreUnavailableError, match=str(status)) as caught:
            replicate(cids(1), service)
        assert TOKEN not in str(caught.value) + caught.value.hint
        assert len(cluster.asked) == 1

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{}",
            b'{"count": 1, "results": 5}',
            b'{"count": "1", "results": []}',
            b'{"count": 5, "results": []}',
            b'{"count": 1, "results": [{}]}',
            b'{"count": 1, "results": [null]}',
            b'{"count": 1, "results": [{"requestid": "../../x", "status": "pinned", "created": "2026-01-01T00:00:00Z",'
            b' "pin": {"cid": "a"}}]}',
            b'{"count": 1, "results": [{"requestid": "x", "status": "lost", "created": "2026-01-01T00:00:00Z",'
            b' "pin": {"cid": "a"}}]}',
            b'{"count": 1, "results": [{"requestid": "x", "status": "pinned", "created": "now", "pin": {"cid": "a"}}]}',
            b"[" * 100_000,
        ],
    )
    def test_what_is_no_answer_of_the_api_is_a_typed_error_and_nothing_is_removed(
        self, cluster: Cluster, service: PinningService, body: bytes
    ) -> None:
        cluster.broken = [Answer(200, body)]
        with pytest.raises(IntegrityError):
            replicate(cids(1), service)
        assert [method for method, _ in cluster.asked] == ["GET"]

    def test_another_cid_than_was_asked_for_is_told(self, cluster: Cluster, service: PinningService) -> None:
        wanted, other = cids(2)
        lie = json.dumps(cluster.pin(str(other))).encode()
        cluster.broken = [Answer(202, lie)]
        with pytest.raises(IntegrityError, match="another CID"):
            service.add(wanted)


class TestConfig:
    def read(self, folder: Path, **changes: Any) -> list[ServiceConfig]:
        entry = {"name": "cluster", "url": "https://h/psa/", "tokenFile": "token", "origins": ["/ip4/10.0.0.1"]}
        return services_of({"pinning": [entry | changes]}, folder)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "token").write_text(f"{TOKEN}\n")
        (tmp_path / "token").chmod(0o600)
        return tmp_path

    def test_the_token_is_read_from_its_file_and_never_shown(self, folder: Path) -> None:
        (found,) = self.read(folder)
        assert found == ServiceConfig("cluster", "https://h/psa", TOKEN, ("/ip4/10.0.0.1",))
        assert TOKEN not in repr(found)

    def test_a_token_that_others_may_read_or_that_is_not_there_is_refused(self, folder: Path) -> None:
        with pytest.raises(LockedError, match="can't be read"):
            self.read(folder, tokenFile="none")
        (folder / "token").chmod(0o644)
        with pytest.raises(LockedError, match="open to others"):
            self.read(folder)

    @pytest.mark.parametrize(
        "changes",
        [
            {"url": "http://h"},
            {"url": f"https://u:{TOKEN}@h"},
            {"name": ""},
            {"origins": "x"},
            {"origins": [1]},
            {"url": 5},
        ],
    )
    def test_what_does_not_fit_is_refused(self, folder: Path, changes: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError) as caught:
            self.read(folder, **changes)
        assert TOKEN not in str(caught.value)

    def test_none_is_usage_and_two_of_a_name_are_refused(self, folder: Path) -> None:
        for description in ({}, {"pinning": []}, {"pinning": "x"}):
            with pytest.raises(UsageError):
                services_of(description, folder)
        entry = {"name": "a", "url": "https://h", "tokenFile": "token"}
        with pytest.raises(ConfigurationError, match="same name"):
            services_of({"pinning": [entry, entry]}, folder)
