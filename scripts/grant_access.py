"""For patients: let a practitioner read parts of your record for thirty days.

python scripts/grant_access.py PROFILE GRANTEE CATEGORY...
"""

import sys
import time

from panachain import Network
from panachain.config import Config
from panachain.model.scope import Purpose
from panachain.passphrase import read_passphrase
from panachain.sdk import open_actor
from panachain.sdk.profiles import load_profile


def main(profile: str, grantee: str, *categories: str) -> None:
    """Grant, and print the policy's ID."""
    config = Config.load()
    with Network.open(config) as network:
        patient = open_actor(network, load_profile(config.home, profile), read_passphrase("your profile"))
        until = int(time.time()) + 30 * 86_400
        policy = patient.grant(grantee, categories, purpose=Purpose.TREAT, until=until)
        print(policy.policy_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
