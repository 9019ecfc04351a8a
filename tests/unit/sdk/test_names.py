"""Names in place of addresses, and policies by the beginning of their ID."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from panachain.errors import ChainUnavailableError, ConfigurationError, PolicyUnknownError, UsageError
from panachain.model.actors import Actor, Address, PolicyId, Role, Status, handle_of
from panachain.model.policy import PolicyStatus
from panachain.sdk import names as names_module
from panachain.sdk.contacts import add_contact
from panachain.sdk.names import Names, policy_id, policy_of
from panachain.sdk.profiles import Profiles, create_profile
from panachain.sdk.results.policies import PolicyView

CARDIOLOGIST = Address("0x52908400098527886E0F7030069857D2E4169EE7")
PHARMACIST = Address("0x8617E340B3D01FA5F11F306F4090FD50E238070D")
POLICIES = [PolicyId(CARDIOLOGIST), PolicyId(PHARMACIST), PolicyId("0x529084ff" + "0" * 32)]


MOVED_ONCE, NEWEST = Address("0x" + "11" * 20), Address("0x" + "22" * 20)


class Registry:
    """Knows one practitioner, and counts how often it is asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[list[Address]] = []
        self.error = error

    def known(self, addresses: Iterable[Address]) -> list[Actor]:
        self.asked.append(list(addresses))
        if self.error:
            raise self.error
        return [Actor(PHARMACIST, Role.PRACTITIONER, Status.ACTIVE, b"")]

    def moves(self) -> dict[Address, Address]:
        if self.error:
            raise self.error
        return dict.fromkeys((CARDIOLOGIST, MOVED_ONCE), NEWEST)


def test_a_profile_comes_before_a_contact_and_both_before_the_registry(tmp_path: Path) -> None:
    me = create_profile(tmp_path, "me", Role.PATIENT, "passphrase of a test")
    add_contact(tmp_path, "cardiologist", CARDIOLOGIST)
    registry = Registry()
    names = Names(tmp_path, registry)
    names.learn([me.address, CARDIOLOGIST])
    assert (names.of(me.address), names.of(CARDIOLOGIST)) == ("me", "cardiologist")
    assert registry.asked == []


def test_profiles_are_read_once_a_name_is_looked_for_and_a_damaged_address_book_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = create_profile(tmp_path, "me", Role.PATIENT, "passphrase of a test")
    create_profile(tmp_path, "clinic", Role.HOSPITAL, "passphrase of a test")
    read = list[str]()
    real = names_module.list_profiles

    def noted(home: Path) -> Profiles:
        found = real(home)
        read.extend(one.name for one in found)
        return found

    monkeypatch.setattr(names_module, "list_profiles", noted)
    names = Names(tmp_path, Registry())
    assert read == []
    # Nobody is asked about, and nothing is shown.
    names.registry = None
    names.learn([])
    assert read == []
    assert [names.of(me.address), names.of_handle(me.handle), names.of("nobody")] == ["me", "me", "nobody"]
    assert sorted(read) == ["clinic", "me"]
    (tmp_path / "profiles" / "clinic" / "profile.json").write_text("{")
    assert Names(tmp_path).of(me.address) == "me"
    add_contact(tmp_path, "cardiologist", CARDIOLOGIST)
    (tmp_path / "contacts.json").write_text("{")
    with pytest.raises(ConfigurationError):
        Names(tmp_path)


def test_a_handle_of_somebody_with_a_name_is_their_name(tmp_path: Path) -> None:
    physio = add_contact(tmp_path, "cardiologist", CARDIOLOGIST, Role.PRACTITIONER)
    add_contact(tmp_path, "a-study", PHARMACIST)
    assert Names(tmp_path).of_handle(physio.handle) == "cardiologist"
    assert Names(tmp_path).of_handle("pra-mfrggzdfmy2tq") == "pra-mfrggzdfmy2tq"


def test_a_handle_needs_no_registry_where_the_role_is_known(tmp_path: Path) -> None:
    assert Names(tmp_path).of(CARDIOLOGIST, Role.HOSPITAL).startswith("hos-")
    assert Names(tmp_path).of("nobody", Role.HOSPITAL) == "nobody"


def test_the_registry_is_asked_once_for_all(tmp_path: Path) -> None:
    registry = Registry()
    names = Names(tmp_path, registry)
    names.learn([PHARMACIST, CARDIOLOGIST, PHARMACIST])
    names.learn([CARDIOLOGIST, PHARMACIST])
    assert registry.asked == [[PHARMACIST, CARDIOLOGIST]]
    assert names.of(PHARMACIST).startswith("pra-")
    assert names.of(CARDIOLOGIST) == CARDIOLOGIST


def test_an_account_has_its_name_also_without_the_capitals_of_its_checksum(tmp_path: Path) -> None:
    whole = Address("0x52908400098527886E0F7030069857D2E4169EE7")
    add_contact(tmp_path, "doctor", whole, Role.PRACTITIONER)
    names = Names(tmp_path)
    assert names.of(whole.lower()) == names.of(whole) == "doctor"
    assert names.of("0x" + "ab" * 20) == "0x" + "ab" * 20


class TestBranches:
    """Hospitals with keys of their own under one organisation."""

    HEAD, NORTH, SOUTH = (Address("0x" + digit * 40) for digit in "345")

    def registry(self) -> Registry:
        actors = {
            one.address: one
            for one in (
                Actor(self.HEAD, Role.HOSPITAL, Status.ACTIVE, b""),
                Actor(self.NORTH, Role.HOSPITAL, Status.ACTIVE, b"", organisation=self.HEAD),
                Actor(self.SOUTH, Role.HOSPITAL, Status.ACTIVE, b"", organisation=self.HEAD),
                Actor(PHARMACIST, Role.PRACTITIONER, Status.ACTIVE, b"", organisation=self.HEAD),
            )
        }
        made = Registry()
        made.known = lambda addresses: [actors[one] for one in addresses if one in actors]  # type: ignore[method-assign]
        return made

    def test_are_shown_under_it_and_practitioners_as_before(self, tmp_path: Path) -> None:
        names = Names(tmp_path, self.registry())
        names.learn([self.NORTH, self.SOUTH, PHARMACIST])
        head = handle_of(self.HEAD, Role.HOSPITAL)
        assert names.of(self.NORTH) == f"{handle_of(self.NORTH, Role.HOSPITAL)} ({head})"
        assert names.of(self.SOUTH) == f"{handle_of(self.SOUTH, Role.HOSPITAL)} ({head})"
        assert names.of(self.HEAD) == head
        assert names.of(PHARMACIST) == handle_of(PHARMACIST, Role.PRACTITIONER)

    def test_are_shown_with_the_organisations_own_name_and_keep_a_name_of_theirs(self, tmp_path: Path) -> None:
        add_contact(tmp_path, "group", self.HEAD)
        add_contact(tmp_path, "north", self.NORTH)
        names = Names(tmp_path, self.registry())
        names.learn([self.NORTH, self.SOUTH])
        assert names.of(self.NORTH) == "north"
        assert names.of(self.SOUTH) == f"{handle_of(self.SOUTH, Role.HOSPITAL)} (group)"


def test_a_registry_that_does_not_answer_leaves_addresses(tmp_path: Path) -> None:
    names = Names(tmp_path, Registry(ChainUnavailableError("it is down")))
    names.learn([PHARMACIST])
    assert names.of(PHARMACIST) == PHARMACIST


def test_a_name_stands_for_the_newest_account_of_a_patient_who_was_moved(tmp_path: Path) -> None:
    add_contact(tmp_path, "my-patient", CARDIOLOGIST, Role.PATIENT)
    names = Names(tmp_path, Registry())
    names.learn([])
    assert (names.of(NEWEST, Role.PATIENT), names.of(CARDIOLOGIST, Role.PATIENT)) == ("my-patient", "my-patient")
    assert names.of(MOVED_ONCE, Role.PATIENT).startswith("pat-")


def test_a_name_that_the_newest_account_has_of_its_own_stays(tmp_path: Path) -> None:
    add_contact(tmp_path, "before", CARDIOLOGIST, Role.PATIENT)
    add_contact(tmp_path, "now", NEWEST, Role.PATIENT)
    names = Names(tmp_path, Registry())
    names.learn([])
    assert names.of(NEWEST) == "now"


def test_a_registry_that_does_not_say_who_was_moved_takes_no_name(tmp_path: Path) -> None:
    add_contact(tmp_path, "my-patient", CARDIOLOGIST, Role.PATIENT)
    names = Names(tmp_path, Registry(ChainUnavailableError("it is down")))
    names.learn([])
    assert names.of(CARDIOLOGIST) == "my-patient"


def test_a_damaged_profile_takes_nobody_elses_name(tmp_path: Path) -> None:
    me = create_profile(tmp_path, "me", Role.PATIENT, "passphrase of a test")
    other = create_profile(tmp_path, "other", Role.PATIENT, "passphrase of a test")
    (other.folder / "profile.json").write_text("{}")
    names = Names(tmp_path)
    assert names.of(me.address) == "me"
    assert names.of(other.address) == other.address


@pytest.mark.parametrize(
    "text", ["0x52908400", "0x5290840009852788", "0X5290"[:2].lower() + "8617", PHARMACIST[:12].lower()]
)
def test_a_unique_beginning_names_its_policy(text: str) -> None:
    assert policy_id(text, POLICIES) in POLICIES
    assert policy_id(text, POLICIES).lower().startswith(text.lower())


def test_a_whole_id_needs_no_list() -> None:
    assert policy_id(CARDIOLOGIST, iter(())) == CARDIOLOGIST
    assert policy_id(CARDIOLOGIST.lower(), iter(())) == CARDIOLOGIST


def test_an_ambiguous_beginning_is_refused_and_names_what_fits() -> None:
    with pytest.raises(UsageError, match="2 policies begin with 0x5290") as caught:
        policy_id("0x5290", POLICIES)
    assert CARDIOLOGIST in str(caught.value)


def test_a_beginning_that_nobody_has_is_refused() -> None:
    with pytest.raises(PolicyUnknownError):
        policy_id("0xffff", POLICIES)


@pytest.mark.parametrize("text", ["", "0x", "0x529", "5290", "0x" + "5" * 41, "0xzzzz", "all", "0x٣٣٣٣"])
def test_what_is_no_beginning_of_an_id_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        policy_id(text, POLICIES)


def view(policy: PolicyId, *, active: bool) -> PolicyView:
    status = PolicyStatus.ACTIVE if active else PolicyStatus.REVOKED
    return PolicyView(policy, status, CARDIOLOGIST, PHARMACIST, ("laboratory",), ("TREAT",), 0, 1, 2, 3, "")


def test_a_name_means_the_one_policy_in_force() -> None:
    first, second, third = POLICIES
    policies = [view(first, active=False), view(second, active=True), view(third, active=False)]
    assert policy_of("doctor", policies) == second


def test_a_name_means_the_only_policy_also_when_it_is_over() -> None:
    assert policy_of("doctor", [view(POLICIES[0], active=False)]) == POLICIES[0]


@pytest.mark.parametrize("active", [True, False])
def test_a_name_with_several_policies_names_them_and_chooses_none(active: bool) -> None:
    with pytest.raises(UsageError, match=f"2 policies with doctor fit: {POLICIES[0]}, {POLICIES[1]}"):
        policy_of("doctor", [view(one, active=active) for one in POLICIES[:2]])


def test_a_name_without_a_policy_is_unknown() -> None:
    with pytest.raises(PolicyUnknownError, match="no policy with doctor"):
        policy_of("doctor", [])
