"""For patients: let a practitioner read parts of your record for thirty days.

python scripts/grant_access.py PROFILE GRANTEE CATEGORY...
"""

import sys
from datetime import timedelta

from panachain import connect

profile, grantee, *categories = sys.argv[1:]
with connect(profile, role="patient") as patient:
    policy = patient.grant(grantee, categories, until=timedelta(days=30))
    print(f"{grantee} may read {', '.join(policy.scopes)} until {policy.expires.astimezone():%d %B %Y, %H:%M}")
