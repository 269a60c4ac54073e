"""The one network of the emergency room that no lesson builds as a module: attention over the rows of a digit."""

from torch import Tensor, nn


class AttentionNet(nn.Module):
    """Each row of pixels is a token: (B, rows * pixels) -> (B, 10), the mean of what the tokens say after one attention.

    There is no skip path and no second dense layer: what the attention does not pass on is lost.
    """

    def __init__(self, width: int, rows: int, norm_qk: bool):
        super().__init__()
        self.rows = rows
        self.embed, self.norm = nn.Linear(64 // rows, width), nn.LayerNorm(width)
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.norm_qk = nn.RMSNorm(width, elementwise_affine=False) if norm_qk else nn.Identity()
        self.attend = nn.Softmax(-1)
        self.norm_out, self.out = nn.LayerNorm(width), nn.Linear(rows * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.embed(x.view(len(x), self.rows, -1)))
        q, k = self.norm_qk(self.q(h)), self.norm_qk(self.k(h))
        p = self.attend(q @ k.mT / q.shape[-1] ** 0.5)  # (B, rows, rows)
        return self.out(self.norm_out(p @ self.v(h)).flatten(1)) / self.rows


def attention_net(width: int, rows: int = 8, *, norm_qk: bool = False) -> nn.Module:
    """Attention over the rows of a digit. With ``norm_qk`` each query and each key is divided by its RMS."""
    return AttentionNet(width, rows, norm_qk)
