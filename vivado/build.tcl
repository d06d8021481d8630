# SPDX-License-Identifier: Apache-2.0
#
# GradCore for the PYNQ-Z2, from nothing to a bitstream. Started by vivado/bitstream.py (`make bitstream`) as
#   vivado -mode batch -source vivado/build.tcl -tclargs SETTINGS
# where SETTINGS is a file that holds one Tcl dictionary: what to build, and what the Verilog says of itself.
#
# All results go to the folder `output` of the settings. The exit status is 0 only when the timing is met and every critical
# warning is known; otherwise the last line names the cause. See docs/vivado.md.

namespace eval gradcore {
  variable PART xc7z020clg400-1
  variable TOP gradcore
  variable HERE [file dirname [file normalize [info script]]]
}
foreach name {checks package_ip ps7_pynq_z2 block_design reports} {
  source [file join $gradcore::HERE $name.tcl]
}

# The settings, from their file.
proc gradcore::read_settings {path} {
  set channel [open $path]
  set settings [read $channel]
  close $channel
  return $settings
}

# The project of the whole system: the packaged core, the block design around it, its wrapper, the constraints.
proc gradcore::create_system {settings} {
  variable PART
  set output [dict get $settings output]
  create_project gradcore [file join $output project] -part $PART -force
  set_property ip_repo_paths [list [file join $output ip]] [current_project]
  update_ip_catalog -rebuild
  set wrapper [create_block_design $settings]
  add_files -norecurse -fileset sources_1 $wrapper
  add_files -norecurse -fileset constrs_1 [dict get $settings constraints]
  set_property top [file rootname [file tail $wrapper]] [get_filesets sources_1]
  update_compile_order -fileset sources_1
}

# Synthesis, then place and route. A clock above 100 MHz gets the strategy that tries harder.
proc gradcore::implement {settings} {
  set jobs [dict get $settings jobs]
  launch_runs synth_1 -jobs $jobs
  wait_on_runs synth_1
  check_run synth_1
  if {[dict get $settings clock_mhz] > 100} {
    set_property strategy Performance_ExplorePostRoutePhysOpt [get_runs impl_1]
  }
  launch_runs impl_1 -jobs $jobs
  wait_on_runs impl_1
  check_run impl_1
}

# The bitstream, and what software needs beside it. Nothing of this exists when a check has failed.
proc gradcore::export_system {settings} {
  set output [dict get $settings output]
  launch_runs impl_1 -to_step write_bitstream -jobs [dict get $settings jobs]
  wait_on_runs impl_1
  check_run impl_1
  check_critical_warnings $settings
  copy_one [file join [get_property DIRECTORY [get_runs impl_1]] *.bit] [file join $output gradcore.bit]
  copy_one [file join $output project gradcore.gen sources_1 bd * hw_handoff *.hwh] [file join $output gradcore.hwh]
  write_hw_platform -fixed -include_bit -force -file [file join $output gradcore_platform.xsa]
}

# Copy the one file that a pattern names.
proc gradcore::copy_one {pattern target} {
  set found [glob -nocomplain $pattern]
  if {[llength $found] != 1} {
    fail "expected one file $pattern, found [llength $found]"
  }
  file copy -force [lindex $found 0] $target
}

proc gradcore::build {settings} {
  check_version
  check_part
  package_ip $settings
  create_system $settings
  implement $settings
  open_run impl_1
  write_reports $settings
  check_clock [dict get $settings clock_mhz]
  set timing [read_timing]
  write_summary $settings $timing
  check_timing $settings $timing
  check_critical_warnings $settings
  export_system $settings
}

if {[catch {gradcore::build [gradcore::read_settings [lindex $argv 0]]} message]} {
  puts stderr "gradcore: [string trim [lindex [split [string trim $message] \n] 0]]"
  exit 1
}
puts "gradcore: timing met, results in [dict get [gradcore::read_settings [lindex $argv 0]] output]"
exit 0
