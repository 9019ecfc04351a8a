"""`share`: a link is shown once or written for its owner alone, and neither it nor a passcode stands in an argument."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from panachain.crypto import jwe
from panachain.errors import AccessDeniedError, PartlyDoneError
from panachain.sdk.opening import Opening
from panachain.sdk.sharing import Sharing
from panachain.sharing.link import Link, read_link
from panachain.sharing.reading import Linked, LinkedFile
from tests.cli.test_open import opened
from tests.cli.twin import Outcome, Twin

Run = Callable[..., Outcome]
URL = "https://links.example"
BUNDLE = (
    b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Observation","id":"o1"}}]}'
)
USUAL = ("--url", URL, "--until", "30d")


@pytest.fixture
def summary(tmp_path: Path) -> str:
    path = tmp_path / "summary.json"
    path.write_bytes(BUNDLE)
    return str(path)


def private(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def test_a_link_is_shown_once_and_whole(run: Run, summary: str) -> None:
    made = run("share", "make", summary, *USUAL, "--label", "Summary")
    assert made.code == 0
    line = next(one for one in made.out.splitlines() if "shlink:/" in one)
    assert read_link(line.split()[-1]).label == "Summary"
    listed = run("share", "list", "--long")
    assert (listed.code, "shlink" in listed.out + listed.err) == (0, False)
    assert "Summary" in listed.out


def test_a_link_that_is_damaged_is_named_and_the_others_are_listed(run: Run, summary: str, tmp_path: Path) -> None:
    for label in ("Summary", "Broken"):
        assert run("share", "make", summary, *USUAL, "--label", label).code == 0
    (facts,) = [path for path in tmp_path.rglob("share.json") if b"Broken" in path.read_bytes()]
    facts.write_bytes(b"{")
    listed = run("share", "list")
    assert (listed.code, "Summary" in listed.out, "Broken" in listed.out) == (3, True, False)
    assert f"what is known of the link {facts.parent.name[:12]} can't be read" in " ".join(listed.err.split())
    assert [json.loads(line)["label"] for line in run("--json", "share", "list").out.splitlines()] == ["Summary"]


def test_a_link_into_a_file_is_not_shown(run: Run, summary: str, tmp_path: Path) -> None:
    made = run("share", "make", summary, *USUAL, "-o", str(tmp_path / "link.txt"), "--qr", str(tmp_path / "link.svg"))
    assert made.code == 0
    assert "shlink:/" not in made.out + made.err
    assert read_link((tmp_path / "link.txt").read_text()).url.startswith(URL)
    assert (tmp_path / "link.svg").read_bytes().startswith(b"<?xml")
    for name in ("link.txt", "link.svg"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    as_json = run("--json", "share", "make", summary, *USUAL, "-o", str(tmp_path / "other.txt"))
    assert "shlink:/" not in as_json.out + as_json.err
    assert "link" not in json.loads(as_json.out)


def test_json_holds_the_link(run: Run, summary: str) -> None:
    told = json.loads(run("--json", "share", "make", summary, *USUAL).out)
    assert told["schema"] == "panachain/link/1"
    assert read_link(told["link"]).url.startswith(f"{URL}/shl/")
    assert told["share"]["files"] == 1


def test_own_records_travel(run: Run, twin: Twin, tmp_path: Path) -> None:
    twin.answers["records"] = Opening(lambda _: iter([opened(content=BUNDLE)]))
    made = run("share", "make", "--category", "laboratory", *USUAL, "-o", str(tmp_path / "l"))
    assert made.code == 0
    assert Sharing(tmp_path / "home").shares()[0].files == 1


def test_what_was_left_out_is_told_and_ends_with_3(run: Run, twin: Twin, tmp_path: Path) -> None:
    twin.answers["records"] = Opening(lambda _: iter([opened(content=b"torn"), opened(content=BUNDLE)]))
    made = run("share", "make", "--category", "laboratory", *USUAL, "-o", str(tmp_path / "l"))
    assert made.code == 3
    assert read_link((tmp_path / "l").read_text())
    assert "left out" in made.err


@pytest.mark.parametrize(
    "arguments",
    [
        (*USUAL,),
        ("FILE", "--category", "laboratory", *USUAL),
        ("FILE", "--year", "2024", *USUAL),
        ("FILE", "--url", URL),
        ("FILE", "--no-end", *USUAL),
        ("FILE", "--direct", "--passcode", *USUAL),
        ("FILE", "FILE", "--direct", *USUAL),
        ("FILE", "--passcode", *USUAL),
        ("FILE", "--url", "http://links.example", "--until", "1d"),
        ("FILE", "--qr", "FILE", *USUAL),
    ],
)
def test_what_makes_no_sense_makes_no_link(run: Run, summary: str, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run("share", "make", *(summary if one == "FILE" else one for one in arguments))
    assert done.code == 2
    assert Sharing(tmp_path / "home").shares() == []


def test_a_passcode_comes_from_a_private_file(run: Run, summary: str, tmp_path: Path) -> None:
    code = private(tmp_path / "code", "428 913\n")
    made = run("--json", "share", "make", summary, *USUAL, "--passcode-file", code)
    told = json.loads(made.out)
    assert (told["share"]["passcode"], read_link(told["link"]).flags) == (True, {"P"})
    said = made.out + made.err
    # Of three digits an address may have some by chance.
    assert "428 913" not in said
    assert "428913" not in said
    Path(code).chmod(0o644)
    assert run("share", "make", summary, *USUAL, "--passcode-file", code).code == 4


def test_a_profiles_passphrase_is_never_a_links_passcode(
    run: Run, summary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be sent to somebody else's server."""
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", private(tmp_path / "passphrase", "correct horse"))
    sent: list[Any] = []
    monkeypatch.setattr(Sharing, "follow", lambda *_, **options: sent.append(options))
    link = private(tmp_path / "link", Link(f"{URL}/x", bytes(32), frozenset("P")).text())
    assert run("share", "open", "--link-file", link, "--passcode", "-o", str(tmp_path / "o")).code == 2
    assert run("share", "make", summary, *USUAL, "--passcode").code == 2
    assert sent == []


class TestRevoke:
    def test_ends_a_link(self, run: Run, summary: str, tmp_path: Path) -> None:
        told = json.loads(run("--json", "share", "make", summary, *USUAL).out)["share"]
        done = json.loads(run("--json", "share", "revoke", told["name"][:8], "--yes").out)
        assert done == {"schema": "panachain/share-revoked/1", "name": told["name"], "gone": True}
        assert "There are no links" in run("share", "list").err
        assert not list((tmp_path / "home").rglob("*.jwe"))

    def test_asks_before(self, run: Run, summary: str) -> None:
        told = json.loads(run("--json", "share", "make", summary, *USUAL).out)["share"]
        assert run("share", "revoke", told["name"]).code == 2
        assert told["name"] in run("share", "list").out

    def test_says_what_is_left_on_a_static_host(self, run: Run, summary: str, tmp_path: Path) -> None:
        (tmp_path / "upload").mkdir()
        told = json.loads(run("--json", "share", "make", summary, *USUAL, "--static", str(tmp_path / "upload")).out)
        assert len(list((tmp_path / "upload").iterdir())) == 1
        done = run("share", "revoke", told["share"]["name"], "--yes")
        assert "delete" in done.err
        assert list((tmp_path / "upload").iterdir()) == []


def test_an_unknown_name_is_told(run: Run) -> None:
    assert run("share", "revoke", "abc", "--yes").code == 2


def test_update_takes_the_link_from_a_private_file(run: Run, summary: str, tmp_path: Path) -> None:
    link = tmp_path / "link.txt"
    run("share", "make", summary, *USUAL, "--long-term", "-o", str(link))
    assert run("share", "update", summary, summary, "--link-file", str(link)).code == 0
    assert Sharing(tmp_path / "home").shares()[0].files == 2
    link.chmod(0o644)
    assert run("share", "update", summary, "--link-file", str(link)).code == 2
    assert run("share", "update", summary).code == 2


class TestOpen:
    @pytest.fixture
    def link(self, tmp_path: Path) -> str:
        return private(tmp_path / "link.txt", Link(f"{URL}/shl/x", bytes(32)).text() + "\n")

    def test_writes_private_files_with_names_of_our_own(
        self, run: Run, link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = [LinkedFile(b"{}", "application/fhir+json"), LinkedFile(b"x", "../../evil")]
        monkeypatch.setattr(Sharing, "follow", lambda *_, **__: Linked("\x1b[31mSummary", files))
        done = run("share", "open", "--link-file", link, "-o", str(tmp_path / "out"))
        assert done.code == 0
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00001.fhir.json", "00002.bin"]
        assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o600}
        assert "\x1b" not in done.out + done.err

    def test_what_was_left_out_ends_with_3(
        self, run: Run, link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: Any, **__: Any) -> None:
            raise PartlyDoneError("some", result=Linked("", [LinkedFile(b"{}", "application/fhir+json")]))

        monkeypatch.setattr(Sharing, "follow", fails)
        assert run("share", "open", "--link-file", link, "-o", str(tmp_path / "out")).code == 3
        assert len(list((tmp_path / "out").iterdir())) == 1

    def test_a_link_that_is_over_leaves_no_folder(
        self, run: Run, link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: Any, **__: Any) -> None:
            raise AccessDeniedError("the link leads to nothing any more")

        monkeypatch.setattr(Sharing, "follow", fails)
        done = run("--debug", "share", "open", "--link-file", link, "-o", str(tmp_path / "out"))
        assert (done.code, (tmp_path / "out").exists()) == (5, False)
        assert "shlink" not in done.out + done.err

    def test_whole_way_with_the_server_in_this_process(
        self, run: Run, summary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from starlette.testclient import TestClient

        from panachain.sdk import sharing
        from panachain.service.share.app import create_app
        from panachain.sharing.shelf import Shelf
        from panachain.wire.client import Client

        class Transport(httpx.BaseTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                with TestClient(create_app(Shelf(tmp_path / "home" / "shares"), url=URL), base_url=URL) as http:
                    answer = http.request(request.method, str(request.url), content=request.read())
                return httpx.Response(answer.status_code, content=answer.content)

        monkeypatch.setattr(sharing, "Client", lambda **_: Client(transport=Transport()))
        code, link = private(tmp_path / "code", "428 913"), str(tmp_path / "l")
        made = json.loads(run("--json", "share", "make", summary, *USUAL, "--passcode-file", code, "-o", link).out)
        wrong = private(tmp_path / "wrong", "0000")
        arguments = ("share", "open", "--link-file", link, "--as", "Mercy Hospital", "-o", str(tmp_path / "out"))
        refused = run(*arguments, "--passcode-file", wrong)
        assert (refused.code, "takes 9 more" in refused.err) == (4, True)
        assert run(*arguments, "--passcode-file", code).code == 0
        assert (tmp_path / "out" / "00001.fhir.json").read_bytes() == BUNDLE
        assert "Mercy Hospital" in run("share", "list").out
        run("share", "revoke", made["share"]["name"], "--yes")
        again = run(*arguments[:-1], str(tmp_path / "again"), "--passcode-file", code)
        assert (again.code, (tmp_path / "again").exists()) == (5, False)


def test_a_qr_code_holds_the_link(run: Run) -> None:
    import segno

    from panachain.cli.share import qr_code

    text = Link(f"{URL}/shl/" + "x" * 43, bytes(32), label="Summary").text()
    drawn = qr_code(text)
    assert drawn.count(b"<path") >= 1
    assert segno.make(text, error="m", micro=False, boost_error=False).error == "M"


def test_serving_in_the_clear_beyond_this_machine_is_refused(run: Run) -> None:
    done = run("share", "serve", "--url", URL, "--host", "192.0.2.1")
    assert (done.code, "without TLS" in done.err) == (2, True)


def test_no_secret_is_an_option() -> None:
    """Other processes can read a command's arguments."""
    from panachain.cli.share import share

    options = {option.name for one in share.commands.values() for option in one.params}
    assert not {"link", "key", "passcode"} & options
    assert jwe.KEY_SIZE == 32


def test_a_summary_of_own_records_travels(run: Run, twin: Twin, tmp_path: Path) -> None:
    twin.answers["records"] = Opening(lambda _: iter([opened(content=BUNDLE)]))
    made = run("share", "make", "--summary", *USUAL, "--label", "Summary", "-o", str(tmp_path / "l"))
    assert made.code == 0, made.err
    link = read_link((tmp_path / "l").read_text())
    (shared,) = Sharing().shares()
    assert (link.label, shared.files) == ("Summary", 1)


@pytest.mark.parametrize("more", [["FILE"], ["--year", "2024"], ["--long-term"]])
def test_a_summary_is_one_document_of_now(run: Run, twin: Twin, summary: str, more: list[str]) -> None:
    given = [summary if one == "FILE" else one for one in more]
    assert run("share", "make", "--summary", *given, *USUAL).code == 2
    assert twin.calls == []
