"""Files of links open as RFC 7516 says, and nothing else does: outside vectors, another library, and each attack."""

from __future__ import annotations

import base64
import json
import os
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.crypto import jwe
from panachain.errors import IntegrityError

KEY = bytes(range(32))
MOST = 1 << 20
HL7_KEY = "rxTgYlOaKJPFtcEd0qcceN8wEU4p94SqAwIWQe6uX7Q"
HL7_JWE = (
    "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiY3R5IjoiYXBwbGljYXRpb24vc21hcnQtaGVhbHRoLWNhcmQifQ..B9Bd5AW751az-gEx.iah6m"
    "xLb5TQe2ZfCwEUs4R1t8WoP0mnFc-TUzN1NIyzUeDwJNOcxv4CY8wV6ys4Dicnr3IhqTvVU1RbR-4eq1GCd4g96faV8_0MbHwXzP246Tz9BDLhQ2zl"
    "AjYqvvCi_JuWdyWqGhKeWGX1XibNHFzzVT0FmYensfKF4o0uSeZWQDKVEEhzMSKuALMpUkfwHcmCRfLT-ctANSxq-Zj0IIeT66XbztOomStjlfi-F-"
    "FaqBGZfHOARCVvT143CTYELLJCUdD4qUVkrNuLmRZrNuqVpY0g5BjABswkIoDmyoRJAEohuZCamZNA--p-uRqJjRefED1eMrKSppabV2ugaqoFlieu"
    "jTOE-a3VKib9aC-lFsmLalkwh9ctr_FZqS9H46rqGjGcOxtAXalo1jkMPGupVsE1W-xIH14wbPCYcgfldH9SH7X60462kxD8OFdHpvnnfAvjQnaE4Q"
    "DqasT5ySpBRtck4GVxs2IRBt62-kOlzoI8lHapLdwIms-Gdt7z38E47ZE3afE4IIbobPGz7wGvjbi3z234ARvGQ4jREgPQb1NRYAEtZlrZNzR6N7of"
    "XD8jF502tw-QWI_Ox0jFP5tynIiMp-hG25ecQ0s4MzPHFC0ZABPamgg3MS-UILl76gMDCHS5Te_JAXZoC1HnkETw5M217SaG5ISAU0F5qETMREfTjZ"
    "R9E45MDhnw7uY1vo2lffRB3ei1QqGuLh0gUnVU7TUfFYwcOqV15sb0t1lMj0mmyG5v-_dE9H6dYtRKJARltmdfSmc1HisBewx75Xh5ChJQ1hiCEDaZ"
    "1wqFjsFJ6SrKgJ7C1N7vx6QKx8YXwFH7ePG2qG39leT5JKZnqAvi9fqc6x-YwfhSjbRKGZoj2o55Fd2fbwtK6CXpiW6AekT7PUcl_7ynTq-DaQ_Yc2"
    "9WwtmgapcCRNpfcMsoqCD4giu1V3Sj5DQLglwuk1gAMcuV5fo8JpABu2_is83WZ_GJ1WWMUxyZGq6u-EGuZrP96Yewb7-zfnt2lao_LJg1ef5cqDTW"
    "7-0MS27wkmLiIi0e-PYvS-UfWVHg1oNbR-MHXMVEQ6gqNg08IgEyPDSFCUbf75HuMILN80bQNtSlFj6FR7uNKHr8sigvKI80k.5flOKKmeqYm0Tamw"
    "ROr8Nw"
)
"""The example of HL7's specification, section "Example Encryption" (CC0), with its key."""


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def made(header: Any, content: bytes = b"content", key: bytes = KEY) -> str:
    """Return a JWE with any header, sealed rightly."""
    protected = b64(header if isinstance(header, bytes) else json.dumps(header).encode())
    return protected + jwe.seal_parts(content, key, os.urandom(12), protected.encode())


GOOD = {"alg": "dir", "enc": "A256GCM", "cty": "application/fhir+json"}


def test_opens_the_example_of_the_specification() -> None:
    opened = jwe.open_(HL7_JWE, jwe.decode(HL7_KEY), most=MOST)
    assert opened.content_type == "application/smart-health-card"
    assert list(json.loads(opened.content)) == ["verifiableCredential"]


def test_seals_as_the_example_of_rfc_7516_says() -> None:
    """Appendix A.1 wraps its key in another way; content, vector, header and tag are the same kind."""
    header = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ"
    key = bytes([177, 161, 244, 128, 84, 143, 225, 115, 63, 180, 3, 255, 107, 154, 212, 246])
    key += bytes([138, 7, 110, 91, 112, 46, 34, 105, 47, 130, 203, 46, 122, 234, 64, 252])
    iv = bytes([227, 197, 117, 252, 2, 219, 233, 68, 180, 225, 77, 219])
    text = b"The true sign of intelligence is not knowledge but imagination."
    assert jwe.seal_parts(text, key, iv, header.encode()) == (
        "..48V1_ALb6US04U3b"
        ".5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A"
        ".XFBoMYUZodetZdvTiFvSkQ"
    )


@given(st.binary(max_size=3000), st.booleans())
def test_gives_the_content_back(content: bytes, deflate: bool) -> None:
    text = jwe.seal(content, KEY, "application/fhir+json", deflate=deflate)
    opened = jwe.open_(text, KEY, most=3000)
    assert (opened.content, opened.content_type) == (content, "application/fhir+json")
    assert text.count(".") == 4


def test_the_same_content_is_never_sealed_with_the_same_vector() -> None:
    assert len({jwe.seal(b"x", KEY, "t").split(".")[2] for _ in range(200)}) == 200


class TestAnotherLibrary:
    @pytest.fixture
    def joserfc(self) -> Any:
        return pytest.importorskip("joserfc.jwe", reason="joserfc, another library for JWE, isn't installed")

    @pytest.mark.parametrize("deflate", [True, False])
    def test_opens_what_is_sealed_here(self, joserfc: Any, deflate: bool) -> None:
        from joserfc.jwk import OctKey

        text = jwe.seal(b'{"resourceType":"Bundle"}' * 50, KEY, "application/fhir+json", deflate=deflate)
        opened = joserfc.decrypt_compact(text, OctKey.import_key(KEY), algorithms=["dir", "A256GCM", "DEF"])
        assert opened.plaintext == b'{"resourceType":"Bundle"}' * 50
        assert opened.protected["cty"] == "application/fhir+json"

    @pytest.mark.parametrize("more", [{}, {"zip": "DEF"}])
    def test_seals_what_opens_here(self, joserfc: Any, more: dict[str, str]) -> None:
        from joserfc.jwk import OctKey

        sealed = joserfc.encrypt_compact(
            GOOD | more, b"text" * 99, OctKey.import_key(KEY), algorithms=["dir", "A256GCM", "DEF"]
        )
        assert jwe.open_(sealed, KEY, most=MOST).content == b"text" * 99


@pytest.mark.parametrize("part", [0, 2, 3, 4])
def test_a_changed_bit_opens_nothing(part: int) -> None:
    parts = jwe.seal(b"content of some length", KEY, "t").split(".")
    raw = bytearray(jwe.decode(parts[part]))
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1
        with pytest.raises(IntegrityError):
            jwe.open_(".".join([*parts[:part], b64(bytes(changed)), *parts[part + 1 :]]), KEY, most=MOST)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(IntegrityError, match="another key"):
        jwe.open_(jwe.seal(b"x", KEY, "t"), bytes(32), most=MOST)


@pytest.mark.parametrize(
    "header",
    [
        GOOD | {"alg": "none"},
        GOOD | {"alg": "A256KW"},
        GOOD | {"enc": "A128GCM"},
        GOOD | {"enc": None},
        GOOD | {"crit": ["x"], "x": 1},
        GOOD | {"crit": []},
        GOOD | {"zip": "GZ"},
        GOOD | {"zip": None},
        GOOD | {"cty": 5},
        GOOD | {"cty": "x" * 201},
        {"enc": "A256GCM"},
        [],
        b'{"alg":"dir","alg":"dir","enc":"A256GCM"}',
        b'{"alg":"dir","enc":"A256GCM","x":' + b"[" * 40 + b"]" * 40 + b"}",
        b"\xff",
        b"",
    ],
)
def test_refuses_what_only_another_reader_would_take(header: Any) -> None:
    with pytest.raises(IntegrityError):
        jwe.open_(made(header), KEY, most=MOST)


def test_refuses_an_encrypted_key_and_other_forms() -> None:
    head, _, rest = made(GOOD).partition("..")
    for text in (f"{head}.AAAA.{rest}", f"{head}..{rest}.", rest, "", ".", "....", "é....", made(GOOD) + "="):
        with pytest.raises(IntegrityError):
            jwe.open_(text, KEY, most=MOST)


def test_a_bomb_is_never_held_whole() -> None:
    with pytest.raises(IntegrityError, match="more than 1000 bytes, unpacked"):
        jwe.open_(jwe.seal(bytes(50_000_000), KEY, "t"), KEY, most=1000)
    with pytest.raises(IntegrityError, match="at most 3"):
        jwe.open_(jwe.seal(b"four", KEY, "t", deflate=False), KEY, most=3)


def test_what_breaks_off_or_is_followed_by_something_is_refused() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b"content" * 99) + packer.flush()
    assert jwe.open_(made(GOOD | {"zip": "DEF"}, packed), KEY, most=MOST).content == b"content" * 99
    for wrong in (packed[:-3], packed + b"x", b"no deflate", zlib.compress(b"with zlib's header"), b""):
        with pytest.raises(IntegrityError):
            jwe.open_(made(GOOD | {"zip": "DEF"}, wrong), KEY, most=MOST)


@given(st.binary(max_size=40))
def test_base64url_is_read_in_one_way(content: bytes) -> None:
    text = jwe.encode(content)
    assert (text, jwe.decode(text)) == (b64(content), content)


@pytest.mark.parametrize("text", ["AB", "AAB", "A", "AA==", "A+AA", "A/AA", "AA AA", "AA\nAA", "AAAé", "AAAAA"])
def test_what_no_encoder_writes_is_no_base64url(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        jwe.decode(text)
