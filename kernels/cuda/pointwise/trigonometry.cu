// trigonometry.cu: sine, cosine, tangent.  Each element is read and written once; roof: memory bandwidth.  CUDA's own
// functions reduce large arguments in local memory (32 bytes a thread, touched for such arguments alone); the build
// lets them in this file.
#include "cuda/pointwise/functor.h"
#include "cuda/pointwise/pointwise.h"

namespace {

WK_F(sin_of, WK_X, sin(x))
WK_F(cos_of, WK_X, cos(x))
WK_F(tan_of, WK_X, tan(x))

} // namespace

WK_CUDA_TRIGONOMETRY(WK_CUDA_LAUNCHER)
