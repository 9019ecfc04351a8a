"""The bounded transport below httpx: answers of ours are its answers, and failures of ours are its failures."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from panachain.http_client import httpx
from panachain.wire import messages
from panachain.wire.below_httpx import BelowHttpx, in_our_words
from panachain.wire.transport import BoundedTransport

FAILURES = [
    one
    for one in vars(messages).values()
    if isinstance(one, type)
    and issubclass(one, messages.WireError)
    and one not in (messages.WireError, messages.SlowError)
]


class Failing:
    """A transport that fails: at once, or while its answer is read."""

    def __init__(self, failure: type[messages.WireError], late: bool) -> None:
        self.failure, self.late = failure, late

    def handle_request(self, _: object) -> messages.Response:
        if not self.late:
            raise self.failure("told")
        return messages.Response(200, [], self)

    def __iter__(self) -> Iterator[bytes]:
        yield b"x"
        raise self.failure("told")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_has_httpxs_class_of_the_same_name(failure: type[messages.WireError], late: bool) -> None:
    client = httpx.Client(transport=BelowHttpx(Failing(failure, late)), trust_env=False)  # type: ignore[arg-type]
    with pytest.raises(getattr(httpx, failure.__name__), match="told") as caught, in_httpx(client):
        pass
    assert isinstance(caught.value, httpx.TransportError)
    # Whoever waits for what is slow finds the same among both.
    assert isinstance(caught.value, httpx.TimeoutException) is issubclass(failure, messages.SlowError)


def in_httpx(client: httpx.Client) -> httpx.Client:
    client.get("http://a.example/")
    return client


@pytest.mark.parametrize(
    "failure", [one for one in vars(httpx).values() if isinstance(one, type) and issubclass(one, httpx.TransportError)]
)
def test_whatever_httpx_raises_is_a_failure_of_ours(failure: type[httpx.TransportError]) -> None:
    with pytest.raises(messages.WireError) as caught, in_our_words():
        raise failure("told")
    assert isinstance(caught.value, messages.SlowError) is issubclass(failure, httpx.TimeoutException)


def test_nobody_there_is_httpxs_failure_to_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        httpx.Client(transport=BelowHttpx(BoundedTransport()), trust_env=False) as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get(f"http://127.0.0.1:{port}/")
