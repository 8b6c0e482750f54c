/* resource_table.h: named resources that are always there.
 *
 * X(name, cpu, gpu, MiB of memory, EFA devices, Neuron devices).  The generic ones and the sizes of the AWS instances
 * are TorchX's; of an AWS instance's memory 96 % is counted (int(1024 * 0.96) = 983 MiB a GiB), since its agents keep
 * the rest.
 */
#ifndef WICK_SRC_LAUNCHER_RESOURCE_TABLE_H
#define WICK_SRC_LAUNCHER_RESOURCE_TABLE_H

#define WK_GENERIC_RESOURCES(X)        \
    X("gpu.small", 8, 1, 32 * 1024)    \
    X("gpu.medium", 16, 2, 64 * 1024)  \
    X("gpu.large", 32, 4, 128 * 1024)  \
    X("gpu.xlarge", 64, 8, 256 * 1024) \
    X("cpu.nano", 1, 0, 512)           \
    X("cpu.micro", 1, 0, 1024)         \
    X("cpu.small", 1, 0, 2 * 1024)     \
    X("cpu.medium", 2, 0, 4 * 1024)    \
    X("cpu.large", 2, 0, 8 * 1024)     \
    X("cpu.xlarge", 8, 0, 32 * 1024)   \
    X("NULL", -1, -1, -1)              \
    X("MISSING", -1, -1, -1)

/* X(instance type, cpu, gpu, GiB, EFA, Neuron) */
#define WK_AWS_RESOURCES(X)                     \
    X("t3.medium", 2, 0, 4, 0, 0)               \
    X("m5.large", 2, 0, 8, 0, 0)                \
    X("m5.xlarge", 4, 0, 16, 0, 0)              \
    X("m5.2xlarge", 8, 0, 32, 0, 0)             \
    X("m5.4xlarge", 16, 0, 64, 0, 0)            \
    X("m5.8xlarge", 32, 0, 128, 0, 0)           \
    X("m5.12xlarge", 48, 0, 192, 0, 0)          \
    X("m5.16xlarge", 64, 0, 256, 0, 0)          \
    X("m5.24xlarge", 96, 0, 384, 0, 0)          \
    X("m5.metal", 96, 0, 384, 0, 0)             \
    X("m5d.large", 2, 0, 8, 0, 0)               \
    X("m5d.xlarge", 4, 0, 16, 0, 0)             \
    X("m5d.2xlarge", 8, 0, 32, 0, 0)            \
    X("m5d.4xlarge", 16, 0, 64, 0, 0)           \
    X("m5d.8xlarge", 32, 0, 128, 0, 0)          \
    X("m5d.12xlarge", 48, 0, 192, 0, 0)         \
    X("m5d.16xlarge", 64, 0, 256, 0, 0)         \
    X("m5d.24xlarge", 96, 0, 384, 0, 0)         \
    X("m5d.metal", 96, 0, 384, 0, 0)            \
    X("c5.18xlarge", 72, 0, 142, 0, 0)          \
    X("p3.2xlarge", 8, 1, 61, 0, 0)             \
    X("p3.8xlarge", 32, 4, 244, 0, 0)           \
    X("p3.16xlarge", 64, 8, 488, 0, 0)          \
    X("p3dn.24xlarge", 96, 8, 768, 1, 0)        \
    X("p4d.24xlarge", 96, 8, 1152, 4, 0)        \
    X("p4de.24xlarge", 96, 8, 1152, 4, 0)       \
    X("p5.48xlarge", 192, 8, 2048, 32, 0)       \
    X("p5e.48xlarge", 192, 8, 2048, 32, 0)      \
    X("p5en.48xlarge", 192, 8, 2048, 16, 0)     \
    X("p6-b200.48xlarge", 192, 8, 2048, 8, 0)   \
    X("p6-b300.48xlarge", 192, 8, 4096, 16, 0)  \
    X("p6e-gb200.36xlarge", 144, 4, 960, 16, 0) \
    X("g4dn.xlarge", 4, 1, 16, 0, 0)            \
    X("g4dn.2xlarge", 8, 1, 32, 0, 0)           \
    X("g4dn.4xlarge", 16, 1, 64, 0, 0)          \
    X("g4dn.8xlarge", 32, 1, 128, 1, 0)         \
    X("g4dn.12xlarge", 48, 4, 192, 1, 0)        \
    X("g4dn.16xlarge", 64, 1, 256, 1, 0)        \
    X("g4dn.metal", 96, 8, 384, 1, 0)           \
    X("g5.xlarge", 4, 1, 16, 0, 0)              \
    X("g5.2xlarge", 8, 1, 32, 0, 0)             \
    X("g5.4xlarge", 16, 1, 64, 0, 0)            \
    X("g5.8xlarge", 32, 1, 128, 1, 0)           \
    X("g5.12xlarge", 48, 4, 192, 1, 0)          \
    X("g5.16xlarge", 64, 1, 256, 1, 0)          \
    X("g5.24xlarge", 96, 4, 384, 1, 0)          \
    X("g5.48xlarge", 192, 8, 768, 1, 0)         \
    X("g6e.xlarge", 4, 1, 32, 0, 0)             \
    X("g6e.2xlarge", 8, 1, 64, 0, 0)            \
    X("g6e.4xlarge", 16, 1, 128, 0, 0)          \
    X("g6e.8xlarge", 32, 1, 256, 0, 0)          \
    X("g6e.12xlarge", 48, 4, 384, 0, 0)         \
    X("g6e.16xlarge", 64, 1, 512, 0, 0)         \
    X("g6e.24xlarge", 96, 4, 768, 2, 0)         \
    X("g6e.48xlarge", 192, 8, 1536, 4, 0)       \
    X("trn1.2xlarge", 8, 0, 32, 0, 1)           \
    X("trn1.32xlarge", 128, 0, 512, 8, 16)      \
    X("inf2.xlarge", 4, 0, 16, 0, 1)            \
    X("inf2.8xlarge", 32, 0, 128, 0, 1)         \
    X("inf2.24xlarge", 96, 0, 384, 0, 6)        \
    X("inf2.48xlarge", 192, 0, 768, 0, 12)

#endif
