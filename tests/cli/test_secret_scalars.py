"""The check that secret scalars reach only functions whose time doesn't tell them (security rule 39)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import panachain
from scripts.check_secret_scalars import CURVE, faults

pytestmark = pytest.mark.checkout
PACKAGE = Path(panachain.__file__).parent
SCHEME = "crypto/umbral/scheme.py"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in (CURVE, *(f"crypto/umbral/{one.name}" for one in (PACKAGE / "crypto/umbral").glob("*.py"))):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, tmp_path / name)
    return tmp_path


def test_nothing_contradicts_it() -> None:
    assert list(faults(PACKAGE)) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        # A secret meets the function that took 6.9 to 31 microseconds, by scalar.
        (CURVE, "lib.secp256k1_ecdh(", "lib.secp256k1_ec_pubkey_tweak_mul(", "is used in Scalar.times"),
        (CURVE, '"secp256k1_ecdh",', '"secp256k1_ecdh", "secp256k1_ec_pubkey_tweak_mul",', "differs from the reviewed"),
        # It is compared, given another name, or got at by its name in text.
        (CURVE, "        made = self._copy()\n", "        made = self._memory\n", "is used in Scalar.plus"),
        (CURVE, '        return "Scalar()"', "        return str(self._memory[0])", "is used in Scalar.__repr__"),
        (CURVE, '        return "Scalar()"', '        return str(getattr(self, "_memory"))', "named 3 times"),
        (SCHEME, "    seed, proof = e + v,", "    seed, proof = weights[0]._memory,", "outside panachain/secp256k1.py"),
        # It becomes bytes or a number where nobody looked at it.
        (SCHEME, "value = polynomial[-1]", "value = Scalar(polynomial[-1].reveal())", "_value calls reveal"),
        (SCHEME, "value = polynomial[-1]", "value = int.from_bytes(polynomial, 'big')", "_value calls from_bytes"),
        (SCHEME, "import os\n", "import os\nfrom coincurve import _libsecp256k1\n", "named outside"),
        # A reason that nothing needs any more.
        (SCHEME, "z = t.plus(kfrag._key.by(Scalar(_bytes(h)))).reveal()", "z = bytes(32)", "any more"),
    ],
)
def test_each_way_around_it_is_found(copy: Path, name: str, old: str, new: str, said: str) -> None:
    assert list(faults(copy)) == []
    text = (copy / name).read_text()
    assert old in text
    (copy / name).write_text(text.replace(old, new, 1))
    assert any(said in fault for fault in faults(copy))
