"""Models of torchvision and transformers with their gradients in float64, and PyTorch's own error in float32.

usage: python3 float64.py FOLDER NAME   (NAME "list" prints all names)
Writes FOLDER/NAME.onnx, and FOLDER/NAME.safetensors with inputs, target, loss and gradients in float64 as `mutwo verify`
reads them; prints one JSON object: loss as mutwo writes it, and the worst parameter of PyTorch's float32 (TF32 off)
against float64 by verify's metric, ‖a − e‖ / max(‖e‖, 0.01·g·√n), g the root mean square of all gradient entries.
Random weights of seed 0, training mode, no dropout.
"""
import json
import sys
import warnings

import torch
import torch.nn.functional as F

warnings.filterwarnings("ignore")
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


class Logits(torch.nn.Module):
    """A model of transformers as one from a tensor to a tensor."""

    def __init__(self, model):
        super().__init__()
        self.m = model

    def forward(self, x):
        return self.m(x).logits


def vision(name, **options):
    def make():
        import torchvision

        return getattr(torchvision.models, name)(**options)

    return make


def language(config, model, **options):
    def make():
        import transformers

        made = getattr(transformers, config)(attn_implementation="eager", **options)
        return Logits(getattr(transformers, model)(made))

    return make


def image(batch, size=224):
    return lambda: torch.randn(batch, 3, size, size)


def tokens(count, *shape):
    return lambda: torch.randint(0, count, shape)


def classes(count, *shape):
    return lambda: torch.randint(0, count, shape)


no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

# name: model, input, loss as mutwo writes it, target
MODELS = {
    "resnet50": (vision("resnet50"), image(32), "ce", classes(1000, 32)),
    "mobilenet_v3_large": (vision("mobilenet_v3_large", dropout=0.0), image(64), "ce", classes(1000, 64)),
    "densenet121": (vision("densenet121"), image(32), "ce", classes(1000, 32)),
    "efficientnet_b0": (
        vision("efficientnet_b0", dropout=0.0, stochastic_depth_prob=0.0),
        image(32),
        "ce",
        classes(1000, 32),
    ),
    "convnext_tiny": (vision("convnext_tiny", stochastic_depth_prob=0.0), image(16), "ce", classes(1000, 16)),
    "regnet_y_400mf": (vision("regnet_y_400mf"), image(32), "ce", classes(1000, 32)),
    "shufflenet_v2_x1_0": (vision("shufflenet_v2_x1_0"), image(32), "ce", classes(1000, 32)),
    "resnext50_32x4d": (vision("resnext50_32x4d"), image(32), "ce", classes(1000, 32)),
    "vgg11_bn": (vision("vgg11_bn", dropout=0.0), image(16), "ce", classes(1000, 16)),
    "vit_b_16": (vision("vit_b_16"), image(8), "ce", classes(1000, 8)),
    "bert": (
        language("BertConfig", "BertForSequenceClassification", num_hidden_layers=6, **no_dropout),
        tokens(30522, 8, 128),
        "ce",
        classes(2, 8),
    ),
    "gpt2": (
        language(
            "GPT2Config",
            "GPT2LMHeadModel",
            n_layer=6,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=False,
        ),
        tokens(50257, 2, 128),
        "ce",
        classes(50257, 2, 128),
    ),
    "segformer_b0": (
        language(
            "SegformerConfig",
            "SegformerForSemanticSegmentation",
            num_labels=19,
            drop_path_rate=0.0,
            classifier_dropout_prob=0.0,
            **no_dropout,
        ),
        image(4, 256),
        "ce:axis=1",
        classes(19, 4, 64, 64),
    ),
}


def gradients(make, x, target, axis, dtype):
    """Loss and gradients of one step; logits have their classes along `axis`."""
    torch.manual_seed(0)
    model = make().train().cuda().to(dtype)
    out = model(x.cuda().to(dtype) if x.is_floating_point() else x.cuda()).movedim(axis, -1)
    loss = F.cross_entropy(out.reshape(-1, out.shape[-1]), target.cuda().reshape(-1))
    loss.backward()
    return float(loss), {n: p.grad.double().cpu() for n, p in model.named_parameters() if p.grad is not None}


def errors(exact, other):
    entries = sum(e.numel() for e in exact.values())
    scale = (sum(float((e**2).sum()) for e in exact.values()) / entries) ** 0.5
    return {
        n: float((other[n] - e).norm()) / max(float(e.norm()), 0.01 * scale * e.numel() ** 0.5) for n, e in exact.items()
    }


def main(folder, name):
    from safetensors.torch import save_file

    make, inputs, loss, targets = MODELS[name]
    axis = 1 if "axis=1" in loss else -1
    torch.manual_seed(1)
    x, target = inputs(), targets()
    torch.manual_seed(0)
    torch.onnx.export(
        make().train(),
        (x,),
        f"{folder}/{name}.onnx",
        dynamo=False,
        training=torch.onnx.TrainingMode.TRAINING,
        do_constant_folding=False,
        opset_version=17,
        input_names=["input"],
        output_names=["output"],
    )
    value, exact = gradients(make, x, target, axis, torch.float64)
    torch.cuda.empty_cache()
    _, single = gradients(make, x, target, axis, torch.float32)
    worst = errors(exact, single)
    at = max(worst, key=worst.get)
    reference = {"input": x, "target": target, "loss": torch.tensor([value])}
    reference.update({f"grad.{n}": e.float().contiguous() for n, e in exact.items()})
    save_file(reference, f"{folder}/{name}.safetensors")
    print(json.dumps({"loss": loss, "worst": worst[at], "parameter": at}))


if __name__ == "__main__":
    if sys.argv[-1] == "list":
        print(json.dumps(list(MODELS)))
    else:
        main(*sys.argv[1:])
