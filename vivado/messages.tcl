# SPDX-License-Identifier: Apache-2.0
#
# What Vivado's logs say. Each process has its own: the main one, and one for each run.

namespace eval gradcore {
  # Messages that are worse than Vivado takes them for: a property of a cell that does not exist or cannot be set (the call
  # succeeds all the same), and a memory that does not become block RAM as the Verilog asks.
  variable RAISED {
    {BD 41-1276} ERROR
    {BD 41-737} ERROR
    {Synth 8-6849} {CRITICAL WARNING}
    {Synth 8-7186} {CRITICAL WARNING}
  }
}

proc gradcore::raise_messages {} {
  variable RAISED
  foreach {id severity} $RAISED {
    set_msg_config -id $id -new_severity $severity
  }
}

# The log of a run.
proc gradcore::run_log {name} {
  return [file join [get_property DIRECTORY [get_runs $name]] runme.log]
}

# Lines of a log.
proc gradcore::read_log {log} {
  if {[catch {open $log} channel]} {
    fail "no log $log: its messages cannot be checked"
  }
  set lines [split [read $channel] \n]
  close $channel
  return $lines
}

# Text of the first error of a log, or nothing. [Common 17-39] only says that a command failed, not why.
proc gradcore::first_error {log} {
  if {![file isfile $log]} {
    return ""
  }
  foreach line [read_log $log] {
    if {[regexp {^ERROR:\s*(.*)$} $line -> text] && ![string match {*\[Common 17-39\]*} $text]} {
      return [string trim $text]
    }
  }
  return ""
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

# All errors and critical warnings of logs, and the messages of RAISED at any severity, as a list of {severity id text}.
proc gradcore::serious_messages {logs} {
  variable RAISED
  set found {}
  foreach log $logs {
    foreach line [read_log $log] {
      if {[regexp {^(ERROR|CRITICAL WARNING|WARNING|INFO):\s*(?:\[([^\]]+)\])?\s*(.*)$} $line -> severity id text]} {
        if {$severity in {ERROR {CRITICAL WARNING}} || [dict exists $RAISED $id]} {
          lappend found [list $severity $id [string trim $text]]
        }
      }
    }
  }
  return [lsort -unique $found]
}

# End the build when Vivado's own log, or the log of a run that is named, has a serious message that is not allowed.
proc gradcore::check_messages {settings args} {
  set allowed [read_allowed [dict get $settings allowed_warnings]]
  set unknown {}
  foreach message [serious_messages [concat [list [dict get $settings log]] [lmap run $args {run_log $run}]]] {
    lassign $message severity id text
    set known 0
    foreach entry $allowed {
      lassign $entry id_pattern text_pattern
      if {[string match $id_pattern $id] && [string match $text_pattern $text]} {
        set known 1
      }
    }
    if {!$known} {
      lappend unknown "[string tolower $severity] \[$id\] $text"
    }
  }
  if {[llength $unknown] > 0} {
    fail "[llength $unknown] message(s) that must not be there, the first: [lindex $unknown 0]"
  }
}
