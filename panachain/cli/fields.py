"""What people read of a result: under which title each of its fields stands, and of which kind it is.

Writes nothing: `cli/output.py` says how each kind is written. Follows docs/spec/cli.md, section "Output".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from panachain.model.actors import Role


@dataclass(frozen=True)
class Field:
    """How people read one field of a result."""

    title: str
    kind: str = "text"
    """One of the kinds that `cli/output.py` writes."""
    role: Role | None = None
    """Of whom an address is, where the field says so: then no registry is asked for the handle."""


FIELDS: Final[Mapping[str, Field]] = {
    "address": Field("address", "hex"),
    "at": Field("when", "time"),
    "block_time": Field("as of", "time"),
    "categories": Field("what", "scopes"),
    "content_cid": Field("content", "cid"),
    "expires_at": Field("until", "until"),
    "gas": Field("gas", "count"),
    "granted": Field("granted", "scopes"),
    "grantee": Field("granted to", "who"),
    "blocks": Field("blocks", "count"),
    "checked": Field("checked", "count"),
    "entries": Field("entries", "count"),
    "freed": Field("freed", "size"),
    "healed": Field("healed", "count"),
    "kept": Field("kept", "count"),
    "lost": Field("lost", "count"),
    "pid": Field("process", "number"),
    "pins": Field("pins", "count"),
    "removed": Field("removed", "count"),
    "year": Field("year", "year"),
    "young": Field("young", "count"),
    "announcement": Field("announcement", "hex"),
    "as_member_of": Field("as member of", "who"),
    "count": Field("count", "count"),
    "granted_at": Field("granted", "time"),
    "granted_to": Field("granted to", "who"),
    "group": Field("group", "who", Role.GROUP),
    "manifest": Field("manifest", "hex"),
    "previous": Field("previous", "hex"),
    "records": Field("records", "count"),
    "study": Field("study", "who"),
    "terms": Field("terms", "hex"),
    "wants": Field("made for", "scopes"),
    "what": Field("what", "scopes"),
    "when": Field("when", "time"),
    "who": Field("who", "who"),
    "hospital": Field("hospital", "who", Role.HOSPITAL),
    "hospitals": Field("hospitals told", "who", Role.HOSPITAL),
    "id": Field("record", "cid"),
    "key_block": Field("key block", "hex"),
    "key_digest": Field("keys, SHA-256", "hex"),
    "earlier_key_digest": Field("keys before, SHA-256", "hex"),
    "earlier_ends_at": Field("keys before end", "time"),
    "valid_from": Field("since", "time"),
    "manager": Field("manager", "who", Role.PRACTITIONER),
    "manifest_cid": Field("manifest", "cid"),
    "account": Field("account", "who"),
    "invited": Field("invited", "who", Role.PRACTITIONER),
    "members": Field("members", "who", Role.PRACTITIONER),
    "organisation": Field("organisation", "who", Role.HOSPITAL),
    "pairing_cid": Field("pairing", "cid"),
    "patient": Field("patient", "who", Role.PATIENT),
    "policy_id": Field("policy", "hex"),
    "proxy": Field("proxy", "who", Role.PROXY),
    "publisher": Field("published by", "who"),
    "purpose": Field("why", "purposes"),
    "purposes": Field("why", "purposes"),
    "referrer": Field("referred by", "who", Role.PRACTITIONER),
    "requester": Field("who", "who"),
    "ward": Field("ward", "who", Role.PATIENT),
    "carer": Field("carer", "who"),
    "by": Field("by", "who"),
    "about": Field("with", "who"),
    "acts_in": Field("acts in", "scopes"),
    "keeps": Field("ward keeps", "scopes"),
    "keeps_from": Field("kept from", "time"),
    "started_at": Field("attested", "time"),
    "ends_at": Field("until", "until"),
    "ended_at": Field("ended", "time"),
    "practitioner": Field("asked by", "who", Role.PRACTITIONER),
    "cosigner": Field("co-signed by", "who", Role.PRACTITIONER),
    "requested_at": Field("asked", "time"),
    "review_due_at": Field("review until", "time"),
    "scope": Field("what", "scopes"),
    "scopes": Field("what", "scopes"),
    "size": Field("size", "size"),
    "starts_at": Field("from", "time"),
    "state": Field("state", "state"),
    "status": Field("status", "state"),
    "standing": Field("checked", "state"),
    "stored_at": Field("stored", "time"),
    "terms_cid": Field("terms", "cid"),
    "tx": Field("transaction", "hex"),
    "transactions": Field("transactions", "hex"),
    "until": Field("until", "until"),
}
"""Key of a result → how people read it. What isn't listed is text under its own name."""


def kind_of(name: str) -> str:
    """Return of which kind a field is."""
    return FIELDS[name].kind if name in FIELDS else "text"


def is_whole(name: str) -> bool:
    """Tell whether a field holds one identifier, which a table doesn't break over lines."""
    return kind_of(name) in ("hex", "cid") and name != "transactions"
