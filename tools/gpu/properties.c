/* properties.c: what a card says of itself, as JSON on standard output: by the driver, and by cuDNN where that is
 * there.
 *
 *   properties [ORDINAL]
 *
 * Kept as data of tests, it stands for the card where there is none: cuDNN plans graphs for a device that it knows by
 * its text alone.  Both libraries are opened at run time, so this builds, and says what lacks, on any machine.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ATTRIBUTES = 160 }; /* CUdevice_attribute: numbers without a meaning are answered with an error */
/* cudnn_graph.h */
enum { DEVICE_PROPERTIES = 38, PROPERTIES_ORDINAL = 2700, PROPERTIES_JSON = 2702, TYPE_INT32 = 23, TYPE_CHAR = 24 };

typedef int call_with_number(unsigned);
typedef int call_get_device(int *device, int ordinal);
typedef int call_get_name(char *name, int size, int device);
typedef int call_get_attribute(int *value, int attribute, int device);
typedef int call_total(size_t *bytes, int device);
typedef int call_version(int *version);
typedef int call_create(int kind, void **descriptor);
typedef int call_set(void *descriptor, int name, int type, int64_t count, const void *values);
typedef int call_get(void *descriptor, int name, int type, int64_t most, int64_t *count, void *values);
typedef int call_finalize(void *descriptor);

/* ISO C has no cast from an object to a function pointer. */
#define TAKE(function, library, name)                \
    do {                                             \
        void *symbol = dlsym(library, name);         \
        memcpy(&(function), &symbol, sizeof symbol); \
    } while (0)

static int by_driver(int ordinal) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    if (!driver) return fprintf(stderr, "properties: %s\n", dlerror()), 1;
    call_with_number *start;
    call_get_device *get_device;
    call_get_name *get_name;
    call_get_attribute *get_attribute;
    call_total *total;
    call_version *get_version;
    TAKE(start, driver, "cuInit");
    TAKE(get_device, driver, "cuDeviceGet");
    TAKE(get_name, driver, "cuDeviceGetName");
    TAKE(get_attribute, driver, "cuDeviceGetAttribute");
    TAKE(total, driver, "cuDeviceTotalMem_v2");
    TAKE(get_version, driver, "cuDriverGetVersion");
    if (!start || !get_device || !get_name || !get_attribute || !total || !get_version)
        return fprintf(stderr, "properties: libcuda.so.1 lacks a function\n"), 1;
    int device, version = 0, value, first = 1;
    size_t bytes = 0;
    char name[100] = "";
    int error = start(0);
    if (!error) error = get_device(&device, ordinal);
    if (error) return fprintf(stderr, "properties: the driver answers %d\n", error), 1;
    (void)get_name(name, sizeof name, device), (void)total(&bytes, device), (void)get_version(&version);
    printf("{\"name\": \"%s\", \"driver\": %d, \"memory\": %zu, \"attributes\": {", name, version, bytes);
    for (int i = 1; i < MOST_ATTRIBUTES; i++)
        if (get_attribute(&value, i, device) == 0) printf("%s\"%d\": %d", first ? "" : ", ", i, value), first = 0;
    printf("}");
    return 0;
}

/* The text from which cuDNN makes the same device elsewhere. */
static void by_cudnn(int ordinal) {
    void *library = dlopen("libcudnn.so.9", RTLD_NOW);
    if (!library) return;
    call_create *create;
    call_set *set;
    call_get *get;
    call_finalize *finalize;
    TAKE(create, library, "cudnnBackendCreateDescriptor");
    TAKE(set, library, "cudnnBackendSetAttribute");
    TAKE(get, library, "cudnnBackendGetAttribute");
    TAKE(finalize, library, "cudnnBackendFinalize");
    void *descriptor = NULL;
    const int32_t device = ordinal;
    int64_t size = 0;
    if (!create || !set || !get || !finalize || create(DEVICE_PROPERTIES, &descriptor)) return;
    if (set(descriptor, PROPERTIES_ORDINAL, TYPE_INT32, 1, &device) || finalize(descriptor)) return;
    if (get(descriptor, PROPERTIES_JSON, TYPE_CHAR, 0, &size, NULL) || size <= 0) return;
    char *text = calloc(1, (size_t)size + 1);
    if (text && get(descriptor, PROPERTIES_JSON, TYPE_CHAR, size, &size, text) == 0) printf(", \"cudnn\": %s", text);
    free(text);
}

int main(int argc, char **argv) {
    const int ordinal = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
    if (by_driver(ordinal)) return 1;
    by_cudnn(ordinal);
    printf("}\n");
    return 0;
}
