"""PyTorch beside mutwo on the CPU: the same steps with 2 threads; one JSON object on stdout: {"name": [ms, …]}.

usage: python3 torch_cpu.py
ResNet-18 (torchvision's, written here: no torchvision is needed) at batch 8, an MLP of three layers of 1024 at batch 64,
BERT-base (transformers' classifier of two classes, without dropout) on a sentence of 128 tokens; SGD with momentum 0.9,
which is mutwo's `sgd`, random weights, cross-entropy; 12 steps after 3, or as many as begin within 10 s.
"""
import json
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(2)


class Block(nn.Module):
    def __init__(self, given, made, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(given, made, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(made)
        self.conv2 = nn.Conv2d(made, made, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(made)
        self.down = None
        if stride > 1 or given != made:
            self.down = nn.Sequential(nn.Conv2d(given, made, 1, stride, bias=False), nn.BatchNorm2d(made))

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + (self.down(x) if self.down else x))


def resnet18():
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    sizes = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)]
    return nn.Sequential(*stem, *(Block(*size) for size in sizes), *head)


def mlp():
    return nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1000))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(768, 768) for _ in range(4))
        self.wide, self.narrow = nn.Linear(768, 3072), nn.Linear(3072, 768)
        self.norm1, self.norm2 = nn.LayerNorm(768, 1e-12), nn.LayerNorm(768, 1e-12)

    def forward(self, x):
        heads = [part(x).view(*x.shape[:2], 12, 64).transpose(1, 2) for part in (self.query, self.key, self.value)]
        scores = torch.softmax(heads[0] @ heads[1].transpose(2, 3) / 8, -1)
        x = self.norm1(self.out((scores @ heads[2]).transpose(1, 2).reshape(x.shape)) + x)
        return self.norm2(self.narrow(F.gelu(self.wide(x))) + x)


class Bert(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places, self.kinds = nn.Embedding(30522, 768), nn.Embedding(512, 768), nn.Embedding(2, 768)
        self.norm = nn.LayerNorm(768, 1e-12)
        self.layers = nn.Sequential(*(Layer() for _ in range(12)))
        self.pooler, self.classifier = nn.Linear(768, 768), nn.Linear(768, 2)

    def forward(self, ids):
        places = torch.arange(ids.shape[1])[None]
        x = self.norm(self.words(ids) + self.places(places) + self.kinds(torch.zeros_like(ids)))
        return self.classifier(torch.tanh(self.pooler(self.layers(x)[:, 0])))


def measure(model, x, classes):
    y = torch.randint(0, classes, (x.shape[0],))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    times = []
    start = time.perf_counter()
    for i in range(15):
        began = time.perf_counter()
        if i > 3 and began - start > 10:
            break
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        times.append(1000 * (time.perf_counter() - began))
    return times[3:]


if __name__ == "__main__":
    steps = {
        "resnet18 b8": (resnet18(), torch.randn(8, 3, 224, 224), 1000),
        "mlp b64": (mlp(), torch.randn(64, 1024), 1000),
        "bert_base b1": (Bert(), torch.randint(0, 30522, (1, 128)), 2),
    }
    print(json.dumps({name: measure(*step) for name, step in steps.items()}))
