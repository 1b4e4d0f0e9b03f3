"""`arcface_onnx`: insightface's ArcFace from an ONNX file, for reports only."""

from pathlib import Path

import torch
from torch import Tensor, nn


class OnnxArcFace(nn.Module):
    """Runs an ArcFace ONNX model on the CPU; no gradient passes."""

    def __init__(self, path: Path) -> None:
        """Opens the model without any download.

        Args:
            path: An ArcFace `.onnx` file of 112 px input.

        Raises:
            ValueError: The file is not a recognition model.
        """
        super().__init__()
        from insightface import model_zoo

        try:
            self.model = model_zoo.get_model(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no narrower base
            raise ValueError(f"{path} is not a readable ONNX model: {error}") from error
        if self.model is None or not hasattr(self.model, "get_feat"):
            raise ValueError(
                f"{path} is not an ArcFace recognition model; glintr100.onnx or w600k_r50.onnx is "
                "expected"
            )

    @torch.no_grad()
    def forward(self, faces: Tensor) -> Tensor:
        """Embeds aligned faces.

        Args:
            faces: `[B, 3, 112, 112]` RGB in [-1, 1]; rounded to 8 bits, as the model expects.

        Returns:
            `[B, 512]` float32, not normalised, on the device of `faces`.
        """
        pixels = ((faces.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        bgr = pixels.permute(0, 2, 3, 1).flip(-1).cpu().numpy()
        embeddings = self.model.get_feat(list(bgr))
        return torch.from_numpy(embeddings).float().to(faces.device)
