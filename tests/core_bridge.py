# SPDX-License-Identifier: Apache-2.0
"""The simulated core for a program at the other end of two pipes, which has a driver of its own.

A message is a letter and two words of 32 bits: R offset, answered with the register; W offset value; F offset size, and the bytes, which
go to memory; I offset size, answered with the bytes that are there.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from gradcore import hardware
from gradcore.simulator.device import SimulatedDevice


def serve(process: subprocess.Popen, device: SimulatedDevice, changed: Mapping[int, int] = MappingProxyType({})) -> None:
    """Answer the program's messages until it ends. ``changed``: what registers read, and with negative offsets what is written to them."""
    _, memory = device.buffer(1 << 20)
    while len(words := process.stdout.read(12)) == 12:
        letter, first, second = struct.unpack("<3I", words)
        if chr(letter) == "R":
            value = changed.get(first, device.read32(first))
            device.pause(1e-6 if first == hardware.STATUS else 0)
            process.stdin.write(struct.pack("<I", value))
        elif chr(letter) == "W":
            device.write32(first, changed.get(-first, second))
        elif chr(letter) == "F":
            memory[first : first + second] = np.frombuffer(process.stdout.read(second), np.uint8)
            device.flush(first, second)
        else:
            device.invalidate(first, second)
            process.stdin.write(memory[first : first + second].tobytes())
        process.stdin.flush()
