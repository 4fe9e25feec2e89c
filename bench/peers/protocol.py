"""How a peer's process is spoken to: a JSON line when it is ready, then a JSON line for every request. See README.md."""

import json
import sys
import time


def answer(**fields):
    print(json.dumps(fields), flush=True)


def measure(step, seconds, least):
    """Times `step()` for about `seconds`, at least `least` times: median, best and CPU time (all threads) in ms."""
    times, until, cpu = [], time.perf_counter() + seconds, time.process_time()
    while len(times) < least or time.perf_counter() < until:
        begin = time.perf_counter()
        step()
        times.append((time.perf_counter() - begin) * 1e3)
    cpu_ms = (time.process_time() - cpu) / len(times) * 1e3
    times.sort()
    return {"medianMs": times[len(times) // 2], "bestMs": times[0], "cpuMs": cpu_ms, "steps": len(times)}


def serve_steps(step, **ready):
    """Warms up, says that it is ready, and times the step whenever asked to."""
    begin = time.perf_counter()
    loss = step()
    first_ms = (time.perf_counter() - begin) * 1e3
    step()
    answer(ready=True, firstStepMs=first_ms, firstLoss=loss, **ready)
    for line in sys.stdin:
        request = json.loads(line)
        answer(**measure(step, request["seconds"], request["least"]))


def serve_products(prepare, **ready):
    """`prepare(m, n)` gives a function that multiplies (m, n) by (n, n) once; the time of one product is answered per size."""
    answer(ready=True, **ready)
    for line in sys.stdin:
        request = json.loads(line)
        results = []
        for m, n in request["products"]:
            product = prepare(m, n)
            repeats = max(1, int(2e7 / (m * n * n)))

            def several(product=product, repeats=repeats):
                for _ in range(repeats):
                    product()

            several()
            timed = measure(several, request["seconds"], request["least"])
            results.append({"m": m, "n": n, "medianMs": timed["medianMs"] / repeats, "bestMs": timed["bestMs"] / repeats})
        answer(products=results)
