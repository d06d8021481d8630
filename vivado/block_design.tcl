# SPDX-License-Identifier: Apache-2.0
#
# The system around the core, one clock for all of it:
#
#   ps M_AXI_GP0 (AXI3) --> registers_bridge --> gradcore s_axil        gradcore irq --> ps IRQ_F2P
#   ps S_AXI_HP0 (AXI3) <-- memory0_bridge   <-- gradcore m_axi0        ps FCLK_CLK0 --> everything
#   ps S_AXI_HP1 (AXI3) <-- memory1_bridge   <-- gradcore m_axi1        ps FCLK_RESET0_N --> reset --> active high rst
#
# The bridges are AXI protocol converters. Those to memory are of the kind that does not split bursts (TRANSLATION_MODE 0): the
# core's bursts have at most 16 beats, which is what AXI3 allows. An interconnect would add nothing but logic and latency.

namespace eval gradcore {
  variable DESIGN gradcore_system
  variable REGISTER_ADDRESS 0x43C00000
  variable REGISTER_RANGE 4K
  variable MEMORY_ADDRESS 0x00000000
  variable MEMORY_RANGE 512M
}

proc gradcore::add_cell {name vlnv configuration} {
  set cell [create_bd_cell -type ip -vlnv $vlnv $name]
  set properties {}
  foreach {key value} $configuration {
    lappend properties CONFIG.$key $value
  }
  if {[llength $properties] > 0} {
    set_property -dict $properties $cell
  }
  return $cell
}

proc gradcore::add_cells {settings} {
  set converter xilinx.com:ip:axi_protocol_converter:2.1
  add_cell ps xilinx.com:ip:processing_system7:5.5 [ps7_configuration [dict get $settings clock_mhz]]
  add_cell reset xilinx.com:ip:proc_sys_reset:5.0 {}
  add_cell gradcore [vlnv $settings] [dict get $settings parameters]
  add_cell registers_bridge $converter {SI_PROTOCOL AXI3 MI_PROTOCOL AXI4LITE TRANSLATION_MODE 2}
  foreach port {0 1} {
    add_cell memory${port}_bridge $converter {SI_PROTOCOL AXI4 MI_PROTOCOL AXI3 TRANSLATION_MODE 0}
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
  check_frequency [dict get $settings clock_mhz]
  save_bd_design
  # One synthesis run for everything: one log, and one report that goes down into the core.
  set_property synth_checkpoint_mode None [get_files $DESIGN.bd]
  generate_target all [get_files $DESIGN.bd]
  return [make_wrapper -files [get_files $DESIGN.bd] -top]
}
