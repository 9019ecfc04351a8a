"""`panachain deploy --yes` for ape: deploys the contracts to the two chains that the settings name.

    ape run deploy

    PANACHAIN_MAINCHAIN_RPC, PANACHAIN_SIDECHAIN_RPC   the two nodes
    PANACHAIN_NETWORK_FILE        the network file to write
    PANACHAIN_DEPLOYER_KEY_FILE   a secret key in hex, mode 0600; pays on the mainchain, and has no power afterwards
    PANACHAIN_SIDECHAIN_DEPLOYER_KEY_FILE   the same for the sidechain, where nobody pays; a random key by default
    PANACHAIN_REGISTRAR           who admits and suspends
    PANACHAIN_ADMIN               who changes roles, after a delay; best a multisig, and not the registrar
    PANACHAIN_VALIDATORS          whose signatures checkpoint the sidechain, separated by commas
    PANACHAIN_QUORUM              how many of them are needed; more than half by default
    PANACHAIN_ADMIN_DELAY         seconds; two days by default
    PANACHAIN_CONFIRMATIONS       blocks that must follow a grant's before proxies take its shares; 1 by default

It pays without asking. All that it does is in panachain/cli/deploy.py, which ships in the wheel.
"""

from __future__ import annotations

import sys

from panachain.cli.main import main as panachain


def main() -> None:
    """Deploy, or end with the command's exit code."""
    if code := panachain(["deploy", "--yes"]):
        sys.exit(code)


if __name__ == "__main__":
    main()
