"""Signed notes: a known answer, and nothing that isn't signed passes."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest

from panachain.crypto.notes import (
    COSIGNATURE,
    ED25519,
    MAX_NOTE,
    Note,
    NoteKey,
    Signature,
    check_signed,
    cosigned_at,
    is_name,
    key_id,
    parse_note,
    unique,
    verifier_key,
)
from panachain.errors import IntegrityError

KEY = NoteKey("example.com/log", bytes(range(32)))
TEXT = "example.com/log\n7\n" + b64encode(bytes(32)).decode() + "\n"


def test_a_note_is_what_the_specification_says() -> None:
    # C2SP signed-note: "— " name " " base64(key ID ‖ signature), key ID = SHA-256(name ‖ LF ‖ kind ‖ key)[:4].
    note = Note(TEXT, (KEY.sign(TEXT),))
    text, line = note.encode().split("\n\n")
    assert f"{text}\n" == TEXT
    assert line.startswith("\u2014 example.com/log ")
    expected = sha256(b"example.com/log\n\x01" + KEY.public).digest()[:4]
    assert note.signatures[0].key_id == expected
    assert parse_note(note.encode().encode()) == note
    check_signed(note, name=KEY.name, public=KEY.public)


def test_the_go_tools_read_the_key() -> None:
    # PeterNeumann's key of golang.org/x/mod/sumdb/note, whose documentation has it with its ID.
    name, _, rest = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".partition("+")
    public = b64decode(rest.partition("+")[2])[1:]
    assert verifier_key(name, ED25519, public) == f"{name}+{rest}"


def test_a_note_of_golang_is_verified() -> None:
    # The example of golang.org/x/mod/sumdb/note.
    content = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "\u2014 PeterNeumann "
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    public = b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
    check_signed(parse_note(content.encode()), name="PeterNeumann", public=public)
    with pytest.raises(IntegrityError, match="isn't signed"):
        check_signed(parse_note(content.replace("you think", "you thing").encode()), name="PeterNeumann", public=public)


def test_another_key_text_or_name_is_refused() -> None:
    other = NoteKey(KEY.name, bytes(32))
    note = Note(TEXT, (KEY.sign(TEXT),))
    for changed, public in (
        (note, other.public),
        (Note(TEXT + "more\n", note.signatures), KEY.public),
        (Note(TEXT, (Signature("other", *_of(KEY.sign(TEXT))),)), KEY.public),
        (Note(TEXT, ()), KEY.public),
        (Note(TEXT, (Signature(KEY.name, key_id(KEY.name, ED25519, KEY.public), b"short"),)), KEY.public),
    ):
        with pytest.raises(IntegrityError):
            check_signed(changed, name=KEY.name, public=public)


def _of(signature: Signature) -> tuple[bytes, bytes]:
    return signature.key_id, signature.value


def test_a_cosignature_states_its_time() -> None:
    note = Note(TEXT, (KEY.cosign(TEXT, at=1_800_000_000), KEY.cosign(TEXT, at=1_700_000_000)))
    assert cosigned_at(note, name=KEY.name, public=KEY.public) == 1_800_000_000
    assert note.signatures[0].key_id == key_id(KEY.name, COSIGNATURE, KEY.public)
    # A signature of the text alone is no cosignature, nor the other way round.
    assert cosigned_at(Note(TEXT, (KEY.sign(TEXT),)), name=KEY.name, public=KEY.public) is None
    with pytest.raises(IntegrityError):
        check_signed(note, name=KEY.name, public=KEY.public)


def test_a_time_that_was_changed_counts_for_nothing() -> None:
    signed = KEY.cosign(TEXT, at=1_800_000_000)
    later = Signature(signed.name, signed.key_id, (1_800_000_001).to_bytes(8, "big") + signed.value[8:])
    assert cosigned_at(Note(TEXT, (later,)), name=KEY.name, public=KEY.public) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n- name AAAAAAAA\n",
        "text\n\n\u2014 name AAAA\n".encode(),
        "text\n\n\u2014 name !!!!\n".encode(),
        "text\n\n\u2014 na+me AAAAAAAA\n".encode(),
        "text\n\n\u2014 name AAAAAAAA".encode(),
        "te\x00xt\n\n\u2014 name AAAAAAAA\n".encode(),
        b"\xff\n\n",
        b"x" * (MAX_NOTE + 1),
        ("text\n\n" + "\u2014 name AAAAAAAA\n" * 65).encode(),
    ],
)
def test_what_is_no_note_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_note(content)


def test_names_have_no_blank_and_no_plus() -> None:
    assert is_name("example.com/log")
    assert not any(map(is_name, ("", "a b", "a+b", "a\n")))


def test_what_was_said_twice_stands_once() -> None:
    assert unique([KEY.sign(TEXT), KEY.sign(TEXT)]) == (KEY.sign(TEXT),)


def test_a_key_shows_nothing_of_itself() -> None:
    assert repr(KEY) == "NoteKey('example.com/log')"
