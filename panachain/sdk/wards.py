"""Wards: a carer acts for a minor or an adult under care through an account that was made for that ward alone.

The account has a seed of its own, which the carer's seed derives and which is sealed to the ward from the first day:
the ward's own seed is nobody else's. Nobody has to do anything at the end. Decides nothing about who is served or whose
lanes a record goes to: sdk/care.py does. Follows docs/spec/wards.md and ADR 55.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from panachain.chain.bound import Sends
from panachain.crypto import box, kdf, keys, labels
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError, OutOfScopeError, UnknownActorError, UsageError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, Role
from panachain.model.scope import Category
from panachain.model.sizes import KEY_SIZE
from panachain.model.transactions import Wardship
from panachain.records.findings import UNREADABLE
from panachain.sdk.care import accounts_of, moment, stands_for, wardship_of
from panachain.sdk.network import Network
from panachain.sdk.profiles import Profile, create_profile
from panachain.sdk.results.wards import WardAct, WardshipView
from panachain.sdk.sealed_texts import open_text, seal_text
from panachain.sdk.times import Moment, iso, seconds
from panachain.sdk.words import Categories, category_of, category_words
from panachain.storage.blocks import keep

if TYPE_CHECKING:
    from panachain.chain.contracts.wardships import Wardships
    from panachain.passphrase import Hidden
    from panachain.sdk.names import Names
    from panachain.sdk.results.policies import PolicyView

MAX_PAPERS: Final = 2000
"""Characters of what the papers say."""
READERS: Final = 3
"""Of the papers: ward, carer and the account."""
_TRIES: Final = 64
"""Accounts of one carer for one ward that are looked through."""
_SEALED_BEFORE: Final = "it is sealed to the account that guardians moved: the seed of that one opens it"
AnyWardship = int | WardshipView
"""A wardship, or its number."""


def seal_papers(papers: str, *, readers: Sequence[bytes]) -> bytes:
    """Return what a carer's papers say, sealed to three sealing keys (1,216 bytes each): ward, carer and account."""
    return seal_text(labels.WARD_PAPERS, "papers", papers, readers=readers)


def open_papers(block: bytes, secret: SealingKey) -> str:
    """Return what papers say that are sealed to this key.

    Raises:
        IntegrityError: they are sealed to others, or say nonsense.
    """
    return open_text(block, secret, labels.WARD_PAPERS, "papers", readers=READERS, most=MAX_PAPERS)


def seal_handover(seed: Seed, ward_key: bytes) -> bytes:
    """Return the seed of a wardship's account, sealed to the ward: what they take over with."""
    return box.seal_to(ward_key, seed.reveal(), labels.WARD_HANDOVER)


def open_handover(block: bytes, secret: SealingKey, account: Address) -> Seed:
    """Return the seed that was sealed to the ward.

    Raises:
        IntegrityError: it is sealed to somebody else, or is another account's.
    """
    plain = box.open_box(secret, block, labels.WARD_HANDOVER)
    if len(plain) != KEY_SIZE:
        raise IntegrityError(f"a handover of {len(plain)} bytes, which is no seed")
    seed = Seed(plain)
    if keys.address_of(seed.account_key()) != account:
        raise IntegrityError("the carer sealed the seed of another account to the ward")
    return seed


def number_of(wardship: AnyWardship) -> int:
    """Return the number of a wardship that is given as a view or as the number itself."""
    return wardship if isinstance(wardship, int) else wardship.number


def names_of(bits: int) -> tuple[str, ...]:
    """Return the words of categories that are given as bits."""
    return tuple(one.value for one in Category if one.bit & bits)


def bits_of(categories: Categories) -> int:
    """Return categories as bits; `all` means every one of them, the restricted ones too.

    Raises:
        UsageError: a word names no category; `emergency` names none.
    """
    words = category_words(categories)
    found = frozenset(Category) if "all" in words else frozenset(map(category_of, words))
    return sum(one.bit for one in found)


class _Views:
    """Wardships as somebody sees them."""

    def __init__(self, network: Network, secret: SealingKey, address: Address, names: Names) -> None:
        self._network = network
        self._secret = secret
        self._address = address
        self._names = names

    def of(self, wardships: Iterable[Wardship]) -> list[WardshipView]:
        """Return them with what this reader can read; papers that can't be read keep nothing else back."""
        now = moment(self._network)
        return self._names.fill(self._of(one, now) for one in wardships)

    def _of(self, one: Wardship, now: int) -> WardshipView:
        try:
            papers = open_papers(self._network.store.get_block(CID(RAW, one.papers)), self._secret)
        except UNREADABLE:
            papers = ""
        return WardshipView(
            number=one.number,
            state=one.state(now),
            ward=one.ward,
            carer=one.carer,
            account=one.account,
            acts_in=tuple(category.value for category in Category if category in one.acts_in(now)),
            keeps=names_of(one.keeps),
            keeps_from=one.keeps_from,
            ends_at=one.ends_at,
            started_at=one.started_at,
            ended_at=one.ended_at,
            papers=papers,
            handover=self._handover(one) if stands_for(self._network, self._address, one.ward) else "",
        )

    def _handover(self, one: Wardship) -> str:
        """Tell the ward early whether they could take over: at the end it is too late to ask for another one."""
        if one.ward != self._address:
            return _SEALED_BEFORE
        try:
            open_handover(self._network.store.get_block(CID(RAW, one.handover)), self._secret, one.account)
        except UNREADABLE as exc:
            return str(exc)
        return "good"


class _Parts:
    """What everybody shares who looks at wardships."""

    def __init__(self, network: Network, seed: Seed, address: Address, names: Names) -> None:
        self._network = network
        self._seed = seed
        self._address = address
        self._views = _Views(network, seed.sealing(), address, names)

    def find(self, wardship: AnyWardship) -> WardshipView:
        """Return one wardship.

        Raises:
            UnknownActorError: there is none of this number.
        """
        return self._views.of([self._known(number_of(wardship))])[0]

    def _known(self, number: int) -> Wardship:
        for one in self._contract().find(number):
            return one
        raise UnknownActorError(f"there is no wardship {number}", hint="panachain ward list")

    def _contract(self) -> Wardships:
        found = self._network.sidechain.wardships
        if found is None:
            raise UsageError("this network was deployed before there were wardships, and has none")
        return found


class Wards(_Parts):
    """The wards of a patient's session: those whom they care for, and their own wardships.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     [(one.ward_name, one.state) for one in patient.wards.all()]
        []
    """

    def __init__(
        self,
        network: Network,
        seed: Seed,
        address: Address,
        *,
        sender: Callable[[], Sends],
        policies: Callable[[], Iterable[PolicyView]],
        names: Names,
    ) -> None:
        """Take the session's seed and account, and what it signs with."""
        super().__init__(network, seed, address, names)
        self._sender = sender
        self._policies = policies
        self._names = names

    def all(self) -> list[WardshipView]:
        """Return the wardships of this patient: as carer or account all of them, as ward those that were attested.

        Whoever proposes to care for somebody puts nothing into that person's list.
        """
        wardships = self._network.sidechain.wardships
        found = wardships.find() if wardships else []
        own = accounts_of(self._network, self._address) if found else frozenset()
        mine = [one for one in found if one.account == self._address or one.carer in own]
        return self._views.of([*mine, *(one for one in found if one.ward in own and one.started_at)])

    # As carer

    def profile(self, ward: str, name: str, passphrase: str | Hidden) -> Profile:
        """Make the profile through which this patient will act for a ward; its seed follows from this patient's.

        So a carer who restores their own seed has this one, too. It has to be registered, and then proposes.

        Args:
            ward: profile name, handle or address.
            name: of the profile on this machine.
            passphrase: locks it here.

        Raises:
            UsageError: the name can't be used, is taken, or the ward is this patient.
            UnknownActorError: nobody is registered under the ward's name.
        """
        who = self._network.resolve(ward, Role.PATIENT)
        if who.address == self._address:
            raise UsageError("nobody is their own ward")
        secret = passphrase if isinstance(passphrase, str) else passphrase.reveal()
        del passphrase
        return create_profile(self._network.home, name, Role.PATIENT, secret, seed=self._care_seed(who.address))

    def _care_seed(self, ward: Address) -> Seed:
        """Return the first seed for a ward whose account no wardship has used up."""
        now = moment(self._network)
        for number in range(_TRIES):
            context = bytes.fromhex(ward[2:]) + number.to_bytes(4, "big")
            seed = Seed(kdf.derive(self._seed.store_key(), labels.WARD_ACCOUNT, context))
            wardship = wardship_of(self._network, keys.address_of(seed.account_key()))
            if wardship is None or wardship.state(now) not in ("over", "ended"):
                return seed
        raise UsageError(f"there were {_TRIES} wardships of this carer for this ward, and nobody keeps count of more")

    def is_account(self, account: Address, ward: str) -> bool:
        """Tell whether an account is the one through which this patient acts, or will act, for a ward."""
        seed = self._care_seed(self._network.resolve(ward, Role.PATIENT).address)
        return keys.address_of(seed.account_key()) == account

    def of_account(self, account: Address) -> WardshipView | None:
        """Return the wardship that an account is for, or None."""
        found = wardship_of(self._network, account)
        return None if found is None else self._views.of([found])[0]

    def accept(self, wardship: AnyWardship) -> WardshipView:
        """Accept to act for a ward; then the registrar attests it.

        Raises:
            TransactionError: it names another carer, or isn't open.
        """
        number = number_of(wardship)
        self._contract().accept(self._sender(), number)
        return self.find(number)

    def end(self, wardship: AnyWardship) -> WardshipView:
        """End a wardship ahead of its time, or withdraw a proposal: the account can do nothing more.

        Raises:
            TransactionError: it is another carer's, or over.
        """
        number = number_of(wardship)
        self._contract().end(self._sender(), number)
        return self.find(number)

    def conclude(self, wardship: AnyWardship) -> WardshipView:
        """Have the account of a wardship that is over suspended; anybody may, and it is over without it.

        Raises:
            TransactionError: it isn't over.
        """
        number = number_of(wardship)
        self._contract().conclude(self._sender(), number)
        return self.find(number)

    # Through the account

    def propose(
        self,
        ward: str,
        carer: str,
        papers: str,
        *,
        until: Moment,
        categories: Categories = "all",
        keeps: Categories = (),
        keeps_from: Moment | None = None,
    ) -> WardshipView:
        """Propose a wardship from the session of its account; the carer accepts it, and the registrar attests it.

        Args:
            ward: profile name, handle or address.
            carer: who will act: profile name, handle or address.
            papers: what entitles the carer, in words; sealed to ward, carer and account.
            until: when the ward is of age or the care ends, exclusive; at most 25 years from now.
            categories: in which the carer acts; `all` is every one, the restricted ones too.
            keeps: those of them that the ward keeps to themselves from `keeps_from` on.
            keeps_from: when that begins, inclusive; None means now.

        Raises:
            UsageError: no papers or no category, or a moment that can't be meant.
            TransactionError: the contract refuses; it says why.
        """
        if not papers.strip() or len(papers) > MAX_PAPERS:
            raise UsageError(f"a wardship needs papers, told in at most {MAX_PAPERS} characters")
        now = int(self._network.clock())
        chosen, kept = bits_of(categories), bits_of(keeps)
        begins = now if keeps_from is None else seconds(keeps_from, at=now, name="keeps_from")
        proven = self._network.keys
        who, other = (proven.check(self._network.resolve(one, Role.PATIENT)) for one in (ward, carer))
        own = self._seed.sealing().public
        sealed = keep(self._network.store, seal_papers(papers, readers=[who.sealing_key, other.sealing_key, own]))
        handover = keep(self._network.store, seal_handover(self._seed, who.sealing_key))
        number = self._contract().propose(
            self._sender(),
            who.address,
            other.address,
            categories=chosen,
            keeps=kept & chosen,
            keeps_from=begins,
            ends_at=seconds(until, at=now, name="until"),
            papers=sealed.digest,
            handover=handover.digest,
        )
        return self.find(number)

    # As ward

    def take_over(self, wardship: AnyWardship, name: str, passphrase: str | Hidden) -> Profile:
        """Make a profile of the account through which somebody acted for this patient, with its seed.

        With it the ward reads what was published to it, sees its log, and takes back what was granted; no carer is
        needed for that. What hospitals publish after the end is in the ward's own lanes.

        Args:
            wardship: one of this patient's.
            name: of the profile on this machine.
            passphrase: locks it here.

        Raises:
            OutOfScopeError: it is another ward's, or was sealed to the account from which guardians moved this patient.
            IntegrityError: the carer sealed nonsense to the ward.
            UsageError: the name can't be used or is taken.
        """
        found = self._known(number_of(wardship))
        if not stands_for(self._network, self._address, found.ward):
            raise OutOfScopeError(f"wardship {found.number} is another ward's; nothing was taken over")
        if found.ward != self._address:
            raise OutOfScopeError(
                f"nothing was taken over of wardship {found.number}: {_SEALED_BEFORE}",
                hint=f"take over from a profile with the seed of {found.ward}",
            )
        block = self._network.store.get_block(CID(RAW, found.handover))
        seed = open_handover(block, self._seed.sealing(), found.account)
        secret = passphrase if isinstance(passphrase, str) else passphrase.reveal()
        del passphrase
        return create_profile(self._network.home, name, Role.PATIENT, secret, seed=seed)

    # What was done

    def acts(self, wardship: AnyWardship) -> list[WardAct]:
        """Return what was done in a wardship, oldest first: by whom, for whom, and what, as the chains have it.

        What the account does after the end is said to be by the account: the ward may have taken it over by then.
        A session of the account sees its policies too. What a carer only read can't be seen by anybody: they hold the
        keys of these lanes.

        Args:
            wardship: one that this patient takes part in.

        Raises:
            OutOfScopeError: this patient has no part in it.
        """
        found = self._known(number_of(wardship))
        own = accounts_of(self._network, self._address)
        if found.account != self._address and not own & {found.ward, found.carer}:
            raise OutOfScopeError(f"wardship {found.number} is of others")
        acts = [*self._lifetime(found), *self._on_sidechain(found)]
        if self._address == found.account:
            acts += self._granted(found)
        return self._names.fill(sorted(acts, key=lambda act: act.at))

    def _lifetime(self, one: Wardship) -> Iterator[WardAct]:
        contract = self._contract()
        words = {"WardshipProposed": "proposed", "WardshipAccepted": "accepted", "WardshipStarted": "started"}
        words |= {"WardshipEnded": "ended", "WardshipConcluded": "concluded"}
        for event in contract.bound.events(*words, where=[one.number]):
            who = {"WardshipStarted": "registrar", "WardshipEnded": "by", "WardshipConcluded": "by"}.get(event.name)
            by = one.carer if who is None else _address(event.values[who])
            until = iso(one.ends_at) if event.name == "WardshipStarted" else ""
            yield WardAct(contract.bound.source.block(event.block).time, by, one.ward, words[event.name], detail=until)

    def _on_sidechain(self, one: Wardship) -> Iterator[WardAct]:
        sidechain = self._network.sidechain
        bound = sidechain.identities.bound
        for event in bound.events("HospitalPaired", "HospitalUnpaired", where=[one.account]):
            what = "paired" if event.name == "HospitalPaired" else "unpaired"
            at, hospital = bound.source.block(event.block).time, _address(event.values["hospital"])
            # With oneself one pairs to keep books, which concerns no hospital.
            if hospital != one.account:
                yield WardAct(at, _doer(one, at), one.ward, what, hospital)
        asked = {request.request_id: request for request in sidechain.requests.find(patient=one.account)}
        bound = sidechain.requests.bound
        for number in asked:
            for event in bound.events("AccessApproved", "AccessDenied", where=[number]):
                what = "approved" if event.name == "AccessApproved" else "denied"
                at = bound.source.block(event.block).time
                about = asked[number].requester
                yield WardAct(at, _doer(one, at), one.ward, what, about, f"request {number}")

    def _granted(self, one: Wardship) -> Iterator[WardAct]:
        views = {view.policy_id: view for view in self._policies() if not view.dry_run}
        mainchain = self._network.mainchain
        for event in mainchain.policies.events(policy_ids=list(views)) if views else ():
            view = views[event.policy_id]
            detail = f"{', '.join(view.scopes)} until {iso(view.expires_at)}"
            at = mainchain.block(event.block).time
            yield WardAct(at, _doer(one, at), one.ward, event.kind, view.grantee, detail)


class Attests(_Parts):
    """Wardships that the registrar attests and ends.

    Examples:
        >>> with connect("registrar", role="registrar") as registrar:
        ...     registrar.wards.all()
        []
    """

    def __init__(
        self, network: Network, seed: Seed, address: Address, *, sender: Callable[[], Sends], names: Names
    ) -> None:
        """Take the registrar's session."""
        super().__init__(network, seed, address, names)
        self._sender = sender

    def all(self) -> list[WardshipView]:
        """Return every wardship that its carer accepted, oldest first; proposals that nobody accepted aren't told."""
        wardships = self._network.sidechain.wardships
        return self._views.of(one for one in (wardships.find() if wardships else []) if one.accepted)

    def start(self, wardship: AnyWardship) -> WardshipView:
        """Attest a wardship that its carer accepted: it is in force from now on.

        The registrar has seen the carer's papers. What the setting `ward_keeps` names, the law of the place leaves to
        the ward: such a category is the carer's only until the ward keeps it, or not at all.

        Raises:
            OutOfScopeError: the wardship gives the carer for good what `ward_keeps` names.
            TransactionError: it isn't accepted, or the ward is under care already.
        """
        found = self._known(number_of(wardship))
        left = self._network.config.ward_keeps
        for_good = bits_of(left) & found.categories & ~found.keeps if left else 0
        if for_good:
            raise OutOfScopeError(
                f"wardship {found.number} gives the carer {', '.join(names_of(for_good))}, which the setting ward_keeps"
                " leaves to wards; nothing was attested",
                hint="the carer proposes another one: panachain --profile CARER ward add … --keeps … --keeps-from DATE",
            )
        self._contract().start(self._sender(), found.number)
        return self.find(found.number)

    def end(self, wardship: AnyWardship) -> WardshipView:
        """End a wardship ahead of its time: the account can do nothing more.

        Raises:
            TransactionError: it is over already.
        """
        number = number_of(wardship)
        self._contract().end_by_registrar(self._sender(), number)
        return self.find(number)


def _doer(one: Wardship, at: int) -> Address:
    """Return who does at a time, Unix seconds, what the account does: the carer, and after the end whoever has it."""
    return one.carer if at < (one.ended_at or one.ends_at) else one.account


def _address(raw: str) -> Address:
    # Imported here: most sessions list no acts.
    from panachain.chain.abi import address

    return Address(address(raw))
