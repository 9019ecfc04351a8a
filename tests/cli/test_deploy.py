"""`deploy`: who is asked for what, what it costs, and that no key and no ether is lost on the way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from panachain.chain import governance, web3
from panachain.cli.deploy import ether
from panachain.crypto.keys import address_of
from tests.cli.twin import Outcome
from tests.unit.chain.memory_chain import MemoryChain

Run = Callable[..., Outcome]
KEY = b"\x01" * 32
REGISTRAR, ADMIN = address_of(b"\x03" * 32), address_of(b"\x04" * 32)
WHO = ("--registrar", REGISTRAR, "--admin", ADMIN, "--validator", f"{REGISTRAR},{ADMIN}")
NODES = ("--mainchain", "http://main.test", "--sidechain", "http://side.test")


@pytest.fixture
def chains(monkeypatch: pytest.MonkeyPatch) -> dict[str, MemoryChain]:
    """The two nodes that the command reaches, by host; web3.py finds all in order on them."""
    found = {"main": MemoryChain(5), "side": MemoryChain(6)}
    found["side"].base_fee = 0
    monkeypatch.setattr("panachain.chain.rpc.Rpc", lambda url: found[url[7:11]])
    for name in ("MainchainWeb3", "SidechainWeb3"):
        monkeypatch.setattr(web3, name, lambda *_: None)
    monkeypatch.setattr(governance, "check_deployment", lambda *_: None)
    for name in ("REGISTRAR", "ADMIN", "VALIDATORS", "QUORUM", "ADMIN_DELAY", "DEPLOYER_KEY_FILE"):
        monkeypatch.delenv(f"PANACHAIN_{name}", raising=False)
    return found


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "deployer.key"
    path.write_text(f"0x{KEY.hex()}\n")
    path.chmod(0o600)
    return path


def test_a_dry_run_shows_gas_fee_and_ether_for_each_chain(
    run: Run, chains: dict[str, MemoryChain], key_file: Path, tmp_path: Path
) -> None:
    done = run("deploy", *NODES, *WHO, "--key-file", str(key_file), "--dry-run")
    assert (done.code, done.err.splitlines()[-1]) == (0, "Nothing was sent.")
    assert all(len(line) <= 100 for line in done.out.splitlines())
    assert "mainchain" in done.out
    assert "1,000 ether" in done.out
    told = [
        json.loads(line)
        for line in run("deploy", *NODES, *WHO, "--key-file", str(key_file), "--dry-run", "--json").out.splitlines()
    ]
    assert [one["schema"] for one in told] == ["panachain/cost/1"] * 2
    assert int(told[0]["fee"]) == told[0]["gas"] * int(told[0]["gas_price"]) > 0
    assert chains["main"].paid == chains["side"].paid == []
    assert not list((tmp_path / "home").glob("network*"))


def test_it_deploys_and_writes_the_network_file(
    run: Run, chains: dict[str, MemoryChain], key_file: Path, tmp_path: Path
) -> None:
    done = run("deploy", *NODES, *WHO, "--key-file", str(key_file), "--yes", "--relay", "https://relay.example")
    assert done.code == 0, done.err
    home = tmp_path / "home"
    network = json.loads((home / "network.json").read_text())
    assert network["governance"] == {
        "registrar": REGISTRAR,
        "administrator": ADMIN,
        "delay": 172_800,
        "validators": [REGISTRAR, ADMIN],
        "quorum": 2,
    }
    assert (network["threshold"], network["relays"]) == (2, ["https://relay.example"])
    # The sidechain's key has no power any more, and the journal is what was paid.
    assert {path.name for path in home.glob("network*")} == {"network.json", "network.deployment.json"}
    assert KEY.hex() not in (home / "network.deployment.json").read_text() + done.out + done.err
    assert run("deploy", *NODES, *WHO, "--key-file", str(key_file), "--yes").code == 2


def test_on_a_paid_sidechain_its_deployer_is_named_and_pays(
    run: Run, chains: dict[str, MemoryChain], key_file: Path, tmp_path: Path
) -> None:
    chains["side"].base_fee = 7
    arguments = ("deploy", *NODES, *WHO, "--key-file", str(key_file))
    refused = run(*arguments, "--yes")
    assert (refused.code, "--side-key-file" in refused.err) == (2, True)
    assert chains["main"].paid == chains["side"].paid == []
    side_key = tmp_path / "side.key"
    side_key.write_text("07" * 32)
    side_key.chmod(0o600)
    arguments += ("--side-key-file", str(side_key))
    costs = [json.loads(line) for line in run(*arguments, "--dry-run", "--json").out.splitlines()]
    assert int(costs[1]["fee"]) > 0
    done = run(*arguments, "--yes", "--sidechain-relay", "https://side.example")
    assert done.code == 0, done.err
    network = json.loads((tmp_path / "home" / "network.json").read_text())
    assert (network["sidechain"]["paid"], network["sidechainRelays"]) == (True, ["https://side.example"])


def test_no_more_is_offered_than_the_setting_allows(
    run: Run, chains: dict[str, MemoryChain], key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains["main"].base_fee = 3 * 10**9
    monkeypatch.setenv("PANACHAIN_MAX_FEE", "2")
    done = run("deploy", *NODES, *WHO, "--key-file", str(key_file), "--yes")
    assert (done.code, "max_fee allows 2 gwei" in done.err) != (0, False)
    assert chains["main"].paid == chains["side"].paid == []


def test_broken_off_it_goes_on_and_pays_nothing_twice(
    run: Run, chains: dict[str, MemoryChain], key_file: Path, tmp_path: Path
) -> None:
    arguments = ("deploy", *NODES, *WHO, "--key-file", str(key_file), "--yes")
    chains["side"].reverts.add("CareGroups")
    sent: list[str] = []

    def stop(method: str) -> None:
        sent.append(method)
        if sent.count("eth_sendRawTransaction") > 12:
            raise KeyboardInterrupt

    chains["main"].before = stop
    assert run(*arguments).code == 130
    chains["main"].before = lambda _: None
    # What can't be mended is told, and nothing is begun anew by itself.
    failed = run(*arguments)
    assert failed.code == 1
    assert "creating CareGroups" in failed.err
    assert "isn't paid twice" in failed.err
    assert len(chains["main"].paid) == len(set(chains["main"].paid)) == 13
    assert (tmp_path / "home" / "network.deployer.key").stat().st_mode & 0o777 == 0o600
    # Another governance isn't what was begun.
    other = run("deploy", *NODES, *WHO[:4], "--validator", ADMIN, "--key-file", str(key_file), "--yes")
    assert other.code == 2
    assert "another deployment" in other.err
    chains["side"].reverts.clear()
    again = run(*arguments, "--anew")
    assert again.code == 0, again.err
    assert (tmp_path / "home" / "network.deployment.json.1").is_file()
    assert len(chains["main"].paid) == 26


def test_too_little_ether_is_told_before_anything_is_sent(
    run: Run, chains: dict[str, MemoryChain], key_file: Path
) -> None:
    chains["main"].balance = 5
    done = run("deploy", *NODES, *WHO, "--key-file", str(key_file), "--yes")
    assert done.code == 2
    assert "holds 0.000001 ether, and at most" in done.err
    assert "nothing was deployed" in done.err
    assert chains["main"].paid == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((*NODES,), 2, "--registrar, --admin, --validator"),
        ((*WHO,), 2, "name both nodes"),
        ((*NODES, *WHO[:5], "0x12"), 2, "'0x12' isn't an address"),
        ((*NODES, *WHO, "--validator", ADMIN), 2, "a validator is named twice"),
        ((*NODES, *WHO, "--quorum", "3"), 2, "3 of 2 validators can't sign"),
        ((*NODES, *WHO), 2, "needs a confirmation"),
        ((*NODES, *WHO, "--yes"), 4, "there is no terminal to ask on"),
        ((*NODES, *WHO, "--yes", "--key-fd", "999999"), 2, "--key-fd 999999 can't be read"),
    ],
)
def test_what_is_missing_or_wrong_is_told(
    run: Run, chains: dict[str, MemoryChain], arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = run("deploy", *arguments)
    assert (done.code, words in done.err) == (code, True), done.err
    assert chains["main"].paid == []


class TestKeys:
    @pytest.mark.parametrize("content", [b"", b"0x12", b"no key at all", b"zz" * 32])
    def test_a_descriptor_that_gives_no_key_is_not_quoted(
        self, run: Run, chains: dict[str, MemoryChain], content: bytes
    ) -> None:
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        done = run("deploy", *NODES, *WHO, "--yes", "--key-fd", str(reading))
        os.close(reading)
        assert done.code == 4
        assert "holds no secret key: 32 bytes in hex" in done.err
        assert not content or content.decode() not in done.err

    def test_a_descriptor_gives_it(self, run: Run, chains: dict[str, MemoryChain]) -> None:
        reading, writing = os.pipe()
        os.write(writing, KEY.hex().encode())
        os.close(writing)
        done = run("deploy", *NODES, *WHO, "--dry-run", "--json", "--key-fd", str(reading))
        os.close(reading)
        assert json.loads(done.out.splitlines()[0])["deployer"] == address_of(KEY)

    def test_a_file_that_others_may_read_is_refused(
        self, run: Run, chains: dict[str, MemoryChain], key_file: Path
    ) -> None:
        key_file.chmod(0o644)
        done = run("deploy", *NODES, *WHO, "--yes", "--key-file", str(key_file))
        assert done.code == 4
        assert KEY.hex() not in done.err

    def test_no_option_takes_one(self, run: Run) -> None:
        assert not {"--key", "--private-key", "--secret"} & set(run("deploy", "--help").out.split())


@pytest.mark.parametrize(
    ("wei", "text"),
    [
        (0, "0 ether"),
        (1, "0.000001 ether"),
        (10**18, "1 ether"),
        (10**21, "1,000 ether"),
        (249 * 10**14, "0.0249 ether"),
    ],
)
def test_an_amount_is_never_less_than_it_is(wei: int, text: str) -> None:
    assert ether(wei) == text
