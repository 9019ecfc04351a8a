"""The process that checks signatures: what it is asked, and how it answers."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

import panachain
from panachain import beside
from panachain.crypto import umbral
from panachain.crypto.keys import Seed
from panachain.crypto.signature_worker import question

SIGNER = Seed.random().signer()


def test_a_question_tells_digests_and_nothing_that_was_signed() -> None:
    asked = question(SIGNER.public, [(b"what a header says" * 20, bytes(64))])
    assert len(asked) == 33 + 4 + 32 + 64
    assert b"what a header says" not in asked
    for key, signature in ((SIGNER.public, bytes(63)), (SIGNER.public, bytes(65)), (bytes(32), bytes(64))):
        with pytest.raises(ValueError, match="size"):
            question(key, [(b"", signature)])


def test_one_process_answers_each_question_in_its_turn() -> None:
    chance, other = random.Random(1), Seed.random().signer()
    signed = [(bytes([number]), one.sign(bytes([number]))) for one in (SIGNER, other) for number in range(20)]
    asked, expected = [], []
    for _ in range(40):
        key, some = chance.choice([SIGNER, other]).public, chance.sample(signed, chance.randrange(9))
        asked.append(question(key, some))
        expected += umbral.verify_all(key, some)
    told = [*beside.flags(), *beside.command("panachain.crypto.signature_worker"), panachain.__version__]
    done = subprocess.run([sys.executable, *told], input=b"".join(asked), capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (bytes(expected), b"")
