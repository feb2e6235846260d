"""A batch for this model: one sample with two images of different size, one sample of text alone."""

import torch

LENGTH = 160


def inputs(config):
    """The keyword arguments of `forward`: one dict, its images and their places in ragged lists."""
    tokens, side = config.query_num, config.scale_resolution // config.patch_size
    grids = [(side, side), (side * 3 // 4, side // 2)]
    images = [torch.zeros(3, rows * config.patch_size, columns * config.patch_size) for rows, columns in grids]
    first, second = 3, 3 + tokens + 2
    ids = torch.arange(2 * LENGTH).view(2, LENGTH) % min(config.vocab_size, 100)
    return {
        "data": {
            "input_ids": ids,
            "position_ids": torch.arange(LENGTH).repeat(2, 1),
            "pixel_values": [images, []],
            "image_bound": [
                torch.tensor([[first, first + tokens], [second, second + tokens]]),
                torch.zeros(0, 2, dtype=torch.int64),
            ],
        }
    }
