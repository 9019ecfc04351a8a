"""For practitioners: list everything that was granted, and how large each record is.

python scripts/open_records.py PROFILE
"""

import sys

from panachain import Network
from panachain.config import Config
from panachain.passphrase import read_passphrase
from panachain.sdk import open_actor
from panachain.sdk.profiles import load_profile


def main(profile: str) -> None:
    """Open every active policy of the inbox."""
    config = Config.load()
    with Network.open(config) as network:
        practitioner = open_actor(network, load_profile(config.home, profile), read_passphrase("your profile"))
        for policy in practitioner.inbox():
            if policy.status.name == "ACTIVE":
                for record in practitioner.open(policy.policy_id):
                    print(record.info.category.value, record.info.year, record.info.size)


if __name__ == "__main__":
    main(*sys.argv[1:])
