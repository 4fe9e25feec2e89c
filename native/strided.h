// Walking several views of one shape together: neighbouring dims that every view steps through alike become one.
// Not a kernel.
#pragma once

#include "kernel.h"

namespace athanor::ATHANOR_ISA {

/** A common shape, and one set of strides per operand. The last dim is the inner one; there is always one. */
template <int maxOperands>
struct Walk {
  int operands = 0;
  int rank = 0;
  int64_t shape[maxRank];
  int64_t strides[maxOperands][maxRank];

  /** `views[k]` points to the k-th view; all have one shape. */
  void init(const View* const* views, int count) {
    operands = count;
    rank = 0;
    const View& first = *views[0];
    for (int d = 0; d < first.rank; ++d) {
      if (first.shape[d] == 1) continue;
      bool joins = rank > 0;
      for (int k = 0; joins && k < count; ++k) {
        joins = strides[k][rank - 1] == first.shape[d] * views[k]->strides[d];
      }
      if (joins) {
        shape[rank - 1] *= first.shape[d];
      } else {
        shape[rank++] = first.shape[d];
      }
      for (int k = 0; k < count; ++k) strides[k][rank - 1] = views[k]->strides[d];
    }
    if (rank > 0) return;
    rank = 1;
    shape[0] = 1;
    for (int k = 0; k < count; ++k) strides[k][0] = 1;
  }

  int64_t inner() const { return shape[rank - 1]; }
  int64_t innerStride(int operand) const { return strides[operand][rank - 1]; }

  /** Product of all dims but the inner one. */
  int64_t outer() const {
    int64_t count = 1;
    for (int d = 0; d < rank - 1; ++d) count *= shape[d];
    return count;
  }

  /** Row-major position `row` over the outer dims, as one index per dim. */
  void indexOf(int64_t row, int64_t* index) const {
    for (int d = rank - 2; d >= 0; --d) {
      index[d] = row % shape[d];
      row /= shape[d];
    }
  }

  int64_t offset(int operand, const int64_t* index) const {
    int64_t sum = 0;
    for (int d = 0; d < rank - 1; ++d) sum += index[d] * strides[operand][d];
    return sum;
  }

  /** To the next row. */
  void advance(int64_t* index) const {
    for (int d = rank - 2; d >= 0; --d) {
      if (++index[d] < shape[d]) return;
      index[d] = 0;
    }
  }
};

}  // namespace athanor::ATHANOR_ISA
