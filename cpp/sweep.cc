#include "sweep.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <numeric>

#include "parallel.h"

namespace invdecay {
namespace {

// Bytes of results in one task. A thread that stalls delays the call by one task at most.
constexpr std::size_t kTaskBytes = std::size_t{1} << 20;
// Bytes of the columns' numbers that a task keeps while it goes from row to row: in the L1 cache.
constexpr std::size_t kColumnBytes = std::size_t{1} << 14;
// Rows of fewer bytes, in the type of the arithmetic, are evaluated as a pattern that repeats.
constexpr std::size_t kShortRowBytes = 512;
// Rows whose numbers are gathered at a time.
constexpr std::size_t kRows = 256;
// Elements that are evaluated in a buffer where the output's rows do not lie side by side.
constexpr std::size_t kBlock = 2048;

std::size_t Index(DType dtype) { return static_cast<std::size_t>(dtype); }

// ------------------------------ The order of the axes

// Reorders the axes so that the output's strides are positive and fall from axis to axis, leaves
// out axes of one index, and joins axes that every operand goes through as through one. The last
// axis that remains is called a row's; its indices are columns.
void SimplifyAxes(Sweep& sweep) {
  const auto swap = [&](std::size_t a, std::size_t b) {
    std::swap(sweep.lengths[a], sweep.lengths[b]);
    for (SweepOperand& operand : sweep.operands) std::swap(operand.strides[a], operand.strides[b]);
  };
  const auto remove = [&](std::size_t axis) {
    for (; axis + 1 < sweep.axes; ++axis) swap(axis, axis + 1);
    --sweep.axes;
  };
  for (std::size_t axis = sweep.axes; axis-- > 0;) {
    if (sweep.lengths[axis] == 1) remove(axis);
  }
  const auto& out_strides = sweep.operands[kOut].strides;
  for (std::size_t axis = 0; axis < sweep.axes; ++axis) {
    if (out_strides[axis] < 0) {
      const std::uint64_t last = sweep.lengths[axis] - 1;
      for (SweepOperand& operand : sweep.operands) {
        operand.first += last * static_cast<std::uint64_t>(operand.strides[axis]);
        operand.strides[axis] = -operand.strides[axis];
      }
    }
    for (std::size_t a = axis; a > 0 && out_strides[a - 1] < out_strides[a]; --a) swap(a - 1, a);
  }
  for (std::size_t axis = sweep.axes; axis-- > 1;) {
    const auto length = static_cast<std::int64_t>(sweep.lengths[axis]);
    const auto is_one = [&](const SweepOperand& operand) {
      return operand.strides[axis - 1] == operand.strides[axis] * length;
    };
    if (!std::all_of(sweep.operands.begin(), sweep.operands.end(), is_one)) continue;
    sweep.lengths[axis - 1] *= sweep.lengths[axis];
    for (SweepOperand& operand : sweep.operands) {
      operand.strides[axis - 1] = operand.strides[axis];
    }
    remove(axis);
  }
}

// ------------------------------ One call

// Rows of `columns` elements that are stored one after the other: the whole output if its elements
// lie side by side, else a part of it that goes through a buffer.
struct Grid {
  std::size_t row, column;  // of its first element in the sweep
  std::size_t rows, columns;
  char* out;
  std::size_t begin, end;  // the elements between them are stored by whole vectors
};

// The direction in which gathered elements follow each other.
enum class Along { kRow, kColumn };

// The most numbers of a pattern: it has at most as many vectors as a row has columns.
template <class T>
constexpr std::size_t kShortRow = kShortRowBytes / sizeof(T);
template <class T>
constexpr std::size_t kPattern = kShortRow<T>*(64 / sizeof(T));

// What a task gathers.
template <class T>
struct Buffers {
  alignas(64) T columns[std::max(kColumnBytes / sizeof(T), kNumQuantities* kPattern<T>)];
  alignas(64) T rows[kNumQuantities][kRows + 2 * (64 / sizeof(T))];
};

template <class T>
class Call {
 public:
  Call(const Sweep& sweep, const SweepLoops<T>& loops, const Resources& resources)
      : sweep_(sweep), loops_(loops), out_size_(SizeOf(loops.result)), threads_(resources.threads) {
    const std::size_t axes = sweep.axes;
    columns_ = axes > 0 ? sweep.lengths[axes - 1] : 1;
    rows_ = 1;
    for (std::size_t axis = 0; axis + 1 < axes; ++axis) rows_ *= sweep.lengths[axis];
    const auto varies = [&](Operand k) {
      Varies v{false, false};
      for (std::size_t axis = 0; axis < axes; ++axis) {
        if (sweep.operands[k].strides[axis] != 0) (axis + 1 < axes ? v.rows : v.columns) = true;
      }
      return v;
    };
    const Varies step = varies(kStep), decay_steps = varies(kDecaySteps);
    varies_[kLearningRate] = varies(kInitialLearningRate);
    varies_[kRate] = varies(kDecayRate);
    varies_[kDivisor] = decay_steps;
    one_divisor_ = !decay_steps.rows && !decay_steps.columns;
    Gather(kDecaySteps, Along::kRow, 0, 0, 1, &divisor_);
    flat_ = IsFlat();
    short_ = columns_ < kShortRow<T>;
    stream_ = flat_ && rows_ * columns_ * out_size_ > resources.cache_bytes;
    varies_[kProgress] = {step.rows || decay_steps.rows, step.columns || decay_steps.columns};
    const bool split = ByElement(kProgress) && !one_divisor_;
    divides_ = split && !short_;
    quantities_ = divides_ ? kNumQuantities : kDivisor;
    if (divides_) varies_[kProgress] = step;
    split_ =
        split && short_ && step.rows != step.columns && decay_steps.rows != decay_steps.columns;
    step_by_row_ = step.rows;
    // In short rows a constant is one of the numbers of the pattern.
    for (std::size_t q = 0; q < kNumQuantities; ++q) {
      by_row_[q] = !varies_[q].columns && !(short_ && !varies_[q].rows);
    }
    const auto joined = [&](Operand k) {
      const auto& strides = sweep.operands[k].strides;
      return axes == 2 && strides[0] == strides[1] * static_cast<std::int64_t>(columns_);
    };
    joined_[kProgress] = joined(kStep) && (divides_ || one_divisor_ || joined(kDecaySteps));
    joined_[kLearningRate] = joined(kInitialLearningRate);
    joined_[kRate] = joined(kDecayRate);
    joined_[kDivisor] = joined(kDecaySteps);
    std::size_t tables = 0;
    for (std::size_t q = 0; q < quantities_; ++q) tables += by_row_[q] ? 0 : 1;
    // A multiple of the lanes, so that the numbers of every quantity are aligned.
    const std::size_t share = kColumnBytes / sizeof(T) / std::max<std::size_t>(tables, 1);
    table_ = short_ ? kPattern<T> : share / loops_.lanes * loops_.lanes;
  }

  void Run();

 private:
  struct Varies {
    bool rows, columns;
  };

  bool IsFlat() const;
  bool ByElement(std::size_t q) const { return varies_[q].rows && varies_[q].columns; }
  bool AnyByElement() const {
    for (std::size_t q = 0; q < quantities_; ++q) {
      if (ByElement(q)) return true;
    }
    return false;
  }

  std::uint64_t FirstOf(Operand k, std::size_t row, std::size_t column) const;
  void Gather(Operand k, Along along, std::size_t row, std::size_t column, std::size_t n,
              T* to) const;
  void GatherQuantity(std::size_t q, Along along, std::size_t row, std::size_t column,
                      std::size_t n, T* to) const;
  void GatherElements(std::size_t q, const Grid& grid, std::size_t i, std::size_t n, T* to) const;
  void GatherRows(const Grid& grid, std::size_t row, std::size_t n, Buffers<T>& buffers,
                  SweepValues<T>& values) const;

  void LongRows(const SweepValues<T>& values, std::size_t columns, std::size_t column,
                const SweepOutput& out) const {
    const auto loop = divides_ ? loops_.long_rows_with_divisor : loops_.long_rows;
    loop(sweep_.form, values, columns, column, out);
  }

  void Align(Grid& grid) const;
  void StoreEnds(const Grid& grid) const;
  void StoreFew(const Grid& grid, std::size_t i, std::size_t n) const;
  void StoreLongRows(const Grid& grid, std::size_t row, std::size_t end_row, std::size_t column,
                     std::size_t end_column) const;
  void MakePattern(const Grid& grid);
  void StoreShortRows(const Grid& grid, std::size_t i, std::size_t end) const;
  void StoreBlock(std::size_t row, std::size_t end_row, std::size_t column,
                  std::size_t end_column) const;

  template <void (Call::*task)(std::size_t) const>
  void Parallel(std::size_t tasks) const {
    if (tasks == 0) return;
    const auto body = [](const void* context, std::size_t begin, std::size_t end) {
      const Call& call = *static_cast<const Call*>(context);
      for (; begin < end; ++begin) (call.*task)(begin);
      if (call.stream_) call.loops_.flush();
    };
    const std::size_t bytes = rows_ * columns_ * out_size_;
    const std::size_t chunk = std::max<std::size_t>(1, kTaskBytes / (bytes / tasks + 1));
    ParallelTasks(tasks, chunk, bytes, threads_, body, this);
  }
  void LongTask(std::size_t task) const;
  void ShortTask(std::size_t task) const;
  void BlockTask(std::size_t task) const;

  // Of short rows. What is aligned comes first, so that no padding precedes it.
  alignas(64) T pattern_columns_[kNumQuantities][kPattern<T>];
  alignas(64) typename ShortRowPattern<T>::Index pattern_rows_[kPattern<T>];
  ShortRowPattern<T> pattern_;
  // Of the tasks.
  Grid grid_;
  std::size_t tiles_, rows_per_task_, elements_per_task_;
  // Of the call.
  const Sweep& sweep_;
  const SweepLoops<T>& loops_;
  const std::size_t out_size_;
  std::size_t rows_, columns_;
  std::size_t table_;  // numbers of one quantity in Buffers::columns
  T divisor_;
  const int threads_;
  Varies varies_[kNumQuantities];
  bool by_row_[kNumQuantities];
  bool joined_[kNumQuantities];  // a row's elements are followed by those of the next row
  bool one_divisor_, flat_, short_, stream_;
  // Every element has another progress. In long rows the last loop divides. In short rows a pass of
  // its own does, if steps and decay_steps each vary along one of rows and columns: `split_`.
  bool divides_, split_, step_by_row_;
  std::size_t quantities_;  // that the last loop takes
};

// Whether the elements of the output lie side by side.
template <class T>
bool Call<T>::IsFlat() const {
  const SweepOperand& out = sweep_.operands[kOut];
  std::uint64_t size = out_size_;
  if (out.first % size != 0) return false;
  for (std::size_t axis = sweep_.axes; axis-- > 0;) {
    if (static_cast<std::uint64_t>(out.strides[axis]) != size) return false;
    size *= sweep_.lengths[axis];
  }
  return true;
}

// ------------------------------ Operands

template <class T>
std::uint64_t Call<T>::FirstOf(Operand k, std::size_t row, std::size_t column) const {
  const SweepOperand& operand = sweep_.operands[k];
  std::uint64_t first = operand.first;
  if (sweep_.axes == 0) return first;
  std::size_t axis = sweep_.axes - 1;
  first += column * static_cast<std::uint64_t>(operand.strides[axis]);
  while (axis-- > 0) {
    const std::size_t index = axis > 0 ? row % sweep_.lengths[axis] : row;
    if (axis > 0) row /= sweep_.lengths[axis];
    first += index * static_cast<std::uint64_t>(operand.strides[axis]);
  }
  return first;
}

// Gathers n numbers of an operand from an element on: those that follow in its row, or those of the
// same column in the rows that follow.
template <class T>
void Call<T>::Gather(Operand k, Along along, std::size_t row, std::size_t column, std::size_t n,
                     T* to) const {
  const auto gather = k == kStep && sweep_.steps_are_range
                          ? loops_.gather_range
                          : loops_.gather[Index(k == kStep ? sweep_.step : sweep_.arithmetic)];
  const auto& strides = sweep_.operands[k].strides;
  const std::size_t axes = sweep_.axes;
  if (along == Along::kRow) {
    return gather(FirstOf(k, row, column), axes > 0 ? strides[axes - 1] : 0, to, n);
  }
  if (axes < 2) return gather(FirstOf(k, row, column), 0, to, n);
  const std::size_t length = sweep_.lengths[axes - 2];
  while (n > 0) {
    const std::size_t run = std::min(n, length - row % length);
    gather(FirstOf(k, row, column), strides[axes - 2], to, run);
    row += run;
    n -= run;
    to += run;
  }
}

template <class T>
void Call<T>::GatherQuantity(std::size_t q, Along along, std::size_t row, std::size_t column,
                             std::size_t n, T* to) const {
  constexpr Operand kOperands[] = {kStep, kInitialLearningRate, kDecayRate, kDecaySteps};
  if (q != kProgress || divides_) return Gather(kOperands[q], along, row, column, n, to);
  if (one_divisor_) {
    Gather(kStep, along, row, column, n, to);
    return loops_.progress(sweep_.form, to, &divisor_, true, n);
  }
  constexpr std::size_t kSome = 256;
  T divisors[kSome];
  while (n > 0) {
    const std::size_t some = std::min(n, kSome);
    Gather(kStep, along, row, column, some, to);
    Gather(kDecaySteps, along, row, column, some, divisors);
    loops_.progress(sweep_.form, to, divisors, false, some);
    (along == Along::kRow ? column : row) += some;
    to += some;
    n -= some;
  }
}

// Gathers the numbers of n elements from the element number i of a grid on.
template <class T>
void Call<T>::GatherElements(std::size_t q, const Grid& grid, std::size_t i, std::size_t n,
                             T* to) const {
  std::size_t row = i / grid.columns, column = i % grid.columns;
  const bool joined = joined_[q] && grid.columns == columns_;
  while (n > 0) {
    const std::size_t run = joined ? n : std::min(n, grid.columns - column);
    GatherQuantity(q, Along::kRow, grid.row + row, grid.column + column, run, to);
    to += run;
    n -= run;
    column = 0;
    ++row;
  }
}

// Gathers the numbers of n rows of a grid, and repeats the last one for a vector more. Of a
// progress that is split, these are the numbers of one of its operands.
template <class T>
void Call<T>::GatherRows(const Grid& grid, std::size_t row, std::size_t n, Buffers<T>& buffers,
                         SweepValues<T>& values) const {
  const std::size_t some = std::min(n, grid.rows - row);
  for (std::size_t q = 0; q < quantities_; ++q) {
    const bool split = q == kProgress && split_;
    if (!by_row_[q] && !split) continue;
    T* to = buffers.rows[q];
    if (split) {
      Gather(step_by_row_ ? kStep : kDecaySteps, Along::kColumn, grid.row + row, grid.column, some,
             to);
    } else {
      GatherQuantity(q, Along::kColumn, grid.row + row, grid.column, some, to);
      values.rows[q] = to;
    }
    std::fill_n(to + some, n - some + loops_.lanes, to[some - 1]);
  }
}

// ------------------------------ Parts of a grid

// Sets which elements of a grid are stored by whole vectors, aligned if they bypass the cache.
template <class T>
void Call<T>::Align(Grid& grid) const {
  const std::size_t lanes = loops_.lanes, n = grid.rows * grid.columns;
  const std::size_t place = reinterpret_cast<std::uintptr_t>(grid.out) / out_size_ % lanes;
  grid.begin = std::min(n, (lanes - place) % lanes);
  grid.end = n - (n - grid.begin) % lanes;
}

// Stores the elements that no whole vector stores.
template <class T>
void Call<T>::StoreEnds(const Grid& grid) const {
  StoreFew(grid, 0, grid.begin);
  StoreFew(grid, grid.end, grid.rows * grid.columns - grid.end);
}

// Stores fewer elements than a vector has. The lanes without an element hold zeros, and ones to
// divide by, with which the formula raises no flag.
template <class T>
void Call<T>::StoreFew(const Grid& grid, std::size_t i, std::size_t n) const {
  if (n == 0) return;
  alignas(64) T numbers[kNumQuantities][64 / sizeof(T)] = {};
  alignas(64) char results[64];
  std::fill(std::begin(numbers[kDivisor]), std::end(numbers[kDivisor]), T{1});
  SweepValues<T> values{};
  for (std::size_t q = 0; q < quantities_; ++q) {
    GatherElements(q, grid, i, n, numbers[q]);
    values.columns[q] = numbers[q];
  }
  LongRows(values, loops_.lanes, 0, {results, loops_.lanes, false});
  std::memcpy(grid.out + i * out_size_, results, n * out_size_);
}

// Stores some rows and columns of a grid, by vectors that begin in them.
template <class T>
void Call<T>::StoreLongRows(const Grid& grid, std::size_t row, std::size_t end_row,
                            std::size_t column, std::size_t end_column) const {
  const std::size_t lanes = loops_.lanes, width = end_column - column;
  const bool whole_rows = width == grid.columns;
  const auto first_vector = [&](std::size_t i) {
    if (i <= grid.begin) return grid.begin;
    return std::min(grid.end, grid.begin + (i - grid.begin + lanes - 1) / lanes * lanes);
  };
  Buffers<T> buffers;
  SweepValues<T> values{};
  T* tables[kNumQuantities];
  T* table = buffers.columns;
  for (std::size_t q = 0; q < quantities_; ++q) {
    if (by_row_[q]) continue;
    tables[q] = table;
    values.columns[q] = table;
    table += table_;
    if (ByElement(q)) continue;
    // A vector that ends in the next row needs the columns from the first one on again.
    const std::size_t more = std::min(lanes, grid.columns - end_column);
    GatherQuantity(q, Along::kRow, grid.row, grid.column + column, width + more, tables[q]);
    GatherQuantity(q, Along::kRow, grid.row, grid.column, lanes - more, tables[q] + width + more);
  }
  const auto store = [&](std::size_t first, std::size_t in_row, std::size_t end) {
    const bool any = first < end;
    if (!any) return;
    LongRows(values, grid.columns - column, first - in_row * grid.columns - column,
             {grid.out + first * out_size_, end - first, stream_});
  };
  for (std::size_t some; row < end_row; row += some) {
    some = std::min(kRows, end_row - row);
    GatherRows(grid, row, some + 1, buffers, values);
    if (whole_rows && !AnyByElement()) {
      store(first_vector(row * grid.columns), row, first_vector((row + some) * grid.columns));
      continue;
    }
    for (std::size_t r = row; r < row + some; ++r) {
      const std::size_t first = first_vector(r * grid.columns + column);
      const std::size_t end = first_vector(r * grid.columns + end_column);
      if (first >= end) continue;
      const std::size_t in_row = first - r * grid.columns - column;
      for (std::size_t q = 0; q < quantities_; ++q) {
        if (by_row_[q]) values.rows[q] = buffers.rows[q] + (r - row);
        if (ByElement(q)) GatherElements(q, grid, first, end - first, tables[q] + in_row);
      }
      store(first, r, end);
    }
  }
}

// Prepares the pattern that the vectors of a grid of short rows repeat.
template <class T>
void Call<T>::MakePattern(const Grid& grid) {
  pattern_.size = columns_ / std::gcd(columns_, loops_.lanes) * loops_.lanes;
  pattern_.row = pattern_rows_;
  T row[kNumQuantities][kShortRow<T>] = {};
  for (std::size_t q = 0; q < quantities_; ++q) {
    if (!by_row_[q] && !ByElement(q)) GatherQuantity(q, Along::kRow, 0, 0, columns_, row[q]);
  }
  if (split_) {
    Gather(step_by_row_ ? kDecaySteps : kStep, Along::kRow, 0, 0, columns_, row[kProgress]);
  }
  std::size_t column = grid.begin % columns_;
  typename ShortRowPattern<T>::Index behind = 0;
  for (std::size_t k = 0; k < pattern_.size; ++k) {
    if (k % loops_.lanes == 0) behind = 0;
    pattern_rows_[k] = behind;
    for (std::size_t q = 0; q < quantities_; ++q) pattern_columns_[q][k] = row[q][column];
    if (++column < columns_) continue;
    column = 0;
    ++behind;
  }
}

// Stores the elements [i, end) of a grid. They are whole vectors from the beginning of a pattern
// on.
template <class T>
void Call<T>::StoreShortRows(const Grid& grid, std::size_t i, std::size_t end) const {
  Buffers<T> buffers;
  SweepValues<T> values{};
  for (std::size_t q = 0; q < quantities_; ++q) {
    if (!by_row_[q] && !ByElement(q)) values.columns[q] = pattern_columns_[q];
  }
  const bool any_by_element = AnyByElement();
  std::size_t some = kRows * columns_ / pattern_.size * pattern_.size;
  if (any_by_element) some = std::min(some, table_ / pattern_.size * pattern_.size);
  for (; i < end; i += some) {
    some = std::min(some, end - i);
    const std::size_t row = i / columns_;
    GatherRows(grid, row, (i + some - 1) / columns_ - row + 1, buffers, values);
    if (!any_by_element) {
      loops_.short_rows(values, pattern_, columns_, i % columns_,
                        {grid.out + i * out_size_, some, stream_});
      continue;
    }
    T* table = buffers.columns;
    for (std::size_t q = 0; q < quantities_; ++q) {
      if (!ByElement(q)) continue;
      if (q == kProgress && split_) {
        const auto progress = loops_.short_progress(sweep_.form, step_by_row_);
        progress(pattern_columns_[q], buffers.rows[q], pattern_, columns_, i % columns_, table,
                 some);
      } else {
        GatherElements(q, grid, i, some, table);
      }
      values.columns[q] = table;
      table += table_;
    }
    // Only one pattern at a time, because the numbers of elements do not repeat with it.
    for (std::size_t j = 0; j < some; j += pattern_.size) {
      SweepValues<T> part = values;
      for (std::size_t q = 0; q < quantities_; ++q) {
        if (by_row_[q]) part.rows[q] += (i + j) / columns_ - row;
        if (ByElement(q)) part.columns[q] += j;
      }
      loops_.short_rows(
          part, pattern_, columns_, i % columns_,
          {grid.out + (i + j) * out_size_, std::min(pattern_.size, some - j), stream_});
    }
  }
}

// Stores some rows and columns of the output through a buffer.
template <class T>
void Call<T>::StoreBlock(std::size_t row, std::size_t end_row, std::size_t column,
                         std::size_t end_column) const {
  alignas(64) char results[kBlock * sizeof(T)];
  Grid grid{row, column, end_row - row, end_column - column, results, 0, 0};
  Align(grid);
  if (short_) {
    StoreShortRows(grid, grid.begin, grid.end);
  } else {
    StoreLongRows(grid, 0, grid.rows, 0, grid.columns);
  }
  StoreEnds(grid);
  const std::int64_t stride = sweep_.axes > 0 ? sweep_.operands[kOut].strides[sweep_.axes - 1] : 0;
  const char* from = results;
  for (; row < end_row; ++row) {
    char* to = AtAddress<char>(FirstOf(kOut, row, column));
    if (stride == static_cast<std::int64_t>(out_size_)) {
      std::memcpy(to, from, grid.columns * out_size_);
      from += grid.columns * out_size_;
      continue;
    }
    for (std::size_t i = 0; i < grid.columns; ++i) {
      std::memcpy(to, from, out_size_);
      to += stride;
      from += out_size_;
    }
  }
}

// ------------------------------ Tasks

// The part number i of [0, n), of which there are `parts` of nearly the same size.
std::size_t PartBegin(std::size_t n, std::size_t parts, std::size_t i) {
  return i * (n / parts) + std::min(i, n % parts);
}

template <class T>
void Call<T>::LongTask(std::size_t task) const {
  const std::size_t tile = task % tiles_, row = task / tiles_ * rows_per_task_;
  StoreLongRows(grid_, row, std::min(rows_, row + rows_per_task_),
                PartBegin(columns_, tiles_, tile), PartBegin(columns_, tiles_, tile + 1));
}

template <class T>
void Call<T>::ShortTask(std::size_t task) const {
  const std::size_t i = grid_.begin + task * elements_per_task_;
  StoreShortRows(grid_, i, std::min(grid_.end, i + elements_per_task_));
}

template <class T>
void Call<T>::BlockTask(std::size_t task) const {
  const std::size_t tile = task % tiles_, row = task / tiles_ * rows_per_task_;
  StoreBlock(row, std::min(rows_, row + rows_per_task_), PartBegin(columns_, tiles_, tile),
             PartBegin(columns_, tiles_, tile + 1));
}

template <class T>
void Call<T>::Run() {
  const auto split = [&](std::size_t most_columns, std::size_t most_elements) {
    tiles_ = (columns_ + most_columns - 1) / most_columns;
    const std::size_t width = (columns_ + tiles_ - 1) / tiles_;
    rows_per_task_ = std::max<std::size_t>(1, most_elements / width);
    return (rows_ + rows_per_task_ - 1) / rows_per_task_ * tiles_;
  };
  const std::size_t most_columns = table_ - loops_.lanes;
  if (!flat_) {
    if (short_) MakePattern(Grid{});
    return Parallel<&Call::BlockTask>(split(std::min(most_columns, kBlock), kBlock));
  }
  grid_ = {0, 0, rows_, columns_, AtAddress<char>(sweep_.operands[kOut].first), 0, 0};
  Align(grid_);
  StoreEnds(grid_);
  if (short_) {
    MakePattern(grid_);
    const std::size_t patterns = kTaskBytes / out_size_ / pattern_.size;
    elements_per_task_ = patterns * pattern_.size;
    const std::size_t n = grid_.end - grid_.begin;
    return Parallel<&Call::ShortTask>((n + elements_per_task_ - 1) / elements_per_task_);
  }
  Parallel<&Call::LongTask>(split(most_columns, kTaskBytes / out_size_));
}

// Elements that follow one another in the steps and in the output, with constant hyperparameters,
// are one call of a loop over arrays. Returns whether there was such a loop.
bool EvaluateAsOneRow(const Kernels& kernels, const Sweep& sweep, const Resources& resources) {
  if (sweep.axes != 1 || sweep.steps_are_range) return false;
  const auto is_loop = [&](const ArrayLoop& loop) {
    return loop.form == sweep.form && loop.step == sweep.step &&
           loop.arithmetic == sweep.arithmetic && loop.result == sweep.result;
  };
  const auto loop = std::find_if(kernels.array_loops.begin(), kernels.array_loops.end(), is_loop);
  if (loop == kernels.array_loops.end()) return false;
  char* operands[kNumOperands];
  std::intptr_t strides[kNumOperands];
  for (std::size_t k = 0; k < kNumOperands; ++k) {
    const bool is_array = k == kStep || k == kOut;
    const std::size_t size = SizeOf(k == kStep ? sweep.step : sweep.result);
    operands[k] = AtAddress<char>(sweep.operands[k].first);
    strides[k] = static_cast<std::intptr_t>(sweep.operands[k].strides[0]);
    if (strides[k] != (is_array ? static_cast<std::intptr_t>(size) : 0)) return false;
    if (is_array && sweep.operands[k].first % size != 0) return false;
  }
  loop->function(operands, sweep.lengths[0], strides, resources);
  return true;
}

template <class T>
void EvaluateWith(const std::vector<SweepLoops<T>>& candidates, const Sweep& sweep,
                  const Resources& resources) {
  for (const SweepLoops<T>& loops : candidates) {
    if (loops.result == sweep.result) return Call<T>(sweep, loops, resources).Run();
  }
}

}  // namespace

void EvaluateSweep(const Kernels& kernels, const Sweep& sweep,
                   const Resources& resources) noexcept {
  for (std::size_t axis = 0; axis < sweep.axes; ++axis) {
    if (sweep.lengths[axis] == 0) return;
  }
  Sweep simple = sweep;
  SimplifyAxes(simple);
  if (EvaluateAsOneRow(kernels, simple, resources)) return;
  if (sweep.arithmetic == DType::kFloat32) {
    EvaluateWith(kernels.sweeps.float32, simple, resources);
  } else {
    EvaluateWith(kernels.sweeps.float64, simple, resources);
  }
}

}  // namespace invdecay
