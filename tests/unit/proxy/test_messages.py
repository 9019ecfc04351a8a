"""Messages as they travel: one encoding for each, and one typed error for whatever isn't one."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest

from panachain.errors import IntegrityError, UsageError
from panachain.model import sizes
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import LogHead, Receipt, ReceiptKind
from panachain.model.proxy_requests import DepositedLane, DepositRequest, ReceiptsRequest, ReencryptRequest
from panachain.model.scope import Purpose
from panachain.model.transactions import Revocation
from panachain.proxy import messages

PROXY, POLICY, GRANTEE = Address("0x" + "11" * 20), PolicyId("0x" + "22" * 20), Address("0x" + "33" * 20)
NONCE, SIGNATURE = os.urandom(sizes.NONCE_SIZE), os.urandom(sizes.SIGNATURE_SIZE)
PUBLIC = os.urandom(sizes.PUBLIC_SIZE)
SEALING = os.urandom(sizes.SEALING_SIZE)
REENCRYPT = ReencryptRequest(
    proxy=PROXY,
    policy_id=POLICY,
    grantee=GRANTEE,
    requester=GRANTEE,
    purpose=Purpose.TREAT,
    lane=3,
    capsules=(os.urandom(sizes.CAPSULE_SIZE), os.urandom(sizes.CAPSULE_SIZE)),
    expires_at=9,
    nonce=NONCE,
    signature=SIGNATURE,
)
DEPOSIT = DepositRequest(
    proxy=PROXY,
    policy_id=POLICY,
    grantee=GRANTEE,
    receiving_key=PUBLIC,
    verifying_key=PUBLIC,
    audit_key=SEALING,
    terms=os.urandom(32),
    purposes=(Purpose.TREAT,),
    lanes=(DepositedLane(PUBLIC, os.urandom(sizes.KFRAG_SIZE)),),
    expires_at=9,
    nonce=NONCE,
    signature=SIGNATURE,
)
RECEIPTS = ReceiptsRequest(PROXY, POLICY, 9, NONCE, SIGNATURE)
RECEIPT = Receipt(PROXY, 1, bytes(32), ReceiptKind.DENIED, POLICY, 5, 6, 7, b"sealed", SIGNATURE)
ALL: list[tuple[Any, Any, Any]] = [
    (REENCRYPT, messages.reencrypt_fields, messages.parse_reencrypt),
    (DEPOSIT, messages.deposit_fields, messages.parse_deposit),
    (RECEIPTS, messages.receipts_fields, messages.parse_receipts),
    (POLICY, messages.revoke_fields, messages.parse_revoke),
    (Revocation(POLICY, bytes(sizes.COMPACT_SIGNATURE_SIZE)), messages.delete_fields, messages.parse_delete),
    (b"sealed", messages.sealed_fields, messages.parse_sealed),
]


@pytest.mark.parametrize(("value", "fields", "parse"), ALL)
def test_a_message_comes_back_as_it_was(value: Any, fields: Any, parse: Any) -> None:
    assert parse(messages.parse_json(messages.canonical(fields(value)))) == value


@pytest.mark.parametrize(("value", "fields", "parse"), ALL)
@pytest.mark.parametrize("wrong", [None, -1, True, 1.5, "", "zz", "AB", [], {}, [7], "0x", 1 << 60])
def test_a_field_of_a_wrong_form_is_a_typed_error(value: Any, fields: Any, parse: Any, wrong: Any) -> None:
    made = fields(value)
    for name in made:
        with pytest.raises(UsageError):
            parse(made | {name: wrong})


@pytest.mark.parametrize(("value", "fields", "parse"), ALL)
def test_a_field_more_or_less_is_a_typed_error(value: Any, fields: Any, parse: Any) -> None:
    made = fields(value)
    with pytest.raises(UsageError):
        parse(made | {"more": 1})
    for name in made:
        with pytest.raises(UsageError):
            parse({key: item for key, item in made.items() if key != name})


HEAD = LogHead(PROXY, 7, bytes(32), SIGNATURE)
READ: dict[str, tuple[dict[str, Any], Any]] = {
    "reencrypt": (messages.reencrypt_fields(REENCRYPT), messages.parse_reencrypt),
    "deposit": (messages.deposit_fields(DEPOSIT), messages.parse_deposit),
    "receipts": (messages.receipts_fields(RECEIPTS), messages.parse_receipts),
    "receipt": (messages.receipt_fields(RECEIPT), messages.parse_receipt),
    "head": (messages.head_fields(HEAD), messages.parse_head),
}


@pytest.mark.parametrize(
    ("what", "name", "limit"),
    [
        # As docs/spec/proxy.md has them.
        ("reencrypt", "lane", 4096),
        ("reencrypt", "expires_at", 1 << 48),
        ("deposit", "expires_at", 1 << 48),
        ("receipts", "expires_at", 1 << 48),
        ("receipts", "after", 1 << 53),
        ("receipt", "sequence", 1 << 53),
        ("receipt", "block", 1 << 53),
        ("receipt", "at", 1 << 48),
        ("receipt", "count", 1 << 32),
        ("head", "sequence", 1 << 53),
    ],
)
def test_a_number_is_read_up_to_its_bound(what: str, name: str, limit: int) -> None:
    fields, parse = READ[what]
    for value in (0, 1, limit - 1):
        assert getattr(parse(fields | {name: value}), name) == value
    for value in (-1, limit, limit + 1):
        with pytest.raises((UsageError, IntegrityError)):
            parse(fields | {name: value})


@pytest.mark.parametrize("what", READ)
def test_an_address_is_40_hex_digits_and_bytes_have_one_size_and_one_spelling(what: str) -> None:
    fields, parse = READ[what]
    one = "0x" + "aB" * 20
    assert parse(fields | {"proxy": one}).proxy == one
    for wrong in (one[:-1], one + "0", "0X" + one[2:], "1x" + one[2:], one[:-1] + "g", "0x" + "ab" * 19 + " a", 7):
        with pytest.raises((UsageError, IntegrityError)):
            parse(fields | {"proxy": wrong})
    right = fields["signature"]
    # Each signature of a message has at least one letter, or the spelling couldn't differ.
    lettered = "ab" + right[2:]
    assert parse(fields | {"signature": lettered}).signature == bytes.fromhex(lettered)
    for wrong in (right[:-2], right + "00", right[:-1], lettered.upper(), right[:-2] + " 0", right[:-2] + "zz"):
        with pytest.raises((UsageError, IntegrityError)):
            parse(fields | {"signature": wrong})


def test_the_bounds_are_those_of_the_specification() -> None:
    # docs/spec/proxy.md: proxies and clients of other versions refuse by the same ones.
    assert (messages.MAX_CAPSULES, messages.MAX_LANES) == (1000, 4096)
    assert (messages.RECEIPTS_PAGE, messages.MAX_DETAIL) == (256, 16_384)
    assert (messages.MAX_BODY, messages.MAX_DEPOSIT, messages.MAX_ANSWER) == (262_144, 8_388_608, 8_388_608)
    assert messages.MAX_AGE == 60


def test_purposes_are_one_to_as_many_as_there_are() -> None:
    fields = messages.deposit_fields(DEPOSIT)
    every = [purpose.value for purpose in Purpose]
    assert len(messages.parse_deposit(fields | {"purposes": every}).purposes) == len(every)
    for wrong in ([], [*every, every[0]], ["x"], "TREAT"):
        with pytest.raises(UsageError):
            messages.parse_deposit(fields | {"purposes": wrong})


def test_a_sealed_deposit_is_read_up_to_its_bound() -> None:
    fields = messages.sealed_fields(b"")
    assert len(messages.parse_sealed(fields | {"sealed": "00" * (messages.MAX_DEPOSIT // 2)})) == 4 << 20
    for wrong in ("", "00" * (messages.MAX_DEPOSIT // 2) + "00", "0", "0g"):
        with pytest.raises(UsageError, match="lower-case hex"):
            messages.parse_sealed(fields | {"sealed": wrong})


def test_a_thousand_capsules_are_read() -> None:
    capsules = (bytes(sizes.CAPSULE_SIZE),) * 1000
    found = messages.parse_reencrypt(messages.reencrypt_fields(replace(REENCRYPT, capsules=capsules)))
    assert found.capsules == capsules


@pytest.mark.parametrize("count", [0, messages.MAX_CAPSULES + 1])
def test_capsules_are_one_to_a_thousand(count: int) -> None:
    fields = messages.reencrypt_fields(replace(REENCRYPT, capsules=(bytes(sizes.CAPSULE_SIZE),) * count))
    with pytest.raises(UsageError, match="1 to 1000"):
        messages.parse_reencrypt(fields)


@pytest.mark.parametrize("count", [0, messages.MAX_LANES, messages.MAX_LANES + 1])
def test_lanes_are_one_to_4096(count: int) -> None:
    fields = messages.deposit_fields(replace(DEPOSIT, lanes=DEPOSIT.lanes * count))
    if count == messages.MAX_LANES:
        assert len(messages.parse_deposit(fields).lanes) == count == 4096
        return
    with pytest.raises(UsageError, match="1 to 4096"):
        messages.parse_deposit(fields)


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"[]", b"1", b"null", b"\xff", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1,"a":1}', b'{"a":[[[[1]]]]}'],
)
def test_what_is_no_object_or_could_be_read_in_two_ways_is_refused(content: bytes) -> None:
    with pytest.raises(UsageError):
        messages.parse_json(content)


def test_four_levels_are_read() -> None:
    assert messages.parse_json(b'{"a":[{"b":[1]}]}') == {"a": [{"b": [1]}]}


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{}" * 100_000, b'{"a":' + b"[]," * 5000])
def test_depth_and_brackets_are_bounded_before_anything_is_parsed(content: bytes) -> None:
    with pytest.raises(UsageError, match=r"levels|brackets"):
        messages.parse_json(content)


def test_as_many_brackets_as_are_allowed_are_read_and_no_more() -> None:
    most = messages._BRACKETS
    for count in (most, most - 2):
        inner = b",".join([b"[]"] * ((count - 4) // 2))
        assert len(messages.parse_json(b'{"a":[' + inner + b"]}")["a"]) == (count - 4) // 2
    inner = b",".join([b"[]"] * ((most - 2) // 2))
    with pytest.raises(UsageError, match="brackets"):
        messages.parse_json(b'{"a":[' + inner + b"]}")


class TestPages:
    @staticmethod
    def page(*sequences: int, more: object = False) -> dict[str, Any]:
        receipts = [messages.receipt_fields(replace(RECEIPT, sequence=sequence)) for sequence in sequences]
        return json.loads(json.dumps({"receipts": receipts, "more": more}))

    def test_go_on_from_what_was_asked_for(self) -> None:
        found, more = messages.parse_page(self.page(5, 6, 9, more=True), after=4)
        assert ([one.sequence for one in found], more) == ([5, 6, 9], True)
        assert messages.parse_page(self.page(), after=4) == ([], False)

    @pytest.mark.parametrize("sequences", [(4,), (3,), (5, 5), (6, 5), (5, 7, 6)])
    def test_in_another_order_would_never_end(self, sequences: tuple[int, ...]) -> None:
        with pytest.raises(IntegrityError, match="isn't in the order of its log"):
            messages.parse_page(self.page(*sequences), after=4)

    def test_with_more_and_nothing_would_never_end(self) -> None:
        with pytest.raises(IntegrityError, match="and shows none"):
            messages.parse_page(self.page(more=True), after=4)

    @pytest.mark.parametrize(
        "wrong",
        [
            None,
            [],
            "x",
            {"receipts": [], "more": 1},
            {"receipts": {}, "more": False},
            {"more": False},
            {"receipts": []},
        ],
    )
    def test_that_are_none_are_the_proxys_fault(self, wrong: Any) -> None:
        with pytest.raises(IntegrityError, match="no page of receipts"):
            messages.parse_page(wrong, after=4)

    def test_are_bounded(self) -> None:
        one = messages.receipt_fields(RECEIPT)
        most = self.page(*range(1, messages.RECEIPTS_PAGE + 1))
        assert len(messages.parse_page(most, after=0)[0]) == messages.RECEIPTS_PAGE
        with pytest.raises(IntegrityError, match="no page of receipts"):
            messages.parse_page(most | {"receipts": [*most["receipts"], one]}, after=0)

    def test_hold_receipts_of_this_version_only(self) -> None:
        fields = json.loads(json.dumps(messages.receipt_fields(RECEIPT)))
        for schema in ("panachain/receipt/1", "", None):
            with pytest.raises(IntegrityError, match="no receipt of version 2"):
                messages.parse_receipt(fields | {"schema": schema})


def test_an_encoding_has_sorted_keys_and_no_blanks() -> None:
    assert messages.canonical({"b": b"\x01", "a": [1, {"d": "é", "c": None}]}) == (
        b'{"a":[1,{"c":null,"d":"\\u00e9"}],"b":"01"}'
    )


def test_cfrags_are_shown_by_no_repr() -> None:
    assert "secret" not in repr(messages.Answer((b"secret",), RECEIPT, SIGNATURE))


class TestAnswers:
    ANSWER = messages.Answer((os.urandom(sizes.CFRAG_SIZE),) * 2, RECEIPT, SIGNATURE)

    def test_come_back_as_they_were(self) -> None:
        assert messages.parse_answer(messages.answer_fields(self.ANSWER), count=2) == self.ANSWER

    def test_of_another_number_of_cfrags_are_the_proxys_fault(self) -> None:
        with pytest.raises(IntegrityError, match="2 cfrags for 3 capsules"):
            messages.parse_answer(messages.answer_fields(self.ANSWER), count=3)

    @pytest.mark.parametrize("name", ["cfrags", "receipt", "signature"])
    @pytest.mark.parametrize("wrong", [None, 7, "zz", [], [7, 7], {}])
    def test_with_a_field_of_a_wrong_form_too(self, name: str, wrong: Any) -> None:
        with pytest.raises(IntegrityError):
            messages.parse_answer(messages.answer_fields(self.ANSWER) | {name: wrong}, count=2)

    @pytest.mark.parametrize("name", sorted(messages.receipt_fields(RECEIPT)))
    def test_a_receipt_lacks_nothing(self, name: str) -> None:
        fields = messages.receipt_fields(RECEIPT)
        assert messages.parse_receipt(json.loads(json.dumps(fields))) == RECEIPT
        with pytest.raises(IntegrityError):
            messages.parse_receipt({key: value for key, value in fields.items() if key != name})

    def test_a_receipts_detail_is_bounded(self) -> None:
        fields = messages.receipt_fields(RECEIPT)
        largest = messages.parse_receipt(fields | {"detail": "ab" * messages.MAX_DETAIL})
        assert len(largest.detail) == messages.MAX_DETAIL
        for wrong in ("ab" * (messages.MAX_DETAIL + 1), "ab" * 100_000, 7, None):
            with pytest.raises(IntegrityError, match="detail that isn't at most"):
                messages.parse_receipt(fields | {"detail": wrong})


class TestLogHead:
    HEAD = LogHead(PROXY, 7, bytes(range(32)), bytes(65))

    def test_travels(self) -> None:
        sent = messages.canonical(messages.head_fields(self.HEAD))
        assert messages.parse_head(messages.parse_json(sent)) == self.HEAD

    @pytest.mark.parametrize(
        "changes",
        [
            *({"schema": "panachain/log-head/1"}, {"sequence": -1}, {"sequence": True}, {"sequence": "7"}),
            *({"head": "00"}, {"head": 7}, {"signature": ""}, {"proxy": "0x12"}, {"proxy": None}),
        ],
        ids=str,
    )
    def test_has_one_form(self, changes: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError):
            messages.parse_head(messages.head_fields(self.HEAD) | changes)

    @pytest.mark.parametrize("name", ["schema", "proxy", "sequence", "head", "signature"])
    def test_lacks_nothing(self, name: str) -> None:
        fields = messages.head_fields(self.HEAD)
        del fields[name]
        with pytest.raises(IntegrityError):
            messages.parse_head(fields)
        with pytest.raises(IntegrityError):
            messages.parse_head(7)
