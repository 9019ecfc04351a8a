"""The whole story on this machine: admit, pair, upload, grant, open, refuse, revoke, query, read the log.

    ./pana demo [--input DIR] [--keep]

Starts two local chains, the embedded store and three proxies; ends with a non-zero code if any step does not do
what it must. Leaves out/demo.json and out/demo.html. Everything else is removed at the end, unless --keep.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from panachain.config import Config
from panachain.devnet import Devnet
from panachain.errors import AccessDeniedError, InputError, PanaChainError
from panachain.model.actors import Role
from panachain.model.records import PlainRecord
from panachain.model.scope import Category
from panachain.records.attachments import restore
from panachain.records.canonical import resources
from panachain.records.samples import sample_bundle, sample_dicom
from panachain.records.sources import read_source
from panachain.records.split import MEDIA_TYPE
from panachain.sdk import Network, open_actor
from panachain.sdk.private_files import write_private
from panachain.sdk.profiles import create_profile, load_profile
from panachain.sdk.results import OpenedRecord

ROOT = Path(__file__).resolve().parent.parent
PEOPLE = {
    "hospital": Role.HOSPITAL,
    "patient": Role.PATIENT,
    "clinician": Role.PRACTITIONER,
    "stranger": Role.PRACTITIONER,
    "researcher": Role.RESEARCHER,
}


class StoryError(Exception):
    """A step did not do what it must."""


@dataclass
class Report:
    """What happened, as it happens."""

    steps: list[dict[str, Any]] = field(default_factory=list)

    def step(self, title: str, act: Callable[[], dict[str, Any]]) -> None:
        """Run one step, print it with its time, and keep it."""
        started = time.perf_counter()
        facts = act()
        milliseconds = round(1000 * (time.perf_counter() - started), 1)
        self.steps.append({"title": title, "ms": milliseconds, **facts})
        shown = " · ".join(f"{name} {value}" for name, value in facts.items())
        print(f"{len(self.steps):2}. {title} ({milliseconds:.0f} ms)\n    {shown}", flush=True)

    def write(self, folder: Path, *, ok: bool) -> None:
        """Write the report as JSON and as a page."""
        folder.mkdir(exist_ok=True)
        content = {"schema": "panachain/demo/1", "ok": ok, "steps": self.steps}
        (folder / "demo.json").write_text(json.dumps(content, indent=1))
        rows = "".join(
            f"<tr><td>{n}<td>{html.escape(s['title'])}<td>{s['ms']:.0f} ms<td>"
            + "<br>".join(f"{html.escape(k)}: {html.escape(str(v))}" for k, v in s.items() if k not in ("title", "ms"))
            for n, s in enumerate(self.steps, 1)
        )
        (folder / "demo.html").write_text(
            "<!doctype html><meta charset=utf-8><title>PanaChain demo</title>"
            "<style>body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto}td{padding:.4em;vertical-align:top;"
            "border-top:1px solid #ccc;word-break:break-word}</style>"
            f"<h1>PanaChain demo: {'everything held' if ok else 'FAILED'}</h1><table>{rows}</table>\n"
        )


def must(condition: bool, claim: str) -> None:
    """Fail the story when a claim doesn't hold."""
    if not condition:
        raise StoryError(claim)


def main() -> int:
    """Run the story and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="a folder of FHIR Bundles and files; left out: sample records")
    parser.add_argument("--keep", action="store_true", help="leave the network running and its folder in place")
    options = parser.parse_args()
    if options.input is not None and not options.input.is_dir():
        print(f"pana demo: {options.input} is not a folder; nothing was started", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="panachain-demo-"))
    report, ok = Report(), False
    try:
        ok = story(report, folder, options.input)
    except PanaChainError as exc:
        print(f"\nFAILED: {exc}" + (f"\n  {exc.hint}" if exc.hint else ""), file=sys.stderr)
    except StoryError as exc:
        print(f"\nFAILED: this does not hold: {exc}", file=sys.stderr)
    finally:
        report.write(Path("out"), ok=ok)
        if options.keep:
            print(f"\nKept: PANACHAIN_HOME={folder / 'home'} PANACHAIN_PASSPHRASE_FILE={folder / 'passphrase'}")
        else:
            if (folder / "home" / "network.json").exists():
                Devnet.down(folder / "home")
            shutil.rmtree(folder)
    print("\nEverything held." if ok else "\nThe story failed.", "The report is in out/demo.json and out/demo.html.")
    return 0 if ok else 1


def story(report: Report, folder: Path, source: Path | None) -> bool:
    """Tell the whole story; raise when a step doesn't hold."""
    home = folder / "home"
    passphrase = secrets.token_hex(16)
    write_private(folder / "passphrase", passphrase.encode())
    first, later = sources(folder, source)

    def start() -> dict[str, Any]:
        status = Devnet.up(home, passphrase=passphrase)
        return {"mainchain": status.mainchain, "sidechain": status.sidechain, "proxies": len(status.proxies)}

    report.step("Two chains, a block store and three proxies start; the contracts are deployed", start)
    with Network.open(Config.load({"home": str(home)})) as network:
        for name, role in PEOPLE.items():
            create_profile(home, name, role, passphrase)
        who: dict[str, Any] = {n: open_actor(network, load_profile(home, n), passphrase) for n in PEOPLE}
        patient, hospital, clinician = who["patient"], who["hospital"], who["clinician"]

        report.step(
            "The registrar admits a hospital, a patient, two practitioners and a researcher",
            lambda: {name: actor.register().handle for name, actor in who.items()},
        )

        def pair() -> dict[str, Any]:
            done = patient.pair("hospital")
            return {"lanes": done.lanes, "pairing CID": done.pairing_cid}

        report.step("The patient pairs with the hospital", pair)

        def upload(paths: Sequence[Path]) -> dict[str, Any]:
            results = [hospital.upload([path], "patient", fallback_category(path)) for path in paths]
            done = [result for result in results if result.manifest_cid]
            categories = Counter(info.category.value for result in done for info in result.records)
            return {
                "records": sum(categories.values()),
                "categories": dict(sorted(categories.items())),
                "plain bytes": sum(result.plain_bytes for result in done),
                "sealed bytes": sum(result.sealed_bytes for result in done),
                "gas": sum(result.gas for result in done),
                "manifest CID": done[-1].manifest_cid if done else "none",
            }

        report.step(f"The hospital uploads {len(first)} files, split by category", lambda: upload(first))
        wanted = [Category.LABORATORY, Category.MEDICATIONS]
        expected = plain(first)
        if not any(category in wanted for category, _ in expected):
            wanted = sorted({category for category, _ in expected}, key=lambda category: category.value)
        policy: dict[str, Any] = {}

        def grant() -> dict[str, Any]:
            until = network.mainchain.head_block().time + 30 * 86_400
            view = patient.grant("clinician", [category.value for category in wanted], until=until)
            policy["id"] = view.policy_id
            return {"policy": view.policy_id, "scopes": list(view.scopes), "gas": view.gas, "kfrags at": view.deposited}

        report.step("The patient grants " + " and ".join(c.value for c in wanted) + " to one practitioner", grant)

        def open_all(files: Sequence[Path]) -> dict[str, Any]:
            inbox = [view.policy_id for view in clinician.inbox()]
            must(policy["id"] in inbox, "the practitioner's inbox finds the policy")
            opened: list[OpenedRecord] = list(clinician.open(policy["id"]))
            got = Counter(
                item
                for record in opened
                for item in pieces(record.info.category, record.info.media_type, record.content)
            )
            source_items = Counter({item: n for item, n in plain(files).items() if item[0] in wanted})
            must(got == source_items, "every opened resource equals its source, and none is missing")
            return {"records": len(opened), "equal to their source": sum(got.values())}

        report.step("That practitioner opens them; every resource equals its source", lambda: open_all(first))

        def refuse(profile: str) -> dict[str, Any]:
            code, message = command_line(home, folder, profile, policy["id"])
            must(code == 5, f"the command line ends with 5 for the {profile}, got {code}: {message}")
            return {"exit code": code, "message": message}

        report.step("The other practitioner is refused", lambda: refuse("stranger"))
        report.step("A record is uploaded after the grant", lambda: upload(later))
        report.step("It opens without the patient doing anything", lambda: open_all([*first, *later]))

        def revoke() -> dict[str, Any]:
            done = patient.revoke(policy["id"])
            must(done.final, "n - t + 1 proxies signed that they deleted their kfrags")
            receipts = [f"{r.proxy} #{r.sequence}: {r.count} kfrags" for r in done.receipts]
            return {"gas": done.gas, "deletion receipts": receipts, "needed": done.needed}

        report.step("The patient revokes; the proxies delete and sign", revoke)
        report.step("The next opening is refused by the chain", lambda: refuse("clinician"))

        def refuse_at_proxies() -> dict[str, Any]:
            try:
                clinician.ask_proxies(policy["id"])
            except AccessDeniedError as exc:
                return {"message": str(exc)}
            raise StoryError("the proxies refuse a revoked policy")

        report.step("And by the proxies, for who asks them all the same", refuse_at_proxies)

        def query() -> dict[str, Any]:
            policies, storage = who["researcher"].query("policies"), who["researcher"].query("storage")
            must([row.status for row in policies] == ["revoked"], "the researcher sees one revoked policy")
            return {
                "policies": len(policies.rows),
                "storage transactions": len(storage.rows),
                "list": [row.to_json() for row in policies],
            }

        report.step("The researcher counts and lists policies on chain", query)

        def read_log() -> dict[str, Any]:
            entries = patient.receipts()
            reads = [entry for entry in entries if entry.kind == "reencrypted"]
            must(bool(reads), "the patient's log shows who read")
            must({entry.grantee for entry in reads} == {clinician.address}, "only the granted practitioner read")
            return {"entries": dict(Counter(e.kind for e in entries)), "read by": clinician.profile.handle}

        report.step("The patient reads who read what", read_log)
    return True


def sources(folder: Path, source: Path | None) -> tuple[list[Path], list[Path]]:
    """Return the files to upload before the grant, and one to upload after it."""
    made = folder / "input"
    made.mkdir()
    (made / "later.json").write_bytes(sample_bundle(2))
    if source is not None:
        found = [path for path in sorted(source.rglob("*")) if path.is_file() and not path.name.startswith(".")]
        must(bool(found), f"{source} holds files")
        return found, [made / "later.json"]
    (made / "patient.json").write_bytes(sample_bundle(1))
    (made / "image.dcm").write_bytes(sample_dicom(1))
    return [made / "patient.json", made / "image.dcm"], [made / "later.json"]


def fallback_category(path: Path) -> Category | None:
    """Return the category that a person would name for a file that no reader knows."""
    try:
        list(read_source(path))
    except InputError:
        return Category.IMAGING if path.suffix.lower() == ".dcm" else Category.DOCUMENTS
    return None


def plain(files: Sequence[Path]) -> Counter[tuple[Category, bytes]]:
    """Return what must be openable, read from the sources themselves: each distinct file once."""
    items: Counter[tuple[Category, bytes]] = Counter()
    seen: set[bytes] = set()
    for path in files:
        records = list(read_source(path, fallback_category(path)))
        contents = whole(records)
        if path.suffix == ".json" and records and records[0].media_type == MEDIA_TYPE:
            fhir = zip(records, contents, strict=True)
            split = Counter(
                item for record, content in fhir if record.media_type == MEDIA_TYPE for item in resources(content)
            )
            must(split == Counter(resources(path.read_bytes())), "splitting drops and changes nothing")
        if not {record.source for record in records} <= seen:
            for record, content in zip(records, contents, strict=True):
                items.update(pieces(record.category, record.media_type, content))
        seen |= {record.source for record in records}
    return items


def whole(records: Sequence[PlainRecord]) -> list[bytes]:
    """Return each record's bytes, attachments put back into the Bundles that they came from."""
    plain = [r.content if isinstance(r.content, bytes) else r.content.path.read_bytes() for r in records]
    by_digest = {hashlib.sha256(content).digest(): content for content in plain}
    return [
        restore(content, by_digest.__getitem__) if record.media_type == MEDIA_TYPE else content
        for record, content in zip(records, plain, strict=True)
    ]


def pieces(category: Category, media_type: str, content: bytes) -> list[tuple[Category, bytes]]:
    """Return a record's resources in canonical form, or its bytes when it isn't FHIR."""
    return [(category, item) for item in (resources(content) if media_type == MEDIA_TYPE else [content])]


def command_line(home: Path, folder: Path, profile: str, policy: str) -> tuple[int, str]:
    """Run `panachain open` as a person would, and return its exit code and message."""
    environment = os.environ | {"PANACHAIN_HOME": str(home), "PANACHAIN_PASSPHRASE_FILE": str(folder / "passphrase")}
    command = [sys.executable, "-m", "panachain.cli", "--profile", profile, "open", policy, "-o", str(folder / profile)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )
    return done.returncode, " ".join(done.stderr.split())[:300]


if __name__ == "__main__":
    sys.exit(main())
