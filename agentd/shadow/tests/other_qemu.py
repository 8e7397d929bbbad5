#!/usr/bin/env python3
"""A QEMU that does not hold, as far as its monitor (file descriptor 3) shows it.

usage: other_qemu.py KIND QEMU-ARGUMENTS...
kinds: old        version 7.2
       no-ack     a newer version without the capability switchover-ack
       converges  completes a precopy by itself, acknowledged or not
       dies       prints a reason and exits
"""
import json
import socket
import sys

kind = sys.argv[1]
if kind == "dies":
    sys.exit("other_qemu: no machine of that type")
monitor = socket.socket(fileno=3)
version = {"major": 7, "minor": 2, "micro": 5} if kind == "old" else {"major": 9, "minor": 0, "micro": 0}
known = {"return-path", "events", "pause-before-switchover", "late-block-activate", "switchover-ack"}
if kind == "no-ack":
    known.remove("switchover-ack")
incoming = "-incoming" in sys.argv
state, migration = "inmigrate" if incoming else "prelaunch", {}


def tell(message):
    monitor.sendall(json.dumps(message).encode() + b"\n")


def event(name, data):
    tell({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}})


def answer(command, arguments):
    """The value of "return"; raises ValueError with the description of an error."""
    global state, migration
    if command == "query-version":
        return {"qemu": version, "package": ""}
    if command == "query-status":
        return {"status": state, "running": state == "running"}
    if command == "query-migrate":
        return migration
    if command == "migrate-set-capabilities":
        for entry in arguments["capabilities"]:
            if entry["capability"] not in known:
                raise ValueError("Parameter 'capability' does not accept value '%s'" % entry["capability"])
    elif command == "migrate":
        migration = {"status": "completed", "ram": {"dirty-sync-count": 3, "remaining": 0}}
        state = "postmigrate"
        event("MIGRATION", {"status": "completed"})
    elif command == "cont":
        state = "running"
    return {}


tell({"QMP": {"version": {"qemu": version, "package": ""}, "capabilities": []}})
for line in monitor.makefile("rb"):
    request = json.loads(line)
    try:
        tell({"return": answer(request["execute"], request.get("arguments", {})), "id": request["id"]})
    except ValueError as refusal:
        tell({"error": {"class": "GenericError", "desc": str(refusal)}, "id": request["id"]})
