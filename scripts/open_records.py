"""For practitioners: list everything that was granted, and how large each record is.

python scripts/open_records.py PROFILE
"""

import sys

from panachain import connect

with connect(sys.argv[1], role="practitioner") as practitioner:
    for policy in filter(lambda policy: policy.active, practitioner.inbox()):
        for record in practitioner.open(policy):
            print(f"{record.info.category.value} {record.info.year or 'undated'}: {record.info.size} bytes")
