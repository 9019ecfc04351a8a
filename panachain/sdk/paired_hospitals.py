"""Hospitals of a patient: who may publish to the lanes, who might once, and what each of them knows.

Reads pairings, and opens no record. Follows design section 8 (Pair).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from panachain.errors import ConfigurationError
from panachain.records.findings import LEFT_OUT, Findings
from panachain.sdk.names import Names
from panachain.sdk.results.listings import LeftOut, Listing
from panachain.sdk.results.uploads import PairedHospital

if TYPE_CHECKING:
    from panachain.model.actors import Actor
    from panachain.model.choices import Choices
    from panachain.model.scope import Generations
    from panachain.model.transactions import PairingEvent
    from panachain.sdk.lanes import OwnLanes
    from panachain.sdk.network import Network


class PairedHospitals:
    """The hospitals of one patient.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     [one.paired for one in patient.hospitals.all()]
        [True]
    """

    def __init__(self, network: Network, lanes: OwnLanes) -> None:
        """Take the network, and the patient's lanes."""
        self._network = network
        self._lanes = lanes

    def all(self) -> Listing[PairedHospital]:
        """Return all of them, in the order of their registration, former ones too.

        `left_out` names those whose pairing can't be read: nobody can tell what they know.
        """
        findings = Findings()
        generations, stated = self._lanes.seen(findings)
        # Where nobody can tell what the patient chose last, no hospital counts as told.
        choices = None if findings.omissions else stated
        found, left_out = [], []
        for hospital, event in self._lanes.hospitals():
            try:
                found.append(self._one(hospital, event, generations, choices))
            except LEFT_OUT as exc:
                left_out.append(LeftOut("pairing", hospital.address, str(exc), hospital.address))
        try:
            names = Names(self._network.home, self._network.resolver)
        except ConfigurationError:
            # Names are an ornament: a damaged address book hides no hospital.
            return Listing(found, left_out)
        return Listing(names.fill(found), left_out)

    def published(self) -> tuple[tuple[str, bytes, int], ...]:
        """Return what changes as soon as a hospital published something, or was paired: for whoever keeps records.

        Returns:
            Each hospital's account, its newest pairing's digest, and how many storage transactions it made.
        """
        return tuple(
            (hospital.address, event.digest if event.paired else b"", len(self._network.stored_by(hospital.address)))
            for hospital, event in self._lanes.hospitals()
        )

    def _one(
        self, hospital: Actor, event: PairingEvent, generations: Generations, choices: Choices | None
    ) -> PairedHospital:
        pairing = self._lanes.stated_by(event)
        return PairedHospital(
            hospital=hospital.address,
            paired=event.paired,
            published=len(self._network.stored_by(hospital.address)),
            lanes=len(pairing.lanes),
            last_year=pairing.last_year,
            current=pairing.generations.covers(generations) and pairing.choices == choices,
            orders=len(pairing.orders),
        )
