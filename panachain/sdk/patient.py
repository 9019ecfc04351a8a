"""The patient: pairs with hospitals, grants, revokes, and sees who read what.

Needs no ether: a one-time key signs, the relay pays. Everything is restored from the seed, the chains and IPFS. This
class says what a patient can do, and the parts of sdk/patient_parts.py do it; whom they pair with is in
sdk/patient_pairing.py, what they read in sdk/patient_reading.py. Follows design section 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from panachain.model.actors import Role
from panachain.model.scope import Purpose
from panachain.sdk.patient_pairing import PatientPairing
from panachain.sdk.patient_reading import PatientReading

if TYPE_CHECKING:
    from panachain.model.policy import OnChainPolicy, Terms
    from panachain.model.progress import Progress
    from panachain.sdk.results.listings import Listed, Listing
    from panachain.sdk.results.policies import AnyPolicy, PolicyView
    from panachain.sdk.results.requests import AnyRequest, DenialReport, RequestView
    from panachain.sdk.results.revocations import RevocationReport
    from panachain.sdk.times import Moment
    from panachain.sdk.words import Categories, Purposes


class Patient(PatientPairing, PatientReading):
    """A patient at work: what `connect` returns for a profile of this role.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     paired = patient.pair("clinic")
        ...     policy = patient.grant("doctor", ["laboratory"], until=timedelta(days=30))
        ...     for reading in patient.log(policy):
        ...         print(reading.who, reading.what, reading.when)
        ...     print(patient.revoke(policy).final)
        True
    """

    role = Role.PATIENT

    # Grants

    def grant(
        self,
        grantee: str,
        categories: Categories,
        years: Iterable[int] = (),
        purpose: Purposes = Purpose.TREAT,
        *,
        until: Moment,
        starts: Moment | None = None,
        threshold: int | None = None,
        proxies: Sequence[str] = (),
        any_operator: bool = False,
        disclose: bool = False,
        data_use: int = 0,
        study: str = "",
        request: int | None = None,
        jitter: int | timedelta = 0,
        wait: bool = True,
        dry_run: bool = False,
    ) -> PolicyView:
        """Let somebody read parts of the record, past and future, until a moment that is excluded.

        Args:
            grantee: a practitioner, a group of them or a researcher: profile name, handle or address.
            categories: words such as "laboratory" or members of `Category`, `all` or `emergency`.
            years: narrows the categories; empty means every year.
            purpose: for what; one or several, as codes such as "TREAT" or members of `Purpose`.
            until: the end, exclusive; a `timedelta` counts from now. The setting `jitter` rounds it up
                (records/jitter.py).
            starts: the beginning, inclusive; None means now, by the mainchain's newest block.
            threshold: how many proxies must help; None takes the network's.
            proxies: who holds shares; empty takes all that the rule of consent/proxy_sets.py allows.
            any_operator: take the named proxies although one operator could open alone.
            disclose: make the policy open: the chain shows purposes and categories, `data_use` and `study`.
            data_use: DUO codes as bits, of an open policy.
            study: a study's account, of an open policy.
            request: a request of the grantee's that this answers; `approve` checks that it does.
            jitter: how long the grant waits at most, for a time that is drawn; `settle` sends it then. Whoever
                watches the chain can't tell by its time whom the patient saw, nor what else was granted.
            wait: for the blocks that the proxies want above the policy's before they take its shares; without, `settle`
                or the next command hands them out.
            dry_run: make everything, send nothing.

        Raises:
            UsageError: the choice doesn't fit.
            ProxiesUnavailableError: fewer proxies than the threshold are ready, and nothing was changed; or fewer took
                their share, and the same grant again goes on.
        """
        self._check_registered()
        from panachain.sdk.offers import Offers

        offer = Offers(self.network).first(
            grantee,
            categories,
            years,
            purpose,
            until=until,
            starts=starts,
            threshold=threshold,
            proxies=proxies,
            any_operator=any_operator,
            disclose=disclose,
            data_use=data_use,
            study=study,
            request=request,
            jitter=jitter,
        )
        return self._names.made(lambda: self._grants.plan(offer) if dry_run else self._grants.make(offer, wait=wait))

    def settle(self, *, progress: Progress | None = None) -> list[PolicyView]:
        """Finish what was interrupted or what a proxy missed, and send grants that have waited long enough.

        Policies that a rotation left on the old lanes are granted anew.

        Args:
            progress: is told the policies that were looked after: unfinished grants, then all that were granted.

        Returns:
            The policies that weren't finished, as they are now.

        Raises:
            PartlyDoneError: some were taken back, since what they were to replace or answer was; `omissions` names them
                and all others that aren't finished, each with why, and `result` is what was to be returned.
            PanaChainError: why the first of those that still aren't finished isn't; the others were looked after.
        """
        # Imported here: every command of a patient loads this module.
        from panachain.sdk.grants import check_finished

        names = self._names
        found, failed = self._grants.finish_all(progress)
        settled, lagging = self._revocations.settle(progress)
        self._grants.told()
        check_finished([*failed, *lagging], lambda: names.fill([*found, *settled]))
        return names.fill([*found, *settled])

    def policies(self) -> Listed[PolicyView]:
        """Return an iterator over all policies of this patient, oldest first, and then those that wait to be sent.

        Its `left_out` names those whose terms no store has any more.
        """
        from panachain.sdk.results.listings import Listed, Listing

        found = self._revocations.views(self._grants.lacking())
        return Listed(Listing(self._names.fill([*found, *self._grants.waiting()]), found.left_out))

    def terms_of(self, policy: AnyPolicy) -> tuple[OnChainPolicy, Terms]:
        """Return one policy, as the chain shows it and as its terms say.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
        """
        from panachain.sdk.results.policies import id_of

        own = self._policies.find(id_of(policy))
        return own.on_chain, own.terms

    def reissue(
        self,
        policy: AnyPolicy,
        *,
        threshold: int | None = None,
        proxies: Sequence[str] = (),
        any_operator: bool = False,
    ) -> PolicyView:
        """Grant a policy again, with other proxies or newer lanes, and revoke the old one; no record is touched.

        Args:
            policy: an active policy, or one that is still to begin; a view, or its ID.
            threshold: how many proxies must help; None keeps the policy's.
            proxies: who holds shares; empty takes all that may.
            any_operator: as for `grant`.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            UsageError: it is over.
        """
        from panachain.sdk.results.policies import id_of

        return self._names.made(
            lambda: self._grants.reissue(id_of(policy), threshold=threshold, proxies=proxies, any_operator=any_operator)
        )

    # Revocation

    def revoke(self, policy: AnyPolicy, *, rotate: bool = False, progress: Progress | None = None) -> RevocationReport:
        """Take a policy back: on chain (R1) and at each proxy, each with its signed receipt (R2), at once.

        Signed by the seed alone, it goes to every relay, node and proxy, whatever they say; a proof makes it done. A
        second call asks those proxies again that gave no receipt before, and goes on where the first one stopped. A
        grant that still waits to be sent is forgotten. sdk/submitting.py writes a revocation into a file instead.

        Args:
            policy: from `policies`, or its ID.
            rotate: give the policy's lanes a new generation too (R3), grant it to the remaining grantees, tell the
                hospitals, and ask them to re-wrap what is in the old ones (R4): so that also colluding proxies can't
                help the grantee to anything that isn't opened yet.
            progress: is told the proxies that deleted, then the proof, and while lanes rotate how many of the remaining
                grantees' policies were granted again.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            RelaysUnavailableError: nobody took it; the next command sends it again.
        """
        from panachain.sdk.results.policies import id_of

        return self._revocations.revoke(id_of(policy), rotate=rotate, progress=progress)

    def revocation(self, policy: AnyPolicy) -> RevocationReport:
        """Look how far a revocation has come, and change nothing.

        Raises:
            PolicyUnknownError: the policy isn't this patient's, or isn't revoked.
        """
        from panachain.sdk.results.policies import id_of

        return self._revocations.status(id_of(policy))

    # Requests

    def requests(self) -> Listing[RequestView]:
        """Return the requests that were made to this patient, but those of blocked practitioners.

        `left_out` of the list names those that can't be read, with their senders; `deny` takes them, too.
        """
        from panachain.sdk.results.listings import Listing

        found = self._requests.all()
        return Listing(self._names.fill(found), found.left_out)

    def approve(self, request: AnyRequest, *, until: Moment | None = None, categories: Categories = ()) -> PolicyView:
        """Grant what a request asks for, or a part of it, and tell the requester which.

        Args:
            request: from `requests`, or its number.
            until: the end, exclusive, not later than was asked for; None takes what was asked for.
            categories: a part of those that were asked for; empty takes them all.

        Raises:
            UsageError: the request isn't open, or asks for less than this.
        """
        from panachain.sdk.results.requests import number_of

        number = number_of(request)
        names = self._names
        made = self._grants.resume(request=number)
        if made is not None:
            return names.fill([made])[0]
        asked, ends, granted = self._requests.open_one(number, until, categories)
        return self.grant(asked.requester, granted, purpose=asked.purpose, until=ends, request=number)

    def deny(self, request: AnyRequest) -> DenialReport:
        """Refuse a request, whatever it says: nothing of it is opened.

        Args:
            request: from `requests`, or its number.
        """
        from panachain.sdk.results.requests import DenialReport, number_of

        number = number_of(request)
        refused = self._requests.deny(number)
        # An approval that broke off may be with a relay.
        self._revocations.refuse(number)
        return DenialReport(number, refused.tx_hash)
