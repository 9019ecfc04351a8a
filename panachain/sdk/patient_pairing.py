"""Whom patients pair with: the hospitals that may publish to their lanes, and those that may no more.

Reads nothing that a hospital published but to ask it to move that. Follows design section 8 (Pair).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from panachain.model.actors import Role
from panachain.records.findings import Findings
from panachain.sdk.patient_parts import PatientParts

if TYPE_CHECKING:
    from panachain.sdk.books import Books
    from panachain.sdk.emergencies import OwnEmergencies
    from panachain.sdk.guardians import OwnGuardians
    from panachain.sdk.own_choices import OwnChoices
    from panachain.sdk.own_erasures import OwnErasures
    from panachain.sdk.paired_hospitals import PairedHospitals
    from panachain.sdk.results.uploads import PairingReport, UnpairingReport
    from panachain.sdk.wards import Wards


class PatientPairing(PatientParts):
    """The pairing side of a patient's session."""

    def _check_registered(self) -> None:
        """Check that this patient may act: for themselves, or for a ward while the wardship is in force."""
        from panachain.sdk.care import check_acting

        # First: an account that was suspended because its wardship is over is told so.
        check_acting(self.network, self.address)
        super()._check_registered()

    @property
    def choices(self) -> OwnChoices:
        """What this patient closes at every hospital, what an emergency may know, and what lies in another category."""
        from panachain.sdk.own_choices import OwnChoices

        return OwnChoices(self.network.store, self._lanes)

    @property
    def erasures(self) -> OwnErasures:
        """What this patient asks hospitals to erase, and what came of it."""
        # Imported here: most sessions erase nothing.
        from panachain.sdk.own_erasures import OwnErasures

        return OwnErasures(
            self.network.store,
            self.address,
            self._lanes,
            self._policies.readable,
            revoke=lambda policy_id: self._revocations.revoke(policy_id, rotate=False, progress=None),
            told=self._log.entries,
        )

    @property
    def emergency(self) -> OwnEmergencies:
        """What this patient prepares for an emergency, and what is told to them."""
        # Imported here: most sessions prepare for none.
        from panachain.sdk.emergencies import OwnEmergencies

        return OwnEmergencies(
            self.network,
            self._seed,
            self.address,
            grants=self._grants,
            policies=self._policies,
            revoke=lambda policy_id: self._revocations.revoke(policy_id, rotate=False, progress=None),
            falling=lambda: self._revocations.veto(),
            names=self._names,
        )

    @property
    def guardians(self) -> OwnGuardians:
        """Who restores this patient's seed, and moves them to another account if the key is stolen."""
        # Imported here: most sessions name nobody.
        from panachain.sdk.guardians import OwnGuardians

        return OwnGuardians(
            self.network,
            self._seed,
            self.address,
            sender=self._person,
            backup=self.recovery,
            names=self._names,
            folder=self.profile.folder,
        )

    @property
    def hospitals(self) -> PairedHospitals:
        """The hospitals that may publish to this patient's lanes or might once, and what each of them knows."""
        # Imported here: most commands of a patient list no hospitals.
        from panachain.sdk.paired_hospitals import PairedHospitals

        return PairedHospitals(self.network, self._lanes)

    @property
    def wards(self) -> Wards:
        """Whom this patient cares for, and who cares for them."""
        # Imported here: most sessions care for nobody.
        from panachain.sdk.wards import Wards

        return Wards(
            self.network,
            self._seed,
            self.address,
            sender=self._person,
            # Of an account for a ward: its policies are the carer's acts.
            policies=lambda: self._revocations.views({}),
            names=self._names,
        )

    @property
    def books(self) -> Books:
        """Names of people and whom this patient blocks, kept in the store for a machine that is lost."""
        from panachain.sdk.books import Books

        return Books(self.network, self.network.home, self.address, self._seed, self.blocked)

    def pair(self, hospital: str, close: Iterable[str] = (), emergency: Iterable[str] = ()) -> PairingReport:
        """Assent that a hospital may publish to this patient's lanes.

        Args:
            hospital: profile name, handle or address.
            close: kinds of sensitive information that every hospital closes from now on, beside those that were
                chosen before; as `OwnChoices.change`.
            emergency: kinds that are in the emergency summary all the same; as there.

        Raises:
            UsageError: there is no such kind.
        """
        from panachain.sdk.own_choices import changed
        from panachain.sdk.results.uploads import PairingReport

        self._check_registered()
        who = self.network.resolve(hospital, Role.HOSPITAL)
        generations = self._lanes.generations()
        findings = Findings()
        orders = []
        # A hospital that has published something bad before can be paired with all the same; the report says what of it
        # couldn't be asked for.
        with findings.alone(who.address):
            orders = self._lanes.orders(who, generations, findings)
        # Nothing is sent before it is known that all kinds are there.
        before = self._lanes.choices()
        choices = changed(before, close=close, emergency=emergency)
        pairing, cid, receipt = self._lanes.pair(who, generations, orders, choices, findings)
        # To whom it is new, another device's rotation of a moment ago wasn't told.
        newest, chosen = self._lanes.stated()
        if choices != before or chosen != pairing.choices or not pairing.generations.covers(newest):
            self._lanes.tell(newest, chosen, findings)
        return PairingReport(
            who.address,
            str(cid),
            lanes=len(pairing.lanes),
            epoch=pairing.generations.epoch,
            tx=receipt.tx_hash,
            closed=tuple(sorted(choices.closed)),
            emergency=tuple(sorted(choices.emergency)),
            omissions=tuple(findings.omissions),
        )

    def unpair(self, hospital: str) -> UnpairingReport:
        """Take the assent to a hospital back: it may publish no more, and matters no more to a rotation.

        What it published stays readable, as far as it is whole; what is broken of it is said and counts for nothing.
        It still knows the lanes' keys: only a rotation (`revoke` with `rotate`) closes them to it.

        Args:
            hospital: profile name, handle or address.

        Raises:
            TransactionError: the patient isn't paired with it.
        """
        from panachain.sdk.results.uploads import UnpairingReport

        self._check_registered()
        who = self.network.resolve(hospital, Role.HOSPITAL)
        return UnpairingReport(who.address, self._lanes.unpair(who).tx_hash)
