// SPDX-License-Identifier: Apache-2.0
//
// Clock and waves for the harness in Verilator (Icarus has icarus_top.v). +half_period=PS, +waves=FILE (builds with
// TRACE), +coverage=FILE (builds with coverage). Exit status: 0 after $finish, 1 after a protocol violation. SIGTERM,
// SIGINT and SIGHUP end it as $finish does: the waves are closed, so that they can be read.

#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "Vharness.h"
#include "verilated.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif
#if VM_TRACE
#include "verilated_fst_c.h"
#endif

// The value of a plusarg "+name=value", or an empty text.
static std::string plusarg(VerilatedContext& context, const char* name) {
  const std::string prefix = std::string(name) + "=";
  const std::string match = context.commandArgsPlusMatch(prefix.c_str());
  return match.empty() ? "" : match.substr(1 + prefix.size());
}

static volatile sig_atomic_t ended = 0;

static void end(int) { ended = 1; }

int main(int argc, char** argv) {
  struct sigaction action = {};
  action.sa_handler = end;  // without SA_RESTART: a wait for the next command ends, too
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaction(number, &action, nullptr);
  setvbuf(stdout, nullptr, _IOLBF, 1 << 16);
  const auto context = std::make_unique<VerilatedContext>();
  context->commandArgs(argc, argv);
  const std::string period = plusarg(*context, "half_period");
  const uint64_t half_period = period.empty() ? 5000 : std::strtoull(period.c_str(), nullptr, 10);
#if VM_TRACE
  context->traceEverOn(true);
#endif
  const auto harness = std::make_unique<Vharness>(context.get());
#if VM_TRACE
  std::unique_ptr<VerilatedFstC> waves;
  const std::string file = plusarg(*context, "waves");
  if (!file.empty()) {
    waves = std::make_unique<VerilatedFstC>();
    harness->trace(waves.get(), 99);
    waves->open(file.c_str());
  }
#endif
  harness->clk = 0;
  while (!context->gotFinish() && !ended) {
    harness->eval();
#if VM_TRACE
    if (waves) waves->dump(context->time());
#endif
    context->timeInc(half_period);
    harness->clk = !harness->clk;
  }
  harness->final();
#if VM_COVERAGE
  const std::string counts = plusarg(*context, "coverage");
  if (!counts.empty()) context->coveragep()->write(counts.c_str());
#endif
#if VM_TRACE
  if (waves) waves->close();
#endif
  return harness->violation ? 1 : 0;
}
