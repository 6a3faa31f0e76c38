"""One thread a worker, so that two workers share two cores and every number is the same on each."""

import torch

torch.set_num_threads(1)
