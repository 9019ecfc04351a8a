"""Kubo as block store, over its RPC.

The only file that imports ipfshttpclient. Never believes an answer: CIDs are computed here first and compared, and
every block that comes back is hashed. Follows Kubo's RPC v0 and docs/spec/formats.md.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from panachain.errors import BlockNotFoundError, IntegrityError, StoreUnavailableError
from panachain.storage import unixfs
from panachain.storage.cid import CID, CODEC_NAMES


class KuboStore:
    """A `BlobStore` in a Kubo node."""

    name = "Kubo node"

    def __init__(self, api: str = "/ip4/127.0.0.1/tcp/5001") -> None:
        """Connect to the node whose RPC listens at the multiaddress `api`.

        Raises:
            StoreUnavailableError: nobody answers there.
        """
        import ipfshttpclient

        self._errors: tuple[type[Exception], ...] = (ipfshttpclient.exceptions.Error, OSError)
        self._status_error = ipfshttpclient.exceptions.ErrorResponse
        try:
            with warnings.catch_warnings():
                # It warns at every daemon newer than itself; what counts is whether the calls below work.
                warnings.simplefilter("ignore")
                self._client: Any = ipfshttpclient.Client(api, session=True, timeout=30)
                self._client.version()
        except Exception as exc:
            if not isinstance(exc, self._errors):
                raise
            raise StoreUnavailableError(
                f"no Kubo node answers at {api}", hint="start one (see ipfs/README.md) or use the embedded store"
            ) from exc

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def put_block(self, cid: CID, data: bytes) -> None:
        """Store one block and compare the node's CID with ours."""
        cid.check(data)
        answer = self._call(
            "block/put",
            files=data,
            opts={"cid-codec": CODEC_NAMES[cid.codec], "mhtype": "sha2-256", "pin": "false"},
        )
        # The client gives a list of JSON values where the node streams them.
        stored = answer[0] if isinstance(answer, list) and answer else answer
        key = stored.get("Key") if isinstance(stored, dict) else None
        if key != str(cid):
            raise IntegrityError(f"the Kubo node stored block {cid} as {str(key)[:80]!r}")

    def put_blocks(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
        """Store many blocks."""
        for cid, data in blocks:
            self.put_block(cid, data)

    def add_file(self, leaves: Iterable[bytes]) -> CID:
        """Store a file as the blocks that we build, so that the profile is ours and not the node's setting."""
        return unixfs.build(leaves, self.put_block)

    def get_block(self, cid: CID) -> bytes:
        """Return a block, checked against its CID."""
        try:
            data: bytes = self._client.block.get(str(cid), opts={"offline": "true"})
        except self._status_error as exc:
            raise BlockNotFoundError(f"the Kubo node has no block {cid}") from exc
        except self._errors as exc:
            raise StoreUnavailableError(f"the Kubo node doesn't answer for block {cid}") from exc
        return cid.check(data)

    def has_block(self, cid: CID) -> bool:
        """Tell whether the node has the block and gives its true bytes."""
        try:
            self.get_block(cid)
        except BlockNotFoundError:
            return False
        return True

    def read_file(self, cid: CID) -> Iterator[bytes]:
        """Yield a file's leaves."""
        return unixfs.read(cid, self.get_block)

    def pin(self, cid: CID) -> None:
        """Pin the block and everything that it links."""
        self._call("pin/add", (str(cid),))

    def delete_block(self, cid: CID) -> None:
        """Remove one block; a missing one is no error."""
        self._call("block/rm", (str(cid),), opts={"force": "true"})

    def blocks(self) -> Iterator[CID]:
        """Yield the CID of every block; Kubo lists them by multihash only, so the codec is raw."""
        from panachain.storage.cid import RAW

        for line in self._call("refs/local", stream=True):
            yield CID(RAW, CID.parse(line["Ref"]).digest)

    def _call(
        self,
        path: str,
        args: tuple[str, ...] = (),
        *,
        files: bytes | None = None,
        opts: dict[str, str] | None = None,
        stream: bool = False,
    ) -> Any:
        client = self._client._client
        try:
            if files is None:
                return client.request(f"/{path}", args, opts=opts or {}, decoder="json", stream=stream)
            import ipfshttpclient.multipart as multipart

            body, headers = multipart.stream_files(io.BytesIO(files), chunk_size=unixfs.CHUNK)
            return client.request(f"/{path}", args, opts=opts or {}, decoder="json", data=body, headers=headers)
        except self._errors as exc:
            raise StoreUnavailableError(f"the Kubo node doesn't answer {path}") from exc
