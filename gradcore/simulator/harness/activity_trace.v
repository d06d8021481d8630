// SPDX-License-Identifier: Apache-2.0
//
// Writes what the engines do in each cycle of a run to the file +activity=NAME, for gradcore/timeline/activity.py. Not for
// synthesis. The harness holds it in builds with ACTIVITY defined only; it looks at the core by hierarchical names, and
// this file is the one place that knows them: where a name of the core has changed, the build stops here.
//
// The file: a line "# number name index" for each signal, then "cycle number value" (decimal) for each change. Cycle 0
// is the first cycle of a run (`running` of the control unit); each run begins with the values of all signals and ends
// with running = 0. A value is what the signal is during that cycle. Signals of 32 bits at most.
`default_nettype none

`define CORE harness.core_with_memory.core
`define CONTROL `CORE.control_unit
`define CONV `CORE.conv_path
`define VECTOR `CORE.vector_path

/* verilator lint_off BLKSEQ */  // a program that writes a file

module activity_trace #(
  parameter GROUPS = 4
) (
  input wire clk
);

  localparam SIGNALS = 128;  // room for
  localparam STREAMS = 2 * GROUPS;

  integer         file;
  reg [8*256-1:0] name;
  reg [31:0]      cycle;
  reg             ran;        // running in the cycle before
  reg [31:0]      previous [0:SIGNALS-1];
  reg             declared;   // the lines with the names are written
  integer         number;
  integer         i;

  initial begin
    file = 0;
    if ($value$plusargs("activity=%s", name)) begin
      file = $fopen(name, "w");
      if (file == 0) begin
        $display("cannot write %0s", name);
        $finish;
      end
    end
    cycle = 32'd0;
    ran = 1'b0;
    declared = 1'b0;
  end

  // The next signal: write it if it has changed, or, the first time, its name.
  task observe(input [8*16-1:0] signal, input integer index, input [31:0] value);
    begin
      if (!declared)
        $fwrite(file, "# %0d %0s %0d\n", number, signal, index);
      else if (!ran || value !== previous[number])
        $fwrite(file, "%0d %0d %0d\n", cycle, number, value);
      previous[number] = value;
      number = number + 1;
    end
  endtask

  // What is observed --------------------------------------------------------------------------------------------------

  wire running = `CONTROL.running === 1'b1;  // unknown before the first reset

  // Jobs offered by the sequencer, and taken: seed, vector, weights, tile.
  wire [3:0] offered = {`CORE.seed_job_valid, `CORE.vector_job_valid, `CORE.weights_job_valid, `CORE.tile_job_valid};
  wire [3:0] taken = offered
      & {`CORE.seed_job_ready, `CORE.vector_job_ready, `CORE.weights_job_ready, `CORE.tile_job_ready};

  // A job waits for tokens.
  wire loader_waits = `CONV.tile_loader.job_valid
      && (`CONV.tile_loader.tiles_stored < `CONV.tile_loader.wait_tiles
          || `CONV.tile_loader.vectors_done < `CONV.tile_loader.wait_vectors);
  wire weights_wait = `CONV.weight_loader.job_valid
      && `CONV.weight_loader.tiles_computed < `CONV.weight_loader.wait_computed;
  wire vector_waits = `VECTOR.vector_engine.job_valid
      && (`VECTOR.vector_engine.tiles_stored < `VECTOR.vector_engine.wait_tiles
          || `VECTOR.vector_engine.vectors_done < `VECTOR.vector_engine.wait_vectors);
  wire seed_waits = `VECTOR.seed_unit.job_valid
      && (`VECTOR.seed_unit.tiles_stored < `VECTOR.seed_unit.wait_tiles
          || `VECTOR.seed_unit.vectors_done < `VECTOR.seed_unit.wait_vectors);

  // Words that the halves of the tile loader take, values and tags.
  wire [3:0] loader_taken = `CONV.tile_loader.read_response_valid & `CONV.tile_loader.read_response_ready;
  wire [1:0] loader_words = {|loader_taken[3:2], |loader_taken[1:0]};
  wire weights_written = (|`CONV.weight_loader.weight_write) || (|`CONV.weight_loader.initial_write);

  wire [1:0] read_beats = {`CORE.m_axi1_rvalid && `CORE.m_axi1_rready, `CORE.m_axi0_rvalid && `CORE.m_axi0_rready};
  wire [1:0] write_beats = {`CORE.m_axi1_wvalid && `CORE.m_axi1_wready, `CORE.m_axi0_wvalid && `CORE.m_axi0_wready};

  wire [1:0] marks = `CORE.mark_valid;
  wire [15:0] mark_layer = `CORE.mark_layer & {{8{marks[1]}}, {8{marks[0]}}};

  // Of each group: its tile's output bank is free, its weights are there, its tile is loaded, it has a job. The
  // last three say what the job at the head of its queue waits for; all four: it works on that job.
  wire [GROUPS-1:0] bank_free, weights_there, tile_there, group_job, group_taken, group_computed;
  wire [STREAMS-1:0] issue, output_wait, issue_bank;
  genvar g;
  genvar s;
  generate
    for (g = 0; g < GROUPS; g = g + 1) begin : g_group
      reg [2:0] tiles;     // loaded, and not finished by this group's dispatcher
      reg [1:0] released;  // output banks read out, less jobs finished by the dispatcher, plus two
      reg       fields_up;  // the job's fields stand, a cycle after the job has come
      assign group_job[g] = `CONV.conv_engine.g_group[g].conv_group.job_valid && fields_up;
      assign group_taken[g] = `CONV.conv_engine.g_group[g].conv_group.job_ready;
      assign group_computed[g] = `CONV.conv_engine.g_group[g].conv_group.computed;
      assign weights_there[g] = group_job[g] && `CONV.conv_engine.g_group[g].conv_group.weights_loaded
          >= `CONV.conv_engine.g_group[g].conv_group.unit_dispatcher.wait_weights;
      assign tile_there[g] = tiles != 3'd0;
      assign bank_free[g] = released != 2'd0;
      always @(posedge clk) begin
        fields_up <= `CONV.conv_engine.g_group[g].conv_group.job_valid && !group_taken[g];
        tiles <= tiles + {2'd0, `CONV.conv_engine.g_group[g].conv_group.tile_loaded} - {2'd0, group_taken[g]};
        released <= released + {1'b0, `CONV.conv_engine.g_group[g].conv_group.bank_released} - {1'b0, group_taken[g]};
        if (`CONV.rst) begin
          fields_up <= 1'b0;
          tiles <= 3'd0;
          released <= 2'd2;
        end
      end
      for (s = 0; s < 2; s = s + 1) begin : g_stream
        assign issue[2*g+s] = `CORE.event_issue[2*g+s];
        assign output_wait[2*g+s] = `CORE.event_output_wait[2*g+s];
        assign issue_bank[2*g+s] = `CONV.conv_engine.g_group[g].conv_group.g_stream[s].conv_stream.entry_issuer.issue_bank
            && issue[2*g+s];
      end
    end
  endgenerate

  always @(posedge clk) begin
    if (file != 0 && (running || ran || !declared)) begin
      number = 0;
      observe("running", 0, {31'd0, running});
      observe("offered", 0, {28'd0, offered});
      observe("taken", 0, {28'd0, taken});
      // Waits for a bank, for data (tokens included), works; waits for tokens.
      observe("loader", 0, {28'd0, loader_waits, `CORE.event_loader});
      observe("loader_job", 0, {31'd0, `CONV.tile_loader.job_valid});
      observe("loader_taken", 0, {31'd0, `CONV.tile_loader.job_ready});
      observe("loaded", 0, {31'd0, `CONV.tile_loader.loaded});
      for (i = 0; i < 2; i = i + 1)
        observe("loader_word", i, {31'd0, loader_words[i]});
      // Busy, writes; waits for tokens.
      observe("weights", 0, {29'd0, weights_wait, weights_written, `CONV.weight_loader.busy});
      observe("weights_taken", 0, {31'd0, `CONV.weight_loader.job_ready});
      observe("weights_done", 0, {31'd0, `CONV.weight_loader.loaded});
      for (i = 0; i < GROUPS; i = i + 1) begin
        observe("group", i, {28'd0, bank_free[i], weights_there[i], tile_there[i], group_job[i]});
        observe("group_taken", i, {31'd0, group_taken[i]});
        observe("group_computed", i, {31'd0, group_computed[i]});
      end
      for (i = 0; i < STREAMS; i = i + 1)  // Tile bank of the entry, frozen by the output, issues an entry.
        observe("stream", i, {29'd0, issue_bank[i], output_wait[i], issue[i]});
      observe("tile_computed", 0, {31'd0, `CORE.tile_computed});
      // Waits for a port, for a tile, works.
      observe("store", 0, {29'd0, `CORE.event_store});
      observe("store_job", 0, {31'd0, `CONV.tile_store.job_valid});
      observe("store_taken", 0, {31'd0, `CONV.tile_store.job_ready});
      observe("stored", 0, {31'd0, `CORE.tile_stored});
      // Waits for tokens, has a job in its queue, works on jobs.
      observe("vector", 0, {29'd0, vector_waits, `VECTOR.vector_engine.job_valid, `VECTOR.vector_engine.busy});
      observe("vector_taken", 0, {31'd0, `VECTOR.vector_engine.job_valid && `VECTOR.vector_engine.job_ready});
      observe("vector_done", 0, {31'd0, `CORE.vector_done});
      // Of each half: its drain waits for the port, its drain works, it multiplies.
      for (i = 0; i < 2; i = i + 1)
        observe("half", i, {29'd0, `VECTOR.vector_engine.half_blocked[i], `VECTOR.vector_engine.half_active[i],
                            `VECTOR.vector_engine.half_beat[i]});
      observe("half_last", 0, {31'd0, `VECTOR.vector_engine.g_half[0].vector_half.job_end});  // the last row of a job is done
      observe("half_last", 1, {31'd0, `VECTOR.vector_engine.g_half[1].vector_half.job_end});
      for (i = 0; i < 2; i = i + 1)
        observe("half_done", i, {31'd0, `VECTOR.vector_engine.half_done[i]});
      // Waits for tokens, has a job in its queue, works.
      observe("seed", 0, {29'd0, seed_waits, `VECTOR.seed_unit.job_valid, `VECTOR.seed_unit.busy});
      observe("seed_done", 0, {31'd0, `CORE.seed_done});
      for (i = 0; i < 2; i = i + 1) begin
        observe("read_beat", i, {31'd0, read_beats[i]});
        observe("write_beat", i, {31'd0, write_beats[i]});
      end
      observe("mark", 0, {31'd0, marks[0]});
      observe("mark", 1, {31'd0, marks[1]});
      observe("mark_layer", 0, {24'd0, mark_layer[7:0]});
      observe("mark_layer", 1, {24'd0, mark_layer[15:8]});
      if (number > SIGNALS) begin
        $display("%m: %0d signals, room for %0d", number, SIGNALS);
        $finish;
      end
      declared = 1'b1;
      ran = running;
      cycle = running ? cycle + 32'd1 : 32'd0;
    end
  end

endmodule

/* verilator lint_on BLKSEQ */

`undef CORE
`undef CONTROL
`undef CONV
`undef VECTOR

`default_nettype wire
