"""The models of the comparison in PyTorch, with their optimizers. `make_step` gives a whole training step."""

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Causal self-attention through `scaled_dot_product_attention`, with a cache of keys and values for generation."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)

    def forward(self, x, cache=None):
        rows, time, width = x.shape
        q, k, v = self.c_attn(x).view(rows, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if cache is not None:
            at, keys, values = cache
            keys[:, :, at : at + time], values[:, :, at : at + time] = k, v
            k, v = keys[:, :, : at + time], values[:, :, : at + time]
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=time > 1)
        return self.c_proj(mixed.transpose(1, 2).reshape(rows, time, width))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.c_fc = nn.Linear(width, 4 * width, bias=False)
        self.c_proj = nn.Linear(4 * width, width, bias=False)

    def forward(self, x, cache=None):
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.c_proj(F.gelu(self.c_fc(self.ln_2(x))))


class GPT(nn.Module):
    """Pre-norm, learned positions, exact GELU, head tied to the embedding, no biases in linear layers, no dropout."""

    def __init__(self, vocab, context, layers, heads, width, **_):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.h = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)

    def hidden(self, tokens, at=0, caches=None):
        x = self.wte(tokens) + self.wpe.weight[at : at + tokens.shape[1]]
        for index, block in enumerate(self.h):
            x = block(x, None if caches is None else (at, *caches[index]))
        return self.ln_f(x)

    def forward(self, tokens, targets):
        logits = F.linear(self.hidden(tokens), self.wte.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


class Bert(nn.Module):
    """BERT-base guessing masked words: post-norm blocks with biases, exact GELU, the head's matrix the table of words, no pooler."""

    def __init__(self, vocab, layers, heads, width, context, **_):
        super().__init__()
        self.words, self.positions = nn.Embedding(vocab, width), nn.Embedding(max(context, 512), width)
        self.types, self.norm = nn.Embedding(2, width), nn.LayerNorm(width, eps=1e-12)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.transform, self.head_norm = nn.Linear(width, width), nn.LayerNorm(width, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(vocab))

    def forward(self, tokens, places, targets):
        """Guesses at `places` alone, which count the rows of the batch through; all tokens are seen and of type 0."""
        x = self.norm(self.words(tokens) + self.positions.weight[: tokens.shape[1]] + self.types.weight[0])
        guesses = self.encoder(x).flatten(0, 1)[places]
        logits = F.linear(self.head_norm(F.gelu(self.transform(guesses))), self.words.weight, self.bias)
        return F.cross_entropy(logits.float(), targets)


class Lstm(nn.Module):
    """Embeddings, `nn.LSTM`, a head of its own; every row begins with a state of zeros."""

    def __init__(self, vocab, layers, width, **_):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.head = nn.Linear(width, vocab)

    def forward(self, tokens, targets):
        logits = self.head(self.lstm(self.embedding(tokens))[0])
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


class Perceptron(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(dims, dims[1:]))

    def forward(self, x, targets):
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return F.cross_entropy(self.layers[-1](x).float(), targets)


class Logistic(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, 1)

    def forward(self, x, targets):
        return F.binary_cross_entropy_with_logits(self.linear(x).flatten().float(), targets)


def make_model(shape):
    """The model and one batch of random data: inputs, targets."""
    model, batch, context, vocab = (shape[key] for key in ("model", "batch", "context", "vocab"))
    torch.manual_seed(0)
    if model in ("gpt", "lstm"):
        tokens = torch.randint(vocab, (batch, context + 1))
        sizes = {key: value for key, value in shape.items() if key != "model"}
        return (GPT if model == "gpt" else Lstm)(**sizes), (tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    if model == "bert":
        masked = max(1, round(0.15 * context))  # of a row: 15 %
        places = torch.arange(batch * masked) * context // masked
        return Bert(**shape), (torch.randint(vocab, (batch, context)), places, torch.randint(vocab, (batch * masked,)))
    if model == "mlp":
        hidden = [shape["width"] >> at for at in range(shape["layers"])]
        return Perceptron([context, *hidden, vocab]), (torch.randn(batch, context), torch.randint(vocab, (batch,)))
    return Logistic(context), (torch.randn(batch, context), torch.randint(2, (batch,)).float())


def make_optimizer(kind, parameters):
    if kind == "logreg":
        return torch.optim.SGD(parameters, lr=0.1)
    if kind in ("mlp", "lstm"):
        return torch.optim.Adam(parameters, lr=1e-3, fused=True)
    return torch.optim.AdamW(parameters, lr=1e-3, fused=True)


def make_step(shape, precision="f32", compiled=False):
    """`step()` trains once (forward, backward, clip to global norm 1 but for perceptrons, update) and gives the loss."""
    model, batch = make_model(shape)
    parameters = list(model.parameters())
    optimizer = make_optimizer(shape["model"], parameters)
    loss_of = torch.compile(model) if compiled else model
    clips = shape["model"] in ("gpt", "bert", "lstm")

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(*batch)
        loss.backward()
        if clips:
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.item()

    return step, model, optimizer


def make_update(shape):
    """`step()` clips the global norm at 1 and updates; gradients stay as they are. Fused where PyTorch has it, else its own choice."""
    parameters = [
        torch.nn.Parameter(0.02 * torch.randn(size))
        for _ in range(shape["layers"])
        for size in ((shape["width"], shape["width"]), (shape["width"],))
    ]
    for parameter in parameters:
        parameter.grad = 1e-3 * torch.randn_like(parameter)
    optimizer = {
        "sgd": lambda: torch.optim.SGD(parameters, 1e-4, fused=True),
        "momentum": lambda: torch.optim.SGD(parameters, 1e-4, momentum=0.9, fused=True),
        "adam": lambda: torch.optim.Adam(parameters, 1e-4, fused=True),
        "adamw": lambda: torch.optim.AdamW(parameters, 1e-4, fused=True),
        "adagrad": lambda: torch.optim.Adagrad(parameters, 1e-4, fused=True),
        "rmsprop": lambda: torch.optim.RMSprop(parameters, 1e-4),
        "adafactor": lambda: torch.optim.Adafactor(parameters),
    }[shape["optimizer"]]()

    def step():
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        return 0.0

    return step, parameters
