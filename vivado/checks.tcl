# SPDX-License-Identifier: Apache-2.0
#
# What must hold for a build to count: version of the tool, finished runs, timing, no unknown critical warning.

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
    fail "run $name failed ($status): see [file join [get_property DIRECTORY $run] runme.log]"
  }
}

# Slack means nothing without the right clock: the one that the processing system's own constraints define.
proc gradcore::check_clock {clock_mhz} {
  set expected [expr {1000.0 / $clock_mhz}]
  set periods {}
  foreach clock [get_clocks -quiet] {
    lappend periods [get_property PERIOD $clock]
  }
  foreach period $periods {
    if {abs($period - $expected) < 0.002 * $expected} {
      return
    }
  }
  fail "no clock of [format %.3f $expected] ns in the routed design (periods: [join $periods {, }]): the timing says nothing"
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

# The allow list: lines of `id | text | reason`, id and text with wild cards (*). All three are needed.
proc gradcore::read_allowed {path} {
  set allowed {}
  set channel [open $path]
  foreach line [split [read $channel] \n] {
    set line [string trim $line]
    if {$line eq "" || [string index $line 0] eq "#"} {
      continue
    }
    set fields {}
    foreach field [split $line |] {
      lappend fields [string trim $field]
    }
    if {[llength $fields] != 3 || "" in $fields} {
      close $channel
      fail "[file tail $path]: expected `id | text | reason`, found: $line"
    }
    lappend allowed $fields
  }
  close $channel
  return $allowed
}

# All critical warnings in Vivado's logs, as a list of {id text}. Runs are processes of their own with a log each.
proc gradcore::critical_warnings {settings} {
  set logs [list [dict get $settings log]]
  foreach run {synth_1 impl_1} {
    lappend logs [file join [get_property DIRECTORY [get_runs $run]] runme.log]
  }
  set found {}
  foreach log $logs {
    if {[catch {open $log} channel]} {
      fail "no log $log: critical warnings cannot be checked"
    }
    foreach line [split [read $channel] \n] {
      if {[regexp {^CRITICAL WARNING:\s*(?:\[([^\]]+)\])?\s*(.*)$} $line -> id text]} {
        lappend found [list $id [string trim $text]]
      }
    }
    close $channel
  }
  return [lsort -unique $found]
}

proc gradcore::check_critical_warnings {settings} {
  set allowed [read_allowed [dict get $settings allowed_warnings]]
  set unknown {}
  foreach warning [critical_warnings $settings] {
    lassign $warning id text
    set known 0
    foreach entry $allowed {
      lassign $entry id_pattern text_pattern
      if {[string match $id_pattern $id] && [string match $text_pattern $text]} {
        set known 1
      }
    }
    if {!$known} {
      lappend unknown "\[$id\] $text"
    }
  }
  if {[llength $unknown] > 0} {
    fail "[llength $unknown] unknown critical warning(s), the first: [lindex $unknown 0]"
  }
}
