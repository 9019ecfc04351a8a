"""One adapter for each Solidity contract: its methods are the contract's functions under Python's names."""
