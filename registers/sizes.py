# SPDX-License-Identifier: Apache-2.0
"""Reads registers/sizes.toml and generates what is derived from it: rtl/gradcore_sizes.vh, and a part of gradcore/hardware.py."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "sizes.toml"
PORTS = (0, 1)
# Macros of the widths of addresses -> the sizes that they reach.
_ADDRESSES = {
    "ENTRY_ADDRESS_BITS": "TILE_ENTRIES",
    "PIXEL_BITS": "TILE_PIXELS",
    "WEIGHT_ADDRESS_BITS": "WEIGHT_ROWS",
    "OUTPUT_ADDRESS_BITS": "OUTPUT_WORDS",
    "PARTIAL_BITS": "PARTIAL_PIXELS",
}


@dataclass(frozen=True)
class Client:
    """A client of an AXI port: its name, the path that it belongs to, the port, whether its response FIFO is a short one."""

    name: str
    path: str
    port: int
    short: bool = False


@dataclass(frozen=True)
class Sizes:
    """What sizes.toml says.

    Attributes:
        presets: name -> groups.
        sizes: name -> (value, meaning).
        clients: "read" and "write" -> the clients in the order of the bus.
    """

    presets: dict[str, int]
    sizes: dict[str, tuple[int, str]]
    clients: dict[str, list[Client]]


def read_sizes(source: Path = SOURCE) -> Sizes:
    """The file's contents. Raises AssertionError when the clients of a path do not stand together, or a port has none."""
    data = tomllib.loads(source.read_text())
    clients = {kind: [Client(**client) for client in data[kind]] for kind in ("read", "write")}
    for kind, members in clients.items():
        paths = [client.path for client in members]
        assert paths == sorted(paths, key=paths.index), f"{kind} clients of a path must stand together: {paths}"
        assert {client.port for client in members} == set(PORTS), f"a port has no {kind} client"
    return Sizes(data["presets"], {name: (size["value"], size["text"]) for name, size in data["sizes"].items()}, clients)


def _short(clients: Sequence[Client], port: int) -> int:
    """Bit c: client c of the port has a response FIFO of half the words."""
    return sum(client.short << place for place, client in enumerate(client for client in clients if client.port == port))


def sizes_header(sizes: Sizes, notice: str) -> str:
    """rtl/gradcore_sizes.vh: macros, for the port lists that no constant inside a module reaches."""
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// {notice}",
        "// Include it before a module.",
        "`ifndef GRADCORE_SIZES",
        "`define GRADCORE_SIZES",
        "",
        "// Groups of the largest preset: the default of the top.",
        f"`define GROUPS {max(sizes.presets.values())}",
    ]
    for name, (value, text) in sizes.sizes.items():
        lines += [f"// {text}", f"`define {name} {value}"]
    lines += ["", "// Bits of addresses."]
    for name, size in _ADDRESSES.items():
        lines.append(f"`define {name} {(sizes.sizes[size][0] - 1).bit_length()}")
    for kind, clients in sizes.clients.items():
        lines += ["", f"// The {kind} clients on the bus, from 0 on:", f"// {', '.join(client.name for client in clients)}."]
        lines.append(f"`define {kind.upper()}_CLIENTS {len(clients)}")
        for path in dict.fromkeys(client.path for client in clients):
            places = [place for place, client in enumerate(clients) if client.path == path]
            lines += [f"// Those of one path: their bits of a signal with `width` bits a client. {path}_{kind.upper()}S: how many."]
            lines.append(f"`define {path}_{kind.upper()}S {len(places)}")
            lines.append(f"`define {path}_{kind.upper()}(width) (width)*{places[0]}+:(width)*{len(places)}")
        for port in PORTS:
            served = [place for place, client in enumerate(clients) if client.port == port]
            order = "".join(f"{place:x}" for place in reversed(served))
            lines += [f"// Port {port}: how many it serves, and their places on the bus, a digit each, the first one last."]
            lines.append(f"`define {kind.upper()}_CLIENTS{port} {len(served)}")
            lines.append(f"`define {kind.upper()}_ORDER{port} {4 * len(clients)}'h{order}")
            if kind == "read":
                lines.append(f"`define READ_SHORT{port} {len(clients)}'b{_short(clients, port):0{len(served)}b}")
    return "\n".join([*lines, "", "`endif", ""])


def sizes_constants(sizes: Sizes) -> list[str]:
    """Lines of gradcore/hardware.py."""
    out = ["", "# Presets: name -> parameters of the Verilog's top.", "PRESETS: dict[str, dict[str, int]] = {"]
    out += [f'    "{name}": {{"GROUPS": {groups}}},' for name, groups in sizes.presets.items()]
    out += ["}", "", "# Sizes of the hardware."]
    for name, (value, text) in sizes.sizes.items():
        out.append(f"{name} = {value}  # {text}")
    for kind, clients in sizes.clients.items():
        out += ["", f"# The {kind} clients of each AXI port, in the order in which it serves them.", f"{kind.upper()}_CLIENTS = ("]
        for port in PORTS:
            names = ", ".join(f'"{client.name}"' for client in clients if client.port == port)
            out.append(f"    ({names}),")
        out.append(")")
    short = ", ".join(f"{_short(sizes.clients['read'], port):#b}" for port in PORTS)
    out += ["", "# Bit c: read client c of each AXI port has a response FIFO of half the words.", f"READ_SHORT = ({short})"]
    return out
