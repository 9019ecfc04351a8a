"""How long keys, signatures and Umbral's parts are, in bytes: what messages, chain and cryptography agree on.

Imports nothing, so that a command which only reads a message needn't load the cryptography for it. The sizes of Umbral
are those of nucypher_core, which a test of `crypto/umbral/` measures; the others follow SEC 1, EIP-712 and ERC-2098.
"""

from __future__ import annotations

from typing import Final

PUBLIC_SIZE: Final = 33
"""A compressed public key on secp256k1 (SEC 1, section 2.3.3)."""
SEALING_SIZE: Final = 1216
"""A public key of MLKEM768-X25519: ML-KEM-768's 1,184 bytes and X25519's 32 (draft-ietf-hpke-pq)."""
SEAL_OVERHEAD: Final = 1136
"""By how much HPKE makes a message longer: ML-KEM's ciphertext, X25519's key, a tag (1,088 + 32 + 16)."""
KEY_SIZE: Final = 32
"""A symmetric key, a secret scalar of secp256k1, or the seed that keys are derived from."""
HASH_SIZE: Final = 32
"""A Keccak-256 or SHA-256 digest, a word of the chain."""
ADDRESS_SIZE: Final = 20
"""An account of the chain."""
SIGNATURE_SIZE: Final = 65
"""An account's signature r ‖ s ‖ v, as EIP-712 statements carry it."""
COMPACT_SIGNATURE_SIZE: Final = 64
"""An account's signature r ‖ (parity, s), as ERC-2098 packs it for the chain."""
UMBRAL_SIGNATURE_SIZE: Final = 64
"""A signature by Umbral's signer, r ‖ s."""
NONCE_SIZE: Final = 16
"""The random number by which a signed request counts once."""
CAPSULE_SIZE: Final = 105
"""The part of a wrap that a proxy needs."""
KFRAG_SIZE: Final = 310
"""One proxy's share of the key from a lane to a grantee."""
CFRAG_SIZE: Final = 381
"""What a proxy makes of a capsule with its kfrag."""
