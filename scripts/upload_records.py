"""For hospitals: publish files and folders to a patient's lanes.

python scripts/upload_records.py PROFILE PATIENT PATH...
"""

import sys

from panachain import connect

profile, patient, *paths = sys.argv[1:]
with connect(profile, role="hospital") as hospital:
    report = hospital.upload(paths, patient)
    print(f"{len(report.records)} records published, {report.skipped} were published before")
