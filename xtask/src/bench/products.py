"""Times PyTorch's matrix products of given shapes in bf16, one JSON line a shape.

Called as `products.py THREADS ROUNDS CASES`, CASES being a JSON list of objects with
`m`, `k`, `n` and `direction`, as the example `bench_products` prints them.
"""

import json
import statistics
import sys
import time

import torch

threads, rounds, cases = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(1)

for case in cases:
    m, k, n = case["m"], case["k"], case["n"]
    x, weight, dy = (torch.randn(*shape).bfloat16() for shape in ((m, k), (n, k), (m, n)))
    run = {
        "Forward": lambda: torch.matmul(x, weight.t()),
        "InputGradient": lambda: torch.matmul(dy, weight),
        "WeightGradient": lambda: torch.matmul(dy.t(), x),
    }[case["direction"]]
    operations = 2.0 * m * k * n
    repeats = max(1, min(2000, int(6e9 / operations)))
    run()
    rates = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(repeats):
            run()
        rates.append(operations * repeats / (time.perf_counter() - began) / 1e9)
    print(json.dumps({"gflops": statistics.median(rates)}), flush=True)
