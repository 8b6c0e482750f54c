/* plan.c: cuBLASLt's handle of each device, and plans: descriptors, layouts, the algorithm of its heuristic.  It counts
 * columns first, so a row-major product c = a b is asked for as cᵀ = bᵀ aᵀ: its first operand is our second.
 */
#include "cuda/linalg/blas.h"
#include "cuda/plans.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static wk_cuda_plans plans;
static cublasLtHandle_t handles[WK_CUDA_DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What cuBLASLt may use beside the operands: its documents advise 32 MiB for Hopper. */
static const uint64_t workspace_limit = 32u << 20;

wk_status wk__cublas_status(const wk_call *call, cublasStatus_t status) {
    if (status == CUBLAS_STATUS_SUCCESS) return WK_OK;
    return wk_fail(WK_DEVICE, "%s: cuBLASLt: %s", call ? call->op->name : "device", cublasLtGetStatusString(status));
}

cublasLtHandle_t wk__cublas_handle(int device) {
    (void)pthread_mutex_lock(&lock);
    cublasStatus_t status = handles[device] ? CUBLAS_STATUS_SUCCESS : cublasLtCreate(&handles[device]);
    cublasLtHandle_t handle = status == CUBLAS_STATUS_SUCCESS ? handles[device] : NULL;
    (void)pthread_mutex_unlock(&lock);
    if (!handle) (void)wk__cublas_status(NULL, status);
    return handle;
}

static cudaDataType type_of(int dtype) {
    return dtype == WK_F64 ? CUDA_R_64F : dtype == WK_BF16 ? CUDA_R_16BF : dtype == WK_F16 ? CUDA_R_16F : CUDA_R_32F;
}

#define SET(call)                                             \
    do {                                                      \
        cublasStatus_t status_ = (call);                      \
        if (status_ != CUBLAS_STATUS_SUCCESS) return status_; \
    } while (0)

static cublasStatus_t make_layout(cublasLtMatrixLayout_t *layout, const wk_cublas_key *key, int dtype, bool turned,
                                  int64_t rows, int64_t cols, int64_t ld, int64_t batch) {
    int32_t count = (int32_t)key->count;
    SET(cublasLtMatrixLayoutCreate(layout, type_of(dtype), (uint64_t)(turned ? cols : rows),
                                   (uint64_t)(turned ? rows : cols), ld));
    SET(cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
    return cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &batch, sizeof batch);
}

static cublasStatus_t make_desc(wk_cublas_plan *plan) {
    const wk_cublas_key *key = &plan->key;
    bool wide = key->dtype == WK_F64;
    cublasOperation_t first = key->b_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t second = key->a_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = key->bias && key->relu ? CUBLASLT_EPILOGUE_RELU_BIAS
                                  : key->bias            ? CUBLASLT_EPILOGUE_BIAS
                                  : key->relu            ? CUBLASLT_EPILOGUE_RELU
                                                         : CUBLASLT_EPILOGUE_DEFAULT;
    SET(cublasLtMatmulDescCreate(&plan->desc, wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                 wide ? CUDA_R_64F : CUDA_R_32F));
    SET(cublasLtMatmulDescSetAttribute(plan->desc, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first));
    SET(cublasLtMatmulDescSetAttribute(plan->desc, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second));
    return cublasLtMatmulDescSetAttribute(plan->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
}

static cublasStatus_t choose(wk_cublas_plan *plan, cublasLtHandle_t handle, cublasLtMatmulPreference_t preference) {
    static const cublasLtMatmulPreferenceAttributes_t sides[] = { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                                                                  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                                                  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                                                                  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES };
    uint32_t alignment = (uint32_t)plan->key.alignment;
    int found = 0;
    SET(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_limit,
                                             sizeof workspace_limit));
    for (int i = 0; i < 4; i++)
        SET(cublasLtMatmulPreferenceSetAttribute(preference, sides[i], &alignment, sizeof alignment));
    SET(cublasLtMatmulAlgoGetHeuristic(handle, plan->desc, plan->b, plan->a, plan->c, plan->c, preference, 1,
                                       &plan->choice, &found));
    return found ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

static cublasStatus_t make(wk_cublas_plan *plan, cublasLtHandle_t handle) {
    const wk_cublas_key *key = &plan->key;
    cublasLtMatmulPreference_t preference = NULL;
    SET(make_desc(plan));
    SET(make_layout(&plan->b, key, key->dtype, key->b_turned, key->n, key->k, key->b_ld, key->b_batch));
    SET(make_layout(&plan->a, key, key->dtype, key->a_turned, key->k, key->m, key->a_ld, key->a_batch));
    SET(make_layout(&plan->c, key, key->result, false, key->n, key->m, key->n, key->m * key->n));
    SET(cublasLtMatmulPreferenceCreate(&preference));
    cublasStatus_t status = choose(plan, handle, preference);
    (void)cublasLtMatmulPreferenceDestroy(preference);
    return status;
}

static void destroy(wk_cublas_plan *plan) {
    if (!plan) return;
    if (plan->desc) (void)cublasLtMatmulDescDestroy(plan->desc);
    if (plan->a) (void)cublasLtMatrixLayoutDestroy(plan->a);
    if (plan->b) (void)cublasLtMatrixLayoutDestroy(plan->b);
    if (plan->c) (void)cublasLtMatrixLayoutDestroy(plan->c);
    wk_free(plan);
}

/* With the lock. */
static wk_cublas_plan *find_or_make(const wk_cublas_key *key, cublasLtHandle_t handle) {
    void **place = wk__cuda_plan_place(&plans, key, sizeof *key);
    if (!place) return NULL; /* the caller's own kernel serves */
    if (*place) return *place;
    wk_cublas_plan *plan = wk_alloc(sizeof *plan);
    if (!plan) return NULL;
    memset(plan, 0, sizeof *plan);
    plan->key = *key;
    cublasStatus_t status = make(plan, handle);
    plan->usable = status == CUBLAS_STATUS_SUCCESS;
    if (status == CUBLAS_STATUS_ALLOC_FAILED) {
        destroy(plan);
        (void)wk_fail(WK_NO_MEMORY, "cuBLASLt: no memory for a plan");
        return NULL;
    }
    *place = plan;
    return plan;
}

const wk_cublas_plan *wk__cublas_plan(const wk_cublas_key *key) {
    cublasLtHandle_t handle = wk__cublas_handle(key->device);
    if (!handle) return NULL;
    (void)pthread_mutex_lock(&lock);
    const wk_cublas_plan *plan = find_or_make(key, handle);
    (void)pthread_mutex_unlock(&lock);
    return plan;
}

/* The bias is a part of the descriptor, which other threads use too. */
cublasStatus_t wk__cublas_run(const wk_cublas_plan *plan, const void *a, const void *b, const void *bias, void *c,
                              void *workspace, cudaStream_t stream) {
    const float one = 1, zero = 0;
    const double wide_one = 1, wide_zero = 0;
    const bool wide = plan->key.dtype == WK_F64;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    (void)pthread_mutex_lock(&lock);
    if (bias)
        status = cublasLtMatmulDescSetAttribute(plan->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmul(handles[plan->key.device], plan->desc, wide ? (const void *)&wide_one : &one, b,
                                plan->b, a, plan->a, wide ? (const void *)&wide_zero : &zero, c, plan->c, c, plan->c,
                                &plan->choice.algo, workspace, plan->choice.workspaceSize, stream);
    (void)pthread_mutex_unlock(&lock);
    return status;
}
