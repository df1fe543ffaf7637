"""The benchmarks that `fusednet bench` runs: training steps, inference, kernels, scaling, jobs, threads.

Every side, fusednet included, runs in processes of its own, one for each number of threads (`worker`); the sides take
turns (`compare`), and what they compute is compared before it is timed. `docs/performance.md` says what a row means.
"""
