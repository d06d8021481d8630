"""Synthesis for the XC7Z020 with Yosys: resources, checks of the netlist, and what can be known of its timing."""
