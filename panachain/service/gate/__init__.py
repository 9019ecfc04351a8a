"""The running gate: lets the sidechain's nodes, and nobody else, through to its RPC interface."""
