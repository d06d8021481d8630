# SPDX-License-Identifier: Apache-2.0
#
# Stand-ins for the commands of Vivado that vivado/*.tcl use, so that the scripts run in tclsh. Started like Vivado itself:
#   tclsh vivado_stubs.tcl -mode batch -source SCRIPT -log LOG -tclargs ARGUMENTS
# Each call is written to the file STUB_CALLS as one line of JSON. A stub refuses what Vivado would refuse: an option it does not have
# (UG835), a file, port, parameter, pin or interface that does not exist, a step too early. What tools answer is set by STUB_* variables.

set calls [open $env(STUB_CALLS) w]
set state [dict create]          ;# {object property} -> value
foreach name {interfaces addresses nets assigned core_ports core_parameters project} { set $name {} }
array set files {mapped {} sources {}}
set opened 0; set validated 0

# Setting of a test, else its default.
proc answer {name default} {
  return [expr {[info exists ::env(STUB_$name)] ? $::env(STUB_$name) : $default}]
}
proc record {arguments} {
  set items {}
  foreach item $arguments {
    lappend items "\"[string map {\\ \\\\ \" \\\" \n \\n \t \\t} $item]\""
  }
  puts $::calls "\[[join $items ,]\]"
  flush $::calls
}
proc write_file {path text} {
  file mkdir [file dirname $path]
  set channel [open $path w]
  puts $channel $text
  close $channel
}
proc require {condition message} {
  if {![uplevel 1 [list expr $condition]]} { error "ERROR: \[Stub 1-1\] $message" }
}

# Define a command: its options (name, 1 when a value follows), and its body, which sees `o` (options) and `args` (the rest).
proc command {name options body} {
  proc $name args [format {
    record [concat [list %1$s] $args]
    set o [dict create]; set rest {}
    while {[llength $args] > 0} {
      set args [lassign $args word]
      if {[string match {-[a-z]*} $word]} {
        require [dict exists {%2$s} $word] "%1$s has no option $word"
        if {[dict get {%2$s} $word]} { set args [lassign $args value] } else { set value 1 }
        dict set o $word $value
      } else { lappend rest $word }
    }
    set args $rest
    %3$s
  } $name $options $body]
}

# ---- Objects and properties. An object is a string; its properties are in `state`.
proc set_property args {
  record [concat set_property $args]
  if {[lindex $args 0] eq "-dict"} { lassign $args - values object } else {
    lassign $args name value object
    set values [list $name $value]
  }
  require {$object ne ""} "set_property [lindex $values 0]: no object"
  foreach {name value} $values {
    if {$name eq "physical_name"} {
      require {$value in $::core_ports} "no port $value"
      require {$value ni $::files(mapped)} "port $value is mapped twice"
      lappend ::files(mapped) $value
    }
    if {[string match cell:gradcore $object]} {
      require {[dict exists $::core_parameters [string range $name 7 end]]} "no parameter $name"
    }
    dict set ::state $object [string tolower $name] $value
  }
}
proc property {object name default} {
  set name [string tolower $name]
  return [expr {[dict exists $::state $object $name] ? [dict get $::state $object $name] : $default}]
}
proc get_property {name object} {
  record [list get_property $name $object]
  switch -glob $object {
    run:* {
      set run [string range $object 4 end]
      if {$name eq "DIRECTORY"} { return [file join $::project gradcore.runs $run] }
      if {[string match STATS.* $name]} { return [answer [string range $name 6 end] [expr {$name eq "STATS.FAILED_NETS" ? 0 : 0.125}]] }
    }
    clock:* { return [expr {1000.0 / [answer CLOCK [fclk_mhz]]}] }
    cell:ps { if {$name eq "CONFIG.PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ"} { return [fclk_mhz] } }
    file:* { if {$name eq "name"} { return src/[file tail $object] } }
  }
  return [property $object $name ""]
}
# The frequency that the processing system makes: its PLL over two dividers, never more than asked for.
proc fclk_mhz {} {
  set source [property cell:ps CONFIG.PCW_FCLK0_PERIPHERAL_CLKSRC "IO PLL"]
  set pll [dict get {{IO PLL} 1000.0 {DDR PLL} 1050.0 {ARM PLL} 1300.0} $source]
  return [expr {$pll / ceil($pll / [property cell:ps CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ 50])}]
}

# ---- Project and files
command version {-short 0} { return [answer VERSION 2023.2] }
command get_parts {-quiet 0} { return [answer PARTS [lindex $args 0]] }
command create_project {-part 1 -force 0} {
  require {$::project eq ""} "a project is open"
  set ::project [lindex $args 1]
  set ::files(sources) {}
}
command close_project {} { set ::project "" }
command current_project {} { return project }
command get_filesets {} { return fileset:[lindex $args 0] }
command update_compile_order {-fileset 1} {}
command add_files {-norecurse 0 -fileset 1} {
  require {$::project ne ""} "add_files: no open project"
  foreach path [lindex $args 0] {
    require {[file isfile $path]} "add_files: no file $path"
    lappend ::files(sources) $path
  }
}
command get_files {} { return bdfile:[lindex $args 0] }

# ---- IP packager
namespace eval ipx {}
namespace eval ipgui {}
command ipx::package_project {-root_dir 1 -vendor 1 -library 1 -taxonomy 1 -import_files 0 -force 0} {
  foreach path $::files(sources) {
    if {[file rootname [file tail $path]] eq [property fileset:sources_1 top ""]} {
      set channel [open $path]
      set text [read $channel]
      close $channel
      regexp {\mmodule\M.*?\)\s*;} $text header
      set ::core_parameters [regexp -all -inline {\mparameter\s+(\w+)\s*=\s*(\w+)} $header]
      foreach {- name value} $::core_parameters { dict set values $name $value }
      set ::core_parameters $values
      foreach {- port} [regexp -all -inline {\m(?:input|output)\s+wire\s+(?:\[[^\]]*\])?\s*(\w+)} $header] { lappend ::core_ports $port }
    }
  }
  require {[llength $::core_ports] > 0} "the top of sources_1 is no module of the project"
  file mkdir [dict get $o -root_dir]
  dict set ::state core root [dict get $o -root_dir]
}
command ipx::current_core {} { return core }
foreach name {remove_all_bus_interface remove_all_memory_map remove_all_address_space create_xgui_files update_checksums check_integrity} {
  command ipx::$name {} { require {$args eq "core"} "not a core: $args" }
}
command ipx::save_core {} { write_file [file join [property core root ""] component.xml] "<component/>" }
command ipx::add_bus_interface {} { lappend ::interfaces [lindex $args 0]; return bus:[lindex $args 0] }
command ipx::add_port_map {} {
  lassign $args logical bus
  set type [lindex [split [property $bus bus_type_vlnv ""] :] 2]
  set channels {AWADDR AWLEN AWSIZE AWBURST AWCACHE AWPROT AWVALID AWREADY WDATA WSTRB WLAST WVALID WREADY BRESP BVALID BREADY
    ARADDR ARLEN ARSIZE ARBURST ARCACHE ARPROT ARVALID ARREADY RDATA RRESP RLAST RVALID RREADY}
  require {$logical in [dict get [list aximm $channels clock CLK reset RST interrupt INTERRUPT] $type]} "$type has no signal $logical"
  return map:$bus:$logical
}
command ipx::add_bus_parameter {} { return parameter:[lindex $args 1]:[lindex $args 0] }
command ipx::add_address_space {} { return space:[lindex $args 0] }
command ipx::add_memory_map {} { return [lindex $args 0] }
command ipx::add_address_block {} { lappend ::addresses gradcore/[lindex $args 1]/[lindex $args 0]; return block:[lindex $args 0] }
command ipx::get_user_parameters {-of_objects 1} {
  return [expr {[dict exists $::core_parameters [lindex $args 0]] ? "user:[lindex $args 0]" : ""}]
}
command ipgui::get_guiparamspec {-name 1 -component 1} { return gui:[dict get $o -name] }
command ipx::get_file_groups {-of_objects 1} { return {group:synthesis group:simulation} }
command ipx::get_files {-of_objects 1} {
  return [lmap path $::files(sources) {string cat file: [dict get $o -of_objects] / [file tail $path]}]
}
command update_ip_catalog {-rebuild 0} {}

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
    require {[dict get $o -vlnv] eq $core && [file isfile [property project ip_repo_paths {}]/component.xml]} "no IP [dict get $o -vlnv]"
  }
  dict set ::state cell:$name vlnv [dict get $o -vlnv]
  require {[llength [cell_pins $name]] > 0} "no IP [dict get $o -vlnv]"
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
  set ::validated 1
}
command save_bd_design {} {}
command generate_target {} { write_file $::project/gradcore.gen/sources_1/bd/gradcore_system/hw_handoff/gradcore_system.hwh "<hwh/>" }
command make_wrapper {-files 1 -top 0} {
  set path $::project/gradcore.gen/sources_1/bd/gradcore_system/hdl/gradcore_system_wrapper.v
  write_file $path "module gradcore_system_wrapper; endmodule"
  return $path
}

# ---- Runs, reports, results
command get_runs {} { return run:[lindex $args 0] }
command launch_runs {-jobs 1 -to_step 1} {
  set run [lindex $args 0]
  require {$::validated && [property fileset:sources_1 top ""] eq "gradcore_system_wrapper"} "nothing to run"
  require {$run eq "synth_1" || [property run:synth_1 PROGRESS ""] eq "100%"} "synthesis first"
  set ok [expr {[answer FAILED_RUN ""] ne $run}]
  set step [expr {[dict exists $o -to_step] ? [dict get $o -to_step] : [dict get {synth_1 synth_design impl_1 route_design} $run]}]
  dict set ::state run:$run progress [expr {$ok ? "100%" : "20%"}]
  dict set ::state run:$run status [expr {$ok ? "$step Complete!" : "$step ERROR"}]
  if {[answer NO_LOG ""] ne $run} { write_file $::project/gradcore.runs/$run/runme.log "INFO: fine\n[answer LOG_$run {}]" }
  if {$step eq "write_bitstream"} { write_file $::project/gradcore.runs/impl_1/gradcore_system_wrapper.bit bits }
}
command wait_on_runs {} {}
command open_run {} { require {[property run:[lindex $args 0] PROGRESS ""] eq "100%"} "run not complete"; set ::opened 1 }
command get_clocks {-quiet 0} { return [answer CLOCKS clock:clk_fpga_0] }
foreach {name options text} {
  report_utilization {-hierarchical 0} {| Slice LUTs* | 20000 | 0 | 0 | 53200 | 37.6 |
| Slice Registers | 30000 | 0 | 0 | 106400 | 28.2 |
| Block RAM Tile | 98.5 | 0 | 0 | 140 | 70.4 |
| DSPs | 144 | 0 | 0 | 220 | 65.5 |}
  report_timing_summary {-max_paths 1 -report_unconstrained 0} slack
  report_power {} {| Total On-Chip Power (W)  | 2.125        |}
  report_drc {} none
  report_methodology {} none
} {
  command $name "-file 1 $options" "require {\$::opened} {no open design}; write_file \[dict get \$o -file\] \[answer $name {$text}\]"
}
command write_hw_platform {-fixed 0 -include_bit 0 -force 0 -file 1} {
  require {[llength [glob -nocomplain $::project/gradcore.runs/impl_1/*.bit]] == 1} "no bitstream"
  write_file [dict get $o -file] xsa
}

# ---- Start the script as Vivado does.
if {[llength $argv] > 0} {
  set split [lsearch -exact $argv -tclargs]
  set options [lrange $argv 0 $split-1]
  write_file [lindex $options [lsearch -exact $options -log]+1] "INFO: fine\n[answer LOG_main {}]"
  set script [lindex $options [lsearch -exact $options -source]+1]
  set argv [lrange $argv $split+1 end]
  source $script
}
