// cudnn_graph.cpp: what the emulated cuDNN checks of descriptors, and graphs interpreted on the host, in f32.
#include "convolution.h"
#include "cudnn.h"
#include "product.h"

#include <set>

namespace cudaemu {
namespace cudnn {

size_t size_of_type(int type) {
    switch (type) {
    case WK_CUDNN_TYPE_BOOLEAN:
    case WK_CUDNN_TYPE_CHAR: return 1;
    case WK_CUDNN_TYPE_HANDLE:
    case WK_CUDNN_TYPE_INT64:
    case WK_CUDNN_TYPE_VOID_PTR:
    case WK_CUDNN_TYPE_BACKEND_DESCRIPTOR: return 8;
    default: return 4; // an enumeration or a float
    }
}

// The type that an attribute has; -1: it is not known here.
int type_of(int name) {
    switch (name) {
    case WK_CUDNN_ATTR_POINTWISE_MODE: return WK_CUDNN_TYPE_POINTWISE_MODE;
    case WK_CUDNN_ATTR_POINTWISE_NAN_PROPAGATION: return WK_CUDNN_TYPE_NAN_PROPOGATION;
    case WK_CUDNN_ATTR_POINTWISE_MATH_PREC:
    case WK_CUDNN_ATTR_CONVOLUTION_COMP_TYPE:
    case WK_CUDNN_ATTR_TENSOR_DATA_TYPE: return WK_CUDNN_TYPE_DATA_TYPE;
    case WK_CUDNN_ATTR_CONVOLUTION_CONV_MODE: return WK_CUDNN_TYPE_CONVOLUTION_MODE;
    case WK_CUDNN_ATTR_CONVOLUTION_DILATIONS:
    case WK_CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES:
    case WK_CUDNN_ATTR_CONVOLUTION_POST_PADDINGS:
    case WK_CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS:
    case WK_CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS:
    case WK_CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT:
    case WK_CUDNN_ATTR_TENSOR_DIMENSIONS:
    case WK_CUDNN_ATTR_TENSOR_STRIDES:
    case WK_CUDNN_ATTR_TENSOR_UNIQUE_ID:
    case WK_CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS: return WK_CUDNN_TYPE_INT64;
    case WK_CUDNN_ATTR_TENSOR_IS_VIRTUAL: return WK_CUDNN_TYPE_BOOLEAN;
    case WK_CUDNN_ATTR_ENGINEHEUR_MODE: return WK_CUDNN_TYPE_HEUR_MODE;
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA: return WK_CUDNN_TYPE_FLOAT;
    case WK_CUDNN_ATTR_EXECUTION_PLAN_HANDLE:
    case WK_CUDNN_ATTR_OPERATIONGRAPH_HANDLE: return WK_CUDNN_TYPE_HANDLE;
    case WK_CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS:
    case WK_CUDNN_ATTR_VARIANT_PACK_WORKSPACE: return WK_CUDNN_TYPE_VOID_PTR;
    case WK_CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH:
    case WK_CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X:
    case WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY:
    case WK_CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR:
    case WK_CUDNN_ATTR_OPERATION_POINTWISE_XDESC:
    case WK_CUDNN_ATTR_OPERATION_POINTWISE_BDESC:
    case WK_CUDNN_ATTR_OPERATION_POINTWISE_YDESC:
    case WK_CUDNN_ATTR_OPERATIONGRAPH_OPS: return WK_CUDNN_TYPE_BACKEND_DESCRIPTOR;
    default: return -1;
    }
}

namespace {

// ---- operations, taken apart ----

struct Tensor {
    int64_t id, alignment;
    int type;
    bool passing;
    std::vector<int64_t> size, stride;

    explicit Tensor(const Descriptor &d)
        : id(d.value<int64_t>(WK_CUDNN_ATTR_TENSOR_UNIQUE_ID, -1)),
          alignment(d.value<int64_t>(WK_CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 0)),
          type(d.value<int>(WK_CUDNN_ATTR_TENSOR_DATA_TYPE, -1)),
          passing(d.value<unsigned char>(WK_CUDNN_ATTR_TENSOR_IS_VIRTUAL, 0) != 0),
          size(d.values<int64_t>(WK_CUDNN_ATTR_TENSOR_DIMENSIONS)),
          stride(d.values<int64_t>(WK_CUDNN_ATTR_TENSOR_STRIDES)) {}
    int64_t count() const {
        int64_t all = 1;
        for (int64_t one : size) all *= one;
        return all;
    }
    int64_t element() const { return type == WK_CUDNN_DATA_FLOAT ? 4 : 2; }
    // Where element i, counted in the order of the axes, lies.
    int64_t place(int64_t i) const {
        int64_t at = 0;
        for (size_t axis = size.size(); axis-- > 0; i /= size[axis]) at += i % size[axis] * stride[axis];
        return at;
    }
};

struct Names {
    int image, weight, result, window;
};
const Names *names_of(int kind) {
    static const Names forward = { WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                   WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                   WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                   WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC };
    static const Names data = { WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC };
    static const Names filter = { WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                  WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                  WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                  WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC };
    switch (kind) {
    case WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR: return &forward;
    case WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR: return &data;
    case WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR: return &filter;
    default: return nullptr;
    }
}

struct Operation {
    int kind;
    int mode = 0;           // of a pointwise one
    bool keeps_nan = false; // its ReLU
    Window window = {};
    std::vector<Tensor> in; // of a convolution: image and weight, image and result, or weight and result
    std::vector<Tensor> out;
};

// The window of a convolution; false: shapes do not fit.
bool window_of(const Descriptor &d, const Tensor &x, const Tensor &w, const Tensor &y, Window *to) {
    const int64_t axes = d.value<int64_t>(WK_CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 0);
    const auto before = d.values<int64_t>(WK_CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
    const auto after = d.values<int64_t>(WK_CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
    const auto step = d.values<int64_t>(WK_CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
    const auto dilation = d.values<int64_t>(WK_CUDNN_ATTR_CONVOLUTION_DILATIONS);
    const size_t rank = (size_t)axes + 2;
    if (x.size.size() != rank || w.size.size() != rank || y.size.size() != rank) return false;
    *to = { x.size[0],   x.size[1],   y.size[1],   x.size[1] / w.size[1], { 1, 1, 1 },
            { 1, 1, 1 }, { 1, 1, 1 }, { 0, 0, 0 }, { 1, 1, 1 },           { 1, 1, 1 } };
    if (y.size[0] != to->n || w.size[0] != to->k || to->c != to->groups * w.size[1] || to->k % to->groups) return false;
    for (int64_t i = 0; i < axes; i++) {
        const int64_t axis = 3 - axes + i, from = x.size[2 + i], taps = w.size[2 + i], result = y.size[2 + i];
        const int64_t room = from + before[i] + after[i] - (dilation[i] * (taps - 1) + 1);
        if (room < 0 || before[i] < 0 || after[i] < 0 || result != room / step[i] + 1) return false;
        to->size[axis] = from, to->kernel[axis] = taps, to->out[axis] = result;
        to->before[axis] = before[i], to->step[axis] = step[i], to->dilation[axis] = dilation[i];
    }
    return true;
}

int take_convolution(const Descriptor &d, const Names &names, Operation *to) {
    const Reference x = d.link(names.image), w = d.link(names.weight), y = d.link(names.result);
    const Reference geometry = d.link(names.window);
    if (!x || !w || !y || !geometry) return refuse("a convolution without an operand");
    const Tensor image(*x), weight(*w), result(*y);
    int64_t reach = 1;
    for (size_t axis = 0; axis < weight.size.size(); axis++) reach += (weight.size[axis] - 1) * weight.stride[axis];
    if (reach != weight.count()) return refuse("a weight with gaps");
    if (!window_of(*geometry, image, weight, result, &to->window)) return refuse("shapes of a convolution do not fit");
    if (d.kind == WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
        to->in = { image, weight }, to->out = { result };
    else if (d.kind == WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
        to->in = { result, weight }, to->out = { image };
    else
        to->in = { image, result }, to->out = { weight };
    return SUCCESS;
}

int take_pointwise(const Descriptor &d, Operation *to) {
    const Reference x = d.link(WK_CUDNN_ATTR_OPERATION_POINTWISE_XDESC),
                    y = d.link(WK_CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
    const Reference b = d.link(WK_CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
    const Reference kind = d.link(WK_CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    if (!x || !y || !kind) return refuse("a pointwise operation without an operand");
    to->mode = kind->value<int>(WK_CUDNN_ATTR_POINTWISE_MODE, -1);
    to->keeps_nan = kind->value<int>(WK_CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, 0) == WK_CUDNN_PROPAGATE_NAN;
    to->in.emplace_back(*x), to->out.emplace_back(*y);
    if (b) to->in.emplace_back(*b);
    if ((to->mode == WK_CUDNN_POINTWISE_ADD) != (b != nullptr))
        return refuse("a pointwise operation with another count of operands");
    if (to->mode != WK_CUDNN_POINTWISE_ADD && to->mode != WK_CUDNN_POINTWISE_RELU_FWD)
        return refuse("an unknown pointwise mode");
    for (size_t axis = 0; axis < to->in[0].size.size(); axis++) {
        const int64_t size = to->in[0].size[axis];
        if (to->out[0].size[axis] != size || (b && to->in[1].size[axis] != size && to->in[1].size[axis] != 1))
            return refuse("shapes of a pointwise operation do not fit");
    }
    return SUCCESS;
}

int take_operation(const Descriptor &d, Operation *to) {
    to->kind = d.kind;
    const Names *names = names_of(d.kind);
    return names ? take_convolution(d, *names, to) : take_pointwise(d, to);
}

// ---- what is run ----

float load(const Tensor &t, const void *memory, int64_t at) {
    if (t.type == WK_CUDNN_DATA_FLOAT) return static_cast<const float *>(memory)[at];
    if (t.type == WK_CUDNN_DATA_HALF) return widen(static_cast<const __half *>(memory)[at]);
    return widen(static_cast<const __nv_bfloat16 *>(memory)[at]);
}

void store(const Tensor &t, void *memory, int64_t at, float value) {
    if (t.type == WK_CUDNN_DATA_FLOAT)
        narrow(static_cast<float *>(memory) + at, value);
    else if (t.type == WK_CUDNN_DATA_HALF)
        narrow(static_cast<__half *>(memory) + at, value);
    else
        narrow(static_cast<__nv_bfloat16 *>(memory) + at, value);
}

// A graph and its operands' addresses: what a stream runs.
struct Run {
    std::vector<Operation> operations;
    Addresses addresses;
    void *workspace;
    size_t bytes;

    cudaError_t operator()() const {
        std::map<int64_t, std::vector<float>> passed;
        std::memset(workspace, 0xFF, bytes);
        for (const Operation &op : operations) {
            const Tensor &out = op.out[0];
            std::vector<std::vector<float>> in;
            for (const Tensor &t : op.in) in.push_back(t.passing ? passed[t.id] : gather(t));
            std::vector<float> result((size_t)out.count());
            run(op, in, result.data());
            if (out.passing) {
                passed[out.id] = std::move(result);
                continue;
            }
            void *memory = addresses.at(out.id);
            for (int64_t i = 0; i < out.count(); i++) store(out, memory, out.place(i), result[(size_t)i]);
        }
        return cudaSuccess;
    }

  private:
    std::vector<float> gather(const Tensor &t) const {
        std::vector<float> dense((size_t)t.count());
        const void *memory = addresses.at(t.id);
        for (int64_t i = 0; i < t.count(); i++) dense[(size_t)i] = load(t, memory, t.place(i));
        return dense;
    }
    static void run(const Operation &op, const std::vector<std::vector<float>> &in, float *out) {
        switch (op.kind) {
        case WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
            return convolve_forward(op.window, in[0].data(), in[1].data(), out);
        case WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
            return convolve_backward_data(op.window, in[0].data(), in[1].data(), out);
        case WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
            return convolve_backward_filter(op.window, in[0].data(), in[1].data(), out);
        default: return pointwise(op, in, out);
        }
    }
    static void pointwise(const Operation &op, const std::vector<std::vector<float>> &in, float *out) {
        const Tensor &x = op.in[0];
        for (int64_t i = 0; i < x.count(); i++) {
            const float value = in[0][(size_t)i];
            if (op.mode == WK_CUDNN_POINTWISE_ADD)
                out[i] = value + in[1][(size_t)partner(x, op.in[1], i)];
            else
                out[i] = value > 0 || (value != value && op.keeps_nan) ? value : 0;
        }
    }
    // The element of b, counted as it is dense, that meets element i of x.
    static int64_t partner(const Tensor &x, const Tensor &b, int64_t i) {
        int64_t at = 0, step = 1;
        for (size_t axis = x.size.size(); axis-- > 0; i /= x.size[axis]) {
            if (b.size[axis] > 1) at += i % x.size[axis] * step;
            step *= b.size[axis];
        }
        return at;
    }
};

// ---- checks ----

int check_tensor(const Descriptor &d) {
    const Tensor t(d);
    if (t.id < 0 || t.size.size() < 3 || t.size.size() != t.stride.size())
        return refuse("a tensor without id, sizes or strides");
    if (t.type != WK_CUDNN_DATA_FLOAT && t.type != WK_CUDNN_DATA_HALF && t.type != WK_CUDNN_DATA_BFLOAT16)
        return refuse("a tensor of an unknown type");
    if (t.alignment < t.element() || (t.alignment & (t.alignment - 1))) return refuse("a tensor of odd alignment");
    for (size_t axis = 0; axis < t.size.size(); axis++)
        if (t.size[axis] < 1 || t.stride[axis] < 1) return refuse("a tensor with a size or a stride below 1");
    return SUCCESS;
}

int check_window(const Descriptor &d) {
    const size_t axes = (size_t)d.value<int64_t>(WK_CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 0);
    for (int name : { WK_CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, WK_CUDNN_ATTR_CONVOLUTION_POST_PADDINGS,
                      WK_CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, WK_CUDNN_ATTR_CONVOLUTION_DILATIONS })
        if (d.values<int64_t>(name).size() != axes || axes < 1 || axes > 3) return refuse("a window of odd rank");
    if (d.value<int>(WK_CUDNN_ATTR_CONVOLUTION_CONV_MODE, 0) != WK_CUDNN_CROSS_CORRELATION)
        return refuse("a convolution that turns its weight");
    return SUCCESS;
}

// Each operand that passes is made by an operation before the one that takes it.
int check_graph(const Descriptor &d) {
    const Attribute *all = d.find(WK_CUDNN_ATTR_OPERATIONGRAPH_OPS);
    std::set<int64_t> made;
    if (!all || all->descriptors.empty()) return refuse("a graph without operations");
    for (const Reference &one : all->descriptors) {
        Operation op;
        if (int status = take_operation(*one, &op)) return status;
        for (const Tensor &t : op.in)
            if (t.passing && !made.count(t.id)) return refuse("an operand passes that nothing makes");
        if (!made.insert(op.out[0].id).second) return refuse("an operand is made twice");
    }
    return SUCCESS;
}

int check_pack(const Descriptor &d) {
    const auto ids = d.values<int64_t>(WK_CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const auto addresses = d.values<void *>(WK_CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    if (ids.size() != addresses.size()) return refuse("ids and addresses of a variant pack differ in number");
    if (std::set<int64_t>(ids.begin(), ids.end()).size() != ids.size())
        return refuse("an id stands twice in a variant pack");
    return SUCCESS;
}

} // namespace

int check(Descriptor &d) {
    Operation op;
    switch (d.kind) {
    case WK_CUDNN_BACKEND_TENSOR_DESCRIPTOR: return check_tensor(d);
    case WK_CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR: return check_window(d);
    case WK_CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR: return check_graph(d);
    case WK_CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR: return check_pack(d);
    case WK_CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
        return d.find(WK_CUDNN_ATTR_POINTWISE_MODE) ? SUCCESS : refuse("a pointwise operation without a mode");
    case WK_CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
        return d.link(WK_CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH) ? SUCCESS : refuse("heuristics without a graph");
    case WK_CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: {
        const Reference configuration = d.link(WK_CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
        if (!configuration || configuration->engine < 0) return refuse("a plan without an engine");
        d.engine = configuration->engine,
        d.attributes[WK_CUDNN_ATTR_OPERATIONGRAPH_OPS] = *configuration->find(WK_CUDNN_ATTR_OPERATIONGRAPH_OPS);
        return SUCCESS;
    }
    default: return take_operation(d, &op);
    }
}

int run_graph(const std::vector<Reference> &operations, const Addresses &addresses, void *workspace, size_t bytes,
              cudaStream_t stream) {
    Run run{ {}, addresses, workspace, bytes };
    for (const Reference &one : operations) {
        Operation op;
        if (int status = take_operation(*one, &op)) return status;
        for (const auto *side : { &op.in, &op.out })
            for (const Tensor &t : *side) {
                if (t.passing) continue;
                const auto found = addresses.find(t.id);
                if (found == addresses.end() || !found->second) return refuse("an operand without an address");
                if (reinterpret_cast<uintptr_t>(found->second) % (uintptr_t)t.alignment)
                    return refuse("an operand that is not aligned");
            }
        run.operations.push_back(std::move(op));
    }
    return submit(stream, std::move(run)) == cudaSuccess ? SUCCESS : FAILED;
}

} // namespace cudnn
} // namespace cudaemu
