/* device.c: names of devices, and the backends behind them.
 *
 * A device is a small number: 0 the CPU, then a fixed stretch of numbers for each backend.  So a header holds it in a
 * byte, and what belongs to a device is found without a search.  Backends other than the CPU are plugins; one is
 * opened when it is first named, and the reason why that failed is kept, for everybody gets the same answer.
 */
#include "tensor/tensor.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static const char *const names[WK__BACKENDS] = { "cpu", "cuda", "cudaemu" };

static struct {
    _Atomic(const wk_backend *) open;
    bool tried;
    char reason[400];
} backends[WK__BACKENDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

const wk_backend *wk__backend_at(int index) {
    if (index == 0) return wk__cpu_backend();
    return atomic_load_explicit(&backends[index].open, memory_order_acquire);
}

const wk_backend *wk__backend_of(int device) {
    return wk__backend_at(wk__backend_index(device));
}

/* ---- opening ---- */

#define SAY(...) (void)snprintf(reason, sizeof backends[0].reason, __VA_ARGS__)

/* What the plugin exports, or NULL and the reason. */
static const wk_backend *take(void *library, const char *name, char *reason) {
    wk_backend_function entry = NULL;
    void *symbol = dlsym(library, "wick_backend");
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from an object to a function pointer */
    const wk_backend *backend = entry ? entry() : NULL;
    if (!backend) {
        SAY("wick_%s.so exports no backend", name);
        return NULL;
    }
    if (backend->api_version != WK_BACKEND_API || backend->size != sizeof *backend) {
        SAY("wick_%s.so speaks version %u of the backend interface, this libwick speaks %d: build both together", name,
            (unsigned)backend->api_version, WK_BACKEND_API);
        return NULL;
    }
    const char *why = backend->unavailable ? backend->unavailable() : NULL;
    if (!why) return backend;
    SAY("%s", why);
    return NULL;
}

static const wk_backend *find(const char *name, char *reason) {
    wk_text said = { 0 };
    void *library = wk__plugin_library(name, &said);
    const wk_backend *backend = library ? take(library, name, reason) : NULL;
    if (!library && said.size) SAY("wick_%s.so cannot be opened: %s", name, said.data);
    if (!library && !said.size)
        SAY("this build has no wick_%s.so%s", name,
            strcmp(name, "cuda") == 0 ? "; it is built where CMake finds nvcc (tools/install-deps --cuda)" : "");
    wk_text_free(&said);
    return backend;
}

/* The backend of an index ≥ 1, or NULL: the reason stands in the table. */
static const wk_backend *open_once(int index) {
    (void)pthread_mutex_lock(&lock);
    if (!backends[index].tried)
        atomic_store_explicit(&backends[index].open, find(names[index], backends[index].reason), memory_order_release);
    backends[index].tried = true;
    (void)pthread_mutex_unlock(&lock);
    return wk__backend_at(index);
}

static int index_of(const char *name, size_t length) {
    for (int i = 0; i < WK__BACKENDS; i++)
        if (strlen(names[i]) == length && strncmp(names[i], name, length) == 0) return i;
    return -1;
}

int wk__backend_open(const char *name) {
    int index = index_of(name, strlen(name));
    if (index < 0) {
        (void)wk_fail(WK_NOT_FOUND, "there is no backend \"%s\", only cpu, cuda and cudaemu", name);
        return -1;
    }
    if (index == 0 || open_once(index)) return index;
    (void)wk_fail(WK_DEVICE, "%s cannot be used: %s", name, backends[index].reason);
    return -1;
}

/* ---- names ---- */

static wk_status unknown(const char *name) {
    const char *near = wk__nearest(name, names, WK__BACKENDS);
    return wk_fail(WK_CONFIG, "there is no device \"%s\"; expected cpu, cuda, cuda:N, cudaemu or cudaemu:N%s%s%s", name,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

wk_status wk_device_parse(const char *name, wk_device *device) {
    if (wk_failed()) return WK_PENDING;
    if (!name || !device) return wk_fail(WK_INVALID, "wk_device_parse: the name or the place for the device is NULL");
    size_t length = strcspn(name, ":");
    int index = index_of(name, length), ordinal = 0;
    if (index < 0) return unknown(name);
    if (name[length]) {
        const char *digits = name + length + 1;
        if (!*digits || strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 3) return unknown(name);
        for (; *digits; digits++) ordinal = 10 * ordinal + (*digits - '0');
    }
    if (wk__backend_open(names[index]) < 0) return wk_error_code();
    int count = wk__backend_at(index)->device_count();
    if (count > WK__DEVICES_OF_BACKEND) count = WK__DEVICES_OF_BACKEND;
    if (ordinal >= count)
        return wk_fail(WK_DEVICE, "there is no device \"%s\": %s has %d device%s, numbered from 0", name, names[index],
                       count, count == 1 ? "" : "s");
    *device = index ? 1 + (index - 1) * WK__DEVICES_OF_BACKEND + ordinal : 0;
    return WK_OK;
}

static bool is_device(int device) {
    return device >= 0 && device < 1 + (WK__BACKENDS - 1) * WK__DEVICES_OF_BACKEND;
}

const char *wk_device_name(wk_device device) {
    static char texts[WK__BACKENDS][WK__DEVICES_OF_BACKEND][16];
    if (!is_device(device)) return "no device";
    if (device == 0) return names[0];
    char *text = texts[wk__backend_index(device)][wk__ordinal(device)];
    (void)pthread_mutex_lock(&lock);
    if (!*text)
        (void)snprintf(text, sizeof texts[0][0], "%s:%d", names[wk__backend_index(device)], wk__ordinal(device));
    (void)pthread_mutex_unlock(&lock);
    return text;
}

int wk_device_count(const char *backend, char *why, size_t size) {
    if (why && size) *why = '\0';
    int index = backend ? index_of(backend, strlen(backend)) : -1;
    if (index == 0) return 1;
    if (index > 0 && open_once(index)) return wk__backend_at(index)->device_count();
    if (why) (void)snprintf(why, size, "%s", index < 0 ? "there is no such backend" : backends[index].reason);
    return 0;
}

/* ---- asking ---- */

static wk_status check_device(wk_device device, const char *who) {
    if (wk_failed()) return WK_PENDING;
    if (is_device(device) && wk__backend_of(device)) return WK_OK;
    return wk_fail(WK_DEVICE, "%s: %d is no device that wk_device_parse has given", who, device);
}

wk_status wk_device_describe(wk_device device, wk_device_info *info) {
    WK_TRY(check_device(device, "wk_device_describe"));
    return wk__backend_of(device)->device_info(wk__ordinal(device), info);
}

wk_status wk_device_memory(wk_device device, int64_t *used, int64_t *kept) {
    WK_TRY(check_device(device, "wk_device_memory"));
    const wk_backend *backend = wk__backend_of(device);
    wk_memory_use use = { 0 };
    if (backend->memory_use) WK_TRY(backend->memory_use(wk__ordinal(device), &use));
    *used = use.used;
    *kept = use.kept;
    return WK_OK;
}

wk_status wk_device_synchronise(wk_device device) {
    WK_TRY(check_device(device, "wk_device_synchronise"));
    const wk_backend *backend = wk__backend_of(device);
    if (!backend->stream) return WK_OK;
    wk_context *context = wk__context();
    if (context) WK_TRY(wk__step_flush(context));
    wk_stream *stream = backend->stream(wk__ordinal(device));
    return stream ? backend->stream_synchronise(stream) : wk_error_code();
}

wk_device wk_device_use(wk_device device) {
    wk_context *context = wk__context();
    if (!context) return WK_CPU;
    if (is_device(device) && wk__backend_of(device))
        return wk__device_enter(context, device); /* with an error pending too */
    (void)check_device(device, "wk_device_use");
    return context->device;
}

wk_device wk_device_of(const wk_tensor *tensor) {
    return tensor ? tensor->device : 0;
}

wk_traffic_function wk__device_traffic(wk_device device) {
    const wk_backend *backend = is_device(device) ? wk__backend_of(device) : NULL;
    return backend ? backend->traffic : NULL;
}
