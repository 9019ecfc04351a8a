"""A key store's content: opened by a second reader of docs/spec/formats.md, and by nothing that was changed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panachain.crypto import wraps
from panachain.crypto.wraps import DRAWN, PASSPHRASE, Cost, DataKey, Sealed
from panachain.errors import LockedError
from panachain.model.credentials import PASSKEY, SECURITY_KEY, Answer, Credential
from tests.keystores import make_cheap

SEED = bytes(range(32))
WORDS = "Grüße, 漢字 and spaces "


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    make_cheap(monkeypatch, for_this_process_only=True)


def sealed(passphrase: str = WORDS, kind: str = PASSPHRASE) -> Sealed:
    return wraps.seal(SEED, passphrase, kind=kind)[0]


def opened(store: Sealed, passphrase: str = WORDS) -> bytes:
    return wraps.open_seed(store, wraps.unlock(store, passphrase)[0])


def again(fields: dict[str, Any]) -> Sealed:
    return wraps.parse(wraps.read(json.dumps(fields).encode()))


def as_fields(store: Sealed) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(store.encode())
    return fields


class TestFormat:
    def test_a_second_reader_of_the_specification_opens_it(self) -> None:
        # As docs/spec/formats.md has it, with HMAC for HKDF-Expand's one block, and none of our code.
        fields = as_fields(sealed())
        (lock,) = fields["wraps"]

        def expand(key: bytes, label: bytes) -> bytes:
            return hmac.digest(key, bytes([len(label)]) + label + b"\x01", hashlib.sha256)

        def canonical(value: object) -> bytes:
            return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

        key = Argon2id(
            salt=bytes.fromhex(lock["salt"]),
            length=32,
            iterations=lock["iterations"],
            lanes=lock["lanes"],
            memory_cost=lock["memory"],
        ).derive(WORDS.encode())
        assert expand(key, b"panachain/key-store/2/commitment").hex() == lock["commitment"]
        header = {name: value for name, value in lock.items() if name != "sealed"}
        data_key = AESGCM(expand(key, b"panachain/key-store/2/wrap")).decrypt(
            bytes.fromhex(lock["nonce"]),
            bytes.fromhex(lock["sealed"]),
            canonical({"schema": fields["schema"], "id": fields["id"], "wrap": header}),
        )
        body = fields.pop("seed")
        cipher = AESGCM(expand(data_key, b"panachain/key-store/2/seed"))
        assert cipher.decrypt(bytes.fromhex(body["nonce"]), bytes.fromhex(body["sealed"]), canonical(fields)) == SEED

    @pytest.mark.parametrize(
        ("cost", "expected"),
        [
            # Of the reference implementation's src/test.c, Argon2id, version 0x13.
            (Cost(1 << 16, 2, 1), "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"),
            (Cost(1 << 8, 2, 1), "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"),
            (Cost(1 << 8, 2, 2), "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"),
            (Cost(1 << 16, 1, 1), "f6a5adc1ba723dddef9b5ac1d464e180fcd9dffc9d1cbf76cca2fed795d9ca98"),
        ],
    )
    def test_argon2id_is_the_reference_implementations(self, cost: Cost, expected: str) -> None:
        assert wraps._derive("password", b"somesalt", cost).hex() == expected

    def test_what_a_person_thought_of_costs_a_guesser_256_mib_and_three_passes(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            # The session's own fixture makes it cheap; here the constants of the file count.
            source = vars(wraps)["__spec__"].loader.get_source("panachain.crypto.wraps")
            assert "USUAL: Final = Cost(memory=1 << 18, iterations=3, lanes=4)" in source
            assert "LEAST: Final = Cost(memory=19 << 10, iterations=2, lanes=1)" in source
            assert "MOST: Final = Cost(memory=1 << 20, iterations=3, lanes=16)" in source
            derived: list[Cost] = []
            patch.setattr(wraps, "USUAL", Cost(1 << 18, 3, 4))
            patch.setattr(wraps, "LEAST", Cost(19 << 10, 2, 1))
            patch.setattr(wraps, "_derive", lambda _, __, cost: derived.append(cost) or bytes(32))
            sealed()
            sealed(kind=DRAWN)
            assert derived == [Cost(1 << 18, 3, 4), Cost(19 << 10, 2, 1)]

    def test_two_of_one_seed_have_nothing_in_common(self) -> None:
        one, other = as_fields(sealed()), as_fields(sealed())
        assert one["id"] != other["id"]
        assert one["seed"] != other["seed"]
        same = {name for name, value in one["wraps"][0].items() if other["wraps"][0][name] == value}
        assert same == {"kind", "kdf", "memory", "iterations", "lanes"}

    def test_letters_have_one_spelling(self) -> None:
        assert opened(sealed("Gru\u0308n"), "Gr\u00fcn") == SEED

    def test_a_data_key_shows_nothing_of_it(self) -> None:
        _, key = wraps.seal(SEED, WORDS, kind=PASSPHRASE)
        assert repr(key) == str(key) == "DataKey()"
        assert key.reveal().hex() not in repr([key])


class TestSeveral:
    """Each lock opens, and none that wasn't there when the seed was sealed."""

    def two(self) -> tuple[Sealed, DataKey]:
        store, key = wraps.seal(SEED, "one", kind=PASSPHRASE)
        store = replace(store, wraps=(*store.wraps, wraps.lock(store, key, "two", kind=DRAWN)))
        return wraps.seal_again(store, key, SEED), key

    def test_each_opens(self) -> None:
        store, _ = self.two()
        assert opened(again(as_fields(store)), "one") == opened(again(as_fields(store)), "two") == SEED
        assert [wraps.unlock(store, words)[1].kind for words in ("one", "two")] == [PASSPHRASE, DRAWN]
        with pytest.raises(ValueError, match="no lock opens"):
            wraps.unlock(store, "three")

    def test_one_that_was_taken_out_turned_around_or_put_back_is_noticed(self) -> None:
        store, key = self.two()
        less = wraps.seal_again(replace(store, wraps=store.wraps[:1]), key, SEED)
        for forged in (
            replace(store, wraps=store.wraps[:1]),
            replace(store, wraps=store.wraps[::-1]),
            # The lock of an older file: its passphrase was given up since.
            replace(less, wraps=store.wraps),
        ):
            with pytest.raises(ValueError, match="the file was changed"):
                opened(forged, "one")

    def test_one_of_a_kind_that_is_unknown_is_kept_and_covered(self) -> None:
        store, key = self.two()
        strange = wraps.Wrap("smart-card", {"kind": "smart-card", "certificate": "ab", "counter": 7})
        store = wraps.seal_again(replace(store, wraps=(strange, *store.wraps)), key, SEED)
        read = again(as_fields(store))
        assert read == store
        assert read.wraps[0].cost is None
        assert opened(read, "two") == SEED
        forged = as_fields(store)
        forged["wraps"][0]["counter"] = 8
        with pytest.raises(ValueError, match="the file was changed"):
            opened(again(forged), "two")

    def test_one_of_another_key_store_doesnt_fit(self) -> None:
        store, other = sealed(), sealed()
        with pytest.raises(ValueError, match="the lock is damaged"):
            opened(replace(store, wraps=other.wraps))
        with pytest.raises(ValueError, match="another data key"):
            wraps.open_seed(store, wraps.unlock(other, WORDS)[0])


def mutations(fields: dict[str, Any], lock: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the content with each value changed by one bit, or put where it doesn't belong."""
    for where in ((), ("seed",), ("wraps", lock)):
        for name, value in _at(fields, where).items():
            if isinstance(value, str) and value and all(letter in "0123456789abcdef" for letter in value):
                flipped = f"{int(value[0], 16) ^ 1:x}"
                changes: list[Any] = [flipped + value[1:], value[2:], value + "00", value.upper() + " ", 7, None]
            else:
                changes = [None, [], {}, "x", True, -1, 1.5, 1 << 40]
            for change in changes:
                copy = json.loads(json.dumps(fields))
                _at(copy, where)[name] = change
                yield copy
            copy = json.loads(json.dumps(fields))
            del _at(copy, where)[name]
            yield copy
        copy = json.loads(json.dumps(fields))
        _at(copy, where)["more"] = 1
        yield copy


def _at(fields: Any, where: tuple[Any, ...]) -> dict[str, Any]:
    for part in where:
        fields = fields[part]
    found: dict[str, Any] = fields
    return found


def test_nothing_that_was_changed_opens() -> None:
    tried = 0
    for fields in mutations(as_fields(sealed())):
        with pytest.raises((LockedError, ValueError, KeyError, TypeError)):
            opened(again(fields))
        tried += 1
    assert tried > 60


class TestAsked:
    """Locks that an authenticator opens: by the answer of their own kind, credential and file, and by nothing else."""

    def of(self, kind: str = SECURITY_KEY, host: str = "") -> tuple[Sealed, DataKey, Credential, Answer]:
        store, key = wraps.seal(SEED, WORDS, kind=PASSPHRASE)
        credential = Credential(kind, b"\x01" * 48, b"\x02" * 32, True, host, "blauer Schlüssel")
        answer = Answer(kind, credential.id, b"\x03" * 32)
        store = replace(store, wraps=(*store.wraps, wraps.lock_by(store, key, credential, answer)))
        return wraps.seal_again(store, key, SEED), key, credential, answer

    def passkey(self) -> tuple[Sealed, DataKey, Credential, Answer]:
        return self.of(PASSKEY, "0123456789abcdef.localhost")

    @pytest.mark.parametrize("which", ["of", "passkey"])
    def test_its_answer_opens_it_and_its_file_says_what_to_ask(self, which: str) -> None:
        store, _, credential, answer = getattr(self, which)()
        read = again(as_fields(store))
        key, lock = wraps.unlock_by(read, answer)
        assert wraps.open_seed(read, key) == opened(read) == SEED
        found = wraps.credential_of(lock)
        assert found == replace(credential, mark=lock.mark)
        assert wraps.credential_of(read.wraps[0]) is None
        assert answer.secret.hex() not in json.dumps(as_fields(store))
        assert lock.cost is None

    @pytest.mark.parametrize("kind", [SECURITY_KEY, PASSKEY])
    def test_a_second_reader_of_the_specification_opens_it(self, kind: str) -> None:
        store, _, _, answer = self.of() if kind == SECURITY_KEY else self.passkey()
        fields = as_fields(store)
        lock = fields["wraps"][1]

        def expand(key: bytes, info: bytes) -> bytes:
            return hmac.digest(key, info + b"\x01", hashlib.sha256)

        def labelled(key: bytes, label: bytes) -> bytes:
            return expand(key, bytes([len(label)]) + label)

        def canonical(value: object) -> bytes:
            return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

        # HKDF-Extract with the file's key as salt, then HKDF-Expand under the label of its kind (RFC 5869).
        extracted = hmac.digest(bytes.fromhex(lock["file-key"]), answer.secret, hashlib.sha256)
        key = expand(extracted, b"panachain/key-store/2/" + kind.encode())
        assert labelled(key, b"panachain/key-store/2/commitment").hex() == lock["commitment"]
        data_key = AESGCM(labelled(key, b"panachain/key-store/2/wrap")).decrypt(
            bytes.fromhex(lock["nonce"]),
            bytes.fromhex(lock["sealed"]),
            canonical(
                {
                    "schema": fields["schema"],
                    "id": fields["id"],
                    "wrap": {name: value for name, value in lock.items() if name != "sealed"},
                }
            ),
        )
        assert wraps.open_seed(store, DataKey(data_key)) == SEED

    def test_no_other_answer_opens_it(self) -> None:
        store, _, _, answer = self.of()
        other, _, _, _ = self.passkey()
        for wrong in (
            replace(answer, secret=b"\x04" * 32),
            replace(answer, secret=b"\x03" * 31),
            replace(answer, credential=b"\x01" * 47),
            replace(answer, kind=PASSKEY),
        ):
            with pytest.raises(ValueError, match=r"no lock opens|no answer"):
                wraps.unlock_by(store, wrong)
        # What a page got from a passkey opens no lock of a security key, under whatever name.
        with pytest.raises(ValueError, match="no lock opens"):
            wraps.unlock_by(other, answer)
        # Nor does it open another key store's, without that one's file.
        copied = replace(store, wraps=(store.wraps[0], again(as_fields(self.of()[0])).wraps[1]))
        with pytest.raises(ValueError, match="the lock is damaged"):
            wraps.unlock_by(copied, answer)

    def test_the_answer_alone_is_nothing_without_what_the_file_keeps(self) -> None:
        # Two locks of one answer: what differs is drawn for each, and no page is ever sent it.
        (one, _, _, answer), (other, _, _, _) = self.of(), self.of()
        locks = [store.wraps[1].fields for store in (one, other)]
        assert locks[0]["file-key"] != locks[1]["file-key"]
        assert locks[0]["commitment"] != locks[1]["commitment"]
        assert wraps._key_of(answer, one.wraps[1].bytes_of("file-key")) != wraps._key_of(answer, bytes(32))

    @pytest.mark.parametrize("which", ["of", "passkey"])
    def test_nothing_that_was_changed_opens(self, which: str) -> None:
        store, _, _, answer = getattr(self, which)()
        tried = 0

        def opens(fields: dict[str, Any]) -> bytes:
            changed = again(fields)
            return wraps.open_seed(changed, wraps.unlock_by(changed, answer)[0])

        for fields in mutations(as_fields(store), 1):
            with pytest.raises((LockedError, ValueError, KeyError, TypeError)):
                opens(fields)
            tried += 1
        assert tried > 80

    @pytest.mark.parametrize(
        "change",
        [
            {"credential": ""},
            {"credential": "ab" * 513},
            {"label": "c3"},
            {"label": b"\x1b[2J".hex()},
            {"label": "61" * 65},
            {"verified": 2},
            {"verified": True},
            {"host": "evil.example"},
            {"kind": "passkey"},
            {"kind": "passkey", "host": "UPPER.example"},
            {"kind": "passkey", "host": "a..."},
            {"kind": "passkey", "host": "x" * 64},
        ],
        ids=str,
    )
    def test_values_that_no_lock_has_are_refused(self, change: dict[str, Any]) -> None:
        fields = as_fields(self.of()[0])
        fields["wraps"][1] |= change
        with pytest.raises(ValueError):  # noqa: PT011 - that it is refused is all.
            again(fields)

    def test_eight_of_the_largest_fit_into_a_file(self) -> None:
        store, key = wraps.seal(SEED, WORDS, kind=PASSPHRASE)
        for number in range(7):
            credential = Credential(PASSKEY, bytes([number]) * 512, bytes(32), True, "x" * 63, "ü" * 32)
            lock = wraps.lock_by(store, key, credential, Answer(PASSKEY, credential.id, bytes(32)))
            store = replace(store, wraps=(*store.wraps, lock))
        content = wraps.seal_again(store, key, SEED).encode()
        assert len(content) <= wraps.MAX_SIZE
        assert opened(wraps.parse(wraps.read(content))) == SEED

    def test_a_weak_lock_beside_it_is_refused_as_ever(self) -> None:
        fields = as_fields(self.of()[0])
        fields["wraps"][0] |= {"memory": 8, "iterations": 0}
        with pytest.raises((LockedError, ValueError)):
            again(fields)

    def test_an_answer_shows_nothing_of_it(self) -> None:
        _, _, _, answer = self.of()
        assert "\\x03" not in repr(answer)


HOSTILE = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=600).map(bytes.hex)
)


@HOSTILE
@given(
    fields=st.dictionaries(
        st.sampled_from(
            [
                "kind",
                "label",
                "credential",
                "salt",
                "file-key",
                "verified",
                "host",
                "nonce",
                "commitment",
                "sealed",
                "more",
            ]
        ),
        VALUES | st.sampled_from([SECURITY_KEY, PASSKEY, "x.localhost", "00" * 32, 1]) | st.lists(VALUES, max_size=2),
    )
)
def test_whatever_stands_in_a_lock_is_refused_or_a_lock(fields: dict[str, Any]) -> None:
    whole = as_fields(TestAsked().of()[0])
    for lock in (fields, whole["wraps"][1] | fields):
        try:
            store = again(whole | {"wraps": [whole["wraps"][0], lock]})
        except (LockedError, ValueError, KeyError, TypeError):
            continue
        found = wraps.credential_of(store.wraps[1])
        assert found is None or (1 <= len(found.id) <= 512 and len(found.salt) == 32 and found.label.isprintable())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"7",
        b'"x"',
        b"null",
        b"\xff",
        b"{} {}",
        b'{"a":1,"a":2}',
        b"[" * 9_000,
        b'{"a":' * 900,
        b"[1,1]" * 99,
    ],
)
def test_what_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message tells nothing of it.
        wraps.read(content)


class TestCost:
    """Nothing is derived before the cost of all locks together is known."""

    @pytest.fixture
    def derived(self, monkeypatch: pytest.MonkeyPatch) -> list[Cost]:
        found: list[Cost] = []
        monkeypatch.setattr(wraps, "USUAL", Cost(1 << 18, 3, 4))
        monkeypatch.setattr(wraps, "LEAST", Cost(19 << 10, 2, 1))
        monkeypatch.setattr(wraps, "MOST", Cost(1 << 20, 3, 16))
        monkeypatch.setattr(
            wraps, "_derive", lambda text, _, cost: found.append(cost) or hashlib.sha256(text.encode()).digest()
        )
        return found

    def of(self, *costs: tuple[int, int, int]) -> dict[str, Any]:
        fields = as_fields(sealed())
        lock = fields["wraps"][0]
        fields["wraps"] = [lock | dict(zip(("memory", "iterations", "lanes"), cost, strict=True)) for cost in costs]
        return fields

    @pytest.mark.parametrize(
        "costs",
        [
            [(19 << 10, 2, 1)],
            [(1 << 18, 3, 4)],
            [(1 << 20, 3, 4)],
            [(1 << 18, 12, 4)],
            [(1 << 18, 3, 4)] * 4,
            [(1 << 18, 3, 16)],
        ],
    )
    def test_up_to_four_times_the_usual_is_tried(self, derived: list[Cost], costs: list[tuple[int, int, int]]) -> None:
        fields = self.of(*costs)
        derived.clear()
        with pytest.raises(ValueError, match="no lock opens"):
            wraps.unlock(again(fields), "wrong")
        assert derived == [Cost(*cost) for cost in costs]

    @pytest.mark.parametrize(
        ("costs", "said"),
        [
            ([((19 << 10) - 1, 2, 1)], "weaker than"),
            ([(19 << 10, 1, 1)], "weaker than"),
            ([(1 << 18, 3, 4), (8, 1, 1)], "weaker than"),
            ([((1 << 20) + 1, 1, 1)], "more than 4 times"),
            ([(1 << 18, 13, 4)], "more than 4 times"),
            ([(1 << 18, 3, 17)], "more than 4 times"),
            ([(1 << 18, 3, 4)] * 5, "more than 4 times"),
            ([(1 << 30, 1 << 30, 1)], "more than 4 times"),
        ],
    )
    def test_what_is_weak_or_costs_more_is_refused(
        self, derived: list[Cost], costs: list[tuple[int, int, int]], said: str
    ) -> None:
        fields = self.of(*costs)
        derived.clear()
        with pytest.raises(LockedError, match=said):
            again(fields)
        assert derived == []

    def test_nine_locks_are_too_many(self, derived: list[Cost]) -> None:
        with pytest.raises(ValueError, match="number of locks"):
            again(self.of(*[(19 << 10, 2, 1)] * 9))
        assert again(self.of(*[(19 << 10, 2, 1)] * 8))

    def test_a_machine_without_the_memory_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def none(*_: object) -> bytes:
            raise MemoryError

        monkeypatch.setattr(wraps, "Argon2id", lambda **_: type("None", (), {"derive": none})())
        with pytest.raises(LockedError, match="hasn't the"):
            sealed()


def test_a_seal_that_opens_under_two_passphrases_is_refused_by_its_commitment() -> None:
    store = sealed("one")
    lock = store.wraps[0]
    # Whatever its seal would open under, another passphrase's commitment isn't this one.
    other = wraps._derive("two", lock.bytes_of("salt"), Cost(8, 1, 1))
    with pytest.raises(InvalidTag):
        AESGCM(other).decrypt(lock.bytes_of("nonce"), lock.bytes_of("sealed"), b"")
    with pytest.raises(ValueError, match="no lock opens"):
        wraps.unlock(store, "two")
