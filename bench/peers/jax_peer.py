"""JAX on XLA's CPU backend: training steps, one jit over the whole step with donated buffers, timed on request. See README.md.

python jax_peer.py '{"model": "gpt", ...}' [--precision bf16]
"""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy
from jax import nn
from protocol import serve_steps

random = numpy.random.default_rng(0)


def normal(*shape, std):
    return jnp.asarray(random.normal(0, std, shape), jnp.float32)


def integers(high, *shape):
    return jnp.asarray(random.integers(high, size=shape), jnp.int32)


def norm(x, p):
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p["weight"] + p["bias"]


def cross_entropy(logits, targets):
    return -jnp.take_along_axis(nn.log_softmax(logits), targets[..., None], -1).mean()


def make_gpt(matmul, vocab, context, layers, heads, width, batch, **_):
    """Parameters, the batch, and the loss of both: pre-norm, exact GELU, tied head, no biases in linear layers."""
    ones = {"weight": jnp.ones(width), "bias": jnp.zeros(width)}
    block = lambda: {
        "ln_1": ones, "attn": normal(width, 3 * width, std=0.02), "proj": normal(width, width, std=0.02),
        "ln_2": ones, "up": normal(width, 4 * width, std=0.02), "down": normal(4 * width, width, std=0.02),
    }  # fmt: skip
    parameters = {
        "wte": normal(vocab, width, std=0.02), "wpe": normal(context, width, std=0.02),
        "h": [block() for _ in range(layers)], "ln_f": ones,
    }  # fmt: skip
    # no two leaves may share a buffer that is given away
    parameters = jax.tree.map(jnp.copy, parameters)
    visible = jnp.tril(jnp.ones((context, context), bool))

    def attention(x, p):
        q, k, v = jnp.moveaxis(matmul(x, p["attn"]).reshape(batch, context, 3, heads, width // heads), (2, 3), (0, 2))
        scores = matmul(q, k.swapaxes(-1, -2)) * (width // heads) ** -0.5
        mixed = matmul(nn.softmax(jnp.where(visible, scores, -jnp.inf)), v)
        return matmul(mixed.swapaxes(1, 2).reshape(batch, context, width), p["proj"])

    def loss(p, tokens, targets):
        x = p["wte"][tokens] + p["wpe"]
        for b in p["h"]:
            x = x + attention(norm(x, b["ln_1"]), b)
            x = x + matmul(nn.gelu(matmul(norm(x, b["ln_2"]), b["up"]), approximate=False), b["down"])
        return cross_entropy(matmul(norm(x, p["ln_f"]), p["wte"].T), targets)

    tokens = integers(vocab, batch, context + 1)
    return parameters, (tokens[:, :-1], tokens[:, 1:]), loss


def make_lstm(matmul, vocab, context, layers, width, batch, **_):
    """Parameters, the batch, and the loss of both: PyTorch's equations, each layer a scan behind one product for all its inputs."""
    matrix = lambda *shape: jnp.asarray(random.uniform(-1, 1, shape) * width**-0.5, jnp.float32)
    layer = lambda: {
        "ih": matrix(width, 4 * width), "hh": matrix(width, 4 * width), "b": matrix(4 * width), "c": matrix(4 * width),
    }  # fmt: skip
    parameters = {
        "embedding": normal(vocab, width, std=1), "layers": [layer() for _ in range(layers)],
        "head": matrix(width, vocab), "bias": matrix(vocab),
    }  # fmt: skip

    def run(x, p):
        def turn(state, now):
            h, memory = state
            i, f, g, o = jnp.split(now + matmul(h, p["hh"]), 4, -1)
            memory = nn.sigmoid(f) * memory + nn.sigmoid(i) * jnp.tanh(g)
            h = nn.sigmoid(o) * jnp.tanh(memory)
            return (h, memory), h

        start = (jnp.zeros((batch, width)), jnp.zeros((batch, width)))
        return jax.lax.scan(turn, start, matmul(x, p["ih"]) + p["b"] + p["c"])[1]

    def loss(p, tokens, targets):
        x = p["embedding"][tokens.T]
        for one in p["layers"]:
            x = run(x, one)
        return cross_entropy(matmul(x, p["head"]) + p["bias"], targets.T)

    tokens = integers(vocab, batch, context + 1)
    return parameters, (tokens[:, :-1], tokens[:, 1:]), loss


def make_perceptron(matmul, context, layers, width, batch, vocab, **_):
    dims = [context, *(width >> at for at in range(layers)), vocab]
    parameters = [(normal(a, b, std=a**-0.5), jnp.zeros(b)) for a, b in zip(dims, dims[1:])]

    def loss(p, x, targets):
        for weight, bias in p[:-1]:
            x = nn.relu(matmul(x, weight) + bias)
        return cross_entropy(matmul(x, p[-1][0]) + p[-1][1], targets)

    return parameters, (normal(batch, context, std=1), integers(vocab, batch)), loss


def make_logistic(matmul, context, batch, **_):
    def loss(p, x, targets):
        logits = x @ p[0] + p[1]
        return (nn.softplus(logits) - logits * targets).mean()

    batch_of = (normal(batch, context, std=1), integers(2, batch).astype(jnp.float32))
    return (jnp.zeros(context), jnp.zeros(())), batch_of, loss


def make_step(shape, precision):
    def matmul(a, b):
        if precision == "bf16":
            a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
        return jnp.matmul(a, b, preferred_element_type=jnp.float32)

    kind = shape["model"]
    make = {"gpt": make_gpt, "lstm": make_lstm, "mlp": make_perceptron, "logreg": make_logistic}[kind]
    parameters, batch, loss = make(matmul, **{key: value for key, value in shape.items() if key != "model"})

    def update(state, batch):
        p, m, v, count = state
        value, grads = jax.value_and_grad(loss)(p, *batch)
        if kind == "logreg":
            return (jax.tree.map(lambda p, g: p - 0.1 * g, p, grads), m, v, count), value
        if kind in ("gpt", "lstm"):
            length = jnp.sqrt(sum((g**2).sum() for g in jax.tree.leaves(grads)))
            grads = jax.tree.map(lambda g: g * jnp.minimum(1, 1 / (length + 1e-6)), grads)
        decay = 1e-2 if kind == "gpt" else 0
        count = count + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        move = lambda p, m, v: p - 1e-3 * (
            m / (1 - 0.9**count) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8) + decay * p
        )
        return (jax.tree.map(move, p, m, v), m, v, count), value

    jitted = jax.jit(update, donate_argnums=0)
    zeros = lambda: jax.tree.map(jnp.zeros_like, parameters)
    held = {"state": (parameters, zeros(), zeros(), jnp.zeros(()))}

    def step():
        held["state"], value = jitted(held["state"], batch)
        jax.block_until_ready(held["state"])
        return float(value)

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", type=json.loads)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="bf16: operands of products")
    options = parser.parse_args()
    serve_steps(make_step(options.shape, options.precision), version=jax.__version__)


if __name__ == "__main__":
    main()
