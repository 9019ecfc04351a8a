"""The command `storage`: files, exit codes and JSON, over real embedded stores in a folder."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from panachain.chain.anvil import free_port
from panachain.cli.app import App
from panachain.config import Config
from panachain.errors import DiskError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Role
from panachain.records.journal import Journal
from panachain.sdk import profiles
from panachain.sdk import storage as stores
from panachain.sdk.named_blocks import Named, NamedBlocks
from panachain.storage import pinning
from panachain.storage.blocks import BlobStore
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.guards import guards_of
from tests.cli.twin import Outcome
from tests.unit.storage.test_pinning import Cluster

Run = Callable[..., Outcome]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two nodes in the home, each of which must have every block."""
    folder = tmp_path / "home"
    folder.mkdir()
    ipfs = {"kind": "embedded", "folders": ["one", "two"], "replication": 2}
    (folder / "network.json").write_text(json.dumps({"schema": "panachain/network/1", "ipfs": ipfs}))
    return folder


@contextmanager
def opened(home: Path):  # type: ignore[no-untyped-def]
    store = stores.open_configured(Config.load({"home": str(home)}, {}))
    try:
        yield store
    finally:
        store.close()


def put(store: BlobStore, codec: int, data: bytes) -> CID:
    cid = CID.of(codec, data)
    store.put_block(cid, data)
    return cid


def a_batch(home: Path) -> tuple[CID, CID]:
    """Store and pin a list of ten blocks; return it and one of them."""
    with opened(home) as store:
        blocks = [put(store, RAW, os.urandom(100)) for _ in range(10)]
        root = put(store, DAG_CBOR, dagcbor.encode({"v": 1, "blocks": sorted(blocks)}))
        store.pin(root)
    return root, blocks[0]


def a_hospital(home: Path, name: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, role=Role.HOSPITAL, folder=home / "profiles" / name)


def lose(home: Path, folder: str, cid: CID) -> None:
    store = EmbeddedStore(home / folder)
    store.delete_block(cid)
    store.close()


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome.out.splitlines()]


def name_by_chains(home: Path, patch: pytest.MonkeyPatch, found: NamedBlocks) -> None:
    """Let the chains name some blocks."""
    path = home / "network.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"mainchain": {}}))

    @contextmanager
    def network(self: App):  # type: ignore[no-untyped-def]
        yield None

    patch.setattr(App, "network", network)
    patch.setattr("panachain.sdk.named_blocks.named_blocks", lambda network, store: found)


class TestMove:
    def test_carries_the_whole_store_and_again_does_nothing(
        self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root, _ = a_batch(home)
        with opened(home) as store:
            terms = put(store, RAW, b"terms that nothing pins")
        name_by_chains(home, monkeypatch, NamedBlocks((Named(terms, "terms", "policy 0x01"),), ()))
        outcome = run("storage", "move", "configured", "embedded:new", "--json")
        assert outcome.code == 0
        report = rows(outcome)[0]
        assert (report["schema"], report["blocks"], report["copied"]) == ("panachain/move/1", 12, 12)
        new = EmbeddedStore(home / "new")
        assert (set(new.pins()), new.get_block(terms)) == ({root}, b"terms that nothing pins")
        new.close()
        assert rows(run("storage", "move", "configured", "embedded:new", "--json"))[0]["copied"] == 0

    def test_missing_blocks_end_with_3_and_are_counted(self, run: Run, home: Path) -> None:
        _, block = a_batch(home)
        for folder in ("one", "two"):
            lose(home, folder, block)
        outcome = run("storage", "move", "configured", "embedded:new")
        assert outcome.code == 3
        assert "in neither store: 1 block" in outcome.err

    @pytest.mark.parametrize(
        ("source", "target"),
        [
            ("configured", "configured"),
            ("configured", "ftp://x"),
            ("embedded:", "configured"),
            ("configured", "s3://A"),
        ],
    )
    def test_what_is_no_store_or_the_same_is_usage(self, run: Run, home: Path, source: str, target: str) -> None:
        assert run("storage", "move", source, target).code == 2


class TestReplicate:
    def test_tells_services_what_the_store_pins_and_ends_with_3_until_all_is_there(
        self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root, _ = a_batch(home)
        (home / "token").write_text("hush-hush-token-84")
        (home / "token").chmod(0o600)
        entry = {"name": "cluster", "url": "https://cluster.example/psa", "tokenFile": "token"}
        path = home / "network.json"
        content = json.loads(path.read_bytes())
        content["ipfs"]["pinning"] = [entry]
        path.write_text(json.dumps(content))
        cluster = Cluster()
        monkeypatch.setattr(pinning, "Client", lambda: cluster)
        assert run("storage", "replicate").code == 3
        assert [one["pin"]["cid"] for one in cluster.held.values()] == [str(root)]
        cluster.fetch()
        outcome = run("storage", "replicate", "--json")
        assert outcome.code == 0
        assert (rows(outcome)[0]["schema"], rows(outcome)[0]["pinned"]) == ("panachain/replication/1", 1)
        assert "hush" not in outcome.out + outcome.err

    def test_without_a_service_is_usage(self, run: Run, home: Path) -> None:
        assert run("storage", "replicate").code == 2


class TestStatus:
    def test_shows_every_node(self, run: Run, home: Path) -> None:
        a_batch(home)
        outcome = run("storage", "status", "--json")
        assert outcome.code == 0
        assert [(row["state"], row["blocks"], row["pins"]) for row in rows(outcome)] == [("ok", 11, 1)] * 2
        assert rows(outcome)[0]["schema"] == "panachain/store-node/1"
        assert "node 1 (embedded store)" in run("storage", "status").out

    @pytest.mark.parametrize(("nodes", "code"), [(1, 7), (2, 7)])
    def test_ends_with_7_when_no_node_answers(self, run: Run, home: Path, nodes: int, code: int) -> None:
        apis = [f"/ip4/127.0.0.1/tcp/{free_port()}" for _ in range(nodes)]
        (home / "network.json").write_text(json.dumps({"ipfs": {"kind": "kubo", "apis": apis}}))
        assert run("storage", "status").code == code

    def test_contradiction_in_the_network_file_is_usage(self, run: Run, home: Path) -> None:
        (home / "network.json").write_text('{"ipfs": {"kind": "embedded", "folders": ["a"], "replication": 2}}')
        outcome = run("storage", "status")
        assert outcome.code == 2
        assert "replication 2 doesn't fit 1 nodes" in outcome.err


class TestRepair:
    def test_heals_and_says_so(self, run: Run, home: Path) -> None:
        _, block = a_batch(home)
        lose(home, "two", block)
        outcome = run("storage", "repair", "--json")
        assert outcome.code == 0
        (report,) = rows(outcome)
        assert report["schema"] == "panachain/repair/1"
        assert report["whole"] is True
        assert [node["healed"] for node in report["nodes"]] == [0, 1]
        assert "Every node has every block." in run("storage", "repair").err

    def test_ends_with_6_when_a_block_is_lost_everywhere(self, run: Run, home: Path) -> None:
        root, block = a_batch(home)
        for folder in ("one", "two"):
            lose(home, folder, block)
        outcome = run("storage", "repair", str(root))
        assert outcome.code == 6
        assert str(block) in outcome.err
        assert "what was healed before stays healed" in outcome.err

    def test_cid_that_is_none_is_usage(self, run: Run, home: Path) -> None:
        assert run("storage", "repair", "Qm123").code == 2

    def test_what_the_chains_name_and_nobody_has_is_said(
        self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a_batch(home)
        gone = Named(CID.of(RAW, b"terms"), "terms", "policy 0x01")
        name_by_chains(home, monkeypatch, NamedBlocks((gone,), ()))
        outcome = run("storage", "repair")
        assert outcome.code == 6
        assert f"Nobody has terms {gone.cid} of policy 0x01." in outcome.err
        assert "of what the chains name: 1 terms" in outcome.err
        assert rows(run("storage", "repair", "--json"))[0]["named"] == [gone.to_json()]

    def test_what_only_one_node_has_is_healed_though_nothing_pins_it(
        self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with opened(home) as store:
            terms = put(store, RAW, b"terms")
        lose(home, "two", terms)
        name_by_chains(home, monkeypatch, NamedBlocks((Named(terms, "terms", "policy 0x01"),), ()))
        assert run("storage", "repair").code == 0
        healed = EmbeddedStore(home / "two")
        assert healed.get_block(terms) == b"terms"
        assert list(healed.pins()) == []
        healed.close()

    def test_a_chain_that_does_not_answer_leaves_it_partly_done(
        self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a_batch(home)
        name_by_chains(home, monkeypatch, NamedBlocks((), ("pairings: no node answers",)))
        outcome = run("storage", "repair")
        assert outcome.code == 3
        assert "pairings: no node answers" in outcome.err


HOSPITAL = "0x52908400098527886E0F7030069857D2E4169EE7"


class TestGarbage:
    @pytest.fixture(autouse=True)
    def chain(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> list[CID]:
        """Let the network be one whose chain names these manifests."""
        manifests: list[CID] = []

        @contextmanager
        def network(self: App):  # type: ignore[no-untyped-def]
            with opened(home) as store:
                yield SimpleNamespace(
                    store=store,
                    home=home,
                    hospital_heads=lambda: [
                        SimpleNamespace(hospital=HOSPITAL, manifests=[cid.digest for cid in manifests])
                    ],
                    resolve=lambda name, _: SimpleNamespace(address=name),
                    mainchain=SimpleNamespace(policies=SimpleNamespace(events=lambda kind: iter(()))),
                )

        monkeypatch.setattr(App, "network", network)
        return manifests

    def test_removes_what_nothing_reaches(self, run: Run, home: Path) -> None:
        root, block = a_batch(home)
        with opened(home) as store:
            put(store, RAW, b"garbage")
        outcome = run("storage", "gc", "--older-than", "0m", "--yes", "--json")
        assert outcome.code == 0
        assert [(row["kept"], row["removed"], row["freed"]) for row in rows(outcome)] == [(11, 1, 7)] * 2
        assert rows(outcome)[0]["schema"] == "panachain/collection/1"
        with opened(home) as store:
            assert sorted(store.blocks()) == sorted({root, block, *dagcbor.decode(store.get_block(root))["blocks"]})

    def test_young_blocks_stay_by_default(self, run: Run, home: Path) -> None:
        with opened(home) as store:
            put(store, RAW, b"young")
        (row, _) = rows(run("storage", "gc", "--yes", "--json"))
        assert (row["young"], row["removed"]) == (1, 0)

    def test_dry_run_asks_nothing_and_removes_nothing(self, run: Run, home: Path) -> None:
        with opened(home) as store:
            cid = put(store, RAW, b"garbage")
        outcome = run("storage", "gc", "--older-than", "0m", "--dry-run")
        assert outcome.code == 0
        assert "2 blocks of 14 B would go." in outcome.err
        with opened(home) as store:
            assert store.has_block(cid)

    def test_without_terminal_and_yes_it_is_refused(self, run: Run) -> None:
        outcome = run("storage", "gc")
        assert outcome.code == 2
        assert "--yes" in outcome.err

    def test_manifest_in_no_list_ends_with_6(self, run: Run, home: Path, chain: list[CID]) -> None:
        with opened(home) as store:
            chain.append(put(store, DAG_CBOR, dagcbor.encode({"v": 1})))
            garbage = put(store, RAW, b"garbage")
        outcome = run("storage", "gc", "--older-than", "0m", "--yes")
        assert outcome.code == 6
        with opened(home) as store:
            assert store.has_block(garbage)

    def test_one_hospitals_broken_manifest_is_named_and_can_be_passed_over(
        self, run: Run, home: Path, chain: list[CID]
    ) -> None:
        root, block = a_batch(home)
        with opened(home) as store:
            chain.append(put(store, DAG_CBOR, b"no dag-cbor"))
            garbage = put(store, RAW, b"garbage")
        outcome = run("storage", "gc", "--older-than", "0m", "--yes")
        assert outcome.code == 6
        assert f"--without {HOSPITAL}" in outcome.err
        assert run("storage", "gc", "--older-than", "0m", "--yes", "--without", HOSPITAL).code == 0
        with opened(home) as store:
            assert not store.has_block(garbage)
            assert store.has_block(root)
            assert store.has_block(block)


class TestCars:
    def test_export_and_import_are_each_others_opposite(
        self, run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root, block = a_batch(home)
        file = tmp_path / "x.car"
        outcome = run("storage", "export", str(file), str(root), "--json")
        assert outcome.code == 0
        (report,) = rows(outcome)
        assert report == {
            "schema": "panachain/car/1",
            "file": str(file),
            "roots": [str(root)],
            "blocks": 11,
            "size": report["size"],
            "missing": [],
            "pinned": 0,
            "erased": 0,
        }
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert list(tmp_path.glob("*.part")) == []

        monkeypatch.setenv("PANACHAIN_HOME", str(tmp_path / "elsewhere"))
        outcome = run("storage", "import", str(file), "--json")

        assert outcome.code == 0
        assert (rows(outcome)[0]["blocks"], rows(outcome)[0]["pinned"]) == (11, 1)
        store = EmbeddedStore(tmp_path / "elsewhere" / "blocks")
        assert list(store.pins()) == [root]
        assert store.has_block(block)

    def test_repair_tells_what_a_backup_brought_back_by_the_hospitals_journal(
        self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, block = a_batch(home)
        monkeypatch.setattr("panachain.sdk.profiles.profile_names", lambda _home: ["clinic", "other"])
        monkeypatch.setattr("panachain.sdk.profiles.load_profile", a_hospital)

        def erased(folder: Path) -> list[CID]:
            if folder.name == "other":
                raise DiskError("torn")
            return [block]

        monkeypatch.setattr("panachain.sdk.storage.journal_erased", erased)
        outcome = run("storage", "repair")
        assert (outcome.code, "still has 1 block of what was erased" in outcome.err) == (3, True)
        assert "what other erased isn't compared with the store: torn" in " ".join(outcome.err.split())

    def test_repair_goes_on_whatever_profiles_and_journals_are_like(
        self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, block = a_batch(home)
        lose(home, "two", block)
        for name in ("patient", "clinic.old~", "clinic"):
            folder = home / "profiles" / name
            folder.mkdir(parents=True)
            (folder / "profile.json").write_bytes(b"torn" if name == "patient" else b"{}")
        (home / "profiles" / "clinic" / "journal.sqlite").write_bytes(b"no database" * 1000)
        load = profiles.load_profile
        monkeypatch.setattr(
            "panachain.sdk.profiles.load_profile",
            lambda where, name: a_hospital(where, name) if name == "clinic" else load(where, name),
        )
        outcome = run("storage", "repair")
        said = " ".join(outcome.err.split())
        assert outcome.code == 3
        for name in ("patient", "clinic.old~", "clinic"):
            assert f"what {name} erased isn't compared with the store: " in said
        assert "every node has every block; whether it has again what was erased wasn't compared" in said
        with opened(home) as store:
            assert store.has_block(block)
        healed = EmbeddedStore(home / "two")
        assert healed.has_block(block)
        healed.close()

    def test_repair_goes_on_where_the_profiles_cannot_be_listed(
        self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a_batch(home)
        monkeypatch.setattr("panachain.sdk.profiles.profile_names", Mock(side_effect=PermissionError(13, "not yours")))
        outcome = run("storage", "repair")
        assert (outcome.code, "not yours" in outcome.err) == (3, True)

    def test_what_helps_against_lost_notes_is_said(self, run: Run, home: Path) -> None:
        _, block = a_batch(home)
        with opened(home) as store:
            store.unpin(next(iter(store.pins())))
            for guard in guards_of(store)[:1]:
                guard.note([block])
        (home / "one" / "erased.sqlite").unlink()
        outcome = run("storage", "status")
        assert outcome.code == 3
        assert "node 1 (embedded store): put that file back from a backup" in " ".join(outcome.err.split())
        failed, good = rows(run("storage", "status", "--json"))
        assert ("put that file back from a backup" in failed["hint"], good["hint"]) == (True, "")
        outcome = run("storage", "repair")
        assert outcome.code == 3
        assert "node 1 (embedded store): put that file back from a backup" in " ".join(outcome.err.split())
        for name in ("one", "two"):
            (home / name / "store.lock").write_bytes(b"many\n")
        outcome = run("storage", "status")
        assert outcome.code == 7
        assert "node 1 (embedded store)" in " ".join(outcome.err.split())
        assert "`panachain storage repair` counts anew" in " ".join(outcome.err.split())

    def test_what_was_erased_is_not_imported_and_not_given_to_another_node(
        self, run: Run, home: Path, tmp_path: Path
    ) -> None:
        root, block = a_batch(home)
        file = tmp_path / "x.car"
        assert run("storage", "export", str(file), str(root)).code == 0
        with opened(home) as store:
            for guard in guards_of(store):
                guard.note([block])
        outcome = run("storage", "repair")
        assert outcome.code == 3
        assert "still has 1 block of what was erased: no other node was given them" in outcome.err
        with opened(home) as store:
            store.unpin(root)
            store.delete_block(block)
        outcome = run("storage", "import", str(file))
        assert outcome.code == 3
        assert "1 block of the file had been erased from the store, and isn't stored again: 0 of 1 roots" in outcome.err
        with opened(home) as store:
            assert not store.has_block(block)
        assert run("storage", "repair").code == 0
        store.close()

    def test_all_means_what_the_hospital_published(
        self, run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root, _ = a_batch(home)
        folder = tmp_path / "profile"
        journal = Journal(folder / "journal.sqlite")
        journal.prepare(sequence=1, manifest=str(root), list_cid=str(root), records=(), done=())
        journal.close()

        def profile(self: App, *roles: Role) -> SimpleNamespace:
            assert roles == (Role.HOSPITAL,)
            return SimpleNamespace(folder=folder)

        monkeypatch.setattr(App, "profile", profile)
        outcome = run("storage", "export", str(tmp_path / "x.car"), "--all", "--json")
        assert outcome.code == 0
        assert rows(outcome)[0]["roots"] == [str(root)]

    def test_all_pins_is_the_whole_store(
        self, run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a_batch(home)
        with opened(home) as store:
            pairing, terms = put(store, RAW, b"a pairing"), put(store, RAW, b"terms that nothing pins")
            store.pin(pairing)
            wanted = set(store.blocks())
            put(store, RAW, b"garbage")
        named = Named(terms, "terms", "policy 0x01"), Named(CID.of(RAW, b"elsewhere"), "terms", "policy 0x02")
        name_by_chains(home, monkeypatch, NamedBlocks(named, ()))
        file = tmp_path / "store.car"
        outcome = run("storage", "export", str(file), "--all-pins", "--json")
        assert outcome.code == 0
        assert (rows(outcome)[0]["blocks"], rows(outcome)[0]["missing"]) == (len(wanted), [])
        monkeypatch.undo()
        monkeypatch.setenv("PANACHAIN_HOME", str(tmp_path / "elsewhere"))
        assert run("storage", "import", str(file)).code == 0
        store = EmbeddedStore(tmp_path / "elsewhere" / "blocks")
        assert set(store.blocks()) == wanted
        store.close()

    def test_missing_blocks_end_with_3_and_are_named(self, run: Run, home: Path, tmp_path: Path) -> None:
        root, block = a_batch(home)
        for folder in ("one", "two"):
            lose(home, folder, block)
        file = tmp_path / "x.car"
        outcome = run("storage", "export", str(file), str(root), "--json")
        assert outcome.code == 3
        assert rows(outcome)[0]["missing"] == [str(block)]
        outcome = run("storage", "import", str(file))
        assert outcome.code == 3
        assert "0 of 1 roots were pinned" in outcome.err

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("--all", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
            ("--all-pins", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
            ("--all", "--all-pins"),
        ],
    )
    def test_either_cids_or_all(self, run: Run, home: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        outcome = run("storage", "export", str(tmp_path / "x.car"), *arguments)
        assert outcome.code == 2
        assert not (tmp_path / "x.car").exists()

    def test_file_that_is_there_stays_as_it_is(self, run: Run, home: Path, tmp_path: Path) -> None:
        root, _ = a_batch(home)
        (tmp_path / "x.car").write_bytes(b"mine")
        assert run("storage", "export", str(tmp_path / "x.car"), str(root)).code == 2
        assert (tmp_path / "x.car").read_bytes() == b"mine"

    def test_damaged_block_leaves_no_file(self, run: Run, home: Path, tmp_path: Path) -> None:
        root, _ = a_batch(home)
        for folder in ("one", "two"):
            for pack in (home / folder / "packs").iterdir():
                content = bytearray(pack.read_bytes())
                content[5] ^= 1
                pack.write_bytes(content)
        outcome = run("storage", "export", str(tmp_path / "x.car"), str(root))
        assert outcome.code == 6
        assert list(tmp_path.glob("x.car*")) == []

    @pytest.mark.parametrize("content", [b"", b"no CAR at all", b"\x0a" * 500])
    def test_foreign_file_ends_with_6(self, run: Run, home: Path, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.car").write_bytes(content)
        outcome = run("storage", "import", str(tmp_path / "x.car"))
        assert outcome.code == 6
        assert "Traceback" not in outcome.err

    def test_file_that_is_not_there_is_usage(self, run: Run, home: Path, tmp_path: Path) -> None:
        assert run("storage", "import", str(tmp_path / "x.car")).code == 2
