"""The story that the demo tells, clicked through by persons who know the words on the pages and no more.

The hospital publishes, the practitioner asks, the patient grants, reads who read and takes it back, the practitioner is
refused in words, the researcher sees what the chain shows, and who runs the services how those are. Each step ends with
what its person is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from panachain.records.samples import sample_bundle, sample_dicom
from tests.portal import showing
from tests.portal.person import Name, Person, Several, Viewed

PEOPLE: Final = ("patient", "hospital", "clinician", "researcher", "registrar")
"""Who takes part; their profiles are called so."""


def tell(people: Mapping[str, Person], folder: Path) -> None:
    """Tell it.

    Args:
        people: of `PEOPLE`, each at an unlocked portal. Nobody is paired yet.
        folder: for the hospital's files.
    """
    patient, hospital = people["patient"], people["hospital"]
    clinician, researcher = people["clinician"], people["researcher"]
    watches(people["registrar"])
    pairs(patient)
    only_looks(hospital, folder)
    publishes(hospital, folder)
    is_warned(hospital, folder)
    publishes_a_folder(hospital, folder)
    looks_at_own(patient)
    asks(clinician)
    approves(patient)
    grants(patient)
    opens(clinician)
    looks(clinician)
    reads_the_log(patient)
    # This page was opened while the grants were in force, and stays as it is.
    clinician.home()
    clinician.follow(Name("patient"))
    takes_back(patient)
    is_refused(clinician)
    queries(researcher)


def watches(operator: Person) -> None:
    """Who runs the services sees how each of them is, and that this profile caught no proxy lying."""
    operator.home()
    operator.unfold("More")
    operator.follow("Services")
    operator.sees("Proxies", "ready", "Head of its log", "Gate and store")
    operator.sees("%(needed)s are needed for an opening.", needed=2)
    operator.sees("No proxy was found lying by this profile.")


def pairs(patient: Person) -> None:
    """The patient lets the hospital publish."""
    patient.home()
    patient.sees("Nothing waits for you.", "Nobody but you can read your records.")
    patient.follow("Hospitals")
    patient.fill("A contact, a handle or an address", "hospital")
    patient.press("Pair")
    patient.sees("This is what it does:", "It is told which kinds of sensitive information you close.")
    patient.press("Pair")
    patient.sees("can add to your records from now on, and read nothing of them.")


def only_looks(hospital: Person, folder: Path) -> None:
    """The hospital has one file read, sees what would become of it, and gives it up: nothing of it is kept."""
    image = folder / "image.dcm"
    image.write_bytes(sample_dicom(1))
    _drops(hospital, "Files", image)
    hospital.sees("Nothing was published.", "What goes where", "imaging")
    hospital.press("Give up")
    hospital.sees(
        "Files are read first, and you see what would be published and why. Nothing leaves this machine before you say"
        " so."
    )
    hospital.sees_not("Waiting for your decision")


def is_warned(hospital: Person, folder: Path) -> None:
    """A file of somebody else's is held back with a warning, and given up."""
    bundle = json.loads(sample_bundle(1))
    bundle["entry"] = bundle["entry"][:3]
    person = bundle["entry"][0]["resource"]
    person |= {"birthDate": "1931-01-31", "gender": "other", "name": [{"family": "Elsewhere", "given": ["Somebody"]}]}
    person["identifier"][0]["value"] = "MRN-1"
    other = folder / "other.json"
    other.write_text(json.dumps(bundle))
    _drops(hospital, "Files", other)
    hospital.sees("Is this the right patient?", "Another person?", "I looked: all of it is this patient's")
    hospital.press("Give up")
    hospital.sees_not("Waiting for your decision")


def publishes_a_folder(hospital: Person, folder: Path) -> None:
    """The hospital publishes a folder with all that is in it."""
    whole = folder / "folder"
    showing.write(whole)
    _drops(hospital, "A folder with all that is in it", whole)
    hospital.sees("Nothing was published.", "What goes where", "laboratory", "medications", "imaging")
    hospital.press("Publish …")
    hospital.press("Publish")
    hospital.sees("The files were removed from the portal's folder.")


def _drops(hospital: Person, label: str, path: Path) -> None:
    """Have one file, or one folder, of the patient's read."""
    hospital.home()
    hospital.follow("Upload")
    hospital.fill("Or a name, handle or address", "patient")
    hospital.hand_over(label, [path])
    hospital.press("Read the files")


def looks_at_own(patient: Person) -> None:
    """The patient opens their own records, and looks at a plot, a picture and a letter."""
    patient.home()
    patient.follow("Records")
    patient.sees("laboratory")
    patient.press("Open in the viewer")
    patient.sees(Viewed("Where this comes from"), Name("Metformin 500 mg, tablet"))
    patient.follow(Viewed("Laboratory"))
    patient.sees_picture(Name("Creatinine, mg/dL"))
    patient.follow(Viewed("Imaging"))
    patient.sees(Name("CT of the head"))
    patient.sees_picture(Viewed("%(modality)s image %(number)s"), modality="CT", number=1)
    patient.follow(Viewed("Documents"))
    patient.follow(Name("Discharge summary"))
    patient.sees(Name("Hospital course"), Name("metformin was begun"))


def publishes(hospital: Person, folder: Path) -> None:
    """The hospital looks at what its files would become, and publishes them."""
    files = [folder / "patient.json", folder / "image.dcm"]
    files[0].write_bytes(sample_bundle(1))
    files[1].write_bytes(sample_dicom(1))
    hospital.home()
    hospital.follow("Upload")
    hospital.fill("Or a name, handle or address", "patient")
    hospital.hand_over("Files", files)
    hospital.press("Read the files")
    hospital.sees("Nothing was published.", "What goes where", "What is sensitive, and why")
    hospital.press("Publish …")
    hospital.press("Publish")
    hospital.sees("The files were removed from the portal's folder.")


def asks(clinician: Person) -> None:
    """The practitioner asks for two categories."""
    clinician.home()
    clinician.sees("Nobody granted you anything yet.")
    clinician.follow("Requests")
    clinician.follow("Ask a patient for access")
    clinician.fill("Patient", "patient")
    clinician.tick("laboratory")
    clinician.tick("medications")
    clinician.fill("A note to the patient", "before surgery")
    clinician.press("Go on")
    clinician.sees("The patient decides; you read nothing before.")
    clinician.press("Ask")
    clinician.sees("The patient was asked")


def approves(patient: Person) -> None:
    """The patient finds the request on the first page, and grants it after reading what that allows."""
    patient.home()
    patient.sees("asks for")
    patient.follow("Requests")
    patient.sees(Name("before surgery"), "laboratory", "medications")
    patient.press("Show what this allows")
    patient.sees("Grant what was asked for")
    patient.press("Sign and grant")
    patient.sees("Granted", "can read")


def grants(patient: Person) -> None:
    """The patient grants something nobody asked for; the dialogue is one click from the first page."""
    patient.home()
    patient.follow("Let somebody read")
    assert patient.clicks <= 2
    patient.fill("A contact, a handle or an address", "clinician")
    patient.tick("imaging")
    patient.tick("1 week")
    patient.press("Show what this allows")
    patient.sees("This is what it does:")
    patient.press("Sign and grant")
    patient.sees("Granted", "imaging")


def opens(clinician: Person) -> None:
    """The practitioner opens what was granted, and looks at it."""
    clinician.home()
    clinician.sees("What you can open now")
    clinician.follow(Name("patient"))
    clinician.press("Open")
    clinician.sees("The records stay in this session, and go when it is locked.")
    clinician.press("Open")
    clinician.sees("Look at the records")
    clinician.follow("Look at the records")
    clinician.sees("laboratory")


def looks(clinician: Person) -> None:
    """The practitioner goes through the sections that were granted, and there are no others."""
    clinician.follow(Viewed("Medications"))
    clinician.sees(
        Viewed("Current"), Name("Metformin 500 mg, tablet"), Viewed("Past"), Name("Ferrous sulfate 325 mg, tablet")
    )
    clinician.follow(Viewed("Laboratory"))
    clinician.sees_picture(Name("Cholesterol in LDL, mg/dL"))
    clinician.follow(Several("All of it: %(num)s value", "All of it: %(num)s values"), num=11)
    clinician.sees_picture(Name("Creatinine, mg/dL"))
    clinician.sees(Name("1.02"))
    clinician.follow(Viewed("Imaging"))
    clinician.sees_picture(Viewed("%(modality)s image %(number)s"), modality="CT", number=1)
    assert not clinician.may(Viewed("Allergies"))
    clinician.home()
    clinician.follow("Opened records")
    clinician.follow(Name("patient"))
    clinician.sees(Viewed("Where this comes from"))


def reads_the_log(patient: Person) -> None:
    """The patient sees who read, one click from the first page."""
    patient.home()
    patient.follow("See who read")
    assert patient.clicks <= 2
    patient.sees(
        "Once per opening, refused attempts too. Each line is signed by the proxies that helped, and was checked."
    )
    patient.sees(Name("clinician"), "read", "imaging")


def takes_back(patient: Person) -> None:
    """The patient takes both grants back, each within two clicks from the first page and a confirmation."""
    for left in (1, 0):
        patient.home()
        patient.follow("Take a grant back")
        patient.press("Take it back")
        assert patient.clicks <= 2
        patient.sees("What was opened before can't be called back by anybody, nor a copy of it.")
        patient.press("Take it back")
        patient.sees("The grant is taken back, and the revocation is final.")
        patient.home()
        if not left:
            patient.sees("Nobody but you can read your records.")


def is_refused(clinician: Person) -> None:
    """The practitioner, whose page is from before, is told why nothing opens; the first page knows it, too."""
    clinician.press("Open")
    clinician.sees("No grant of this patient's that is in force fits, so nothing was opened.")
    clinician.home()
    clinician.sees("The patient took these back. Nobody opens anything by them any more.")
    clinician.sees_not("What you can open now")


def queries(researcher: Person) -> None:
    """The researcher sees on chain that there were grants, and not whose."""
    researcher.home()
    researcher.press("Ask")
    researcher.sees("Rows in the order of the chain", "sealed", "revoked")
    researcher.sees_not(Name("clinician"))
