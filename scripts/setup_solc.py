"""Put npm's solc where ape-solidity and py-solc-x look for a native compiler, so that nothing is downloaded.

    python scripts/setup_solc.py        makes .cache/solcx/solc-v0.8.37, and prints the folder

Needs Node and tools/node_modules. Name the folder in SOLCX_BINARY_PATH.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION = "0.8.37"
SHIM = """#!/usr/bin/env node
// Answers what py-solc-x asks a native solc: --version, --help and --standard-json.
const fs = require('fs'), path = require('path');
const modules = MODULES;
const solc = require(path.join(modules, 'solc'));
const args = process.argv.slice(2);
if (args.includes('--version')) {
  console.log('solc, the solidity compiler commandline interface');
  console.log('Version: ' + solc.version().replace('.Emscripten.clang', '.Linux.g++'));
} else if (args.includes('--help')) {
  console.log('solc, the Solidity commandline compiler. --standard-json --version --help');
} else if (args.includes('--standard-json')) {
  const read = (name) => {
    for (const file of [name, path.join(process.cwd(), name), path.join(modules, name)]) {
      if (fs.existsSync(file)) return { contents: fs.readFileSync(file, 'utf8') };
    }
    return { error: 'not found: ' + name };
  };
  process.stdout.write(solc.compile(fs.readFileSync(0, 'utf8'), { import: read }));
} else {
  console.error('this solc takes --version, --help and --standard-json only');
  process.exit(1);
}
"""


def setup() -> Path:
    """Write the shim and return its folder."""
    folder = ROOT / ".cache" / "solcx"
    folder.mkdir(parents=True, exist_ok=True)
    shim = folder / f"solc-v{VERSION}"
    shim.write_text(SHIM.replace("MODULES", repr(str(ROOT / "tools" / "node_modules"))))
    shim.chmod(0o755)
    return folder


if __name__ == "__main__":
    print(setup())
