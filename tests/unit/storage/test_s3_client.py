"""Requests to one bucket: URLs without secrets, true signatures, answers that are bounded and never believed."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from panachain.errors import (
    BlockNotFoundError,
    ConfigurationError,
    IntegrityError,
    LockedError,
    PanaChainError,
    StoreUnavailableError,
)
from panachain.storage.s3_client import Bucket, S3Client, read_s3_url
from tests.unit.storage.s3_server import KEY, SECRET, set_credentials

Answer = tuple[int, bytes]


class Service:
    """Answers what a test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = ""

    def answer(self, *answers: Answer) -> None:
        self.answers += answers


@contextmanager
def serving(service: Service) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            service.asked.append((self.command, self.path, dict(self.headers), body))
            status, content = service.answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._answer)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    with serving(made):
        yield made


@pytest.fixture
def client(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    set_credentials(monkeypatch)
    bucket = read_s3_url(f"s3://records/clinic/a?endpoint={service.url}&region=eu-central-1")
    made = S3Client(bucket, name="test's store", timeout=10, sleep=lambda _: None)
    yield made
    made.close()


def listing(*keys: str, more: str = "", size: object = 3, at: str = "2026-11-29T01:02:03.000Z") -> bytes:
    rows = "".join(
        f"<Contents><Key>{key}</Key><LastModified>{at}</LastModified><Size>{size}</Size></Contents>" for key in keys
    )
    rest = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{more}</NextContinuationToken>" if more else ""
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<?xml version="1.0"?><ListBucketResult xmlns="{space}">{rows}{rest}</ListBucketResult>'.encode()


class TestUrl:
    def test_names_bucket_prefix_endpoint_region_and_profile(self) -> None:
        url = "s3://records/a/b/?endpoint=https://minio.example:9000&region=eu-1&profile=clinic"
        assert read_s3_url(url) == Bucket("records", "a/b/", "https://minio.example:9000", "eu-1", "clinic")
        assert read_s3_url("s3://records?region=eu-west-3").endpoint == "https://s3.eu-west-3.amazonaws.com"

    @pytest.mark.parametrize(
        "url",
        [
            f"s3://{KEY}:{SECRET}@records/a",
            f"s3://records/a?secret={SECRET}",
            f"s3://records/a?endpoint=https://{KEY}:{SECRET}@host",
            f"s3://records/../{SECRET}",
            "s3:///a",
            "s3://Records/a",
            "s3://records/a?region=EU",
            "s3://records/a?endpoint=http://minio.example",
            "s3://records/a?endpoint=http://10.0.0.1",
            "s3://records/a?endpoint=https://h/path",
            "s3://records/a?endpoint=https://h:port",
            "s3://records/a?endpoint=ftp://h",
            "s3://records/a?x",
        ],
    )
    def test_anything_else_is_refused_and_no_secret_is_shown(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            read_s3_url(url)
        assert SECRET not in str(caught.value) + caught.value.hint


class TestCredentials:
    def test_come_from_the_users_file_too(
        self, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_credentials(monkeypatch)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        file = tmp_path / "credentials"
        file.write_text(f"[clinic]\naws_access_key_id = OTHER\naws_secret_access_key = {SECRET}\n")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        service.answer((200, b""))
        S3Client(read_s3_url(f"s3://abc?endpoint={service.url}&profile=clinic"), name="it", timeout=9).put("a", b"")
        assert "Credential=OTHER/" in service.asked[0][2]["Authorization"]

    def test_none_is_told_and_no_service_is_asked_for_them(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_credentials(monkeypatch)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/role")
        with pytest.raises(LockedError, match="no credentials"):
            S3Client(read_s3_url(f"s3://abc?endpoint={service.url}"), name="it", timeout=9)
        assert service.asked == []

    def test_signs_what_is_sent(self, service: Service, client: S3Client) -> None:
        service.answer((200, b""), (206, b"abc"), (200, listing()))
        client.put("blocks/b", b"some bytes")
        client.get("packs/p", limit=3, first=7)
        list(client.list("index/"))
        for method, path, headers, body in service.asked:
            signed = headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
            assert {"host", "x-amz-content-sha256", "x-amz-date"} <= set(signed)
            by_name = {name.lower(): value for name, value in headers.items()}
            digest = hashlib.sha256(body).hexdigest()
            assert by_name["x-amz-content-sha256"] == digest
            # AWS Signature Version 4, "Create a canonical request" and the steps after it.
            where, _, query = path.partition("?")
            lines = [method, where, query, *(f"{name}:{by_name[name].strip()}" for name in signed)]
            canonical = "\n".join([*lines, "", ";".join(signed), digest])
            at = by_name["x-amz-date"]
            scope = f"{at[:8]}/eu-central-1/s3/aws4_request"
            hashed = hashlib.sha256(canonical.encode()).hexdigest()
            key = f"AWS4{SECRET}".encode()
            for part in (at[:8], "eu-central-1", "s3", "aws4_request", f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashed}"):
                key = hmac.digest(key, part.encode(), "sha256")
            assert headers["Authorization"].endswith(f"Signature={key.hex()}")
        assert [one[1].partition("?")[0] for one in service.asked[:2]] == [
            "/records/clinic/a/blocks/b",
            "/records/clinic/a/packs/p",
        ]

    def test_are_in_no_message(self, service: Service, client: S3Client) -> None:
        service.answer((403, f"<Error><Code>SignatureDoesNotMatch</Code><Key>{SECRET}</Key></Error>".encode()))
        with pytest.raises(StoreUnavailableError, match="403 SignatureDoesNotMatch") as caught:
            client.put("a", b"")
        assert SECRET not in str(caught.value) + caught.value.hint + repr(client.bucket)


class TestAnswers:
    def test_a_service_that_is_busy_is_asked_again(self, service: Service, client: S3Client) -> None:
        service.answer((503, b""), (500, b""), (200, b"x"))
        assert client.get("a", limit=10) == b"x"
        service.answer(*[(503, b"")] * 4)
        with pytest.raises(StoreUnavailableError, match="503"):
            client.get("a", limit=10)

    def test_a_missing_object_is_told_from_a_missing_bucket(self, service: Service, client: S3Client) -> None:
        service.answer(
            (404, b"<Error><Code>NoSuchKey</Code></Error>"), (404, b"<Error><Code>NoSuchBucket</Code></Error>")
        )
        with pytest.raises(BlockNotFoundError):
            client.get("a", limit=10)
        with pytest.raises(StoreUnavailableError, match="NoSuchBucket") as caught:
            client.get("a", limit=10)
        assert not isinstance(caught.value, BlockNotFoundError)

    @pytest.mark.parametrize("answer", [(200, bytes(11)), (200, bytes(1 << 20)), (206, bytes(9)), (200, bytes(10))])
    def test_more_or_less_than_was_asked_for_is_refused(
        self, service: Service, client: S3Client, answer: Answer
    ) -> None:
        service.answer(answer)
        with pytest.raises(IntegrityError):
            client.get("a", limit=10, first=0)

    def test_a_listing_goes_over_all_pages(self, service: Service, client: S3Client) -> None:
        prefix = "clinic/a/"
        service.answer(
            (200, listing(f"{prefix}pins/a", f"{prefix}pins/b", more="t")), (200, listing(f"{prefix}pins/c"))
        )
        assert [one.key for one in client.list("pins/")] == ["pins/a", "pins/b", "pins/c"]
        assert "continuation-token=t" in service.asked[1][1]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<a/>",
            b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            listing("clinic/a/pins/b", "clinic/a/pins/a"),
            listing("clinic/a/pins/b", "clinic/a/pins/b"),
            listing("clinic/other/pins/b"),
            listing("clinic/a/index/b"),
            listing("clinic/a/pins/b", size="x"),
            listing("clinic/a/pins/b", at="yesterday"),
            listing("clinic/a/pins/b") + b"<",
            b"<a>" * 10_000,
        ],
    )
    def test_a_listing_that_is_none_is_a_typed_error(self, service: Service, client: S3Client, body: bytes) -> None:
        service.answer((200, body))
        with pytest.raises(PanaChainError):
            list(client.list("pins/"))

    def test_a_listing_that_goes_round_in_circles_ends(self, service: Service, client: S3Client) -> None:
        service.answer((200, listing("clinic/a/pins/a", more="t")), (200, listing("clinic/a/pins/a", more="u")))
        with pytest.raises(IntegrityError, match="out of order"):
            list(client.list("pins/"))
        service.answer((200, listing(more="t")), (200, listing(more="t")))
        with pytest.raises(IntegrityError, match="doesn't go on"):
            list(client.list("pins/"))
