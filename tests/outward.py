"""Whatever a command sends beyond this machine, seen in a network namespace of its own, whose only way out is a tunnel.

``outward(...)`` runs this file as a program inside the namespace: a packet that comes out of the tunnel was meant for
somebody else, be it a connection, a datagram or the question for an address. Nothing of it goes any further.
"""

import fcntl
import ipaddress
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NAMESERVER = "192.0.2.53"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}


@dataclass(frozen=True)
class Watched:
    """What came of a command.

    Attributes:
        status: of its exit.
        said: on standard output and error.
        attempts: whom it tried to reach, each once.
    """

    status: int
    said: str
    attempts: tuple[str, ...]


@cache
def cannot_watch() -> str:
    """Why nothing can be watched here; empty: it can."""
    for program in ("unshare", "ip", "mount"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    found = outward([sys.executable, "-c", ""], dict(os.environ), Path.cwd())
    return "" if found.status == 0 else f"no network namespace of one's own: {found.said.strip()[-200:]}"


def outward(command: Sequence[str], environment: Mapping[str, str], folder: Path, timeout_s: float = 600) -> Watched:
    """Run a command in a namespace; the user of it is root there, as in a container."""
    with tempfile.TemporaryDirectory(prefix="outward-") as scratch:
        told, said = Path(scratch) / "attempts.json", Path(scratch) / "said.txt"
        as_root = () if os.geteuid() == 0 else ("--map-root-user",)
        with said.open("wb") as stream:
            status = subprocess.run(
                ["unshare", *as_root, "--net", "--mount", sys.executable, "-I", __file__, str(told), *command],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=timeout_s,
            ).returncode
        attempts = tuple(json.loads(told.read_text())) if told.is_file() else ()
        return Watched(status, said.read_text(encoding="utf-8", errors="replace"), attempts)


def main() -> int:
    """Inside the namespace: set it up, run the command, write down what came out."""
    told, *command = sys.argv[1:]
    tunnel = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tunnel, TUNSETIFF, struct.pack("16sH14x", b"out", IFF_TUN | IFF_NO_PI))
    for line in (
        "ip link set lo up",
        "ip address add 198.51.100.2/24 dev out",
        "ip link set out up",
        "ip route add default dev out",
    ):
        subprocess.run(line.split(), check=True)
    # Addresses are asked for through the tunnel, not of a service of this machine that would ask in our place.
    _in_place_of("/etc/resolv.conf", f"nameserver {NAMESERVER}\noptions timeout:1 attempts:1\n", Path(told).parent)
    _in_place_of("/etc/nsswitch.conf", "hosts: files dns\n", Path(told).parent)
    attempts: dict[str, None] = {}
    threading.Thread(target=_read, args=(tunnel, attempts), daemon=True).start()
    status = subprocess.run(command, check=False).returncode
    Path(told).write_text(json.dumps(list(attempts)))
    return status


def _in_place_of(file: str, content: str, scratch: Path) -> None:
    if Path(file).exists():
        beside = scratch / Path(file).name
        beside.write_text(content)
        subprocess.run(["mount", "--bind", str(beside), file], check=True)


def _read(tunnel: int, attempts: dict[str, None]) -> None:
    while packet := os.read(tunnel, 65536):
        if told := _told(packet):
            attempts[told] = None


def _told(packet: bytes) -> str:
    """Whom a packet is for; empty for what the kernel itself says to its neighbours."""
    if packet[0] >> 4 == 6:
        protocol, receiver, content = packet[6], ipaddress.ip_address(packet[24:40]), packet[40:]
    else:
        protocol, receiver, content = packet[9], ipaddress.ip_address(packet[16:20]), packet[(packet[0] & 15) * 4 :]
    if receiver.is_multicast and protocol not in (6, 17):
        return ""
    port = int.from_bytes(content[2:4]) if protocol in (6, 17) else 0
    told = f"{PROTOCOLS.get(protocol, protocol)} {receiver} port {port}"
    return f"{told} {_name(content[20:])}" if (protocol, port) == (17, 53) else told


def _name(question: bytes) -> str:
    labels, place = [], 0
    while place < len(question) and (size := question[place]):
        labels.append(question[place + 1 : place + 1 + size].decode("ascii", "replace"))
        place += size + 1
    return ".".join(labels)


if __name__ == "__main__":
    sys.exit(main())
