"""A nonce lane: one at a time, and what was sent is remembered until it is mined."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from panachain.chain.lane import Lane

WHO = "0x" + "11" * 20


def test_what_was_sent_is_remembered_and_forgotten(tmp_path: Path) -> None:
    with Lane(tmp_path, 5, WHO).turn() as sent:
        assert sent == {}
        sent[3] = "0x0203"
    with Lane(tmp_path, 5, WHO).turn() as sent:
        assert sent == {3: "0x0203"}
        sent.clear()
    with Lane(tmp_path, 5, WHO).turn() as sent:
        assert sent == {}
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [0]


def test_each_chain_and_account_has_its_own(tmp_path: Path) -> None:
    with Lane(tmp_path, 5, WHO).turn() as sent:
        sent[3] = "0x02"
    for other in (Lane(tmp_path, 6, WHO), Lane(tmp_path, 5, "0x" + "22" * 20)):
        with other.turn() as sent:
            assert sent == {}


@pytest.mark.parametrize("content", [b"{", b"[]", b"7", b"\xff", b'{"a": 1}'])
def test_a_damaged_file_is_as_good_as_an_empty_one(tmp_path: Path, content: bytes) -> None:
    with Lane(tmp_path, 5, WHO).turn() as sent:
        sent[3] = "0x02"
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    with Lane(tmp_path, 5, WHO).turn() as sent:
        assert sent == {}
        sent[4] = "0x02"
    with Lane(tmp_path, 5, WHO).turn() as sent:
        assert sent == {4: "0x02"}


def test_what_an_interrupted_turn_sent_is_remembered(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Lane(tmp_path, 5, WHO).turn() as sent:
            sent[3] = "0x02"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with Lane(tmp_path, 5, WHO).turn() as sent:
        assert sent == {3: "0x02"}


def test_no_two_threads_have_a_turn_at_once(tmp_path: Path) -> None:
    def add(_: int) -> None:
        with Lane(tmp_path, 5, WHO).turn() as sent:
            sent[len(sent)] = "0x02"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(50)))
    with Lane(tmp_path, 5, WHO).turn() as sent:
        assert sorted(sent) == list(range(50))
