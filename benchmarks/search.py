"""Searching: how long a word takes among many records, what the lists of words cost, and whether anything is missed.

    ./pana bench search [--json] [--quick] [--only PART ...]

- lookup: 100,000 and 1,000,000 records of one patient at one hospital, in batches of 10,000, and the peer: SQLite's
  FTS5 over the plain texts. Words are made up by Zipf's law; the lists are real, and headers aren't made: what is
  looked up is the same. Among the second, the same words, and words that as many records have as these have among the
  first; each as a ratio.
- verify: what a session takes for each record once, and the size of what proves that a manifest has its header.
- synthea: the size of the lists, and the processor time of publishing with and without them, in turns.
- recall: against a plain search that is written apart from the program, over all files of all formats; the names of
  code systems, which the program puts before their codes, are left out.
- lies: a store that drops, changes, cuts, swaps and replays blocks, and takes one hospital's for another one's.
- leak: what a store that logs everything can tell of what is looked for, and of new manifests.

Parts without their files say so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import statistics
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from _running import running
from _search_plain import Alike
from _search_plain import index as plain_index
from _search_world import Clinic, searchable

from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError, PanaChainError
from panachain.ipld.cid import CID, RAW
from panachain.model.records import FileContent, PlainRecord
from panachain.model.scope import Category
from panachain.records import listed_words, manifest, record_words, word_list
from panachain.records.dicom import MEDIA_TYPE as DICOM
from panachain.records.inventory import Inventory
from panachain.records.lexicon import LANGUAGES, Lexicon
from panachain.records.manifest_proof import ManifestProof, prove
from panachain.records.record_words import RecordWords, words_of
from panachain.records.search import Query
from panachain.records.sources import read_source
from panachain.records.words import forms_of
from panachain.sdk.opening import Checked, Opening
from panachain.sdk.searching import Searchable
from panachain.storage.blocks import BlobStore
from panachain.storage.embedded import EmbeddedStore

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
HOSPITAL = "0x52908400098527886E0F7030069857D2E4169EE7"
PARTS = ("lookup", "verify", "synthea", "recall", "lies", "leak")
BATCH = 10_000
VOCABULARY = 50_000
MISSING = "not measured: its files aren't here"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures."""
    options = argparse.ArgumentParser()
    options.add_argument("--json", action="store_true")
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    options.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    given = options.parse_args(arguments)
    figures: dict[str, Any] = {}
    for part in given.only:
        figures[part] = MEASURES[part](quick=given.quick)
    if given.json:
        print(json.dumps(figures))
        return
    for part, found in figures.items():
        shown = found if isinstance(found, str) else ", ".join(f"{key} {value}" for key, value in found.items())
        print(f"{part}: {shown}")


# Many records


@dataclass(slots=True)
class _Info:
    """What a search asks of a record that it found."""

    hospital: str
    header_cid: str
    content_cid: str
    content_index: int
    media_type: str = "text/plain"
    year: int = 2024
    size: int = 100
    stored_at: int = 1_700_000_000
    category: Category = Category.LABORATORY


def _texts(count: int, source: random.Random) -> Iterator[list[int]]:
    """Yield the words of records, as numbers: the first are frequent, as in any language."""
    weights = [1 / (rank + 3) for rank in range(VOCABULARY)]
    for _ in range(0, count, 1000):
        drawn = source.choices(range(VOCABULARY), weights, k=12_000)
        yield from (drawn[at : at + 12] for at in range(0, 12_000, 12))


def _word(number: int) -> str:
    """Return a made-up word that no stemmer shortens."""
    letters = "bcdfghjklmnpqrtvwx"
    spelled = ""
    for _ in range(5):
        number, letter = divmod(number, len(letters))
        spelled += letters[letter] + "aou"[letter % 3]
    return f"{spelled}k"


def measure_lookup(*, quick: bool) -> dict[str, Any]:
    """Look words up among 100,000 and 1,000,000 records, and among the first with FTS5.

    The same words have ten times as many hits among ten times as many records, so that what is found takes longer,
    whatever it is looked up in. Words with as many hits as before tell what more records alone cost.
    """
    few, many = (20_000, 40_000) if quick else (100_000, 1_000_000)
    asked = random.Random(1).sample(range(VOCABULARY), 200)
    found: dict[str, Any] = {"goal_ms_few": 10, "goal_ms_many": 15}
    frequent: list[int] = []
    for name, count in (("few", few), ("many", many)):
        store, world, having = _many(count)
        world.search(Query.parse(["warm"]))
        found |= {f"records_{name}": count, f"lists_bytes_{name}": sum(len(one) for one in store.values())}
        found |= _asked(world, asked, name)
        if name == "few":
            frequent = [having[number] for number in asked]
            continue
        found |= _asked(world, _as_frequent(having, frequent), "many_same_hits")
    found["ratio_same_words"] = round(found["median_ms_many"] / found["median_ms_few"], 2)
    found["ratio_same_hits"] = round(found["median_ms_many_same_hits"] / found["median_ms_few"], 2)
    found["fts5_median_ms_few"] = _fts5(few, asked)
    return found


def _asked(world: Searchable, asked: Sequence[int], name: str) -> dict[str, Any]:
    times, hits = [], []
    for number in asked:
        began = time.perf_counter()
        result = world.search(Query.parse([_word(number)]))
        times.append(time.perf_counter() - began)
        hits.append(result.total)
    return {
        f"median_ms_{name}": round(statistics.median(times) * 1000, 3),
        f"p95_ms_{name}": round(sorted(times)[int(len(times) * 0.95)] * 1000, 3),
        f"hits_median_{name}": statistics.median(hits),
    }


def _as_frequent(having: Counter[int], wanted: Sequence[int]) -> list[int]:
    """Return for each number of hits a word that about so many records have, each time another one if there is."""
    ranked = sorted(range(VOCABULARY), key=having.__getitem__)
    hits = [having[number] for number in ranked]
    source = random.Random(2)
    chosen = []
    for count in wanted:
        first, last = bisect_left(hits, count), bisect_right(hits, count)
        chosen.append(ranked[source.randrange(first, last) if first < last else min(first, VOCABULARY - 1)])
    return chosen


def _many(count: int) -> tuple[dict[CID, bytes], Searchable, Counter[int]]:
    """Return the blocks of so many records, what searches them, and how many records have which word."""
    source = random.Random(60)
    having: Counter[int] = Counter()
    blocks: dict[CID, bytes] = {}
    checked = Checked(_Files(blocks), Opening(lambda _: iter(())).findings)  # type: ignore[arg-type]
    batch: list[bytes] = []
    for number, drawn in enumerate(_texts(count, source)):
        having.update(set(drawn))
        places: dict[str, list[int]] = {}
        for at, one in enumerate(drawn):
            places.setdefault(_word(one), []).append(at)
        batch.append(word_list.packed(RecordWords(places)))
        if len(batch) == BATCH or number + 1 == count:
            key = EnvelopeKey(os.urandom(32))
            sealed = b"".join(word_list.seal(batch, key))
            cid = CID.of(RAW, sealed)
            blocks[cid] = sealed
            name = str(cid)
            checked.envelopes[name] = [
                SimpleNamespace(info=_Info(HOSPITAL, f"{name}-{at}", f"content-{name}-{at}", at))  # type: ignore[misc]
                for at in range(len(batch))
            ]
            checked.keys[name], checked.inventories[name] = key, Inventory((), words=cid)
            batch = []
    opening: Opening = Opening(lambda _: iter(()))
    opening.life.settle()
    return blocks, Searchable(opening, [], [checked], 0), having


class _Files:
    """Files that are one block each."""

    def __init__(self, blocks: dict[CID, bytes]) -> None:
        self._blocks = blocks

    def read_file(self, cid: CID) -> Iterator[bytes]:
        """Yield a file's leaves, as sealed segments have them."""
        data = self._blocks[cid]
        yield from (data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20))


def _fts5(count: int, asked: Sequence[int]) -> float:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE record USING fts5(text)")
    texts = ((" ".join(map(_word, drawn)),) for drawn in _texts(count, random.Random(60)))
    database.executemany("INSERT INTO record VALUES (?)", texts)
    times = []
    for number in asked:
        began = time.perf_counter()
        database.execute("SELECT rowid FROM record WHERE record MATCH ?", (_word(number),)).fetchall()
        times.append(time.perf_counter() - began)
    return round(statistics.median(times) * 1000, 3)


# What is checked


def measure_verify(*, quick: bool) -> dict[str, Any]:
    """Time what a session checks once for each record, and the proof that a manifest has its header."""
    count = 50 if quick else 1000
    with tempfile.TemporaryDirectory() as folder:
        store, clinic = _published(Path(folder), count)
        began = time.perf_counter()
        world = searchable(store, [clinic])
        world.search(Query.parse(["warm"]))
        taken = time.perf_counter() - began
    rows = {os.urandom(16): CID.of(RAW, os.urandom(8)) for _ in range(4_000 if quick else 400_000)}
    root, blocks = manifest.build(rows, hospital=clinic.address, sequence=1, previous=None)
    held, key = dict(blocks), next(iter(rows))
    proof = prove(SimpleNamespace(get_block=held.__getitem__), root, key)
    encoded = proof.encode()
    began = time.perf_counter()
    for _ in range(100):
        ManifestProof.parse(encoded).check(root, key)
    checking = (time.perf_counter() - began) / 100
    return {
        "ms_per_record_once_a_session": round(taken / count * 1000, 3),
        "manifest_rows": len(rows),
        "proof_bytes": len(encoded),
        "proof_check_ms": round(checking * 1000, 3),
    }


def _published(folder: Path, count: int) -> tuple[EmbeddedStore, Clinic]:
    store, source = EmbeddedStore(folder / "blocks"), random.Random(60)
    clinic = Clinic(store, Seed.random())
    texts = _texts(count, source)
    clinic.publish(
        PlainRecord(Category.LABORATORY, 2024, "text/plain", " ".join(map(_word, next(texts))).encode(), os.urandom(32))
        for _ in range(count)
    )
    return store, clinic


# Real records


def _records(pattern: str, every: int = 1) -> Iterator[tuple[Path, list[PlainRecord]]]:
    for path in sorted(SHARED.glob(pattern))[::every]:
        try:
            yield path, list(read_source(path))
        except PanaChainError:
            # What an upload refuses, too.
            continue


def measure_synthea(*, quick: bool) -> dict[str, Any] | str:
    """Return the size of the lists beside the sources, and the processor time of publishing with and without."""
    sources = list(_records("fhir-r4/synthea-*/*.json", 12 if quick else 1))
    if not sources:
        return MISSING
    times: dict[bool, float] = {}
    sizes: list[int] = []
    seal = word_list.seal_made

    def counted(made: bytes, key: EnvelopeKey) -> list[bytes]:
        segments = seal(made, key)
        sizes.append(sum(map(len, segments)))
        return segments

    for turn in range(2 if quick else 6):
        with_words = bool(turn % 2)
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(word_list, "seal_made", counted):
            sizes.clear()
            began = time.process_time()
            for number, (path, _) in enumerate(sources):
                clinic = Clinic(EmbeddedStore(Path(folder) / str(number)), Seed.random())
                with mock.patch.object(listed_words, "words_of", words_of if with_words else lambda *_: None):
                    clinic.publish(read_source(path))
            taken = time.process_time() - began
            times[with_words] = min(taken, times.get(with_words, taken))
            if with_words:
                lists = sum(sizes)
    source = sum(path.stat().st_size for path, _ in sources)
    return {
        "source_bytes": source,
        "lists_bytes": lists,
        "ratio": round(lists / source, 3),
        "upload_cpu_ratio": round(times[True] / times[False], 3),
    }


def measure_recall(*, quick: bool) -> dict[str, Any] | str:
    """Compare what words find with a plain search over all files of all formats."""
    patterns = (
        "fhir-r4/synthea-*/*.json",
        "fhir-r4/hl7-examples-4.0.1/*.json",
        "hl7v2/*",
        "ccda/*",
        "pdf/*",
        "dicom/*",
    )
    records: list[PlainRecord] = []
    for pattern in patterns:
        # Few files of a kind are read all of them.
        for _, found in _records(pattern, 12 if quick and pattern.startswith("fhir") else 1):
            records += map(_held, found)
    if not records:
        return MISSING
    expected = plain_index(records)
    batch = EnvelopeKey(os.urandom(32))
    with mock.patch.object(record_words, "coded", lambda system, code: code):
        words = [words_of(one, _bundle(one)) for one in records]
    listed, lexicon = [], Lexicon()
    for start in range(0, len(records), BATCH):
        contents = [None if one is None else word_list.packed(one) for one in words[start : start + BATCH]]
        sealed = b"".join(word_list.seal(contents, batch))
        cid = CID.of(RAW, sealed)
        store: Any = _Files({cid: sealed})
        listed.append((start, word_list.open_(store, cid, batch)))
        lexicon.add(listed[-1][1])
    chosen = sorted(one for one in expected if one[0] <= "\u024f" and forms_of(one) == [one])
    plain = Alike(expected, [LANGUAGES[tag][0] for tag in lexicon.languages])
    missed = made_up = hits = 0
    wrong: list[str] = []
    for word in chosen:
        found_here = {start + index for start, one in listed for index, _ in Query.parse([word]).find(one, lexicon)}
        there = plain.having(word)
        hits += len(there)
        missed += len(there - found_here)
        made_up += len(found_here - there)
        if found_here != there:
            wrong.append(word)
    return {
        "records": len(records),
        "dicom": sum(one.media_type == DICOM for one in records),
        "languages": lexicon.languages,
        "words": len(chosen),
        "hits": hits,
        "recall_percent": round(100 * (1 - missed / max(hits, 1)), 4),
        "precision_percent": round(100 * (1 - made_up / max(hits - missed + made_up, 1)), 4),
        "differing": wrong[:10],
    }


def _held(record: PlainRecord) -> PlainRecord:
    """Return a record with its bytes, also one that lies in a file."""
    return (
        replace(record, content=record.content.path.read_bytes()) if isinstance(record.content, FileContent) else record
    )


def _bundle(record: PlainRecord) -> Any:
    from panachain.records.versions import bundle_of

    if record.media_type != "application/fhir+json" or not isinstance(record.content, bytes):
        return None
    try:
        return bundle_of(record.content)
    except PanaChainError:
        return None


# Who lies


class _Watched:
    """A store whose blocks come through somebody: each is checked against its CID, as every store of ours does."""

    def __init__(self, store: BlobStore | _Watched, lie: Callable[[CID, bytes], bytes] | None = None) -> None:
        self._store = store
        self._lie = lie
        self.asked: list[CID] = []

    def get_block(self, cid: CID) -> bytes:
        """Return a block, or refuse what isn't it."""
        self.asked.append(cid)
        data = self._store.get_block(cid)
        if self._lie is not None:
            data = self._lie(cid, data)
            if CID.of(cid.codec, data) != cid:
                raise IntegrityError(f"block {cid} has another digest")
        return data

    def read_file(self, cid: CID) -> Iterator[bytes]:
        """Yield a file's leaves."""
        from panachain.ipld import unixfs

        yield from (self.get_block(leaf) for leaf, _ in unixfs.leaves_of(cid, self.get_block))


def measure_lies(*, quick: bool) -> dict[str, Any]:
    """Search through a store that lies once each time, and through an honest one."""
    cases = 200 if quick else 10_000
    source = random.Random(60)
    refused = alarms = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddedStore(Path(folder) / "blocks")
        patient = Seed.random()
        clinics = [Clinic(store, patient), Clinic(store, patient)]
        for number in range(4):
            text = f"glucose word{number}".encode()
            record = PlainRecord(Category.LABORATORY, 2020 + number, "text/plain", text, os.urandom(32))
            clinics[number % 2].publish([record])
        watched = _Watched(store)
        honest = searchable(watched, clinics).search(Query.parse(["glucose"]))
        every = sorted(set(watched.asked))
        blocks = {cid: store.get_block(cid) for cid in every}
        kinds = ("drop", "change", "swap", "cut", "stale", "other hospital", "empty")
        for number in range(cases):
            kind, at = kinds[number % len(kinds)], source.choice(every)
            try:
                result = _lied(kind, at, watched, blocks, clinics, source)
            except PanaChainError:
                refused += 1
                continue
            if result.omissions or result.notices:
                refused += 1
            elif result.records != honest.records:
                wrong += 1
        for _ in range(cases // 100):
            alarms += bool(searchable(store, clinics).search(Query.parse(["glucose"])).omissions)
    return {"cases": cases, "refused": refused, "believed": wrong, "false_alarms": alarms}


def _lied(
    kind: str,
    at: CID,
    store: _Watched,
    blocks: dict[CID, bytes],
    clinics: Sequence[Clinic],
    source: random.Random,
) -> Any:
    def lie(cid: CID, data: bytes) -> bytes:
        if cid != at:
            return data
        if kind == "drop":
            raise IntegrityError(f"block {cid} isn't there")
        if kind == "swap":
            return blocks[source.choice([one for one in blocks if one != at])]
        if kind == "cut":
            return data[: source.randrange(len(data))]
        place = source.randrange(len(data))
        return (
            b""
            if kind == "empty"
            else data[:place] + bytes([data[place] ^ 1 << source.randrange(8)]) + data[place + 1 :]
        )

    if kind == "stale":
        # The chain's head is what it is; the store answers with the manifest of before.
        clinic = source.choice(clinics)
        newest, before = (CID(0x71, one) for one in (clinic.manifests[-1], clinic.manifests[0]))
        at, swapped = newest, blocks.get(before) or store.get_block(before)
        return searchable(_Watched(store, lambda cid, data: swapped if cid == newest else data), clinics).search(
            Query.parse(["glucose"])
        )
    if kind == "other hospital":
        # One hospital's manifests under the name of another one.
        one, other = source.sample(list(clinics), 2)
        with mock.patch.object(one, "manifests", other.manifests):
            return searchable(store, clinics).search(Query.parse(["glucose"]))
    return searchable(_Watched(store, lie), clinics).search(Query.parse(["glucose"]))


def measure_leak(*, quick: bool) -> dict[str, Any]:
    """Log what a store is asked for, by many searches, and look for anything of it in what is published later."""
    words, later = (10, 10) if quick else (200, 1000)
    with tempfile.TemporaryDirectory() as folder:
        store, clinic = _published(Path(folder), 20 if quick else 200)
        logs = set()
        for number in range(words):
            watched = _Watched(store)
            # A session for each word: what a server that logs queries sees of it.
            searchable(watched, [clinic]).search(Query.parse([_word(number)]))
            logs.add(tuple(sorted(set(watched.asked))))
        seen = {cid for log in logs for cid in log}
        keys = {key for cid in seen for key in _keys(store, cid)}
        linked = 0
        for _ in range(later):
            before = set(store.blocks())
            record = PlainRecord(Category.LABORATORY, 2024, "text/plain", _word(1).encode(), os.urandom(32))
            clinic.publish([record])
            new = set(store.blocks()) - before
            linked += bool(new & seen or {key for cid in new for key in _keys(store, cid)} & keys)
    return {"words": words, "different_logs": len(logs), "manifests": later, "linked": linked}


def _keys(store: EmbeddedStore, cid: CID) -> set[bytes]:
    """Return the keys of a manifest's leaf."""
    from panachain.ipld import dagcbor

    if cid.codec != 0x71:
        return set()
    node = dagcbor.decode(store.get_block(cid))
    held = node.get("keys", b"") if isinstance(node, dict) else b""
    return {held[at : at + 16] for at in range(0, len(held), 16)} if isinstance(held, bytes) else set()


MEASURES: dict[str, Callable[..., Any]] = {
    "lookup": measure_lookup,
    "verify": measure_verify,
    "synthea": measure_synthea,
    "recall": measure_recall,
    "lies": measure_lies,
    "leak": measure_leak,
}


if __name__ == "__main__":
    with running():
        main()
