"""Objects of one bucket: put, get, list and delete over the bounded client, signed with Signature Version 4.

Never takes a credential from an argument, a URL or a network file: botocore reads them where every S3 tool does,
from the environment and from the user's files, and asks no service for them. Never believes a listing beyond its order
and bounds. Follows Amazon S3's REST API (2006-03-01) in path style, which MinIO and Ceph speak too, and ADR 24.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit
from xml.etree import ElementTree as ET

from panachain.errors import BlockNotFoundError, ConfigurationError, IntegrityError, LockedError, StoreUnavailableError
from panachain.storage.urls import check_service_url
from panachain.wire.client import Answer, Client, SlowError, WireError, said
from panachain.wire.transport import Bounds

_NAMESPACE: Final = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_PAGE_LIMIT: Final = 4 << 20
"""Bytes of one page of a listing: 1,000 keys of at most 1,024 bytes, and what stands around them."""
_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,60})</Code>")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9._/-]{0,200}")
_OFFLINE: Final = frozenset({"env", "shared-credentials-file", "config-file", "custom-process"})
"""Of botocore's sources of credentials those that open no connection: only wire/ does (security rule 20).

A role of the machine comes by `credential_process` of the user's configuration file, a program of the operator's.
"""
_AGAIN: Final = frozenset({500, 502, 503, 504})


@dataclass(frozen=True)
class Bucket:
    """Where a store's objects lie."""

    name: str
    prefix: str
    """Before every key, with `/` at its end; or empty."""
    endpoint: str
    """URL of the service, without a path."""
    region: str
    profile: str
    """Of the user's credentials file; empty takes the usual one."""

    @property
    def shown(self) -> str:
        """What messages call it."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


def read_s3_url(text: str) -> Bucket:
    """Read `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&profile=NAME]`.

    Raises:
        ConfigurationError: it is none, holds a credential, or its service is reached without TLS beyond this machine.
    """
    try:
        url = urlsplit(text)
        query = parse_qs(url.query, keep_blank_values=True, strict_parsing=bool(url.query), max_num_fields=8)
    except ValueError:
        raise ConfigurationError("the store's s3 URL can't be read") from None
    if "@" in url.netloc or not set(query) <= {"endpoint", "region", "profile"}:
        # Not quoted: what is too much in it may be a secret.
        raise ConfigurationError(
            "the store's s3 URL holds more than bucket, prefix, endpoint, region and profile",
            hint="credentials are read from the environment or ~/.aws/credentials, as by every S3 tool",
        )
    prefix = url.path.strip("/")
    if url.scheme != "s3" or not _BUCKET.fullmatch(url.netloc) or not _PREFIX.fullmatch(prefix) or ".." in prefix:
        raise ConfigurationError("the store's s3 URL names no bucket, or a prefix with other than A-Z a-z 0-9 . _ - /")
    region = query.get("region", ["us-east-1"])[0]
    if not re.fullmatch(r"[a-z0-9-]{1,40}", region):
        raise ConfigurationError("the region of the store's s3 URL isn't one")
    endpoint = query.get("endpoint", [f"https://s3.{region}.amazonaws.com"])[0].rstrip("/")
    check_service_url(endpoint, "the endpoint of the store's s3 URL")
    return Bucket(url.netloc, f"{prefix}/" if prefix else "", endpoint, region, query.get("profile", [""])[0])


@dataclass(frozen=True)
class Listed:
    """One object of a listing."""

    key: str
    """Without the store's prefix."""
    size: int
    at: float
    """Unix seconds at which it was written."""


class S3Client:
    """Requests to one bucket; any thread may use it."""

    def __init__(
        self,
        bucket: Bucket,
        *,
        name: str,
        timeout: float,
        tries: int = 4,
        pause: float = 0.3,
        client: Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the bucket, and read the credentials; nothing is asked yet.

        Args:
            bucket: where the objects lie.
            name: what messages call the store.
            timeout: seconds of silence after which a connection is given up.
            tries: how often a request is sent at most.
            pause: seconds before the second try; doubled before each further one.
            client: connections; None opens its own.
            sleep: waits for some seconds.

        Raises:
            ConfigurationError: the extra `panachain[s3]` isn't installed.
            LockedError: there are no credentials.
        """
        self.bucket = bucket
        self.name = name
        self._timeout = timeout
        self._tries = tries
        self._pause = pause
        self._sleep = sleep
        self._sign = _signer(bucket)
        self._client = client or Client()
        self._base = f"{bucket.endpoint}/{bucket.name}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def put(self, key: str, body: bytes) -> None:
        """Write an object; on disk, several times over, when this returns.

        Raises:
            StoreUnavailableError: the service doesn't answer, or refuses.
        """
        self._ask("PUT", key, body=body)

    def get(self, key: str, *, limit: int, first: int | None = None) -> bytes:
        """Return an object, or `limit` bytes of it from byte `first` on.

        Raises:
            BlockNotFoundError: there is none of that key.
            IntegrityError: the answer has more than `limit` bytes, or others than were asked for.
            StoreUnavailableError: the service doesn't answer, or refuses.
        """
        if first is None:
            return self._ask("GET", key, limit=limit).content
        answer = self._ask("GET", key, limit=limit, headers={"Range": f"bytes={first}-{first + limit - 1}"})
        if answer.status != 206 or len(answer.content) != limit:
            raise IntegrityError(f"the {self.name} gives {len(answer.content)} bytes of {key}, not {limit}")
        return answer.content

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error."""
        try:
            self._ask("DELETE", key)
        except BlockNotFoundError:
            return

    def list(self, folder: str) -> Iterator[Listed]:
        """Yield the objects whose keys begin with `folder`, in the order of their keys.

        Raises:
            IntegrityError: the listing isn't one, or doesn't go on.
            StoreUnavailableError: the service doesn't answer, or refuses.
        """
        token, last = "", ""
        while True:
            query = {"list-type": "2", "prefix": self.bucket.prefix + folder}
            if token:
                query["continuation-token"] = token
            page = self._xml(self._ask("GET", None, query=query, limit=_PAGE_LIMIT).content, "ListBucketResult")
            for entry in page.findall(f"{_NAMESPACE}Contents"):
                one = self._listed(entry)
                # Each key after the one before it: a listing that goes round in circles ends here.
                if not last < one.key or not one.key.startswith(folder):
                    raise IntegrityError(f"the {self.name} lists its objects out of order")
                last = one.key
                yield one
            if page.findtext(f"{_NAMESPACE}IsTruncated") != "true":
                return
            token, before = page.findtext(f"{_NAMESPACE}NextContinuationToken") or "", token
            if not token or token == before:
                raise IntegrityError(f"the {self.name}'s listing doesn't go on")

    def versioning(self) -> str:
        """Return whether the bucket keeps what is deleted: `Enabled`, `Suspended`, or empty for never."""
        # Services call the document differently, and agree on what is in it.
        found = self._xml(self._ask("GET", None, query={"versioning": ""}).content)
        return str(found.findtext(f"{_NAMESPACE}Status") or found.findtext("Status") or "")[:20]

    # Internal

    def _listed(self, entry: ET.Element) -> Listed:
        try:
            key = entry.findtext(f"{_NAMESPACE}Key") or ""
            size = int(entry.findtext(f"{_NAMESPACE}Size") or "")
            at = datetime.fromisoformat(entry.findtext(f"{_NAMESPACE}LastModified") or "").timestamp()
        except (ValueError, OverflowError) as exc:
            raise IntegrityError(f"the {self.name} lists an object without size or time") from exc
        if not key.startswith(self.bucket.prefix):
            raise IntegrityError(f"the {self.name} lists objects of another prefix")
        return Listed(key[len(self.bucket.prefix) :], size, at)

    def _xml(self, body: bytes, root: str = "") -> ET.Element:
        # A document type could define entities that grow without end.
        if b"<!" in body:
            raise IntegrityError(f"the {self.name} answers with a document type")
        try:
            found = ET.fromstring(body)  # noqa: S314 - bounded in bytes, and without entities of its own
        except (ET.ParseError, ValueError) as exc:
            raise IntegrityError(f"the {self.name} answers with something that is no XML") from exc
        if root and found.tag not in (f"{_NAMESPACE}{root}", root):
            raise IntegrityError(f"the {self.name} answers with another document than {root}")
        return found

    def _ask(
        self,
        method: str,
        key: str | None,
        *,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = 1 << 16,
    ) -> Answer:
        path = "" if key is None else "/" + quote(self.bucket.prefix + key, safe="/-_.~")
        asked = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted((query or {}).items()))
        url = f"{self._base}{path}" + (f"?{asked}" if asked else "")
        what = f"{method} {key or 'a listing'}"
        # A refusal's body is longer than a small block.
        bounds = Bounds(limit=max(limit, 1 << 14))
        failure = ""
        for attempt in range(self._tries):
            if attempt:
                self._sleep(self._pause * 2 ** (attempt - 1))
            signed = self._sign(method, url, headers or {}, body)
            try:
                answer = self._client.request(method, url, body, bounds=bounds, timeout=self._timeout, headers=signed)
            except SlowError as exc:
                # It had its time: asking again would only multiply the wait.
                raise StoreUnavailableError(f"the {self.name} doesn't answer {what} in time") from exc
            except WireError as exc:
                failure = said(exc)
                continue
            if answer.status not in _AGAIN:
                return self._good(what, answer, limit)
            failure = f"HTTP status {answer.status}"
        raise StoreUnavailableError(f"the {self.name} doesn't answer {what} ({failure})")

    def _good(self, what: str, answer: Answer, limit: int) -> Answer:
        if answer.status in (200, 204, 206):
            if len(answer.content) > limit:
                raise IntegrityError(
                    f"the {self.name} answers {what} with {len(answer.content)} bytes, at most {limit}"
                )
            return answer
        found = _CODE.search(answer.content)
        code = found[1].decode() if found else ""
        if answer.status == 404 and code in ("", "NoSuchKey"):
            raise BlockNotFoundError(f"the {self.name} has no object for {what}")
        raise StoreUnavailableError(
            f"the {self.name} refuses {what}: HTTP status {answer.status} {code}".rstrip(),
            hint="check the bucket's name, its region, and what the credentials allow",
        )


def _signer(bucket: Bucket) -> Callable[[str, str, Mapping[str, str], bytes | None], dict[str, str]]:
    """Return what signs a request: its method, URL, headers and body in, all headers out."""
    try:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError as exc:
        raise ConfigurationError(
            "stores of kind s3 need botocore", hint="pip install 'panachain[s3]' into the Python that runs this"
        ) from exc
    try:
        session = Session(profile=bucket.profile or None)
        resolver: Any = session.get_component("credential_provider")
        for provider in list(resolver.providers):
            if provider.METHOD not in _OFFLINE:
                resolver.remove(provider.METHOD)
        credentials: Any = session.get_credentials()
    except BotoCoreError as exc:
        raise LockedError(f"the credentials of {bucket.shown} can't be read: {type(exc).__name__}") from None
    if credentials is None:
        raise LockedError(
            f"there are no credentials for {bucket.shown}",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws/credentials (0600)",
        )

    def sign(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, str]:
        request = AWSRequest(method=method, url=url, headers=dict(headers), data=body or b"")
        # Without it the body of a request over TLS would stay unsigned.
        request.context["client_config"] = None
        request.context["payload_signing_enabled"] = True
        S3SigV4Auth(credentials, "s3", bucket.region).add_auth(request)
        return {str(name): str(value) for name, value in request.headers.items()}

    return sign
