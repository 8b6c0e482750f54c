// cublaslt.cpp: a product on the host where Wick calls cuBLASLt.
//
// Parameters are checked as cuBLASLt does: what it refuses is refused here with its code.
#include "product.h"
#include "state.h"

#include <cstring>
#include <new>

struct cublasLtContext {
    int device;
};
struct cublasLtMatmulPreferenceOpaque_t {
    uint64_t workspace;
};

namespace cudaemu {

static bool layout_fits(const Layout &m) {
    int64_t least = (int64_t)(m.order == CUBLASLT_ORDER_COL ? m.rows : m.cols);
    return m.rows > 0 && m.cols > 0 && m.ld >= least && m.batch >= 1;
}

static cublasStatus_t check(const Desc &desc, const Layout &a, const Layout &b, const Layout &c, const Layout &d) {
    if (!layout_fits(a) || !layout_fits(b) || !layout_fits(c) || !layout_fits(d)) return CUBLAS_STATUS_INVALID_VALUE;
    bool turn_a = desc.turn_a != CUBLAS_OP_N, turn_b = desc.turn_b != CUBLAS_OP_N;
    uint64_t m = turn_a ? a.cols : a.rows, k = turn_a ? a.rows : a.cols, other = turn_b ? b.cols : b.rows;
    uint64_t n = turn_b ? b.rows : b.cols;
    if (k != other || d.rows != m || d.cols != n || c.rows != m || c.cols != n) return CUBLAS_STATUS_INVALID_VALUE;
    if (a.batch != d.batch || b.batch != d.batch || c.batch != d.batch) return CUBLAS_STATUS_INVALID_VALUE;
    bool halves = a.type == CUDA_R_16F || a.type == CUDA_R_16BF;
    if (a.type != b.type || c.type != d.type) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (a.type != d.type && !(halves && d.type == CUDA_R_32F)) return CUBLAS_STATUS_NOT_SUPPORTED;
    bool wide = a.type == CUDA_R_64F;
    if (wide != (desc.compute == CUBLAS_COMPUTE_64F) || wide != (desc.scale == CUDA_R_64F))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (wide && desc.epilogue != CUBLASLT_EPILOGUE_DEFAULT) return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t status_of(cudaError_t error) {
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

// Reads a value of the size that the attribute has.
template <class T> static cublasStatus_t read(T *to, const void *value, size_t bytes) {
    if (!value || bytes != sizeof *to) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(to, value, sizeof *to);
    return CUBLAS_STATUS_SUCCESS;
}

} // namespace cudaemu

using namespace cudaemu;

extern "C" {

const char *cublasLtGetStatusString(cublasStatus_t status) {
    switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR: return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    }
    return "unknown cuBLAS status";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
    *handle = device_count() ? new (std::nothrow) cublasLtContext{ current_device() } : nullptr;
    return *handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    delete handle;
    return handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType scale) {
    *desc = new (std::nothrow) Desc{ compute, scale };
    return *desc ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes) {
    if (!desc) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return read(&desc->turn_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return read(&desc->turn_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return read(&desc->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return read(&desc->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: return read(&desc->aux, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: return read(&desc->aux_ld, value, bytes);
    default: return CUBLAS_STATUS_INVALID_VALUE;
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
    *layout = new (std::nothrow) Layout{ type, rows, cols, ld };
    return *layout ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void *value,
                                                size_t bytes) {
    if (!layout) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_ORDER: return read(&layout->order, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: return read(&layout->batch, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: return read(&layout->batch_stride, value, bytes);
    default: return CUBLAS_STATUS_INVALID_VALUE;
    }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
    *preference = new (std::nothrow) cublasLtMatmulPreferenceOpaque_t{ 0 };
    return *preference ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t bytes) {
    uint32_t alignment;
    if (!preference) return CUBLAS_STATUS_INVALID_VALUE;
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return read(&preference->workspace, value, bytes);
    return read(&alignment, value, bytes);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *found) {
    *found = 0;
    if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!desc || !a || !b || !c || !d || !preference || wanted < 1) return CUBLAS_STATUS_INVALID_VALUE;
    if (cublasStatus_t status = check(*desc, *a, *b, *c, *d)) return status;
    results[0] = cublasLtMatmulHeuristicResult_t{};
    results[0].algo.data[0] = 1;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
    (void)workspace, (void)workspace_bytes;
    if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!desc || !alpha || !beta || !a_layout || !b_layout || !c_layout || !d_layout)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (cublasStatus_t status = check(*desc, *a_layout, *b_layout, *c_layout, *d_layout)) return status;
    if (!a || !b || !d || (algo && algo->data[0] != 1)) return CUBLAS_STATUS_INVALID_VALUE;
    bool needs_bias = (unsigned)desc->epilogue & CUBLASLT_EPILOGUE_BIAS;
    if (needs_bias && !desc->bias) return CUBLAS_STATUS_INVALID_VALUE;
#define RUN(R, T, D)                                                                                                   \
    status_of(                                                                                                         \
        submit(stream, Product<R, T, D>{ *desc, *a_layout, *b_layout, *c_layout, *d_layout, static_cast<const T *>(a), \
                                         static_cast<const T *>(b), static_cast<const D *>(c), static_cast<D *>(d),    \
                                         *static_cast<const R *>(alpha), *static_cast<const R *>(beta) }))
    const bool wide = d_layout->type == CUDA_R_32F;
    switch (a_layout->type) {
    case CUDA_R_64F: return RUN(double, double, double);
    case CUDA_R_16F: return wide ? RUN(float, __half, float) : RUN(float, __half, __half);
    case CUDA_R_16BF: return wide ? RUN(float, __nv_bfloat16, float) : RUN(float, __nv_bfloat16, __nv_bfloat16);
    default: return RUN(float, float, float);
    }
#undef RUN
}
}
