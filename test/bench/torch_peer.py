"""PyTorch beside mutwo: the same models, batches and optimizer; one JSON object on stdout.

usage: python3 torch_peer.py [--compile] [--autocast] [model ...]
--compile: inductor with CUDA graphs (mode="reduce-overhead") and a fused optimizer; --autocast: forward in bfloat16.
Random weights, dropout off (the ONNX files hold none), Adam, TF32 on, cudnn.benchmark on; CUDA events around whole
steps, median of 12 after 5; peakMB is torch.cuda.max_memory_allocated() over those steps in units of 1e6 bytes.
"""
import json
import sys
import warnings

import torch

warnings.filterwarnings("ignore")
torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True
torch.backends.cudnn.benchmark = True


def vision(name):
    import torchvision

    return lambda: getattr(torchvision.models, name)()


def bert():
    import transformers

    config = transformers.BertConfig(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    config.num_labels = 2
    return transformers.BertForSequenceClassification(config)


def gpt2():
    import transformers

    return transformers.GPT2LMHeadModel(transformers.GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))


def image(batch):
    return lambda: torch.randn(batch, 3, 224, 224, device="cuda")


def tokens(size, batch, length):
    return lambda: torch.randint(0, size, (batch, length), device="cuda")


# name: model, input, classes, rows of labels
MODELS = {
    "resnet50": (vision("resnet50"), image(64), 1000, 64),
    "bert_base": (bert, tokens(30522, 32, 128), 2, 32),
    "gpt2_small": (gpt2, tokens(50257, 8, 512), 50257, 8 * 512),
    "vit_b16": (vision("vit_b_16"), image(32), 1000, 32),
    "resnet18": (vision("resnet18"), image(4), 1000, 4),
}


def measure(name, compiled, cast):
    make, data, classes, rows = MODELS[name]
    torch.manual_seed(0)
    model = make().to("cuda").train()
    x, y = data(), torch.randint(0, classes, (rows,), device="cuda")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True if compiled else None)
    run = torch.compile(model, mode="reduce-overhead") if compiled else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        if compiled:
            torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=cast):
            out = run(x)
        out = out.logits if hasattr(out, "logits") else out
        torch.nn.functional.cross_entropy(out.float().reshape(-1, out.shape[-1]), y).backward()
        optimizer.step()

    for _ in range(5):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(12):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        step()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    peak = torch.cuda.max_memory_allocated() / 1e6
    del model, optimizer, run
    torch.cuda.empty_cache()
    return {"stepMs": sorted(times)[6], "peakMB": peak}


if __name__ == "__main__":
    args = sys.argv[1:]
    names = [a for a in args if not a.startswith("--")] or list(MODELS)
    result = {"torch": torch.__version__, "device": torch.cuda.get_device_name(), "models": {}}
    for name in names:
        try:
            result["models"][name] = measure(name, "--compile" in args, "--autocast" in args)
        except Exception as error:  # a model that this PyTorch cannot make is left out, and said so
            print(f"{name}: {error!r}", file=sys.stderr)
    print(json.dumps(result))
