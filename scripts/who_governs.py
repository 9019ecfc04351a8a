"""For administrators: show who has which role on both chains, as web3.py reads it.

python scripts/who_governs.py
"""

from panachain import Network
from panachain.chain.governance import appointments


def main() -> None:
    """Print a line for each role and account."""
    with Network.open() as network:
        for name, chain in (("mainchain", network.mainchain), ("sidechain", network.sidechain)):
            for one in appointments(chain.web3().panachain):
                print(f"{name}  {one.title:13}  {one.account}  acts after {one.delay} s")


if __name__ == "__main__":
    main()
