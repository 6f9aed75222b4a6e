"""Several models on one GPU in PyTorch, beside mutwo's --together; and the ONNX files of those models.

usage: python3 torch_together.py --export DIR [name ...]   writes NAME.onnx, in training mode
       python3 torch_together.py case [way ...]            JSON lines on stdout as they come: {"way", "ms"} of N models together

alone: N times the step of one model, eager with a fused Adam; compiled: the same with mode="reduce-overhead".
processes: N processes at once, eager; the time in which each of them makes one step.
vmap: torch.func.vmap over stacked weights, forward and backward compiled, Adam on the stacked weights; batch norm without
running statistics, which vmap cannot renew. Random weights, Adam, TF32, median of 12 steps after 5.
NAME_all is the model with the batches of all N as one: what one model's kernels take for as much data.
"""
import copy
import json
import os
import sys
import time
import warnings

import torch
from torch import nn

warnings.filterwarnings("ignore")
torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True
torch.backends.cudnn.benchmark = True


class Block(nn.Sequential):
    def __init__(self, before, after):
        layers = []
        for size in (before, after):
            layers += [nn.Conv2d(size, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        super().__init__(*layers)


class UNet(nn.Module):
    def __init__(self, w=16):
        super().__init__()
        self.a, self.b, self.c = Block(3, w), Block(w, 2 * w), Block(2 * w, 4 * w)
        self.u, self.v = nn.ConvTranspose2d(4 * w, 2 * w, 2, 2), nn.ConvTranspose2d(2 * w, w, 2, 2)
        self.d, self.e, self.o = Block(4 * w, 2 * w), Block(2 * w, w), nn.Conv2d(w, 4, 1)
        self.p = nn.MaxPool2d(2)

    def forward(self, x):
        a = self.a(x)
        b = self.b(self.p(a))
        d = self.d(torch.cat([self.u(self.c(self.p(b))), b], 1))
        return self.o(self.e(torch.cat([self.v(d), a], 1)))


class Logits(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x).logits


class Llama(nn.Module):
    """Llama's layers: RMS norms, rotary positions, causal attention, gated feed-forward; no cache, no biases."""

    def __init__(self, vocabulary=2000, width=256, inner=512, layers=4, heads=4, length=64):
        super().__init__()
        self.heads, self.table, self.head = heads, nn.Embedding(vocabulary, width), nn.Linear(width, vocabulary, bias=False)
        sizes = dict(q=(width, width), k=(width, width), v=(width, width), o=(width, width))
        sizes |= dict(gate=(width, inner), up=(width, inner), down=(inner, width))
        made = lambda: nn.ModuleDict({name: nn.Linear(*size, bias=False) for name, size in sizes.items()})
        self.layers = nn.ModuleList(made() for _ in range(layers))
        self.norms = nn.ParameterList(torch.ones(width) for _ in range(2 * layers + 1))
        each = width // heads
        angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, each, 2)[None] / each)
        self.register_buffer("cos", torch.cat([angles, angles], 1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat([angles, angles], 1).sin(), persistent=False)
        self.register_buffer("mask", torch.full((length, length), -1e9).triu(1), persistent=False)

    def norm(self, x, i):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * self.norms[i]

    def turned(self, x):
        low, high = x.chunk(2, -1)
        return x * self.cos + torch.cat([-high, low], -1) * self.sin

    def forward(self, ids):
        x = self.table(ids)
        split = lambda y: y.view(y.shape[0], y.shape[1], self.heads, -1).transpose(1, 2)
        for i, layer in enumerate(self.layers):
            y = self.norm(x, 2 * i)
            q, k, v = (split(layer[name](y)) for name in "qkv")
            scores = self.turned(q) @ self.turned(k).transpose(-1, -2) * q.shape[-1] ** -0.5 + self.mask
            y = (scores.softmax(-1) @ v).transpose(1, 2)
            x = x + layer["o"](y.reshape(x.shape))
            y = self.norm(x, 2 * i + 1)
            x = x + layer["down"](nn.functional.silu(layer["gate"](y)) * layer["up"](y))
        return self.head(self.norm(x, -1))


def bert():
    import transformers

    config = transformers.BertConfig(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return Logits(transformers.BertForSequenceClassification(config))


def vision(name, **settings):
    import torchvision

    return lambda: getattr(torchvision.models, name)(**settings)


def image(batch, size=224):
    return lambda: torch.randn(batch, 3, size, size)


# name: model, input, loss
MODELS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 100)), lambda: torch.randn(16, 100), "mse"),
    "resnet18": (vision("resnet18"), image(4), "ce"),
    "unet": (UNet, image(4, 64), "mse"),
    "llama": (Llama, lambda: torch.randint(0, 2000, (4, 64)), "ce"),
    "mobilenet": (vision("mobilenet_v3_large", dropout=0.0), image(64), "ce"),
    "vit": (vision("vit_b_16"), image(8), "ce"),
    "bert": (bert, lambda: torch.randint(0, 30522, (16, 128)), "ce"),
}

# case: models of the step, and how often
CASES = {
    "resnet18": (["resnet18"], 8),
    "mlp": (["mlp"], 100),
    "mixed": (["resnet18", "mlp", "llama", "unet"], 1),
    "mobilenet": (["mobilenet"], 8),
    "bert": (["bert"], 4),
    "vit": (["vit"], 4),
}


def export(folder, names):
    all_at_once = [f"{models[0]}_all" for models, _ in CASES.values() if len(models) == 1]
    for name in names or [*MODELS, *all_at_once]:
        alone = name.removesuffix("_all")
        make, data, _ = MODELS[alone]
        torch.manual_seed(0)
        count = 1 if alone == name else next(count for models, count in CASES.values() if models == [alone])
        model, x, began = make().train(), torch.cat([data() for _ in range(count)]), time.time()
        settings = dict(dynamo=False, training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False)
        try:
            file = os.path.join(folder, f"{name}.tmp")
            torch.onnx.export(model, (x,), file, opset_version=17, input_names=["input"], output_names=["output"], **settings)
            os.rename(file, os.path.join(folder, f"{name}.onnx"))
            print(f"{name}: {time.time() - began:.1f} s", file=sys.stderr)
        except Exception as error:  # what this PyTorch cannot export is left out, and said so
            print(f"{name}: {error!r:.300}", file=sys.stderr)


def loss_of(kind, out, y):
    return nn.functional.mse_loss(out, y) if kind == "mse" else nn.functional.cross_entropy(out.reshape(-1, out.shape[-1]), y)


def target(kind, out):
    if kind == "mse":
        return torch.randn_like(out)
    return torch.randint(0, out.shape[-1], (out.numel() // out.shape[-1],), device=out.device)


def median(step):
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    times = []
    for _ in range(12):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        step()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[6]


def single(name, compiled):
    make, data, kind = MODELS[name]
    torch.manual_seed(0)
    model, x = make().to("cuda").train(), data().to("cuda")
    y = target(kind, model(x).detach())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    run = torch.compile(model, mode="reduce-overhead") if compiled else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        if compiled:
            torch.compiler.cudagraph_mark_step_begin()
        loss_of(kind, run(x), y).backward()
        optimizer.step()

    return step


def work(name, seconds, barrier, results):
    step = single(name, False)
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    barrier.wait(60)
    count, began = 0, time.time()
    while time.time() - began < seconds:
        step()
        torch.cuda.synchronize()
        count += 1
    results.put((time.time() - began) / count * 1e3)


def processes(names):
    context = torch.multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(len(names)), context.Queue()
    started = [context.Process(target=work, args=(name, 2, barrier, results), daemon=True) for name in names]
    for process in started:
        process.start()
    times = [results.get(timeout=120) for _ in started]
    for process in started:
        process.join()
    return sum(times) / len(times)


def vmapped(name, count):
    make, data, kind = MODELS[name]
    models = []
    for seed in range(count):
        torch.manual_seed(seed)
        models.append(make().to("cuda").train())
    for model in models:
        torch.func.replace_all_batch_norm_modules_(model)
    params, buffers = torch.func.stack_module_state(models)
    base = copy.deepcopy(models[0]).to("meta")
    x = torch.stack([data() for _ in range(count)]).to("cuda")
    y = torch.stack([target(kind, models[0](x[0]).detach()) for _ in range(count)])

    def loss(p, b, xi, yi):
        return loss_of(kind, torch.func.functional_call(base, (p, b), (xi,)), yi)

    gradients = torch.compile(torch.func.vmap(torch.func.grad(loss), randomness="different"))
    optimizer = torch.optim.Adam(list(params.values()), lr=1e-4, fused=True)

    def step():
        with torch.no_grad():
            found = gradients({k: v.detach() for k, v in params.items()}, buffers, x, y)
        for key, value in params.items():
            value.grad = found[key]
        optimizer.step()

    return step


def attempt(way, measure):
    try:
        began = time.time()
        ms = measure()
        print(json.dumps({"way": way, "ms": ms}), flush=True)
        print(f"{way}: {ms:.3f} ms ({time.time() - began:.0f} s)", file=sys.stderr, flush=True)
    except Exception as error:  # what does not run here is left out, and said so
        print(f"{way}: {error!r:.300}", file=sys.stderr, flush=True)
    torch.cuda.empty_cache()


if __name__ == "__main__":
    args = sys.argv[1:]
    if args[:1] == ["--export"]:
        export(args[1], args[2:])
        sys.exit()
    names, count = CASES[args[0]]
    ways = {
        "alone": lambda: count * sum(median(single(name, False)) for name in names),
        "processes": lambda: processes(names * count),
        "compiled": lambda: count * sum(median(single(name, True)) for name in names),
        "vmap": lambda: median(vmapped(names[0], count)),
    }
    if len(names) * count > 8:
        del ways["processes"]
    if len(names) > 1:
        del ways["vmap"]
    for way in args[1:] or ways:
        if way in ways:
            attempt(way, ways[way])
