"""An agent's own code in a process that outlives it, so that a test can look into the memory that it leaves.

    python -I -S agent_host.py PROGRAM FOLDER

Takes the key from standard input as the agent does, says `ready`, serves, says `over`, and ends with its input.
"""

import importlib.util
import os
import socket
import sys

spec = importlib.util.spec_from_file_location("process", sys.argv[1])
process = importlib.util.module_from_spec(spec)
sys.modules["process"] = process
spec.loader.exec_module(process)

folder = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECTORY)
page = process.Page()
with socket.socket(fileno=os.dup(0)) as source:
    assert source.recv_into(page.key) == process.KEY_SIZE
listening, made = process.listen("me", folder)
print("ready", flush=True)
process.Agent(listening, page, process.now() + 60).serve()
process.forget("me", folder, made)
print("over", flush=True)
os.read(0, 1)
