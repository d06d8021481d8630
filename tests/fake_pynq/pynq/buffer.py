# SPDX-License-Identifier: Apache-2.0
"""Memory: an array with a physical address, whose parts can be flushed alone."""

import numpy as np


class PynqBuffer(np.ndarray):
    """PYNQ's, but for the attribute ``device``, which NumPy 2 keeps for itself."""

    def __new__(cls, *args, device=None, device_address=0, bo=0, coherent=False, **kwargs):
        self = super().__new__(cls, *args, **kwargs)
        self.owner, self.device_address, self.bo, self.offset, self.coherent = device, device_address, bo, 0, coherent
        return self

    def __array_finalize__(self, obj):
        if isinstance(obj, PynqBuffer) and getattr(obj, "coherent", None) is not None:
            distance = self.virtual_address - obj.virtual_address
            self.owner, self.bo, self.coherent = obj.owner, obj.bo, obj.coherent
            self.device_address, self.offset = obj.device_address + distance, obj.offset + distance

    @property
    def physical_address(self):
        return self.device_address

    @property
    def virtual_address(self):
        return self.__array_interface__["data"][0]

    def freebuffer(self):
        self.owner.freed += 1

    def flush(self):
        self.owner.flush(self.bo, self.offset, self.virtual_address, self.nbytes)

    def invalidate(self):
        self.owner.invalidate(self.bo, self.offset, self.virtual_address, self.nbytes)


def allocate(shape, dtype="u4", target=None, **kwargs):
    return target.allocate(shape, dtype, **kwargs)
