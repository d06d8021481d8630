// SPDX-License-Identifier: Apache-2.0
//
// axi_read_port: the credits: a beat always finds room in its client's response FIFO, also after a flush at any moment;
// the words of a FIFO that are free, promised, on the way and held are always all of them. For two clients, one shallow.
// Of the memory is assumed what AXI says: no beat that was not asked for, and a burst's last beat comes last.
`default_nettype none

module axi_read_port_formal (
    input wire        clk,
    input wire        rst,
    input wire        flush,
    input wire [31:0] window_base,
    input wire [31:0] window_limit,
    input wire [ 1:0] request_valid,
    input wire [63:0] request_address,
    input wire [31:0] request_words,
    input wire [ 1:0] response_ready,
    input wire        arready,
    input wire [63:0] rdata,
    input wire [ 1:0] rresp,
    input wire        rlast,
    input wire        rvalid
);

  localparam DEEP = 64, SHALLOW = 32;

  wire idle, error_window, error_response, beat, arvalid, rready;
  wire [1:0] request_ready, response_valid, arburst;
  wire [31:0] error_address, araddr;
  wire [127:0] response_data;
  wire [7:0] arlen;
  wire [2:0] arsize, arprot;
  wire [3:0] arcache;

  axi_read_port #(
      .CLIENTS(2),
      .FIFO_DEPTH(DEEP),
      .SHALLOW(2'b10),
      .OUTSTANDING(8)
  ) dut (
      .clk(clk),
      .rst(rst),
      .flush(flush),
      .idle(idle),
      .window_base(window_base),
      .window_limit(window_limit),
      .error_window(error_window),
      .error_response(error_response),
      .error_address(error_address),
      .beat(beat),
      .request_valid(request_valid),
      .request_ready(request_ready),
      .request_address(request_address),
      .request_words(request_words),
      .response_valid(response_valid),
      .response_ready(response_ready),
      .response_data(response_data),
      .m_axi_araddr(araddr),
      .m_axi_arlen(arlen),
      .m_axi_arsize(arsize),
      .m_axi_arburst(arburst),
      .m_axi_arcache(arcache),
      .m_axi_arprot(arprot),
      .m_axi_arvalid(arvalid),
      .m_axi_arready(arready),
      .m_axi_rdata(rdata),
      .m_axi_rresp(rresp),
      .m_axi_rlast(rlast),
      .m_axi_rvalid(rvalid),
      .m_axi_rready(rready)
  );

  (* hierconn *) wire \dut.clear , \dut.bus_empty ;
  (* hierconn *) wire [1:0] \dut.burst_valid , \dut.burst_take , \dut.owner , \dut.data_owner , \dut.fits ;
  (* hierconn *) wire [9:0] \dut.burst_beats ;
  (* hierconn *) wire [1:0] \dut.burst_issue.chosen ;
  (* hierconn *) wire [6:0] \dut.client[0].room , \dut.client[0].response.level ;
  (* hierconn *) wire [5:0] \dut.client[1].room , \dut.client[1].response.level ;
  (* hierconn *) wire \dut.client[0].pop , \dut.client[0].response.in_ready , \dut.client[0].response.out_valid ;
  (* hierconn *) wire \dut.client[1].pop , \dut.client[1].response.in_ready , \dut.client[1].response.out_valid ;
  (* hierconn *) wire [4:0] \dut.request_stage.client[0].splitter.room , \dut.request_stage.client[1].splitter.room ;
  (* hierconn *) wire \dut.request_stage.client[0].splitter.busy , \dut.request_stage.client[1].splitter.busy ;
  (* hierconn *) wire [1:0] \dut.request_stage.checking ;
  (* hierconn *) wire [4:0] \dut.request_stage.checked_room ;
  wire [1:0] chosen = \dut.burst_issue.chosen ;
  wire [4:0] beats0 = \dut.burst_beats [4:0], beats1 = \dut.burst_beats [9:5];

  // Beats that are asked for and have not come.
  reg [7:0] due0, due1;
  wire [1:0] comes = \dut.owner & {2{rvalid}};
  always @(posedge clk) begin
    due0 <= rst ? 8'd0 : due0 + (\dut.burst_take [0] ? {3'd0, beats0} : 8'd0) - {7'd0, comes[0]};
    due1 <= rst ? 8'd0 : due1 + (\dut.burst_take [1] ? {3'd0, beats1} : 8'd0) - {7'd0, comes[1]};
  end

  // All words of a FIFO: free, just freed, held, arriving, due.
  wire [8:0] sum0 = {2'd0, \dut.client[0].room } + {8'd0, \dut.client[0].pop } + {2'd0, \dut.client[0].response.level } +
                    {8'd0, \dut.data_owner [0]} + {1'b0, due0};
  wire [8:0] sum1 = {3'd0, \dut.client[1].room } + {8'd0, \dut.client[1].pop } + {3'd0, \dut.client[1].response.level } +
                    {8'd0, \dut.data_owner [1]} + {1'b0, due1};

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  always @* begin
    if (!started) assume (rst);
    else begin
      assume (!comes[0] || due0 != 8'd0);
      assume (!comes[1] || due1 != 8'd0);
      assume (!\dut.bus_empty || (due0 == 8'd0 && due1 == 8'd0));

      room0: assert (\dut.clear || !\dut.data_owner [0] || \dut.client[0].response.in_ready );
      room1: assert (\dut.clear || !\dut.data_owner [1] || \dut.client[1].response.in_ready );
      conserved0: assert (\dut.clear || sum0 == DEEP);
      conserved1: assert (\dut.clear || sum1 == SHALLOW);

      inside_room0: assert (\dut.client[0].room <= DEEP && \dut.fits [0] == (\dut.client[0].room >= 16));
      inside_room1: assert (\dut.client[1].room <= SHALLOW && \dut.fits [1] == (\dut.client[1].room >= 16));
      inside_level0: assert (\dut.client[0].response.level <= DEEP &&
                             \dut.client[0].response.in_ready == (\dut.client[0].response.level != DEEP) &&
                             \dut.client[0].response.out_valid == (\dut.client[0].response.level != 0));
      inside_level1: assert (\dut.client[1].response.level <= SHALLOW &&
                             \dut.client[1].response.in_ready == (\dut.client[1].response.level != SHALLOW) &&
                             \dut.client[1].response.out_valid == (\dut.client[1].response.level != 0));
      inside_chosen0: assert (!chosen[0] || (\dut.burst_valid [0] && \dut.fits [0]));
      inside_chosen1: assert (!chosen[1] || (\dut.burst_valid [1] && \dut.fits [1]));
      inside_beats: assert ((!\dut.burst_valid [0] || beats0 <= 5'd16) && (!\dut.burst_valid [1] || beats1 <= 5'd16));

      inside_block0: assert (!\dut.request_stage.client[0].splitter.busy || \dut.request_stage.client[0].splitter.room <= 5'd16);
      inside_block1: assert (!\dut.request_stage.client[1].splitter.busy || \dut.request_stage.client[1].splitter.room <= 5'd16);
      inside_checked: assert (!(|\dut.request_stage.checking ) || \dut.request_stage.checked_room <= 5'd16);

      full: cover (sum1 == SHALLOW && due1 == 8'd32);
      beats_in_flush: cover (\dut.clear && comes[0] && due0 == 8'd1);
    end
  end

endmodule

`default_nettype wire
