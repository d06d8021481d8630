# SPDX-License-Identifier: Apache-2.0
#
# Stand-ins for the commands of Vivado that vivado/*.tcl use, so that the scripts run in tclsh. Started like Vivado itself:
#   tclsh vivado_stubs.tcl -mode batch -source SCRIPT -log LOG -tclargs ARGUMENTS
# Each call is written to the file STUB_CALLS as one line of JSON. A stub refuses what Vivado would refuse: an option it does not have
# (UG835), a file, port, parameter, pin or interface that does not exist, a step too early. As in Vivado, the reason is a line of the
# log, and Tcl only hears that the command failed. What tools answer is set by STUB_* variables; STUB_FAIL names a command that fails.

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
# A message of the tool: on the terminal and in the log, at the severity that set_msg_config gave it.
proc message {severity id text} {
  set line "[property severity $id $severity]: \[$id\] $text"
  puts $line
  set channel [open $::log a]
  puts $channel $line
  close $channel
}
# A command fails: the reason is in the log; Tcl hears that much.
proc stop {command text} {
  message ERROR {Stub 1-1} $text
  error "ERROR: \[Common 17-39\] '$command' failed due to earlier errors."
}
proc require {condition text} {
  if {![uplevel 1 [list expr $condition]]} { stop [lindex [info level -1] 0] $text }
}

# Define a command: its options (name, 1 when a value follows), and its body, which sees `o` (options) and `args` (the rest).
proc command {name options body} {
  proc $name args [format {
    record [concat [list %1$s] $args]
    set o [dict create]; set rest {}
    while {[llength $args] > 0} {
      set args [lassign $args word]
      if {[string match {-[a-z]*} $word]} {
        if {![dict exists {%2$s} $word]} { error "ERROR: \[Common 17-170\] Unknown option '$word', please type '%1$s -help' for usage info." }
        if {[dict get {%2$s} $word]} { set args [lassign $args value] } else { set value 1 }
        dict set o $word $value
      } else { lappend rest $word }
    }
    set args $rest
    if {[answer FAIL {}] eq {%1$s}} { stop {%1$s} {%1$s does not work today} }
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
    if {[string match cell:* $object] && ![cell_takes [string range $object 5 end] $name]} { continue }
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
    cell:* { if {$name eq [answer READ_BACK {}]} { return [answer READ_BACK_VALUE {}] } }
  }
  switch -glob $object {
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
command set_msg_config {-id 1 -new_severity 1} { dict set ::state severity [string tolower [dict get $o -id]] [dict get $o -new_severity] }
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
source [file join [file dirname [info script]] vivado_stubs_design.tcl]
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
foreach name {remove_all_bus_interface remove_all_memory_map remove_all_address_space create_xgui_files update_checksums} {
  command ipx::$name {} { require {$args eq "core"} "not a core: $args" }
}
command ipx::check_integrity {-quiet 0} { return [answer INTEGRITY 1] }
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
command ipx::add_register {} { return register:[lindex $args 0] }
command ipx::add_field {} { return field:[lindex $args 1]:[lindex $args 0] }
command ipx::get_user_parameters {-of_objects 1} {
  return [expr {[dict exists $::core_parameters [lindex $args 0]] ? "user:[lindex $args 0]" : ""}]
}
command ipgui::get_guiparamspec {-name 1 -component 1} { return gui:[dict get $o -name] }
command ipx::get_file_groups {-of_objects 1} { return {group:synthesis group:simulation} }
command ipx::get_files {-of_objects 1} {
  return [lmap path $::files(sources) {string cat file: [dict get $o -of_objects] / [file tail $path]}]
}
command update_ip_catalog {-rebuild 0} {}

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
  if {$step eq "write_bitstream" && [answer NO_BIT {}] eq ""} { write_file $::project/gradcore.runs/impl_1/gradcore_system_wrapper.bit bits }
}
# Vivado 2022.2 warns of a failed run and returns; newer versions raise an error.
command wait_on_runs {} {
  if {[property run:[lindex $args 0] progress ""] eq "100%"} { return }
  if {[answer WAIT raises] eq "returns"} { message WARNING {Vivado 12-13638} "Failed runs(s) : '[lindex $args 0]'"; return }
  message ERROR {Vivado 12-13638} "Failed runs(s) : '[lindex $args 0]'"
  error "ERROR: \[Common 17-39\] 'wait_on_runs' failed due to earlier errors."
}
command open_run {} { require {[property run:[lindex $args 0] PROGRESS ""] eq "100%"} "run not complete"; set ::opened 1 }
command get_clocks {-quiet 0} {
  return [lmap name [answer CLOCKS clk_fpga_0] { if {$args ne "" && $name ni $args} { continue }; string cat clock: $name }]
}
# The table that report_timing_summary begins with; STUB_UNCONSTRAINED: checks that find something, with how much.
proc timing_table {} {
  set lines {}
  set number 0
  foreach name {no_clock constant_clock pulse_width_clock unconstrained_internal_endpoints no_input_delay no_output_delay multiple_clock
    generated_clocks loops partial_input_delay partial_output_delay latch_loops} {
    set count 0
    if {[dict exists [answer UNCONSTRAINED {}] $name]} { set count [dict get [answer UNCONSTRAINED {}] $name] }
    lappend lines "[incr number]. checking $name ($count)"
  }
  return [join [concat {{check_timing report}} $lines] \n]
}
proc utilisation_table {} {
  set groups [property cell:gradcore CONFIG.GROUPS [dict get $::core_parameters GROUPS]]
  return "| Slice LUTs* | 20000 | 0 | 0 | 53200 | 37.6 |
| Slice Registers | 30000 | 0 | 0 | 106400 | 28.2 |
| Block RAM Tile | [answer BRAM [expr {11.5 + 23 * $groups}]] | 0 | 0 | 140 | 70.4 |
| DSPs | [answer DSP [expr {11 + 32 * $groups}]] | 0 | 0 | 220 | 65.5 |"
}
foreach {name options text} {
  report_utilization {-hierarchical 0} {[utilisation_table]}
  report_timing_summary {-max_paths 1 -report_unconstrained 0} {[timing_table]}
  report_power {} {| Total On-Chip Power (W)  | 2.125        |}
  report_drc {} none
  report_methodology {} none
} {
  command $name "-file 1 $options" "require {\$::opened} {no open design}; write_file \[dict get \$o -file\] \[answer $name \"$text\"\]"
}
command write_hw_platform {-fixed 0 -include_bit 0 -force 0 -file 1} {
  require {[llength [glob -nocomplain $::project/gradcore.runs/impl_1/*.bit]] == 1} "no bitstream"
  write_file [dict get $o -file] xsa
}

# ---- Start the script as Vivado does.
if {[llength $argv] > 0} {
  set split [lsearch -exact $argv -tclargs]
  set options [lrange $argv 0 $split-1]
  set log [file normalize [lindex $options [lsearch -exact $options -log]+1]]
  write_file $log "INFO: fine\n[answer LOG_main {}]"
  set script [lindex $options [lsearch -exact $options -source]+1]
  set argv [lrange $argv $split+1 end]
  source $script
}
