/* pickle.c: a pickle is a program for a machine with a stack; this is that machine without its doors.
 *
 * What would be a class or a function is looked up in the short list below and is otherwise refused by name: nothing is
 * imported and nothing is called.  The list is that of torch.load(weights_only=True) where it makes tensors and
 * containers, and TensorDataset.  Opcodes: CPython, Lib/pickle.py (protocols 0 to 5; those that torch.save and pickle
 * write for such values).
 */
#include "io/pickle.h"

#include <string.h>

enum { NEWEST_PROTOCOL = 5, MOST_REPEATS = 1024, LEAST_STORAGE = 4096 /* bytes */ };

/* Between two values of the stack: where a tuple, list or dict begins. */
static wk__pickled mark;

typedef struct machine {
    const unsigned char *bytes, *at, *end;
    const char *name;
    wk__arena *arena;
    wk__pickled **stack, **memo;
    size_t height, most, memo_size; /* of the stack, of both arrays */
    size_t memo_next;               /* of MEMOIZE */
    wk__pickled *storages;          /* the last that was made */
    int64_t room;                   /* items that containers may still take, copies included */
} machine;

static wk_status bad(const machine *m, const char *what) {
    return wk_fail(WK_FORMAT, "%s: byte %zu of its pickle: %s", m->name, (size_t)(m->at - m->bytes), what);
}

/* ---- bytes ---- */

static wk_status take(machine *m, size_t size, const unsigned char **bytes) {
    *bytes = m->at;
    if (size > (size_t)(m->end - m->at)) return bad(m, "it ends too early");
    m->at += size;
    return WK_OK;
}

static wk_status take_number(machine *m, int size, uint64_t *value) {
    const unsigned char *b = NULL;
    *value = 0;
    WK_TRY(take(m, (size_t)size, &b));
    for (int i = size - 1; i >= 0; i--) *value = *value << 8 | b[i];
    return WK_OK;
}

/* Up to a line's end, which is passed over. */
static wk_status take_line(machine *m, const char **text, size_t *size) {
    const unsigned char *end = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (!end) return bad(m, "a line without end");
    *text = (const char *)m->at;
    *size = (size_t)(end - m->at);
    m->at = end + 1;
    return WK_OK;
}

static const char *held_text(machine *m, const void *bytes, size_t size) {
    char *text = wk__arena_take(m->arena, size + 1);
    if (!text) return NULL;
    memcpy(text, bytes, size);
    text[size] = '\0';
    return text;
}

/* ---- the stack ---- */

static wk__pickled *make(machine *m, wk__pickled_kind kind) {
    wk__pickled *v = wk__arena_take(m->arena, sizeof *v);
    if (v) *v = (wk__pickled){ .kind = kind };
    return v;
}

static wk_status push(machine *m, wk__pickled *v) {
    if (!v) return WK_NO_MEMORY;
    /* Each value takes a byte of the pickle at least, so `most` of them fit. */
    if (m->height == m->most) return bad(m, "more values than bytes");
    m->stack[m->height++] = v;
    return WK_OK;
}

static wk_status pop(machine *m, wk__pickled **v) {
    if (m->height == 0 || m->stack[m->height - 1] == &mark) return bad(m, "a value is missing");
    *v = m->stack[--m->height];
    return WK_OK;
}

static wk_status top(const machine *m, wk__pickled **v) {
    if (m->height == 0 || m->stack[m->height - 1] == &mark) return bad(m, "a value is missing");
    *v = m->stack[m->height - 1];
    return WK_OK;
}

/* The values above the last mark, which goes with them. */
static wk_status pop_to_mark(machine *m, wk__pickled ***items, int64_t *count) {
    size_t from = m->height;
    while (from > 0 && m->stack[from - 1] != &mark) from--;
    if (from == 0) return bad(m, "a mark is missing");
    *items = m->stack + from;
    *count = (int64_t)(m->height - from);
    m->height = from - 1;
    return WK_OK;
}

static wk_status extend(machine *m, wk__pickled *list, wk__pickled **items, int64_t count) {
    if (count > m->room) return bad(m, "more items than its bytes can mean");
    m->room -= count;
    if (list->count + count > list->capacity) {
        const int64_t capacity = 2 * (list->count + count) + 4;
        wk__pickled **more = wk__arena_take(m->arena, (size_t)capacity * sizeof *more);
        if (!more) return WK_NO_MEMORY;
        if (list->count) memcpy(more, list->items, (size_t)list->count * sizeof *more);
        list->items = more;
        list->capacity = capacity;
    }
    if (count) memcpy(list->items + list->count, items, (size_t)count * sizeof *items);
    list->count += count;
    return WK_OK;
}

static wk_status push_sequence(machine *m, wk__pickled_kind kind, wk__pickled **items, int64_t count) {
    wk__pickled *v = make(m, kind);
    if (!v) return WK_NO_MEMORY;
    WK_TRY(extend(m, v, items, count));
    return push(m, v);
}

static wk_status push_top_as_tuple(machine *m, size_t count) {
    if (m->height < count) return bad(m, "a value is missing");
    for (size_t i = 1; i <= count; i++)
        if (m->stack[m->height - i] == &mark) return bad(m, "a value is missing");
    m->height -= count;
    return push_sequence(m, WK__PICKLED_TUPLE, m->stack + m->height, (int64_t)count);
}

static wk_status push_integer(machine *m, wk__pickled_kind kind, int64_t value) {
    wk__pickled *v = make(m, kind);
    if (v) v->integer = value;
    return push(m, v);
}

static wk_status push_text(machine *m, uint64_t size) {
    const unsigned char *bytes = NULL;
    WK_TRY(take(m, (size_t)size, &bytes));
    if (memchr(bytes, '\0', (size_t)size)) return bad(m, "a text with a NUL");
    wk__pickled *v = make(m, WK__PICKLED_TEXT);
    if (v) v->text = held_text(m, bytes, (size_t)size);
    return v && v->text ? push(m, v) : WK_NO_MEMORY;
}

/* Little endian, in two's complement; Python's integers may be longer than 64 bits, those of state_dicts are not. */
static wk_status push_long(machine *m, uint64_t size) {
    const unsigned char *b = NULL;
    if (size > 8) return bad(m, "an integer of more than 64 bits");
    WK_TRY(take(m, (size_t)size, &b));
    uint64_t value = size > 0 && b[size - 1] & 0x80 ? UINT64_MAX : 0;
    for (uint64_t i = size; i > 0; i--) value = value << 8 | b[i - 1];
    return push_integer(m, WK__PICKLED_INTEGER, (int64_t)value);
}

/* Big endian, unlike everything else. */
static wk_status push_float(machine *m) {
    const unsigned char *b = NULL;
    uint64_t bits = 0;
    WK_TRY(take(m, 8, &b));
    for (int i = 0; i < 8; i++) bits = bits << 8 | b[i];
    wk__pickled *v = make(m, WK__PICKLED_FLOAT);
    if (v) memcpy(&v->number, &bits, sizeof bits);
    return push(m, v);
}

/* ---- the memo: values that are used more than once ---- */

static wk_status keep(machine *m, uint64_t place) {
    wk__pickled *v = NULL;
    WK_TRY(top(m, &v));
    if (place >= m->memo_size) return bad(m, "a place of the memo beyond its size");
    m->memo[place] = v;
    return WK_OK;
}

static wk_status recall(machine *m, uint64_t place) {
    if (place >= m->memo_size || !m->memo[place]) return bad(m, "a place of the memo that holds nothing");
    return push(m, m->memo[place]);
}

/* ---- what has a name ---- */

typedef struct typed_name {
    const char *name;
    wk_dtype dtype;
} typed_name;
static const typed_name storages[] = {
    { "torch FloatStorage", WK_F32 }, { "torch DoubleStorage", WK_F64 },    { "torch HalfStorage", WK_F16 },
    { "torch LongStorage", WK_I64 },  { "torch BFloat16Storage", WK_BF16 }, { "torch IntStorage", WK_I32 },
    { "torch ShortStorage", WK_I16 }, { "torch CharStorage", WK_I8 },       { "torch ByteStorage", WK_U8 },
    { "torch BoolStorage", WK_BOOL },
};
static const typed_name dtypes[] = {
    { "torch float32", WK_F32 },   { "torch float64", WK_F64 }, { "torch float16", WK_F16 }, { "torch int64", WK_I64 },
    { "torch bfloat16", WK_BF16 }, { "torch int32", WK_I32 },   { "torch int16", WK_I16 },   { "torch int8", WK_I8 },
    { "torch uint8", WK_U8 },      { "torch bool", WK_BOOL },
};
static const char *const callables[] = {
    "collections OrderedDict",
    "collections Counter",
    "torch Size",
    "torch device",
    "torch.storage UntypedStorage",
    "torch UntypedStorage",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_parameter_with_state",
    "torch.utils.data.dataset TensorDataset",
};

static const typed_name *typed(const typed_name *names, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i].name, name) == 0) return &names[i];
    return NULL;
}

static wk_status push_global(machine *m, const char *module, size_t module_size, const char *name, size_t name_size) {
    if (module_size + name_size > 200) return bad(m, "the name of a class of more than 200 bytes");
    char text[204];
    (void)snprintf(text, sizeof text, "%.*s %.*s", (int)module_size, module, (int)name_size, name);
    const typed_name *storage = typed(storages, WK_COUNT(storages), text);
    const typed_name *dtype = typed(dtypes, WK_COUNT(dtypes), text);
    bool is_known = storage || dtype;
    for (size_t i = 0; i < WK_COUNT(callables); i++) is_known = is_known || strcmp(callables[i], text) == 0;
    if (!is_known) {
        *strchr(text, ' ') = '.';
        return wk_fail(
            WK_FORMAT,
            "%s: byte %zu of its pickle asks for %s: only tensors, containers and plain values are read, and "
            "no code is run; save a state_dict instead of a whole model",
            m->name, (size_t)(m->at - m->bytes), text);
    }
    wk__pickled *v = make(m, WK__PICKLED_GLOBAL);
    if (v) v->text = held_text(m, text, strlen(text));
    return v && v->text ? push(m, v) : WK_NO_MEMORY;
}

static wk_status read_global(machine *m) {
    const char *module = NULL, *name = NULL;
    size_t module_size = 0, name_size = 0;
    WK_TRY(take_line(m, &module, &module_size));
    WK_TRY(take_line(m, &name, &name_size));
    return push_global(m, module, module_size, name, name_size);
}

static wk_status stack_global(machine *m) {
    wk__pickled *module = NULL, *name = NULL;
    WK_TRY(pop(m, &name));
    WK_TRY(pop(m, &module));
    if (name->kind != WK__PICKLED_TEXT || module->kind != WK__PICKLED_TEXT) return bad(m, "a class without a name");
    return push_global(m, module->text, strlen(module->text), name->text, strlen(name->text));
}

static bool is_global(const wk__pickled *v, const char *name) {
    return v->kind == WK__PICKLED_GLOBAL && strcmp(v->text, name) == 0;
}

/* ('storage', class, key, where it was, elements); before PyTorch 1.6 with what it is a view of, always None today */
static wk_status push_storage(machine *m) {
    wk__pickled *id = NULL;
    WK_TRY(pop(m, &id));
    wk__pickled **item = id->items;
    const bool is_view = id->count == 6 && item[5]->kind != WK__PICKLED_NONE;
    if (id->kind != WK__PICKLED_TUPLE || (id->count != 5 && id->count != 6) || is_view
        || item[0]->kind != WK__PICKLED_TEXT || strcmp(item[0]->text, "storage") != 0
        || item[1]->kind != WK__PICKLED_GLOBAL || item[2]->kind != WK__PICKLED_TEXT
        || item[4]->kind != WK__PICKLED_INTEGER || item[4]->integer < 0)
        return bad(m, "a reference to something other than a storage");
    const typed_name *type = typed(storages, WK_COUNT(storages), item[1]->text);
    wk__pickled *v = make(m, WK__PICKLED_STORAGE);
    if (!v) return WK_NO_MEMORY;
    v->untyped = !type;
    v->dtype = type ? type->dtype : WK_U8;
    v->text = item[2]->text;
    v->integer = item[4]->integer;
    if (v->untyped && !strstr(item[1]->text, "UntypedStorage")) return bad(m, "a storage of a class that is none");
    v->next = m->storages;
    m->storages = v;
    return push(m, v);
}

static bool read_sizes(const wk__pickled *v, wk_dims *dims) {
    if (v->kind != WK__PICKLED_TUPLE || v->count > WK_MAX_RANK) return false;
    dims->rank = (int)v->count;
    for (int i = 0; i < dims->rank; i++) {
        if (v->items[i]->kind != WK__PICKLED_INTEGER || v->items[i]->integer < 0) return false;
        dims->size[i] = v->items[i]->integer;
    }
    return true;
}

/* Whether every element lies in `size` elements. */
static bool fits(const wk__pickled *t, int64_t size) {
    int64_t last = t->integer, extent;
    for (int i = 0; i < t->dims.rank; i++)
        if (t->dims.size[i] == 0) return t->integer <= size;
    for (int i = 0; i < t->dims.rank; i++)
        if (__builtin_mul_overflow(t->dims.size[i] - 1, t->strides.size[i], &extent)
            || __builtin_add_overflow(last, extent, &last))
            return false;
    return last < size;
}

/* A tensor whose strides are 0 repeats numbers: no state_dict has one that repeats them a thousand times, and a file of
 * a hundred bytes is not to ask for a terabyte. */
static bool repeats_too_often(const wk__pickled *t, int64_t bytes, int64_t element) {
    int64_t own = element;
    for (int i = 0; i < t->dims.rank; i++)
        if (__builtin_mul_overflow(own, t->dims.size[i], &own)) return true;
    return own / MOST_REPEATS > bytes + LEAST_STORAGE;
}

/* (storage, offset, sizes, strides, …[, dtype]) */
static wk_status push_tensor(machine *m, const wk__pickled *args, bool has_dtype) {
    wk__pickled **arg = args->items, *v = make(m, WK__PICKLED_TENSOR);
    if (!v) return WK_NO_MEMORY;
    if (args->count < 4 || arg[0]->kind != WK__PICKLED_STORAGE || arg[1]->kind != WK__PICKLED_INTEGER
        || arg[1]->integer < 0 || !read_sizes(arg[2], &v->dims) || !read_sizes(arg[3], &v->strides)
        || v->dims.rank != v->strides.rank)
        return bad(m, "a tensor without a storage, or with sizes and strides that do not go together");
    v->base = arg[0];
    v->integer = arg[1]->integer;
    const typed_name *dtype = NULL;
    if (has_dtype && args->count > 6 && arg[6]->kind == WK__PICKLED_GLOBAL)
        dtype = typed(dtypes, WK_COUNT(dtypes), arg[6]->text);
    if (has_dtype ? !dtype : v->base->untyped) return bad(m, "a tensor without a dtype that Wick knows");
    v->dtype = has_dtype ? dtype->dtype : v->base->dtype;
    const int64_t element = (int64_t)wk_dtype_size(v->dtype);
    const int64_t bytes_each = v->base->untyped ? 1 : (int64_t)wk_dtype_size(v->base->dtype);
    int64_t bytes;
    if (__builtin_mul_overflow(v->base->integer, bytes_each, &bytes) || !fits(v, bytes / element))
        return bad(m, "a tensor that reaches beyond its storage");
    if (repeats_too_often(v, bytes, element)) return bad(m, "a tensor a thousand times as large as its storage");
    return push(m, v);
}

static wk_status push_pairs(machine *m, const wk__pickled *args) {
    wk__pickled *v = make(m, WK__PICKLED_DICT);
    if (!v) return WK_NO_MEMORY;
    const wk__pickled *from = args->count > 0 ? args->items[0] : NULL;
    if (from && from->kind == WK__PICKLED_DICT) {
        WK_TRY(extend(m, v, from->items, from->count));
    } else if (from) {
        for (int64_t i = 0; i < from->count; i++) {
            if (from->items[i]->count != 2) return bad(m, "a dict of something other than pairs");
            WK_TRY(extend(m, v, from->items[i]->items, 2));
        }
    }
    return push(m, v);
}

/* What a call of one of the listed functions would have given. */
static wk_status reduce(machine *m) {
    wk__pickled *args = NULL, *function = NULL;
    WK_TRY(pop(m, &args));
    WK_TRY(pop(m, &function));
    if (args->kind != WK__PICKLED_TUPLE) return bad(m, "arguments that are no tuple");
    if (is_global(function, "collections OrderedDict") || is_global(function, "collections Counter"))
        return push_pairs(m, args);
    if (is_global(function, "torch._utils _rebuild_tensor") || is_global(function, "torch._utils _rebuild_tensor_v2"))
        return push_tensor(m, args, false);
    if (is_global(function, "torch._utils _rebuild_tensor_v3")) return push_tensor(m, args, true);
    const bool is_first_of = is_global(function, "torch._utils _rebuild_parameter")
                             || is_global(function, "torch._utils _rebuild_parameter_with_state")
                             || is_global(function, "torch Size") || is_global(function, "torch device");
    if (is_first_of && args->count > 0) return push(m, args->items[0]);
    return bad(m, "a call of something that is no function");
}

/* An object that is made without arguments: a dict that takes its attributes. */
static wk_status new_object(machine *m) {
    wk__pickled *args = NULL, *class_ = NULL;
    WK_TRY(pop(m, &args));
    WK_TRY(pop(m, &class_));
    if (!is_global(class_, "torch.utils.data.dataset TensorDataset"))
        return bad(m, "an object of a class that is none");
    return push(m, make(m, WK__PICKLED_DICT));
}

/* Attributes: the contents of a TensorDataset; of containers (an OrderedDict's _metadata) nothing that is kept. */
static wk_status build(machine *m) {
    wk__pickled *state = NULL, *object = NULL;
    WK_TRY(pop(m, &state));
    WK_TRY(top(m, &object));
    if (object->kind == WK__PICKLED_DICT && object->count == 0 && state->kind == WK__PICKLED_DICT && state->count >= 2
        && state->items[0]->kind == WK__PICKLED_TEXT && strcmp(state->items[0]->text, "tensors") == 0)
        return extend(m, object, state->items, state->count);
    return WK_OK;
}

static wk_status add_items(machine *m, wk__pickled_kind kind, wk__pickled **items, int64_t count) {
    wk__pickled *container = NULL;
    WK_TRY(top(m, &container));
    if (container->kind != kind) return bad(m, "items for something that is no list or dict");
    if (kind == WK__PICKLED_DICT && count % 2) return bad(m, "a key without a value");
    return extend(m, container, items, count);
}

/* ---- the program ---- */

static wk_status add_marked(machine *m, wk__pickled_kind kind) {
    wk__pickled **items = NULL;
    int64_t count = 0;
    WK_TRY(pop_to_mark(m, &items, &count));
    return add_items(m, kind, items, count);
}

static wk_status add_top(machine *m, wk__pickled_kind kind, size_t count) {
    if (m->height <= count) return bad(m, "a value is missing");
    for (size_t i = 1; i <= count; i++)
        if (m->stack[m->height - i] == &mark) return bad(m, "a value is missing");
    m->height -= count;
    return add_items(m, kind, m->stack + m->height, (int64_t)count);
}

static wk_status push_marked(machine *m, wk__pickled_kind kind) {
    wk__pickled **items = NULL;
    int64_t count = 0;
    WK_TRY(pop_to_mark(m, &items, &count));
    if (kind == WK__PICKLED_DICT && count % 2) return bad(m, "a key without a value");
    return push_sequence(m, kind, items, count);
}

/* One operand of `size` bytes, then what it is for. */
#define WITH(size, action)                \
    do {                                  \
        uint64_t n = 0;                   \
        WK_TRY(take_number(m, size, &n)); \
        return action;                    \
    } while (0)

static wk_status step(machine *m, unsigned char opcode) {
    wk__pickled *dropped = NULL;
    const unsigned char *skipped = NULL;
    switch (opcode) {
    case 0x80: WITH(1, n > NEWEST_PROTOCOL ? bad(m, "a protocol above 5") : WK_OK); /* PROTO */
    case 0x95: return take(m, 8, &skipped);                                         /* FRAME */
    case '(': return push(m, &mark);
    case '0': return pop(m, &dropped);
    case 'N': return push(m, make(m, WK__PICKLED_NONE));
    case 0x88: return push_integer(m, WK__PICKLED_BOOL, 1);
    case 0x89: return push_integer(m, WK__PICKLED_BOOL, 0);
    case 'K': WITH(1, push_integer(m, WK__PICKLED_INTEGER, (int64_t)n));
    case 'M': WITH(2, push_integer(m, WK__PICKLED_INTEGER, (int64_t)n));
    case 'J': WITH(4, push_integer(m, WK__PICKLED_INTEGER, (int32_t)(uint32_t)n));
    case 0x8a: WITH(1, push_long(m, n));
    case 'G': return push_float(m);
    case 'X': WITH(4, push_text(m, n));
    case 0x8c: WITH(1, push_text(m, n));
    case 0x8d: WITH(8, push_text(m, n));
    case ')': return push(m, make(m, WK__PICKLED_TUPLE));
    case 0x85: return push_top_as_tuple(m, 1);
    case 0x86: return push_top_as_tuple(m, 2);
    case 0x87: return push_top_as_tuple(m, 3);
    case 't': return push_marked(m, WK__PICKLED_TUPLE);
    case ']': return push(m, make(m, WK__PICKLED_LIST));
    case 'l': return push_marked(m, WK__PICKLED_LIST);
    case '}': return push(m, make(m, WK__PICKLED_DICT));
    case 'd': return push_marked(m, WK__PICKLED_DICT);
    case 'a': return add_top(m, WK__PICKLED_LIST, 1);
    case 'e': return add_marked(m, WK__PICKLED_LIST);
    case 's': return add_top(m, WK__PICKLED_DICT, 2);
    case 'u': return add_marked(m, WK__PICKLED_DICT);
    case 'q': WITH(1, keep(m, n));
    case 'r': WITH(4, keep(m, n));
    case 0x94: return keep(m, m->memo_next++);
    case 'h': WITH(1, recall(m, n));
    case 'j': WITH(4, recall(m, n));
    case 'c': return read_global(m);
    case 0x93: return stack_global(m);
    case 'Q': return push_storage(m);
    case 'R': return reduce(m);
    case 0x81: return new_object(m);
    case 'b': return build(m);
    default: return bad(m, "an opcode that tensors do not need");
    }
}

static wk_status run(machine *m) {
    while (m->at < m->end) {
        const unsigned char opcode = *m->at++;
        if (opcode == '.') return m->height == 1 ? WK_OK : bad(m, "it ends with more or less than one value");
        WK_TRY(step(m, opcode));
    }
    return bad(m, "it has no end");
}

wk__pickled *wk__pickle_read(const void *bytes, size_t size, const char *name, wk__arena *arena,
                             wk__pickle_rest *rest) {
    machine m = {
        .bytes = bytes, .at = bytes, .end = (const unsigned char *)bytes + size, .name = name, .arena = arena
    };
    m.most = m.memo_size = size;
    m.room = 4 * (int64_t)size;
    m.stack = wk_alloc((size + 1) * sizeof *m.stack);
    m.memo = wk_alloc((size + 1) * sizeof *m.memo);
    wk__pickled *value = m.stack && m.memo && run(&m) == WK_OK ? m.stack[0] : NULL;
    wk_free(m.stack);
    wk_free(m.memo);
    *rest = (wk__pickle_rest){ (size_t)(m.at - m.bytes), m.storages };
    if (value != &mark) return value;
    (void)bad(&m, "it ends with more or less than one value");
    return NULL;
}
