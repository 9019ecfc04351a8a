"""Emergency desks: the groups whose keys open what patients granted for emergencies.

Such a policy names no desk: its terms name the patient, and the desk's key block by its digest. Never decides who is
served: the proxies ask the sidechain. Follows docs/spec/emergency.md and ADR 50.
"""

from __future__ import annotations

from panachain.errors import UnknownActorError
from panachain.model.actors import Actor, Address
from panachain.model.policy import Terms
from panachain.sdk.network import Network


def desk_of(network: Network, key_digest: bytes) -> Actor:
    """Return the group whose key block, or one before its renewals, has this digest.

    Raises:
        UnknownActorError: no group ever had it.
    """
    for group in network.sidechain.groups.find():
        if key_digest in (*group.earlier_keys, group.key_digest):
            return group
    raise UnknownActorError(
        "no group has the keys that the emergency policy was made for",
        hint="panachain emergency veto takes it back; panachain emergency prepare grants it anew",
    )


def keys_grantee(network: Network, terms: Terms) -> Address:
    """Return whose keys the kfrags of a policy are for: its grantee's, or those of an emergency desk."""
    return desk_of(network, terms.key_digest).address if terms.is_for_emergencies else terms.grantee
