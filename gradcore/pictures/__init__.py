# SPDX-License-Identifier: Apache-2.0
"""Pictures: read, brought to a network's size, generated, and labelled ones in data files."""
