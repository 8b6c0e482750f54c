// cudnn.h: descriptors of the emulated cuDNN, and the graphs that they make up.
#ifndef WICK_CUDAEMU_CUDNN_H
#define WICK_CUDAEMU_CUDNN_H

#include "cuda/cudnn/api.h"
#include "state.h"

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cudaemu {
namespace cudnn {

constexpr int SUCCESS = WK_CUDNN_STATUS_SUCCESS, BAD_PARAM = WK_CUDNN_STATUS_BAD_PARAM;
constexpr int FAILED = WK_CUDNN_STATUS_EXECUTION_FAILED;

// Keeps the reason of this thread's last refusal, and answers BAD_PARAM.
int refuse(const std::string &why);
const std::string &last_refusal();

struct Descriptor;
using Reference = std::shared_ptr<Descriptor>;

struct Attribute {
    int type;
    int64_t count;
    std::vector<unsigned char> bytes;
    std::vector<Reference> descriptors;
};

struct Descriptor {
    int kind = -1;
    bool finished = false;
    int engine = -1;      // of an engine, its configuration and its plan
    void *twin = nullptr; // the real library's; see cudnn_planner.h
    std::map<int, Attribute> attributes;

    Descriptor() = default;
    Descriptor(const Descriptor &) = delete;
    Descriptor &operator=(const Descriptor &) = delete;
    ~Descriptor();
    const Attribute *find(int name) const {
        auto found = attributes.find(name);
        return found == attributes.end() ? nullptr : &found->second;
    }
    Reference link(int name) const {
        const Attribute *a = find(name);
        return a && a->descriptors.size() == 1 ? a->descriptors[0] : nullptr;
    }
    template <class T> std::vector<T> values(int name) const {
        std::vector<T> to;
        if (const Attribute *a = find(name)) {
            to.resize((size_t)a->count);
            std::memcpy(to.data(), a->bytes.data(), a->bytes.size());
        }
        return to;
    }
    template <class T> T value(int name, T otherwise) const {
        const std::vector<T> all = values<T>(name);
        return all.size() == 1 ? all[0] : otherwise;
    }
};

// The size of an attribute's type.
size_t size_of_type(int type);
// The type that an attribute has; -1: it is not known here.
int type_of(int name);

// What a descriptor lacks before it can be finished, as a status.
int check(Descriptor &descriptor);

using Addresses = std::map<int64_t, void *>;
// Runs a graph's operations on the stream; workspace is the engine's, to be written over.
int run_graph(const std::vector<Reference> &operations, const Addresses &addresses, void *workspace, size_t bytes,
              cudaStream_t stream);

} // namespace cudnn
} // namespace cudaemu

#endif
