// SPDX-License-Identifier: Apache-2.0
//
// Runs the core with the memory model, driven by commands, one a line, from the file +commands=NAME (/dev/stdin for a
// dialogue). Not for synthesis. Answers are lines of standard output that begin with '@'. Numbers are hexadecimal.
//   W address data        write a register             @W response
//   R address             read a register              @R data response
//   I cycles              wait for the interrupt       @I cycles since the last W was accepted, or @T (time-out)
//   N cycles              let time pass                @N
//   Z cycles              reset                        @Z
//   L address words file  load memory (hex words)      @L
//   D address words file  write memory to a file       @D
//   C                     cycle number                 @C cycle
//   E                     end (so does the end of the file)
// In builds with ACTIVITY defined, activity_trace writes what the engines do to the file +activity=NAME.
// Each command is read when the one before is done. BUSY_LIMIT cycles on one AXI-Lite transfer end the run: "HANG".
`default_nettype none

/* verilator lint_off BLKSEQ */  // the command reader is a program

module harness #(
  parameter        GROUPS = 4,
  parameter        MEMORY_BYTES = 67108864,
  parameter [31:0] MEMORY_BASE = 32'h0000_0000
) (
  input  wire        clk,
  output wire        violation,
  output wire [63:0] cycle_count
);

  localparam BUSY_LIMIT = 10000;

  localparam COMMAND = 3'd0;
  localparam WRITE   = 3'd1;
  localparam READ    = 3'd2;
  localparam WAIT    = 3'd3;
  localparam IDLE    = 3'd4;
  localparam RESET   = 3'd5;

  reg         rst;
  wire        irq;
  reg  [11:0] awaddr;
  reg         awvalid;
  wire        awready;
  reg  [31:0] wdata;
  reg         wvalid;
  wire        wready;
  wire [1:0]  bresp;
  wire        bvalid;
  reg         bready;
  reg  [11:0] araddr;
  reg         arvalid;
  wire        arready;
  wire [31:0] rdata;
  wire [1:0]  rresp;
  wire        rvalid;
  reg         rready;

  // Commands ----------------------------------------------------------------------------------------------------------

  reg [2:0]       state;
  reg [63:0]      cycle;
  reg [63:0]      start;  // cycle in which the last register write was accepted
  reg [31:0]      remaining;
  reg [8*256-1:0] name;
  reg [8*256-1:0] file;
  reg [8*4-1:0]   command;
  reg [31:0]      first;
  reg [31:0]      second;
  integer         commands;
  integer         count;

  assign cycle_count = cycle;

  initial begin
    if (!$value$plusargs("commands=%s", name)) name = "/dev/stdin";
    commands = $fopen(name, "r");
    if (commands == 0) begin
      $display("cannot open %0s", name);
      $finish;
    end
    cycle = 64'd0;
    start = 64'd0;
    rst = 1'b1;
    state = RESET;
    remaining = 32'd8;
    command = "";
    awvalid = 1'b0;
    wvalid = 1'b0;
    bready = 1'b0;
    arvalid = 1'b0;
    rready = 1'b0;
    awaddr = 12'd0;
    wdata = 32'd0;
    araddr = 12'd0;
  end

  task read_command;
    begin
      count = $fscanf(commands, "%s", command);
      if (count != 1) begin
        $finish;
      end else begin
        case (command)
          "W": begin
            count = $fscanf(commands, "%h %h", first, second);
            awaddr <= first[11:0];
            wdata <= second;
            awvalid <= 1'b1;
            wvalid <= 1'b1;
            bready <= 1'b1;
            remaining = BUSY_LIMIT;
            state = WRITE;
          end
          "R": begin
            count = $fscanf(commands, "%h", first);
            araddr <= first[11:0];
            arvalid <= 1'b1;
            rready <= 1'b1;
            remaining = BUSY_LIMIT;
            state = READ;
          end
          "I": begin
            count = $fscanf(commands, "%h", remaining);
            state = WAIT;
          end
          "N": begin
            count = $fscanf(commands, "%h", remaining);
            state = IDLE;
          end
          "Z": begin
            count = $fscanf(commands, "%h", remaining);
            rst <= 1'b1;
            state = RESET;
          end
          "L": begin
            count = $fscanf(commands, "%h %h %s", first, second, file);
            core_with_memory.main_memory.load(file, first, second);
            answer("L");
          end
          "D": begin
            count = $fscanf(commands, "%h %h %s", first, second, file);
            core_with_memory.main_memory.dump(file, first, second);
            answer("D");
          end
          "C": begin
            $display("@C %h", cycle);
            $fflush;
          end
          "E": $finish;
          default: begin
            $display("unknown command %0s", command);
            $finish;
          end
        endcase
      end
    end
  endtask

  task answer(input [7:0] letter);
    begin
      $display("@%s", letter);
      $fflush;
      state = COMMAND;
    end
  endtask

  task tick;  // one cycle fewer to wait
    begin
      remaining = remaining - 32'd1;
      if (remaining == 32'd0) begin
        $display("HANG of the register interface at register %h", first);
        $finish;
      end
    end
  endtask

  always @(posedge clk) begin
    cycle = cycle + 64'd1;
    case (state)
      COMMAND: read_command;
      WRITE: begin
        if (awvalid && awready || wvalid && wready)
          start = cycle;
        if (awready) awvalid <= 1'b0;
        if (wready) wvalid <= 1'b0;
        if (bvalid && bready) begin
          bready <= 1'b0;
          $display("@W %h", bresp);
          $fflush;
          state = COMMAND;
        end else begin
          tick;
        end
      end
      READ: begin
        if (arready) arvalid <= 1'b0;
        if (rvalid && rready) begin
          rready <= 1'b0;
          $display("@R %h %h", rdata, rresp);
          $fflush;
          state = COMMAND;
        end else begin
          tick;
        end
      end
      WAIT: begin
        if (irq) begin
          $display("@I %h", cycle - start);
          $fflush;
          state = COMMAND;
        end else if (remaining == 32'd0) begin
          answer("T");
        end else begin
          remaining = remaining - 32'd1;
        end
      end
      IDLE: begin
        if (remaining == 32'd0)
          answer("N");
        else
          remaining = remaining - 32'd1;
      end
      default: begin  // RESET
        if (remaining == 32'd0) begin
          rst <= 1'b0;
          if (command == "Z")
            answer("Z");
          state = COMMAND;
        end else begin
          remaining = remaining - 32'd1;
        end
      end
    endcase
  end

  // The core and its memory -------------------------------------------------------------------------------------------

  core_with_memory #(.GROUPS(GROUPS), .MEMORY_BYTES(MEMORY_BYTES), .MEMORY_BASE(MEMORY_BASE)) core_with_memory (
    .clk(clk),
    .rst(rst),
    .memory_rst(rst),
    .irq(irq),
    .violation(violation),
    .s_axil_awaddr(awaddr),
    .s_axil_awprot(3'd0),
    .s_axil_awvalid(awvalid),
    .s_axil_awready(awready),
    .s_axil_wdata(wdata),
    .s_axil_wstrb(4'b1111),
    .s_axil_wvalid(wvalid),
    .s_axil_wready(wready),
    .s_axil_bresp(bresp),
    .s_axil_bvalid(bvalid),
    .s_axil_bready(bready),
    .s_axil_araddr(araddr),
    .s_axil_arprot(3'd0),
    .s_axil_arvalid(arvalid),
    .s_axil_arready(arready),
    .s_axil_rdata(rdata),
    .s_axil_rresp(rresp),
    .s_axil_rvalid(rvalid),
    .s_axil_rready(rready)
  );

`ifdef ACTIVITY
  activity_trace #(.GROUPS(GROUPS)) activity (.clk(clk));
`endif

endmodule

/* verilator lint_on BLKSEQ */

`default_nettype wire
