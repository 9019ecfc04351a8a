// A development chain of Nomic's Hardhat for the tests: tests/chains.py sets the ID, the fork, and how blocks are made.
// Never compiles anything, and has no accounts of its own: the tests make theirs.
const period = Number(process.env.PANACHAIN_PERIOD_MS);
module.exports = {
  networks: {
    hardhat: {
      chainId: Number(process.env.PANACHAIN_CHAIN_ID),
      hardfork: process.env.PANACHAIN_FORK,
      accounts: [],
      mining: { auto: period === 0, interval: period },
    },
  },
};
