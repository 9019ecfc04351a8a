#!/usr/bin/env bash
# Build the Kubo program that the store is tested against, once: .cache/kubo/ipfs, pinned by tools/kubo/go.sum.
# Needs Go, unless PANACHAIN_IPFS names a program. Never installs anything outside the checkout. Fails when it can't build,
# since the tests against a real Kubo would be skipped then.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
program=$root/.cache/kubo/ipfs
if [ -x "$program" ] || [ -x "${PANACHAIN_IPFS:-}" ]; then
  exit 0
fi
if ! command -v go >/dev/null 2>&1; then
  printf '%s\n' "kubo: there is no Go on this machine; the tests against a real Kubo can't run" >&2
  exit 1
fi
mkdir -p "$root/.cache/kubo"
cd "$root/tools/kubo"
if ! CGO_ENABLED=0 timeout 1200 go build -mod=readonly -trimpath -o "$program.new" github.com/ipfs/kubo/cmd/ipfs; then
  printf '%s\n' "kubo: the build failed; the tests against a real Kubo can't run" >&2
  exit 1
fi
mv "$program.new" "$program"
