# SPDX-License-Identifier: Apache-2.0
#
# GradCore for the PYNQ-Z2, from nothing to a bitstream. Started by vivado/bitstream.py (`make bitstream`) as
#   vivado -mode batch -source vivado/build.tcl -tclargs SETTINGS
# where SETTINGS is a file that holds one Tcl dictionary: what to build, and what the Verilog says of itself.
#
# All results go to the folder `output` of the settings. The exit status is 0 only when the timing is met and every serious
# message is known; otherwise the last line names the cause. See docs/vivado.md.

namespace eval gradcore {
  variable PART xc7z020clg400-1
  variable TOP gradcore
  variable HERE [file dirname [file normalize [info script]]]
}
foreach name {checks messages package_ip ps7_pynq_z2 block_design reports} {
  source [file join $gradcore::HERE $name.tcl]
}

# The settings, from their file.
proc gradcore::read_settings {path} {
  set channel [open $path]
  fconfigure $channel -encoding utf-8
  set settings [read $channel]
  close $channel
  return $settings
}

# The project of the whole system: the packaged core, the block design around it, its wrapper, the constraints.
proc gradcore::create_system {settings} {
  variable PART
  set output [dict get $settings output]
  create_project gradcore [file join $output project] -part $PART -force
  raise_messages
  set_property ip_repo_paths [list [file join $output ip]] [current_project]
  update_ip_catalog -rebuild
  set wrapper [create_block_design $settings]
  add_files -norecurse -fileset sources_1 [list $wrapper]
  add_files -norecurse -fileset constrs_1 [list [dict get $settings constraints]]
  set_property top [file rootname [file tail $wrapper]] [get_filesets sources_1]
  update_compile_order -fileset sources_1
}

# Synthesis, then place and route. A clock above 100 MHz gets the strategy that tries harder.
proc gradcore::implement {settings} {
  set jobs [dict get $settings jobs]
  launch_runs synth_1 -jobs $jobs
  finish_run synth_1
  check_messages $settings synth_1
  if {[dict get $settings clock_mhz] > 100} {
    set_property strategy Performance_ExplorePostRoutePhysOpt [get_runs impl_1]
  }
  launch_runs impl_1 -jobs $jobs
  finish_run impl_1
}

# The bitstream, and what software needs beside it. Nothing of this exists when a check has failed; the .bit comes last.
proc gradcore::export_system {settings} {
  set output [dict get $settings output]
  launch_runs impl_1 -to_step write_bitstream -jobs [dict get $settings jobs]
  finish_run impl_1
  check_messages $settings synth_1 impl_1
  set made(bitstream) [find_one [get_property DIRECTORY [get_runs impl_1]] *.bit]
  set made(description) [find_one [file join $output project gradcore.gen sources_1 bd] */hw_handoff/*.hwh]
  write_hw_platform -fixed -include_bit -force -file [file join $output [dict get $settings results platform]]
  foreach name {description bitstream} {
    file copy -force $made($name) [file join $output [dict get $settings results $name]]
  }
}

# The one file of a folder that a pattern names.
proc gradcore::find_one {folder pattern} {
  set found [glob -nocomplain -directory $folder $pattern]
  if {[llength $found] != 1} {
    fail "expected one file [file join $folder $pattern], found [llength $found]"
  }
  return [lindex $found 0]
}

proc gradcore::build {settings} {
  check_version
  check_part
  package_ip $settings
  create_system $settings
  check_messages $settings
  implement $settings
  open_run impl_1
  write_reports $settings
  check_clock [dict get $settings clock_mhz]
  check_constraints $settings
  set timing [read_timing]
  write_summary $settings $timing
  check_timing $settings $timing
  check_inference $settings
  check_messages $settings synth_1 impl_1
  export_system $settings
}

# The last line of a build that failed: the cause. Of a command of Vivado that failed, Tcl hears only that it did; why is in the log.
proc gradcore::cause {message log} {
  set line [string trim [lindex [split [string trim $message] \n] 0]]
  if {[string match {*\[Common 17-39\]*} $line]} {
    set error [first_error $log]
    return [expr {$error eq "" ? "$line See $log" : "$error (see $log)"}]
  }
  return $line
}

# Build what a file of settings says; returns the exit status.
proc gradcore::main {path} {
  set log ""
  set failed [catch {
    set settings [read_settings $path]
    set log [dict get $settings log]
    build $settings
  } message options]
  if {!$failed} {
    puts "gradcore: timing met, results in [dict get $settings output]"
    return 0
  }
  puts [dict get $options -errorinfo]
  if {$log ne ""} {
    foreach name [dict values [dict get $settings results]] {
      file delete -force [file join [dict get $settings output] $name]
    }
  }
  puts stderr "gradcore: [cause $message $log]"
  return 1
}

exit [gradcore::main [lindex $argv 0]]
