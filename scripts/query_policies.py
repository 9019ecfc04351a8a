"""For researchers: count the policies on chain by what the contract says of them now, with web3.py.

python scripts/query_policies.py PROFILE
"""

import sys
from collections import Counter

from panachain import PolicyStatus, connect

with connect(sys.argv[1], role="researcher") as researcher:
    registry = (w3 := researcher.network.mainchain.web3()).panachain.policies
    granted = registry.events.PolicyGranted().get_logs(from_block=w3.panachain.from_block)
    states = Counter(registry.functions.statusOf(event.args.policyId).call() for event in granted)
    print(f"As of block {w3.eth.block_number}:", *(f"{n} {PolicyStatus(s).name.lower()}" for s, n in states.items()))
