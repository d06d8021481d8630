# SPDX-License-Identifier: Apache-2.0
"""Golden models of GradCore: the arithmetic that every check in the project compares with, bit for bit."""
