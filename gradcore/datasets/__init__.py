# SPDX-License-Identifier: Apache-2.0
"""Explanations of whole data sets: in parts, on the cores of a machine or on a farm, killed and started again at any moment."""

from gradcore.datasets.reading import Attributions, read_attributions
from gradcore.datasets.running import explain_dataset

__all__ = ["Attributions", "explain_dataset", "read_attributions"]
