"""An S3 service of one's own, in this process and on loopback: moto's server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer

from panachain.storage.s3 import S3Store
from panachain.storage.s3_client import Bucket, S3Client, read_s3_url

KEY, SECRET = "AKIAPANACHAINTEST000", "hush-hush-5512-not-a-secret-of-anybody"


@contextmanager
def running_s3() -> Iterator[str]:
    """Run a service and yield its URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def set_credentials(patch: pytest.MonkeyPatch) -> None:
    """Give the credentials as an operator does, by the environment, and nothing of this machine's."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        patch.delenv(name, raising=False)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    patch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    patch.setenv("AWS_ACCESS_KEY_ID", KEY)
    patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def new_bucket(endpoint: str, name: str) -> Bucket:
    """Make an empty bucket."""
    bucket = read_s3_url(f"s3://{name}/clinic?endpoint={endpoint}")
    client = S3Client(bucket, name="the test", timeout=30)
    client._ask("PUT", None)
    client.close()
    return bucket


def opened(bucket: Bucket) -> S3Store:
    return S3Store(bucket, timeout=30)
