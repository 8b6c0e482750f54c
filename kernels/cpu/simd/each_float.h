/* each_float.h: a body of kernels once for each float type.  Define WK_BODY as the header that holds it, then include
 * this.
 *
 * The body sees T (the stored type), REAL (the type to compute in), LOAD, STORE, and NAME(x), which adds the type's
 * name.
 */
#define T        float
#define REAL     float
#define LOAD(x)  (x)
#define STORE(x) (x)
#define NAME(x)  x##_f32
#include WK_BODY
#undef T
#undef REAL
#undef LOAD
#undef STORE
#undef NAME

#define T        double
#define REAL     double
#define LOAD(x)  (x)
#define STORE(x) (x)
#define NAME(x)  x##_f64
#include WK_BODY
#undef T
#undef REAL
#undef LOAD
#undef STORE
#undef NAME

#define T        uint16_t
#define REAL     float
#define LOAD(x)  wk_load_bf16(x)
#define STORE(x) wk_store_bf16(x)
#define NAME(x)  x##_bf16
#include WK_BODY
#undef LOAD
#undef STORE
#undef NAME

#define LOAD(x)  wk_load_f16(x)
#define STORE(x) wk_store_f16(x)
#define NAME(x)  x##_f16
#include WK_BODY
#undef T
#undef REAL
#undef LOAD
#undef STORE
#undef NAME
#undef WK_BODY
