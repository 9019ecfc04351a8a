"""For researchers: count the policies on chain by their status.

python scripts/query_policies.py PROFILE
"""

import sys
from collections import Counter

from panachain import Network
from panachain.config import Config
from panachain.passphrase import read_passphrase
from panachain.sdk import open_actor
from panachain.sdk.profiles import load_profile


def main(profile: str) -> None:
    """Query, and print the counts with their provenance."""
    config = Config.load()
    with Network.open(config) as network:
        researcher = open_actor(network, load_profile(config.home, profile), read_passphrase("your profile"))
        result = researcher.query("policies")
        print(dict(Counter(row["status"] for row in result.rows)), result.provenance)


if __name__ == "__main__":
    main(*sys.argv[1:])
