"""A recorded run as one HTML file to send to a colleague: no script, nothing fetched, all that comes from a recording escaped."""

from base64 import b64encode
from html import escape
from math import isinf, isnan
from pathlib import Path

import torch

from gradutils.recorder.diagnosis import Diagnosis, diagnose
from gradutils.recorder.recording import Recording

STYLE = """
:root { color-scheme: light dark; --line: #9994; --tint: #9c9ca120 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin-top: 2rem }
.named { border-left: 4px solid #5790fc; background: var(--tint); padding: .6rem 1rem } .named p { margin: .3rem 0 }
figure { margin: 1.5rem 0 } img { max-width: 100%; height: auto; background: white; border-radius: 6px }
figcaption { font-size: .9rem } pre { overflow-x: auto }
.table { overflow-x: auto } table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .2rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child, .text { text-align: left } summary { cursor: pointer }
""".replace("\n", "")
# A browser that is told so keeps to it, whatever else the page might come to hold.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
OPEN = 40  # rows of a table that is not folded


def write_report(recording: Recording, path: str | Path, title: str = "A training run") -> Path:
    """Write the report of a recording as an HTML page. Raises ValueError for a path that does not end in .html."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a report is an HTML page, so its name must end in .html; got {str(path)!r}")
    path.write_text(report(recording, title), encoding="utf-8", errors="replace")
    return path


def report(recording: Recording, title: str = "A training run") -> str:
    """The page: diagnosis, figure, what was recorded, layers and parameters."""
    parts = [
        named(recording),
        _figure(recording),
        "<h2>What was recorded</h2>",
        f"<pre>{_text(recording.summary())}</pre>",
        _facts(recording),
        *_folded(
            "Layers", _layers(recording), "Dead and saturated: at last. Separation of the samples: at first."
        ),
        *_folded("Parameters", _parameters(recording), "Updates over the weight."),
    ]
    return PAGE.format(policy=POLICY, title=_text(title), style=STYLE, body="\n".join(parts))


def diagnosis_of(recording: Recording) -> Diagnosis | str:
    """The diagnosis, or the sentence that says why there is none."""
    try:
        return diagnose(recording)
    except ValueError as error:  # too few records
        return f"No diagnosis: {error}."


def named(recording: Recording) -> str:
    """The diagnosis as HTML: evidence, remedy, and what else it could be."""
    found = diagnosis_of(recording)
    if isinstance(found, str):
        return f'<div class="named"><p>{_text(found)}</p></div>'
    lines = [f"<p><strong>{_text(found.illness)}</strong></p>"]
    lines += [f"<ul>{''.join(f'<li>{_text(evidence)}</li>' for evidence in found.evidence)}</ul>"]
    lines += [f"<p>Remedy: {_text(found.remedy)}</p>"]
    if found.alternatives:
        lines += [f"<p>It could also be: {_text(', '.join(found.alternatives))}.</p>"]
        lines += [f"<p>To tell ({_text(name)}): {_text(rerun)}</p>" for name, rerun in found.reruns.items()]
    return f'<div class="named">{"".join(lines)}</div>'


def _figure(recording: Recording) -> str:
    """The page of plots as a picture within the file; without matplotlib, how to get it."""
    if not len(recording):
        return ""
    try:
        from gradutils.plots import picture_of
    except ModuleNotFoundError as missing:
        return f"<p>No figure: {_text(missing)}.</p>"
    picture, words = picture_of(recording, 110)
    words, data = _text(words), b64encode(picture).decode()
    image = f'<img alt="{words}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


# Tables: the first row is the head.
def _facts(r: Recording) -> str:
    """What the recording knows of the run beside its numbers; newer recordings know more."""
    rows = [
        ("loss", f"{r.loss_kind}{', summed over the batch' if r.loss_summed else ''}"),
        ("loss of a constant answer", _number(r.trivial_loss)),
    ]
    rates = r.lr[r.lr.isfinite()]
    if len(rates):
        rows += [("learning rate", " to ".join(dict.fromkeys((_number(rates.min()), _number(rates.max())))))]
    for field, name in (
        ("optimizer", "optimizer"),
        ("misfit", "loss and outputs"),
        ("order", "order of calls"),
    ):
        if getattr(r, field, ""):
            rows += [(name, str(getattr(r, field)))]
    if any(getattr(r, "unregistered", ())):
        rows += [("not registered", ", ".join(r.unregistered))]
    evaluating = getattr(r, "evaluating", {}).items()
    rows += [("evaluation mode", f"{layer or 'the model'}, in {n} records") for layer, n in evaluating]
    rows += [(f"stretch of {name}", _number(norm)) for name, norm in r.spectral_norms.items()]
    return _table([("", ""), *rows], text=2)


def _layers(r: Recording) -> list[tuple]:
    rows = [
        ("layer", "kind", "calls", "RMS at first", "at last", "|dL/dz| at first", "at last", "dead", "saturated", "separation"),
    ]  # fmt: skip
    if not len(r):
        return rows
    rms = (
        (r.activation_mean**2 + r.activation_std**2)
        .sqrt()
        .where(r.activation_std.isfinite(), r.activation_std)
    )
    for k, (name, kind, calls) in enumerate(zip(r.layers, r.kinds, r.calls, strict=True)):
        sizes = [*_ends(rms[:, k]), *_ends(r.delta_norm[:, k])]
        shares = [_ends(values[:, k])[1] for values in (r.dead_fraction, r.saturated_fraction)]
        rows += [(name, kind, calls, *sizes, *map(_share, shares), r.separation[0, k])]
    return rows


def _parameters(r: Recording) -> list[tuple]:
    rows = [
        ("parameter", "shape", "type", "|weight| at first", "at last", "|gradient| at first", "at last", "median update", "largest"),
    ]  # fmt: skip
    dtypes, trainable = getattr(r, "dtypes", ()), getattr(r, "trainable", ())
    for k, (name, shape) in enumerate(zip(r.parameters, r.shapes, strict=True)):
        dtype = dtypes[k] if len(dtypes) else ""
        if len(trainable) and not trainable[k]:
            dtype += " frozen"
        ratio = r.update_ratio[:, k]
        ratio = ratio[~ratio.isnan()]
        updates = (ratio.median(), ratio.max()) if len(ratio) else (torch.nan, torch.nan)
        sizes = [*_ends(r.weight_norm[:, k]), *_ends(r.grad_norm[:, k])]
        rows += [(name, " x ".join(map(str, shape)) or "1", dtype.strip(), *sizes, *updates)]
    return rows


def _ends(values) -> tuple[float, float]:
    """The first and the last of what was measured."""
    values = values[~values.isnan()]
    return (values[0].item(), values[-1].item()) if len(values) else (torch.nan, torch.nan)


def _folded(name: str, rows: list[tuple], said: str) -> tuple[str, ...]:
    """A table under its name; a long one is opened by a click."""
    is_open = " open" if len(rows) <= OPEN else ""
    table = _table(rows, text=2 if name == "Layers" else 3)
    return (
        f"<h2>{name}</h2>",
        f"<details{is_open}><summary>{len(rows) - 1} rows. {said}</summary>{table}</details>",
    )


def _table(rows: list[tuple], text: int) -> str:
    """A table whose first ``text`` columns are words."""
    head = "".join(f'<th scope="col"{_side(k, text)}>{_text(cell)}</th>' for k, cell in enumerate(rows[0]))
    body = "".join(
        f"<tr>{''.join(f'<td{_side(k, text)}>{_cell(cell)}</td>' for k, cell in enumerate(row))}</tr>"
        for row in rows[1:]
    )
    head = f"<thead><tr>{head}</tr></thead>" if any(rows[0]) else ""
    return f'<div class="table"><table>{head}<tbody>{body}</tbody></table></div>'


def _side(column: int, text: int) -> str:
    return ' class="text"' if column < text else ""


def _cell(value) -> str:
    return _text(value) if isinstance(value, str | int) else _number(value)


def _number(value) -> str:
    value = float(value)
    return "–" if isnan(value) else "not finite" if isinf(value) else f"{value:.3g}"


def _share(value: float) -> str:
    return "–" if isnan(value) else f"{value:.0%}"


def _text(value) -> str:
    """Escaped; letters that no page may hold, and those that turn the direction of writing, as question marks."""
    return escape("".join(c if c.isprintable() or c == "\n" else "?" for c in str(value)))
