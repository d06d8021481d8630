# SPDX-License-Identifier: Apache-2.0
"""Networks: what GradCore runs, and the files that hold them."""

from gradcore.network.graph import Graph
from gradcore.network.graph_network import GraphNetwork
from gradcore.network.layers import Layer, LayerShape
from gradcore.network.network import Network, beyond_float
from gradcore.network.surroundings import check_classes, check_pictures

__all__ = ["Graph", "GraphNetwork", "Layer", "LayerShape", "Network", "beyond_float", "check_classes", "check_pictures"]
