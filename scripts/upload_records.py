"""For hospitals: publish files and folders to a patient's lanes.

python scripts/upload_records.py PROFILE PATIENT PATH...
"""

import sys

from panachain import Network
from panachain.config import Config
from panachain.passphrase import read_passphrase
from panachain.sdk import open_actor
from panachain.sdk.profiles import load_profile


def main(profile: str, patient: str, *paths: str) -> None:
    """Upload, and print how many records were published."""
    config = Config.load()
    with Network.open(config) as network:
        hospital = open_actor(network, load_profile(config.home, profile), read_passphrase("the hospital's profile"))
        report = hospital.upload(paths, patient)
        print(f"{len(report.records)} records published, {report.skipped} were published before")


if __name__ == "__main__":
    main(*sys.argv[1:])
