// Rows that stand by groups, as `groupRows` sorts them: where each group begins is data, and is looked at before anything is read by it.
#pragma once

#include <string.h>

#include "rows.h"

namespace athanor::ATHANOR_ISA {

ATHANOR_INLINE bool isDenseIndex(const View& view, int rank) { return isIndex(view) && view.rank == rank && isInnerDense(view, rank); }

/** True where offsets rise and lie within the rows; else the wrong one is reported. */
ATHANOR_INLINE bool checkOffsets(const Call& call, const View& offsets, int64_t rows) {
  const int32_t* bounds = ints(offsets);
  for (int64_t at = 0; at < offsets.size; ++at) {
    if (bounds[at] >= (at == 0 ? 0 : bounds[at - 1]) && bounds[at] <= rows) continue;
    call.status->report(Fault::indexOutOfRange, bounds[at]);
    return false;
  }
  return true;
}

/** Rows of no group are 0: those of a dense y before the first and behind the last. */
ATHANOR_INLINE void clearOutside(const View& y, const View& offsets) {
  const Elements to = elements(y);
  const int64_t columns = y.shape[1], first = ints(offsets)[0], end = ints(offsets)[offsets.size - 1];
  const auto clear = [&](int64_t row, int64_t rows) {
    if (rows > 0) memset((to + row * columns).data, 0, static_cast<size_t>(rows * columns * elementBytes(y.dtype)));
  };
  clear(0, first);
  clear(end, y.shape[0] - end);
}

}  // namespace athanor::ATHANOR_ISA
