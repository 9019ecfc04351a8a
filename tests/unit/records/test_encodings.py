"""Encodings: UTF-16 is told from the first bytes, and read as the UTF-8 that it stands for from any place."""

from __future__ import annotations

import io

import pytest

from panachain.errors import InputError
from panachain.records.encodings import as_utf8, recoded, utf16_of

TEXT = 'MSH|^~\\&|Größe ❤ 𝄞\r{"a": [1]}\n' * 9000


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("text", ["{}\r\n", "MSH|", "<?xml", "\x0bMSH|", "\t {}", TEXT])
def test_utf_16_is_known_with_and_without_a_mark(name: str, mark: str, text: str) -> None:
    content = (mark + text).encode(name)
    assert utf16_of(content) == name
    assert as_utf8(content) == (mark + text).encode()


@pytest.mark.parametrize(
    "start",
    [
        *(b"", b"{", b"{}", b'{"a":1}x', b"\xef\xbb\xbf{}......", "{}{}{}".encode("utf-32"), b"\0\0\0\0\0\0\0\0"),
        *(b"\x08\0\5\0\x0a\0\0\0", b"\2\0\0\0UL\4\0", b"a\0b\0c", b"\1\0\2\0\3\0\4\0", b"PK\3\4\0\0\0\0"),
    ],
)
def test_nothing_else_is(start: bytes) -> None:
    assert not utf16_of(start)
    assert as_utf8(start) == start


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_it_is_read_from_any_place_as_often_as_one_likes(name: str) -> None:
    whole = TEXT.encode()
    file = recoded(io.BytesIO(TEXT.encode(name)), name)
    assert file.read() == whole
    for place in (0, 1, 70_000, 20, len(whole) - 1, len(whole) + 5):
        file.seek(place)
        assert file.read(500) == whole[place : place + 500]
    file.seek(0)
    assert list(file) == list(io.BytesIO(whole))
    with pytest.raises(io.UnsupportedOperation):
        file.seek(0, io.SEEK_END)


@pytest.mark.parametrize("bad", [b"a\0b", b"a\0\0\xd8", b"a\0\0\xdcb\0"])
def test_half_a_character_is_refused(bad: bytes) -> None:
    with pytest.raises(InputError, match="half a character"):
        recoded(io.BytesIO(bad), "utf-16-le").read()
    # A start is cut anywhere, and yet tells the kind.
    assert as_utf8("MSH|^~".encode("utf-16-le") + b"x").startswith(b"MSH|^~")
