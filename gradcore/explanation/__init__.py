# SPDX-License-Identifier: Apache-2.0
"""Explanations of pictures: what a network sees in them, and why; and how well that agrees with PyTorch."""

from gradcore.explanation.explanation import explain, find_class, inputs_of
from gradcore.explanation.result import Explanation

__all__ = ["Explanation", "explain", "find_class", "inputs_of"]
