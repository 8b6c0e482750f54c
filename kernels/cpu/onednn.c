/* onednn.c: oneDNN primitives behind one cache.
 *
 * Creating a primitive takes 50 µs to 5 ms (it generates machine code), calling one under a microsecond, so each thread
 * keeps the plans it has used: the primitive, its memory objects, and the reorders between the tensors' layouts and the
 * layout that the primitive likes best.  The cache belongs to the thread, so a hit takes no lock (21 ns; a whole
 * cached call of the smallest product 0.8 µs); what several threads share is oneDNN's own cache of generated code.  It
 * holds 64 sets of 4 plans, replaced in turn: a program with more shapes than that pays for creation again, not with
 * memory.
 *
 * Primitives are made for a number of threads, which is part of the key, and their scratchpads come from the thread's
 * scratch, so that a hundred cached primitives do not hold a hundred scratchpads.
 *
 * A constant weight's inner layout is kept with the weight (tensor/backend.h).  Plans of several threads and of several
 * numbers of rows name equal layouts by equal numbers, so that they share one copy.
 */
#if WICK_LIBRARIES

#    include "cpu/onednn.h"

#    include "cpu/scratch.h"

#    include <omp.h>
#    include <pthread.h>
#    include <string.h>

enum { SETS = 64, WAYS = 4 };

typedef struct cache {
    wk_dnnl_plan *plan[SETS][WAYS];
    uint8_t next[SETS];
    dnnl_stream_t stream;
} cache;

static _Thread_local cache *of_thread;
static pthread_key_t at_exit;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static dnnl_engine_t engine; /* made once, lives as long as the process */

static const char *status_name(dnnl_status_t status) {
    switch (status) {
    case dnnl_success: return "success";
    case dnnl_out_of_memory: return "out_of_memory";
    case dnnl_invalid_arguments: return "invalid_arguments";
    case dnnl_unimplemented: return "unimplemented";
    case dnnl_iterator_ends: return "iterator_ends";
    case dnnl_runtime_error: return "runtime_error";
    case dnnl_not_required: return "not_required";
    }
    return "unknown";
}

static wk_status failed(const char *what, dnnl_status_t status) {
    wk_status code = status == dnnl_out_of_memory ? WK_NO_MEMORY : WK_INTERNAL;
    return wk_fail(code, "oneDNN: %s: %s", what, status_name(status));
}

static void drop(wk_dnnl_plan *plan) {
    if (!plan) return;
    for (int i = 0; i < plan->count; i++) {
        wk_dnnl_operand *operand = &plan->operand[i];
        if (operand->inner && operand->inner != operand->tensor) (void)dnnl_memory_destroy(operand->inner);
        if (operand->tensor) (void)dnnl_memory_destroy(operand->tensor);
        if (operand->reorder) (void)dnnl_primitive_destroy(operand->reorder);
    }
    if (plan->pad) (void)dnnl_memory_destroy(plan->pad);
    if (plan->primitive) (void)dnnl_primitive_destroy(plan->primitive);
    wk_free(plan);
}

static void drop_cache(void *held) {
    cache *mine = held;
    for (int set = 0; set < SETS; set++)
        for (int way = 0; way < WAYS; way++) drop(mine->plan[set][way]);
    if (mine->stream) (void)dnnl_stream_destroy(mine->stream);
    wk_free(mine);
    of_thread = NULL;
}

static void prepare(void) {
    (void)pthread_key_create(&at_exit, drop_cache);
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) engine = NULL;
}

dnnl_engine_t wk__dnnl_engine(void) {
    (void)pthread_once(&once, prepare);
    if (!engine) (void)wk_fail(WK_INTERNAL, "oneDNN: no engine for the processor");
    return engine;
}

static uint64_t hash(const wk_dnnl_key *key) {
    uint64_t mixed = 0x9e3779b97f4a7c15u;
    for (int i = 0; i < key->length; i++) {
        mixed = (mixed ^ (uint64_t)key->word[i]) * 0xff51afd7ed558ccdu;
        mixed ^= mixed >> 32;
    }
    return mixed;
}

static bool same_key(const wk_dnnl_key *a, const wk_dnnl_key *b) {
    return a->length == b->length && memcmp(a->word, b->word, (size_t)a->length * sizeof a->word[0]) == 0;
}

wk_dnnl_plan *wk__dnnl_find(const wk_dnnl_key *key) {
    if (!of_thread) return NULL;
    wk_dnnl_plan **set = of_thread->plan[hash(key) % SETS];
    for (int way = 0; way < WAYS; way++)
        if (set[way] && same_key(&set[way]->key, key)) return set[way];
    return NULL;
}

static wk_status open_cache(void) {
    if (!wk__dnnl_engine()) return WK_INTERNAL;
    cache *fresh = wk_alloc(sizeof *fresh);
    if (!fresh) return WK_NO_MEMORY;
    dnnl_status_t made = dnnl_stream_create(&fresh->stream, engine, dnnl_stream_default_flags);
    if (made != dnnl_success) {
        wk_free(fresh);
        return failed("stream", made);
    }
    of_thread = fresh;
    (void)pthread_setspecific(at_exit, fresh);
    return WK_OK;
}

wk_dnnl_plan *wk__dnnl_add(const wk_dnnl_key *key) {
    if (!of_thread && open_cache() != WK_OK) return NULL;
    wk_dnnl_plan *plan = wk_alloc(sizeof *plan);
    if (!plan) return NULL;
    plan->key = *key;
    uint64_t set = hash(key) % SETS;
    uint8_t way = of_thread->next[set];
    of_thread->next[set] = (uint8_t)((way + 1) % WAYS);
    drop(of_thread->plan[set][way]);
    of_thread->plan[set][way] = plan;
    return plan;
}

dnnl_primitive_attr_t wk__dnnl_attributes(void) {
    dnnl_primitive_attr_t attributes = NULL;
    if (dnnl_primitive_attr_create(&attributes) != dnnl_success) return NULL;
    (void)dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    return attributes;
}

bool wk__dnnl_set_primitive(wk_dnnl_plan *plan, dnnl_primitive_desc_t desc) {
    const char *name = "";
    bool fast =
        dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name) == dnnl_success && !strstr(name, "ref");
    const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    plan->pad_bytes = pad ? dnnl_memory_desc_get_size(pad) : 0;
    bool made = fast && dnnl_primitive_create(&plan->primitive, desc) == dnnl_success;
    if (made && plan->pad_bytes) made = dnnl_memory_create(&plan->pad, pad, engine, DNNL_MEMORY_NONE) == dnnl_success;
    (void)dnnl_primitive_desc_destroy(desc);
    return made;
}

/* Channels last to blocks of 16 channels and back are runs of 64 bytes: Wick's own copy does them, and applies ReLU on
 * the way (a pass of its own costs 0.19 ms on the second convolution of `cnn`). */
static bool is_blocked_copy(const dnnl_memory_desc_t *tensor, const dnnl_memory_desc_t *inner) {
    dnnl_memory_desc_t last, blocks;
    return tensor->ndims == 4 && tensor->data_type == dnnl_f32 && tensor->dims[1] % 16 == 0
           && dnnl_memory_desc_init_by_tag(&last, 4, tensor->dims, dnnl_f32, dnnl_nhwc) == dnnl_success
           && dnnl_memory_desc_init_by_tag(&blocks, 4, tensor->dims, dnnl_f32, dnnl_nChw16c) == dnnl_success
           && dnnl_memory_desc_equal(tensor, &last) && dnnl_memory_desc_equal(inner, &blocks);
}

static bool make_reorder(dnnl_primitive_t *reorder, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to) {
    dnnl_primitive_desc_t desc = NULL;
    if (dnnl_reorder_primitive_desc_create(&desc, from, engine, to, engine, NULL) != dnnl_success) return false;
    bool made = dnnl_primitive_create(reorder, desc) == dnnl_success;
    (void)dnnl_primitive_desc_destroy(desc);
    return made;
}

bool wk__dnnl_add_operand(wk_dnnl_plan *plan, int argument, bool output, const dnnl_memory_desc_t *tensor,
                          const dnnl_memory_desc_t *inner) {
    wk_dnnl_operand *operand = &plan->operand[plan->count++];
    operand->argument = argument, operand->output = output;
    if (dnnl_memory_create(&operand->tensor, tensor, engine, DNNL_MEMORY_NONE) != dnnl_success) return false;
    operand->inner = operand->tensor;
    if (dnnl_memory_desc_equal(tensor, inner)) return true;
    operand->inner = NULL;
    if (dnnl_memory_create(&operand->inner, inner, engine, DNNL_MEMORY_NONE) != dnnl_success) return false;
    operand->offset = plan->inner_bytes;
    operand->bytes = dnnl_memory_desc_get_size(inner);
    plan->inner_bytes += (operand->bytes + 63) / 64 * 64;
    if (is_blocked_copy(tensor, inner)) {
        for (int i = 0; i < 4; i++) operand->blocked[i] = tensor->dims[i];
        return true;
    }
    return output ? make_reorder(&operand->reorder, inner, tensor) : make_reorder(&operand->reorder, tensor, inner);
}

/* ---- layouts of constant weights, by number ---- */

/* From a tensor's layout to a primitive's. */
typedef struct way {
    struct way *next;
    dnnl_memory_desc_t from, to;
    uint64_t number;
} way;

static way *ways; /* one a shape of weights: they stay as long as the process */
static pthread_mutex_t ways_lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_way(const way *w, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to) {
    return dnnl_memory_desc_equal(&w->from, from) && dnnl_memory_desc_equal(&w->to, to);
}

/* 0 with an error pending. */
static uint64_t number_of_way(const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to) {
    (void)pthread_mutex_lock(&ways_lock);
    way *w = ways;
    while (w && !is_way(w, from, to)) w = w->next;
    if (!w && (w = wk_alloc(sizeof *w))) {
        *w = (way){ ways, *from, *to, ways ? ways->number + 1 : 1 };
        ways = w;
    }
    uint64_t number = w ? w->number : 0;
    (void)pthread_mutex_unlock(&ways_lock);
    return number;
}

bool wk__dnnl_add_constant(wk_dnnl_plan *plan, int argument, const dnnl_memory_desc_t *tensor,
                           const dnnl_memory_desc_t *inner) {
    wk_dnnl_operand *operand = &plan->operand[plan->count];
    size_t scratch = plan->inner_bytes;
    bool added = wk__dnnl_add_operand(plan, argument, false, tensor, inner);
    plan->inner_bytes = scratch;
    if (!added || operand->inner == operand->tensor) return added;
    operand->kept = number_of_way(tensor, inner);
    return operand->kept != 0;
}

/* ---- running ---- */

typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t quad_mask __attribute__((vector_size(16), aligned(4), may_alias));

static inline quad cleared(quad x) {
    return (quad)((quad_mask)x & ~(quad_mask)(x < 0));
}

static void block(float *restrict blocks /* (N, C/16, H·W, 16) */, const float *restrict last /* (N, H·W, C) */,
                  const int64_t *shape, int threads) {
    int64_t channels = shape[1], area = shape[2] * shape[3], groups = channels / 16;
#    pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t plane = 0; plane < shape[0] * groups; plane++) {
        const float *from = last + plane / groups * area * channels + plane % groups * 16;
        float *to = blocks + plane * area * 16;
        for (int64_t i = 0; i < area; i++)
            for (int part = 0; part < 16; part += 4)
                *(quad *)(to + i * 16 + part) = *(const quad *)(from + i * channels + part);
    }
}

static void unblock(float *restrict last /* (N, H·W, C) */, const float *restrict blocks /* (N, C/16, H·W, 16) */,
                    const int64_t *shape, bool relu, int threads) {
    int64_t channels = shape[1], area = shape[2] * shape[3], groups = channels / 16, rows = shape[2], row = shape[3];
#    pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t line = 0; line < shape[0] * rows; line++) {
        int64_t image = line / rows, first = line % rows * row;
        for (int64_t i = first; i < first + row; i++)
            for (int64_t group = 0; group < groups; group++) {
                const float *from = blocks + ((image * groups + group) * area + i) * 16;
                float *to = last + (image * area + i) * channels + group * 16;
                for (int part = 0; part < 16; part += 4) {
                    quad value = *(const quad *)(from + part);
                    *(quad *)(to + part) = relu ? cleared(value) : value;
                }
            }
    }
}

static wk_status convert(const wk_dnnl_plan *plan, wk_dnnl_operand *operand, void *tensor, void *inner, int threads) {
    if (operand->blocked[0]) {
        if (operand->output)
            unblock(tensor, inner, operand->blocked, plan->relu, threads);
        else
            block(inner, tensor, operand->blocked, threads);
        return WK_OK;
    }
    dnnl_exec_arg_t arguments[2] = { { DNNL_ARG_FROM, operand->output ? operand->inner : operand->tensor },
                                     { DNNL_ARG_TO, operand->output ? operand->tensor : operand->inner } };
    dnnl_status_t status = dnnl_primitive_execute(operand->reorder, of_thread->stream, 2, arguments);
    return status == dnnl_success ? WK_OK : failed("reorder", status);
}

/* A constant weight's kept copy, filled if it must be. */
typedef struct packing {
    const wk_dnnl_plan *plan;
    wk_dnnl_operand *operand;
    void *weight;
    int threads;
} packing;

static wk_status pack(void *context, void *packed) {
    const packing *p = context;
    (void)dnnl_memory_set_data_handle(p->operand->inner, packed);
    return convert(p->plan, p->operand, p->weight, packed, p->threads);
}

static wk_status use_kept(const wk_dnnl_plan *plan, wk_dnnl_operand *operand, const wk_tensor *weight, int threads) {
    packing p = { plan, operand, weight->data, threads };
    const void *packed = wk__packed(weight, operand->kept, operand->bytes, pack, &p);
    if (!packed) return wk_error_code();
    (void)dnnl_memory_set_data_handle(operand->inner, (void *)(uintptr_t)packed);
    return WK_OK;
}

static wk_status run(wk_dnnl_plan *plan, void *const *data, const wk_tensor *constant, char *inner, void *pad,
                     int threads) {
    dnnl_exec_arg_t arguments[WK_DNNL_OPERANDS + 1];
    int count = 0;
    for (int i = 0; i < plan->count; i++) {
        wk_dnnl_operand *operand = &plan->operand[i];
        (void)dnnl_memory_set_data_handle(operand->tensor, data[i]);
        arguments[count++] = (dnnl_exec_arg_t){ operand->argument, operand->inner };
        if (operand->inner == operand->tensor) continue;
        if (operand->kept) {
            WK_TRY(use_kept(plan, operand, constant, threads));
            continue;
        }
        (void)dnnl_memory_set_data_handle(operand->inner, inner + operand->offset);
        if (!operand->output) WK_TRY(convert(plan, operand, data[i], inner + operand->offset, threads));
    }
    if (plan->pad) {
        (void)dnnl_memory_set_data_handle(plan->pad, pad);
        arguments[count++] = (dnnl_exec_arg_t){ DNNL_ARG_SCRATCHPAD, plan->pad };
    }
    dnnl_status_t status = dnnl_primitive_execute(plan->primitive, of_thread->stream, count, arguments);
    if (status != dnnl_success) return failed("execute", status);
    for (int i = 0; i < plan->count; i++) {
        wk_dnnl_operand *operand = &plan->operand[i];
        if (operand->output && operand->inner != operand->tensor)
            WK_TRY(convert(plan, operand, data[i], inner + operand->offset, threads));
    }
    return WK_OK;
}

wk_status wk__dnnl_run(wk_dnnl_plan *plan, void *const *data, const wk_tensor *constant, int threads) {
    char *inner = plan->inner_bytes ? wk__cpu_scratch(WK_SCRATCH_REORDER, plan->inner_bytes) : NULL;
    void *pad = plan->pad_bytes ? wk__cpu_scratch(WK_SCRATCH_LIBRARY, plan->pad_bytes) : NULL;
    if ((plan->inner_bytes && !inner) || (plan->pad_bytes && !pad)) return WK_NO_MEMORY;
    int former = wk__team_enter(threads);
    wk_status status = run(plan, data, constant, inner, pad, threads);
    wk__team_leave(former, threads);
    return status;
}

int wk__team_enter(int threads) {
    int former = omp_get_max_threads();
    if (former != threads) omp_set_num_threads(threads);
    return former;
}

void wk__team_leave(int former, int threads) {
    if (former != threads) omp_set_num_threads(former);
}

static void relu_f32(float *x /* (count) */, int64_t count) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) *(quad *)(x + i) = cleared(*(quad *)(x + i));
    for (; i < count; i++) x[i] = x[i] < 0 ? 0 : x[i];
}

/* bf16: negative is the sign bit without NaN, 0xff80 being minus infinity. */
static void relu_bf16(uint16_t *x /* (count) */, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] = (uint16_t)(x[i] > 0x8000u && x[i] <= 0xff80u ? 0 : x[i]);
}

void wk__relu_in_place(void *data, wk_dtype dtype, int64_t count, int threads) {
    int64_t size = dtype == WK_BF16 ? 2 : 4;
    if (count * size < WK_CPU_GRAIN) threads = 1;
#    pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t share = 0; share < threads; share++) {
        int64_t from = count * share / threads, to = count * (share + 1) / threads;
        if (dtype == WK_BF16)
            relu_bf16((uint16_t *)data + from, to - from);
        else
            relu_f32((float *)data + from, to - from);
    }
}

#else
typedef int wk_no_onednn; /* built without libraries */
#endif
