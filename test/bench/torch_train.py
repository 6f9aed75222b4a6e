"""PyTorch beside mutwo's trainer: samples a second of ResNet-50 with Adam, TF32 on, eager; the last line of stdout.

usage: python3 torch_train.py BATCH
Four batches lie in pinned memory and are copied without waiting, as a DataLoader with pin_memory gives them; the clock
runs over 100 steps after 20.
"""
import sys
import time

import torch
import torchvision

torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True
torch.backends.cudnn.benchmark = True
batch = int(sys.argv[1])
model = torchvision.models.resnet50().cuda().train()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
images = [torch.randn(batch, 3, 224, 224).pin_memory() for _ in range(4)]
labels = [torch.randint(0, 1000, (batch,)).pin_memory() for _ in range(4)]
for i in range(120):
    if i == 20:
        torch.cuda.synchronize()
        began = time.perf_counter()
    x, y = images[i % 4].cuda(non_blocking=True), labels[i % 4].cuda(non_blocking=True)
    optimizer.zero_grad(set_to_none=True)
    torch.nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
torch.cuda.synchronize()
print(100 * batch / (time.perf_counter() - began))
