# SPDX-License-Identifier: Apache-2.0
"""Runs the runtime's driver for PYNQ on a device whose registers and memory are at the other end of two pipes (core_bridge.py).

Run by tests/test_runtime_pynq.py with PYNQ itself, or with the stand-in: pynq_child.py BUNDLE OUT.npz
"""

import ctypes
import os
import struct
import sys
from pathlib import Path

import numpy as np

TO, FROM = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
os.dup2(2, 1)  # what others print is no answer

import pynq  # noqa: E402
from gradcore_runtime import GradCoreError, Program  # noqa: E402
from gradcore_runtime import pynq_device as ours  # noqa: E402
from pynq.buffer import PynqBuffer  # noqa: E402

CORE, MEMORY, CMA = 0x43C0_0000, 0x0100_0000, 0x20_0000
SYSTEM = {0xF800_0108: 20 << 12, 0xF800_0170: 0x0020_0500, 0xF800_0900: 0xF, 0xF800_8000: 1}


def message(letter, first, second, data=b"", answer=0):
    """Send one, and read its answer."""
    TO.write(struct.pack("<3I", ord(letter), first, second) + data)
    TO.flush()
    return FROM.read(answer)


class Zynq(pynq.Device):
    """A board without a fabric: PYNQ's own tests make theirs like this."""

    _probe_priority_ = 1

    def __init__(self):
        super().__init__("zynq")
        self.capabilities = {"REGISTER_RW": True}
        self.arch, self.freed, self.downloads = "armv7l", 0, []
        self.system = dict(SYSTEM)

    def read_registers(self, address, length):
        if address < CORE or address >= CORE + 4096:
            return struct.pack("<I", self.system.get(address, 0))
        assert length == 4
        return message("R", address - CORE, 0, answer=4)

    def write_registers(self, address, data):
        (value,) = struct.unpack("<I", bytes(data))
        if address < CORE or address >= CORE + 4096:
            self.system[address] = value
        else:
            message("W", address - CORE, value)

    def get_bitfile_metadata(self, bitfile_name):
        """As PYNQ's device for boards, without the memories that XRT would have. (The stand-in's Overlay reads the file itself.)"""
        from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
        from pynqmetadata.frontends import Metadata

        return RuntimeMetadataParser(Metadata(input=str(Path(bitfile_name).with_suffix(".hwh"))))

    def download(self, bitstream, parser=None):
        self.downloads.append(Path(bitstream.bitfile_name).name)
        self.post_download(bitstream, bitstream.parser)

    def gen_cache(self, bitstream, parser=None):
        pass

    def allocate(self, shape, dtype, **kwargs):
        if int(np.prod(shape)) > CMA:
            raise RuntimeError("Failed to allocate Memory!")
        self.memory = np.zeros(int(np.prod(shape)) + 32, np.uint8)
        # On a board a buffer starts at a page; this one does not: the driver must see to it.
        return PynqBuffer(shape, dtype, buffer=self.memory, device=self, device_address=MEMORY - 2048, bo=1, coherent=False)

    def flush(self, bo, offset, vaddr, nbytes):
        message("F", offset - 2048, nbytes, ctypes.string_at(vaddr, nbytes))

    def invalidate(self, bo, offset, vaddr, nbytes):
        ctypes.memmove(vaddr, message("I", offset - 2048, nbytes, answer=nbytes), nbytes)


def refused(call, *arguments):
    """The text of the error that a call ends with."""
    try:
        call(*arguments)
    except GradCoreError as error:
        return str(error)
    raise AssertionError("no error")


def main():
    """Bind, refuse what must be, run."""
    pynq.ps.CPU_ARCH = "armv7l"  # PYNQ 3.0 asks the machine which clocks there are, 3.1 the device
    bundle, out = Path(sys.argv[1]), sys.argv[2]
    device = pynq.Device.active_device = Zynq()
    ip = pynq.Overlay(str(bundle / "gradcore.bit")).gradcore
    assert type(ip) is ours.GradCoreIP and isinstance(ip, pynq.DefaultIP) and device.downloads == ["gradcore.bit"]
    assert not getattr(ip, "_interrupts", {}), "PYNQ knows an interrupt after all: use it"
    sample = np.load(bundle / "sample.npz")
    device.system[0xF800_0900] = 0
    said = [refused(ip.execute, sample["picture"])]
    device.system[0xF800_0900] = 0xF
    (result,) = ip.execute(sample["picture"], method="guided")
    assert device.system[0xF800_8000] == 0, "HP0 is made 64 bits wide"
    report = ip.throughput_test(2)
    # Inputs beyond a picture's range: the program is loaded again, in a buffer of its own, and then as it was.
    (noisy,) = ip.execute(sample["picture"], method="smoothgrad", target=3, nt_samples=2)
    assert noisy.runs == 3 and noisy.counters["cycles"] == noisy.cycles.total and ip.execute(sample["picture"])[0].runs == 1
    big = Program.load(bundle / "program.gradcore")
    big.memory_size = CMA
    said.append(refused(ip.load, big))
    assert "no program is loaded" in refused(ip.execute, sample["picture"]), "the buffer went when the larger one was asked for"
    made = {"logits": result.logits, "attribution": result.attribution, "noisy": noisy.attribution}
    np.savez(out, **made, clock=[result.clock_mhz, report["fclk[mhz]"]], said=said)


if __name__ == "__main__":
    main()
