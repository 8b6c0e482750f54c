// cudnn.cpp: the graph API of cuDNN, as far as Wick uses it: descriptors, and a heuristic with two engines.
//
// What cuDNN refuses is refused here with its code: an attribute of another type, a descriptor that is not finished,
// shapes that do not fit, an address that is not aligned as was said.  The first engine proposed adds up in any order,
// which it says in its notes, and fails when it is run: who takes it without reading these is found out.
#include "cudnn.h"

#include "cudnn_planner.h"

#include <new>

namespace cudaemu {
namespace cudnn {

namespace {
thread_local std::string refusal;
}

int refuse(const std::string &why) {
    refusal = why;
    return BAD_PARAM;
}

const std::string &last_refusal() {
    return refusal;
}

Descriptor::~Descriptor() {
    planner::destroy(*this);
}

namespace {

enum { CARELESS_ENGINE, ENGINE, ENGINES };
constexpr int64_t workspace_bytes = 1 << 10;
constexpr int NO_MEMORY = WK_CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;

Reference &of(void *handle) {
    return *static_cast<Reference *>(handle);
}

size_t version() {
    return 91900;
}

const char *error_string(int status) {
    switch (status) {
    case SUCCESS: return "CUDNN_STATUS_SUCCESS";
    case BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
    case WK_CUDNN_STATUS_NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
    case WK_CUDNN_STATUS_EXECUTION_FAILED: return "CUDNN_STATUS_EXECUTION_FAILED";
    default: return "an error of cuDNN";
    }
}

void last_error(char *message, size_t most) {
    if (most) message[last_refusal().copy(message, most - 1)] = '\0';
}

struct Handle {
    cudaStream_t stream;
};

int create(void **handle) {
    *handle = new (std::nothrow) Handle{ nullptr };
    return *handle ? SUCCESS : NO_MEMORY;
}

int set_stream(void *handle, void *stream) {
    static_cast<Handle *>(handle)->stream = static_cast<cudaStream_t>(stream);
    return SUCCESS;
}

int create_descriptor(int kind, void **descriptor) {
    auto fresh = std::make_shared<Descriptor>();
    fresh->kind = kind;
    if (int status = planner::create(*fresh)) return status;
    *descriptor = new (std::nothrow) Reference(std::move(fresh));
    return *descriptor ? SUCCESS : NO_MEMORY;
}

int destroy_descriptor(void *descriptor) {
    delete static_cast<Reference *>(descriptor);
    return SUCCESS;
}

int set_attribute(void *descriptor, int name, int type, int64_t count, const void *values) {
    if (!descriptor || count < 0 || (count && !values)) return refuse("an attribute of nothing");
    Descriptor &d = *of(descriptor);
    if (d.finished) return refuse("an attribute of a descriptor that is finished");
    if (type_of(name) != type) return refuse("an attribute of another type");
    Attribute a{ type, count, {}, {} };
    const unsigned char *bytes = static_cast<const unsigned char *>(values);
    a.bytes.assign(bytes, bytes + (size_t)count * size_of_type(type));
    if (type == WK_CUDNN_TYPE_BACKEND_DESCRIPTOR)
        for (int64_t i = 0; i < count; i++) {
            void *one = static_cast<void *const *>(values)[i];
            if (!one || !of(one)->finished) return refuse("a descriptor that is not finished");
            a.descriptors.push_back(of(one));
        }
    if (int status = planner::set(d, name, a)) return status;
    d.attributes[name] = std::move(a);
    return SUCCESS;
}

int finalize(void *descriptor) {
    if (!descriptor || of(descriptor)->finished) return refuse("a descriptor that is finished, or none");
    Descriptor &d = *of(descriptor);
    if (int status = check(d)) return status;
    if (int status = planner::finish(d)) return status;
    d.finished = true;
    return SUCCESS;
}

int propose(Descriptor &heuristics, int64_t most, int64_t *count, void *const proposals[]) {
    const Reference graph = heuristics.link(WK_CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    const bool first = heuristics.value<int>(WK_CUDNN_ATTR_ENGINEHEUR_MODE, 0) == WK_CUDNN_HEUR_MODE_A;
    *count = first ? ENGINES : 0;
    if (planner::on())
        if (int status = planner::get(heuristics, WK_CUDNN_ATTR_ENGINEHEUR_RESULTS, most, count, proposals))
            return status;
    for (int64_t i = 0; i < *count && i < most; i++) {
        Descriptor &to = *of(proposals[i]);
        to.engine = planner::on() ? ENGINE : (int)i, to.finished = true;
        to.attributes[WK_CUDNN_ATTR_OPERATIONGRAPH_OPS] = *graph->find(WK_CUDNN_ATTR_OPERATIONGRAPH_OPS);
    }
    return SUCCESS;
}

int get_engine(Descriptor &configuration, int64_t *count, void *const to[]) {
    if (planner::on())
        if (int status = planner::get(configuration, WK_CUDNN_ATTR_ENGINECFG_ENGINE, 1, count, to)) return status;
    of(to[0])->engine = configuration.engine, of(to[0])->finished = true, *count = 1;
    return SUCCESS;
}

int get_number(Descriptor &d, int name, int type, int64_t most, int64_t *count, void *values) {
    if (planner::on()) return planner::get(d, name, type, most, count, values);
    *count = 1;
    if (name == WK_CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)
        *static_cast<int64_t *>(values) = workspace_bytes;
    else if (d.engine == CARELESS_ENGINE)
        *static_cast<int *>(values) = WK_CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    else
        *count = 0;
    return SUCCESS;
}

int get_attribute(void *descriptor, int name, int type, int64_t most, int64_t *count, void *values) {
    if (!descriptor || !of(descriptor)->finished || !count || most < 1)
        return refuse("an attribute of a descriptor that is not finished");
    Descriptor &d = *of(descriptor);
    switch (name) {
    case WK_CUDNN_ATTR_ENGINEHEUR_RESULTS: return propose(d, most, count, static_cast<void **>(values));
    case WK_CUDNN_ATTR_ENGINECFG_ENGINE: return get_engine(d, count, static_cast<void **>(values));
    case WK_CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
    case WK_CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE: return get_number(d, name, type, most, count, values);
    default: return refuse("an unknown attribute");
    }
}

int execute(void *handle, void *plan, void *pack) {
    const Descriptor &p = *of(plan), &v = *of(pack);
    if (!p.finished || !v.finished) return refuse("a descriptor that is not finished");
    if (p.engine != ENGINE) return (void)refuse("the engine that was noted as nondeterministic"), FAILED;
    void *workspace = v.value<void *>(WK_CUDNN_ATTR_VARIANT_PACK_WORKSPACE, nullptr);
    if (!workspace && !planner::on()) return refuse("no workspace");
    const auto ids = v.values<int64_t>(WK_CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const auto addresses = v.values<void *>(WK_CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    Addresses operands;
    for (size_t i = 0; i < ids.size(); i++) operands[ids[i]] = addresses[i];
    return run_graph(p.find(WK_CUDNN_ATTR_OPERATIONGRAPH_OPS)->descriptors, operands, workspace,
                     planner::on() ? 0 : workspace_bytes, static_cast<Handle *>(handle)->stream);
}

} // namespace
} // namespace cudnn
} // namespace cudaemu

using namespace cudaemu::cudnn;

const wk_cudnn *wk__cudnn_emulated(void) {
    static const wk_cudnn table = {
        version,       error_string,  last_error, create, set_stream, create_descriptor, destroy_descriptor,
        set_attribute, get_attribute, finalize,   execute
    };
    return &table;
}
