#!/bin/sh
# Start a private Kubo node in the folder that is given. Never listens beyond loopback; holds no secret.
set -eu
: "${1:?usage: start.sh DIR}"
export IPFS_PATH="$1" IPFS_TELEMETRY=off
if [ ! -f "$IPFS_PATH/config" ]; then
  ipfs init --empty-repo
  ipfs bootstrap rm --all
  ipfs config Routing.Type none
  ipfs config --json AutoConf.Enabled false
  ipfs config Addresses.API /ip4/127.0.0.1/tcp/5001
  ipfs config Addresses.Gateway ""
  ipfs config --json Addresses.Swarm '["/ip4/127.0.0.1/tcp/4001"]'
fi
exec ipfs daemon
