# SPDX-License-Identifier: Apache-2.0
"""PYNQ's device, which others inherit from."""


class Device:
    """Registers and memory."""

    active_device = None

    def __init__(self, tag, warn=False):
        self.tag = tag

    def has_capability(self, cap):
        return self.capabilities.get(cap, False)
