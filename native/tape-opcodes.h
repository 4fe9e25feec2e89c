// The opcodes of the elementwise tape, in the order of src/core/tape-opcodes.ts; a test compares the two lists.
#pragma once

#define ATHANOR_TAPE_OPCODES(OP)                                                                              \
  OP(const) OP(neg) OP(abs) OP(sign) OP(exp) OP(log) OP(log1p) OP(expm1) OP(sqrt) OP(rsqrt) OP(reciprocal)    \
  OP(square) OP(sin) OP(cos) OP(tanh) OP(sigmoid) OP(erf) OP(floor) OP(ceil) OP(round) OP(relu) OP(gelu)      \
  OP(geluTanh) OP(silu) OP(not) OP(isFinite) OP(add) OP(sub) OP(mul) OP(div) OP(pow) OP(max) OP(min) OP(eq)   \
  OP(ne) OP(lt) OP(le) OP(gt) OP(ge) OP(and) OP(or) OP(xor) OP(mod) OP(geluGrad) OP(geluTanhGrad)             \
  OP(siluGrad) OP(where) OP(cast) OP(roundToBf16)

namespace athanor {

#define ATHANOR_OPCODE_ENTRY(name) op_##name,
enum TapeOpcode : int { ATHANOR_TAPE_OPCODES(ATHANOR_OPCODE_ENTRY) numTapeOpcodes };
#undef ATHANOR_OPCODE_ENTRY

}  // namespace athanor
