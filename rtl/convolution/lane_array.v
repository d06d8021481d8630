// SPDX-License-Identifier: Apache-2.0
//
// lane_array: the LANES lanes of a conv group, skewed by one cycle each, for two streams.
//
// Contract: for each stream, with `enable`: an issue is presented as address and `first`, its value one cycle later.
//   Lane l sees everything l cycles after lane 0. From the cycle in which the issue's address is presented, lane 0
//   has added the product 5 cycles later (accumulator visible), lane l in 5 + l. `initial_value` must hold lane l's
//   initial accumulator 4 + l cycles after the address of an issue with `first`: so two such issues are LANES or more
//   enabled cycles apart. Without `enable` a stream's registers all hold. A bubble is an issue with value 0.
// Numbers: as in conv_lane.
`default_nettype none
`include "gradcore_sizes.vh"

module lane_array #(
    parameter WEIGHT_DEPTH = `WEIGHT_ROWS,
    parameter ADDRESS_BITS = `WEIGHT_ADDRESS_BITS
) (
    input  wire                    clk,
    input  wire [             1:0] enable,
    input  wire [2*ADDRESS_BITS-1:0] address,
    input  wire [             1:0] first,
    input  wire [            31:0] value,
    input  wire [            95:0] initial_value,
    output wire [  2*`LANES*48-1:0] accumulators,
    input  wire                    weight_write,
    input  wire [ADDRESS_BITS-1:0] weight_address,
    input  wire [    `LANES*16-1:0] weight_data
);

  genvar stream, lane;
  generate
    for (stream = 0; stream < 2; stream = stream + 1) begin : g_chain
      // Element l of a chain is lane l's register. `first` enters three cycles late: it belongs to the product.
      reg [`LANES*ADDRESS_BITS-1:0] address_chain;
      reg [`LANES*16-1:0] value_chain;
      reg [`LANES+2:0] first_chain;
      always @(posedge clk) begin
        if (enable[stream]) begin
          address_chain <= {
            address_chain[(`LANES-1)*ADDRESS_BITS-1:0], address[stream*ADDRESS_BITS+:ADDRESS_BITS]
          };
          value_chain <= {value_chain[(`LANES-1)*16-1:0], value[stream*16+:16]};
          first_chain <= {first_chain[`LANES+1:0], first[stream]};
        end
      end
    end

    for (lane = 0; lane < `LANES; lane = lane + 1) begin : g_lane
      conv_lane #(
          .DEPTH(WEIGHT_DEPTH),
          .ADDRESS_BITS(ADDRESS_BITS)
      ) conv_lane (
          .clk(clk),
          .enable0(enable[0]),
          .address0(g_chain[0].address_chain[lane*ADDRESS_BITS+:ADDRESS_BITS]),
          .value0(g_chain[0].value_chain[lane*16+:16]),
          .first0(g_chain[0].first_chain[lane+3]),
          .initial0(initial_value[47:0]),
          .accumulator0(accumulators[lane*48+:48]),
          .enable1(enable[1]),
          .address1(g_chain[1].address_chain[lane*ADDRESS_BITS+:ADDRESS_BITS]),
          .value1(g_chain[1].value_chain[lane*16+:16]),
          .first1(g_chain[1].first_chain[lane+3]),
          .initial1(initial_value[95:48]),
          .accumulator1(accumulators[(`LANES+lane)*48+:48]),
          .weight_write(weight_write),
          .weight_address(weight_address),
          .weight_data(weight_data[lane*16+:16])
      );
    end
  endgenerate

  wire unused_chain_ends = &{1'b0, g_chain[0].first_chain[2:0], g_chain[1].first_chain[2:0]};

endmodule

`default_nettype wire
