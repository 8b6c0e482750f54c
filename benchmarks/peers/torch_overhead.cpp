// PyTorch's side of `wick bench overhead`, from C++ (libtorch): what torch_overhead.py measures, without Python.
#include <torch/torch.h>
#include <torch/version.h>

#include <chrono>
#include <cstdio>

template <typename F> static double nanoseconds(F f, int count) {
    using clock = std::chrono::steady_clock;
    double least = 1e9;
    for (int round = 0; round < 50; round++) {
        const auto start = clock::now();
        for (int i = 0; i < count; i++) f();
        least = std::min(least, std::chrono::duration<double, std::nano>(clock::now() - start).count() / count);
    }
    return least;
}

int main() {
    at::set_num_threads(1); // none of this is work for two
    const torch::Tensor x = torch::ones({ 1 }), y = torch::ones({ 1 });
    const torch::Tensor leaf = torch::ones({ 1 }, torch::requires_grad());
    torch::nn::Sequential net(torch::nn::Linear(64, 64), torch::nn::ReLU(), torch::nn::Linear(64, 64),
                              torch::nn::ReLU(), torch::nn::Linear(64, 10));
    net->eval();
    const torch::Tensor row = torch::randn({ 1, 64 });
    const double noted = nanoseconds([&] { return torch::add(leaf, y); }, 10000);
    const c10::InferenceMode inference;
    const double plain = nanoseconds([&] { return torch::add(x, y); }, 10000);
    const double forward = nanoseconds([&] { return net->forward(row); }, 2000);
    std::printf("{\"workload\": \"overhead\", \"peer\": \"libtorch %s, C++\", \"add_nograd_ns\": %.1f, "
                "\"add_grad_ns\": %.1f, \"mlp_b1_ns\": %.1f}\n",
                TORCH_VERSION, plain, noted, forward);
}
