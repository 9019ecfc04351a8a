"""Records that travel beyond the network, by links for whoever has no PanaChain. Follows docs/spec/sharing.md."""
