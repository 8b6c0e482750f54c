// logic.cu: comparisons, truth values, bits, and questions about floats.  What is not 0 is true, NaN too.  Reads each
// operand once and writes a byte an element (bits: as wide as the operands); roof: memory bandwidth.
#include "cuda/pointwise/functor.h"
#include "cuda/pointwise/pointwise.h"

namespace {

WK_T(eq_of, WK_AB, a == b)
WK_T(ne_of, WK_AB, a != b)
WK_T(lt_of, WK_AB, a < b)
WK_T(le_of, WK_AB, a <= b)
WK_T(gt_of, WK_AB, a > b)
WK_T(ge_of, WK_AB, a >= b)
WK_T(logical_and_of, WK_AB, (a != 0) & (b != 0))
WK_T(logical_or_of, WK_AB, (a != 0) | (b != 0))
WK_T(logical_xor_of, WK_AB, (a != 0) ^ (b != 0))
WK_T(logical_not_of, WK_X, x == 0)
// Integers are numbers all of them.
WK_T(isnan_of, WK_X, x != x)
WK_T(isinf_of, WK_X, (double)x == (double)INFINITY || (double)x == -(double)INFINITY)
WK_T(isfinite_of, WK_X, x - x == 0)
// An infinite distance is close to nothing, an infinity to itself.  number = rtol, atol; whole = equal_nan
__device__ __forceinline__ bool near(double a, double b, const wk_numbers &p) {
    return fabs(a - b) <= p.number[1] + p.number[0] * fabs(b) && fabs(a - b) < (double)INFINITY;
}
WK_T(isclose_of, WK_AB, a == b || (p.whole[0] && a != a && b != b) || near((double)a, (double)b, p))

WK_I(bitwise_and_of, WK_AB, a &b)
WK_I(bitwise_or_of, WK_AB, a | b)
WK_I(bitwise_xor_of, WK_AB, a ^ b)
WK_I(bitwise_not_of, WK_X, ~x)
// Shifts by what is not in [0, bits) leave nothing but the sign; whole = bits
WK_I(left_shift_of, WK_AB, b < 0 || b >= p.whole[0] ? 0 : (uint64_t)a << b)
WK_I(right_shift_of, WK_AB, b < 0 || b >= p.whole[0] ? (a < 0 ? -1 : 0) : a >> b)

} // namespace

WK_CUDA_LOGIC(WK_CUDA_LAUNCHER)
