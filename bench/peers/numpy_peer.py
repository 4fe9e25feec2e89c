"""Matrix products in numpy, which is OpenBLAS's sgemm here, timed on request. See README.md."""

import numpy
from protocol import serve_products


def prepare(m, n):
    random = numpy.random.default_rng(0)
    a, b = (random.standard_normal(shape, dtype=numpy.float32) for shape in ((m, n), (n, n)))
    out = numpy.empty((m, n), numpy.float32)
    return lambda: numpy.matmul(a, b, out=out)


def blas():
    library = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{library['name']} {library['version']}"


serve_products(prepare, version=f"{numpy.__version__}, {blas()}")
