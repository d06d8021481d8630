# SPDX-License-Identifier: Apache-2.0
"""A stand-in for PYNQ with the names and signatures that the runtime and its tests use; a test holds them to PYNQ's own.

PYNQ itself wants NumPy below 2, and an environment of its own.
"""

from __future__ import annotations

from pynq import buffer, overlay, ps
from pynq.buffer import PynqBuffer, allocate
from pynq.mmio import MMIO
from pynq.overlay import DefaultIP, Overlay
from pynq.pl_server import Device
from pynq.ps import Clocks

__all__ = ["MMIO", "Clocks", "DefaultIP", "Device", "Overlay", "PynqBuffer", "allocate", "buffer", "overlay", "ps"]
