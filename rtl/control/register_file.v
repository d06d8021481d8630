// SPDX-License-Identifier: Apache-2.0
// AXI4-Lite slave with all registers of docs/registers.md, and the interrupt.
//
// Writes: address and data may come in either order; answered one cycle after both are held. Reads: answered two
// cycles after the address. One write and one read are open at a time; they do not disturb each other. SLVERR,
// without any effect, for an address without register, a write to a read-only register, METHOD or SEED_MODE 3, and a
// run's parameter while busy. `start` and `soft_reset` pulse for one cycle, with the other bits of the same write
// already on their outputs. Parameters of a run are stable while busy. Counters: reading a low word keeps the high
// word of the same cycle for the next read of that counter's high word. `irq` = (a run has ended and it was not
// acknowledged) and INTERRUPT_ENABLE; an event in the cycle of the acknowledgement is not lost. `counters` holds 64
// bits each, number i at [64i+63:64i].
`default_nettype none
`include "gradcore_sizes.vh"
module register_file #(
    parameter GROUPS        = `GROUPS,
    parameter TILE_ENTRIES  = `TILE_ENTRIES,
    parameter WEIGHT_DEPTH  = `WEIGHT_ROWS,
    parameter COUNTER_TOTAL = 17
) (
    input  wire                   clk,
    input  wire                   rst,
    // AXI4-Lite slave
    input  wire [11:0]            s_axil_awaddr,
    input  wire [2:0]             s_axil_awprot,
    input  wire                   s_axil_awvalid,
    output wire                   s_axil_awready,
    input  wire [31:0]            s_axil_wdata,
    input  wire [3:0]             s_axil_wstrb,
    input  wire                   s_axil_wvalid,
    output wire                   s_axil_wready,
    output reg  [1:0]             s_axil_bresp,
    output reg                    s_axil_bvalid,
    input  wire                   s_axil_bready,
    input  wire [11:0]            s_axil_araddr,
    input  wire [2:0]             s_axil_arprot,
    input  wire                   s_axil_arvalid,
    output wire                   s_axil_arready,
    output reg  [31:0]            s_axil_rdata,
    output reg  [1:0]             s_axil_rresp,
    output reg                    s_axil_rvalid,
    input  wire                   s_axil_rready,
    output reg                    irq,
    // to the core
    output reg                    start,            // pulse
    output reg                    soft_reset,       // pulse
    output reg                    explain,
    output reg  [1:0]             method,
    output reg  [1:0]             seed_mode,
    output reg  [31:0]            seed_index,
    output reg  [31:0]            program_address,
    output reg  [31:0]            window_base,
    output reg  [31:0]            window_limit,
    output reg  [31:0]            watchdog_limit,
    output reg  [7:0]             layer_index,
    // from the core
    input  wire                   busy,
    input  wire                   done,
    input  wire                   error,
    input  wire                   start_while_busy,
    input  wire [7:0]             code,
    input  wire                   interrupt_event,  // pulse
    input  wire [15:0]            descriptor_index, // of the descriptor that is executed
    input  wire [15:0]            error_index,      // of the error; shown while `error`
    input  wire [31:0]            error_address,
    input  wire [31:0]            class_index,
    input  wire [15:0]            class_value,
    input  wire [8:0]             layers_finished,
    input  wire [31:0]            layer_cycles,     // of the layer at layer_index
    input  wire [31:0]            layer_saturated,  // likewise
    input  wire [64*COUNTER_TOTAL-1:0] counters
);
  `include "gradcore_constants.vh"

  localparam [1:0] OKAY = 2'b00, SLVERR = 2'b10;
  localparam integer LAST_COUNTER = COUNTERS - 1;

  initial begin
    if (GROUPS < 1 || GROUPS > 15 || TILE_ENTRIES > 65535 || `TILE_PIXELS > 65535 || WEIGHT_DEPTH > 65535 ||
        `OUTPUT_WORDS > 65535 || COUNTER_TOTAL != COUNTERS) begin
      $display("%m: a size does not fit its field, or COUNTER_TOTAL is not the number of counters");
      $finish;
    end
  end

  // ---- writes ----
  reg address_held, data_held;
  reg [11:0] write_address;
  reg [31:0] write_data;
  reg [3:0]  write_strobe;

  // A write is decoded in its first cycle and takes place in the second.
  wire complete = address_held && data_held && !s_axil_bvalid;
  reg  decoded;
  wire write_now = complete && decoded;
  assign s_axil_awready = !address_held;
  assign s_axil_wready = !data_held;

  integer lane;
  wire bad_choice = write_strobe[0] && write_data[1:0] == 2'd3;

  // Is there a register that takes this write, always, or while the core is not busy?
  reg takes_always, takes_idle, takes_choice;
  wire allowed = takes_always || (!busy && (takes_idle || takes_choice));
  always @(posedge clk) begin
    {takes_always, takes_idle, takes_choice} <= 3'b000;
    case ({
      write_address[11:2], 2'b00
    })
      REGISTER_CONTROL_ADDRESS, REGISTER_INTERRUPT_ADDRESS, REGISTER_LAYER_INDEX_ADDRESS: takes_always <= 1'b1;
      REGISTER_PROGRAM_ADDRESS_ADDRESS, REGISTER_WINDOW_BASE_ADDRESS, REGISTER_WINDOW_LIMIT_ADDRESS,
      REGISTER_WATCHDOG_ADDRESS, REGISTER_SEED_INDEX_ADDRESS: takes_idle <= 1'b1;
      REGISTER_METHOD_ADDRESS, REGISTER_SEED_MODE_ADDRESS: takes_choice <= !bad_choice;
      default: ;
    endcase
  end

  reg interrupt_enable, pending;
  wire write = write_now && allowed;

  always @(posedge clk) begin
    if (s_axil_awvalid && s_axil_awready) begin
      address_held <= 1'b1;
      write_address <= s_axil_awaddr;
    end
    if (s_axil_wvalid && s_axil_wready) begin
      data_held <= 1'b1;
      write_data <= s_axil_wdata;
      write_strobe <= s_axil_wstrb;
    end
    if (s_axil_bvalid && s_axil_bready) s_axil_bvalid <= 1'b0;
    decoded <= complete && !write_now;
    start <= 1'b0;
    soft_reset <= 1'b0;
    if (write_now) begin
      address_held <= 1'b0;
      data_held <= 1'b0;
      s_axil_bvalid <= 1'b1;
      s_axil_bresp <= allowed ? OKAY : SLVERR;
    end
    if (write) begin
      case ({
        write_address[11:2], 2'b00
      })
        REGISTER_CONTROL_ADDRESS: begin
          start <= write_strobe[0] && write_data[REGISTER_CONTROL_START_LSB];
          soft_reset <= write_strobe[0] && write_data[REGISTER_CONTROL_SOFT_RESET_LSB];
          if (write_strobe[0] && !busy) explain <= write_data[REGISTER_CONTROL_EXPLAIN_LSB];
          if (write_strobe[1]) interrupt_enable <= write_data[REGISTER_CONTROL_INTERRUPT_ENABLE_LSB];
        end
        REGISTER_INTERRUPT_ADDRESS:
          if (write_strobe[0] && write_data[REGISTER_INTERRUPT_PENDING_LSB]) pending <= 1'b0;
        REGISTER_PROGRAM_ADDRESS_ADDRESS:
          for (lane = 0; lane < 4; lane = lane + 1)
            if (write_strobe[lane]) program_address[8*lane+:8] <= write_data[8*lane+:8];
        REGISTER_WINDOW_BASE_ADDRESS:
          for (lane = 0; lane < 4; lane = lane + 1)
            if (write_strobe[lane]) window_base[8*lane+:8] <= write_data[8*lane+:8];
        REGISTER_WINDOW_LIMIT_ADDRESS:
          for (lane = 0; lane < 4; lane = lane + 1)
            if (write_strobe[lane]) window_limit[8*lane+:8] <= write_data[8*lane+:8];
        REGISTER_WATCHDOG_ADDRESS:
          for (lane = 0; lane < 4; lane = lane + 1)
            if (write_strobe[lane]) watchdog_limit[8*lane+:8] <= write_data[8*lane+:8];
        REGISTER_METHOD_ADDRESS: if (write_strobe[0]) method <= write_data[1:0];
        REGISTER_SEED_MODE_ADDRESS: if (write_strobe[0]) seed_mode <= write_data[1:0];
        REGISTER_SEED_INDEX_ADDRESS:
          for (lane = 0; lane < 4; lane = lane + 1)
            if (write_strobe[lane]) seed_index[8*lane+:8] <= write_data[8*lane+:8];
        REGISTER_LAYER_INDEX_ADDRESS: if (write_strobe[0]) layer_index <= write_data[7:0];
        default: ;
      endcase
    end
    if (interrupt_event) pending <= 1'b1;
    irq <= pending && interrupt_enable;
    if (rst) begin
      address_held <= 1'b0;
      data_held <= 1'b0;
      s_axil_bvalid <= 1'b0;
      decoded <= 1'b0;
      start <= 1'b0;
      soft_reset <= 1'b0;
      explain <= REGISTER_CONTROL_RESET[REGISTER_CONTROL_EXPLAIN_LSB];
      interrupt_enable <= REGISTER_CONTROL_RESET[REGISTER_CONTROL_INTERRUPT_ENABLE_LSB];
      pending <= 1'b0;
      irq <= 1'b0;
      program_address <= REGISTER_PROGRAM_ADDRESS_RESET;
      window_base <= REGISTER_WINDOW_BASE_RESET;
      window_limit <= REGISTER_WINDOW_LIMIT_RESET;
      watchdog_limit <= REGISTER_WATCHDOG_RESET;
      method <= REGISTER_METHOD_RESET[1:0];
      seed_mode <= REGISTER_SEED_MODE_RESET[1:0];
      seed_index <= REGISTER_SEED_INDEX_RESET;
      layer_index <= REGISTER_LAYER_INDEX_RESET[7:0];
    end
  end

  // ---- reads: address, then selection, then the answer ----
  reg read_held, read_selected, read_good, read_counter, read_high;
  reg [11:0] read_address;
  reg [31:0] read_value, read_low;  // of a register, of a counter
  reg [31:0] kept_high;

  assign s_axil_arready = !read_held && !read_selected && !s_axil_rvalid;

  wire [11:0] counter_offset = read_address - COUNTERS_ADDRESS;
  wire [4:0]  counter_number = counter_offset[7:3];
  wire        is_counter = counter_offset[11:3] <= LAST_COUNTER[8:0];
  wire [63:0] counter = counters[64*counter_number+:64];

  localparam integer STREAMS = `STREAMS, LANES = `LANES, VECTOR_LANES = `VECTOR_LANES, PIXELS = `TILE_PIXELS, OUTPUTS = `OUTPUT_WORDS;
  wire [31:0] configuration =
      {REGISTER_CONFIGURATION_RESET[31:24], VECTOR_LANES[7:0], LANES[7:0], STREAMS[3:0], GROUPS[3:0]};

  reg [15:0] status;
  always @(posedge clk) status <= {code, 4'd0, start_while_busy, error, done, busy};

  // The registers below the counters, a word for each address.
  localparam integer WORDS = 32;
  reg [32*WORDS-1:0] values;
  reg [WORDS-1:0]    implemented;
  always @* begin
    values = {32*WORDS{1'b0}};
    implemented = {WORDS{1'b0}};
    values[8*REGISTER_IDENTIFIER_ADDRESS+:32] = REGISTER_IDENTIFIER_RESET;
    implemented[REGISTER_IDENTIFIER_ADDRESS/4] = 1'b1;
    values[8*REGISTER_VERSION_ADDRESS+:32] = REGISTER_VERSION_RESET;
    implemented[REGISTER_VERSION_ADDRESS/4] = 1'b1;
    values[8*REGISTER_CONFIGURATION_ADDRESS+:32] = configuration;
    implemented[REGISTER_CONFIGURATION_ADDRESS/4] = 1'b1;
    values[8*REGISTER_CONFIGURATION_TILE_ADDRESS+:32] = {PIXELS[15:0], TILE_ENTRIES[15:0]};
    implemented[REGISTER_CONFIGURATION_TILE_ADDRESS/4] = 1'b1;
    values[8*REGISTER_CONFIGURATION_BUFFERS_ADDRESS+:32] = {OUTPUTS[15:0], WEIGHT_DEPTH[15:0]};
    implemented[REGISTER_CONFIGURATION_BUFFERS_ADDRESS/4] = 1'b1;
    values[8*REGISTER_CONTROL_ADDRESS+:32] = {23'd0, interrupt_enable, 3'd0, explain, 4'd0};
    implemented[REGISTER_CONTROL_ADDRESS/4] = 1'b1;
    values[8*REGISTER_STATUS_ADDRESS+:32] = {16'd0, status};
    implemented[REGISTER_STATUS_ADDRESS/4] = 1'b1;
    values[8*REGISTER_INTERRUPT_ADDRESS+:32] = {31'd0, pending};
    implemented[REGISTER_INTERRUPT_ADDRESS/4] = 1'b1;
    values[8*REGISTER_DESCRIPTOR_INDEX_ADDRESS+:32] = {16'd0, error ? error_index : descriptor_index};
    implemented[REGISTER_DESCRIPTOR_INDEX_ADDRESS/4] = 1'b1;
    values[8*REGISTER_ERROR_ADDRESS_ADDRESS+:32] = error_address;
    implemented[REGISTER_ERROR_ADDRESS_ADDRESS/4] = 1'b1;
    values[8*REGISTER_PROGRAM_ADDRESS_ADDRESS+:32] = program_address;
    implemented[REGISTER_PROGRAM_ADDRESS_ADDRESS/4] = 1'b1;
    values[8*REGISTER_WINDOW_BASE_ADDRESS+:32] = window_base;
    implemented[REGISTER_WINDOW_BASE_ADDRESS/4] = 1'b1;
    values[8*REGISTER_WINDOW_LIMIT_ADDRESS+:32] = window_limit;
    implemented[REGISTER_WINDOW_LIMIT_ADDRESS/4] = 1'b1;
    values[8*REGISTER_WATCHDOG_ADDRESS+:32] = watchdog_limit;
    implemented[REGISTER_WATCHDOG_ADDRESS/4] = 1'b1;
    values[8*REGISTER_METHOD_ADDRESS+:32] = {30'd0, method};
    implemented[REGISTER_METHOD_ADDRESS/4] = 1'b1;
    values[8*REGISTER_SEED_MODE_ADDRESS+:32] = {30'd0, seed_mode};
    implemented[REGISTER_SEED_MODE_ADDRESS/4] = 1'b1;
    values[8*REGISTER_SEED_INDEX_ADDRESS+:32] = seed_index;
    implemented[REGISTER_SEED_INDEX_ADDRESS/4] = 1'b1;
    values[8*REGISTER_CLASS_INDEX_ADDRESS+:32] = class_index;
    implemented[REGISTER_CLASS_INDEX_ADDRESS/4] = 1'b1;
    values[8*REGISTER_CLASS_VALUE_ADDRESS+:32] = {16'd0, class_value};
    implemented[REGISTER_CLASS_VALUE_ADDRESS/4] = 1'b1;
    values[8*REGISTER_LAYER_INDEX_ADDRESS+:32] = {7'd0, layers_finished, 8'd0, layer_index};
    implemented[REGISTER_LAYER_INDEX_ADDRESS/4] = 1'b1;
    values[8*REGISTER_LAYER_CYCLES_ADDRESS+:32] = layer_cycles;
    implemented[REGISTER_LAYER_CYCLES_ADDRESS/4] = 1'b1;
    values[8*REGISTER_LAYER_SATURATED_ADDRESS+:32] = layer_saturated;
    implemented[REGISTER_LAYER_SATURATED_ADDRESS/4] = 1'b1;
  end
  wire [31:0] value = values[32*read_address[6:2]+:32];
  wire        known = read_address[11:7] == 5'd0 && implemented[read_address[6:2]];

  always @(posedge clk) begin
    if (s_axil_arvalid && s_axil_arready) begin
      read_held <= 1'b1;
      read_address <= s_axil_araddr;
    end
    read_selected <= read_held;
    if (read_held) begin
      read_held <= 1'b0;
      read_good <= known || is_counter;
      read_counter <= is_counter;
      read_high <= read_address[2];
      read_value <= value;
      read_low <= counter[31:0];
      if (is_counter && !read_address[2]) kept_high <= counter[63:32];
    end
    if (s_axil_rvalid && s_axil_rready) s_axil_rvalid <= 1'b0;
    if (read_selected) begin
      s_axil_rvalid <= 1'b1;
      s_axil_rresp <= read_good ? OKAY : SLVERR;
      s_axil_rdata <= !read_good ? 32'd0 : !read_counter ? read_value : read_high ? kept_high : read_low;
    end
    if (rst) begin
      read_held <= 1'b0;
      read_selected <= 1'b0;
      s_axil_rvalid <= 1'b0;
      kept_high <= 32'd0;
    end
  end

  wire unused_bits = &{1'b0, s_axil_awprot, s_axil_arprot, write_address[1:0], counter_offset[2:0]};

`ifdef SIMULATION
  `include "assertions.vh"
  `ASSERT(one_write_open, !(write_now && s_axil_bvalid))
  `ASSERT(one_read_open, !(read_selected && s_axil_rvalid && !s_axil_rready))
  stream_checker #(
      .WIDTH(2)
  ) write_responses (
      .clk  (clk),
      .rst  (rst),
      .valid(s_axil_bvalid),
      .ready(s_axil_bready),
      .data (s_axil_bresp)
  );
  stream_checker #(
      .WIDTH(34)
  ) read_responses (
      .clk  (clk),
      .rst  (rst),
      .valid(s_axil_rvalid),
      .ready(s_axil_rready),
      .data ({s_axil_rresp, s_axil_rdata})
  );
`endif
endmodule
`default_nettype wire
