"""`devnet install`: Anvil from npm's package, pinned by its hash, so that a wheel alone runs a development network.

Never runs anything of the package before its hash is checked, and no script of it ever: npm only fetches the archive.
Follows npm's `integrity` (Subresource Integrity, SHA-512) as in tools/package-lock.json.
"""

from __future__ import annotations

import base64
import hashlib
import platform
import secrets
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

from panachain.beside import environment_of_others
from panachain.chain.anvil import installed_anvil, machine
from panachain.errors import ConfigurationError, IntegrityError, UnavailableError
from panachain.private_files import make_private_folder, write_private

VERSION: Final = "1.7.1"
INTEGRITY: Final = {
    "linux-amd64": "+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg==",
    "linux-arm64": "ykHJmFOGdBR8+9smOKBm9ZZDCCCkLQctiHOAddLvmYx9mPeBDMfq6jP51hKYsO5MG8ClPLSlWe+JpiXPjoXgBQ==",
    "darwin-arm64": "JNeu3+A3f/npXLn8SR8EahVcqE7BpO9VQZMcPvSIy27/RNc1GsoEBvSLR99aSvt8sGKWAgNg/EzrtjAPq6mxcA==",
    "darwin-amd64": "OgwzwY+FsGrsPyDv4mmbhOwARO8s37YHrm2qaNzgSH4VlKnXgJCrnoT7bpgOhLyBPtxXjBT8L2E3b79deesXRg==",
}
"""By platform, the SHA-512 of the package's archive, in base64."""
_TIMEOUT: Final = 600
"""Seconds for 19 MB."""
_PROGRAM: Final = "package/bin/anvil"
"""The program's place in the archive."""
_MOST: Final = 256 << 20
"""Bytes of the program at most; it has 44 million."""


def install_anvil() -> Path:
    """Fetch Anvil if it isn't there yet, and return where it is.

    Raises:
        ConfigurationError: there is no package for this platform, or no npm on this machine.
        UnavailableError: npm can't fetch it.
        IntegrityError: what npm fetched isn't the pinned package.
    """
    place = installed_anvil()
    if place.is_file():
        return place
    name = f"{platform.system().lower()}-{machine()}"
    if name not in INTEGRITY:
        raise ConfigurationError(
            f"npm has no Anvil for {name}",
            hint="install Foundry's anvil and put it on the path, or into PANACHAIN_ANVIL",
        )
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigurationError(
            "devnet install needs npm, and there is none on the path",
            hint="install Node.js (Debian: apt install npm), or name an anvil program in PANACHAIN_ANVIL",
        )
    make_private_folder(place.parent)
    # A folder of its own: what another run fetches at the same time stays apart.
    folder = place.parent / f"new-{secrets.token_hex(4)}"
    make_private_folder(folder)
    try:
        program = _program(_fetch(npm, f"@foundry-rs/anvil-{name}@{VERSION}", folder), INTEGRITY[name])
        write_private(folder / "anvil", program)
        (folder / "anvil").chmod(0o700)
        (folder / "anvil").replace(place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return place


def _fetch(npm: str, package: str, folder: Path) -> bytes:
    """Return the archive of a package as npm's registry gives it."""
    try:
        done = subprocess.run(
            [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), package],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            env=environment_of_others(),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise UnavailableError(f"npm can't fetch {package}: {type(exc).__name__}", hint="try again later") from exc
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        last = (done.stderr.strip().splitlines() or ["it gives no reason"])[-1]
        raise UnavailableError(f"npm can't fetch {package}: {last}", hint="is a registry reachable? npm ping shows it")
    return archives[0].read_bytes()


def _program(archive: bytes, integrity: str) -> bytes:
    """Return the program inside an archive.

    Raises:
        IntegrityError: the archive isn't the pinned one.
    """
    import io

    found = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if found != integrity:
        raise IntegrityError(
            f"npm's archive of anvil {VERSION} has the SHA-512 {found}, not {integrity}; nothing was installed"
        )
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        member = tar.getmember(_PROGRAM)
        file = tar.extractfile(member)
        if file is None or member.size > _MOST:
            raise IntegrityError(f"npm's archive of anvil {VERSION} holds no program")
        return file.read()
