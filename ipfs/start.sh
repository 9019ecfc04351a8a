#!/bin/sh
# Start a private Kubo node in the folder that is given; with `init` only make it. Never listens beyond loopback, never
# tells a network what it holds; holds no secret.
set -eu
: "${1:?usage: start.sh DIR [init]}"
export IPFS_PATH="$1" IPFS_TELEMETRY=off
if [ ! -f "$IPFS_PATH/config" ]; then
  ipfs init --empty-repo
  ipfs bootstrap rm --all
  ipfs config Routing.Type none
  ipfs config --json Provide.Enabled false
  ipfs config --json Import.FastProvideRoot false
  ipfs config --json AutoConf.Enabled false
  ipfs config Addresses.API /ip4/127.0.0.1/tcp/5001
  ipfs config Addresses.Gateway ""
  ipfs config --json Addresses.Swarm '["/ip4/127.0.0.1/tcp/4001"]'
  # What the RPC has answered for is on the disk: a power cut doesn't lose it. Kubo's default is not to wait.
  ipfs config --json Datastore.Spec "$(ipfs config Datastore.Spec | sed 's/"sync": *false/"sync": true/')"
fi
if [ "${2:-}" = init ]; then
  exit 0
fi
exec ipfs daemon
