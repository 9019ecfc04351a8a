"""Of a passcode a hash is kept that fits it alone."""

from __future__ import annotations

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from panachain.crypto import passcode


def test_fits_its_passcode_and_no_other() -> None:
    salt = passcode.new_salt()
    kept = passcode.hashed("428 913", salt)
    assert passcode.fits("428 913", salt, kept)
    assert not passcode.fits("428913", salt, kept)
    assert not passcode.fits("", salt, kept)
    assert not passcode.fits("428 913", passcode.new_salt(), kept)


def test_is_scrypt_with_the_documented_cost() -> None:
    salt = bytes(16)
    assert passcode.hashed("1234", salt) == Scrypt(salt=salt, length=32, n=32_768, r=8, p=1).derive(b"1234")


def test_a_lone_surrogate_is_a_wrong_passcode_and_no_fault() -> None:
    salt = passcode.new_salt()
    assert not passcode.fits("\ud800", salt, passcode.hashed("1234", salt))
