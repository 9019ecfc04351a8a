"""Which file holds the copy of which chain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from panachain.chain.config import ChainConfig
from panachain.errors import ConfigurationError
from panachain.follow.opening import FOLDER, following
from tests.unit.follow.chain import ADDRESSES, FIRST, Chain, events, revoked

CONFIG = ChainConfig.at("http://127.0.0.1:1", 5, ADDRESSES, FIRST)


def test_a_copy_lies_in_a_folder_of_its_own_and_is_found_again(tmp_path: Path) -> None:
    chain = Chain()
    chain.mine(revoked(1))
    made = following(CONFIG, tmp_path)
    for _ in range(2):
        follower = made(chain)  # type: ignore[arg-type]
        assert [event.block for event in events(follower)] == [FIRST + 1]
        follower.close()
    assert [one.suffix for one in (tmp_path / FOLDER).iterdir()] == [".db"]


def test_deployments_on_chains_with_one_id_have_files_of_their_own(tmp_path: Path) -> None:
    chain = Chain()
    others = (
        replace(CONFIG, chain_id=6),
        replace(CONFIG, from_block=2),
        replace(CONFIG, contracts=ADDRESSES | {"AccessLog": "0x" + "c2" * 20}),
        # The same once more, from another node and in other letters.
        ChainConfig.at("http://127.0.0.1:2", 5, {"A": ADDRESSES["RecordLedger"].upper().replace("X", "x")}, FIRST),
    )
    for config in (CONFIG, *others, replace(others[-1], contracts={"B": ADDRESSES["RecordLedger"]})):
        follower = following(config, tmp_path)(chain)  # type: ignore[arg-type]
        follower.sync()
        follower.close()
    assert len(list((tmp_path / FOLDER).iterdir())) == 5


def test_a_description_may_name_a_database_in_place_of_the_file(tmp_path: Path) -> None:
    word = "never shown"
    config = replace(CONFIG, copy=f"postgresql+psycopg://me:{word}@127.0.0.1/chains")
    follower = following(config, tmp_path)(Chain())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="holds a password"):
        follower.sync()
    assert list(tmp_path.iterdir()) == []
    assert word not in repr(config)
