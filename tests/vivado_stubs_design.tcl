# SPDX-License-Identifier: Apache-2.0
#
# Stand-ins for the commands of the block design: see vivado_stubs.tcl, which reads this.

# ---- Block design: interfaces and pins of each kind of cell
proc cell_pins {cell} {
  switch -glob [property cell:$cell vlnv ""] {
    *:processing_system7:5.5 {
      set found {DDR FIXED_IO FCLK_CLK0 FCLK_RESET0_N}
      foreach {key names} {
        PCW_USE_M_AXI_GP0 {M_AXI_GP0 M_AXI_GP0_ACLK} PCW_IRQ_F2P_INTR IRQ_F2P
        PCW_USE_S_AXI_HP0 {S_AXI_HP0 S_AXI_HP0_ACLK} PCW_USE_S_AXI_HP1 {S_AXI_HP1 S_AXI_HP1_ACLK}
      } { if {[property cell:$cell CONFIG.$key 0]} { lappend found {*}$names } }
      return $found
    }
    *:proc_sys_reset:5.0 { return {slowest_sync_clk ext_reset_in peripheral_reset peripheral_aresetn} }
    *:axi_protocol_converter:2.1 { return {S_AXI M_AXI aclk aresetn} }
    gradcore:ip:gradcore:* { return $::interfaces }
  }
  return {}
}
# Properties of each kind of cell, and those that cannot be set.
proc cell_properties {cell} {
  switch -glob [property cell:$cell vlnv ""] {
    *:processing_system7:5.5 { return $::ps7_properties }
    *:proc_sys_reset:5.0 { return {C_EXT_RESET_HIGH C_AUX_RESET_HIGH C_EXT_RST_WIDTH C_AUX_RST_WIDTH} }
    *:axi_protocol_converter:2.1 { return {SI_PROTOCOL MI_PROTOCOL TRANSLATION_MODE READ_WRITE_MODE ADDR_WIDTH DATA_WIDTH ID_WIDTH} }
    gradcore:ip:gradcore:* { return [dict keys $::core_parameters] }
  }
}
# Whether a cell takes a property. As in Vivado, one that it does not take is a critical warning, and set_property succeeds; what it does
# when that message has been made an error is not known: STUB_RAISED=fails for the stricter of two possible answers.
proc cell_takes {cell name} {
  set key [string range $name 7 end]
  if {$key eq "C_EXT_RESET_HIGH"} {
    message {CRITICAL WARNING} {BD 41-737} "Cannot set the parameter $key on /$cell. It is read-only."
  } elseif {![string match CONFIG.* $name] || $key ni [cell_properties $cell]} {
    message {CRITICAL WARNING} {BD 41-1276} "Cannot set the parameter $key on /$cell. Parameter does not exist"
  } else {
    return 1
  }
  if {[answer RAISED {}] eq "fails" && [property severity {BD 41-1276} {}] eq "ERROR"} {
    error "ERROR: \[Common 17-39\] 'set_property' failed due to earlier errors."
  }
  return 0
}
set channel [open [file join [file dirname [info script]] vivado_ps7_properties.txt]]
set ps7_properties [lsearch -all -inline [split [read $channel] \n] PCW_*]
close $channel

proc find_pin {what path} {
  lassign [split $path /] cell pin
  require {$pin in [cell_pins $cell]} "no $what $path"
  return pin:$path
}
command create_bd_design {} {}
command create_bd_cell {-type 1 -vlnv 1} {
  lassign $args name
  if {[string match gradcore:* [dict get $o -vlnv]]} {
    set core "gradcore:ip:[property core name {}]:[property core version {}]"
    require {[dict get $o -vlnv] eq $core && [file isfile [lindex [property project ip_repo_paths {}] 0]/component.xml]} "no IP [dict get $o -vlnv]"
  }
  dict set ::state cell:$name vlnv [dict get $o -vlnv]
  require {[llength [cell_pins $name]] > 0} "no IP [dict get $o -vlnv]"
  if {[string match *:proc_sys_reset:* [dict get $o -vlnv]]} { dict set ::state cell:$name config.c_ext_reset_high 1 }
  if {[string match gradcore:* [dict get $o -vlnv]]} {
    dict for {key value} $::core_parameters { dict set ::state cell:$name [string tolower CONFIG.$key] $value }
  }
  return cell:$name
}
command get_bd_cells {} { return cell:[lindex $args 0] }
command get_bd_pins {} { return [find_pin pin [lindex $args 0]] }
command get_bd_intf_pins {} { return [find_pin interface [lindex $args 0]] }
command create_bd_intf_port {-mode 1 -vlnv 1} { return port:[lindex $args 0] }
foreach name {connect_bd_net connect_bd_intf_net} { command $name {} { lappend ::nets {*}[lmap pin $args {string range $pin 4 end}] } }
command get_bd_addr_spaces {} { require {[lindex $args 0] in {ps/Data gradcore/m_axi0 gradcore/m_axi1}} "no space $args"; return $args }
command get_bd_addr_segs {} {
  require {[lindex $args 0] in [concat $::addresses ps/S_AXI_HP0/HP0_DDR_LOWOCM ps/S_AXI_HP1/HP1_DDR_LOWOCM]} "no segment $args"
  return $args
}
command assign_bd_address {-target_address_space 1 -offset 1 -range 1 -force 0} { lappend ::assigned [dict get $o -target_address_space] }
command validate_bd_design {} {
  foreach object [dict keys $::state cell:*] {
    set cell [string range $object 5 end]
    foreach pin [cell_pins $cell] { require {"$cell/$pin" in $::nets} "$cell/$pin is not connected" }
  }
  require {[lsort $::assigned] eq {gradcore/m_axi0 gradcore/m_axi1 ps/Data}} "addresses are not assigned"
  # Propagation: the reset of the processing system is active low.
  dict set ::state cell:reset config.c_ext_reset_high [answer RESET_HIGH 0]
  set ::validated 1
}
command save_bd_design {} {}
command generate_target {} { if {[answer NO_HWH {}] ne ""} { return }; write_file $::project/gradcore.gen/sources_1/bd/gradcore_system/hw_handoff/gradcore_system.hwh "<hwh/>" }
command make_wrapper {-files 1 -top 0} {
  set path $::project/gradcore.gen/sources_1/bd/gradcore_system/hdl/gradcore_system_wrapper.v
  write_file $path "module gradcore_system_wrapper; endmodule"
  return $path
}
