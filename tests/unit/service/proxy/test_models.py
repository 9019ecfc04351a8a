"""The described messages and the checked ones are the same: what one takes the other takes, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from panachain.errors import UsageError
from panachain.proxy import messages
from panachain.service.proxy import models
from tests.unit.service.proxy_world import ProxyWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProxyWorld]:
    made = ProxyWorld(tmp_path, count=2)
    yield made
    made.close()


def described(model: type[BaseModel], fields: dict[str, Any]) -> bool:
    try:
        model.model_validate(fields)
    except ValidationError:
        return False
    return True


def checked(parse: Any, fields: dict[str, Any]) -> bool:
    try:
        parse(fields)
    except UsageError:
        return False
    return True


WRONG: list[Any] = [None, "", "0x", "zz", 0, -1, 1 << 60, True, 1.5, [], {}, ["00"], "AB" * 65, "00" * 64, "00" * 66]


@pytest.mark.parametrize("kind", ["reencrypt", "receipts", "revoke", "delete"])
def test_a_request_that_one_takes_the_other_takes(world: ProxyWorld, kind: str) -> None:
    policy = world.grant()
    model, parse, fields = {
        "reencrypt": (
            models.ReencryptBody,
            messages.parse_reencrypt,
            messages.reencrypt_fields(world.request(policy)),
        ),
        "receipts": (
            models.ReceiptsBody,
            messages.parse_receipts,
            messages.receipts_fields(world.receipts_request(policy)),
        ),
        "revoke": (models.RevokeBody, messages.parse_revoke, messages.revoke_fields(policy.terms.policy_id)),
        "delete": (models.DeleteBody, messages.parse_delete, messages.delete_fields(world.revocation(policy))),
    }[kind]
    assert described(model, fields)
    assert checked(parse, fields)
    changed = [fields | {name: value} for name in fields for value in WRONG]
    changed += [{key: value for key, value in fields.items() if key != name} for name in fields]
    changed.append(fields | {"more": 1})
    assert [one for one in changed if described(model, one) != checked(parse, one)] == []


def test_answers_are_as_described(world: ProxyWorld) -> None:
    policy = world.grant()
    service = world.services[0]
    assert described(models.ReencryptAnswer, service.reencrypt(world.request(policy)))
    assert described(models.ReceiptsAnswer, service.receipts(world.receipts_request(policy)))
    assert described(models.HeadAnswer, service.head())
    assert described(models.ReadyAnswer, service.ready())
    world.chain.revoke(policy.terms.policy_id)
    assert described(models.RevokeAnswer, service.revoke(policy.terms.policy_id))
    assert described(models.DeleteAnswer, service.delete(world.revocation(policy)))
