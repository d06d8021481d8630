# SPDX-License-Identifier: Apache-2.0
"""Benches of the path of the convolutions."""
