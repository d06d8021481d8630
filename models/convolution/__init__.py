# SPDX-License-Identifier: Apache-2.0
"""Models of the units on the path of convolutions."""
