"""The chains: calls, transactions and events of the contracts. Answers of a node are checked where they can be."""
