"""What may be written the other way in right answers of lessons 04 to 08, and why (see tests/mutations.py)."""

EDGE = "exactly on the edge both give the same"
EPS = "the small number only keeps from dividing by 0"
FIRST = "the list has one entry"
GRAPH = "with a graph kept the gradient is the same"
MANY = "the check measures, and many answers are right"
NUMBER = "any kind of number, or of list, is taken"
ORDER = "the product has no order"
PRECISION = "right to the digits that the task asks for"
SIGN = "the sign comes in twice"

FREE = {
    "04.2": {
        "SAMPLES: 4000 -> 8000": PRECISION,
        "SAMPLES: 4000 -> 2000.0": PRECISION,
        "_gauss: torch.arange(count, dtype=torch.float64) + 0.5 -> torch.arange(count, dtype=torch.float64) + 0.25": PRECISION,
        "_by_quadrature: torch.linspace(-8, 8, 40001, dtype=torch.float64) -> torch.linspace(-8, 16, 40001, dtype=torch.float64)": PRECISION,
        "_by_quadrature: torch.linspace(-8, 8, 40001, dtype=torch.float64) -> torch.linspace(-8, 4.0, 40001, dtype=torch.float64)": PRECISION,
        "_by_quadrature: torch.linspace(-8, 8, 40001, dtype=torch.float64) -> torch.linspace(-8, 8, 80002, dtype=torch.float64)": PRECISION,
        "_by_quadrature: -8 -> -16": PRECISION,
        "_by_quadrature: -8 -> -4.0": PRECISION,
        "the answer: torch.randn(200000) -> torch.randn(400000)": PRECISION,
    },
    "04.3": {
        "SAMPLES: 4000 -> 8000": PRECISION,
        "SAMPLES: 4000 -> 2000.0": PRECISION,
        "_gauss: torch.arange(count, dtype=torch.float64) + 0.5 -> torch.arange(count, dtype=torch.float64) + 0.25": PRECISION,
        "LAYERS: 50 -> 100": PRECISION,
        "_settled_growth: for in list(range(LAYERS))[1:]": PRECISION,
        "_settled_growth: for in list(range(LAYERS))[:-1]": PRECISION,
        "_settled_growth: range(LAYERS) -> range(LAYERS + 1)": PRECISION,
        "_settled_growth: range(LAYERS) -> range(LAYERS - 1)": PRECISION,
        "the answer: torch.tensor(_settled_growth(phi, sigma_w)) -> _settled_growth(phi, sigma_w)": NUMBER,
    },
    "04.4": {
        "_crossing: for in list(range(60))[1:]": PRECISION,
        "_crossing: for in list(range(60))[:-1]": PRECISION,
        "_crossing: range(60) -> range(60 + 1)": PRECISION,
        "_crossing: range(60) -> range(60 - 1)": PRECISION,
        "_crossing: range(60) -> range(120)": PRECISION,
        "_crossing: f(low) > g(low) -> f(low) >= g(low)": EDGE,
        "_crossing: f(middle) > g(middle) -> f(middle) >= g(middle)": EDGE,
        "the answer: torch.tensor(_crossing(f, g, low, high), dtype=torch.float64) -> _crossing(f, g, low, high)": NUMBER,
        "the answer: 25 -> 50": PRECISION,
    },
    "04.5": {
        "the answer: z > 0 -> z >= 0": EDGE,
        "the answer: z > 0 -> z < 0": MANY,
        "the answer: -z -> z": MANY,
        "the answer: -z / 2 -> -z / 3": MANY,
    },
    "05.1": {
        "the answer: torch.tensor(_weight_std(fan_in, fan_out, rule)) -> _weight_std(fan_in, fan_out, rule)": NUMBER
    },
    "05.2": {
        "_gauss: torch.arange(4000, dtype=torch.float64) + 0.5 -> torch.arange(4000, dtype=torch.float64)": PRECISION,
        "_gauss: torch.arange(4000, dtype=torch.float64) + 0.5 -> torch.arange(4000, dtype=torch.float64) + 0.25": PRECISION,
        "the answer: torch.randn(100000) -> torch.randn(200000)": PRECISION,
    },
    "05.3": {"the answer: R.diagonal() < 0 -> R.diagonal() <= 0": EDGE},
    "05.4": {"the answer: tuple(_lsuv(weights, phi, x)) -> _lsuv(weights, phi, x)": NUMBER},
    "05.5": {
        "_cosine: 0 -> -1": "a vector has one dimension",
        "_cosines: (phi(W @ a), phi(W @ b)) -> (phi(W @ b), phi(W @ a))": "the cosine has no order",
        "the answer: torch.tensor(_cosines(weights, phi, a, b), dtype=a.dtype) -> _cosines(weights, phi, a, b)": NUMBER,
        "the answer: tuple(_cosines(weights, phi, a, b)) -> _cosines(weights, phi, a, b)": NUMBER,
    },
    "05.6": {
        "_choose_std: 0.5 ** 2 -> 0.5 ** 3": MANY,
        "the answer: math.sqrt(2 / (1 + 0.25) / fan_in) * 1.02 -> math.sqrt(2 / (1 + 0.25) / fan_in) / 1.02": MANY,
        "the answer: math.sqrt(2 / (1 + 0.25) / fan_in) * 1.02 -> math.sqrt(2 / (1 + 0.25) / fan_in)": MANY,
        "the answer: 1 + 0.25 -> 1 + 0.125": MANY,
    },
    "06.1": {
        "the answer: g.abs() > c -> g.abs() >= c": EDGE,
        "the answer: c * g.sign() -> c / g.sign()": "a sign is its own inverse",
    },
    "06.2": {
        "_clip_by_norm_: norm + 1e-06 -> norm - 1e-06": EPS,
        "_clip_by_norm_: norm + 1e-06 -> norm": EPS,
        "_clip_by_norm_: norm + 1e-06 -> norm + 2e-06": EPS,
        "_clip_by_norm_: norm + 1e-06 -> norm + 5e-07": EPS,
        "_torchs_own: g.clone() -> g": "the gradient is a tensor of its own",
        "_torchs_own: True -> False": "the lists are equally long",
        "_flat_and_if: norm > c -> norm >= c": EDGE,
    },
    "06.3": {
        "_clip_by_unit: G.norm(dim=1, keepdim=True).clamp(min=1e-12) -> G.norm(dim=1, keepdim=True)": "a limit over 0 is inf, and the factor is 1",
        "_clip_by_unit: 1e-12 -> 2e-12": EPS,
        "_clip_by_unit: 1e-12 -> 5e-13": EPS,
        "_unit_by_unit: True -> False": "the lists are equally long",
        "_unit_by_unit: g.norm() <= limit -> g.norm() < limit": EDGE,
    },
    "06.4": {
        "the answer: torch.quantile(-_finite(norms), share) * -1 -> torch.quantile(-_finite(norms), share) / -1": "-1 is its own inverse"
    },
    "06.5": {
        "_safe_step: _norm(grads) + 1e-06 -> _norm(grads) - 1e-06": EPS,
        "_safe_step: _norm(grads) + 1e-06 -> _norm(grads)": EPS,
        "_safe_step: _norm(grads) + 1e-06 -> _norm(grads) + 2e-06": EPS,
        "_safe_step: _norm(grads) + 1e-06 -> _norm(grads) + 5e-07": EPS,
        "_safe_step: True -> False": "the lists are equally long",
        "_tested_by_a_sum: True -> False": "the lists are equally long",
        "_tested_by_a_sum: list(weights) -> weights": NUMBER,
        "_tested_by_a_sum: g.sum() * 0 -> g.sum()": "a sum of finite numbers of this size is finite",
        "_tested_by_a_sum: g.sum() * 0 -> g.sum() * 1": "a sum of finite numbers of this size is finite",
        "_tested_by_a_sum: g.sum() * 0 -> g.sum() * -1": "a sum of finite numbers of this size is finite",
        "_tested_by_a_sum: g.sum -> g.mean": "either is finite where all entries are",
    },
    "07.1": {
        "_gradient: False -> True": GRAPH,
        "_gradient: torch.autograd.grad(loss_of(w), w, create_graph=graph)[0] -> torch.autograd.grad(loss_of(w), w, create_graph=graph)[-1]": FIRST,
        "_product: torch.autograd.grad(gradient @ v, w)[0] -> torch.autograd.grad(gradient @ v, w)[-1]": FIRST,
        "_product: gradient @ v -> v @ gradient": ORDER,
        "_curvature_along: v @ _product(loss_of, w, v) -> _product(loss_of, w, v) @ v": ORDER,
        "the answer: v @ torch.autograd.functional.hessian(loss_of, w) @ v -> v @ (v @ torch.autograd.functional.hessian(loss_of, w))": ORDER,
        "the answer: v @ torch.autograd.functional.hessian(loss_of, w) -> torch.autograd.functional.hessian(loss_of, w) @ v": "a Hessian is symmetric",
        "the answer: v @ torch.autograd.functional.hvp(loss_of, w, v)[1] -> torch.autograd.functional.hvp(loss_of, w, v)[1] @ v": ORDER,
        "_by_two_gradients: (ahead - behind) @ unit -> unit @ (ahead - behind)": ORDER,
    },
    "07.4": {
        "_choose_warmup: total // 8 -> total / 8": MANY,
        "_choose_warmup: total // 8 -> 8": MANY,
        "_choose_warmup: total // 8 -> total // 16": MANY,
        "_choose_warmup: total // 8 -> total // 4.0": MANY,
        "the answer: 0 if gain <= 1 else 30 -> 1 if gain <= 1 else 30": MANY,
        "the answer: 0 if gain <= 1 else 30 -> 0 if gain <= 1 else 60": MANY,
        "the answer: 0 if gain <= 1 else 30 -> 0 if gain <= 1 else 15.0": MANY,
        "the answer: lambda gain, lr, total: 12 -> lambda gain, lr, total: 6.0": MANY,
        "the answer: 0.1 * total -> 0.2 * total": MANY,
        "the answer: 0.1 * total -> 0.05 * total": MANY,
    },
    "07.6": {"the answer: True -> False": "the lists are equally long"},
    "08.4": {
        "_gauss: torch.arange(20000, dtype=torch.float64) + 0.5 -> torch.arange(20000, dtype=torch.float64) + 0.25": PRECISION,
        "_phi_and_slope: torch.autograd.grad(h.sum(), z)[0] -> torch.autograd.grad(h.sum(), z)[-1]": FIRST,
        "_phi_and_slope: z.clone() -> z": "z is a tensor of its own",
        "_normalised_growth: False -> True": PRECISION,
        "_by_samples: torch.randn(400000, dtype=torch.float64) -> torch.randn(800000, dtype=torch.float64)": PRECISION,
        "_by_samples: phi(z + 0.0001) - phi(z - 0.0001) -> phi(z - 0.0001) - phi(z + 0.0001)": "the slope is squared",
    },
    "08.5": {
        "_normed: z - z.mean(0) -> z.mean(0) - z": SIGN,
        "_in_stages: z - z.mean(0) -> z.mean(0) - z": SIGN,
    },
}
