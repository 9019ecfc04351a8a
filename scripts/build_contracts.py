"""Compile the contracts into panachain/chain/artifacts/, which ships in the wheel.

    python scripts/build_contracts.py            writes the artifacts
    python scripts/build_contracts.py --check    fails when they are stale

Needs Node and tools/node_modules (npm ci in tools/); users of the package need neither.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ARTIFACTS = ROOT / "panachain" / "chain" / "artifacts"
MODULES = ROOT / "tools" / "node_modules"
CONTRACTS = [f"{path.parent.name}/{path.stem}" for path in sorted((ROOT / "contracts").glob("*chain/*.sol"))]
MANAGER = "@openzeppelin/contracts/access/manager/AccessManager.sol"
SETTINGS = {
    "optimizer": {"enabled": True, "runs": 10_000},
    "viaIR": True,
    "evmVersion": "prague",
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
    "outputSelection": {
        "*": {
            "*": [
                *("abi", "metadata", "evm.bytecode.object"),
                *("evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"),
            ]
        }
    },
}
COMPILE = """
const fs = require('fs'), path = require('path'), solc = require('solc');
const root = process.argv[1], modules = process.argv[2];
const read = (name) => {
  const file = name.startsWith('@') ? path.join(modules, name) : path.join(root, name);
  try { return { contents: fs.readFileSync(file, 'utf8') }; } catch (error) { return { error: String(error) }; }
};
process.stdout.write(solc.compile(fs.readFileSync(0, 'utf8'), { import: read }));
"""


def sources() -> dict[str, str]:
    """Return every Solidity file of ours by its path below contracts/."""
    folder = ROOT / "contracts"
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.sol"))}


def compile_all() -> dict[str, dict[str, object]]:
    """Return the artifacts by contract name; ends the program with the compiler's messages when it fails."""
    own = sources()
    content = {name: {"content": text} for name, text in own.items()}
    content[MANAGER] = {"content": (MODULES / MANAGER).read_text()}
    request = {"language": "Solidity", "sources": content, "settings": SETTINGS}
    answer = subprocess.run(
        ["node", "-e", COMPILE, str(ROOT / "contracts"), str(MODULES)],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
        env=None,
        cwd=ROOT / "tools",
        timeout=300,
    )
    output = json.loads(answer.stdout)
    problems = [error["formattedMessage"] for error in output.get("errors", [])]
    if problems:
        sys.exit("\n".join(problems))
    version = json.loads((MODULES / "solc" / "package.json").read_text())["version"]
    wanted = [(f"{name}.sol", name.rpartition("/")[2]) for name in CONTRACTS] + [(MANAGER, "AccessManager")]
    return {
        name: {
            "contractName": name,
            "abi": output["contracts"][file][name]["abi"],
            "bytecode": "0x" + output["contracts"][file][name]["evm"]["bytecode"]["object"],
            "deployedBytecode": "0x" + output["contracts"][file][name]["evm"]["deployedBytecode"]["object"],
            "immutables": _places(output["contracts"][file][name]["evm"]["deployedBytecode"]["immutableReferences"]),
            "solc": version,
            "sourceHash": _source_hash(own, json.loads(output["contracts"][file][name]["metadata"])["sources"]),
        }
        for file, name in wanted
    }


def _places(references: dict[str, list[dict[str, int]]]) -> list[list[int]]:
    """Return where immutables stand in the code on chain: first byte and length of each."""
    return sorted([one["start"], one["length"]] for places in references.values() for one in places)


def _source_hash(own: dict[str, str], used: Collection[str]) -> str:
    """Return a hash of the settings and of what a contract is made of: a change touches the artifacts it concerns."""
    parts = {name: text for name, text in own.items() if name in used}
    return hashlib.sha256(json.dumps([parts, SETTINGS], sort_keys=True).encode()).hexdigest()


def main() -> None:
    """Write the artifacts, or compare them with the sources."""
    texts = {name: json.dumps(artifact, indent=1, sort_keys=True) + "\n" for name, artifact in compile_all().items()}
    if "--check" in sys.argv[1:]:
        stale = [n for n, t in texts.items() if not (p := ARTIFACTS / f"{n}.json").is_file() or p.read_text() != t]
        if stale:
            sys.exit(f"stale artifacts: {', '.join(stale)}; run python scripts/build_contracts.py")
        print(f"{len(texts)} artifacts are up to date")
        return
    ARTIFACTS.mkdir(exist_ok=True)
    for name, text in texts.items():
        (ARTIFACTS / f"{name}.json").write_text(text)
    print(f"{len(texts)} artifacts written")


if __name__ == "__main__":
    main()
