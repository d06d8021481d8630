# SPDX-License-Identifier: Apache-2.0
#
# What must hold for a build to count: version of the tool, finished runs, timing of all that there is. Messages: messages.tcl.

namespace eval gradcore {
  # The clock that the processing system's own constraints define for FCLK_CLK0.
  variable CLOCK clk_fpga_0
  # Checks of the timing summary that must find nothing. The design has no pins with delays, so those checks do not matter.
  variable CONSTRAINT_CHECKS {no_clock unconstrained_internal_endpoints loops latch_loops}
}

# End the build with one line that names the cause.
proc gradcore::fail {message} {
  return -code error $message
}

# The commands used here are those of 2022.2 to 2024.x.
proc gradcore::check_version {} {
  set version [version -short]
  if {![regexp {^(\d{4})\.(\d+)} $version -> year minor] || $year < 2022 || $year > 2024 || ($year == 2022 && $minor < 2)} {
    fail "Vivado $version is not supported: use 2022.2 to 2024.x"
  }
}

proc gradcore::check_part {} {
  variable PART
  if {[get_parts -quiet $PART] eq ""} {
    fail "this Vivado does not know the part $PART: add Zynq-7000 devices to the installation"
  }
}

# A run has finished all its steps. "route_design Complete, Failed Timing!" passes here: check_timing judges that.
proc gradcore::check_run {name} {
  set run [get_runs $name]
  set status [get_property STATUS $run]
  if {[get_property PROGRESS $run] ne "100%" || ![string match "*Complete*" $status]} {
    set cause [first_error [run_log $name]]
    fail "run $name failed ($status): [expr {$cause eq "" ? "" : "$cause; "}]see [run_log $name]"
  }
}

# Wait for a run and judge it. Newer versions raise an error for a failed run that names neither the run nor its log, older ones do
# not: check_run speaks first.
proc gradcore::finish_run {name} {
  set raised [catch {wait_on_runs $name} reason options]
  check_run $name
  if {$raised} {
    return -options $options $reason
  }
}

# Slack means nothing without the right clock: the one that the processing system's own constraints define.
proc gradcore::check_clock {clock_mhz} {
  variable CLOCK
  set expected [expr {1000.0 / $clock_mhz}]
  set clock [get_clocks -quiet $CLOCK]
  if {$clock eq ""} {
    fail "the routed design has no clock $CLOCK (it has: [join [get_clocks -quiet] {, }]): the timing says nothing"
  }
  set period [get_property PERIOD $clock]
  if {![string is double -strict $period] || abs($period - $expected) >= 0.002 * $expected} {
    fail "clock $CLOCK has a period of $period ns, not [format %.3f $expected]: the timing says nothing"
  }
}

# Slack also says nothing of what no clock reaches. The report begins with lines such as `1. checking no_clock (0)`.
proc gradcore::check_constraints {settings} {
  variable CONSTRAINT_CHECKS
  set counts {}
  foreach {- name count} [regexp -all -inline {checking (\w+) \((\d+)\)} [read_report $settings timing_summary.txt]] {
    dict set counts $name $count
  }
  foreach name $CONSTRAINT_CHECKS {
    if {![dict exists $counts $name]} {
      fail "reports/timing_summary.txt has no line `checking $name`: the timing is not known"
    }
    if {[dict get $counts $name] != 0} {
      fail "the timing leaves out [dict get $counts $name] place(s): see `checking $name` in reports/timing_summary.txt"
    }
  }
}

# Block RAMs and multipliers as many as Yosys finds in the same Verilog (`gradcore synth`): fewer block RAMs are memories made of
# LUTs, another number of DSPs is a multiplier made of LUTs or the other way round. Vivado may save a few.
proc gradcore::check_inference {settings} {
  variable UTILISATION
  dict for {name limits} {bram36 {0.95 1e9} dsp {0.9 1.1}} {
    set expected [dict get $settings expected $name]
    set found [dict get [utilisation $settings [dict get $UTILISATION $name]] used]
    lassign $limits least most
    if {$found < $least * $expected || $found > $most * $expected} {
      fail "Vivado made $found $name of what Yosys makes $expected: see reports/utilisation_hierarchical.txt for the module"
    }
  }
}

# Slack in ns as {wns ... tns ... whs ... ths ... tpws ...}, and the number of nets that are not routed.
proc gradcore::read_timing {} {
  set timing {}
  foreach name {wns tns whs ths tpws failed_nets} {
    set value [get_property STATS.[string toupper $name] [get_runs impl_1]]
    if {![string is double -strict $value]} {
      fail "Vivado gives no figure for STATS.[string toupper $name]: the timing is not known"
    }
    dict set timing $name $value
  }
  return $timing
}

proc gradcore::timing_met {timing} {
  foreach name {wns tns whs ths tpws} {
    if {[dict get $timing $name] < 0} {
      return 0
    }
  }
  return [expr {[dict get $timing failed_nets] == 0}]
}

proc gradcore::check_timing {settings timing} {
  if {![timing_met $timing]} {
    set figures {}
    dict for {name value} $timing {
      lappend figures "$name $value"
    }
    fail "timing not met at [dict get $settings clock_mhz] MHz ([join $figures {, }]): see reports/timing_summary.txt"
  }
}
