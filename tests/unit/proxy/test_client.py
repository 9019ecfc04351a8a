"""What comes back from a proxy over HTTP: an object, a problem of ours, or the proxy's fault."""

from __future__ import annotations

import pytest

from panachain.errors import IntegrityError, RateLimitedError, UnavailableError
from panachain.proxy.client import Reply, read_answer


class TestReadAnswer:
    @pytest.mark.parametrize("content", [b"", b"[]", b"x", b"[" * 5000, b'{"a":1,"a":2}'])
    def test_what_is_no_object_is_the_proxys_fault(self, content: bytes) -> None:
        with pytest.raises(IntegrityError):
            read_answer(Reply(200, content))

    @pytest.mark.parametrize(("told", "wait"), [("7", 7), ("", 60), ("soon", 60), ("9999999", 60)])
    def test_a_limit_says_how_long_to_wait(self, told: str, wait: int) -> None:
        with pytest.raises(RateLimitedError) as caught:
            read_answer(Reply(429, b"{}", told))
        assert caught.value.retry_after == wait

    def test_an_unknown_problem_is_a_proxy_that_is_down(self) -> None:
        with pytest.raises(UnavailableError, match="status 502"):
            read_answer(Reply(502, b"<html>"))
