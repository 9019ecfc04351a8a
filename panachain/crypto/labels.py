"""The one table of labels: every derivation, seal and signature names its use, so that no two can be confused.

Never reuse or change a label: a new meaning is a new line with a new number. Follows design section 3.
"""

from __future__ import annotations

from typing import Final

# Derivations from the seed (SecretKeyFactory: always hardened).
FACTORY_GENERATIONS: Final = b"panachain/1/generations"
FACTORY_LANES: Final = b"panachain/1/lanes"
FACTORY_LOCATORS: Final = b"panachain/1/locators"
FACTORY_PEPPERS: Final = b"panachain/1/peppers"
FACTORY_POLICIES: Final = b"panachain/1/policies"
SEED_ACCOUNT: Final = b"panachain/1/account"
SEED_SEALING: Final = b"panachain/1/sealing"
SEED_RECEIVING: Final = b"panachain/1/receiving"
SEED_SIGNER: Final = b"panachain/1/signer"
SEED_AUDIT: Final = b"panachain/2/audit"
SEED_STORE: Final = b"panachain/1/store"
SEED_LOG: Final = b"panachain/1/log"
SEED_WITNESS: Final = b"panachain/1/witness"

# Derivations from an envelope key (HKDF-SHA256).
ENVELOPE_COMMITMENT: Final = b"panachain/1/envelope/commitment"
ENVELOPE_CONTENT: Final = b"panachain/1/envelope/content"
ENVELOPE_INVENTORY: Final = b"panachain/1/envelope/inventory"
ENVELOPE_WORDS: Final = b"panachain/1/envelope/words"

# Derivations from a hospital's own pepper of a lane (HKDF-SHA256).
ENVELOPE_MASK: Final = b"panachain/envelope/3/mask"

# Derivations from a Diffie-Hellman secret (HKDF-SHA256).
NOTICE: Final = b"panachain/notice/1"

# What a proof's random number is hashed under.
UMBRAL_NONCE: Final = b"panachain/umbral/1/nonce"

# Associated data of seals.
HEADER_SLOT: Final = b"panachain/header/3/slot"
HEADER_BODY: Final = b"panachain/header/3/body"
PAIRING: Final = b"panachain/pairing/4"
REWRAP: Final = b"panachain/rewrap/2"
TERMS: Final = b"panachain/terms/3"
REQUEST: Final = b"panachain/request/2"
OUTCOME: Final = b"panachain/outcome/2"
EMERGENCY_REASON: Final = b"panachain/emergency-reason/1"
GROUP_KEY: Final = b"panachain/group-key/3"
WARD_PAPERS: Final = b"panachain/ward-papers/1"
WARD_HANDOVER: Final = b"panachain/ward-handover/1"
BLOCKED: Final = b"panachain/blocked/1"
BOOKS: Final = b"panachain/books/1"
GUARDIANS: Final = b"panachain/guardians/1"
GUARDIAN_INVITATION: Final = b"panachain/guardian-invitation/1"
GUARDIAN_ANSWER: Final = b"panachain/guardian-answer/1"
PENDING_GRANT: Final = b"panachain/pending-grant/2"
DEPOSIT: Final = b"panachain/deposit/3"
RECEIPT_DETAIL: Final = b"panachain/receipt/2/detail"
KFRAG_AT_REST: Final = b"panachain/kfrag/1"
COUNTED: Final = b"panachain/counted/1"
WALLET: Final = b"panachain/wallet/2"
EXPORT: Final = b"panachain/1/export"

# Derivations from the key for what an actor keeps, and its associated data (HKDF-SHA256).
KEPT: Final = b"panachain/kept/1"
PERSONS: Final = b"panachain/persons/1"
WARD_ACCOUNT: Final = b"panachain/ward-account/1"
RESOURCES: Final = b"panachain/resources/1"

# Derivations from what opens a key store: from a passphrase by Argon2id, from an authenticator's answer, and from its
# data key (HKDF-SHA256).
KEY_STORE_WRAP: Final = b"panachain/key-store/2/wrap"
KEY_STORE_COMMITMENT: Final = b"panachain/key-store/2/commitment"
KEY_STORE_SEED: Final = b"panachain/key-store/2/seed"
KEY_STORE_SECURITY_KEY: Final = b"panachain/key-store/2/security-key"
KEY_STORE_PASSKEY: Final = b"panachain/key-store/2/passkey"

# Prefixes of signed messages.
HEADER_SIGNATURE: Final = b"panachain/header/3/signature"
RECEIPT: Final = b"panachain/receipt/1"
VIEWER: Final = b"panachain/viewer/1"

# Prefixes of digests that stay on this machine.
LARGE_SOURCE: Final = b"panachain/1/large-source"

# Prefixes of digests that only receipts' details hold.
CAPSULE_MARK: Final = b"panachain/receipt/2/capsule"

# Prefixes of digests in a challenge for tokens (RFC 9577, redemption context).
TOKEN_PERIOD: Final = b"panachain/token-period/1"

# Prefixes of keys in the sorted map beside a proxy's log (HMAC-SHA256 under the audit key).
LOG_MAP: Final = b"panachain/log-map/1"

# Names what a signature line of a note holds that the notes' specification doesn't define.
LOG_KEY: Final = b"panachain/log-key/1"


# Salt of the words that are read out for a question to guardians (scrypt).
GUARDIAN_CODE: Final = b"panachain/guardian-code/1"
