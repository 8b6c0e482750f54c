/* wick/op.h: for authors of operations and backends: the tensor's header, the op row, the call.
 *
 * One wk_call (row, inputs, outputs, attributes) is what dispatch passes to a kernel, what the tape stores and what the
 * profiler prints.  A row holds everything that is known about an operation apart from its kernels.
 */
#ifndef WICK_OP_H
#define WICK_OP_H

#include "wick/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WK_MAX_IN  8 /* inputs of an operation without a tensor list */
#define WK_MAX_OUT 4

/* A tensor's header.  Read what you need; change nothing. */
struct wk_tensor {
    void *data;                  /* element 0; NULL once the storage was given back */
    int64_t shape[WK_MAX_RANK];  /* in elements */
    int64_t stride[WK_MAX_RANK]; /* in elements; 0 on broadcast axes */
    int64_t count;               /* product of the shape */
    uint8_t rank, dtype, device, flags;
    uint32_t life; /* a magic number while alive */
    struct wk_storage *storage;
    struct wk_node *node; /* the tape's entry that made it, or NULL */
    struct wk_leaf *leaf; /* gradient state of a tensor that asked for one */
    wk_tensor *next;      /* in its scope's list */
    uint32_t references;  /* of a kept header; atomic */
    uint16_t output;      /* which output of `node` */
};
enum { WK_TENSOR_REQUIRES_GRAD = 1, WK_TENSOR_KEPT = 2, WK_TENSOR_CONTIGUOUS = 4 };

typedef struct wk_op_def wk_op_def;
struct wk_kernel_ctx;

typedef struct wk_call {
    const wk_op_def *op;
    wk_tensor *const *in; /* n_in entries; NULL where optional */
    wk_tensor **out;      /* n_out entries */
    const void *attrs;    /* the row's attribute struct */
    int n_in, n_out;
    int device; /* where it runs */
} wk_call;

/* What a shape rule says of one output. */
typedef struct wk_desc {
    int64_t shape[WK_MAX_RANK];
    int64_t stride[WK_MAX_RANK]; /* used if `strided` or a view */
    int64_t offset;              /* of a view, in elements from the input's element 0 */
    int rank;
    wk_dtype dtype;
    bool strided; /* dense but not row major, as `stride` says */
    int view_of;  /* 1 + the input that it is a view of; 0: memory of its own */
    int reuse_of; /* 1 + the input that is written in place and returned (optimizer rows); 0: none */
    int place;    /* 1 + the device that it is made on; 0: the call's */
} wk_desc;

typedef uint16_t wk_dtype_set; /* bit per wk_dtype; 0 means any */
#define WK_SET_OF(dtype) ((wk_dtype_set)(1u << (dtype)))
#define WK_FLOATS        ((wk_dtype_set)(WK_SET_OF(WK_F32) | WK_SET_OF(WK_F64) | WK_SET_OF(WK_BF16) | WK_SET_OF(WK_F16)))
#define WK_HALVES        ((wk_dtype_set)(WK_SET_OF(WK_BF16) | WK_SET_OF(WK_F16)))
#define WK_F32_F64       ((wk_dtype_set)(WK_SET_OF(WK_F32) | WK_SET_OF(WK_F64)))
#define WK_INTEGERS \
    ((wk_dtype_set)(WK_SET_OF(WK_I64) | WK_SET_OF(WK_I32) | WK_SET_OF(WK_I16) | WK_SET_OF(WK_I8) | WK_SET_OF(WK_U8)))
#define WK_NUMBERS ((wk_dtype_set)(WK_FLOATS | WK_INTEGERS))
#define WK_INDICES ((wk_dtype_set)(WK_SET_OF(WK_I64) | WK_SET_OF(WK_I32)))

/* Which dtypes an operation takes.  `same` names, as a bit mask, the inputs that must agree; with `promote` those that
 * do not are converted to the smallest dtype that holds both (f64 > f32 > f16, bf16 > integers by size > bool); a
 * tensor without axes counts only if no other does, or by its category (bool, integer, float). */
typedef struct wk_dtype_rule {
    wk_dtype_set allowed[WK_MAX_IN];
    uint8_t same;
    bool promote;
    enum { WK_CAST_AS_IS, WK_CAST_LOW, WK_CAST_F32, WK_CAST_WIDEST } autocast; /* what autocast does with the inputs */
} wk_dtype_rule;

typedef enum wk_attr_type {
    WK_ATTR_INT,      /* int64_t */
    WK_ATTR_FLOAT,    /* double */
    WK_ATTR_BOOL,     /* bool */
    WK_ATTR_ENUM,     /* int; `choices` names the values, "none|relu" */
    WK_ATTR_DTYPE,    /* wk_dtype */
    WK_ATTR_INTS,     /* int64_t[length] */
    WK_ATTR_DIMS,     /* wk_dims */
    WK_ATTR_OPTIONAL, /* wk_optional */
    WK_ATTR_TEXT      /* char[length], ended by a zero */
} wk_attr_type;
typedef struct wk_attr_def {
    const char *name;
    wk_attr_type type;
    size_t offset;
    int length;          /* of WK_ATTR_INTS and WK_ATTR_TEXT */
    const char *choices; /* of WK_ATTR_ENUM */
    double otherwise;    /* the default: must be 0 except for WK_ATTR_OPTIONAL */
    const char *doc;
} wk_attr_def;

/* Floating-point operations, and bytes read and written when each operand moves once. */
typedef struct wk_cost {
    double operations, bytes;
} wk_cost;

/* Between begin and end the cost of every call of this context is added up; they do not nest. */
WK_API void wk_cost_begin(void);
WK_API wk_cost wk_cost_so_far(void);
WK_API wk_cost wk_cost_end(void);

/* A gradient rule's view of one call.  in[] and out[] have data where the row said it saves them, shapes always. */
typedef struct wk_grad {
    const wk_call *call;
    wk_tensor *const *in, *const *out;
    wk_tensor *const *dout; /* NULL for an output nobody used */
    const void *attrs;
    wk_tensor **din;   /* the rule fills these; NULL: no gradient */
    const bool *needs; /* which inputs want one */
    /* Where a leaf's gradient may be written at once, or NULL; see wk_op_run_into.  For an input that `wide_din` names,
     * and which is a half copy of a leaf in f32, it is f32: the gradient need not be rounded on its way. */
    struct wk_tensor **sink;
    /* Of rows with `adds`: what has come for input 0 already, row major, or NULL.  The rule may add to it in place and
     * leave din[0] NULL. */
    struct wk_tensor *sum;
} wk_grad;

/* One sample input for tests and benchmarks. */
typedef struct wk_sample_in {
    wk_dims dims;
    enum {
        WK_SAMPLE_UNIFORM, /* floats in [low, high) (default -2, 2), kept `margin` away from 0 and from each other's
                              ties */
        WK_SAMPLE_INDEX,   /* i64 in [low, high) */
        WK_SAMPLE_BOOL,
        WK_SAMPLE_ABSENT, /* an optional input left out */
        WK_SAMPLE_SIGN,   /* −1 or 1 */
        WK_SAMPLE_SPD     /* matrices that are symmetric and positive definite, in the last two axes */
    } kind;
    double low, high, margin;
    bool strided; /* laid out with gaps and permuted axes */
} wk_sample_in;
typedef struct wk_sampler {
    void (*emit)(struct wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs);
    void *context;
    bool huge; /* emit those of WK_HUGE_CASE too */
} wk_sampler;
/* Emit one case: WK_CASE(sampler, "odd", &attrs, { WK_DIMS(3, 5) }, { WK_DIMS(5) }); */
#define WK_CASE(sampler, label, attributes, ...)                               \
    (sampler)->emit((sampler), (label), (const wk_sample_in[]){ __VA_ARGS__ }, \
                    (int)(sizeof((const wk_sample_in[]){ __VA_ARGS__ }) / sizeof(wk_sample_in)), (attributes))
/* A sample that is too large for tests and is only timed; its label begins with "huge". */
#define WK_HUGE_CASE(sampler, label, attributes, ...)                          \
    do                                                                         \
        if ((sampler)->huge) WK_CASE(sampler, label, attributes, __VA_ARGS__); \
    while (0)

struct wk_op_def {
    const char *name, *doc;
    uint8_t n_in;                /* counts optional ones; WK_LIST for a tensor list */
    uint8_t n_out;               /* at most WK_MAX_OUT; WK_LIST where `outputs` says how many (composite rows only) */
    uint8_t optional_in;         /* bit mask */
    uint8_t key;                 /* the input whose dtype selects the kernel (the output's, for a row without inputs) */
    uint8_t saves_in, saves_out; /* bit masks: what backward keeps */
    uint8_t spares_out; /* of saves_out, what the rule can do without: where it was changed in place since, it is given
                           without data, and is no error */
    uint8_t wide_din;   /* bit mask of inputs whose gradient the rule may write into a sink of f32, see wk_grad */
    uint8_t mutates;    /* bit mask of inputs written in place */
    bool (*mutates_now)(const wk_call *call); /* optional: whether this call writes them */
    uint8_t host_in; /* bit mask of inputs that kernels of every device read on the host: they stay on the CPU */
    bool (*host_in_list)(const wk_call *call, int input); /* the same of rows with a tensor list; optional */
    uint8_t internal_out;                                 /* bit mask of outputs that nobody may ask a gradient of */
    bool keyed_by_output;                                 /* the kernel is selected by the dtype of output 0 */
    bool zero_sized_runs;                                 /* call the kernel even when every output is empty */
    bool data_dependent;                                  /* the output's shape depends on values */
    bool random;                                          /* draws random numbers: samples are compared by statistics */
    bool internal;    /* serves gradient rules or optimizers; users do not call it */
    bool moves;       /* takes inputs of any device; its kernel is `run` */
    bool composite;   /* always runs as `decompose` says: shape and gradient are those of the parts */
    bool part;        /* the output is a view of some elements of input 0, each once: dy is added to that part of dx */
    bool adds;        /* the gradient rule looks at wk_grad.sum */
    bool elementwise; /* an element of the output depends on the elements there of the inputs, broadcast, alone */
    int (*outputs)(const wk_call *call); /* of rows with a list of outputs: how many; -1 with an error pending */
    const wk_attr_def *attrs;
    int n_attrs;
    size_t attrs_size;
    wk_dtype_rule dtype;
    wk_status (*shape)(const wk_call *call, wk_desc out[]);
    wk_status (*grad)(wk_grad *grad);
    /* Optional, of rows whose input 0 is a table: its gradient as values (K, …) at rows index (K), i64, where the
     * attributes ask for that; else both stay NULL. */
    wk_status (*grad_rows)(wk_grad *grad, wk_tensor **index, wk_tensor **values);
    const char *not_differentiable; /* why, if grad is NULL */
    const char *thread_dependent;   /* why another number of threads may give other bits; NULL: it never does */
    wk_status (*decompose)(const wk_call *call, wk_tensor *out[]);
    wk_status (*run)(struct wk_kernel_ctx *ctx, const wk_call *call); /* optional: serves every device */
    wk_cost (*cost)(const wk_call *call);
    size_t (*workspace)(const wk_call *call);
    void (*samples)(wk_sampler *sampler);
    int id; /* set when registered */
};
#define WK_LIST 255 /* n_in of rows that take a tensor list */

/* Add a row; its id is assigned.  Errors: WK_EXISTS, WK_INVALID (a row without samples or cost, without shape rule, or
 * with neither a gradient rule nor a reason; a composite row needs its parts instead of the last two).  Wick's own rows
 * are there from the start. */
WK_API wk_status wk_op_register(wk_op_def *op);
WK_API const wk_op_def *wk_op_find(const char *name);
WK_API int wk_op_count(void);
WK_API const wk_op_def *wk_op_get(int id);
/* Under which name Wick's own rows stand together ("pointwise", "loss"); "" for rows of others. */
WK_API const char *wk_op_family(const wk_op_def *op);

/* How many outputs a call has: row->n_out, or what row->outputs says; -1 with an error pending. */
WK_API int wk_op_outputs(const wk_op_def *op, wk_tensor *const *in, int n_in, const void *attrs);

/* Attributes by name and text, as command lines and files write them: numbers; true and false; a choice's or a dtype's
 * name; "2,3" for several numbers (one number fills WK_ATTR_INTS).  `attrs` points to row->attrs_size bytes that were
 * zeroed first: zero is every attribute's default.  Errors: WK_CONFIG with the attribute, the value and what was
 * expected. */
WK_API wk_status wk_op_set_attr(const wk_op_def *op, void *attrs, const char *name, const char *value);
/* The value of attribute `index` as the text that wk_op_set_attr reads; "" for an optional that is not set. */
WK_API wk_status wk_op_get_attr(const wk_op_def *op, const void *attrs, int index, char *text, size_t size);

/* Run one operation.  out[] receives wk_op_outputs tensors of the current scope, NULL on failure.  attrs NULL: all
 * defaults. */
WK_API wk_status wk_op_run(const wk_op_def *op, wk_tensor *const *in, int n_in, wk_tensor **out, const void *attrs);
/* The same with output i written into targets[i] where that is not NULL and fits (dense, same shape and dtype): used by
 * gradient rules with sinks.  targets: one for each output, or NULL for none.  Never records on the tape when there is
 * a target. */
WK_API wk_status wk_op_run_into(const wk_op_def *op, wk_tensor *const *in, int n_in, wk_tensor **out, const void *attrs,
                                wk_tensor *const *targets);
/* One output, one to three inputs. */
WK_API wk_tensor *wk_op_run1(const wk_op_def *op, const void *attrs, wk_tensor *a);
WK_API wk_tensor *wk_op_run2(const wk_op_def *op, const void *attrs, wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_op_run3(const wk_op_def *op, const void *attrs, wk_tensor *a, wk_tensor *b, wk_tensor *c);

/* ---- kernels, and operations of your own ---- */

typedef struct wk_stream wk_stream; /* NULL on the CPU: work is done when the call returns; a cudaStream_t on "cuda" */
typedef struct wk_kernel_ctx {
    wk_stream *stream;
    int threads;     /* how many threads of the OpenMP team this call may use, ≥ 1 */
    void *workspace; /* of the size that the row asked for */
    size_t workspace_size;
    struct wk_noted_numbers *noted; /* of kernels that say they know it (tensor/backend.h); NULL for all others */
} wk_kernel_ctx;
/* Computes all outputs of the call; they are allocated, nothing overlaps an input unless the row says so.  May answer
 * WK_UNSUPPORTED (without recording an error) before it writes anything; other failures are recorded with wk_fail. */
typedef wk_status (*wk_kernel)(wk_kernel_ctx *ctx, const wk_call *call);

/* The kernel of a row on a backend ("cpu", "cuda", "cudaemu") for these dtypes of its key tensor, from now on; also in
 * place of Wick's own. Errors: WK_NOT_FOUND (no such row or backend), WK_INVALID (no kernel). */
WK_API wk_status wk_op_register_kernel(const char *op, const char *backend, wk_dtype_set dtypes, wk_kernel kernel);

/* A shared library with operations exports one symbol, `const wk_plugin wick_plugin`. */
#define WK_PLUGIN_API 2
typedef struct wk_plugin {
    uint32_t api_version; /* WK_PLUGIN_API */
    const char *name;
    wk_status (*load)(void); /* registers its rows and kernels */
} wk_plugin;
/* Open a plug-in, once; it stays loaded.  Errors: WK_IO (cannot be opened, with the loader's reason), WK_FORMAT (no
 * such symbol, another API version), and what its load reports. */
WK_API wk_status wk_plugin_open(const char *path);

/* Messages of shape rules: "linear: weight has shape (4), expected …". */
WK_API wk_status wk_bad_call(const wk_call *call, wk_status code, const char *format, ...) WK_PRINTF(3, 4);

/* Shape rules' helpers. */
WK_API wk_desc wk_desc_row_major(wk_dtype dtype, int rank, const int64_t *shape);
WK_API wk_desc wk_desc_like(const wk_tensor *tensor); /* same shape, dtype, and layout where that is dense */
/* The shape of a broadcast of all inputs that are there (NumPy's rule); the layout of the inputs where they agree. */
WK_API wk_status wk_desc_broadcast(const wk_call *call, wk_dtype dtype, wk_desc *out);

#ifdef __cplusplus
}
#endif
#endif
