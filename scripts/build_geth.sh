#!/usr/bin/env bash
# Build the geth program that the nightly story runs on, once: .cache/geth/geth, pinned by tools/geth/go.sum.
# Needs Go, unless PANACHAIN_GETH names a program. Never installs anything outside the checkout. Fails when it can't build,
# since the story on geth would be skipped then.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
program=$root/.cache/geth/geth
if [ -x "$program" ] || [ -x "${PANACHAIN_GETH:-}" ]; then
  exit 0
fi
if ! command -v go >/dev/null 2>&1; then
  printf '%s\n' "geth: there is no Go on this machine; the story on geth can't run" >&2
  exit 1
fi
mkdir -p "$root/.cache/geth"
cd "$root/tools/geth"
# Without cgo it needs no C compiler, and takes its secp256k1 from a module.
if ! CGO_ENABLED=0 timeout 3600 go build -mod=readonly -trimpath -o "$program.new" github.com/ethereum/go-ethereum/cmd/geth; then
  printf '%s\n' "geth: the build failed; the story on geth can't run" >&2
  exit 1
fi
mv "$program.new" "$program"
