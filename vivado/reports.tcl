# SPDX-License-Identifier: Apache-2.0
#
# Reports of the routed design as text in reports/, and their main figures in summary.json.

namespace eval gradcore {
  # Rows of the utilisation report: name in the summary, name in the report.
  variable UTILISATION {lut {Slice LUTs} ff {Slice Registers} bram36 {Block RAM Tile} dsp DSPs}
}

proc gradcore::write_reports {settings} {
  set folder [file join [dict get $settings output] reports]
  file mkdir $folder
  report_utilization -file [file join $folder utilisation.txt]
  report_utilization -hierarchical -file [file join $folder utilisation_hierarchical.txt]
  report_timing_summary -max_paths 10 -report_unconstrained -file [file join $folder timing_summary.txt]
  report_power -file [file join $folder power.txt]
  report_drc -file [file join $folder drc.txt]
  report_methodology -file [file join $folder methodology.txt]
}

# Text of a report.
proc gradcore::read_report {settings name} {
  set channel [open [file join [dict get $settings output] reports $name]]
  set text [read $channel]
  close $channel
  return $text
}

# The cells of a row `| name | cell | cell | ...`, or an error: a figure that cannot be found must not go unnoticed.
proc gradcore::report_row {settings report name} {
  foreach line [split [read_report $settings $report] \n] {
    set cells {}
    foreach cell [split $line |] {
      lappend cells [string trim $cell]
    }
    if {[string trimright [lindex $cells 1] *] eq $name} {
      return [lrange $cells 2 end-1]
    }
  }
  fail "reports/$report has no row `$name`"
}

# {used u total t} of a resource. Columns: used, fixed, prohibited, available, percent.
proc gradcore::utilisation {settings row} {
  set cells [report_row $settings utilisation.txt $row]
  set result [list used [lindex $cells 0] total [lindex $cells end-1]]
  foreach {name value} $result {
    if {![string is double -strict $value]} {
      fail "reports/utilisation.txt: `$row` has no number for $name"
    }
  }
  return $result
}

# JSON of a dictionary whose values are JSON already.
proc gradcore::json_object {values} {
  set items {}
  dict for {name value} $values {
    lappend items "\"$name\": $value"
  }
  return "{[join $items {, }]}"
}

proc gradcore::write_summary {settings timing} {
  variable PART
  variable UTILISATION
  set used {}
  foreach {name row} $UTILISATION {
    dict set used $name [json_object [utilisation $settings $row]]
  }
  # A number, and a remark behind it when the junction gets too hot.
  set cell [lindex [report_row $settings power.txt "Total On-Chip Power (W)"] 0]
  if {![regexp {^\S+} $cell power] || ![string is double -strict $power]} {
    fail "reports/power.txt gives no total power"
  }
  set summary [dict create \
    preset "\"[dict get $settings preset]\"" \
    clock_mhz [dict get $settings clock_mhz] \
    part "\"$PART\"" \
    tool "\"Vivado [version -short]\"" \
    parameters [json_object [dict get $settings parameters]] \
    timing_met [expr {[timing_met $timing] ? "true" : "false"}] \
    timing_ns [json_object [dict remove $timing failed_nets]] \
    failed_nets [dict get $timing failed_nets] \
    utilisation [json_object $used] \
    power_w $power]
  set channel [open [file join [dict get $settings output] summary.json] w]
  puts $channel [json_object $summary]
  close $channel
}
