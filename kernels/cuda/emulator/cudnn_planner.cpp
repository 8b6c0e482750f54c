// cudnn_planner.cpp: twins of descriptors in the real library.
#include "cudnn_planner.h"

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <fstream>
#include <sstream>

namespace cudaemu {
namespace cudnn {
namespace planner {

namespace {

[[noreturn]] void stop(const char *what, const std::string &why) {
    std::fprintf(stderr, "cudaemu: WICK_CUDAEMU_CUDNN: %s: %s\n", what, why.c_str());
    std::exit(1);
}

struct Library {
    wk_cudnn call = {};
    void *device = nullptr; // a descriptor of its properties

    explicit Library(const char *file) {
        void *library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
        if (!library) stop("no cuDNN", dlerror());
        take(library, "cudnnGetErrorString", &call.error_string);
        take(library, "cudnnGetLastErrorString", &call.last_error);
        take(library, "cudnnBackendCreateDescriptor", &call.create_descriptor);
        take(library, "cudnnBackendDestroyDescriptor", &call.destroy_descriptor);
        take(library, "cudnnBackendSetAttribute", &call.set_attribute);
        take(library, "cudnnBackendGetAttribute", &call.get_attribute);
        take(library, "cudnnBackendFinalize", &call.finalize);
        const std::string text = text_of(file);
        int status = call.create_descriptor(WK_CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &device);
        if (!status)
            status = call.set_attribute(device, WK_CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, WK_CUDNN_TYPE_CHAR,
                                        (int64_t)text.size(), text.data());
        if (!status) status = call.finalize(device);
        if (status) stop(file, reason());
    }
    std::string reason() const {
        char text[500] = "";
        call.last_error(text, sizeof text);
        return text;
    }

  private:
    template <class F> static void take(void *library, const char *name, F *function) {
        *function = reinterpret_cast<F>(dlsym(library, name));
        if (!*function) stop(name, "libcudnn.so.9 has it not");
    }
    static std::string text_of(const char *file) {
        std::ifstream in(file);
        std::stringstream all;
        all << in.rdbuf();
        std::string text = all.str();
        text.erase(text.find_last_not_of(" \n") + 1);
        if (!in || text.empty()) stop(file, "cannot be read, or is empty");
        return text;
    }
};

const Library *library() {
    static const char *const file = std::getenv("WICK_CUDAEMU_CUDNN");
    static const Library *const found = file && *file ? new Library(file) : nullptr;
    return found;
}

// Its refusals become ours.
int answer(int status) {
    if (status) (void)refuse(library()->reason());
    return status;
}

} // namespace

bool on() {
    return library() != nullptr;
}

int create(Descriptor &d) {
    return on() ? answer(library()->call.create_descriptor(d.kind, &d.twin)) : SUCCESS;
}

void destroy(Descriptor &d) {
    if (d.twin) (void)library()->call.destroy_descriptor(d.twin);
}

// A handle stands for a device that is there; its place takes the device's properties.
int set(Descriptor &d, int name, const Attribute &a) {
    if (!on() || name == WK_CUDNN_ATTR_OPERATIONGRAPH_HANDLE || d.kind == WK_CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)
        return SUCCESS;
    std::vector<void *> twins;
    for (const Reference &one : a.descriptors) twins.push_back(one->twin);
    const void *values = twins.empty() ? static_cast<const void *>(a.bytes.data()) : twins.data();
    if (name != WK_CUDNN_ATTR_EXECUTION_PLAN_HANDLE)
        return answer(library()->call.set_attribute(d.twin, name, a.type, a.count, values));
    return answer(library()->call.set_attribute(d.twin, WK_CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                                WK_CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &library()->device));
}

int finish(Descriptor &d) {
    if (!on() || d.kind == WK_CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR) return SUCCESS;
    if (d.kind == WK_CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)
        if (int status = library()->call.set_attribute(d.twin, WK_CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                                       WK_CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &library()->device))
            return answer(status);
    return answer(library()->call.finalize(d.twin));
}

int get(Descriptor &d, int name, int type, int64_t most, int64_t *count, void *values) {
    return answer(library()->call.get_attribute(d.twin, name, type, most, count, values));
}

int get(Descriptor &d, int name, int64_t most, int64_t *count, void *const descriptors[]) {
    std::vector<void *> twins;
    for (int64_t i = 0; i < most; i++) twins.push_back((*static_cast<Reference *>(descriptors[i]))->twin);
    return get(d, name, WK_CUDNN_TYPE_BACKEND_DESCRIPTOR, most, count, twins.data());
}

} // namespace planner
} // namespace cudnn
} // namespace cudaemu
