"""PyTorch beside mutwo on the CPU: the same steps with 2 threads; one JSON object on stdout: {"name": [ms, …]}.

usage: python3 torch_cpu.py
ResNet-18 (torchvision's, written here: no torchvision is needed) at batch 8, an MLP of three layers of 1024 at batch 64;
SGD, random weights, cross-entropy; 12 steps after 3.
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


def measure(model, x):
    y = torch.randint(0, 1000, (x.shape[0],))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    times = []
    for _ in range(15):
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        times.append(1000 * (time.perf_counter() - began))
    return times[3:]


if __name__ == "__main__":
    steps = {"resnet18 b8": (resnet18(), torch.randn(8, 3, 224, 224)), "mlp b64": (mlp(), torch.randn(64, 1024))}
    print(json.dumps({name: measure(*step) for name, step in steps.items()}))
