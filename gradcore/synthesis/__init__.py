# SPDX-License-Identifier: Apache-2.0
"""Synthesis for the XC7Z020 with Yosys: resources, checks of the netlist, and what can be known of its timing."""
