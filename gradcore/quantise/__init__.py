# SPDX-License-Identifier: Apache-2.0
"""Quantisation: from a float network to integers, which number formats hold it, and what that costs."""

from gradcore.models.quantised import Quantisation, QuantisedLayer, QuantisedNetwork, picture_table, quantise_image
from gradcore.models.quantised_graph import GraphQuantisation, QuantisedGraph
from gradcore.quantise.calibration import calibrate, fraction_for, standard_images
from gradcore.quantise.conversion import quantise, to_fixed
from gradcore.quantise.graphs import calibrate_graph, in_integers, quantise_graph

__all__ = [
    "Quantisation",
    "QuantisedLayer",
    "QuantisedNetwork",
    "GraphQuantisation",
    "QuantisedGraph",
    "calibrate",
    "calibrate_graph",
    "fraction_for",
    "in_integers",
    "picture_table",
    "quantise",
    "quantise_graph",
    "quantise_image",
    "standard_images",
    "to_fixed",
]
