"""The whole story on this machine: admit, pair, upload, grant, open, refuse, revoke, query, read the log.

    ./pana demo [--input DIR] [--keep]

Starts two local chains, the embedded store and three proxies; ends with a non-zero code if any step does not do
what it must. Leaves out/demo.json and out/demo.html. Everything else is removed at the end, unless --keep: then it says
the one command that opens the patient's portal, in which one can click through all that happened.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from panachain.cli import revocation, tables, words
from panachain.config import Config
from panachain.devnet import Devnet
from panachain.errors import AccessDeniedError, InputError, PanaChainError
from panachain.model.actors import PolicyId, Role
from panachain.model.records import PlainRecord
from panachain.model.scope import Category
from panachain.private_files import write_private
from panachain.records.attachments import restore
from panachain.records.canonical import resources
from panachain.records.samples import HIV_MEDICINE, sample_bundle, sample_dicom
from panachain.records.sources import read_source
from panachain.records.split import MEDIA_TYPE
from panachain.sdk import Hospital, Network, open_actor
from panachain.sdk.profiles import create_profile, load_profile
from panachain.sdk.results.records import OpenedRecord
from scripts.demo_page import page
from scripts.portal_process import running_portal

ROOT = Path(__file__).resolve().parent.parent
PEOPLE = {
    "hospital": Role.HOSPITAL,
    "patient": Role.PATIENT,
    "clinician": Role.PRACTITIONER,
    "stranger": Role.PRACTITIONER,
    "researcher": Role.RESEARCHER,
}


LEAD = (
    "A hospital seals a patient's records and publishes them. The patient lets one practitioner read a part of them for"
    " thirty days, and takes it back. Everything below happened on this machine and was checked."
)
LIMITS = (
    "What was opened before can't be called back, nor a copy of it. Two proxies that break their word together could"
    " still serve what lies under the old keys; new keys close what is published later. Why somebody reads is what they"
    " say: nobody can prove it."
)


class StoryError(Exception):
    """A step did not do what it must."""


@dataclass
class Told:
    """What one step tells: a sentence, a table, and behind them the identifiers."""

    note: str = ""
    titles: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    gas: int = 0
    """Of the step's transactions."""
    details: Mapping[str, str] = field(default_factory=dict)
    """Identifiers, whole: in the report, and behind `Details` on its page."""


@dataclass
class Report:
    """What happened, as it happens."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    before: dict[str, frozenset[Category]] = field(default_factory=dict)
    """Who could read which categories while the policy was in force."""
    after: dict[str, frozenset[Category]] = field(default_factory=dict)
    """The same after the revocation."""
    wanted: tuple[Category, ...] = ()
    """What was granted."""
    everything: tuple[Category, ...] = ()
    """What was uploaded."""

    def step(self, short: str, title: str, act: Callable[[], Told]) -> None:
        """Run one step, print it with its time, and keep it."""
        started = time.perf_counter()
        told = act()
        milliseconds = round(1000 * (time.perf_counter() - started), 1)
        rows = [[str(cell) for cell in row] for row in told.rows]
        self.steps.append(
            {
                "title": title,
                "short": short,
                "ms": milliseconds,
                "gas": told.gas,
                "note": told.note,
                "titles": list(told.titles),
                "rows": rows,
                "details": dict(told.details),
            }
        )
        cost = f"{milliseconds / 1000:.1f} s" + (f", {told.gas:,} gas" if told.gas else "")
        print(f"\n{len(self.steps):2}. {title} ({cost})")
        width = min(shutil.get_terminal_size((100, 24)).columns, 100) - 4
        lines = tables.wrap(told.note, width) if told.note else []
        columns = [tables.Column(name, right=name in ("records", "size")) for name in told.titles]
        lines += tables.render(columns, rows, width) if rows else []
        print("".join(f"    {line}\n" for line in lines), end="", flush=True)

    def matrix(self) -> dict[str, Any]:
        """Return who read what before and after the revocation, as it was tried."""
        granted, rest = frozenset(self.wanted), frozenset(self.everything) - frozenset(self.wanted)
        names = joined([category.value for category in self.wanted])
        return {
            "parts": ["granted", "rest"],
            "rows": [
                [who, [_reads(reads, granted), _reads(reads, rest)], [_reads(now, granted), _reads(now, rest)]]
                for who, reads in self.before.items()
                for now in [self.after.get(who, reads)]
            ],
            "caption": f"Before and after the patient took the grant back. Granted were {names}. All of it was tried.",
        }

    def content(self, *, ok: bool) -> dict[str, Any]:
        """Return the report, schema `panachain/demo/2`."""
        milliseconds = sum(step["ms"] for step in self.steps)
        return {
            "schema": "panachain/demo/2",
            "ok": ok,
            "lead": LEAD,
            "limits": LIMITS,
            "numbers": [
                ["steps", str(len(self.steps))],
                ["time in all", f"{milliseconds / 1000:.0f} s"],
                ["gas in all", f"{sum(step['gas'] for step in self.steps):,}"],
                ["categories", str(len(self.everything))],
            ],
            "matrix": self.matrix(),
            "steps": self.steps,
        }

    def write(self, folder: Path, *, ok: bool) -> None:
        """Write the report as JSON and as a page."""
        folder.mkdir(exist_ok=True)
        content = self.content(ok=ok)
        (folder / "demo.json").write_text(json.dumps(content, indent=1))
        (folder / "demo.html").write_text(page(content), encoding="utf-8")


def _reads(reads: frozenset[Category], of: frozenset[Category]) -> str:
    if not of:
        return "-"
    return "yes" if of <= reads else "partly" if of & reads else "no"


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
            print("\n" + kept(folder))
        else:
            if (folder / "home" / "network.json").exists():
                Devnet.down(folder / "home")
            shutil.rmtree(folder)
    print("\nEverything held." if ok else "\nThe story failed.", "The report is in out/demo.json and out/demo.html.")
    return 0 if ok else 1


def story(report: Report, folder: Path, source: Path | None) -> bool:
    """Tell the whole story; raise when a step doesn't hold."""
    home = folder / "home"
    # 80 bits: nobody guesses them, so that unlocking may cost little.
    passphrase = secrets.token_hex(10)
    write_private(folder / "passphrase", passphrase.encode())
    first, later = sources(folder, source)

    def start() -> Told:
        status = Devnet.up(home, passphrase=passphrase, drawn=True)
        return Told(
            "Everything runs on this machine. Any 2 of the 3 proxies must help to open a record, and none can read it.",
            details={"mainchain": status.mainchain, "sidechain": status.sidechain},
        )

    report.step("start", "Two chains, a store and three proxies start; the contracts are deployed", start)
    with Network.open(Config.load({"home": str(home)})) as network:
        for name, role in PEOPLE.items():
            create_profile(home, name, role, passphrase, drawn=True)
        who: dict[str, Any] = {n: open_actor(network, load_profile(home, n), passphrase) for n in PEOPLE}
        patient, hospital, clinician = who["patient"], who["hospital"], who["clinician"]

        def admit() -> Told:
            actors = {name: actor.register() for name, actor in who.items()}
            rows = [(name, actor.role.value, actor.status.name.lower()) for name, actor in actors.items()]
            handles = {name: f"{actor.handle}, {actor.address}" for name, actor in actors.items()}
            return Told("", ("who", "role", "status"), rows, details=handles)

        report.step("admit", "The registrar admits a hospital, a patient, two practitioners and a researcher", admit)

        def pair() -> Told:
            patient.pair("hospital")
            return Told("The hospital can write to the patient's record from now on, and read nothing of it.")

        report.step("pair", "The patient pairs with the hospital", pair)

        def upload(paths: Sequence[Path]) -> Told:
            # A folder of one's own may be about anybody, and the samples that follow are about somebody else.
            chosen = source is not None
            done = [
                hospital.upload([path], "patient", fallback_category(path), confirm_patient=chosen) for path in paths
            ]
            records = [info for result in done for info in result.records]
            report.everything = tuple(
                sorted({*report.everything, *(info.category for info in records)}, key=lambda one: one.value)
            )
            rows = []
            for category in sorted({info.category for info in records}, key=lambda one: one.value):
                own = [info for info in records if info.category is category]
                years = words.years(info.year for info in own)
                rows.append((category.value, years, str(len(own)), words.size(sum(info.size for info in own))))
            plain, sealed = sum(one.plain_bytes for one in done), sum(one.sealed_bytes for one in done)
            return Told(
                f"{words.count(len(records), 'record')}, {words.size(plain)}, sealed to {words.size(sealed)} before"
                " they leave the hospital.",
                ("category", "years", "records", "size"),
                rows,
                gas=sum(result.gas for result in done),
                details={"manifest": ", ".join(result.manifest_cid for result in done if result.manifest_cid)},
            )

        title = f"The hospital uploads {words.count(len(first), 'file')}, split by category"
        report.step("upload", title, lambda: upload(first))
        wanted = [Category.LABORATORY, Category.MEDICATIONS]
        expected = plain(first)
        if not any(category in wanted for category, _ in expected):
            wanted = sorted({category for category, _ in expected}, key=lambda category: category.value)
        report.wanted = tuple(wanted)
        granted = joined([category.value for category in wanted])
        policy: dict[str, Any] = {}

        def grant() -> Told:
            until = network.mainchain.head_block().time + 30 * 86_400
            view = patient.grant("clinician", [category.value for category in wanted], until=until)
            policy["id"] = view.policy_id
            return Told(
                "",
                ("granted to", "what", "why", "until"),
                [(view.grantee_name, granted, "treatment", words.when(view.expires_at))],
                gas=view.gas,
                details={"policy": view.policy_id, "terms": view.terms_cid},
            )

        report.step("grant", f"The patient grants {granted} to one practitioner", grant)

        def open_all(files: Sequence[Path]) -> Told:
            must(policy["id"] in [view.policy_id for view in clinician.inbox()], "the inbox finds the policy")
            opened: list[OpenedRecord] = list(clinician.open(policy["id"]))
            got = Counter(
                item
                for record in opened
                for item in pieces(record.info.category, record.info.media_type, record.content)
            )
            source_items = Counter({item: n for item, n in plain(files).items() if item[0] in wanted})
            must(got == source_items, "every opened resource equals its source, and none is missing")
            inside = words.count(sum(got.values()), "resource")
            told = (
                f"{words.count(len(opened), 'record')} opened; all of their {inside} are equal to what the hospital"
                " uploaded."
            )
            if source is None:
                must(not any(HIV_MEDICINE.encode() in item for _, item in got), "the medicine against HIV stays closed")
                told += f" {HIV_MEDICINE.capitalize()}, which treats HIV, isn't among the medications: it stays closed."
            return Told(told)

        report.step("open", "That practitioner opens them; everything equals its source", lambda: open_all(first))

        def refuse(profile: str) -> Told:
            code, message = command_line(home, folder, profile, policy["id"])
            must(code == 5, f"the command line ends with 5 for the {profile}, got {code}: {message}")
            return Told(f"The {profile} is told: {message}")

        report.step("refuse a stranger", "The other practitioner is refused", lambda: refuse("stranger"))
        report.step(
            "upload later", "More records are uploaded after the grant", lambda: replace(upload(later), rows=())
        )
        everything = [*first, *later]
        report.step("open later", "They open without the patient doing anything", lambda: open_all(everything))

        def look(found: dict[str, frozenset[Category]]) -> Told:
            found |= {name: readable(actor, policy["id"]) for name, actor in who.items()}
            everybody = frozenset(report.everything)
            rows = [
                (name, "everything" if reads == everybody else joined(named(reads)) or "nothing")
                for name, reads in found.items()
            ]
            return Told("Each of them tries.", ("who", "reads"), rows)

        report.step("try all", "Who can read what, while the grant is in force", lambda: look(report.before))
        must(report.before["clinician"] == frozenset(wanted), "the practitioner reads what was granted and no more")
        must(report.before["patient"] == frozenset(report.everything), "the patient reads everything")
        must(not any(report.before[name] for name in ("hospital", "stranger", "researcher")), "nobody else reads")

        def revoke() -> Told:
            done = patient.revoke(policy["id"])
            must(done.final, "n - t + 1 proxies signed that they deleted their kfrags")
            return Told(
                "What was opened before can't be called back by anybody.",
                revocation.TITLES,
                revocation.steps(done.to_json()),
                gas=done.gas,
                details={f"deletion receipt {r.sequence}": f"{r.proxy}, {r.signature.hex()}" for r in done.receipts},
            )

        report.step("revoke", "The patient takes the grant back; the proxies delete and sign", revoke)
        report.step("refuse", "The next opening is refused by the chain", lambda: refuse("clinician"))

        def refuse_at_proxies() -> Told:
            try:
                clinician.ask_proxies(policy["id"])
            except AccessDeniedError as exc:
                return Told(f"The proxies say: {brief(str(exc))}")
            raise StoryError("the proxies refuse a revoked policy")

        report.step("refuse again", "And by the proxies, for a client that asks them all the same", refuse_at_proxies)
        report.step("try all again", "Who can read what, after the revocation", lambda: look(report.after))
        must(not report.after["clinician"], "the practitioner reads nothing any more")
        must(report.after["patient"] == frozenset(report.everything), "the patient still reads everything")

        def query() -> Told:
            policies, storage = who["researcher"].query("policies"), who["researcher"].query("storage")
            must([row.status for row in policies] == ["revoked"], "the researcher sees one revoked policy")
            rows = [
                (row.status, words.when(row.granted_at), "open" if row.category_bits else "sealed") for row in policies
            ]
            return Told(
                f"{words.count(len(policies.rows), 'policy')} and"
                f" {words.count(len(storage.rows), 'storage transaction')} stand on the public chain. Nobody can see"
                " there who granted what to whom.",
                ("status", "granted", "what and to whom"),
                rows,
                details={f"policy {number}": row.policy_id for number, row in enumerate(policies, start=1)},
            )

        report.step("query", "The researcher lists policies on the public chain", query)

        def read_log() -> Told:
            found = list(patient.log())
            reads = [reading for reading in found if reading.permitted]
            must(bool(reads), "the patient's log shows who read")
            must({reading.requester for reading in reads} == {clinician.address}, "only the granted practitioner read")
            return Told(
                "The proxies signed each of these.",
                ("when", "who", "did", "what", "why"),
                [
                    (
                        words.when(reading.at),
                        reading.who,
                        "read" if reading.permitted else "was refused",
                        words.scopes(reading.what),
                        words.purpose(reading.purpose),
                    )
                    for reading in found
                ],
            )

        report.step("log", "The patient reads who read what, when and why", read_log)

        def search() -> Told:
            create_profile(home, "clinic", Role.HOSPITAL, passphrase, drawn=True)
            clinic = open_actor(network, load_profile(home, "clinic"), passphrase)
            assert isinstance(clinic, Hospital)
            clinic.register()
            patient.pair("clinic")
            letter = folder / "letter.txt"
            letter.write_text("Cholesterol is higher than last year; see the hospital's results.")
            clinic.upload([letter], "patient", "documents", confirm_patient=True)
            found = patient.records().search("cholesterol")
            names = {
                proof.hospital: "clinic" if proof.hospital == clinic.address else "hospital" for proof in found.proofs
            }
            must(clinic.address in {record.hospital for record in found.records}, "the letter is found")
            if source is None:
                must(len({record.hospital for record in found.records}) == 2, "the word is found at both hospitals")
            must(not found.omissions, "nothing was left out of the search")
            must(patient.records().search("cholestasis").total == 0, "another word isn't found")
            at = Counter(record.hospital for record in found.records)
            return Told(
                "Nobody else learns the word. Each hospital's newest storage transaction is the one that the chain"
                " names, so nothing is left out; nothing was opened.",
                ("at", "found", "records looked through", "storage transactions"),
                [
                    (names[one.hospital], str(at[one.hospital]), str(one.records), str(one.transactions))
                    for one in found.proofs
                ],
                details={f"manifest of the {names[one.hospital]}": one.manifest for one in found.proofs},
            )

        report.step("search", "The patient looks for cholesterol at two hospitals, and sees that it is all", search)
    report.step("portal", "The patient's portal answers: all of this has pages in a browser", lambda: portal(home))
    return True


def portal(home: Path) -> Told:
    """Start the patient's portal as a person would, and look whether it answers, and lets nobody else in."""
    with running_portal(home, "patient") as address:
        # What the address carries behind `#` opens it, and no request carries that: this one comes from a stranger.
        with urllib.request.urlopen(address.partition("#")[0], timeout=60) as answer:
            first = answer.read().decode()
        must("PanaChain" in first, "the portal answers")
        must("clinician" not in first, "a stranger on this machine is shown nothing")
    return Told("It runs on this machine alone, and shows nothing to whoever doesn't have its address.")


def kept(folder: Path) -> str:
    """Return what a person types to go on in the kept network."""
    home = f"PANACHAIN_HOME={folder / 'home'}"
    secret = (folder / "passphrase").read_text()
    return (
        "The network runs on. Click through it in a browser, as the patient:\n\n"
        f"    {home} ./pana --profile patient portal\n\n"
        f"The passphrase is {secret} for everybody here; it protects nothing but this demo. Without --profile one\n"
        "chooses who to be. Commands read it from a file, and this ends the network:\n\n"
        f"    {home} PANACHAIN_PASSPHRASE_FILE={folder / 'passphrase'} ./pana --profile patient policies\n"
        f"    {home} ./pana devnet down && rm -r {folder}"
    )


def joined(names: Sequence[str]) -> str:
    """Return names as in a sentence: `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def named(categories: frozenset[Category]) -> list[str]:
    """Return categories by name, in their order."""
    return [category.value for category in Category if category in categories]


def readable(actor: Any, policy_id: PolicyId) -> frozenset[Category]:
    """Return the categories that an actor can read, by trying: own records, or those of the policy."""
    try:
        if actor.role is Role.PATIENT:
            records = actor.records()
        elif actor.role is Role.HOSPITAL:
            records = [actor.get(next(actor.records()).record_id)]
        else:
            records = list(actor.open(policy_id))
        return frozenset(record.info.category for record in records)
    except AccessDeniedError:
        return frozenset()


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
    # What failed, without what stays and what to do next: the story says that itself.
    return done.returncode, brief(done.stderr.partition("\n")[0].removeprefix("open failed: "))


def brief(text: str) -> str:
    """Return a message with identifiers shortened."""
    return re.sub(r"\b0x[0-9a-fA-F]{40,64}\b", lambda found: words.short(found[0]), text)[:300]


if __name__ == "__main__":
    sys.exit(main())
