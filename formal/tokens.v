// SPDX-License-Identifier: Apache-2.0
//
// tokens: each count is the number of pulses since the last clear or reset, one cycle late; none is lost when two come
// in one cycle. Any one clear is followed by any one pulse: counts differ from a number at a moment by the pulses since.
`default_nettype none

module tokens_formal (
    input wire       clk,
    input wire       rst,
    input wire       clear,
    input wire [4:0] pulse
);

  wire [23:0] tiles_stored, vectors_done, weights_loaded, tiles_computed;

  tokens dut (
      .clk(clk),
      .rst(rst),
      .clear(clear),
      .tile_stored(pulse[0]),
      .vector_done(pulse[1]),
      .seed_done(pulse[2]),
      .weight_loaded(pulse[3]),
      .tile_computed(pulse[4]),
      .tiles_stored(tiles_stored),
      .vectors_done(vectors_done),
      .weights_loaded(weights_loaded),
      .tiles_computed(tiles_computed)
  );

  // The specification counts each kind of pulse by itself.
  reg [23:0] count[0:4];
  integer i;
  always @(posedge clk)
    for (i = 0; i < 5; i = i + 1)
      if (rst || clear) count[i] <= 24'd0;
      else if (pulse[i]) count[i] <= count[i] + 24'd1;

  reg started = 1'b0;
  always @(posedge clk) started <= 1'b1;

  always @* begin
    if (!started) assume (rst);
    else begin
      tiles: assert (tiles_stored == count[0]);
      vectors: assert (vectors_done == count[1] + count[2]);
      weights: assert (weights_loaded == count[3]);
      computed: assert (tiles_computed == count[4]);
      both: cover (vectors_done == 24'd4 && count[1] == 24'd2 && tiles_stored == 24'd1);
    end
  end

endmodule

`default_nettype wire
