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
            main_memory.load(file, first, second);
            answer("L");
          end
          "D": begin
            count = $fscanf(commands, "%h %h %s", first, second, file);
            main_memory.dump(file, first, second);
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

  wire [31:0] m0_araddr;
  wire [7:0]  m0_arlen;
  wire [2:0]  m0_arsize;
  wire [1:0]  m0_arburst;
  wire [3:0]  unused_m0_arcache;
  wire [2:0]  unused_m0_arprot;
  wire        m0_arvalid;
  wire        m0_arready;
  wire [63:0] m0_rdata;
  wire [1:0]  m0_rresp;
  wire        m0_rlast;
  wire        m0_rvalid;
  wire        m0_rready;
  wire [31:0] m0_awaddr;
  wire [7:0]  m0_awlen;
  wire [2:0]  m0_awsize;
  wire [1:0]  m0_awburst;
  wire [3:0]  unused_m0_awcache;
  wire [2:0]  unused_m0_awprot;
  wire        m0_awvalid;
  wire        m0_awready;
  wire [63:0] m0_wdata;
  wire [7:0]  m0_wstrb;
  wire        m0_wlast;
  wire        m0_wvalid;
  wire        m0_wready;
  wire [1:0]  m0_bresp;
  wire        m0_bvalid;
  wire        m0_bready;
  wire [31:0] m1_araddr;
  wire [7:0]  m1_arlen;
  wire [2:0]  m1_arsize;
  wire [1:0]  m1_arburst;
  wire [3:0]  unused_m1_arcache;
  wire [2:0]  unused_m1_arprot;
  wire        m1_arvalid;
  wire        m1_arready;
  wire [63:0] m1_rdata;
  wire [1:0]  m1_rresp;
  wire        m1_rlast;
  wire        m1_rvalid;
  wire        m1_rready;
  wire [31:0] m1_awaddr;
  wire [7:0]  m1_awlen;
  wire [2:0]  m1_awsize;
  wire [1:0]  m1_awburst;
  wire [3:0]  unused_m1_awcache;
  wire [2:0]  unused_m1_awprot;
  wire        m1_awvalid;
  wire        m1_awready;
  wire [63:0] m1_wdata;
  wire [7:0]  m1_wstrb;
  wire        m1_wlast;
  wire        m1_wvalid;
  wire        m1_wready;
  wire [1:0]  m1_bresp;
  wire        m1_bvalid;
  wire        m1_bready;

  gradcore #(.GROUPS(GROUPS)) core (
    .clk(clk),
    .rst(rst),
    .irq(irq),
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
    .s_axil_rready(rready),
    .m_axi0_araddr(m0_araddr),
    .m_axi0_arlen(m0_arlen),
    .m_axi0_arsize(m0_arsize),
    .m_axi0_arburst(m0_arburst),
    .m_axi0_arcache(unused_m0_arcache),
    .m_axi0_arprot(unused_m0_arprot),
    .m_axi0_arvalid(m0_arvalid),
    .m_axi0_arready(m0_arready),
    .m_axi0_rdata(m0_rdata),
    .m_axi0_rresp(m0_rresp),
    .m_axi0_rlast(m0_rlast),
    .m_axi0_rvalid(m0_rvalid),
    .m_axi0_rready(m0_rready),
    .m_axi0_awaddr(m0_awaddr),
    .m_axi0_awlen(m0_awlen),
    .m_axi0_awsize(m0_awsize),
    .m_axi0_awburst(m0_awburst),
    .m_axi0_awcache(unused_m0_awcache),
    .m_axi0_awprot(unused_m0_awprot),
    .m_axi0_awvalid(m0_awvalid),
    .m_axi0_awready(m0_awready),
    .m_axi0_wdata(m0_wdata),
    .m_axi0_wstrb(m0_wstrb),
    .m_axi0_wlast(m0_wlast),
    .m_axi0_wvalid(m0_wvalid),
    .m_axi0_wready(m0_wready),
    .m_axi0_bresp(m0_bresp),
    .m_axi0_bvalid(m0_bvalid),
    .m_axi0_bready(m0_bready),
    .m_axi1_araddr(m1_araddr),
    .m_axi1_arlen(m1_arlen),
    .m_axi1_arsize(m1_arsize),
    .m_axi1_arburst(m1_arburst),
    .m_axi1_arcache(unused_m1_arcache),
    .m_axi1_arprot(unused_m1_arprot),
    .m_axi1_arvalid(m1_arvalid),
    .m_axi1_arready(m1_arready),
    .m_axi1_rdata(m1_rdata),
    .m_axi1_rresp(m1_rresp),
    .m_axi1_rlast(m1_rlast),
    .m_axi1_rvalid(m1_rvalid),
    .m_axi1_rready(m1_rready),
    .m_axi1_awaddr(m1_awaddr),
    .m_axi1_awlen(m1_awlen),
    .m_axi1_awsize(m1_awsize),
    .m_axi1_awburst(m1_awburst),
    .m_axi1_awcache(unused_m1_awcache),
    .m_axi1_awprot(unused_m1_awprot),
    .m_axi1_awvalid(m1_awvalid),
    .m_axi1_awready(m1_awready),
    .m_axi1_wdata(m1_wdata),
    .m_axi1_wstrb(m1_wstrb),
    .m_axi1_wlast(m1_wlast),
    .m_axi1_wvalid(m1_wvalid),
    .m_axi1_wready(m1_wready),
    .m_axi1_bresp(m1_bresp),
    .m_axi1_bvalid(m1_bvalid),
    .m_axi1_bready(m1_bready)
  );

  axi_memory #(.BYTES(MEMORY_BYTES), .BASE(MEMORY_BASE)) main_memory (
    .clk(clk),
    .rst(rst),
    .violation(violation),
    .s_axi0_araddr(m0_araddr),
    .s_axi0_arlen(m0_arlen),
    .s_axi0_arsize(m0_arsize),
    .s_axi0_arburst(m0_arburst),
    .s_axi0_arvalid(m0_arvalid),
    .s_axi0_arready(m0_arready),
    .s_axi0_rdata(m0_rdata),
    .s_axi0_rresp(m0_rresp),
    .s_axi0_rlast(m0_rlast),
    .s_axi0_rvalid(m0_rvalid),
    .s_axi0_rready(m0_rready),
    .s_axi0_awaddr(m0_awaddr),
    .s_axi0_awlen(m0_awlen),
    .s_axi0_awsize(m0_awsize),
    .s_axi0_awburst(m0_awburst),
    .s_axi0_awvalid(m0_awvalid),
    .s_axi0_awready(m0_awready),
    .s_axi0_wdata(m0_wdata),
    .s_axi0_wstrb(m0_wstrb),
    .s_axi0_wlast(m0_wlast),
    .s_axi0_wvalid(m0_wvalid),
    .s_axi0_wready(m0_wready),
    .s_axi0_bresp(m0_bresp),
    .s_axi0_bvalid(m0_bvalid),
    .s_axi0_bready(m0_bready),
    .s_axi1_araddr(m1_araddr),
    .s_axi1_arlen(m1_arlen),
    .s_axi1_arsize(m1_arsize),
    .s_axi1_arburst(m1_arburst),
    .s_axi1_arvalid(m1_arvalid),
    .s_axi1_arready(m1_arready),
    .s_axi1_rdata(m1_rdata),
    .s_axi1_rresp(m1_rresp),
    .s_axi1_rlast(m1_rlast),
    .s_axi1_rvalid(m1_rvalid),
    .s_axi1_rready(m1_rready),
    .s_axi1_awaddr(m1_awaddr),
    .s_axi1_awlen(m1_awlen),
    .s_axi1_awsize(m1_awsize),
    .s_axi1_awburst(m1_awburst),
    .s_axi1_awvalid(m1_awvalid),
    .s_axi1_awready(m1_awready),
    .s_axi1_wdata(m1_wdata),
    .s_axi1_wstrb(m1_wstrb),
    .s_axi1_wlast(m1_wlast),
    .s_axi1_wvalid(m1_wvalid),
    .s_axi1_wready(m1_wready),
    .s_axi1_bresp(m1_bresp),
    .s_axi1_bvalid(m1_bvalid),
    .s_axi1_bready(m1_bready)
  );

`ifdef ACTIVITY
  activity_trace #(.GROUPS(GROUPS)) activity (.clk(clk));
`endif

endmodule

/* verilator lint_on BLKSEQ */

`default_nettype wire
