# SPDX-License-Identifier: Apache-2.0
#
# The core as an IP (IP-XACT) in the folder ip/ of the output: add that folder to a project's IP repositories to use it elsewhere.
# Interfaces are declared here and not guessed by the packager; the ports come from the settings, that is from rtl/gradcore.v.

namespace eval gradcore {
  variable VENDOR gradcore
  variable LIBRARY ip
  # Interfaces with many ports: prefix of the ports {mode protocol}.
  variable BUSES {
    s_axil {slave AXI4LITE}
    m_axi0 {master AXI4}
    m_axi1 {master AXI4}
  }
  # What both masters promise; see rtl/axi/axi_read_port.v and rtl/axi/axi_write_port.v.
  variable MASTER_PROMISES {MAX_BURST_LENGTH 16 SUPPORTS_NARROW_BURST 0 NUM_READ_OUTSTANDING 8 NUM_WRITE_OUTSTANDING 8}
  variable REGISTER_BYTES 4096
  variable FAMILIES {zynq Pre-Production artix7 Pre-Production kintex7 Pre-Production zynquplus Pre-Production}
}

# Name of the packaged core, for create_bd_cell.
proc gradcore::vlnv {settings} {
  variable VENDOR
  variable LIBRARY
  variable TOP
  return "$VENDOR:$LIBRARY:$TOP:[dict get $settings version]"
}

# Add one interface. type: without _rtl and version, such as xilinx.com:signal:clock; ports: logical name, port, ...
proc gradcore::add_interface {core name mode type ports parameters} {
  set bus [ipx::add_bus_interface $name $core]
  set_property abstraction_type_vlnv ${type}_rtl:1.0 $bus
  set_property bus_type_vlnv ${type}:1.0 $bus
  set_property interface_mode $mode $bus
  foreach {logical physical} $ports {
    set_property physical_name $physical [ipx::add_port_map $logical $bus]
  }
  foreach {parameter value} $parameters {
    set_property value $value [ipx::add_bus_parameter $parameter $bus]
  }
  return $bus
}

# The ports of a bus: s_axil_awaddr is AWADDR of s_axil.
proc gradcore::bus_ports {settings prefix} {
  set ports {}
  foreach port [dict get $settings ports] {
    if {[string match "${prefix}_*" $port]} {
      lappend ports [string toupper [string range $port [string length "${prefix}_"] end]] $port
    }
  }
  if {[llength $ports] == 0} {
    fail "rtl/gradcore.v has no ports ${prefix}_*"
  }
  return $ports
}

# Every port belongs to an interface: one that does not would be left open in a block design.
proc gradcore::check_all_ports_mapped {settings} {
  variable BUSES
  foreach port [dict get $settings ports] {
    set mapped [expr {$port in {clk rst irq}}]
    foreach prefix [dict keys $BUSES] {
      set mapped [expr {$mapped || [string match "${prefix}_*" $port]}]
    }
    if {!$mapped} {
      fail "port $port of rtl/gradcore.v belongs to no interface: add it in vivado/package_ip.tcl"
    }
  }
}

# Names of registers and fields, for whoever reads the .hwh: PYNQ's register_map, and people.
proc gradcore::add_registers {settings block} {
  dict for {name register} [dict get $settings registers] {
    set one [ipx::add_register $name $block]
    set_property -dict [list address_offset [dict get $register offset] size 32] $one
    dict for {field place} [dict get $register fields] {
      lassign $place bit width
      set_property -dict [list bit_offset $bit bit_width $width] [ipx::add_field $field $one]
    }
  }
}

proc gradcore::add_interfaces {settings core} {
  variable BUSES
  variable MASTER_PROMISES
  variable REGISTER_BYTES
  ipx::remove_all_bus_interface $core
  ipx::remove_all_memory_map $core
  ipx::remove_all_address_space $core
  dict for {name attributes} $BUSES {
    lassign $attributes mode protocol
    set parameters [list PROTOCOL $protocol]
    if {$mode eq "master"} {
      lappend parameters {*}$MASTER_PROMISES
    }
    set bus [add_interface $core $name $mode xilinx.com:interface:aximm [bus_ports $settings $name] $parameters]
    if {$mode eq "master"} {
      set_property -dict {range 4G width 32} [ipx::add_address_space $name $core]
      set_property master_address_space_ref $name $bus
    } else {
      set block [ipx::add_address_block registers [ipx::add_memory_map $name $core]]
      set_property -dict [list usage register access read-write range $REGISTER_BYTES width 32] $block
      add_registers $settings $block
      set_property slave_memory_map_ref $name $bus
    }
  }
  set associated [list ASSOCIATED_BUSIF [join [dict keys $BUSES] :] ASSOCIATED_RESET rst]
  add_interface $core clk slave xilinx.com:signal:clock {CLK clk} $associated
  add_interface $core rst slave xilinx.com:signal:reset {RST rst} {POLARITY ACTIVE_HIGH}
  add_interface $core irq master xilinx.com:signal:interrupt {INTERRUPT irq} {SENSITIVITY LEVEL_HIGH}
}

# Parameters are offered as drop-downs with the values that the settings name.
proc gradcore::restrict_parameters {settings core} {
  dict for {name values} [dict get $settings choices] {
    set parameter [ipx::get_user_parameters $name -of_objects $core]
    if {$parameter eq ""} {
      fail "the packager found no parameter $name in rtl/gradcore.v"
    }
    set_property value_validation_type list $parameter
    set_property value_validation_list $values $parameter
    set_property widget comboBox [ipgui::get_guiparamspec -name $name -component $core]
  }
}

# The header must be marked as one in every group of files, or synthesis of the packaged core compiles it as a module.
proc gradcore::mark_headers {settings core} {
  foreach header [dict get $settings headers] {
    set count 0
    foreach group [ipx::get_file_groups -of_objects $core] {
      foreach file [ipx::get_files -of_objects $group] {
        if {[file tail [get_property name $file]] eq [file tail $header]} {
          set_property is_include true $file
          incr count
        }
      }
    }
    if {$count == 0} {
      fail "the packager left out [file tail $header]"
    }
  }
}

proc gradcore::package_ip {settings} {
  variable PART
  variable TOP
  variable VENDOR
  variable LIBRARY
  variable FAMILIES
  set output [dict get $settings output]
  check_all_ports_mapped $settings
  create_project gradcore_ip [file join $output ip_project] -part $PART -force
  add_files -norecurse -fileset sources_1 [concat [dict get $settings sources] [dict get $settings headers]]
  # All files of the list are packed, not only those that the default parameters need (AMD answer record 70646).
  set_property source_mgmt_mode DisplayOnly [current_project]
  set_property top $TOP [get_filesets sources_1]
  ipx::package_project -root_dir [file join $output ip] -vendor $VENDOR -library $LIBRARY -taxonomy /UserIP -import_files -force
  set core [ipx::current_core]
  set_property name $TOP $core
  set_property version [dict get $settings version] $core
  set_property display_name GradCore $core
  set_property description "CNN accelerator with gradient attribution: forward, then backward to the picture" $core
  set_property vendor_display_name GradCore $core
  set_property supported_families $FAMILIES $core
  add_interfaces $settings $core
  restrict_parameters $settings $core
  mark_headers $settings $core
  ipx::create_xgui_files $core
  ipx::update_checksums $core
  if {[ipx::check_integrity $core] eq "0"} {
    fail "the packaged core does not hold together: see what ipx::check_integrity says in [dict get $settings log]"
  }
  ipx::save_core $core
  close_project
}
