"""`open` and `records get`: plaintext goes into new private files with names of our own, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from panachain.cli.files import new_folder
from panachain.errors import AccessDeniedError, InputError, IntegrityError, Omission, PartlyDoneError, UsageError
from panachain.model.actors import Address
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.sdk.opening import Opening
from panachain.sdk.results.records import OpenedRecord, RecordProvenance
from panachain.sdk.results.uploads import Proposal, RewrapReport, UnpairingReport, UploadReport
from tests.cli.twin import Outcome, Twin

POLICY = "0x52908400098527886E0F7030069857D2E4169EE7"


def opened(media_type: str = "application/fhir+json", year: int = 2024, content: bytes = b"{}") -> OpenedRecord:
    info = RecordInfo(
        hospital=Address(POLICY),
        category=Category.LABORATORY,
        year=year,
        media_type=media_type,
        size=len(content),
        digest=bytes(32),
        stored_at=1_800_000_000,
        header_cid="bafyheader",
        content_cid="bafycontent",
        envelope_cid="bafyenvelope",
        content_index=0,
        generation=0,
    )
    return OpenedRecord(info, RecordProvenance(Address(POLICY), block=7), Held(content))  # type: ignore[arg-type]


class Held:
    """Content that needs no store."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        return self._content

    def chunks(self) -> Iterator[bytes]:
        yield self._content


def test_writes_private_files_and_an_index(run: Callable[..., Outcome], twin: Twin, tmp_path: Path) -> None:
    records = [opened(content=b'{"a":1}'), opened("../../etc/passwd", year=0, content=b"\0")]
    twin.answers["open"] = Opening(lambda _: iter(records))
    folder = tmp_path / "opened"
    outcome = run("open", POLICY, "-o", str(folder), "--json")
    assert outcome.code == 0
    names = sorted(path.name for path in folder.iterdir())
    files = ["00001-laboratory-2024.fhir.json", "00002-laboratory-undated.bin"]
    assert names == [*files, "index.html", "index.json", "provenance.fhir.json", "view"]
    provenance = json.loads((folder / "provenance.fhir.json").read_bytes())
    targets = [entry["resource"]["target"][0]["type"] for entry in provenance["entry"]]
    assert targets == ["Bundle", "Binary"]
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "view")] == [0o700] * 2
    assert (folder / names[0]).read_bytes() == b'{"a":1}'
    index = json.loads((folder / "index.json").read_bytes())
    assert index["schema"] == "panachain/index/1"
    assert [json.loads(line) for line in outcome.out.splitlines()] == index["records"]


def test_an_empty_folder_is_filled(run: Callable[..., Outcome], twin: Twin, tmp_path: Path) -> None:
    twin.answers["open"] = Opening(lambda _: iter([opened()]))
    (tmp_path / "opened").mkdir()
    assert run("open", POLICY, "-o", str(tmp_path / "opened")).code == 0
    assert sorted(path.suffix for path in (tmp_path / "opened").iterdir()) == ["", ".html", ".json", ".json", ".json"]


def test_its_pages_show_the_records_in_a_browser(
    run: Callable[..., Outcome], twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    evil = '<script>alert(1)</script><img src="http://trap.invalid/i" onerror="alert(1)">'
    text = {"status": "generated", "div": f"<div>{evil}<p>kept</p></div>"}
    resource = {"resourceType": "Composition", "title": evil, "text": text}
    records = [opened(content=json.dumps(resource).encode()), opened("text/html", content=evil.encode())]
    twin.answers["open"] = Opening(lambda _: iter(records))
    assert run("open", POLICY, "-o", str(tmp_path / "opened")).code == 0
    pages = {path.name: path.read_text() for path in (tmp_path / "opened").rglob("*.html")}
    assert {"index.html", "reports.html", "documents.html", "document-1.html"} <= set(pages)
    assert 'lang="de"' in pages["index.html"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in pages["reports.html"]
    assert "<p>kept</p>" in pages["reports.html"]
    together = "".join(pages.values())
    assert "<script" not in together
    assert "<img src" not in together
    # What a browser would run is named, and no link leads to it.
    assert '.bin"' not in together


def test_what_was_left_out_stands_on_the_first_page(run: Callable[..., Outcome], twin: Twin, tmp_path: Path) -> None:
    def records(opening: Opening) -> Iterator[OpenedRecord]:
        yield opened(content=b"{}")
        opening.findings.left_out(POLICY, "storage transaction 3", IntegrityError("it is no manifest"))

    twin.answers["open"] = Opening(records)
    assert run("open", POLICY, "-o", str(tmp_path / "opened")).code == 3
    page = (tmp_path / "opened" / "index.html").read_text()
    assert "storage transaction 3: it is no manifest" in page


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_is_overwritten(run: Callable[..., Outcome], twin: Twin, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "opened"
    if kind == "folder":
        target.mkdir()
        (target / "mine.txt").write_text("mine")
    else:
        target.write_text("mine")
    outcome = run("open", POLICY, "-o", str(target))
    assert outcome.code == 2
    assert "left as it is" in outcome.err
    assert twin.calls == []


@pytest.mark.parametrize("existed", [True, False])
@pytest.mark.parametrize("failure", [IntegrityError("a block doesn't fit"), KeyboardInterrupt()])
def test_a_failure_leaves_no_plaintext(
    run: Callable[..., Outcome], twin: Twin, tmp_path: Path, existed: bool, failure: BaseException
) -> None:
    def broken() -> Iterator[OpenedRecord]:
        yield opened(content=b"plaintext")
        raise failure

    twin.answers["open"] = Opening(lambda _: broken())
    target = tmp_path / "opened"
    if existed:
        target.mkdir()
    before = sorted(tmp_path.rglob("*"))
    outcome = run("open", POLICY, "-o", str(target))
    assert outcome.code == (6 if isinstance(failure, IntegrityError) else 130)
    assert sorted(tmp_path.rglob("*")) == before


class TestPartly:
    """One record's content, or a whole hospital, is broken: the rest is in the folder, and what isn't is told."""

    def run(self, run: Callable[..., Outcome], twin: Twin, folder: Path, *options: str) -> Outcome:
        class Broken(Held):
            def chunks(self) -> Iterator[bytes]:
                yield b"half of it"
                raise IntegrityError("the second half doesn't fit")

        def records(opening: Opening) -> Iterator[OpenedRecord]:
            yield opened(content=b"good")
            yield replace(opened(), source=Broken(b""))  # type: ignore[arg-type]
            opening.findings.left_out(POLICY, "storage transaction 3", IntegrityError("it is no manifest"))
            opening.findings.notice(POLICY, "storage transaction 4", IntegrityError("a number is used twice"))
            yield opened(content=b"good too")

        twin.answers["open"] = Opening(records)
        return run("open", POLICY, "-o", str(folder), *options)

    def test_the_rest_is_delivered_with_exit_code_3(
        self, run: Callable[..., Outcome], twin: Twin, tmp_path: Path
    ) -> None:
        folder = tmp_path / "opened"
        outcome = self.run(run, twin, folder)
        assert outcome.code == 3
        names = ["00001-laboratory-2024.fhir.json", "00002-laboratory-2024.fhir.json"]
        there = [*names, "index.html", "index.json", "provenance.fhir.json"]
        assert sorted(path.name for path in folder.iterdir()) == there
        assert [(folder / name).read_bytes() for name in names] == [b"good", b"good too"]
        index = json.loads((folder / "index.json").read_bytes())
        left_out = [(one["hospital"], one["what"], one["error"]) for one in index["omissions"]]
        assert left_out == [
            (POLICY, "record bafyheader", "IntegrityError"),
            (POLICY, "storage transaction 3", "IntegrityError"),
        ]
        for told in ("left out: record bafyheader of hospital", "left out: storage transaction 3", "no manifest"):
            assert told in outcome.err
        assert "a number is used twice" in outcome.err
        assert "2 records were opened" in outcome.err

    def test_json_names_them_in_the_error(self, run: Callable[..., Outcome], twin: Twin, tmp_path: Path) -> None:
        outcome = self.run(run, twin, tmp_path / "opened", "--json")
        error = json.loads(outcome.err.splitlines()[-1])
        assert (error["exit_code"], [one["schema"] for one in error["omissions"]]) == (3, ["panachain/omission/1"] * 2)
        assert len(outcome.out.splitlines()) == 2

    def test_where_nothing_is_left_no_file_is(self, run: Callable[..., Outcome], twin: Twin, tmp_path: Path) -> None:
        def none(opening: Opening) -> Iterator[OpenedRecord]:
            opening.findings.left_out(POLICY, "", IntegrityError("all of it is broken"))
            return iter(())

        twin.answers["open"] = Opening(none)
        assert run("open", POLICY, "-o", str(tmp_path / "opened")).code == 6
        assert not list(tmp_path.iterdir())


def test_get_writes_one_private_file(run: Callable[..., Outcome], twin: Twin, tmp_path: Path) -> None:
    twin.answers["get"] = opened(content=b"content")
    target = tmp_path / "record.json"
    assert run("records", "get", "bafyheader", "-o", str(target)).code == 0
    assert target.read_bytes() == b"content"
    assert target.stat().st_mode & 0o777 == 0o600
    again = run("records", "get", "bafyheader", "-o", str(target))
    assert again.code == 2
    assert "left as it is" in again.err


def test_records_alone_lists(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["records"] = []
    assert run("records").code == 0
    assert [name for name, _, _ in twin.calls] == ["records"]


class TestWhereOthersMayWrite:
    """Nothing of a record goes where somebody else could put another file in its place."""

    @pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
    def test_a_folder_that_others_may_write_to_is_refused(self, tmp_path: Path, mode: int) -> None:
        folder = tmp_path / "out"
        folder.mkdir()
        folder.chmod(mode)
        with pytest.raises(UsageError, match="others may write"), new_folder(folder):
            pytest.fail("it was given")
        assert list(folder.iterdir()) == []

    def test_a_new_one_in_such_a_folder_is_refused_unless_only_owners_take_away(self, tmp_path: Path) -> None:
        above = tmp_path / "above"
        above.mkdir()
        above.chmod(0o777)
        with pytest.raises(UsageError, match="others may write"), new_folder(above / "out"):
            pytest.fail("it was given")
        above.chmod(0o1777)
        with new_folder(above / "out"):
            pass
        assert (above / "out").stat().st_mode & 0o777 == 0o700

    @pytest.mark.parametrize("there", [True, False])
    def test_one_whose_place_others_may_give_to_another_is_refused(self, tmp_path: Path, there: bool) -> None:
        """Whoever may rename it puts records of their own in the place of what was opened."""
        above = tmp_path / "above"
        folder = above / "out"
        (folder if there else folder.parent).mkdir(parents=True, mode=0o700)
        above.chmod(0o777)
        with pytest.raises(UsageError, match=f"others may write to {above}"), new_folder(folder):
            pytest.fail("it was given")
        above.chmod(0o1777)
        with new_folder(folder):
            pass

    def test_a_link_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "out").symlink_to(tmp_path / "real")
        with pytest.raises(UsageError, match="link"), new_folder(tmp_path / "out"):
            pytest.fail("it was given")
        assert list((tmp_path / "real").iterdir()) == []

    def test_another_users_folder_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "out").mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(UsageError, match="others may write"), new_folder(tmp_path / "out"):
            pytest.fail("it was given")


def test_a_list_of_which_something_is_left_out_is_printed_and_ends_with_3(
    run: Callable[..., Outcome], twin: Twin
) -> None:
    def records(opening: Opening) -> Iterator[OpenedRecord]:
        yield opened()
        opening.findings.left_out(POLICY, "record bafybad", IntegrityError("it is another patient's"))

    twin.answers["records"] = Opening(records)
    outcome = run("records", "list", "--json")
    assert outcome.code == 3
    assert [json.loads(line)["id"] for line in outcome.out.splitlines()] == ["bafyheader"]
    assert json.loads(outcome.err.splitlines()[-1])["omissions"][0]["what"] == "record bafybad"
    twin.answers["records"] = Opening(records)
    assert "left out: record bafybad of hospital" in run("records").err


def test_thousands_of_omissions_are_a_few_lines(run: Callable[..., Outcome], twin: Twin) -> None:
    def records(opening: Opening) -> Iterator[OpenedRecord]:
        yield opened()
        for number in range(3000):
            opening.findings.left_out(POLICY, f"record bafy{number}", IntegrityError("torn"))

    twin.answers["records"] = Opening(records)
    outcome = run("records")
    assert outcome.code == 3
    assert len(outcome.err.splitlines()) < 40
    assert "and 2980 more" in outcome.err


def test_what_a_hospital_did_for_others_is_printed_before_it_ends_with_3(
    run: Callable[..., Outcome], twin: Twin, tmp_path: Path
) -> None:
    omission = Omission("", "patient pat-mfrggzdfmy2tq", AccessDeniedError("hasn't paired"))
    moved = RewrapReport(4, 4, ("0x01",), (omission,))
    twin.answers["rewrap"] = PartlyDoneError.of([omission], done="4 records were moved", result=moved)
    outcome = run("rewrap", "--json")
    assert (outcome.code, json.loads(outcome.out)["moved"]) == (3, 4)
    published = UploadReport((), skipped=1, plain_bytes=2, sealed_bytes=3, omissions=(omission,))
    twin.answers["upload_many"] = PartlyDoneError.of([omission], done="0 records", result=published)
    (tmp_path / "source.json").write_text("{}")
    outcome = run("upload", str(tmp_path / "source.json"), "--patient", POLICY, "--json")
    assert (outcome.code, json.loads(outcome.out)["skipped"]) == (3, 1)
    assert "hasn't paired" in outcome.err


def test_upload_names_what_it_left_out_and_what_it_passed_over(
    run: Callable[..., Outcome], twin: Twin, tmp_path: Path
) -> None:
    omission = Omission("", "in/a.zip!b.json", InputError("it is encrypted", hint="unpack it"))
    passed_over = (("in/README.txt", "a text about the folder"),)
    report = UploadReport(
        *((), 1, 2, 3),
        omissions=(omission,),
        passed_over=passed_over,
        closed=(("in/c.xml", "section 11450-4 Problem list"),),
    )
    twin.answers["upload_many"] = PartlyDoneError.of([omission], done="0 records", result=report)
    (tmp_path / "source.json").write_text("{}")
    command = ("upload", str(tmp_path / "source.json"), "--patient", POLICY)
    outcome = run(*command)
    assert outcome.code == 3
    assert "left out: in/a.zip!b.json: it is encrypted" in outcome.err
    assert "in/README.txt (a text about the folder)" in outcome.err
    assert "unpack it" in outcome.err
    assert "Closed as a whole: in/c.xml (section 11450-4 Problem list)." in outcome.err
    assert json.loads(run(*command, "--json").out)["closed"] == [
        {"path": "in/c.xml", "by": "section 11450-4 Problem list"}
    ]
    assert json.loads(run(*command, "--json").out)["passed_over"] == [
        {"path": "in/README.txt", "what": "a text about the folder"}
    ]
    assert [call[2]["strict"] for call in twin.calls] == [False, False, False]
    twin.answers["upload_many"] = replace(report, omissions=())
    outcome = run(*command, "--strict")
    assert (outcome.code, twin.calls[-1][2]["strict"]) == (0, True)


def test_an_export_of_many_patients_goes_out_by_patient_and_a_table_names_some(
    run: Callable[..., Outcome], twin: Twin, tmp_path: Path
) -> None:
    omission = Omission("", "the patient of in.ndjson, resource 2", InputError("no patient is known by it"))
    report = UploadReport((), skipped=1, plain_bytes=2, sealed_bytes=3, omissions=(omission,), unassigned={"why": 7})
    twin.answers["upload_each"] = PartlyDoneError.of([omission], done="0 records", result=report)
    source, scan, table = tmp_path / "in.ndjson", tmp_path / "scan.pdf", tmp_path / "who.csv"
    source.write_text("{}")
    scan.write_text("%PDF-")
    long = "urn:mrn|" + "9" * 5000
    table.write_text(f"Patient/1,{POLICY}\nscan.pdf,{POLICY}\n{long},{POLICY}\n")
    outcome = run("upload", str(source), "--by-patient", "--assign", str(table))
    assert outcome.code == 3
    assert "To nobody: 7, why." in outcome.err
    assert "in.ndjson, resource 2: no patient is known" in outcome.err
    (name, (paths, named), how) = twin.calls[-1]
    assert (name, paths, how["strict"]) == ("upload_each", (source,), False)
    assert named == {"Patient/1": POLICY, str(scan): POLICY, long: POLICY}
    assert json.loads(run("upload", str(source), "--by-patient", "--json").out)["unassigned"] == [
        {"why": "why", "count": 7}
    ]
    for wrong in (["--patient", POLICY], ["--confirm-patient"]):
        assert run("upload", str(source), "--by-patient", *wrong).code == 2
    assert run("upload", "--by-patient").code == 2
    table.write_text(f"Patient/1,{POLICY}\nPatient/1,{POLICY}\n")
    assert "twice" in run("upload", str(source), "--by-patient", "--assign", str(table)).err


def test_a_proposal_is_a_table_that_upload_takes(run: Callable[..., Outcome], twin: Twin, tmp_path: Path) -> None:
    names = ("a, b.json", "# odd.json", "other.json")
    for name in names:
        (tmp_path / name).write_text("{}")
    why = "Patient.name is another one"
    whose = (POLICY, POLICY, "")
    twin.answers["propose"] = [
        Proposal(str(tmp_path / name), who, "" if who else why) for name, who in zip(names, whose, strict=True)
    ]
    table = tmp_path / "who.csv"
    outcome = run("assign", "--propose", str(tmp_path), "-o", str(table))
    assert outcome.code == 0
    assert "2 files of 3 to 1 patient" in outcome.err
    assert table.stat().st_mode & 0o777 == 0o600
    assert f"# other.json: {why}" in table.read_text()
    twin.answers["upload_many"] = UploadReport((), skipped=1, plain_bytes=2, sealed_bytes=3)
    assert run("upload", "--assign", str(table)).code == 0
    assigned = twin.calls[-1][1][0]
    assert [path.resolve() for path, _ in assigned] == [tmp_path / name for name in names[:2]]
    assert len({who for _, who in assigned}) == 1
    rows = [json.loads(line) for line in run("assign", "--propose", str(tmp_path), "--json").out.splitlines()]
    assert [(row["schema"], row["patient"]) for row in rows] == [("panachain/proposed/1", who) for who in whose]
    assert run("assign", "--propose", str(tmp_path), "-o", str(table)).code == 2
    assert run("assign", str(tmp_path)).code == 2
    assert run("assign", "--propose", str(tmp_path / "none")).code == 2


def test_unpair_names_the_hospital_and_what_closes_the_lanes(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["unpair"] = UnpairingReport(Address(POLICY), "0x01")
    outcome = run("unpair", "clinic")
    assert outcome.code == 0
    assert twin.calls == [("unpair", ("clinic",), {})]
    assert "--rotate" in outcome.err


@pytest.mark.parametrize("withheld", [(), (Category.GENDER, Category.VIOLENCE)], ids=["nothing", "some"])
def test_an_emergency_summary_says_that_something_may_be_withheld(
    run: Callable[..., Outcome], twin: Twin, tmp_path: Path, withheld: tuple[Category, ...]
) -> None:
    for name, options in (("a", ()), ("b", ("--json",))):
        twin.answers["open"] = Opening(lambda _: iter([opened()]))
        twin.answers["open"].withheld = withheld
        outcome = run("open", POLICY, "-o", str(tmp_path / name), *options)
        assert outcome.code == 0
        assert ("something may be withheld: the emergency summary leaves out gender, violence" in outcome.err) is bool(
            withheld
        )
        index = json.loads((tmp_path / name / "index.json").read_bytes())
        assert index["withheld"] == [one.value for one in withheld]
