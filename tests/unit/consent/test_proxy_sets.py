"""Which proxies may hold shares: no operator alone, none of the grantee's own, and none that is suspended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panachain.consent.proxy_sets import check, choose, operator_of, refs
from panachain.errors import UsageError
from panachain.model.actors import Actor, Address, Role, Status


def where(number: int) -> Address:
    return Address(f"0x{number:040x}")


def proxy(number: int, operator: int | None = None, status: Status = Status.ACTIVE) -> Actor:
    organisation = None if operator is None else where(operator)
    return Actor(
        where(number), Role.PROXY, status, b"k" * 32, endpoint=f"https://{number}.test", organisation=organisation
    )


GRANTEE = Actor(where(99), Role.PRACTITIONER, Status.ACTIVE, b"", organisation=where(50))


def chosen(*proxies: Actor, threshold: int = 2) -> list[Address]:
    return [one.address for one in choose(proxies, grantee=GRANTEE, threshold=threshold)]


def test_without_an_organisation_a_proxy_is_its_own_operator() -> None:
    assert (operator_of(proxy(1)), operator_of(proxy(1, 7))) == (where(1), where(7))


class TestChoose:
    def test_no_operator_can_open_alone(self) -> None:
        assert chosen(proxy(1, 7), proxy(2, 7), proxy(3, 8)) == [where(1), where(3)]
        three = (proxy(1, 7), proxy(2, 7), proxy(3, 7), proxy(4, 8))
        assert chosen(*three, threshold=3) == [where(1), where(2), where(4)]

    def test_none_of_the_grantees_own_and_none_suspended(self) -> None:
        assert chosen(proxy(1, 50), proxy(2), proxy(3, status=Status.SUSPENDED), proxy(4)) == [where(2), where(4)]

    def test_a_grantee_without_an_organisation_is_their_own(self) -> None:
        alone = replace(GRANTEE, organisation=None)
        left = choose([proxy(1, 99), proxy(2), proxy(3)], grantee=alone, threshold=2)
        assert [one.address for one in left] == [where(2), where(3)]

    def test_too_few_is_told_with_what_to_do(self) -> None:
        with pytest.raises(UsageError, match="1 of 2 proxies may hold shares, 2 are needed") as caught:
            chosen(proxy(1, 7), proxy(2, 7))
        assert "--any-operator" in caught.value.hint
        with pytest.raises(UsageError, match="0 of 0"):
            chosen()


class TestCheck:
    def test_named_ones_that_fit_are_taken_in_their_order(self) -> None:
        named = [proxy(3), proxy(1)]
        assert check(named, grantee=GRANTEE, threshold=2) == refs(named)

    def test_one_that_is_suspended_is_refused_whatever_the_patient_wants(self) -> None:
        named = [proxy(1), proxy(2), proxy(3, status=Status.SUSPENDED)]
        for any_operator in (False, True):
            with pytest.raises(UsageError, match="is suspended"):
                check(named, grantee=GRANTEE, threshold=2, any_operator=any_operator)

    def test_an_operator_of_too_many_is_refused_unless_it_is_wanted(self) -> None:
        named = [proxy(1, 7), proxy(2, 7), proxy(3), proxy(4)]
        with pytest.raises(UsageError, match="have one operator"):
            check(named, grantee=GRANTEE, threshold=2)
        assert len(check(named, grantee=GRANTEE, threshold=2, any_operator=True)) == 4


def test_a_policy_keeps_address_endpoint_and_digest() -> None:
    (ref,) = refs([proxy(1)])
    assert (ref.address, ref.endpoint, ref.key_digest) == (where(1), "https://1.test", b"k" * 32)
