# SPDX-License-Identifier: Apache-2.0
#
# Constraints of GradCore on the PYNQ-Z2: only what is needed, which is next to nothing.
#
# Pins: the design has none of its own. DDR and MIO pins belong to the processing system, whose own constraints place them.
# Clock: FCLK_CLK0 of the processing system. The constraints of processing_system7 define it (clk_fpga_0) with the frequency that
#   the block design asks for, so it is not defined again here; vivado/checks.tcl makes sure that it is there.
# Reset: synchronous, from proc_sys_reset, whose constraints cut the path from its asynchronous input.
# Interrupt: goes to the processing system, which synchronises it.
# There is one clock, so there are no false paths, no multi-cycle paths and no clock groups.

# A smaller file, which loads faster.
set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]
