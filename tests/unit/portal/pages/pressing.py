"""What tests of pages do when the work that a confirmation begins must fail."""

from __future__ import annotations

import time
from typing import Any

from tests.portal.conftest import ORIGIN, Client, forms_of, text_of


def failed(client: Client, asked: Any, status: int) -> str:
    """Press a confirmation's button, wait for the work, and return the page that says why it failed."""
    path, hidden = next((path, hidden) for path, hidden in forms_of(asked.text) if "confirmation" in dict(hidden))
    fields: dict[str, list[str]] = {}
    for name, value in hidden:
        fields.setdefault(name, []).append(value)
    answer = client.post(path, data=fields, headers={"origin": str(ORIGIN)}, follow_redirects=False)
    assert answer.status_code == 303, text_of(answer.text)
    place = answer.headers["location"]
    for _ in range(2_000):
        answer = client.get(place)
        if answer.status_code != 200:
            break
        time.sleep(0.02)
    assert answer.status_code == status, text_of(answer.text)
    return answer.text
