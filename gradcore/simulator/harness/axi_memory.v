// SPDX-License-Identifier: Apache-2.0
//
// Simulation model of the memory that speed is measured against: two 64-bit AXI4 ports on one array. Not for synthesis.
//
// - latency: cycles from the accepted read address to its first beat; write_latency: from the last write beat to its
//   response.
// - outstanding: bursts accepted and not completed, for each port and direction. One beat a cycle, port and direction.
// - bytes_per_1024: over all ports and directions no 1,024 consecutive cycles carry more than that many bytes (a
//   sliding window, the strictest reading of "averaged over 1,024 cycles"); 0: no limit. 16384 is 1.6 GB/s at 100 MHz.
// - A read returns what the memory held when its address was accepted; a write lands when its response is given. So a
//   master that does not wait for the response before it reads gets stale data.
// - stall: each ready and each new valid is withheld with this probability in 1/1000, by a generator started with seed.
// - Reads in [read_error_base, read_error_limit) answer SLVERR; so do writes in the other range, and are not done.
// - check_unwritten=1: reading a byte that was neither loaded nor written is a violation.
// All of these are plusargs (+latency=32 and so on, addresses in hexadecimal) with the parameters as defaults.
// axi_checker watches both ports: violation rises with the first breach of the protocol.
`default_nettype none

/* verilator lint_off BLKSEQ */  // state of a behavioural model, used in one block alone

module axi_memory #(
  parameter        BYTES = 67108864,
  parameter [31:0] BASE = 32'h0000_0000,
  parameter        LATENCY = 32,
  parameter        WRITE_LATENCY = 32,
  parameter        OUTSTANDING = 8,        // at most 16
  parameter        BYTES_PER_1024 = 16384,
  parameter        FATAL = 1               // end the simulation at a violation
) (
  input  wire        clk,
  input  wire        rst,
  output wire        violation,

  input  wire [31:0] s_axi0_araddr,
  input  wire [7:0]  s_axi0_arlen,
  input  wire [2:0]  s_axi0_arsize,
  input  wire [1:0]  s_axi0_arburst,
  input  wire        s_axi0_arvalid,
  output wire        s_axi0_arready,
  output wire [63:0] s_axi0_rdata,
  output wire [1:0]  s_axi0_rresp,
  output wire        s_axi0_rlast,
  output wire        s_axi0_rvalid,
  input  wire        s_axi0_rready,
  input  wire [31:0] s_axi0_awaddr,
  input  wire [7:0]  s_axi0_awlen,
  input  wire [2:0]  s_axi0_awsize,
  input  wire [1:0]  s_axi0_awburst,
  input  wire        s_axi0_awvalid,
  output wire        s_axi0_awready,
  input  wire [63:0] s_axi0_wdata,
  input  wire [7:0]  s_axi0_wstrb,
  input  wire        s_axi0_wlast,
  input  wire        s_axi0_wvalid,
  output wire        s_axi0_wready,
  output wire [1:0]  s_axi0_bresp,
  output wire        s_axi0_bvalid,
  input  wire        s_axi0_bready,

  input  wire [31:0] s_axi1_araddr,
  input  wire [7:0]  s_axi1_arlen,
  input  wire [2:0]  s_axi1_arsize,
  input  wire [1:0]  s_axi1_arburst,
  input  wire        s_axi1_arvalid,
  output wire        s_axi1_arready,
  output wire [63:0] s_axi1_rdata,
  output wire [1:0]  s_axi1_rresp,
  output wire        s_axi1_rlast,
  output wire        s_axi1_rvalid,
  input  wire        s_axi1_rready,
  input  wire [31:0] s_axi1_awaddr,
  input  wire [7:0]  s_axi1_awlen,
  input  wire [2:0]  s_axi1_awsize,
  input  wire [1:0]  s_axi1_awburst,
  input  wire        s_axi1_awvalid,
  output wire        s_axi1_awready,
  input  wire [63:0] s_axi1_wdata,
  input  wire [7:0]  s_axi1_wstrb,
  input  wire        s_axi1_wlast,
  input  wire        s_axi1_wvalid,
  output wire        s_axi1_wready,
  output wire [1:0]  s_axi1_bresp,
  output wire        s_axi1_bvalid,
  input  wire        s_axi1_bready
);

  localparam WORDS = BYTES / 8;
  localparam PORTS = 2;

  reg [63:0] memory [0:WORDS-1];
  reg [7:0]  written [0:WORDS-1];  // bytes ever loaded or written; kept only when check_unwritten is set

  // Settings --------------------------------------------------------------------------------------------------------

  integer    latency;
  integer    write_latency;
  integer    outstanding;
  integer    bytes_per_1024;
  integer    window_beats;
  integer    stall;
  integer    seed;
  integer    check_unwritten;
  reg [31:0] read_error_base;
  reg [31:0] read_error_limit;
  reg [31:0] write_error_base;
  reg [31:0] write_error_limit;

  initial begin
    if (!$value$plusargs("latency=%d", latency)) latency = LATENCY;
    if (!$value$plusargs("write_latency=%d", write_latency)) write_latency = WRITE_LATENCY;
    if (!$value$plusargs("outstanding=%d", outstanding)) outstanding = OUTSTANDING;
    if (!$value$plusargs("bytes_per_1024=%d", bytes_per_1024)) bytes_per_1024 = BYTES_PER_1024;
    if (!$value$plusargs("stall=%d", stall)) stall = 0;
    if (!$value$plusargs("seed=%d", seed)) seed = 1;
    if (!$value$plusargs("check_unwritten=%d", check_unwritten)) check_unwritten = 0;
    if (!$value$plusargs("read_error_base=%h", read_error_base)) read_error_base = 32'd0;
    if (!$value$plusargs("read_error_limit=%h", read_error_limit)) read_error_limit = 32'd0;
    if (!$value$plusargs("write_error_base=%h", write_error_base)) write_error_base = 32'd0;
    if (!$value$plusargs("write_error_limit=%h", write_error_limit)) write_error_limit = 32'd0;
    window_beats = bytes_per_1024 / 8;
    if (outstanding < 1 || outstanding > 16 || latency < 1 || write_latency < 1 || stall > 999
        || (bytes_per_1024 != 0 && bytes_per_1024 < 8)) begin
      $display("%m: outstanding must be 1 to 16, latencies 1 or more, stall up to 999, bytes_per_1024 0 or 8 or more");
      $finish;
    end
    if (check_unwritten != 0)
      for (i = 0; i < WORDS; i = i + 1)
        written[i] = 8'd0;
  end

  // Ports as vectors, index = port ----------------------------------------------------------------------------------

  reg  [1:0]   arready;
  reg  [127:0] rdata;
  reg  [3:0]   rresp;
  reg  [1:0]   rlast;
  reg  [1:0]   rvalid;
  reg  [1:0]   awready;
  reg  [1:0]   wready;
  reg  [3:0]   bresp;
  reg  [1:0]   bvalid;
  wire [63:0]  araddr  = {s_axi1_araddr, s_axi0_araddr};
  wire [15:0]  arlen   = {s_axi1_arlen, s_axi0_arlen};
  wire [1:0]   arvalid = {s_axi1_arvalid, s_axi0_arvalid};
  wire [1:0]   rready  = {s_axi1_rready, s_axi0_rready};
  wire [63:0]  awaddr  = {s_axi1_awaddr, s_axi0_awaddr};
  wire [15:0]  awlen   = {s_axi1_awlen, s_axi0_awlen};
  wire [1:0]   awvalid = {s_axi1_awvalid, s_axi0_awvalid};
  wire [127:0] wdata   = {s_axi1_wdata, s_axi0_wdata};
  wire [15:0]  wstrb   = {s_axi1_wstrb, s_axi0_wstrb};
  wire [1:0]   wvalid  = {s_axi1_wvalid, s_axi0_wvalid};
  wire [1:0]   bready  = {s_axi1_bready, s_axi0_bready};

  assign {s_axi1_arready, s_axi0_arready} = arready;
  assign {s_axi1_rdata, s_axi0_rdata}     = rdata;
  assign {s_axi1_rresp, s_axi0_rresp}     = rresp;
  assign {s_axi1_rlast, s_axi0_rlast}     = rlast;
  assign {s_axi1_rvalid, s_axi0_rvalid}   = rvalid;
  assign {s_axi1_awready, s_axi0_awready} = awready;
  assign {s_axi1_wready, s_axi0_wready}   = wready;
  assign {s_axi1_bresp, s_axi0_bresp}     = bresp;
  assign {s_axi1_bvalid, s_axi0_bvalid}   = bvalid;

  // State. Slot s of port p is at index 16*p + s, beat b of it at 16*(16*p + s) + b. --------------------------------

  reg [63:0] cycle;
  reg [63:0] random;
  reg        unwritten_violation;

  reg [63:0] read_time [0:31];      // cycle of the first beat
  reg [3:0]  read_length [0:31];
  reg [63:0] read_data [0:511];
  reg        read_error [0:511];
  reg [3:0]  read_tail [0:1];       // slot of the next address
  reg [3:0]  read_head [0:1];       // slot of the next beat
  reg [3:0]  read_beat [0:1];
  integer    read_waiting [0:1];    // bursts with beats to offer
  integer    read_open [0:1];       // bursts not completed

  reg [63:0] write_time [0:31];     // cycle of the response
  reg [31:0] write_address [0:31];
  reg [3:0]  write_length [0:31];
  reg [63:0] write_data [0:511];
  reg [7:0]  write_strobe [0:511];
  reg [3:0]  write_tail [0:1];      // slot of the next address
  reg [3:0]  write_slot [0:1];      // slot of the next data beat
  reg [3:0]  write_head [0:1];      // slot of the next response
  reg [3:0]  write_beat [0:1];
  integer    write_waiting [0:1];   // bursts that want data
  integer    write_answers [0:1];   // bursts with all data and no response offered
  integer    write_open [0:1];      // bursts not completed

  reg [2:0]  beats [0:1023];        // beats of each of the last 1,024 cycles
  reg [9:0]  beats_index;
  reg [9:0]  beats_oldest;          // the next beats_index: what leaves the window
  integer    beats_sum;             // over the last 1,023 cycles and this one so far
  reg [2:0]  beats_now;
  integer    budget;
  integer    wanted;

  reg [31:0] address;
  reg [31:0] word;                  // index in memory
  wire       unused_word = &{1'b0, word};
  reg        failed;
  integer    p;
  integer    q;
  integer    slot;
  integer    b;
  integer    i;

  // True with probability stall/1000 (1/1024 steps); xorshift64, the same numbers in every simulator.
  function [63:0] next_random(input [63:0] x);
    reg [63:0] y;
    begin
      y = x ^ (x << 13);
      y = y ^ (y >> 7);
      next_random = y ^ (y << 17);
    end
  endfunction

  reg stalled;
  task draw;
    begin
      stalled = 1'b0;
      if (stall != 0) begin
        random  = next_random(random);
        stalled = {22'd0, random[41:32]} * 32'd1000 < stall * 1024;
      end
    end
  endtask

  initial begin
    cycle = 64'd0;
    unwritten_violation = 1'b0;
    beats_index = 10'd0;
    beats_sum = 0;
    for (i = 0; i < 1024; i = i + 1)
      beats[i] = 3'd0;
  end

  always @(posedge clk) begin
    cycle = cycle + 64'd1;
    beats_index = beats_index + 10'd1;
    beats_sum = beats_sum - {29'd0, beats[beats_index]};
    beats_now = 3'd0;

    if (rst) begin
      random = 64'h9E37_79B9_7F4A_7C15 ^ {32'd0, seed};
      arready <= 2'b00;
      rvalid <= 2'b00;
      awready <= 2'b00;
      wready <= 2'b00;
      bvalid <= 2'b00;
      for (p = 0; p < PORTS; p = p + 1) begin
        read_tail[p] = 4'd0;
        read_head[p] = 4'd0;
        read_beat[p] = 4'd0;
        read_waiting[p] = 0;
        read_open[p] = 0;
        write_tail[p] = 4'd0;
        write_slot[p] = 4'd0;
        write_head[p] = 4'd0;
        write_beat[p] = 4'd0;
        write_waiting[p] = 0;
        write_answers[p] = 0;
        write_open[p] = 0;
      end
    end else begin
      for (p = 0; p < PORTS; p = p + 1) begin
        // Accepted read address: take the data now.
        if (arvalid[p] && arready[p]) begin
          slot = 16 * p + {28'd0, read_tail[p]};
          read_time[slot] = cycle + {32'd0, latency} - 64'd1;
          read_length[slot] = arlen[8*p +: 4];
          for (b = 0; b <= {28'd0, arlen[8*p +: 4]}; b = b + 1) begin
            address = araddr[32*p +: 32] + 8 * b;
            word = (address - BASE) >> 3;
            read_error[16 * slot + b] = address >= read_error_base && address < read_error_limit;
            read_data[16 * slot + b] = memory[word];
            if (check_unwritten != 0 && written[word] != 8'hff && !unwritten_violation) begin
              $display("VIOLATION port %0d: read of a byte never written at %h", p, address);
              unwritten_violation = 1'b1;
            end
          end
          read_tail[p] = read_tail[p] + 4'd1;
          read_waiting[p] = read_waiting[p] + 1;
          read_open[p] = read_open[p] + 1;
        end
        if (rvalid[p] && rready[p] && rlast[p])
          read_open[p] = read_open[p] - 1;

        // Accepted write address, data, response.
        if (awvalid[p] && awready[p]) begin
          slot = 16 * p + {28'd0, write_tail[p]};
          write_address[slot] = awaddr[32*p +: 32];
          write_length[slot] = awlen[8*p +: 4];
          write_tail[p] = write_tail[p] + 4'd1;
          write_waiting[p] = write_waiting[p] + 1;
          write_open[p] = write_open[p] + 1;
        end
        if (wvalid[p] && wready[p]) begin
          slot = 16 * p + {28'd0, write_slot[p]};
          write_data[16 * slot + {28'd0, write_beat[p]}] = wdata[64*p +: 64];
          write_strobe[16 * slot + {28'd0, write_beat[p]}] = wstrb[8*p +: 8];
          beats_now = beats_now + 3'd1;
          if (write_beat[p] == write_length[slot]) begin
            write_time[slot] = cycle + {32'd0, write_latency} - 64'd1;
            write_beat[p] = 4'd0;
            write_slot[p] = write_slot[p] + 4'd1;
            write_waiting[p] = write_waiting[p] - 1;
            write_answers[p] = write_answers[p] + 1;
          end else begin
            write_beat[p] = write_beat[p] + 4'd1;
          end
        end
        if (bvalid[p] && bready[p])
          write_open[p] = write_open[p] - 1;

        draw;
        arready[p] <= read_open[p] < outstanding && !stalled;
        draw;
        awready[p] <= write_open[p] < outstanding && !stalled;
      end

      // Write responses; the data land now.
      for (p = 0; p < PORTS; p = p + 1) begin
        if (!bvalid[p] || bready[p]) begin
          bvalid[p] <= 1'b0;
          slot = 16 * p + {28'd0, write_head[p]};
          draw;
          if (write_answers[p] != 0 && cycle >= write_time[slot] && !stalled) begin
            failed = 1'b0;
            for (b = 0; b <= {28'd0, write_length[slot]}; b = b + 1) begin
              address = write_address[slot] + 8 * b;
              if (address >= write_error_base && address < write_error_limit)
                failed = 1'b1;
            end
            for (b = 0; b <= {28'd0, write_length[slot]}; b = b + 1) begin
              word = (write_address[slot] - BASE >> 3) + b;
              for (i = 0; i < 8; i = i + 1)
                if (write_strobe[16 * slot + b][i] && !failed)
                  memory[word][8*i +: 8] = write_data[16 * slot + b][8*i +: 8];
              if (check_unwritten != 0 && !failed)
                written[word] = written[word] | write_strobe[16 * slot + b];
            end
            bvalid[p] <= 1'b1;
            bresp[2*p +: 2] <= failed ? 2'b10 : 2'b00;
            write_head[p] = write_head[p] + 4'd1;
            write_answers[p] = write_answers[p] - 1;
          end
        end
      end

      // Read beats, as far as the window allows; the ports take turns in being first.
      for (q = 0; q < PORTS; q = q + 1) begin
        p = q ^ {31'd0, cycle[1]};
        if (!rvalid[p] || rready[p]) begin
          rvalid[p] <= 1'b0;
          slot = 16 * p + {28'd0, read_head[p]};
          draw;
          if (read_waiting[p] != 0 && cycle >= read_time[slot] && !stalled
              && (window_beats == 0 || beats_sum + {29'd0, beats_now} < window_beats)) begin
            beats_now = beats_now + 3'd1;
            rvalid[p] <= 1'b1;
            rdata[64*p +: 64] <= read_data[16 * slot + {28'd0, read_beat[p]}];
            rresp[2*p +: 2] <= read_error[16 * slot + {28'd0, read_beat[p]}] ? 2'b10 : 2'b00;
            rlast[p] <= read_beat[p] == read_length[slot];
            if (read_beat[p] == read_length[slot]) begin
              read_beat[p] = 4'd0;
              read_head[p] = read_head[p] + 4'd1;
              read_waiting[p] = read_waiting[p] - 1;
            end else begin
              read_beat[p] = read_beat[p] + 4'd1;
            end
          end
        end
      end

      // Write beats of the next cycle: reserved now, counted when they come. In odd cycles reads go first.
      beats_oldest = beats_index + 10'd1;  // not in the index itself: Icarus would not wrap it
      budget = window_beats - (beats_sum + {29'd0, beats_now}) + {29'd0, beats[beats_oldest]};
      wanted = 0;
      for (p = 0; p < PORTS; p = p + 1)
        if (read_waiting[p] != 0 && cycle[0])
          wanted = wanted + 1;
      for (q = 0; q < PORTS; q = q + 1) begin
        p = q ^ {31'd0, cycle[1]};
        draw;
        if (write_waiting[p] != 0 && !stalled && (window_beats == 0 || budget > wanted)) begin
          wready[p] <= 1'b1;
          budget = budget - 1;
        end else begin
          wready[p] <= 1'b0;
        end
      end
    end

    beats[beats_index] = beats_now;
    beats_sum = beats_sum + {29'd0, beats_now};
  end

  // Back door -------------------------------------------------------------------------------------------------------

  // Fill words from a file of 64-bit hexadecimal words.
  task load(input [8*256-1:0] file, input [31:0] at, input [31:0] words);
    begin
      $readmemh(file, memory, (at - BASE) >> 3, ((at - BASE) >> 3) + words - 1);
      if (check_unwritten != 0)
        for (i = 0; i < words; i = i + 1)
          written[((at - BASE) >> 3) + i] = 8'hff;
    end
  endtask

  // Write words to a file, one hexadecimal word a line.
  task dump(input [8*256-1:0] file, input [31:0] at, input [31:0] words);
    integer handle;
    begin
      handle = $fopen(file, "w");
      for (i = 0; i < words; i = i + 1)
        $fdisplay(handle, "%h", memory[((at - BASE) >> 3) + i]);
      $fclose(handle);
    end
  endtask

  // Protocol --------------------------------------------------------------------------------------------------------

  wire violation0;
  wire violation1;
  assign violation = violation0 || violation1 || unwritten_violation;

  axi_checker #(.PORT(0), .BASE(BASE), .BYTES(BYTES)) checker0 (
    .clk(clk),
    .rst(rst),
    .violation(violation0),
    .araddr(s_axi0_araddr),
    .arlen(s_axi0_arlen),
    .arsize(s_axi0_arsize),
    .arburst(s_axi0_arburst),
    .arvalid(s_axi0_arvalid),
    .arready(s_axi0_arready),
    .rdata(s_axi0_rdata),
    .rresp(s_axi0_rresp),
    .rlast(s_axi0_rlast),
    .rvalid(s_axi0_rvalid),
    .rready(s_axi0_rready),
    .awaddr(s_axi0_awaddr),
    .awlen(s_axi0_awlen),
    .awsize(s_axi0_awsize),
    .awburst(s_axi0_awburst),
    .awvalid(s_axi0_awvalid),
    .awready(s_axi0_awready),
    .wdata(s_axi0_wdata),
    .wstrb(s_axi0_wstrb),
    .wlast(s_axi0_wlast),
    .wvalid(s_axi0_wvalid),
    .wready(s_axi0_wready),
    .bresp(s_axi0_bresp),
    .bvalid(s_axi0_bvalid),
    .bready(s_axi0_bready)
  );

  axi_checker #(.PORT(1), .BASE(BASE), .BYTES(BYTES)) checker1 (
    .clk(clk),
    .rst(rst),
    .violation(violation1),
    .araddr(s_axi1_araddr),
    .arlen(s_axi1_arlen),
    .arsize(s_axi1_arsize),
    .arburst(s_axi1_arburst),
    .arvalid(s_axi1_arvalid),
    .arready(s_axi1_arready),
    .rdata(s_axi1_rdata),
    .rresp(s_axi1_rresp),
    .rlast(s_axi1_rlast),
    .rvalid(s_axi1_rvalid),
    .rready(s_axi1_rready),
    .awaddr(s_axi1_awaddr),
    .awlen(s_axi1_awlen),
    .awsize(s_axi1_awsize),
    .awburst(s_axi1_awburst),
    .awvalid(s_axi1_awvalid),
    .awready(s_axi1_awready),
    .wdata(s_axi1_wdata),
    .wstrb(s_axi1_wstrb),
    .wlast(s_axi1_wlast),
    .wvalid(s_axi1_wvalid),
    .wready(s_axi1_wready),
    .bresp(s_axi1_bresp),
    .bvalid(s_axi1_bvalid),
    .bready(s_axi1_bready)
  );

  always @(posedge clk) begin
    if (violation && FATAL != 0) begin
`ifdef __ICARUS__
      $finish_and_return(1);
`else
      $finish;
`endif
    end
  end

endmodule

/* verilator lint_on BLKSEQ */
`default_nettype wire
