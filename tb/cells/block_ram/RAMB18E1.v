// SPDX-License-Identifier: Apache-2.0
//
// RAMB18E1: the vendor's block RAM of 18 Kbit, as far as Yosys' mapping of our Verilog needs it; see block_ram.v.
//
// Contract: RAM_MODE "TDP" with words of 9 or 18 bits on each port, and "SDP" with words of 36 bits: written by
//   port B, read by port A. Both clocks are the same one. Anything else stops the simulation: narrower words, output
//   registers, inverted pins, a port that writes words of another width than it reads.
//   Write enables that do not agree where the word has fewer bytes than the port leave the byte unknown.
`default_nettype none

module RAMB18E1 #(
    parameter DOA_REG = 0,
    parameter DOB_REG = 0,
    parameter [255:0] INITP_00 = 0, INITP_01 = 0, INITP_02 = 0, INITP_03 = 0, INITP_04 = 0, INITP_05 = 0, INITP_06 = 0, INITP_07 = 0,
    parameter [255:0] INIT_00 = 0, INIT_01 = 0, INIT_02 = 0, INIT_03 = 0, INIT_04 = 0, INIT_05 = 0, INIT_06 = 0, INIT_07 = 0,
    parameter [255:0] INIT_08 = 0, INIT_09 = 0, INIT_0A = 0, INIT_0B = 0, INIT_0C = 0, INIT_0D = 0, INIT_0E = 0, INIT_0F = 0,
    parameter [255:0] INIT_10 = 0, INIT_11 = 0, INIT_12 = 0, INIT_13 = 0, INIT_14 = 0, INIT_15 = 0, INIT_16 = 0, INIT_17 = 0,
    parameter [255:0] INIT_18 = 0, INIT_19 = 0, INIT_1A = 0, INIT_1B = 0, INIT_1C = 0, INIT_1D = 0, INIT_1E = 0, INIT_1F = 0,
    parameter [255:0] INIT_20 = 0, INIT_21 = 0, INIT_22 = 0, INIT_23 = 0, INIT_24 = 0, INIT_25 = 0, INIT_26 = 0, INIT_27 = 0,
    parameter [255:0] INIT_28 = 0, INIT_29 = 0, INIT_2A = 0, INIT_2B = 0, INIT_2C = 0, INIT_2D = 0, INIT_2E = 0, INIT_2F = 0,
    parameter [255:0] INIT_30 = 0, INIT_31 = 0, INIT_32 = 0, INIT_33 = 0, INIT_34 = 0, INIT_35 = 0, INIT_36 = 0, INIT_37 = 0,
    parameter [255:0] INIT_38 = 0, INIT_39 = 0, INIT_3A = 0, INIT_3B = 0, INIT_3C = 0, INIT_3D = 0, INIT_3E = 0, INIT_3F = 0,
    parameter [35:0] INIT_A = 0,
    parameter [35:0] INIT_B = 0,
    parameter [35:0] SRVAL_A = 0,
    parameter [35:0] SRVAL_B = 0,
    parameter INIT_FILE = "NONE",
    parameter RAM_MODE = "TDP",
    parameter READ_WIDTH_A = 0,
    parameter READ_WIDTH_B = 0,
    parameter WRITE_WIDTH_A = 0,
    parameter WRITE_WIDTH_B = 0,
    parameter WRITE_MODE_A = "WRITE_FIRST",
    parameter WRITE_MODE_B = "WRITE_FIRST",
    parameter RDADDR_COLLISION_HWCONFIG = "DELAYED_WRITE",
    parameter SIM_COLLISION_CHECK = "ALL",
    parameter SIM_DEVICE = "7SERIES",
    parameter RSTREG_PRIORITY_A = "RSTREG",
    parameter RSTREG_PRIORITY_B = "RSTREG",
    parameter IS_CLKARDCLK_INVERTED = 0,
    parameter IS_CLKBWRCLK_INVERTED = 0,
    parameter IS_ENARDEN_INVERTED = 0,
    parameter IS_ENBWREN_INVERTED = 0,
    parameter IS_RSTRAMARSTRAM_INVERTED = 0,
    parameter IS_RSTRAMB_INVERTED = 0,
    parameter IS_RSTREGARSTREG_INVERTED = 0,
    parameter IS_RSTREGB_INVERTED = 0
) (
    input  wire        CLKARDCLK,
    input  wire        CLKBWRCLK,
    input  wire        ENARDEN,
    input  wire        ENBWREN,
    input  wire        REGCEAREGCE,
    input  wire        REGCEB,
    input  wire        RSTRAMARSTRAM,
    input  wire        RSTRAMB,
    input  wire        RSTREGARSTREG,
    input  wire        RSTREGB,
    input  wire [13:0] ADDRARDADDR,
    input  wire [13:0] ADDRBWRADDR,
    input  wire [15:0] DIADI,
    input  wire [15:0] DIBDI,
    input  wire [ 1:0] DIPADIP,
    input  wire [ 1:0] DIPBDIP,
    input  wire [ 1:0] WEA,
    input  wire [ 3:0] WEBWE,
    output wire [15:0] DOADO,
    output wire [15:0] DOBDO,
    output wire [ 1:0] DOPADOP,
    output wire [ 1:0] DOPBDOP
);

  localparam LANES = 2;  // bytes of a port
  localparam SDP = RAM_MODE == "SDP";
  localparam MODE_A = WRITE_MODE_A == "WRITE_FIRST" ? 0 : WRITE_MODE_A == "READ_FIRST" ? 1 : 2;
  localparam MODE_B = WRITE_MODE_B == "WRITE_FIRST" ? 0 : WRITE_MODE_B == "READ_FIRST" ? 1 : 2;

  task refuse(input [8*40-1:0] what);
    begin
      $display("%m: RAMB18E1 with %0s is not modelled", what);
      $finish;
    end
  endtask

  function wrong_width(input integer width);
    wrong_width = SDP ? width != 0 && width != 18 * LANES
                      : width != 0 && width != 9 && width != 18 && width != 9 * LANES;
  endfunction

  initial begin
    if (RAM_MODE != "TDP" && RAM_MODE != "SDP") refuse("this RAM_MODE");
    if (DOA_REG != 0 || DOB_REG != 0) refuse("output registers");
    if (INIT_FILE != "NONE") refuse("a file of contents");
    if (MODE_A == 2 && WRITE_MODE_A != "NO_CHANGE" || MODE_B == 2 && WRITE_MODE_B != "NO_CHANGE") refuse("this WRITE_MODE");
    if (wrong_width(READ_WIDTH_A) || wrong_width(READ_WIDTH_B) || wrong_width(WRITE_WIDTH_A) || wrong_width(WRITE_WIDTH_B))
      refuse("words of this width");
    if (SDP && (READ_WIDTH_B != 0 || WRITE_WIDTH_A != 0)) refuse("these ports in SDP mode");
    if (READ_WIDTH_A != 0 && WRITE_WIDTH_A != 0 && READ_WIDTH_A != WRITE_WIDTH_A
        || READ_WIDTH_B != 0 && WRITE_WIDTH_B != 0 && READ_WIDTH_B != WRITE_WIDTH_B) refuse("two widths on a port");
    if (IS_CLKARDCLK_INVERTED || IS_CLKBWRCLK_INVERTED || IS_ENARDEN_INVERTED || IS_ENBWREN_INVERTED
        || IS_RSTRAMARSTRAM_INVERTED || IS_RSTRAMB_INVERTED || IS_RSTREGARSTREG_INVERTED || IS_RSTREGB_INVERTED)
      refuse("inverted pins");
  end

  // Write enables: pin k belongs to byte k modulo the bytes of a word; an unknown one stands for pins that do not agree.
  function [2*LANES-1:0] writes(input [2*LANES-1:0] pins, input integer bytes, input integer count);
    integer k;
    begin
      writes = 0;
      for (k = 0; k < count; k = k + 1) begin
        if (bytes != 0) begin
          if (k < bytes) writes[k] = pins[k];
          else if (pins[k] !== pins[k%bytes]) writes[k%bytes] = 1'bx;
        end
      end
    end
  endfunction

  // Bytes of nine bits.
  function [18*LANES-1:0] with_parity(input [2*LANES-1:0] parity, input [16*LANES-1:0] data);
    integer k;
    for (k = 0; k < 2 * LANES; k = k + 1) with_parity[9*k+:9] = {parity[k], data[8*k+:8]};
  endfunction

  wire [36*LANES-1:0] read_data;
  wire [18*LANES-1:0] read_a = read_data[18*LANES-1:0];
  wire [18*LANES-1:0] read_b = SDP ? read_a >> 9 * LANES : read_data[36*LANES-1:18*LANES];
  wire [18*LANES-1:0] write_data_a = with_parity(DIPADIP, DIADI);
  wire [18*LANES-1:0] write_data_b = SDP ? with_parity({DIPBDIP, DIPADIP}, {DIBDI, DIADI}) : with_parity(DIPBDIP, DIBDI);
  wire [2*LANES-1:0] write_a = writes({{LANES{1'b0}}, WEA}, WRITE_WIDTH_A / 9, LANES);
  wire [2*LANES-1:0] write_b = writes(WEBWE, WRITE_WIDTH_B / 9, SDP ? 2 * LANES : LANES);

  genvar b;
  generate
    for (b = 0; b < LANES; b = b + 1) begin : g_byte
      assign {DOPADOP[b], DOADO[8*b+:8]} = read_a[9*b+:9];
      assign {DOPBDOP[b], DOBDO[8*b+:8]} = read_b[9*b+:9];
    end
  endgenerate

  block_ram #(
      .ADDRESS_BITS(14),
      .BYTES(2 * LANES),
      .READ_BYTES0(READ_WIDTH_A / 9),
      .READ_BYTES1(READ_WIDTH_B / 9),
      .WRITE_BYTES0(WRITE_WIDTH_A / 9),
      .WRITE_BYTES1(WRITE_WIDTH_B / 9),
      .MODE0(MODE_A),
      .MODE1(MODE_B),
      .INITIAL0(SDP ? {INIT_B[17:0], INIT_A[17:0]} : INIT_A),
      .INITIAL1(INIT_B),
      .RESET_VALUE0(SDP ? {SRVAL_B[17:0], SRVAL_A[17:0]} : SRVAL_A),
      .RESET_VALUE1(SRVAL_B),
      .PARITY({
          INITP_07, INITP_06, INITP_05, INITP_04, INITP_03, INITP_02, INITP_01, INITP_00
      }),
      .CONTENT({
          INIT_3F, INIT_3E, INIT_3D, INIT_3C, INIT_3B, INIT_3A, INIT_39, INIT_38,
          INIT_37, INIT_36, INIT_35, INIT_34, INIT_33, INIT_32, INIT_31, INIT_30,
          INIT_2F, INIT_2E, INIT_2D, INIT_2C, INIT_2B, INIT_2A, INIT_29, INIT_28,
          INIT_27, INIT_26, INIT_25, INIT_24, INIT_23, INIT_22, INIT_21, INIT_20,
          INIT_1F, INIT_1E, INIT_1D, INIT_1C, INIT_1B, INIT_1A, INIT_19, INIT_18,
          INIT_17, INIT_16, INIT_15, INIT_14, INIT_13, INIT_12, INIT_11, INIT_10,
          INIT_0F, INIT_0E, INIT_0D, INIT_0C, INIT_0B, INIT_0A, INIT_09, INIT_08,
          INIT_07, INIT_06, INIT_05, INIT_04, INIT_03, INIT_02, INIT_01, INIT_00
      })
  ) memory (
      .clk(CLKARDCLK),
      .enable({ENBWREN, ENARDEN}),
      .reset({RSTRAMB, RSTRAMARSTRAM}),
      .write({write_b, write_a}),
      .address({ADDRBWRADDR[13:0], ADDRARDADDR[13:0]}),
      .write_data({write_data_b, write_data_a}),
      .read_data(read_data)
  );

endmodule

`default_nettype wire
