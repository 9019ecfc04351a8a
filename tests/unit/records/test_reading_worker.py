"""Reading worker: a program that answers what anybody would, and with nothing where anybody would fail."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from panachain.errors import InputError
from panachain.ipld import dagcbor
from panachain.model.scope import Category
from panachain.records import reading_worker
from panachain.records.reading_worker import HEAD, MOST_BYTES, answer, to_list, to_parcel, to_read
from panachain.records.sensitivity import PROFILES
from panachain.records.sources import Reading
from tests.unit.records.pdfs import pdf

BUNDLE = json.dumps(
    {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": {"resourceType": "Patient", "id": "p"}}]}
).encode()


def asked(*parcels: list[Any]) -> tuple[int, list[Any]]:
    """Return how the program ends, and what it answers."""
    return said_to(b"".join(map(to_parcel, parcels)))


def said_to(given: bytes) -> tuple[int, list[Any]]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "panachain.records.reading_worker"], input=given, capture_output=True, timeout=120
    )
    assert done.stderr == b""
    said, at = [], 0
    while at < len(done.stdout):
        size = int.from_bytes(done.stdout[at : at + HEAD], "big")
        said.append(dagcbor.decode(done.stdout[at + HEAD : at + HEAD + size], limit=MOST_BYTES))
        at += HEAD + size
    return done.returncode, said


def plain(value: Any) -> Any:
    return dagcbor.decode(dagcbor.encode(value), limit=MOST_BYTES)


def test_the_program_answers_as_any_process_does_and_ends_with_its_input() -> None:
    profile = PROFILES["strict"]
    letter = pdf("about alcohol dependence")
    questions = [
        to_read(Reading("a.json", BUNDLE, None, profile), words=True),
        to_read(Reading("b.pdf", letter, Category.DOCUMENTS, profile), words=True),
        to_read(Reading("b.pdf", letter, None, None), words=False),
        to_list([b"", None]),
    ]
    torn = to_read(Reading("c.json", BUNDLE[:-1], None, profile), words=True)
    code, said = asked(questions, [torn], [questions[0], [0, b"", 7], [9]])
    expected = [plain(answer(one)) for one in questions]
    assert (code, said) == (0, [expected, [None], [expected[0], None, None]])
    assert expected[1][0][0][0] == "substance-use"


def test_what_is_the_whole_file_is_not_sent_back() -> None:
    [[record], _] = answer(to_read(Reading("b.pdf", pdf("a letter"), None, None), words=True))
    assert (record[3], record[5][0] is not None) == (None, True)


def test_what_it_cannot_answer_is_the_same_error_everywhere() -> None:
    with pytest.raises(InputError):
        answer(to_read(Reading("a.json", b"{", None, None), words=True))


def test_questions_of_other_code_are_answered_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    question = to_list([b"", None])
    right = to_parcel([question])
    monkeypatch.setattr(reading_worker, "VERSION", "0.0.9")
    assert said_to(to_parcel([question, question]) + right) == (0, [[None, None], [plain(answer(question))]])


def test_a_question_that_is_none_ends_it() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "panachain.records.reading_worker"],
        input=b"\0\0\0\0\0\0\0\1\xff", capture_output=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, b"")


def test_it_loads_nothing_that_acts_for_anybody() -> None:
    program = (
        "import sys, panachain.records.reading_worker;"
        "print([one for one in sys.modules if one.startswith(('panachain.sdk', 'panachain.chain', 'panachain.wire',"
        " 'panachain.agent', 'panachain.crypto.keys', 'panachain.private_files', 'sqlite3', 'ssl'))])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, timeout=120, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
