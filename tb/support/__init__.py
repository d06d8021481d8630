# SPDX-License-Identifier: Apache-2.0
"""What every bench shares: the runner, seeds, stall patterns, valid/ready stream drivers and the pyuvm base classes."""
