# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/convolution/weight_loader.v."""
