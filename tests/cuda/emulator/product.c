/* product.c: the emulated cuBLASLt: products of every transposition with their epilogues, and what it refuses. */
#include <criterion/criterion.h>
#include <cublasLt.h>

#include <math.h>
#include <stdlib.h>

enum { M = 5, N = 7, K = 4 };

typedef struct product {
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
} product;

static product make(int turn_a, int turn_b, int epilogue, cudaDataType type) {
    product p;
    bool wide = type == CUDA_R_64F;
    cublasOperation_t first = turn_a ? CUBLAS_OP_T : CUBLAS_OP_N, second = turn_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t after = (cublasLtEpilogue_t)epilogue;
    cr_assert_eq(cublasLtCreate(&p.handle), CUBLAS_STATUS_SUCCESS);
    cr_assert_eq(cublasLtMatmulDescCreate(&p.desc, wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                          wide ? CUDA_R_64F : CUDA_R_32F),
                 CUBLAS_STATUS_SUCCESS);
    cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first);
    cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second);
    cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &after, sizeof after);
    cublasLtMatrixLayoutCreate(&p.a, type, turn_a ? K : M, turn_a ? M : K, turn_a ? K : M);
    cublasLtMatrixLayoutCreate(&p.b, type, turn_b ? N : K, turn_b ? K : N, turn_b ? N : K);
    cublasLtMatrixLayoutCreate(&p.d, type, M, N, M);
    return p;
}

static void destroy(product *p) {
    cublasLtMatrixLayoutDestroy(p->a), cublasLtMatrixLayoutDestroy(p->b), cublasLtMatrixLayoutDestroy(p->d);
    cublasLtMatmulDescDestroy(p->desc);
    cublasLtDestroy(p->handle);
}

static float value_of(int i) {
    return (float)(i * 37 % 11 - 5) / 4;
}

/* Column by column; the element of op(x). */
static float element(const float *x, int rows, int turned, int cols, int i, int j) {
    return turned ? x[j + i * cols] : x[i + j * rows];
}

Test(product, every_transposition_and_epilogue_is_right) {
    static const int epilogues[] = { CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU_BIAS,
                                     CUBLASLT_EPILOGUE_GELU };
    float a[M * K], b[K * N], d[M * N], bias[M];
    const float one = 1, zero = 0;
    for (int i = 0; i < M * K; i++) a[i] = value_of(i);
    for (int i = 0; i < K * N; i++) b[i] = value_of(i + 3);
    for (int i = 0; i < M; i++) bias[i] = value_of(i + 5);
    for (int kind = 0; kind < 16; kind++) {
        int turn_a = kind & 1, turn_b = kind >> 1 & 1, epilogue = epilogues[kind >> 2];
        const float *bias_at = bias;
        product p = make(turn_a, turn_b, epilogue, CUDA_R_32F);
        cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias_at, sizeof bias_at);
        cr_assert_eq(cublasLtMatmul(p.handle, p.desc, &one, a, p.a, b, p.b, &zero, d, p.d, d, p.d, NULL, NULL, 0, NULL),
                     CUBLAS_STATUS_SUCCESS);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                float sum = epilogue & CUBLASLT_EPILOGUE_BIAS ? bias[i] : 0;
                for (int k = 0; k < K; k++) sum += element(a, M, turn_a, K, i, k) * element(b, K, turn_b, N, k, j);
                if (epilogue & CUBLASLT_EPILOGUE_RELU) sum = sum < 0 ? 0 : sum;
                if (epilogue & CUBLASLT_EPILOGUE_GELU)
                    sum = 0.5f * sum * (1 + tanhf(0.7978845608f * (sum + 0.044715f * sum * sum * sum)));
                cr_expect_float_eq(d[i + j * M], sum, 1e-5f, "kind %d (%d, %d)", kind, i, j);
            }
        destroy(&p);
    }
}

Test(product, what_does_not_fit_is_refused) {
    float memory[64] = { 0 };
    const float one = 1, zero = 0;
    product p = make(0, 0, CUBLASLT_EPILOGUE_BIAS, CUDA_R_32F), wide = make(0, 0, CUBLASLT_EPILOGUE_RELU, CUDA_R_64F);
#define RUN(a_layout, b_layout)                                                                                       \
    cublasLtMatmul(p.handle, p.desc, &one, memory, a_layout, memory, b_layout, &zero, memory, p.d, memory, p.d, NULL, \
                   NULL, 0, NULL)
    cr_expect_eq(RUN(p.a, p.b), CUBLAS_STATUS_INVALID_VALUE, "a bias is asked for and not given");
    cr_expect_eq(RUN(p.b, p.a), CUBLAS_STATUS_INVALID_VALUE, "inner sizes differ");
    cr_expect_eq(RUN(wide.a, p.b), CUBLAS_STATUS_NOT_SUPPORTED, "types differ");
    cr_expect_eq(cublasLtMatmul(NULL, p.desc, &one, memory, p.a, memory, p.b, &zero, memory, p.d, memory, p.d, NULL,
                                NULL, 0, NULL),
                 CUBLAS_STATUS_NOT_INITIALIZED);
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t result;
    int found = 1;
    cr_assert_eq(cublasLtMatmulPreferenceCreate(&preference), CUBLAS_STATUS_SUCCESS);
    cr_expect_eq(cublasLtMatmulAlgoGetHeuristic(wide.handle, wide.desc, wide.a, wide.b, wide.d, wide.d, preference, 1,
                                                &result, &found),
                 CUBLAS_STATUS_NOT_SUPPORTED, "f64 has no epilogue");
    cr_expect_eq(found, 0);
    cublasLtMatmulPreferenceDestroy(preference);
    destroy(&p), destroy(&wide);
}
