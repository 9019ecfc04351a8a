#!/usr/bin/env python3
"""Check that no file that git tracks holds a secret.

Reads bytes, runs nothing, and never prints what it finds: file, line and rule only. The rules are those of gitleaks
(its configuration, version 8) for services' keys, its generic rule for what is called a key, password or seed, and
one for keys as this project writes them: 32 bytes as hex beside such a word. What a rule finds and is none stands in
`.ci/allowed_secrets.toml`, by file and rule, with the reason; an entry that nothing needs any more is an error.

    scripts/check_secrets.py [FOLDER]
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ALLOWED: Final = Path(".ci/allowed_secrets.toml")
MAX_LINE: Final = 20_000
"""Bytes of a line that are searched: longer ones are made files, such as artifacts, in pieces of this size."""
_WORDS: Final = rb"(?:api_?key|auth_?token|credential|mnemonic|passphrase|passwd|password|private_?key|secret|seed)"
RULES: Final[dict[str, re.Pattern[bytes]]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "private-key": rb"-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----\s*[A-Za-z0-9+/=\\n]{16,}",
        "aws-access-token": rb"\b(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
        "github-token": rb"\b(?:gh[pousr]_[0-9a-zA-Z]{36}|github_pat_\w{82})\b",
        "gitlab-token": rb"\bgl(?:pat|ptt|rt|dt|cbt|ft|soat)-[0-9a-zA-Z_-]{20,}\b",
        "slack-token": rb"\bxox[abeoprs]-[0-9A-Za-z-]{10,}\b|hooks\.slack\.com/services/[A-Za-z0-9+/]{40,}",
        "stripe-access-token": rb"\b[rs]k_(?:test|live|prod)_[a-zA-Z0-9]{10,99}\b",
        "gcp-api-key": rb"\bAIza[\w-]{35}\b",
        "jwt": rb"\bey[a-zA-Z0-9]{17,}\.ey[a-zA-Z0-9/_-]{17,}\.[a-zA-Z0-9/_-]{10,}",
        "npm-access-token": rb"\bnpm_[a-zA-Z0-9]{36}\b",
        "pypi-upload-token": rb"pypi-AgEIcHlwaS5vcmc[\w-]{50,}",
        "sendgrid-api-token": rb"\bSG\.[\w.-]{60,}",
        "openai-or-anthropic-key": rb"\bsk-(?:ant-|proj-|svcacct-)?[\w-]{32,}\b",
        "twilio-api-key": rb"\bSK[0-9a-fA-F]{32}\b",
        "telegram-bot-token": rb"\b[0-9]{8,10}:AA[\w-]{33}\b",
        "azure-account-key": rb"AccountKey=[A-Za-z0-9+/=]{40,}",
        "age-secret-key": rb"\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b",
        "password-in-url": rb"\b[a-z][a-z0-9+.-]*://[^\s:/@'\"{}$<>]+:[^\s:/@'\"{}$<>]{3,}@",
        "generic-api-key": rb"(?i)" + _WORDS + rb"\w{0,20}[\"']?\s*(?:=|:|=>)\s*b?[\"'](?=[^\"'\s]*[0-9])"
        rb"[\w+/=.~!@#%^&*-]{12,200}[\"']",
        "key-of-32-bytes": rb"(?i)" + _WORDS + rb"[^\n]{0,60}?(?<![0-9a-f])(?:0x)?[0-9a-f]{64}(?![0-9a-f])",
    }.items()
}


@dataclass(frozen=True)
class Finding:
    """A place that a rule finds."""

    path: str
    line: int
    rule: str
    digest: str
    """Beginning of the SHA-256 of what was found: tells it from another one, and doesn't show it."""


def find(path: str, content: bytes) -> Iterator[Finding]:
    """Yield what the rules find in a file."""
    # Keys in PEM go over several lines; everything else stands on one.
    for match in RULES["private-key"].finditer(content):
        yield _finding(path, content.count(b"\n", 0, match.start()) + 1, "private-key", match[0])
    for number, line in enumerate(content.split(b"\n"), start=1):
        for start in range(0, len(line), MAX_LINE):
            # An overlap, so that nothing is cut in two.
            piece = line[max(0, start - 300) : start + MAX_LINE]
            for rule, pattern in RULES.items():
                if rule != "private-key":
                    for match in pattern.finditer(piece):
                        yield _finding(path, number, rule, match[0])


def _finding(path: str, line: int, rule: str, found: bytes) -> Finding:
    return Finding(path, line, rule, hashlib.sha256(found).hexdigest()[:16])


def tracked(folder: Path) -> list[str]:
    """Return the files that git tracks.

    Raises:
        SystemExit: git can't say.
    """
    done = subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise SystemExit(f"git can't list the files of {folder}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode().split("\0")[:-1]


def main(folder: str = ".") -> int:
    """Print each finding that isn't allowed, and each entry that nothing needs; return 1 if there is one."""
    root = Path(folder)
    listed = root / ALLOWED
    entries = tomllib.loads(listed.read_text("utf-8"))["allowed"] if listed.is_file() else []
    allowed = {(entry["file"], entry["digest"]): entry["reason"] for entry in entries}
    used: set[tuple[str, str]] = set()
    wrong = 0
    for path in tracked(root):
        file = root / path
        if file.is_symlink() or not file.is_file():
            continue
        for found in find(path, file.read_bytes()):
            if allowed.get((path, found.digest)):
                used.add((path, found.digest))
                continue
            wrong += 1
            print(f"{path}:{found.line}: looks like a secret ({found.rule}, digest {found.digest})")
    for path, digest in sorted(allowed.keys() - used):
        wrong += 1
        print(f"{ALLOWED}: nothing in {path} has the digest {digest} any more")
    if wrong:
        print("a secret that was committed counts as known: take it back where it is used, then out of the file")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
