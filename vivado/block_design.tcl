# SPDX-License-Identifier: Apache-2.0
#
# The system around the core, one clock for all of it:
#
#   ps M_AXI_GP0 (AXI3) --> registers_bridge --> gradcore s_axil        gradcore irq --> ps IRQ_F2P
#   ps S_AXI_HP0 (AXI3) <-- memory0_bridge   <-- gradcore m_axi0        ps FCLK_CLK0 --> everything
#   ps S_AXI_HP1 (AXI3) <-- memory1_bridge   <-- gradcore m_axi1        ps FCLK_RESET0_N --> reset --> active high rst
#
# The bridges are AXI protocol converters. Those to memory are of the kind that does not split bursts (TRANSLATION_MODE 0): the
# core's bursts have at most 16 beats, which is what AXI3 allows. Reads pass through them as wires; writes cost a few LUTs and about a
# cycle, because AXI3 wants an ID with the data and so the data wait for their address. An interconnect would add more of both.

namespace eval gradcore {
  variable DESIGN gradcore_system
  variable REGISTER_ADDRESS 0x43C00000
  variable REGISTER_RANGE 4K
  variable MEMORY_ADDRESS 0x00000000
  variable MEMORY_RANGE 512M
}

# All cells, as a list of: name vlnv configuration.
proc gradcore::cells {settings} {
  set converter xilinx.com:ip:axi_protocol_converter:2.1
  set memory_bridge {SI_PROTOCOL AXI4 MI_PROTOCOL AXI3 TRANSLATION_MODE 0}
  return [list \
    ps xilinx.com:ip:processing_system7:5.5 [ps7_configuration [dict get $settings clock_mhz]] \
    reset xilinx.com:ip:proc_sys_reset:5.0 {} \
    gradcore [vlnv $settings] [dict get $settings parameters] \
    registers_bridge $converter {SI_PROTOCOL AXI3 MI_PROTOCOL AXI4LITE TRANSLATION_MODE 2} \
    memory0_bridge $converter $memory_bridge \
    memory1_bridge $converter $memory_bridge]
}

# A property that does not exist is no error to Vivado: it warns, succeeds, and the property reads back empty.
proc gradcore::add_cells {settings} {
  foreach {name vlnv configuration} [cells $settings] {
    set cell [create_bd_cell -type ip -vlnv $vlnv $name]
    set properties {}
    foreach {key value} $configuration {
      lappend properties CONFIG.$key $value
    }
    if {[llength $properties] > 0} {
      set_property -dict $properties $cell
    }
    foreach {property value} $properties {
      if {[get_property $property $cell] eq ""} {
        fail "cell $name has no property $property, or it cannot be set: put vivado/block_design.tcl or ps7_pynq_z2.tcl right"
      }
    }
  }
}

# Memory and fixed pins of the processing system are the only pins of the design.
proc gradcore::add_pins {} {
  foreach {name vlnv} {
    DDR xilinx.com:interface:ddrx_rtl:1.0
    FIXED_IO xilinx.com:display_processing_system7:fixedio_rtl:1.0
  } {
    connect_bd_intf_net [create_bd_intf_port -mode Master -vlnv $vlnv $name] [get_bd_intf_pins ps/$name]
  }
}

proc gradcore::connect_buses {} {
  foreach {from to} {
    ps/M_AXI_GP0           registers_bridge/S_AXI
    registers_bridge/M_AXI gradcore/s_axil
    gradcore/m_axi0        memory0_bridge/S_AXI
    memory0_bridge/M_AXI   ps/S_AXI_HP0
    gradcore/m_axi1        memory1_bridge/S_AXI
    memory1_bridge/M_AXI   ps/S_AXI_HP1
  } {
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
  }
}

proc gradcore::connect_signals {} {
  foreach {from to} {
    ps/FCLK_CLK0 {
      ps/M_AXI_GP0_ACLK ps/S_AXI_HP0_ACLK ps/S_AXI_HP1_ACLK reset/slowest_sync_clk gradcore/clk
      registers_bridge/aclk memory0_bridge/aclk memory1_bridge/aclk
    }
    ps/FCLK_RESET0_N reset/ext_reset_in
    reset/peripheral_reset gradcore/rst
    reset/peripheral_aresetn {registers_bridge/aresetn memory0_bridge/aresetn memory1_bridge/aresetn}
    gradcore/irq ps/IRQ_F2P
  } {
    foreach pin $to {
      connect_bd_net [get_bd_pins $from] [get_bd_pins $pin]
    }
  }
}

proc gradcore::assign_addresses {} {
  variable REGISTER_ADDRESS
  variable REGISTER_RANGE
  variable MEMORY_ADDRESS
  variable MEMORY_RANGE
  assign_bd_address -offset $REGISTER_ADDRESS -range $REGISTER_RANGE \
    -target_address_space [get_bd_addr_spaces ps/Data] [get_bd_addr_segs gradcore/s_axil/registers] -force
  foreach port {0 1} {
    assign_bd_address -offset $MEMORY_ADDRESS -range $MEMORY_RANGE \
      -target_address_space [get_bd_addr_spaces gradcore/m_axi$port] [get_bd_addr_segs ps/S_AXI_HP$port/HP${port}_DDR_LOWOCM] -force
  }
}

# The processing system divides a PLL: what it makes may be another frequency than the one that was asked for.
proc gradcore::check_frequency {clock_mhz} {
  set actual [get_property CONFIG.PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ [get_bd_cells ps]]
  if {![string is double -strict $actual] || abs($actual - $clock_mhz) > 0.001 * $clock_mhz} {
    fail "the processing system makes a clock of $actual MHz, not $clock_mhz: choose a PLL in vivado/ps7_pynq_z2.tcl that divides to it"
  }
}

# What became of the cells when Vivado propagated widths, protocols and polarities through the design. Of the processing system only
# what the core needs is compared: Vivado writes other values in its own way.
proc gradcore::check_cells {settings} {
  variable PS7_FABRIC
  # Not set but propagated from the processing system's active-low reset. At 1 the core would never leave its reset.
  check_cell reset {C_EXT_RESET_HIGH 0}
  foreach {name vlnv configuration} [cells $settings] {
    check_cell $name [expr {$name eq "ps" ? $PS7_FABRIC : $configuration}]
  }
}

proc gradcore::check_cell {name configuration} {
  foreach {key expected} $configuration {
    set found [get_property CONFIG.$key [get_bd_cells $name]]
    if {$found eq "" || $found != $expected} {
      fail "Vivado made CONFIG.$key of cell $name `$found`, not $expected: look at the block design's messages"
    }
  }
}

# Create the block design; returns the path of the Verilog wrapper, the top of the system.
proc gradcore::create_block_design {settings} {
  variable DESIGN
  create_bd_design $DESIGN
  add_cells $settings
  add_pins
  connect_buses
  connect_signals
  assign_addresses
  validate_bd_design
  check_cells $settings
  check_frequency [dict get $settings clock_mhz]
  save_bd_design
  # One synthesis run for everything: one log, and one report that goes down into the core.
  set_property synth_checkpoint_mode None [get_files $DESIGN.bd]
  generate_target all [get_files $DESIGN.bd]
  set wrapper [make_wrapper -files [get_files $DESIGN.bd] -top]
  return [expr {[file isfile $wrapper] ? $wrapper : [lindex $wrapper 0]}]
}
