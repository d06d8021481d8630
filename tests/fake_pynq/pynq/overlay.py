# SPDX-License-Identifier: Apache-2.0
"""Overlays, and drivers that are bound to IPs by their names."""

from pathlib import Path
from xml.etree import ElementTree

from pynq.mmio import MMIO
from pynq.pl_server import Device

_ip_drivers = {}


class RegisterIP(type):
    """Registers drivers."""

    def __init__(cls, name, bases, attrs):
        for vlnv in attrs.get("bindto", ()):
            _ip_drivers[vlnv] = cls
        super().__init__(name, bases, attrs)


class DefaultIP(metaclass=RegisterIP):
    """A driver."""

    def __init__(self, description):
        self.device = description["device"]
        self.mmio = MMIO(description["phys_addr"], description["addr_range"], device=self.device)


class Overlay:
    """A bitstream with one IP."""

    def __init__(self, bitfile_name, dtbo=None, download=True, ignore_version=False, device=None, gen_cache=False):
        device = device or Device.active_device
        device.bitfile_name = str(bitfile_name)
        modules = ElementTree.parse(Path(bitfile_name).with_suffix(".hwh")).iter("MODULE")
        (name, vlnv), *_ = ((one.get("INSTANCE"), one.get("VLNV")) for one in modules if one.get("MODTYPE") != "processing_system7")
        self.bitfile_name = device.bitfile_name
        if download:
            device.downloads.append(Path(bitfile_name).name)
        self.ip_dict = {name: {"phys_addr": 0x43C0_0000, "addr_range": 4096, "device": device, "type": vlnv}}
        setattr(self, name, _ip_drivers.get(vlnv, DefaultIP)(self.ip_dict[name]))
