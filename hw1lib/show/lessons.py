"""Pictures that teach, notebook by notebook."""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hw1lib.nn.gradients import PARAMETERS
from hw1lib.show.display import ASSETS
from hw1lib.show.tables import COLOURS, KEPT

FORWARD, BACKWARD = "#005a8c", "#9c3a00"  # dark enough on white
SMALL = 'fill="#555" font-size="11" text-anchor="middle"'
MOST_SHEETS = 8  # of the maps of one layer so many are drawn
ARROW = {"arrowstyle": "->", "color": "#444444"}
# Of the numbers of a 2-2-1 network, in pixels
PLACES = {
    **{"x1": (60, 90), "x2": (60, 310), "b1": (370, 90), "b2": (370, 310), "c": (700, 200)},
    **{"u11": (200, 78), "u12": (168, 155), "u21": (168, 221), "u22": (200, 298)},
    **{"z1": (316, 36), "a1": (424, 36), "z2": (316, 256), "a2": (424, 256)},
    **{"v1": (565, 143), "v2": (565, 233), "p": (700, 146), "L": (862, 200), "t": (862, 250)},
    **{"dz1": (308, 144), "da1": (436, 144), "dz2": (308, 364), "da2": (436, 364)},
    "dp": (700, 254),
}
PLACES |= {f"d{name}": (x, y + 28) for name, (x, y) in PLACES.items() if name[0] in "uv"}
# What each step of back-propagation computes, and how; "_" writes a negative factor in brackets
STEPS = {
    "": "Given: inputs x, weights u and v, biases b and c, and the target t.",
    "z1": "z₁ = x₁ u₁₁ + x₂ u₂₁ + b₁ = {_x1} · {_u11} + {_x2} · {_u21} + {_b1} = {z1}",
    "z2": "z₂ = x₁ u₁₂ + x₂ u₂₂ + b₂ = {_x1} · {_u12} + {_x2} · {_u22} + {_b2} = {z2}",
    "a1 a2": "a₁ = f(z₁) = f({z1}) = {a1}, and a₂ = f(z₂) = f({z2}) = {a2}",
    "p": "p = a₁ v₁ + a₂ v₂ + c = {_a1} · {_v1} + {_a2} · {_v2} + {_c} = {p}",
    "L": "L = ½ (p − t)² = ½ ({p} − {_t})² = {L}",
    "dp": "∂L/∂p = p − t = {p} − {_t} = {dp}, and ∂L/∂c is the same",
    "dv1 dv2": "∂L/∂v₁ = ∂L/∂p · a₁ = {_dp} · {_a1} = {dv1}, and ∂L/∂v₂ = ∂L/∂p · a₂ = "
    "{_dp} · {_a2} = {dv2}",
    "da1 da2": "∂L/∂a₁ = ∂L/∂p · v₁ = {_dp} · {_v1} = {da1}, and ∂L/∂a₂ = ∂L/∂p · v₂ = "
    "{_dp} · {_v2} = {da2}",
    "dz1 dz2": "∂L/∂z₁ = ∂L/∂a₁ · f′(z₁) = {_da1} · {_f1} = {dz1}, and ∂L/∂z₂ = ∂L/∂a₂ · f′(z₂) = "
    "{_da2} · {_f2} = {dz2}; ∂L/∂b₁ and ∂L/∂b₂ are the same",
    "du11 du21": "∂L/∂u₁₁ = ∂L/∂z₁ · x₁ = {_dz1} · {_x1} = {du11}, and ∂L/∂u₂₁ = ∂L/∂z₁ · x₂ = "
    "{_dz1} · {_x2} = {du21}",
    "du12 du22": "∂L/∂u₁₂ = ∂L/∂z₂ · x₁ = {_dz2} · {_x1} = {du12}, and ∂L/∂u₂₂ = ∂L/∂z₂ · x₂ = "
    "{_dz2} · {_x2} = {du22}",
}


def cloud(points, pca, names) -> Figure:
    """Draw a PCA of points (n, 2): its components, feet on the first, the variance by direction.

    ``pca`` is a ``faces.Preprocessor(2, "unit")`` fitted on them; ``names`` are the axes' labels.
    """
    points = np.asarray(points, float)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.9))
    left.plot(*points.T, ".", color="0.6", markersize=5, label="a face")
    feet = pca.inverse_transform(pca.transform(points), 1)
    left.plot(*np.stack([points, feet], axis=2).transpose(1, 2, 0), color="0.75", linewidth=0.6)
    hollow = {"color": "white", "markeredgecolor": "C0", "markeredgewidth": 0.8, "markersize": 3}
    left.plot(*feet.T, "o", zorder=4, label="its foot on component 1", **hollow)
    angles = np.arange(181)
    directions = np.array([np.cos(np.radians(angles)), np.sin(np.radians(angles))])
    right.plot(angles, (points @ directions).var(axis=0, ddof=1), color="black", linewidth=1)
    variances = pca.explained_variance * pca.scale[0] ** 2
    for i, (axis, variance) in enumerate(zip(pca.components, variances, strict=True)):
        share = 100 * pca.explained_variance_ratio[i]
        label = f"component {i + 1}: {share:.0f} % of the variance"
        ends = pca.center + 2 * np.sqrt(variance) * np.outer((-1, 1), axis)
        left.plot(*ends.T, ("-", "--")[i], color=f"C{i}", linewidth=4, label=label)
        angle = np.degrees(np.arctan2(axis[1], axis[0])) % 180
        right.plot(angle, variance, "os"[i], color=f"C{i}", markersize=8)
    left.set(xlabel=names[0], ylabel=names[1], aspect="equal", title="The points")
    right.set(xlabel="direction (degrees from the horizontal)", ylabel="variance along it")
    right.set(xticks=range(0, 181, 45), ylim=(0, None), title="Looking for the largest variance")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def valley(paths: dict, curvature, step: int) -> str:
    """Return the first steps of descents through a valley as SVG, a panel each; one scale for all.

    ``paths`` leads from what each is called to its points (n, 2). The loss is half the sum of
    ``curvature`` times the squared weights; ellipses are lines of equal loss. Only what lies within
    -11 to 3 and ±1.4 is seen.
    """
    curvature, svg, said = np.asarray(curvature, float), "", []
    for i, (name, path) in enumerate(paths.items()):
        path = np.asarray(path)[: step + 1]
        loss = float(curvature @ path[-1] ** 2) / 2
        said.append(f"{name}: loss {loss:.3g}")
        top = 158 * i + 18
        svg += _text(12, top, name, f'fill="{FORWARD}" font-weight="bold"')
        svg += _text(300, top, f"step {step}: loss {loss:.3g}", f'fill="{FORWARD}"')
        panel = ""
        for height in 2.0 ** np.arange(-2, 9, 2):  # each line four times the loss of the next
            rx, ry = 44 * np.sqrt(2 * height / curvature)
            panel += f'<ellipse cx="496" cy="62" rx="{rx:.1f}" ry="{ry:.1f}" stroke="#aaa"/>'
        panel += "".join(_text(496 + 44 * mark, 121, mark, SMALL) for mark in (-10, -5, 0))
        panel += "".join(_text(8, 66 - 44 * mark, mark, SMALL) for mark in (-1, 1))
        points = [f"{496 + 44 * x:.1f},{62 - 44 * y:.1f}" for x, y in path]
        panel += f'<polyline points="{" ".join(points)}" stroke="{FORWARD}"/>'
        for point in points:
            x, y = point.split(",")
            panel += f'<circle cx="{x}" cy="{y}" r="2" fill="{FORWARD}"/>'
        panel += f'<circle cx="{x}" cy="{y}" r="5" fill="{BACKWARD}"/>'
        panel += '<path d="M491 62h10M496 57v10" stroke="black" stroke-width="2"/>'
        frame = f'x="12" y="{top + 8}" width="628" height="124" viewBox="0 0 628 124"'
        svg += f'<svg {frame} fill="none"><rect width="628" height="124" fill="#f6f6f6"/>'
        svg += f"{panel}</svg>"
    height = 158 * len(paths) + 14
    axes = "first weight across, second weight up, one scale; cross: the minimum"
    svg += _text(640, height - 4, axes, 'text-anchor="end" fill="black"')
    told = f"step {step} through a narrow valley: {'; '.join(said)}"
    return _on_white(652, height + 4, f'<g font-size="13">{svg}</g>', told)


def _text(x, y, words, look: str = "") -> str:
    """Return text for an SVG; ``look`` are its other attributes."""
    return f'<text x="{x}" y="{y}" {look}'.rstrip() + f">{words}</text>"


def _on_white(width: int, height: int, inside: str, said: str) -> str:
    """Return an SVG whose colours were chosen for white, at most as wide as there is room."""
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    look = 'font-family="sans-serif" style="max-width:100%;height:auto"'
    look += f' role="img" aria-label="{said}"'
    white = f'<rect width="{width}" height="{height}" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look}>{white}{inside}</svg>'


def backprop_steps(net, x, t) -> list[str]:
    """Return back-propagation through a 2-2-1 network, a drawing for each step, for ``steps``.

    ``net`` has the loss "l2" and no activation at the output; x (2,) and t are one sample. Grey is
    given, blue comes forward, orange back. What a step computes has an edge, and below stands how.
    The weights are called u up to the hidden units, and v after them.
    """
    (U, V), (b, c) = net.weights, net.biases
    z = np.asarray(x) @ U + b
    a, (p,) = net.activation(z), net.forward([x])[0]
    net.backward([t])
    (dU, dV), (dz, (dp,)) = net.weight_gradients, net.bias_gradients
    numbers = {"c": c[0], "t": t, "p": p, "L": (p - t) ** 2 / 2, "dp": dp}
    arrays = {"x": x, "b": b, "u": U, "v": V[:, 0], "z": z, "a": a}
    arrays |= {"f": net.activation.derivative(z, a)}
    arrays |= {"dz": dz, "da": dp * V[:, 0], "du": dU, "dv": dV[:, 0]}
    for name, array in arrays.items():
        for place, number in np.ndenumerate(array):
            numbers[name + "".join(str(i + 1) for i in place)] = number
    written = {name: f"{number:.3g}".replace("-", "−") for name, number in numbers.items()}
    factors = {f"_{name}": f"({w})" if w[0] == "−" else w for name, w in written.items()}
    given = [name for name in PLACES if name[0] in "xbuvct"]
    drawn, drawings = "".join(_pill(name, written[name], "padding") for name in given), []
    for names, how in STEPS.items():
        new, told = names.split(), how.format(**written, **factors)
        kind = "selected" if names.startswith("d") else "window"
        edged = "".join(_pill(name, written[name], kind, edge=True) for name in new)
        drawings.append(_network_221(drawn + edged, told))
        drawn += "".join(_pill(name, written[name], kind) for name in new)
    return drawings


def _named(name: str) -> str:
    """Return "du11" as "∂L/∂u₁₁"."""
    named = name.translate(str.maketrans("12", "₁₂"))
    return f"∂L/∂{named[1:]}" if name.startswith("d") else named


def _pill(name: str, number: str, kind: str, edge: bool = False) -> str:
    """Return a name and its number, black on a light ground: so it is read on any page."""
    text, (x, y) = f"{_named(name)} = {number}", PLACES[name]
    width = 8 * len(text) + 10
    around = f'x="{x - width / 2 - 4:g}" y="{y - 15}" width="{width + 8}" height="30" rx="8"'
    line = f'<rect {around} fill="none" stroke="currentColor" stroke-width="2"/>' if edge else ""
    box = f'x="{x - width / 2:g}" y="{y - 11}" width="{width}" height="22" rx="6"'
    letters = _text(x, y + 5, text, 'fill="#000000"')
    return f'{line}<g style="{KEPT}"><rect {box} fill="{COLOURS[kind]}"/>{letters}</g>'


def _network_221(pills: str, told: str) -> str:
    edges = "M60 90L370 90M60 90L370 310M60 310L370 90M60 310L370 310"
    edges += "M370 90L700 200M370 310L700 200M700 200L862 200"
    svg = f'<path d="{edges}" stroke="#888888" stroke-width="1.5"/>'
    for x, y in (PLACES[name] for name in ("x1", "x2", "b1", "b2", "c")):
        svg += f'<circle cx="{x}" cy="{y}" r="40" fill="#eeeeee" stroke="#888888"/>'
    look = 'font-size="14" text-anchor="middle" style="max-width:100%;height:auto" role="img"'
    size = 'width="930" height="390" viewBox="0 0 930 390"'
    return f'<svg {size} {look} aria-label="{told}">{svg}{pills}</svg><div>{told}</div>'


def softmax_bars(z, p) -> str:
    """Return logits, their exponentials and the probabilities (k,) as SVG: a row each class.

    Letters have the colour of the text around: it is dark on light or light on dark.
    """
    z, p = np.asarray(z), np.asarray(p)
    e = np.exp(z)
    right = 'text-anchor="end"'
    svg = _text(60, 16, "logit z", right) + _text(130, 16, "e^z", right)
    svg += _text(150, 16, "p = e^z / sum")
    for i in range(len(z)):
        y, width = 26 + 26 * i, 200 * p[i]
        svg += _text(60, y + 15, f"z{i} = {z[i]:g}", right)
        svg += _text(130, y + 15, f"{e[i]:.2f}", right)
        colour = to_hex(f"C{i}")
        svg += f'<rect x="150" y="{y}" width="{width:.1f}" height="20" fill="{colour}"/>'
        svg += _text(f"{156 + width:.1f}", y + 15, f"{p[i]:.3f}")
    y = 26 * (len(z) + 1)
    svg += f'<path d="M80 {y}H130" stroke="currentColor"/>'
    svg += _text(130, y + 17, f"{e.sum():.2f}", right)
    said = ", ".join(f"{share:.3f}" for share in p)
    size = f'width="410" height="{y + 26}" viewBox="0 0 410 {y + 26}"'
    look = f'fill="currentColor" font-size="14" role="img" aria-label="p = {said}"'
    return f"<svg {size} {look}>{svg}</svg>"


def decision_regions(panels, names) -> Figure:
    """Draw what classifiers of two features say everywhere in the plane, and 250 faces.

    A panel's title leads to a network with two inputs, faces (X (n, 2), class codes y (n,)), and
    the inputs' names. ``names`` are what the codes stand for.
    """
    size = 3.2 * len(panels), 3.6
    figure, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False)
    for ax, (title, (net, (X, y), inputs)) in zip(axes.flat, panels.items(), strict=True):
        low, high = np.quantile(X, (0.01, 0.99), axis=0)
        a, b = np.meshgrid(*np.linspace(low, high, 200).T)
        shares = net.outputs(np.column_stack([a.ravel(), b.ravel()])).reshape(*a.shape, -1)
        winner, sure = shares.argmax(axis=-1), shares.max(axis=-1)
        for code, name in enumerate(names):
            shade = LinearSegmentedColormap.from_list(name, ["white", f"C{code}"])
            region = np.where(winner == code, sure, np.nan)  # white where nothing is sure
            ax.pcolormesh(a, b, region, cmap=shade, vmin=1 / len(names), vmax=1.3, rasterized=True)
            points = X[:250][y[:250] == code]
            look = {"color": f"C{code}", "ms": 5, "mec": "white", "mew": 0.5}
            ax.plot(*points.T, "osD^v"[code % 5], label=name, **look)
        ax.contour(a, b, winner, np.arange(len(names)) + 0.5, colors="black", linewidths=0.8)
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), title=title)
        ax.set(xlabel=inputs[0], ylabel=inputs[1])
        ax.grid(visible=False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(names))
    return figure


def passes(x, kernel, w, values, gradients) -> str:
    """Return the drawing of question 3 with numbers on it, as SVG for ``steps``.

    Above each name stands its value, as ``nn.gradients.forward`` returns it for x, kernel and w;
    below it the gradient, as ``closed_form`` returns it. Of either a part will do.
    """
    pixels = {f"x{r + 1}{c + 1}": x[r][c] for r, c in np.ndindex(4, 4)}
    values = values | pixels | dict(zip(PARAMETERS, [*w, *np.ravel(kernel)], strict=True))
    gradients = {"output" if name == "error" else name: g for name, g in gradients.items()}
    plain, back = 'font-size="13"', f'font-size="13" font-weight="bold" fill="{BACKWARD}"'

    def numbered(name_drawn):
        name, x, y = name_drawn[1], name_drawn[2], float(name_drawn[3])
        step = 25 if name[0] in "cy" else 20  # clear of the circles
        text = name_drawn[0]
        for numbers, place, look in ((values, y - step, plain), (gradients, y + step, back)):
            if name in numbers:
                number = f"{numbers[name]:z.2f}".replace("-", "−")
                text += _text(x, f"{place:g}", number, look)
        return text

    svg = (ASSETS / "question3.svg").read_text(encoding="utf-8")
    svg = svg.replace("question3-", f"passes-{len(values)}-{len(gradients)}-")  # several on a page
    svg = re.sub(r'<text class="(\w+)" x="(\S+)" y="(\S+)">.*?</text>', numbered, svg)
    legend = _text(882, 24, "above: value", plain) + _text(882, 44, "below: gradient", back)
    return svg.replace("</svg>", f"{legend}</svg>")


def conv_layers(config: dict) -> Figure:
    """Draw a convolutional network's config: maps as sheets to scale, units as columns."""
    figure, ax = plt.subplots(figsize=(9.6, 2.3))
    longest = max(config["picture"][1:])
    end = -0.75
    for i, (step, shape) in enumerate(_steps_and_shapes(config)):
        if len(shape) == 3:
            tall, wide = shape[1] / longest, shape[2] / longest
            sheets = min(shape[0], MOST_SHEETS)
            colour = f"C{min(i, 1)}"
            size = f"{shape[0]} x {shape[1]}x{shape[2]}"
        else:
            tall, wide = 0.2 + 0.7 * min(1, shape[0] / 64), 0.08
            sheets = 1
            colour = "C2"
            size = f"{shape[0]:,}"
        x = end + 0.75
        if step:
            ax.annotate("", (x - 0.05, 0), (end + 0.05, 0), arrowprops=ARROW)
            ax.text((end + x) / 2, 0.07, step, ha="center", va="bottom", fontsize=8)
        for sheet in reversed(range(sheets)):  # the last one first: it lies behind
            corner = x + 0.05 * sheet, -tall / 2 + 0.05 * sheet
            look: dict = {"facecolor": colour, "edgecolor": "white", "linewidth": 0.7}
            ax.add_patch(Rectangle(corner, wide, tall, **look))
        end = x + wide + 0.05 * (sheets - 1)
        ax.text((x + end) / 2, -0.58, size, ha="center", va="top", fontsize=9)
    ax.set(xlim=(-0.1, end + 0.2), ylim=(-0.75, 0.9), aspect="equal")
    ax.axis("off")
    return figure


def _steps_and_shapes(config: dict) -> list[tuple[str, tuple[int, ...]]]:
    """Return what leads to each layer, and its shape."""
    channels, height, width = config["picture"]
    functions = config["activation"], config["output_activation"]
    activation, output = (str(f).replace("leaky_relu", "leaky ReLU") for f in functions)
    layers: list[tuple[str, tuple[int, ...]]] = [("", (channels, height, width))]
    for channels in config["filters"]:
        height, width = height // 2, width // 2
        step = f"convolution\n3x3, max\npooling 2x2,\n{activation}"
        layers.append((step, (channels, height, width)))
    layers.append(("cells in\na row", (channels * height * width,)))
    for n in config["hidden"]:
        layers.append((f"product,\n{activation}", (n,)))
    step = "product" if output == "identity" else f"product,\n{output}"
    layers.append((step, (config["outputs"],)))
    return layers
