# SPDX-License-Identifier: Apache-2.0
"""Networks: what GradCore runs, and the files that hold them."""

from gradcore.network.layers import Layer, LayerShape
from gradcore.network.network import Network, beyond_float, check_classes, check_pictures, load_network

__all__ = ["Layer", "LayerShape", "Network", "beyond_float", "check_classes", "check_pictures", "load_network"]
