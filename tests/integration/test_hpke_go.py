"""Our seals and those of a second implementation, Go's own crypto/hpke: each opens what the other one sealed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from panachain.crypto import box, hpke, labels
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError

pytestmark = pytest.mark.deep

ROOT: Final = Path(__file__).resolve().parents[2]
CASES: Final = 200
INFOS: Final = [labels.TERMS, labels.PAIRING, labels.DEPOSIT, labels.RECEIPT_DETAIL, labels.GROUP_KEY, b""]


class Go:
    """The second implementation, which answers many questions in one run."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def ask(self, questions: list[dict[str, Any]]) -> list[dict[str, str]]:
        lines = "".join(json.dumps(question) + "\n" for question in questions)
        done = subprocess.run([self._program], input=lines, capture_output=True, text=True, timeout=240, check=True)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(questions)
        return answers


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Go:
    if shutil.which("go") is None:
        pytest.skip("no Go program: the second implementation of HPKE is built by Go 1.26 or later")
    program = tmp_path_factory.mktemp("go") / "hpke"
    subprocess.run(
        ["go", "build", "-mod=readonly", "-trimpath", "-o", str(program), "."],
        cwd=ROOT / "tools/hpke",
        env=os.environ | {"CGO_ENABLED": "0"},
        timeout=280,
        check=True,
    )
    return Go(program)


def cases() -> list[tuple[bytes, bytes, bytes]]:
    """Return seeds of keys, infos and messages of all sizes."""
    chance = random.Random(16)
    return [
        (chance.randbytes(32), INFOS[number % len(INFOS)], chance.randbytes(chance.choice([0, 1, 32, 32, 32, 5000])))
        for number in range(CASES)
    ]


def test_both_derive_the_same_public_keys(go: Go) -> None:
    seeds = [seed for seed, _, _ in cases()]
    told = go.ask([{"do": "public", "seed": seed.hex()} for seed in seeds])
    assert [one["bytes"] for one in told] == [hpke.SealingKey(seed).public.hex() for seed in seeds]


def test_go_opens_what_we_seal(go: Go) -> None:
    made = [(seed, info, plain, hpke.seal(hpke.SealingKey(seed).public, plain, info)) for seed, info, plain in cases()]
    told = go.ask([opening(seed, info, sealed) for seed, info, _, sealed in made])
    assert [one["error"] for one in told] == [""] * CASES
    assert [one["bytes"] for one in told] == [plain.hex() for _, _, plain, _ in made]


def test_we_open_what_go_seals(go: Go) -> None:
    asked = [
        {"do": "seal", "public": hpke.SealingKey(seed).public.hex(), "info": info.hex(), "bytes": plain.hex()}
        for seed, info, plain in cases()
    ]
    for told, (seed, info, plain) in zip(go.ask(asked), cases(), strict=True):
        assert told["error"] == ""
        assert hpke.open_(hpke.SealingKey(seed), bytes.fromhex(told["bytes"]), info) == plain


def test_both_refuse_what_was_changed(go: Go) -> None:
    chance, changed = random.Random(17), []
    for seed, info, plain in cases():
        sealed = bytearray(hpke.seal(hpke.SealingKey(seed).public, plain, info))
        sealed[chance.randrange(len(sealed))] ^= 1 << chance.randrange(8)
        changed.append((seed, info, bytes(sealed)))
    told = go.ask([opening(*one) for one in changed])
    assert all(one["error"] and not one["bytes"] for one in told)
    for seed, info, sealed in changed:
        with pytest.raises(IntegrityError):
            hpke.open_(hpke.SealingKey(seed), sealed, info)


def test_go_finds_the_key_of_a_box_in_its_first_bytes(go: Go) -> None:
    # A box is what its description says: whoever has HPKE and Tink's streams opens it without us.
    readers = [hpke.SealingKey(bytes([number]) * 32) for number in (1, 2)]
    sealed = box.seal_to_each([reader.public for reader in readers], b"message", labels.PAIRING)
    heads = [sealed[: box.SEAL_SIZE], sealed[box.SEAL_SIZE : 2 * box.SEAL_SIZE]]
    told = go.ask([opening(bytes([n + 1]) * 32, labels.PAIRING, head) for n, head in enumerate(heads)])
    assert len(bytes.fromhex(told[0]["bytes"])) == 32
    assert told[0] == told[1]


def test_a_seeds_own_key_is_one_of_gos(go: Go) -> None:
    seed = Seed(bytes(range(32)))
    (told,) = go.ask([{"do": "seal", "public": seed.sealing().public.hex(), "info": "", "bytes": b"hello".hex()}])
    assert hpke.open_(seed.sealing(), bytes.fromhex(told["bytes"]), b"") == b"hello"


def opening(seed: bytes, info: bytes, sealed: bytes) -> dict[str, str]:
    return {"do": "open", "seed": seed.hex(), "info": info.hex(), "bytes": sealed.hex()}
