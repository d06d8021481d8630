# SPDX-License-Identifier: Apache-2.0
"""Importers: networks of other programs become graphs, exactly, or are refused with every reason."""
