/* slurm_cluster.h: a Slurm of two virtual nodes on this machine, for one test. */
#ifndef WICK_TESTS_LAUNCHER_SLURM_CLUSTER_H
#define WICK_TESTS_LAUNCHER_SLURM_CLUSTER_H

#include "launcher/harness.h"

/* Test fixtures: slurmctld and two slurmd on ports of their own, SLURM_CONF set; ended by process id. */
void cluster_begin(void);
void cluster_end(void);
/* Ends the test as skipped, and says so on stderr with the reason, where there is no Slurm or the kernel refuses it. */
void cluster_needed(void);

#endif
